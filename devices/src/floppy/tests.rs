use super::*;
use crate::clock::Clock;
use crate::disk::SECTOR;
use crate::effects::Effects;
use crate::irq::IrqLines;
use crate::testing::World;

mod commands;
mod hostile;
mod media;
mod transfers;

const RAM: usize = 0x2_0000;
/// Where transfers go.
const BUFFER: usize = 0x1_2000;
const SECTORS: usize = 2880;

/// Two drives: 1440 KiB, and 360 KiB that are write-protected.
struct Bench {
    floppy: Floppy,
    clock: Clock,
    irqs: IrqLines,
    effects: Effects,
    world: World,
}

impl Bench {
    /// As it comes out of reset, before anything is written.
    fn new() -> Self {
        let disk = |sectors, read_only| DiskConfig { interface: DiskInterface::Floppy, sectors, read_only };
        let image = |sectors: usize| (0..sectors * 512).map(|at| (at / 512) as u8 ^ at as u8).collect();
        Self {
            floppy: Floppy::new(&[disk(SECTORS as u64, false), disk(720, true)]).unwrap(),
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            world: World::new(RAM, vec![image(SECTORS), image(720)]),
        }
    }

    /// Reset is over and its interrupt taken, motors run, rates are set and the heads at track 0.
    fn ready() -> Self {
        let mut bench = Bench::new();
        bench.out(0x3f2, 0x3c);
        assert!(bench.pass() && bench.irq());
        for drive in 0..4 {
            assert_eq!(bench.ask(&[8]), [0xc0 | drive, 0]);
        }
        bench.send(&[3, 0xdf, 2]);
        bench.out(0x3f7, 0);
        bench.set_up_channel(0x46, 512);
        bench
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Floppy, &mut DeviceCtx) -> R) -> R {
        let Self { floppy, clock, irqs, effects, world } = self;
        act(floppy, &mut DeviceCtx { clock, irqs, effects, dma: world })
    }

    fn out(&mut self, port: u16, value: u8) {
        self.with(|floppy, cx| floppy.pio_write(cx, port, 1, value.into()));
    }

    fn inb(&mut self, port: u16) -> u8 {
        self.with(|floppy, cx| floppy.pio_read(cx, port, 1)) as u8
    }

    fn irq(&self) -> bool {
        self.irqs.level(Line::Isa(IRQ), IrqSource::Floppy)
    }

    /// Lets time pass until something happens.
    fn pass(&mut self) -> bool {
        let Some(at) = self.clock.next() else { return false };
        self.clock.advance_to(at);
        while let Some((_, timer)) = self.clock.pop_due() {
            assert_eq!(timer.device, FLOPPY);
            self.with(|floppy, cx| floppy.timer(cx, timer.timer));
        }
        true
    }

    fn pass_all(&mut self) {
        while self.pass() {}
    }

    /// Sends a command, as a driver does that looks at MSR.
    fn send(&mut self, command: &[u8]) {
        for byte in command {
            assert_eq!(self.inb(0x3f4) & 0xc0, 0x80, "{command:x?}");
            self.out(0x3f5, *byte);
        }
    }

    fn result(&mut self) -> Vec<u8> {
        let mut result = Vec::new();
        while self.inb(0x3f4) & 0xd0 == 0xd0 {
            result.push(self.inb(0x3f5));
        }
        result
    }

    /// A command that answers at once.
    fn ask(&mut self, command: &[u8]) -> Vec<u8> {
        self.send(command);
        self.result()
    }

    /// A command that takes its time and interrupts.
    fn run(&mut self, command: &[u8]) -> Vec<u8> {
        self.send(command);
        assert_eq!(self.inb(0x3f4) & 0xd0, 0x10, "busy");
        self.check_saved();
        self.pass_all();
        assert!(self.irq());
        let result = self.result();
        assert!(!self.irq());
        result
    }

    fn seek(&mut self, command: &[u8]) -> Vec<u8> {
        self.send(command);
        assert_eq!(self.inb(0x3f4), 0x80 | 1 << (command[1] & 3));
        self.check_saved();
        self.pass_all();
        assert!(self.irq());
        self.ask(&[8])
    }

    /// Channel 2, to move `len` bytes.
    fn set_up_channel(&mut self, mode: u8, len: usize) {
        let [count, count_high] = ((len - 1) as u16).to_le_bytes();
        let [low, high, page, ..] = (BUFFER as u32).to_le_bytes();
        let writes = [
            (0xd6, 0xc0),
            (0xd4, 0),
            (0x0a, 6),
            (0x0c, 0),
            (0x04, low),
            (0x04, high),
            (0x05, count),
            (0x05, count_high),
            (0x0b, mode),
            (0x81, page),
            (0x0a, 2),
        ];
        writes.into_iter().for_each(|(port, value)| self.out(port, value));
    }

    fn sector(&self, disk: usize, n: usize) -> &[u8] {
        &self.world.disks[disk][n * SECTOR as usize..][..SECTOR as usize]
    }

    fn check_saved(&self) {
        let [floppy, dma] = self.floppy.sections("p");
        assert!(self.floppy.restored(&floppy, &dma).unwrap() == self.floppy);
    }
}

#[test]
fn every_image_has_its_drive() {
    let kib = [160, 180, 320, 360, 720, 1200, 1440, 2880];
    let types = kib.map(|kib| Medium::of(kib * 2).map(|medium| medium.drive));
    assert_eq!(types, [1, 1, 1, 1, 3, 2, 4, 5].map(Some));
    assert!(!is_diskette(0) && !is_diskette(2881));
    let disk = |interface, sectors| DiskConfig { interface, sectors, read_only: false };
    let disks =
        [disk(DiskInterface::Virtio, 8), disk(DiskInterface::Floppy, 2880), disk(DiskInterface::Floppy, 720)];
    assert_eq!((drive_types(&disks), drive_types(&disks[..2]), drive_types(&disks[..1])), (0x41, 0x40, 0));
    assert!(Floppy::new(&disks[..1]).is_none());
}
