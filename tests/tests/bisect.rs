//! `amber bisect` finds the very step, or the very hit of a place, at which two runs part.

use amber_emu::input::{self, Input};
use amber_tests::program::{self, Scratch};
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn bisect(folder: &Scratch, args: &[&str]) -> Output {
    let output = Command::new(program::amber()).arg("bisect").args(args).current_dir(&folder.0).output();
    output.expect("amber starts")
}

fn found(output: &Output) -> serde_json::Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code < 2), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A loop at 0x100007 that counts in EAX and EBX; in its fifth turn it does `fifth` besides.
fn program(folder: &Scratch, name: &str, start: [u8; 3], fifth: [u8; 2]) {
    let mut code = start.to_vec();
    // xor eax, eax; xor ebx, ebx; inc eax; inc ebx; cmp eax, 5; jne over; FIFTH; over: jmp inc
    code.extend([0x31, 0xC0, 0x31, 0xDB, 0xFF, 0xC0, 0xFF, 0xC3, 0x83, 0xF8, 0x05, 0x75, 0x02]);
    code.extend(fifth);
    code.extend([0xEB, 0xF3]);
    folder.file(&format!("{name}.bin"), &code);
    let toml = format!("flat = \"{name}.bin@0x100000\"\nmemory = \"2M\"\n");
    folder.file(&format!("{name}.toml"), toml.as_bytes());
}

const ONE_NOP: [u8; 3] = [0x0F, 0x1F, 0x00];
const THREE_NOPS: [u8; 3] = [0x90; 3];
const TWO_NOPS: [u8; 2] = [0x90; 2];
const INC_EBX: [u8; 2] = [0xFF, 0xC3];

#[test]
fn the_instruction_after_which_two_runs_differ_is_found() {
    let folder = Scratch::new("bisect-step");
    program(&folder, "a", ONE_NOP, TWO_NOPS);
    program(&folder, "b", ONE_NOP, INC_EBX);
    let args = ["a.toml", "b.toml", "--only", "cpu0", "--stop-at", "1000000"];
    // Three instructions, four turns of five, and four of the fifth.
    let report = found(&bisect(&folder, &[&args[..], &["--json", "--exit-code"]].concat()));
    assert_eq!((&report["equal"], &report["last-equal"]), (&false.into(), &27.into()), "{report:#}");
    assert!(report["next"]["b"].as_str().is_some_and(|line| line.contains("inc ebx")), "{report:#}");
    let text = bisect(&folder, &args);
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.contains("equal at step 27, not at step 28") && text.contains("cpu0"), "{text}");
}

#[test]
fn runs_that_differ_by_design_are_laid_side_by_side_by_a_place() {
    let folder = Scratch::new("bisect-hit");
    program(&folder, "a", ONE_NOP, TWO_NOPS);
    program(&folder, "b", THREE_NOPS, INC_EBX);
    let args = ["a.toml", "b.toml", "--at-address", "0x100007", "--only", "cpu0.gpr", "--stop-at", "1000000"];
    let report = found(&bisect(&folder, &[&args[..], &["--json"]].concat()));
    // The fifth turn ends with the sixth hit.
    assert_eq!((&report["by"], &report["last-equal"]), (&"hit".into(), &5.into()), "{report:#}");
    // From the seventh hit on they were never equal.
    let late = ["a.toml", "b.toml", "--at-address", "0x100007=7", "--only", "cpu0.gpr"];
    let late = bisect(&folder, &late);
    assert_eq!(late.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&late.stderr).contains("differ from the start"));
}

#[test]
fn another_amber_follows_b() {
    let folder = Scratch::new("bisect-amber");
    program(&folder, "a", ONE_NOP, TWO_NOPS);
    program(&folder, "b", ONE_NOP, INC_EBX);
    let other = program::amber().to_string_lossy().into_owned();
    let args = ["a.toml", "b.toml", "--only", "cpu0", "--stop-at", "1000000", "--json"];
    let here = found(&bisect(&folder, &args));
    let with = |program: &str| {
        bisect(&folder, &[&args[..], &["--amber-b", program, "--engine-b", "interp"]].concat())
    };
    assert_eq!(found(&with(&other)), here);
    for (program, why) in [("/bin/false", "take part in a bisection"), ("/no/amber", "cannot be started")] {
        let output = with(program);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(program) && said.contains(why), "{said}");
    }
    let missing = bisect(&folder, &["a.toml", "none.toml", "--amber-b", &other]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("b: none.toml"));
    let engine = bisect(&folder, &["a.toml", "b.toml", "--engine-a", "warp"]);
    assert!(String::from_utf8_lossy(&engine.stderr).contains("interp"));
}

#[test]
fn a_changed_byte_of_a_log_is_found_at_the_step_it_came() {
    let folder = Scratch::new("bisect-log");
    let mut child = Command::new(program::amber())
        .args(["run", "--headless", "--memory", "8M", "--record", "a.log"])
        .current_dir(&folder.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("amber starts");
    let mut keys = child.stdin.take().expect("it has an input");
    std::thread::sleep(std::time::Duration::from_millis(30));
    keys.write_all(b"help\n").expect("it reads");
    drop(keys);
    assert!(child.wait().expect("it ends").success());
    let log = folder.0.join("a.log");
    let mut bytes = std::fs::read(&log).expect("recorded");
    let at = bytes.windows(4).position(|bytes| bytes == b"help").expect("it was typed");
    bytes[at] = b'k';
    folder.file("b.log", &bytes);
    let (_, records) = input::read(&log).expect("a log");
    let typed = records.iter().find(|record| matches!(&record.input, Input::Serial(_))).expect("typed");
    let report = found(&bisect(&folder, &["a.log", "b.log", "--json"]));
    assert_eq!(report["last-equal"], typed.step - 1, "{report:#}");
    let other = program::amber().to_string_lossy().into_owned();
    assert_eq!(found(&bisect(&folder, &["a.log", "b.log", "--json", "--amber-b", &other])), report);
    let same = found(&bisect(&folder, &["a.log", "a.log", "--json"]));
    assert_eq!(same["equal"], true, "{same:#}");
}
