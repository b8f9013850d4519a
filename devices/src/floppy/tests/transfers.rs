//! Commands that find sectors.

use super::*;

const READ: u8 = 0x46;
const WRITE: u8 = 0x45;
const MANY: u8 = 0x80;

/// The rest of a command behind its drive and side.
fn at(first: u8, drive: u8, c: u8, h: u8, r: u8, eot: u8) -> [u8; 9] {
    [first, h << 2 | drive, c, h, r, 2, eot, 0x1b, 0xff]
}

#[test]
fn dma_reads_sectors_until_its_count() {
    let mut bench = Bench::ready();
    bench.set_up_channel(0x46, 1024);
    assert_eq!(bench.run(&at(READ, 0, 0, 1, 3, 18)), [4, 0, 0, 0, 1, 5, 2]);
    let memory = &bench.world.ram.0[BUFFER..];
    assert!(memory[..1024] == *[bench.sector(0, 20), bench.sector(0, 21)].concat());
    assert!(memory[1024..2048].iter().all(|byte| *byte == 0));
    // Within a sector, too; and the last one of a track leads to the next cylinder.
    bench.set_up_channel(0x46, 100);
    assert_eq!(bench.run(&at(READ, 0, 0, 0, 18, 18)), [0, 0, 0, 1, 0, 1, 2]);
    assert!(bench.world.ram.0[BUFFER..BUFFER + 100] == bench.sector(0, 17)[..100]);
}

#[test]
fn a_multi_track_command_turns_the_diskette_over() {
    let mut bench = Bench::ready();
    assert_eq!(bench.seek(&[0x0f, 0, 5]), [0x20, 5]);
    bench.set_up_channel(0x46, 36 * 512);
    assert_eq!(bench.run(&at(READ | MANY, 0, 5, 0, 1, 18)), [4, 0, 0, 6, 0, 1, 2]);
    assert!(bench.world.ram.0[BUFFER..][..36 * 512] == bench.world.disks[0][180 * 512..][..36 * 512]);
    // Without it the end of the track is the end.
    bench.set_up_channel(0x46, 36 * 512);
    assert_eq!(bench.run(&at(READ, 0, 5, 0, 17, 18)), [0x40, 0x80, 0, 6, 0, 1, 2]);
}

#[test]
fn dma_writes_sectors() {
    let mut bench = Bench::ready();
    bench.world.ram.0[BUFFER..BUFFER + 700].fill(0xa5);
    bench.set_up_channel(0x4a, 700);
    assert_eq!(bench.run(&at(WRITE, 0, 0, 0, 2, 18)), [0, 0, 0, 0, 0, 4, 2]);
    assert!(bench.sector(0, 1).iter().all(|byte| *byte == 0xa5));
    assert_eq!(bench.sector(0, 2)[..189], [[0xa5; 188].as_slice(), &[0]].concat());
    assert!(bench.sector(0, 2)[188..].iter().all(|byte| *byte == 0), "zeroes up to the end");
    // A deleted mark has no place in an image.
    bench.set_up_channel(0x4a, 512);
    assert_eq!(bench.run(&at(0x49, 0, 0, 0, 9, 18)), [0, 0, 0, 0, 0, 10, 2]);
    assert!(bench.sector(0, 8).iter().all(|byte| *byte == 0xa5));
}

#[test]
fn without_dma_the_host_moves_the_bytes() {
    let mut bench = Bench::ready();
    bench.send(&[3, 0xdf, 3]);
    bench.send(&at(READ, 0, 0, 0, 17, 18));
    assert_eq!(bench.inb(0x3f4), 0x30);
    for n in [16, 17] {
        assert!(bench.pass() && bench.irq());
        let mut bytes = Vec::new();
        while bench.inb(0x3f4) == 0xf0 {
            bench.check_saved();
            bytes.push(bench.inb(0x3f5));
        }
        assert!(bytes == bench.sector(0, n));
    }
    assert!(bench.irq());
    assert_eq!(bench.result(), [0x40, 0x80, 0, 1, 0, 1, 2], "nobody says where it ends");
    bench.send(&at(WRITE, 0, 0, 1, 4, 4));
    assert!(bench.irq());
    for n in 0..512 {
        assert_eq!(bench.inb(0x3f4), 0xb0);
        bench.check_saved();
        bench.out(0x3f5, n as u8);
    }
    assert_eq!((bench.irq(), bench.inb(0x3f4)), (false, 0x30));
    bench.pass_all();
    assert_eq!(bench.result()[..2], [0x44, 0x80]);
    assert!(bench.sector(0, 21).iter().enumerate().all(|(n, byte)| *byte == n as u8));
}

#[test]
fn what_is_not_there_is_said() {
    let mut bench = Bench::ready();
    let mut st = |command: &[u8]| bench.run(command)[..3].to_vec();
    assert_eq!(st(&at(READ, 0, 1, 0, 1, 18)), [0x40, 4, 0x10], "another cylinder");
    assert_eq!(st(&at(READ, 0, 0, 0, 19, 19)), [0x40, 4, 0], "no such sector");
    assert_eq!(st(&at(READ, 0, 0, 0, 0, 18)), [0x40, 4, 0]);
    assert_eq!(st(&[READ, 4, 0, 0, 1, 2, 18, 0x1b, 0xff]), [0x44, 4, 0], "another head");
    assert_eq!(st(&[READ, 0, 0, 0, 1, 3, 18, 0x1b, 0xff]), [0x40, 4, 0], "another size");
    assert_eq!(st(&at(READ & !0x40, 0, 0, 0, 1, 18)), [0x40, 1, 0], "FM");
    assert_eq!(st(&at(READ, 1, 0, 0, 1, 9)), [0x41, 1, 0], "at the wrong rate");
    assert_eq!(st(&at(READ, 3, 0, 0, 1, 9)), [0x43, 1, 0], "no drive");
    bench.out(0x3f7, 2);
    let mut st = |command: &[u8]| bench.run(command)[..3].to_vec();
    assert_eq!(st(&at(READ, 1, 0, 0, 1, 9)), [1, 0, 0]);
    assert_eq!(st(&at(WRITE, 1, 0, 0, 1, 9)), [0x41, 2, 0], "protected");
    assert_eq!(st(&[0x4d, 1, 2, 9, 0x50, 0xf6]), [0x41, 2, 0]);
    bench.out(0x3f2, 0x0c);
    assert_eq!(bench.run(&at(READ, 1, 0, 0, 1, 9))[..3], [0x41, 1, 0], "its motor is off");
}

#[test]
fn a_broken_medium_and_a_closed_channel_are_errors() {
    let mut bench = Bench::ready();
    bench.world.broken = true;
    assert_eq!(bench.run(&at(READ, 0, 0, 0, 1, 18))[..3], [0x40, 0x20, 0x20]);
    bench.set_up_channel(0x4a, 512);
    assert_eq!(bench.run(&at(WRITE, 0, 0, 0, 1, 18))[..3], [0x40, 0x20, 0x20]);
    bench.world.broken = false;
    bench.out(0x0a, 6);
    assert_eq!(bench.run(&at(READ, 0, 0, 0, 1, 18))[..3], [0x40, 0x10, 0]);
}

#[test]
fn verifying_moves_nothing() {
    let mut bench = Bench::ready();
    assert_eq!(bench.run(&[0x56, 0x80, 0, 0, 2, 2, 18, 0x1b, 3]), [0, 0, 0, 0, 0, 5, 2]);
    assert_eq!(bench.run(&at(0x56, 0, 0, 0, 2, 18)), [0x40, 0x80, 0, 1, 0, 1, 2]);
    assert!(bench.world.ram.0.iter().all(|byte| *byte == 0));
}

#[test]
fn no_sector_is_marked_as_deleted() {
    let mut bench = Bench::ready();
    bench.set_up_channel(0x46, 1024);
    assert_eq!(bench.run(&at(0x4c, 0, 0, 0, 2, 18)), [0, 0, 0x40, 0, 0, 2, 2]);
    assert!(bench.world.ram.0[BUFFER..BUFFER + 512] == *bench.sector(0, 1));
    assert_eq!(bench.run(&at(0x6c, 0, 0, 0, 16, 18))[..3], [0x40, 0x80, 0], "all are skipped");
}

#[test]
fn a_track_is_read_from_its_first_sector_on() {
    let mut bench = Bench::ready();
    bench.set_up_channel(0x46, 18 * 512);
    assert_eq!(bench.run(&at(0x42, 0, 0, 0, 7, 18)), [0, 0, 0, 1, 0, 1, 2]);
    assert!(bench.world.ram.0[BUFFER..][..18 * 512] == bench.world.disks[0][..18 * 512]);
}

#[test]
fn ids_pass_as_the_diskette_turns() {
    let mut bench = Bench::ready();
    bench.seek(&[0x0f, 0, 9]);
    let first = bench.run(&[0x4a, 4]);
    assert_eq!((&first[..5], first[6]), (&[4, 0, 0, 9, 1][..], 2));
    let second = bench.run(&[0x4a, 4]);
    assert_eq!(second[5] % 18, (first[5] + 1) % 18);
    bench.out(0x3f7, 2);
    assert_eq!(bench.run(&[0x4a, 0])[..3], [0x40, 1, 0]);
}

#[test]
fn a_seek_may_be_implied() {
    let mut bench = Bench::ready();
    bench.send(&[0x13, 0, 0x40, 0]);
    assert_eq!(bench.run(&at(READ, 0, 30, 0, 1, 18)), [0x20, 0, 0, 30, 0, 2, 2]);
    assert!(bench.world.ram.0[BUFFER..BUFFER + 512] == *bench.sector(0, 30 * 36));
    assert_eq!(bench.ask(&[8]), [0x80], "it has no interrupt of its own");
}

#[test]
fn a_track_is_formatted_sector_by_sector() {
    let ids: Vec<u8> = (1..=18).flat_map(|r| [2, 1, r, 2]).collect();
    let mut bench = Bench::ready();
    bench.seek(&[0x0f, 0, 2]);
    bench.world.ram.0[BUFFER..][..72].copy_from_slice(&ids);
    bench.set_up_channel(0x4a, 72);
    let before = bench.world.disks[0].clone();
    assert_eq!(bench.run(&[0x4d, 4, 2, 18, 0x6c, 0xf6])[..3], [4, 0, 0]);
    let track = 90 * 512..108 * 512;
    assert!(bench.world.disks[0][track.clone()].iter().all(|byte| *byte == 0xf6));
    assert!(bench.world.disks[0][..track.start] == before[..track.start]);
    assert!(bench.world.disks[0][track.end..] == before[track.end..]);
    // By the host itself, two sectors.
    bench.send(&[3, 0xdf, 3]);
    bench.send(&[0x4d, 4, 2, 2, 0x6c, 0x11]);
    for byte in [[2, 1, 3, 2], [2, 1, 40, 2]].concat() {
        while bench.inb(0x3f4) != 0xb0 {
            assert!(bench.pass());
        }
        bench.out(0x3f5, byte);
    }
    bench.pass_all();
    assert_eq!(bench.result()[..3], [4, 0, 0]);
    assert!(bench.sector(0, 92).iter().all(|byte| *byte == 0x11));
    assert_eq!(bench.run(&[0x4d, 4, 2, 0, 0x6c, 0x11])[..3], [4, 0, 0], "no sectors");
}
