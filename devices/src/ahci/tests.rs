use super::*;
use crate::ata::drive::{ERR, READY};
use crate::clock::Clock;
use crate::device::Dma;
use crate::disk::DiskInterface;
use crate::effects::Effects;
use crate::irq::IrqLines;
use crate::testing::World;
use proptest::prelude::*;

mod media;

const SECTORS: u64 = 4096;
const LIST: u64 = 0x1000;
const FISES: u64 = 0x1400;
const TABLES: u64 = 0x2000;
const DATA: u64 = 0x8000;
const RAM: usize = 0x2_0000;
/// Ports of the disk and the CD.
const DISK: u64 = 0;
const CD: u64 = 1;

struct Bench {
    ahci: Ahci,
    clock: Clock,
    irqs: IrqLines,
    effects: Effects,
    world: World,
}

impl Bench {
    /// A controller whose driver runs both ports.
    fn new() -> Self {
        let disk = |interface, read_only| DiskConfig { interface, sectors: SECTORS, read_only };
        let disks = [
            disk(DiskInterface::Virtio, false),
            disk(DiskInterface::Ahci, false),
            disk(DiskInterface::Cdrom, true),
        ];
        let medium: Vec<u8> = (0..SECTORS * 512).map(|at| (at / 512) as u8).collect();
        let mut bench = Self {
            ahci: Ahci::new(&disks).unwrap(),
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            world: World::new(RAM, vec![Vec::new(), medium.clone(), medium]),
        };
        bench.config(4, 2, 6);
        bench.set(4, 2);
        for port in [DISK, CD] {
            bench.start(port);
        }
        bench
    }

    fn start(&mut self, port: u64) {
        for (at, value) in [
            (0, LIST + port * 0x800),
            (8, FISES + port * 0x800),
            (0x30, u32::MAX.into()),
            (0x14, 0xfdc0_00ff),
            (0x18, 0x11),
        ] {
            self.set_port(port, at, value as u32);
        }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Ahci, &mut DeviceCtx) -> R) -> R {
        let Self { ahci, clock, irqs, effects, world } = self;
        act(ahci, &mut DeviceCtx { clock, irqs, effects, dma: world })
    }

    fn set(&mut self, at: u64, value: u32) {
        self.with(|ahci, cx| ahci.bar_write(cx, ABAR, at, 4, value.into()));
    }

    fn get(&mut self, at: u64) -> u32 {
        self.with(|ahci, cx| ahci.bar_read(cx, ABAR, at, 4)) as u32
    }

    fn set_port(&mut self, port: u64, at: u64, value: u32) {
        self.set(PORTS_AT + port * PORT_LEN + at, value);
    }

    fn port(&mut self, port: u64, at: u64) -> u32 {
        self.get(PORTS_AT + port * PORT_LEN + at)
    }

    fn config(&mut self, at: u16, size: u8, value: u64) {
        self.with(|ahci, cx| ahci.config_write(cx, at, size, value));
    }

    /// Puts a command with one region of `len` bytes at [`DATA`] into a slot.
    fn prepare(&mut self, port: u64, slot: u64, fis: [u8; 20], packet: &[u8], len: u32) {
        let table = TABLES + port * 0x2000 + slot * 0x100;
        let header = u128::from(u32::from(len != 0) << 16 | 5) | u128::from(table) << 64;
        self.world.write(LIST + port * 0x800 + slot * 32, &header.to_le_bytes());
        self.world.write(table, &fis);
        self.world.write(table + 0x40, packet);
        let region = u128::from(DATA) | u128::from(len.wrapping_sub(1) & 0x3f_ffff | 1 << 31) << 96;
        self.world.write(table + 0x80, &region.to_le_bytes());
    }

    /// Lets time pass to the next timer.
    fn pass(&mut self) -> bool {
        let Some(at) = self.clock.next() else { return false };
        self.clock.advance_to(at);
        while let Some((_, timer)) = self.clock.pop_due() {
            assert_eq!(timer.device, DeviceId::Slot(AHCI_SLOT));
            self.with(|ahci, cx| ahci.timer(cx, timer.timer));
        }
        true
    }

    /// Issues a command in slot 0 and waits for it; status and error.
    fn command(&mut self, command: u8, features: u16, lba: u64, count: u16, len: u32) -> (u8, u8) {
        self.prepare(DISK, 0, fis(command, features, lba, count), &[], len);
        self.issue(DISK)
    }

    fn issue(&mut self, port: u64) -> (u8, u8) {
        self.set_port(port, 0x38, 1);
        assert_ne!(self.port(port, 0x20) & 0x80, 0, "busy");
        assert!(self.pass());
        let task = self.port(port, 0x20);
        if task as u8 & ERR != 0 {
            assert_eq!((self.port(port, 0x38), self.port(port, 0x10) >> 30), (1, 1), "not done, TFES");
            self.set_port(port, 0x18, 0x10);
            self.set_port(port, 0x10, u32::MAX);
            self.set_port(port, 0x18, 0x11);
        }
        (task as u8, (task >> 8) as u8)
    }

    /// A packet command by DMA; its sense key, 0 if it succeeded.
    fn packet(&mut self, packet: &[u8], len: u32) -> u8 {
        self.prepare(CD, 0, fis(0xa0, 1, 0, 0), packet, len);
        let (status, error) = self.issue(CD);
        if status & ERR == 0 { 0 } else { error >> 4 }
    }

    fn data(&self, at: usize, len: usize) -> &[u8] {
        &self.world.ram.0[DATA as usize + at..][..len]
    }

    fn line(&self) -> bool {
        self.irqs.level(Line::Pirq(0), IrqSource::Sata)
    }
}

fn fis(command: u8, features: u16, lba: u64, count: u16) -> [u8; 20] {
    let (l, f, c) = (lba.to_le_bytes(), features.to_le_bytes(), count.to_le_bytes());
    [0x27, 0x80, command, f[0], l[0], l[1], l[2], 0x40, l[3], l[4], l[5], f[1], c[0], c[1], 0, 0, 0, 0, 0, 0]
}

#[test]
fn ports_show_what_is_attached() {
    let mut bench = Bench::new();
    assert_eq!(bench.get(0xc), 0x3f);
    assert_eq!((bench.port(DISK, 0x24), bench.port(CD, 0x24)), (0x101, 0xeb14_0101));
    assert_eq!((bench.port(DISK, 0x28), bench.port(2, 0x28)), (0x123, 0));
    assert_eq!(bench.port(2, 0x20), 0x7f);
    bench.set_port(2, 0x38, 1);
    assert_eq!(bench.clock.next(), None);
}

#[test]
fn a_command_lands_at_its_time_and_interrupts() {
    let mut bench = Bench::new();
    bench.prepare(DISK, 3, fis(0x25, 0, 5, 2), &[], 1024);
    bench.set_port(DISK, 0x38, 8);
    assert_eq!(bench.clock.next(), Some(20_512));
    assert_eq!((bench.port(DISK, 0x38), bench.data(0, 1)), (8, &[0][..]));
    bench.pass();
    assert_eq!((bench.data(511, 2), bench.data(1023, 1)), (&[5, 6][..], &[6][..]));
    assert_eq!((bench.port(DISK, 0x38), bench.port(DISK, 0x20)), (0, READY.into()));
    // A register FIS, and a region that asked for an interrupt.
    assert_eq!((bench.port(DISK, 0x10), bench.get(8), bench.line()), (0x21, 1, true));
    assert_eq!(bench.world.ram.0[FISES as usize + 0x40..][..3], [0x34, 0x40, READY]);
    assert_eq!(bench.world.ram.0[LIST as usize + 3 * 32 + 4..][..4], 1024u32.to_le_bytes());
    bench.set_port(DISK, 0x10, 0x21);
    assert!(bench.line(), "IS stays");
    bench.set(8, 1);
    assert!(!bench.line());
}

#[test]
fn what_is_written_is_read_flushed_and_identified() {
    let mut bench = Bench::new();
    bench.world.ram.0[DATA as usize..][..4096].fill(0xaa);
    for command in [0x35, 0x3d, 0x34, 0xca] {
        bench.world.disks[1][10 * 512..18 * 512].fill(0);
        assert_eq!(bench.command(command, 0, 10, 8, 4096), (READY, 0));
        assert!(bench.world.disks[1][10 * 512..18 * 512].iter().all(|byte| *byte == 0xaa));
    }
    assert_eq!(bench.command(0xea, 0, 0, 0, 0), (READY, 0));
    assert_eq!(bench.command(0x24, 0, 9, 2, 1024), (READY, 0));
    assert_eq!((bench.data(0, 1), bench.data(512, 1)), (&[9][..], &[0xaa][..]));
    assert_eq!(bench.world.ram.0[FISES as usize + 0x20..][..2], [0x5f, 0x60], "PIO Setup");
    assert_eq!(bench.command(0xec, 0, 0, 0, 512), (READY, 0));
    assert_eq!(bench.data(0, 512).iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    assert_eq!(bench.data(200, 4), (SECTORS as u32).to_le_bytes());
    assert_eq!(bench.data(20, 12), b"maeb-ridks 1");
}

#[test]
fn a_flush_reaches_the_medium_and_its_error_the_host() {
    let mut bench = Bench::new();
    let queued = |bench: &mut Bench, device: u8| {
        let mut fis = fis(0x61, 1, 8, 0);
        fis[7] = device;
        bench.prepare(DISK, 0, fis, &[], 512);
        bench.set_port(DISK, 0x34, 1);
        bench.set_port(DISK, 0x38, 1);
        assert!(bench.pass());
        let (status, active) = (bench.port(DISK, 0x20) as u8, bench.port(DISK, 0x34));
        bench.set_port(DISK, 0x18, 0x10);
        bench.set_port(DISK, 0x10, u32::MAX);
        bench.set_port(DISK, 0x18, 0x11);
        (status, active, std::mem::take(&mut bench.world.flushes))
    };
    let run = |bench: &mut Bench, command, count| {
        let ended = bench.command(command, 0, 8, count, u32::from(count) * 512);
        (ended, std::mem::take(&mut bench.world.flushes))
    };
    for (command, count, flushes) in [(0xe7, 0, 1), (0xea, 0, 1), (0x35, 2, 0), (0x3d, 2, 1)] {
        assert_eq!(run(&mut bench, command, count), ((READY, 0), flushes), "{command:x}");
    }
    assert_eq!(queued(&mut bench, 0x40), (READY, 0, 0));
    assert_eq!(queued(&mut bench, 0xc0), (READY, 0, 1));
    bench.world.full = true;
    let fault = (READY | 0x20 | ERR, 4);
    for (command, count) in [(0xe7, 0), (0xea, 0), (0x3d, 2)] {
        assert_eq!(run(&mut bench, command, count), (fault, 1), "{command:x}");
    }
    assert_eq!(run(&mut bench, 0x35, 2), ((READY, 0), 0));
    assert_eq!(queued(&mut bench, 0x40), (READY, 0, 0));
    assert_eq!(queued(&mut bench, 0xc0), (fault.0, 1, 1));
}

#[test]
fn a_drive_without_a_cache_flushes_every_write() {
    let mut bench = Bench::new();
    assert_eq!(bench.command(0xef, 0x82, 0, 0, 0), (READY, 0));
    assert_eq!(std::mem::take(&mut bench.world.flushes), 1, "what it had is flushed");
    assert_eq!(bench.command(0x35, 0, 8, 2, 1024), (READY, 0));
    assert_eq!(std::mem::take(&mut bench.world.flushes), 1);
    assert_eq!((bench.command(0x25, 0, 8, 2, 1024), bench.world.flushes), ((READY, 0), 0));
    bench.world.full = true;
    assert_eq!(bench.command(0xca, 0, 8, 2, 1024), (READY | 0x20 | ERR, 4));
}

#[test]
fn what_cannot_be_done_halts_the_port_until_it_is_started_again() {
    let mut bench = Bench::new();
    assert_eq!(bench.command(0x25, 0, SECTORS, 1, 512), (READY | ERR, 0x10));
    assert_eq!(bench.command(0x25, 0, SECTORS - 1, 2, 1024), (READY | ERR, 0x10));
    assert_eq!(bench.command(0x35, 0, (1 << 48) - 1, 0, 512), (READY | ERR, 0x10));
    assert_eq!(bench.command(0xff, 0, 0, 0, 0), (READY | ERR, 4));
    bench.world.broken = true;
    assert_eq!(bench.command(0x25, 0, 7, 1, 512), (READY | ERR, 0x40));
    assert_eq!(bench.command(0x35, 0, 7, 1, 512).0 & 0x21, 0x21, "write fault");
    bench.world.broken = false;
    bench.prepare(DISK, 0, fis(0xff, 0, 0, 0), &[], 0);
    bench.prepare(DISK, 1, fis(0x25, 0, 1, 1), &[], 512);
    bench.set_port(DISK, 0x38, 3);
    while bench.pass() {}
    assert_eq!((bench.port(DISK, 0x38), bench.data(0, 1)), (3, &[0][..]), "the second one is not taken");
    bench.set_port(DISK, 0x18, 0x10);
    assert_eq!(bench.port(DISK, 0x38), 0);
}

#[test]
fn queued_commands_land_and_one_that_fails_is_in_the_log() {
    let mut bench = Bench::new();
    let queued = |tag: u16, lba| fis(0x60, 1, lba, tag << 3);
    bench.prepare(DISK, 0, queued(0, 3), &[], 512);
    bench.prepare(DISK, 31, queued(31, 4), &[], 512);
    bench.set_port(DISK, 0x34, 1 | 1 << 31);
    bench.set_port(DISK, 0x38, 1 | 1 << 31);
    assert_eq!((bench.port(DISK, 0x38), bench.port(DISK, 0x34)), (0, 0x8000_0001));
    while bench.pass() {}
    assert_eq!((bench.port(DISK, 0x34), bench.port(DISK, 0x10) & 8), (0, 8));
    bench.prepare(DISK, 2, queued(2, SECTORS), &[], 512);
    bench.prepare(DISK, 7, queued(7, 1), &[], 512);
    bench.set_port(DISK, 0x34, 0x84);
    bench.set_port(DISK, 0x38, 0x84);
    while bench.pass() {}
    assert_eq!((bench.port(DISK, 0x34), bench.port(DISK, 0x20) & 1), (0x84, 1));
    bench.set_port(DISK, 0x18, 0x10);
    bench.set_port(DISK, 0x18, 0x11);
    assert_eq!(bench.command(0x2f, 0, 0x10, 1, 512), (READY, 0));
    assert_eq!((bench.data(0, 1), bench.data(3, 2)), (&[2][..], &[0x10, 0][..]));
    assert_eq!(bench.data(5, 1), [(SECTORS >> 8) as u8]);
}

#[test]
fn resets_bring_the_signature_back() {
    let mut bench = Bench::new();
    bench.set_port(DISK, 0x2c, 1);
    assert_eq!((bench.port(DISK, 0x28), bench.port(DISK, 0x24)), (0, u32::MAX));
    bench.set_port(DISK, 0x2c, 0);
    assert_eq!((bench.port(DISK, 0x28), bench.port(DISK, 0x24)), (0x123, 0x101));
    assert_eq!(bench.port(DISK, 0x10) & 0x40, 0x40, "PCS follows PxSERR");
    bench.set_port(DISK, 0x30, u32::MAX);
    assert_eq!(bench.port(DISK, 0x10) & 0x40, 0);
    // Software reset, in the middle of a command.
    bench.prepare(CD, 0, fis(0xa0, 1, 0, 0), &[0; 12], 0);
    bench.set_port(CD, 0x38, 1);
    bench.set_port(CD, 0x18, 0x10);
    assert_eq!(bench.port(CD, 0x20) & 0x80, 0x80);
    bench.set_port(CD, 0x18, 0x18);
    bench.set_port(CD, 0x18, 0x11);
    for control in [4, 0] {
        let mut reset = fis(0, 0, 0, 0);
        (reset[1], reset[15]) = (0, control);
        bench.prepare(CD, 0, reset, &[], 0);
        bench.set_port(CD, 0x38, 1);
        assert_eq!(bench.port(CD, 0x38), 0);
    }
    assert_eq!((bench.port(CD, 0x24), bench.port(CD, 0x20)), (0xeb14_0101, 0x100));
    bench.set(4, GHC_RESET);
    assert_eq!((bench.get(4), bench.port(DISK, 0), bench.port(DISK, 0x18)), (GHC_AHCI, LIST as u32, 6));
}

#[test]
fn a_cd_tells_what_it_is_and_is_read() {
    let mut bench = Bench::new();
    assert_eq!(bench.packet(&[0; 12], 0), 6, "unit attention");
    assert_eq!(bench.packet(&[3, 0, 0, 0, 18, 0], 18), 0);
    assert_eq!((bench.data(2, 1), bench.data(12, 1)), (&[6][..], &[0x29][..]));
    assert_eq!(bench.packet(&[0; 12], 0), 0);
    assert_eq!(bench.packet(&[0x25], 8), 0);
    assert_eq!(bench.data(0, 8), [0, 0, 3, 0xff, 0, 0, 8, 0]);
    assert_eq!(bench.packet(&[0x28, 0, 0, 0, 0, 3, 0, 0, 2], 4096), 0);
    assert_eq!((bench.data(0, 1), bench.data(4095, 1)), (&[12][..], &[19][..]));
    assert_eq!(bench.packet(&[0x28, 0, 0, 0, 4, 0, 0, 0, 1], 2048), 5);
    assert_eq!(bench.packet(&[3, 0, 0, 0, 18, 0], 18), 0);
    assert_eq!((bench.data(2, 1), bench.data(12, 1)), (&[5][..], &[0x21][..]));
    assert_eq!(bench.packet(&[0x43, 0, 0, 0, 0, 0, 0, 0, 20], 20), 0);
    assert_eq!((bench.data(0, 4), bench.data(14, 1)), (&[0, 18, 1, 1][..], &[0xaa][..]));
    assert_eq!(bench.packet(&[0x12, 0, 0, 0, 36, 0], 36), 0);
    assert_eq!(bench.data(8, 5), b"AMBER");
    assert_eq!(bench.packet(&[0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 28], 28), 0);
    assert_eq!(bench.data(8, 1), [0x2a]);
    assert_eq!(bench.packet(&[0xff], 0), 5);
    bench.world.broken = true;
    assert_eq!(bench.packet(&[0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 1], 2048), 3);
}

#[test]
fn a_tray_opens_unless_it_is_locked() {
    let mut bench = Bench::new();
    assert_eq!(bench.packet(&[0; 12], 0), 6);
    assert_eq!(bench.packet(&[0x1e, 0, 0, 0, 1], 0), 0);
    assert_eq!(bench.packet(&[0x1b, 0, 0, 0, 2], 0), 5);
    assert_eq!(bench.packet(&[0x1e, 0, 0, 0, 0], 0), 0);
    assert_eq!(bench.packet(&[0x1b, 0, 0, 0, 2], 0), 0);
    assert_eq!(bench.packet(&[0; 12], 0), 2);
    assert_eq!(bench.packet(&[0x1b, 0, 0, 0, 3], 0), 0);
    assert_eq!(bench.packet(&[0; 12], 0), 6, "there is a medium that was not there");
    assert_eq!(bench.packet(&[0; 12], 0), 0);
}

#[test]
fn commands_in_flight_are_part_of_the_section() {
    let mut bench = Bench::new();
    bench.prepare(DISK, 4, fis(0x61, 2, 8, 4 << 3), &[], 1024);
    bench.set_port(DISK, 0x34, 16);
    bench.set_port(DISK, 0x38, 16);
    assert!(bench.ahci.registers.ports[0].is_busy());
    let section = bench.ahci.to_section("p/ahci");
    let mut fresh = bench.ahci.clone();
    fresh.registers = Registers::new(&fresh.units);
    let restored = fresh.restored(&section).unwrap();
    assert_eq!(restored, bench.ahci);
    let mut other = bench.ahci.clone();
    other.registers.endpoint.config_mut().set_u8(MSI_CONTROL, 0xff);
    assert!(fresh.restored(&other.to_section("p/ahci")).unwrap_err().to_string().contains("endpoint"));
    other = bench.ahci.clone();
    other.registers.ports.swap(0, 2);
    assert!(fresh.restored(&other.to_section("p/ahci")).unwrap_err().to_string().contains("in_flight"));
    bench.world.ram.0[DATA as usize..][..1024].fill(0x77);
    bench.ahci = restored;
    bench.pass();
    assert_eq!(bench.world.disks[1][9 * 512 + 511], 0x77);
}

#[test]
fn nothing_moves_while_the_function_is_no_bus_master() {
    let mut bench = Bench::new();
    bench.prepare(DISK, 0, fis(0x25, 0, 7, 1), &[], 512);
    bench.config(4, 2, 2);
    bench.set_port(DISK, 0x38, 1);
    assert_eq!(bench.clock.next(), None);
    bench.config(4, 2, 6);
    assert!(bench.pass());
    assert_eq!(bench.data(0, 1), [7]);
}

#[test]
fn messages_take_the_place_of_the_pin() {
    let mut bench = Bench::new();
    bench.config(MSI_ADDRESS, 4, 0xfee0_0000);
    bench.config(MSI_DATA, 2, 0x4055);
    bench.config(MSI_CONTROL, 2, 1);
    assert_eq!(bench.command(0x25, 0, 7, 1, 512), (READY, 0));
    let sent: Vec<_> = bench.effects.drain().collect();
    assert_eq!(sent, [Effect::Msi { address: 0xfee0_0000, data: 0x4055 }]);
    assert!(!bench.line());
    bench.set(8, 1);
    assert_eq!(bench.effects.drain().count(), 1, "PxIS was not cleared");
    bench.set_port(DISK, 0x10, u32::MAX);
    bench.set(8, 1);
    assert_eq!(bench.effects.drain().count(), 0);
}

/// Registers that matter most, and any.
fn register() -> impl Strategy<Value = u64> {
    let port = (0..3u64, prop_oneof![Just(0x38u64), Just(0x34), Just(0x18), Just(0x2c), Just(0x10), Just(0)]);
    prop_oneof![
        4 => port.prop_map(|(port, at)| PORTS_AT + port * PORT_LEN + at),
        1 => 0..0x1000u64,
    ]
}

#[derive(Clone, Debug)]
enum Act {
    Write(u64, u8, u64),
    Read(u64, u8),
    Poke(u64, Vec<u8>),
    Fis(u64, u64, [u8; 20], [u8; 12], u32),
    Restart(u64),
    Pass,
}

fn act() -> impl Strategy<Value = Act> {
    let size = prop_oneof![Just(1u8), Just(2), Just(4), Just(8)];
    let value = prop_oneof![any::<u64>(), Just(0x11u64), Just(u64::MAX), 0..256u64];
    let command = prop_oneof![
        any::<u8>(),
        Just(0x25u8),
        Just(0x35),
        Just(0x60),
        Just(0x61),
        Just(0xa0),
        Just(0xec),
        Just(0x2f)
    ];
    let lba = prop_oneof![0..SECTORS, any::<u64>()];
    let task = (command, any::<u16>(), lba, any::<u16>())
        .prop_map(|(command, features, lba, count)| fis(command, features & 0x1ff, lba, count & 0x1ff));
    let packet = (
        prop_oneof![
            any::<u8>(),
            Just(0x28),
            Just(0xa8),
            Just(0x43),
            Just(0x46),
            Just(0x5a),
            Just(0x12),
            Just(0x4a)
        ],
        any::<[u8; 11]>(),
    );
    let packet =
        packet.prop_map(|(first, rest)| std::array::from_fn(|n| if n == 0 { first } else { rest[n - 1] }));
    prop_oneof![
        4 => (register(), size.clone(), value).prop_map(|(at, size, value)| Act::Write(at, size, value)),
        1 => (0..0x1000u64, size).prop_map(|(at, size)| Act::Read(at, size)),
        2 => (0..RAM as u64, proptest::collection::vec(any::<u8>(), 1..64)).prop_map(|(at, bytes)| Act::Poke(at, bytes)),
        4 => (0..2u64, 0..32u64, task, packet, any::<u32>())
            .prop_map(|(port, slot, fis, packet, len)| Act::Fis(port, slot, fis, packet, len)),
        2 => (0..2u64).prop_map(Act::Restart),
        3 => Just(Act::Pass),
    ]
}

fn perform(bench: &mut Bench, act: &Act) {
    match act {
        Act::Write(at, size, value) => bench.with(|ahci, cx| ahci.bar_write(cx, ABAR, *at, *size, *value)),
        Act::Read(at, size) => {
            bench.with(|ahci, cx| ahci.bar_read(cx, ABAR, *at, *size));
        }
        Act::Poke(at, bytes) => bench.world.write(*at, bytes),
        Act::Fis(port, slot, fis, packet, len) => {
            bench.prepare(*port, *slot, *fis, packet, len & 0xffff);
            bench.set_port(*port, 0x34, 1 << slot);
            bench.set_port(*port, 0x38, 1 << slot);
        }
        Act::Restart(port) => {
            bench.set_port(*port, 0x18, 0x10);
            bench.set_port(*port, 0x18, 0x18);
            bench.start(*port);
        }
        Act::Pass => {
            bench.pass();
        }
    }
    bench.effects.drain().for_each(drop);
    while bench.irqs.take_change().is_some() {}
}

/// Accesses of a driver before the next one, with a fresh controller.
const LIFE: u32 = 500;
/// Accesses, unless `AMBER_HOSTILE` says how many.
const ACCESSES: u32 = 100_000;

fn runs() -> u32 {
    let accesses = std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok());
    accesses.unwrap_or(ACCESSES).div_ceil(LIFE)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: runs(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Registers, command lists and tables of any bytes: no panic, no hang, no state that a restore would refuse, and the
    /// CD stays as it is.
    #[test]
    fn hostile_drivers_are_survived(acts in proptest::collection::vec(act(), LIFE as usize)) {
        let mut bench = Bench::new();
        let cd = bench.world.disks[2].clone();
        for act in &acts {
            perform(&mut bench, act);
        }
        prop_assert_eq!(bench.ahci.impossible(), None);
        for _ in 0..1000 {
            if !bench.pass() {
                break;
            }
        }
        prop_assert_eq!(bench.clock.next(), None);
        prop_assert_eq!(bench.ahci.impossible(), None);
        prop_assert!(bench.world.disks[2] == cd);
        let restored = bench.ahci.restored(&bench.ahci.to_section("p/ahci")).unwrap();
        prop_assert!(restored == bench.ahci);
    }
}
