//! A machine: who owns what, power-up and reset, state and its hash.

mod bus;
mod layout;
mod route;
mod run;
mod state;

pub use bus::HostIo;
pub use run::Stop;

use crate::boot::{BootEntry, BootError, BootImage};
use amber_cpu::state::{Segment, cr, seg};
use amber_cpu::{CodeCache, CpuModel, Vcpu};
use amber_devices::{Platform, PlatformConfig};
use amber_mmu::{FrameId, FramesError, Mmu, PAGE};
use amber_snapshot::{RegionHasher, Schema, Section};
use serde::{Deserialize, Serialize};

/// Raised when a fix changes what a run computes.
pub const SEMANTICS_EPOCH: u32 = 1;

/// What a machine is built from.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    pub model: CpuModel,
    pub cpus: u32,
    /// RAM, bytes.
    pub memory: u64,
    pub seed: u64,
    /// RTC at power-up, Unix seconds.
    pub rtc_start: i64,
    /// ns a processor runs before the next one's turn.
    pub quantum: u64,
}

/// Why a machine cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Frames(#[from] FramesError),
    #[error("the chipset refuses this configuration: {0}")]
    Platform(String),
    #[error(transparent)]
    Boot(#[from] BootError),
}

/// Position in history and in the round of slices. The section `machine`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Position {
    /// Total order of everything that happened since power-up.
    pub step: u64,
    /// See [`SEMANTICS_EPOCH`].
    pub epoch: u32,
    pub quantum: u64,
    /// Processor whose slice it is.
    pub current: u32,
    /// Virtual time at which the slice ends, ns.
    pub slice_end: u64,
    /// Virtual time at which the host is next asked for input, ns.
    pub poll_at: u64,
    /// Bytes from the host that the serial port has not taken yet.
    pub serial_queue: Vec<u8>,
    /// Steps spent idle (time jumps).
    pub idle_jumps: u64,
}

impl Section for Position {
    const KIND: &'static str = "machine";
    const VERSION: u32 = 1;
}

/// A region of frames.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub name: &'static str,
    pub first: FrameId,
    pub pages: u32,
    pub hasher: RegionHasher,
}

/// A whole machine.
pub struct Machine {
    pub(crate) spec: MachineSpec,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) mmu: Mmu,
    pub(crate) code: CodeCache,
    pub(crate) platform: Platform,
    pub(crate) position: Position,
    pub(crate) regions: Vec<Region>,
    pub(crate) messages: Vec<amber_cpu::apic::Message>,
    boot: BootImage,
    tables: Vec<(u64, Vec<u8>)>,
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
        chipset: &PlatformConfig,
        boot: BootImage,
        tables: Vec<(u64, Vec<u8>)>,
    ) -> Result<Self, MachineError> {
        let platform = Platform::new(chipset).map_err(|e| MachineError::Platform(e.to_string()))?;
        let rom_pages = boot.rom.as_ref().map_or(1, |rom| rom.bytes.len().div_ceil(PAGE as usize)) as u64;
        let sizes = [
            ("ram", spec.memory.div_ceil(PAGE)),
            ("firmware", rom_pages),
            ("vram", amber_devices::map::VRAM_LEN / PAGE),
        ];
        let total: u64 = sizes.iter().map(|(_, pages)| pages).sum();
        let too_large = || {
            let source = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
            MachineError::Frames(FramesError::Reserve { bytes: spec.memory, source })
        };
        let mut mmu = Mmu::new(u32::try_from(total).map_err(|_| too_large())?)?;
        let mut regions = Vec::new();
        for (name, pages) in sizes {
            let pages = pages as u32;
            let first = mmu.allocate(pages).ok_or_else(too_large)?;
            regions.push(Region { name, first, pages, hasher: RegionHasher::default() });
        }
        let vcpus = (0..spec.cpus).map(|id| Vcpu::new(spec.model, id, spec.cpus, spec.seed)).collect();
        let position = Position {
            step: 0,
            epoch: SEMANTICS_EPOCH,
            quantum: spec.quantum,
            current: 0,
            slice_end: spec.quantum,
            poll_at: POLL_NS,
            serial_queue: Vec::new(),
            idle_jumps: 0,
        };
        let mut machine = Self {
            spec,
            vcpus,
            mmu,
            code: CodeCache::new(),
            platform,
            position,
            regions,
            messages: Vec::new(),
            boot,
            tables,
        };
        machine.load_rom();
        machine.map_changed();
        machine.start();
        Ok(machine)
    }

    fn load_rom(&mut self) {
        let Some(rom) = &self.boot.rom else { return };
        let first = self.regions[1].first;
        for (page, bytes) in rom.bytes.chunks(PAGE as usize).enumerate() {
            self.mmu.write_frame(FrameId(first.0 + page as u32), 0, bytes);
        }
    }

    /// Writes what the guest starts with and sets the boot processor's entry state.
    fn start(&mut self) {
        let view = amber_mmu::ViewId(0);
        for (gpa, bytes) in self.boot.writes.iter().chain(&self.tables) {
            self.mmu.write_physical(view, *gpa, bytes);
        }
        let entry = self.boot.entry.clone();
        if entry != BootEntry::Reset {
            self.vcpus.iter_mut().for_each(set_mtrrs);
        }
        enter(&mut self.vcpus[0], &entry);
    }

    /// PLTRST#: everything the reset line reaches, then the guest starts again. Memory keeps its contents.
    pub(crate) fn reset(&mut self) {
        let now = self.now();
        tracing::info!(target: "reset", "platform reset at step {} ({now} ns)", self.position.step);
        for (id, vcpu) in self.vcpus.iter_mut().enumerate() {
            let (random, retired) = (vcpu.system.random, vcpu.system.retired);
            let watch = vcpu.watch().clone();
            *vcpu = Vcpu::new(self.spec.model, id as u32, self.spec.cpus, self.spec.seed);
            vcpu.system.random = random;
            vcpu.system.retired = retired;
            // The debugger's, not the machine's.
            vcpu.set_watch(watch);
        }
        self.messages.clear();
        self.with_dma(|platform, dma| platform.reset(dma));
        self.mmu.set_a20(true);
        self.map_changed();
        self.position.current = 0;
        self.position.slice_end = now + self.position.quantum;
        if self.boot.entry != BootEntry::Reset {
            self.start();
        }
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

    /// Index of the processor whose slice it is.
    pub fn current(&self) -> usize {
        self.position.current as usize
    }

    /// Drops every cache: decoded code, translations. The guest cannot tell.
    pub fn drop_caches(&mut self) {
        self.code.clear();
        self.mmu.drop_code_marks();
        self.mmu.drop_monitors();
        self.mmu.drop_translations();
    }
}

/// Memory types as firmware leaves them: write-back, but for the last GiB below 4 GiB, where devices are. A kernel
/// that finds the MTRRs off leaves the PAT alone too.
fn set_mtrrs(vcpu: &mut Vcpu) {
    const ENABLE: u64 = 1 << 11;
    const WRITE_BACK: u64 = 6;
    const UNCACHEABLE: u64 = 0;
    let msrs = &mut vcpu.system.msrs;
    msrs.mtrr_def_type = ENABLE | WRITE_BACK;
    msrs.mtrr_variable[0] = 0xC000_0000 | UNCACHEABLE;
    msrs.mtrr_variable[1] = 0xFF_C000_0000 | ENABLE;
}

/// Sets a processor to the entry state of a boot protocol.
fn enter(vcpu: &mut Vcpu, entry: &BootEntry) {
    const DATA: u32 = 0xC093;
    let flat = |selector: u16, access: u32| Segment { selector, base: 0, limit: !0, access };
    match entry {
        BootEntry::Reset => {}
        BootEntry::Long64 { rip, rsp, rsi, cr3, gdt, cs, ds } => {
            let system = &mut vcpu.system;
            system.seg = [flat(*ds, DATA); 6];
            system.seg[seg::CS] = flat(*cs, 0xA09B);
            system.gdtr.base = gdt.base;
            system.gdtr.limit = gdt.limit;
            system.cr0 = cr::CR0_PE | cr::CR0_ET | cr::CR0_NE | cr::CR0_WP | cr::CR0_PG;
            system.cr3 = *cr3;
            system.cr4 = cr::CR4_PAE;
            system.efer = cr::EFER_LME | cr::EFER_LMA;
            vcpu.rip = *rip;
            vcpu.gpr[4] = *rsp;
            vcpu.gpr[6] = *rsi;
        }
        BootEntry::Protected32 { eip, eax, ebx } => {
            let system = &mut vcpu.system;
            system.seg = [flat(0x10, DATA); 6];
            system.seg[seg::CS] = flat(0x08, 0xC09B);
            system.tr = Segment { selector: 0, base: 0, limit: 0x67, access: 0x8B };
            system.cr0 = cr::CR0_PE | cr::CR0_ET;
            vcpu.rip = u64::from(*eip);
            vcpu.gpr[0] = u64::from(*eax);
            vcpu.gpr[3] = u64::from(*ebx);
        }
    }
    vcpu.derive();
}
