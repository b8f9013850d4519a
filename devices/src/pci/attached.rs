//! What is attached to bus 0 beside the chipset and the display: each with a slot and a section of its own.

use super::function::Function;
use crate::ahci::Ahci;
use crate::ata::media::CdDrives;
use crate::disk::{DiskConfig, DiskInterface};
use crate::e1000::E1000;
use crate::hda::Hda;
use crate::ide::Ide;
use crate::nic::{Nic, NicConfig, NicModel};
use crate::nvme::Nvme;
use crate::peripheral::Peripheral;
use crate::platform::PlatformConfig;
use crate::virtio::blk::VirtioBlk;
use crate::virtio::console::VirtioConsole;
use crate::virtio::net::VirtioNet;
use crate::virtio::p9::Virtio9p;
use crate::virtio::rng::VirtioRng;
use crate::xhci::Xhci;

/// Slot of the network adapter, where QEMU's q35 has its own.
pub const ADAPTER_SLOT: u8 = 2;
/// Slot of the first disk; the others follow. QEMU's q35 has its display and its network adapter in front.
pub(crate) const FIRST_DISK: u8 = 3;
/// Slot of the sound card, behind the disks and the IDE controller.
const HDA: u8 = 20;
/// Slot of the source of entropy, behind the USB controller.
const RNG: u8 = 22;
/// Slot of the virtio console.
const CONSOLE: u8 = 23;
/// Slot of the share.
const SHARE: u8 = 24;
/// Most disks.
pub const DISKS_MAX: usize = 16;

/// Slot of the last disk.
pub(crate) const LAST_DISK: u8 = FIRST_DISK + DISKS_MAX as u8 - 1;

/// Slot of disk `n`, if it is a function of its own.
pub fn disk_slot(n: u8) -> u8 {
    FIRST_DISK.saturating_add(n)
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// A disk on virtio. Disk n, if it has a function of its own, is in slot 3 + n.
    VirtioBlk(VirtioBlk),
    /// A disk on NVMe.
    Nvme(Nvme),
    /// Function 00:1f.2, where a disk or a CD is attached to it.
    Ahci(Ahci),
    /// The IDE controller, where a disk or a CD is attached to it.
    Ide(Box<Ide>),
    /// The sound card.
    Hda(Box<Hda>),
    /// The USB controller, where something is attached to it.
    Xhci(Box<Xhci>),
    /// The network adapter.
    VirtioNet(Box<VirtioNet>),
    /// Another kind of it.
    E1000(Box<E1000>),
    /// The source of entropy.
    VirtioRng(Box<VirtioRng>),
    /// The virtio console.
    VirtioConsole(Box<VirtioConsole>),
    /// The share.
    Virtio9p(Box<Virtio9p>),
}

impl Attached {
    /// What a platform has, in the order of sections.
    pub fn all(config: &PlatformConfig) -> Vec<Self> {
        let start = (0..DISKS_MAX as u8).zip(config.disks.iter().cloned());
        let disks = match &config.hotplug.functions {
            Some(functions) => functions.disks.clone(),
            None => start.collect(),
        };
        let mut all: Vec<_> = disks.iter().filter_map(|(n, disk)| Self::disk(*n, disk)).collect();
        all.extend(Ahci::new(&config.disks).map(Self::Ahci));
        all.extend(Ide::new(&config.disks).map(|controller| Self::Ide(Box::new(controller))));
        let has = |peripheral| config.peripherals.contains(&peripheral);
        all.extend(has(Peripheral::Hda).then(|| Self::Hda(Box::new(Hda::new(HDA)))));
        let xhci = Xhci::new(&config.peripherals, &config.disks);
        all.extend(xhci.map(|controller| Self::Xhci(Box::new(controller))));
        let rng = has(Peripheral::VirtioRng).then(|| VirtioRng::new(RNG, config.seed));
        all.extend(rng.map(|rng| Self::VirtioRng(Box::new(rng))));
        let console = has(Peripheral::VirtioConsole).then(|| VirtioConsole::new(CONSOLE));
        all.extend(console.map(|console| Self::VirtioConsole(Box::new(console))));
        let share = config.share.as_ref().map(|share| Virtio9p::new(SHARE, share, config.rtc_start));
        all.extend(share.map(|share| Self::Virtio9p(Box::new(share))));
        all.extend(config.nic.as_ref().map(|nic| Self::nic(ADAPTER_SLOT, nic)));
        all.sort_by_key(Self::order);
        all
    }

    /// Disk `n`, if it is a function of its own.
    pub fn disk(n: u8, config: &DiskConfig) -> Option<Self> {
        match config.interface {
            DiskInterface::Virtio => Some(Self::VirtioBlk(VirtioBlk::new(disk_slot(n), n, config))),
            DiskInterface::Nvme => Some(Self::Nvme(Nvme::new(disk_slot(n), n, config))),
            _ => None,
        }
    }

    /// What sections are ordered by: kind and slot.
    pub fn order(&self) -> (u8, u8) {
        let kind = match self {
            Self::VirtioBlk(_) => 0,
            Self::Nvme(_) => 1,
            Self::Ahci(_) => 2,
            Self::Ide(_) => 3,
            Self::Hda(_) => 4,
            Self::Xhci(_) => 5,
            Self::VirtioNet(_) | Self::E1000(_) => 6,
            Self::VirtioRng(_) => 7,
            Self::VirtioConsole(_) => 8,
            Self::Virtio9p(_) => 9,
        };
        (kind, self.function().slot())
    }

    /// A network adapter in slot `slot`.
    pub fn nic(slot: u8, config: &NicConfig) -> Self {
        match config.model {
            NicModel::E1000 => Self::E1000(Box::new(E1000::new(slot, config))),
            NicModel::Virtio => Self::VirtioNet(Box::new(VirtioNet::new(slot, config))),
        }
    }

    /// It, as the network reaches it, if it is an adapter.
    pub fn as_nic(&mut self) -> Option<&mut dyn Nic> {
        match self {
            Self::VirtioNet(nic) => Some(&mut **nic),
            Self::E1000(nic) => Some(&mut **nic),
            _ => None,
        }
    }

    /// It, if it is a controller that CD drives can be at.
    pub fn as_cd_drives(&self) -> Option<&dyn CdDrives> {
        match self {
            Self::Ahci(controller) => Some(controller),
            Self::Ide(controller) => Some(&**controller),
            _ => None,
        }
    }

    /// It, if it is a controller that CD drives can be at.
    pub fn as_cd_drives_mut(&mut self) -> Option<&mut dyn CdDrives> {
        match self {
            Self::Ahci(controller) => Some(controller),
            Self::Ide(controller) => Some(&mut **controller),
            _ => None,
        }
    }

    /// It, as the root reaches it.
    pub fn function(&self) -> &dyn Function {
        match self {
            Self::VirtioBlk(disk) => disk,
            Self::Nvme(disk) => disk,
            Self::Ahci(controller) => controller,
            Self::Ide(controller) => &**controller,
            Self::Hda(controller) => &**controller,
            Self::Xhci(controller) => &**controller,
            Self::VirtioNet(nic) => &**nic,
            Self::E1000(nic) => &**nic,
            Self::VirtioRng(rng) => &**rng,
            Self::VirtioConsole(console) => &**console,
            Self::Virtio9p(share) => &**share,
        }
    }

    /// It, as the root reaches it.
    pub fn function_mut(&mut self) -> &mut dyn Function {
        match self {
            Self::VirtioBlk(disk) => disk,
            Self::Nvme(disk) => disk,
            Self::Ahci(controller) => controller,
            Self::Ide(controller) => &mut **controller,
            Self::Hda(controller) => &mut **controller,
            Self::Xhci(controller) => &mut **controller,
            Self::VirtioNet(nic) => &mut **nic,
            Self::E1000(nic) => &mut **nic,
            Self::VirtioRng(rng) => &mut **rng,
            Self::VirtioConsole(console) => &mut **console,
            Self::Virtio9p(share) => &mut **share,
        }
    }
}
