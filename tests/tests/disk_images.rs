//! Images beside runs: what a guest wrote comes out of its snapshots, into new images and into the old ones, and what is in
//! use, gone or full is said in a sentence or is the guest's I/O error.

use amber_snapshot::Store;
use amber_tests::program::{Scratch, amber};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const ROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/disk/image.bin");

/// A folder with an image and a store.
struct Bench {
    scratch: Scratch,
    store: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let store = scratch.0.join("store");
        std::fs::copy(ROM, scratch.0.join("disk.img")).unwrap();
        Self { scratch, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.0.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs amber in the folder.
    fn amber(&self, words: &str) -> Output {
        let mut command = Command::new(amber());
        command.args(words.split(' ')).arg("--store").arg(&self.store);
        command.current_dir(&self.scratch.0).stdin(Stdio::null()).output().expect("amber starts")
    }

    /// The same, which goes well; what it prints.
    fn does(&self, words: &str) -> String {
        let output = self.amber(words);
        assert_eq!(output.status.code(), Some(0), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, which is refused; the sentence.
    fn refused(&self, words: &str) -> String {
        let output = self.amber(words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{words}: {text}");
        text
    }

    /// Runs the guest that writes its disk to the end, and saves a snapshot; the state hash. On a disk it wrote before
    /// it does not find what it looks for, and says so.
    fn run(&self, disk: &str, name: &str) -> String {
        let words =
            format!("run --headless --hash --rom {ROM} --memory 64M --disk {disk} --save-on-exit {name}");
        let output = self.amber(&words);
        assert!(matches!(output.status.code(), Some(33 | 3)), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines().last().unwrap_or_default().to_owned()
    }
}

/// What the guest leaves on its disk: the state is saved, and so the disk is read without any image's format.
fn seen_by_the_guest(bench: &Bench, snapshot: &str) -> Vec<u8> {
    let store = std::sync::Arc::new(Store::open(&bench.store).unwrap());
    let id = store.resolve(snapshot).unwrap();
    let machine = amber_emu::machine::Machine::load(store.load(id).unwrap()).unwrap();
    amber_tests::disks::contents(&machine, 0)
}

#[test]
fn an_exported_disk_is_what_the_guest_saw() {
    let bench = Bench::new("images-export");
    let image = bench.read("disk.img");
    let hash = bench.run("disk.img", "end");
    let seen = seen_by_the_guest(&bench, "end");
    assert_ne!(seen, image);
    bench.does("disk export end out.img");
    bench.does("disk export end out.qcow2");
    assert!(bench.read("out.img") == seen);
    assert!(bench.read("out.qcow2").starts_with(b"QFI\xfb"));
    assert_eq!(bench.read("disk.img"), image, "the image was written");
    // What lies in another format is the same disk to a machine.
    std::fs::write(bench.path("disk.img"), &image).unwrap();
    bench.does("disk export end --format raw --force out.img");
    assert_eq!(bench.run("out.img", "raw"), bench.run("out.qcow2", "qcow2"));
    assert_eq!(hash, bench.run("disk.img", "again"));
    assert!(bench.refused("disk export end out.img").contains("--force"));
    assert!(bench.refused("disk export end --force disk.img").contains("amber disk commit"));
    assert!(bench.refused("disk export end --disk disk1 x.img").contains("it has disk0"));
    assert!(bench.refused("disk export none x.img").contains("none"));
    assert!(!bench.path("x.img").exists());
    bench.does("snapshot export end end.amber");
    bench.does("disk export end.amber archived.img");
    assert!(bench.read("archived.img") == seen);
}

#[test]
fn a_committed_disk_is_in_its_image() {
    let bench = Bench::new("images-commit");
    let image = bench.read("disk.img");
    bench.run("disk.img", "end");
    let seen = seen_by_the_guest(&bench, "end");
    bench.does("disk export end disk.qcow2");
    bench.does("disk commit end --keep old.img --save-as over");
    assert!(bench.read("disk.img") == seen && bench.read("old.img") == image);
    // The same machine, over the new image, with nothing over it.
    assert!(seen_by_the_guest(&bench, "over") == seen);
    assert!(bench.does("disk commit over").contains("wrote nothing"));
    assert!(bench.refused("run --headless --from end").contains("contents have changed"));
    let old = bench.amber("run --headless --from end --disk old.img");
    assert_eq!(old.status.code(), Some(33), "it ends as it had ended");
    assert!(bench.refused("disk commit end").contains("contents have changed"));
    // From the image it goes on as from any.
    let from_raw = bench.run("disk.img", "next");
    assert_eq!(from_raw, bench.run("disk.qcow2", "next-qcow2"));
    let seen = seen_by_the_guest(&bench, "next-qcow2");
    bench.does("disk commit next-qcow2");
    assert!(bench.read("disk.qcow2").starts_with(b"QFI\xfb"));
    bench.run("disk.qcow2", "last");
    let (is, was) = (identity(&bench, "disk.qcow2"), blake3::hash(&seen).to_hex().to_string());
    assert_eq!(is, was);
}

fn identity(bench: &Bench, image: &str) -> String {
    let output =
        Command::new(amber()).args(["disk", "info", "--json", image]).current_dir(&bench.scratch.0).output();
    let json: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    json[0]["identity"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_that_others_need_or_use_is_not_replaced() {
    let bench = Bench::new("images-needed");
    let image = bench.read("disk.img");
    bench.run("disk.img", "first");
    bench.run("disk.img,ro", "other");
    assert!(bench.refused("disk commit first").contains("other snapshots (other) need it"));
    assert!(bench.refused("disk commit first --keep store").contains("another name"));
    assert!(bench.refused("disk commit first --force --save-as other").contains("other"));
    let reader = amber_emu::disk::Base::open(&bench.path("disk.img")).unwrap();
    assert!(bench.refused("disk commit first --force").contains("another program uses it"));
    assert!(
        bench
            .refused(&format!("run --rom {ROM} --disk disk.img,write-through"))
            .contains("another program uses")
    );
    drop(reader);
    assert_eq!(bench.read("disk.img"), image);
    bench.does("disk commit first --force");
    assert_ne!(bench.read("disk.img"), image);
    assert_eq!(std::fs::read_dir(&bench.scratch.0).unwrap().count(), 2, "nothing is left over");
}

#[test]
fn what_is_written_through_is_in_the_image_at_the_end() {
    let bench = Bench::new("images-through");
    let hash = bench.run("disk.img", "plain");
    let seen = seen_by_the_guest(&bench, "plain");
    // To the guest, and to its state, it is the same run.
    assert_eq!(bench.run("disk.img,write-through", "through"), hash);
    assert!(bench.read("disk.img") == seen);
    assert!(bench.refused("run --from plain --disk disk.img,write-through").contains("--from"));
    assert!(bench.refused("disk export through out.qcow2").contains("contents have changed"));
    std::fs::copy(ROM, bench.path("copy.img")).unwrap();
    bench.does("disk export through out.img --image copy.img");
    assert!(bench.read("out.img") == seen);
}

/// A file may have so many bytes, in units of 512 or 1024 by the shell, and the program is told, not killed.
#[cfg(target_os = "linux")]
#[test]
fn a_host_that_has_no_room_is_an_io_error_to_the_guest() {
    let bench = Bench::new("images-full");
    let words = format!("run --headless --rom {ROM} --memory 64M --disk disk.img,write-through");
    let script = format!("trap '' XFSZ; ulimit -f 1; exec {} {words}", amber().display());
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).current_dir(&bench.scratch.0).stdin(Stdio::null());
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{out}{err}");
    assert!(
        out.contains("FAIL disk0/what was written is read") && out.contains("ok disk0/a read succeeds"),
        "{out}"
    );
    assert_eq!(err.matches("cannot be written").count(), 1, "{err}");
    // To a program that writes images it is a sentence, and nothing is left behind.
    bench.run("disk.img", "end");
    for words in ["disk export end out.img", "disk export end out.qcow2", "disk commit end"] {
        let before = bench.read("disk.img");
        let store = bench.store.display();
        let script = format!("trap '' XFSZ; ulimit -f 1; exec {} {words} --store {store}", amber().display());
        let output = Command::new("sh").arg("-c").arg(script).current_dir(&bench.scratch.0).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), err.lines().count()), (Some(2), 1), "{words}: {err}");
        assert!(err.contains("cannot be written"), "{err}");
        assert_eq!(bench.read("disk.img"), before);
        assert_eq!(names(&bench.scratch.0), ["disk.img", "store"]);
    }
}

#[cfg(target_os = "linux")]
fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(unix)]
#[test]
fn a_link_leads_to_the_image_that_is_replaced_and_its_permissions_stay() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    let bench = Bench::new("images-link");
    let folder = bench.path("images");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(bench.path("disk.img"), folder.join("real.img")).unwrap();
    std::fs::set_permissions(folder.join("real.img"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("images/real.img", bench.path("disk.img")).unwrap();
    bench.run("disk.img", "end");
    let seen = seen_by_the_guest(&bench, "end");
    bench.does("disk commit end");
    assert!(std::fs::symlink_metadata(bench.path("disk.img")).unwrap().is_symlink());
    assert!(std::fs::read(folder.join("real.img")).unwrap() == seen);
    assert_eq!(std::fs::metadata(folder.join("real.img")).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_commit_cut_off_leaves_the_old_image_or_the_new_one() {
    let bench = Bench::new("images-cut");
    let mut image = bench.read("disk.img");
    image.resize(24 << 20, 0xA5);
    std::fs::write(bench.path("disk.img"), &image).unwrap();
    bench.run("disk.img", "end");
    bench.does("disk export end new.img");
    let new = bench.read("new.img");
    assert_ne!(new, image);
    let commit = || {
        let mut command = Command::new(amber());
        command.args(["disk", "commit", "end", "--save-as", "over", "--store"]).arg(&bench.store);
        command
            .current_dir(&bench.scratch.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("amber starts")
    };
    let (mut done, mut cut, mut patience) = (false, 0, 0);
    while !done {
        let mut running = commit();
        std::thread::sleep(std::time::Duration::from_millis(patience));
        let ended = running.try_wait().unwrap().is_some();
        // It may end by itself meanwhile.
        let _ = running.kill();
        running.wait().unwrap();
        let now = bench.read("disk.img");
        assert!(now == image || now == new, "after {patience} ms");
        done = now == new;
        cut += u64::from(!ended);
        patience += 3;
    }
    assert!(cut >= 2, "{cut} were cut off");
    bench.does("snapshot verify");
}
