//! System instructions whose effects the tables cannot name, and code in unusual places.

use crate::bare::{CODE, DATA, MEMORY, Machine, Mode, STACK, SUPERVISOR};
use amber_cpu::flags::bit;
use amber_cpu::state::{Activity, CodeSize, Segment, ar, cr, seg};
use amber_mmu::ViewId;

const LONG: Mode = Mode { size: CodeSize::Bits64, user: false };
const REAL: Mode = Mode { size: CodeSize::Bits16, user: false };
const PT: u64 = 0x4000;

#[test]
fn lgdt_with_a_16_bit_operand_loads_24_bits_of_base() {
    let pseudo_descriptor = [0x27, 0x01, 0x00, 0x00, 0x10, 0xAB];
    for (code, base) in [(&[0x0F, 0x01, 0x17][..], 0x0010_0000), (&[0x66, 0x0F, 0x01, 0x17], 0xAB10_0000)] {
        let mut machine = Machine::new(REAL);
        machine.write(CODE, code);
        machine.write(DATA, &pseudo_descriptor);
        assert_eq!(machine.step(), None);
        assert_eq!(
            (machine.cpu.system.gdtr.base, machine.cpu.system.gdtr.limit),
            (base, 0x127),
            "{code:02x?}"
        );
    }
}

/// SDM Vol. 2, appendix A: 0F 0D and 0F 18 to 0F 1F are hints or reserved for them.
#[test]
fn hints_do_nothing_whatever_their_prefix() {
    let mut wrong = Vec::new();
    for prefix in [&[][..], &[0x66], &[0xF2], &[0xF3], &[0x48], &[0xF3, 0x48]] {
        for opcode in [0x0D, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F] {
            // [rdi] and r11's low half, by every /r.
            for modrm in (0..8).flat_map(|reg| [reg << 3 | 7, 0xC3 | reg << 3]) {
                // 0F 0D has memory operands alone.
                if opcode == 0x0D && modrm >= 0xC0 {
                    continue;
                }
                let code = [prefix, &[0x0F, opcode, modrm]].concat();
                let mut machine = Machine::new(LONG);
                machine.write(CODE, &code);
                (machine.cpu.gpr[7], machine.cpu.gpr[3]) = (DATA, 5);
                let raised = machine.step();
                let done = machine.cpu.rip == CODE + code.len() as u64 && machine.cpu.gpr[3] == 5;
                if raised.is_some() || !done {
                    wrong.push(format!("{code:02x?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join(" "));
}

#[test]
fn undecodable_code_that_is_patched_is_decoded_anew() {
    let mut machine = Machine::new(LONG);
    // The second byte lies in the next 64 bytes: 0F 0A is nothing, 0F A2 is CPUID.
    machine.write(CODE + 0x3F, &[0x0F, 0x0A]);
    machine.cpu.rip = CODE + 0x3F;
    assert_eq!(machine.step().map(|exception| exception.vector), Some(6));
    machine.reset();
    machine.write(CODE + 0x40, &[0xA2]);
    machine.cpu.rip = CODE + 0x3F;
    assert_eq!(machine.step(), None);
    assert_eq!(machine.cpu.rip, CODE + 0x41);
}

#[test]
fn fetches_do_not_cross_into_non_canonical_addresses() {
    let mut machine = Machine::new(LONG);
    for (entry, value) in
        [(0x1000 + 255 * 8, 0x2007u64), (0x2000 + 511 * 8, 0x3007), (0x3000 + 511 * 8, 0x4007)]
    {
        machine.write(entry, &value.to_le_bytes());
    }
    machine.write(PT + 511 * 8, &(CODE | 7).to_le_bytes());
    // What comes after in PML4[256].
    machine.write(0x1000 + 256 * 8, &0x2007u64.to_le_bytes());
    machine.write(CODE + 0xFFE, &[0x48, 0xB8]);
    machine.cpu.rip = 0x7FFF_FFFF_FFFE;
    let raised = machine.step().expect("#GP(0)");
    assert_eq!((raised.vector, raised.error), (13, Some(0)));
}

#[test]
fn a_walk_that_changes_the_block_it_is_for_is_seen() {
    let mut machine = Machine::new(LONG);
    // mov al, [rdi]; five NOPs; push imm8, whose immediate is the low byte of the entry of DATA's page.
    let entry = PT + (DATA >> 12) * 8;
    machine.write(entry - 8, &[0x8A, 0x07, 0x90, 0x90, 0x90, 0x90, 0x90, 0x6A]);
    (machine.cpu.rip, machine.cpu.gpr[7]) = (entry - 8, DATA);
    machine.run(7);
    assert_eq!((machine.cpu.rip, machine.cpu.gpr[4]), (entry + 1, STACK - 8));
    assert_eq!(machine.read(STACK - 8, 8), [0x27, 0, 0, 0, 0, 0, 0, 0]);
}

/// With the last page of the address space mapped to CODE.
fn with_last_page() -> Machine {
    let mut machine = Machine::new(LONG);
    for (entry, value) in
        [(0x1000 + 511 * 8, 0x2007u64), (0x2000 + 511 * 8, 0x3007), (0x3000 + 511 * 8, 0x4007)]
    {
        machine.write(entry, &value.to_le_bytes());
    }
    machine.write(PT + 511 * 8, &(CODE | 7).to_le_bytes());
    machine
}

#[test]
fn images_may_wrap_at_the_end_of_the_address_space() {
    // xsave [rdi]
    let mut machine = with_last_page();
    machine.write(CODE, &[0x0F, 0xAE, 0x27]);
    machine.cpu.system.cr4 |= cr::CR4_OSXSAVE;
    machine.cpu.system.xcr0 = 3;
    machine.cpu.xmm[0] = 1;
    (machine.cpu.gpr[0], machine.cpu.gpr[7]) = (3, 0u64.wrapping_sub(512));
    assert_eq!(machine.step(), None);
    assert_eq!(machine.read(0, 1)[0] & 2, 2);
}

#[test]
fn code_at_the_end_of_the_address_space_goes_on_at_its_start() {
    let mut machine = with_last_page();
    machine.write(CODE + 0xFFF, &[0x90]);
    machine.cpu.rip = u64::MAX;
    assert_eq!(machine.step(), None);
    assert_eq!(machine.cpu.rip, 0);
    // An instruction of two bytes.
    machine.write(CODE + 0xFFF, &[0x6A]);
    machine.write(0, &[5]);
    machine.cpu.rip = u64::MAX;
    assert_eq!(machine.step(), None);
    assert_eq!((machine.cpu.rip, machine.read(STACK - 8, 1)), (1, vec![5]));
}

#[test]
fn the_redirection_bitmap_of_8086_programs_may_begin_before_the_tss() {
    // An I/O map base that leaves 31 bytes for the bitmap below it: vectors 0 to 7 have none.
    for (vector, fault) in [(4, Some((13, Some(0)))), (8, None)] {
        let mut machine = Machine::new(Mode { size: CodeSize::Bits32, user: false });
        machine.write(CODE, &[0xCD, vector]);
        machine.write(0x7066, &[31, 0]);
        machine.write(u64::from(vector) * 4, &[0x34, 0x12, 0, 0]);
        machine.cpu.system.cr4 |= cr::CR4_VME;
        machine.cpu.system.cpl = 3;
        machine.cpu.flags.set(bit::VM | bit::IOPL, true);
        for segment in &mut machine.cpu.system.seg {
            *segment = Segment { access: 0xF3, ..Segment::real((CODE >> 4) as u16) };
        }
        machine.cpu.rip = 0;
        machine.cpu.gpr[4] = 0x800;
        machine.cpu.derive();
        assert_eq!(machine.step().map(|exception| (exception.vector, exception.error)), fault);
        assert!(fault.is_some() || machine.cpu.rip == 0x1234);
    }
}

#[test]
fn marks_of_dropped_code_go_with_the_first_store() {
    let mut machine = Machine::new(LONG);
    machine.write(CODE, &[0x90]);
    assert_eq!(machine.step(), None);
    machine.code.clear();
    // mov [rdi], al, in a frame before that of the code.
    let store = 0x9000;
    machine.write(store, &[0x88, 0x07]);
    for round in 0..3 {
        machine.reset();
        (machine.cpu.rip, machine.cpu.gpr[7]) = (store, CODE);
        assert_eq!(machine.step(), None, "{round}");
    }
    assert_eq!(machine.mmu.counters.code_stores, 1);
}

#[test]
fn init_keeps_the_logical_id_of_the_x2apic() {
    let mut apic = amber_cpu::apic::LocalApic::new(0x21, false);
    assert!(apic.set_base(apic.base | amber_cpu::apic::BASE_X2, 40));
    assert_eq!(apic.read(0xD, 0), 0x2_0002);
    apic.init();
    assert_eq!((apic.x2apic(), apic.read(0xD, 0)), (true, 0x2_0002));
    assert!(apic.matches(amber_cpu::apic::Destination::Logical(0x2_0003)));
}

#[test]
fn interrupt_frames_are_written_whole_or_not_at_all() {
    // int3 through a gate with a non-canonical offset and a stack of its own.
    let mut machine = Machine::new(LONG);
    machine.write(0x6000 + 3 * 16 + 4, &[1, 0x8E]);
    machine.write(0x6000 + 3 * 16 + 8, &[0, 0x80, 0, 0]);
    machine.write(0x7024, &(DATA + 0x800).to_le_bytes());
    machine.write(CODE, &[0xCC]);
    assert_eq!(machine.step().map(|exception| (exception.vector, exception.error)), Some((13, Some(0))));
    assert_eq!(machine.read(DATA + 0x700, 0x100), [0; 0x100]);

    // One that reaches into a read-only page, as does that of each exception after it.
    let mut machine = Machine::new(LONG);
    machine.write(CODE, &[0xCC]);
    machine.cpu.gpr[4] = SUPERVISOR + 0x10;
    machine.run(1);
    assert_eq!(machine.cpu.system.activity, Activity::Shutdown);
    assert_eq!(machine.read(SUPERVISOR, 0x10), [0; 0x10]);
}

#[test]
fn long_mode_needs_a_32_bit_tss() {
    for (access, fault) in [(0x83, Some(13)), (0x8B, None)] {
        // mov cr0, rax
        let mut machine = Machine::new(Mode { size: CodeSize::Bits32, user: false });
        machine.write(CODE, &[0x0F, 0x22, 0xC0]);
        // The identity map as 4-level paging has it.
        machine.write(0x2000, &[0x07]);
        machine.cpu.gpr[0] = machine.cpu.system.cr0;
        machine.cpu.system.cr0 &= !cr::CR0_PG;
        machine.cpu.system.cr3 = 0x1000;
        machine.cpu.system.efer = cr::EFER_LME;
        machine.cpu.system.tr.access = access;
        machine.cpu.derive();
        assert_eq!(machine.step().map(|exception| exception.vector), fault);
        assert_eq!(machine.cpu.long_mode(), fault.is_none());
    }
}

#[test]
fn descriptors_of_16_bytes_are_checked_whole() {
    // LDT at 28H, limit FFFH.
    const LOW: u64 = 0x0000_8200_0000_0FFF;
    for (high, fault) in
        [(0, None), (1 << 40, Some(13)), (0xFFFF_8000, None), (0xFFFF_7FFF, Some(13)), (0x8000, Some(13))]
    {
        let high: u64 = high;
        // lldt ax
        let mut machine = Machine::new(LONG);
        machine.write(CODE, &[0x0F, 0x00, 0xD0]);
        machine.write(0x5028, &LOW.to_le_bytes());
        machine.write(0x5030, &high.to_le_bytes());
        machine.cpu.system.gdtr.limit = 0x37;
        machine.cpu.gpr[0] = 0x28;
        let raised = machine.step();
        assert_eq!(raised.map(|exception| exception.vector), fault, "{high:x}");
        assert_eq!(raised.and_then(|exception| exception.error), fault.map(|_| 0x28));
    }
}

#[test]
fn call_gates_save_all_of_esp() {
    let mut machine = Machine::new(Mode { size: CodeSize::Bits32, user: true });
    // call 28:0, a gate to 8:CODE+100H.
    machine.write(CODE, &[0x9A, 0, 0, 0, 0, 0x2B, 0]);
    let gate = (CODE + 0x100) & 0xFFFF | 8 << 16 | 0xEC00 << 32 | (CODE >> 16) << 48;
    machine.write(0x5028, &gate.to_le_bytes());
    machine.cpu.system.gdtr.limit = 0x2F;
    // A stack of 64 KiB.
    machine.cpu.system.seg[seg::SS].access &= !ar::DB;
    machine.cpu.gpr[4] = 0x1234_0800;
    machine.cpu.derive();
    assert_eq!(machine.step(), None);
    assert_eq!((machine.cpu.rip, machine.cpu.system.cpl), (CODE + 0x100, 0));
    assert_eq!(machine.read(machine.cpu.gpr[4] + 8, 4), [0, 8, 0x34, 0x12]);
}

/// In SMM on behalf of 32-bit code with PAE paging, about to execute RSM.
fn in_smm() -> Machine {
    let mut machine = Machine::new(Mode { size: CodeSize::Bits32, user: false });
    let map = machine.mmu.map(MEMORY).clone();
    machine.mmu.set_map(ViewId(1), map);
    machine.cpu.system.pending.smi = true;
    machine.run(1);
    assert!(machine.cpu.system.smm);
    machine.write(0x3_8000, &[0x0F, 0xAA]);
    machine
}

#[test]
fn rsm_loads_the_pdptes() {
    let mut machine = in_smm();
    let before = [0x3001, 0, 0, 0];
    machine.cpu.system.pdptes = [1; 4];
    machine.run(1);
    assert_eq!((machine.cpu.system.smm, machine.cpu.system.pdptes), (false, before));
    assert_eq!((machine.cpu.system.activity, machine.cpu.rip), (Activity::Running, CODE));
}

#[test]
fn rsm_shuts_down_on_illegal_control_registers() {
    const SAVE: u64 = 0x3_FE00;
    for (offset, value) in [
        (0x148, 1 << 15),
        (0x148, cr::CR4_PAE | cr::CR4_PCIDE),
        (0x158, cr::CR0_PG),
        (0x158, cr::CR0_NW | cr::CR0_PE),
        (0x0D0, cr::EFER_LMA),
        (0x0D0, 1 << 20),
    ] {
        let mut machine = in_smm();
        machine.write(SAVE + offset, &value.to_le_bytes());
        machine.run(1);
        assert_eq!(machine.cpu.system.activity, Activity::Shutdown, "{value:x} at {offset:x}");
    }
    // Reserved bits of debug registers keep their values.
    let mut machine = in_smm();
    machine.write(SAVE + 0x160, &u64::MAX.to_le_bytes());
    machine.run(1);
    assert_eq!((machine.cpu.system.activity, machine.cpu.system.dr7), (Activity::Running, 0xFFFF_2FFF));
}
