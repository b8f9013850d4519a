//! The AHCI controller.

use super::*;

/// The AHCI controller's registers and configuration space.
pub const ABAR: u64 = 0xfe01_5000;
pub const AHCI: u64 = ECAM + 0xf_a000;

pub const TARGETS: [Target; 2] = [
    Target {
        name: "ahci registers",
        ports: &[(0xcf8, 8)],
        windows: &[(AHCI, 0x100), (ABAR, 0x2c), (ABAR + 0x100, 0x40), (ABAR + 0x180, 0x40)],
        prelude: none,
    },
    Target {
        name: "ahci commands",
        ports: &[],
        windows: &[
            (ABAR + 4, 8),
            (ABAR + 0x110, 0xc),
            (ABAR + 0x134, 8),
            (ABAR + 0x190, 0xc),
            (ABAR + 0x1b8, 4),
            (AHCI + 4, 2),
            (AHCI + 0x40, 0x10),
        ],
        prelude: ports_are_busy,
    },
];

/// A port that runs, with its command list at `list`, and a command in each slot of `commands`: FIS and packet.
fn port_runs(port: u64, list: u64, commands: &[(u8, [u8; 20], [u8; 12])]) -> Vec<Op> {
    let registers = ABAR + 0x100 + 0x80 * port;
    let mut ops = Vec::new();
    for (slot, fis, packet) in commands {
        let table = BUFFERS + 0x1000 * port + 0x100 * u64::from(*slot);
        let header = u128::from(1u32 << 16 | 5) | u128::from(table) << 64;
        ops.push(Op::Poke(list + 32 * u64::from(*slot), header.to_le_bytes().to_vec()));
        ops.push(Op::Poke(table, fis.to_vec()));
        ops.push(Op::Poke(table + 0x40, packet.to_vec()));
        ops.push(Op::Poke(table + 0x80, descriptor(BUFFERS + 0x800, 0, 0x7ff, 0x8000).to_vec()));
    }
    let issued = commands.iter().fold(0, |bits, (slot, ..)| bits | 1 << slot);
    let start = [(0, list), (8, list + 0x400), (0x14, 0xffff_ffff), (0x30, 0xffff_ffff), (0x18, 0x11)];
    ops.extend(start.map(|(at, value)| Op::Write { gpa: registers + at, size: 4, value }));
    ops.push(Op::Write { gpa: registers + 0x34, size: 4, value: if port == 0 { issued } else { 0 } });
    ops.push(Op::Write { gpa: registers + 0x38, size: 4, value: issued });
    ops
}

/// Two queued commands are in flight at a disk, and a packet at a CD.
fn ports_are_busy() -> Vec<Op> {
    let queued = |slot: u8, command: u8| {
        let mut fis = [0; 20];
        (fis[0], fis[1], fis[2], fis[3], fis[7], fis[12]) = (0x27, 0x80, command, 2, 0x40, slot << 3);
        (slot, fis, [0; 12])
    };
    let mut packet = [0; 20];
    (packet[0], packet[1], packet[2], packet[3]) = (0x27, 0x80, 0xa0, 1);
    let sense = [3, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0];
    let read = [0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0];
    let master = [(AHCI + 4, 6), (ABAR + 4, 2)].map(|(gpa, value)| Op::Write { gpa, size: 2, value });
    let disk = port_runs(0, TABLE, &[queued(0, 0x60), queued(5, 0x61)]);
    let cd = port_runs(1, DRIVER, &[(0, packet, sense), (1, packet, read)]);
    [master.to_vec(), disk, cd].concat()
}

#[test]
fn the_prelude_of_the_ports_has_commands_in_flight_that_land() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &ports_are_busy());
    let mut port = |at: u64, memory: &mut Memory| platform.mmio_read(memory, ABAR + 0x100 + at, 4);
    assert_eq!((port(0x34, &mut memory), port(0x38, &mut memory)), (0x21, 0), "two are queued");
    assert_eq!((port(0xa0, &mut memory) & 0x80, port(0xb8, &mut memory)), (0x80, 3), "a packet is under way");
    run(&mut platform, &mut memory, &[Op::Advance(1_000_000)]);
    let mut port = |at: u64| platform.mmio_read(&mut memory, ABAR + 0x100 + at, 4);
    assert_eq!((port(0x34), port(0x10) & 1 << 3), (0, 1 << 3));
    assert_eq!((port(0xb8), port(0xa0)), (0, 0x50));
    let mut damaged = platform.sections("platform0");
    damaged.retain(|section| section.path != "platform0/ahci");
    let missing = platform.restore("platform0", &damaged).unwrap_err().to_string();
    assert!(missing.contains("platform0/ahci is missing"), "{missing}");
}
