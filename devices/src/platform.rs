//! One PC's worth of chipset: who is where, what changes reach whom, and the whole of it as sections.

use crate::ahci::{AHCI_PORTS, AHCI_SLOT};
use crate::clock::Clock;
use crate::coprocessor::Coprocessor;
use crate::debug_ports::DebugPorts;
use crate::device::{Device, DeviceCtx, DeviceId, Dma, size_mask};
use crate::disk::{DiskConfig, DiskInterface, MediumConfig};
use crate::effects::{Effect, Effects};
use crate::flash::{BLOCK, FLASH, Flash, VARIABLES_MAX};
use crate::floppy::{self, FLOPPY, FLOPPY_DRIVES, Floppy, Medium};
use crate::fw_cfg::{FwCfg, Items};
use crate::hotplug::{Hotplug, HotplugConfig};
use crate::hpet::{HPET_BASE, Hpet};
use crate::i8042::{I8042, Key, MouseEvent};
use crate::ide::IDE_DRIVES;
use crate::ioapic::{IOAPIC_BASE, Ioapic};
use crate::irq::{Change, IrqLines, SLOT_MAX};
use crate::map::{Backing, MapRange, RegionId, flatten};
use crate::media::Misfit;
use crate::nic::NicConfig;
use crate::pci::{DISKS_MAX, Pci, RCRB_LEN};
use crate::peripheral::Peripheral;
use crate::pic::Pic;
use crate::pit::Pit;
use crate::pm::{PM_LEN, PWRBTN_STS, Pm};
use crate::rtc::{CmosLayout, Rtc, SECONDS_MAX};
use crate::share::{Contents, Errno};
use crate::suspend::Suspend;
use crate::uart::Uart;
use crate::usb::{Model, PointerEvent};
use crate::vga::{DisplayKind, OPTION_ROM_MAX};
use crate::virtio::p9::{ShareConfig, TAG_MAX};
use crate::xhci::USB_DISKS;

const GIB: u64 = 1 << 30;
const PAGE: u64 = 0x1000;
/// With this much RAM QEMU's q35 moves what would lie above 2 GiB above 4 GiB, to leave room for PCI.
const LOW_RAM_LIMIT: u64 = 0xb000_0000;
const LOW_RAM_SPLIT: u64 = 0x8000_0000;
/// Smallest RAM a platform is built with, in bytes.
pub const MEMORY_MIN: u64 = 2 << 20;
/// Largest RAM a platform is built with, in bytes.
pub const MEMORY_MAX: u64 = 64 << 30;
/// Largest firmware image: below it are the I/O APIC and the local APICs.
const FIRMWARE_MAX: u64 = 16 << 20;
/// Most processors: xAPIC ids 0 to 254, 255 being the broadcast.
pub const CPUS_MAX: u32 = 255;

/// What a platform is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformConfig {
    /// RAM in bytes: a multiple of 4 KiB, 2 MiB to 64 GiB.
    pub memory_size: u64,
    /// Processors, 1 to 255. Their local APIC ids are 0 and up.
    pub cpus: u32,
    /// What all randomness in it is made from.
    pub seed: u64,
    /// What the real-time clock shows at power-on, in seconds since 1970.
    pub rtc_start: i64,
    /// Bytes of the firmware image that ends at 4 GiB, a multiple of 4 KiB up to 16 MiB. With 0 the chipset comes out
    /// of reset as firmware would leave it, for a kernel booted directly.
    pub firmware_len: u64,
    /// Bytes at the image's beginning that are a flash chip the guest can write, for firmware's variables: a multiple of 4 KiB up
    /// to 4 MiB, 0 without.
    pub variables_len: u64,
    /// The processors have system management mode. Firmware is told to leave SMM alone if not.
    pub smm: bool,
    /// More files for fw_cfg (name of at most 55 bytes, contents); they replace built-in ones of the same name.
    pub fw_cfg_files: Vec<(String, Vec<u8>)>,
    /// Disks, at most 16. Their media are the machine's: see [`Dma`].
    pub disks: Vec<DiskConfig>,
    /// What is in drives for media by now, by the number of the disk, if it is not what `disks` says.
    pub media: Vec<(u8, Option<MediumConfig>)>,
    /// What else it has.
    pub peripherals: Vec<Peripheral>,
    /// The network adapter.
    pub nic: Option<NicConfig>,
    /// Files to share.
    pub share: Option<ShareConfig>,
    /// The display adapter.
    pub display: DisplayKind,
    /// Bytes of the display's option ROM, which follows the firmware image in its region: a multiple of 4 KiB up to
    /// 256 KiB, 0 without.
    pub option_rom_len: u64,
    /// What can be plugged in and out.
    pub hotplug: HotplugConfig,
}

impl Default for PlatformConfig {
    fn default() -> Self {
        Self {
            memory_size: 512 << 20,
            cpus: 1,
            seed: 0,
            rtc_start: 0,
            firmware_len: 0,
            variables_len: 0,
            smm: true,
            fw_cfg_files: Vec::new(),
            disks: Vec::new(),
            media: Vec::new(),
            peripherals: Vec::new(),
            nic: None,
            share: None,
            display: DisplayKind::Std,
            option_rom_len: 0,
            hotplug: HotplugConfig::default(),
        }
    }
}

/// Why a platform cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The size of RAM.
    #[error("memory of {0} bytes: it must be a multiple of 4 KiB from 2 MiB to 64 GiB")]
    Memory(u64),
    /// The number of processors.
    #[error("{0} processors: a platform has 1 to 255")]
    Cpus(u32),
    /// The size of the firmware image.
    #[error("a firmware image of {0} bytes: it must be a multiple of 4 KiB of at most 16 MiB")]
    Firmware(u64),
    /// The size of the variables.
    #[error(
        "variables of {0} bytes: they must be a multiple of 4 KiB of at most 4 MiB, and less than the firmware image"
    )]
    Variables(u64),
    /// The size of the option ROM.
    #[error(
        "an option ROM of {0} bytes: it must be a multiple of 4 KiB of at most 256 KiB, for a display that is a PCI function"
    )]
    OptionRom(u64),
    /// The name of a fw_cfg file.
    #[error("fw_cfg file name {0:?}: it must have 1 to 55 bytes")]
    FileName(String),
    /// The date of the real-time clock.
    #[error("a real-time clock that shows {0} seconds since 1970: it must be within 2 million years")]
    Rtc(i64),
    /// The number of disks.
    #[error("{0} disks: a platform has at most {DISKS_MAX}")]
    Disks(usize),
    /// The number of disks at the AHCI controller.
    #[error("{0} disks and CDs at the AHCI controller: it has {AHCI_PORTS} ports")]
    Ports(usize),
    /// The number of disks at the IDE controller.
    #[error("{0} disks and CDs at the IDE controller: it takes {IDE_DRIVES}")]
    Drives(usize),
    /// The number of diskettes.
    #[error("{0} diskettes: there are {FLOPPY_DRIVES} drives")]
    Diskettes(usize),
    /// The size of a diskette.
    #[error("disk {0} is no diskette of 160, 180, 320, 360, 720, 1200, 1440 or 2880 KiB")]
    Diskette(usize),
    /// The number of disks at USB.
    #[error("{0} disks at USB: it takes {USB_DISKS}")]
    UsbDisks(usize),
    /// The size of a disk.
    #[error("disk {0} has no sectors, or more than 2^54")]
    Sectors(usize),
    /// What is in a drive.
    #[error("disk {disk}: {why}")]
    Medium {
        /// Its number.
        disk: u8,
        why: Misfit,
    },
    /// The address of the network adapter.
    #[error("{0} is no address of one network adapter")]
    Mac(NicConfig),
    /// The tag of the share.
    #[error("{0:?} is no tag of a share: it must have 1 to {TAG_MAX} bytes")]
    ShareTag(String),
    /// The size of the share.
    #[error("a share of {0} bytes: it must be a multiple of 4 KiB from 1 MiB to 64 GiB")]
    ShareSize(u64),
    /// What can be plugged in and out.
    #[error(transparent)]
    Hotplug(#[from] crate::hotplug::HotplugError),
}

impl PlatformConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if !(MEMORY_MIN..=MEMORY_MAX).contains(&self.memory_size) || !self.memory_size.is_multiple_of(PAGE) {
            return Err(ConfigError::Memory(self.memory_size));
        }
        if !(1..=CPUS_MAX).contains(&self.cpus) {
            return Err(ConfigError::Cpus(self.cpus));
        }
        if self.firmware_len > FIRMWARE_MAX || !self.firmware_len.is_multiple_of(PAGE) {
            return Err(ConfigError::Firmware(self.firmware_len));
        }
        let room = if self.firmware_len == 0 { 0 } else { VARIABLES_MAX.min(self.firmware_len - PAGE) };
        if self.variables_len > room || !self.variables_len.is_multiple_of(BLOCK) {
            return Err(ConfigError::Variables(self.variables_len));
        }
        let room = if self.display == DisplayKind::Std { OPTION_ROM_MAX } else { 0 };
        if self.option_rom_len > room || !self.option_rom_len.is_multiple_of(PAGE) {
            return Err(ConfigError::OptionRom(self.option_rom_len));
        }
        if let Some((name, _)) = self.fw_cfg_files.iter().find(|(name, _)| !(1..56).contains(&name.len())) {
            return Err(ConfigError::FileName(name.clone()));
        }
        if self.rtc_start.unsigned_abs() > SECONDS_MAX {
            return Err(ConfigError::Rtc(self.rtc_start));
        }
        if self.disks.len() > DISKS_MAX {
            return Err(ConfigError::Disks(self.disks.len()));
        }
        let ported = self.disks.iter().filter(|disk| disk.interface.is_at_ahci()).count();
        if ported > AHCI_PORTS {
            return Err(ConfigError::Ports(ported));
        }
        let drives = self.disks.iter().filter(|disk| disk.interface.is_at_ide()).count();
        if drives > IDE_DRIVES {
            return Err(ConfigError::Drives(drives));
        }
        let diskettes = self.disks.iter().filter(|disk| disk.interface == DiskInterface::Floppy).count();
        if diskettes > FLOPPY_DRIVES {
            return Err(ConfigError::Diskettes(diskettes));
        }
        let odd = |disk: &DiskConfig| {
            disk.interface == DiskInterface::Floppy && disk.sectors != 0 && Medium::of(disk.sectors).is_none()
        };
        if let Some(n) = self.disks.iter().position(odd) {
            return Err(ConfigError::Diskette(n));
        }
        let at_usb = self.disks.iter().filter(|disk| disk.interface == DiskInterface::Usb).count();
        if at_usb > USB_DISKS {
            return Err(ConfigError::UsbDisks(at_usb));
        }
        if let Some(n) = self.disks.iter().position(|disk| !disk.has_sectors()) {
            return Err(ConfigError::Sectors(n));
        }
        if let Some(nic) = self.nic.as_ref().filter(|nic| !nic.is_unicast()) {
            return Err(ConfigError::Mac(nic.clone()));
        }
        if let Some(share) = &self.share {
            share.check()?;
        }
        Ok(self.hotplug.check(self)?)
    }
}

/// How RAM is split around the hole below 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamLayout {
    /// Bytes from address 0.
    pub low: u64,
    /// Bytes from 4 GiB.
    pub high: u64,
}

impl RamLayout {
    /// The split QEMU's q35 chooses for `memory_size` bytes.
    pub fn new(memory_size: u64) -> Self {
        let low = if memory_size >= LOW_RAM_LIMIT { LOW_RAM_SPLIT } else { memory_size };
        Self { low, high: memory_size - low }
    }

    /// The first address behind all RAM.
    pub fn end(&self) -> u64 {
        if self.high == 0 { self.low } else { 4 * GIB + self.high }
    }
}

/// The chipset and the peripherals of one PC.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Virtual time. The run loop advances it before each access.
    pub clock: Clock,
    pub(crate) irqs: IrqLines,
    pub(crate) effects: Effects,
    pub(crate) pic: Pic,
    pub(crate) pit: Pit,
    pub(crate) rtc: Rtc,
    pub(crate) ioapic: Ioapic,
    pub(crate) hpet: Hpet,
    pub(crate) pm: Pm,
    pub(crate) uarts: [Uart; 2],
    pub(crate) i8042: I8042,
    pub(crate) debug_ports: DebugPorts,
    pub(crate) pci: Pci,
    pub(crate) fw_cfg: FwCfg,
    pub(crate) coprocessor: Coprocessor,
    pub(crate) hotplug: Hotplug,
    pub(crate) floppy: Option<Floppy>,
    /// The chip with firmware's variables.
    pub(crate) flash: Option<Flash>,
    /// Where it can suspend to RAM.
    pub(crate) suspend: Option<Suspend>,
    pub(crate) ram: RamLayout,
    firmware_len: u64,
}

/// Where an I/O access goes.
struct PortRoute {
    device: DeviceId,
    /// What the device is told: the port, or an offset where the device moves.
    port: u16,
    /// The device takes accesses of more than a byte.
    wide: bool,
}

impl Platform {
    /// Builds a platform at power-on.
    ///
    /// # Errors
    /// A sentence that names the part of the configuration that cannot be.
    pub fn new(config: &PlatformConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let ram = RamLayout::new(config.memory_size);
        let floppies = floppy::drive_types(&config.disks);
        let cpus = config.cpus_present();
        let cmos = CmosLayout { low_ram: ram.low, high_ram: ram.high, cpus, floppies };
        let mut platform = Self {
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            pic: Pic::new(),
            pit: Pit::new(),
            rtc: Rtc::new(config.rtc_start, &cmos),
            ioapic: Ioapic::new(),
            hpet: Hpet::new(),
            pm: Pm::new(config.smm),
            uarts: [Uart::new(0), Uart::new(1)],
            i8042: I8042::new(),
            debug_ports: DebugPorts::new(),
            pci: Pci::new(config),
            fw_cfg: FwCfg::new(Items::new(config), ram.end()),
            coprocessor: Coprocessor::default(),
            hotplug: Hotplug::new(config),
            floppy: Floppy::new(&config.disks),
            flash: (config.variables_len != 0).then(|| Flash::new(config.variables_len)),
            suspend: config.offers_s3().then(Suspend::default),
            ram,
            firmware_len: config.firmware_len,
        };
        platform.load(&config.media)?;
        platform.count_cpus();
        platform.reset(&mut NoMemory);
        platform.effects = Effects::default();
        Ok(platform)
    }

    /// Reads `size` (1, 2 or 4) bytes at I/O port `port`, at the time the clock shows.
    pub fn pio_read(&mut self, dma: &mut dyn Dma, port: u16, size: u8) -> u32 {
        let ones = size_mask(size.min(4)) as u32;
        if let Some(value) = self.hotplug.read(port, size.min(4)) {
            return value;
        }
        match self.route(port, size) {
            Some(route) if route.wide || size == 1 => {
                let value =
                    self.with(dma, route.device, |device, cx| device.pio_read(cx, route.port, size.min(4)));
                value & ones
            }
            None if size == 1 => ones,
            _ => (0..u16::from(size.min(4))).fold(0, |value, index| {
                value | self.pio_read(dma, port.wrapping_add(index), 1) << (index * 8)
            }),
        }
    }

    /// Writes `size` (1, 2 or 4) bytes at I/O port `port`, at the time the clock shows.
    pub fn pio_write(&mut self, dma: &mut dyn Dma, port: u16, size: u8, value: u32) {
        let value = value & size_mask(size.min(4)) as u32;
        if self.hotplug.claims(port) {
            return self.write_hotplug(port, size.min(4), value);
        }
        match self.route(port, size) {
            Some(route) if route.wide || size == 1 => {
                self.with(dma, route.device, |device, cx| {
                    device.pio_write(cx, route.port, size.min(4), value);
                });
            }
            None if size == 1 => {}
            _ => {
                for index in 0..u16::from(size.min(4)) {
                    self.pio_write(dma, port.wrapping_add(index), 1, value >> (index * 8) & 0xff);
                }
            }
        }
    }

    /// Reads `size` (1, 2, 4 or 8) bytes of device memory; all ones where nothing answers.
    pub fn mmio_read(&mut self, dma: &mut dyn Dma, gpa: u64, size: u8) -> u64 {
        let value = match self.window(gpa) {
            Some((device, offset)) => {
                self.with(dma, device, |device, cx| device.mmio_read(cx, offset, size.min(8)))
            }
            None => u64::MAX,
        };
        value & size_mask(size)
    }

    /// Writes `size` (1, 2, 4 or 8) bytes of device memory.
    pub fn mmio_write(&mut self, dma: &mut dyn Dma, gpa: u64, size: u8, value: u64) {
        if let Some((device, offset)) = self.window(gpa) {
            let value = value & size_mask(size);
            self.with(dma, device, |device, cx| device.mmio_write(cx, offset, size.min(8), value));
        }
    }

    /// Runs every timer that is due at the time the clock shows.
    pub fn run_due_timers(&mut self, dma: &mut dyn Dma) {
        while let Some((_, timer)) = self.clock.pop_due() {
            self.with(dma, timer.device, |device, cx| device.timer(cx, timer.timer));
        }
        self.wake_by_alarm();
    }

    /// When the next timer is due, in ns.
    pub fn next_deadline(&self) -> Option<u64> {
        self.clock.next()
    }

    /// Level of the 8259A's INT output, which is wired to LINT0.
    pub fn intr(&self) -> bool {
        self.pic.intr()
    }

    /// An INTA cycle: the vector the 8259A puts on the bus.
    pub fn intack(&mut self) -> u8 {
        self.pic.intack()
    }

    /// Whether an input of the IOAPIC can bring a processor an NMI, SMI or INIT, which no interrupt flag holds off.
    pub fn unmaskable_pins(&self) -> bool {
        self.ioapic.unmaskable_pins()
    }

    /// A local APIC ended a level-triggered interrupt.
    pub fn eoi_broadcast(&mut self, vector: u8) {
        self.ioapic.eoi(&mut self.effects, vector);
    }

    /// Says whose accesses follow, by APIC id.
    pub fn accessed_by(&mut self, processor: u32) {
        self.effects.processor = processor;
    }

    /// What left the platform, to be drained after every call that may change anything.
    pub fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }

    /// Bytes from the host for serial port `port`; how many were taken.
    pub fn serial_input(&mut self, dma: &mut dyn Dma, port: u8, bytes: &[u8]) -> usize {
        let index = usize::from(port);
        if index >= self.uarts.len() {
            return 0;
        }
        let Self { clock, irqs, effects, uarts, .. } = self;
        let taken = uarts[index].input(&mut DeviceCtx { clock, irqs, effects, dma }, bytes);
        self.settle();
        taken
    }

    /// A key goes down or up; whether the keyboard took it. One that wakes the platform does nothing else.
    pub fn key(&mut self, dma: &mut dyn Dma, key: Key, pressed: bool) -> bool {
        if self.asleep() {
            if pressed {
                self.wake(0);
            }
            return true;
        }
        let Self { clock, irqs, effects, i8042, pci, .. } = self;
        let cx = &mut DeviceCtx { clock, irqs, effects, dma };
        let at_usb = pci.xhci_mut().and_then(|xhci| xhci.key(cx, key, pressed));
        let taken = at_usb.unwrap_or_else(|| i8042.key(cx, key, pressed));
        self.settle();
        taken
    }

    /// Whether the guest has taken every key stroke so far, and listens for more. A keyboard at USB is the one that is
    /// used once a driver listens to it.
    pub fn keyboard_is_ready(&self) -> bool {
        let at_usb = self.pci.xhci().and_then(|xhci| xhci.is_ready(Model::Keyboard));
        self.asleep() || at_usb.unwrap_or_else(|| self.i8042.keyboard_is_ready())
    }

    /// Whether the guest has an absolute pointer that a driver listens to, and has taken every place it was at.
    pub fn pointer_is_ready(&self) -> bool {
        self.pci.xhci().and_then(|xhci| xhci.is_ready(Model::Tablet)).unwrap_or(false)
    }

    /// Whether the guest has an absolute pointer that a driver listens to.
    pub fn has_pointer(&self) -> bool {
        self.pci.xhci().and_then(|xhci| xhci.is_ready(Model::Tablet)).is_some()
    }

    /// The absolute pointer is somewhere, or a button of it changes; nothing happens where no driver listens to it.
    pub fn point(&mut self, dma: &mut dyn Dma, event: PointerEvent) {
        let Self { clock, irqs, effects, pci, .. } = self;
        if let Some(xhci) = pci.xhci_mut() {
            xhci.point(&mut DeviceCtx { clock, irqs, effects, dma }, event);
        }
        self.settle();
    }

    /// Whether the guest has taken every motion of the mouse so far.
    pub fn mouse_is_ready(&self) -> bool {
        self.i8042.mouse_is_ready()
    }

    /// The keyboard's lights: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    pub fn keyboard_leds(&self) -> u8 {
        self.pci.xhci().and_then(|xhci| xhci.leds()).unwrap_or_else(|| self.i8042.leds())
    }

    /// The mouse moves or a button changes.
    pub fn mouse(&mut self, dma: &mut dyn Dma, event: MouseEvent) {
        let Self { clock, irqs, effects, i8042, .. } = self;
        i8042.mouse(&mut DeviceCtx { clock, irqs, effects, dma }, event);
        self.settle();
    }

    /// Whether the network adapter has a buffer for a frame, and would take it off the host.
    pub fn takes_frames(&mut self, dma: &mut dyn Dma) -> bool {
        self.pci.nic().is_some_and(|nic| nic.takes_frames(dma))
    }

    /// A frame comes in from the network; whether it reached the guest's memory. One that does not fit is lost.
    pub fn receive(&mut self, dma: &mut dyn Dma, frame: &[u8]) -> bool {
        let Self { clock, irqs, effects, pci, .. } = self;
        let cx = &mut DeviceCtx { clock, irqs, effects, dma };
        let taken = pci.nic().is_some_and(|nic| nic.receive(cx, frame));
        self.settle();
        taken
    }

    /// The network adapter's cable is plugged in, or pulled out.
    pub fn set_link(&mut self, dma: &mut dyn Dma, up: bool) {
        let Self { clock, irqs, effects, pci, .. } = self;
        let cx = &mut DeviceCtx { clock, irqs, effects, dma };
        if let Some(nic) = pci.nic() {
            nic.set_link(cx, up);
        }
        self.settle();
    }

    /// How many bytes the guest has room for at a port of the virtio console now.
    pub fn console_room(&mut self, dma: &mut dyn Dma, port: u8) -> usize {
        self.pci.console_mut().map_or(0, |console| console.room(dma, port))
    }

    /// Bytes come in at a port of the virtio console, no more than it has room for.
    pub fn console_input(&mut self, dma: &mut dyn Dma, port: u8, bytes: &[u8]) {
        let Self { clock, irqs, effects, pci, .. } = self;
        if let Some(console) = pci.console_mut() {
            console.receive(&mut DeviceCtx { clock, irqs, effects, dma }, port, bytes);
        }
        self.settle();
    }

    /// Gives the share other contents.
    ///
    /// # Errors
    /// When there is none, or they do not fit: the share is empty then.
    pub fn load_share(&mut self, dma: &mut dyn Dma, contents: &Contents) -> Result<(), Errno> {
        let Self { clock, irqs, effects, pci, .. } = self;
        let share = pci.share_mut().ok_or(Errno::NOENT)?;
        share.load(&mut DeviceCtx { clock, irqs, effects, dma }, contents)
    }

    /// The processor drives FERR#.
    pub fn ferr(&mut self, dma: &mut dyn Dma, asserted: bool) {
        let Self { clock, irqs, effects, coprocessor, .. } = self;
        coprocessor.ferr(&mut DeviceCtx { clock, irqs, effects, dma }, asserted);
        self.settle();
    }

    /// Presses the power button.
    pub fn power_button(&mut self, dma: &mut dyn Dma) {
        if self.asleep() {
            self.wake(PWRBTN_STS);
            return;
        }
        let Self { clock, irqs, effects, pm, .. } = self;
        pm.press_power_button(&mut DeviceCtx { clock, irqs, effects, dma });
        self.settle();
    }

    /// Whether address bit 20 passes.
    pub fn a20(&self) -> bool {
        self.irqs.a20()
    }

    /// Writes to video memory what firmware would leave there, at power-up: a platform is built without memory.
    pub fn fill_video_memory(&mut self, dma: &mut dyn Dma) {
        if self.firmware_len == 0 {
            let Self { clock, irqs, effects, pci, .. } = self;
            pci.vga.fill_text_memory(&mut DeviceCtx { clock, irqs, effects, dma });
        }
    }

    /// Pulses PLTRST#: everything the reset line reaches. RAM, the clock and CMOS stay.
    pub fn reset(&mut self, dma: &mut dyn Dma) {
        self.suspend.iter_mut().for_each(|suspend| suspend.asleep = false);
        self.reset_devices(dma, |_| true);
        if self.firmware_len == 0 {
            self.set_up_as_firmware(dma);
        }
        self.effects.push(Effect::A20(self.irqs.a20()));
        self.effects.push(Effect::MapChanged);
    }

    /// Resets the devices that are `reached`, and all interrupt lines.
    pub(crate) fn reset_devices(&mut self, dma: &mut dyn Dma, reached: impl Fn(DeviceId) -> bool) {
        self.irqs = IrqLines::new();
        let slots = (1..=SLOT_MAX).chain([AHCI_SLOT]).map(DeviceId::Slot);
        for device in ALL.into_iter().chain(slots).chain([FLOPPY]).filter(|device| reached(*device)) {
            for timer in 0..crate::clock::TIMERS {
                self.clock.cancel(crate::clock::Timer { device, timer });
            }
        }
        for device in ALL.into_iter().chain([FLOPPY, FLASH]).filter(|device| reached(*device)) {
            self.with(dma, device, |device, cx| device.reset(cx));
        }
        self.hotplug.reset();
    }

    /// Leaves the chipset as firmware would, for a kernel that is booted without.
    fn set_up_as_firmware(&mut self, dma: &mut dyn Dma) {
        let Self { clock, irqs, effects, pic, pit, pm, i8042, pci, floppy, .. } = self;
        floppy.iter_mut().for_each(Floppy::set_up_as_firmware);
        pic.set_up_as_firmware();
        pci.host_bridge.set_up_as_firmware();
        pci.lpc.set_up_as_firmware(irqs);
        pci.set_up_as_firmware();
        pm.set_up_as_firmware();
        i8042.set_up_as_firmware();
        let cx = &mut DeviceCtx { clock, irqs, effects, dma };
        pit.set_up_as_firmware(cx);
        pci.vga.set_text_mode(cx);
        self.settle();
    }

    /// The map of guest-physical memory, as seen from inside SMM or not, in order of addresses. What it does
    /// not mention is open. The local APICs' page belongs to the processors and is not in it.
    pub fn memory_map(&self, smm: bool) -> Vec<MapRange> {
        let device = |base, len| MapRange::new(base, len, Backing::Device);
        // Memory and the chipset's own registers are decoded before PCI's windows.
        let windows = self.pci.memory_windows().into_iter().map(|(base, len)| device(base, len));
        let mut layers: Vec<MapRange> = windows.collect();
        layers.extend(self.pci.vga.memory_bars(self.firmware_len));
        layers.extend([
            MapRange::ram(0, self.ram.low, 0),
            MapRange::ram(4 * GIB, self.ram.high, self.ram.low),
            MapRange::new(0xa_0000, 0x2_0000, Backing::Open),
        ]);
        layers.extend(self.hotplug.memory.iter().flat_map(|memory| memory.dimms()).map(|dimm| {
            let region = RegionId::Dimm(dimm.slot);
            MapRange::new(dimm.base, dimm.len, Backing::Region { region, offset: 0 })
        }));
        layers.extend(self.pci.vga.aperture().range());
        layers.extend(self.pci.host_bridge.layers(smm, self.firmware_len));
        layers.extend(self.pci.host_bridge.ecam().map(|(base, len)| device(base, len)));
        layers.extend(self.pci.lpc.rcba().map(|base| device(base, RCRB_LEN)));
        layers.push(device(IOAPIC_BASE, PAGE));
        layers.push(device(HPET_BASE, PAGE));
        layers.push(MapRange {
            base: self.firmware_base(),
            len: self.firmware_len,
            read: Backing::Region { region: RegionId::Firmware, offset: 0 },
            write: Backing::Open,
        });
        layers.extend(self.variables_range());
        flatten(&layers)
    }

    /// Where firmware's variables are: memory to read while the chip shows its bytes, and commands to write.
    fn variables_range(&self) -> Option<MapRange> {
        let flash = self.flash.as_ref()?;
        let bytes = Backing::Region { region: RegionId::Firmware, offset: 0 };
        let read = if flash.is_array() { bytes } else { Backing::Device };
        Some(MapRange { base: self.firmware_base(), len: flash.len(), read, write: Backing::Device })
    }

    fn firmware_base(&self) -> u64 {
        4 * GIB - self.firmware_len
    }

    /// Lends a device everything it may reach, then applies what it did to the interrupt controllers.
    fn with<R>(
        &mut self,
        dma: &mut dyn Dma,
        id: DeviceId,
        access: impl FnOnce(&mut dyn Device, &mut DeviceCtx) -> R,
    ) -> R {
        let Self { clock, irqs, effects, uarts, .. } = self;
        let [uart0, uart1] = uarts;
        let mut empty = EmptySlot;
        let device: &mut dyn Device = match id {
            DeviceId::Pic => &mut self.pic,
            DeviceId::Pit => &mut self.pit,
            DeviceId::Rtc => &mut self.rtc,
            DeviceId::Ioapic => &mut self.ioapic,
            DeviceId::Hpet => &mut self.hpet,
            DeviceId::Pm => &mut self.pm,
            DeviceId::Uart0 => uart0,
            DeviceId::Uart1 => uart1,
            DeviceId::I8042 => &mut self.i8042,
            DeviceId::DebugPorts => &mut self.debug_ports,
            DeviceId::Pci => &mut self.pci,
            DeviceId::FwCfg => &mut self.fw_cfg,
            DeviceId::Vga => &mut self.pci.vga,
            DeviceId::Coprocessor => &mut self.coprocessor,
            FLOPPY => self.floppy.as_mut().map_or(&mut empty as &mut dyn Device, |floppy| floppy),
            FLASH => self.flash.as_mut().map_or(&mut empty as &mut dyn Device, |flash| flash),
            DeviceId::Slot(slot) => self.pci.device_in(slot).unwrap_or(&mut empty),
        };
        let result = access(device, &mut DeviceCtx { clock, irqs, effects, dma });
        if id == DeviceId::Pci {
            self.pm.set_smi_lock(self.pci.lpc.smi_lock());
        }
        self.settle();
        result
    }

    /// Brings changes of lines to the interrupt controllers, in the order they happened.
    pub(crate) fn settle(&mut self) {
        while let Some(change) = self.irqs.take_change() {
            match change {
                Change::Pic { irq, level } => self.pic.set_irq(irq, level),
                Change::Ioapic { pin, level } => self.ioapic.set_pin(&mut self.effects, pin, level),
            }
        }
    }

    /// Who answers at an I/O port. Fixed ports come before those that move.
    fn route(&self, port: u16, size: u8) -> Option<PortRoute> {
        let (device, wide) = match port {
            0x20 | 0x21 | 0xa0 | 0xa1 | 0x4d0 | 0x4d1 => (DeviceId::Pic, false),
            0x40..=0x43 | 0x61 => (DeviceId::Pit, false),
            0x60 | 0x64 => (DeviceId::I8042, false),
            0x70..=0x73 => (DeviceId::Rtc, false),
            0x80 | 0x92 | 0xe9 | 0x402 => (DeviceId::DebugPorts, false),
            0xf0 => (DeviceId::Coprocessor, false),
            0xf4..=0xf7 => (DeviceId::DebugPorts, true),
            0xb2 | 0xb3 => (DeviceId::Pm, false),
            0x2f8..=0x2ff => (DeviceId::Uart1, false),
            0x3f8..=0x3ff => (DeviceId::Uart0, false),
            0x3b4 | 0x3b5 | 0x3ba | 0x3c0..=0x3cf | 0x3d4 | 0x3d5 | 0x3da => (DeviceId::Vga, false),
            0x1ce..=0x1d0 => (DeviceId::Vga, true),
            0x510..=0x51b => (DeviceId::FwCfg, true),
            0xcf9 if size == 1 => (DeviceId::DebugPorts, false),
            0xcf8..=0xcff => (DeviceId::Pci, true),
            _ if self.floppy.is_some() && Floppy::claims(port) => (FLOPPY, false),
            _ => return self.moving_route(port),
        };
        Some(PortRoute { device, port, wide })
    }

    fn moving_route(&self, port: u16) -> Option<PortRoute> {
        let within = |base: u16, len: u16| port.checked_sub(base).filter(|offset| *offset < len);
        if let Some(offset) = self.pci.lpc.pmbase().and_then(|base| within(base, PM_LEN)) {
            return Some(PortRoute { device: DeviceId::Pm, port: offset, wide: true });
        }
        let wide = self.pci.claims_port(port)?;
        Some(PortRoute { device: DeviceId::Pci, port, wide })
    }

    /// Who answers at a guest-physical address, and the offset it is told.
    fn window(&self, gpa: u64) -> Option<(DeviceId, u64)> {
        let within = |base: u64| gpa.checked_sub(base).filter(|offset| *offset < PAGE);
        if let Some(offset) = within(IOAPIC_BASE) {
            return Some((DeviceId::Ioapic, offset));
        }
        if let Some(offset) = within(HPET_BASE) {
            return Some((DeviceId::Hpet, offset));
        }
        if let Some(flash) = &self.flash
            && let Some(offset) = gpa.checked_sub(self.firmware_base())
            && offset < flash.len()
        {
            return Some((FLASH, offset));
        }
        if self.pci.vga.claims(gpa) {
            return Some((DeviceId::Vga, gpa));
        }
        self.pci.claims(gpa).then_some((DeviceId::Pci, gpa))
    }
}

/// A slot of PCI bus 0 with nothing in it: a timer for it, as a state read from a file may have, finds nobody.
struct EmptySlot;

impl Device for EmptySlot {
    fn reset(&mut self, _cx: &mut DeviceCtx) {}
}

/// Every device, in the order reset reaches them. What sits in slots hears of it from the PCI root.
const ALL: [DeviceId; 14] = [
    DeviceId::Pic,
    DeviceId::Ioapic,
    DeviceId::Pci,
    DeviceId::Pm,
    DeviceId::Pit,
    DeviceId::Rtc,
    DeviceId::Hpet,
    DeviceId::Uart0,
    DeviceId::Uart1,
    DeviceId::I8042,
    DeviceId::DebugPorts,
    DeviceId::FwCfg,
    DeviceId::Vga,
    DeviceId::Coprocessor,
];

/// Memory for the reset at power-on, which touches none.
struct NoMemory;

impl Dma for NoMemory {
    fn read(&mut self, _gpa: u64, into: &mut [u8]) {
        into.fill(0xff);
    }

    fn write(&mut self, _gpa: u64, _from: &[u8]) {}
}
