//! What the x87 FPU leaves behind besides its results: the pointers to the last non-control instruction, and FERR#.

use crate::bare::{CODE, DATA, HANDLERS, Machine, Mode};
use amber_cpu::Exit;
use amber_cpu::flags::{Flags, bit};
use amber_cpu::state::{Activity, CodeSize, cr};

const LONG: Mode = Mode { size: CodeSize::Bits64, user: false };
const PROTECTED: Mode = Mode { size: CodeSize::Bits32, user: false };
const REAL: Mode = Mode { size: CodeSize::Bits16, user: false };

/// Runs one instruction with RDI = DATA.
fn run(machine: &mut Machine, bytes: &[u8]) {
    machine.reset();
    machine.cpu.gpr[7] = if machine.is_real() { 0 } else { DATA };
    machine.write(CODE, bytes);
    assert_eq!(machine.step(), None, "{bytes:02x?}");
}

#[test]
fn fop_is_the_last_non_control_opcode() {
    for (mode, bytes, opcode) in [
        (LONG, &[0xD9, 0xE8][..], 0x1E8),         // fld1
        (LONG, &[0xD8, 0xC1], 0x0C1),             // fadd st(0), st(1)
        (LONG, &[0xDD, 0x07], 0x507),             // fld qword [rdi]
        (LONG, &[0x67, 0xDB, 0x3F], 0x33F),       // fstp tbyte [edi]
        (LONG, &[0x41, 0xD9, 0x47, 0x08], 0x147), // fld dword [r15 + 8]
        (LONG, &[0x48, 0xDF, 0xE9], 0x7E9),       // rex.w fucomip st(1)
        (LONG, &[0x9B, 0xD8, 0xC1], 0),           // fwait alone
        (PROTECTED, &[0x3E, 0xDE, 0x07], 0x607),  // fiadd word ds:[edi]
        (REAL, &[0x26, 0x66, 0xDA, 0x05], 0x205), // fiadd dword es:[di]
    ] {
        let mut machine = Machine::new(mode);
        run(&mut machine, &[0xDB, 0xE3]); // fninit
        run(&mut machine, bytes);
        assert_eq!(machine.cpu.x87.opcode, opcode, "{bytes:02x?}");
        machine.cpu.x87.fip = 0x77;
        for control in [&[0xD9, 0x3F][..], &[0xDB, 0xE2], &[0xDF, 0xE0], &[0x9B]] {
            run(&mut machine, control); // fnstcw, fnclex, fnstsw ax, fwait
            assert_eq!((machine.cpu.x87.opcode, machine.cpu.x87.fip), (opcode, 0x77), "{control:02x?}");
        }
    }
}

#[test]
fn images_carry_fop() {
    let mut machine = Machine::new(LONG);
    run(&mut machine, &[0xDB, 0xE3]);
    run(&mut machine, &[0xD9, 0xEB]); // fldpi
    for (store, at) in [(&[0xD9, 0x37][..], 18), (&[0x0F, 0xAE, 0x07], 6)] {
        run(&mut machine, store); // fnstenv, fxsave
        assert_eq!(machine.read(DATA + at, 2), [0xEB, 0x01], "{store:02x?}");
    }
    // FXRSTOR and FLDENV take it back, but no more than 11 bits of it.
    machine.write(DATA + 6, &[0x34, 0xFA]);
    run(&mut machine, &[0x0F, 0xAE, 0x0F]);
    assert_eq!(machine.cpu.x87.opcode, 0x234);
    run(&mut machine, &[0xDD, 0x37]); // fnsave
    assert_eq!((machine.read(DATA + 18, 2), machine.cpu.x87.opcode), (vec![0x34, 0x02], 0));
    run(&mut machine, &[0xDD, 0x27]); // frstor
    assert_eq!(machine.cpu.x87.opcode, 0x234);
    run(&mut machine, &[0xD9, 0x37]); // fnstenv
    machine.write(DATA + 18, &[0xFF, 0xFF]);
    run(&mut machine, &[0xD9, 0x27]); // fldenv
    assert_eq!(machine.cpu.x87.opcode, 0x7FF);
}

/// 1 / 0 with that exception unmasked, then WAIT, with CR0.NE = 0.
fn frozen() -> Machine {
    let mut machine = Machine::new(LONG);
    machine.write(DATA, &[0x7B, 0x03]);
    // fninit; fldcw [rdi]; fldz; fld1; fdiv st(0), st(1)
    for bytes in [&[0xDB, 0xE3][..], &[0xD9, 0x2F], &[0xD9, 0xEE], &[0xD9, 0xE8], &[0xD8, 0xF1]] {
        run(&mut machine, bytes);
    }
    assert!(!machine.bus.ferr, "the error waits for the next waiting instruction");
    machine.write(CODE, &[0x9B, 0xD9, 0xE8]);
    machine.reset();
    machine.cpu.system.cr0 &= !cr::CR0_NE;
    machine.cpu.derive();
    assert_eq!(machine.step(), None);
    assert_eq!((machine.cpu.rip, machine.cpu.system.activity), (CODE, Activity::Frozen));
    assert!(machine.bus.ferr);
    machine
}

#[test]
fn an_error_freezes_the_processor_until_an_interrupt() {
    let mut machine = frozen();
    let retired = machine.cpu.system.retired;
    assert!(!machine.cpu.runnable(false));
    assert_eq!(machine.run(5), Exit::Halted);
    machine.cpu.system.pending.nmi = true;
    assert!(machine.cpu.runnable(false));
    machine.step();
    assert_eq!((machine.cpu.system.activity, machine.cpu.rip), (Activity::Running, HANDLERS + 2));
    assert_eq!(machine.read(machine.cpu.gpr[4], 3), [0, 0, 1], "the instruction is still to be run");
    assert_eq!(machine.cpu.system.retired, retired);
}

#[test]
fn ignne_lets_it_go_on_and_clearing_the_error_releases_ferr() {
    let mut machine = frozen();
    machine.cpu.system.ignne = true;
    machine.step();
    machine.step();
    assert_eq!((machine.cpu.rip, machine.bus.ferr), (CODE + 3, true));
    machine.write(CODE + 3, &[0xDB, 0xE2]); // fnclex
    machine.step();
    assert_eq!((machine.bus.ferr, machine.cpu.system.ferr), (false, false));
}

#[test]
fn whatever_clears_the_error_releases_ferr() {
    for bytes in [&[0xDB, 0xE3][..], &[0xDD, 0x37], &[0xD9, 0x37], &[0x0F, 0xAE, 0x0F]] {
        let mut machine = frozen();
        machine.write(DATA, &[0; 512]);
        machine.write(DATA, &[0x7F, 0x03]);
        machine.write(CODE, bytes); // fninit, fnsave, fnstenv, fxrstor
        machine.cpu.system.activity = Activity::Running;
        machine.cpu.gpr[7] = DATA;
        assert_eq!(machine.step(), None);
        assert!(!machine.bus.ferr, "{bytes:02x?}");
    }
}

/// An instruction that did not complete is followed by no single-step trap.
#[test]
fn neither_a_fault_nor_standing_still_is_a_step_to_trap() {
    for bytes in [&[0x9B][..], &[0x0F, 0x0B]] {
        let mut machine = frozen();
        machine.cpu.system.activity = Activity::Running;
        machine.write(CODE, bytes); // fwait, ud2
        machine.cpu.flags = Flags::from_bits(bit::TF | 2);
        machine.cpu.derive();
        machine.step();
        assert_eq!(machine.cpu.system.pending.debug, 0, "{bytes:02x?}");
    }
}
