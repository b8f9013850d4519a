use super::*;
use crate::config::{Firmware, MachineConfig};
use std::path::PathBuf;

/// A folder of this test's own with a `test.toml` of these lines.
fn folder(name: &str, lines: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("amber-test-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("test.toml"), lines).unwrap();
    folder
}

fn case(name: &str, lines: &str) -> Result<Vec<Case>, String> {
    let folder = folder(name, lines);
    let cases = discover(std::slice::from_ref(&folder)).map_err(|error| format!("{error:#}"));
    std::fs::remove_dir_all(folder).unwrap();
    cases
}

/// A flat program as a case.
fn program(name: &str, code: &[u8], expect: Expectation) -> Case {
    let file = std::env::temp_dir().join(format!("amber-test-{name}-{}.bin", std::process::id()));
    std::fs::write(&file, code).unwrap();
    let flat = Some(format!("{}@0x100000", file.display()).parse().unwrap());
    let config = MachineConfig { flat, memory: "16M".parse().unwrap(), ..MachineConfig::default() };
    Case { name: name.into(), config, input: Vec::new(), expect, limit: 1_000_000, known_failure: None }
}

fn judged(case: Case) -> Outcome {
    let outcome = execute(&case);
    std::fs::remove_file(case.config.flat.unwrap().file).unwrap();
    outcome
}

/// mov dx, F4h; mov al, N; out dx, al
fn exit_with(value: u8) -> Vec<u8> {
    vec![0x66, 0xBA, 0xF4, 0x00, 0xB0, value, 0xEE, 0xEB, 0xFE]
}

#[test]
fn files_become_cases() {
    let cases = case("several", "firmware = \"smp\"\ncpus = [1, 2]\nlimit = 5\n").unwrap();
    assert_eq!(cases.len(), 2);
    assert!(cases[1].name.ends_with("(2 vCPUs)"));
    assert_eq!((cases[1].config.cpus, cases[1].limit), (2, 5));
    assert_eq!(cases[1].config.firmware, Some(Firmware::Smp));
}

#[test]
fn bad_files_name_file_and_line() {
    let error = |name, lines| case(name, lines).unwrap_err();
    assert!(error("unknown", "firmware = \"smp\"\nlimits = 5\n").contains("line 2"));
    assert!(error("none", "limit = 5\n").contains("names no guest"));
    assert!(error("two", "rom = \"x\"\nbios = \"y\"\n").contains("--rom"));
    assert!(error("regex", "firmware = \"smp\"\nexpect = { regex = \"(\" }\n").contains("expect.regex"));
    assert!(error("missing", "image = \"nothing\"\n").contains("nothing"));
    assert!(discover(&[std::env::temp_dir().join("amber-no-such-path")]).is_err());
}

/// HLT at the reset vector. Direct boots leave the PIT running, so that a flat program only reaches its limit.
fn hung() -> Outcome {
    let file = std::env::temp_dir().join(format!("amber-test-hung-{}.bin", std::process::id()));
    std::fs::write(&file, [0xF4; 0x1_0000]).unwrap();
    let outcome = execute(&Case::from_image(&file).unwrap());
    std::fs::remove_file(file).unwrap();
    outcome
}

#[test]
fn verdicts() {
    let verdict = |name, code: &[u8]| judged(program(name, code, Expectation::default()));
    assert_eq!(verdict("pass", &exit_with(0x10)).verdict, Verdict::Pass);
    let failed = verdict("fail", &exit_with(1));
    assert_eq!((failed.verdict, failed.reason.as_str()), (Verdict::Fail, "exited with 0x1; said nothing"));
    assert_eq!(verdict("limit", &[0xEB, 0xFE]).verdict, Verdict::Limit);
    assert_eq!(hung().verdict, Verdict::Hung);
    // ud2 without an IDT.
    assert_eq!(verdict("died", &[0x0F, 0x0B]).verdict, Verdict::Died);
}

#[test]
fn expectations() {
    let exit = Expectation { exit: Some(3), ..Expectation::default() };
    assert_eq!(judged(program("exit", &exit_with(1), exit)).verdict, Verdict::Pass);
    let serial = Expectation { serial: Some("x".into()), ..Expectation::default() };
    assert_eq!(judged(program("silent", &exit_with(0x10), serial)).verdict, Verdict::Fail);
    let mut known = program("known", &exit_with(1), Expectation::default());
    known.known_failure = Some("a reason".into());
    assert_eq!(judged(known).verdict, Verdict::KnownFailure);
    let mut fixed = program("fixed", &exit_with(0x10), Expectation::default());
    fixed.known_failure = Some("a reason".into());
    assert_eq!(judged(fixed).verdict, Verdict::Fail);
}

#[test]
fn reports_are_well_formed() {
    let mut outcome = judged(program("a <&\"> name", &exit_with(1), Expectation::default()));
    outcome.serial = "\u{1b}[0m <x> & \u{0}".into();
    let xml = junit(&[outcome.clone()]);
    assert!(xml.contains("name=\"a &lt;&amp;&quot;&gt; name\""));
    assert!(xml.contains("\u{FFFD}[0m &lt;x&gt; &amp; \u{FFFD}</system-out>"));
    assert!(xml.contains("failures=\"1\" errors=\"0\""));
    let rows: serde_json::Value = serde_json::from_str(&json(&[outcome.clone()])).unwrap();
    assert_eq!(rows[0]["verdict"], "fail");
    assert!(table(&[outcome]).ends_with("0 passed, 1 did not\n"));
}

#[test]
fn what_was_said_long_ago_counts() {
    // Says A, then 3 MiB of x, then passes.
    let mut code = vec![0x66, 0xBA, 0xF8, 0x03, 0xB0, b'A', 0xEE, 0xB9];
    code.extend(0x30_0000u32.to_le_bytes());
    // Waits for room in the transmitter: in al, dx; test al, 20h; jz
    code.extend([0x66, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x20, 0x74, 0xFB]);
    code.extend([0x66, 0xBA, 0xF8, 0x03, 0xB0, b'x', 0xEE, 0xFF, 0xC9, 0x75, 0xEC]);
    code.extend(exit_with(0x10));
    let said = Expectation { serial: Some("A".into()), ..Expectation::default() };
    let outcome = judged(Case { limit: 200_000_000, ..program("long", &code, said) });
    assert_eq!((outcome.verdict, outcome.reason.as_str()), (Verdict::Pass, ""));
    assert!(!outcome.serial.contains('A') && outcome.serial.len() > 1 << 20);
    let regex = Some(regex_lite::Regex::new("A").unwrap());
    let matched = Expectation { regex, ..Expectation::default() };
    let outcome = judged(Case { limit: 200_000_000, ..program("long-regex", &code, matched) });
    assert_eq!(outcome.verdict, Verdict::Pass);
}

#[test]
fn the_worst_verdict_decides_the_exit_code() {
    let code = |verdicts: &[Verdict]| {
        let case = program("none", &[], Expectation::default());
        let outcome = |verdict: &Verdict| Outcome::failed_to_run(&case, *verdict, String::new());
        let code = exit_code(&verdicts.iter().map(outcome).collect::<Vec<_>>());
        std::fs::remove_file(case.config.flat.unwrap().file).unwrap();
        code
    };
    use Verdict::*;
    assert_eq!(code(&[Pass, KnownFailure]), 0);
    assert_eq!(code(&[Pass, Limit]), 8);
    assert_eq!(code(&[Limit, Hung]), 1);
    assert_eq!(code(&[Limit, Internal, Fail]), 10);
}
