//! Configuration space by both mechanisms, and what is at the addresses that BARs are given.

use super::{Bench, CHIP, Chip, Random, survives};
use crate::operation::Op;
use amber_devices::Backing;

/// Functions: the bridges, those in slots, and one that is not there.
const FUNCTIONS: [u32; 14] =
    [0x00, 0x08, 0x18, 0x20, 0x28, 0x60, 0x98, 0xa0, 0xa8, 0xf8, 0xfa, 0xfb, 0xc8, 0x1_00];
/// Where things are: RAM, video memory, ECAM, the chipset's own registers, the local APICs, flash, and the ends of it all.
const ADDRESSES: [u64; 16] = [
    0,
    0x1000,
    0xa_0000,
    0xb_8000,
    0xe_0000,
    0x1f_f000,
    0xb000_0000,
    0xb000_8000,
    0xfe00_0000,
    0xfec0_0000,
    0xfed0_0000,
    0xfed1_c000,
    0xfee0_0000,
    0xfffc_0000,
    0xffff_ffff,
    0x1_0000_0000,
];

fn configure(bench: &mut Bench, random: &mut Random) {
    let function = random.of(&FUNCTIONS);
    let bar = 0x10 + 4 * random.below(6) as u32;
    let register =
        random.of(&[4, bar, bar, bar, 0x30, 0x3c, 0x60, 0x64, 0x90, 0x9c, 0xf0, random.0 as u32 & 0xfc]);
    let (size, at) = (random.of(&[4, 4, 2, 1]), random.below(4) as u32);
    let address = random.of(&ADDRESSES) | random.of(&[0, 0, 1, 4, 8, 0xffff_ffff]);
    let value = match register {
        4 => random.of(&[0, 2, 3, 6, 7, 0x407]),
        _ => address,
    };
    if random.below(2) == 0 {
        bench.act(&Op::Out { port: 0xcf8, size: 4, value: 0x8000_0000 | function << 8 | register });
        let port = 0xcfc + if size == 4 { 0 } else { at as u16 };
        match random.below(4) {
            0 => bench.act(&Op::In { port, size }),
            _ => bench.act(&Op::Out { port, size, value: value as u32 }),
        };
    } else {
        let gpa = 0xb000_0000 + u64::from(function << 12 | register + if size == 4 { 0 } else { at });
        bench.act(&Op::Write { gpa, size, value });
    }
}

/// Something is done where a device answers now, or where things usually are.
fn reach(bench: &mut Bench, random: &mut Random) {
    let map = bench.platform.memory_map(random.below(2) == 0);
    assert!(map.windows(2).all(|pair| pair[0].end() <= pair[1].base), "{map:x?}");
    let devices: Vec<_> = map.iter().filter(|range| range.write == Backing::Device).collect();
    let gpa = match devices.is_empty() || random.below(4) == 0 {
        true => random.of(&ADDRESSES) + random.below(0x1000),
        false => {
            let range = random.of(&devices);
            range.base + random.below(range.len)
        }
    };
    bench.mmio(random, gpa, &ADDRESSES);
}

fn act(bench: &mut Bench, random: &mut Random) {
    match random.below(8) {
        0 => reach(bench, random),
        1 => {
            let port = random.of(&[0xc000, 0xc004, 0x600, 0x700, 0xcf8, 0]) + random.below(16) as u16;
            bench.pio(random, port, &ADDRESSES);
        }
        _ => configure(bench, random),
    }
}

#[test]
fn configuration_space() {
    survives(&Chip { act, ..CHIP });
}

#[test]
fn configuration_space_before_firmware() {
    survives(&Chip { act, sleeps: true, ..CHIP });
}
