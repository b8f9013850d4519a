//! Loadable segments of ELF kernels, by physical address.

use super::layout::Layout;
use super::{BootError, BootFile};
use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, PF_X, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

/// A kernel has a handful of segments; a file that claims thousands is damaged or hostile.
const MAX_SEGMENTS: usize = 64;

/// One `PT_LOAD` segment: bytes for the start of a range of physical memory, zero behind them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub vaddr: u64,
    pub paddr: u64,
    /// It may hold code.
    pub executable: bool,
    pub memsz: u64,
    pub bytes: &'a [u8],
}

pub(super) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7FELF")
}

pub(super) fn is_elf64(bytes: &[u8]) -> bool {
    is_elf(bytes) && bytes.get(4) == Some(&2)
}

/// Entry point and loadable segments of a 32- or 64-bit ELF.
pub(super) fn segments(file: BootFile<'_>) -> Result<(u64, Vec<Segment<'_>>), BootError> {
    if is_elf64(file.bytes) {
        typed_segments::<FileHeader64<Endianness>>(file)
    } else {
        typed_segments::<FileHeader32<Endianness>>(file)
    }
}

/// Parses the ELF header, with errors of ours.
pub(super) fn parse<'a, Elf>(file: BootFile<'a>) -> Result<(&'a Elf, Endianness), BootError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let bad = |e: object::read::Error| BootError::field(file.name, "ELF header", e, "the file is damaged");
    let header = Elf::parse(file.bytes).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    if endian != Endianness::Little {
        return Err(BootError::field(
            file.name,
            "ELF data encoding",
            "big-endian",
            "x86 kernels are little-endian",
        ));
    }
    Ok((header, endian))
}

fn typed_segments<'a, Elf>(file: BootFile<'a>) -> Result<(u64, Vec<Segment<'a>>), BootError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let (header, endian) = parse::<Elf>(file)?;
    let machine = header.e_machine(endian);
    if machine != object::elf::EM_386 && machine != object::elf::EM_X86_64 {
        return Err(BootError::field(file.name, "e_machine", machine, "only x86 kernels run here"));
    }
    let bad =
        |e: object::read::Error| BootError::field(file.name, "program headers", e, "the file is truncated");
    let headers = header.program_headers(endian, file.bytes).map_err(bad)?;
    let mut segments = Vec::new();
    for program in headers.iter().filter(|program| program.p_type(endian) == PT_LOAD) {
        let (paddr, memsz) = (program.p_paddr(endian).into(), program.p_memsz(endian).into());
        let filesz: u64 = program.p_filesz(endian).into();
        let Ok(bytes) = program.data(endian, file.bytes) else {
            let value = format!("{:#x} + {filesz:#x}", program.p_offset(endian).into());
            return Err(BootError::field(
                file.name,
                "p_offset + p_filesz",
                value,
                "it lies outside the file; fetch it again",
            ));
        };
        if filesz > memsz {
            let value = format!("{filesz:#x}");
            return Err(BootError::field(
                file.name,
                "p_filesz",
                value,
                "it exceeds p_memsz; the file is damaged",
            ));
        }
        if memsz != 0 {
            let (vaddr, executable) = (program.p_vaddr(endian).into(), program.p_flags(endian) & PF_X != 0);
            segments.push(Segment { vaddr, paddr, executable, memsz, bytes });
        }
    }
    if segments.is_empty() || segments.len() > MAX_SEGMENTS {
        let hint = "a kernel has between 1 and 64";
        return Err(BootError::field(file.name, "number of PT_LOAD segments", segments.len(), hint));
    }
    Ok((header.e_entry(endian).into(), segments))
}

/// The physical address of `entry`, which is a virtual one: that of the executable segment it lies in. GRUB and QEMU
/// translate like this; kernels that are linked high rely on it.
pub(super) fn physical_entry(entry: u64, segments: &[Segment]) -> u64 {
    let inside = |segment: &&Segment| {
        segment.executable && entry.checked_sub(segment.vaddr).is_some_and(|at| at < segment.memsz)
    };
    match segments.iter().find(inside) {
        Some(segment) => (entry - segment.vaddr).wrapping_add(segment.paddr),
        None => entry,
    }
}

/// Claims and writes all segments. What lies behind a segment's bytes is zero. Returns those ranges.
pub(super) fn place(
    segments: &[Segment],
    layout: &mut Layout,
    writes: &mut Vec<(u64, Vec<u8>)>,
) -> Result<Vec<(u64, u64)>, BootError> {
    let mut zeros = Vec::new();
    for segment in segments {
        // Overlap is refused: it would also let a small file with many segments ask for many copies of itself.
        layout.claim_free("a segment", segment.paddr, segment.memsz)?;
        if !segment.bytes.is_empty() {
            writes.push((segment.paddr, segment.bytes.to_vec()));
        }
        let filled = segment.bytes.len() as u64;
        if filled < segment.memsz {
            zeros.push((segment.paddr + filled, segment.memsz - filled));
        }
    }
    Ok(zeros)
}
