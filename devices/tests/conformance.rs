//! The battery every device passes: a saved state goes on like the original, every register can be touched
//! with every width, reset is complete, and no state read from a file makes the platform panic.

use amber_devices::share::{Attributes, FileTime, S_IFDIR, SHARE_MIN, ShareLayout, Tree, Volume};
use amber_devices::{
    ADAPTER_SLOT, CpuSlots, DIMM_ALIGN, Dimm, DiskConfig, DiskInterface, Dma, Effect, FunctionSlots,
    HotplugConfig, Key, MediumError, MemorySlots, MouseEvent, NicConfig, NicModel, Part, Peripheral,
    Platform, PlatformConfig, ShareConfig, disk_slot,
};
use proptest::prelude::*;

/// A device's registers, as the guest reaches them.
struct Target {
    name: &'static str,
    ports: &'static [(u16, u16)],
    windows: &'static [(u64, u64)],
    /// What brings the device to life, if its registers alone do not.
    prelude: fn() -> Vec<Op>,
}

/// No prelude.
fn none() -> Vec<Op> {
    Vec::new()
}

const ECAM: u64 = 0xb000_0000;
/// BAR 2 of the display.
const VGA: u64 = 0xfebf_0000;
/// BARs of the first disk, where the chipset comes up with them.
const MSIX: u64 = 0xfe00_0000;
const DISK: u64 = 0xfe00_4000;
/// BARs of the third, and its configuration space.
const NVME: u64 = 0xfe01_0000;
const NVME_MSIX: u64 = 0xfe01_4000;
const NVME_CONFIG: u64 = ECAM + 0x2_8000;
/// The AHCI controller's registers and configuration space.
const ABAR: u64 = 0xfe01_5000;
const AHCI: u64 = ECAM + 0xf_a000;
/// The IDE controller's configuration space and bus masters.
const IDE: u64 = ECAM + 0x9_8000;
const BUS_MASTERS: u16 = 0xc000;
/// The hot-plug blocks of processors and memory.
const CPU_HOTPLUG: u16 = 0xcd8;
const MEMORY_HOTPLUG: u16 = 0xa00;
const PCI_HOTPLUG: u16 = 0xae00;
/// Disks that come and go.
const PLUGGABLE: [u8; 4] = [0, 1, 2, 9];
/// The sound card's registers and configuration space.
const HDA: u64 = 0xfe01_8000;
const HDA_CONFIG: u64 = ECAM + 0xa_0000;
/// The registers of random numbers, console and share, where the chipset comes up with them, and their configuration spaces.
const RNG: u64 = 0xfe02_4000;
const CONSOLE: u64 = 0xfe02_c000;
const SHARE: u64 = 0xfe03_4000;
const RNG_CONFIG: u64 = ECAM + 0xb_0000;
const CONSOLE_CONFIG: u64 = ECAM + 0xb_8000;
const SHARE_CONFIG: u64 = ECAM + 0xc_0000;
/// The disk's queue and buffers in memory.
const TABLE: u64 = 0x1000;
const DRIVER: u64 = 0x1800;
const USED: u64 = 0x1c00;
const BUFFERS: u64 = 0x2000;

/// Planar graphics, with the window from A0000h to BFFFFh.
fn planes_are_open() -> Vec<Op> {
    [(0x3ce, 0x0106u32), (0x3c4, 0x0604), (0x3c4, 0x0f02)]
        .map(|(port, value)| Op::Out { port, size: 2, value })
        .into()
}

/// The driver agreed, the queue of 8 is on and full of requests of all kinds, two of them in flight.
fn disk_is_ready() -> Vec<Op> {
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

/// Events are on, a processor came, and another is asked for.
fn a_processor_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [event.to_vec(), vec![Op::PlugCpu(2), Op::AskForCpu(1)]].concat()
}

/// Events are on, a disk came, and another, with requests in flight, is asked for.
fn a_disk_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [disk_is_ready(), event.to_vec(), vec![Op::PlugDisk(9), Op::AskForDisk(0)]].concat()
}

/// Events are on, and a network adapter came and is asked for again.
fn an_adapter_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [&event[..], &[Op::PlugNic, Op::AskForNic]].concat()
}

/// Events are on, a memory module came and another is asked for.
fn a_module_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [event.to_vec(), vec![Op::PlugDimm(2), Op::PlugDimm(1), Op::AskForDimm(1)]].concat()
}

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

fn descriptor(address: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let word =
        u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
    word.to_le_bytes()
}

/// Ports as (first, count) and memory as (base, bytes).
const TARGETS: [Target; 35] = [
    Target { name: "pic", ports: &[(0x20, 2), (0xa0, 2), (0x4d0, 2)], windows: &[], prelude: none },
    Target { name: "pit", ports: &[(0x40, 4), (0x61, 1)], windows: &[], prelude: none },
    Target { name: "rtc", ports: &[(0x70, 4)], windows: &[], prelude: none },
    Target { name: "ioapic", ports: &[], windows: &[(0xfec0_0000, 0x60)], prelude: none },
    Target { name: "hpet", ports: &[], windows: &[(0xfed0_0000, 0x180)], prelude: none },
    Target { name: "pm", ports: &[(0x600, 0x80), (0xb2, 2)], windows: &[], prelude: none },
    Target { name: "uart0", ports: &[(0x3f8, 8)], windows: &[], prelude: none },
    Target { name: "uart1", ports: &[(0x2f8, 8)], windows: &[], prelude: none },
    Target { name: "i8042", ports: &[(0x60, 1), (0x64, 1)], windows: &[], prelude: none },
    Target {
        name: "single ports",
        ports: &[(0x80, 1), (0x92, 1), (0xe9, 1), (0xf4, 4), (0xcf9, 1)],
        windows: &[],
        prelude: none,
    },
    Target {
        name: "pci",
        ports: &[(0xcf8, 8)],
        windows: &[(ECAM, 0x1000), (ECAM + 0xf_8000, 0x1000), (ECAM + 0xf_b000, 0x1000)],
        prelude: none,
    },
    Target { name: "fw_cfg", ports: &[(0x510, 12)], windows: &[], prelude: none },
    Target {
        name: "floppy",
        ports: &[(0x3f0, 8), (0x3f5, 1), (0x3f5, 1), (0x3f5, 1), (0, 16), (0x81, 15)],
        windows: &[],
        prelude: floppy_is_busy,
    },
    Target { name: "dma", ports: &[(0, 16), (0x80, 16), (0xc0, 32)], windows: &[], prelude: none },
    Target { name: "coprocessor", ports: &[(0xf0, 1)], windows: &[], prelude: none },
    Target {
        name: "vga ports",
        ports: &[(0x3b4, 8), (0x3c0, 16), (0x3d4, 8)],
        windows: &[(0xb_8000, 0x100)],
        prelude: none,
    },
    Target {
        name: "vga planes",
        ports: &[(0x3c4, 2), (0x3ce, 2)],
        windows: &[(0xa_0000, 0x1000), (0xb_8000, 0x1000), (0xb_fff8, 0x10)],
        prelude: planes_are_open,
    },
    Target {
        name: "vga function",
        ports: &[(0x1ce, 3), (0xcf8, 8)],
        windows: &[
            (ECAM + 0x8000, 0x100),
            (VGA, 0x100),
            (VGA + 0x400, 0x20),
            (VGA + 0x500, 0x18),
            (VGA + 0x600, 8),
        ],
        prelude: none,
    },
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
    Target {
        name: "cpu hot-plug",
        ports: &[(CPU_HOTPLUG, 12), (CPU_HOTPLUG + 4, 2), (0x620, 16)],
        windows: &[],
        prelude: a_processor_came,
    },
    Target {
        name: "pci hot-plug",
        ports: &[(PCI_HOTPLUG, 24), (PCI_HOTPLUG + 8, 1)],
        windows: &[(ECAM + 0x1_8000, 0x100), (ECAM + 0x6_0000, 0x100)],
        prelude: a_disk_came,
    },
    Target {
        name: "hot-plug of the adapter",
        ports: &[(PCI_HOTPLUG, 24), (PCI_HOTPLUG + 8, 1)],
        windows: &[(ECAM + 0x1_0000, 0x100)],
        prelude: an_adapter_came,
    },
    Target {
        name: "memory hot-plug",
        ports: &[(MEMORY_HOTPLUG, 24), (MEMORY_HOTPLUG + 0x14, 1)],
        windows: &[],
        prelude: a_module_came,
    },
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

#[derive(Clone, Debug)]
enum Op {
    In {
        port: u16,
        size: u8,
    },
    Out {
        port: u16,
        size: u8,
        value: u32,
    },
    Read {
        gpa: u64,
        size: u8,
    },
    Write {
        gpa: u64,
        size: u8,
        value: u64,
    },
    Advance(u64),
    /// Bytes in memory: what a processor writes.
    Poke(u64, Vec<u8>),
    Serial(u8, Vec<u8>),
    Console(u8, Vec<u8>),
    Key(u8, bool),
    Mouse(i8, i8),
    Eoi(u8),
    Intack,
    PowerButton,
    PlugCpu(u32),
    AskForCpu(u32),
    PlugDimm(u8),
    PlugDisk(u8),
    AskForDisk(u8),
    PlugNic,
    AskForNic,
    AskForDimm(u8),
}

/// Disks: two of virtio, one of NVMe, a disk and a CD each at the AHCI and the IDE controller, and a diskette.
const DISKS: usize = 8;
/// Bytes of each disk, and of what there is of the diskette.
const DISK_LEN: usize = 0x4000;
/// Sectors of the diskette.
const DISKETTE: u64 = 320;

/// Bytes of video memory, which repeats.
const VRAM_LEN: usize = 0x2_0000;
/// Where it begins in memory.
const VRAM: usize = RAM + DISKS * DISK_LEN;

/// Where the share's pages begin in memory.
const SHARE_AT: usize = VRAM + VRAM_LEN;
/// Bytes of files of the share.
const SHARE_LEN: u64 = SHARE_MIN;

/// RAM, behind it the disks, behind these video memory, and then the pages of the share.
struct Memory(Vec<u8>);

impl Dma for Memory {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = self.0[(gpa as usize).wrapping_add(index) % RAM];
        }
    }

    fn write(&mut self, gpa: u64, from: &[u8]) {
        // A fw_cfg command may ask for 4 GiB of padding; a megabyte of it shows all there is to see.
        for (index, byte) in from.iter().enumerate() {
            self.0[(gpa as usize).wrapping_add(index) % RAM] = *byte;
        }
    }

    fn read_disk(&mut self, disk: u8, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        let (at, disks) = (at as usize + DISK_LEN * usize::from(disk), &self.0[RAM..VRAM]);
        into.copy_from_slice(disks.get(at..at + into.len()).ok_or(MediumError)?);
        Ok(())
    }

    fn write_disk(&mut self, disk: u8, at: u64, from: &[u8]) -> Result<(), MediumError> {
        let (at, disks) = (at as usize + DISK_LEN * usize::from(disk), &mut self.0[RAM..VRAM]);
        disks.get_mut(at..at + from.len()).ok_or(MediumError)?.copy_from_slice(from);
        Ok(())
    }

    fn read_share(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        let bytes = self.0[SHARE_AT..].get(at as usize..at as usize + into.len());
        into.copy_from_slice(bytes.ok_or(MediumError)?);
        Ok(())
    }

    fn write_share(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        let bytes = self.0[SHARE_AT..].get_mut(at as usize..at as usize + from.len());
        bytes.ok_or(MediumError)?.copy_from_slice(from);
        Ok(())
    }

    fn read_vram(&mut self, at: u64, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = self.0[VRAM + (at as usize + index) % VRAM_LEN];
        }
    }

    fn write_vram(&mut self, at: u64, from: &[u8]) {
        for (index, byte) in from.iter().enumerate() {
            self.0[VRAM + (at as usize + index) % VRAM_LEN] = *byte;
        }
    }
}

/// The share's pages.
struct Pages<'a>(&'a mut Memory);

impl Volume for Pages<'_> {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        self.0.read_share(at, into)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.0.write_share(at, from)
    }
}

fn config() -> PlatformConfig {
    let sectors = (DISK_LEN / 512) as u64;
    let disk = |interface, read_only| DiskConfig { interface, sectors, read_only };
    let disks = vec![
        disk(DiskInterface::Virtio, false),
        disk(DiskInterface::Virtio, true),
        disk(DiskInterface::Nvme, false),
        disk(DiskInterface::Ahci, false),
        disk(DiskInterface::Cdrom, true),
        disk(DiskInterface::Ide, false),
        disk(DiskInterface::IdeCdrom, true),
        DiskConfig { sectors: DISKETTE, ..disk(DiskInterface::Floppy, false) },
    ];
    let cpus = Some(CpuSlots { max: CPUS_MAX, present: vec![0, 1] });
    let hotplug =
        HotplugConfig { cpus, memory: Some(slots(Vec::new())), functions: Some(functions(&[0, 1, 2])) };
    let peripherals = Peripheral::all().collect::<Vec<_>>();
    PlatformConfig {
        cpus: 2,
        rtc_start: 1_700_000_000,
        disks,
        peripherals,
        share: Some(ShareConfig { tag: "files".into(), size: SHARE_LEN, read_only: false }),
        hotplug,
        ..PlatformConfig::default()
    }
}

/// Disks, of which those with these numbers are there.
fn functions(there: &[u8]) -> FunctionSlots {
    FunctionSlots { disks: there.iter().map(|n| (*n, pluggable(*n))).collect(), adapter: true }
}

const ADAPTER: Part = Part::Function(ADAPTER_SLOT);

fn nic() -> NicConfig {
    NicConfig { model: NicModel::E1000, mac: [2, 0, 0, 0, 0, 1] }
}

fn pluggable(n: u8) -> DiskConfig {
    let interface = if n == 2 { DiskInterface::Nvme } else { DiskInterface::Virtio };
    DiskConfig { interface, sectors: (DISK_LEN / 512) as u64, read_only: n == 1 }
}

/// Slots for memory modules.
fn slots(dimms: Vec<Dimm>) -> MemorySlots {
    MemorySlots { count: 3, max: 2 << 30, dimms }
}

fn function(n: u8) -> Part {
    Part::Function(disk_slot(n))
}

fn dimm(slot: u8) -> Dimm {
    Dimm { slot, base: 0x1_4000_0000 + DIMM_ALIGN * u64::from(slot), len: DIMM_ALIGN }
}

/// Places for processors.
const CPUS_MAX: u32 = 4;

/// What a platform that has the parts of `platform` is built from.
fn config_of(platform: &Platform) -> PlatformConfig {
    let mut config = config();
    let present = (0..CPUS_MAX).filter(|id| platform.part_state(Part::Cpu(*id)).present).collect();
    config.hotplug.cpus = Some(CpuSlots { max: CPUS_MAX, present });
    let there = (0..3).filter(|slot| platform.part_state(Part::Dimm(*slot)).present);
    config.hotplug.memory = Some(slots(there.map(dimm).collect()));
    let there: Vec<u8> =
        PLUGGABLE.into_iter().filter(|n| platform.part_state(function(*n)).present).collect();
    config.hotplug.functions = Some(functions(&there));
    config.nic = platform.part_state(ADAPTER).present.then(nic);
    config
}

/// Bytes of RAM, which repeats.
const RAM: usize = 0x4000;

fn machine() -> (Platform, Memory) {
    let layout = ShareLayout::new(SHARE_LEN);
    let mut memory = Memory(vec![0; SHARE_AT + layout.pages() as usize * 0x1000]);
    let time = FileTime { seconds: 0, nanoseconds: 0 };
    let root = Attributes { mode: S_IFDIR | 0o755, uid: 0, gid: 0, device: 0, time };
    Tree::format(&mut Pages(&mut memory), layout, &root).unwrap();
    (Platform::new(&config()).unwrap(), memory)
}

/// What a guest and the world could tell: values read and effects, in order.
#[derive(Debug, Default, PartialEq)]
struct Log {
    values: Vec<u64>,
    effects: Vec<Effect>,
}

fn run(platform: &mut Platform, memory: &mut Memory, ops: &[Op]) -> Log {
    let mut log = Log::default();
    for op in ops {
        let value = step(platform, memory, op);
        log.values.push(value);
        log.values.push(u64::from(platform.intr()));
        log.effects.extend(platform.effects().drain());
    }
    log
}

fn step(platform: &mut Platform, memory: &mut Memory, op: &Op) -> u64 {
    match op {
        Op::In { port, size } => return u64::from(platform.pio_read(memory, *port, *size)),
        Op::Out { port, size, value } => platform.pio_write(memory, *port, *size, *value),
        Op::Read { gpa, size } => return platform.mmio_read(memory, *gpa, *size),
        Op::Write { gpa, size, value } => platform.mmio_write(memory, *gpa, *size, *value),
        Op::Advance(ns) => advance(platform, memory, *ns),
        Op::Poke(gpa, bytes) => memory.write(*gpa, bytes),
        Op::Serial(port, bytes) => return platform.serial_input(memory, *port, bytes) as u64,
        Op::Console(port, bytes) => {
            let room = platform.console_room(memory, *port);
            platform.console_input(memory, *port, &bytes[..bytes.len().min(room)]);
            return room as u64;
        }
        Op::Key(code, pressed) => {
            let key = Key { code: code & 0x7f, extended: code & 0x80 != 0 };
            return u64::from(platform.key(memory, key, *pressed));
        }
        Op::Mouse(dx, dy) => {
            let event =
                MouseEvent { dx: i32::from(*dx), dy: i32::from(*dy), wheel: 0, buttons: *dx as u8 & 7 };
            platform.mouse(memory, event);
        }
        Op::Eoi(vector) => platform.eoi_broadcast(*vector),
        Op::Intack => return u64::from(platform.intack()),
        Op::PowerButton => platform.power_button(memory),
        Op::PlugCpu(id) if platform.part_state(Part::Cpu(*id)).present => {}
        Op::PlugCpu(id) => platform.plug_cpu(memory, *id),
        Op::AskForCpu(id) => platform.ask_for(memory, Part::Cpu(*id)),
        Op::PlugDisk(n) if platform.part_state(function(*n)).present => {}
        Op::PlugDisk(n) => platform.plug_disk(memory, *n, &pluggable(*n)),
        Op::AskForDisk(n) => platform.ask_for(memory, function(*n)),
        Op::PlugNic if platform.part_state(ADAPTER).present => {}
        Op::PlugNic => platform.plug_nic(memory, &nic()),
        Op::AskForNic => platform.ask_for(memory, ADAPTER),
        Op::PlugDimm(slot) if platform.part_state(Part::Dimm(*slot)).present => {}
        Op::PlugDimm(slot) => platform.plug_dimm(memory, &dimm(*slot)),
        Op::AskForDimm(slot) => platform.ask_for(memory, Part::Dimm(*slot)),
    }
    0
}

/// Lets time pass as the run loop does: from deadline to deadline, but not through too many.
fn advance(platform: &mut Platform, memory: &mut Memory, ns: u64) {
    let end = platform.clock.now().saturating_add(ns);
    for _ in 0..100 {
        match platform.next_deadline() {
            Some(at) if at <= end => platform.clock.advance_to(at),
            _ => break,
        }
        platform.run_due_timers(memory);
    }
    if platform.next_deadline().is_none_or(|at| at > end) {
        platform.clock.advance_to(end);
    }
}

fn size() -> impl Strategy<Value = u8> {
    prop_oneof![Just(1u8), Just(2), Just(4)]
}

fn register_op(target: &'static Target) -> BoxedStrategy<Op> {
    let mut choices = Vec::new();
    for (first, count) in target.ports {
        let port = *first..=first + (count - 1);
        choices.push((port.clone(), size()).prop_map(|(port, size)| Op::In { port, size }).boxed());
        let value = prop_oneof![any::<u32>(), (0u32..=0xff)];
        let out = (port, size(), value).prop_map(|(port, size, value)| Op::Out { port, size, value });
        choices.push(out.boxed());
    }
    for (base, len) in target.windows {
        let gpa = *base..base + len;
        let size = prop_oneof![Just(1u8), Just(2), Just(4), Just(8)];
        choices.push((gpa.clone(), size.clone()).prop_map(|(gpa, size)| Op::Read { gpa, size }).boxed());
        let value = prop_oneof![4 => any::<u64>(), 1 => 0u64..16];
        let write = (gpa, size, value).prop_map(|(gpa, size, value)| Op::Write { gpa, size, value });
        choices.push(write.boxed());
    }
    proptest::strategy::Union::new(choices).boxed()
}

/// What a driver that may be mad writes to its rings: indices a little ahead, or anything.
fn ring_op() -> impl Strategy<Value = Op> {
    let index = (0u8..12).prop_map(|index| Op::Poke(DRIVER + 2, vec![index, 0]));
    let anywhere = (TABLE..BUFFERS + 0x2000, proptest::collection::vec(any::<u8>(), 1..4));
    prop_oneof![4 => index, 1 => anywhere.prop_map(|(gpa, bytes)| Op::Poke(gpa, bytes))]
}

fn outside_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => ring_op(),
        3 => (0u64..100_000).prop_map(Op::Advance),
        4 => (0u64..2_000_000).prop_map(Op::Advance),
        1 => (0u64..3_000_000_000).prop_map(Op::Advance),
        1 => (0u8..3, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(port, bytes)| Op::Serial(port, bytes)),
        1 => (0u8..3, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(port, bytes)| Op::Console(port, bytes)),
        1 => any::<(u8, bool)>().prop_map(|(code, pressed)| Op::Key(code, pressed)),
        1 => any::<(i8, i8)>().prop_map(|(dx, dy)| Op::Mouse(dx, dy)),
        1 => any::<u8>().prop_map(Op::Eoi),
        1 => Just(Op::Intack),
        1 => Just(Op::PowerButton),
        1 => (1..CPUS_MAX).prop_map(Op::PlugCpu),
        1 => (0..CPUS_MAX).prop_map(Op::AskForCpu),
        1 => (0u8..3).prop_map(Op::PlugDimm),
        1 => proptest::sample::select(&PLUGGABLE[..]).prop_map(Op::PlugDisk),
        1 => proptest::sample::select(&PLUGGABLE[..]).prop_map(Op::AskForDisk),
        1 => (0u8..3).prop_map(Op::AskForDimm),
        1 => Just(Op::PlugNic),
        1 => Just(Op::AskForNic),
    ]
}

fn ops(target: &'static Target) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![5 => register_op(target), 1 => outside_op()];
    proptest::collection::vec(op, 0..80)
}

fn device_ops() -> impl Strategy<Value = (&'static str, Vec<Op>, Vec<Op>)> {
    (0..TARGETS.len()).prop_flat_map(|index| {
        let target = &TARGETS[index];
        let before = ops(target).prop_map(|ops| [(target.prelude)(), ops].concat());
        (Just(target.name), before, ops(target))
    })
}

/// fw_cfg commands take lengths from memory; keep the padding of zeros short.
fn without_long_dma(ops: Vec<Op>) -> Vec<Op> {
    ops.into_iter().filter(|op| !matches!(op, Op::Out { port: 0x518, size: 4, .. })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_platform_goes_on_like_the_saved_one((_name, before, after) in device_ops()) {
        let (before, after) = (without_long_dma(before), without_long_dma(after));
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &before);
        let saved = platform.sections("platform0");
        let same = config_of(&platform);
        let mut memory_too = Memory(memory.0.clone());
        let log = run(&mut platform, &mut memory, &after);

        let mut restored = Platform::new(&same).unwrap();
        restored.restore("platform0", &saved).unwrap();
        prop_assert_eq!(&restored.sections("platform0"), &saved);
        let map = restored.memory_map(false);
        let log_too = run(&mut restored, &mut memory_too, &after);
        prop_assert_eq!(log, log_too);
        prop_assert_eq!(platform.sections("platform0"), restored.sections("platform0"));
        prop_assert_eq!(memory.0, memory_too.0);
        prop_assert!(map.windows(2).all(|pair| pair[0].end() <= pair[1].base));
    }

    #[test]
    fn reset_is_complete_and_idempotent((_name, before, after) in device_ops()) {
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &without_long_dma(before));
        run(&mut platform, &mut memory, &without_long_dma(after));
        platform.reset(&mut memory);
        let once = platform.sections("p");
        let deadline = platform.next_deadline();
        platform.reset(&mut memory);
        let twice = platform.sections("p");
        prop_assert_eq!(deadline, platform.next_deadline());
        // The clock counts how many timers were ever armed.
        let rest = |sections: &[amber_snapshot::OwnedSection]| {
            sections.iter().filter(|section| section.path != "p/clock").cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(rest(&once), rest(&twice));
    }

    #[test]
    fn a_damaged_section_is_refused_or_harmless(
        (_name, before, after) in device_ops(),
        section in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &without_long_dma(before));
        let mut saved = platform.sections("platform0");
        let damaged = section.index(saved.len());
        let bytes = &mut saved[damaged].bytes;
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let unchanged = platform.sections("platform0");
        match platform.restore("platform0", &saved) {
            Ok(()) => drop(run(&mut platform, &mut memory, &without_long_dma(after))),
            Err(_) => prop_assert_eq!(platform.sections("platform0"), unchanged),
        }
    }
}

#[test]
fn every_port_takes_every_width() {
    let (mut platform, mut memory) = machine();
    for value in [0, 0xff, 0x5a5a_5a5a, u32::MAX] {
        for port in 0..=u16::MAX {
            for size in [1, 2, 4] {
                let read = platform.pio_read(&mut memory, port, size);
                assert!(u64::from(read) < 1 << (size * 8), "port {port:#x} size {size}");
                // A fw_cfg command at a wild address could move gigabytes.
                if !(0x514..=0x51b).contains(&port) {
                    platform.pio_write(&mut memory, port, size, value);
                }
            }
        }
        platform.effects().drain().for_each(drop);
    }
}

#[test]
fn every_window_takes_every_width() {
    let (mut platform, mut memory) = machine();
    let windows = [
        (0xfec0_0000, 0x1000),
        (0xfed0_0000, 0x1000),
        (MSIX, 0x1000),
        (DISK, 0x4000),
        (ABAR, 0x1000),
        (AHCI, 0x1000),
        (ECAM, 0x2000),
        (ECAM + 0xf_8000, 0x4000),
        (ECAM + 0x1_8000, 0x1000),
        (NVME, 0x5000),
        (NVME_CONFIG, 0x1000),
        (HDA, 0x4000),
        (HDA_CONFIG, 0x1000),
        (RNG - 0x3000, 0x7000),
        (RNG_CONFIG, 0x1000),
        (CONSOLE - 0x4000, 0x8000),
        (CONSOLE_CONFIG, 0x1000),
        (SHARE - 0x4000, 0x8000),
        (SHARE_CONFIG, 0x1000),
        (0xa_0000, 0x1000),
        (0xb_8000, 0x1000),
        (VGA, 0x1000),
        (ECAM + 0x8000, 0x1000),
    ];
    for (base, len) in windows {
        for gpa in base..base + len + 8 {
            for size in [1, 2, 4, 8] {
                platform.mmio_read(&mut memory, gpa, size);
                platform.mmio_write(&mut memory, gpa, size, 0x5aa5_1234_5678_9abc);
                platform.mmio_read(&mut memory, gpa, size);
            }
        }
        platform.effects().drain().for_each(drop);
    }
    assert_eq!(platform.mmio_read(&mut memory, 0xfeed_0000, 4), 0xffff_ffff);
}

#[test]
fn missing_and_unknown_sections_are_refused_by_name() {
    let (mut platform, _) = machine();
    let saved = platform.sections("platform0");
    let missing = platform.restore("platform0", &saved[1..]).unwrap_err();
    assert_eq!(missing.to_string(), "section platform0/clock is missing");
    let mut more = saved.clone();
    more.push(amber_snapshot::OwnedSection { path: "platform0/teapot".into(), ..saved[0].clone() });
    assert!(platform.restore("platform0", &more).unwrap_err().to_string().contains("platform0/teapot"));
    let other = PlatformConfig { memory_size: 384 << 20, ..config() };
    assert!(Platform::new(&other).unwrap().restore("platform0", &saved).is_err());
}

#[test]
fn sections_of_another_configuration_or_place_are_refused_by_name() {
    let (mut platform, _) = machine();
    let saved = platform.sections("platform0");
    let at = |path: &str| saved.iter().position(|section| section.path == path).unwrap();
    let mut refused = |sections: &[amber_snapshot::OwnedSection]| {
        platform.restore("platform0", sections).unwrap_err().to_string()
    };
    let without_smm = Platform::new(&PlatformConfig { smm: false, ..config() }).unwrap();
    let mut other = saved.clone();
    other[at("platform0/pm")] = without_smm.sections("platform0")[at("platform0/pm")].clone();
    assert!(refused(&other).contains("smm"));
    let mut swapped = saved.clone();
    let (uart0, uart1) = (at("platform0/uart0"), at("platform0/uart1"));
    swapped[uart0].bytes = saved[uart1].bytes.clone();
    swapped[uart1].bytes = saved[uart0].bytes.clone();
    assert!(refused(&swapped).contains("platform0/uart0: field port"));
    // The last field is the list of routes: its length comes first.
    let mut short = saved.clone();
    let lpc = &mut short[at("platform0/pci/lpc")].bytes;
    let routes = lpc.len() - 0x14 - 1;
    assert_eq!(lpc[routes], 0x14);
    lpc[routes] = 0x13;
    lpc.pop();
    assert!(refused(&short).contains("routes"));
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

#[test]
fn a_processor_that_came_is_a_general_purpose_event_and_ejected_by_the_guest() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &a_processor_came());
    assert_eq!(platform.pio_read(&mut memory, 0x620, 4), 1 << 2);
    let out = |port, size, value| Op::Out { port, size, value };
    let next = [out(CPU_HOTPLUG, 4, 0), out(CPU_HOTPLUG + 5, 1, 0)];
    run(&mut platform, &mut memory, &next);
    assert_eq!(platform.pio_read(&mut memory, CPU_HOTPLUG + 8, 4), 1);
    assert_eq!(platform.pio_read(&mut memory, CPU_HOTPLUG + 4, 1), 5, "it is asked for");
    let log = run(&mut platform, &mut memory, &[out(CPU_HOTPLUG + 4, 1, 8)]);
    assert_eq!(log.effects, [Effect::Ejected(Part::Cpu(1))]);
    run(&mut platform, &mut memory, &next);
    assert_eq!(platform.pio_read(&mut memory, CPU_HOTPLUG + 4, 1), 3, "the other came");
    run(&mut platform, &mut memory, &[out(0x70, 1, 0x5f)]);
    assert_eq!(platform.pio_read(&mut memory, 0x71, 1), 1, "firmware finds two");
    let saved = platform.sections("platform0");
    let other = Platform::new(&config()).unwrap().restore("platform0", &saved).unwrap_err();
    assert!(other.to_string().contains("platform0/cpu-hotplug: field cpus"), "{other}");
    let without = PlatformConfig { hotplug: HotplugConfig::default(), ..config() };
    assert_eq!(Platform::new(&without).unwrap().pio_read(&mut memory, CPU_HOTPLUG, 4), u32::MAX);
}

#[test]
fn a_module_that_came_is_mapped_and_ejected_by_the_guest() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &a_module_came());
    assert_eq!(platform.pio_read(&mut memory, 0x620, 4), 1 << 3);
    let mapped = |platform: &Platform, slot: u8| {
        let map = platform.memory_map(false);
        map.iter().any(|range| range.base <= dimm(slot).base && dimm(slot).base < range.end())
    };
    assert_eq!([0, 1, 2].map(|slot| mapped(&platform, slot)), [false, true, true]);
    let out = |port, size, value| Op::Out { port, size, value };
    let select = out(MEMORY_HOTPLUG, 4, 1);
    let log = run(&mut platform, &mut memory, &[select, out(MEMORY_HOTPLUG + 0x14, 1, 8)]);
    assert_eq!(log.effects, [Effect::MapChanged, Effect::Ejected(Part::Dimm(1))]);
    assert_eq!([0, 1, 2].map(|slot| mapped(&platform, slot)), [false, false, true]);
    let two = MemorySlots { dimms: vec![dimm(1), Dimm { slot: 2, ..dimm(1) }], ..slots(Vec::new()) };
    let overlapping = HotplugConfig { memory: Some(two), ..config().hotplug };
    assert!(Platform::new(&PlatformConfig { hotplug: overlapping, ..config() }).is_err());
}

#[test]
fn a_disk_goes_with_requests_in_flight_and_they_never_land() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &a_disk_came());
    assert_eq!(platform.pio_read(&mut memory, PCI_HOTPLUG, 4), 1 << 12, "disk 9 is in slot 12");
    assert_eq!(platform.pio_read(&mut memory, PCI_HOTPLUG + 4, 4), 1 << 3);
    assert_eq!(platform.mmio_read(&mut memory, ECAM + 0x6_0000, 4), 0x1042_1af4);
    let log = run(&mut platform, &mut memory, &[Op::Out { port: PCI_HOTPLUG + 8, size: 4, value: 1 << 3 }]);
    assert_eq!(log.effects, [Effect::MapChanged, Effect::Ejected(Part::Function(3))]);
    run(&mut platform, &mut memory, &[Op::Advance(1_000_000)]);
    let mut used = [0; 4];
    memory.read(USED, &mut used);
    assert_eq!(used[2], 0);
    assert_eq!(platform.mmio_read(&mut memory, ECAM + 0x1_8000, 4), 0xffff_ffff);
    assert!(platform.sections("p").iter().all(|section| section.path != "p/virtio-blk0"));
    run(&mut platform, &mut memory, &[Op::PlugDisk(0), Op::Advance(1_000_000)]);
    assert_eq!(platform.mmio_read(&mut memory, ECAM + 0x1_8004, 2), 0, "it is a new one");
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
