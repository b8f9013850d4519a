//! The floppy disk controller and its DMA.

use super::*;
use crate::memory::{DISK_LEN, RAM};

pub const TARGETS: [Target; 2] = [
    Target {
        name: "floppy",
        ports: &[(0x3f0, 8), (0x3f5, 1), (0x3f5, 1), (0x3f5, 1), (0, 16), (0x81, 15)],
        windows: &[],
        prelude: floppy_is_busy,
    },
    Target { name: "dma", ports: &[(0, 16), (0x80, 16), (0xc0, 32)], windows: &[], prelude: none },
];

/// The first of two sectors of a diskette is under way to memory, and so are the heads of a drive that is not there.
fn floppy_is_busy() -> Vec<Op> {
    let out = |port: u16, value: u32| Op::Out { port, size: 1, value };
    let fifo = |bytes: &[u32]| bytes.iter().map(|byte| out(0x3f5, *byte)).collect::<Vec<_>>();
    let channel = [(0xd6, 0xc0), (0xd4, 0), (4, 0), (4, 0x20), (5, 0xff), (5, 3), (0xb, 0x46), (0xa, 2)];
    let start = [(0x3f2, 0x1c), (0x3f7, 2)];
    let outs = |outs: &[(u16, u32)]| outs.iter().map(|(port, value)| out(*port, *value)).collect::<Vec<_>>();
    let seek = fifo(&[0x0f, 2, 9]);
    let read = fifo(&[0x46, 0, 0, 0, 1, 2, 8, 0x1b, 0xff]);
    [outs(&channel), outs(&start), vec![Op::Advance(200_000)], seek, read].concat()
}

#[test]
fn the_prelude_of_the_floppy_has_sectors_under_way_that_land() {
    let (mut platform, mut memory) = machine();
    memory.0[RAM + 7 * DISK_LEN..][..1024].fill(0x5a);
    run(&mut platform, &mut memory, &floppy_is_busy());
    assert_eq!(platform.pio_read(&mut memory, 0x3f4, 1), 0x14, "busy, and a drive seeks");
    run(&mut platform, &mut memory, &[Op::Advance(500_000_000)]);
    assert!(memory.0[0x2000..0x2400].iter().all(|byte| *byte == 0x5a));
    let result = [0; 7].map(|_: u32| platform.pio_read(&mut memory, 0x3f5, 1));
    assert_eq!(result, [0, 0, 0, 0, 0, 3, 2]);
    let mut damaged = platform.sections("platform0");
    damaged.retain(|section| section.path != "platform0/floppy");
    let missing = platform.restore("platform0", &damaged).unwrap_err().to_string();
    assert!(missing.contains("platform0/floppy is missing"), "{missing}");
}
