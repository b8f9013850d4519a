//! Debian in text: its installer, a login and a shell.

use super::{Prepared, all_there, enter, paste, picture};
use crate::desktop::await_some;
use crate::desktop::display::await_screen;
use amber_devices::DiskInterface;
use amber_emu::config::{Bios, DiskChoice, MachineConfig};
use amber_tests::sitting::Sitting;
use std::path::Path;

const INSTALLER: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";
/// Virtual seconds a boot may take.
const BOOT: u64 = 600;

#[test]
#[ignore = "cargo test --release -p amber-frontend --test window -- --ignored guests; needs debian-installer-12-netboot-amd64, xclip"]
fn the_debian_installer_is_told_a_language() {
    let [kernel, initrd] = ["linux", "initrd.gz"].map(|name| Path::new(INSTALLER).join(name));
    if !all_there(&[&kernel, &initrd], "apt-get install debian-installer-12-netboot-amd64") {
        return;
    }
    let config = MachineConfig {
        kernel: Some(kernel),
        initrd: Some(initrd),
        // The console stays in a text mode.
        append: Some("nomodeset fb=false".into()),
        memory: "1G".parse().expect("a size"),
        ..MachineConfig::default()
    };
    let prepared = Prepared::new("installer", &config, |sitting| {
        sitting.until_shown("Select a language", BOOT);
    });
    let Some(desktop) = prepared.window(&[]) else { return };
    desktop.await_text("Select a language");
    await_screen(&desktop, 1);
    // The first language with that letter is Galician, and the next one is German.
    desktop.press(&["g", "Down"]);
    await_some("a moved list", || desktop.ctl(&["text"]).filter(|text| text.contains("Icelandic")));
    desktop.press(&["Return"]);
    let text = desktop.await_text("Standort");
    assert!(text.contains("Deutschland"), "{text}");
    await_screen(&desktop, 1);
    picture(&desktop, "installer");
    desktop.press(&["Return"]);
    desktop.await_text("Tastatur");
    await_screen(&desktop, 1);
}

/// Has GRUB start the system without drivers of displays, so that its console stays in a text mode, and waits for the login.
fn boot_in_text(sitting: &mut Sitting) {
    sitting.until_shown("*Debian", 60);
    sitting.press("e");
    sitting.until_shown("setparams", 10);
    sitting.press("down down end");
    sitting.type_keys(" nomodeset");
    sitting.until_shown("nomodeset", 10);
    sitting.press("f10");
    sitting.until_shown("amber login:", BOOT);
}

#[test]
#[ignore = "cargo test --release -p amber-frontend --test window -- --ignored guests; needs seabios, xclip, and the disk of tests/build-system-disk.sh"]
fn somebody_logs_in_at_debian_and_has_it_shut_down() {
    let Some(folder) = amber_tests::debian() else { return };
    let file = folder.join("system.img");
    if !all_there(&[&file], "run tests/build-system-disk.sh") {
        return;
    }
    let config = MachineConfig {
        bios: Some(Bios::SeaBios),
        disk: vec![DiskChoice { file, interface: DiskInterface::Virtio, ..DiskChoice::default() }],
        ..MachineConfig::default()
    };
    let prepared = Prepared::new("debian", &config, boot_in_text);
    let Some(mut desktop) = prepared.window(&[]) else { return };
    for _ in 0..2 {
        desktop.await_text("amber login:");
        await_screen(&desktop, 1);
        enter(&desktop, "root");
        desktop.await_text("Password:");
        enter(&desktop, "amber");
        desktop.await_text("root@amber:~#");
        enter(&desktop, "clear; tty; uname -sr; head -1 /etc/os-release; df -h / | cat; ls -C /");
        let text = desktop.await_text("bookworm");
        assert!(text.contains("/dev/tty1") && text.contains("Linux 6.1"), "{text}");
        paste(&desktop, "echo \"pasted: $((6 * 7000))\"\n");
        desktop.await_text("pasted: 42000");
        await_screen(&desktop, 1);
        picture(&desktop, "debian");
        // Debian hears the power button, and shuts down.
        desktop.chord("o");
        desktop.await_title("ended");
        // The machine stands, and is what it was when it began.
        desktop.chord("a");
        desktop.await_title("running");
    }
    desktop.await_text("amber login:");
    desktop.chord("q");
    assert_eq!(desktop.code(), Some(0));
}
