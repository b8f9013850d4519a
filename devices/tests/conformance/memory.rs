//! What the platform under test reaches: RAM, disks, video memory, and the pages of a share.

use amber_devices::share::Volume;
use amber_devices::{Dma, MediumError};

/// Bytes of RAM, which repeats.
pub const RAM: usize = 0x4000;
/// Disks: two of virtio, one of NVMe, a disk and a CD each at the AHCI and the IDE controller, and a diskette.
pub const DISKS: usize = 8;
/// Bytes of each disk, and of what there is of the diskette.
pub const DISK_LEN: usize = 0x4000;
/// Sectors of the diskette.
pub const DISKETTE: u64 = 320;

/// Bytes of video memory, which repeats.
pub const VRAM_LEN: usize = 0x2_0000;
/// Where it begins in memory.
pub const VRAM: usize = RAM + DISKS * DISK_LEN;

/// Where the share's pages begin in memory.
pub const SHARE_AT: usize = VRAM + VRAM_LEN;

/// RAM, behind it the disks, behind these video memory, and then the pages of the share.
pub struct Memory(pub Vec<u8>);

impl Dma for Memory {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        let mut at = gpa as usize % RAM;
        for piece in into.chunks_mut(RAM) {
            let first = piece.len().min(RAM - at);
            piece[..first].copy_from_slice(&self.0[at..at + first]);
            let rest = piece.len() - first;
            piece[first..].copy_from_slice(&self.0[..rest]);
            at = (at + piece.len()) % RAM;
        }
    }

    fn write(&mut self, gpa: u64, from: &[u8]) {
        let mut at = gpa as usize % RAM;
        for piece in from.chunks(RAM) {
            let first = piece.len().min(RAM - at);
            self.0[at..at + first].copy_from_slice(&piece[..first]);
            self.0[..piece.len() - first].copy_from_slice(&piece[first..]);
            at = (at + piece.len()) % RAM;
        }
    }

    fn read_disk(&mut self, disk: u8, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        let (at, disks) = (at as usize + DISK_LEN * usize::from(disk), &self.0[RAM..VRAM]);
        into.copy_from_slice(disks.get(at..at + into.len()).ok_or(MediumError)?);
        Ok(())
    }

    fn write_disk(&mut self, disk: u8, at: u64, from: &[u8]) -> Result<(), MediumError> {
        let (at, disks) = (at as usize + DISK_LEN * usize::from(disk), &mut self.0[RAM..VRAM]);
        disks.get_mut(at..at + from.len()).ok_or(MediumError)?.copy_from_slice(from);
        Ok(())
    }

    fn read_share(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        let bytes = self.0[SHARE_AT..].get(at as usize..at as usize + into.len());
        into.copy_from_slice(bytes.ok_or(MediumError)?);
        Ok(())
    }

    fn write_share(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        let bytes = self.0[SHARE_AT..].get_mut(at as usize..at as usize + from.len());
        bytes.ok_or(MediumError)?.copy_from_slice(from);
        Ok(())
    }

    fn read_vram(&mut self, at: u64, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = self.0[VRAM + (at as usize + index) % VRAM_LEN];
        }
    }

    fn write_vram(&mut self, at: u64, from: &[u8]) {
        for (index, byte) in from.iter().enumerate() {
            self.0[VRAM + (at as usize + index) % VRAM_LEN] = *byte;
        }
    }
}

/// The share's pages.
pub struct Pages<'a>(pub &'a mut Memory);

impl Volume for Pages<'_> {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        self.0.read_share(at, into)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.0.write_share(at, from)
    }
}
