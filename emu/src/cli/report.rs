//! What a person is told when a guest dies or hangs, and the counters of `--stats`.

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

/// Instructions named that translated code had interpreted most.
const MOST_INTERPRETED: usize = 12;

/// The counters of a run as a table.
pub fn stats(machine: &Machine, seconds: f64) -> String {
    let mut text = String::new();
    for (label, value) in counters(machine, seconds) {
        let _ = writeln!(text, "{label:<28} {value:>16}");
    }
    for (instruction, count) in machine.code().interpreted().into_iter().take(MOST_INTERPRETED) {
        let _ = writeln!(text, "  {instruction:<26} {count:>16}");
    }
    text
}

/// The counters of a run as a JSON object. Keys are the labels of the table with underscores; what is not known is null.
pub fn stats_json(machine: &Machine, seconds: f64) -> String {
    format!("{:#}\n", counted(machine, seconds))
}

/// The same object, to be sent.
pub fn counted(machine: &Machine, seconds: f64) -> serde_json::Value {
    let key = |label: &str| {
        let words = label.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("_")
    };
    let number = |value: &str| serde_json::from_str(value).unwrap_or(serde_json::Value::Null);
    let rows = counters(machine, seconds);
    let object: serde_json::Map<_, _> =
        rows.iter().map(|(label, value)| (key(label), number(value))).collect();
    object.into()
}

fn counters(machine: &Machine, seconds: f64) -> Vec<(&'static str, String)> {
    let counters = machine.mmu().counters;
    let code = machine.code();
    let retired: u64 = machine.vcpus().iter().map(|vcpu| vcpu.system.retired).sum();
    let blocks: u64 = machine.vcpus().iter().map(|vcpu| vcpu.counters.blocks).sum();
    let faults: u64 = machine.vcpus().iter().map(|vcpu| vcpu.counters.faults).sum();
    let interrupts: u64 = machine.vcpus().iter().map(|vcpu| vcpu.counters.interrupts).sum();
    let speed = if seconds > 0.0 { format!("{:.1}", retired as f64 / seconds / 1e6) } else { "-".into() };
    let mut rows = vec![
        ("steps", machine.step().to_string()),
        ("virtual time, ns", machine.now().to_string()),
        ("host time, s", if seconds > 0.0 { format!("{seconds:.3}") } else { "-".into() }),
        ("instructions retired", retired.to_string()),
        ("million instructions/s", speed),
        ("blocks entered", blocks.to_string()),
        ("block look-ups missed", code.missed.to_string()),
        ("blocks decoded", code.built.to_string()),
        ("instructions decoded", code.decoded.to_string()),
        ("exceptions", faults.to_string()),
        ("interrupts", interrupts.to_string()),
        ("page walks", counters.walks.to_string()),
        ("TLB contexts made", counters.contexts.to_string()),
        ("page-table stores", counters.table_stores.to_string()),
        ("translations dropped", counters.dropped.to_string()),
        ("stores to decoded code", counters.code_stores.to_string()),
        ("stores beside decoded code", counters.near_code_stores.to_string()),
    ];
    if let Some((jit, (code, metadata))) = machine.code().jit() {
        rows.extend([
            (
                "translated, % of steps",
                format!("{:.2}", jit.run as f64 * 100.0 / machine.step().max(1) as f64),
            ),
            ("translated code entered", jit.entered.to_string()),
            ("events within it", jit.crossed.to_string()),
            ("interpreted from within", jit.interpreted.to_string()),
            ("blocks translated", jit.translated.to_string()),
            ("instructions translated", jit.instructions.to_string()),
            ("host code made, bytes", jit.bytes.to_string()),
            ("translating, ms", (jit.nanoseconds / 1_000_000).to_string()),
            ("translations flushed", jit.flushes.to_string()),
            ("loops translated", jit.loops.to_string()),
            ("looks at where it is", jit.samples.to_string()),
            (
                "in a loop, % of looks",
                format!("{:.1}", 100.0 * jit.samples_in_loops as f64 / jit.samples.max(1) as f64),
            ),
            ("code memory, bytes", code.to_string()),
            ("its metadata, bytes", metadata.to_string()),
        ]);
    }
    rows
}
