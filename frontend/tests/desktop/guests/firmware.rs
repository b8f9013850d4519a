//! What is there without a system: the monitor, GRUB, OVMF.

use super::{Prepared, all_there, await_same, clipboard, enter, go_on, paste, picture, window};
use crate::desktop::display::await_screen;
use crate::desktop::{Desktop, await_some};
use amber_emu::config::{MachineConfig, Uefi};
use amber_tests::disks::GRUB_CD;
use std::path::Path;

const SEABIOS: &str = "/usr/share/seabios/bios-256k.bin";
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

/// Waits until the text of the serial port has a word.
fn await_terminal(desktop: &Desktop, word: &str) {
    await_some(word, || {
        desktop.chord("c");
        clipboard(desktop).contains(word).then_some(())
    });
}

#[test]
#[ignore = "cargo test --release -p amber-frontend --test window -- --ignored guests; needs xclip"]
fn the_monitor_is_typed_at_in_its_terminal() {
    if !all_there(&[], "") {
        return;
    }
    let Some(desktop) = window("monitor", &["--firmware", "monitor"]) else { return };
    await_terminal(&desktop, "help");
    enter(&desktop, "help");
    await_terminal(&desktop, "show physical memory");
    picture(&desktop, "monitor");
}

#[test]
#[ignore = "cargo test --release -p amber-frontend --test window -- --ignored guests; needs seabios, grub-rescue-pc, xclip"]
fn the_menu_of_grub_and_its_shell_and_the_reset_button() {
    if !all_there(&[Path::new(SEABIOS), Path::new(GRUB_CD)], "apt-get install seabios grub-rescue-pc") {
        return;
    }
    let Some(desktop) = window("grub", &["--bios", "--cdrom", GRUB_CD]) else { return };
    desktop.await_text("*GNU/Linux");
    await_screen(&desktop, 1);
    desktop.press(&["Down"]);
    let text = desktop.await_text("*GNU (aka GNU/Hurd)");
    assert!(!text.contains("*GNU/Linux"), "one entry is chosen\n{text}");
    await_screen(&desktop, 1);
    picture(&desktop, "grub");
    desktop.press(&["c"]);
    desktop.await_text("grub>");
    enter(&desktop, "set word=typed");
    paste(&desktop, "echo \"<$word & pasted: it's ~100% {OK}>\"\n");
    desktop.await_text("<typed & pasted: it's ~100% {OK}>");
    desktop.chord("c");
    await_some("a copy of the screen", || clipboard(&desktop).contains("<typed & pasted").then_some(()));
    await_screen(&desktop, 1);
    desktop.chord("r");
    let text = desktop.await_text("*GNU/Linux");
    assert!(!text.contains("pasted"), "it began anew\n{text}");
    await_screen(&desktop, 1);
}

#[test]
#[ignore = "cargo test --release -p amber-frontend --test window -- --ignored guests; needs ovmf, xclip"]
fn the_shell_of_ovmf_and_its_setup() {
    if !all_there(&[Path::new(OVMF)], "apt-get install ovmf") {
        return;
    }
    let config = MachineConfig { uefi: Some(Uefi::default()), ..MachineConfig::default() };
    let mut prepared = Prepared::new("ovmf", &config, |sitting| {
        sitting.until_said("to skip startup.nsh", 120);
        sitting.press("esc");
        sitting.until_said("Shell>", 60);
        go_on(sitting, 1000);
    });
    let Some(desktop) = prepared.window(&[]) else { return };
    let sitting = &mut prepared.sitting;
    // This screen is larger than the window, which shows it smaller.
    await_same(&desktop, sitting, "the shell");
    sitting.type_keys("exit\n");
    sitting.until_said("Boot Maintenance Manager", 60);
    go_on(sitting, 1000);
    enter(&desktop, "exit");
    await_same(&desktop, sitting, "the setup");
    await_screen(&desktop, 1);
    // Past the language and the devices, to what can be booted.
    for _ in 0..2 {
        sitting.press("down");
        go_on(sitting, 1000);
        desktop.press(&["Down"]);
        await_same(&desktop, sitting, "the next line");
        await_screen(&desktop, 1);
    }
    picture(&desktop, "ovmf");
    sitting.press("enter");
    sitting.until_said("Boot Manager Menu", 60);
    go_on(sitting, 1000);
    desktop.press(&["Return"]);
    await_same(&desktop, sitting, "the boot manager");
    await_screen(&desktop, 1);
}
