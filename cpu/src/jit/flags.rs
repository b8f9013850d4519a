//! Where the guest's arithmetic flags are, tracked while translating: in the frame, in the host's flags, or in the
//! operands of the instruction that made them, which can be carried out once more.

use super::emit::{Code, Opcode, Rm};
use super::frame::{FLAGS, here};
use super::registers::{Host, RAX};

/// What of the host's flags differs from the guest's after an instruction that leaves some undefined. The reference is
/// `semantics/shift.rs`: OF of a shift by more than 1 is that of its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deviation {
    None,
    /// OF is CF xor SF (SHL).
    OverflowFromSign,
    /// OF is 0 (SHR, SAR).
    NoOverflow,
}

/// The second operand of an instruction that set the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Register(Host),
    Immediate(i32),
}

/// How the flags can be made again while the registers are as the instruction left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replay {
    /// ADD 0, AND 4, SUB 5, CMP 7 of group 1, or [`Replay::TEST`]; AND stands for all logic, on its result.
    pub operation: u8,
    /// Bytes of the operands: 4 or 8.
    pub wide: bool,
    /// The destination, which holds the result unless the operation is CMP.
    pub first: Host,
    pub second: Operand,
}

impl Replay {
    pub const TEST: u8 = 8;

    /// The registers it needs, a bit each.
    fn registers(&self) -> u32 {
        let second = match self.second {
            Operand::Register(register) => 1 << register.0,
            Operand::Immediate(_) => 0,
        };
        1 << self.first.0 | second
    }

    /// Emits it. RAX is lost.
    fn emit(&self, code: &mut Code) {
        match self.operation {
            AND => code.op(Opcode { wide: self.wide, ..Opcode::one(0x85) }, self.first.0, self.first, &[]),
            ADD | SUB => {
                code.copy(RAX, self.first);
                self.group1(code, if self.operation == ADD { SUB } else { ADD }, RAX);
                self.group1(code, self.operation, RAX);
            }
            Self::TEST => match self.second {
                Operand::Immediate(value) => {
                    let opcode = Opcode { wide: self.wide, ..Opcode::one(0xF7) };
                    code.op(opcode, 0, self.first, &value.to_le_bytes());
                }
                Operand::Register(second) => {
                    code.op(Opcode { wide: self.wide, ..Opcode::one(0x85) }, second.0, self.first, &[]);
                }
            },
            operation => self.group1(code, operation, self.first),
        }
    }

    fn group1(&self, code: &mut Code, operation: u8, first: Host) {
        match self.second {
            Operand::Immediate(value) => code.group1(self.wide, operation, first, value),
            Operand::Register(second) => {
                let opcode = Opcode { wide: self.wide, ..Opcode::one(operation << 3 | 1) };
                code.op(opcode, second.0, Rm::from(first), &[]);
            }
        }
    }
}

const ADD: u8 = 0;
const AND: u8 = 4;
const SUB: u8 = 5;

/// Where the flags are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlagState {
    /// The frame has them.
    saved: bool,
    /// The host's flags are them, but for the deviation.
    native: bool,
    deviation: Deviation,
    /// AF of the host is not what it should be, which is 0.
    wrong_aux: bool,
    /// They can be made again.
    replay: Option<Replay>,
}

impl FlagState {
    /// As at the start of a translation: in the frame.
    pub const SAVED: Self =
        Self { saved: true, native: false, deviation: Deviation::None, wrong_aux: false, replay: None };

    /// An instruction has just set them. `wrong_aux`: AF should be 0 and may not be.
    pub fn set(&mut self, deviation: Deviation, wrong_aux: bool) {
        *self = Self { saved: false, native: true, deviation, wrong_aux, replay: None };
    }

    /// They can be made again from what the instruction left.
    pub fn replayed_by(&mut self, replay: Replay) {
        self.replay = Some(replay);
    }

    /// Code that follows destroys the host's flags; they were settled, or are of no more use.
    pub fn lose(&mut self) {
        self.native = false;
        if self.replay.is_none() {
            *self = Self::SAVED;
        }
    }

    /// Whether the frame has them.
    pub fn saved(&self) -> bool {
        self.saved
    }

    /// Whether the host has them now.
    pub fn native(&self) -> bool {
        self.native
    }

    /// Whether the host has all of them, exactly.
    pub fn exact(&self) -> bool {
        self.native && self.deviation == Deviation::None && !self.wrong_aux
    }

    /// The registers in `written` (a bit each) are about to change; `killed` if so are the flags, unread.
    pub fn before_write(&mut self, code: &mut Code, written: u32, killed: bool) {
        if self.replay.is_some_and(|replay| replay.registers() & written != 0) {
            if !self.native && !killed {
                self.save(code);
            }
            if !killed {
                self.replay = None;
            }
        }
    }

    /// Sees to it that they are in the frame, or can be made again. RAX is lost; the host's flags stay if exact.
    pub fn settle(&mut self, code: &mut Code) {
        if self.replay.is_none() {
            self.save(code);
        }
    }

    /// Puts them into the frame. RAX is lost; the host's flags stay if they were exact, and are still thought to be the
    /// guest's: who destroys them loses them.
    pub fn save(&mut self, code: &mut Code) {
        if self.saved {
            return;
        }
        if !self.native
            && let Some(replay) = self.replay
        {
            replay.emit(code);
            self.native = true;
        }
        match self.deviation {
            // LAHF; SETO AL
            Deviation::None => code.plain(&[0x9F, 0x0F, 0x90, 0xC0]),
            // LAHF; MOV AL, AH; SHR AL, 7; XOR AL, AH; AND AL, 1
            Deviation::OverflowFromSign => {
                code.plain(&[0x9F, 0x8A, 0xC4, 0xC0, 0xE8, 7, 0x32, 0xC4, 0x24, 1]);
            }
            // LAHF; MOV AL, 0
            Deviation::NoOverflow => code.plain(&[0x9F, 0xB0, 0]),
        }
        if self.wrong_aux {
            clear_aux(code);
        }
        code.store32(here(FLAGS), RAX);
        self.saved = true;
        if self.deviation != Deviation::None || self.wrong_aux {
            self.native = false;
            self.deviation = Deviation::None;
            self.wrong_aux = false;
            self.replay = None;
        }
    }

    /// Has the host's flags be the guest's. RAX is lost.
    pub fn restore(&mut self, code: &mut Code) {
        if self.exact() {
            return;
        }
        if !self.native
            && !self.wrong_aux
            && let Some(replay) = self.replay
        {
            replay.emit(code);
        } else {
            self.save(code);
            restore(code);
        }
        self.native = true;
    }
}

/// AF is 0 in flags that LAHF has loaded. The host's flags are lost.
pub(super) fn clear_aux(code: &mut Code) {
    // AND AH, EFh
    code.plain(&[0x80, 0xE4, 0xEF]);
}

/// Loads the host's flags from the frame. RAX is lost.
pub(super) fn restore(code: &mut Code) {
    code.load32(RAX, here(FLAGS));
    // ADD AL, 7Fh sets OF if AL was 1; SAHF sets the others.
    code.plain(&[0x04, 0x7F, 0x9E]);
}

/// Whether a condition looks at OF.
pub(super) fn reads_overflow(condition: u8) -> bool {
    matches!(condition >> 1, 0 | 6 | 7)
}
