//! Diskettes that come and go.

use super::*;

const READ: [u8; 9] = [0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff];
/// No address mark.
const NOT_THERE: [u8; 3] = [0x40, 1, 0];

fn diskette(sectors: u64, read_only: bool) -> MediumConfig {
    MediumConfig { sectors, read_only }
}

/// Disk change line of the first drive, whose motor runs.
fn changed(bench: &mut Bench) -> bool {
    bench.out(0x3f2, 0x1c);
    bench.inb(0x3f7) & 0x80 != 0
}

#[test]
fn the_change_line_is_up_until_the_heads_move_over_a_diskette() {
    let mut bench = Bench::ready();
    assert_eq!(bench.seek(&[0x0f, 0, 1]), [0x20, 1]);
    assert!(!changed(&mut bench));
    bench.floppy.hold(0, None);
    assert!(changed(&mut bench));
    assert_eq!(bench.seek(&[0x0f, 0, 2]), [0x20, 2]);
    assert!(changed(&mut bench), "there is no diskette");
    assert_eq!(bench.seek(&[7, 0]), [0x20, 0]);
    assert!(changed(&mut bench), "nor is there one at track 0");
    bench.floppy.hold(0, Some(&diskette(2880, false)));
    assert!(changed(&mut bench));
    assert_eq!(bench.seek(&[0x0f, 0, 1]), [0x20, 1]);
    assert!(!changed(&mut bench));
}

#[test]
fn nothing_is_read_where_there_is_no_diskette() {
    let mut bench = Bench::ready();
    bench.send(&READ);
    bench.floppy.hold(0, None);
    bench.pass_all();
    assert_eq!(bench.result()[..3], NOT_THERE, "it was taken out under the head");
    assert_eq!(bench.run(&READ)[..3], NOT_THERE);
    assert_eq!(bench.run(&[0x4a, 0])[..3], NOT_THERE);
    bench.floppy.hold(0, Some(&diskette(2880, true)));
    assert_eq!(bench.run(&READ)[0] & 0xc0, 0);
    assert_eq!(bench.run(&[0x45, 0, 0, 0, 1, 2, 18, 0x1b, 0xff])[..2], [0x40, 2], "this one is protected");
}

#[test]
fn another_diskette_has_its_own_geometry() {
    let mut bench = Bench::ready();
    bench.floppy.hold(0, Some(&diskette(1440, false)));
    assert_eq!(bench.run(&READ)[..3], NOT_THERE, "at the rate of the first one");
    bench.out(0x3f7, 2);
    bench.set_up_channel(0x46, 512);
    assert_eq!(bench.run(&READ)[0] & 0xc0, 0);
    assert_eq!(bench.run(&[0xe6, 0, 0, 0, 10, 2, 18, 0x1b, 0xff])[..2], [0x40, 4], "a track has 9 sectors");
}

#[test]
fn a_drive_takes_what_it_reads() {
    let disk = |sectors| DiskConfig { interface: DiskInterface::Floppy, sectors, read_only: false };
    let takes = |start: u64| {
        let floppy = Floppy::new(&[disk(start)]).unwrap();
        [320, 720, 1440, 2400, 2880, 5760, 2881, 0].map(|sectors| floppy.takes(0, sectors) == Some(true))
    };
    let of = |list: [u8; 8]| list.map(|takes| takes == 1);
    assert_eq!(takes(720), of([1, 1, 0, 0, 0, 0, 0, 0]));
    assert_eq!(takes(1440), of([0, 0, 1, 0, 0, 0, 0, 0]));
    assert_eq!(takes(2400), of([0, 0, 0, 1, 0, 0, 0, 0]));
    assert_eq!(takes(2880), of([0, 0, 1, 0, 1, 0, 0, 0]));
    assert_eq!(takes(5760), of([0, 0, 1, 0, 1, 1, 0, 0]));
    assert_eq!(takes(0), takes(2880), "one that starts empty");
    assert_eq!(drive_types(&[disk(0)]), 0x40);
    assert_eq!(Floppy::new(&[disk(0)]).unwrap().takes(1, 2880), None);
}
