//! Instructions in memory as a processor would read them, also those before an address. Nothing faults, and nothing is marked
//! as accessed.

use crate::gdb::memory;
use crate::machine::Machine;
use crate::symbols::Symbols;
use amber_mmu::PAGE;
use iced_x86::{Decoder, DecoderOptions, FastFormatter, FlowControl, Instruction, Mnemonic, OpKind};
use std::collections::BTreeMap;

/// Longest instruction.
const LONGEST: u64 = 15;
/// Bytes before an address in which decoding comes to fall in with the instructions that are run.
const APPROACH: u64 = 64;
/// Farthest a symbol lies before an address to begin at.
const NEAR: u64 = 4096;

/// An instruction, or a byte that begins none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub linear: u64,
    pub bytes: Vec<u8>,
    pub text: String,
    /// Linear address of where it may go, if it says so itself.
    pub target: Option<u64>,
}

/// Where code is, and how it is read.
struct Code<'a> {
    machine: &'a Machine,
    cpu: usize,
    bits: u32,
    /// What a linear address is above the instruction pointer.
    base: u64,
}

impl Code<'_> {
    fn read(&self, linear: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        let read = memory::read(self.machine, self.cpu, linear, &mut bytes);
        bytes.truncate(read);
        bytes
    }

    fn mapped(&self, linear: u64) -> bool {
        memory::translate(self.machine, self.cpu, linear).is_some()
    }

    fn decode(&self, linear: u64, bytes: &[u8]) -> Instruction {
        let ip = linear.wrapping_sub(self.base);
        Decoder::with_ip(self.bits, bytes, ip, DecoderOptions::NONE).decode()
    }

    fn line(&self, linear: u64) -> Option<Line> {
        let bytes = self.read(linear, LONGEST);
        if bytes.is_empty() {
            return None;
        }
        let instruction = self.decode(linear, &bytes);
        if instruction.is_invalid() {
            let text = format!("(byte {:#04x})", bytes[0]);
            return Some(Line { linear, bytes: bytes[..1].to_vec(), text, target: None });
        }
        let mut text = String::new();
        let mut formatter = FastFormatter::new();
        formatter.options_mut().set_use_hex_prefix(true);
        formatter.options_mut().set_uppercase_hex(false);
        formatter.options_mut().set_space_after_operand_separator(true);
        formatter.format(&instruction, &mut text);
        let target = target(&instruction).map(|ip| ip.wrapping_add(self.base));
        Some(Line { linear, bytes: bytes[..instruction.len()].to_vec(), text, target })
    }

    /// Addresses of the instructions from `start` on, if one begins at `end`.
    fn chain(&self, start: u64, end: u64, bytes: &[u8]) -> Option<Vec<u64>> {
        let (mut at, mut chain) = (start, Vec::new());
        while at < end {
            let instruction = self.decode(at, bytes.get((at - start) as usize..)?);
            if instruction.is_invalid() {
                return None;
            }
            chain.push(at);
            at += instruction.len() as u64;
        }
        (at == end).then_some(chain)
    }

    /// Addresses of up to `count` instructions that lead to `end`: from the start of its function where that is known, else
    /// those that decoding from most places before it agrees on.
    fn before(&self, end: u64, count: u64, symbols: Option<&Symbols>) -> Vec<u64> {
        let keep = |chain: Vec<u64>| chain[chain.len().saturating_sub(count as usize)..].to_vec();
        let function = symbols.and_then(|symbols| symbols.locate(end)).filter(|found| found.code);
        let named = function.map(|found| found.offset).filter(|offset| (1..=NEAR).contains(offset));
        if let Some(offset) = named {
            let start = end - offset;
            if let Some(chain) = self.chain(start, end, &self.read(start, offset)) {
                return match chain.len() as u64 {
                    enough if enough >= count => keep(chain),
                    // The rest lies before the function.
                    len => [self.before(start, count - len, None), chain].concat(),
                };
            }
        }
        let reach = count.saturating_mul(LONGEST).saturating_add(APPROACH).min(end);
        let first = (0..).map(|page| (end - end % PAGE).wrapping_sub(page * PAGE));
        let unmapped =
            first.take_while(|at| *at <= end && end - at < reach + PAGE).find(|at| !self.mapped(*at));
        let start = unmapped.map_or(end - reach, |at| (at + PAGE).max(end - reach)).min(end);
        let bytes = self.read(start, end - start);
        let mut votes: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        for skipped in 0..APPROACH.min(end - start) {
            let from = start + skipped;
            if let Some(chain) = self.chain(from, end, &bytes[skipped as usize..]) {
                *votes.entry(keep(chain)).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(chain, _)| chain).unwrap_or_default()
    }
}

/// The instruction pointer a branch goes to, if the instruction says so itself.
fn target(instruction: &Instruction) -> Option<u64> {
    let near =
        matches!(instruction.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    near.then(|| instruction.near_branch_target())
}

fn code(machine: &Machine, cpu: usize) -> Code<'_> {
    let vcpu = &machine.vcpus()[cpu];
    let base = vcpu.linear_rip().wrapping_sub(vcpu.rip);
    Code { machine, cpu, bits: vcpu.code_size().bits(), base }
}

/// Up to `before` instructions before the linear address, and `count` from there on, as processor `cpu` reads them now.
pub fn around(
    machine: &Machine,
    cpu: usize,
    linear: u64,
    before: u32,
    count: u32,
    symbols: Option<&Symbols>,
) -> Vec<Line> {
    let code = code(machine, cpu);
    let earlier = match before {
        0 => Vec::new(),
        before => code.before(linear, before.into(), symbols),
    };
    let mut lines: Vec<_> = earlier.into_iter().filter_map(|at| code.line(at)).collect();
    let mut at = linear;
    for _ in 0..count {
        let Some(line) = code.line(at) else { break };
        at = at.wrapping_add(line.bytes.len() as u64);
        lines.push(line);
    }
    lines
}

/// What an instruction does with the flow of control, as stepping sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The one after it comes next, at the latest when what is between has returned there.
    Next,
    /// A function or something like it is called, and returns to the one after it.
    Call,
    Return,
    /// It may go elsewhere.
    Other,
}

/// What the next instruction of a processor does, and the linear address of the one after it.
pub fn flow(machine: &Machine, cpu: usize) -> (Flow, u64) {
    let code = code(machine, cpu);
    let linear = machine.vcpus()[cpu].linear_rip();
    let instruction = code.decode(linear, &code.read(linear, LONGEST));
    let flow = match instruction.flow_control() {
        _ if instruction.is_invalid() => Flow::Other,
        FlowControl::Next => Flow::Next,
        FlowControl::Call | FlowControl::IndirectCall | FlowControl::Interrupt => Flow::Call,
        FlowControl::Return => Flow::Return,
        _ => Flow::Other,
    };
    (flow, linear.wrapping_add(instruction.len() as u64))
}

/// Whether the next instruction of a processor returns from an interrupt.
pub fn is_interrupt_return(machine: &Machine, cpu: usize) -> bool {
    let code = code(machine, cpu);
    let linear = machine.vcpus()[cpu].linear_rip();
    let mnemonic = code.decode(linear, &code.read(linear, LONGEST)).mnemonic();
    matches!(mnemonic, Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq)
}
