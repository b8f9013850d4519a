//! Machines with network adapters. Their guests only let time pass: the driver is the test.

use super::*;
use crate::boot::{BootFile, BootMemory, flat};
use crate::input::{Input, Record};
use crate::machine::{Equipment, HostIo, Machine, MachineSpec, NicSpec, POLL_NS, Stop};
use amber_devices::{Dma, NicModel, RamLayout};
use std::collections::VecDeque;

const MEMORY: u64 = 16 << 20;
/// BAR 4 and configuration space of the adapter.
const NIC: u64 = 0xFE00_4000;
const CONFIG: u64 = 0xB000_0000 + (2 << 15);
/// Each queue's table, available ring and used ring, and the buffers.
const RINGS: [u64; 2] = [0x20_0000, 0x20_1000];
const DRIVER: u64 = 0x400;
const USED: u64 = 0x800;
const RECEIVED: u64 = 0x21_0000;
const SENT: u64 = 0x22_0000;
const BUFFER: u64 = 0x800;
const QUEUE: u16 = 16;

/// A host that logs, or plays a log.
#[derive(Default)]
struct Host {
    log: Vec<Record>,
    frames: VecDeque<(u64, Vec<u8>)>,
    outputs: Vec<(u64, Vec<u8>)>,
}

impl HostIo for Host {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
    fn frame_output(&mut self, now: u64, frame: &[u8]) {
        self.outputs.push((now, frame.to_vec()));
    }
    fn frame_input(&mut self, step: u64, _now: u64) -> Option<Vec<u8>> {
        self.frames.pop_front_if(|(at, _)| *at == step).map(|(_, frame)| frame)
    }
    fn note(&mut self, record: &Record) {
        self.log.push(record.clone());
    }
}

impl Host {
    /// The frames of a log, to be given at their steps.
    fn playing(log: &[Record]) -> Self {
        let frame = |record: &Record| match &record.input {
            Input::Frame(frame) => Some((record.step, frame.clone())),
            _ => None,
        };
        Self { frames: log.iter().filter_map(frame).collect(), ..Self::default() }
    }
}

/// A machine whose guest does nothing but `pause`, with a driver that is ready.
fn machine(n: u8) -> Machine {
    const PAUSE_FOREVER: [u8; 4] = [0xF3, 0x90, 0xEB, 0xFC];
    let spec = MachineSpec {
        machine: "q35-1".into(),
        cpu: amber_cpu::cpuid::MODELS[0].name.into(),
        features: Vec::new(),
        cpus: 1,
        memory: MEMORY,
        seed: 0,
        rtc_start: 0,
        quantum: 20_000,
        firmware_len: 0,
        boot_len: 0,
        disks: Vec::new(),
        display: "text".into(),
        option_rom_len: 0,
        variables_len: 0,
        fw_cfg: Vec::new(),
    };
    let memory = BootMemory::pc(MEMORY, RamLayout::new(MEMORY).low, None);
    let image = flat::load(BootFile { name: "test", bytes: &PAUSE_FOREVER }, 0x10_0000, &memory).unwrap();
    let nic = Some(NicSpec::new(NicModel::Virtio, [0x52, 0x54, 0, 0, 0, n]));
    let equipment = Equipment { nic, ..Equipment::default() };
    let mut machine = Machine::equipped(spec, image, Vec::new(), &[], equipment).unwrap();
    set_up(&mut machine);
    machine
}

fn set(machine: &mut Machine, at: u64, size: u8, value: u64) {
    machine.with_dma(|platform, dma| platform.mmio_write(dma, at, size, value));
}

/// Does what a driver does, down to a receive buffer for every entry of the queue.
fn set_up(machine: &mut Machine) {
    set(machine, CONFIG + 4, 2, 6);
    for (at, size, value) in [(0x14, 1, 3), (8, 4, 1), (12, 4, 1), (0x14, 1, 0xB)] {
        set(machine, NIC + at, size, value);
    }
    for (n, rings) in (0..).zip(RINGS) {
        for (at, size, value) in [(0x16, 2, n), (0x18, 2, u64::from(QUEUE)), (0x20, 8, rings)] {
            set(machine, NIC + at, size, value);
        }
        for (at, size, value) in [(0x28, 8, rings + DRIVER), (0x30, 8, rings + USED), (0x1C, 2, 1)] {
            set(machine, NIC + at, size, value);
        }
    }
    set(machine, NIC + 0x14, 1, 0xF);
    machine.with_dma(|_, dma| (0..QUEUE).for_each(|n| offer(dma, 0, n, RECEIVED, 1530, 2)));
    // What the set-up changed is taken over.
    machine.settle(&mut Host::default(), true);
}

/// Makes buffer `n` of a queue available.
fn offer(dma: &mut dyn Dma, queue: usize, n: u16, buffers: u64, len: u32, flags: u16) {
    let address = buffers + BUFFER * u64::from(n);
    let word = u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96;
    dma.write(RINGS[queue] + 16 * u64::from(n), &word.to_le_bytes());
    dma.write(RINGS[queue] + DRIVER + 4 + 2 * u64::from(n), &n.to_le_bytes());
    dma.write(RINGS[queue] + DRIVER + 2, &(n + 1).to_le_bytes());
}

/// Sends frame `n`.
fn send(machine: &mut Machine, n: u16, frame: &[u8]) {
    machine.with_dma(|platform, dma| {
        dma.write(SENT + BUFFER * u64::from(n) + 12, frame);
        offer(dma, 1, n, SENT, 12 + frame.len() as u32, 0);
        platform.mmio_write(dma, NIC + 0x3004, 2, 1);
    });
}

/// The frames that arrived.
fn received(machine: &mut Machine) -> Vec<Vec<u8>> {
    machine.with_dma(|_, dma| {
        let word = |dma: &mut dyn Dma, at| {
            let mut bytes = [0; 4];
            dma.read(at, &mut bytes);
            u32::from_le_bytes(bytes)
        };
        let count = word(dma, RINGS[0] + USED) >> 16;
        let frame = |n: u32| {
            let entry = RINGS[0] + USED + 4 + 8 * u64::from(n);
            let (head, len) = (word(dma, entry), word(dma, entry + 4));
            let mut frame = vec![0; len as usize - 12];
            dma.read(RECEIVED + BUFFER * u64::from(head) + 12, &mut frame);
            frame
        };
        (0..count).map(frame).collect()
    })
}

fn frame(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8 ^ n).collect()
}

/// Two machines on one cable for 8 ms: three frames one way, one back when these are there.
fn talk(one: (&mut Machine, &mut Host), other: (&mut Machine, &mut Host)) {
    let (mut left, mut right) = crossover();
    for (n, len) in [(0, 60), (1, 1514), (2, 14)] {
        send(one.0, n, &frame(n as u8, len));
    }
    for (until, reply) in [(4 * POLL_NS, true), (8 * POLL_NS, false)] {
        let mut sides = [
            Side { machine: &mut *one.0, host: &mut *one.1, link: &mut left },
            Side { machine: &mut *other.0, host: &mut *other.1, link: &mut right },
        ];
        assert_eq!(run_in_turns(&mut sides, until), [None, None]);
        if reply {
            send(other.0, 0, &frame(9, 100));
        }
    }
}

#[test]
fn two_machines_talk_and_what_they_do_is_a_function_of_how_they_began() {
    let run = || {
        let (mut one, mut other) = (machine(1), machine(2));
        let (mut left, mut right) = (Host::default(), Host::default());
        talk((&mut one, &mut left), (&mut other, &mut right));
        assert_eq!(received(&mut other), [frame(0, 60), frame(1, 1514), frame(2, 14)]);
        assert_eq!(received(&mut one), [frame(9, 100)]);
        assert_eq!(right.log.len(), 4, "three frames, and the end of serial input");
        (one.state_hash(), other.state_hash(), left.log, right.log)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_machine_goes_the_same_way_again_by_its_log_alone() {
    let (mut one, mut other) = (machine(1), machine(2));
    let (mut left, mut right) = (Host::default(), Host::default());
    talk((&mut one, &mut left), (&mut other, &mut right));
    let mut again = machine(1);
    let mut host = Host::playing(&left.log);
    for n in [0, 1, 2] {
        send(&mut again, n, &frame(n as u8, [60, 1514, 14][usize::from(n)]));
    }
    assert_eq!(again.run(one.step(), &mut host, true), Stop::Step);
    assert_eq!((again.state_hash(), &host.log), (one.state_hash(), &left.log));
    let sent: Vec<_> = host.outputs.into_iter().map(|(_, frame)| frame.len()).collect();
    assert_eq!(sent, [60, 1514, 14], "what it sends goes nowhere");
}

#[test]
fn a_frame_leaves_at_the_time_it_has_and_waits_for_a_buffer() {
    let (mut machine, mut host) = (machine(1), Host::default());
    send(&mut machine, 0, &frame(0, 500));
    machine.run(200, &mut host, true);
    assert_eq!(host.outputs.iter().map(|(_, frame)| frame.len()).collect::<Vec<_>>(), [500]);
    let (left, _) = host.outputs[0];
    assert!((1512..1600).contains(&left), "{left}");
    // More frames than buffers: the rest is not even asked for.
    struct Flood(u64);
    impl HostIo for Flood {
        fn serial_output(&mut self, _port: u8, _byte: u8) {}
        fn debug_output(&mut self, _byte: u8) {}
        fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
            Vec::new()
        }
        fn may_input(&self) -> bool {
            false
        }
        fn frame_input(&mut self, _step: u64, _now: u64) -> Option<Vec<u8>> {
            self.0 += 1;
            Some(vec![0; 60])
        }
    }
    let mut flood = Flood(0);
    machine.run(200_000, &mut flood, true);
    assert!(machine.now() > 2 * POLL_NS);
    assert_eq!((flood.0, received(&mut machine).len()), (u64::from(QUEUE), usize::from(QUEUE)));
    let traffic = machine.traffic();
    let (sent, received) = (traffic.frames_sent, traffic.frames_received);
    assert_eq!((sent.times, sent.bytes, received.times, received.bytes / 60), (1, 500, flood.0, flood.0));
}

#[test]
fn a_fork_with_a_frame_on_its_way_goes_the_same_way() {
    let mut original = machine(1);
    send(&mut original, 0, &frame(3, 1514));
    original.run(10, &mut Host::default(), true);
    let frozen = original.freeze();
    let mut fork = Machine::fork(&frozen).unwrap();
    let (mut host, mut other) = (Host::default(), Host::default());
    original.run(50_000, &mut host, true);
    fork.run(50_000, &mut other, true);
    assert_eq!((host.outputs.len(), &host.outputs), (1, &other.outputs));
    assert_eq!(original.state_hash(), fork.state_hash());
    assert_eq!(
        fork.equipment().nic.as_ref(),
        Some(&NicSpec::new(NicModel::Virtio, [0x52, 0x54, 0, 0, 0, 1]))
    );
}

#[test]
fn a_cable_that_is_pulled_out_is_an_input() {
    let (mut machine, mut host) = (machine(1), Host::default());
    let before = machine.state_hash();
    assert!(machine.set_link(&mut host, false));
    assert_eq!(host.log, [Record { step: machine.step(), input: Input::Link(false) }]);
    assert_ne!(machine.state_hash(), before);
    send(&mut machine, 0, &frame(0, 60));
    host.frames.push_back((machine.step(), frame(1, 60)));
    machine.run(50_000, &mut host, true);
    assert!(host.outputs.is_empty() && received(&mut machine).is_empty());
    assert_eq!(host.frames.len(), 1, "it stays with the host");
}
