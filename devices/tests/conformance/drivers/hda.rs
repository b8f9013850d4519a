//! The sound card.

use super::*;

/// The sound card's registers and configuration space.
pub const HDA: u64 = 0xfe01_8000;
pub const HDA_CONFIG: u64 = ECAM + 0xa_0000;

pub const TARGETS: [Target; 2] = [
    Target {
        name: "hda registers",
        ports: &[(0xcf8, 8)],
        windows: &[(HDA_CONFIG, 0x100), (HDA, 0x80), (HDA + 0x100, 0x20), (HDA + 0x2030, 4)],
        prelude: none,
    },
    Target {
        name: "hda streams",
        ports: &[],
        windows: &[
            (HDA + 0x20, 0x20),
            (HDA + 0x48, 0x22),
            (HDA + 0x80, 0x14),
            (HDA + 0x100, 0x14),
            (HDA_CONFIG + 4, 2),
        ],
        prelude: sound_is_played,
    },
];

/// The codec plays the first stream out from two buffers, and a stream in runs.
fn sound_is_played() -> Vec<Op> {
    let set = |at: u64, size: u8, value: u64| Op::Write { gpa: HDA + at, size, value };
    let mut ops = vec![Op::Write { gpa: HDA_CONFIG + 4, size: 2, value: 6 }, set(8, 4, 1)];
    for verb in [0x17_0500u64, 0x27_0500, 0x27_0610, 0x37_0740, 0x22_0011] {
        ops.extend([set(0x60, 4, verb), set(0x68, 2, 1)]);
    }
    for n in 0..2u64 {
        ops.push(Op::Poke(TABLE + 16 * n, descriptor(BUFFERS + 0x400 * n, 0x400, 1, 0).to_vec()));
    }
    for stream in [0x80, 0x100] {
        for (at, size, value) in
            [(8, 4, 0x800), (0xc, 2, 1), (0x12, 2, 0x11), (0x18, 4, TABLE), (0, 4, 0x10_001e)]
        {
            ops.push(set(stream + at, size, value));
        }
    }
    ops.extend([set(0x70, 4, DRIVER | 1), set(0x20, 4, 0xc000_00ff), set(0x80, 1, 6), set(0x100, 1, 6)]);
    ops.extend([set(0x40, 4, TABLE), set(0x50, 4, USED & !0x7f), set(0x4c, 1, 2), set(0x5c, 1, 7)]);
    ops
}

#[test]
fn the_prelude_of_sound_is_heard() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &sound_is_played());
    let log = run(&mut platform, &mut memory, &[Op::Advance(3_500_000)]);
    let heard = log.effects.iter().filter(|effect| matches!(effect, Effect::Sound(_))).count();
    assert_eq!(heard, 4 - 1, "a turn each ms");
    assert_eq!(platform.mmio_read(&mut memory, HDA + 0x104, 4), 168 * 4);
    let mut position = [0; 4];
    memory.read(DRIVER + 0x20, &mut position);
    assert_ne!(u32::from_le_bytes(position), 0);
}
