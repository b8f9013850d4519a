//! A machine's memory and processors as an ELF core, the form in which crash dumps of kernels are kept: gdb, crash,
//! drgn and volatility read it.
//!
//! PT_LOADs for all of RAM in order of its addresses, sparse where it is zero. They have the linear addresses at which the
//! kernel's image is mapped, elsewhere those of its map of all memory, for tools that know no page tables. No page is in two of
//! them, as in other cores: volatility finds neither then. An NT_PRSTATUS note for each processor; and the kernel's own
//! VMCOREINFO note, from which tools learn its version, KASLR offset and page tables.

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

/// A range of RAM.
#[derive(Clone, Copy)]
struct Load {
    gpa: u64,
    len: u64,
    /// Offset in the region `ram`.
    at: u64,
    /// Where the kernel's image is mapped to it.
    linear: Option<u64>,
}

impl Load {
    /// The part of `len` bytes from the `from`th on.
    fn part(&self, from: u64, len: u64) -> Self {
        Self { gpa: self.gpa + from, len, at: self.at + from, linear: None }
    }
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
    let direct_map = kernel.as_ref().and_then(|kernel| kernel.direct_map(machine));
    let image = kernel.as_ref().map(|kernel| kernel.image(machine)).unwrap_or_default();
    let loads = loads(machine, &image);
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
    for Load { gpa, len, at, linear } in &loads {
        let linear = linear.or(direct_map.map(|base| base.wrapping_add(*gpa))).unwrap_or(0);
        program_header(&mut head, PT_LOAD, first + at, [linear, *gpa], *len);
    }
    head.extend_from_slice(&notes);
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&head)?;
    ram(&mut out, &machine.freeze(), first)?;
    out.flush()?;
    let len = first + loads.iter().map(|load| load.len).sum::<u64>();
    // A core that ends in zeroes is as long as it says.
    out.get_ref().set_len(len)?;
    Ok(Written { len, linux: kernel.is_some() })
}

/// RAM, the pieces of the kernel's image apart from the rest.
fn loads(machine: &Machine, image: &[Mapping]) -> Vec<Load> {
    let (low, high) = machine.ram_layout();
    let all = [(0, low, 0), (1 << 32, high, low)].map(|(gpa, len, at)| Load { gpa, len, at, linear: None });
    let mut loads = all.to_vec();
    for piece in image {
        let around = |load: &Load| {
            load.linear.is_none() && load.gpa <= piece.gpa && piece.gpa + piece.len <= load.gpa + load.len
        };
        let Some(n) = loads.iter().position(around) else { continue };
        let (load, from) = (loads[n], piece.gpa - loads[n].gpa);
        let own = Load { linear: Some(piece.linear), ..load.part(from, piece.len) };
        let (end, rest) = (from + piece.len, load.len - from - piece.len);
        loads.splice(n..=n, [load.part(0, from), own, load.part(end, rest)]);
    }
    loads.retain(|load| load.len != 0);
    loads
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
