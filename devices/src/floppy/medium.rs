//! Diskettes by the length of their raw images, and the drives they are in.

use crate::disk::SECTOR;

/// Data rates as DSR and CCR select them.
pub(super) const RATE_500: u8 = 0;
pub(super) const RATE_250: u8 = 2;
pub(super) const RATE_1000: u8 = 3;

/// Drives by their type in CMOS.
pub(super) const TYPE_360K: u8 = 1;
const TYPE_1200K: u8 = 2;
const TYPE_720K: u8 = 3;
const TYPE_1440K: u8 = 4;
const TYPE_2880K: u8 = 5;
/// One that is empty when the machine starts.
pub(super) const EMPTY_DRIVE: u8 = TYPE_1440K;

/// How a diskette is formatted, in MFM and sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Medium {
    pub cylinders: u8,
    pub heads: u8,
    /// Sectors of a track.
    pub sectors: u8,
    /// Data rate it was written at.
    pub rate: u8,
    /// The drive for it, by its type in CMOS.
    pub drive: u8,
}

const fn medium(cylinders: u8, heads: u8, sectors: u8, rate: u8, drive: u8) -> Medium {
    Medium { cylinders, heads, sectors, rate, drive }
}

const MEDIA: [Medium; 8] = [
    medium(40, 1, 8, RATE_250, TYPE_360K),
    medium(40, 1, 9, RATE_250, TYPE_360K),
    medium(40, 2, 8, RATE_250, TYPE_360K),
    medium(40, 2, 9, RATE_250, TYPE_360K),
    medium(80, 2, 9, RATE_250, TYPE_720K),
    medium(80, 2, 15, RATE_500, TYPE_1200K),
    medium(80, 2, 18, RATE_500, TYPE_1440K),
    medium(80, 2, 36, RATE_1000, TYPE_2880K),
];

impl Medium {
    /// The diskette whose image has so many sectors.
    pub fn of(sectors: u64) -> Option<Self> {
        MEDIA.into_iter().find(|medium| medium.all_sectors() == sectors)
    }

    fn all_sectors(&self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }

    /// Where sector `sector`, from 1 on, of a track is in the image, in bytes.
    pub fn position(&self, cylinder: u8, head: u8, sector: u8) -> Option<u64> {
        let there = cylinder < self.cylinders && head < self.heads && (1..=self.sectors).contains(&sector);
        let track = u64::from(cylinder) * u64::from(self.heads) + u64::from(head);
        there.then(|| (track * u64::from(self.sectors) + u64::from(sector) - 1) * SECTOR)
    }

    /// Whether a drive of this type reads it. Those of 3.5 inches read what has fewer sectors; one of 1.2 MiB, which would
    /// have to make two steps of each, does not read 360 KiB.
    pub fn fits(&self, drive: u8) -> bool {
        let older: &[u8] = match drive {
            TYPE_1440K => &[TYPE_720K],
            TYPE_2880K => &[TYPE_720K, TYPE_1440K],
            _ => &[],
        };
        self.drive == drive || older.contains(&self.drive)
    }
}
