//! Drivers that do anything, and people who change the diskette meanwhile: no panic, no hang, nothing off the media, and every state can be saved.

use super::*;
use crate::testing::Random;

/// Accesses of a driver before the next one, with a fresh controller.
const LIFE: u64 = 500;
/// Accesses, unless `AMBER_HOSTILE` says how many.
const ACCESSES: u64 = 200_000;

const COMMANDS: [u8; 20] = [
    0x42, 0x03, 0x04, 0x45, 0xc5, 0x46, 0xe6, 0x07, 0x08, 0x49, 0x4a, 0x4c, 0x6c, 0x4d, 0x0e, 0x0f, 0xcf,
    0x13, 0x56, 0x94,
];

fn act(bench: &mut Bench, random: &mut Random) {
    let any = random.next();
    let small = (any >> 8) as u8 % 20;
    match any % 16 {
        0..=4 => {
            let drive = random.of(&[0, 0, 4, 1, any as u8]);
            let command = [random.of(&COMMANDS), drive, small % 3, drive >> 2 & 1, small, 2, 18, 0x1b, 0xff];
            for byte in command {
                if bench.inb(0x3f4) & 0xc0 != 0x80 {
                    break;
                }
                bench.out(0x3f5, byte);
            }
        }
        5 => drop(bench.result()),
        6 => (0..random.of(&[4, 512, 700])).for_each(|_| bench.out(0x3f5, small)),
        7 => {
            for _ in 0..random.of(&[7, 512, 700]) {
                bench.inb(0x3f5);
            }
        }
        8 => bench.set_up_channel(
            random.of(&[0x46, 0x4a, 0x56, 0x5a, 0x42, any as u8 & !3 | 2]),
            1 + small as usize * 300,
        ),
        9 if small == 0 => bench.out(0x3f2, any as u8),
        9 => bench.out(0x3f2, 0x3c),
        10 => bench.out(random.of(&[0x3f4, 0x3f7]), random.of(&[0, 0, 0, 2, 0x80])),
        11 => bench.out(0x3f0 | any as u16 >> 8 & 7, (any >> 16) as u8),
        12 => bench
            .out(random.of(&[any as u16 >> 8 & 0xf, 0xc0 | any as u16 >> 8 & 0x1f, 0x81]), (any >> 16) as u8),
        13 if small < 2 => bench.floppy.hold(0, None),
        13 if small < 6 => {
            let medium = MediumConfig { sectors: random.of(&[1440, 2880]), read_only: false };
            bench.floppy.hold(0, Some(&medium));
        }
        _ => drop(bench.pass()),
    }
}

#[test]
fn hostile_drivers_are_survived() {
    let accesses = std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok());
    let (mut random, mut written) = (Random(0xf109), 0);
    for _ in 0..accesses.unwrap_or(ACCESSES).div_ceil(LIFE) {
        let mut bench = Bench::new();
        bench.out(0x3f2, 0x3c);
        let media = bench.world.disks.clone();
        for _ in 0..LIFE {
            act(&mut bench, &mut random);
            assert_eq!(bench.floppy.impossible(), None);
        }
        bench.check_saved();
        for _ in 0..600 {
            bench.pass();
        }
        assert_eq!(bench.clock.next(), None, "what is under way ends, or waits for the host");
        assert!(bench.world.disks[1] == media[1], "the protected diskette stays as it is");
        written += usize::from(bench.world.disks[0] != media[0]);
    }
    assert!(written > 10, "only {written} drivers came to write");
}
