//! The bus a processor sees while it runs, and the host's side of a machine.

use super::Machine;
use super::disks::{self, Attached};
use super::gestures::{Gesture, Ready};
use super::request::{self, By};
use super::share::Share;
use super::traffic::Traffic;
use crate::input::Record;
use crate::share::Pages;
use amber_cpu::Bus;
use amber_cpu::apic::Message;
use amber_devices::share::Volume;
use amber_devices::sound::Sound;
use amber_devices::{Dma, MediumError, Platform};
use amber_mmu::{FrameId, Mmu, PAGE, ViewId};

/// What a machine exchanges with the world outside. Output leaves at once; input is asked for at steps the state
/// determines.
pub trait HostIo {
    /// A byte the guest sent on serial port `port`.
    fn serial_output(&mut self, port: u8, byte: u8);
    /// A byte written to the debug console (0xE9, 0x402).
    fn debug_output(&mut self, byte: u8);
    /// The machine makes a sound.
    fn sound(&mut self, _sound: Sound) {}
    /// Bytes for serial port 0, if any are waiting at step `step`: a few dozen at most, the next when the guest has taken them. With
    /// `idle` the guest has nothing to do until an event: the host may wait up to `idle` ns of real time.
    fn serial_input(&mut self, step: u64, idle: Option<u64>) -> Vec<u8>;
    /// What the person does with keyboard and mouse, if anything, at this step and time. A gesture that is not `ready` to be
    /// taken may be given all the same: then it is as on a keyboard whose buffer is full.
    fn gesture(&mut self, _step: u64, _now: u64, _ready: Ready) -> Option<Gesture> {
        None
    }
    /// The guest wrote bytes to a port of the virtio console: 0 is the console, 1 the channel.
    fn console_output(&mut self, _port: u8, _bytes: &[u8]) {}
    /// Bytes for a port of the virtio console, at most `room`, if any are waiting at this step; with `idle` as for the serial
    /// port.
    fn console_input(&mut self, _step: u64, _port: u8, _room: usize, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    /// A frame leaves the network adapter at virtual time `now`, ns.
    fn frame_output(&mut self, _now: u64, _frame: &[u8]) {}
    /// The next frame for the network adapter, if one has arrived by this step and virtual time. Asked for while the guest
    /// has a buffer for it: what it does not take stays with the host.
    fn frame_input(&mut self, _step: u64, _now: u64) -> Option<Vec<u8>> {
        None
    }
    /// Whether frames may still come.
    fn may_receive(&self) -> bool {
        false
    }
    /// Nobody has anything to do, and time is about to jump `ns` ahead: a host whose network has a clock of its own waits
    /// for as long, or until a frame comes.
    fn idle(&mut self, _ns: u64) {}
    /// Whether input may still come.
    fn may_input(&self) -> bool;
    /// What the guest is told once when no more input comes.
    fn end_of_input(&self) -> Option<u8> {
        None
    }
    /// A look at the person at the console, each ms of virtual time, also while the guest takes no input.
    fn attend(&mut self) {}
    /// Virtual time has come to `now`, ns; asked as often as for input. A host that keeps to the wall clock sleeps here.
    fn pace(&mut self, _now: u64) {}
    /// Something came in from outside; for the input log.
    fn note(&mut self, _record: &Record) {}
    /// Whether what the guest asks for is to be done: the run stops for it. If not it is refused.
    fn takes_requests(&self) -> bool {
        false
    }
    /// The guest let go of a part, or said something of one.
    fn part_changed(&mut self) {}
    /// Whether the run shall stop where it is: the person at the console, or another program, wants something.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// The frames of memory that devices reach by its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub first: FrameId,
    pub pages: u32,
}

/// Memory of devices: video memory, and the flash chips.
#[derive(Clone, Copy)]
pub(crate) struct Lent {
    pub vram: Span,
    pub firmware: Span,
}

impl Span {
    /// The frame and the place in it of byte `at`, and how many bytes follow there. `None` beyond the end.
    fn place(self, at: u64) -> Option<(FrameId, usize, usize)> {
        let page = u32::try_from(at / PAGE).ok().filter(|page| *page < self.pages)?;
        let offset = (at % PAGE) as usize;
        Some((FrameId(self.first.0 + page), offset, PAGE as usize - offset))
    }

    /// Reads from byte `at` on; beyond the end, ones.
    fn read(self, mmu: &Mmu, at: u64, into: &mut [u8]) {
        let mut done = 0;
        while let Some((frame, offset, room)) = self.place(at + done as u64) {
            let len = room.min(into.len() - done);
            into[done..done + len].copy_from_slice(&mmu.frame(frame)[offset..offset + len]);
            done += len;
            if done == into.len() {
                return;
            }
        }
        into[done..].fill(0xFF);
    }

    /// Writes from byte `at` on; nothing beyond the end.
    fn write(self, mmu: &mut Mmu, at: u64, from: &[u8]) {
        let mut left = from;
        while let Some((frame, offset, room)) = self.place(at + (from.len() - left.len()) as u64) {
            let (here, rest) = left.split_at(room.min(left.len()));
            mmu.write_frame(frame, offset, here);
            left = rest;
            if left.is_empty() {
                return;
            }
        }
    }
}

/// Guest RAM, the disks' media and the memory of devices, as these reach them.
pub(crate) struct GuestDma<'a> {
    pub mmu: &'a mut Mmu,
    pub disks: &'a mut [Attached],
    pub share: &'a mut Option<Share>,
    pub traffic: &'a mut Traffic,
    pub lent: Lent,
}

impl GuestDma<'_> {
    /// Reaches the share's pages. What goes wrong there stops the machine.
    fn with_share(
        &mut self,
        reach: impl FnOnce(&mut Pages) -> Result<(), MediumError>,
    ) -> Result<(), MediumError> {
        let share = self.share.as_mut().ok_or(MediumError)?;
        let done = reach(&mut share.pages);
        if let Some(why) = share.pages.damaged() {
            self.mmu.damage(why.to_owned());
        }
        done
    }
}

impl Dma for GuestDma<'_> {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        self.mmu.read_physical(ViewId(0), gpa, into);
    }
    fn write(&mut self, gpa: u64, from: &[u8]) {
        self.mmu.write_physical(ViewId(0), gpa, from);
    }
    fn read_disk(&mut self, disk: u8, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        self.traffic.disk_reads.add(into.len());
        disks::read(self.disks, self.mmu, disk, at, into)
    }
    fn write_disk(&mut self, disk: u8, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.traffic.disk_writes.add(from.len());
        disks::write(self.disks, self.mmu, disk, at, from)
    }
    fn flush_disk(&mut self, disk: u8) -> Result<(), MediumError> {
        self.traffic.disk_flushes += 1;
        disks::flush(self.disks, self.mmu, disk)
    }
    fn read_share(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        self.with_share(|pages| pages.read(at, into))
    }
    fn write_share(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.with_share(|pages| pages.write(at, from))
    }
    fn damage_share(&mut self, why: &str) {
        self.mmu.damage(format!("the share holds no tree of files: {why}"));
    }
    fn read_vram(&mut self, at: u64, into: &mut [u8]) {
        self.lent.vram.read(self.mmu, at, into);
    }
    fn write_vram(&mut self, at: u64, from: &[u8]) {
        self.lent.vram.write(self.mmu, at, from);
    }
    fn read_firmware(&mut self, at: u64, into: &mut [u8]) {
        self.lent.firmware.read(self.mmu, at, into);
    }
    fn write_firmware(&mut self, at: u64, from: &[u8]) {
        self.lent.firmware.write(self.mmu, at, from);
    }
}

/// The platform as the running processor's bus.
pub(crate) struct PlatformBus<'a> {
    pub platform: &'a mut Platform,
    pub disks: &'a mut [Attached],
    pub share: &'a mut Option<Share>,
    pub traffic: &'a mut Traffic,
    pub lent: Lent,
    pub messages: &'a mut Vec<Message>,
    /// Time at which the slice ends.
    pub until: u64,
    /// APIC id of the processor.
    pub processor: u32,
    /// Set when the processor asks the machine for something.
    pub requested: Option<By>,
    /// FERR# of this processor is wired to the chipset.
    pub ferr_wired: bool,
}

impl PlatformBus<'_> {
    fn at(&mut self, now: u64) -> &mut Platform {
        self.platform.clock.advance_to(now);
        self.platform.accessed_by(self.processor);
        self.platform
    }

    /// The platform at `now`, and what it is lent.
    fn lend<'b>(&'b mut self, mmu: &'b mut Mmu, now: u64) -> (&'b mut Platform, GuestDma<'b>) {
        self.at(now);
        let Self { platform, disks, share, traffic, lent, .. } = self;
        (platform, GuestDma { mmu, disks, share, traffic, lent: *lent })
    }
}

impl Bus for PlatformBus<'_> {
    fn pio_read(&mut self, mmu: &mut Mmu, now: u64, port: u16, size: u8) -> u32 {
        if port == request::VERSION_PORT && size == 1 {
            return request::VERSION;
        }
        self.traffic.port_reads += 1;
        let (platform, mut dma) = self.lend(mmu, now);
        platform.pio_read(&mut dma, port, size)
    }
    fn pio_write(&mut self, mmu: &mut Mmu, now: u64, port: u16, size: u8, value: u32) {
        if port == request::PORT && size == 1 {
            self.requested = Some(By::Port(value as u8));
            return;
        }
        self.traffic.port_writes += 1;
        let (platform, mut dma) = self.lend(mmu, now);
        platform.pio_write(&mut dma, port, size, value);
    }
    fn mmio_read(&mut self, mmu: &mut Mmu, now: u64, gpa: u64, size: u8) -> u64 {
        self.traffic.mmio_reads += 1;
        let (platform, mut dma) = self.lend(mmu, now);
        platform.mmio_read(&mut dma, gpa, size)
    }
    fn mmio_write(&mut self, mmu: &mut Mmu, now: u64, gpa: u64, size: u8, value: u64) {
        self.traffic.mmio_writes += 1;
        let (platform, mut dma) = self.lend(mmu, now);
        platform.mmio_write(&mut dma, gpa, size, value);
    }
    fn intr(&self) -> bool {
        self.platform.intr()
    }
    fn intack(&mut self, _mmu: &mut Mmu, now: u64) -> u8 {
        self.at(now).intack()
    }
    fn eoi(&mut self, _mmu: &mut Mmu, now: u64, vector: u8) {
        self.at(now).eoi_broadcast(vector);
    }
    fn ferr(&mut self, mmu: &mut Mmu, now: u64, asserted: bool) {
        if self.ferr_wired {
            let (platform, mut dma) = self.lend(mmu, now);
            platform.ferr(&mut dma, asserted);
        }
    }
    fn send(&mut self, message: Message) {
        self.messages.push(message);
    }
    fn request(&mut self) {
        self.requested = Some(By::Nop);
    }
    fn deadline(&self) -> u64 {
        self.until.min(self.platform.next_deadline().unwrap_or(u64::MAX))
    }
    fn attention(&mut self) -> bool {
        self.requested.is_some() || !self.messages.is_empty() || !self.platform.effects().is_empty()
    }
}

impl Machine {
    /// Runs something of the platform's that may touch RAM.
    pub(crate) fn with_dma<R>(&mut self, act: impl FnOnce(&mut Platform, &mut dyn Dma) -> R) -> R {
        let lent = self.lent();
        let Self { platform, mmu, disks, share, traffic, .. } = self;
        act(platform, &mut GuestDma { mmu, disks, share, traffic, lent })
    }
}
