use super::*;
use crate::checksum;
use crate::irq::{IrqSource, Line};
use crate::nic::NicModel;
use crate::pci::function::Function;
use crate::testing::{Bench, Random};
use proptest::prelude::*;

const SLOT: u8 = 2;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Each queue's table, available ring and used ring, from here on.
const RINGS: [u64; 2] = [0x1000, 0x2000];
const DRIVER: u64 = 0x400;
const DEVICE: u64 = 0x800;
const BUFFERS: u64 = 0x4000;
const SIZE: u16 = 8;

/// An adapter with a driver.
struct Guest {
    nic: VirtioNet,
    bench: Bench,
}

impl Guest {
    /// The driver is ready, with queues of 8 and bus mastering on.
    fn new(features: u64) -> Self {
        let mut guest = Self {
            nic: VirtioNet::new(SLOT, &NicConfig { model: NicModel::Virtio, mac: MAC }),
            bench: Bench::new(),
        };
        guest.config(4, 2, 6);
        for (at, size, value) in [(0x14, 1, 3), (8, 4, 0), (12, 4, features), (8, 4, 1), (12, 4, 1)] {
            guest.set(at, size, value);
        }
        guest.set(0x14, 1, 0xb);
        for (n, rings) in (0..).zip(RINGS) {
            for (at, size, value) in [(0x16, 2, n), (0x18, 2, u64::from(SIZE)), (0x20, 8, rings)] {
                guest.set(at, size, value);
            }
            for (at, size, value) in [(0x28, 8, rings + DRIVER), (0x30, 8, rings + DEVICE), (0x1c, 2, 1)] {
                guest.set(at, size, value);
            }
        }
        guest.set(0x14, 1, 0xf);
        assert_eq!(guest.get(0x14, 1), 0xf);
        guest
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut VirtioNet, &mut DeviceCtx) -> R) -> R {
        act(&mut self.nic, &mut self.bench.cx())
    }

    fn set(&mut self, at: u64, size: u8, value: u64) {
        self.with(|nic, cx| nic.bar_write(cx, 4, at, size, value));
    }

    fn get(&mut self, at: u64, size: u8) -> u64 {
        self.with(|nic, cx| nic.bar_read(cx, 4, at, size))
    }

    fn config(&mut self, at: u16, size: u8, value: u64) {
        self.with(|nic, cx| nic.config_write(cx, at, size, value));
    }

    fn word(&mut self, gpa: u64) -> u16 {
        let mut bytes = [0; 2];
        self.bench.memory.read(gpa, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    fn describe(&mut self, queue: u16, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let word =
            u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
        let at = RINGS[usize::from(queue)] + 16 * u64::from(index);
        self.bench.memory.write(at, &word.to_le_bytes());
    }

    fn make_available(&mut self, queue: u16, head: u16) {
        let driver = RINGS[usize::from(queue)] + DRIVER;
        let index = self.word(driver + 2);
        self.bench.memory.write(driver + 4 + 2 * u64::from(index % SIZE), &head.to_le_bytes());
        self.bench.memory.write(driver + 2, &index.wrapping_add(1).to_le_bytes());
    }

    fn used(&mut self, queue: u16) -> u16 {
        self.word(RINGS[usize::from(queue)] + DEVICE + 2)
    }

    /// Head and length of a used entry.
    fn entry(&mut self, queue: u16, n: u64) -> (u16, u16) {
        let at = RINGS[usize::from(queue)] + DEVICE + 4 + 8 * n;
        (self.word(at), self.word(at + 4))
    }

    /// Offers a receive buffer of `len` bytes, the `n`th.
    fn offer(&mut self, n: u16, len: u32) {
        self.describe(RECEIVE, n, BUFFERS + 0x800 * u64::from(n), len, 2, 0);
        self.make_available(RECEIVE, n);
    }

    /// Sends a frame: its header in a descriptor of its own.
    fn send(&mut self, n: u16, frame: &[u8]) {
        let at = BUFFERS + 0x6000 + 0x800 * u64::from(n);
        self.bench.memory.write(at, &[0; HEADER_LEN]);
        self.bench.memory.write(at + HEADER_LEN as u64, frame);
        self.describe(TRANSMIT, 2 * n, at, HEADER_LEN as u32, 1, 2 * n + 1);
        self.describe(TRANSMIT, 2 * n + 1, at + HEADER_LEN as u64, frame.len() as u32, 0, 0);
        self.make_available(TRANSMIT, 2 * n);
        self.set(0x3004, 2, 1);
    }

    fn receive(&mut self, frame: &[u8]) -> bool {
        self.with(|nic, cx| nic.receive(cx, frame))
    }

    fn takes_frames(&mut self) -> bool {
        self.with(|nic, cx| nic.takes_frames(cx.dma))
    }

    /// Lets time pass to the next timer.
    fn pass(&mut self) -> bool {
        let Some(at) = self.bench.clock.next() else { return false };
        self.bench.clock.advance_to(at);
        while let Some((_, timer)) = self.bench.clock.pop_due() {
            assert_eq!(timer.device, DeviceId::Slot(SLOT));
            self.with(|nic, cx| nic.timer(cx, timer.timer));
        }
        true
    }

    fn effects(&mut self) -> Vec<Effect> {
        self.bench.effects.drain().collect()
    }

    fn line(&self) -> bool {
        self.bench.irqs.level(Line::Pirq(6), IrqSource::Slot(SLOT))
    }
}

fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8).collect()
}

#[test]
fn the_configuration_says_address_and_link() {
    let mut guest = Guest::new(F_MAC | F_STATUS);
    assert_eq!(guest.get(0x2000, 4), 0x1200_5452);
    assert_eq!(guest.get(0x2004, 4), 0x0001_5634);
    assert_eq!(guest.get(0x12, 2), 2, "queues");
    let config = guest.with(|nic, cx| nic.config_read(cx, 0, 4));
    assert_eq!(config, 0x1041_1af4);
}

#[test]
fn frames_leave_when_their_time_is_over_and_those_close_to_each_other_together() {
    let mut guest = Guest::new(0);
    guest.send(0, &frame(100));
    assert_eq!((guest.bench.clock.next(), guest.effects()), (Some(1112), Vec::new()));
    guest.send(1, &frame(FRAME_MAX));
    let both = 1112 + 1000 + (HEADER_LEN + FRAME_MAX) as u64 + 1000;
    assert_eq!((guest.bench.clock.next(), guest.effects()), (Some(both), Vec::new()));
    guest.pass();
    let frames = [Effect::Frame(frame(100)), Effect::Frame(frame(FRAME_MAX))];
    assert_eq!((guest.effects(), guest.used(TRANSMIT)), (frames.into(), 2));
    assert!(guest.line());
    assert_eq!((guest.get(0x1000, 1), guest.line()), (1, false));
    assert_eq!((guest.entry(TRANSMIT, 1), guest.pass()), ((2, 0), false));
    // Those too far behind the first wait.
    (0..4).for_each(|n| guest.send(n, &frame(FRAME_MAX)));
    let mut counts = Vec::new();
    guest.nic.registers.sending[3].due += TOGETHER_NS;
    guest.with(|nic, cx| nic.arm(cx));
    while guest.pass() {
        counts.push(guest.effects().len());
    }
    assert_eq!(counts, [3, 1]);
}

/// A packet of TCP with the pseudo header's sum in it, and virtio's header: 12 bytes.
fn tcp(payload: &[u8], gso: u8, size: u16) -> Vec<u8> {
    let len = 20 + payload.len() as u16;
    let mut bytes = vec![1, gso, 0, 0];
    bytes.extend(size.to_le_bytes());
    bytes.extend([34, 0, 16, 0, 0, 0]);
    bytes.extend([[2; 12].as_slice(), &[8, 0, 0x45, 0]].concat());
    bytes.extend((20 + len).to_be_bytes());
    bytes.extend([0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]);
    bytes.extend([0x30, 0x39, 0, 80, 0, 0, 0, 100, 0, 0, 0, 7, 0x50, 0x19, 1, 0]);
    let sums = [checksum::sum(&bytes[38..46]), 6, len];
    bytes.extend(sums.into_iter().fold(0, checksum::add).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

#[test]
fn checksums_and_segments_are_made_as_agreed() {
    let payload: Vec<u8> = (0..3000).map(|n| (n * 13) as u8).collect();
    let send = |features: u64, bytes: &[u8]| {
        let mut guest = Guest::new(features);
        guest.bench.memory.write(BUFFERS, bytes);
        guest.describe(TRANSMIT, 0, BUFFERS, bytes.len() as u32, 0, 0);
        guest.make_available(TRANSMIT, 0);
        guest.set(0x3004, 2, 1);
        while guest.pass() {}
        assert_eq!((guest.used(TRANSMIT), guest.get(0x14, 1)), (1, 0xf));
        let frame = |effect| match effect {
            Effect::Frame(frame) => frame,
            other => panic!("{other:?}"),
        };
        guest.effects().into_iter().map(frame).collect::<Vec<Vec<u8>>>()
    };
    let frames = send(F_CSUM, &tcp(&payload[..100], 0, 0));
    assert_eq!((frames.len(), checksum::check(&frames[0]).payload), (1, Some(true)));
    assert_eq!(send(0, &tcp(&payload[..100], 0, 0))[0], tcp(&payload[..100], 0, 0)[HEADER_LEN..]);
    let frames = send(F_CSUM | F_HOST_TSO4, &tcp(&payload, 1, 1400));
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [1454, 1454, 254]);
    for (n, frame) in frames.iter().enumerate() {
        let right = checksum::Checked { header: Some(true), payload: Some(true) };
        assert_eq!(checksum::check(frame), right);
        assert_eq!(frame[38..42], (100 + 1400 * n as u32).to_be_bytes());
    }
    assert!(send(F_CSUM, &tcp(&payload, 1, 1400)).is_empty(), "that was not agreed on");
    assert!(send(F_CSUM | F_HOST_TSO4, &tcp(&payload, 1, 0)).is_empty());
    // What comes in is said to be right, if it is.
    let mut good = frames[2].clone();
    for flag in [2, 0] {
        let mut guest = Guest::new(F_GUEST_CSUM);
        guest.offer(0, 1530);
        assert!(guest.receive(&good));
        let mut header = [0; 1];
        guest.bench.memory.read(BUFFERS, &mut header);
        assert_eq!(header, [flag]);
        good[60] ^= 1;
    }
}

#[test]
fn frames_of_no_length_of_a_frame_are_lost_and_their_buffers_used() {
    let mut guest = Guest::new(0);
    guest.send(0, &frame(FRAME_MIN - 1));
    guest.send(1, &frame(FRAME_MAX + 1));
    while guest.pass() {}
    assert_eq!((guest.effects(), guest.used(TRANSMIT)), (Vec::new(), 2));
    guest.describe(TRANSMIT, 0, BUFFERS, u32::MAX, 1, 1);
    guest.describe(TRANSMIT, 1, BUFFERS, u32::MAX, 0, 0);
    guest.make_available(TRANSMIT, 0);
    guest.set(0x3004, 2, 1);
    while guest.pass() {}
    assert_eq!((guest.effects(), guest.used(TRANSMIT), guest.get(0x14, 1)), (Vec::new(), 3, 0xf));
}

#[test]
fn a_frame_lands_behind_its_header() {
    let mut guest = Guest::new(0);
    assert!(!guest.takes_frames() && !guest.receive(&frame(60)));
    guest.offer(3, 1530);
    assert!(guest.takes_frames() && guest.receive(&frame(60)));
    assert_eq!((guest.used(RECEIVE), guest.entry(RECEIVE, 0)), (1, (3, 72)));
    let at = (BUFFERS + 0x1800) as usize;
    assert_eq!(guest.bench.memory.0[at..at + 12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(guest.bench.memory.0[at + 12..at + 72], frame(60));
    assert!(guest.line() && !guest.takes_frames());
}

#[test]
fn a_frame_that_does_not_fit_is_lost_and_the_buffer_stays() {
    let mut guest = Guest::new(0);
    guest.offer(0, 71);
    guest.offer(1, 1530);
    assert!(!guest.receive(&frame(60)), "without merging one buffer must do");
    assert!(!guest.receive(&frame(FRAME_MIN - 1)) && !guest.receive(&frame(FRAME_MAX + 1)));
    assert!(guest.receive(&frame(59)) && guest.receive(&frame(60)));
    assert_eq!((guest.entry(RECEIVE, 0), guest.entry(RECEIVE, 1)), ((0, 71), (1, 72)));
}

#[test]
fn a_frame_goes_over_as_many_buffers_as_it_needs() {
    let mut guest = Guest::new(F_MERGEABLE);
    guest.offer(0, 20);
    guest.offer(1, 30);
    assert!(!guest.receive(&frame(60)), "there is not enough room");
    assert_eq!((guest.used(RECEIVE), guest.takes_frames()), (0, true));
    guest.offer(2, 100);
    assert!(guest.receive(&frame(60)));
    let entries = [0, 1, 2].map(|n| guest.entry(RECEIVE, n));
    assert_eq!(entries, [(0, 20), (1, 30), (2, 22)]);
    let memory = &guest.bench.memory.0;
    let piece = |n: usize, from: usize, len: usize| &memory[BUFFERS as usize + 0x800 * n + from..][..len];
    assert_eq!(piece(0, 10, 2), [3, 0], "buffers");
    assert_eq!([piece(0, 12, 8), piece(1, 0, 30), piece(2, 0, 22)].concat(), frame(60));
}

#[test]
fn nothing_moves_while_the_function_is_no_bus_master() {
    let mut guest = Guest::new(0);
    guest.offer(0, 1530);
    guest.send(0, &frame(60));
    guest.config(4, 2, 2);
    assert_eq!(guest.bench.clock.next(), None);
    assert!(!guest.takes_frames() && !guest.receive(&frame(60)));
    guest.config(4, 2, 6);
    assert!(guest.pass());
    assert_eq!(guest.effects(), [Effect::Frame(frame(60))]);
    assert!(guest.receive(&frame(60)));
}

#[test]
fn nonsense_needs_a_reset_which_helps() {
    let mut guest = Guest::new(0);
    guest.send(0, &frame(60));
    guest.describe(RECEIVE, 0, BUFFERS, 100, 0, 0);
    guest.make_available(RECEIVE, 0);
    assert!(!guest.receive(&frame(60)), "the buffer cannot be written");
    assert_eq!((guest.get(0x14, 1), guest.get(0x1000, 1)), (0x4f, 2));
    assert_eq!((guest.bench.clock.next(), guest.takes_frames()), (None, false));
    guest.set(0x14, 1, 0);
    assert_eq!(guest.get(0x14, 1), 0);
    let mut guest = Guest::new(0);
    guest.describe(TRANSMIT, 0, BUFFERS, 11, 0, 0);
    guest.make_available(TRANSMIT, 0);
    guest.set(0x3004, 2, 1);
    guest.pass();
    assert_eq!(guest.get(0x14, 1), 0x4f, "there is no header");
    let mut guest = Guest::new(0);
    (0..9).for_each(|_| guest.send(0, &frame(60)));
    assert_eq!(guest.get(0x14, 1), 0x4f, "more frames than the queue is long");
}

#[test]
fn frames_on_their_way_are_part_of_the_section() {
    let mut guest = Guest::new(F_MERGEABLE);
    guest.send(0, &frame(60));
    guest.send(1, &frame(70));
    guest.offer(0, 1530);
    assert!(guest.receive(&frame(80)));
    let section = guest.nic.to_section("p/virtio-net0");
    let fresh = VirtioNet::new(SLOT, &NicConfig { model: NicModel::Virtio, mac: MAC });
    assert_eq!(fresh.restored(&section).unwrap(), guest.nic);
    let refused = |change: fn(&mut Registers)| {
        let mut other = guest.nic.clone();
        change(&mut other.registers);
        fresh.restored(&other.to_section("p/virtio-net0")).unwrap_err().to_string()
    };
    assert!(refused(|registers| registers.sending.reverse()).contains("sending"));
    assert!(refused(|registers| registers.sending[1].head = SIZE).contains("sending"));
    assert!(refused(|registers| registers.sending[1].due = u64::MAX).contains("sending"));
    assert!(refused(|registers| registers.transport.queues.truncate(1)).contains("queues"));
}

#[test]
fn each_queue_has_a_message_of_its_own() {
    let mut guest = Guest::new(0);
    for (vector, data) in [(1, 0x41u64), (2, 0x42)] {
        let mut msix =
            |at: u64, size: u8, value: u64| guest.with(|nic, cx| nic.bar_write(cx, 1, at, size, value));
        msix(16 * vector, 8, 0xfee0_0000);
        msix(16 * vector + 8, 8, data);
        guest.set(0x16, 2, vector - 1);
        guest.set(0x1a, 2, vector);
    }
    guest.config(0x42, 2, 0x8000);
    guest.effects();
    guest.offer(0, 1530);
    assert!(guest.receive(&frame(60)));
    assert_eq!(guest.effects(), [Effect::Msi { address: 0xfee0_0000, data: 0x41 }]);
    guest.send(0, &frame(60));
    guest.pass();
    let message = Effect::Msi { address: 0xfee0_0000, data: 0x42 };
    assert_eq!(guest.effects(), [Effect::Frame(frame(60)), message]);
}

#[test]
fn a_cable_that_is_pulled_out_is_told_of_and_loses_what_is_on_its_way() {
    let mut guest = Guest::new(0);
    guest.offer(0, 1530);
    guest.send(0, &frame(60));
    assert_eq!((guest.get(0x2006, 2), guest.get(0x15, 1)), (1, 0));
    guest.with(|nic, cx| nic.set_link(cx, false));
    assert_eq!((guest.get(0x2006, 2), guest.get(0x15, 1), guest.get(0x1000, 1)), (0, 1, 2));
    assert!(!guest.takes_frames() && !guest.receive(&frame(60)));
    guest.pass();
    assert!(guest.effects().iter().all(|effect| !matches!(effect, Effect::Frame(_))));
    // The buffer comes back all the same.
    let at = RINGS[usize::from(TRANSMIT)] + DEVICE + 2;
    assert_eq!(guest.word(at), 1);
    guest.with(|nic, cx| nic.reset(cx));
    assert_eq!(guest.get(0x2006, 2), 0, "a reset plugs nothing in");
    guest.with(|nic, cx| nic.set_link(cx, true));
    assert_eq!(guest.get(0x2006, 2), 1);
}

/// Operations of a driver before the next one, with a fresh adapter.
const LIFE: u64 = 500;
/// Operations, unless `AMBER_HOSTILE` says how many.
const OPERATIONS: u64 = 200_000;

fn act(guest: &mut Guest, random: &mut Random) {
    let (what, any) = (random.next(), random.next());
    let queue = (what >> 8 & 1) as u16;
    let small = (what >> 16) as u8;
    match what % 16 {
        0..=3 => {
            let address = if small & 0xf == 0 { any } else { BUFFERS + (any & 0x7fff) };
            let len = [12, 40, 70, 1530, 4000, any as u32][usize::from(small) % 6];
            let good = if queue == RECEIVE { 2 } else { 0 };
            let flags = if small & 0x3c == 0 { any as u16 } else { good | u16::from(small & 0x70 == 0) };
            guest.describe(
                queue,
                (what >> 32) as u16 % SIZE,
                address,
                len,
                flags,
                (what >> 40) as u16 % (SIZE + 1),
            );
        }
        4..=6 => {
            guest.make_available(queue, u16::from(small) % SIZE);
            guest.set(0x3004, 2, 1);
        }
        7 => {
            // What is read as a header may ask for anything.
            let header = [small & 3, small >> 4 & 5, 0, 0, (any >> 8) as u8, 3, 34, 0, 16, 0, 0, 0];
            guest.bench.memory.write(BUFFERS + (any & 0x7fff), &header);
        }
        8 => guest.bench.memory.write(0x1000 + (any & 0x1fff), &[small]),
        9 if small < 8 => guest.set(any >> 8 & 0x3fff, [1, 2, 4, 8][usize::from(small) & 3], any),
        10 => guest.config(4, 2, if small == 0 { any & 7 } else { 6 }),
        11 | 12 => {
            guest.receive(&frame(FRAME_MIN.max(any as usize % (FRAME_MAX + 4))));
        }
        13 => guest.with(|nic, cx| nic.set_link(cx, small > 20)),
        _ => drop(guest.pass()),
    }
}

#[test]
fn hostile_drivers_of_all_kinds_are_survived() {
    let operations = std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok());
    let (mut random, mut sent, mut landed) = (Random(0x4e7), 0, 0);
    for _ in 0..operations.unwrap_or(OPERATIONS).div_ceil(LIFE) {
        let offloads = F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_HOST_TSO6;
        let mut guest = Guest::new(random.next() & (F_MERGEABLE | F_INDIRECT | F_EVENT_INDEX) | offloads);
        for n in 0..SIZE {
            guest.describe(RECEIVE, n, BUFFERS + 0x800 * u64::from(n), 1530, 2, 0);
            guest.describe(TRANSMIT, n, BUFFERS + 0x800 * u64::from(n), 200 * u32::from(n + 1), 0, 0);
        }
        for _ in 0..LIFE {
            act(&mut guest, &mut random);
            assert_eq!(guest.nic.impossible(), None);
            for effect in guest.effects() {
                if let Effect::Frame(frame) = effect {
                    assert!((FRAME_MIN..=FRAME_MAX).contains(&frame.len()));
                    sent += 1;
                }
            }
        }
        landed += u64::from(guest.used(RECEIVE) != 0);
        let section = guest.nic.to_section("p/virtio-net0");
        assert!(guest.nic.restored(&section).is_ok_and(|restored| restored == guest.nic));
        guest.with(|nic, cx| nic.set_link(cx, true));
        for _ in 0..600 {
            guest.pass();
        }
        assert_eq!(guest.bench.clock.next(), None, "what is under way ends");
    }
    assert!(sent > 100 && landed > 10, "only {sent} frames were sent, {landed} drivers received any");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rings of any bytes, and frames of any length: no panic, no hang, and never a frame longer than there are.
    #[test]
    fn hostile_drivers_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0x300),
        near in any::<bool>(),
        merges in any::<bool>(),
        rings in 1..20usize,
    ) {
        let offloads = F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_INDIRECT;
        let mut guest = Guest::new(if merges { F_MERGEABLE | offloads } else { F_INDIRECT });
        for (at, byte) in bytes.iter().enumerate() {
            // Lengths and addresses that can be met, half of the time.
            let keep = !near || matches!(at % 16, 0 | 1 | 8 | 9 | 12 | 14);
            for table in RINGS {
                guest.bench.memory.0[table as usize + at % 0x80] = if keep { *byte } else { 0 };
            }
        }
        for byte in &bytes[..rings] {
            guest.make_available(TRANSMIT, (byte % 9).into());
            guest.set(0x3004, 2, 1);
            guest.make_available(RECEIVE, (byte % 9).into());
            if guest.takes_frames() {
                guest.receive(&frame(usize::from(*byte) * 8));
            }
            guest.pass();
        }
        for _ in 0..1000 {
            if !guest.pass() {
                break;
            }
        }
        prop_assert_eq!(guest.bench.clock.next(), None);
        prop_assert!(guest.nic.impossible().is_none());
        let fits = |effect: &Effect| match effect {
            Effect::Frame(frame) => (FRAME_MIN..=FRAME_MAX).contains(&frame.len()),
            _ => true,
        };
        prop_assert!(guest.effects().iter().all(fits));
    }
}
