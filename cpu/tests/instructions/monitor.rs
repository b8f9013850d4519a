//! MONITOR and MWAIT (SDM Vol. 2).

use crate::bare::{CODE, DATA, HANDLERS, Machine, Mode};
use amber_cpu::cpuid::MODELS;
use amber_cpu::state::{Activity, CodeSize};
use amber_cpu::{CodeCache, Exit, Vcpu};

const LONG: Mode = Mode { size: CodeSize::Bits64, user: false };
const MONITOR: [u8; 3] = [0x0F, 0x01, 0xC8];
const MWAIT: [u8; 3] = [0x0F, 0x01, 0xC9];
const STORE: [u8; 2] = [0x89, 0x07];

/// Runs an instruction with RAX = RDI = `address`.
fn run(machine: &mut Machine, bytes: &[u8], address: u64) -> Option<u8> {
    machine.reset();
    machine.write(CODE, bytes);
    (machine.cpu.gpr[0], machine.cpu.gpr[7]) = (address, address);
    machine.step().map(|exception| exception.vector)
}

/// In MWAIT with ECX = `extensions`, the line at DATA + 40H monitored.
fn waiting(extensions: u64) -> Machine {
    let mut machine = Machine::new(LONG);
    // The page is in the TLB, to be written, before it is monitored.
    assert_eq!(run(&mut machine, &STORE, DATA + 0x48), None);
    assert_eq!(run(&mut machine, &MONITOR, DATA + 0x48), None);
    machine.reset();
    machine.write(CODE, &MWAIT);
    machine.cpu.gpr[1] = extensions;
    assert_eq!(machine.step(), None);
    let waiting = Activity::Waiting { despite_if: extensions != 0 };
    assert_eq!((machine.cpu.rip, machine.cpu.system.activity), (CODE + 3, waiting));
    assert_eq!(machine.cpu.system.monitor, Some(DATA + 0x40));
    assert_eq!(machine.run(5), Exit::Halted);
    machine
}

/// A store of four bytes by another processor.
fn store_elsewhere(machine: &mut Machine, other: &mut Vcpu, code: &mut CodeCache, address: u64) {
    machine.write(CODE, &STORE);
    other.system.activity = Activity::Running;
    (other.rip, other.gpr[7]) = (CODE, address);
    other.derive();
    other.run(code, &mut machine.mmu, &mut machine.bus, 0, u64::MAX, 1);
    assert_eq!(other.rip, CODE + 2);
}

#[test]
fn a_store_by_another_processor_to_the_line_is_seen() {
    let mut machine = waiting(0);
    let (mut other, mut code) = (Vcpu::new(MODELS[0], 1, 2, 0), CodeCache::new());
    other.restore(&machine.cpu.save("cpu0")).expect("a section of this build");
    for near in [DATA, DATA + 0x3C, DATA + 0x80, DATA + 0x1040] {
        store_elsewhere(&mut machine, &mut other, &mut code, near);
        assert!(!machine.mmu.any_triggered(), "{near:x}");
    }
    store_elsewhere(&mut machine, &mut other, &mut code, DATA + 0x3D);
    assert_eq!(machine.mmu.take_triggered(), [0]);
    // Seen once; then the page is written as fast as before.
    store_elsewhere(&mut machine, &mut other, &mut code, DATA + 0x48);
    assert!(!machine.mmu.any_triggered());
    // What a machine does with it.
    machine.cpu.system.monitor = None;
    assert!(machine.cpu.runnable(false));
    machine.write(CODE + 3, &[0x90]);
    assert_eq!(machine.step(), None);
    assert_eq!(machine.cpu.rip, CODE + 4);
}

#[test]
fn a_store_by_a_device_is_seen() {
    let mut machine = waiting(0);
    machine.write(DATA + 0x7F, &[1]);
    assert_eq!(machine.mmu.take_triggered(), [0]);
}

#[test]
fn a_store_before_mwait_ends_the_wait_at_once() {
    let mut machine = Machine::new(LONG);
    run(&mut machine, &MONITOR, DATA);
    run(&mut machine, &STORE, DATA);
    run(&mut machine, &MWAIT, DATA);
    assert_eq!((machine.cpu.system.activity, machine.cpu.system.monitor), (Activity::Running, None));
    run(&mut machine, &MWAIT, DATA);
    assert_eq!(machine.cpu.system.activity, Activity::Running, "nothing is monitored");
    // The store is forgotten with the line.
    run(&mut machine, &MONITOR, DATA);
    run(&mut machine, &STORE, DATA);
    run(&mut machine, &MONITOR, DATA + 0x1000);
    assert!(!machine.mmu.any_triggered());
    run(&mut machine, &MWAIT, DATA);
    assert!(matches!(machine.cpu.system.activity, Activity::Waiting { .. }));
}

#[test]
fn interrupts_end_the_wait_by_if_or_by_ecx() {
    for (extensions, flag, wakes) in [(0, false, false), (0, true, true), (1, false, true), (1, true, true)] {
        let mut machine = waiting(extensions);
        machine.cpu.flags.set(amber_cpu::flags::bit::IF, flag);
        machine.bus.intr = true;
        machine.cpu.apic.base &= !(1 << 11); // without a local APIC INTR goes straight to the processor
        machine.write(CODE + 3, &[0x90]);
        machine.run(1);
        let (rip, activity) = (machine.cpu.rip, machine.cpu.system.activity);
        let awake = activity == Activity::Running;
        assert_eq!(awake, wakes, "ECX {extensions}, IF {flag}");
        let expected = if !wakes {
            CODE + 3
        } else if flag {
            HANDLERS
        } else {
            CODE + 4
        };
        assert_eq!(rip, expected, "ECX {extensions}, IF {flag}");
        assert_eq!(machine.mmu.monitored(0).is_some(), !wakes);
    }
    let mut machine = waiting(0);
    machine.cpu.system.pending.nmi = true;
    machine.run(1);
    assert_eq!(machine.cpu.rip, HANDLERS + 2);
}

#[test]
fn misc_enable_takes_the_instructions_away() {
    let mut machine = Machine::new(LONG);
    let cpuid = |machine: &mut Machine, leaf: u64| {
        run(machine, &[0x0F, 0xA2], leaf);
        [machine.cpu.gpr[2], machine.cpu.gpr[1]]
    };
    assert_eq!(cpuid(&mut machine, 1)[1] >> 3 & 1, 1);
    assert_eq!(cpuid(&mut machine, 5), [0, 3]);
    machine.cpu.system.msrs.misc_enable &= !(1 << 18);
    assert_eq!(cpuid(&mut machine, 1)[1] >> 3 & 1, 0);
    assert_eq!(cpuid(&mut machine, 5), [0, 0]);
    assert_eq!(run(&mut machine, &MONITOR, DATA), Some(6));
    assert_eq!(run(&mut machine, &MWAIT, DATA), Some(6));
}
