use super::channel::Units;
use super::*;
use crate::clock::Clock;
use crate::device::Dma;
use crate::disk::DiskInterface;
use crate::effects::Effects;
use crate::irq::IrqLines;
use crate::testing::World;

mod hostile;
mod media;

const SECTORS: u64 = 4096;
const RAM: usize = 0x2_0000;
const TABLE: u64 = 0x1000;
const MEMORY: u64 = 0x8000;
const ERR: u8 = 1;
const DRQ: u8 = 8;
const FAULT: u8 = 0x20;
const READY: u8 = 0x50;
/// Selects: the first drive by LBA, the second.
const FIRST: u8 = 0xe0;
const SECOND: u8 = 0xb0;

/// A disk and a CD at the first channel, nothing at the second.
struct Bench {
    ide: Ide,
    clock: Clock,
    irqs: IrqLines,
    effects: Effects,
    world: World,
}

impl Bench {
    fn new() -> Self {
        let disk = |interface, read_only| DiskConfig { interface, sectors: SECTORS, read_only };
        let disks = [disk(DiskInterface::Ide, false), disk(DiskInterface::IdeCdrom, true)];
        let medium: Vec<u8> = (0..SECTORS * 512).map(|at| (at / 512) as u8 ^ at as u8).collect();
        let mut bench = Self {
            ide: Ide::new(&disks).unwrap(),
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            world: World::new(RAM, vec![medium.clone(), medium]),
        };
        bench.with(|ide, cx| ide.config_write(cx, 4, 2, 5));
        bench.with(|ide, cx| ide.config_write(cx, 0x40, 4, 0x8000_8000));
        bench
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Ide, &mut DeviceCtx) -> R) -> R {
        let Self { ide, clock, irqs, effects, world } = self;
        act(ide, &mut DeviceCtx { clock, irqs, effects, dma: world })
    }

    fn out(&mut self, at: u64, value: u8) {
        self.with(|ide, cx| ide.bar_write(cx, 0, at, 1, value.into()));
    }

    fn inb(&mut self, at: u64) -> u8 {
        self.with(|ide, cx| ide.bar_read(cx, 0, at, 1)) as u8
    }

    fn control(&mut self, value: u8) {
        self.with(|ide, cx| ide.bar_write(cx, 1, 0, 1, value.into()));
    }

    fn alternate_status(&mut self) -> u8 {
        self.with(|ide, cx| ide.bar_read(cx, 1, 0, 1)) as u8
    }

    fn bus_master(&mut self, at: u64, size: u8, value: u64) {
        self.with(|ide, cx| ide.bar_write(cx, BUS_MASTER_BAR, at, size, value));
    }

    /// Lets time pass until the drive is done.
    fn pass(&mut self) -> bool {
        let Some(at) = self.clock.next() else { return false };
        self.clock.advance_to(at);
        while let Some((_, timer)) = self.clock.pop_due() {
            assert_eq!(timer.device, DeviceId::Slot(SLOT));
            self.with(|ide, cx| ide.timer(cx, timer.timer));
        }
        true
    }

    fn irq(&self) -> bool {
        self.irqs.level(Line::Isa(14), IrqSource::Ide)
    }

    /// Registers of a command, and the command.
    fn command(&mut self, device: u8, command: u8, lba: u32, count: u8) {
        self.out(6, device);
        self.out(2, count);
        (3..).zip(&lba.to_le_bytes()[..3]).for_each(|(at, byte)| self.out(at, *byte));
        self.out(7, command);
    }

    fn read_words(&mut self, bytes: usize) -> Vec<u8> {
        let words = (0..bytes / 2).map(|_| self.with(|ide, cx| ide.bar_read(cx, 0, 0, 2)) as u16);
        words.flat_map(u16::to_le_bytes).collect()
    }

    fn write_words(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks(2) {
            let word = u64::from(pair[0]) | u64::from(pair[1]) << 8;
            self.with(|ide, cx| ide.bar_write(cx, 0, 0, 2, word));
        }
    }

    /// The drive is done, and interrupts; its status.
    fn done(&mut self) -> u8 {
        assert!(self.pass() && self.irq());
        let status = self.inb(7);
        assert!(!self.irq());
        status
    }

    fn packet(&mut self, features: u8, limit: u16, packet: [u8; 12]) {
        self.out(6, SECOND);
        self.out(1, features);
        (4..).zip(limit.to_le_bytes()).for_each(|(at, byte)| self.out(at, byte));
        self.out(7, 0xa0);
        assert_eq!((self.inb(7) & DRQ, self.inb(2) & 3), (DRQ, 1));
        self.write_words(&packet);
    }

    /// A table of one region.
    fn region(&mut self, bytes: u16) {
        let entry = MEMORY | u64::from(bytes) << 32 | 1 << 63;
        self.world.write(TABLE, &entry.to_le_bytes());
        self.bus_master(4, 4, TABLE);
    }

    fn check_saved(&self) {
        let section = self.ide.to_section("p/ide");
        assert!(self.ide.restored(&section).unwrap() == self.ide);
    }
}

#[test]
fn drives_show_what_they_are() {
    let mut bench = Bench::new();
    bench.control(4);
    assert_eq!(bench.inb(7), 0x80);
    bench.control(0);
    assert_eq!((bench.inb(7), bench.inb(1), bench.inb(4), bench.inb(5)), (READY, 1, 0, 0));
    bench.out(6, SECOND);
    assert_eq!((bench.inb(7), bench.inb(1), bench.inb(4), bench.inb(5)), (0, 1, 0x14, 0xeb));
    let empty = bench.with(|ide, cx| ide.bar_read(cx, 2, 7, 1));
    assert_eq!(empty, 0x7f);
    bench.command(FIRST, 0xec, 0, 0);
    assert_eq!(bench.done(), READY | DRQ);
    let identity = bench.read_words(512);
    assert_eq!((&identity[54..68], identity[120]), (&b"MAEB RAHDRIDKS"[..], 0));
    assert_eq!(bench.alternate_status(), READY);
}

#[test]
fn the_host_reads_sector_by_sector() {
    let mut bench = Bench::new();
    bench.command(FIRST, 0x20, 7, 3);
    for n in 7..10 {
        assert_eq!(bench.done(), READY | DRQ);
        bench.check_saved();
        assert!(bench.read_words(512) == bench.world.disks[0][n * 512..][..512]);
    }
    assert_eq!((bench.inb(7), bench.irq(), bench.pass()), (READY, false, false));
    // By cylinder, head and sector: 1, 2, 3.
    bench.command(0xa2, 0x20, 0x0103, 1);
    assert_eq!(bench.done(), READY | DRQ);
    let at = ((16 + 2) * 63 + 2) * 512;
    assert!(bench.read_words(512) == bench.world.disks[0][at..][..512]);
}

#[test]
fn the_host_writes_blocks() {
    let mut bench = Bench::new();
    bench.command(FIRST, 0xc5, 8, 3);
    assert_eq!(bench.done() & ERR, ERR, "SET MULTIPLE comes first");
    bench.command(FIRST, 0xc6, 0, 2);
    assert_eq!(bench.done(), READY);
    bench.command(FIRST, 0xc5, 8, 3);
    assert_eq!((bench.alternate_status(), bench.irq()), (READY | DRQ, false));
    bench.write_words(&[0xaa; 1024]);
    assert_eq!(bench.done(), READY | DRQ);
    bench.write_words(&[0xbb; 512]);
    assert!(bench.world.disks[0][10 * 512] != 0xbb);
    assert_eq!(bench.done(), READY);
    let disk = &bench.world.disks[0];
    assert!(disk[8 * 512..10 * 512] == [0xaa; 1024] && disk[10 * 512..11 * 512] == [0xbb; 512]);
}

#[test]
fn registers_are_two_deep() {
    let mut bench = Bench::new();
    bench.out(6, FIRST);
    for (at, value) in [(2, 1), (2, 2), (3, 3), (3, 4), (4, 5), (4, 6), (5, 0), (5, 0)] {
        bench.out(at, value);
    }
    let low: Vec<u8> = (2..6).map(|at| bench.inb(at)).collect();
    bench.control(0x80);
    let high: Vec<u8> = (2..6).map(|at| bench.inb(at)).collect();
    assert_eq!((low, high), (vec![2, 4, 6, 0], vec![1, 3, 5, 0]));
    // READ SECTORS EXT behind the end.
    bench.out(7, 0x24);
    assert_eq!((bench.done() & ERR, bench.inb(1)), (ERR, 0x10));
}

#[test]
fn the_bus_master_moves_whole_commands() {
    let mut bench = Bench::new();
    bench.region(1024);
    bench.command(FIRST, 0xc8, 5, 2);
    assert!(!bench.pass(), "the drive waits for the bus master");
    bench.bus_master(0, 1, 0);
    bench.bus_master(0, 1, 9);
    assert_eq!(bench.done(), READY);
    let status = bench.with(|ide, cx| ide.bar_read(cx, BUS_MASTER_BAR, 2, 1));
    assert_eq!(status, 4, "it is at the end of its table and saw the interrupt");
    assert!(bench.world.ram.0[MEMORY as usize..][..1024] == bench.world.disks[0][5 * 512..][..1024]);
    bench.bus_master(2, 1, 4);
    bench.bus_master(0, 1, 0);
    bench.command(FIRST, 0xca, 100, 2);
    bench.bus_master(0, 1, 9);
    assert!(!bench.pass(), "the wrong way");
    bench.bus_master(0, 1, 0);
    bench.bus_master(0, 1, 1);
    bench.check_saved();
    assert_eq!(bench.done(), READY);
    assert!(bench.world.disks[0][100 * 512..][..1024] == bench.world.ram.0[MEMORY as usize..][..1024]);
}

#[test]
fn a_table_that_is_too_short_ends_without_an_interrupt() {
    let mut bench = Bench::new();
    bench.region(512);
    bench.command(FIRST, 0xc8, 5, 2);
    bench.bus_master(0, 1, 9);
    assert!(bench.pass() && !bench.irq());
    assert_eq!(bench.with(|ide, cx| ide.bar_read(cx, BUS_MASTER_BAR, 2, 1)), 0);
}

#[test]
fn packets_are_answered_in_turns_of_the_host() {
    let mut bench = Bench::new();
    bench.packet(0, 0, [3, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.done(), READY | DRQ);
    assert_eq!((bench.inb(2) & 3, bench.inb(4), bench.inb(5)), (2, 18, 0));
    assert_eq!(bench.read_words(18)[2], 6, "it was reset");
    assert_eq!((bench.done(), bench.inb(2) & 3), (READY, 3));
    // Two blocks, 2048 bytes at a time, which are there one after the other.
    bench.packet(0, 2048, [0x28, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0]);
    for n in 2..4 {
        assert_eq!(bench.done(), READY | DRQ);
        bench.check_saved();
        assert!(bench.read_words(2048) == bench.world.disks[1][n * 2048..][..2048]);
    }
    assert_eq!((bench.done(), bench.inb(2) & 3), (READY, 3));
    // The same by the bus master.
    bench.region(4096);
    bench.packet(1, 0, [0x28, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0]);
    bench.bus_master(0, 1, 9);
    assert!(bench.pass());
    assert_eq!(bench.done(), READY);
    assert!(bench.world.ram.0[MEMORY as usize..][..4096] == bench.world.disks[1][4096..8192]);
    bench.packet(0, 0, [0x28, 0, 0xff, 0, 0, 2, 0, 0, 2, 0, 0, 0]);
    assert_eq!((bench.done() & ERR, bench.inb(1) >> 4), (ERR, 5));
}

#[test]
fn a_medium_that_breaks_is_an_error() {
    let mut bench = Bench::new();
    bench.world.broken = true;
    bench.command(FIRST, 0x20, 7, 3);
    assert_eq!((bench.done() & ERR, bench.inb(1), bench.inb(3)), (ERR, 0x40, 7));
    bench.packet(0, 0, [3, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0]);
    bench.done();
    bench.read_words(18);
    bench.done();
    bench.packet(0, 0, [0x28, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0]);
    assert_eq!((bench.done() & ERR, bench.inb(1) >> 4), (ERR, 3));
}

#[test]
fn a_flush_reaches_the_medium_and_its_error_the_host() {
    let mut bench = Bench::new();
    let flush = |bench: &mut Bench, command| {
        bench.command(FIRST, command, 0, 0);
        let status = bench.done();
        (status, bench.inb(1), std::mem::take(&mut bench.world.flushes))
    };
    let commands = [0xe7, 0xea, 0xe0, 0xe2, 0xe6];
    for command in commands {
        assert_eq!(flush(&mut bench, command), (READY, 0, 1), "{command:x}");
    }
    assert_eq!(flush(&mut bench, 0xe1), (READY, 0, 0));
    bench.world.full = true;
    for command in commands {
        assert_eq!(flush(&mut bench, command), (READY | FAULT | ERR, 4, 1), "{command:x}");
    }
    bench.command(SECOND, 0xe7, 0, 0);
    assert_eq!((bench.done() & ERR, bench.world.flushes), (0, 0), "a CD has nothing to flush");
}

#[test]
fn a_durable_write_is_flushed_once_when_its_last_sector_moved() {
    let mut bench = Bench::new();
    let write = |bench: &mut Bench| {
        bench.command(FIRST, 0x30, 8, 2);
        bench.write_words(&[0xaa; 512]);
        assert_eq!((bench.done(), bench.world.flushes), (READY | DRQ, 0));
        bench.write_words(&[0xbb; 512]);
        let status = bench.done();
        (status, std::mem::take(&mut bench.world.flushes))
    };
    assert_eq!(write(&mut bench), (READY, 0), "it is cached");
    let cache = |bench: &mut Bench, operation| {
        bench.out(1, operation);
        bench.command(FIRST, 0xef, 0, 0);
        bench.done()
    };
    bench.world.full = true;
    assert_eq!(cache(&mut bench, 0x82), READY | FAULT | ERR, "what was cached is written first");
    bench.world.full = false;
    assert_eq!((cache(&mut bench, 0x82), std::mem::take(&mut bench.world.flushes)), (READY, 2));
    assert_eq!(write(&mut bench), (READY, 1));
    bench.world.full = true;
    assert_eq!(write(&mut bench), (READY | FAULT | ERR, 1));
    assert_eq!((cache(&mut bench, 0x02), write(&mut bench)), (READY, (READY, 0)));
    // WRITE DMA FUA EXT, by the bus master.
    bench.region(512);
    (2..6).for_each(|at| bench.out(at, 0));
    bench.command(FIRST, 0x3d, 8, 1);
    bench.bus_master(0, 1, 1);
    assert_eq!((bench.done(), bench.inb(1), bench.world.flushes), (READY | FAULT | ERR, 4, 1));
}

#[test]
fn the_second_drive_is_there_only_if_it_is() {
    let disks = [DiskConfig { interface: DiskInterface::Ide, sectors: 8, read_only: false }];
    let mut bench = Bench::new();
    bench.ide = Ide::new(&disks).unwrap();
    assert_eq!(bench.ide.units.iter().flatten().filter(|unit| unit.is_some()).count(), 1);
    bench.out(6, SECOND);
    assert_eq!((bench.inb(7), bench.inb(3)), (0, 0));
    bench.out(7, 0xec);
    assert!(!bench.pass());
    let none: Units = [None, None];
    assert_eq!(Channel::new(&none).status(&none), 0x7f);
}
