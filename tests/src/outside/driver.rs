//! A flat guest that drives devices by a table of accesses, again and again: so the devices of a mutated machine have a
//! driver that goes on.

/// An access of the guest's: to a port, or to memory, of so many bytes.
#[derive(Clone, Copy)]
pub enum Access {
    Out(u16, u8, u32),
    Store(u64, u8, u64),
}

use Access::{Out, Store};

/// Where flat guests are loaded.
pub const BASE: u64 = 0x10_0000;
/// Memory of the driver's: rings, tables and buffers.
const MEMORY: u64 = 0x20_0000;
/// Configuration space of bus 0.
const ECAM: u64 = 0xb000_0000;

/// Takes the next access, of 16 bytes: address, kind, value. The kinds are 0 for the end of the table, 1 to 3 for OUT of 1, 2 and 4
/// bytes, and 4 to 7 for a store of 1, 2, 4 and 8.
const LOOP: [u8; 80] = [
    0x48, 0x8D, 0x35, 0x49, 0x00, 0x00, 0x00, // start: lea rsi, [rip+table]
    0x0F, 0xB6, 0x4E, 0x04, // next: movzx ecx, byte [rsi+4]
    0x8B, 0x16, // mov edx, [rsi]
    0x48, 0x8B, 0x46, 0x08, // mov rax, [rsi+8]
    0x48, 0x83, 0xC6, 0x10, // add rsi, 16
    0x80, 0xF9, 0x02, 0x74, 0x1C, // cmp cl, 2; je out_word
    0x77, 0x07, // ja more
    0x84, 0xC9, 0x74, 0xE0, // test cl, cl; je start
    0xEE, 0xEB, 0xE4, // out dx, al; jmp next
    0x80, 0xF9, 0x04, 0x72, 0x12, // more: cmp cl, 4; jb out_double
    0x74, 0x13, // je store_byte
    0x80, 0xF9, 0x06, 0x72, 0x12, // cmp cl, 6; jb store_word
    0x74, 0x15, // je store_double
    0x48, 0x89, 0x02, 0xEB, 0xD1, // mov [rdx], rax; jmp next
    0x66, 0xEF, 0xEB, 0xCD, // out_word: out dx, ax; jmp next
    0xEF, 0xEB, 0xCA, // out_double: out dx, eax; jmp next
    0x88, 0x02, 0xEB, 0xC6, // store_byte: mov [rdx], al; jmp next
    0x66, 0x89, 0x02, 0xEB, 0xC1, // store_word: mov [rdx], ax; jmp next
    0x89, 0x02, 0xEB, 0xBD, // store_double: mov [rdx], eax; jmp next
    0xCC, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC,
];

/// The guest.
fn image(accesses: &[Access]) -> Vec<u8> {
    let mut image = LOOP.to_vec();
    for access in accesses {
        let (address, kind, value) = match *access {
            Out(port, size, value) => (u64::from(port), 1 + size.ilog2(), u64::from(value)),
            Store(address, size, value) => (address, 4 + size.ilog2(), value),
        };
        image.extend((u64::from(kind) << 32 | address).to_le_bytes());
        image.extend(value.to_le_bytes());
    }
    image.extend([0; 16]);
    image
}

/// Puts the memory of function `function` of a slot at `at`, and switches it on.
fn place(slot: u64, function: u64, bar: u64, at: u64) -> [Access; 2] {
    let config = ECAM + (slot << 15) + (function << 12);
    [Store(config + 0x10 + 4 * bar, 4, at), Store(config + 4, 2, 7)]
}

/// A descriptor of 16 bytes in memory.
fn words(at: u64, low: u64, high: u64) -> [Access; 2] {
    [Store(at, 8, low), Store(at + 8, 8, high)]
}

fn registers(base: u64, size: u8, values: &[(u64, u64)]) -> Vec<Access> {
    values.iter().map(|(at, value)| Store(base + at, size, *value)).collect()
}

/// Events of ACPI are on; a place in each block of hot-plug is selected.
fn hotplug() -> Vec<Access> {
    let select = [(0xcd8, 1), (0xcdd, 0), (0xa00, 0), (0xae10, 0)];
    let mut all = vec![Out(0x604, 2, 1), Out(0x628, 4, 0xe)];
    all.extend(select.map(|(port, value)| Out(port, if port == 0xcdd { 1 } else { 4 }, value)));
    all
}

/// Queues for the administrator and for a disk, with commands in them (NVMe 1.4, 3.1 and 5).
fn nvme() -> Vec<Access> {
    const AT: u64 = 0xf000_0000;
    let [submissions, completions, own, ended] = [0, 0x1000, 0x2000, 0x3000].map(|at| MEMORY + at);
    let command = |at: u64, opcode: u64, nsid: u64, buffer: u64, cdw: [u64; 3]| {
        [
            Store(at, 8, opcode | opcode << 16 | nsid << 32),
            Store(at + 24, 8, buffer),
            Store(at + 40, 8, cdw[0] | cdw[1] << 32),
            Store(at + 48, 8, cdw[2]),
        ]
    };
    let mut all = place(3, 0, 0, AT).to_vec();
    all.extend(registers(AT, 8, &[(0x28, submissions), (0x30, completions)]));
    all.extend(registers(AT, 4, &[(0x24, 0x7_0007), (0x14, 0x46_0001)]));
    for (n, (opcode, buffer, cdw10, cdw11)) in (0..).zip([
        (5, ended, 7 << 16 | 1, 1),
        (1, own, 7 << 16 | 1, 1 << 16 | 1),
        (12, 0, 0, 0),
        (6, 0x24_0000, 1, 0),
    ]) {
        all.extend(command(submissions + 64 * n, opcode, 0, buffer, [cdw10, cdw11, 0]));
    }
    for (n, opcode) in (0..).zip([1, 2, 0, 8, 9, 2]) {
        all.extend(command(own + 64 * n, opcode, 1, 0x24_1000, [n, 0, 0]));
    }
    all.extend(registers(AT, 4, &[(0x1000, 4), (0x1004, 2), (0x1008, 5)]));
    all
}

/// Two streams of the sound card play, and its rings are on (HDA 1.0a, 3.3).
fn sound() -> Vec<Access> {
    const AT: u64 = 0xf010_0000;
    const TABLE: u64 = MEMORY + 0x1_0000;
    let mut all = place(20, 0, 0, AT).to_vec();
    all.push(Store(AT + 8, 4, 1));
    for verb in [0x17_0500, 0x27_0500, 0x27_0610, 0x37_0740, 0x22_0011] {
        all.extend([Store(AT + 0x60, 4, verb), Store(AT + 0x68, 2, 1)]);
    }
    (0..2).for_each(|n| all.extend(words(TABLE + 16 * n, TABLE + 0x1000 + 0x400 * n, 0x1_0000_0400)));
    for stream in [0x80, 0x100] {
        all.extend(registers(AT + stream, 4, &[(8, 0x800), (0xc, 1), (0x18, TABLE), (0, 0x10_001e)]));
        all.push(Store(AT + stream + 0x12, 2, 0x11));
    }
    all.extend(registers(
        AT,
        4,
        &[(0x70, TABLE + 0x8001), (0x20, 0xc000_00ff), (0x40, TABLE), (0x50, TABLE + 0x4000)],
    ));
    all.extend(registers(AT, 1, &[(0x4c, 2), (0x5c, 7)]));
    all
}

/// The USB controller runs, with commands that do nothing and that ask for slots (xHCI 1.2, 4.2).
fn usb() -> Vec<Access> {
    const AT: u64 = 0xf020_0000;
    let [contexts, commands, events, table] = [0, 0x1000, 0x2000, 0x3000].map(|at| MEMORY + 0x2_0000 + at);
    let mut all = place(21, 0, 0, AT).to_vec();
    all.extend(words(table, events, 64));
    for (n, kind) in (0..).zip([23u64, 9, 9, 23]) {
        all.extend(words(commands + 16 * n, 0, (kind << 10 | 1) << 32));
    }
    let set =
        [(0x78, 8), (0x70, contexts), (0x58, commands | 1), (0x1028, 1), (0x1038, events), (0x1030, table)];
    all.extend(registers(AT, 4, &set));
    all.extend(registers(AT, 4, &[(0x1020, 2), (0x40, 5), (0x2000, 0)]));
    all
}

/// Rings of the 82540EM, with frames that leave.
fn e1000() -> Vec<Access> {
    const AT: u64 = 0xf030_0000;
    let rings = [MEMORY + 0x3_0000, MEMORY + 0x3_1000];
    let mut all = place(2, 0, 0, AT).to_vec();
    for n in 0..8 {
        all.extend(words(rings[0] + 16 * n, MEMORY + 0x3_2000 + 0x800 * n, 0));
        all.extend(words(rings[1] + 16 * n, MEMORY + 0x3_2000 + 0x800 * n, 0x0b00_0000 | (60 + 100 * n)));
    }
    for (base, ring) in [(0x2800, rings[0]), (0x3800, rings[1])] {
        all.extend(registers(AT + base, 4, &[(0, ring), (8, 0x80)]));
    }
    let set = [(0xd0, 0x1_ffff), (0x2818, 7), (0x100, 0x8002), (0x400, 2), (0x3818, 6)];
    all.extend(registers(AT, 4, &set));
    all
}

/// A sector of a diskette comes by DMA, while the heads of another drive move.
fn floppy() -> Vec<Access> {
    let channel =
        [(0xd6, 0xc0), (0xd4, 0), (4, 0), (4, 0x24), (5, 0xff), (5, 3), (0x81, 0x24), (0xb, 0x46), (0xa, 2)];
    let start = [(0x3f2, 0x1c), (0x3f7, 0)];
    let fifo = [0x0f, 1, 9, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff].map(|byte| (0x3f5, byte));
    channel.into_iter().chain(start).chain(fifo).map(|(port, value)| Out(port, 1, value)).collect()
}

/// Both queues of virtio-net are on and full (virtio 1.2, 3.1.1 and 5.1).
fn virtio_net() -> Vec<Access> {
    const AT: u64 = 0xf000_0000;
    let mut all = place(2, 0, 4, AT).to_vec();
    all.extend(registers(AT, 1, &[(0x14, 3)]));
    all.extend(registers(AT, 4, &[(8, 1), (12, 1), (8, 0), (12, 0x23)]));
    all.push(Store(AT + 0x14, 1, 0xb));
    for n in 0..2u64 {
        let table = MEMORY + 0x1000 * n;
        all.extend(registers(AT, 2, &[(0x16, n), (0x18, 8)]));
        all.extend(registers(AT, 8, &[(0x20, table), (0x28, table + 0x200), (0x30, table + 0x400)]));
        all.push(Store(AT + 0x1c, 2, 1));
        for buffer in 0..8u64 {
            let len = (90 + 100 * buffer) | if n == 0 { 2 << 32 } else { 0 };
            all.extend(words(table + 16 * buffer, MEMORY + 0x4000 + 0x800 * buffer, len));
            all.push(Store(table + 0x204 + 2 * buffer, 2, buffer));
        }
        all.push(Store(table + 0x202, 2, 7));
    }
    all.extend([Store(AT + 0x14, 1, 0xf), Store(AT + 0x3004, 2, 1)]);
    all
}

/// A disk at AHCI reads and writes by queued commands (AHCI 1.3.1, 5.5).
fn ahci() -> Vec<Access> {
    const AT: u64 = 0xf010_0000;
    const LIST: u64 = MEMORY + 0x1_0000;
    let mut all = place(31, 2, 5, AT).to_vec();
    all.push(Store(AT + 4, 4, 0x8000_0002));
    for (slot, command) in [(0u64, 0x60u64), (5, 0x61)] {
        let table = LIST + 0x1000 + 0x100 * slot;
        all.extend(words(LIST + 32 * slot, 1 << 16 | 5, table));
        all.extend(words(table, 0x8027 | command << 16 | 2 << 24 | 0x40 << 56, slot << 35));
        all.extend(words(table + 0x80, LIST + 0x4000, 0x3ff << 32));
    }
    let set = [
        (0, LIST),
        (8, LIST + 0x400),
        (0x14, !0 >> 32),
        (0x30, !0 >> 32),
        (0x18, 0x11),
        (0x34, 0x21),
        (0x38, 0x21),
    ];
    all.extend(registers(AT + 0x100, 4, &set));
    all
}

/// The host reads sectors of a disk at IDE, and the bus master of the other channel is on.
fn ide() -> Vec<Access> {
    let task = [(0x1f6, 0xe0), (0x1f2, 2), (0x1f3, 1), (0x1f4, 0), (0x1f5, 0), (0x1f7, 0x20), (0xc008, 1)];
    let mut all = vec![Store(ECAM + 0x9_8000 + 4, 2, 5)];
    all.extend(task.map(|(port, value)| Out(port, 1, value)));
    all
}

/// The driver of a machine whose parts come and go, with NVMe, sound, USB, the 82540EM and a diskette.
pub fn of_parts() -> Vec<u8> {
    image(&[hotplug(), nvme(), sound(), usb(), e1000(), floppy()].concat())
}

/// That of a machine with virtio-net and disks at AHCI and IDE.
pub fn of_controllers() -> Vec<u8> {
    image(&[virtio_net(), ahci(), ide()].concat())
}
