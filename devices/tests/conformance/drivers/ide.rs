//! The IDE controller.

use super::*;

/// The IDE controller's configuration space and bus masters.
const IDE: u64 = ECAM + 0x9_8000;
const BUS_MASTERS: u16 = 0xc000;

pub const TARGETS: [Target; 2] = [
    Target {
        name: "ide registers",
        ports: &[(0x1f0, 8), (0x3f6, 1), (0x170, 8), (0x376, 1), (BUS_MASTERS, 16)],
        windows: &[(IDE, 0x100)],
        prelude: none,
    },
    Target {
        name: "ide commands",
        ports: &[(0x1f0, 2), (0x1f0, 2), (0x1f6, 2), (0x3f6, 1), (BUS_MASTERS, 8)],
        windows: &[(IDE + 4, 2)],
        prelude: ide_is_busy,
    },
];

/// The host reads the first of two sectors of a disk, and the bus master of the other channel is on.
fn ide_is_busy() -> Vec<Op> {
    let out = |port: u16, value: u32| Op::Out { port, size: 1, value };
    let mut ops = vec![Op::Write { gpa: IDE + 4, size: 2, value: 5 }];
    ops.extend(
        [(0x1f6, 0xe0), (0x1f2, 2), (0x1f3, 1), (0x1f4, 0), (0x1f5, 0), (0x1f7, 0x20)]
            .map(|(port, value)| out(port, value)),
    );
    ops.extend([Op::Advance(100_000), Op::Out { port: BUS_MASTERS + 4, size: 4, value: TABLE as u32 }]);
    ops
}

#[test]
fn the_prelude_of_ide_leaves_a_sector_for_the_host() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &ide_is_busy());
    assert_eq!(platform.pio_read(&mut memory, 0x3f6, 1), 0x58, "it is the host's turn");
    for _ in 0..256 {
        platform.pio_read(&mut memory, 0x1f0, 2);
    }
    assert_eq!(platform.pio_read(&mut memory, 0x3f6, 1), 0x80, "the second sector is under way");
    run(&mut platform, &mut memory, &[Op::Advance(100_000)]);
    assert_eq!(platform.pio_read(&mut memory, 0x1f7, 1), 0x58);
    let mut damaged = platform.sections("platform0");
    damaged.retain(|section| section.path != "platform0/ide");
    let missing = platform.restore("platform0", &damaged).unwrap_err().to_string();
    assert!(missing.contains("platform0/ide is missing"), "{missing}");
}
