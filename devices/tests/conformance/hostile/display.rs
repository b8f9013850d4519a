//! The display adapter, and whoever looks at its screen meanwhile.

use super::{Bench, CHIP, Chip, Random, survives};
use crate::drivers::ECAM;
use crate::drivers::vga::VGA;
use crate::memory::{Memory, VRAM, VRAM_LEN};
use crate::operation::Op;
use amber_devices::display::VideoMemory;

/// Pictures of more pixels are looked at now and then.
const LARGE: u64 = 1 << 17;

impl VideoMemory for Memory {
    fn read(&self, at: u64, into: &mut [u8]) {
        let vram = &self.0[VRAM..];
        for piece in into.chunks_mut(VRAM_LEN) {
            let at = at as usize % VRAM_LEN;
            let here = piece.len().min(VRAM_LEN - at);
            piece[..here].copy_from_slice(&vram[at..at + here]);
        }
    }
}

/// Looks at the screen.
fn look(bench: &mut Bench, random: &mut Random) {
    let scanout = bench.platform.scanout();
    let (width, height) = scanout.size();
    let pixels = u64::from(width) * u64::from(height);
    assert!(pixels <= 8 * (16 << 20) / 4, "{width}x{height}");
    assert!(scanout.memory().end <= 16 << 20, "{:x?} of video memory", scanout.memory());
    if pixels > LARGE && random.below(pixels / LARGE) != 0 {
        return;
    }
    bench.reached += 1;
    let picture = scanout.render(&bench.memory);
    assert_eq!(picture.pixels.len() as u64, pixels * 4);
    if let Some(text) = scanout.text(&bench.memory) {
        assert!(text.chars().count() as u64 <= pixels + u64::from(height), "{width}x{height}");
    }
}

/// A mode of DISPI, or a register of it; a whole register of the VGA; or a look.
fn act(bench: &mut Bench, random: &mut Random) {
    match random.below(16) {
        0 => look(bench, random),
        1..6 => {
            let index = random.below(12) as u32;
            let values = [0, 1, 0x41, 0x61, 0xff, 4, 8, 15, 16, 24, 32, 640, 800, 4096, 16_000, 0xffff];
            bench.act(&Op::Out { port: 0x1ce, size: 2, value: index });
            bench.act(&Op::Out { port: 0x1cf, size: 2, value: random.value(&values) as u32 });
        }
        6 => {
            // The palette belongs to the screen.
            bench.act(&Op::In { port: 0x3da, size: 1 });
            bench.act(&Op::Out { port: 0x3c0, size: 1, value: 0x20 });
        }
        7 => {
            bench.act(&Op::In { port: 0x3da, size: 1 });
            for value in [random.below(0x20), random.next() & 0xff] {
                bench.act(&Op::Out { port: 0x3c0, size: 1, value: value as u32 });
            }
        }
        _ => {
            let (port, registers) = random.of(&[(0x3c4, 5), (0x3ce, 9), (0x3d4, 0x19), (0x3b4, 0x19)]);
            let value = random.below(registers) | random.value(&[0, 0xff, 0x1f, 0x5f, 0x40, 0x80]) << 8;
            bench.act(&Op::Out { port, size: 2, value: value as u32 });
        }
    }
}

#[test]
fn vga() {
    let ports = &[(0x3c0, 16), (0x3d4, 7), (0x1ce, 3)];
    let windows = &[
        (0xa_0000, 0x2_0000),
        (0xb_8000, 0x8000),
        (VGA, 0x1000),
        (VGA + 0x500, 0x18),
        (ECAM + 0x8000, 0x100),
    ];
    assert!(survives(&Chip { ports, windows, words: &[0, 1, 0x0e, 0x67, 0xff, 0xffff], act, ..CHIP }) > 1000);
}
