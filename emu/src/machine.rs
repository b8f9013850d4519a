//! A machine: who owns what, power-up and reset, state and its hash.

mod bus;
mod console;
mod disks;
mod edit;
mod equipment;
mod frozen;
mod gestures;
mod hotplug;
mod layout;
mod media;
mod nic;
pub mod request;
mod restore;
mod route;
mod run;
mod screen;
mod share;
mod spec;
mod start;
mod stored;
#[cfg(test)]
mod tests;
mod traffic;
mod watch;

pub use bus::HostIo;
pub use disks::{Attachment, DiskImage};
pub(crate) use edit::first_lost;
pub use edit::{Edit, EditRefusal};
pub use equipment::{Equipment, Peripherals};
pub use frozen::{Frozen, RegionSnapshot};
pub use gestures::{Gesture, Ready};
pub use hotplug::{CpuParts, FunctionParts, Hotplug, MemoryParts, PlacedDisk, Plug, PlugError};
pub use layout::RamLayout;
pub use media::{Drive, DriveSpec, Ejection, Media, MediumChange, MediumRefusal, MediumSpec};
pub use nic::NicSpec;
pub use restore::{RegionSource, RestoreError};
pub use run::{Goal, Stop};
pub use screen::Seen;
pub use share::ShareSpec;
pub use spec::{DiskSpec, FW_CFG_MAX, FwCfgFile, MachineSpec};
pub use stored::{LoadError, stored_disk, stored_share};
pub use traffic::{Flow, Traffic};

use crate::boot::{BootError, BootImage};
use crate::disk::Base;
use crate::share::Pages;
use amber_cpu::{CodeCache, CpuModel, Engine, Vcpu};
use amber_devices::Platform;
use amber_mmu::{FrameId, FramesError, GROUP, Mmu, PAGE};
use amber_snapshot::{RegionTree, Schema, Section};
use disks::Attached;
use serde::{Deserialize, Serialize};
use start::Start;
use std::sync::Arc;

/// Raised when a fix changes what a run computes, or a constant of virtual time changes: what accesses, PAUSE and REP
/// cost, how often the host is asked for input, how fast serial characters and the TSC go.
pub const SEMANTICS_EPOCH: u32 = 8;

/// Index of RAM among the regions.
pub(crate) const RAM: usize = 0;
/// Index of the firmware image.
pub(crate) const FIRMWARE: usize = 1;
/// Index of video memory.
pub(crate) const VRAM: usize = 2;
/// Index of what the guest starts with; see [`start`].
pub(crate) const BOOT: usize = 3;
const REGION_NAMES: [&str; 4] = ["ram", "firmware", "vram", "boot"];

/// Why a machine cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Frames(#[from] FramesError),
    #[error("the chipset refuses this configuration: {0}")]
    Platform(String),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error("cpu {0}: there is no such model; this build knows {1}")]
    Cpu(String, String),
    #[error("cpu {0}: it has no feature named {1}")]
    Feature(String, String),
    #[error("the machine has no memory")]
    NoFrames,
    #[error("what the guest starts with cannot be read: {0}")]
    Start(String),
    #[error("{0} is written through to its image, which cannot be written for two machines")]
    WrittenThrough(&'static str),
    #[error("the machine has {want} disks, and {have} images are there for them")]
    Disks { want: usize, have: usize },
}

/// How a guest ended itself. A machine that has ended does not go on: a run of it ends at once, in the same way. Only a
/// reset begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) enum Ending {
    /// ACPI S5 or S4.
    PowerOff,
    /// It asked for a reset, and the run allowed none.
    Reset,
    /// It wrote this to isa-debug-exit.
    DebugExit(u32),
}

/// Position in history and in the round of slices. The section `machine`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Position {
    /// Total order of everything that happened since power-up.
    pub step: u64,
    /// See [`SEMANTICS_EPOCH`].
    pub epoch: u32,
    /// Processor whose slice it is.
    pub current: u32,
    /// Virtual time at which the slice ends, ns. With one processor there are no slices, and this is 0.
    pub slice_end: u64,
    /// Virtual time at which the host is next asked for input, ns.
    pub poll_at: u64,
    /// Bytes from the host that the serial port has not taken yet.
    pub serial_queue: Vec<u8>,
    /// The guest was told that there is no more input.
    pub input_ended: bool,
    /// Steps spent idle (time jumps).
    pub idle_jumps: u64,
    /// Inputs so far: the position in the input log.
    pub inputs: u64,
    /// The guest ended itself like this.
    pub ended: Option<Ending>,
}

impl Section for Position {
    const KIND: &'static str = "machine";
    const VERSION: u32 = 3;
}

/// A region of frames.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub name: &'static str,
    pub first: FrameId,
    pub pages: u32,
    /// Its hash tree as of the last time it was asked for.
    pub tree: RegionTree,
    life: Life,
}

/// Tells regions apart that follow each other at one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life(Arc<()>);

impl PartialEq for Life {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Region {
    pub fn new(name: &'static str, first: FrameId, pages: u32) -> Self {
        Self { name, first, pages, tree: RegionTree::default(), life: Life::default() }
    }

    /// Whether it is the same region, maybe at another time.
    pub fn is(&self, other: &Self) -> bool {
        self.life == other.life
    }
}

/// A whole machine.
pub struct Machine {
    pub(crate) spec: MachineSpec,
    pub(crate) equipment: Equipment,
    pub(crate) model: CpuModel,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) mmu: Mmu,
    pub(crate) code: CodeCache,
    pub(crate) platform: Platform,
    pub(crate) position: Position,
    pub(crate) regions: Vec<Region>,
    pub(crate) disks: Vec<Attached>,
    pub(crate) share: Option<share::Share>,
    pub(crate) messages: Vec<amber_cpu::apic::Message>,
    /// Processor whose last instruction asked for something: settled before a run ends.
    asking: Option<request::Asking>,
    /// What the devices moved, for people.
    traffic: Traffic,
    /// Images that were put into drives, open: a machine that is taken back finds them as they were.
    inserted: Vec<Arc<Base>>,
}

/// Virtual time between two looks at the host's input, ns.
pub(crate) const POLL_NS: u64 = 1_000_000;

impl Machine {
    /// Builds a machine and brings it to the state in which `boot` starts. `tables` are ACPI tables to place in
    /// memory (direct boot).
    ///
    /// # Errors
    /// When the host has no memory for it or the chipset refuses the configuration.
    pub fn new(
        spec: MachineSpec,
        boot: BootImage,
        tables: Vec<(u64, Vec<u8>)>,
    ) -> Result<Self, MachineError> {
        Self::equipped(spec, boot, tables, &[], Equipment::default())
    }

    /// The same with disks and what else not every machine has.
    ///
    /// # Errors
    /// As [`Machine::new`], and when there are too many disks.
    pub fn equipped(
        mut spec: MachineSpec,
        boot: BootImage,
        tables: Vec<(u64, Vec<u8>)>,
        disks: &[Attachment],
        equipment: Equipment,
    ) -> Result<Self, MachineError> {
        spec.disks = disks.iter().map(Attachment::spec).collect();
        let mut rom = boot.rom.as_ref().map(|rom| rom.bytes.clone()).unwrap_or_default();
        spec.firmware_len = rom.len() as u64;
        spec.variables_len = boot.rom.as_ref().map_or(0, |rom| rom.variables_len);
        let option_rom = boot.rom.as_ref().map(|rom| &rom.option_rom[..]).unwrap_or_default();
        spec.option_rom_len = option_rom.len() as u64;
        rom.extend(option_rom);
        let start = Start::new(boot, tables);
        let start_bytes = start.to_bytes()?;
        spec.boot_len = start_bytes.len() as u64;
        let mut machine = Self::powered_up(spec, equipment)?;
        let media = (0..).zip(disks).filter_map(|(n, disk)| Some((n, disk.medium()?)));
        machine.attach(media.collect())?;
        machine.fill(FIRMWARE, &rom);
        machine.fill(BOOT, &start_bytes);
        machine.map_changed();
        machine.with_dma(|platform, dma| platform.fill_video_memory(dma));
        machine.start(&start);
        Ok(machine)
    }

    /// A machine with zero memory and no address map yet.
    fn powered_up(spec: MachineSpec, equipment: Equipment) -> Result<Self, MachineError> {
        let model = spec.model()?;
        let chipset = equipment.chipset(spec.chipset());
        let platform = Platform::new(&chipset).map_err(|e| MachineError::Platform(e.to_string()))?;
        let memory = spec.memory;
        let too_large = || {
            let cause = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
            MachineError::Frames(FramesError::Reserve { bytes: memory, cause })
        };
        let sizes = spec.region_pages();
        let sizes = sizes.map(|pages| pages.next_multiple_of(GROUP as u64));
        let room = equipment.hotplug.room(&spec) / PAGE;
        let total = sizes
            .iter()
            .chain([&room])
            .try_fold(0u32, |all, pages| all.checked_add(u32::try_from(*pages).ok()?));
        let mut mmu = Mmu::new(total.ok_or_else(too_large)?)?;
        let mut regions = Vec::new();
        for (name, pages) in REGION_NAMES.into_iter().zip(spec.region_pages()) {
            let pages = pages as u32;
            let first = mmu.allocate(pages).ok_or_else(too_large)?;
            regions.push(Region::new(name, first, pages));
        }
        let position = Position {
            step: 0,
            epoch: SEMANTICS_EPOCH,
            current: 0,
            slice_end: 0,
            poll_at: POLL_NS,
            serial_queue: Vec::new(),
            input_ended: false,
            idle_jumps: 0,
            inputs: 0,
            ended: None,
        };
        let mut machine = Self {
            spec,
            equipment,
            model,
            vcpus: Vec::new(),
            mmu,
            code: CodeCache::new(),
            platform,
            position,
            regions,
            disks: Vec::new(),
            share: None,
            messages: Vec::new(),
            asking: None,
            traffic: Traffic::default(),
            inserted: Vec::new(),
        };
        if let Some((_, pages)) = machine.equipment.share.as_ref().map(ShareSpec::region) {
            machine.share = Some(share::Share::new(Pages::new(pages), pages));
        }
        for dimm in machine.equipment.hotplug.dimms() {
            machine.allocate_dimm(&dimm).ok_or_else(too_large)?;
        }
        let (ids, max) = machine.processor_ids();
        let MachineSpec { seed, quantum, .. } = machine.spec;
        machine.vcpus = ids.into_iter().map(|id| Vcpu::new(model, id, max, seed)).collect();
        machine.position.slice_end = if machine.vcpus.len() == 1 { 0 } else { quantum };
        Ok(machine)
    }

    /// What the devices moved so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether there is something at the reset vector.
    pub(crate) fn has_firmware(&self) -> bool {
        self.spec.firmware_len != 0
    }

    /// Where the memory of devices is.
    pub(crate) fn lent(&self) -> bus::Lent {
        let span = |region| {
            let Region { first, pages, .. } = *self.region(region);
            bus::Span { first, pages }
        };
        bus::Lent { vram: span(VRAM), firmware: span(FIRMWARE) }
    }

    pub(crate) fn region(&self, index: usize) -> &Region {
        &self.regions[index]
    }

    fn fill(&mut self, region: usize, bytes: &[u8]) {
        let first = self.region(region).first;
        for (page, bytes) in bytes.chunks(PAGE as usize).enumerate() {
            self.mmu.write_frame(FrameId(first.0 + page as u32), 0, bytes);
        }
    }

    /// PLTRST#: everything the reset line reaches, then the guest starts again. Memory keeps its contents.
    pub(crate) fn reset(&mut self) {
        let now = self.now();
        tracing::info!(target: "reset", "platform reset at step {} ({now} ns)", self.position.step);
        self.note_reset();
        self.reset_processors();
        // Whatever the life before still wanted is void.
        self.messages.clear();
        self.platform.effects().drain().for_each(drop);
        self.position.ended = None;
        self.with_dma(|platform, dma| platform.reset(dma));
        self.platform.effects().drain().for_each(drop);
        self.mmu.set_a20(self.platform.a20());
        self.map_changed();
        self.end_monitors();
        match self.saved_start() {
            Ok(start) if start.starts_anew() => {
                self.clear(&start);
                self.start(&start);
                self.with_dma(|platform, dma| platform.update_placed_tables(dma));
            }
            Ok(_) => {}
            Err(error) => self.mmu.damage(error.to_string()),
        }
    }

    /// Suspends to RAM, if the chipset can: the processors lose their power, and are at the reset vector when it comes back.
    pub(crate) fn suspend(&mut self) {
        if self.with_dma(|platform, dma| platform.suspend(dma)) {
            tracing::info!(target: "reset", "suspended to RAM at step {} ({} ns)", self.position.step, self.now());
            self.reset_processors();
            self.messages.clear();
        }
    }

    fn reset_processors(&mut self) {
        let now = self.now();
        let (ids, max) = self.processor_ids();
        for (id, vcpu) in ids.into_iter().zip(&mut self.vcpus) {
            let (random, retired) = (vcpu.system.random, vcpu.system.retired);
            let watch = vcpu.watch().clone();
            *vcpu = Vcpu::new(self.model, id, max, self.spec.seed);
            vcpu.system.random = random;
            vcpu.system.retired = retired;
            // The TSC restarts at 0 (SDM table 9-1).
            vcpu.system.msrs.tsc_offset = now.wrapping_neg();
            // The debugger's, not the machine's.
            vcpu.set_watch(watch);
        }
        self.position.current = 0;
        self.position.slice_end = if self.vcpus.len() == 1 { 0 } else { now + self.spec.quantum };
    }

    /// Step the machine stands at.
    pub fn step(&self) -> u64 {
        self.position.step
    }

    /// Virtual time, ns since power-up.
    pub fn now(&self) -> u64 {
        self.platform.clock.now()
    }

    /// The processors.
    pub fn vcpus(&self) -> &[Vcpu] {
        &self.vcpus
    }

    /// A processor, to debug.
    pub fn vcpu_mut(&mut self, n: usize) -> &mut Vcpu {
        &mut self.vcpus[n]
    }

    /// The chipset.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Guest memory.
    pub fn mmu(&self) -> &Mmu {
        &self.mmu
    }

    /// Guest memory, to debug.
    pub fn mmu_mut(&mut self) -> &mut Mmu {
        &mut self.mmu
    }

    /// Decoded code, for its counters.
    pub fn code(&self) -> &CodeCache {
        &self.code
    }

    /// Chooses what executes instructions; the JIT does, where the host allows. It changes nothing but the speed.
    pub fn set_engine(&mut self, engine: Engine) {
        self.code.set_engine(engine);
    }

    /// See [`CodeCache::look_every`].
    pub fn look_every(&mut self, steps: u64) {
        self.code.look_every(steps);
    }

    /// See [`CodeCache::distrust_host`].
    pub fn distrust_host(&mut self) {
        self.code.distrust_host();
    }

    /// Index of the processor whose slice it is.
    pub fn current(&self) -> usize {
        self.position.current as usize
    }

    /// What it was built from.
    pub fn spec(&self) -> &MachineSpec {
        &self.spec
    }

    /// What it has beside that.
    pub fn equipment(&self) -> &Equipment {
        &self.equipment
    }

    /// RAM from address 0 and from 4 GiB, bytes.
    pub fn ram_layout(&self) -> (u64, u64) {
        let layout = amber_devices::RamLayout::new(self.spec.memory);
        (layout.low, layout.high)
    }

    /// Whether the slice of the current processor is used up: another one runs next, if it has something to do.
    pub fn slice_is_over(&self) -> bool {
        self.now() >= self.position.slice_end
    }

    /// Drops every cache: decoded code, translations. The guest cannot tell.
    pub fn drop_caches(&mut self) {
        self.code.clear();
        self.mmu.drop_code_marks();
        self.mmu.drop_monitors();
        self.mmu.drop_translations();
    }
}
