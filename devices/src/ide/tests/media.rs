//! Media that come and go.

use super::*;
use crate::ata::media::CdDrives;
use crate::disk::MediumConfig;
use amber_snapshot::upgraded;

const CD: u8 = 1;
const READ_TWO: [u8; 12] = [0x28, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0];

impl Bench {
    fn insert(&mut self, sectors: u64) {
        let medium = MediumConfig { sectors, read_only: true };
        self.world.disks[usize::from(CD)] = vec![0xcd; sectors as usize * 512];
        self.with(|ide, cx| ide.insert(cx, CD, &medium));
    }

    fn take_out(&mut self) {
        self.with(|ide, cx| ide.take_out(cx, CD));
    }

    /// TEST UNIT READY: sense key.
    fn key(&mut self) -> u8 {
        self.packet(0, 0, [0; 12]);
        let status = self.done();
        if status & ERR == 0 { 0 } else { self.inb(1) >> 4 }
    }
}

#[test]
fn a_new_medium_is_told_of_once() {
    let mut bench = Bench::new();
    assert_eq!((bench.key(), bench.key()), (6, 0));
    bench.take_out();
    assert_eq!((bench.key(), bench.key()), (2, 2));
    bench.insert(64);
    assert_eq!((bench.key(), bench.key()), (6, 0));
    bench.packet(0, 2048, READ_TWO);
    assert_eq!(bench.done(), READY | DRQ);
    assert_eq!(bench.read_words(2048), [0xcd; 2048]);
    bench.check_saved();
}

#[test]
fn what_is_read_in_turns_ends_where_the_medium_goes() {
    for replaced in [false, true] {
        let mut bench = Bench::new();
        bench.key();
        bench.packet(0, 2048, READ_TWO);
        assert_eq!(bench.done(), READY | DRQ);
        bench.read_words(1000);
        if replaced {
            // So short that the rest would not be there.
            bench.insert(8);
        } else {
            bench.take_out();
        }
        assert_eq!(bench.ide.impossible(), None);
        assert!(bench.irq());
        assert_eq!((bench.inb(7) & (ERR | DRQ), bench.inb(1) >> 4), (ERR, 2));
        bench.check_saved();
        assert!(!bench.pass(), "nothing is under way");
        assert_eq!(bench.key(), if replaced { 6 } else { 2 });
    }
}

#[test]
fn the_bus_master_waits_for_no_medium_that_is_gone() {
    let mut bench = Bench::new();
    bench.key();
    bench.region(4096);
    bench.packet(1, 0, READ_TWO);
    bench.bus_master(0, 1, 9);
    assert!(bench.pass());
    bench.take_out();
    assert!(bench.irq());
    assert_eq!((bench.inb(7) & ERR, bench.inb(1) >> 4), (ERR, 2));
    assert!(!bench.pass());
    assert_eq!(bench.world.ram.0[MEMORY as usize..][..4096], [0; 4096]);
}

#[test]
fn a_reset_by_software_moves_no_tray() {
    let mut bench = Bench::new();
    bench.take_out();
    bench.control(4);
    bench.control(0);
    bench.command(SECOND, 0x08, 0, 0);
    assert!(bench.ide.tray(CD).unwrap().open && bench.ide.tray(0).is_none());
}

#[test]
fn sections_of_drives_whose_media_stayed_are_upgraded() {
    let mut bench = Bench::new();
    bench.packet(0, 2048, READ_TWO);
    let old = upgrade::as_it_was(&bench.ide.registers, "p/ide");
    assert_eq!(old.version, 1);
    let new = upgraded(&[old], &[IDE_UPGRADE]).unwrap().into_owned();
    assert_eq!(bench.ide.restored(&new[0]).unwrap(), bench.ide);
}
