//! What a Linux kernel says of itself in its memory.

use crate::machine::Machine;
use amber_mmu::{PAGE, ViewId};

/// Header of the note that the kernel keeps for its crash dumps: name size 11, any description size, type 0, name.
const NAME: &[u8; 12] = b"VMCOREINFO\0\0";
/// The description begins with the release.
const FIRST: &[u8] = b"OSRELEASE=";
/// A page and a bit is the most the kernel writes.
const MAX: usize = 2 * PAGE as usize;
/// Page-table entries (SDM Vol. 3A, 4.5).
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// Whether a page is the kernel's VMCOREINFO note, which has a page of its own.
pub fn is_vmcoreinfo(page: &[u8; PAGE as usize]) -> bool {
    page[12..24] == *NAME && page[24..24 + FIRST.len()] == *FIRST
}

/// The text of the note at guest-physical address `at`.
pub fn description(machine: &Machine, at: u64) -> Option<Vec<u8>> {
    let mut sizes = [0; 8];
    machine.mmu().read_physical(ViewId(0), at, &mut sizes);
    let len = u32::from_le_bytes(sizes[4..].try_into().ok()?) as usize;
    if u32::from_le_bytes(sizes[..4].try_into().ok()?) != 11 || len > MAX {
        return None;
    }
    let mut text = vec![0; len];
    machine.mmu().read_physical(ViewId(0), at + 24, &mut text);
    Some(text)
}

/// Linear address at which the kernel maps all of physical memory, by the page tables of a processor in long mode:
/// the first GiB-aligned place in the upper half that leads to physical address 0.
pub fn direct_map(machine: &Machine) -> Option<u64> {
    let cpu = machine.vcpus().iter().find(|cpu| cpu.long_mode())?;
    let entry = |table: u64, index: u64| {
        let mut bytes = [0; 8];
        machine.mmu().read_physical(ViewId(0), (table & ADDRESS) + index * 8, &mut bytes);
        u64::from_le_bytes(bytes)
    };
    for top in 256..512 {
        let directory = entry(cpu.system.cr3, top);
        if directory & PRESENT == 0 {
            continue;
        }
        for second in 0..512 {
            let mut next = entry(directory, second);
            // Down the first entries to a leaf.
            for _ in 0..2 {
                if next & PRESENT != 0 && next & LARGE == 0 {
                    next = entry(next, 0);
                }
            }
            if next & PRESENT != 0 && next & ADDRESS == 0 {
                return Some(0xFFFF_0000_0000_0000 | top << 39 | second << 30);
            }
        }
    }
    None
}
