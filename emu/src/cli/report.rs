//! What a person is told when a guest dies or hangs.

use crate::machine::{Machine, Stop};
use crate::symbols::Symbols;
use amber_cpu::Vcpu;
use amber_cpu::state::CodeSize;
use std::fmt::Write;

pub(super) const GPR: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];
pub(super) const SEGMENTS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];

/// A report on a guest that stopped on its own.
pub fn death(machine: &Machine, stop: Stop, symbols: Option<&Symbols>) -> String {
    let (reason, vcpu) = match stop {
        Stop::TripleFault(n) => ("guest died: triple fault", n),
        Stop::Step => ("guest stopped: it still runs at the limit", machine.current()),
        _ => ("guest hung: every processor is halted and nothing can wake it", machine.current()),
    };
    let mut text = format!("{reason}, cpu{vcpu}, step {}, {} ns\n", machine.step(), machine.now());
    processor(&mut text, machine, &machine.vcpus()[vcpu], symbols);
    text
}

/// How a run ended, in a sentence.
pub fn sentence(stop: Stop, machine: &Machine) -> String {
    let step = machine.step();
    match stop {
        Stop::PowerOff => "The guest powered off.".to_owned(),
        Stop::Reset => "The guest reset, and the run allows none.".to_owned(),
        Stop::DebugExit(value) => format!("The guest ended the run with value {value}."),
        Stop::TripleFault(cpu) => format!("The guest died at step {step}: triple fault on cpu{cpu}."),
        Stop::Hung => {
            format!("The guest hangs since step {step}: every processor waits, and nothing can wake one.")
        }
        Stop::Damaged => {
            format!("The machine cannot go on: {}.", machine.damage().unwrap_or("its memory is damaged"))
        }
        Stop::Step | Stop::User | Stop::Request(_) | Stop::Breakpoint(_) | Stop::Watchpoint(..) => {
            format!("The run ended at step {step}.")
        }
    }
}

/// Every processor of a machine.
pub fn processors(machine: &Machine) -> String {
    let mut text =
        format!("step {}, {} ns, slice of cpu{}\n", machine.step(), machine.now(), machine.current());
    for (n, cpu) in machine.vcpus().iter().enumerate() {
        let system = &cpu.system;
        let _ = writeln!(text, "\ncpu{n}: {:?}, retired {}", system.activity, system.retired);
        processor(&mut text, machine, cpu, None);
    }
    text
}

fn processor(text: &mut String, machine: &Machine, cpu: &Vcpu, symbols: Option<&Symbols>) {
    registers(text, cpu);
    code(text, machine, cpu, symbols);
    stack(text, machine, cpu, symbols);
}

fn registers(text: &mut String, cpu: &Vcpu) {
    for row in 0..4 {
        for (name, value) in GPR.iter().zip(&cpu.gpr).skip(row * 4).take(4) {
            let _ = write!(text, "  {name:>3} {value:016x}");
        }
        text.push('\n');
    }
    let system = &cpu.system;
    let _ = writeln!(text, "  rip {:016x}  rflags {:08x}  cpl {}", cpu.rip, cpu.flags.bits(), system.cpl);
    let _ = writeln!(
        text,
        "  cr0 {:08x}  cr2 {:016x}  cr3 {:010x}  cr4 {:08x}  efer {:04x}",
        system.cr0, system.cr2, system.cr3, system.cr4, system.efer
    );
    for (name, segment) in SEGMENTS.iter().zip(&system.seg) {
        let _ = writeln!(
            text,
            "  {name} {:04x} base {:016x} limit {:08x} access {:05x}",
            segment.selector, segment.base, segment.limit, segment.access
        );
    }
    let _ = writeln!(
        text,
        "  gdtr {:016x}+{:04x}  idtr {:016x}+{:04x}  tr {:04x}",
        system.gdtr.base, system.gdtr.limit, system.idtr.base, system.idtr.limit, system.tr.selector
    );
}

fn name(symbols: Option<&Symbols>, address: u64) -> String {
    match symbols.and_then(|symbols| symbols.locate(address)) {
        Some(found) => format!(" <{}+{:#x}>", found.name, found.offset),
        None => String::new(),
    }
}

/// Reads guest memory by linear address; `None` where it is not mapped.
pub fn read_linear(machine: &Machine, cpu: &Vcpu, linear: u64, into: &mut [u8]) -> Option<()> {
    for (n, byte) in into.iter_mut().enumerate() {
        let gpa = machine.mmu().probe(cpu.address_space(), cpu.view(), linear.wrapping_add(n as u64))?;
        machine.mmu().read_physical(cpu.view(), gpa, std::slice::from_mut(byte));
    }
    Some(())
}

fn code(text: &mut String, machine: &Machine, cpu: &Vcpu, symbols: Option<&Symbols>) {
    use iced_x86::{Decoder, DecoderOptions, FastFormatter};
    let linear = cpu.linear_rip();
    let mut bytes = [0; 48];
    let have = (1..=48).rev().find(|len| read_linear(machine, cpu, linear, &mut bytes[..*len]).is_some());
    let Some(have) = have else {
        let _ = writeln!(text, "code at {linear:016x}{}: not mapped", name(symbols, cpu.rip));
        return;
    };
    let bits = cpu.code_size().bits();
    let _ = writeln!(text, "code at {linear:016x}{}:", name(symbols, cpu.rip));
    let mut decoder = Decoder::with_ip(bits, &bytes[..have], cpu.rip, DecoderOptions::NONE);
    let mut formatter = FastFormatter::new();
    for _ in 0..6 {
        if !decoder.can_decode() {
            break;
        }
        let instr = decoder.decode();
        let mut line = String::new();
        formatter.format(&instr, &mut line);
        let _ = writeln!(text, "  {:016x}  {line}", instr.ip());
    }
}

fn stack(text: &mut String, machine: &Machine, cpu: &Vcpu, symbols: Option<&Symbols>) {
    let base = if cpu.code_size() == CodeSize::Bits64 { 0 } else { cpu.system.seg[2].base };
    let _ = writeln!(text, "stack:");
    for n in 0..8u64 {
        let at = base.wrapping_add(cpu.gpr[4]).wrapping_add(8 * n);
        let mut bytes = [0; 8];
        if read_linear(machine, cpu, at, &mut bytes).is_none() {
            let _ = writeln!(text, "  {at:016x}  not mapped");
            return;
        }
        let value = u64::from_le_bytes(bytes);
        let _ = writeln!(text, "  {at:016x}  {value:016x}{}", name(symbols, value));
    }
}
