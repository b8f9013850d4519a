//! What software in the guest asks of the machine: a checkpoint, to go back to one, a fork, an export.
//! `docs/requests.md` is its side of this.

use super::{HostIo, Machine};
use crate::input::Input;
use amber_cpu::state::{CodeSize, seg};
use amber_mmu::PAGE;
use serde::{Deserialize, Serialize};

/// Registers by their number in instructions.
const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RSI: usize = 6;
const RDI: usize = 7;

/// EAX of a request, without the operation in its low byte: "AMB" from the top.
pub const CALL: u32 = 0x414D_4200;
/// Version of these requests.
pub const VERSION: u32 = 1;
/// Port to which 16-bit code writes the operation.
pub const PORT: u16 = 0xE4;
/// Port that reads as [`VERSION`].
pub const VERSION_PORT: u16 = 0xE5;
/// Longest name, bytes.
pub const NAME_MAX: u64 = 100;

/// How software asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By the NOP; the operation is in EAX.
    Nop,
    /// By writing this to [`PORT`]. The registers are the 16-bit ones.
    Port(u8),
}

/// A processor whose software asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    pub processor: usize,
    pub by: By,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Is this Amber? The answer is the version of these requests.
    Probe,
    /// Keep the state under a name.
    Checkpoint,
    /// Go back to the state kept under a name.
    Restore,
    /// Save the state under a name for another machine, in which the answer is 1.
    Fork,
    /// As [`Self::Checkpoint`], and save it under its name in the store.
    Export,
    /// Forget what is kept under a name.
    Forget,
}

/// Why a request is refused, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum Refusal {
    /// The host does not allow it.
    Denied = -1,
    /// There is no such operation.
    Operation = -2,
    /// The name is not in memory this program may read.
    Memory = -3,
    /// The name is none, or is taken.
    Name = -4,
    /// Nothing is kept under the name.
    Unknown = -5,
    /// The store cannot be written.
    Store = -6,
    /// As many checkpoints as the host allows, or as large.
    Limit = -7,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub operation: Operation,
    /// Empty for [`Operation::Probe`].
    pub name: String,
    /// For whoever comes back.
    pub argument: u64,
}

/// What the guest finds in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// RAX: 0 or more, or a [`Refusal`].
    pub result: i64,
    /// RDX, if it changes.
    pub argument: Option<u64>,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { result: refusal as i64, argument: None }
    }
}

impl Machine {
    /// Whether it is a request at all: a NOP may have any EAX.
    pub(super) fn is_request(&self, asking: Asking) -> bool {
        asking.by != By::Nop || self.vcpus[asking.processor].gpr[RAX] as u32 & !0xFF == CALL
    }

    /// The request after [`super::Stop::Request`].
    ///
    /// # Errors
    /// What to answer a request that cannot be understood.
    pub fn request(&self, asking: Asking) -> Result<Request, Refusal> {
        let Asking { processor, by } = asking;
        let gpr = &self.vcpus[processor].gpr;
        let (operation, length) = match by {
            By::Nop => (gpr[RAX] as u8, gpr[RSI]),
            By::Port(operation) => (operation, gpr[RCX]),
        };
        let operation = match operation {
            0 => Operation::Probe,
            1 => Operation::Checkpoint,
            2 => Operation::Restore,
            3 => Operation::Fork,
            4 => Operation::Export,
            5 => Operation::Forget,
            _ => return Err(Refusal::Operation),
        };
        let mask = match by {
            By::Port(_) => 0xFFFF,
            By::Nop if self.vcpus[processor].code_size() == CodeSize::Bits64 => u64::MAX,
            By::Nop => 0xFFFF_FFFF,
        };
        let address = if by == By::Nop { gpr[RDI] } else { gpr[RSI] };
        let name = match operation {
            Operation::Probe => String::new(),
            _ => self.name_at(processor, address & mask, length & mask)?,
        };
        Ok(Request { operation, name, argument: gpr[RDX] & mask })
    }

    /// The name of `len` bytes at an address (relative to DS but in 64-bit code), as the program may read it.
    fn name_at(&self, processor: usize, address: u64, len: u64) -> Result<String, Refusal> {
        if !(1..=NAME_MAX).contains(&len) {
            return Err(Refusal::Name);
        }
        let cpu = &self.vcpus[processor];
        let wide = cpu.code_size() == CodeSize::Bits64;
        let base = if wide { 0 } else { cpu.system.seg[seg::DS].base };
        let mut bytes = vec![0; len as usize];
        let mut done = 0;
        while done < bytes.len() {
            let linear = base.wrapping_add(address).wrapping_add(done as u64);
            let linear = if wide { linear } else { linear & 0xFFFF_FFFF };
            let gpa = self.mmu.probe_as(cpu.address_space(), cpu.view(), linear, cpu.system.cpl == 3);
            let part = (PAGE - linear % PAGE).min((bytes.len() - done) as u64) as usize;
            self.mmu.read_physical(cpu.view(), gpa.ok_or(Refusal::Memory)?, &mut bytes[done..done + part]);
            done += part;
        }
        String::from_utf8(bytes).map_err(|_| Refusal::Name)
    }

    /// Answers a request. An input: the log has it.
    pub fn answer(&mut self, processor: usize, host: &mut dyn HostIo, answer: Answer) {
        self.note(host, Input::Answer(answer));
        self.set_answer(processor, answer);
    }

    /// Puts an answer into the registers.
    pub fn set_answer(&mut self, processor: usize, answer: Answer) {
        let cpu = &mut self.vcpus[processor];
        let wide = cpu.code_size() == CodeSize::Bits64;
        let fit = |value: u64| if wide { value } else { value & 0xFFFF_FFFF };
        cpu.gpr[RAX] = fit(answer.result as u64);
        if let Some(argument) = answer.argument {
            cpu.gpr[RDX] = fit(argument);
        }
    }
}
