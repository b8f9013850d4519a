use super::*;
use crate::checksum;
use crate::irq::{IrqSource, Line};
use crate::nic::NicModel;
use crate::pci::endpoint::pirq_of;
use crate::testing::{Bench, Random};

const SLOT: u8 = 2;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const RECEIVE: u64 = 0x1000;
const TRANSMIT: u64 = 0x2000;
const BUFFERS: u64 = 0x4000;
const SIZE: u32 = 8;

const CTRL: u64 = 0;
const STATUS: u64 = 8;
const ICR: u64 = 0xc0;
const ITR: u64 = 0xc4;
const ICS: u64 = 0xc8;
const IMS: u64 = 0xd0;
const RCTL: u64 = 0x100;
const TCTL: u64 = 0x400;
const RDH: u64 = 0x2810;
const RDT: u64 = 0x2818;
const TDH: u64 = 0x3810;
const TDT: u64 = 0x3818;
const RXCSUM: u64 = 0x5000;

const EOP: u8 = 1;
const RS: u8 = 8;

/// An adapter with a driver: rings of 8, buffers of 2 KiB, all frames for this station and broadcasts.
struct Guest {
    nic: E1000,
    bench: Bench,
}

fn config() -> NicConfig {
    NicConfig { model: NicModel::E1000, mac: MAC }
}

impl Guest {
    fn new() -> Self {
        let mut guest = Self { nic: E1000::new(SLOT, &config()), bench: Bench::new() };
        guest.with(|nic, cx| nic.config_write(cx, 4, 2, 7));
        for (base, ring) in [(0x2800, RECEIVE), (0x3800, TRANSMIT)] {
            guest.set(base, ring as u32);
            guest.set(base + 8, SIZE * 16);
        }
        for n in 0..u64::from(SIZE) {
            guest.describe(RECEIVE, n as u32, BUFFERS + 0x800 * n, 0);
        }
        guest.set(RDT, SIZE - 1);
        guest.set(RCTL, RCTL_EN | bits::RCTL_BAM);
        guest.set(TCTL, TCTL_EN);
        guest
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut E1000, &mut DeviceCtx) -> R) -> R {
        act(&mut self.nic, &mut self.bench.cx())
    }

    fn set(&mut self, register: u64, value: u32) {
        self.with(|nic, cx| nic.bar_write(cx, 0, register, 4, value.into()));
    }

    fn get(&mut self, register: u64) -> u32 {
        self.with(|nic, cx| nic.bar_read(cx, 0, register, 4)) as u32
    }

    fn describe(&mut self, ring: u64, n: u32, low: u64, high: u64) {
        let word = u128::from(low) | u128::from(high) << 64;
        self.bench.memory.write(ring + 16 * u64::from(n), &word.to_le_bytes());
    }

    /// Has a packet sent by descriptor `n`: `high` is what it has beside the buffer's address and length.
    fn send(&mut self, n: u32, packet: &[u8], high: u64) {
        let at = BUFFERS + 0x4000 + 0x1000 * u64::from(n);
        self.bench.memory.write(at, packet);
        self.describe(TRANSMIT, n, at, high | packet.len() as u64);
    }

    /// Lets time pass until the adapter has nothing to do; the frames that left.
    fn pass(&mut self) -> Vec<Vec<u8>> {
        while let Some(at) = self.bench.clock.next() {
            self.bench.clock.advance_to(at);
            while let Some((_, timer)) = self.bench.clock.pop_due() {
                self.with(|nic, cx| nic.timer(cx, timer.timer));
            }
        }
        let frame = |effect| match effect {
            Effect::Frame(frame) => Some(frame),
            _ => None,
        };
        self.bench.effects.drain().filter_map(frame).collect()
    }

    fn receive(&mut self, frame: &[u8]) -> bool {
        self.with(|nic, cx| nic.takes_frames(cx.dma) && nic.receive(cx, frame))
    }

    /// Descriptor `n` of the receive ring, and what is in its buffer.
    fn received(&mut self, n: u32) -> (u64, Vec<u8>) {
        let mut high = [0; 8];
        self.bench.memory.read(RECEIVE + 16 * u64::from(n) + 8, &mut high);
        let high = u64::from_le_bytes(high);
        let mut bytes = vec![0; high as usize & 0xffff];
        self.bench.memory.read(BUFFERS + 0x800 * u64::from(n), &mut bytes);
        (high, bytes)
    }

    fn interrupts(&self) -> bool {
        self.bench.irqs.level(Line::Pirq(pirq_of(SLOT, 1)), IrqSource::Slot(SLOT))
    }
}

fn legacy(command: u8) -> u64 {
    u64::from(command) << 24
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len).map(|n| (n * 3) as u8).collect();
    frame[..6].copy_from_slice(&MAC);
    frame
}

/// A frame with a TCP segment and the pseudo header's sum in it: without the length, if it is to be segmented.
fn segment(payload: &[u8], whole: bool) -> Vec<u8> {
    let len = 20 + payload.len() as u16;
    let mut frame = [&[2; 12][..], &[8, 0, 0x45, 0]].concat();
    frame.extend((20 + len).to_be_bytes());
    frame.extend([0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]);
    frame.extend([0x30, 0x39, 0, 80, 0, 0, 0, 100, 0, 0, 0, 7, 0x50, 0x19, 1, 0]);
    let length = if whole { len } else { 0 };
    let sum = [checksum::sum(&frame[26..34]), 6, length].into_iter().fold(0, checksum::add);
    frame.extend(sum.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// A context for such segments, with what follows in its second half.
fn context(guest: &mut Guest, n: u32, tucmd: u64, paylen: u64, mss: u64) {
    let low = 14 | 24 << 8 | 33 << 16 | 34 << 32 | 50 << 40;
    guest.describe(TRANSMIT, n, low, paylen | (tucmd | 0x20) << 24 | 54 << 40 | mss << 48);
}

#[test]
fn a_frame_of_two_buffers_leaves_and_its_descriptors_come_back() {
    let mut guest = Guest::new();
    let whole = frame(100);
    guest.send(0, &whole[..40], 0);
    guest.set(TDT, 1);
    assert!(guest.pass().is_empty(), "its end is not there");
    guest.send(1, &whole[40..], legacy(EOP | RS));
    guest.set(TDT, 2);
    assert_eq!(guest.get(TDH), 0);
    assert_eq!(guest.pass(), [whole]);
    assert_eq!((guest.get(TDH), guest.get(ICR)), (2, ICR_TXDW | ICR_TXQE));
    let mut status = [0];
    guest.bench.memory.read(TRANSMIT + 16 + 12, &mut status);
    assert_eq!(status, [1]);
    assert_eq!((guest.get(0x4080), guest.get(0x4080)), (1, 0));
}

#[test]
fn checksums_are_put_in_as_descriptors_of_both_forms_ask() {
    let mut guest = Guest::new();
    // Legacy: from the TCP header on.
    guest.send(0, &segment(b"legacy", true), legacy(EOP | 4) | 50 << 16 | 34 << 40);
    context(&mut guest, 1, 0, 0, 0);
    guest.send(2, &segment(b"data", true), 1 << 20 | legacy(EOP | 0x20) | 3 << 40);
    guest.set(TDT, 3);
    let frames = guest.pass();
    assert_eq!(frames.len(), 2);
    assert_eq!(checksum::check(&frames[0]).payload, Some(true));
    assert_eq!(checksum::check(&frames[0]).header, Some(false), "nobody asked for that one");
    assert_eq!(checksum::check(&frames[1]), checksum::Checked { header: Some(true), payload: Some(true) });
}

#[test]
fn long_packets_are_segmented() {
    let mut guest = Guest::new();
    let payload: Vec<u8> = (0..3000).map(|n| (n * 11) as u8).collect();
    context(&mut guest, 0, 7, 3000, 1400);
    guest.send(1, &segment(&payload, false), 1 << 20 | legacy(EOP | RS | 4 | 0x20) | 3 << 40);
    guest.set(TDT, 2);
    let frames = guest.pass();
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [1454, 1454, 254]);
    let mut at = 0;
    for (n, frame) in frames.iter().enumerate() {
        assert_eq!(checksum::check(frame), checksum::Checked { header: Some(true), payload: Some(true) });
        assert_eq!(frame[18..20], (0x1234 + n as u16).to_be_bytes());
        assert_eq!(frame[38..42], (100 + at as u32).to_be_bytes());
        assert_eq!(frame[47], if n == 2 { 0x19 } else { 0x10 }, "FIN and PSH are those of the last");
        assert_eq!(frame[54..], payload[at..at + frame.len() - 54]);
        at += frame.len() - 54;
    }
    assert_eq!((at, guest.get(TSCTC)), (3000, 1));
}

#[test]
fn frames_land_with_their_check_sequence_and_what_their_checksums_say() {
    let mut guest = Guest::new();
    guest.set(IMS, ICR_RXT0);
    assert!(guest.receive(&frame(60)));
    let (high, bytes) = guest.received(0);
    assert_eq!((bytes.len(), &bytes[..60]), (64, &frame(60)[..]));
    // The residue of a frame with its own check sequence.
    assert_eq!(crc32fast::hash(&bytes), 0x2144_df1c);
    assert_eq!(high >> 32 & 0xffff, 0x7, "done, its end, checksums not looked at");
    assert!(guest.interrupts());
    assert_eq!((guest.get(ICR), guest.interrupts()), (ICR_RXT0, false));
    guest.set(RXCSUM, bits::RXCSUM_IPOFL | bits::RXCSUM_TUOFL);
    guest.set(RCTL, RCTL_EN | bits::RCTL_UPE | bits::RCTL_SECRC);
    let mut good = segment(b"data", true);
    good[0] = 0x52;
    let len = good.len();
    checksum::insert(&mut good, 34, 50, len);
    checksum::insert(&mut good, 14, 24, 34);
    assert!(guest.receive(&good));
    let (high, bytes) = guest.received(1);
    assert_eq!((high >> 32 & 0xffff, bytes.len()), (0x63, 60));
    good[56] ^= 1;
    assert!(guest.receive(&good));
    assert_eq!(guest.received(2).0 >> 32 & 0xffff, 0x2063);
    assert!(guest.get(0x4074) == 3 && guest.get(RDH) == 3);
}

#[test]
fn frames_for_others_do_not_land_and_without_room_none_does() {
    let mut guest = Guest::new();
    let mut other = frame(60);
    other[5] ^= 1;
    assert!(!guest.receive(&other));
    assert_eq!(guest.get(RDH), 0);
    (0..7).for_each(|_| assert!(guest.receive(&frame(1500))));
    assert_eq!(guest.get(ICR) & (ICR_RXT0 | ICR_RXDMT0), ICR_RXT0 | ICR_RXDMT0);
    assert!(!guest.with(|nic, cx| nic.takes_frames(cx.dma)));
    assert!(!guest.with(|nic, cx| nic.receive(cx, &frame(60))));
    assert_eq!((guest.get(ICR), guest.get(RNBC), guest.get(0x40d0)), (ICR_RXO, 1, 9));
    guest.set(RDT, 0);
    assert!(guest.receive(&frame(60)));
}

#[test]
fn a_frame_takes_as_many_buffers_as_it_needs() {
    let mut guest = Guest::new();
    guest.set(RCTL, RCTL_EN | 3 << 16);
    assert!(guest.receive(&frame(600)));
    assert_eq!(guest.get(RDH), 3);
    let parts: Vec<_> = (0..3).map(|n| guest.received(n)).collect();
    assert_eq!(parts.iter().map(|(high, _)| high >> 32 & 3).collect::<Vec<_>>(), [1, 1, 3]);
    let bytes: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!((bytes.len(), &bytes[..600]), (604, &frame(600)[..]));
}

#[test]
fn tags_of_vlans_are_put_in_and_taken_out() {
    let mut guest = Guest::new();
    guest.set(CTRL, CTRL_VME);
    guest.send(0, &frame(60), legacy(EOP | 0x40) | 0x6064 << 48);
    guest.set(TDT, 1);
    let frames = guest.pass();
    assert_eq!((frames[0].len(), &frames[0][12..16]), (64, &[0x81, 0, 0x60, 0x64][..]));
    assert_eq!(frames[0][16..], frame(60)[12..]);
    assert!(guest.receive(&frames[0]));
    let (high, bytes) = guest.received(0);
    assert_eq!((high >> 48, high >> 32 & 8, &bytes[..60]), (0x6064, 8, &frame(60)[..]));
}

#[test]
fn packets_to_be_segmented_have_a_context_of_their_own() {
    let mut guest = Guest::new();
    context(&mut guest, 0, 0, 0, 0);
    // Another place for the sum, which packets that leave as they are know nothing of.
    guest.describe(
        TRANSMIT,
        1,
        14 | 24 << 8 | 33 << 16 | 34 << 32 | 40 << 40,
        100 | 0x27 << 24 | 54 << 40 | 50 << 48,
    );
    guest.send(2, &segment(b"data", true), 1 << 20 | legacy(EOP | 0x20) | 3 << 40);
    guest.set(TDT, 3);
    let frames = guest.pass();
    assert_eq!(frames.len(), 1);
    assert_eq!(checksum::check(&frames[0]), checksum::Checked { header: Some(true), payload: Some(true) });
}

#[test]
fn the_tag_of_segments_is_that_of_the_first_descriptor() {
    let mut guest = Guest::new();
    guest.set(CTRL, CTRL_VME);
    let whole = segment(&[5; 200], false);
    context(&mut guest, 0, 7, 200, 100);
    guest.send(1, &whole[..54], 1 << 20 | legacy(0x40 | 4 | 0x20) | 3 << 40 | 0x0123 << 48);
    guest.send(2, &whole[54..], 1 << 20 | legacy(EOP | 4 | 0x20));
    guest.set(TDT, 3);
    let frames = guest.pass();
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [158, 158]);
    assert!(frames.iter().all(|frame| frame[12..16] == [0x81, 0, 1, 0x23]));
}

#[test]
fn an_adapter_of_before_takes_its_context_for_both() {
    use amber_snapshot::upgraded;
    let mut guest = Guest::new();
    context(&mut guest, 0, 7, 3000, 1400);
    guest.set(TDT, 1);
    guest.pass();
    let now = guest.nic.to_section("p/e1000");
    let old = upgrade::as_it_was(&guest.nic.registers, "p/e1000");
    assert_eq!((old.version, now.version), (1, 2));
    let new = upgraded(&[old], &[E1000_UPGRADE]).unwrap().into_owned();
    let nic = guest.nic.restored(&new[0]).unwrap();
    assert_eq!(nic.registers.transmit.segmenting, guest.nic.registers.transmit.segmenting);
    assert_eq!(nic.registers.transmit.normal, nic.registers.transmit.segmenting);
}

#[test]
fn interrupts_keep_their_distance() {
    let mut guest = Guest::new();
    guest.set(IMS, 4);
    guest.set(ITR, 1000);
    guest.set(ICS, 4);
    assert!(guest.interrupts());
    guest.get(ICR);
    guest.set(ICS, 4);
    assert!(!guest.interrupts());
    assert_eq!(guest.bench.clock.next(), Some(256_000));
    guest.pass();
    assert!(guest.interrupts());
}

#[test]
fn a_cable_that_is_pulled_out_is_told_of() {
    let mut guest = Guest::new();
    assert_eq!(guest.get(STATUS), 0x283);
    guest.with(|nic, cx| nic.set_link(cx, false));
    assert_eq!((guest.get(STATUS), guest.get(ICR)), (0x281, ICR_LSC));
    assert!(!guest.receive(&frame(60)));
    guest.send(0, &frame(60), legacy(EOP));
    guest.set(TDT, 1);
    assert!(guest.pass().is_empty() && guest.get(TDH) == 1);
    guest.set(CTRL, bits::CTRL_RST);
    assert_eq!((guest.get(STATUS), guest.get(RCTL), guest.get(TDH)), (0x281, 0, 0));
    guest.with(|nic, cx| nic.set_link(cx, true));
    assert_eq!(guest.get(STATUS), 0x283);
}

#[test]
fn registers_are_reached_by_ports_and_by_halves() {
    let mut guest = Guest::new();
    let mut out = |at: u64, value: u64| guest.with(|nic, cx| nic.bar_write(cx, 1, at, 4, value));
    out(0, 0x5400);
    out(4, 0x1234_5678);
    assert_eq!(guest.with(|nic, cx| nic.bar_read(cx, 1, 4, 4)), 0x1234_5678);
    assert_eq!(guest.get(0x5400), 0x1234_5678);
    assert_eq!(guest.with(|nic, cx| nic.bar_read(cx, 0, 0x5402, 2)), 0x1234);
    guest.with(|nic, cx| nic.bar_write(cx, 0, 0x5400, 2, 0));
    assert_eq!(guest.get(0x5400), 0x1234_5678, "registers are written whole");
    assert_eq!(guest.with(|nic, cx| nic.bar_read(cx, 0, 0x5400, 8)) >> 32, 0x8000_5634);
}

#[test]
fn a_packet_without_an_end_does_not_keep_the_ring() {
    let mut guest = Guest::new();
    (0..SIZE - 1).for_each(|n| guest.send(n, &frame(60), legacy(RS)));
    guest.set(TDT, SIZE - 1);
    assert!(guest.pass().is_empty());
    assert_eq!(guest.get(TDH), SIZE - 1);
    guest.send(SIZE - 1, &frame(60), legacy(EOP));
    guest.set(TDT, 0);
    assert_eq!(guest.pass(), [frame(60)]);
}

#[test]
fn states_are_restored_or_refused() {
    let mut guest = Guest::new();
    guest.send(0, &frame(60), legacy(EOP));
    guest.set(TDT, 1);
    guest.set(ICS, 4);
    let section = guest.nic.to_section("p/e1000");
    let fresh = E1000::new(SLOT, &config());
    assert_eq!(fresh.restored(&section).unwrap(), guest.nic);
    let refused = |change: fn(&mut Registers)| {
        let mut other = guest.nic.clone();
        change(&mut other.registers);
        fresh.restored(&other.to_section("p/e1000")).unwrap_err().to_string()
    };
    assert!(refused(|registers| registers.transmit.due = Some(u64::MAX)).contains("transmit"));
    assert!(refused(|registers| registers.interrupts.mask = 1 << 31).contains("interrupts"));
    assert!(refused(|registers| registers.port = 0x2_0000).contains("port"));
    assert!(refused(|registers| registers.endpoint.config_mut().set_u16(0, 1)).contains("endpoint"));
}

/// How many operations the hostile driver has.
fn operations() -> u64 {
    std::env::var("AMBER_HOSTILE").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000)
}

/// Random registers, descriptors and frames: no panic, no hang, and only frames as long as frames are.
#[test]
fn hostile_drivers_are_survived() {
    const OFTEN: [u64; 8] = [TDT, RDT, TDT, ICS, IMS, ICR, 0x10, TDT];
    const REGISTERS: [u64; 24] = [
        CTRL, 0x10, 0x14, 0x20, ICR, ITR, ICS, IMS, 0xd8, RCTL, TCTL, 0x2800, 0x2804, 0x2808, RDH, RDT,
        0x3800, 0x3804, 0x3808, TDH, TDT, RXCSUM, 0x38, 0x5400,
    ];
    let (mut random, mut guest) = (Random(0x1234_5678_9abc_def1), Guest::new());
    let mut frames = 0u64;
    for n in 0..operations() {
        let (what, value) = (random.next(), random.next());
        let small = value as u32 & if value >> 40 & 3 == 0 { u32::MAX } else { 0xff };
        match what & 15 {
            0..=3 => guest.set(OFTEN[(what >> 8) as usize % OFTEN.len()], small & 0xff),
            4 => guest.set(REGISTERS[(what >> 8) as usize % REGISTERS.len()], small),
            5 => guest.set(what >> 8 & 0x1_fffc, value as u32),
            6 => drop(guest.get(what >> 8 & 0x1_fffc)),
            7 => {
                guest.with(|nic, cx| nic.bar_write(cx, (what >> 8 & 1) as u8, what >> 9 & 0x1_ffff, 8, value))
            }
            8..=10 => {
                // Buffers that can be met, half of the time.
                let ring = if what & 0x100 == 0 { RECEIVE } else { TRANSMIT };
                let at = if what & 0x200 == 0 { value & 0xffff } else { value };
                let high = random.next() & !if what & 0x400 == 0 { 0xf_f800 } else { 0 };
                guest.describe(ring, (what >> 16) as u32 % SIZE, at, high);
            }
            11 => {
                let len = (value % 1600) as usize;
                let frame = if len < 6 { vec![0xff; len] } else { frame(len) };
                guest.receive(&frame);
            }
            12 => guest.with(|nic, cx| nic.config_write(cx, 4, 2, value & 7)),
            13 => guest.with(|nic, cx| nic.set_link(cx, value & 7 != 0)),
            14 if what & 0x700 == 0 => guest = Guest::new(),
            _ => {
                let later = guest.bench.clock.now() + value % 100_000;
                guest.bench.clock.advance_to(later);
                while let Some((_, timer)) = guest.bench.clock.pop_due() {
                    guest.with(|nic, cx| nic.timer(cx, timer.timer));
                }
            }
        }
        for effect in guest.bench.effects.drain() {
            if let Effect::Frame(frame) = effect {
                assert!((FRAME_MIN..=FRAME_MAX).contains(&frame.len()));
                frames += 1;
            }
        }
        if n % 64 == 0 {
            assert_eq!(guest.nic.impossible(), None);
        }
    }
    assert!(frames > operations() / 10_000, "{frames} frames");
}
