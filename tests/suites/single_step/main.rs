//! Runs a single-step suite in MOO format, real mode of the 80286, on a bare processor. See `../README.md`.

mod bare;
mod moo;
mod undefined;

use bare::{Machine, Outcome};
use moo::{CS, Case, FLAGS, REGISTERS, SP, SS};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How two outcomes differ, in words; empty if they agree but for the flags in `ignored`.
fn differences(case: &Case, ours: &Outcome, ignored: u16) -> Vec<String> {
    let mut found = Vec::new();
    if !ours.halted {
        found.push("no HLT".to_owned());
    }
    for (n, name) in REGISTERS.iter().enumerate() {
        let initial = case.initial.registers[n].unwrap_or(0) & if n == FLAGS { 0xFFF } else { 0xFFFF };
        let theirs = case.last.registers[n].unwrap_or(initial);
        let mask = if n == FLAGS { !ignored } else { !0 };
        if (theirs ^ ours.registers[n]) & mask != 0 {
            found.push(format!("{name} {:04x} for {theirs:04x}", ours.registers[n]));
        }
    }
    let mut expected: BTreeMap<u32, u8> = case.initial.memory.iter().copied().collect();
    expected.extend(case.last.memory.iter().copied());
    for (address, byte) in &ours.memory {
        let mask = match pushed_flags(case) {
            Some(at) if at == *address => !ignored as u8,
            Some(at) if at + 1 == *address => (!ignored >> 8) as u8,
            _ => !0,
        };
        let theirs = expected[address];
        if (theirs ^ byte) & mask != 0 {
            found.push(format!("[{address:06x}] {byte:02x} for {theirs:02x}"));
        }
    }
    found
}

/// Where an exception pushed FLAGS. The files give the address of the bus cycle, which is even.
fn pushed_flags(case: &Case) -> Option<u32> {
    case.exception?;
    let last = |n: usize| case.last.registers[n].or(case.initial.registers[n]);
    Some((u32::from(last(SS)?) << 4) + u32::from(last(SP)?.wrapping_add(4)))
}

#[derive(Default)]
struct Tally {
    cases: u32,
    exact: u32,
    defined: u32,
    /// Cases that differ for a documented reason.
    explained: BTreeMap<&'static str, u32>,
    unexplained: Vec<String>,
}

/// Opcode and ModRM group from a file's name.
fn opcode(path: &Path) -> (String, u8, u8) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
    let stem = name.split(".MOO").next().unwrap_or("").to_owned();
    let mut parts = stem.split('.');
    let number = parts.next().and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or(0);
    let group = parts.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    (stem, number, group)
}

/// Why a 286 and a later processor differ in this case.
fn explanation(case: &Case, opcode: u8, ours: &Outcome) -> Option<&'static str> {
    const IOPL_NT: u16 = 0x7000;
    let theirs = case.exception.map(|exception| exception.vector);
    let prefixes = undefined::prefixes(case);
    let locked = case.bytes[..prefixes].contains(&0xF0);
    let modrm = case.bytes.get(prefixes + 1).copied().unwrap_or(0);
    let string = matches!(opcode, 0x6C..=0x6F | 0xA4..=0xAF);
    let only = |registers: &[&str], ignored| {
        let found = differences(case, ours, ignored);
        found.iter().all(|text| registers.iter().any(|name| text.starts_with(name)))
    };
    match (theirs, ours.exception) {
        (_, Some(6)) if locked => Some("LOCK where nothing can be locked: #UD since the 386"),
        (Some(6 | 13), _) if case.bytes.len() > 11 || opcode == 0xC7 && prefixes >= 5 => {
            Some("an instruction of 11 to 15 bytes: legal since the 386")
        }
        (_, Some(12 | 13)) if opcode == 0x62 => Some("BOUND past the end of a segment: the 286 wraps"),
        (None, Some(12 | 13)) if matches!(opcode, 0xD8..=0xDF) => Some("x87: the 286 has none"),
        (Some(13), Some(12)) => Some("an operand beyond the stack segment: #SS since the 386"),
        (Some(6), _) if matches!(opcode, 0x8C | 0x8E) && modrm >> 3 & 7 >= 4 => {
            Some("FS and GS: new in the 386")
        }
        (None, None) if matches!(opcode, 0x9D | 0xCF) && only(&[], IOPL_NT) => {
            Some("IOPL and NT in real mode: writable since the 386")
        }
        (Some(13), _) if string && only(&["si", "di", "cx"], 0) => {
            Some("a string instruction that faults: the 286 has moved SI, DI or CX")
        }
        (Some(13), Some(13)) if opcode == 0x8F => Some("POP to memory that faults: the 286 has moved SP"),
        (Some(0), _) if opcode == 0xD4 && only(&[], 0xFFF) => Some("AAM 0: the 286 changes FLAGS before #DE"),
        (None, Some(0)) if matches!(opcode, 0xF6 | 0xF7) => {
            Some("IDIV overflow that the 286 does not detect")
        }
        (Some(_), _) if pushed_ss(case) => Some("the recorded frame has SS in place of CS"),
        _ => None,
    }
}

/// Whether the recorded exception frame holds SS where CS belongs.
fn pushed_ss(case: &Case) -> bool {
    let Some(at) = pushed_flags(case) else { return false };
    let byte =
        |address: u32| case.last.memory.iter().find(|(n, _)| *n == address).map_or(0, |(_, byte)| *byte);
    let (cs, ss) = (case.initial.registers[CS], case.initial.registers[SS]);
    Some(u16::from_le_bytes([byte(at - 2), byte(at - 1)])) == ss && cs != ss
}

fn run_file(machine: &mut Machine, path: &Path, most: usize) -> Tally {
    let (_, number, group) = opcode(path);
    let mut tally = Tally::default();
    for case in moo::read(path, most) {
        let outcome = machine.run(&case);
        tally.cases += 1;
        if differences(&case, &outcome, 0).is_empty() {
            tally.exact += 1;
            tally.defined += 1;
            continue;
        }
        let found = differences(&case, &outcome, undefined::flags(&case, number, group));
        if found.is_empty() {
            tally.defined += 1;
        } else if let Some(reason) = explanation(&case, number, &outcome) {
            *tally.explained.entry(reason).or_default() += 1;
        } else {
            let vector = case.exception.map(|exception| exception.vector);
            let what = format!(
                "#{} {} {:02x?} exc {vector:?} ours {:?}: {found:?}",
                case.index, case.name, case.bytes, outcome.exception
            );
            tally.unexplained.push(what);
        }
    }
    tally
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains(".MOO"))
        .collect();
    files.sort();
    files
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn real_mode_of_the_80286() {
    let Some(folder) = std::env::var_os("AMBER_SINGLE_STEP_286") else {
        eprintln!("skipped: AMBER_SINGLE_STEP_286 names no folder");
        return;
    };
    let (most, shown) = (setting("AMBER_SINGLE_STEP_CASES", 200), setting("AMBER_SINGLE_STEP_SHOW", 3));
    let mut machine = Machine::new();
    let mut total = Tally::default();
    for path in files(Path::new(&folder)) {
        let tally = run_file(&mut machine, &path, most);
        if !tally.unexplained.is_empty() {
            println!("{}: {} of {} cases differ", opcode(&path).0, tally.unexplained.len(), tally.cases);
            tally.unexplained.iter().take(shown).for_each(|line| println!("    {line}"));
        }
        total.cases += tally.cases;
        total.exact += tally.exact;
        total.defined += tally.defined;
        tally.explained.iter().for_each(|(reason, n)| *total.explained.entry(reason).or_default() += n);
        total.unexplained.extend(tally.unexplained);
    }
    println!("{} cases, {} equal, {} equal in all that is defined", total.cases, total.exact, total.defined);
    total.explained.iter().for_each(|(reason, n)| println!("{n:6} {reason}"));
    assert!(total.unexplained.is_empty(), "{} cases differ for no known reason", total.unexplained.len());
}
