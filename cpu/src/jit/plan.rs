//! What the translator knows of each instruction of a block before it begins: how it is translated, and what it does to
//! the flags.

use super::host::HostCpu;
use super::mmx;
use super::raw::Raw;
use super::registers::{Home, Homes};
use super::window::{Loop, Windows};
use super::x87;
use crate::CpuModel;
use crate::block::Modes;
use crate::decode::{Decoded, decode_with, executable, operand_size, register_code};
use crate::exec::{Insn, iflag, is_canonical};
use crate::semantics::request;
use crate::state::CodeSize;
use iced_x86::{CpuidFeature, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register, RflagsBits};

const ARITHMETIC: u32 =
    RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::CF | RflagsBits::PF;

/// How an instruction is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The interpreter's function is called.
    Interpret,
    /// Operands in ModRM: what happens to the one that comes first in the manual, and to the second.
    ModRm {
        first: Use,
        second: Use,
    },
    /// The same where one of them is AH, BH, CH or DH.
    High {
        first: Use,
        second: Use,
    },
    /// The short forms with an immediate and AL, AX, EAX or RAX.
    Accumulator,
    /// A shift or rotation by a constant or CL.
    Shift,
    Lea,
    /// MOV of a constant to a register.
    Constant,
    /// MUL and IMUL with one operand.
    Multiply,
    Divide,
    Cmpxchg,
    Bswap,
    /// BSF, BSR (TZCNT and LZCNT are these where the processor lacks them).
    Scan,
    /// CBW, CWDE, CDQE, CWD, CDQ, CQO.
    Extend,
    Push,
    Pop,
    Leave,
    Nothing,
    /// CLI.
    DisableInterrupts,
    /// STI.
    EnableInterrupts,
    SwapGs,
    /// SYSCALL.
    EnterKernel,
    /// SYSRET to 64-bit code.
    LeaveKernel,
    /// PAUSE.
    Pause,
    /// RDTSC, RDTSCP.
    ReadTsc,
    /// MOV of a selector to a register of 32 or 64 bits.
    ReadSelector,
    /// PUSHFQ.
    PushFlags,
    Jump,
    JumpIf,
    Call,
    Return,
    IndirectJump,
    IndirectCall,
    Vector,
    X87,
    Mmx,
    /// MASKMOVQ.
    MaskedStore,
}

/// What an instruction does with an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    None,
    Read,
    Write,
    Modify,
}

impl Use {
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Modify)
    }
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Modify)
    }
}

/// An instruction to be translated.
pub(super) struct Planned<'a> {
    pub instr: Instruction,
    pub insn: Insn,
    pub bytes: &'a [u8],
    pub raw: Raw,
    pub way: Way,
    pub reads_flags: bool,
    /// It sets all arithmetic flags, or leaves them undefined.
    pub sets_flags: bool,
    /// It changes some of them.
    pub changes_flags: bool,
    /// Checks before it cover its accesses to memory.
    pub covered: bool,
    /// RIP of its block.
    pub rip: u64,
    /// Where a loop goes on after it, if it is the last of its block.
    pub goes_to: Option<u64>,
}

/// What is translated for: the guest's processor, what may be native now, and the host.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub model: &'a CpuModel,
    pub modes: Modes,
    pub host: HostCpu,
}

/// A block to be translated.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub rip: u64,
    /// Its code and what follows.
    pub bytes: &'a [u8],
    /// Instructions.
    pub count: usize,
}

impl Planned<'_> {
    /// RIP of its successor.
    pub fn next(&self) -> u64 {
        self.rip.wrapping_add(u64::from(self.insn.next))
    }

    /// Where it leads if it is a direct branch.
    pub fn target(&self) -> u64 {
        self.next().wrapping_add(self.insn.imm)
    }

    /// Has a loop go on at `rip` after it. `None` if it does not lead there.
    fn go_on_at(&mut self, rip: u64) -> Option<()> {
        let leads = match self.way {
            Way::Jump => rip == self.target(),
            // A branch to where no code can be faults itself.
            Way::JumpIf => is_canonical(self.target()) && (rip == self.target() || rip == self.next()),
            _ => self.insn.flags & iflag::BRANCH == 0 && rip == self.next(),
        };
        self.goes_to = Some(rip);
        leads.then_some(())
    }

    /// The bytes of the immediates.
    pub fn immediate(&self) -> &[u8] {
        &self.bytes[self.bytes.len() - self.raw.immediate..]
    }

    /// BT and its kin.
    pub fn is_bit_test(&self) -> bool {
        is_bit_test(&self.instr)
    }

    /// Whether there is a memory operand.
    pub fn has_memory(&self) -> bool {
        (0..self.instr.op_count()).any(|i| self.instr.op_kind(i) == OpKind::Memory)
    }

    /// Whether the interpreter's function may read or change arithmetic flags.
    pub fn touches_flags(&self) -> bool {
        let known = !matches!(self.way, Way::Interpret)
            || matches!(self.instr.mnemonic(), Mnemonic::Stosq | Mnemonic::Movsq);
        !known || self.changes_flags || self.reads_flags
    }

    /// Whether XMM registers and MXCSR have to be the guest's for it.
    pub fn uses_xmm(&self) -> bool {
        self.way == Way::Vector || self.way == Way::Mmx && mmx::uses_sse(&self.instr)
    }

    /// Whether the x87 registers have to be.
    pub fn uses_x87(&self) -> bool {
        matches!(self.way, Way::X87 | Way::Mmx | Way::MaskedStore)
    }

    /// The host registers it changes while translated code runs, a bit each.
    pub fn writes(&self, homes: &Homes) -> u32 {
        // The flags are saved before the interpreter runs, so they need no registers then.
        let written = if self.way == Way::Interpret { 0 } else { self.written() };
        let host = |code: u8| match homes.of(code) {
            Home::Register(register) => 1 << register.0,
            Home::Slot(_) => 0,
        };
        (0..16).filter(|code| written >> code & 1 != 0).fold(0, |all, code| all | host(code))
    }

    /// The guest registers it has to do with, a bit each.
    pub fn used(&self) -> u16 {
        let mut info = InstructionInfoFactory::new();
        let registers = info.info(&self.instr).used_registers().iter().map(|used| used.register());
        registers
            .filter(|register| register.is_gpr())
            .fold(0, |all, register| all | 1 << register.full_register().number())
    }

    /// The guest registers it changes, a bit each.
    pub fn written(&self) -> u16 {
        let operand = |i: u32| match self.instr.op_kind(i) {
            OpKind::Register if self.instr.op_register(i).is_gpr() => {
                1 << (register_code(self.instr.op_register(i)) & 15)
            }
            _ => 0,
        };
        let (rax, rdx, rsp, rbp) = (1 << 0, 1 << 2, 1 << 4, 1 << 5);
        match self.way {
            Way::ModRm { first, second } | Way::High { first, second } => {
                let first = if first.writes() { operand(0) } else { 0 };
                first | if second.writes() { operand(1) } else { 0 }
            }
            Way::Lea | Way::Constant | Way::Bswap | Way::Scan | Way::Shift | Way::ReadSelector => operand(0),
            Way::Accumulator => rax,
            Way::Cmpxchg => rax | operand(0),
            Way::Multiply | Way::Divide | Way::Extend => rax | rdx,
            Way::EnterKernel => 1 << 1 | 1 << 11,
            Way::ReadTsc => rax | rdx | 1 << 1,
            Way::Push | Way::PushFlags | Way::Call | Way::IndirectCall | Way::Return => rsp,
            Way::Pop => rsp | operand(0),
            Way::Leave => rsp | rbp,
            Way::Vector | Way::Mmx if self.instr.op_count() > 0 => operand(0),
            Way::X87 if self.instr.mnemonic() == Mnemonic::Fnstsw => rax,
            Way::Interpret => !0,
            Way::X87
            | Way::Vector
            | Way::Mmx
            | Way::MaskedStore
            | Way::Nothing
            | Way::DisableInterrupts
            | Way::EnableInterrupts
            | Way::SwapGs
            | Way::Pause
            | Way::LeaveKernel
            | Way::Jump
            | Way::JumpIf
            | Way::IndirectJump => 0,
        }
    }

    /// Whether the guest may come to see the flags as they are before it, even if it does not read them.
    pub fn may_leave(&self) -> bool {
        match self.way {
            Way::Lea | Way::Constant | Way::Bswap | Way::Extend | Way::Nothing | Way::ReadSelector => false,
            Way::ModRm { .. }
            | Way::High { .. }
            | Way::Accumulator
            | Way::Shift
            | Way::Multiply
            | Way::Scan
            | Way::Vector
            | Way::X87
            | Way::Mmx
            | Way::Cmpxchg => self.has_memory() && !self.covered,
            Way::Push | Way::Pop | Way::Leave => !self.covered,
            _ => true,
        }
    }
}

/// Plans the instructions of blocks that follow one another, of a loop if they are one, and finds windows.
pub(super) fn plan<'a>(
    pieces: &[Piece<'a>],
    looping: Option<Loop>,
    target: &Target,
) -> Option<(Vec<Planned<'a>>, Windows)> {
    let mut planned = Vec::with_capacity(pieces.iter().map(|piece| piece.count).sum());
    for (n, piece) in pieces.iter().enumerate() {
        plan_piece(&mut planned, piece, target)?;
        if looping.is_some() {
            let next = pieces[(n + 1) % pieces.len()].rip;
            planned.last_mut()?.go_on_at(next)?;
        }
    }
    let windows = Windows::of(&planned, looping);
    for (index, planned) in planned.iter_mut().enumerate() {
        planned.covered = windows.cover(index, planned);
    }
    Some((planned, windows))
}

fn plan_piece<'a>(planned: &mut Vec<Planned<'a>>, piece: &Piece<'a>, target: &Target) -> Option<()> {
    let (bytes, mut at) = (piece.bytes, 0);
    for _ in 0..piece.count {
        let mut instr = Instruction::default();
        let Decoded::Insn(insn, ..) =
            decode_with(&bytes[at..], at as u16, CodeSize::Bits64, target.model, &mut instr)
        else {
            return None;
        };
        let len = usize::from(insn.len);
        let bytes = &bytes[at..at + len];
        at += len;
        let next = planned_instruction(instr, insn, bytes, target);
        planned.push(Planned { rip: piece.rip, ..next });
    }
    Some(())
}

fn planned_instruction<'a>(instr: Instruction, insn: Insn, bytes: &'a [u8], target: &Target) -> Planned<'a> {
    let known = !instr.is_invalid() && executable(&instr, CodeSize::Bits64, target.model);
    let raw = if known { Raw::new(bytes, &instr) } else { Raw::new(&[0x90, 0], &Instruction::default()) };
    let way = if known && reads_selector(&instr) {
        Way::ReadSelector
    } else if known && plain_operands(&instr) {
        way_high(&instr, way(&instr, target))
    } else {
        Way::Interpret
    };
    // Division leaves the flags as they are, on the reference as on the interpreter.
    let modified = if way == Way::Divide { 0 } else { instr.rflags_modified() & ARITHMETIC };
    let levels = matches!(way, Way::EnterKernel | Way::LeaveKernel);
    let partial = is_bit_test(&instr) || matches!(instr.mnemonic(), Mnemonic::Rol | Mnemonic::Ror);
    Planned {
        sets_flags: modified == ARITHMETIC
            && !partial
            && !levels
            && way != Way::Interpret
            && !may_shift_by_nothing(&instr, way),
        changes_flags: modified != 0 || partial,
        reads_flags: way != Way::Interpret && instr.rflags_read() & ARITHMETIC != 0 || levels,
        instr,
        insn,
        bytes,
        raw,
        way,
        covered: false,
        rip: 0,
        goes_to: None,
    }
}

fn is_bit_test(instr: &Instruction) -> bool {
    matches!(instr.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
}

/// A shift by CL leaves the flags alone if CL is 0.
fn may_shift_by_nothing(instr: &Instruction, way: Way) -> bool {
    way == Way::Shift && instr.op_kind(1) == OpKind::Register
}

/// MOV of a selector to a register of 32 or 64 bits.
fn reads_selector(instr: &Instruction) -> bool {
    use iced_x86::Code as C;
    matches!(instr.code(), C::Mov_r32m16_Sreg | C::Mov_r64m16_Sreg) && instr.op_kind(0) == OpKind::Register
}

/// Whether the operands are of kinds the translator knows: no control, debug or segment registers.
fn plain_operands(instr: &Instruction) -> bool {
    (0..instr.op_count()).all(|i| match instr.op_kind(i) {
        OpKind::Register => {
            let register = instr.op_register(i);
            register.is_gpr() || register.is_xmm() || register.is_mm() || register.is_st()
        }
        _ => true,
    })
}

/// AH, BH, CH or DH.
pub(super) fn is_high(register: Register) -> bool {
    matches!(register, Register::AH | Register::BH | Register::CH | Register::DH)
}

/// How an instruction on AH, BH, CH or DH is translated: those are reached only without a REX prefix.
fn way_high(instr: &Instruction, plain: Way) -> Way {
    let high = |i| instr.op_kind(i) == OpKind::Register && is_high(instr.op_register(i));
    let count = (0..instr.op_count()).filter(|i| high(*i)).count();
    match plain {
        plain if count == 0 => plain,
        Way::ModRm { first, second } if count == 1 => Way::High { first, second },
        _ => Way::Interpret,
    }
}

fn way(instr: &Instruction, target: &Target) -> Way {
    use Mnemonic as M;
    use Use::{Modify, Read, Write};
    let memory = |i| i < instr.op_count() && instr.op_kind(i) == OpKind::Memory;
    let register = |i| i < instr.op_count() && instr.op_kind(i) == OpKind::Register;
    if mmx::is_mmx(instr) {
        let available = target.modes.x87 && (target.modes.sse || !mmx::uses_sse(instr));
        return if available { mmx::way(instr) } else { Way::Interpret };
    }
    if mmx::has_xmm(instr) {
        return if target.modes.sse && translatable_vector(instr, target.host) {
            Way::Vector
        } else {
            Way::Interpret
        };
    }
    if x87::is_translatable(instr) {
        return if target.modes.x87 { Way::X87 } else { Way::Interpret };
    }
    if instr.is_jcc_short_or_near() {
        return Way::JumpIf;
    }
    let modrm = |first, second| Way::ModRm { first, second };
    let conditional = instr.condition_code() != iced_x86::ConditionCode::None;
    match instr.mnemonic() {
        M::Add | M::Or | M::Adc | M::Sbb | M::And | M::Sub | M::Xor if accumulator(instr) => Way::Accumulator,
        M::Cmp | M::Test if accumulator(instr) => Way::Accumulator,
        M::Add | M::Or | M::Adc | M::Sbb | M::And | M::Sub | M::Xor => modrm(Modify, Read),
        M::Cmp | M::Test => modrm(Read, Read),
        M::Inc | M::Dec | M::Neg | M::Not => modrm(Modify, Use::None),
        M::Mov => mov(instr),
        M::Movzx | M::Movsx | M::Movsxd => modrm(Write, Read),
        M::Movnti => modrm(Write, Read),
        M::Lea => Way::Lea,
        M::Imul if instr.op_count() == 1 => Way::Multiply,
        M::Imul if instr.op_count() == 2 => modrm(Modify, Read),
        M::Imul => modrm(Write, Read),
        M::Mul => Way::Multiply,
        M::Div | M::Idiv if operand_size(instr, 0) >= 4 => Way::Divide,
        M::Shl | M::Shr | M::Sar | M::Rol | M::Ror => Way::Shift,
        M::Bt if !(memory(0) && register(1)) => modrm(Read, Read),
        M::Bts | M::Btr | M::Btc if !(memory(0) && register(1)) => modrm(Modify, Read),
        M::Bsf | M::Bsr | M::Tzcnt | M::Lzcnt if register(1) => Way::Scan,
        M::Popcnt => modrm(Write, Read),
        M::Crc32 => modrm(Modify, Read),
        M::Bswap if instr.op_register(0).size() >= 4 => Way::Bswap,
        M::Xchg if !exchanges_accumulator(instr) => modrm(Modify, Modify),
        M::Xadd => modrm(Modify, Modify),
        M::Cmpxchg => Way::Cmpxchg,
        M::Cbw | M::Cwde | M::Cdqe | M::Cwd | M::Cdq | M::Cqo => Way::Extend,
        M::Nop | M::Endbr64 | M::Lfence | M::Mfence | M::Sfence if request::select(instr).is_none() => {
            Way::Nothing
        }
        M::Cli => Way::DisableInterrupts,
        M::Sti => Way::EnableInterrupts,
        M::Swapgs => Way::SwapGs,
        M::Pause => Way::Pause,
        M::Syscall => Way::EnterKernel,
        M::Sysretq => Way::LeaveKernel,
        M::Rdtsc | M::Rdtscp => Way::ReadTsc,
        M::Pushfq if instr.stack_pointer_increment() == -8 => Way::PushFlags,
        M::Prefetcht0 | M::Prefetcht1 | M::Prefetcht2 | M::Prefetchnta | M::Prefetchw => Way::Nothing,
        M::Push if instr.stack_pointer_increment() == -8 && plain_push(instr) => Way::Push,
        M::Pop if register(0) && instr.op_register(0).is_gpr64() => Way::Pop,
        M::Leave if instr.code() == iced_x86::Code::Leaveq => Way::Leave,
        M::Jmp if instr.is_jmp_short_or_near() => Way::Jump,
        M::Jmp if instr.is_jmp_near_indirect() && wide_branch(instr) => Way::IndirectJump,
        M::Call if instr.is_call_near() => Way::Call,
        M::Call if instr.is_call_near_indirect() && wide_branch(instr) => Way::IndirectCall,
        M::Ret if matches!(instr.code(), iced_x86::Code::Retnq | iced_x86::Code::Retnq_imm16) => Way::Return,
        _ if conditional && instr.op_count() == 2 => modrm(Modify, Read),
        _ if conditional && instr.op_count() == 1 && operand_is_byte(instr) => modrm(Write, Use::None),
        _ => Way::Interpret,
    }
}

/// The one-byte form of XCHG.
fn exchanges_accumulator(instr: &Instruction) -> bool {
    use iced_x86::Code as C;
    matches!(instr.code(), C::Xchg_r16_AX | C::Xchg_r32_EAX | C::Xchg_r64_RAX)
}

fn operand_is_byte(instr: &Instruction) -> bool {
    match instr.op_kind(0) {
        OpKind::Register => instr.op_register(0).size() == 1,
        OpKind::Memory => instr.memory_size().size() == 1,
        _ => false,
    }
}

fn plain_push(instr: &Instruction) -> bool {
    instr.op_kind(0) != OpKind::Register || instr.op_register(0).is_gpr64()
}

fn wide_branch(instr: &Instruction) -> bool {
    match instr.op_kind(0) {
        OpKind::Register => instr.op_register(0).is_gpr64(),
        OpKind::Memory => instr.memory_size().size() == 8,
        _ => false,
    }
}

/// Whether the form has no ModRM byte, but AL, AX, EAX or RAX and an immediate.
fn accumulator(instr: &Instruction) -> bool {
    use iced_x86::Code as C;
    matches!(
        instr.code(),
        C::Add_AL_imm8
            | C::Add_AX_imm16
            | C::Add_EAX_imm32
            | C::Add_RAX_imm32
            | C::Or_AL_imm8
            | C::Or_AX_imm16
            | C::Or_EAX_imm32
            | C::Or_RAX_imm32
            | C::Adc_AL_imm8
            | C::Adc_AX_imm16
            | C::Adc_EAX_imm32
            | C::Adc_RAX_imm32
            | C::Sbb_AL_imm8
            | C::Sbb_AX_imm16
            | C::Sbb_EAX_imm32
            | C::Sbb_RAX_imm32
            | C::And_AL_imm8
            | C::And_AX_imm16
            | C::And_EAX_imm32
            | C::And_RAX_imm32
            | C::Sub_AL_imm8
            | C::Sub_AX_imm16
            | C::Sub_EAX_imm32
            | C::Sub_RAX_imm32
            | C::Xor_AL_imm8
            | C::Xor_AX_imm16
            | C::Xor_EAX_imm32
            | C::Xor_RAX_imm32
            | C::Cmp_AL_imm8
            | C::Cmp_AX_imm16
            | C::Cmp_EAX_imm32
            | C::Cmp_RAX_imm32
            | C::Test_AL_imm8
            | C::Test_AX_imm16
            | C::Test_EAX_imm32
            | C::Test_RAX_imm32
    )
}

fn mov(instr: &Instruction) -> Way {
    use iced_x86::Code as C;
    match instr.code() {
        C::Mov_r32_imm32 | C::Mov_r64_imm64 => Way::Constant,
        C::Mov_rm8_r8
        | C::Mov_rm16_r16
        | C::Mov_rm32_r32
        | C::Mov_rm64_r64
        | C::Mov_r8_rm8
        | C::Mov_r16_rm16
        | C::Mov_r32_rm32
        | C::Mov_r64_rm64
        | C::Mov_rm8_imm8
        | C::Mov_rm16_imm16
        | C::Mov_rm32_imm32
        | C::Mov_rm64_imm32 => Way::ModRm { first: Use::Write, second: Use::Read },
        _ => Way::Interpret,
    }
}

/// Whether an instruction on XMM registers is the same on every host, touches no implicit general register, and has no
/// memory operand besides ModRM's.
fn translatable_vector(instr: &Instruction, host: HostCpu) -> bool {
    use Mnemonic as M;
    let base = instr.cpuid_features().iter().all(|feature| {
        matches!(
            feature,
            CpuidFeature::SSE
                | CpuidFeature::SSE2
                | CpuidFeature::SSE3
                | CpuidFeature::SSSE3
                | CpuidFeature::SSE4_1
                | CpuidFeature::SSE4_2
        ) || match feature {
            CpuidFeature::AES => host.aes,
            CpuidFeature::PCLMULQDQ => host.pclmulqdq,
            _ => false,
        }
    });
    base && !matches!(
        instr.mnemonic(),
        M::Rcpps
            | M::Rcpss
            | M::Rsqrtps
            | M::Rsqrtss
            | M::Maskmovdqu
            // Which NaN a sum of NaNs keeps differs between vendors.
            | M::Dpps
            | M::Dppd
            // Whether it is an MMX instruction with memory differs, too.
            | M::Cvtpi2pd
            | M::Pcmpestri
            | M::Pcmpestrm
            | M::Pcmpistri
            | M::Pcmpistrm
            | M::Pcmpestri64
            | M::Pcmpestrm64
    )
}
