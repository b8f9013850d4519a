//! Drivers that do anything, and people who change the CD meanwhile: no panic, no hang, nothing off the media, and every state can be saved.

use super::*;
use crate::ata::media::CdDrives;
use crate::disk::MediumConfig;
use crate::testing::Random;

/// Accesses of a driver before the next one, with a fresh controller.
const LIFE: u64 = 500;
/// Accesses, unless `AMBER_HOSTILE` says how many.
const ACCESSES: u64 = 200_000;

const COMMANDS: [u8; 22] = [
    0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xec, 0xef, 0x2f, 0x60,
    0x91, 0xa0, 0xa1, 0x90, 0x08,
];
const PACKETS: [u8; 12] = [0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x43, 0x46, 0x4a, 0x5a, 0xa8];

fn act(bench: &mut Bench, random: &mut Random) {
    let (any, size) = (random.next(), random.of(&[1u8, 2, 4]));
    let small = (any >> 8) as u8 % 8;
    match any % 16 {
        0..=2 => {
            let (device, command) = (random.of(&[FIRST, SECOND, 0xa0, any as u8]), random.of(&COMMANDS));
            let lba = random.of(&[u32::from(small), 0xff0, random.0 as u32]);
            bench.command(device, command, lba, random.of(&[small, 0, (any >> 16) as u8]));
        }
        3 => {
            let mut packet = [0; 12];
            (packet[0], packet[5], packet[8]) = (random.of(&PACKETS), small, small);
            packet[4] = random.of(&[0, 18, 255]);
            bench.write_words(&packet);
        }
        4 | 5 => drop(bench.read_words(random.of(&[2, 18, 512, 2048]))),
        6 => bench.write_words(&vec![any as u8; random.of(&[2, 512, 8192])]),
        7 => {
            let entry = random.of(&[MEMORY, 0xffff_fff0, random.0]) | random.of(&[0, 1 << 63, 0x200 << 32]);
            bench.world.write(TABLE + u64::from(small) * 8, &entry.to_le_bytes());
            bench.bus_master(4, 4, random.of(&[TABLE, TABLE, 0xffff_fffc, random.0]));
        }
        8 => bench.bus_master(0, 1, random.of(&[0, 1, 9])),
        9 => bench.with(|ide, cx| ide.bar_write(cx, random.0 as u8 % 5, any >> 32 & 15, size, any >> 16)),
        10 => drop(bench.with(|ide, cx| ide.bar_read(cx, random.0 as u8 % 5, any >> 32 & 15, size))),
        11 if small == 0 => bench.control(any as u8 & 0x86),
        11 => bench.control(0),
        12 if small == 0 => bench.with(|ide, cx| ide.config_write(cx, any as u16 & 0xff, size, any >> 16)),
        12 => bench.with(|ide, cx| ide.config_write(cx, 4, 2, 5)),
        13 if small == 0 => bench.with(|ide, cx| ide.take_out(cx, 1)),
        13 if small < 3 => {
            let medium = MediumConfig { sectors: random.of(&[4, 1000, SECTORS]), read_only: true };
            bench.with(|ide, cx| ide.insert(cx, 1, &medium));
        }
        _ => drop(bench.pass()),
    }
}

#[test]
fn hostile_drivers_are_survived() {
    let accesses = std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok());
    let (mut random, mut written) = (Random(0x5eed), 0);
    for _ in 0..accesses.unwrap_or(ACCESSES).div_ceil(LIFE) {
        let mut bench = Bench::new();
        let media = bench.world.disks.clone();
        for _ in 0..LIFE {
            act(&mut bench, &mut random);
            assert_eq!(bench.ide.impossible(), None);
        }
        bench.check_saved();
        bench.with(|ide, cx| ide.config_write(cx, 4, 2, 5));
        for _ in 0..100 {
            bench.pass();
        }
        assert_eq!(bench.clock.next(), None, "what is under way ends, or waits for the host");
        assert!(bench.world.disks[1] == media[1], "the CD stays as it is");
        written += usize::from(bench.world.disks[0] != media[0]);
    }
    assert!(written > 10, "only {written} drivers came to write");
}
