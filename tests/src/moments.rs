//! Moments of a run that are easily got wrong.

use crate::disks::busy;
use amber_cpu::Vcpu;
use amber_cpu::state::{Activity, Pending, Shadow};
use amber_emu::machine::Machine;

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
    pub fn is_now(self, machine: &mut Machine, before: &[u64]) -> bool {
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

    /// The kind of moment that may follow the next instruction, by its opcode: [`Self::MidRep`] or [`Self::Shadow`].
    pub fn ahead(machine: &Machine) -> Option<Self> {
        let cpu = &machine.vcpus()[machine.next_processor()?];
        let code = code(machine, cpu);
        match code {
            _ if is_rep(code) => Some(Self::MidRep),
            [0xFB | 0x17, _] => Some(Self::Shadow),
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
