//! A disk of virtio.

use super::*;

/// BARs of the first disk, where the chipset comes up with them.
pub const MSIX: u64 = 0xfe00_0000;
pub const DISK: u64 = 0xfe00_4000;

pub const TARGETS: [Target; 2] = [
    Target {
        name: "virtio-blk registers",
        ports: &[(0xcf8, 8)],
        windows: &[
            (ECAM + 0x1_8000, 0x100),
            (MSIX, 0x28),
            (MSIX + 0x800, 8),
            (DISK, 0x40),
            (DISK + 0x2000, 0x40),
        ],
        prelude: none,
    },
    Target {
        name: "virtio-blk requests",
        ports: &[],
        windows: &[
            (DISK + 0x14, 1),
            (DISK + 0x1000, 1),
            (DISK + 0x3000, 4),
            (ECAM + 0x1_8004, 2),
            (MSIX, 0x20),
        ],
        prelude: disk_is_ready,
    },
];

/// The driver agreed, the queue of 8 is on and full of requests of all kinds, two of them in flight.
pub fn disk_is_ready() -> Vec<Op> {
    let mut ops = vec![Op::Write { gpa: ECAM + 0x1_8004, size: 2, value: 6 }];
    let mut set = |at: u64, size: u8, value: u64| ops.push(Op::Write { gpa: DISK + at, size, value });
    for (at, size, value) in [(0x14, 1, 3), (8, 4, 1), (12, 4, 1), (8, 4, 0), (12, 4, 1 << 28 | 1 << 29)] {
        set(at, size, value);
    }
    for (at, value) in [(0x20, TABLE), (0x28, DRIVER), (0x30, USED)] {
        set(at, 8, value);
    }
    for (at, size, value) in [(0x14, 1, 0xb), (0x18, 2, 8), (0x1a, 2, 1), (0x1c, 2, 1), (0x14, 1, 0xf)] {
        set(at, size, value);
    }
    let mut poke = |gpa: u64, bytes: &[u8]| ops.push(Op::Poke(gpa, bytes.to_vec()));
    for (n, kind) in [0u8, 1, 4, 8, 1, 0, 1, 0].into_iter().enumerate() {
        let (buffer, table) = (BUFFERS + 0x400 * n as u64, TABLE + 0x100 + 0x40 * n as u64);
        poke(buffer, &[kind, 0, 0, 0, 0, 0, 0, 0, n as u8, 0, 0, 0, 0, 0, 0, 0]);
        // Each chain is an indirect table: header, data, status.
        let data = if kind == 1 { 1 } else { 3 };
        for (index, (address, len, flags)) in
            [(buffer, 16, 1), (buffer + 0x100, 512, data), (buffer + 0x80, 1, 2)].into_iter().enumerate()
        {
            poke(table + 16 * index as u64, &descriptor(address, len, flags, index as u16 + 1));
        }
        poke(TABLE + 16 * n as u64, &descriptor(table, 48, 4, 0));
        poke(DRIVER + 4 + 2 * n as u64, &[n as u8, 0]);
    }
    poke(DRIVER + 2, &[2, 0]);
    ops.push(Op::Write { gpa: DISK + 0x3000, size: 2, value: 0 });
    ops
}

#[test]
fn the_prelude_of_the_disk_has_requests_in_flight_that_land() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &disk_is_ready());
    assert_eq!(platform.mmio_read(&mut memory, DISK + 0x14, 1), 0xf, "no reset is needed");
    run(&mut platform, &mut memory, &[Op::Advance(1_000_000)]);
    let mut used = [0; 4];
    memory.read(USED, &mut used);
    assert_eq!(used[2], 2);
    let mut damaged = platform.sections("platform0");
    damaged.retain(|section| section.path != "platform0/virtio-blk1");
    let missing = platform.restore("platform0", &damaged).unwrap_err().to_string();
    assert!(missing.contains("platform0/virtio-blk1 is missing"), "{missing}");
    let mut without = config();
    without.disks.retain(|disk| disk.interface == DiskInterface::Floppy);
    without.hotplug.functions = Some(functions(&[]));
    let unknown = Platform::new(&without).unwrap().restore("platform0", &platform.sections("platform0"));
    assert!(unknown.unwrap_err().to_string().contains("virtio-blk0"));
}
