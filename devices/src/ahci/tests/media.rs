//! Media that come and go.

use super::*;
use crate::ata::media::CdDrives;
use crate::disk::MediumConfig;
use amber_snapshot::upgraded;

/// The machine's disk that is the CD.
const DISK_OF_CD: u8 = 2;
const EJECT_REQUEST: u8 = 1;
const NEW_MEDIA: u8 = 2;
const MEDIA_REMOVAL: u8 = 3;

impl Bench {
    fn insert(&mut self, sectors: u64) {
        let medium = MediumConfig { sectors, read_only: true };
        self.world.disks[usize::from(DISK_OF_CD)] = vec![0xcd; sectors as usize * 512];
        self.with(|ahci, cx| ahci.insert(cx, DISK_OF_CD, &medium));
    }

    fn take_out(&mut self) {
        self.with(|ahci, cx| ahci.take_out(cx, DISK_OF_CD));
    }

    /// TEST UNIT READY: sense key, code and qualifier.
    fn sense(&mut self) -> (u8, u8, u8) {
        if self.packet(&[0; 12], 0) == 0 {
            return (0, 0, 0);
        }
        assert_eq!(self.packet(&[3, 0, 0, 0, 18, 0], 18), 0);
        (self.data(2, 1)[0], self.data(12, 1)[0], self.data(13, 1)[0])
    }

    /// GET EVENT STATUS NOTIFICATION, of media: the event, and what is there.
    fn event(&mut self) -> (u8, u8) {
        assert_eq!(self.packet(&[0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8], 8), 0);
        assert_eq!(self.data(0, 4), [0, 6, 4, 0x10]);
        (self.data(4, 1)[0], self.data(5, 1)[0])
    }

    /// READ CAPACITY: blocks.
    fn blocks(&mut self) -> u32 {
        assert_eq!(self.packet(&[0x25], 8), 0);
        u32::from_be_bytes(self.data(0, 4).try_into().unwrap()) + 1
    }
}

#[test]
fn a_new_medium_is_told_of_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.sense(), (6, 0x29, 0));
    assert_eq!((bench.sense(), bench.event(), bench.blocks()), ((0, 0, 0), (0, 2), 1024));
    bench.take_out();
    assert_eq!((bench.sense(), bench.sense()), ((2, 0x3a, 2), (2, 0x3a, 2)));
    assert_eq!((bench.event(), bench.event()), ((MEDIA_REMOVAL, 1), (0, 1)));
    assert_eq!(bench.packet(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1], 2048), 2);
    assert_eq!(bench.packet(&[0x25], 8), 2);
    // The tray closes over nothing.
    assert_eq!(bench.packet(&[0x1b, 0, 0, 0, 3], 0), 0);
    assert_eq!((bench.sense(), bench.event()), ((2, 0x3a, 1), (0, 0)));
    bench.insert(400);
    assert_eq!(bench.event(), (NEW_MEDIA, 2), "that is told without the attention's going");
    assert_eq!((bench.sense(), bench.sense()), ((6, 0x28, 0), (0, 0, 0)));
    assert_eq!((bench.event(), bench.blocks()), ((0, 2), 100));
    assert_eq!(bench.packet(&[0x28, 0, 0, 0, 0, 99, 0, 0, 1], 2048), 0);
    assert_eq!(bench.data(0, 1), [0xcd]);
    assert_eq!(bench.packet(&[0x28, 0, 0, 0, 0, 100, 0, 0, 1], 2048), 5, "it is shorter than the first");
    // One in place of the other, in an instant.
    bench.insert(800);
    assert_eq!((bench.event(), bench.sense(), bench.blocks()), ((NEW_MEDIA, 2), (6, 0x28, 0), 200));
}

#[test]
fn who_holds_a_medium_is_asked_for_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.sense().0, 6);
    assert_eq!(bench.packet(&[0x1e, 0, 0, 0, 1], 0), 0);
    assert_eq!(bench.ahci.tray(DISK_OF_CD).map(|tray| (tray.open, tray.locked)), Some((false, true)));
    bench.ahci.cd(DISK_OF_CD).unwrap().drive.ask_for_medium();
    assert_eq!((bench.event(), bench.event()), ((EJECT_REQUEST, 2), (0, 2)));
    assert_eq!((bench.sense(), bench.effects.drain().count()), ((0, 0, 0), 1), "the lock was told of");
    assert_eq!(bench.packet(&[0x1e, 0, 0, 0, 0], 0), 0);
    assert_eq!(bench.packet(&[0x1b, 0, 0, 0, 2], 0), 0);
    assert_eq!(bench.effects.drain().collect::<Vec<_>>(), [Effect::Tray, Effect::Tray]);
    assert_eq!((bench.event(), bench.ahci.tray(DISK_OF_CD).unwrap().open), ((MEDIA_REMOVAL, 1), true));
    assert_eq!(bench.ahci.tray(1), None, "a hard disk has no tray");
}

#[test]
fn a_reset_moves_no_tray_and_lets_go() {
    let mut bench = Bench::new();
    assert_eq!(bench.packet(&[0x1b, 0, 0, 0, 2], 0), 6);
    assert_eq!(bench.packet(&[0x1e, 0, 0, 0, 1], 0), 0);
    bench.take_out();
    bench.with(|ahci, cx| ahci.reset(cx));
    assert_eq!(bench.ahci.tray(DISK_OF_CD).map(|tray| (tray.open, tray.locked)), Some((true, false)));
    let mut bench = Bench::new();
    bench.take_out();
    bench.set(4, 1);
    assert!(bench.ahci.tray(DISK_OF_CD).unwrap().open, "nor does that of the controller alone");
}

#[test]
fn a_command_under_way_does_not_read_what_is_gone() {
    let mut bench = Bench::new();
    assert_eq!(bench.sense().0, 6);
    bench.prepare(CD, 0, fis(0xa0, 1, 0, 0), &[0x28, 0, 0, 0, 3, 0, 0, 0, 2], 4096);
    bench.set_port(CD, 0x38, 1);
    bench.insert(4);
    let before = bench.data(0, 4096).to_vec();
    assert!(bench.pass());
    let task = bench.port(CD, 0x20);
    assert_eq!((task as u8 & ERR, task >> 12 & 15), (ERR, 6));
    assert_eq!(bench.data(0, 4096), before);
}

#[test]
fn a_drive_starts_empty_and_is_saved_with_what_is_in_it() {
    let empty = DiskConfig { interface: DiskInterface::Cdrom, sectors: 0, read_only: true };
    let mut bench = Bench::new();
    bench.ahci = Ahci::new(&[empty]).unwrap();
    let drive = bench.ahci.cd(0).unwrap();
    assert!(!drive.drive.has_loaded(drive.unit) && !drive.drive.tray_open);
    let section = bench.ahci.to_section("p/ahci");
    assert_eq!(bench.ahci.clone().restored(&section).unwrap(), bench.ahci);
}

#[test]
fn sections_of_drives_whose_media_stayed_are_upgraded() {
    let mut bench = Bench::new();
    assert_eq!(bench.packet(&[0x1e, 0, 0, 0, 1], 0), 6);
    let old = upgrade::as_it_was(&bench.ahci.registers, "p/ahci");
    assert_eq!(old.version, 1);
    let new = upgraded(&[old], &[AHCI_UPGRADE]).unwrap().into_owned();
    assert_eq!(bench.ahci.restored(&new[0]).unwrap(), bench.ahci);
}
