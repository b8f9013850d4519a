//! What a disk is to the device it is attached to. Its medium is the machine's: see [`crate::Dma`].

/// Bytes of a sector, the unit disks count in.
pub const SECTOR: u64 = 512;

/// What a disk is attached to, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DiskInterface {
    /// A virtio-blk function of its own.
    #[default]
    Virtio,
    /// The namespace of an NVMe controller of its own.
    Nvme,
    /// A hard disk at a port of the AHCI controller.
    Ahci,
    /// A CD in an ATAPI drive at a port of the AHCI controller.
    Cdrom,
    /// A hard disk at a channel of the IDE controller.
    Ide,
    /// A CD in an ATAPI drive at a channel of the IDE controller.
    IdeCdrom,
    /// A diskette in a drive at the floppy disk controller.
    Floppy,
    /// A disk at USB.
    Usb,
}

impl DiskInterface {
    /// By name: those of `--disk FILE,if=`, of CDs and of diskettes.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("virtio", Self::Virtio),
        ("nvme", Self::Nvme),
        ("ahci", Self::Ahci),
        ("cdrom", Self::Cdrom),
        ("ide", Self::Ide),
        ("ide-cdrom", Self::IdeCdrom),
        ("floppy", Self::Floppy),
        ("usb", Self::Usb),
    ];

    /// Whether a disk there is a function of PCI bus 0 of its own.
    pub fn is_function(self) -> bool {
        matches!(self, Self::Virtio | Self::Nvme)
    }

    /// Whether it is a CD, which cannot be written.
    pub fn is_cd(self) -> bool {
        matches!(self, Self::Cdrom | Self::IdeCdrom)
    }

    /// Whether it is a drive whose medium may be taken out while the machine runs.
    pub fn is_removable(self) -> bool {
        self.is_cd() || self == Self::Floppy
    }

    /// Whether it is a hard disk.
    pub fn is_hard(self) -> bool {
        !self.is_cd() && self != Self::Floppy
    }

    /// Whether it takes a port of the AHCI controller.
    pub fn is_at_ahci(self) -> bool {
        matches!(self, Self::Ahci | Self::Cdrom)
    }

    /// Whether it is a drive at the IDE controller.
    pub fn is_at_ide(self) -> bool {
        matches!(self, Self::Ide | Self::IdeCdrom)
    }

    /// The interface of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, interface)| interface)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Nvme => "nvme",
            Self::Ahci => "ahci",
            Self::Cdrom => "cdrom",
            Self::Ide => "ide",
            Self::IdeCdrom => "ide-cdrom",
            Self::Floppy => "floppy",
            Self::Usb => "usb",
        }
    }
}

/// What a disk is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// What it is attached to.
    pub interface: DiskInterface,
    /// Sectors of 512 bytes, at least 1; 0 of a drive for media with nothing in it.
    pub sectors: u64,
    /// The guest cannot write it.
    pub read_only: bool,
}

/// What is in a drive for media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediumConfig {
    /// Sectors of 512 bytes, at least 1.
    pub sectors: u64,
    /// The guest cannot write it.
    pub read_only: bool,
}

impl MediumConfig {
    pub(crate) fn has_sectors(&self) -> bool {
        (1..=SECTORS_MAX).contains(&self.sectors)
    }
}

/// Most sectors of a disk: their bytes can be counted.
const SECTORS_MAX: u64 = 1 << 54;

impl DiskConfig {
    /// Whether it has as many sectors as a disk can have, and at least one unless it is an empty drive.
    pub(crate) fn has_sectors(&self) -> bool {
        let least = u64::from(!self.interface.is_removable());
        (least..=SECTORS_MAX).contains(&self.sectors)
    }

    /// Another medium is in the drive, or none.
    pub(crate) fn hold(&mut self, medium: Option<&MediumConfig>) {
        self.sectors = medium.map_or(0, |medium| medium.sectors);
        self.read_only = self.interface.is_cd() || medium.is_some_and(|medium| medium.read_only);
    }
}
