//! A Debian guest mounts CDs and diskettes that change while it runs: its drivers of ATAPI drives and of the floppy disk
//! controller are judges. Run by name:
//!
//!     cargo test --release -p amber-tests --test debian_media -- --ignored --nocapture

use amber_tests::controlled::{Running, state_hash};
use amber_tests::debian;
use amber_tests::disks::GRUB_CD;
use amber_tests::program::{Scratch, run};
use serde_json::Value;
use std::path::Path;

/// Where an ISO 9660 has its name, and how long that is.
const VOLUME: std::ops::Range<usize> = 0x8028..0x8048;

/// A guest with a shell on serial port 0 and empty drives.
struct Guest {
    running: Running,
    log: String,
    /// Lines that were typed.
    typed: usize,
}

impl Guest {
    fn start(scratch: &Scratch, cd: &str) -> Option<Self> {
        let folder = debian()?;
        let files =
            ["vmlinuz", "media.gz", "diskette-ext2.img", "diskette-fat.img"].map(|file| folder.join(file));
        let missing =
            files.iter().map(|file| &**file).chain([Path::new(GRUB_CD)]).find(|file| !file.is_file());
        if let Some(missing) = missing {
            let missing = missing.display();
            eprintln!(
                "skipped: no {missing}; tests/fetch-debian.sh makes guests, and the CD is of grub-rescue-pc"
            );
            return None;
        }
        let [kernel, initrd, ..] = files.map(|file| file.display().to_string());
        let log = scratch.0.join("log").display().to_string();
        let append = "console=ttyS0 quiet panic=-1 mitigations=off";
        let args = ["--kernel", &kernel, "--initrd", &initrd, "--append", append, "--memory", "256M"];
        let drives = ["--cdrom", cd, "--floppy", "none", "--record", &log];
        let running = Running::start(scratch, "socket", &[&args[..], &drives].concat());
        running.until("READY", 1);
        Some(Self { running, log, typed: 0 })
    }

    fn ctl(&self, args: &[&str]) -> Result<Value, String> {
        self.running.ctl(args)
    }

    /// Has the shell do something; what it says.
    fn sh(&mut self, line: &str) -> String {
        self.typed += 1;
        // What is typed is echoed, and is not to be taken for the answer.
        let typed = format!("echo BEGIN-$((0+{n})); {line}; echo END-$((0+{n}))-$?\n", n = self.typed);
        self.ctl(&["serial", &typed]).expect("it is typed");
        let (begin, end) = (format!("BEGIN-{}\n", self.typed), format!("END-{}-", self.typed));
        self.running.until(&end, 1);
        let said = self.running.said();
        let from = said.find(&begin).expect("it began") + begin.len();
        said[from..from + said[from..].find(&end).expect("it ended")].to_owned()
    }

    /// The drive of that name.
    fn drive(&self, name: &str) -> Value {
        let list = self.ctl(&["media", "list"]).expect("a list");
        let drives = list["drives"].as_array().expect("it is a list").clone();
        drives.into_iter().find(|drive| drive["drive"] == name).expect("it is there")
    }
}

/// GRUB's CD under another name, and longer.
fn second_cd(scratch: &Scratch) -> String {
    let mut bytes = std::fs::read(GRUB_CD).expect("it is there");
    bytes[VOLUME].copy_from_slice(b"SECOND                          ");
    bytes.resize(bytes.len() + (1 << 20), 0);
    scratch.file("second.iso", &bytes).display().to_string()
}

const NAME: &str =
    "dd if=/dev/sr0 bs=2048 skip=16 count=1 2>/dev/null | dd bs=1 skip=40 count=6 2>/dev/null; echo";

fn a_guest_has_its_cds_changed(cd: &str) {
    let scratch = Scratch::new(&format!("debian-media-{}", cd.len()));
    let Some(mut guest) = Guest::start(&scratch, cd) else { return };
    let second = second_cd(&scratch);
    let none = guest.sh("mount -t iso9660 -o ro /dev/sr0 /mnt");
    assert!(none.contains("No medium found") || none.contains("failed"), "{none}");
    guest.ctl(&["insert", "cd0", GRUB_CD]).expect("it is empty");
    guest.sh("mount -t iso9660 -o ro /dev/sr0 /mnt");
    assert!(guest.sh("ls /mnt/boot").contains("grub"), "{}", guest.running.said());
    let (short, first) = (guest.sh("blockdev --getsize64 /dev/sr0"), guest.sh(NAME));
    assert_eq!(guest.drive("cd0")["held"], true, "the kernel locks what is mounted");
    // The guest lets go itself, and the tray opens with what is in it.
    assert!(guest.sh("umount /mnt; media eject /dev/sr0 && echo GONE").contains("GONE"));
    assert_eq!(guest.drive("cd0")["tray"], "open");
    guest.ctl(&["insert", "cd0", &second]).expect("the tray is open");
    assert!(guest.sh(NAME).contains("SECOND") && !first.contains("SECOND"), "{}", guest.running.said());
    guest.sh("mount -t iso9660 -o ro /dev/sr0 /mnt");
    let long: u64 = guest.sh("blockdev --getsize64 /dev/sr0").trim().parse().expect("a number");
    assert_eq!(long, short.trim().parse::<u64>().expect("a number") + (1 << 20));
    // Asked for it, a guest with something like udev lets go.
    guest.sh("media obey /dev/sr0 /mnt & true");
    let out = guest.ctl(&["eject", "cd0"]).expect("the guest lets go");
    assert_eq!(out["drive"], "cd0");
    guest.running.until("ASKED: ejected", 1);
    assert_eq!((&guest.drive("cd0")["medium"], &guest.drive("cd0")["tray"]), (&Value::Null, &"open".into()));
    let gone = guest.sh("mount -t iso9660 -o ro /dev/sr0 /mnt");
    assert!(gone.contains("No medium found") || gone.contains("failed"), "{gone}");
    // Another one in place of the one that is mounted waits as long; by force it does not.
    guest.ctl(&["insert", "cd0", &second]).expect("it is empty");
    guest.sh("kill %1; mount -t iso9660 -o ro /dev/sr0 /mnt");
    guest.ctl(&["eject", "cd0", "--force"]).expect("it is forced");
    guest.ctl(&["insert", "cd0", GRUB_CD]).expect("it is empty");
    guest.sh("umount /mnt; mount -t iso9660 -o ro /dev/sr0 /mnt");
    assert!(guest.sh("ls /mnt/boot").contains("grub") && guest.sh(NAME) == first, "{}", guest.running.said());
    let log = guest.log.clone();
    let hash = guest.running.quit();
    let replayed = run(&["replay", &log, "--hash"]);
    assert_eq!(state_hash(&replayed.stderr), hash);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn a_guest_has_its_cds_changed_at_ahci() {
    a_guest_has_its_cds_changed("none");
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn a_guest_has_its_cds_changed_at_ide() {
    a_guest_has_its_cds_changed("none,if=ide");
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn a_guest_has_its_diskettes_changed() {
    let scratch = Scratch::new("debian-diskettes");
    let Some(mut guest) = Guest::start(&scratch, "none") else { return };
    let folder = debian().expect("it is there");
    let [ext2, fat] =
        ["ext2", "fat"].map(|kind| folder.join(format!("diskette-{kind}.img")).display().to_string());
    let small = scratch.file("small.img", &vec![0x5a; 720 << 10]).display().to_string();
    assert!(
        guest.sh("dd if=/dev/fd0 of=/dev/null bs=512 count=1").contains("error"),
        "{}",
        guest.running.said()
    );
    guest.ctl(&["insert", "floppy0", &ext2]).expect("it is empty");
    guest.sh("mount -t ext2 /dev/fd0 /floppy && echo one >/floppy/first && umount /floppy");
    assert!(guest.drive("floppy0")["medium"]["written"].as_u64().is_some_and(|bytes| bytes > 0));
    guest.ctl(&["insert", "floppy0", &fat]).expect("nobody holds it");
    guest.sh("mount -t vfat /dev/fd0 /floppy && echo two >/floppy/second && umount /floppy");
    let said = guest.sh("mount -t vfat /dev/fd0 /floppy; ls /floppy; cat /floppy/second; umount /floppy");
    assert!(said.contains("second") && said.contains("two") && !said.contains("first"), "{said}");
    guest.ctl(&["insert", "floppy0", &ext2, "--read-only"]).expect("nobody holds it");
    let said = guest.sh("mount -t ext2 -o ro /dev/fd0 /floppy; ls /floppy; umount /floppy");
    assert!(said.contains("lost+found") && !said.contains("first"), "what was written went with it: {said}");
    let refused = guest.sh("dd if=/dev/zero of=/dev/fd0 bs=512 count=1");
    assert!(
        refused.contains("Read-only") || refused.contains("permitted") || refused.contains("error"),
        "{refused}"
    );
    guest.ctl(&["insert", "floppy0", &small]).expect("nobody holds it");
    let sum = guest.sh("dd if=/dev/fd0 bs=9k count=80 2>/dev/null | md5sum");
    assert!(sum.contains(&md5(&small)), "720 KiB in a drive for 1440: {sum}");
    guest.ctl(&["eject", "floppy0"]).expect("it is there");
    assert!(
        guest.sh("dd if=/dev/fd0 of=/dev/null bs=512 count=1").contains("error"),
        "{}",
        guest.running.said()
    );
    let log = guest.log.clone();
    let hash = guest.running.quit();
    let replayed = run(&["replay", &log, "--hash"]);
    assert_eq!(state_hash(&replayed.stderr), hash);
}

fn md5(file: &str) -> String {
    let output = std::process::Command::new("md5sum").arg(file).output().expect("it is in coreutils");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a sum").to_owned()
}
