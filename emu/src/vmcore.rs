//! A snapshot's memory and processors as an ELF core, the form in which crash dumps of kernels are kept: gdb, crash,
//! drgn and volatility read it.
//!
//! One PT_LOAD for each range of RAM, sparse where it is zero; an NT_PRSTATUS note for each processor; and the kernel's
//! own VMCOREINFO note, from which tools learn its version, KASLR offset and page tables. It is found while the pages pass
//! by, so the notes come last in the file.

mod linux;

use crate::machine::{LoadError, Machine};
use amber_cpu::Vcpu;
use amber_cpu::state::seg;
use amber_mmu::PAGE;
use amber_snapshot::{GROUP_PAGES, ObjectId, Objects, RegionTable, Snapshot, StoreError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length of the file; less of it takes room.
    pub len: u64,
    /// The kernel's VMCOREINFO was found.
    pub linux: bool,
}

/// Why there is no core.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    #[error("cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Told how far long work is: done, of.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// Writes the core of `snapshot` to `file`.
///
/// # Errors
/// When the file cannot be written, or the snapshot not be read.
pub fn write(snapshot: &Snapshot, file: &Path, progress: Progress) -> Result<Written, CoreError> {
    // Its registers, and what its page tables say; pages are brought as they are looked at.
    let machine = Machine::load(snapshot.again())?;
    let loads = loads(&machine);
    let headers = 1 + loads.len() as u64;
    let first = (EHDR + headers * PHDR).next_multiple_of(PAGE);
    let out = File::create(file)?;
    // Where nothing is written, the file has a hole.
    let end = first + loads.iter().map(|load| load.len).sum::<u64>();
    out.set_len(end)?;
    let info = ram(&out, snapshot, first, progress)?;
    let info = info.and_then(|page| linux::description(&machine, address(&loads, page * PAGE)));
    let direct_map = info.as_ref().and_then(|_| linux::direct_map(&machine));
    let mut notes = Vec::new();
    for (n, vcpu) in machine.vcpus().iter().enumerate() {
        note(&mut notes, b"CORE\0", NT_PRSTATUS, &prstatus(vcpu, n));
    }
    if let Some(info) = &info {
        note(&mut notes, b"VMCOREINFO\0", 0, info);
    }
    let mut head = elf_header(headers as u16);
    program_header(&mut head, PT_NOTE, end, [0, 0], notes.len() as u64);
    let mut at = first;
    for load in &loads {
        let linear = direct_map.map_or(0, |base| base.wrapping_add(load.gpa));
        program_header(&mut head, PT_LOAD, at, [linear, load.gpa], load.len);
        at += load.len;
    }
    out.write_all_at(&notes, end)?;
    out.write_all_at(&head, 0)?;
    Ok(Written { len: end + notes.len() as u64, linux: info.is_some() })
}

fn loads(machine: &Machine) -> Vec<Load> {
    let (low, high) = machine.ram_layout();
    let all = [Load { gpa: 0, len: low }, Load { gpa: 1 << 32, len: high }];
    all.into_iter().filter(|load| load.len != 0).collect()
}

/// Guest-physical address of a byte of the region `ram`.
fn address(loads: &[Load], mut at: u64) -> u64 {
    for load in loads {
        if at < load.len {
            return load.gpa + at;
        }
        at -= load.len;
    }
    u64::MAX
}

/// Most threads that write: decompressing pages takes longer than writing them.
const MAX_THREADS: usize = 4;

/// Writes the region `ram` from `first` on; the first of its pages that looks like the kernel's VMCOREINFO, if any.
fn ram(out: &File, snapshot: &Snapshot, first: u64, progress: Progress) -> Result<Option<u64>, CoreError> {
    let Snapshot { manifest, objects } = snapshot;
    let Some(table) = manifest.regions.iter().find(|table| table.name == "ram") else { return Ok(None) };
    let groups = table.groups.len();
    let (next, done, progress) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(progress));
    let info = AtomicU64::new(u64::MAX);
    let work = || -> Result<(), CoreError> {
        loop {
            let group = next.fetch_add(1, Ordering::Relaxed);
            if group >= groups {
                return Ok(());
            }
            let found = write_group(out, table, objects, group, first)?;
            info.fetch_min(found.unwrap_or(u64::MAX), Ordering::Relaxed);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if let Ok(mut progress) = progress.try_lock() {
                progress(done, groups as u64);
            }
        }
    };
    std::thread::scope(|scope| {
        let more = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS) - 1;
        let threads: Vec<_> = (0..more).map(|_| scope.spawn(work)).collect();
        let own = work();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).fold(own, Result::and)
    })?;
    let info = info.into_inner();
    Ok((info != u64::MAX).then_some(info))
}

/// Writes what is not zero of 512 pages, neighbours together; the first that looks like VMCOREINFO.
fn write_group(
    out: &File,
    table: &RegionTable,
    objects: &Objects,
    group: usize,
    first: u64,
) -> Result<Option<u64>, CoreError> {
    if table.groups[group].is_none() {
        return Ok(None);
    }
    let (mut run, mut start, mut info) = (Vec::new(), 0, None);
    let ids = table.ids(objects, group)?;
    for (i, id) in ids.into_iter().enumerate().filter(|(_, id)| *id != ObjectId::ZERO) {
        let page = (group * GROUP_PAGES + i) as u64;
        // The ranges lie one behind the other in the file as in the region.
        let at = first + page * PAGE;
        if at != start + run.len() as u64 {
            out.write_all_at(&run, start)?;
            run.clear();
            start = at;
        }
        let mut bytes = [0; PAGE as usize];
        objects.page(id, &mut bytes)?;
        if info.is_none() && linux::is_vmcoreinfo(&bytes) {
            info = Some(page);
        }
        run.extend_from_slice(&bytes);
    }
    out.write_all_at(&run, start)?;
    Ok(info)
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
