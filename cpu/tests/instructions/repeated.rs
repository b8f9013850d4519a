//! REP instructions over several steps: however these are dealt out, what happens and when is the same.

use crate::bare::{CODE, DATA, HANDLERS, Machine, Mode};
use amber_cpu::Exit;
use amber_cpu::flags::bit;
use amber_cpu::state::CodeSize;

const LONG: Mode = Mode { size: CodeSize::Bits64, user: false };
/// The last page of what the tables map is a device's.
const DEVICE: u64 = 0x1F_F000;
const COUNT: usize = 700;
const STOSB: u8 = 0xAA;
const MOVSB: u8 = 0xA4;
const LODSB: u8 = 0xAC;
const INSB: u8 = 0x6C;
const OUTSB: u8 = 0x6E;

/// REP with `opcode` and HLT, from memory across the end of a page to `target`.
fn prepared(opcode: u8, target: u64, interrupts_after: Option<usize>) -> Machine {
    let mut machine = Machine::new(LONG);
    machine.write(CODE, &[0xF3, opcode, 0xF4]);
    machine.write(HANDLERS, &[0x48, 0xCF]);
    let [rcx, rdx, rsi, rdi] = [1, 2, 6, 7];
    machine.cpu.gpr[rcx] = COUNT as u64;
    machine.cpu.gpr[rdx] = 0x80;
    machine.cpu.gpr[rsi] = DATA + 0xF80;
    machine.cpu.gpr[rdi] = target;
    machine.cpu.flags.set(bit::IF, interrupts_after.is_some());
    machine.cpu.apic.base &= !(1 << 11);
    machine.bus.interrupts_after = interrupts_after;
    machine
}

/// What came of a run: steps, time, registers, and what devices saw.
type Outcome = (u64, u64, [u64; 16], u64, u64, Vec<(u64, u64)>);

/// Runs until it halts, each time for `steps` and for `time` ns at most.
fn run(mut machine: Machine, steps: u64, time: u64) -> Outcome {
    let (mut now, mut taken) = (0, 0);
    for _ in 0..10_000 {
        let ran = machine.run_from(now, now.saturating_add(time), steps);
        (now, taken) = (ran.now, taken + ran.steps);
        if ran.exit == Exit::Halted {
            let Machine { cpu, bus, .. } = machine;
            let registers = std::array::from_fn(|n| cpu.gpr[n]);
            return (taken, now, registers, cpu.rip, cpu.system.retired, bus.writes);
        }
    }
    panic!("it does not halt");
}

#[test]
fn steps_of_a_repeated_instruction_may_be_dealt_out_in_any_way() {
    let targets = [DATA + 0x8F00, DEVICE, DEVICE - 0x100];
    for opcode in [STOSB, MOVSB, LODSB, INSB, OUTSB] {
        for (target, interrupts) in
            targets.iter().flat_map(|target| [None, Some(1), Some(300)].map(|n| (*target, n)))
        {
            let whole = run(prepared(opcode, target, interrupts), u64::MAX, u64::MAX);
            assert_eq!(whole.2[1], 0, "RCX of {opcode:x}");
            for (steps, time) in [(1, u64::MAX), (7, u64::MAX), (u64::MAX, 1), (u64::MAX, 950), (3, 2500)] {
                let dealt = run(prepared(opcode, target, interrupts), steps, time);
                assert_eq!(
                    dealt, whole,
                    "{opcode:x} to {target:x}, {steps} steps, {time} ns, {interrupts:?}"
                );
            }
        }
    }
}

#[test]
fn a_device_is_a_step_for_each_element_and_an_interrupt_comes_between_two() {
    let (steps, _, _, _, _, writes) = run(prepared(STOSB, DEVICE, None), u64::MAX, u64::MAX);
    assert_eq!((steps, writes.len()), (COUNT as u64 + 1, COUNT));
    assert!(writes.windows(2).all(|pair| pair[1].0 == pair[0].0 + 101 && pair[1].1 == pair[0].1 + 1));
    // The event and IRET are a step each.
    let (steps, _, _, _, _, writes) = run(prepared(STOSB, DEVICE, Some(300)), u64::MAX, u64::MAX);
    assert_eq!(steps, COUNT as u64 + 3);
    assert!(writes[300].0 > writes[299].0 + 101);
}
