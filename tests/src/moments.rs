//! Moments of a run that are easily got wrong.

use crate::disks::busy;
use amber_cpu::Vcpu;
use amber_cpu::state::{Activity, Pending, Shadow};
use amber_emu::cli::build;
use amber_emu::config::{FlatImage, MachineConfig};
use amber_emu::machine::Machine;
use std::path::Path;

/// Kinds of moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    Any,
    /// Between two chunks of a REP.
    MidRep,
    /// In the shadow of STI or MOV SS.
    Shadow,
    /// An event has arrived and was not delivered yet.
    PendingEvent,
    /// The first disk has requests in flight.
    InFlight,
    /// Between two processors' slices.
    SliceEnd,
    /// A processor is halted.
    Halted,
}

/// All of them.
pub const MOMENTS: [Moment; 7] = [
    Moment::Any,
    Moment::MidRep,
    Moment::Shadow,
    Moment::PendingEvent,
    Moment::InFlight,
    Moment::SliceEnd,
    Moment::Halted,
];

impl Moment {
    /// Whether a machine is at such a moment. `before` says where each processor stood a step ago.
    pub fn is_now(self, machine: &Machine, before: &[u64]) -> bool {
        let any = |what: fn(&Vcpu) -> bool| machine.vcpus().iter().any(what);
        match self {
            Self::Any => true,
            Self::MidRep => mid_rep(machine, before),
            Self::Shadow => any(|cpu| cpu.system.shadow != Shadow::None),
            Self::PendingEvent => {
                any(|cpu| cpu.system.pending != Pending::default() || cpu.apic.deliverable().is_some())
            }
            Self::InFlight => busy(machine),
            Self::SliceEnd => machine.vcpus().len() > 1 && machine.slice_is_over(),
            Self::Halted => any(|cpu| cpu.system.activity == Activity::Halted),
        }
    }

    /// The kind of moment that may follow the next instruction, by its opcode: [`Self::MidRep`], [`Self::Shadow`] or [`Self::Halted`].
    pub fn ahead(machine: &Machine) -> Option<Self> {
        let cpu = &machine.vcpus()[machine.next_processor()?];
        let code = code(machine, cpu);
        match code {
            _ if is_rep(code) => Some(Self::MidRep),
            [0xFB | 0x17, _] => Some(Self::Shadow),
            [0xF4, _] => Some(Self::Halted),
            [0x8E, modrm] if modrm >> 3 & 7 == 2 => Some(Self::Shadow),
            _ => None,
        }
    }
}

/// Linear addresses of the processors' next instructions.
pub fn places(machine: &Machine) -> Vec<u64> {
    machine.vcpus().iter().map(Vcpu::linear_rip).collect()
}

fn mid_rep(machine: &Machine, before: &[u64]) -> bool {
    let cpu = &machine.vcpus()[machine.current()];
    cpu.linear_rip() == before[machine.current()]
        && cpu.system.activity == Activity::Running
        && is_rep(code(machine, cpu))
}

/// The first two bytes of a processor's next instruction; 0 where nothing is mapped.
fn code(machine: &Machine, cpu: &Vcpu) -> [u8; 2] {
    let mut code = [0; 2];
    for (i, byte) in code.iter_mut().enumerate() {
        let linear = cpu.linear_rip().wrapping_add(i as u64);
        if let Some(gpa) = machine.mmu().probe(cpu.address_space(), cpu.view(), linear) {
            machine.mmu().read_physical(cpu.view(), gpa, std::slice::from_mut(byte));
        }
    }
    code
}

fn is_rep(code: [u8; 2]) -> bool {
    matches!(code, [0xF2 | 0xF3, 0x48 | 0x66 | 0x67 | 0xA4..=0xA7 | 0xAA..=0xAF | 0x6C..=0x6F])
}

/// A 64-bit program that copies across pages, opens a shadow twice and halts, while the APIC's timer interrupts it.
const PROGRAM: [u8; 153] = [
    0xBF, 0x00, 0x04, 0x30, 0x00, 0x48, 0x8D, 0x05, 0x77, 0x00, 0x00,
    0x00, // mov edi, 300400h; lea rax, tick
    0x66, 0x89, 0x07, 0xC7, 0x47, 0x02, 0x10, 0x00, 0x00,
    0x8E, // mov [rdi], ax; mov dword [rdi+2], 8E000010h
    0x48, 0xC1, 0xE8, 0x10, 0x66, 0x89, 0x47, 0x06, // shr rax, 16; mov [rdi+6], ax
    0x0F, 0x01, 0x1D, 0x6A, 0x00, 0x00, 0x00, 0xBB, 0x00, 0x00, 0xE0,
    0xFE, // lidt idtr; mov ebx, FEE00000h
    0xC7, 0x83, 0xF0, 0x00, 0x00, 0x00, 0xFF, 0x01, 0x00, 0x00, // mov dword [rbx+F0h], 1FFh
    0xC7, 0x83, 0xE0, 0x03, 0x00, 0x00, 0x0B, 0x00, 0x00, 0x00, // mov dword [rbx+3E0h], 0Bh
    0xC7, 0x83, 0x20, 0x03, 0x00, 0x00, 0x40, 0x00, 0x02, 0x00, // mov dword [rbx+320h], 20040h
    0xC7, 0x83, 0x80, 0x03, 0x00, 0x00, 0xD0, 0x07, 0x00, 0x00, // mov dword [rbx+380h], 2000
    0xBD, 0xC8, 0x00, 0x00, 0x00, 0xBA, 0x14, 0x00, 0x00, 0x00, // mov ebp, 200; outer: mov edx, 20
    0xBE, 0x23, 0x01, 0x40, 0x00, 0xBF, 0x00, 0x0F, 0x60,
    0x00, // inner: mov esi, 400123h; mov edi, 600F00h
    0xB9, 0x00, 0x30, 0x00, 0x00, 0xF3, 0xA4, 0x8C, 0xD0, 0x8E,
    0xD0, // mov ecx, 3000h; rep movsb; mov eax, ss; mov ss, eax
    0xFB, 0x90, 0xFA, 0xFF, 0xCA, 0x75, 0xE4, // sti; nop; cli; dec edx; jnz inner
    0xFB, 0xF4, 0xFA, 0xFF, 0xCD, 0x75, 0xD8, // sti; hlt; cli; dec ebp; jnz outer
    0xB0, 0x10, 0xE6, 0xF4, // mov al, 10h; out F4h, al
    0xC7, 0x83, 0xB0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x48,
    0xCF, // tick: mov dword [rbx+B0h], 0; iretq
    0xFF, 0x0F, 0x00, 0x00, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, // idtr: at 300000h
];

/// A machine whose guest comes to little else; its image is put into `folder`.
pub fn guest(folder: &Path) -> Machine {
    let file = folder.join("moments.bin");
    std::fs::write(&file, PROGRAM).expect("the folder is writable");
    let flat = Some(FlatImage { file, address: 0x10_0000 });
    let memory = "64M".parse().expect("a size");
    build::machine(&MachineConfig { flat, memory, ..MachineConfig::default() }).expect("it can be loaded")
}
