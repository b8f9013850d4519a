//! `--trace`: one line for every step.

use super::report::read_linear;
use crate::machine::{HostIo, Machine, Stop};
use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions, FastFormatter};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Runs the machine step by step to `until` and writes to `file` what each step starts with: step, processor, time,
/// CS:RIP, instruction, and the registers that changed since the processor's last line. Of a step that retired no
/// instruction but delivered an event (interrupt, exception, INIT, SMI), the line says so.
///
/// # Errors
/// When the file cannot be written.
pub fn run(
    machine: &mut Machine,
    until: u64,
    host: &mut dyn HostIo,
    no_reboot: bool,
    file: &Path,
) -> Result<Stop> {
    let name = || format!("--trace {}", file.display());
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).with_context(name)?);
    let mut last = BTreeMap::new();
    // What is due at the first step comes first.
    let mut stop = machine.run(machine.step(), host, no_reboot);
    while stop == Stop::Step && machine.step() < until {
        let (step, processor) = (machine.step(), machine.next_processor());
        let retired = processor.map_or(0, |n| machine.vcpus()[n].system.retired);
        let text = match processor {
            Some(n) => line(machine, n, last.entry(machine.vcpus()[n].apic.id()).or_insert([0; 16])),
            None => format!("{step} idle {}", machine.now()),
        };
        stop = machine.run(step + 1, host, no_reboot);
        // The processor is a new one after a reset, and may be gone.
        let after = processor.and_then(|n| machine.vcpus().get(n));
        let event = after.is_some_and(|cpu| cpu.system.retired == retired);
        if machine.step() != step {
            writeln!(out, "{text}{}", if event { " (event)" } else { "" }).with_context(name)?;
        }
    }
    out.flush().with_context(name)?;
    Ok(stop)
}

/// The line of the next step, with the registers that are not as in `last`.
pub(super) fn line(machine: &Machine, n: usize, last: &mut [u64; 16]) -> String {
    use std::fmt::Write;
    let cpu = &machine.vcpus()[n];
    let mut bytes = [0; 15];
    let have =
        (1..=15).rev().find(|len| read_linear(machine, cpu, cpu.linear_rip(), &mut bytes[..*len]).is_some());
    let bits = cpu.code_size().bits();
    let mut text = String::from("(not mapped)");
    if let Some(have) = have {
        let instr = Decoder::with_ip(bits, &bytes[..have], cpu.rip, DecoderOptions::NONE).decode();
        text.clear();
        FastFormatter::new().format(&instr, &mut text);
    }
    let cs = cpu.system.seg[1].selector;
    let mut line =
        format!("{} cpu{} {} {cs:04x}:{:x} {text}", machine.step(), cpu.apic.id(), machine.now(), cpu.rip);
    for (r, name) in super::report::GPR.iter().enumerate() {
        if cpu.gpr[r] != last[r] {
            let _ = write!(line, " {name}={:x}", cpu.gpr[r]);
            last[r] = cpu.gpr[r];
        }
    }
    let _ = write!(line, " fl={:x}", cpu.flags.bits());
    line
}
