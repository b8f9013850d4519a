//! Guest memory as a debugger reaches it: by linear address, through the tables in force, without side effects.

use crate::machine::Machine;
use amber_mmu::{PAGE, PagingMode};

/// Guest-physical address of a linear address as processor `n` sees it now.
pub fn translate(machine: &Machine, n: usize, linear: u64) -> Option<u64> {
    let cpu = &machine.vcpus()[n];
    let space = cpu.address_space();
    let representable = match space.mode {
        PagingMode::Level4 => linear as i64 >> 47 == 0 || linear as i64 >> 47 == -1,
        // Without paging the debugger may look at all of physical memory.
        PagingMode::Off => linear >> 52 == 0,
        PagingMode::Bits32 { .. } | PagingMode::Pae => linear >> 32 == 0,
    };
    if representable { machine.mmu().probe(space, cpu.view(), linear) } else { None }
}

/// The part of `len` bytes at `linear` that lies in its page.
fn in_page(linear: u64, len: usize) -> usize {
    len.min((PAGE - linear % PAGE) as usize)
}

/// Reads as much as is mapped from the start of the range; returns how much.
pub fn read(machine: &Machine, n: usize, linear: u64, into: &mut [u8]) -> usize {
    let mut done = 0;
    while done < into.len() {
        let at = linear.wrapping_add(done as u64);
        let Some(gpa) = translate(machine, n, at) else { break };
        let len = in_page(at, into.len() - done);
        machine.mmu().read_physical(machine.vcpus()[n].view(), gpa, &mut into[done..done + len]);
        done += len;
    }
    done
}

/// Writes all of the range, or nothing and `None` if part of it is not mapped. Write protection does not count.
pub fn write(machine: &mut Machine, n: usize, linear: u64, from: &[u8]) -> Option<()> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < from.len() {
        let at = linear.wrapping_add(done as u64);
        let len = in_page(at, from.len() - done);
        pieces.push((translate(machine, n, at)?, &from[done..done + len]));
        done += len;
    }
    let view = machine.vcpus()[n].view();
    for (gpa, piece) in pieces {
        machine.mmu_mut().write_physical(view, gpa, piece);
    }
    machine.end_waits();
    Some(())
}
