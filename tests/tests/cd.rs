//! SeaBIOS and GRUB start from a CD, at each controller that takes one.

use amber_emu::cli::build;
use amber_emu::config::{Bios, CdChoice, MachineConfig};
use amber_emu::machine::Stop;
use amber_tests::cuts::run;
use amber_tests::disks::GRUB_CD;
use std::path::Path;

#[test]
fn grub_starts_from_a_cd_at_ahci() {
    grub_starts(false);
}

#[test]
fn grub_starts_from_a_cd_at_ide() {
    grub_starts(true);
}

fn grub_starts(at_ide: bool) {
    let (bios, cd) = (Path::new("/usr/share/seabios/bios-256k.bin"), Path::new(GRUB_CD));
    if !bios.is_file() || !cd.is_file() {
        eprintln!("skipped: apt-get install seabios grub-rescue-pc");
        return;
    }
    let config = MachineConfig {
        bios: Some(Bios::File(bios.to_owned())),
        cdrom: vec![CdChoice { file: Some(cd.to_owned()), at_ide }],
        memory: "64M".parse().unwrap(),
        ..MachineConfig::default()
    };
    let mut machine = build::machine(&config).unwrap();
    let mut seen = String::new();
    while !seen.contains("GNU GRUB") {
        let next = machine.step() + 100_000_000;
        assert!(next < 20_000_000_000, "no GRUB on the screen: {seen}");
        assert_eq!(run(&mut machine, next), Stop::Step);
        seen = machine.screen_text().unwrap_or_default();
    }
}
