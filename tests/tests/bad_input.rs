//! Bad input ends in one sentence on standard error and exit code 2, never in a panic.

use amber_tests::program::{Scratch, amber, run};
use std::process::{Command, Stdio};

/// Runs amber, which must refuse; returns its sentence.
fn sentence(args: &[&str]) -> String {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?} prints on standard output");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(text.starts_with("amber: "), "{args:?}: {text}");
    text
}

#[test]
fn files_that_are_no_guests() {
    let scratch = Scratch::new("bad-guests");
    let path = |name: &str, bytes: &[u8]| scratch.file(name, bytes).display().to_string();
    let folder = scratch.0.display().to_string();
    let text = path("notes.txt", b"This is a text file, and no kernel.\n");
    let empty = path("empty.bin", b"");
    let odd = path("odd.bin", &[0x90; 1000]);
    let mut setup = vec![0; 0x400];
    setup[0x1F1] = 4;
    setup[0x1FE..0x206].copy_from_slice(b"\x55\xAA\xEB\x66HdrS");
    let truncated = path("truncated.bzimage", &setup);
    let elf = path("truncated.elf", b"\x7FELF\x02\x01\x01");
    for option in ["--kernel", "--rom", "--bios"] {
        for file in [&folder, &empty, "/no/such/file"] {
            let said = sentence(&["run", option, file, "--headless"]);
            assert!(said.contains(file), "names the file: {said}");
        }
    }
    for file in [&text, &odd, &truncated, &elf] {
        let said = sentence(&["run", "--kernel", file, "--headless"]);
        assert!(said.contains(file.as_str()), "names the file: {said}");
    }
    sentence(&["run", "--flat", &format!("{folder}@0x100000"), "--headless"]);
    sentence(&["run", "--flat", &format!("{odd}@0xFFFFFFFFFFFFF000"), "--headless"]);
    sentence(&["run", "--symbols", &text, "--firmware", "smp"]);
    sentence(&["run", "--initrd", &odd, "--headless"]);
    sentence(&["run", &text]);
    sentence(&["run", &folder]);
}

#[test]
fn a_snapshot_of_another_machine_is_refused_field_by_field() {
    let scratch = Scratch::new("bad-from");
    let store = scratch.0.join("store").display().to_string();
    let saved = run(&[
        "run",
        "--firmware",
        "interrupts",
        "--memory",
        "8M",
        "--headless",
        "--store",
        &store,
        "--stop-at",
        "1000",
        "--save-on-exit",
        "x",
    ]);
    assert!(saved.status.success());
    let said = sentence(&[
        "run",
        "--from",
        "x",
        "--store",
        &store,
        "--headless",
        "--memory",
        "16M",
        "--cpus",
        "2",
        "--rtc",
        "2027-01-02T03:04:05",
    ]);
    for part in [
        "--memory asks for 16M, the snapshot has 8M",
        "--cpus asks for 2, the snapshot has 1",
        "--rtc asks for 2027-01-02T03:04:05, the snapshot has 2026-01-01T00:00:00",
    ] {
        assert!(said.contains(part), "`{part}` in {said}");
    }
}

#[test]
fn options_out_of_range() {
    for args in [
        ["run", "--memory", "1"],
        ["run", "--memory", "100T"],
        ["run", "--memory", "-1"],
        ["run", "--memory", "99999999999999999999G"],
        ["run", "--cpus", "0"],
        ["run", "--cpus", "256"],
        ["run", "--quantum", "0"],
        ["run", "--rtc", "yesterday"],
        ["run", "--engine", "steam"],
        ["run", "--machine", "pdp-11"],
        ["run", "--firmware", "none"],
        ["run", "--flat", "file"],
        ["run", "--log", "everything"],
        ["run", "--stop-at", "-5"],
    ] {
        let said = sentence(&args);
        assert!(said.contains(args[2]), "{args:?} is named: {said}");
    }
    assert!(sentence(&["run", "--cpu", "pentium-9"]).contains("pentium-9"));
    assert!(sentence(&["run", "--cpu", "amber-v2.1,+warp"]).contains("warp"));
    assert!(sentence(&["run", "--rom", "a", "--bios", "b"]).contains("--bios"));
    assert!(sentence(&["run", "--gdb", "nowhere:x"]).contains("--gdb"));
    assert!(sentence(&["run", "--gdb", "machine.toml"]).contains("goes before"));
    assert!(sentence(&["run", "--memory", "64K"]).contains("2M"));
    assert!(sentence(&["run", "--rom", "/dev/zero"]).contains("/dev/zero"));
    assert!(sentence(&["run", "--symbols", "/dev/zero"]).contains("/dev/zero"));
    assert!(sentence(&["run", "/dev/zero"]).contains("/dev/zero"));
    sentence(&["fly"]);
    sentence(&["test"]);
}

#[test]
fn tests_that_cannot_be_read() {
    let scratch = Scratch::new("bad-tests");
    let folder = scratch.0.display().to_string();
    assert!(sentence(&["test", "/no/such/path"]).contains("/no/such/path"));
    assert!(sentence(&["test", &folder]).contains("test.toml"));
    scratch.file("test.toml", b"firmware = 7\n");
    assert!(sentence(&["test", &folder]).contains("line 1"));
    scratch.file("test.toml", &[0xFF, 0xFE, 0x00]);
    sentence(&["test", &folder]);
}

#[test]
fn a_reader_that_leaves_is_no_fault() {
    let scratch = Scratch::new("reader-left");
    let image = scratch.file("disk.img", &[0; 4096]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut amber = Command::new(amber());
    amber.args(["disk", "info"]).arg(&image).stdout(writer).stderr(Stdio::piped());
    let output = amber.output().expect("amber runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let forward = format!("tcp:{}-:22", listener.local_addr().expect("it has an address"));
    let net = format!("user,hostfwd={forward}");
    let said = sentence(&["run", "--firmware", "smp", "--headless", "--net", &net]);
    assert!(said.contains(&forward), "{said}");
    let said = sentence(&["run", "--firmware", "smp", "--headless", "--net", "user,hostfwd=tcp:1-:2"]);
    assert!(said.contains("hostfwd"), "{said}");
}
