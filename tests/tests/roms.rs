//! The first-party images in `roms/` are what their sources make.

use amber_tests::program::Scratch;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const IMAGES: [&str; 9] =
    ["selftest", "interrupts", "paging", "smp", "requests", "disk", "display", "monitor", "boottable"];

fn roms() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../roms")
}

fn run(command: &mut Command) -> Option<Output> {
    command.output().ok()
}

/// gcc's and as's versions, in the form of `compiler.txt`.
fn installed_compiler() -> Option<String> {
    let gcc = run(Command::new("gcc").arg("-dumpfullversion"))?;
    let assembler = run(Command::new("as").arg("--version"))?;
    let first = String::from_utf8_lossy(&assembler.stdout).lines().next().unwrap_or("").to_owned();
    Some(format!("{}{first}\n", String::from_utf8_lossy(&gcc.stdout)))
}

#[test]
fn images_are_what_their_sources_make() {
    let recorded = std::fs::read_to_string(roms().join("compiler.txt")).unwrap();
    let installed = installed_compiler();
    if installed.as_deref() != Some(&recorded) {
        eprintln!("skipped: images were built with {recorded:?}, installed is {installed:?}");
        return;
    }
    let out = std::env::temp_dir().join(format!("amber-roms-{}", std::process::id()));
    let built = run(Command::new("sh").arg(roms().join("build.sh")).arg(&out)).expect("sh runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for name in IMAGES.into_iter().chain(["amberctl"]) {
        let fresh = std::fs::read(out.join(name).join("image.bin")).unwrap();
        let committed = std::fs::read(roms().join(name).join("image.bin")).unwrap();
        assert!(fresh == committed, "{name}/image.bin differs from its sources: run roms/build.sh");
    }
    std::fs::remove_dir_all(&out).unwrap();
}

#[test]
fn images_end_in_a_reset_vector() {
    for name in IMAGES {
        let image = std::fs::read(roms().join(name).join("image.bin")).unwrap();
        assert!(matches!(image.len(), 0x1_0000 | 0x2_0000), "{name}: {:#x} bytes", image.len());
        assert_eq!(image[image.len() - 16], 0xE9, "{name}: a near jump");
    }
}

/// Proves the images, not Amber: the checks hold on another implementation of the PC. Time there counts instructions, as
/// timer checks fail when QEMU has to share the host.
#[test]
#[ignore = "needs qemu-system-x86_64 and half a minute"]
fn images_pass_on_qemu() {
    let scratch = Scratch::new("qemu");
    let image = std::fs::read(roms().join("disk/image.bin")).unwrap();
    for (name, cpus) in
        [("selftest", 1), ("interrupts", 1), ("paging", 1), ("smp", 1), ("smp", 4), ("disk", 1)]
    {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-M", "q35", "-nographic", "-net", "none", "-cpu", "max", "-no-reboot"])
            .args(["-icount", "shift=1,sleep=off", "-rtc", "clock=vm"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-smp", &cpus.to_string(), "-bios"])
            .arg(roms().join(name).join("image.bin"))
            .stdin(Stdio::null());
        if name == "disk" {
            for (slot, read_only) in [(3, "off"), (4, "on")] {
                let file = scratch.file(&format!("disk{slot}.img"), &image);
                qemu.args([
                    "-drive",
                    &format!("if=none,id=d{slot},format=raw,file={},readonly={read_only}", file.display()),
                ]);
                qemu.args([
                    "-device",
                    &format!("virtio-blk-pci,drive=d{slot},addr={slot},disable-legacy=on"),
                ]);
            }
        }
        let output = run(&mut qemu).expect("qemu-system-x86_64 is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        let bad: Vec<_> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
        assert_eq!(output.status.code(), Some(33), "{name} with {cpus} vCPUs: {bad:?}");
    }
}
