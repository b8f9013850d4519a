use super::*;
use crate::clock::Timer;
use crate::effects::Effect;
use crate::testing::{Random, World};
use crate::{clock::Clock, effects::Effects, irq::IrqLines};

const DISK_SECTORS: u64 = 64;
/// Where things are in memory.
const DCBAA: u64 = 0x1000;
const COMMANDS: u64 = 0x2000;
const EVENTS: u64 = 0x3000;
const TABLE: u64 = 0x4000;
const INPUT: u64 = 0x5000;
const CONTEXTS: u64 = 0x6000;
const RINGS: u64 = 0x1_0000;
const DATA: u64 = 0x4_0000;
const RAM: usize = 0x8_0000;
/// Blocks of the ring of events.
const EVENT_COUNT: u64 = 64;

/// A driver of the controller, and the world it is in.
struct Driver {
    xhci: Xhci,
    world: World,
    clock: Clock,
    irqs: IrqLines,
    effects: Effects,
    commands: u64,
    /// Blocks filled in the rings of endpoints, by slot and endpoint.
    filled: std::collections::BTreeMap<(u8, u8), u64>,
    taken: u64,
}

/// A block of an event ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    kind: u8,
    parameter: u64,
    code: u8,
    length: u32,
    slot: u8,
    endpoint: u8,
}

impl Driver {
    fn new() -> Self {
        let disk = DiskConfig { interface: DiskInterface::Usb, sectors: DISK_SECTORS, read_only: false };
        let all: Vec<Peripheral> = Peripheral::all().collect();
        let image = (0..DISK_SECTORS as usize * 512).map(|at| (at / 512 ^ at) as u8).collect();
        let mut driver = Self {
            xhci: Xhci::new(&all, &[disk]).unwrap(),
            world: World::new(RAM, vec![image]),
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            commands: 0,
            filled: Default::default(),
            taken: 0,
        };
        driver.with(|xhci, cx| xhci.config_write(cx, 4, 2, 6));
        driver.start();
        driver
    }

    fn with<R>(&mut self, access: impl FnOnce(&mut Xhci, &mut DeviceCtx) -> R) -> R {
        let Self { xhci, world, clock, irqs, effects, .. } = self;
        access(xhci, &mut DeviceCtx { clock, irqs, effects, dma: world })
    }

    fn set(&mut self, at: u64, value: u32) {
        self.with(|xhci, cx| xhci.bar_write(cx, 0, at, 4, value.into()));
    }

    fn get(&mut self, at: u64) -> u32 {
        self.with(|xhci, cx| xhci.bar_read(cx, 0, at, 4)) as u32
    }

    fn poke(&mut self, at: u64, bytes: &[u8]) {
        self.world.ram.0[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn peek(&self, at: u64, len: usize) -> &[u8] {
        &self.world.ram.0[at as usize..at as usize + len]
    }

    fn block(&mut self, at: u64, parameter: u64, status: u32, control: u32) {
        let words = u128::from(control) << 96 | u128::from(status) << 64 | u128::from(parameter);
        self.poke(at, &words.to_le_bytes());
    }

    fn start(&mut self) {
        self.poke(TABLE, &(u128::from(EVENT_COUNT) << 64 | u128::from(EVENTS)).to_le_bytes());
        self.set(0x78, SLOTS as u32);
        self.set(0x70, DCBAA as u32);
        self.set(0x58, COMMANDS as u32 | 1);
        self.set(0x1028, 1);
        self.set(0x1038, EVENTS as u32);
        self.set(0x1030, TABLE as u32);
        self.set(0x1020, 2);
        self.set(0x40, CMD_RUN | CMD_INTERRUPTS);
    }

    /// What was told since the last call.
    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            let at = EVENTS + self.taken % EVENT_COUNT * 16;
            let cycle = u8::from((self.taken / EVENT_COUNT).is_multiple_of(2));
            let raw = u128::from_le_bytes(self.peek(at, 16).try_into().unwrap());
            let control = (raw >> 96) as u32;
            if control as u8 & 1 != cycle {
                break;
            }
            self.taken += 1;
            told.push(Told {
                kind: (control >> 10) as u8 & 0x3f,
                parameter: raw as u64,
                code: (raw >> 88) as u8,
                length: (raw >> 64) as u32 & 0xff_ffff,
                slot: (control >> 24) as u8,
                endpoint: (control >> 16) as u8 & 0x1f,
            });
        }
        let at = EVENTS + self.taken % EVENT_COUNT * 16;
        self.set(0x1038, at as u32 | 8);
        told
    }

    /// A command, and what is told of it.
    fn command(&mut self, parameter: u64, control: u32) -> Told {
        self.told();
        self.block(COMMANDS + self.commands * 16, parameter, 0, control | 1);
        self.commands += 1;
        self.set(0x2000, 0);
        let told = self.told();
        assert_eq!((told.len(), told[0].kind), (1, 33), "{told:?}");
        told[0]
    }

    fn ring_of(slot: u8, dci: u8) -> u64 {
        RINGS + (u64::from(slot) * 32 + u64::from(dci)) * 0x400
    }

    /// Puts a block into an endpoint's ring.
    fn fill(&mut self, slot: u8, dci: u8, parameter: u64, status: u32, control: u32) -> u64 {
        let filled = self.filled.entry((slot, dci)).or_default();
        let at = Self::ring_of(slot, dci) + *filled * 16;
        *filled += 1;
        self.block(at, parameter, status, control | 1);
        at
    }

    fn ring(&mut self, slot: u8, dci: u8) {
        self.set(0x2000 + 4 * u64::from(slot), dci.into());
    }

    /// A slot for the device at `port`, with an address.
    fn address(&mut self, port: u8) -> u8 {
        let portsc = 0x440 + 0x10 * (u64::from(port) - 1);
        let now = self.get(portsc);
        self.set(portsc, now & !2 | 1 << 4);
        let slot = self.command(0, 9 << 10).slot;
        let context = CONTEXTS + 0x400 * u64::from(slot);
        self.poke(DCBAA + 8 * u64::from(slot), &context.to_le_bytes());
        self.poke(INPUT, &[0; 0x440]);
        self.poke(INPUT + 4, &3u32.to_le_bytes());
        self.poke(INPUT + 0x20 + 4, &(u32::from(port) << 16).to_le_bytes());
        self.poke(INPUT + 0x40 + 8, &(Self::ring_of(slot, 1) | 1).to_le_bytes());
        let told = self.command(INPUT, u32::from(slot) << 24 | 11 << 10);
        assert_eq!(told.code, 1);
        slot
    }

    /// Switches endpoints on, and chooses the configuration.
    fn configure(&mut self, slot: u8, endpoints: &[u8]) {
        self.poke(INPUT, &[0; 0x440]);
        let add = endpoints.iter().fold(1u32, |add, dci| add | 1 << dci);
        self.poke(INPUT + 4, &add.to_le_bytes());
        for dci in endpoints {
            let at = INPUT + 0x20 * (u64::from(*dci) + 1) + 8;
            self.poke(at, &(Self::ring_of(slot, *dci) | 1).to_le_bytes());
        }
        assert_eq!(self.command(INPUT, u32::from(slot) << 24 | 12 << 10).code, 1);
        assert_eq!(self.control(slot, [0, 9, 1, 0, 0, 0, 0, 0]), (1, Vec::new()));
    }

    /// A control transfer without data from the host: completion code, and data.
    fn control(&mut self, slot: u8, setup: [u8; 8]) -> (u8, Vec<u8>) {
        let len = u32::from(u16::from_le_bytes([setup[6], setup[7]]));
        self.told();
        self.fill(slot, 1, u64::from_le_bytes(setup), 8, 2 << 10 | 1 << 6);
        if len != 0 {
            self.fill(slot, 1, DATA, len, 3 << 10 | 1 << 16 | 1 << 2);
        }
        self.fill(slot, 1, 0, 0, 4 << 10 | 1 << 5);
        self.ring(slot, 1);
        let told = self.told();
        let short = told.iter().find(|told| told.code == 13).map_or(0, |told| told.length);
        (told.last().unwrap().code, self.peek(DATA, (len - short) as usize).to_vec())
    }

    fn run_to(&mut self, end: u64) {
        while let Some(at) = self.clock.next().filter(|at| *at <= end) {
            self.clock.advance_to(at);
            let (_, Timer { timer, .. }) = self.clock.pop_due().unwrap();
            self.with(|xhci, cx| xhci.timer(cx, timer));
        }
        self.clock.advance_to(end);
    }

    /// A SCSI command by bulk transfers: status of the wrapper, and data.
    fn scsi(&mut self, slot: u8, command: &[u8], len: u32, sent: Option<&[u8]>) -> (u8, Vec<u8>) {
        let mut wrapper = b"USBC".to_vec();
        wrapper.extend(7u32.to_le_bytes());
        wrapper.extend(len.to_le_bytes());
        wrapper.extend([if sent.is_some() { 0 } else { 0x80 }, 0, command.len() as u8]);
        wrapper.extend(command);
        wrapper.resize(31, 0);
        self.poke(DATA, &wrapper);
        self.fill(slot, 4, DATA, 31, 1 << 10 | 1 << 5);
        self.ring(slot, 4);
        if let Some(sent) = sent {
            self.poke(DATA + 0x1000, sent);
            self.fill(slot, 4, DATA + 0x1000, len, 1 << 10 | 1 << 5);
            self.ring(slot, 4);
        } else if len != 0 {
            // In two blocks.
            self.fill(slot, 3, DATA + 0x1000, len / 2, 1 << 10 | 1 << 4 | 1 << 2);
            self.fill(slot, 3, DATA + 0x1000 + u64::from(len / 2), len - len / 2, 1 << 10 | 1 << 5);
        }
        self.fill(slot, 3, DATA + 0x800, 13, 1 << 10 | 1 << 5);
        self.ring(slot, 3);
        let end = self.clock.now() + 10_000_000;
        self.run_to(end);
        let status = self.peek(DATA + 0x800, 13).to_vec();
        assert_eq!(&status[..8], b"USBS\x07\0\0\0");
        (status[12], self.peek(DATA + 0x1000, len as usize).to_vec())
    }
}

#[test]
fn registers_say_what_there_is() {
    let mut driver = Driver::new();
    assert_eq!((driver.get(0), driver.get(4)), (0x0100_0040, 0x0800_0810));
    assert_eq!(driver.get(0x24).to_le_bytes(), *b"USB ");
    assert_eq!(driver.get(0x440) & 1, 1, "the keyboard is at port 1");
    assert_eq!(driver.get(0x480) & 0x3c03, 4 << 10 | 3, "the disk is at port 5 and ready");
    assert_eq!(driver.get(0x460) & 1, 0);
    let ports: Vec<u64> = driver.told().iter().map(|told| told.parameter >> 24).collect();
    assert_eq!(ports, [1, 2, 5], "the ports with something at them say so");
}

#[test]
fn a_device_gets_an_address_and_says_what_it_is() {
    let mut driver = Driver::new();
    let slot = driver.address(1);
    let (code, device) = driver.control(slot, [0x80, 6, 0, 1, 0, 0, 18, 0]);
    assert_eq!((code, device[8..12].to_vec()), (1, vec![0x27, 0x06, 0x01, 0x00]));
    let (code, all) = driver.control(slot, [0x80, 6, 0, 2, 0, 0, 255, 0]);
    assert_eq!((code, all.len(), all[2]), (1, 34, 34), "there is less than room");
    let context = CONTEXTS + 0x400 * u64::from(slot);
    assert_eq!(driver.peek(context + 12, 4), [slot, 0, 0, 2 << 3], "addressed");
    let (code, _) = driver.control(slot, [0x80, 6, 0, 9, 0, 0, 8, 0]);
    assert_eq!(code, 6, "there is no such descriptor");
    assert_eq!(driver.peek(context + 0x20, 1)[0] & 7, 2, "halted");
    let reset = driver.command(0, u32::from(slot) << 24 | 1 << 16 | 14 << 10);
    assert_eq!(reset.code, 1);
    assert_eq!(
        driver.command(0, u32::from(slot) << 24 | 1 << 16 | 14 << 10).code,
        19,
        "it is halted no more"
    );
    assert_eq!(driver.command(0, 9 << 24 | 11 << 10).code, 11, "there is no such slot");
}

#[test]
fn keys_become_reports() {
    let mut driver = Driver::new();
    let key = |name: &str| Key::named(name).unwrap();
    assert_eq!(driver.with(|xhci, cx| xhci.key(cx, key("a"), true)), None, "nobody listens");
    let slot = driver.address(1);
    driver.configure(slot, &[3]);
    assert_eq!(driver.xhci.is_ready(Model::Keyboard), Some(true));
    for n in 0..3 {
        driver.fill(slot, 3, DATA + 8 * n, 8, 1 << 10 | 1 << 5);
    }
    driver.ring(slot, 3);
    assert_eq!(driver.told(), [], "nothing is pressed");
    for (name, pressed) in [("shift", true), ("a", true), ("shift", false)] {
        assert_eq!(driver.with(|xhci, cx| xhci.key(cx, key(name), pressed)), Some(true));
    }
    let told = driver.told();
    assert!(told.iter().all(|told| (told.kind, told.code, told.length) == (32, 1, 0)) && told.len() == 3);
    let reports: Vec<&[u8]> = driver.peek(DATA, 24).chunks(8).collect();
    assert_eq!(reports, [[2, 0, 0, 0, 0, 0, 0, 0], [2, 0, 4, 0, 0, 0, 0, 0], [0, 0, 4, 0, 0, 0, 0, 0]]);
    driver.with(|xhci, cx| xhci.key(cx, key("b"), true));
    assert_eq!(driver.xhci.is_ready(Model::Keyboard), Some(false), "no block is left");
}

#[test]
fn the_tablet_says_where_it_is() {
    let mut driver = Driver::new();
    let slot = driver.address(2);
    driver.configure(slot, &[3]);
    let event = |x, buttons| PointerEvent { x, y: 0x1234, wheel: 1, buttons };
    for (x, buttons) in [(1, 0), (0x7fff, 1)] {
        assert!(driver.with(|xhci, cx| xhci.point(cx, event(x, buttons))));
    }
    driver.fill(slot, 3, DATA, 6, 1 << 10 | 1 << 5);
    driver.fill(slot, 3, DATA + 6, 6, 1 << 10 | 1 << 5);
    driver.ring(slot, 3);
    assert_eq!(driver.peek(DATA, 12), [0, 1, 0, 0x34, 0x12, 0xff, 1, 0xff, 0x7f, 0x34, 0x12, 0xff]);
}

#[test]
fn a_disk_is_read_and_written_after_its_time() {
    let mut driver = Driver::new();
    let slot = driver.address(5);
    driver.configure(slot, &[3, 4]);
    assert_eq!(driver.scsi(slot, &[0x12, 0, 0, 0, 36, 0], 36, None).1[8..13], *b"Amber");
    let (status, capacity) = driver.scsi(slot, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, None);
    assert_eq!((status, capacity), (0, vec![0, 0, 0, 63, 0, 0, 2, 0]));
    let (status, data) = driver.scsi(slot, &[0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0], 1024, None);
    assert_eq!(status, 0);
    assert!(data == driver.world.disks[0][3 * 512..5 * 512]);
    let sent: Vec<u8> = (0..512).map(|n| n as u8 ^ 0x5a).collect();
    driver.told();
    let (status, _) = driver.scsi(slot, &[0x2a, 8, 0, 0, 0, 63, 0, 0, 1, 0], 512, Some(&sent));
    assert_eq!((status, driver.world.flushes), (0, 1), "it was to be written through");
    assert!(driver.world.disks[0][63 * 512..] == sent);
    let codes: Vec<u8> = driver.told().iter().map(|told| told.code).collect();
    assert_eq!(codes, [1, 1, 1]);
}

#[test]
fn what_a_disk_cannot_do_stalls_and_is_explained() {
    let mut driver = Driver::new();
    let slot = driver.address(5);
    driver.configure(slot, &[3, 4]);
    driver.poke(DATA, b"USBC\x07\0\0\0\x00\x02\0\0\x80\0\x0a\x28\0\0\0\0\x40\0\0\x01\0\0\0\0\0\0\0");
    driver.fill(slot, 4, DATA, 31, 1 << 10 | 1 << 5);
    driver.ring(slot, 4);
    driver.fill(slot, 3, DATA + 0x1000, 512, 1 << 10 | 1 << 5);
    driver.ring(slot, 3);
    driver.run_to(1_000_000);
    assert_eq!(driver.told().last().unwrap().code, 6, "the block is beyond the end");
    assert_eq!(driver.command(0, u32::from(slot) << 24 | 3 << 16 | 14 << 10).code, 1);
    let at = Driver::ring_of(slot, 3) + driver.filled[&(slot, 3)] * 16;
    assert_eq!(driver.command(at | 1, u32::from(slot) << 24 | 3 << 16 | 16 << 10).code, 1);
    assert_eq!(driver.control(slot, [2, 1, 0, 0, 0x81, 0, 0, 0]).0, 1, "the halt is cleared");
    driver.fill(slot, 3, DATA + 0x800, 13, 1 << 10 | 1 << 5);
    driver.ring(slot, 3);
    driver.run_to(2_000_000);
    assert_eq!(driver.peek(DATA + 0x800, 13), b"USBS\x07\0\0\0\x00\x02\0\0\x01");
    let (status, sense) = driver.scsi(slot, &[3, 0, 0, 0, 18, 0], 18, None);
    assert_eq!((status, sense[2], sense[12]), (0, 5, 0x21));
    driver.world.broken = true;
    assert_eq!(driver.scsi(slot, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512, None).0, 1, "the medium is broken");
}

#[test]
fn messages_and_the_pin_tell_once_until_software_was_there() {
    let mut driver = Driver::new();
    driver.told();
    driver.set(0x1020, 3);
    assert!(!driver.xhci.registers.interrupters[0].is_pending());
    driver.with(|xhci, cx| {
        xhci.bar_write(cx, 2, 0, 8, 0xfee0_0000);
        xhci.bar_write(cx, 2, 8, 8, 0x41);
        xhci.config_write(cx, 0x42, 2, 0x8000);
    });
    driver.block(COMMANDS, 0, 0, 23 << 10 | 1);
    driver.block(COMMANDS + 16, 0, 0, 23 << 10 | 1);
    driver.set(0x2000, 0);
    let messages = |driver: &mut Driver| {
        driver.effects.drain().filter(|effect| matches!(effect, Effect::Msi { data: 0x41, .. })).count()
    };
    assert_eq!(messages(&mut driver), 1, "two events, one message");
    driver.set(0x44, STS_EVENT);
    assert_eq!(driver.told().len(), 2);
    assert_eq!((messages(&mut driver), driver.get(0x44) & STS_EVENT), (0, 0), "software has seen both");
}

#[test]
fn a_full_ring_of_events_says_so_and_loses_what_comes_then() {
    let mut driver = Driver::new();
    for n in 0..EVENT_COUNT * 2 {
        driver.block(COMMANDS + n * 16, 0, 0, 23 << 10 | 1);
    }
    driver.set(0x2000, 0);
    let end = driver.clock.now() + 10_000_000;
    driver.run_to(end);
    let told = driver.told();
    assert_eq!(told.len() as u64, EVENT_COUNT - 1);
    assert_eq!((told.last().unwrap().kind, told.last().unwrap().code), (37, 21));
}

#[test]
fn a_saved_controller_goes_on() {
    let mut driver = Driver::new();
    let slot = driver.address(5);
    driver.configure(slot, &[3, 4]);
    driver.poke(DATA, b"USBC\x07\0\0\0\x00\x02\0\0\x80\0\x0a\x28\0\0\0\0\x01\0\0\x01\0\0\0\0\0\0\0");
    driver.fill(slot, 4, DATA, 31, 1 << 10 | 1 << 5);
    driver.ring(slot, 4);
    driver.fill(slot, 3, DATA + 0x1000, 512, 1 << 10 | 1 << 5);
    driver.ring(slot, 3);
    let section = driver.xhci.to_section("p/xhci");
    let fresh = driver.xhci.clone();
    driver.xhci = fresh.restored(&section).unwrap();
    assert_eq!(driver.xhci, fresh);
    driver.run_to(1_000_000);
    assert!(driver.peek(DATA + 0x1000, 512) == &driver.world.disks[0][512..1024]);
    let mut other = driver.xhci.clone();
    other.registers.slots.pop();
    assert!(fresh.restored(&other.to_section("p/xhci")).unwrap_err().to_string().contains("slots"));
}

/// Rings, contexts and registers full of nonsense: every operation ends, and soon.
#[test]
fn hostile_drivers_get_nowhere() {
    let operations = std::env::var("AMBER_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000u64);
    let mut random = Random(0xbad);
    let mut driver = Driver::new();
    let disk = driver.address(5);
    driver.configure(disk, &[3, 4]);
    for _ in 0..operations {
        let value = match random.below(4) {
            0 => random.next(),
            1 => random.below(RAM as u64),
            2 => 1 << random.below(32),
            _ => random.of(&[0, 1, 2, 3, 5, INPUT, CONTEXTS, TABLE, COMMANDS | 1, 0xffff_ffff]),
        };
        match random.below(16) {
            0..3 => driver.set(0x2000 + 4 * random.below(18), random.below(33) as u32),
            3 => driver.set(0x40 + 4 * random.below(16), value as u32),
            4 => driver.set(0x440 + 4 * random.below(34), value as u32),
            5 => driver.set(0x1020 + 4 * random.below(66), value as u32),
            6 => {
                driver.get(4 * random.below(0x1000));
            }
            7..12 => {
                // A block of some kind somewhere it may be found.
                let rings = RINGS + 16 * random.below(0x1_0000 / 16);
                let commands = COMMANDS + 16 * random.below(64);
                let at = random.of(&[commands, rings, rings, INPUT, DCBAA, TABLE]);
                let kind = random.of(&[1, 1, 2, 3, 4, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 23]);
                let control =
                    random.next() as u32 & 0x0f1f_027f | kind << 10 | u32::from(random.below(8) != 0);
                driver.block(at, value, random.next() as u32 & 0x2_0fff, control);
            }
            12 => {
                let key = Key { code: random.below(128) as u8, extended: random.below(2) == 0 };
                driver.with(|xhci, cx| xhci.key(cx, key, value & 1 == 0));
            }
            13 => driver.with(|xhci, cx| xhci.config_write(cx, random.of(&[4, 0x10, 0x42]), 2, value)),
            14 => driver.run_to(driver.clock.now() + random.below(1_000_000)),
            _ => {
                driver.with(|xhci, cx| xhci.config_write(cx, 4, 2, 6));
                if random.below(8) == 0 {
                    driver.start();
                }
            }
        }
        driver.effects.drain().for_each(drop);
        while driver.irqs.take_change().is_some() {}
        assert_eq!(driver.xhci.impossible(), None);
    }
}
