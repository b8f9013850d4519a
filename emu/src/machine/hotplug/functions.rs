//! Disks and the network adapter, which come and go as functions of PCI bus 0.

mod upgrade;

use super::super::disks::{Attached, DISK_NAMES};
use super::super::{DiskImage, DiskSpec, Machine, MachineSpec};
use super::{Hotplug, PlugError};
use crate::disk::Disk;
use amber_devices::{ADAPTER_SLOT, DISKS_MAX, DiskInterface, FunctionSlots, Part, disk_slot};
use amber_snapshot::{Schema, Section, SectionError};
use serde::{Deserialize, Serialize};
pub(in crate::machine) use upgrade::FUNCTIONS_UPGRADE;

/// A disk in a place of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct PlacedDisk {
    /// Its number: that of its region and of its slot.
    pub n: u8,
    pub spec: DiskSpec,
}

/// The disks that are functions of their own, and may go, and whether the network adapter may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct FunctionParts {
    /// By number.
    disks: Vec<PlacedDisk>,
    /// The network adapter's slot is one whose function comes and goes.
    adapter: bool,
}

impl Section for FunctionParts {
    const KIND: &'static str = "hotplug-functions";
    const VERSION: u32 = 2;
}

/// Whether a disk is a function of its own.
fn is_function(spec: &DiskSpec) -> bool {
    DiskInterface::named(&spec.interface).is_some_and(DiskInterface::is_function)
}

impl FunctionParts {
    /// Those of a machine that starts with these disks.
    pub fn new(start: &[DiskSpec]) -> Self {
        let placed = (0..DISKS_MAX as u8).zip(start).map(|(n, spec)| PlacedDisk { n, spec: spec.clone() });
        Self { disks: placed.filter(|disk| is_function(&disk.spec)).collect(), adapter: true }
    }

    /// Whether the network adapter may come and go.
    pub fn has_adapter_slot(&self) -> bool {
        self.adapter
    }

    pub fn disks(&self) -> &[PlacedDisk] {
        &self.disks
    }

    pub(super) fn chipset(&self) -> FunctionSlots {
        let disks = self.disks.iter().map(|disk| (disk.n, disk.spec.device())).collect();
        FunctionSlots { disks, adapter: self.adapter }
    }

    /// What a stored machine cannot have. The disks themselves are looked at with all others.
    pub(super) fn check(&self, spec: &MachineSpec) -> Result<(), SectionError> {
        let ordered = self.disks.windows(2).all(|pair| pair[0].n < pair[1].n);
        let place = |disk: &&PlacedDisk| {
            let other = spec.disks.get(usize::from(disk.n)).is_some_and(|start| !is_function(start));
            usize::from(disk.n) >= DISKS_MAX || other || !is_function(&disk.spec)
        };
        match self.disks.iter().find(|disk| !ordered || place(disk)) {
            Some(disk) => Err(SectionError::Value {
                path: super::FUNCTIONS.to_owned(),
                field: "disks",
                value: format!("disk {} on {}", disk.n, disk.spec.interface),
            }),
            None => Ok(()),
        }
    }
}

impl Hotplug {
    /// The disks that are there, by number: `start` are those of the start.
    pub fn disks(&self, start: &[DiskSpec]) -> Vec<PlacedDisk> {
        let placed = (0..DISKS_MAX as u8).zip(start).map(|(n, spec)| PlacedDisk { n, spec: spec.clone() });
        let Some(functions) = &self.functions else { return placed.collect() };
        let fixed = placed.filter(|disk| !is_function(&disk.spec));
        let mut all: Vec<PlacedDisk> = fixed.chain(functions.disks.iter().cloned()).collect();
        all.sort_by_key(|disk| disk.n);
        all
    }
}

impl Machine {
    /// The disks that are there, by number.
    pub fn placed_disks(&self) -> Vec<PlacedDisk> {
        self.equipment.disks(&self.spec.disks)
    }

    /// A disk is built from another image.
    pub(in crate::machine) fn set_image(&mut self, n: u8, len: u64, hash: [u8; 32]) {
        let placed = self.equipment.hotplug.functions.as_mut().and_then(|functions| {
            functions.disks.iter_mut().find(|disk| disk.n == n).map(|disk| &mut disk.spec)
        });
        if let Some(medium) = self.equipment.media.get_mut(n) {
            (medium.len, medium.hash) = (len, hash);
        } else if let Some(disk) = placed.or_else(|| self.spec.disks.get_mut(usize::from(n))) {
            (disk.len, disk.hash) = (len, hash);
        }
    }

    /// The number a disk of this kind would get.
    pub(super) fn place_for_disk(&self, image: &DiskImage) -> Result<u8, PlugError> {
        if self.equipment.hotplug.functions.is_none() {
            return Err(PlugError::NoFunctions);
        }
        if !image.interface.is_function() {
            return Err(PlugError::NotAFunction(image.interface.name()));
        }
        if image.base.is_written_through() {
            return Err(PlugError::WrittenThrough);
        }
        let taken = self.placed_disks();
        let mut free = (0..DISKS_MAX as u8).filter(|n| !taken.iter().any(|disk| disk.n == *n));
        // The numbers of disks at controllers stay theirs.
        free.next().ok_or(PlugError::SlotsTaken)
    }

    pub(super) fn plug_disk_at(&mut self, n: u8, image: &DiskImage) -> Part {
        let disk = PlacedDisk { n, spec: image.spec() };
        let config = disk.spec.device();
        self.disks.push(Attached::new(DISK_NAMES[usize::from(n)], Disk::new(image.base.clone())));
        self.disks.sort_by_key(|attached| attached.n());
        if let Some(functions) = &mut self.equipment.hotplug.functions {
            functions.disks.push(disk);
            functions.disks.sort_by_key(|disk| disk.n);
        }
        self.with_dma(|platform, dma| platform.plug_disk(dma, n, &config));
        Part::Function(disk_slot(n))
    }

    pub(super) fn remove_function(&mut self, slot: u8) {
        if slot == ADAPTER_SLOT {
            self.equipment.nic = None;
            return;
        }
        let Some(functions) = &mut self.equipment.hotplug.functions else { return };
        let Some(at) = functions.disks.iter().position(|disk| disk_slot(disk.n) == slot) else { return };
        let disk = functions.disks.remove(at);
        self.disks.retain(|attached| attached.n() != disk.n);
    }

    /// Takes over the media of a frozen state: those there all the time keep their trees.
    pub(in crate::machine) fn rewind_disks(&mut self, then: &[Attached]) {
        let same =
            self.disks.len() == then.len() && self.disks.iter().zip(then).all(|(own, then)| own.is(then));
        if !same {
            let own = std::mem::take(&mut self.disks);
            let take = |then: &Attached| own.iter().find(|own| own.is(then)).unwrap_or(then).clone();
            self.disks = then.iter().map(take).collect();
        }
        for (own, then) in self.disks.iter_mut().zip(then) {
            own.disk.clone_from(&then.disk);
        }
    }
}
