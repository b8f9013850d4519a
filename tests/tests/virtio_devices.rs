//! What is on virtio beside disks and the network: random numbers, a console, and a folder that is shared. With Debian's drivers
//! by name:
//!
//!     cargo test --release -p amber-tests --test virtio_devices -- --ignored --nocapture

use amber_tests::debian;
use amber_tests::program::{Scratch, amber};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it runs")
}

fn told(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

fn state_hash(ran: &Output) -> String {
    told(ran).lines().find_map(|line| line.strip_prefix("state-hash ").map(str::to_owned)).expect("a hash")
}

fn amber_with(args: &[&str]) -> Command {
    let mut command = Command::new(amber());
    command.args(args);
    command
}

/// A folder to share.
fn folder(scratch: &Scratch) -> PathBuf {
    let folder = scratch.0.join("folder");
    fs::create_dir_all(folder.join("tree/with space")).expect("made");
    fs::create_dir_all(folder.join("tree/empty")).expect("made");
    fs::write(folder.join("tree/one"), b"one\n").expect("written");
    fs::hard_link(folder.join("tree/one"), folder.join("tree/also")).expect("linked");
    symlink("../tree/one", folder.join("tree/link")).expect("linked");
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect();
    fs::write(folder.join("tree/with space/bytes"), bytes).expect("written");
    folder
}

/// Every name below a folder with what it is.
fn listed(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let (mut all, mut below) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = below.pop() {
        let known = fs::symlink_metadata(&path).expect("it is there");
        let bytes = match () {
            () if known.is_file() => fs::read(&path).expect("it is read"),
            () if known.is_symlink() => {
                fs::read_link(&path).expect("it leads").into_os_string().into_encoded_bytes()
            }
            () => {
                below.extend(fs::read_dir(&path).expect("listed").map(|entry| entry.expect("listed").path()));
                Vec::new()
            }
        };
        all.push((path.strip_prefix(folder).expect("below").to_owned(), known.mode(), bytes));
    }
    all.sort();
    all
}

#[test]
fn a_share_goes_with_snapshots_and_comes_out_of_them() {
    let scratch = Scratch::new("share");
    let from = folder(&scratch);
    let store = scratch.0.join("store");
    let run = |more: &[&str]| {
        let mut command = amber_with(&["run", "--headless", "--memory", "16M", "--hash", "--store"]);
        output(command.arg(&store).args(more))
    };
    let first = run(&["--share", &from.display().to_string(), "--save-on-exit", "first"]);
    assert_eq!(first.status.code(), Some(0), "{}", told(&first));
    let size = |folder: &Path| -> u64 {
        let walk = |folder: &Path| fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed"));
        let (mut bytes, mut below) = (0, vec![folder.to_owned()]);
        while let Some(folder) = below.pop() {
            for entry in walk(&folder) {
                let known = entry.metadata().expect("known");
                if known.is_dir() { below.push(entry.path()) } else { bytes += known.len() }
            }
        }
        bytes
    };
    let before = size(&store);
    fs::rename(&from, scratch.0.join("moved")).expect("moved");
    let second = run(&["--from", "first", "--save-on-exit", "second"]);
    assert_eq!(second.status.code(), Some(0), "{}", told(&second));
    assert_eq!(state_hash(&first), state_hash(&second), "it had ended");
    let grown = size(&store) - before;
    assert!(grown < 100_000, "{grown} bytes for what did not change");
    let out = scratch.0.join("out");
    let exported = output(amber_with(&["share", "export", "second", "--store"]).arg(&store).arg(&out));
    assert_eq!(exported.status.code(), Some(0), "{}", told(&exported));
    assert_eq!(listed(&out), listed(&scratch.0.join("moved")));
    let again = output(amber_with(&["share", "export", "second", "--store"]).arg(&store).arg(&out));
    assert_eq!(again.status.code(), Some(2));
    assert!(told(&again).contains("it is there already, and not empty"));
    let asked = run(&["--from", "first", "--share", &out.display().to_string()]);
    assert!(told(&asked).contains("--share is read when a machine is made"), "{}", told(&asked));
}

#[test]
fn what_cannot_be_is_a_sentence() {
    let scratch = Scratch::new("virtio-errors");
    let refused = |args: &[&str]| {
        let ran = output(amber_with(&["run", "--headless"]).args(args));
        assert_eq!(ran.status.code(), Some(2), "{}", told(&ran));
        told(&ran)
    };
    assert!(refused(&["--share", "/nowhere"]).contains("--share: /nowhere: cannot be read"));
    assert!(refused(&["--console", "virtio"]).contains("--device virtio-console"));
    fs::write(scratch.0.join("long"), vec![1; 3 << 20]).expect("written");
    let small = format!("dir={},size=2M", scratch.0.display());
    assert!(refused(&["--share", &small]).contains("long: the share has no room for it"));
    let none = output(amber_with(&["share", "export", "nothing", "/nowhere"]).env("AMBER_STORE", &scratch.0));
    assert_eq!(none.status.code(), Some(2));
}

/// A run of Debian with one of its initramfs; `None` if there is no Debian.
fn debian_run(initrd: &str, append: &str) -> Option<Command> {
    let folder = debian()?;
    let initrd = folder.join(initrd);
    if !initrd.is_file() {
        eprintln!("skipped: no {}; tests/fetch-debian.sh makes it", initrd.display());
        return None;
    }
    let mut command = amber_with(&["run", "--headless", "--hash", "--append", append]);
    command.arg("--kernel").arg(folder.join("vmlinuz")).arg("--initrd").arg(initrd);
    Some(command)
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_reads_random_numbers_that_are_the_seeds() {
    let read = |more: &[&str]| {
        let mut run = debian_run("rng.gz", "console=ttyS0 panic=-1 quiet")?;
        let ran = output(run.args(["--device", "virtio-rng"]).args(more));
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(said.contains("PASS") && said.contains("virtio_rng.0"), "{said}");
        let line = said.lines().find(|line| line.contains("READ ")).expect("it reads").to_owned();
        Some((line, state_hash(&ran)))
    };
    let Some(first) = read(&[]) else { return };
    assert_eq!(Some(first.clone()), read(&["--engine", "interp"]));
    assert_ne!(first.0, read(&["--seed", "1"]).expect("it runs").0);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_talks_on_the_virtio_console_and_is_replayed() {
    let scratch = Scratch::new("hvc");
    let [log, socket] = ["log", "socket"].map(|name| scratch.0.join(name));
    let Some(mut run) = debian_run("console.gz", "console=hvc0 panic=-1") else { return };
    run.args(["--device", "virtio-console", "--console", "virtio", "--record"]).arg(&log);
    let mut child = run
        .arg("--control")
        .arg(&socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut typing = child.stdin.take().expect("piped");
    let (mut said, mut heard) = (String::new(), String::new());
    let ctl = |args: &[&str]| output(amber_with(&["ctl"]).arg(&socket).args(args));
    for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        if line.contains("READY") {
            typing.write_all(b"hello there\n").expect("it reads");
        } else if line.starts_with("TYPED hello there") {
            ctl(&["channel", "write", "knock\n"]);
        } else if line.starts_with("CHANNEL knock") {
            heard = String::from_utf8_lossy(&ctl(&["channel", "read"]).stdout).into_owned();
            ctl(&["console", "end\n"]);
        }
        said += &line;
        said.push('\n');
    }
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("read");
    child.wait().expect("it ends");
    assert!(said.contains("Linux version") && said.contains("TYPED end") && said.contains("PASS"), "{said}");
    assert!(heard.contains("heard knock"), "{heard}");
    let replayed = output(amber_with(&["replay", "--hash"]).arg(&log));
    assert!(told(&replayed).contains("the same run"), "{}", told(&replayed));
    assert!(errors.contains(&state_hash(&replayed)), "{errors}");
    assert!(String::from_utf8_lossy(&replayed.stdout).contains("TYPED hello there"));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn debian_uses_a_share_and_goes_on_from_the_middle_of_it() {
    let scratch = Scratch::new("9p");
    let from = folder(&scratch);
    let store = scratch.0.join("store");
    let share = format!("dir={},size=256M", from.display());
    let run = |more: &[&str]| {
        let mut run = debian_run("share.gz", "console=ttyS0 panic=-1 quiet")?;
        let args = ["--memory", "512M", "--device", "virtio-rng", "--share", &share, "--stats", "--store"];
        Some(output(run.args(args).arg(&store).args(more)))
    };
    let Some(whole) = run(&["--save-on-exit", "end"]) else { return };
    let said = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(said.contains("PASS") && !said.contains("FAIL"), "{said}");
    for (path, mode, bytes) in listed(&from) {
        let known = fs::symlink_metadata(from.join(&path)).expect("it is there");
        let (uid, gid) = (known.uid(), known.gid());
        let name = if path.as_os_str().is_empty() { ".".into() } else { format!("./{}", path.display()) };
        let line = format!("{mode:x} {uid} {gid} {} {} {name}\r\n", known.nlink(), known.mtime());
        assert!(said.contains(&line), "no {line} in {said}");
        if known.is_symlink() {
            assert!(said.contains(&format!("{name} leads to {}", String::from_utf8_lossy(&bytes))));
        }
    }
    assert!(listed(&from).iter().all(|(path, ..)| !path.ends_with("big")), "the folder is not written");
    let out = scratch.0.join("out");
    let exported = output(amber_with(&["share", "export", "end", "--store"]).arg(&store).arg(&out));
    assert_eq!(exported.status.code(), Some(0), "{}", told(&exported));
    assert_eq!(listed(&out.join("copy")), listed(&from.join("tree")));
    assert_eq!(fs::metadata(out.join("big")).expect("it is there").len(), 64 << 20);
    let steps: u64 = steps(&told(&whole));
    let interp = run(&["--engine", "interp"]).expect("it runs");
    assert_eq!(state_hash(&interp), state_hash(&whole), "the engines differ");
    let cuts: Vec<u64> = (1..=8).map(|n| steps * n / 10 + n).collect();
    let saves: Vec<String> =
        cuts.iter().flat_map(|at| ["--save-at".to_owned(), format!("{at}=cut-{at}")]).collect();
    let saved = run(&saves.iter().map(String::as_str).collect::<Vec<_>>()).expect("it runs");
    assert_eq!(state_hash(&saved), state_hash(&whole), "saving changes nothing");
    for at in cuts {
        let mut command =
            amber_with(&["run", "--headless", "--hash", "--from", &format!("cut-{at}"), "--store"]);
        let rest = output(command.arg(&store));
        assert_eq!(state_hash(&rest), state_hash(&whole), "cut at {at}: {}", told(&rest));
    }
}

/// How many steps a run had, by its counters.
fn steps(stats: &str) -> u64 {
    let line = stats.lines().find(|line| line.contains("steps")).expect("counters");
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{stats}"))
}
