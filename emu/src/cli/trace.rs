//! `--trace`: one line for every step.

use super::report::read_linear;
use crate::machine::{HostIo, Machine, Stop};
use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions, FastFormatter};
use std::io::Write;
use std::path::Path;

/// Runs the machine step by step to `until` and writes to `file` what each step starts with: step, processor, time,
/// CS:RIP, instruction, and the registers that changed since the processor's last line.
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
    let mut last = vec![[0u64; 16]; machine.vcpus().len()];
    loop {
        let step = machine.step();
        line(machine, &mut last, &mut out).with_context(name)?;
        match machine.run(step.saturating_add(1).min(until), host, no_reboot) {
            Stop::Step if machine.step() < until => {}
            stop => {
                out.flush().with_context(name)?;
                return Ok(stop);
            }
        }
    }
}

fn line(machine: &Machine, last: &mut [[u64; 16]], out: &mut impl Write) -> std::io::Result<()> {
    let n = machine.current();
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
    write!(out, "{} cpu{n} {} {cs:04x}:{:x} {text}", machine.step(), machine.now(), cpu.rip)?;
    for (r, name) in super::report::GPR.iter().enumerate() {
        if cpu.gpr[r] != last[n][r] {
            write!(out, " {name}={:x}", cpu.gpr[r])?;
            last[n][r] = cpu.gpr[r];
        }
    }
    writeln!(out, " fl={:x}", cpu.flags.bits())
}
