//! Where the data of a command goes to or comes from.

use crate::device::{Dma, MediumError};

/// Bytes moved at a time.
const CHUNK: usize = 64 << 10;

/// The host's side of a command's data. What there is no room for is left out.
pub(crate) trait Transfer {
    /// Moves `bytes` to the host.
    fn give(&mut self, bytes: &[u8]);
    /// Moves `len` bytes of a disk from byte `at` on to the host; where it cannot be read.
    fn read_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64>;
    /// Moves `len` bytes from the host to a disk from byte `at` on; where it cannot be written.
    fn write_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64>;
    /// Returns when what was written to a disk outlives the host's power.
    fn flush_disk(&mut self, disk: u8) -> Result<(), MediumError>;
    /// Bytes moved.
    fn moved(&self) -> u64;
}

/// A run of bytes in memory.
pub(crate) struct Piece {
    pub address: u64,
    pub len: usize,
}

/// Memory in pieces that follow each other.
pub(crate) trait Pieces {
    fn dma(&mut self) -> &mut dyn Dma;
    /// The next run of at most `most` bytes; none behind the last.
    fn next(&mut self, most: u64) -> Option<Piece>;
    /// Bytes of the pieces so far.
    fn taken(&self) -> u64;
}

/// Memory itself: bytes go straight to it.
pub(crate) struct Scattered<P>(pub P);

impl<P: Pieces> Scattered<P> {
    fn next(&mut self, most: u64) -> Option<Piece> {
        self.0.next(most.min(CHUNK as u64))
    }
}

impl<P: Pieces> Transfer for Scattered<P> {
    fn give(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(piece) = self.next(bytes.len() as u64) else { return };
            let (now, rest) = bytes.split_at(piece.len);
            self.0.dma().write(piece.address, now);
            bytes = rest;
        }
    }

    fn read_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64> {
        let (mut here, mut buffer) = (at, vec![0; CHUNK]);
        while here < at + len {
            let Some(piece) = self.next(at + len - here) else { break };
            let bytes = &mut buffer[..piece.len];
            if let Err(MediumError) = self.0.dma().read_disk(disk, here, bytes) {
                return Err(here);
            }
            self.0.dma().write(piece.address, bytes);
            here += piece.len as u64;
        }
        Ok(())
    }

    fn write_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64> {
        let (mut here, mut buffer) = (at, vec![0; CHUNK]);
        while here < at + len {
            let Some(piece) = self.next(at + len - here) else { break };
            let bytes = &mut buffer[..piece.len];
            self.0.dma().read(piece.address, bytes);
            if let Err(MediumError) = self.0.dma().write_disk(disk, here, bytes) {
                return Err(here);
            }
            here += piece.len as u64;
        }
        Ok(())
    }

    fn flush_disk(&mut self, disk: u8) -> Result<(), MediumError> {
        self.0.dma().flush_disk(disk)
    }

    fn moved(&self) -> u64 {
        self.0.taken()
    }
}

/// A buffer of the drive's, which the host fills or empties through the data register.
pub(crate) struct Buffered<'a> {
    pub dma: &'a mut dyn Dma,
    pub buffer: &'a mut Vec<u8>,
}

impl Transfer for Buffered<'_> {
    fn give(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn read_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64> {
        let start = self.buffer.len();
        self.buffer.resize(start + len as usize, 0);
        self.dma.read_disk(disk, at, &mut self.buffer[start..]).map_err(|MediumError| at)
    }

    fn write_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64> {
        let bytes = &self.buffer[..self.buffer.len().min(len as usize)];
        self.dma.write_disk(disk, at, bytes).map_err(|MediumError| at)
    }

    fn flush_disk(&mut self, disk: u8) -> Result<(), MediumError> {
        self.dma.flush_disk(disk)
    }

    fn moved(&self) -> u64 {
        self.buffer.len() as u64
    }
}
