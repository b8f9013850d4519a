//! An NVMe controller.

use super::*;

/// BARs of the third, and its configuration space.
pub const NVME: u64 = 0xfe01_0000;
pub const NVME_MSIX: u64 = 0xfe01_4000;
pub const NVME_CONFIG: u64 = ECAM + 0x2_8000;

pub const TARGETS: [Target; 2] = [
    Target {
        name: "nvme registers",
        ports: &[(0xcf8, 8)],
        windows: &[
            (NVME_CONFIG, 0x100),
            (NVME, 0x40),
            (NVME + 0x1000, 0x20),
            (NVME_MSIX, 0x30),
            (NVME_MSIX + 0x800, 8),
        ],
        prelude: none,
    },
    Target {
        name: "nvme commands",
        ports: &[],
        windows: &[
            (NVME + 0xc, 8),
            (NVME + 0x1000, 0x10),
            (NVME + 0x1000, 0x10),
            (NVME_CONFIG + 4, 2),
            (NVME_MSIX, 0x20),
        ],
        prelude: nvme_is_ready,
    },
];

/// Admin queues at 1000h and 2000h, I/O queues at 3000h and 0, all of 8 entries, the latter full of commands of all kinds,
/// three of them in flight, and an event that somebody waits for.
fn nvme_is_ready() -> Vec<Op> {
    let mut ops = vec![Op::Write { gpa: NVME_CONFIG + 4, size: 2, value: 6 }];
    let set = |at: u64, size: u8, value: u64| Op::Write { gpa: NVME + at, size, value };
    for (at, size, value) in [(0x24, 4, 0x7_0007), (0x28, 8, 0x1000), (0x30, 8, 0x2000), (0x14, 4, 0x46_0001)]
    {
        ops.push(set(at, size, value));
    }
    let create = 7 << 16 | 1;
    for (n, (opcode, prp, cdw10, cdw11)) in
        [(5, 0, create, 1 << 16 | 3), (1, 0x3000, create, 1 << 16 | 1), (12, 0, 0, 0), (6, 0x1800, 1, 0)]
            .into_iter()
            .enumerate()
    {
        ops.push(Op::Poke(0x1000 + 64 * n as u64, nvme_command(opcode, 0, prp, [cdw10, cdw11, 0])));
    }
    ops.extend([set(0x1000, 4, 3), Op::Advance(10_000), set(0x1004, 4, 2)]);
    for (n, opcode) in [1, 2, 0, 8, 5, 9, 1, 2].into_iter().enumerate() {
        let command = nvme_command(opcode, 1, 0x1800, [n as u32, 0, u32::from(opcode != 9)]);
        ops.push(Op::Poke(0x3000 + 64 * n as u64, command));
    }
    ops.push(set(0x1008, 4, 3));
    ops
}

fn nvme_command(opcode: u8, nsid: u32, prp: u64, dwords: [u32; 3]) -> Vec<u8> {
    let mut raw = vec![opcode, 0, opcode, 0];
    raw.extend(nsid.to_le_bytes());
    raw.resize(24, 0);
    raw.extend(prp.to_le_bytes());
    raw.extend([0; 8]);
    dwords.iter().for_each(|dword| raw.extend(dword.to_le_bytes()));
    raw.resize(64, 0);
    raw
}

#[test]
fn the_prelude_of_nvme_has_commands_in_flight_that_land() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &nvme_is_ready());
    assert_eq!(platform.mmio_read(&mut memory, NVME + 0x1c, 4), 1, "ready");
    run(&mut platform, &mut memory, &[Op::Advance(1_000_000)]);
    let mut entries = [0; 48];
    memory.read(0, &mut entries);
    for (entry, id) in entries.chunks(16).zip([2, 1, 0]) {
        assert_eq!((entry[12], entry[14], entry[15]), (id, 1, 0), "{entries:x?}");
    }
    let mut damaged = platform.sections("platform0");
    damaged.retain(|section| section.path != "platform0/nvme2");
    let missing = platform.restore("platform0", &damaged).unwrap_err().to_string();
    assert!(missing.contains("platform0/nvme2 is missing"), "{missing}");
}
