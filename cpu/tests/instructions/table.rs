//! The tables in `tests/instructions/`: one case per line. Their format is in the README there.

use crate::bare::{ABSENT, CODE, DATA, Exception, Machine, Mode, READ_ONLY, STACK, SUPERVISOR};
use amber_cpu::flags::{Flags, bit};
use amber_cpu::state::CodeSize;
use std::path::{Path, PathBuf};

const NAMES: [&str; 16] =
    ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
const FLAGS: [(&str, u64); 9] = [
    ("CF", bit::CF),
    ("PF", bit::PF),
    ("AF", bit::AF),
    ("ZF", bit::ZF),
    ("SF", bit::SF),
    ("OF", bit::OF),
    ("DF", bit::DF),
    ("IF", bit::IF),
    ("RF", bit::RF),
];
const EXCEPTIONS: [(&str, u8); 11] = [
    ("#DE", 0),
    ("#DB", 1),
    ("#BP", 3),
    ("#OF", 4),
    ("#BR", 5),
    ("#UD", 6),
    ("#TS", 10),
    ("#NP", 11),
    ("#SS", 12),
    ("#GP", 13),
    ("#PF", 14),
];

/// A number: a sum of hexadecimal digits, perhaps negative, and names of `bare`.
fn number(text: &str) -> u64 {
    let digits =
        |digits: &str| u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no number"));
    let term = |term: &str| match term {
        "DATA" => DATA,
        "CODE" => CODE,
        "STACK" => STACK,
        "ABSENT" => ABSENT,
        "RO" => READ_ONLY,
        "KERNEL" => SUPERVISOR,
        _ => term.strip_prefix('-').map_or_else(|| digits(term), |rest| digits(rest).wrapping_neg()),
    };
    text.split('+').map(term).fold(0, u64::wrapping_add)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal bytes")
        })
        .collect()
}

fn register(name: &str) -> Option<usize> {
    let short = name.strip_prefix(['r', 'e']).unwrap_or(name);
    NAMES.iter().position(|known| *known == name || *known == short)
}

fn mode(text: &str) -> Mode {
    let (size, user) = match text {
        "16" => (CodeSize::Bits16, false),
        "32" => (CodeSize::Bits32, false),
        "32u" => (CodeSize::Bits32, true),
        "64" => (CodeSize::Bits64, false),
        "64u" => (CodeSize::Bits64, true),
        other => panic!("{other} is no mode"),
    };
    Mode { size, user }
}

/// What is compared after a case.
struct Expected {
    gpr: [u64; 16],
    flags: u64,
    /// Flags the SDM leaves undefined here.
    undefined: u64,
    rip: u64,
    exception: Option<Exception>,
    cr2: Option<u64>,
    memory: Vec<(u64, Vec<u8>)>,
}

/// Splits `name=value`.
fn assignment(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or_else(|| panic!("{word} is no assignment"))
}

fn flag(name: &str) -> Option<u64> {
    FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

/// Sets the machine up as the left side of a case says.
fn set(machine: &mut Machine, words: &str) {
    let mut flags = machine.cpu.flags.bits();
    for word in words.split_whitespace() {
        let (name, value) = assignment(word);
        if let Some(bit) = flag(name) {
            flags = if value == "1" { flags | bit } else { flags & !bit };
        } else if let Some(n) = register(name) {
            machine.cpu.gpr[n] = number(value);
        } else {
            let address = number(name.trim_matches(['[', ']']));
            machine.write(address, &hex(value));
        }
    }
    machine.cpu.flags = Flags::from_bits(flags);
}

fn exception(word: &str) -> (Exception, Option<u64>) {
    let (name, address) = word.split_once('@').map_or((word, None), |(name, at)| (name, Some(number(at))));
    let (name, error) = match name.trim_end_matches(')').split_once('(') {
        Some((name, code)) => (name, Some(number(code) as u32)),
        None => (name, None),
    };
    let found = EXCEPTIONS.iter().find(|(known, _)| *known == name);
    let (_, vector) = found.unwrap_or_else(|| panic!("{name} is no exception"));
    (Exception { vector: *vector, error }, address)
}

/// What the right side of a case says, on top of what was there before.
fn expected(machine: &Machine, len: usize, words: &str) -> Expected {
    let mut expected = Expected {
        gpr: [0; 16],
        flags: machine.cpu.flags.bits(),
        undefined: 0,
        rip: machine.cpu.rip + len as u64,
        exception: None,
        cr2: None,
        memory: Vec::new(),
    };
    expected.gpr.copy_from_slice(&machine.cpu.gpr[..16]);
    for word in words.split_whitespace() {
        if word.starts_with('#') {
            let (raised, address) = exception(word);
            expected.exception = Some(raised);
            expected.cr2 = address;
            continue;
        }
        let (name, value) = assignment(word);
        match (flag(name), register(name)) {
            (Some(bit), _) if value == "?" => expected.undefined |= bit,
            (Some(bit), _) if value == "1" => expected.flags |= bit,
            (Some(bit), _) => expected.flags &= !bit,
            (_, Some(n)) => expected.gpr[n] = number(value),
            _ if name == "rip" => expected.rip = number(value),
            _ => expected.memory.push((number(name.trim_matches(['[', ']'])), hex(value))),
        }
    }
    expected
}

fn differences(machine: &Machine, expected: &Expected, raised: Option<Exception>) -> Vec<String> {
    let mut found = Vec::new();
    if raised != expected.exception {
        found.push(format!("exception {raised:?} for {:?}", expected.exception));
    }
    if expected.cr2.is_some_and(|cr2| cr2 != machine.cpu.system.cr2) {
        found.push(format!("CR2 {:x}", machine.cpu.system.cr2));
    }
    if raised.is_none() {
        if machine.cpu.rip != expected.rip {
            found.push(format!("RIP {:x} for {:x}", machine.cpu.rip, expected.rip));
        }
        let wrong = (machine.cpu.flags.bits() ^ expected.flags) & !expected.undefined;
        if wrong != 0 {
            found.push(format!("flags {:x} for {:x}", machine.cpu.flags.bits(), expected.flags));
        }
    }
    for (n, name) in NAMES.iter().enumerate() {
        // Delivery moves RSP.
        if machine.cpu.gpr[n] != expected.gpr[n] && !(raised.is_some() && n == 4) {
            found.push(format!("{name} {:x} for {:x}", machine.cpu.gpr[n], expected.gpr[n]));
        }
    }
    for (address, bytes) in &expected.memory {
        let ours = machine.read(*address, bytes.len());
        if ours != *bytes {
            found.push(format!("[{address:x}] {ours:02x?} for {bytes:02x?}"));
        }
    }
    found
}

/// Runs a line; what is wrong with it.
fn run(line: &str) -> Vec<String> {
    let (head, body) = line.split_once(':').expect("MODE: BYTES ; INPUTS => OUTPUTS");
    let (bytes, sides) = body.split_once(';').unwrap_or((body, "=>"));
    let (inputs, outputs) = sides.split_once("=>").expect("INPUTS => OUTPUTS");
    let bytes = hex(bytes);
    let mut machine = Machine::new(mode(head.trim()));
    machine.write(CODE, &bytes);
    set(&mut machine, inputs);
    let expected = expected(&machine, bytes.len(), outputs);
    let raised = machine.step();
    differences(&machine, &expected, raised)
}

fn tables() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/instructions");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the tables")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ins"))
        .collect();
    files.sort();
    files
}

#[test]
fn tables_hold() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for path in tables() {
        let text = std::fs::read_to_string(&path).expect("a table");
        for (n, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            cases += 1;
            let found = run(line);
            if !found.is_empty() {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                wrong.push(format!("{file}:{}: {line}\n    {}", n + 1, found.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
