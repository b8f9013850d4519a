use super::*;
use crate::clock::Timer;
use crate::sound::Rate;
use crate::testing::{Bench, Memory, Random};

const SLOT: u8 = 20;
/// Rings, list of buffers and positions in memory.
const CORB: u64 = 0x1000;
const RIRB: u64 = 0x2000;
const LIST: u64 = 0x3000;
const POSITIONS: u64 = 0x3800;
const BUFFERS: u64 = 0x8000;
/// The first stream out, the fifth of all.
const OUT: u64 = STREAMS_AT + 4 * STREAM_LEN;

struct Driver {
    hda: Hda,
    bench: Bench,
    commands: u8,
}

impl Driver {
    /// A driver that has brought the link up.
    fn new() -> Self {
        let mut driver = Self { hda: Hda::new(SLOT), bench: Bench::new(), commands: 0 };
        driver.hda.config_write(&mut driver.bench.cx(), 4, 2, 6);
        driver.set(0x08, 4, 1);
        driver.set(0x40, 4, CORB);
        driver.set(0x50, 4, RIRB);
        driver.set(0x5a, 2, 1);
        driver.set(0x4c, 1, 2);
        driver.set(0x5c, 1, 3);
        driver
    }

    fn set(&mut self, at: u64, size: u8, value: u64) {
        self.hda.bar_write(&mut self.bench.cx(), 0, at, size, value);
    }

    fn get(&mut self, at: u64, size: u8) -> u64 {
        self.hda.bar_read(&mut self.bench.cx(), 0, at, size)
    }

    /// Asks the codec through the rings.
    fn ask(&mut self, node: u32, verb: u32) -> u32 {
        self.commands = self.commands.wrapping_add(1);
        let at = (CORB + 4 * u64::from(self.commands)) as usize;
        self.bench.memory.0[at..at + 4].copy_from_slice(&(node << 20 | verb).to_le_bytes());
        self.set(0x48, 2, self.commands.into());
        assert_eq!(self.get(0x58, 2), u64::from(self.commands));
        let at = (RIRB + 8 * u64::from(self.commands)) as usize;
        u32::from_le_bytes(self.bench.memory.0[at..at + 4].try_into().unwrap())
    }

    /// Lets time pass.
    fn run_to(&mut self, end: u64) {
        while let Some(at) = self.bench.clock.next().filter(|at| *at <= end) {
            self.bench.clock.advance_to(at);
            let (_, Timer { timer, .. }) = self.bench.clock.pop_due().unwrap();
            self.hda.timer(&mut self.bench.cx(), timer);
        }
        self.bench.clock.advance_to(end);
    }

    /// Plays stream 1 at 48 kHz, 16 bits, stereo, from two buffers of `frames`.
    fn play(&mut self, frames: u32) {
        for (node, verb) in [(1, 0x7_0500), (2, 0x7_0500), (2, 0x7_0610), (3, 0x7_0740), (2, 0x2_0011)] {
            self.ask(node, verb);
        }
        let len = frames * 4;
        for n in 0..2u32 {
            let entry = u128::from(BUFFERS + u64::from(n * len)) | u128::from(len) << 64 | 1 << 96;
            let at = LIST as usize + 16 * n as usize;
            self.bench.memory.0[at..at + 16].copy_from_slice(&entry.to_le_bytes());
        }
        for (frame, bytes) in self.bench.memory.0[BUFFERS as usize..].chunks_mut(4).enumerate() {
            let left = frame as i16;
            bytes.copy_from_slice(&[left.to_le_bytes(), (-left).to_le_bytes()].concat());
        }
        self.set(0x70, 4, POSITIONS | 1);
        for (at, size, value) in [
            (0x08, 4, u64::from(2 * len)),
            (0x0c, 2, 1),
            (0x12, 2, 0x11),
            (0x18, 4, LIST),
            (0, 4, 1 << 20 | 6),
        ] {
            self.set(OUT + at, size, value);
        }
        self.set(0x20, 4, 1 << 31 | 1 << 4);
    }

    fn heard(&mut self) -> Vec<(u64, Vec<[i16; 2]>)> {
        let sounds = self.bench.effects.drain().filter_map(|effect| match effect {
            Effect::Sound(Sound::Frames { at, frames, .. }) => Some((at, frames)),
            _ => None,
        });
        sounds.collect()
    }
}

#[test]
fn the_codec_is_found_and_answers() {
    let mut driver = Driver::new();
    assert_eq!(driver.get(0x00, 2), 0x4401);
    assert_eq!(driver.get(0x0e, 2), 1, "the codec is there");
    assert_eq!(driver.ask(0, 0xf_0000), 0x1af4_0012);
    assert_eq!(driver.ask(0, 0xf_0004), 0x0001_0001);
    assert_eq!(driver.ask(1, 0xf_0004), 0x0002_0002);
    assert_eq!(driver.ask(2, 0x3_b000 | 0x10), 0);
    assert_eq!((driver.ask(2, 0xb_2000), driver.ask(2, 0xb_0000)), (0x10, 0x10), "gain of left and right");
    assert_eq!(driver.ask(1, 0x7_0500), 0);
    assert_eq!(driver.ask(1, 0xf_0500), 0);
    assert_eq!(driver.get(0x5d, 1), 1, "there are responses");
    driver.set(0x5d, 1, 1);
    assert_eq!(driver.get(0x5d, 1), 0);
}

#[test]
fn immediate_commands_are_answered_at_once() {
    let mut driver = Driver::new();
    driver.set(0x60, 4, 0xf_0000);
    driver.set(0x68, 2, 1);
    assert_eq!((driver.get(0x68, 2), driver.get(0x64, 4)), (2, 0x1af4_0012));
    driver.set(0x60, 4, 1 << 28 | 0xf_0000);
    driver.set(0x68, 2, 3);
    assert_eq!(driver.get(0x68, 2), 0, "there is no second codec");
}

#[test]
fn what_a_stream_plays_leaves_without_a_gap() {
    let mut driver = Driver::new();
    driver.play(480);
    driver.run_to(35_000_000);
    let heard = driver.heard();
    let rate = Rate { frames: 48_000, seconds: 1 };
    let mut next = 0;
    for (at, frames) in &heard {
        assert_eq!(*at, rate.ns_of(next));
        next += frames.len() as u64;
    }
    let all: Vec<[i16; 2]> = heard.into_iter().flat_map(|(_, frames)| frames).collect();
    assert_eq!(all.len(), 35 * 48);
    for (n, frame) in all.iter().enumerate() {
        let left = (n % 960) as i16;
        assert_eq!(*frame, [left, -left], "frame {n}");
    }
    assert_eq!(driver.get(OUT + 4, 4), (35 * 48 % 960) * 4);
    let at = POSITIONS as usize + 4 * 8;
    assert_eq!(driver.bench.memory.0[at..at + 4], (35u32 * 48 % 960 * 4).to_le_bytes());
}

#[test]
fn ends_of_buffers_interrupt_at_their_time() {
    let mut driver = Driver::new();
    driver.play(480);
    let pin = 16 + crate::pci::endpoint::pirq_of(SLOT, 1);
    driver.run_to(9_999_999);
    assert_eq!((driver.bench.pin_edges(pin), driver.get(0x24, 4)), (0, 1 << 30));
    driver.run_to(10_000_000);
    assert_eq!((driver.bench.pin_edges(pin), driver.get(0x24, 4)), (1, 1 << 31 | 1 << 30 | 1 << 4));
    driver.set(OUT + 3, 1, 4);
    assert_eq!(driver.get(0x24, 4) & 0xff, 0);
    driver.run_to(20_000_000);
    assert_eq!(driver.bench.pin_edges(pin), 1);
}

#[test]
fn mute_gain_and_pin_decide_what_is_heard() {
    let mut driver = Driver::new();
    driver.play(480);
    driver.ask(2, 0x3_a000 | 0x4a - 6);
    driver.run_to(5_000_000);
    let last = driver.heard().pop().unwrap().1.pop().unwrap();
    assert_eq!(last, [119, -239], "6 dB less on the left");
    driver.ask(2, 0x3_b080);
    driver.run_to(6_000_000);
    assert_eq!(driver.heard().pop().unwrap().1.pop().unwrap(), [0, 0]);
    driver.ask(3, 0x7_0700);
    driver.run_to(7_000_000);
    assert_eq!(driver.heard(), []);
}

#[test]
fn a_list_without_bytes_ends_the_stream() {
    let mut driver = Driver::new();
    driver.play(0);
    driver.run_to(5_000_000);
    assert_eq!(driver.get(OUT + 3, 1), 1 << 4);
    assert_eq!(driver.get(OUT, 1) & 2, 0);
}

#[test]
fn what_is_held_back_starts_anew() {
    let mut driver = Driver::new();
    driver.set(0x38, 4, 1 << 4);
    driver.play(480);
    driver.run_to(3_000_000);
    assert_eq!(driver.heard(), []);
    driver.set(0x38, 4, 0);
    driver.run_to(4_000_000);
    assert_eq!(driver.heard()[0].0, 3_000_000);
}

#[test]
fn a_saved_controller_goes_on() {
    let mut driver = Driver::new();
    driver.play(480);
    driver.run_to(7_300_000);
    driver.heard();
    let section = driver.hda.to_section("p/hda");
    driver.hda = Hda::new(SLOT).restored(&section).unwrap();
    driver.run_to(9_000_000);
    let (at, frames) = driver.heard().remove(0);
    assert_eq!((at, frames[0]), (7_000_000, [336, -336]));
    let mut other = driver.hda.clone();
    other.registers.streams.pop();
    assert!(Hda::new(SLOT).restored(&other.to_section("p/hda")).unwrap_err().to_string().contains("streams"));
}

/// Registers, lists and rings full of nonsense: every operation ends, and soon.
#[test]
fn hostile_drivers_get_nowhere() {
    let operations = std::env::var("AMBER_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000u64);
    let mut random = Random(0x5eed);
    let mut driver = Driver::new();
    driver.bench.memory = Memory(vec![0; 0x1_0000]);
    driver.play(48);
    for _ in 0..operations {
        let value = match random.below(4) {
            0 => random.next(),
            1 => random.below(0x1_0000),
            2 => 1 << random.below(32),
            _ => random.of(&[0, 1, 2, 3, 6, 0x10_0006, 0x20_001e, 0x4011, 0xffff_ffff]),
        };
        let at = random.of(&[0x08, 0x20, 0x38, 0x40, 0x48, 0x4c, 0x50, 0x58, 0x5c, 0x60, 0x68, 0x70]);
        let stream = STREAMS_AT + random.below(STREAM_LEN * 9);
        match random.below(12) {
            0..4 => driver.set(stream, random.of(&[1, 2, 4, 8]), value),
            4..6 => driver.set(at, random.of(&[1, 2, 4, 8]), value),
            6 => driver.set(random.below(0x4000), random.of(&[1, 2, 4, 8]), value),
            7 => {
                driver.get(random.below(0x4000), random.of(&[1, 2, 4, 8]));
            }
            8 => {
                let at = random.below(0x1_0000 - 8) as usize;
                driver.bench.memory.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            9 => driver.hda.config_write(&mut driver.bench.cx(), random.of(&[4, 0x10, 0x3c]), 2, value),
            10 => driver.hda.config_write(&mut driver.bench.cx(), 4, 2, 6),
            _ => driver.run_to(driver.bench.clock.now() + random.below(3_000_000)),
        }
        if random.below(64) == 0 {
            driver.set(0x08, 4, 1);
        }
        let sounds = driver.heard();
        assert!(sounds.iter().all(|(_, frames)| frames.len() <= 16 << 10));
        while driver.bench.irqs.take_change().is_some() {}
        assert_eq!(driver.hda.impossible(), None);
    }
}
