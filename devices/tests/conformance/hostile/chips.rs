//! The chips with registers of their own.

use super::{Bench, CHIP, Chip, Random, survives};
use crate::operation::Op;

/// Interrupts are acknowledged and ended.
fn acknowledge(bench: &mut Bench, random: &mut Random) {
    bench.reached += u64::from(bench.platform.intr());
    match random.below(2) {
        0 => bench.act(&Op::Intack),
        _ => bench.act(&Op::Eoi(random.next() as u8)),
    };
}

/// Bytes come in at the serial ports, more than there is room for.
fn receive(bench: &mut Bench, random: &mut Random) {
    let bytes = vec![random.next() as u8; random.below(80) as usize];
    bench.reached += bench.act(&Op::Serial(random.below(3) as u8, bytes));
}

/// Keys, motions and the power button.
fn press(bench: &mut Bench, random: &mut Random) {
    bench.reached += u64::from(bench.platform.intr());
    let pressed = random.below(3) != 0;
    match random.below(4) {
        0 => bench.act(&Op::Mouse(random.next() as i8, random.next() as i8)),
        1 if pressed => bench.act(&Op::PowerButton),
        _ => bench.act(&Op::Key(random.next() as u8, pressed)),
    };
}

/// Numeric errors come and go.
fn ferr(bench: &mut Bench, random: &mut Random) {
    bench.act(&Op::Ferr(random.below(2) != 0));
}

/// A command for fw_cfg in memory, which may lie over what it writes, and the way to it.
fn command(bench: &mut Bench, random: &mut Random) {
    let control = random.of(&[2, 0xa, 0x8, 0x4, 0xc, 0x10, 0x1f]) | random.below(0x60) << 16;
    let len = random.of(&[0, 1, 16, 0x1000, 0x4000, 0xffff_ffff, random.0 & 0xffff_ffff]);
    let near = random.below(0x4000);
    let address = random.of(&[near, near, 0x1f_f000, 0xfee0_0000, u64::MAX - 3, random.0]);
    let mut bytes = (control as u32).to_be_bytes().to_vec();
    bytes.extend((len as u32).to_be_bytes());
    bytes.extend(address.to_be_bytes());
    let at = random.of(&[near, near & !0xf, 0x3ff8]);
    bench.act(&Op::Poke(at, bytes));
    let at = random.of(&[at, at, at, address, 0xffff_fff0]) as u32;
    bench.act(&Op::Out { port: 0x514, size: 4, value: random.of(&[0, 0, 0, u32::MAX]) });
    bench.act(&Op::Out { port: 0x518, size: 4, value: at.swap_bytes() });
}

/// Wakes up what sleeps, by whatever there is; firmware switches power management on again.
fn wake(bench: &mut Bench, random: &mut Random) {
    bench.reached += u64::from(bench.platform.asleep());
    match random.below(4) {
        0 => press(bench, random),
        1 => bench.advance(random),
        2 => {
            // An alarm at every second.
            for (port, value) in [
                (0x70, 1),
                (0x71, 0xc0),
                (0x70, 3),
                (0x71, 0xc0),
                (0x70, 5),
                (0x71, 0xc0),
                (0x70, 0xb),
                (0x71, 0x22),
            ] {
                bench.act(&Op::Out { port, size: 1, value });
            }
        }
        _ => {
            for (register, value) in [(0x40, 0x601), (0x44, 0x80)] {
                bench.act(&Op::Out { port: 0xcf8, size: 4, value: 0x8000_f800 | register });
                bench.act(&Op::Out { port: 0xcfc, size: 4, value });
            }
            for value in [random.next() as u32, 0x2401] {
                bench.act(&Op::Out { port: 0x604, size: 2, value });
            }
        }
    }
}

#[test]
fn pic() {
    let ports = &[(0x20, 2), (0xa0, 2), (0x4d0, 2)];
    let words = &[0x11, 0x13, 0x19, 0x20, 0x0b, 0x0c, 0x60, 0xa0, 0xe0, 0x68, 0xc3, 4, 2, 1, 3, 0x1f];
    assert!(survives(&Chip { ports, words, act: acknowledge, ..CHIP }) > 1000);
}

#[test]
fn pit() {
    let words = &[0x30, 0x34, 0x36, 0x3a, 0x70, 0x74, 0xb0, 0xb6, 0xe2, 0xc2, 0xd2, 0, 1, 2, 0xffff];
    assert!(survives(&Chip { ports: &[(0x40, 4), (0x61, 1)], words, act: acknowledge, ..CHIP }) > 1000);
}

#[test]
fn rtc() {
    let words = &[0xa, 0xb, 0xc, 0xd, 0x32, 0x26, 0x2f, 0x21, 0x72, 0x82, 0xc0, 0x99, 0x59, 0x23, 0x80];
    assert!(survives(&Chip { ports: &[(0x70, 4)], words, act: acknowledge, ..CHIP }) > 1000);
}

#[test]
fn ioapic() {
    let words = &[0x10, 0x11, 0x3f, 0, 0x1_0000, 0x8020, 0xa030, 0x100, 0x200, 0x400, 0x500, 0x700, 0x20];
    let windows = &[(0xfec0_0000, 0x20), (0xfec0_0000, 0x60)];
    let ports = &[(0x40, 4), (0x3f9, 1)];
    survives(&Chip { ports, windows, words, act: acknowledge, ..CHIP });
}

#[test]
fn hpet() {
    let words = &[1, 2, 3, 0x4e, 0x4c, 0x14c, 0x2e04, 0x2006, 10, 1000, 100_000, u32::MAX as u64, u64::MAX];
    let windows = &[(0xfed0_0000, 0x180), (0xfed0_0010, 8), (0xfed0_0100, 0x60)];
    survives(&Chip { windows, words, act: acknowledge, ..CHIP });
}

#[test]
fn power_management() {
    let words = &[0x2001, 0x2401, 0x2801, 0x3c01, 1, 0x100, 0x400, 2, 3, 0x23, u32::MAX as u64];
    survives(&Chip { ports: &[(0x600, 0x80), (0xb2, 2), (0x600, 8)], words, act: press, ..CHIP });
}

#[test]
fn suspend() {
    let words = &[0x2401, 0x2401, 1, 0x100, 0x500, 2, 3, 0xb, 0x22, 0x72];
    let ports = &[(0x600, 8), (0x70, 2), (0xb2, 2), (0xcf8, 8)];
    assert!(survives(&Chip { ports, words, sleeps: true, act: wake, ..CHIP }) > 1000);
}

#[test]
fn uarts() {
    let words = &[0x80, 0x83, 3, 0x1f, 0x10, 0xc7, 7, 1, 0xf, 0, 0x60];
    assert!(survives(&Chip { ports: &[(0x3f8, 8), (0x2f8, 8)], words, act: receive, ..CHIP }) > 1000);
}

#[test]
fn i8042() {
    let words = &[
        0xd4, 0x60, 0x20, 0xaa, 0xf0, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xff, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb,
        0xec, 0xee, 0xed, 0xd1, 0xd2, 0xd3, 0xa7, 0xa8, 0xad, 0xae, 200, 100, 80, 10, 1, 2, 3, 0x47, 0x73,
    ];
    assert!(survives(&Chip { ports: &[(0x60, 1), (0x64, 1)], words, act: press, ..CHIP }) > 1000);
}

#[test]
fn single_ports() {
    let ports = &[(0x80, 1), (0x92, 1), (0xe9, 1), (0x402, 1), (0xf4, 4), (0xcf9, 1)];
    survives(&Chip { ports, words: &[0, 1, 2, 3, 6, 4, 0xe], ..CHIP });
}

#[test]
fn coprocessor() {
    survives(&Chip { ports: &[(0xf0, 2)], act: ferr, ..CHIP });
}

#[test]
fn dma() {
    let words = &[0x40, 0xc0, 0x46, 0x4a, 0x56, 0x20, 0xff, 0, 2, 4, 6, 0x10, 0x1b];
    let ports = &[(0, 16), (0x80, 16), (0xc0, 32), (0x3f0, 8), (0x3f5, 1)];
    survives(&Chip { ports, words, ..CHIP });
}

#[test]
fn fw_cfg() {
    survives(&Chip {
        ports: &[(0x510, 12)],
        words: &[0, 1, 0x19, 0x20, 0x21, 0x4000, 0xffff],
        act: command,
        ..CHIP
    });
}

#[test]
fn virtio_transport() {
    use crate::drivers::virtio_blk::{DISK, MSIX};
    let windows = &[
        (DISK, 0x40),
        (DISK, 0x40),
        (DISK + 0x1000, 4),
        (DISK + 0x2000, 0x40),
        (DISK + 0x3000, 8),
        (MSIX, 0x40),
        (MSIX + 0x800, 8),
        (crate::drivers::ECAM + 0x1_8000, 0x100),
    ];
    let words = &[0, 1, 3, 0xb, 0xf, 8, 0x8000, 0x1000, 0x1800, 0x1c00, 0xfee0_0000, u64::MAX, 0xffff, 6];
    survives(&Chip { windows, words, ..CHIP });
}
