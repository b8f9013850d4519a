//! What a Linux kernel says of itself in its memory.

use crate::machine::Machine;
use amber_mmu::{AddressSpace, PAGE, PagingMode, ViewId};

/// Header of the note that the kernel keeps for its crash dumps: name size 11, any description size, type 0, name.
const NAME: &[u8; 12] = b"VMCOREINFO\0\0";
/// The description begins with the release.
const FIRST: &[u8] = b"OSRELEASE=";
/// A page and a bit is the most the kernel writes.
pub const MAX: usize = 2 * PAGE as usize;
/// Where the kernel's image is mapped, but for KASLR, and how far it may reach
/// (Documentation/arch/x86/x86_64/mm.rst).
const START_KERNEL_MAP: u64 = 0xFFFF_FFFF_8000_0000;
const IMAGE_MAX: u64 = 1 << 30;
/// Pieces of the image that are told: a kernel has some ten.
pub const PIECES: usize = 64;

/// Linear addresses that lead to consecutive guest-physical ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub linear: u64,
    pub gpa: u64,
    pub len: u64,
}

/// A kernel that has written its VMCOREINFO.
pub struct Kernel {
    /// The note's text.
    pub info: Vec<u8>,
    /// The kernel's own page tables: those in force may be a program's, with less of the kernel in them.
    space: AddressSpace,
}

impl Kernel {
    /// The kernel that has written the note at guest-physical address `at`.
    pub fn new(machine: &Machine, at: u64) -> Option<Self> {
        let info = description(machine, at)?;
        let space = own_space(&info).or_else(|| {
            let cpu = machine.vcpus().iter().find(|cpu| cpu.long_mode())?;
            Some(*cpu.address_space())
        })?;
        Some(Self { info, space })
    }

    /// Linear address at which the kernel maps all of physical memory: the first GiB-aligned place in the upper half
    /// that leads to physical address 0.
    pub fn direct_map(&self, machine: &Machine) -> Option<u64> {
        let upper = (0xFFFF_8000_0000_0000..START_KERNEL_MAP).step_by(1 << 30);
        upper.into_iter().find(|base| self.probe(machine, *base) == Some(0))
    }

    /// The kernel's image where its tables map it, from `_stext` on. What it gave back after its start is not mapped.
    pub fn image(&self, machine: &Machine) -> Vec<Mapping> {
        let mut pieces: Vec<Mapping> = Vec::new();
        let start = hexadecimal(&self.info, "SYMBOL(_stext)").unwrap_or(u64::MAX);
        if start < START_KERNEL_MAP || !start.is_multiple_of(PAGE) {
            return pieces;
        }
        for linear in (start..START_KERNEL_MAP + IMAGE_MAX).step_by(PAGE as usize) {
            let Some(gpa) = self.probe(machine, linear) else { continue };
            if let Some(last) = pieces.last_mut()
                && (last.linear + last.len, last.gpa + last.len) == (linear, gpa)
            {
                last.len += PAGE;
            } else if pieces.len() < PIECES {
                pieces.push(Mapping { linear, gpa, len: PAGE });
            }
        }
        pieces
    }

    fn probe(&self, machine: &Machine, linear: u64) -> Option<u64> {
        machine.mmu().probe(&self.space, ViewId(0), linear)
    }
}

/// The address space of the kernel's first page table, by what the note says.
fn own_space(info: &[u8]) -> Option<AddressSpace> {
    let table = hexadecimal(info, "SYMBOL(swapper_pg_dir)")?;
    let base = value(info, "NUMBER(phys_base)")?.parse::<i64>().ok()?;
    if value(info, "NUMBER(pgtable_l5_enabled)").is_some_and(|enabled| enabled != "0") {
        return None;
    }
    let root = table.wrapping_sub(START_KERNEL_MAP).wrapping_add(base as u64);
    let known = root.is_multiple_of(PAGE) && root >> 52 == 0;
    known.then_some(AddressSpace {
        mode: PagingMode::Level4,
        root,
        no_execute: true,
        ..AddressSpace::unpaged(52)
    })
}

fn hexadecimal(info: &[u8], key: &str) -> Option<u64> {
    u64::from_str_radix(value(info, key)?, 16).ok()
}

/// What follows `key=` in the note.
fn value<'a>(info: &'a [u8], key: &str) -> Option<&'a str> {
    let lines = info.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.into_iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// Whether a page is the kernel's VMCOREINFO note, which has a page of its own.
pub fn is_vmcoreinfo(page: &[u8; PAGE as usize]) -> bool {
    page[12..24] == *NAME && page[24..24 + FIRST.len()] == *FIRST
}

/// The text of the note at guest-physical address `at`.
fn description(machine: &Machine, at: u64) -> Option<Vec<u8>> {
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
