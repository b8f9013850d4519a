//! A machine's memory and processors as an ELF core, the form in which crash dumps of kernels are kept: gdb, crash,
//! drgn and volatility read it.
//!
//! One PT_LOAD for each range of RAM, sparse where it is zero, at the linear addresses of the kernel's map of all memory; one
//! for each piece of the kernel's image where that is mapped, of the same bytes of the file, for tools that know no page
//! tables. An NT_PRSTATUS note for each processor; and the kernel's own VMCOREINFO note, from which tools learn its version,
//! KASLR offset and page tables.

mod linux;

use crate::machine::{Frozen, Machine};
use amber_cpu::Vcpu;
use amber_cpu::state::seg;
use amber_mmu::PAGE;
use amber_snapshot::RegionPages;
use linux::{Kernel, Mapping};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

const EHDR: u64 = 64;
const PHDR: u64 = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
/// Size of Linux' `struct elf_prstatus` on x86-64, and where its registers are.
const PRSTATUS: usize = 336;
const PRSTATUS_REGISTERS: usize = 112;
const PRSTATUS_PID: usize = 32;

/// In place of the physical address of pages that have theirs in another PT_LOAD, as in /proc/kcore: volatility3 finds
/// nothing where physical ranges overlap.
const ELSEWHERE: u64 = u64::MAX;

/// A PT_LOAD.
struct Load {
    linear: u64,
    gpa: u64,
    len: u64,
    /// Offset in the region `ram`.
    at: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length of the file; less of it takes room.
    pub len: u64,
    /// The kernel's VMCOREINFO was found.
    pub linux: bool,
}

/// Writes the core of `machine` to `file`, which is empty.
///
/// # Errors
/// When the file cannot be written.
pub fn write(machine: &mut Machine, file: &mut File) -> io::Result<Written> {
    let kernel = Kernel::find(machine);
    let mut loads = ram_loads(machine, kernel.as_ref().and_then(|kernel| kernel.direct_map(machine)));
    let len = loads.iter().map(|load| load.len).sum::<u64>();
    let image = kernel.as_ref().map(|kernel| kernel.image(machine)).unwrap_or_default();
    let pieces: Vec<_> = image.iter().filter_map(|piece| image_load(piece, &loads)).collect();
    loads.extend(pieces);
    let mut notes = Vec::new();
    for (n, vcpu) in machine.vcpus().iter().enumerate() {
        note(&mut notes, b"CORE\0", NT_PRSTATUS, &prstatus(vcpu, n));
    }
    if let Some(kernel) = &kernel {
        note(&mut notes, b"VMCOREINFO\0", 0, &kernel.info);
    }
    let headers = 1 + loads.len() as u64;
    let notes_at = EHDR + headers * PHDR;
    let first = (notes_at + notes.len() as u64).next_multiple_of(PAGE);
    let mut head = elf_header(headers as u16);
    program_header(&mut head, PT_NOTE, notes_at, [0, 0], notes.len() as u64);
    for Load { linear, gpa, len, at } in &loads {
        program_header(&mut head, PT_LOAD, first + at, [*linear, *gpa], *len);
    }
    head.extend_from_slice(&notes);
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&head)?;
    ram(&mut out, &machine.freeze(), first)?;
    out.flush()?;
    // A core that ends in zeroes is as long as it says.
    out.get_ref().set_len(first + len)?;
    Ok(Written { len: first + len, linux: kernel.is_some() })
}

fn ram_loads(machine: &Machine, direct_map: Option<u64>) -> Vec<Load> {
    let (low, high) = machine.ram_layout();
    let load = |(gpa, len, at)| {
        let linear = direct_map.map_or(0, |base| base.wrapping_add(gpa));
        Load { linear, gpa, len, at }
    };
    let all = [(0, low, 0), (1 << 32, high, low)].map(load);
    all.into_iter().filter(|load| load.len != 0).collect()
}

/// A piece of the kernel's image that is wholly in one range of RAM.
fn image_load(piece: &Mapping, ram: &[Load]) -> Option<Load> {
    let Mapping { linear, gpa, len } = *piece;
    let range = ram.iter().find(|load| load.gpa <= gpa && gpa + len <= load.gpa + load.len)?;
    Some(Load { linear, gpa: ELSEWHERE, len, at: range.at + (gpa - range.gpa) })
}

/// The region `ram`, its first byte at `first` in the file.
fn ram(out: &mut BufWriter<&mut File>, frozen: &Frozen, first: u64) -> io::Result<()> {
    let Some(region) = frozen.regions().find(|region| region.name() == "ram") else { return Ok(()) };
    let mut position = None;
    for page in (0..region.pages()).filter(|page| region.generation(*page).is_some()) {
        let bytes = region.bytes(page);
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let at = first + page as u64 * PAGE;
        if position != Some(at) {
            out.seek(SeekFrom::Start(at))?;
        }
        out.write_all(bytes)?;
        position = Some(at + PAGE);
    }
    Ok(())
}

fn elf_header(headers: u16) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(16, 0);
    // ET_CORE, EM_X86_64, version 1; no entry, program headers follow, no sections.
    for half in [4u16, 62] {
        head.extend(half.to_le_bytes());
    }
    head.extend(1u32.to_le_bytes());
    for word in [0u64, EHDR, 0] {
        head.extend(word.to_le_bytes());
    }
    head.extend(0u32.to_le_bytes());
    for half in [EHDR as u16, PHDR as u16, headers, 0, 0, 0] {
        head.extend(half.to_le_bytes());
    }
    head
}

fn program_header(head: &mut Vec<u8>, kind: u32, at: u64, addresses: [u64; 2], len: u64) {
    head.extend(kind.to_le_bytes());
    let flags = if kind == PT_LOAD { 7u32 } else { 0 };
    head.extend(flags.to_le_bytes());
    for word in [at, addresses[0], addresses[1], len, len, 0] {
        head.extend(word.to_le_bytes());
    }
}

fn note(notes: &mut Vec<u8>, name: &[u8], kind: u32, bytes: &[u8]) {
    for word in [name.len() as u32, bytes.len() as u32, kind] {
        notes.extend(word.to_le_bytes());
    }
    for part in [name, bytes] {
        notes.extend_from_slice(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

/// Linux' `struct elf_prstatus` of a processor.
fn prstatus(cpu: &Vcpu, n: usize) -> Vec<u8> {
    let mut status = vec![0; PRSTATUS];
    status[PRSTATUS_PID..PRSTATUS_PID + 4].copy_from_slice(&(n as u32 + 1).to_le_bytes());
    let [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = gpr(cpu);
    let segments = &cpu.system.seg;
    let selector = |n: usize| u64::from(segments[n].selector);
    let registers = [
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        // orig_rax: in no system call.
        u64::MAX,
        cpu.rip,
        selector(seg::CS),
        cpu.flags.bits(),
        rsp,
        selector(seg::SS),
        segments[seg::FS].base,
        segments[seg::GS].base,
        selector(seg::DS),
        selector(seg::ES),
        selector(seg::FS),
        selector(seg::GS),
    ];
    for (n, register) in registers.iter().enumerate() {
        let at = PRSTATUS_REGISTERS + n * 8;
        status[at..at + 8].copy_from_slice(&register.to_le_bytes());
    }
    status
}

fn gpr(cpu: &Vcpu) -> [u64; 16] {
    std::array::from_fn(|n| cpu.gpr[n])
}
