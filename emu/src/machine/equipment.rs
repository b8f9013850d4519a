//! What a machine has beside what every machine has. Each kind is a section of its own, which machines without it do not
//! have.

use super::{DiskSpec, Hotplug, MachineSpec, Media, NicSpec, PlacedDisk, ShareSpec};
use amber_devices::{Peripheral, PlatformConfig};
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Equipment {
    /// Devices that are there or not.
    pub peripherals: Peripherals,
    /// The network adapter.
    pub nic: Option<NicSpec>,
    /// What it shares with the host.
    pub share: Option<ShareSpec>,
    /// What may come and go.
    pub hotplug: Hotplug,
    /// Media that were changed.
    pub media: Media,
}

/// Devices, by [`Peripheral::name`]. The section `peripherals`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Peripherals {
    names: Vec<String>,
}

impl Section for Peripherals {
    const KIND: &'static str = "peripherals";
    const VERSION: u32 = 1;
}

impl FromIterator<Peripheral> for Peripherals {
    fn from_iter<T: IntoIterator<Item = Peripheral>>(all: T) -> Self {
        let mut all: Vec<Peripheral> = all.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        Self { names: all.into_iter().map(|peripheral| peripheral.name().to_owned()).collect() }
    }
}

impl Peripherals {
    const PATH: &'static str = "peripherals";

    /// Those this build knows.
    pub fn all(&self) -> impl Iterator<Item = Peripheral> + '_ {
        self.names.iter().filter_map(|name| Peripheral::named(name))
    }

    fn to_section(&self) -> Option<OwnedSection> {
        (!self.names.is_empty()).then(|| Section::to_section(self, Self::PATH))
    }

    fn of(sections: &[OwnedSection]) -> Result<Self, SectionError> {
        let Some(section) = sections.iter().find(|section| section.path == Self::PATH) else {
            return Ok(Self::default());
        };
        let own = Self::from_section(section)?;
        if own.names.is_empty() || own != own.all().collect() {
            let value = own.names.join(", ");
            return Err(SectionError::Value { path: section.path.clone(), field: "names", value });
        }
        Ok(own)
    }
}

impl Equipment {
    /// Its sections.
    pub(super) fn sections(&self) -> impl Iterator<Item = OwnedSection> {
        let nic = self.nic.as_ref().map(|nic| nic.to_section(NicSpec::PATH));
        let share = self.share.as_ref().map(|share| share.to_section(ShareSpec::PATH));
        let media = self.media.to_section();
        let own = self.peripherals.to_section().into_iter().chain(nic).chain(share);
        own.chain(self.hotplug.sections()).chain(media)
    }

    /// What the sections of a machine say it has.
    ///
    /// # Errors
    /// Names the section that is not one this build reads, or asks for what it does not have.
    pub fn of(sections: &[OwnedSection]) -> Result<Self, SectionError> {
        let (peripherals, nic) = (Peripherals::of(sections)?, NicSpec::of(sections)?);
        let (share, hotplug) = (ShareSpec::of(sections)?, Hotplug::of(sections)?);
        Ok(Self { peripherals, nic, share, hotplug, media: Media::of(sections)? })
    }

    /// Whether a section of that path is one of its.
    pub(super) fn owns(path: &str) -> bool {
        matches!(path, Peripherals::PATH | NicSpec::PATH | ShareSpec::PATH | Media::PATH)
    }

    /// What a stored machine cannot have.
    pub(super) fn check(&self, spec: &MachineSpec) -> Result<(), SectionError> {
        self.hotplug.check(spec)?;
        self.media.check(spec)
    }

    /// The disks that are there, by number, with the media they have now: `start` are those of the start.
    pub fn disks(&self, start: &[DiskSpec]) -> Vec<PlacedDisk> {
        let mut disks = self.hotplug.disks(start);
        self.media.apply(&mut disks);
        disks
    }

    /// The chipset with it.
    pub fn chipset(&self, chipset: PlatformConfig) -> PlatformConfig {
        let (peripherals, hotplug) = (self.peripherals.all().collect(), self.hotplug.chipset());
        let nic = self.nic.as_ref().and_then(NicSpec::device);
        let share = self.share.as_ref().map(ShareSpec::device);
        PlatformConfig { peripherals, nic, share, hotplug, media: self.media.chipset(), ..chipset }
    }
}
