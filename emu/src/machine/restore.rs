//! A machine from sections and regions read from elsewhere.

use super::disks::DISK_NAMES;
use super::share::{SHARE_NAME, ShareSpec};
use super::spec::FW_CFG_MAX;
use super::{
    DiskSpec, Equipment, Hotplug, Machine, MachineError, MachineSpec, PlacedDisk, Position, REGION_NAMES,
    SEMANTICS_EPOCH,
};
use crate::disk::{self, Base, Disk};
use crate::share::Pages;
use amber_devices::{DISKS_MAX, OPTION_ROM_MAX, TIME_MAX};
use amber_mmu::{FrameId, GROUP, PageSource};
use amber_snapshot::{
    Manifest, ObjectId, OwnedSection, RegionTree, Section, SectionError, Upgrade, upgraded,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A region's contents: the ids of its pages, and where the pages that are not zero come from when first needed.
pub struct RegionSource {
    pub name: String,
    pub tree: RegionTree,
    /// Where the pages come from, by their index in the region.
    pub pages: Arc<dyn PageSource>,
    /// The image below, of a disk's.
    pub base: Option<Arc<Base>>,
}

/// Why a machine cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Section(#[from] SectionError),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error("{0} is there twice")]
    Twice(String),
    #[error("region {0} is missing")]
    RegionMissing(&'static str),
    #[error("region {0} is none this machine has")]
    RegionUnknown(String),
    #[error("region {name} has {found} pages, this machine's has {expected}")]
    RegionSize { name: &'static str, found: u64, expected: u64 },
    #[error("section machine: field epoch is {found}, this build computes as of epoch {SEMANTICS_EPOCH}")]
    Epoch { found: u32 },
    #[error("region {0}: the regions of disks lie over images, and no others do")]
    Base(String),
    #[error("region {0} lies over another image than section config says")]
    AnotherBase(&'static str),
}

/// Every upgrade from a section's older version, by which snapshots of earlier builds are loaded. A section's types
/// of earlier versions, with `From` them for the next one, stay beside its present one.
const UPGRADES: &[Upgrade] = &[
    super::spec::SPEC_UPGRADES[0],
    super::spec::SPEC_UPGRADES[1],
    amber_devices::VGA_UPGRADE,
    amber_devices::AHCI_UPGRADE,
    amber_devices::IDE_UPGRADE,
    amber_devices::I8042_UPGRADES[0],
    amber_devices::I8042_UPGRADES[1],
    amber_devices::E1000_UPGRADE,
    super::hotplug::FUNCTIONS_UPGRADE,
];

/// Most bytes from the host that a state read from a file may have waiting.
const SERIAL_QUEUE_MAX: u64 = 1 << 16;

impl Machine {
    /// The configuration in a machine's sections.
    ///
    /// # Errors
    /// When the section `config` is missing or is not one this build reads.
    pub fn spec_in(sections: &[OwnedSection]) -> Result<MachineSpec, SectionError> {
        take(&upgraded(sections, UPGRADES)?, "config")
    }

    /// What a machine has beside that, by its sections.
    ///
    /// # Errors
    /// See [`Equipment::of`].
    pub fn equipment_in(sections: &[OwnedSection]) -> Result<Equipment, SectionError> {
        Equipment::of(&upgraded(sections, UPGRADES)?)
    }

    /// The machine that has these sections, or those they become by upgrades, and regions. Pages are fetched when first needed.
    ///
    /// # Errors
    /// Names the section, field or region that is missing, unknown, there twice or impossible.
    pub fn restore(sections: &[OwnedSection], regions: Vec<RegionSource>) -> Result<Self, RestoreError> {
        Self::restore_by(sections, regions, UPGRADES)
    }

    /// As [`Self::restore`], by other upgrades.
    pub(super) fn restore_by(
        sections: &[OwnedSection],
        regions: Vec<RegionSource>,
        upgrades: &[Upgrade],
    ) -> Result<Self, RestoreError> {
        let sections = &*upgraded(sections, upgrades)?;
        let spec: MachineSpec = take(sections, "config")?;
        check_spec(&spec)?;
        let equipment = Equipment::of(sections)?;
        let hotplug = &equipment.hotplug;
        equipment.check(&spec)?;
        check_disks(&equipment.disks(&spec.disks))?;
        check_paths(sections, &spec, hotplug)?;
        check_regions(
            regions.iter().map(|region| (&*region.name, region.tree.pages() as u64)),
            &spec,
            &equipment,
        )?;
        let position: Position = take(sections, "machine")?;
        let mut machine = Self::powered_up(spec, equipment)?;
        check_position(&position, machine.vcpus.len())?;
        machine.position = position;
        let (ids, _) = machine.processor_ids();
        for (id, vcpu) in ids.into_iter().zip(&mut machine.vcpus) {
            vcpu.restore(find(sections, &format!("cpu{id}"))?)?;
        }
        machine.platform.restore("platform0", sections)?;
        machine.attach(disks(&regions, &machine.placed_disks())?)?;
        if let Some(source) = regions.iter().find(|source| source.name == SHARE_NAME) {
            machine.expect_share(source)?;
        }
        for source in regions {
            machine.expect(source);
        }
        machine.mmu.set_a20(machine.platform.a20());
        machine.map_changed();
        Ok(machine)
    }

    fn expect_share(&mut self, source: &RegionSource) -> Result<(), RestoreError> {
        if source.tree.absent() != ObjectId::ZERO {
            return Err(RestoreError::Base(source.name.clone()));
        }
        if let Some(share) = &mut self.share {
            share.pages = Pages::stored(&source.tree, &source.pages);
            share.tree = Arc::new(source.tree.clone());
        }
        Ok(())
    }

    fn expect(&mut self, source: RegionSource) {
        if let Some(attached) = self.disks.iter_mut().find(|attached| attached.name == source.name) {
            attached.tree = Arc::new(source.tree);
            return;
        }
        let Some(region) = self.regions.iter_mut().find(|region| region.name == source.name) else { return };
        for (n, (_, ids)) in source.tree.groups().enumerate() {
            let mut wanted = [0u64; GROUP / 64];
            for (i, _) in ids.iter().enumerate().filter(|(_, id)| **id != ObjectId::ZERO) {
                wanted[i / 64] |= 1 << (i % 64);
            }
            if wanted != [0; GROUP / 64] {
                let first = FrameId(region.first.0 + (n * GROUP) as u32);
                self.mmu.expect(first, Arc::clone(&source.pages), (n * GROUP) as u64, wanted);
            }
        }
        region.tree = source.tree;
    }
}

fn find<'a>(sections: &'a [OwnedSection], path: &str) -> Result<&'a OwnedSection, SectionError> {
    let found = sections.iter().find(|section| section.path == path);
    found.ok_or_else(|| SectionError::Missing { path: path.to_owned() })
}

fn take<T: Section>(sections: &[OwnedSection], path: &str) -> Result<T, SectionError> {
    T::from_section(find(sections, path)?)
}

/// Every section belongs to somebody, and to one alone. The platform looks at what is below its own path.
fn check_paths(sections: &[OwnedSection], spec: &MachineSpec, hotplug: &Hotplug) -> Result<(), RestoreError> {
    let present = |id: u32| match &hotplug.cpus {
        Some(cpus) => cpus.present().contains(&id),
        None => id < spec.cpus,
    };
    let mut seen = BTreeSet::new();
    for section in sections {
        let path = section.path.as_str();
        let cpu =
            path.strip_prefix("cpu").and_then(|n| n.parse::<u32>().ok().filter(|id| id.to_string() == n));
        let known = matches!(path, "config" | "machine")
            || Equipment::owns(path)
            || path.starts_with("platform0/")
            || cpu.is_some_and(present)
            || hotplug.owns(path);
        if !known {
            let (path, kind) = (section.path.clone(), section.kind.clone());
            return Err(SectionError::Unknown { path, kind }.into());
        }
        if !seen.insert(path) {
            return Err(RestoreError::Twice(format!("section {path}")));
        }
    }
    Ok(())
}

/// The regions of a stored machine are those its configuration says, each with its pages.
pub(super) fn check_tables(manifest: &Manifest) -> Result<(), RestoreError> {
    let spec = Machine::spec_in(&manifest.sections)?;
    check_spec(&spec)?;
    let equipment = Machine::equipment_in(&manifest.sections)?;
    equipment.check(&spec)?;
    check_disks(&equipment.disks(&spec.disks))?;
    let regions = manifest.regions.iter().map(|table| (&*table.name, table.pages));
    check_regions(regions, &spec, &equipment)
}

/// `regions` by name, with the number of their pages.
fn check_regions<'a>(
    regions: impl Iterator<Item = (&'a str, u64)>,
    spec: &MachineSpec,
    equipment: &Equipment,
) -> Result<(), RestoreError> {
    let frames = REGION_NAMES.into_iter().zip(spec.region_pages());
    let placed = equipment.disks(&spec.disks);
    let media = placed.iter().filter(|disk| disk.spec.has_medium());
    let disks = media.map(|disk| (DISK_NAMES[usize::from(disk.n)], disk::pages(disk.spec.len) as u64));
    let share = equipment.share.as_ref().map(ShareSpec::region);
    let mut wanted: BTreeMap<_, _> =
        frames.chain(disks).chain(equipment.hotplug.regions()).chain(share).collect();
    let mut seen = BTreeSet::new();
    for (region, found) in regions {
        if !seen.insert(region) {
            return Err(RestoreError::Twice(format!("region {region}")));
        }
        let Some((name, expected)) = wanted.remove_entry(region) else {
            return Err(RestoreError::RegionUnknown(region.to_owned()));
        };
        if found != expected {
            return Err(RestoreError::RegionSize { name, found, expected });
        }
    }
    wanted.into_keys().next().map_or(Ok(()), |name| Err(RestoreError::RegionMissing(name)))
}

/// The disks' media, over images that are those the configuration names.
fn disks(regions: &[RegionSource], placed: &[PlacedDisk]) -> Result<Vec<(usize, Disk)>, RestoreError> {
    let mut disks = Vec::new();
    for region in regions {
        let n = DISK_NAMES.iter().position(|name| *name == region.name);
        let disk = n.and_then(|n| placed.iter().find(|disk| usize::from(disk.n) == n));
        let spec = disk.map(|disk| (usize::from(disk.n), &disk.spec));
        match (spec, &region.base) {
            (None, None) => {}
            (Some((n, spec)), Some(base)) => {
                if (base.len(), base.hash()) != (spec.len, spec.hash) {
                    return Err(RestoreError::AnotherBase(DISK_NAMES[n]));
                }
                if region.tree.absent() != ObjectId::ABSENT {
                    return Err(RestoreError::Base(region.name.clone()));
                }
                disks.push((n, Disk::stored(Arc::clone(base), &region.tree, &region.pages)));
            }
            _ => return Err(RestoreError::Base(region.name.clone())),
        }
    }
    disks.sort_by_key(|(n, _)| *n);
    Ok(disks)
}

fn check_position(position: &Position, cpus: usize) -> Result<(), RestoreError> {
    let value = |field, value: u64| SectionError::Value {
        path: "machine".to_owned(),
        field,
        value: value.to_string(),
    };
    if position.epoch > SEMANTICS_EPOCH {
        return Err(RestoreError::Epoch { found: position.epoch });
    }
    if position.current as usize >= cpus {
        return Err(value("current", position.current.into()).into());
    }
    // Sums of these and of what is added to them must not overflow: no run comes so far.
    let fields = [
        ("step", position.step),
        ("slice_end", position.slice_end),
        ("poll_at", position.poll_at),
        ("idle_jumps", position.idle_jumps),
        ("inputs", position.inputs),
    ];
    if let Some((field, found)) = fields.into_iter().find(|(_, found)| *found > TIME_MAX) {
        return Err(value(field, found).into());
    }
    let waiting = position.serial_queue.len() as u64;
    if waiting > SERIAL_QUEUE_MAX {
        return Err(value("serial_queue", waiting).into());
    }
    Ok(())
}

/// Values of the configuration that are used as they are. The chipset and the processors look at theirs.
fn check_spec(spec: &MachineSpec) -> Result<(), RestoreError> {
    let value = |field, value| Err(SectionError::Value { path: "config".to_owned(), field, value }.into());
    if !(1..=TIME_MAX).contains(&spec.quantum) {
        return value("quantum", spec.quantum.to_string());
    }
    // What a guest starts with goes to its memory, piece by piece.
    if spec.boot_len > spec.memory.saturating_mul(2) {
        return value("boot_len", spec.boot_len.to_string());
    }
    if !spec.knows_display() {
        return value("display", spec.display.clone());
    }
    if spec.option_rom_len > OPTION_ROM_MAX {
        return value("option_rom_len", spec.option_rom_len.to_string());
    }
    if spec.fw_cfg.iter().map(|file| file.content.len() as u64).sum::<u64>() > FW_CFG_MAX {
        return value("fw_cfg", format!("more than {FW_CFG_MAX} bytes"));
    }
    if spec.disks.len() > DISKS_MAX {
        return value("disks", format!("{} of them", spec.disks.len()));
    }
    let start: Vec<_> =
        (0..).zip(&spec.disks).map(|(n, spec)| PlacedDisk { n, spec: spec.clone() }).collect();
    check_disks(&start)
}

/// Values of the disks.
fn check_disks(disks: &[PlacedDisk]) -> Result<(), RestoreError> {
    let least = |spec: &DiskSpec| u64::from(!spec.is_drive());
    let odd = |spec: &DiskSpec| !spec.is_known() || !(least(spec)..=disk::MAX_LEN).contains(&spec.len);
    match disks.iter().map(|disk| &disk.spec).find(|spec| odd(spec)) {
        Some(disk) => {
            let value = format!("{} bytes on {}", disk.len, disk.interface);
            Err(SectionError::Value { path: "config".to_owned(), field: "disks", value }.into())
        }
        None => Ok(()),
    }
}
