//! What happens between instructions: INIT, SMI, start-up IPIs, debug exceptions (SDM Vol. 3A, chapters 6 and 11; Vol. 3B,
//! chapter 18; Vol. 3C, chapter 32).

use crate::bare::{ABSENT, CODE, DATA, HANDLERS, MEMORY, Machine, Mode, STACK};
use amber_cpu::cpuid::MODELS;
use amber_cpu::flags::bit;
use amber_cpu::state::{Activity, CodeSize, cr, seg};
use amber_cpu::{CodeCache, Exit, Vcpu};
use amber_mmu::ViewId;

const LONG: Mode = Mode { size: CodeSize::Bits64, user: false };
const USER: Mode = Mode { size: CodeSize::Bits64, user: true };
const REAL: Mode = Mode { size: CodeSize::Bits16, user: false };
const DB_HANDLER: u64 = HANDLERS + 1;
const SINGLE_STEP: u64 = 1 << 14;

/// A machine about to run `code` with these flags set.
fn prepared(mode: Mode, code: &[u8], flags: u64) -> Machine {
    let mut machine = Machine::new(mode);
    machine.write(CODE, code);
    machine.cpu.flags.set(flags, true);
    let map = machine.mmu.map(MEMORY).clone();
    machine.mmu.set_map(ViewId(1), map);
    machine
}

/// Arms breakpoint 0 at `linear`: `kind` 0 execute, 3 read or write, one byte.
fn breakpoint(machine: &mut Machine, linear: u64, kind: u64) {
    machine.cpu.system.dr[0] = linear;
    machine.cpu.system.dr7 = 0x401 | kind << 16;
    machine.cpu.derive();
}

#[test]
fn smi_waits_for_the_start_up_ipi() {
    let mut machine = prepared(REAL, &[], 0);
    machine.cpu = Vcpu::new(MODELS[0], 1, 2, 0);
    machine.cpu.system.pending.smi = true;
    assert!(!machine.cpu.runnable(false));
    assert_eq!(machine.run(5), Exit::Halted);
    machine.cpu.accept_sipi(0x10);
    assert!(machine.cpu.runnable(false));
    machine.run(1);
    assert_eq!((machine.cpu.system.activity, machine.cpu.system.smm), (Activity::Running, true));
}

#[test]
fn blocked_events_wake_nobody() {
    let mut machine = prepared(REAL, &[], 0);
    let system = &mut machine.cpu.system;
    (system.smm, system.activity) = (true, Activity::Halted);
    (system.pending.init, system.pending.smi) = (true, true);
    assert!(!machine.cpu.runnable(false));
    let system = &mut machine.cpu.system;
    (system.smm, system.activity) = (false, Activity::Shutdown);
    (system.pending.init, system.pending.smi) = (false, false);
    (system.pending.nmi, system.nmi_blocked) = (true, true);
    assert!(!machine.cpu.runnable(false));
    assert_eq!(machine.run(5), Exit::Shutdown);
}

#[test]
fn start_up_ipi_right_after_init_counts() {
    let mut machine = prepared(REAL, &[], 0);
    machine.cpu = Vcpu::new(MODELS[0], 1, 2, 0);
    machine.cpu.system.activity = Activity::Running;
    machine.cpu.accept_sipi(0x30);
    machine.cpu.accept_init();
    machine.cpu.accept_sipi(0x20);
    machine.cpu.accept_sipi(0x21);
    machine.run(2);
    assert_eq!(machine.cpu.system.activity, Activity::Running);
    assert_eq!(machine.cpu.system.seg[seg::CS].base, 0x2_0000);
    // A later INIT voids one that still waits.
    machine.cpu.accept_init();
    machine.cpu.accept_sipi(0x20);
    machine.cpu.accept_init();
    assert_eq!(machine.run(5), Exit::Halted);
    assert_eq!(machine.cpu.system.activity, Activity::WaitForSipi);
}

#[test]
fn start_up_ipis_mean_nothing_to_the_bootstrap_processor() {
    let mut machine = prepared(REAL, &[], 0);
    machine.cpu.accept_init();
    machine.cpu.accept_sipi(0x20);
    machine.run(1);
    assert_eq!((machine.cpu.system.activity, machine.cpu.rip), (Activity::Running, 0xFFF0));
    assert_eq!(machine.cpu.system.pending.sipi, None);
}

#[test]
fn no_single_step_trap_follows_a_fault() {
    // mov eax, [rdi]
    let mut machine = prepared(LONG, &[0x8B, 0x07], bit::TF);
    machine.cpu.gpr[7] = ABSENT;
    assert_eq!(machine.step().expect("#PF").vector, 14);
    assert_eq!(machine.cpu.system.pending.debug, 0);
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.dr6 & SINGLE_STEP), (HANDLERS + 15, 0));
}

#[test]
fn nor_one_whose_fetch_faulted() {
    // mov ss, eax; then nothing is mapped.
    let mut machine = prepared(LONG, &[], bit::TF);
    machine.write(ABSENT - 2, &[0x8E, 0xD0]);
    (machine.cpu.rip, machine.cpu.gpr[0]) = (ABSENT - 2, 0x10);
    machine.run(2);
    assert_eq!((machine.cpu.rip, machine.cpu.system.pending.debug), (HANDLERS + 14, 0));
}

#[test]
fn syscall_and_sysret_step_by_the_flags_they_load() {
    let mut machine = prepared(USER, &[0x0F, 0x05], bit::TF);
    machine.cpu.system.efer |= cr::EFER_SCE;
    machine.cpu.system.msrs.star = 8 << 32;
    machine.cpu.system.msrs.lstar = CODE + 0x100;
    machine.cpu.system.msrs.sfmask = bit::TF;
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.pending.debug), (CODE + 0x100, 0));

    machine.reset();
    machine.cpu.system.efer |= cr::EFER_SCE;
    machine.cpu.flags.set(bit::TF, true);
    machine.cpu.system.msrs.sfmask = 0;
    machine.run(2);
    assert_eq!(machine.cpu.rip, DB_HANDLER);

    let mut machine = prepared(LONG, &[0x48, 0x0F, 0x07], 0);
    machine.cpu.system.efer |= cr::EFER_SCE;
    machine.cpu.system.msrs.star = 8 << 48;
    (machine.cpu.gpr[1], machine.cpu.gpr[11]) = (CODE + 0x100, bit::TF);
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.cpl), (CODE + 0x100, 3));
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.dr6 & SINGLE_STEP), (DB_HANDLER, SINGLE_STEP));
}

#[test]
fn data_breakpoints_report_accesses_that_happened() {
    // mov eax, [rdi]
    let code = [0x8B, 0x07];
    let mut machine = prepared(LONG, &code, 0);
    machine.cpu.gpr[7] = ABSENT;
    breakpoint(&mut machine, ABSENT, 3);
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.pending.debug), (HANDLERS + 14, 0));

    let mut machine = prepared(LONG, &code, 0);
    machine.cpu.gpr[7] = DATA;
    breakpoint(&mut machine, DATA, 3);
    machine.run(2);
    assert_eq!((machine.cpu.rip, machine.cpu.system.dr6 & 0xF), (DB_HANDLER, 1));

    // movsb, three times: the second element's store faults after its load was seen.
    let mut machine = prepared(LONG, &[0xF3, 0xA4], 0);
    (machine.cpu.gpr[1], machine.cpu.gpr[6], machine.cpu.gpr[7]) = (3, DATA, ABSENT - 1);
    breakpoint(&mut machine, DATA + 1, 3);
    machine.run(1);
    assert_eq!((machine.cpu.gpr[1], machine.cpu.system.pending.debug), (2, 0));
}

#[test]
fn an_access_to_a_device_and_a_missing_page_reads_nothing() {
    let mut machine = prepared(LONG, &[0x48, 0x8B, 0x07], 0);
    // The page before the missing one leads to a device.
    machine.write(0x4000 + ((ABSENT - 0x1000) >> 12) * 8, &(0x8000_0007u64).to_le_bytes());
    machine.cpu.gpr[7] = ABSENT - 4;
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.cr2), (HANDLERS + 14, ABSENT));
    assert_eq!(machine.bus.accesses, 0);
}

#[test]
fn smi_leaves_the_interrupted_program_its_traps_and_shadows() {
    // nop under TF: first the trap, then the SMI.
    let mut machine = prepared(LONG, &[0x90, 0x90], bit::TF);
    machine.run(1);
    machine.cpu.system.pending.smi = true;
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.smm), (DB_HANDLER, false));
    machine.run(1);
    assert!(machine.cpu.system.smm);

    // sti; hlt: the SMI comes after HLT, and RSM returns to it.
    let mut machine = prepared(LONG, &[0xFB, 0xF4], 0);
    machine.run(1);
    machine.cpu.system.pending.smi = true;
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.activity), (CODE + 2, Activity::Halted));
    machine.run(1);
    assert!(machine.cpu.system.smm);
    machine.write(0x3_8000, &[0x0F, 0xAA]);
    assert_eq!(machine.run(2), Exit::Halted);
    assert_eq!((machine.cpu.rip, machine.cpu.system.activity), (CODE + 2, Activity::Halted));
}

#[test]
fn sti_holds_off_interrupts_but_no_traps() {
    // sti; nop
    let mut machine = prepared(LONG, &[0xFB, 0x90, 0x90], bit::TF);
    machine.cpu.system.pending.nmi = false;
    machine.run(1);
    machine.cpu.system.pending.nmi = true;
    machine.run(1);
    assert_eq!(machine.cpu.rip, DB_HANDLER);

    let mut machine = prepared(LONG, &[0xFB, 0x90, 0x90], 0);
    breakpoint(&mut machine, CODE + 1, 0);
    machine.run(2);
    assert_eq!((machine.cpu.rip, machine.cpu.system.dr6 & 0xF), (DB_HANDLER, 1));

    let mut machine = prepared(LONG, &[0xFB, 0x90, 0x90], 0);
    machine.bus.intr = true;
    machine.run(2);
    assert_eq!(machine.cpu.rip, CODE + 2);
}

#[test]
fn general_detect_ends_with_any_debug_exception() {
    const GD: u64 = 1 << 13;
    // nop under TF; int1
    for (code, flags) in [(&[0x90, 0x90][..], bit::TF), (&[0xF1, 0x90], 0)] {
        let mut machine = prepared(LONG, code, flags);
        machine.cpu.system.dr7 |= GD;
        machine.run(2);
        assert_eq!(machine.cpu.system.dr7 & GD, 0, "{code:02x?}");
    }
    // mov rax, dr4 is mov rax, dr6
    let mut machine = prepared(LONG, &[0x0F, 0x21, 0xE0], 0);
    machine.cpu.system.dr7 |= GD;
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.dr6 & 1 << 13), (DB_HANDLER, 1 << 13));
    // int 1 is no debug exception.
    let mut machine = prepared(LONG, &[0xCD, 0x01], 0);
    machine.cpu.system.dr7 |= GD;
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.dr7 & GD), (DB_HANDLER, GD));
}

#[test]
fn a_resumed_rep_hits_its_breakpoint_no_more() {
    // rep stosb over three pages
    let mut machine = prepared(LONG, &[0xF3, 0xAA, 0x90], bit::RF);
    (machine.cpu.gpr[1], machine.cpu.gpr[7]) = (0x3000, DATA);
    breakpoint(&mut machine, CODE, 0);
    machine.run(1);
    assert_eq!(machine.cpu.gpr[1], 0x2000);
    // An interrupt now has RF in its image.
    machine.cpu.system.pending.nmi = true;
    machine.run(1);
    let image = machine.read(machine.cpu.gpr[4] + 16, 4);
    assert_eq!((machine.cpu.rip, image[2] & 1), (HANDLERS + 2, 1));
    // iretq
    machine.write(HANDLERS + 2, &[0x48, 0xCF]);
    machine.run(1);
    machine.run(2);
    assert_eq!((machine.cpu.gpr[1], machine.cpu.rip), (0, CODE + 2));
    machine.run(1);
    assert!(!machine.cpu.flags.has(bit::RF));
    assert_eq!((machine.cpu.rip, machine.cpu.gpr[4]), (CODE + 3, STACK));
}

#[test]
fn a_task_switch_changes_the_address_space() {
    let (pd1, pd2, tss): (u64, u64, u64) = (0x5_0000, 0x5_1000, 0x5_4000);
    let mut machine = Machine::new(Mode { size: CodeSize::Bits32, user: false });
    let mut put = |at: u64, value: u32| machine.write(at, &value.to_le_bytes());
    for (pd, table, page) in [(pd1, 0x5_2000u64, DATA), (pd2, 0x5_3000, DATA + 0x1000)] {
        put(pd, 0x83);
        put(pd + 4, table as u32 | 3);
        put(table, page as u32 | 3);
        put(page, page as u32);
    }
    // Descriptors 28H (the current TSS) and 30H.
    for (n, base, kind) in [(5, 0x7000u32, 0x8B), (6, tss as u32, 0x89)] {
        put(0x5000 + n * 8, base << 16 | 0x67);
        put(0x5004 + n * 8, base >> 16 | kind << 8);
    }
    for (at, value) in [(0x1C, pd2 as u32), (0x20, CODE as u32 + 0x100), (0x24, 2), (0x4C, 8)] {
        put(tss + at, value);
    }
    for at in [0x48, 0x50, 0x54, 0x58, 0x5C] {
        put(tss + at, 0x10);
    }
    // jmp 30:0; mov eax, [400000]
    machine.write(CODE, &[0xEA, 0, 0, 0, 0, 0x30, 0]);
    machine.write(CODE + 0x100, &[0xA1, 0, 0, 0x40, 0]);
    machine.cpu.system.gdtr.limit = 0x37;
    machine.cpu.system.cr4 = cr::CR4_PSE;
    machine.cpu.system.cr3 = pd1;
    machine.cpu.derive();
    machine.run(1);
    assert_eq!((machine.cpu.rip, machine.cpu.system.cr3), (CODE + 0x100, pd2));
    let saved = machine.cpu.save("cpu0");
    machine.run(1);
    assert_eq!(machine.cpu.gpr[0], DATA + 0x1000);
    // A processor restored right after the switch goes on in the same way.
    machine.cpu.restore(&saved).expect("a section of this build");
    machine.code = CodeCache::new();
    machine.run(1);
    assert_eq!(machine.cpu.gpr[0], DATA + 0x1000);
}
