//! Model-specific registers, and what a CPU model does not have.

use crate::bare::{CODE, DATA, Machine, Mode, STACK};
use amber_cpu::cpuid::MODELS;
use amber_cpu::state::{CodeSize, cr};
use amber_cpu::{CpuModel, Vcpu};

const LONG: Mode = Mode { size: CodeSize::Bits64, user: false };
const PT: u64 = 0x4000;

/// Executes WRMSR; the exception it raises.
fn wrmsr(machine: &mut Machine, index: u32, value: u64) -> Option<u8> {
    machine.write(CODE, &[0x0F, 0x30]);
    machine.cpu.rip = CODE;
    machine.cpu.gpr[4] = STACK;
    (machine.cpu.gpr[0], machine.cpu.gpr[1], machine.cpu.gpr[2]) =
        (value & 0xFFFF_FFFF, u64::from(index), value >> 32);
    machine.step().map(|exception| exception.vector)
}

fn rdmsr(machine: &mut Machine, index: u32) -> Option<u64> {
    machine.write(CODE, &[0x0F, 0x32]);
    machine.cpu.rip = CODE;
    machine.cpu.gpr[4] = STACK;
    machine.cpu.gpr[1] = u64::from(index);
    let raised = machine.step();
    raised.is_none().then_some(machine.cpu.gpr[2] << 32 | machine.cpu.gpr[0])
}

fn in_x2apic_mode(model: CpuModel) -> Machine {
    let mut machine = Machine::new(LONG);
    machine.cpu = Vcpu::new(model, 0, 1, 0);
    machine.reset();
    assert_eq!(wrmsr(&mut machine, APIC_BASE, 0xFEE0_0D00), None);
    machine
}

const TSC: u32 = 0x10;
const APIC_BASE: u32 = 0x1B;
const DEADLINE: u32 = 0x6E0;
const LVT_TIMER: u32 = 0x832;

#[test]
fn a_tsc_deadline_follows_the_tsc() {
    let mut machine = in_x2apic_mode(MODELS[0]);
    assert_eq!(wrmsr(&mut machine, LVT_TIMER, 2 << 17 | 0x40), None);
    // Each instruction starts at time 0 here. A deadline in the past is due at once.
    assert_eq!(wrmsr(&mut machine, TSC, 1_000_000), None);
    assert_eq!(wrmsr(&mut machine, DEADLINE, 5), None);
    assert_eq!(machine.cpu.apic.timer_expires(), Some(0));
    machine.cpu.apic.run_timer(0);
    assert_eq!(wrmsr(&mut machine, DEADLINE, 1_000_300), None);
    assert_eq!(machine.cpu.apic.timer_expires(), Some(300));
    // It is compared with the TSC, wherever that is set.
    assert_eq!(wrmsr(&mut machine, TSC, 1_000_100), None);
    assert_eq!(machine.cpu.apic.timer_expires(), Some(200));
    assert_eq!(rdmsr(&mut machine, DEADLINE), Some(1_000_300));
    // The timer runs in another mode.
    assert_eq!(wrmsr(&mut machine, LVT_TIMER, 0x40), None);
    assert_eq!(wrmsr(&mut machine, 0x838, 1000), None);
    assert!(machine.cpu.apic.timer_expires().is_some());
    assert_eq!(rdmsr(&mut machine, DEADLINE), Some(0));
}

#[test]
fn features_that_are_off_are_not_there() {
    let mut model = MODELS[0];
    for name in [
        "sse3",
        "ssse3",
        "sse4_1",
        "sse4_2",
        "cx16",
        "movbe",
        "popcnt",
        "aes",
        "pclmulqdq",
        "rdrand",
        "rdseed",
    ] {
        assert!(model.set_feature(name, false), "{name}");
    }
    let instructions: [&[u8]; 13] = [
        &[0xF2, 0x0F, 0x12, 0xC1],             // movddup
        &[0x66, 0x0F, 0x38, 0x00, 0xC1],       // pshufb
        &[0x66, 0x0F, 0x38, 0x10, 0xC1],       // pblendvb
        &[0x66, 0x0F, 0x38, 0x37, 0xC1],       // pcmpgtq
        &[0xF2, 0x0F, 0x38, 0xF1, 0xC1],       // crc32
        &[0x48, 0x0F, 0xC7, 0x0F],             // cmpxchg16b
        &[0x0F, 0x38, 0xF0, 0x07],             // movbe
        &[0xF3, 0x0F, 0xB8, 0xC1],             // popcnt
        &[0x66, 0x0F, 0x38, 0xDC, 0xC1],       // aesenc
        &[0x66, 0x0F, 0x3A, 0x44, 0xC1, 0x00], // pclmulqdq
        &[0x0F, 0xC7, 0xF0],                   // rdrand
        &[0x0F, 0xC7, 0xF8],                   // rdseed
        &[0x66, 0x0F, 0x38, 0x82, 0x07],       // invpcid
    ];
    for (model, absent) in [(model, true), (MODELS[0], false)] {
        for code in instructions {
            let mut machine = Machine::new(LONG);
            machine.cpu = Vcpu::new(model, 0, 1, 0);
            machine.reset();
            machine.write(CODE, code);
            machine.cpu.gpr[7] = DATA;
            // No model offers INVPCID.
            let expected = (absent || code.get(3) == Some(&0x82)).then_some(6);
            assert_eq!(machine.step().map(|exception| exception.vector), expected, "{code:02x?}");
        }
    }
}

#[test]
fn control_bits_of_features_that_are_off_are_reserved() {
    for (name, bit) in [
        ("pcid", cr::CR4_PCIDE),
        ("smep", cr::CR4_SMEP),
        ("smap", cr::CR4_SMAP),
        ("umip", cr::CR4_UMIP),
        ("fsgsbase", cr::CR4_FSGSBASE),
        ("xsave", cr::CR4_OSXSAVE),
    ] {
        for on in [false, true] {
            let mut model = MODELS[0];
            assert!(model.set_feature(name, on));
            // mov cr4, rax
            let mut machine = Machine::new(LONG);
            machine.cpu = Vcpu::new(model, 0, 1, 0);
            machine.reset();
            machine.write(CODE, &[0x0F, 0x22, 0xE0]);
            // SMEP would stop the code, which is the user's.
            machine.write(PT + (CODE >> 12) * 8, &(CODE | 3).to_le_bytes());
            machine.cpu.gpr[0] = machine.cpu.system.cr4 | bit;
            assert_eq!(machine.step().map(|exception| exception.vector), (!on).then_some(13), "{name}");
        }
    }
    let mut model = MODELS[0];
    model.set_feature("tsc_deadline_timer", false);
    let mut machine = in_x2apic_mode(model);
    assert_eq!(wrmsr(&mut machine, LVT_TIMER, 2 << 17 | 0x40), Some(13));
    assert_eq!(wrmsr(&mut machine, DEADLINE, 5), Some(13));
    assert_eq!(rdmsr(&mut machine, DEADLINE), None);
    model.set_feature("x2apic", false);
    let mut machine = Machine::new(LONG);
    machine.cpu = Vcpu::new(model, 0, 1, 0);
    machine.reset();
    assert_eq!(wrmsr(&mut machine, APIC_BASE, 0xFEE0_0D00), Some(13));
}

#[test]
fn reserved_bits_of_msrs_fault() {
    let mut machine = in_x2apic_mode(MODELS[0]);
    let good: [(u32, u64); 16] = [
        (0x200, 0xFF_FFFF_F006),
        (0x201, 0xFF_FFFF_F800),
        (0x250, 0x0605_0401_0006_0504),
        (0x2FF, 0xC06),
        (0x1D9, 3),
        (0x1A0, 0x4_0001),
        (0xC000_0084, 0xFFFF_FFFF),
        (0xC000_0103, 0xFFFF_FFFF),
        (0x808, 0xFF),
        (0x80F, 0x1FF),
        (0x80B, 0),
        (LVT_TIMER, 0x7_10FF),
        (0x835, 0x1_F7FF),
        (0x837, 0x1_10FF),
        (0x83E, 0xB),
        (0x830, 0x1_0000_00C5),
    ];
    for (index, value) in good {
        assert_eq!(wrmsr(&mut machine, index, value), None, "{index:x} {value:x}");
    }
    let bad: [(u32, u64); 24] = [
        (0x200, 2),
        (0x200, 7),
        (0x200, 1 << 8),
        (0x200, 1 << 40),
        (0x201, 1),
        (0x201, 1 << 40),
        (0x250, 3 << 56),
        (0x26F, 7),
        (0x2FF, 2),
        (0x2FF, 1 << 12),
        (0x1D9, 1 << 2),
        (0x1A0, 1 << 1),
        (0xC000_0084, 1 << 32),
        (0xC000_0103, 1 << 32),
        (0x808, 0x100),
        (0x80F, 1 << 16),
        (0x80B, 1),
        (0x828, 1),
        (LVT_TIMER, 1 << 14),
        (0x835, 1 << 17),
        (0x837, 1 << 8),
        (0x83E, 4),
        (0x83F, 0x100),
        (0x838, 1 << 32),
    ];
    for (index, value) in bad {
        assert_eq!(wrmsr(&mut machine, index, value), Some(13), "{index:x} {value:x}");
    }
}

#[test]
fn the_apic_does_not_move_over_memory() {
    let mut machine = Machine::new(LONG);
    assert_eq!(wrmsr(&mut machine, APIC_BASE, 0x10_0900), Some(13));
    assert_eq!(wrmsr(&mut machine, APIC_BASE, 0xFEC0_0900), None);
    assert_eq!(rdmsr(&mut machine, APIC_BASE), Some(0xFEC0_0900));
}
