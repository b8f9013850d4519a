//! Drivers that do anything: no panic, no hang, nothing off the disk, and every state can be saved.

use super::bench::{Bench, DATA, Order, SECTORS};
use crate::device::{Device, Dma};
use crate::pci::function::Function;
use crate::testing::Random;

/// Accesses of a driver before the next one, with a fresh controller.
const LIFE: u64 = 250;
/// Accesses, unless `AMBER_HOSTILE` says how many.
const ACCESSES: u64 = 100_000;

/// RAM, odd RAM, the end of it, the local APIC, the controller's own registers, doorbells and table, and the top.
fn address(random: &mut Random) -> u64 {
    let page = random.below(0x100) << 12;
    let odd = random.next() & 0xf_ffff;
    random.of(&[
        page,
        page,
        page,
        page | 0xff8,
        odd,
        DATA,
        0xf_f000,
        0xfee0_0000,
        0xfe00_0000,
        0xfe00_1000,
        0xfe00_4000,
        !0xfff,
        !0,
    ])
}

/// Every other one is a read or write of blocks that are there, to anywhere.
fn order(random: &mut Random) -> Order {
    if random.below(2) == 0 {
        let (opcode, first, blocks) = (random.of(&[1, 2]), random.below(SECTORS - 40), 1 + random.below(40));
        let (prp1, prp2) = (address(random), address(random));
        return Order { prp1, prp2, ..Order::blocks(opcode, first, blocks) };
    }
    let opcode = random.of(&[0, 1, 2, 4, 5, 6, 8, 9, 10, 12, random.0 as u8]);
    let small = random.below(20) as u32;
    let word = random.next() as u32;
    Order {
        opcode,
        flags: random.of(&[0, 0, 0, 0, 0, 0, 0x40, 1]),
        nsid: random.of(&[1, 1, 1, 0, 2, u32::MAX]),
        prp1: address(random),
        prp2: address(random),
        cdw10: random.of(&[small, 7 << 16 | small, 255 << 16 | small, SECTORS as u32 - small, word]),
        cdw11: random.of(&[0, 1, 3, 1 << 16 | 3, small << 16 | 1, word]),
        cdw12: random.of(&[0, small, 0x3ff, 0xffff, word]),
    }
}

/// Switches the controller on as a driver does, with queues anywhere.
fn enable(bench: &mut Bench, random: &mut Random) {
    let sizes = random.of(&[0x0007_0007, 0x0fff_0fff, 0x0001_0001, 0x00ff_0003]);
    let (submission, completion) = (address(random), address(random));
    for (at, size, value) in
        [(0x14, 4, 0), (0x24, 4, sizes), (0x28, 8, submission), (0x30, 8, completion), (0x14, 4, 0x46_0001)]
    {
        bench.set(at, size, value);
    }
    bench.config(4, 2, 6);
}

/// Commands in RAM, in queues or all over the place; and lists that may lead anywhere.
fn fill(bench: &mut Bench, random: &mut Random) {
    let mut queues: Vec<u64> = bench.nvme.registers.submission.iter().map(|queue| queue.base).collect();
    queues.push(address(random) & 0xf_f000);
    let queue = random.of(&queues);
    for n in 0..random.below(70) {
        let (order, id) = (order(random), random.next() as u16);
        bench.world.write(queue.wrapping_add(64 * n), &order.bytes(id));
    }
    let list = address(random) & 0xf_f000;
    for n in 0..64 {
        let entries = [list, list | 0xff8, list + 0x1000, address(random)];
        let entry = random.of(&entries);
        bench.world.write(list.wrapping_add(8 * random.of(&[n, 511 - n])), &entry.to_le_bytes());
    }
}

/// Rings where there are queues, or not.
fn ring(bench: &mut Bench, random: &mut Random) {
    let mut queues: Vec<u64> =
        bench.nvme.registers.submission.iter().map(|queue| 2 * u64::from(queue.id)).collect();
    queues.push(0);
    let there = random.of(&queues);
    let doorbells = [there, there, there + 1, random.below(8), random.below(36), random.below(0xc00)];
    let values = [random.below(8), random.below(8), random.below(300), random.next()];
    let (doorbell, value) = (random.of(&doorbells), random.of(&values));
    bench.set(0x1000 + 4 * doorbell, 4, value);
}

fn act(bench: &mut Bench, random: &mut Random) {
    let (size, value) = (random.of(&[1, 2, 4, 4, 8]), random.next());
    match random.below(16) {
        // What is on stays on for a while.
        0 if random.below(8) == 0 => enable(bench, random),
        1 => fill(bench, random),
        2..=7 => ring(bench, random),
        8 => {
            let at = random.of(&[0, 0x0c, 0x10, 0x14, 0x1c, 0x20, 0x24, 0x28, 0x30, value % 0x4000]);
            bench.set(at, size, random.next());
        }
        9 => {
            bench.get(value % 0x4000, size);
        }
        10 => bench.with(|nvme, cx| nvme.bar_write(cx, 4, value % 0x1000, size, value >> 16)),
        11 => bench.config(random.of(&[4, 0x10, 0x42, value as u16 % 256]), size, random.next()),
        12 => bench.config(4, 2, 6),
        _ => {
            bench.pass();
        }
    }
    bench.effects.drain().for_each(drop);
}

#[test]
fn hostile_drivers_are_survived() {
    let accesses = std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok());
    let (mut random, mut moved) = (Random(0x5eed), 0);
    for _ in 0..accesses.unwrap_or(ACCESSES).div_ceil(LIFE) {
        let mut bench = if random.below(2) == 0 { Bench::cold(false) } else { Bench::new(false) };
        for _ in 0..LIFE {
            act(&mut bench, &mut random);
            assert_eq!(bench.nvme.impossible(), None);
        }
        assert!(bench.saved_and_loaded() == bench.nvme);
        // What is under way ends, however much of it there is.
        for _ in 0..20_000 {
            if !bench.pass() {
                break;
            }
        }
        assert_eq!(bench.clock.next(), None);
        let counters = &bench.nvme.registers.counters;
        moved += counters.reads + counters.writes;
    }
    assert!(moved > 100, "only {moved} commands moved data");
}
