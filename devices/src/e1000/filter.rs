//! Which frames a station takes (manual, 3.2.1 and 13.5): receive addresses, the table of multicast hashes and that of VLANs.

use super::bits::{RAH_AV, RCTL_BAM, RCTL_CFI, RCTL_CFIEN, RCTL_MPE, RCTL_UPE, RCTL_VFE};
use super::statistics::{Kind, kind};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const MTA: u64 = 0x5200;
const MTA_END: u64 = 0x5400;
const RA_END: u64 = 0x5480;
const VFTA: u64 = 0x5600;
const VFTA_END: u64 = 0x5800;
const TABLE: usize = 128;
const ADDRESSES: usize = 16;
/// What RAH has: an address' end, which address it is compared with, and whether it counts.
const RAH_BITS: u32 = RAH_AV | 0x3_ffff;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Filter {
    multicast: Vec<u32>,
    vlans: Vec<u32>,
    /// RAL and RAH in turn.
    addresses: Vec<u32>,
}

/// What a filter says of a frame it lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Only a hash said so (descriptor status PIF).
    pub inexact: bool,
}

impl Filter {
    /// Out of reset: the station's own address counts.
    pub fn new(mac: [u8; 6]) -> Self {
        let mut addresses = vec![0; 2 * ADDRESSES];
        let [a, b, c, d, e, f] = mac;
        addresses[0] = u32::from_le_bytes([a, b, c, d]);
        addresses[1] = u32::from(u16::from_le_bytes([e, f])) | RAH_AV;
        Self { multicast: vec![0; TABLE], vlans: vec![0; TABLE], addresses }
    }

    fn place(&mut self, register: u64) -> Option<(&mut u32, u32)> {
        let (table, base) = match register {
            MTA..MTA_END => (&mut self.multicast, MTA),
            MTA_END..RA_END => (&mut self.addresses, MTA_END),
            VFTA..VFTA_END => (&mut self.vlans, VFTA),
            _ => return None,
        };
        let bits = if base == MTA_END && register & 4 != 0 { RAH_BITS } else { u32::MAX };
        Some((table.get_mut(((register - base) / 4) as usize)?, bits))
    }

    /// Reads a register, if it is one of these.
    pub fn read(&mut self, register: u64) -> Option<u32> {
        self.place(register).map(|(word, _)| *word)
    }

    /// Writes a register; whether it is one of these.
    pub fn write(&mut self, register: u64, value: u32) -> bool {
        let place = self.place(register);
        let found = place.is_some();
        if let Some((word, bits)) = place {
            *word = value & bits;
        }
        found
    }

    /// Whether a frame passes. `vlan` is the tag of one with a tag.
    pub fn passes(&self, rctl: u32, frame: &[u8], vlan: Option<u16>) -> Option<Passed> {
        if let Some(tag) = vlan.filter(|_| rctl & RCTL_VFE != 0) {
            let id = usize::from(tag & 0xfff);
            let known = self.vlans.get(id / 32).is_some_and(|word| word >> (id % 32) & 1 != 0);
            let form = rctl & RCTL_CFIEN == 0 || (tag >> 12 & 1 != 0) == (rctl & RCTL_CFI != 0);
            if !known || !form {
                return None;
            }
        }
        let address: [u8; 6] = *frame.first_chunk()?;
        let exact = Some(Passed { inexact: false });
        match kind(frame) {
            Kind::Broadcast if rctl & RCTL_BAM != 0 => exact,
            Kind::Multicast | Kind::Broadcast if rctl & RCTL_MPE != 0 => exact,
            Kind::Station if rctl & RCTL_UPE != 0 => exact,
            _ if self.has(address) => exact,
            Kind::Multicast | Kind::Broadcast if self.hashes(rctl, address) => Some(Passed { inexact: true }),
            _ => None,
        }
    }

    /// Whether an address is one of the receive addresses.
    fn has(&self, [a, b, c, d, e, f]: [u8; 6]) -> bool {
        let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from(u16::from_le_bytes([e, f])));
        // With another address select the address compared would be the sender's.
        self.addresses.chunks_exact(2).any(|pair| pair[0] == low && pair[1] == high | RAH_AV)
    }

    /// Whether the hash of an address is in the table: 12 of its last 16 bits (RCTL.MO says which).
    fn hashes(&self, rctl: u32, address: [u8; 6]) -> bool {
        let shift = [4, 3, 2, 0][(rctl >> 12 & 3) as usize];
        let hash = usize::from(u16::from_le_bytes([address[4], address[5]]) >> shift & 0xfff);
        self.multicast.get(hash >> 5).is_some_and(|word| word >> (hash & 31) & 1 != 0)
    }

    /// Whether it could be a state: tables as long as they are.
    pub fn is_consistent(&self) -> bool {
        let [multicast, vlans, addresses] = [&self.multicast, &self.vlans, &self.addresses].map(Vec::len);
        (multicast, vlans, addresses) == (TABLE, TABLE, 2 * ADDRESSES)
            && self.addresses.iter().skip(1).step_by(2).all(|high| high & !RAH_BITS == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const GROUP: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];

    #[test]
    fn frames_pass_by_address_by_hash_or_because_all_do() {
        let mut filter = Filter::new(MAC);
        let passes = |filter: &Filter, rctl, address: [u8; 6]| filter.passes(rctl, &address, None);
        let (exact, inexact) = (Some(Passed { inexact: false }), Some(Passed { inexact: true }));
        let other = [0x52, 0x54, 0, 0x12, 0x34, 0x57];
        assert_eq!((passes(&filter, 0, MAC), passes(&filter, 0, other)), (exact, None));
        assert_eq!((passes(&filter, RCTL_UPE, other), passes(&filter, RCTL_UPE, GROUP)), (exact, None));
        assert_eq!((passes(&filter, 0, [0xff; 6]), passes(&filter, RCTL_BAM, [0xff; 6])), (None, exact));
        assert_eq!((passes(&filter, 0, GROUP), passes(&filter, RCTL_MPE, GROUP)), (None, exact));
        // Bits 47:36 of the address: 0xfb0.
        filter.write(MTA + 4 * (0xfb0 >> 5), 1 << (0xfb0 & 31));
        assert_eq!((passes(&filter, 0, GROUP), passes(&filter, 1 << 12, GROUP)), (inexact, None));
        filter.write(0x5408, u32::from_le_bytes([0x52, 0x54, 0, 0x12]));
        filter.write(0x540c, u32::MAX);
        assert_eq!(filter.read(0x540c), Some(RAH_BITS));
        assert_eq!(passes(&filter, 0, other), None, "it is not the address of who sent it");
        filter.write(0x540c, 0x8000_5734);
        assert_eq!(passes(&filter, 0, other), exact);
        assert_eq!(filter.read(0x5480), None);
    }

    #[test]
    fn vlans_pass_if_their_bit_is_set() {
        let mut filter = Filter::new(MAC);
        let passes = |filter: &Filter, rctl, tag| filter.passes(rctl, &MAC, Some(tag)).is_some();
        assert!(passes(&filter, 0, 100) && !passes(&filter, RCTL_VFE, 100));
        filter.write(VFTA + 12, 1 << 4);
        assert!(passes(&filter, RCTL_VFE, 100) && passes(&filter, RCTL_VFE, 0xe064));
        assert!(
            passes(&filter, RCTL_VFE | RCTL_CFIEN, 0xe064) && !passes(&filter, RCTL_VFE | RCTL_CFIEN, 0x1064)
        );
        assert!(passes(&filter, RCTL_VFE | RCTL_CFIEN | RCTL_CFI, 0x1064));
    }
}
