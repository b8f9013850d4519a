//! A snapshot's memory and processors as an ELF core, the form in which crash dumps of kernels are kept: gdb, crash,
//! drgn and volatility read it.
//!
//! One PT_LOAD for each range of RAM and each memory module, sparse where it is zero, at the linear addresses of the kernel's map of all memory; one
//! for each piece of the kernel's image where that is mapped, of the same bytes of the file, for tools that know no page
//! tables. An NT_PRSTATUS note for each processor; and the kernel's own VMCOREINFO note, from which tools learn its version,
//! KASLR offset and page tables. It is found while the pages pass by, so room for the notes is left before them.

mod linux;

use crate::machine::{LoadError, Machine};
use amber_cpu::Vcpu;
use amber_cpu::state::seg;
use amber_devices::{DIMMS_MAX, Dimm};
use amber_mmu::PAGE;
use amber_snapshot::host_file::write_all_at;
use amber_snapshot::{GROUP_PAGES, ObjectId, Objects, RegionTable, Snapshot, StoreError};
use linux::{Kernel, Mapping, PIECES};
use std::fs::File;
use std::io;
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

/// In place of the physical address of pages that have theirs in another PT_LOAD, as in /proc/kcore: volatility3 finds
/// nothing where physical ranges overlap.
const ELSEWHERE: u64 = u64::MAX;
/// Where the notes are in the file: behind as many program headers as there may be.
const NOTES: u64 = 2 * PAGE;
const _: () = assert!(EHDR + (1 + 2 + DIMMS_MAX as u64 + PIECES as u64) * PHDR <= NOTES);
/// Header and name of a note, rounded up.
const NOTE_HEAD: u64 = 32;

/// A PT_LOAD.
struct Load {
    linear: u64,
    gpa: u64,
    len: u64,
    /// Offset in the file, from where memory begins.
    at: u64,
}

/// A region of memory, and where it is in the file.
struct Part<'a> {
    table: &'a RegionTable,
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

/// Writes the core of `snapshot` to `out`, which is empty.
///
/// # Errors
/// When the file cannot be written, or the snapshot not be read.
pub fn write(snapshot: &Snapshot, out: &File, progress: Progress) -> Result<Written, CoreError> {
    // Its registers, and what its page tables say; pages are brought as they are looked at.
    let machine = Machine::load(snapshot.again())?;
    let mut loads = memory_loads(&machine);
    // Where nothing is written, the file has a hole.
    let first = after_notes(&machine);
    let end = first + loads.iter().map(|load| load.len).sum::<u64>();
    out.set_len(end)?;
    let note = memory(out, snapshot, &parts(snapshot, &machine, first), progress)?;
    let kernel = note.and_then(|at| Kernel::new(&machine, address(&loads, at - first)));
    if let Some(kernel) = &kernel {
        let direct_map = kernel.direct_map(&machine).unwrap_or(0);
        loads.iter_mut().for_each(|load| load.linear = direct_map.wrapping_add(load.gpa));
        let image = kernel.image(&machine);
        let pieces: Vec<_> = image.iter().filter_map(|piece| image_load(piece, &loads)).collect();
        loads.extend(pieces);
    }
    let notes = notes(&machine, kernel.as_ref());
    let mut head = elf_header(1 + loads.len() as u16);
    program_header(&mut head, PT_NOTE, NOTES, [0, 0], notes.len() as u64);
    for Load { linear, gpa, len, at } in &loads {
        program_header(&mut head, PT_LOAD, first + at, [*linear, *gpa], *len);
    }
    debug_assert!(NOTES + notes.len() as u64 <= first);
    write_all_at(out, &notes, NOTES)?;
    write_all_at(out, &head, 0)?;
    Ok(Written { len: end, linux: kernel.is_some() })
}

/// Where memory begins in the file: behind the longest notes there may be.
fn after_notes(machine: &Machine) -> u64 {
    let processors = machine.vcpus().len() as u64 * (NOTE_HEAD + PRSTATUS as u64);
    (NOTES + processors + NOTE_HEAD + linux::MAX as u64).next_multiple_of(PAGE)
}

fn notes(machine: &Machine, kernel: Option<&Kernel>) -> Vec<u8> {
    let mut notes = Vec::new();
    for (n, vcpu) in machine.vcpus().iter().enumerate() {
        note(&mut notes, b"CORE\0", NT_PRSTATUS, &prstatus(vcpu, n));
    }
    if let Some(kernel) = kernel {
        note(&mut notes, b"VMCOREINFO\0", 0, &kernel.info);
    }
    notes
}

/// The memory modules, in the order of their addresses.
fn modules(machine: &Machine) -> Vec<Dimm> {
    let mut modules = machine.hotplug().dimms();
    modules.sort_unstable_by_key(|dimm| dimm.base);
    modules
}

/// The ranges of RAM, and the memory modules. Where they are mapped is to be found out.
fn memory_loads(machine: &Machine) -> Vec<Load> {
    let (low, high) = machine.ram_layout();
    let modules = modules(machine).into_iter().map(|dimm| (dimm.base, dimm.len));
    let mut at = 0;
    let all = [(0, low), (1 << 32, high)].into_iter().chain(modules).map(|(gpa, len)| {
        let load = Load { linear: 0, gpa, len, at };
        at += len;
        load
    });
    all.filter(|load| load.len != 0).collect()
}

/// The regions those are, in the same order: RAM is one.
fn parts<'a>(snapshot: &'a Snapshot, machine: &Machine, first: u64) -> Vec<Part<'a>> {
    let modules = modules(machine).into_iter().map(|dimm| format!("dimm{}", dimm.slot));
    let names: Vec<String> = ["ram".to_owned()].into_iter().chain(modules).collect();
    let tables = names.iter().filter_map(|name| snapshot.manifest.regions.iter().find(|t| t.name == *name));
    let mut at = first;
    let part = |table: &'a RegionTable| {
        let part = Part { table, at };
        at += table.pages * PAGE;
        part
    };
    tables.map(part).collect()
}

/// A piece of the kernel's image that is wholly in one range of memory.
fn image_load(piece: &Mapping, ram: &[Load]) -> Option<Load> {
    let Mapping { linear, gpa, len } = *piece;
    let range = ram.iter().find(|load| load.gpa <= gpa && gpa + len <= load.gpa + load.len)?;
    Some(Load { linear, gpa: ELSEWHERE, len, at: range.at + (gpa - range.gpa) })
}

/// Guest-physical address of a byte of memory in the file.
fn address(loads: &[Load], at: u64) -> u64 {
    let range = loads.iter().find(|load| at >= load.at && at - load.at < load.len);
    range.map_or(u64::MAX, |load| load.gpa + (at - load.at))
}

/// Most threads that write: decompressing pages takes longer than writing them.
const MAX_THREADS: usize = 4;

/// Writes regions; where in the file the first of their pages is that looks like the kernel's VMCOREINFO, if any does.
fn memory(
    out: &File,
    snapshot: &Snapshot,
    parts: &[Part],
    progress: Progress,
) -> Result<Option<u64>, CoreError> {
    let groups: Vec<(&Part, usize)> =
        parts.iter().flat_map(|part| (0..part.table.groups.len()).map(move |group| (part, group))).collect();
    let (next, done, progress) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(progress));
    let info = AtomicU64::new(u64::MAX);
    let work = || -> Result<(), CoreError> {
        while let Some((part, group)) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = write_group(out, &snapshot.objects, part, *group)?;
            info.fetch_min(found.unwrap_or(u64::MAX), Ordering::Relaxed);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if let Ok(mut progress) = progress.try_lock() {
                progress(done, groups.len() as u64);
            }
        }
        Ok(())
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

/// Writes what is not zero of 512 pages, neighbours together; where the first is that looks like VMCOREINFO.
fn write_group(out: &File, objects: &Objects, part: &Part, group: usize) -> Result<Option<u64>, CoreError> {
    if part.table.groups[group].is_none() {
        return Ok(None);
    }
    let (mut run, mut start, mut info) = (Vec::new(), 0, None);
    let ids = part.table.ids(objects, group)?;
    for (i, id) in ids.into_iter().enumerate().filter(|(_, id)| *id != ObjectId::ZERO) {
        // Ranges lie one behind the other in the file as in the region.
        let at = part.at + (group * GROUP_PAGES + i) as u64 * PAGE;
        if at != start + run.len() as u64 {
            write_all_at(out, &run, start)?;
            run.clear();
            start = at;
        }
        let mut bytes = [0; PAGE as usize];
        objects.page(id, &mut bytes)?;
        if info.is_none() && linux::is_vmcoreinfo(&bytes) {
            info = Some(at);
        }
        run.extend_from_slice(&bytes);
    }
    write_all_at(out, &run, start)?;
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
