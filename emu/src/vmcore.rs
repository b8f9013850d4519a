//! A machine's memory and processors as an ELF core, the form in which crash dumps of kernels are kept: gdb, crash,
//! drgn and volatility read it.
//!
//! One PT_LOAD for each range of RAM, sparse where it is zero, and one for each piece of the kernel's image where the kernel
//! maps it: the same bytes of the file at other addresses, for tools that know no page tables. An NT_PRSTATUS note for each
//! processor; and the kernel's own VMCOREINFO note, from which tools learn its version, KASLR offset and page tables.

mod linux;

use crate::machine::{Frozen, Machine};
use amber_cpu::Vcpu;
use amber_cpu::state::seg;
use amber_mmu::PAGE;
use amber_snapshot::RegionPages;
use linux::{Kernel, Mapping};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

const EHDR: u64 = 64;
const PHDR: u64 = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
/// Size of Linux' `struct elf_prstatus` on x86-64, and where its registers are.
const PRSTATUS: usize = 336;
const PRSTATUS_REGISTERS: usize = 112;
const PRSTATUS_PID: usize = 32;

/// A range of RAM.
struct Load {
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

/// Writes the core of `machine` to `file`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(machine: &mut Machine, file: &Path) -> io::Result<Written> {
    let kernel = Kernel::find(machine);
    let direct_map = kernel.as_ref().and_then(|kernel| kernel.direct_map(machine));
    let image = kernel.as_ref().map(|kernel| kernel.image(machine)).unwrap_or_default();
    let loads = loads(machine);
    let pieces: Vec<_> = image.iter().filter_map(|piece| Some((piece, place(piece, &loads)?))).collect();
    let mut notes = Vec::new();
    for (n, vcpu) in machine.vcpus().iter().enumerate() {
        note(&mut notes, b"CORE\0", NT_PRSTATUS, &prstatus(vcpu, n));
    }
    if let Some(kernel) = &kernel {
        note(&mut notes, b"VMCOREINFO\0", 0, &kernel.info);
    }
    let headers = (1 + loads.len() + pieces.len()) as u64;
    let notes_at = EHDR + headers * PHDR;
    let mut at = (notes_at + notes.len() as u64).next_multiple_of(PAGE);
    let mut head = elf_header(headers as u16);
    program_header(&mut head, PT_NOTE, notes_at, [0, 0], notes.len() as u64);
    let first = at;
    for load in &loads {
        let linear = direct_map.map_or(0, |base| base.wrapping_add(load.gpa));
        program_header(&mut head, PT_LOAD, at, [linear, load.gpa], load.len);
        at += load.len;
    }
    for (Mapping { linear, gpa, len }, place) in pieces {
        program_header(&mut head, PT_LOAD, first + place, [*linear, *gpa], *len);
    }
    head.extend_from_slice(&notes);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    out.write_all(&head)?;
    ram(&mut out, &machine.freeze(), &loads, first)?;
    out.flush()?;
    // A core that ends in zeroes is as long as it says.
    out.get_ref().set_len(at)?;
    Ok(Written { len: at, linux: kernel.is_some() })
}

fn loads(machine: &Machine) -> Vec<Load> {
    let (low, high) = machine.ram_layout();
    let all = [Load { gpa: 0, len: low, at: 0 }, Load { gpa: 1 << 32, len: high, at: low }];
    all.into_iter().filter(|load| load.len != 0).collect()
}

/// Where in the region `ram`, and so behind the first range in the file, a piece lies that is wholly in it.
fn place(piece: &Mapping, loads: &[Load]) -> Option<u64> {
    let inside = |load: &&Load| load.gpa <= piece.gpa && piece.gpa + piece.len <= load.gpa + load.len;
    loads.iter().find(inside).map(|load| load.at + (piece.gpa - load.gpa))
}

fn ram(out: &mut BufWriter<File>, frozen: &Frozen, loads: &[Load], first: u64) -> io::Result<()> {
    let Some(region) = frozen.regions().find(|region| region.name() == "ram") else { return Ok(()) };
    let (mut start, mut position) = (first, None);
    for load in loads {
        for page in 0..load.len / PAGE {
            let number = ((load.at / PAGE) + page) as usize;
            if region.generation(number).is_none() {
                continue;
            }
            let bytes = region.bytes(number);
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let at = start + page * PAGE;
            if position != Some(at) {
                out.seek(SeekFrom::Start(at))?;
            }
            out.write_all(bytes)?;
            position = Some(at + PAGE);
        }
        start += load.len;
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
