//! Drivers that do anything, one at each chip that has no hostile driver beside it: no panic, no hang, no more effects, memory or
//! timers than there may be, and every state can be saved and loaded.

mod chips;
mod display;
mod pci;

use crate::machine::config;
use crate::memory::{Memory, VRAM, VRAM_LEN};
use crate::operation::{Op, step};
use amber_devices::{Effect, Platform, PlatformConfig, SYSTEM_STATES, system_states};

/// Operations of a driver before the next one, with a fresh platform.
const LIFE: u64 = 1000;
/// Operations, unless `AMBER_HOSTILE` says how many.
const OPERATIONS: u64 = 100_000;
/// Most effects of one operation; time passes by a hundred timers at most.
const EFFECTS_MAX: usize = 4096;
/// Bytes that the sections of a platform may grow by.
const GROWTH_MAX: usize = 64 << 10;
/// Bytes that the process may allocate beside what it has at the beginning; the largest picture has 134 million.
#[cfg(target_os = "linux")]
const MEMORY: u64 = 768 << 20;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A number of any size, or one of `words`.
    fn value(&mut self, words: &[u64]) -> u64 {
        match self.below(8) {
            0 => self.next(),
            1 => 1 << self.below(64),
            2 | 3 => self.below(256),
            _ if words.is_empty() => self.next() & 0xffff,
            4 => self.of(words) | self.below(256),
            _ => self.of(words),
        }
    }
}

/// What is done to one chip.
struct Chip {
    /// Its registers: ports as (first, count) and memory as (base, bytes).
    ports: &'static [(u16, u16)],
    windows: &'static [(u64, u64)],
    /// Values that mean something to it.
    words: &'static [u64],
    /// Whether the platform has firmware, and so can suspend to RAM.
    sleeps: bool,
    /// What else its driver and the world do.
    act: fn(&mut Bench, &mut Random),
}

/// A chip of a platform like other ones, at which nothing happens by itself.
const CHIP: Chip = Chip { ports: &[], windows: &[], words: &[], sleeps: false, act: |_, _| {} };

/// The platform under test.
struct Bench {
    platform: Platform,
    memory: Memory,
    /// How often it came to what the driver is after.
    reached: u64,
}

impl Bench {
    fn new(sleeps: bool) -> Self {
        let firmware_len = if sleeps { 0x4_0000 } else { 0 };
        let files = vec![(SYSTEM_STATES.to_owned(), system_states(true))];
        let fw_cfg_files = if sleeps { files } else { Vec::new() };
        let mut hotplug = config().hotplug;
        // With little memory what is padded with zeros ends soon, and modules have no room.
        hotplug.memory = None;
        let config = PlatformConfig { memory_size: 2 << 20, firmware_len, fw_cfg_files, hotplug, ..config() };
        let platform = Platform::new(&config).unwrap();
        let mut bench = Self { platform, memory: Memory(vec![0; VRAM + VRAM_LEN]), reached: 0 };
        // The 8259s let everything through.
        let initialise =
            [(0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0xa0, 0x11), (0xa1, 0x70), (0xa1, 2), (0xa1, 1)];
        for (port, value) in initialise.into_iter().chain([(0x21, 0), (0xa1, 0)]) {
            bench.act(&Op::Out { port, size: 1, value });
        }
        bench
    }

    /// Does it, and what the machine does about what comes of it.
    fn act(&mut self, op: &Op) -> u64 {
        let value = step(&mut self.platform, &mut self.memory, op);
        let mut count = 0;
        while let Some(effect) = self.platform.effects().pop() {
            count += 1;
            match effect {
                Effect::Reset => self.platform.reset(&mut self.memory),
                Effect::Suspend => drop(self.platform.suspend(&mut self.memory)),
                _ => {}
            }
        }
        assert!(count <= EFFECTS_MAX, "{count} effects of {op:?}");
        value
    }

    fn advance(&mut self, random: &mut Random) {
        let ns = random.of(&[1, 1000, 20_000, 1_000_000, 60_000_000, 3_000_000_000]);
        self.act(&Op::Advance(random.below(ns)));
    }

    fn pio(&mut self, random: &mut Random, port: u16, words: &[u64]) {
        let size = random.of(&[1, 1, 1, 2, 4]);
        match random.below(4) {
            0 => self.act(&Op::In { port, size }),
            _ => self.act(&Op::Out { port, size, value: random.value(words) as u32 }),
        };
    }

    fn mmio(&mut self, random: &mut Random, gpa: u64, words: &[u64]) {
        let size = random.of(&[4, 4, 8, 1, 2]);
        let gpa = if random.below(8) == 0 { gpa } else { gpa & !(u64::from(size) - 1) };
        match random.below(4) {
            0 => self.act(&Op::Read { gpa, size }),
            _ => self.act(&Op::Write { gpa, size, value: random.value(words) }),
        };
    }

    /// One operation at the chip.
    fn operate(&mut self, random: &mut Random, chip: &Chip) {
        let places = (chip.ports.len() + chip.windows.len()) as u64;
        match random.below(10) {
            0 => self.advance(random),
            1 | 2 => (chip.act)(self, random),
            _ if places == 0 => (chip.act)(self, random),
            _ => {
                let place = random.below(places) as usize;
                match chip.ports.get(place) {
                    Some((first, count)) => {
                        let port = first + random.below(u64::from(*count)) as u16;
                        self.pio(random, port, chip.words);
                    }
                    None => {
                        let (base, len) = chip.windows[place - chip.ports.len()];
                        let gpa = base + random.below(len);
                        self.mmio(random, gpa, chip.words);
                    }
                }
            }
        }
    }

    /// The state can be saved, has not grown, and is the same when it is loaded; memory is mapped without overlaps.
    fn check(&self, fresh: &Self) {
        let saved = self.platform.sections("p");
        let bytes = |sections: &[amber_snapshot::OwnedSection]| {
            sections.iter().map(|section| section.bytes.len()).sum::<usize>()
        };
        let (now, before) = (bytes(&saved), bytes(&fresh.platform.sections("p")));
        assert!(now <= before + GROWTH_MAX, "{before} bytes became {now}");
        let mut loaded = fresh.platform.clone();
        loaded.restore("p", &saved).unwrap();
        assert!(loaded.sections("p") == saved);
        for smm in [false, true] {
            let map = self.platform.memory_map(smm);
            assert!(map.windows(2).all(|pair| pair[0].end() <= pair[1].base), "{map:x?}");
        }
    }
}

/// Many drivers after each other, each on a platform that nobody used before; how often they came to what they are after, by
/// a thousand lives.
fn survives(chip: &Chip) -> u64 {
    limit_memory();
    let operations = std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok());
    let mut random = Random(0x5eed);
    let fresh = Bench::new(chip.sleeps);
    let lives = operations.unwrap_or(OPERATIONS).div_ceil(LIFE);
    let mut reached = 0;
    for _ in 0..lives {
        let mut bench =
            Bench { reached: 0, platform: fresh.platform.clone(), memory: Memory(fresh.memory.0.clone()) };
        for _ in 0..LIFE {
            bench.operate(&mut random, chip);
        }
        bench.check(&fresh);
        bench.act(&Op::Advance(1_000_000_000));
        bench.platform.reset(&mut bench.memory);
        reached += bench.reached;
    }
    reached * 1000 / lives
}

/// The kernel gives the process no more than [`MEMORY`] beside what it has.
#[cfg(target_os = "linux")]
fn limit_memory() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).expect("it is listed");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        let limit =
            Rlimit { current: Some((kib << 10) + MEMORY), maximum: getrlimit(Resource::Data).maximum };
        setrlimit(Resource::Data, limit).expect("a limit may always be lowered");
    });
}

#[cfg(not(target_os = "linux"))]
fn limit_memory() {}
