//! Media change while a machine runs: on both engines, in the input log, back in time, and in snapshots.

use amber_emu::config::{Bios, CdChoice, Engine, FloppyChoice, HistoryChoice, MachineConfig};
use amber_emu::control::Method;
use amber_tests::program::{Scratch, run};
use amber_tests::session::Asked;
use serde_json::Value;
use std::path::Path;

const SEABIOS: &str = "/usr/share/seabios/bios-256k.bin";
const SECTOR: usize = 512;
/// Steps from one change to the next.
const PIECE: u64 = 60_000_000;

/// Writes itself, with a number that grows, to the second sector of whatever diskette there is, for ever.
#[rustfmt::skip]
const WRITER: [u8; 31] = [
    0x31, 0xc0,                   // xor ax, ax
    0x8e, 0xd8,                   // mov ds, ax
    0x8e, 0xc0,                   // mov es, ax
    0x31, 0xc0,                   // again: xor ax, ax
    0x31, 0xd2,                   // xor dx, dx
    0xcd, 0x13,                   // int 13h
    0xff, 0x06, 0xf0, 0x7d,       // inc word [7df0h]
    0xb8, 0x01, 0x03,             // mov ax, 0301h
    0xb9, 0x02, 0x00,             // mov cx, 2
    0x31, 0xd2,                   // xor dx, dx
    0xbb, 0x00, 0x7c,             // mov bx, 7c00h
    0xcd, 0x13,                   // int 13h
    0xeb, 0xe7,                   // jmp again
];

fn writer() -> Vec<u8> {
    let mut image = vec![0; 2880 * SECTOR];
    image[..WRITER.len()].copy_from_slice(&WRITER);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// A PC that writes on its diskette; `None` without a BIOS.
fn config(scratch: &Scratch, engine: Engine) -> Option<MachineConfig> {
    if !Path::new(SEABIOS).is_file() {
        eprintln!("skipped: apt-get install seabios");
        return None;
    }
    let file = scratch.file("writer.img", &writer());
    Some(MachineConfig {
        bios: Some(Bios::File(SEABIOS.into())),
        floppy: vec![FloppyChoice { file: Some(file), read_only: false }],
        cdrom: vec![CdChoice { file: None, at_ide: true }],
        memory: "16M".parse().expect("a size"),
        history: Some(HistoryChoice::Bytes(256 << 20)),
        record: Some(scratch.0.join("log")),
        store: Some(scratch.0.join("store")),
        engine,
        ..MachineConfig::default()
    })
}

fn drives(run: &Asked) -> Vec<Value> {
    run.get(Method::MediaList)["drives"].as_array().expect("a list").clone()
}

/// Bytes the guest wrote to a diskette; `None` where there is none.
fn written(run: &Asked) -> Option<u64> {
    let drives = drives(run);
    let drive = drives.iter().find(|drive| drive["drive"] == "floppy0").expect("the machine has it");
    drive["medium"]["written"].as_u64()
}

fn insert(drive: &str, file: &Path, read_only: bool) -> Method {
    Method::Insert { drive: drive.to_owned(), file: file.to_owned(), read_only }
}

fn eject(drive: &str) -> Method {
    Method::Eject { drive: drive.to_owned(), force: false }
}

/// Runs until the guest writes; then has diskettes change. Where it stood before each change and after it, in what state.
fn changes(run: &Asked, scratch: &Scratch) -> Vec<(u64, String)> {
    let mut known = Vec::new();
    let mut on = |run: &Asked| {
        run.get(Method::Step { count: PIECE });
        known.push((run.step(), run.hash()));
        // What is done at a step belongs to it.
        run.get(Method::Step { count: 1 });
    };
    for _ in 0..40 {
        on(run);
        if written(run) == Some(4096) {
            break;
        }
    }
    assert_eq!(written(run), Some(4096), "the guest writes");
    let out = scratch.0.join("out.img");
    run.get(Method::MediaExport { drive: "floppy0".to_owned(), file: out.clone() });
    let out = std::fs::read(&out).expect("it was written");
    assert!(out.len() == 2880 * SECTOR && out[SECTOR..][..WRITER.len()] == WRITER && out[1023] == 0xaa);
    let other = scratch.file("other.img", &vec![7; 2880 * SECTOR]);
    run.get(insert("floppy0", &other, false));
    assert_eq!(written(run), Some(0), "a fresh one");
    on(run);
    on(run);
    assert_eq!(written(run), Some(4096), "the guest went on on the other one");
    run.get(eject("floppy0"));
    assert_eq!(run.ask(eject("floppy0")), Err("there is nothing in floppy0".to_owned()));
    on(run);
    assert_eq!(written(run), None);
    run.get(insert("floppy0", &other, true));
    on(run);
    on(run);
    assert_eq!(written(run), Some(0), "it is protected");
    run.get(insert("cd0", &other, false));
    run.get(insert("floppy0", &scratch.file("small.img", &vec![9; 1440 * SECTOR]), false));
    on(run);
    on(run);
    known.push((run.step(), run.hash()));
    known
}

#[test]
fn a_log_repeats_what_came_and_went_on_both_engines() {
    let [first, second] = [Engine::Jit, Engine::Interp].map(|engine| {
        let scratch = Scratch::new(&format!("media-log-{engine}"));
        let run = Asked::start(config(&scratch, engine)?, false);
        let known = changes(&run, &scratch);
        run.quit();
        Some((scratch, known))
    });
    let (Some((scratch, known)), Some((other, by_interpreter))) = (first, second) else { return };
    assert_eq!(known, by_interpreter);
    for scratch in [&scratch, &other] {
        let log = scratch.0.join("log").display().to_string();
        let output = run(&["replay", &log, "--hash"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (step, hash) = known.last().expect("some");
        assert!(output.status.success() && said.contains(&format!("state-hash {hash}")), "{said}");
        assert!(said.contains(&format!("it ends at step {step} as recorded")), "{said}");
    }
    let log = scratch.0.join("log").display().to_string();
    let other = scratch.file("other.img", &vec![8; 2880 * SECTOR]);
    let output = run(&["replay", &log]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("its contents have changed"), "{said}");
    std::fs::remove_file(&other).expect("it is there");
    let output = run(&["replay", &log]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("other.img"), "{said}");
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn a_run_goes_back_across_media_and_forward_again() {
    let scratch = Scratch::new("media-rewind");
    let Some(config) = config(&scratch, Engine::Jit) else { return };
    let run = Asked::start(MachineConfig { record: None, ..config }, false);
    let known = changes(&run, &scratch);
    let last = known.len() - 1;
    for n in [last - 5, last, last - 3, last - 6, last - 1, 1, last] {
        run.get(Method::Rewind { step: known[n].0 });
        assert_eq!((run.step(), &run.hash()), (known[n].0, &known[n].1), "{n} of {last}");
    }
    // From the past on another way: its own medium stays when the first way is returned to.
    run.get(Method::Rewind { step: known[last - 4].0 });
    run.get(insert("cd0", &scratch.0.join("small.img"), false));
    run.get(Method::Step { count: PIECE });
    let branches = run.get(Method::History)["branches"].as_array().expect("a list").clone();
    run.get(Method::Return { branch: branches[0]["id"].as_u64().expect("a number") });
    assert_eq!(run.hash(), known[last].1);
    run.quit();
}

#[test]
fn a_snapshot_has_the_medium_and_what_was_written_on_it() {
    let scratch = Scratch::new("media-snapshot");
    let Some(config) = config(&scratch, Engine::Jit) else { return };
    let asked = Asked::start(MachineConfig { record: None, ..config.clone() }, false);
    asked.get(Method::Save { name: "first".to_owned() });
    let known = changes(&asked, &scratch);
    asked.get(Method::Save { name: "last".to_owned() });
    asked.get(Method::Step { count: PIECE });
    let (step, hash) = (asked.step(), asked.hash());
    asked.get(Method::Load { snapshot: "first".to_owned() });
    assert_eq!(drives(&asked)[1]["medium"]["bytes"], 2880 * SECTOR);
    asked.get(Method::Load { snapshot: "last".to_owned() });
    assert_eq!(asked.hash(), known.last().expect("some").1);
    assert_eq!(drives(&asked)[1]["medium"]["bytes"], 1440 * SECTOR);
    asked.get(Method::Step { count: PIECE });
    assert_eq!((asked.step(), asked.hash()), (step, hash.clone()));
    asked.quit();
    // Another process goes on from it, and is told where an image is now.
    let (from, store) = (Some("last".to_owned()), config.store.clone());
    let again = Asked::start(MachineConfig { from, store: store.clone(), ..MachineConfig::default() }, false);
    again.get(Method::Step { count: PIECE });
    assert_eq!((again.step(), again.hash()), (step, hash));
    again.quit();
    let store = store.expect("it has one").display().to_string();
    let output = amber(&["snapshot", "diff", "first", "last", "--store", &store]);
    for expected in ["media", "medium", "disk1"] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    let moved = scratch.0.join("moved.img");
    std::fs::rename(scratch.0.join("small.img"), &moved).expect("it is there");
    let (moved, cd) = (moved.display().to_string(), scratch.0.join("other.img").display().to_string());
    let resumed = ["run", "--from", "last", "--store", &store, "--headless", "--stop-at", "1"];
    let missing = run_err(&resumed);
    assert!(missing.contains("small.img") && missing.contains("--disk"), "{missing}");
    let cd = format!("{cd},if=ide");
    let found = run(&[&resumed[..], &["--cdrom", &cd, "--floppy", &moved]].concat());
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let other = run_err(&[&resumed[..], &["--cdrom", "none,if=ide", "--floppy", &moved]].concat());
    assert!(other.contains("nothing on ide-cdrom"), "{other}");
}

fn run_err(args: &[&str]) -> String {
    let output = run(args);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn amber(args: &[&str]) -> String {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.code().is_some_and(|code| code <= 1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn drives_that_are_not_there_and_files_that_are_no_media_are_told_of() {
    let scratch = Scratch::new("media-refusals");
    let Some(config) = config(&scratch, Engine::Jit) else { return };
    let run = Asked::start(MachineConfig { record: None, ..config }, false);
    let hash = run.hash();
    let odd = scratch.file("odd.img", &[1; 4096]);
    let why = |method| run.ask(method).expect_err("it is refused");
    assert!(why(insert("floppy7", &odd, false)).contains("this machine has cd0, floppy0"));
    assert!(why(insert("floppy0", &odd, false)).contains("4096 bytes are no diskette for this drive"));
    assert!(why(insert("cd0", &scratch.0.join("nowhere.iso"), false)).contains("nowhere.iso"));
    assert!(why(insert("cd0", &scratch.0, false)).contains("disk image"));
    assert!(why(insert("cd0", &scratch.file("empty.iso", &[]), false)).contains("it is empty"));
    assert_eq!(why(eject("cd0")), "there is nothing in cd0");
    assert_eq!((run.hash(), &drives(&run)[0]["medium"]), (hash, &Value::Null));
    run.quit();
}

#[test]
fn who_wants_a_held_cd_waits_until_the_guest_lets_go() {
    let scratch = Scratch::new("media-held");
    let Some(config) = config(&scratch, Engine::Jit) else { return };
    let run = Asked::start(MachineConfig { record: None, ..config }, false);
    let [first, second] =
        [(3, "first.iso"), (4, "second.iso")].map(|(byte, name)| scratch.file(name, &vec![byte; 8 * SECTOR]));
    let hold = |held: bool| {
        let path = "platform0/ide.channels[0].seats[0].drive.tray_locked".to_owned();
        run.get(Method::Set { path, value: held.to_string() });
    };
    let cd = || drives(&run)[0].clone();
    let file =
        || cd()["medium"]["file"].as_str().map(|file| file.rsplit('/').next().unwrap_or("").to_owned());
    run.get(insert("cd0", &first, false));
    run.get(Method::Step { count: 1000 });
    hold(true);
    assert_eq!((&cd()["held"], &cd()["asked"]), (&Value::Bool(true), &Value::Bool(false)));
    run.begin(eject("cd0"));
    assert_eq!((cd()["asked"].clone(), file().as_deref()), (Value::Bool(true), Some("first.iso")));
    // What is asked later counts.
    run.begin(insert("cd0", &second, false));
    while cd()["asked"] == Value::Bool(false) {}
    assert_eq!(file().as_deref(), Some("first.iso"));
    hold(false);
    assert_eq!((file().as_deref(), &cd()["asked"]), (Some("second.iso"), &Value::Bool(false)));
    // Another time is another wish.
    let step = run.step();
    run.get(Method::Step { count: 1000 });
    hold(true);
    run.begin(eject("cd0"));
    assert_eq!(cd()["asked"], Value::Bool(true));
    run.get(Method::Rewind { step });
    assert_eq!((cd()["asked"].clone(), file().as_deref()), (Value::Bool(false), Some("second.iso")));
    run.get(Method::Step { count: 2000 });
    assert_eq!(file().as_deref(), Some("second.iso"));
    // By force it is taken at once, and who waited is told so.
    hold(true);
    run.begin(eject("cd0"));
    run.get(Method::Eject { drive: "cd0".to_owned(), force: true });
    assert_eq!((file(), &cd()["tray"], &cd()["asked"]), (None, &"open".into(), &Value::Bool(false)));
    run.quit();
}
