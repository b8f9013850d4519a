//! Random numbers, a console and a share, all on virtio.

use super::*;
use amber_devices::Dma;

/// The registers of random numbers, console and share, where the chipset comes up with them, and their configuration spaces.
pub const RNG: u64 = 0xfe02_4000;
pub const CONSOLE: u64 = 0xfe02_c000;
pub const SHARE: u64 = 0xfe03_4000;
pub const RNG_CONFIG: u64 = ECAM + 0xb_0000;
pub const CONSOLE_CONFIG: u64 = ECAM + 0xb_8000;
pub const SHARE_CONFIG: u64 = ECAM + 0xc_0000;

pub const TARGETS: [Target; 3] = [
    Target {
        name: "virtio-rng",
        ports: &[],
        windows: &[(RNG, 0x40), (RNG + 0x3000, 4), (RNG_CONFIG, 0x80)],
        prelude: numbers_are_drawn,
    },
    Target {
        name: "virtio-console",
        ports: &[],
        windows: &[
            (CONSOLE, 0x40),
            (CONSOLE + 0x3000, 0x18),
            (CONSOLE + 0x3000, 0x18),
            (CONSOLE_CONFIG, 0x80),
        ],
        prelude: console_is_written,
    },
    Target {
        name: "virtio-9p",
        ports: &[],
        windows: &[(SHARE + 0x14, 1), (SHARE + 0x3000, 4), (SHARE + 0x3000, 4), (SHARE_CONFIG + 4, 2)],
        prelude: share_is_used,
    },
];

/// The driver agreed, and these queues are on, all at one place: with 8 entries each, of which the first two are offered.
fn virtio_is_ready(registers: u64, config: u64, features: u64, queues: &[u64]) -> Vec<Op> {
    let mut ops = vec![Op::Write { gpa: config + 4, size: 2, value: 6 }];
    let mut set = |at: u64, size: u8, value: u64| ops.push(Op::Write { gpa: registers + at, size, value });
    for (at, size, value) in
        [(0x14, 1, 3), (8, 4, 1), (12, 4, 1), (8, 4, 0), (12, 4, features), (0x14, 1, 0xb)]
    {
        set(at, size, value);
    }
    for queue in queues {
        for (at, size, value) in [(0x16, 2, *queue), (0x20, 8, TABLE), (0x28, 8, DRIVER), (0x30, 8, USED)] {
            set(at, size, value);
        }
        for (at, value) in [(0x18, 8), (0x1a, 1), (0x1c, 1)] {
            set(at, 2, value);
        }
    }
    set(0x14, 1, 0xf);
    for n in 0..8u64 {
        ops.push(Op::Poke(DRIVER + 4 + 2 * n, vec![n as u8, 0]));
    }
    ops
}

/// Two requests for random numbers are in flight.
fn numbers_are_drawn() -> Vec<Op> {
    let mut ops = virtio_is_ready(RNG, RNG_CONFIG, 0, &[0]);
    for n in 0..8u64 {
        let buffer = descriptor(BUFFERS + 0x100 * n, 64, 2, 0);
        ops.push(Op::Poke(TABLE + 16 * n, buffer.to_vec()));
    }
    ops.push(Op::Poke(DRIVER + 2, vec![2, 0]));
    ops.push(Op::Write { gpa: RNG + 0x3000, size: 2, value: 0 });
    ops
}

/// Two writes to the console are in flight; the device answers what its messages say.
fn console_is_written() -> Vec<Op> {
    let mut ops = virtio_is_ready(CONSOLE, CONSOLE_CONFIG, 2, &[1, 3]);
    for n in 0..8u64 {
        ops.push(Op::Poke(TABLE + 16 * n, descriptor(BUFFERS + 8 * n, 8, 0, 0).to_vec()));
        ops.push(Op::Poke(BUFFERS + 8 * n, vec![n as u8 & 1, 0, 0, 0, 3 * (n as u8 & 3), 0, 1, 0]));
    }
    ops.push(Op::Poke(DRIVER + 2, vec![2, 0]));
    ops.push(Op::Write { gpa: CONSOLE + 0x3004, size: 2, value: 1 });
    ops
}

/// Four messages for the share are offered, of which two are in flight: a fid for the root, a file by another one, what is
/// written to it, and what it is then.
fn share_is_used() -> Vec<Op> {
    let mut ops = virtio_is_ready(SHARE, SHARE_CONFIG, 0, &[0]);
    let text = |text: &[u8]| [&(text.len() as u16).to_le_bytes(), text].concat();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let messages = [
        (104, [words(&[0, !0]), text(b""), text(b""), words(&[5])].concat()),
        (14, [words(&[0]), text(b"name"), words(&[2, 0o644, 0])].concat()),
        (118, [words(&[0, 3, 0, 4]), b"text".to_vec()].concat()),
        (24, words(&[0, 0x7ff, 0])),
    ];
    for (n, (kind, body)) in (0u64..).zip(messages) {
        let mut message = (7 + body.len() as u32).to_le_bytes().to_vec();
        message.extend([kind, n as u8, 0]);
        message.extend(body);
        let (buffer, next) = (BUFFERS + 0x400 * n, 2 * n + 1);
        ops.push(Op::Poke(TABLE + 32 * n, descriptor(buffer, message.len() as u32, 1, next as u16).to_vec()));
        ops.push(Op::Poke(TABLE + 16 * next, descriptor(buffer + 0x200, 0x200, 2, 0).to_vec()));
        ops.push(Op::Poke(buffer, message));
        ops.push(Op::Poke(DRIVER + 4 + 2 * n, vec![2 * n as u8, 0]));
    }
    ops.push(Op::Poke(DRIVER + 2, vec![2, 0]));
    ops.push(Op::Write { gpa: SHARE + 0x3000, size: 2, value: 0 });
    ops.push(Op::Poke(DRIVER + 2, vec![4, 0]));
    ops
}

#[test]
fn the_preludes_of_virtio_have_something_in_flight_that_lands() {
    for (prelude, registers, count) in [
        (numbers_are_drawn as fn() -> _, RNG, 2),
        (console_is_written, CONSOLE, 2),
        (share_is_used, SHARE, 2),
    ] {
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &prelude());
        assert_eq!(platform.mmio_read(&mut memory, registers + 0x14, 1), 0xf, "no reset is needed");
        run(&mut platform, &mut memory, &[Op::Advance(1_000_000)]);
        let mut used = [0; 4];
        memory.read(USED, &mut used);
        assert_eq!(used[2], count);
    }
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &share_is_used());
    let rest = [Op::Write { gpa: SHARE + 0x3000, size: 2, value: 0 }, Op::Advance(1_000_000)];
    run(&mut platform, &mut memory, &rest);
    let mut answer = [0; 64];
    memory.read(BUFFERS + 0xe00, &mut answer);
    assert_eq!(
        (answer[4], answer[7 + 8 + 13 + 4 + 4 + 4 + 8 + 8]),
        (25, 7),
        "it has 3 bytes of nothing and 4 of text"
    );
}
