//! The disks of a machine: media, and their part in its state.

use super::spec::DiskSpec;
use super::{Life, Machine, MachineError};
use crate::disk::{Base, Disk, Failure};
use amber_devices::{DISKS_MAX, DiskInterface, MediumError};
use amber_mmu::Mmu;
use amber_snapshot::{ObjectId, RegionPages, RegionTree};
use std::sync::Arc;

/// Names of the disks' regions.
pub(super) const DISK_NAMES: [&str; DISKS_MAX] = [
    "disk0", "disk1", "disk2", "disk3", "disk4", "disk5", "disk6", "disk7", "disk8", "disk9", "disk10",
    "disk11", "disk12", "disk13", "disk14", "disk15",
];

/// A disk to attach.
#[derive(Clone, Debug)]
pub struct DiskImage {
    pub base: Arc<Base>,
    pub interface: DiskInterface,
    /// The guest cannot write it.
    pub read_only: bool,
}

impl DiskImage {
    /// What the machine is built from.
    pub fn spec(&self) -> DiskSpec {
        let Self { base, interface, read_only } = self;
        let (len, hash) = (base.len(), base.hash());
        DiskSpec { interface: interface.name().to_owned(), len, hash, read_only: *read_only }
    }
}

/// What a machine is built with: a disk, or a drive for media with nothing in it.
#[derive(Clone, Debug)]
pub enum Attachment {
    Disk(DiskImage),
    Empty(DiskInterface),
}

impl Attachment {
    /// What the machine is built from.
    pub fn spec(&self) -> DiskSpec {
        match self {
            Self::Disk(image) => image.spec(),
            Self::Empty(interface) => DiskSpec {
                interface: interface.name().to_owned(),
                len: 0,
                hash: [0; 32],
                read_only: interface.is_cd(),
            },
        }
    }

    /// Its medium.
    pub(super) fn medium(&self) -> Option<Disk> {
        match self {
            Self::Disk(image) => Some(Disk::new(Arc::clone(&image.base))),
            Self::Empty(_) => None,
        }
    }
}

/// A disk of a machine.
#[derive(Clone)]
pub(crate) struct Attached {
    /// Name of its region.
    pub name: &'static str,
    pub disk: Disk,
    /// Hash tree of the overlay as of the last time it was asked for. Shared with frozen states: a large disk has a large
    /// one.
    pub tree: Arc<RegionTree>,
    life: Life,
}

impl Attached {
    pub fn new(name: &'static str, disk: Disk) -> Self {
        let tree = Arc::new(RegionTree::blank(disk.pages(), ObjectId::ABSENT));
        Self { name, disk, tree, life: Life::default() }
    }

    /// Its number.
    pub fn n(&self) -> u8 {
        DISK_NAMES.iter().position(|name| *name == self.name).map_or(u8::MAX, |n| n as u8)
    }

    /// Whether it is the same disk, maybe at another time.
    pub fn is(&self, other: &Self) -> bool {
        self.life == other.life
    }

    /// Brings the tree up to date.
    pub fn update(&mut self) {
        Arc::make_mut(&mut self.tree).update(&self.disk);
    }
}

/// Reads disk `n`. What goes wrong in the state itself, not on the medium, stops the machine.
pub(super) fn read(
    disks: &[Attached],
    mmu: &mut Mmu,
    n: u8,
    at: u64,
    into: &mut [u8],
) -> Result<(), MediumError> {
    let Some(attached) = disks.iter().find(|attached| attached.n() == n) else { return Err(MediumError) };
    attached.disk.read(at, into).map_err(|failure| tell(&attached.disk, mmu, failure))
}

/// Writes disk `n`.
pub(super) fn write(
    disks: &mut [Attached],
    mmu: &mut Mmu,
    n: u8,
    at: u64,
    from: &[u8],
) -> Result<(), MediumError> {
    let attached = disks.iter_mut().find(|attached| attached.n() == n);
    let Some(attached) = attached else { return Err(MediumError) };
    attached.disk.write(at, from).map_err(|failure| tell(&attached.disk, mmu, failure))
}

/// Brings disk `n` to where it outlives the host's power.
pub(super) fn flush(disks: &[Attached], mmu: &mut Mmu, n: u8) -> Result<(), MediumError> {
    let Some(attached) = disks.iter().find(|attached| attached.n() == n) else { return Err(MediumError) };
    attached.disk.flush().map_err(|failure| tell(&attached.disk, mmu, failure))
}

fn tell(disk: &Disk, mmu: &mut Mmu, failure: Failure) -> MediumError {
    match failure {
        Failure::Base(error) => disk.base().tell("read", &error),
        Failure::Through(error) => disk.base().tell("written", &error),
        Failure::Overlay(why) => mmu.damage(why),
    }
    MediumError
}

impl Machine {
    /// Attaches the media that are to be there, by number of the disk.
    pub(super) fn attach(&mut self, disks: Vec<(usize, Disk)>) -> Result<(), MachineError> {
        let want = self.placed_disks().iter().filter(|disk| disk.spec.has_medium()).count();
        let have = disks.len();
        if want != have {
            return Err(MachineError::Disks { want, have });
        }
        self.disks = disks.into_iter().map(|(n, disk)| Attached::new(DISK_NAMES[n], disk)).collect();
        Ok(())
    }

    /// The media of the disks, in order.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.disks.iter().map(|attached| &attached.disk)
    }
}
