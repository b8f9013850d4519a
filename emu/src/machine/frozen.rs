//! A machine as a value: its whole state at one moment, to hash, save, fork from or go back to.

use super::disks::Attached;
use super::hotplug::DIMM_NAMES;
use super::share::{SHARE_NAME, Share, ShareSpec};
use super::traffic::Traffic;
use super::{Equipment, Machine, MachineError, MachineSpec, Position, RAM, REGION_NAMES, Region};
use crate::disk::Disk;
use crate::share::Pages;
use amber_cpu::{CodeCache, CpuModel, Vcpu};
use amber_devices::Platform;
use amber_mmu::{FrameId, FrozenFrames, Mmu};
use amber_snapshot::{
    BaseImage, GROUP_PAGES, OwnedSection, RegionPages, RegionTree, Section, StateHash, hash_sections,
};

/// A machine's whole state at one moment. Costs nothing per byte of memory: what the machine writes afterwards is
/// copied first. It may go to another thread, to be hashed or saved while the machine goes on.
#[derive(Clone)]
pub struct Frozen {
    pub(super) spec: MachineSpec,
    pub(super) equipment: Equipment,
    pub(super) model: CpuModel,
    pub(super) vcpus: Vec<Vcpu>,
    pub(super) platform: Platform,
    pub(super) position: Position,
    pub(super) frames: FrozenFrames,
    pub(super) regions: Vec<Region>,
    pub(super) disks: Vec<Attached>,
    pub(super) share: Option<Share>,
}

/// A region of a frozen machine.
pub struct RegionSnapshot<'a> {
    name: &'static str,
    tree: &'a RegionTree,
    contents: Contents<'a>,
}

/// Where a region's pages are.
enum Contents<'a> {
    Frames { first: FrameId, pages: u32, frames: &'a FrozenFrames },
    Disk(&'a Disk),
    Share(&'a Pages),
}

impl<'a> RegionSnapshot<'a> {
    fn of_frames(region: &'a Region, frames: &'a FrozenFrames) -> Self {
        let contents = Contents::Frames { first: region.first, pages: region.pages, frames };
        Self { name: region.name, tree: &region.tree, contents }
    }

    fn of_disk(attached: &'a Attached) -> Self {
        Self { name: attached.name, tree: &attached.tree, contents: Contents::Disk(&attached.disk) }
    }

    fn of_share(share: &'a Share) -> Self {
        Self { name: SHARE_NAME, tree: &share.tree, contents: Contents::Share(&share.pages) }
    }

    /// Its name, e.g. `ram`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its hash tree, up to date after [`Frozen::hash`].
    pub fn tree(&self) -> &RegionTree {
        self.tree
    }

    /// The image below, if it is a disk's.
    pub fn base(&self) -> Option<BaseImage> {
        match self.contents {
            Contents::Frames { .. } | Contents::Share(_) => None,
            Contents::Disk(disk) => Some(disk.base().image()),
        }
    }
}

/// Every section, in a fixed order.
fn sections(
    spec: &MachineSpec,
    position: &Position,
    equipment: &Equipment,
    vcpus: &[Vcpu],
    platform: &Platform,
) -> Vec<OwnedSection> {
    let mut sections = vec![spec.to_section("config"), position.to_section("machine")];
    sections.extend(equipment.sections());
    sections.extend(vcpus.iter().map(cpu_section));
    sections.extend(platform.sections("platform0"));
    sections
}

fn cpu_section(vcpu: &Vcpu) -> OwnedSection {
    vcpu.save(&format!("cpu{}", vcpu.apic.id()))
}

fn frame(first: FrameId, page: usize) -> FrameId {
    FrameId(first.0 + page as u32)
}

impl RegionPages for RegionSnapshot<'_> {
    fn pages(&self) -> usize {
        match self.contents {
            Contents::Frames { pages, .. } => pages as usize,
            Contents::Disk(disk) => disk.pages(),
            Contents::Share(pages) => pages.pages(),
        }
    }
    fn newest(&self, group: usize) -> u64 {
        match self.contents {
            Contents::Frames { first, frames, .. } => frames.newest(frame(first, group * GROUP_PAGES)),
            Contents::Disk(disk) => disk.newest(group),
            Contents::Share(pages) => pages.newest(group),
        }
    }
    fn generation(&self, page: usize) -> Option<u64> {
        match self.contents {
            Contents::Frames { first, frames, .. } => frames.generation(frame(first, page)),
            Contents::Disk(disk) => disk.generation(page),
            Contents::Share(pages) => pages.generation(page),
        }
    }
    /// Pages of a disk that nobody wrote are zeroes here: what they hold is the image's.
    fn bytes(&self, page: usize) -> &[u8] {
        match self.contents {
            Contents::Frames { first, frames, .. } => frames.bytes(frame(first, page)),
            Contents::Disk(disk) => disk.bytes(page),
            Contents::Share(pages) => pages.bytes(page),
        }
    }
}

impl Frozen {
    /// Every section, in a fixed order.
    pub fn sections(&self) -> Vec<OwnedSection> {
        let Self { spec, position, equipment, vcpus, platform, .. } = self;
        sections(spec, position, equipment, vcpus, platform)
    }

    fn cpu_sections(&self) -> impl Iterator<Item = OwnedSection> {
        self.vcpus.iter().map(cpu_section)
    }

    /// Every region, in a fixed order.
    pub fn regions(&self) -> impl Iterator<Item = RegionSnapshot<'_>> {
        let frames = self.regions.iter().map(|region| RegionSnapshot::of_frames(region, &self.frames));
        let share = self.share.iter().map(RegionSnapshot::of_share);
        frames.chain(self.disks.iter().map(RegionSnapshot::of_disk)).chain(share)
    }

    /// Hash of the whole state. Brings the regions' trees up to date, at the cost of what changed since they last were.
    pub fn hash(&mut self) -> StateHash {
        let sections = self.sections();
        hash_sections(&sections, &self.roots())
    }

    fn roots(&mut self) -> Vec<(&'static str, [u8; 32])> {
        for region in &mut self.regions {
            let mut tree = std::mem::take(&mut region.tree);
            tree.update(&RegionSnapshot::of_frames(region, &self.frames));
            region.tree = tree;
        }
        self.disks.iter_mut().for_each(Attached::update);
        self.share.iter_mut().for_each(Share::update);
        self.regions().map(|region| (region.name(), region.tree().root())).collect()
    }

    /// Step the machine stood at.
    pub fn step(&self) -> u64 {
        self.position.step
    }

    /// Virtual time, ns since power-up.
    pub fn now(&self) -> u64 {
        self.platform.clock.now()
    }
}

impl Machine {
    /// The machine's state now.
    pub fn freeze(&mut self) -> Frozen {
        debug_assert!(
            self.messages.is_empty() && self.platform.effects().is_empty(),
            "a run carries out all effects before it ends"
        );
        Frozen {
            spec: self.spec.clone(),
            equipment: self.equipment.clone(),
            model: self.model,
            vcpus: self.vcpus.clone(),
            platform: self.platform.clone(),
            position: self.position.clone(),
            frames: self.mmu.freeze(),
            regions: self.regions.clone(),
            disks: self.disks.clone(),
            share: self.share.clone(),
        }
    }

    /// A machine of its own that goes on from a frozen state, in this process: memory is shared until written.
    ///
    /// # Errors
    /// When a disk is written through; otherwise never for a state that was frozen from a machine.
    pub fn fork(frozen: &Frozen) -> Result<Self, MachineError> {
        if let Some(disk) = frozen.disks.iter().find(|attached| attached.disk.base().is_written_through()) {
            return Err(MachineError::WrittenThrough(disk.name));
        }
        let mmu = Mmu::fork(&frozen.frames).ok_or(MachineError::NoFrames)?;
        let mut machine = Self {
            spec: frozen.spec.clone(),
            equipment: frozen.equipment.clone(),
            model: frozen.model,
            vcpus: frozen.vcpus.clone(),
            mmu,
            code: CodeCache::new(),
            platform: frozen.platform.clone(),
            position: frozen.position.clone(),
            regions: frozen.regions.clone(),
            disks: frozen.disks.clone(),
            share: frozen.share.clone(),
            messages: Vec::new(),
            asking: None,
            traffic: Traffic::default(),
            inserted: Vec::new(),
        };
        machine.vcpus.iter_mut().for_each(Vcpu::arrive);
        machine.mmu.set_a20(machine.platform.a20());
        machine.map_changed();
        Ok(machine)
    }

    /// Goes back to a state this machine was frozen as or forked from. Costs what was written since; decoded code of
    /// unwritten pages stays.
    pub fn rewind(&mut self, frozen: &Frozen) {
        self.rewind_processors(&frozen.vcpus);
        self.equipment.clone_from(&frozen.equipment);
        self.rewind_regions(&frozen.regions);
        self.platform.clone_from(&frozen.platform);
        self.position.clone_from(&frozen.position);
        self.rewind_disks(&frozen.disks);
        self.share.clone_from(&frozen.share);
        self.messages.clear();
        self.mmu.rewind(&frozen.frames);
        self.mmu.drop_monitors();
        self.mmu.set_a20(self.platform.a20());
        self.map_changed();
    }

    /// Pages of a region, if the machine has one of that name.
    pub fn region_pages(&self, name: &str) -> Option<u64> {
        let frames = self.regions.iter().map(|region| (region.name, u64::from(region.pages)));
        let disks = self.disks.iter().map(|attached| (attached.name, attached.disk.pages() as u64));
        let share = self.equipment.share.iter().map(ShareSpec::region);
        frames.chain(disks).chain(share).find(|(known, _)| *known == name).map(|(_, pages)| pages)
    }

    /// Every section, in a fixed order.
    pub fn sections(&self) -> Vec<OwnedSection> {
        let Self { spec, position, equipment, vcpus, platform, .. } = self;
        sections(spec, position, equipment, vcpus, platform)
    }

    /// Hash of the whole state.
    pub fn state_hash(&mut self) -> StateHash {
        let mut frozen = self.freeze();
        let hash = frozen.hash();
        self.adopt_trees(frozen);
        hash
    }

    /// Hash of architectural processor state and RAM alone: what golden tests compare, so that a new device does
    /// not change them all.
    pub fn architectural_hash(&mut self) -> StateHash {
        let mut frozen = self.freeze();
        let cpus: Vec<_> = frozen.cpu_sections().collect();
        let mut roots = frozen.roots();
        roots.retain(|(name, _)| *name == REGION_NAMES[RAM] || DIMM_NAMES.contains(name));
        let hash = hash_sections(&cpus, &roots);
        self.adopt_trees(frozen);
        hash
    }
}
