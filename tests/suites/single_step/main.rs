//! Runs a single-step suite in MOO format, real mode of the 80286, on a bare processor. See `../README.md`.

mod bare;
mod moo;
mod undefined;

use bare::{Machine, Outcome};
use moo::{Case, FLAGS, REGISTERS};
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
        let pushed = case.exception.map_or(u32::MAX, |exception| exception.flags_at);
        let mask = match address.wrapping_sub(pushed) {
            0 => !ignored as u8,
            1 => (!ignored >> 8) as u8,
            _ => !0,
        };
        let theirs = expected[address];
        if (theirs ^ byte) & mask != 0 {
            found.push(format!("[{address:06x}] {byte:02x} for {theirs:02x}"));
        }
    }
    found
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
fn explanation(_case: &Case, _opcode: u8, _found: &[String]) -> Option<&'static str> {
    None
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
        } else if let Some(reason) = explanation(&case, number, &found) {
            *tally.explained.entry(reason).or_default() += 1;
        } else {
            let vector = case.exception.map(|exception| exception.vector);
            let what = format!("#{} {} {:02x?} exc {vector:?}: {found:?}", case.index, case.name, case.bytes);
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
