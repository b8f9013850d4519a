//! gdb's `monitor` commands.

use crate::cli::counters;
use crate::machine::Machine;
use amber_mmu::ViewId;
use std::fmt::Write;

const HELP: &str = "\
help            this list
step            the step the machine stands at
time            virtual time, ns
cpus            what each processor does
stats           counters of the run
hash            hash of the whole state
phys ADDR LEN   guest-physical memory; numbers as in C
reset           reset the machine (then: maintenance flush register-cache)
";

/// Most bytes of memory `phys` shows at once.
const PHYS_MAX: u64 = 4096;

/// Carries out a command; the answer ends in a newline.
pub fn answer(machine: &mut Machine, command: &str) -> String {
    let words: Vec<_> = command.split_ascii_whitespace().collect();
    match words[..] {
        [] | ["help"] => HELP.into(),
        ["step"] => format!("step {}\n", machine.step()),
        ["time"] => format!("{} ns\n", machine.now()),
        ["cpus"] => processors(machine),
        ["stats"] => counters::stats(machine, 0.0),
        ["hash"] => format!("state-hash {}\n", machine.state_hash()),
        ["phys", address, len] => match (number(address), number(len)) {
            (Some(address), Some(len)) => physical(machine, address, len.min(PHYS_MAX)),
            _ => "phys: ADDR and LEN are numbers such as 4096 or 0x1000\n".into(),
        },
        ["reset"] => {
            machine.reset();
            "reset\n".into()
        }
        [unknown, ..] => format!("{unknown}: no such command, or other arguments; try `monitor help`\n"),
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn processors(machine: &Machine) -> String {
    machine.vcpus().iter().enumerate().fold(String::new(), |mut text, (n, cpu)| {
        let system = &cpu.system;
        let mark = if n == machine.current() { '*' } else { ' ' };
        let _ = writeln!(
            text,
            "{mark} cpu{n} {:?} {}-bit cpl {} rip {:#x} retired {}",
            system.activity,
            cpu.code_size().bits(),
            system.cpl,
            cpu.rip,
            system.retired
        );
        text
    })
}

fn physical(machine: &Machine, address: u64, len: u64) -> String {
    let mut bytes = vec![0; len as usize];
    machine.mmu().read_physical(ViewId(0), address, &mut bytes);
    let rows = bytes.chunks(16).enumerate();
    rows.fold(String::new(), |mut text, (row, bytes)| {
        let _ = write!(text, "{:012x} ", address.wrapping_add(16 * row as u64));
        for byte in bytes {
            let _ = write!(text, " {byte:02x}");
        }
        text + "\n"
    })
}
