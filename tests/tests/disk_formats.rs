//! qemu-img as the judge: images of all kinds hold for Amber what they hold for QEMU, and those Amber writes are sound.
//! Needs qemu-img and qemu-io (Debian: qemu-utils); run by name, with --ignored.

use amber_emu::disk::{Base, Hold, Image};
use amber_tests::Random;
use amber_tests::program::{Scratch, amber};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of the disk: no whole number of clusters.
const LEN: usize = (3 << 20) + 3 * 512;

/// Runs a program in a folder; whether it went well, and all it said.
fn says(folder: &Path, words: &str) -> (bool, String) {
    let mut words = words.split(' ');
    let program = words.next().unwrap();
    let output = Command::new(program).args(words).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; apt-get install qemu-utils"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn does(folder: &Path, words: &str) -> String {
    let (well, text) = says(folder, words);
    assert!(well, "{words}: {text}");
    text
}

fn disk() -> Vec<u8> {
    let mut random = Random(7);
    let mut disk = Vec::new();
    while disk.len() < LEN {
        match random.below(4) {
            0 => disk.extend([0; 4096]),
            1 => disk.extend((0..4096).map(|_| random.below(256) as u8)),
            n => disk.extend([n as u8 | 0x40; 4096]),
        }
    }
    disk.truncate(LEN);
    disk
}

/// The image holds for Amber what it holds for QEMU.
fn judge(folder: &Path, image: &str) {
    does(folder, &format!("qemu-img convert -O raw {image} judge.raw"));
    let expected = fs::read(folder.join("judge.raw")).unwrap();
    let opened = Image::open(&folder.join(image), None, Hold::Read).unwrap();
    assert_eq!(opened.size() as usize, expected.len(), "{image}");
    let mut random = Random(expected.len() as u64);
    let mut whole = vec![0; expected.len()];
    opened.read(0, &mut whole).unwrap();
    assert!(whole == expected, "{image}");
    for _ in 0..200 {
        let at = random.below(expected.len() as u64) as usize;
        let len = (1 + random.below(9000) as usize).min(expected.len() - at);
        opened.read(at as u64, &mut whole[..len]).unwrap();
        assert!(whole[..len] == expected[at..at + len], "{image} at {at}, {len} bytes");
    }
}

#[test]
#[ignore = "needs qemu-utils; run by name"]
fn images_of_all_kinds_are_read_as_qemu_reads_them() {
    let scratch = Scratch::new("formats-read");
    let folder = &*scratch.0;
    fs::write(folder.join("src.raw"), disk()).unwrap();
    let mut kinds = Vec::new();
    for cluster in ["512", "4k", "64k", "2M"] {
        kinds.extend(["0.10", "1.1"].map(|compat| format!("-o compat={compat},cluster_size={cluster}")));
        kinds.extend(["0.10", "1.1"].map(|compat| format!("-c -o compat={compat},cluster_size={cluster}")));
        kinds.push(format!("-c -o compression_type=zstd,cluster_size={cluster}"));
    }
    for cluster in ["16k", "64k", "2M"] {
        kinds.push(format!("-o extended_l2=on,cluster_size={cluster}"));
        kinds.push(format!("-c -o extended_l2=on,compression_type=zstd,cluster_size={cluster}"));
    }
    kinds.extend(["metadata", "falloc", "full"].map(|how| format!("-o preallocation={how}")));
    for kind in kinds {
        does(folder, &format!("qemu-img convert -O qcow2 {kind} src.raw made.qcow2"));
        judge(folder, "made.qcow2");
        write(folder, "made.qcow2", &["write -P 9 1M 100k", "write -z 2M 70k", "discard 64k 300k"]);
        judge(folder, "made.qcow2");
    }
    does(folder, "qemu-img snapshot -c kept made.qcow2");
    write(folder, "made.qcow2", &["write -P 5 0 64k"]);
    judge(folder, "made.qcow2");
}

/// Has qemu-io do these things.
fn write(folder: &Path, image: &str, things: &[&str]) {
    let things: Vec<&str> = things.iter().flat_map(|thing| ["-c", thing]).collect();
    let output = Command::new("qemu-io")
        .args(&things)
        .arg(image)
        .current_dir(folder)
        .output()
        .expect("qemu-io starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.is_empty(), "{things:?}: {text}");
}

#[test]
#[ignore = "needs qemu-utils; run by name"]
fn chains_are_read_as_qemu_reads_them() {
    let scratch = Scratch::new("formats-chains");
    let folder = &*scratch.0;
    fs::write(folder.join("src.raw"), disk()).unwrap();
    let over = |name: &str, below: &str, options: &str, things: &[&str]| {
        let format = if below.ends_with("raw") { "raw" } else { "qcow2" };
        does(folder, &format!("qemu-img create -q -f qcow2 -b {below} -F {format} {name} {options}"));
        write(folder, name, things);
        judge(folder, name);
    };
    over("1.qcow2", "src.raw", "5M", &["write -P 9 1M 100k", "write -z 64k 128k", "write -c -P 5 2M 64k"]);
    over(
        "2.qcow2",
        "1.qcow2",
        "-o extended_l2=on",
        &["write -P 8 1M 10k", "write -z 200k 2k", "discard 1500k 200k"],
    );
    over("3.qcow2", "2.qcow2", "1M", &["write -P 1 1000k 512"]);
    over("4.qcow2", "3.qcow2", "4M", &["write -P 2 3M 1k"]);
    over("5.qcow2", "4.qcow2", "-o compat=0.10,cluster_size=512", &["write -P 3 700k 700"]);
}

#[test]
#[ignore = "needs qemu-utils; run by name"]
fn images_amber_writes_are_sound() {
    let scratch = Scratch::new("formats-write");
    let folder = &*scratch.0;
    let rom = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/disk/image.bin");
    fs::copy(rom, folder.join("src.raw")).unwrap();
    let amber = amber().display();
    let run = |disk: &str, name: &str| {
        let words = format!("{amber} run --headless --rom {rom} --memory 64M --store store --disk {disk}");
        let (_, text) = says(folder, &format!("{words} --save-on-exit {name}"));
        assert!(text.contains("PASS"), "{text}");
    };
    run("src.raw", "raw");
    does(folder, &format!("{amber} disk export --store store raw out.raw"));
    for (n, options) in
        ["cluster_size=512", "cluster_size=4k", "compat=0.10", "extended_l2=on", "cluster_size=2M"]
            .iter()
            .enumerate()
    {
        let (image, out) = (format!("{n}.qcow2"), format!("out{n}.qcow2"));
        does(folder, &format!("qemu-img convert -O qcow2 -o {options} src.raw {image}"));
        run(&image, &format!("s{n}"));
        does(folder, &format!("{amber} disk export --store store s{n} {out}"));
        does(folder, &format!("{amber} disk commit --store store s{n}"));
        // And as a layer over another.
        does(folder, &format!("qemu-img create -q -f qcow2 -o {options} -b src.raw -F raw top{n}.qcow2"));
        run(&format!("top{n}.qcow2"), &format!("t{n}"));
        does(folder, &format!("{amber} disk commit --store store t{n}"));
        for image in [image, out, format!("top{n}.qcow2")] {
            let checked = does(folder, &format!("qemu-img check {image}"));
            assert!(checked.contains("No errors"), "{checked}");
            does(folder, &format!("qemu-img compare {image} out.raw"));
        }
        assert!(does(folder, &format!("qemu-img info top{n}.qcow2")).contains("backing file: src.raw"));
    }
}

#[test]
#[ignore = "needs qemu-utils; run by name"]
fn qemu_and_amber_keep_out_of_each_others_way() {
    let scratch = Scratch::new("formats-locks");
    let folder = &*scratch.0;
    let image = scratch.file("disk.raw", &disk());
    let base = Base::open(&image).unwrap();
    let (well, text) = says(folder, "qemu-io -f raw -c flush disk.raw");
    assert!(!well && text.contains("write\" lock"), "{text}");
    does(folder, "qemu-img convert -f raw -O raw disk.raw copy.raw");
    drop(base);
    let mut qemu = Command::new("qemu-io");
    let mut qemu =
        qemu.args(["-f", "raw"]).arg(&image).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let locked = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        Base::open(&image).is_err_and(|error| error.to_string().contains("another program may write it"))
    });
    drop(qemu.stdin.take());
    qemu.wait().unwrap();
    assert!(locked);
    assert!(Base::open(&image).is_ok());
}
