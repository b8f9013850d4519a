//! Random instruction streams: programs of 64-bit code that loop over instructions nobody would write, so that the
//! JIT translates them, with operands in registers and in memory of every kind.

use crate::Random;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

/// Where the program lies.
pub const CODE: u64 = 0x10_0000;
/// Memory that its instructions access: addresses of operands are in the 64 KiB from here on.
pub const DATA: u64 = 0x80_0000;
const STACK: u64 = 0x90_8000;
const COUNTER: u64 = 0x98_0000;
/// Rounds of its loop.
const ROUNDS: u32 = 60;
/// Instructions in the loop.
const INSNS: usize = 50;

/// One-byte opcodes with a ModRM byte.
const ONE_BYTE: [u8; 62] = [
    0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0A, 0x0B, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1A, 0x1B, 0x20,
    0x21, 0x22, 0x23, 0x28, 0x29, 0x2A, 0x2B, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39, 0x3A, 0x3B, 0x63, 0x69,
    0x6B, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8B, 0x8D, 0xC0, 0xC1, 0xC6, 0xC7,
    0xD0, 0xD1, 0xD2, 0xD3, 0xF6, 0xF7, 0xFE, 0xFF, 0x83, 0xD1, 0xC1,
];

/// Opcodes without operands worth having.
const PLAIN: [&[u8]; 14] = [
    &[0x98],
    &[0x48, 0x98],
    &[0x66, 0x98],
    &[0x99],
    &[0x48, 0x99],
    &[0x66, 0x99],
    &[0x9C],
    &[0x9E],
    &[0x9F],
    &[0xF5],
    &[0xF8],
    &[0xF9],
    &[0x04, 0x5A],
    &[0x48, 0x3D, 1, 2, 3, 0x84],
];

/// A program, and the number of its steps is not known.
pub fn program(random: &mut Random) -> Vec<u8> {
    let mut code = prologue(random);
    let head = code.len();
    for _ in 0..INSNS {
        instruction(random, &mut code);
    }
    // DEC qword [COUNTER]; JNE head
    code.extend([0x48, 0xFF, 0x0C, 0x25]);
    code.extend((COUNTER as u32).to_le_bytes());
    let back = head as i64 - (code.len() as i64 + 6);
    code.extend([0x0F, 0x85]);
    code.extend((back as i32).to_le_bytes());
    // MOV AL, 10h; OUT F4h, AL; HLT
    code.extend([0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
    code
}

/// A program that repeats a few instructions with prefixes as they come until they are translated, and then gives
/// registers values with which they may fault, cross pages, or hit the program itself. It may end anyhow.
pub fn wild(random: &mut Random) -> Vec<u8> {
    let mut code = prologue(random);
    // MOV R15D, rounds
    code.extend([0x41, 0xBF, 20, 0, 0, 0]);
    let head = code.len();
    for register in 0..15 {
        let value = match register {
            4 => STACK + random.below(8) * 8,
            _ if random.below(2) == 0 => random.below(16) * 16,
            _ => DATA + 0x2000 + random.below(0x20) * 16,
        };
        mov(&mut code, register, value);
    }
    // SAHF, now and then, with other flags each time: MOV RAX, R15; SHL RAX, 7; SAHF
    if random.below(2) == 0 {
        code.extend([0x4C, 0x89, 0xF8, 0x48, 0xC1, 0xE0, 7, 0x9E]);
    }
    for _ in 0..1 + random.below(2) {
        // CMP R15D, 3; JAE over; MOV register, bad
        let near = (random.below(16) * 4).wrapping_sub(32);
        let bad = [
            1 << 62,
            0x7FFF_FFFF_FFF8,
            0x8000_0000_0000,
            0x1000u64.wrapping_neg(),
            0x80_0000_0000,
            DATA + 0x3000,
            STACK & !0xFFF,
            CODE + head as u64 + random.below(0x140),
            interesting(random),
        ];
        let mut set = Vec::new();
        let value = bad[random.below(bad.len() as u64) as usize].wrapping_add(near);
        mov(&mut set, random.below(15) as u8, value);
        code.extend([0x41, 0x83, 0xFF, 3, 0x73, set.len() as u8]);
        code.extend(set);
    }
    for _ in 0..1 + random.below(4) {
        wild_instruction(random, &mut code);
    }
    // DEC R15D; JNE head
    code.extend([0x41, 0xFF, 0xCF, 0x0F, 0x85]);
    let back = head as i64 - (code.len() as i64 + 4);
    code.extend((back as i32).to_le_bytes());
    // MOV AL, 10h; OUT F4h, AL; HLT
    code.extend([0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
    code
}

/// Appends an instruction with any prefixes that does not branch on its own account.
fn wild_instruction(random: &mut Random, code: &mut Vec<u8>) {
    const PREFIXES: [u8; 10] = [0x66, 0x67, 0xF2, 0xF3, 0xF0, 0x2E, 0x36, 0x3E, 0x64, 0x65];
    const STACK_OPS: [&[u8]; 10] = [
        &[0x50],
        &[0x53],
        &[0x58],
        &[0x5B],
        &[0x5C],
        &[0x68, 0x80, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x6A, 0xF0],
        &[0x9C],
        &[0xC9],
        &[0xC8, 8, 0, 1],
    ];
    loop {
        let mut bytes = Vec::new();
        for _ in 0..random.below(4) {
            bytes.push(match random.below(2) {
                0 => PREFIXES[random.below(10) as usize],
                _ => 0x40 | random.below(16) as u8,
            });
        }
        match random.below(6) {
            0 => bytes.extend(STACK_OPS[random.below(10) as usize]),
            // PUSH, POP, INC, DEC of memory and registers
            1 => bytes.extend([[0xFF, 0x8F, 0xFF, 0xFE][random.below(4) as usize], random.below(256) as u8]),
            _ => bytes.extend(candidate(random)),
        }
        bytes.extend([0x24, 0, 0, 0, 0, 0, 0, 0]);
        let instr = Decoder::with_ip(64, &bytes, 0, DecoderOptions::NONE).decode();
        let unwanted = instr.is_invalid()
            || instr.flow_control() != FlowControl::Next
            || instr.is_privileged()
            || instr
                .cpuid_features()
                .iter()
                .any(|feature| UNKNOWN.contains(&format!("{feature:?}").as_str()))
            || (0..instr.op_count()).any(|i| {
                instr.op_kind(i) == OpKind::Register && instr.op_register(i).full_register() == Register::R15
            });
        if !unwanted {
            return code.extend(&bytes[..instr.len()]);
        }
    }
}

/// Turns SSE on, fills registers, and sets the counter.
pub(crate) fn prologue(random: &mut Random) -> Vec<u8> {
    let mut code = Vec::new();
    // MOV RAX, CR4; OR EAX, 600h; MOV CR4, RAX; FNINIT
    code.extend([0x0F, 0x20, 0xE0, 0x0D, 0, 6, 0, 0, 0x0F, 0x22, 0xE0, 0xDB, 0xE3]);
    // MOV qword [COUNTER], ROUNDS
    code.extend([0x48, 0xC7, 0x04, 0x25]);
    code.extend((COUNTER as u32).to_le_bytes());
    code.extend(ROUNDS.to_le_bytes());
    // Data is random: MOV RAX, imm64; MOV [moffs64], RAX
    for n in 0..64 {
        code.extend([0x48, 0xB8]);
        code.extend(interesting(random).to_le_bytes());
        code.extend([0x48, 0xA3]);
        code.extend((DATA + n * 8 + random.below(2) * 0x1000).to_le_bytes());
    }
    for register in 0..16u8 {
        let value = if register == 4 { STACK } else { interesting(random) };
        mov(&mut code, register, value);
        // MOVDQU XMM, [DATA + ...]
        code.extend([0xF3, 0x40 | register >> 3 << 2, 0x0F, 0x6F, (register & 7) << 3 | 4, 0x25]);
        code.extend(((DATA + random.below(32) * 16) as u32).to_le_bytes());
    }
    code
}

/// MOV r64, imm64.
pub(crate) fn mov(code: &mut Vec<u8>, register: u8, value: u64) {
    code.extend([0x48 | register >> 3, 0xB8 | register & 7]);
    code.extend(value.to_le_bytes());
}

/// A value that finds the corners.
fn interesting(random: &mut Random) -> u64 {
    let any = random.below(u64::MAX);
    match random.below(8) {
        0 => 0,
        1 => !0,
        2 => 1 << random.below(64),
        3 => (1 << random.below(63)) - 1,
        4 => any >> random.below(64),
        // Numbers as double-precision values.
        5 => (f64::from(any as i32) / 1024.0).to_bits(),
        6 => u64::from((any as i16 as f32 * 0.37).to_bits()) << 32 | u64::from((any as u8 as f32).to_bits()),
        _ => any,
    }
}

/// Appends an instruction that cannot leave the stream.
fn instruction(random: &mut Random, code: &mut Vec<u8>) {
    loop {
        let bytes = candidate(random);
        let instr = Decoder::with_ip(64, &bytes, 0, DecoderOptions::NONE).decode();
        if instr.is_invalid() || instr.len() > bytes.len() || !harmless(&instr) {
            continue;
        }
        let bytes = &bytes[..instr.len()];
        if (0..instr.op_count()).any(|i| instr.op_kind(i) == OpKind::Memory) {
            aim(random, &instr, code);
        }
        if matches!(instr.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) {
            // MOV EDX, small
            code.extend([0xBA, random.below(3) as u8, 0, 0, 0]);
        }
        return code.extend(bytes);
    }
}

/// Appends an instruction on registers alone that writes no general register but these.
pub(crate) fn register_instruction(random: &mut Random, code: &mut Vec<u8>, may_write: &[u8]) {
    loop {
        let bytes = candidate(random);
        let instr = Decoder::with_ip(64, &bytes, 0, DecoderOptions::NONE).decode();
        let memory = (0..instr.op_count()).any(|i| instr.op_kind(i) == OpKind::Memory);
        if instr.is_invalid() || memory || instr.len() > bytes.len() || !harmless(&instr) {
            continue;
        }
        let mut info = InstructionInfoFactory::new();
        let info = info.info(&instr);
        let allowed = info.used_memory().is_empty()
            && info.used_registers().iter().all(|used| {
                let reads =
                    matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
                let register = used.register();
                reads || !register.is_gpr() || may_write.contains(&(register.full_register().number() as u8))
            });
        let divides = matches!(instr.mnemonic(), Mnemonic::Div | Mnemonic::Idiv);
        if allowed && !divides {
            return code.extend(&bytes[..instr.len()]);
        }
    }
}

fn candidate(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.below(24) == 0 {
        return PLAIN[random.below(PLAIN.len() as u64) as usize].to_vec();
    }
    if random.below(10) == 0 {
        let mut bytes = vec![0xD8 | random.below(8) as u8];
        bytes.extend((0..10).map(|_| random.below(256) as u8));
        return bytes;
    }
    let vector = random.below(3) == 0;
    match random.below(if vector { 4 } else { 8 }) {
        0 => bytes.push(0x66),
        1 => bytes.push(0xF3),
        2 => bytes.push(0xF2),
        _ => {}
    }
    if random.below(2) == 0 {
        bytes.push(0x40 | random.below(16) as u8);
    }
    let modrm = random.below(256) as u8;
    if vector || random.below(3) == 0 {
        bytes.push(0x0F);
        let opcode = random.below(256) as u8;
        bytes.push(opcode);
        if matches!(opcode, 0x38 | 0x3A) {
            bytes.push(random.below(256) as u8);
        }
    } else {
        bytes.push(ONE_BYTE[random.below(ONE_BYTE.len() as u64) as usize]);
    }
    bytes.push(modrm);
    // SIB, displacement, immediate: whatever the decoder makes of them.
    bytes.extend((0..12).map(|_| if random.below(3) == 0 { 0 } else { random.below(256) as u8 }));
    bytes
}

/// Whether an instruction neither branches, nor moves RSP, nor depends on what may differ or fault for other reasons
/// than its operands.
fn harmless(instr: &Instruction) -> bool {
    let writes_stack = InstructionInfoFactory::new().info(instr).used_registers().iter().any(|used| {
        let writes = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
        used.register().full_register() == Register::RSP && writes
    });
    let balanced = instr.mnemonic() == Mnemonic::Pushfq;
    let memory = |i| instr.op_kind(i) == OpKind::Memory;
    let operands = (0..instr.op_count()).all(|i| match instr.op_kind(i) {
        OpKind::Register => {
            let register = instr.op_register(i);
            register.is_gpr() || register.is_xmm() || register.is_mm() || register.is_st()
        }
        OpKind::Memory => !matches!(instr.memory_segment(), Register::FS | Register::GS),
        _ => true,
    });
    instr.flow_control() == FlowControl::Next
        && (!writes_stack || balanced)
        && !instr.is_privileged()
        && !instr.has_lock_prefix()
        && operands
        && !(0..instr.op_count()).any(|i| memory(i) && !aimable(instr))
        && !matches!(
            instr.mnemonic(),
            // These need more than an operand, or go on for long.
            Mnemonic::Fnsave
                | Mnemonic::Frstor
                | Mnemonic::Fldenv
                | Mnemonic::Fldcw
                | Mnemonic::Fxsave
                | Mnemonic::Fxsave64
                | Mnemonic::Fxrstor
                | Mnemonic::Fxrstor64
                | Mnemonic::Ldmxcsr
                | Mnemonic::Xsave
                | Mnemonic::Xsave64
                | Mnemonic::Xrstor
                | Mnemonic::Xrstor64
                | Mnemonic::Xsavec
                | Mnemonic::Xsavec64
                | Mnemonic::Xsaveopt
                | Mnemonic::Xsaveopt64
                | Mnemonic::Maskmovdqu
                | Mnemonic::Maskmovq
                | Mnemonic::Cpuid
                | Mnemonic::Rdrand
                | Mnemonic::Rdseed
                | Mnemonic::Syscall
                | Mnemonic::Sysret
                | Mnemonic::Sysenter
                | Mnemonic::Sysexit
                | Mnemonic::Ud0
                | Mnemonic::Ud1
                | Mnemonic::Ud2
                | Mnemonic::Getsec
                | Mnemonic::Lar
                | Mnemonic::Lsl
                | Mnemonic::Pause
                | Mnemonic::Popf
                | Mnemonic::Popfq
                | Mnemonic::Xgetbv
        )
        && !instr.cpuid_features().iter().any(|feature| UNKNOWN.contains(&format!("{feature:?}").as_str()))
}

/// Extensions that the machine does not have, or that these streams leave alone.
pub(crate) const UNKNOWN: [&str; 24] = [
    "SGX1",
    "MPX",
    "CET_SS",
    "CET_IBT",
    "SMX",
    "VMX",
    "SVM",
    "WAITPKG",
    "MOVDIRI",
    "MOVDIR64B",
    "ENQCMD",
    "GFNI",
    "SHA",
    "ADX",
    "D3NOW",
    "CLDEMOTE",
    "PTWRITE",
    "RDPID",
    "SSE4A",
    "FSGSBASE",
    "KL",
    "AESKLE",
    "HRESET",
    "SERIALIZE",
];

/// Whether the memory operand has a base register that may be aimed, so that its address is known.
fn aimable(instr: &Instruction) -> bool {
    let (base, index) = (instr.memory_base(), instr.memory_index());
    let plain = |register: Register| register.is_gpr64() && register != Register::RSP;
    // Not where the operand's register is an operand or an index itself: aiming would change what is computed.
    let free = (0..instr.op_count())
        .all(|i| instr.op_kind(i) != OpKind::Register || instr.op_register(i).full_register() != base);
    plain(base) && free && index != base && (index == Register::None || plain(index))
}

/// Points the registers of the memory operand to data, now and then across a page or out of memory's alignment.
fn aim(random: &mut Random, instr: &Instruction, code: &mut Vec<u8>) {
    let offset = match random.below(12) {
        0 => 0x1000 - random.below(16),
        1..=6 => random.below(0x1F0) & !15,
        _ if instr.memory_size().size() < 16 => random.below(0x1F0),
        _ => 16 * random.below(0x1F),
    };
    // Where alignment counts a page is never crossed.
    let offset = if instr.memory_size().size() >= 16 { offset & !15 } else { offset };
    let mut target = DATA + 0x2000 + offset;
    if instr.memory_index() != Register::None {
        let index = random.below(64);
        mov(code, instr.memory_index().number() as u8, index * 16);
        target -= index * 16 * u64::from(instr.memory_index_scale());
    }
    let base = target.wrapping_sub(instr.memory_displacement64());
    mov(code, instr.memory_base().number() as u8, base);
}
