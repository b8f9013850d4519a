//! Host instructions as bytes: one encoder for every instruction that has a ModRM byte, and the few that have none.

use super::registers::Host;

/// Opcode maps (SDM Vol. 2A, 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    One,
    TwoByte,
    ThreeByte38,
    ThreeByte3A,
}

/// What of an instruction does not depend on its operands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opcode {
    /// 66h.
    pub operand_size: bool,
    /// F2h or F3h, 0 if neither.
    pub repeat: u8,
    /// REX.W.
    pub wide: bool,
    pub map: Map,
    pub byte: u8,
    /// A register operand of 8 bits may be SPL, BPL, SIL or DIL: those need a REX prefix.
    pub byte_register: bool,
}

impl Opcode {
    /// A one-byte opcode of 32-bit operand size.
    pub const fn one(byte: u8) -> Self {
        Self { operand_size: false, repeat: 0, wide: false, map: Map::One, byte, byte_register: false }
    }
    /// A one-byte opcode of 64-bit operand size.
    pub const fn wide(byte: u8) -> Self {
        Self { wide: true, ..Self::one(byte) }
    }
    /// An opcode behind 0Fh.
    pub const fn two(byte: u8) -> Self {
        Self { map: Map::TwoByte, ..Self::one(byte) }
    }
}

/// A memory operand of the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mem {
    pub base: Option<Host>,
    /// Register, and the binary logarithm of its scale.
    pub index: Option<(Host, u8)>,
    pub disp: i32,
}

/// `[base + disp]`.
pub(super) const fn at(base: Host, disp: i32) -> Mem {
    Mem { base: Some(base), index: None, disp }
}

/// What ModRM.rm means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rm {
    Reg(u8),
    Mem(Mem),
}

impl From<Host> for Rm {
    fn from(register: Host) -> Self {
        Self::Reg(register.0)
    }
}
impl From<Mem> for Rm {
    fn from(memory: Mem) -> Self {
        Self::Mem(memory)
    }
}

/// Condition codes as encoded.
pub(super) mod cc {
    pub const AE: u8 = 3;
    pub const E: u8 = 4;
    pub const NE: u8 = 5;
    pub const A: u8 = 7;
    /// Less, signed: after a SUB that does not overflow the same as S, but processors fuse it with the SUB.
    pub const L: u8 = 12;
}

/// Where a displacement or constant stands that is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixup(pub usize);

/// Code in the making.
#[derive(Default)]
pub(super) struct Code {
    pub bytes: Vec<u8>,
}

impl Code {
    /// Length so far, which is the offset of what comes next.
    pub fn here(&self) -> usize {
        self.bytes.len()
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// An instruction with a ModRM byte. `reg` is ModRM.reg: a register or a part of the opcode.
    pub fn op(&mut self, opcode: Opcode, reg: u8, rm: impl Into<Rm>, immediate: &[u8]) {
        let rm = rm.into();
        if opcode.operand_size {
            self.byte(0x66);
        }
        if opcode.repeat != 0 {
            self.byte(opcode.repeat);
        }
        let (b, x) = match rm {
            Rm::Reg(register) => (register, 0),
            Rm::Mem(memory) => {
                (memory.base.map_or(0, |base| base.0), memory.index.map_or(0, |(index, _)| index.0))
            }
        };
        let rex = 0x40 | u8::from(opcode.wide) << 3 | reg >> 3 << 2 | x >> 3 << 1 | b >> 3;
        let low = |register: u8| (4..8).contains(&register);
        let byte_rex = opcode.byte_register && (low(reg) || matches!(rm, Rm::Reg(register) if low(register)));
        if rex != 0x40 || byte_rex {
            self.byte(rex);
        }
        match opcode.map {
            Map::One => {}
            Map::TwoByte => self.byte(0x0F),
            Map::ThreeByte38 => self.bytes.extend([0x0F, 0x38]),
            Map::ThreeByte3A => self.bytes.extend([0x0F, 0x3A]),
        }
        self.byte(opcode.byte);
        self.modrm(reg & 7, rm);
        self.bytes.extend_from_slice(immediate);
    }

    /// ModRM, SIB and displacement (SDM Vol. 2A, 2.1.5).
    fn modrm(&mut self, reg: u8, rm: Rm) {
        let memory = match rm {
            Rm::Reg(register) => return self.byte(0xC0 | reg << 3 | register & 7),
            Rm::Mem(memory) => memory,
        };
        let Some(base) = memory.base else {
            // No base: SIB with base 101 and mod 00 has a 32-bit displacement.
            let (index, scale) = memory.index.map_or((4, 0), |(index, scale)| (index.0 & 7, scale));
            self.bytes.extend([reg << 3 | 4, scale << 6 | index << 3 | 5]);
            return self.bytes.extend(memory.disp.to_le_bytes());
        };
        let short = i8::try_from(memory.disp);
        let mode = match short {
            Ok(0) if base.0 & 7 != 5 => 0,
            Ok(_) => 1,
            Err(_) => 2,
        };
        match memory.index {
            Some((index, scale)) => {
                self.bytes.extend([mode << 6 | reg << 3 | 4, scale << 6 | (index.0 & 7) << 3 | base.0 & 7]);
            }
            None if base.0 & 7 == 4 => self.bytes.extend([mode << 6 | reg << 3 | 4, 0x24]),
            None => self.byte(mode << 6 | reg << 3 | base.0 & 7),
        }
        match (mode, short) {
            (1, Ok(short)) => self.byte(short as u8),
            (2, _) => self.bytes.extend(memory.disp.to_le_bytes()),
            _ => {}
        }
    }

    /// MOV of 64 bits from memory.
    pub fn load(&mut self, to: Host, from: Mem) {
        self.op(Opcode::wide(0x8B), to.0, from, &[]);
    }
    /// MOV of 32 bits from memory.
    pub fn load32(&mut self, to: Host, from: Mem) {
        self.op(Opcode::one(0x8B), to.0, from, &[]);
    }
    /// MOV of 64 bits to memory.
    pub fn store(&mut self, to: Mem, from: Host) {
        self.op(Opcode::wide(0x89), from.0, to, &[]);
    }
    /// MOV of 32 bits to memory.
    pub fn store32(&mut self, to: Mem, from: Host) {
        self.op(Opcode::one(0x89), from.0, to, &[]);
    }
    /// MOV of 32 bits of an immediate to memory.
    pub fn store32_immediate(&mut self, to: Mem, value: u32) {
        self.op(Opcode::one(0xC7), 0, to, &value.to_le_bytes());
    }
    /// MOV of 64 bits between registers.
    pub fn copy(&mut self, to: Host, from: Host) {
        if to != from {
            self.op(Opcode::wide(0x8B), to.0, from, &[]);
        }
    }
    /// LEA of 64 bits.
    pub fn lea(&mut self, to: Host, of: Mem) {
        self.op(Opcode::wide(0x8D), to.0, of, &[]);
    }

    /// The shortest MOV of a constant. Flags stay.
    pub fn constant(&mut self, to: Host, value: u64) {
        if let Ok(value) = u32::try_from(value) {
            if to.0 >= 8 {
                self.byte(0x41);
            }
            self.byte(0xB8 | to.0 & 7);
            self.bytes.extend(value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value as i64) {
            self.op(Opcode::wide(0xC7), 0, to, &value.to_le_bytes());
        } else {
            self.bytes.extend([0x48 | to.0 >> 3, 0xB8 | to.0 & 7]);
            self.bytes.extend(value.to_le_bytes());
        }
    }

    /// MOV of a constant of 64 bits to be said.
    pub fn constant64(&mut self, to: Host) -> Fixup {
        self.bytes.extend([0x48 | to.0 >> 3, 0xB8 | to.0 & 7]);
        let fixup = Fixup(self.here());
        self.bytes.extend([0; 8]);
        fixup
    }

    /// An operation of group 1 (ADD 0, OR 1, AND 4, SUB 5, XOR 6, CMP 7) with an immediate.
    pub fn group1(&mut self, wide: bool, operation: u8, rm: impl Into<Rm>, value: i32) {
        match i8::try_from(value) {
            Ok(value) => self.op(Opcode { wide, ..Opcode::one(0x83) }, operation, rm, &[value as u8]),
            Err(_) => self.op(Opcode { wide, ..Opcode::one(0x81) }, operation, rm, &value.to_le_bytes()),
        }
    }

    /// A shift of group 2 (SHL 4, SHR 5, SAR 7) by a constant.
    pub fn shift(&mut self, wide: bool, operation: u8, register: Host, count: u8) {
        self.op(Opcode { wide, ..Opcode::one(0xC1) }, operation, register, &[count]);
    }

    /// PUSH of 64 bits.
    pub fn push(&mut self, register: Host) {
        if register.0 >= 8 {
            self.byte(0x41);
        }
        self.byte(0x50 | register.0 & 7);
    }
    /// POP of 64 bits.
    pub fn pop(&mut self, register: Host) {
        if register.0 >= 8 {
            self.byte(0x41);
        }
        self.byte(0x58 | register.0 & 7);
    }
    /// RET.
    pub fn ret(&mut self) {
        self.byte(0xC3);
    }
    /// Bytes of an instruction without operands.
    pub fn plain(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// JMP to a place to be said.
    pub fn jump(&mut self) -> Fixup {
        self.byte(0xE9);
        self.displacement()
    }
    /// Jcc to a place to be said.
    pub fn jump_if(&mut self, condition: u8) -> Fixup {
        self.bytes.extend([0x0F, 0x80 | condition]);
        self.displacement()
    }
    /// CALL of a place to be said.
    pub fn call(&mut self) -> Fixup {
        self.byte(0xE8);
        self.displacement()
    }
    fn displacement(&mut self) -> Fixup {
        let fixup = Fixup(self.here());
        self.bytes.extend([0; 4]);
        fixup
    }

    /// Jumps back to `target`, an offset in this code.
    pub fn jump_to(&mut self, target: usize) {
        let fixup = self.jump();
        self.bind_to(fixup, target as i64);
    }
    /// Has a displacement lead to what comes next.
    pub fn bind(&mut self, fixup: Fixup) {
        self.bind_to(fixup, self.here() as i64);
    }
    /// Has a displacement lead to an offset relative to the start of this code.
    pub fn bind_to(&mut self, fixup: Fixup, target: i64) {
        let displacement = (target - (fixup.0 as i64 + 4)) as i32;
        self.bytes[fixup.0..fixup.0 + 4].copy_from_slice(&displacement.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn text(build: impl FnOnce(&mut Code)) -> String {
        let mut code = Code::default();
        build(&mut code);
        let mut decoder = Decoder::with_ip(64, &code.bytes, 0, DecoderOptions::NONE);
        let instr = decoder.decode();
        assert_eq!(instr.len(), code.bytes.len(), "{:02x?}", code.bytes);
        format!(
            "{:?} {} {:?}+{:?}*{}+{:#x}",
            instr.code(),
            if instr.op_count() > 0 { format!("{:?}", instr.op_register(0)) } else { String::new() },
            instr.memory_base(),
            instr.memory_index(),
            instr.memory_index_scale(),
            instr.memory_displacement64()
        )
    }

    #[test]
    fn every_base_register_is_encoded() {
        for base in 0..16 {
            for disp in [0, 1, -1, 1000] {
                let mut code = Code::default();
                code.load(Host(9), at(Host(base), disp));
                let instr = Decoder::with_ip(64, &code.bytes, 0, DecoderOptions::NONE).decode();
                assert_eq!(instr.memory_base().number(), usize::from(base));
                assert_eq!(instr.memory_displacement64() as i32, disp);
                assert_eq!(instr.op0_register(), iced_x86::Register::R9);
            }
        }
    }

    #[test]
    fn indexes_constants_and_byte_registers_are_encoded() {
        let indexed = Mem { base: Some(Host(13)), index: Some((Host(9), 3)), disp: 0 };
        assert_eq!(text(|code| code.lea(Host(0), indexed)), "Lea_r64_m RAX R13+R9*8+0x0");
        let without = Mem { base: None, index: Some((Host(2), 2)), disp: -8 };
        assert_eq!(text(|code| code.lea(Host(0), without)), "Lea_r64_m RAX None+RDX*4+0xfffffffffffffff8");
        assert!(text(|code| code.constant(Host(10), 5)).starts_with("Mov_r32_imm32 R10D"));
        assert!(text(|code| code.constant(Host(10), !0)).starts_with("Mov_rm64_imm32 R10"));
        assert!(text(|code| code.constant(Host(10), 1 << 40)).starts_with("Mov_r64_imm64 R10"));
        let byte = Opcode { byte_register: true, ..Opcode::one(0x88) };
        assert!(text(|code| code.op(byte, 6, Host(7), &[])).starts_with("Mov_rm8_r8 DIL"));
    }
}
