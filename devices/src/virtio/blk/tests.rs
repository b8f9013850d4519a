use super::*;
use crate::clock::Clock;
use crate::device::Dma;
use crate::disk::DiskInterface;
use crate::effects::{Effect, Effects};
use crate::irq::{IrqLines, IrqSource, Line};
use crate::pci::function::Function;
use crate::testing::Memory;
use proptest::prelude::*;

const SLOT: u8 = 3;
const SECTORS: u64 = 64;
const TABLE: u64 = 0x1000;
const DRIVER: u64 = 0x2000;
const DEVICE: u64 = 0x3000;
const HEADER: u64 = 0x4000;
const STATUS: u64 = 0x4100;
const DATA: u64 = 0x5000;

/// RAM and a disk that can break.
struct World {
    ram: Memory,
    disk: Vec<u8>,
    broken: bool,
    /// What was written cannot be brought to the medium.
    full: bool,
    flushes: usize,
}

impl Dma for World {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        self.ram.read(gpa, into);
    }
    fn write(&mut self, gpa: u64, from: &[u8]) {
        self.ram.write(gpa, from);
    }
    fn read_disk(&mut self, disk: u8, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        assert_eq!(disk, 0);
        if self.broken {
            return Err(MediumError);
        }
        into.copy_from_slice(&self.disk[at as usize..][..into.len()]);
        Ok(())
    }
    fn write_disk(&mut self, disk: u8, at: u64, from: &[u8]) -> Result<(), MediumError> {
        assert_eq!(disk, 0);
        if self.broken {
            return Err(MediumError);
        }
        self.disk[at as usize..][..from.len()].copy_from_slice(from);
        Ok(())
    }
    fn flush_disk(&mut self, _disk: u8) -> Result<(), MediumError> {
        self.flushes += 1;
        if self.full { Err(MediumError) } else { Ok(()) }
    }
}

struct Bench {
    blk: VirtioBlk,
    clock: Clock,
    irqs: IrqLines,
    effects: Effects,
    world: World,
}

impl Bench {
    /// A disk whose driver is ready, with a queue of 8 and bus mastering on.
    fn new(read_only: bool) -> Self {
        let config = DiskConfig { interface: DiskInterface::Virtio, sectors: SECTORS, read_only };
        let disk = (0..SECTORS * SECTOR).map(|at| (at / SECTOR) as u8).collect();
        let mut bench = Self {
            blk: VirtioBlk::new(SLOT, 0, &config),
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            world: World { ram: Memory(vec![0; 0x1_0000]), disk, broken: false, full: false, flushes: 0 },
        };
        bench.config(4, 2, 6);
        bench.start(0);
        bench
    }

    /// Resets the device, and sets it up with features of its own.
    fn start(&mut self, features: u64) {
        for (at, size, value) in [(0x14, 1, 0), (0x14, 1, 3), (8, 4, 0), (12, 4, features), (8, 4, 1)] {
            self.set(at, size, value);
        }
        for (at, size, value) in [(12, 4, 1), (0x14, 1, 0xb), (0x18, 2, 8)] {
            self.set(at, size, value);
        }
        for (at, value) in [(0x20, TABLE), (0x28, DRIVER), (0x30, DEVICE)] {
            self.set(at, 8, value);
            self.world.write(value, &[0; 0x100]);
        }
        self.set(0x1c, 2, 1);
        self.set(0x14, 1, 0xf);
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut VirtioBlk, &mut DeviceCtx) -> R) -> R {
        let Self { blk, clock, irqs, effects, world } = self;
        act(blk, &mut DeviceCtx { clock, irqs, effects, dma: world })
    }

    fn set(&mut self, at: u64, size: u8, value: u64) {
        self.with(|blk, cx| blk.bar_write(cx, 4, at, size, value));
    }

    fn get(&mut self, at: u64, size: u8) -> u64 {
        self.with(|blk, cx| blk.bar_read(cx, 4, at, size))
    }

    fn config(&mut self, at: u16, size: u8, value: u64) {
        self.with(|blk, cx| blk.config_write(cx, at, size, value));
    }

    fn describe(&mut self, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let word =
            u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
        self.world.write(TABLE + u64::from(index) * 16, &word.to_le_bytes());
    }

    /// Makes the chain from descriptor 0 a request with `len` bytes of data, and offers it.
    fn offer(&mut self, kind: u32, sector: u64, len: u32) {
        let header = u128::from(kind) | u128::from(sector) << 64;
        self.world.write(HEADER, &header.to_le_bytes());
        self.world.write(STATUS, &[0xee]);
        self.describe(0, HEADER, 16, 1, if len == 0 { 2 } else { 1 });
        let write = if kind == T_OUT { 0 } else { 2 };
        self.describe(1, DATA, len, 1 | write, 2);
        self.describe(2, STATUS, 1, 2, 0);
        self.make_available(0);
        self.set(0x3000, 2, 0);
    }

    fn make_available(&mut self, head: u16) {
        let index = self.word(DRIVER + 2);
        self.world.write(DRIVER + 4 + 2 * u64::from(index % 8), &head.to_le_bytes());
        self.world.write(DRIVER + 2, &index.wrapping_add(1).to_le_bytes());
    }

    fn word(&mut self, gpa: u64) -> u16 {
        let mut bytes = [0; 2];
        self.world.read(gpa, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Lets time pass to the next timer.
    fn pass(&mut self) -> bool {
        let Some(at) = self.clock.next() else { return false };
        self.clock.advance_to(at);
        while let Some((_, timer)) = self.clock.pop_due() {
            assert_eq!(timer.device, DeviceId::Slot(SLOT));
            self.with(|blk, cx| blk.timer(cx, timer.timer));
        }
        true
    }

    /// Offers a request and waits for it; its status.
    fn request(&mut self, kind: u32, sector: u64, len: u32) -> u8 {
        let before = self.word(DEVICE + 2);
        self.offer(kind, sector, len);
        assert!(self.pass());
        assert_eq!(self.word(DEVICE + 2), before + 1);
        self.world.ram.0[STATUS as usize]
    }

    fn line(&self) -> bool {
        self.irqs.level(Line::Pirq(7), IrqSource::Slot(SLOT))
    }
}

#[test]
fn a_request_lands_at_its_time_and_not_before() {
    let mut bench = Bench::new(false);
    bench.offer(T_IN, 5, 1024);
    assert_eq!(bench.clock.next(), Some(READ_NS + 512));
    assert_eq!((bench.world.ram.0[DATA as usize], bench.world.ram.0[STATUS as usize]), (0, 0xee));
    bench.pass();
    assert_eq!((bench.world.ram.0[DATA as usize], bench.world.ram.0[DATA as usize + 1023]), (5, 6));
    assert_eq!(bench.world.ram.0[STATUS as usize], S_OK);
    assert_eq!(bench.word(DEVICE + 8), 1025, "bytes written");
    assert!(bench.line());
    assert_eq!((bench.get(0x1000, 1), bench.get(0x1000, 1)), (1, 0));
    assert!(!bench.line());
}

#[test]
fn what_is_written_is_read_and_identified() {
    let mut bench = Bench::new(false);
    bench.world.ram.0[DATA as usize..][..4096].fill(0xaa);
    assert_eq!(bench.request(T_OUT, 10, 4096), S_OK);
    assert_eq!(bench.request(T_FLUSH, 0, 0), S_OK);
    assert!(bench.world.disk[10 * 512..18 * 512].iter().all(|byte| *byte == 0xaa));
    assert_eq!((bench.world.disk[10 * 512 - 1], bench.world.disk[18 * 512]), (9, 18));
    assert_eq!(bench.request(T_GET_ID, 0, 20), S_OK);
    assert_eq!(&bench.world.ram.0[DATA as usize..][..12], b"amber-disk0\0");
    assert_eq!(bench.request(11, 0, 16), S_UNSUPP);
}

#[test]
fn a_flush_reaches_the_medium_and_its_error_the_driver() {
    let mut bench = Bench::new(false);
    assert_eq!((bench.request(T_FLUSH, 0, 0), bench.world.flushes), (S_OK, 1));
    // The driver of the bench did not ask for F_FLUSH: its writes are safe when they end.
    assert_eq!((bench.request(T_OUT, 10, 4096), bench.world.flushes), (S_OK, 2));
    assert_eq!((bench.request(T_IN, 10, 4096), bench.world.flushes), (S_OK, 2));
    bench.world.full = true;
    assert_eq!((bench.request(T_FLUSH, 0, 0), bench.request(T_OUT, 10, 4096)), (S_IOERR, S_IOERR));
    bench.start(F_FLUSH);
    assert_eq!((bench.request(T_OUT, 10, 4096), bench.request(T_FLUSH, 0, 0)), (S_OK, S_IOERR));
    assert_eq!(bench.world.flushes, 5);
}

#[test]
fn what_cannot_be_done_is_an_error_of_the_request() {
    let mut bench = Bench::new(false);
    for (kind, sector, len) in [
        (T_IN, SECTORS, 512),
        (T_IN, SECTORS - 1, 1024),
        (T_OUT, u64::MAX, 512),
        (T_IN, 0, 100),
        (T_GET_ID, 0, 19),
    ] {
        assert_eq!(bench.request(kind, sector, len), S_IOERR, "{kind} {sector} {len}");
    }
    assert_eq!(bench.request(T_IN, 0, u32::MAX), S_IOERR, "too long");
    bench.world.broken = true;
    assert_eq!(bench.request(T_IN, 0, 512), S_IOERR);
    assert_eq!(bench.request(T_OUT, 0, 512), S_IOERR);
    let mut bench = Bench::new(true);
    assert_eq!(bench.request(T_OUT, 0, 512), S_IOERR);
    assert_eq!(bench.request(T_IN, 3, 512), S_OK);
    bench.set(0, 4, 0);
    assert_eq!(bench.get(4, 4) & F_RO, F_RO);
}

#[test]
fn nonsense_needs_a_reset_which_helps() {
    let mut bench = Bench::new(false);
    bench.offer(T_IN, 0, 512);
    bench.describe(2, STATUS, 1, 3, 2);
    bench.make_available(0);
    bench.set(0x3000, 2, 0);
    assert_eq!(bench.get(0x14, 1), 0x4f);
    assert_eq!(bench.get(0x1000, 1), 2, "the configuration changed");
    assert_eq!(bench.clock.next(), None, "what was in flight is void");
    bench.offer(T_IN, 0, 512);
    assert_eq!(bench.clock.next(), None);
    bench.set(0x14, 1, 0);
    assert_eq!((bench.get(0x14, 1), bench.get(0x1c, 2)), (0, 0));
}

#[test]
fn a_queue_cannot_hold_more_than_its_size() {
    let mut bench = Bench::new(false);
    for _ in 0..8 {
        bench.offer(T_IN, 0, 512);
    }
    assert_eq!((bench.blk.registers.in_flight.len(), bench.get(0x14, 1)), (8, 0xf));
    bench.offer(T_IN, 0, 512);
    assert_eq!((bench.blk.registers.in_flight.len(), bench.get(0x14, 1)), (0, 0x4f));
}

#[test]
fn requests_in_flight_are_part_of_the_section() {
    let mut bench = Bench::new(false);
    bench.offer(T_OUT, 1, 512);
    bench.clock.advance_to(1000);
    bench.offer(T_FLUSH, 0, 0);
    let section = bench.blk.to_section("p/virtio-blk0");
    let fresh = VirtioBlk::new(SLOT, 0, &bench.blk.config);
    let restored = fresh.restored(&section).unwrap();
    assert_eq!(restored, bench.blk);
    assert_eq!(restored.registers.in_flight.len(), 2);
    let mut late = bench.blk.clone();
    late.registers.in_flight.reverse();
    assert!(fresh.restored(&late.to_section("p/virtio-blk0")).unwrap_err().to_string().contains("in_flight"));
    let mut other = bench.blk.clone();
    other.registers.transport.endpoint_mut().config_mut().set_u16(0, 0x8086);
    assert!(fresh.restored(&other.to_section("p/virtio-blk0")).unwrap_err().to_string().contains("endpoint"));
}

#[test]
fn nothing_moves_while_the_function_is_no_bus_master() {
    let mut bench = Bench::new(false);
    bench.offer(T_IN, 7, 512);
    bench.config(4, 2, 2);
    assert_eq!(bench.clock.next(), None);
    bench.offer(T_IN, 7, 512);
    bench.config(4, 2, 6);
    assert_eq!(bench.blk.registers.in_flight.len(), 2);
    while bench.pass() {}
    assert_eq!((bench.world.ram.0[DATA as usize], bench.word(DEVICE + 2)), (7, 2));
}

#[test]
fn messages_take_the_place_of_the_pin() {
    let mut bench = Bench::new(false);
    let mut msix =
        |at: u64, size: u8, value: u64| bench.with(|blk, cx| blk.bar_write(cx, 1, at, size, value));
    msix(16, 8, 0xfee0_0000);
    msix(24, 8, 0x4055);
    bench.config(0x42, 2, 0x8000);
    let mut set_vector = |value| bench.with(|blk, cx| blk.bar_write(cx, 4, 0x1a, 2, value));
    set_vector(1);
    bench.effects.drain().for_each(drop);
    assert_eq!(bench.request(T_IN, 0, 512), S_OK);
    let sent: Vec<_> = bench.effects.drain().collect();
    assert_eq!(sent, [Effect::Msi { address: 0xfee0_0000, data: 0x4055 }]);
    assert_eq!((bench.line(), bench.get(0x1000, 1)), (false, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rings and requests of any bytes: no panic, no hang, and the disk is written by whole sectors if at all.
    #[test]
    fn hostile_drivers_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0x300),
        near in any::<bool>(),
        rings in 1..20usize,
    ) {
        let mut bench = Bench::new(false);
        for (at, byte) in bytes.iter().enumerate() {
            // Lengths and addresses that can be met, half of the time.
            let keep = !near || matches!(at % 16, 0 | 1 | 8 | 9 | 12 | 14);
            bench.world.ram.0[TABLE as usize + at % 0x80] = if keep { *byte } else { 0 };
            bench.world.ram.0[(HEADER as usize + at) % 0x1_0000] = *byte & 9;
        }
        for byte in &bytes[..rings] {
            bench.make_available((byte % 9).into());
            bench.set(0x3000, 2, 0);
            bench.pass();
        }
        for _ in 0..1000 {
            if !bench.pass() {
                break;
            }
        }
        prop_assert_eq!(bench.clock.next(), None);
        prop_assert!(bench.blk.impossible().is_none());
    }
}
