//! A shell in a stock Debian guest searches by checkpoints: it goes back hundreds of times, whole machine and all.

use amber_tests::program::{self, Scratch};
use std::process::{Command, Stdio};

/// Digit by digit; what survives a way back is the argument alone.
const SEARCH: &str = r#"#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
amberctl probe
set -- $(amberctl checkpoint first);  a=$2
set -- $(amberctl checkpoint second); b=$2
set -- $(amberctl checkpoint third);  times=$1; c=$2
if [ $((a * a * a + b * b * b + c * c * c)) = $((a * 100 + b * 10 + c)) ] && [ $a$b$c -gt 200 ]; then
  echo "ANSWER $a$b$c"
  busybox poweroff -f
fi
[ $c = 9 ] || amberctl restore third $((c + 1))
[ $b = 9 ] || amberctl restore second $((b + 1))
amberctl restore first $((a + 1))
echo "NOT REACHED"
busybox poweroff -f
"#;

/// An archive in cpio's newc format, which the kernel reads behind the initramfs.
fn cpio(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut entry = |inode: usize, name: &str, mode: u32, bytes: &[u8]| {
        let fields =
            [inode as u32, mode, 0, 0, 1, 0, bytes.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        archive.extend(b"070701");
        archive.extend(fields.iter().flat_map(|field| format!("{field:08X}").into_bytes()));
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    };
    for (n, (name, mode, bytes)) in files.iter().enumerate() {
        entry(n + 1, name, *mode, bytes);
    }
    entry(0, "TRAILER!!!", 0, b"");
    archive
}

#[test]
#[ignore = "needs a kernel and half a minute"]
fn a_shell_in_debian_searches_by_going_back() {
    let Some(folder) = amber_tests::debian() else { return };
    let scratch = Scratch::new("debian-requests");
    let mut initrd = std::fs::read(folder.join("initrd.gz")).expect("fetched");
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    let amberctl = include_bytes!("../../roms/amberctl/image.bin");
    initrd.extend(cpio(&[("bin/amberctl", 0o100_755, amberctl), ("search", 0o100_755, SEARCH.as_bytes())]));
    let initrd = scratch.file("initrd", &initrd);
    let run = Command::new(program::amber())
        .args(["run", "--headless", "--no-reboot", "--guest-checkpoints", "8,256M", "--hash", "--kernel"])
        .arg(folder.join("vmlinuz"))
        .arg("--initrd")
        .arg(initrd)
        .args([
            "--append",
            "console=ttyS0 panic=-1 quiet rdinit=/search",
            "--limit",
            "20000000000",
            "--record",
        ])
        .arg(scratch.0.join("log"))
        .stdin(Stdio::null())
        .output()
        .expect("amber starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(said.contains("ANSWER 370"), "{said}{}", String::from_utf8_lossy(&run.stderr));
    let log = scratch.0.join("log");
    let replay = Command::new(program::amber())
        .arg("replay")
        .arg(log)
        .stdin(Stdio::null())
        .output()
        .expect("amber starts");
    let told = String::from_utf8_lossy(&replay.stderr);
    assert!(told.contains("the same run"), "{told}");
}
