//! The receive unit (manual, 3.2): where frames land, and what their descriptors say.

use super::bits::{RCTL_BSEX, RCTL_LPE, RCTL_SECRC, RXCSUM_IPOFL, RXCSUM_TUOFL};
use super::filter::Passed;
use super::ring::Ring;
use crate::checksum;
use crate::device::Dma;

/// Shortest frame of a cable, and longest without RCTL.LPE, with a VLAN tag and the check sequence.
const SHORTEST: usize = 60;
const LONGEST: usize = 1522;

const DD: u8 = 1 << 0;
const EOP: u8 = 1 << 1;
const IXSM: u8 = 1 << 2;
const VP: u8 = 1 << 3;
const TCPCS: u8 = 1 << 5;
const IPCS: u8 = 1 << 6;
const PIF: u8 = 1 << 7;
const TCPE: u8 = 1 << 5;
const IPE: u8 = 1 << 6;
/// Where what the adapter writes begins in a descriptor.
const WRITTEN: u64 = 8;

/// Bytes of a buffer (RCTL.BSIZE and BSEX).
pub fn buffer_len(rctl: u32) -> usize {
    let size = rctl >> 16 & 3;
    match rctl & RCTL_BSEX {
        0 => 2048 >> size,
        // The first is reserved.
        _ => 32_768 >> size.max(1),
    }
}

/// Descriptors that the longest frame takes, or as many as there can ever be.
pub fn enough(ring: &Ring, rctl: u32) -> u32 {
    let buffers = LONGEST.div_ceil(buffer_len(rctl)) as u32;
    buffers.min(ring.size().saturating_sub(1)).max(1)
}

/// A frame that passed, as it lands.
pub struct Landing {
    bytes: Vec<u8>,
    status: u8,
    errors: u8,
    checksum: u16,
    special: u16,
}

/// A tag of a frame, if its type is `kind`.
pub fn tag(frame: &[u8], kind: u32) -> Option<u16> {
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    (u32::from(word(12)?) == kind & 0xffff).then(|| word(14)).flatten()
}

impl Landing {
    /// `vlan` is the tag to take out. `None` if the frame is longer than one may be.
    pub fn new(frame: &[u8], passed: Passed, rctl: u32, rxcsum: u32, vlan: Option<u16>) -> Option<Self> {
        let mut bytes = frame.to_vec();
        if vlan.is_some() {
            bytes.drain(12..16);
        }
        let (mut status, errors) = offload(&bytes, rxcsum);
        status |= if passed.inexact { PIF } else { 0 } | if vlan.is_some() { VP } else { 0 };
        if bytes.len() < SHORTEST {
            bytes.resize(SHORTEST, 0);
        }
        let checksum = !checksum::sum(bytes.get((rxcsum & 0xff) as usize..).unwrap_or(&[]));
        let sequence = crc32fast::hash(&bytes).to_le_bytes();
        bytes.extend(sequence);
        if bytes.len() > LONGEST && rctl & RCTL_LPE == 0 {
            return None;
        }
        if rctl & RCTL_SECRC != 0 {
            bytes.truncate(bytes.len() - sequence.len());
        }
        Some(Self { bytes, status, errors, checksum, special: vlan.unwrap_or(0) })
    }

    /// Descriptors it takes.
    pub fn buffers(&self, rctl: u32) -> u32 {
        self.bytes.len().div_ceil(buffer_len(rctl)) as u32
    }

    /// Fills the buffers of so many descriptors, and tells of it in these.
    pub fn land(&self, dma: &mut dyn Dma, ring: &mut Ring, rctl: u32) {
        let parts = self.bytes.chunks(buffer_len(rctl));
        let count = parts.len();
        for (n, part) in parts.enumerate() {
            let place = ring.place(0);
            let mut address = [0; 8];
            dma.read(place, &mut address);
            let address = u64::from_le_bytes(address);
            // A descriptor without a buffer is passed over (3.2.4).
            if address != 0 {
                dma.write(address, part);
            }
            let last = n + 1 == count;
            let (status, errors) = if last { (DD | EOP | self.status, self.errors) } else { (DD, 0) };
            let mut written = [0; 8];
            written[..2].copy_from_slice(&(part.len() as u16).to_le_bytes());
            written[2..4].copy_from_slice(&self.checksum.to_le_bytes());
            (written[4], written[5]) = (status, errors);
            written[6..].copy_from_slice(&self.special.to_le_bytes());
            dma.write(place.wrapping_add(WRITTEN), &written);
            ring.advance(1);
        }
    }
}

/// Status and errors of the checksums that RXCSUM says are looked at.
fn offload(frame: &[u8], rxcsum: u32) -> (u8, u8) {
    if rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL) == 0 {
        return (IXSM, 0);
    }
    let found = checksum::check(frame);
    let told = |enabled: u32, right: Option<bool>, status: u8, error: u8| match right {
        Some(right) if rxcsum & enabled != 0 => (status, if right { 0 } else { error }),
        _ => (0, 0),
    };
    let (header, payload) =
        (told(RXCSUM_IPOFL, found.header, IPCS, IPE), told(RXCSUM_TUOFL, found.payload, TCPCS, TCPE));
    (header.0 | payload.0, header.1 | payload.1)
}
