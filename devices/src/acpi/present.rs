//! Which processors the MADT says are there. Where some come and go it is brought up to date, as QEMU does before firmware reads the
//! tables after a reset.

use super::{TABLES_ADDRESS, checksum};
use std::ops::Range;

/// Flags of a processor (ACPI 6.5, table 5.22).
pub(super) const ENABLED: u8 = 1;
pub(super) const ONLINE_CAPABLE: u8 = 2;

const SIGNATURE: &[u8] = b"APIC";
const CHECKSUM: usize = 9;
/// Where the MADT's structures begin, and what one of a processor is.
const STRUCTURES: usize = 44;
const LOCAL_APIC: u8 = 0;
const LOCAL_APIC_LEN: usize = 8;

/// Says in the MADT among `tables`, each of which begins at a multiple of 16, which processors are there; where it is.
pub(crate) fn mark(tables: &mut [u8], is_present: impl Fn(u32) -> bool) -> Option<Range<usize>> {
    let madt = find(tables)?;
    let table = &mut tables[madt.clone()];
    let mut at = STRUCTURES;
    while let Some([kind, len]) = table.get(at..at + 2).and_then(|head| <[u8; 2]>::try_from(head).ok()) {
        let end = at + usize::from(len.max(1));
        if let Some([_, _, _, id, flags, ..]) = table.get_mut(at..end)
            && (kind, usize::from(len)) == (LOCAL_APIC, LOCAL_APIC_LEN)
        {
            *flags = if is_present((*id).into()) { ENABLED } else { ONLINE_CAPABLE };
        }
        at = end;
    }
    Some(madt)
}

/// The tables follow each other with their lengths, the FACS first.
fn find(tables: &[u8]) -> Option<Range<usize>> {
    let mut at = 0usize;
    loop {
        let head = tables.get(at..at.checked_add(8)?)?;
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let table = at..at.checked_add(len)?;
        if len < 8 || table.end > tables.len() {
            return None;
        }
        if &head[..4] == SIGNATURE {
            return (len >= STRUCTURES).then_some(table);
        }
        at = table.end.next_multiple_of(16);
    }
}

/// The same for tables that lie in memory because there is no firmware, from [`TABLES_ADDRESS`] on. What is to be written
/// there: address and bytes.
pub(crate) fn mark_placed(mut memory: Vec<u8>, is_present: impl Fn(u32) -> bool) -> Option<(u64, Vec<u8>)> {
    let madt = mark(&mut memory, is_present)?;
    checksum(&mut memory, madt.start + CHECKSUM, madt.start, madt.len());
    Some((TABLES_ADDRESS + madt.start as u64, memory[madt].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::{files, place_tables};
    use crate::hotplug::{CpuSlots, HotplugConfig};
    use crate::platform::PlatformConfig;

    fn config() -> PlatformConfig {
        let cpus = Some(CpuSlots { max: 4, present: vec![0, 1] });
        let hotplug = HotplugConfig { cpus, ..HotplugConfig::default() };
        PlatformConfig { cpus: 2, hotplug, ..PlatformConfig::default() }
    }

    #[test]
    fn processors_that_are_there_are_enabled_and_the_others_may_come() {
        let before = place_tables(&config()).swap_remove(1).1;
        let (address, madt) = mark_placed(before.clone(), |id| [0, 3].contains(&id)).unwrap();
        let at = (address - TABLES_ADDRESS) as usize;
        assert_eq!((&madt[..4], madt.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte))), (SIGNATURE, 0));
        let flags: Vec<u8> = (0..4).map(|n| madt[STRUCTURES + 8 * n + 4]).collect();
        assert_eq!(flags, [ENABLED, ONLINE_CAPABLE, ONLINE_CAPABLE, ENABLED]);
        let same = mark_placed(before.clone(), |id| id < 2).unwrap();
        assert_eq!(same, (address, before[at..at + madt.len()].to_vec()), "as it was at the start");
        let file = files(&config()).into_iter().find(|(name, _)| name == "etc/acpi/tables").unwrap().1;
        assert_eq!(mark(&mut file.clone(), |_| true), Some(at..at + madt.len()));
    }

    #[test]
    fn what_is_no_table_is_left_alone() {
        for mut bytes in
            [vec![], vec![0; 4096], vec![0xff; 4096], b"APIC\x10\0\0\0".to_vec(), b"APIC\x08\0\0\0".to_vec()]
        {
            let before = bytes.clone();
            assert_eq!((mark(&mut bytes, |_| true), &bytes), (None, &before));
        }
        let mut cut = b"APIC\x30\0\0\0".to_vec();
        cut.resize(44, 0);
        cut.extend([0, 8, 1, 1]);
        assert_eq!(mark(&mut cut, |_| true), Some(0..48));
    }
}
