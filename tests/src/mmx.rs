//! Random programs of MMX instructions with x87 and SSE ones between them: with operands across pages and where no
//! memory is, and in states of the processor in which they fault themselves. The handler goes on behind a fault.

use crate::Random;
use crate::crossings::{NOWHERE, Program, repeated};
use crate::streams::{DATA, UNKNOWN, register_instruction};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

/// Registers that instructions may change: not those that point to memory, and not those of the kernel.
const FREE: [u8; 8] = [0, 1, 5, 8, 9, 10, 11, 14];
const RBX: u8 = 3;
const RDX: u8 = 2;
const RSI: u8 = 6;
const RDI: u8 = 7;
/// Control words for x87 and SSE: all exceptions masked, and none.
const MASKED: u64 = DATA + 0x6000;
const UNMASKED: u64 = MASKED + 8;
const SIMD_MASKED: u64 = MASKED + 16;
const SIMD_UNMASKED: u64 = MASKED + 24;
/// Where state is saved.
const SAVED: u32 = DATA as u32 + 0x6200;
/// Where memory ends.
const END: u64 = 16 << 20;

/// A program of random pieces.
pub fn program(random: &mut Random) -> Vec<u8> {
    let bits = 6 + random.below(10);
    let period = if random.below(2) == 0 { 0 } else { 400 + random.below(1 << bits) };
    let disturbed = random.below(2) == 0;
    repeated(period as u32, |program| {
        set_out(random, program);
        for _ in 0..6 + random.below(20) {
            if disturbed && random.below(6) == 0 {
                disturbance(random, program);
            } else {
                piece(random, program);
            }
        }
    })
}

/// What each round begins with.
fn set_out(random: &mut Random, program: &mut Program) {
    // STI, now and then
    program.put(&[0xFB][..random.below(2) as usize]);
    for (address, word) in [(MASKED, 0x37F), (UNMASKED, 0x360), (SIMD_MASKED, 0x1F80), (SIMD_UNMASKED, 0)] {
        // MOV dword [address], word
        program.absolute(&[0xC7, 0x04, 0x25], address);
        program.put(&u32::to_le_bytes(word));
    }
    program.set(RDX, random.below(8));
    program.set(RSI, DATA + 0x2000 + random.below(0x80) * 8);
    aim(random, program);
}

/// Has the pointers point to memory, across pages often.
fn aim(random: &mut Random, program: &mut Program) {
    for pointer in [RBX, RDI] {
        let page = DATA + 0x1000 + random.below(2) * 0x1000;
        program.set(pointer, page + [0, 0x800, 0xFF8, 0xFC0][random.below(4) as usize] + random.below(16));
    }
}

fn piece(random: &mut Random, program: &mut Program) {
    match random.below(20) {
        0..12 => any_mmx(random, program),
        12 => program.put(&[0x0F, 0x77]),
        13..15 => x87(random, program),
        15..17 => registers(random, program),
        17 => lose_aim(random, program),
        _ => inner_loop(random, program),
    }
}

/// Something that has translated code be left.
fn disturbance(random: &mut Random, program: &mut Program) {
    match random.below(3) {
        0 => lose_availability(random, program),
        1 => unmask(random, program),
        _ => save(random, program),
    }
}

/// Any instruction on registers.
fn registers(random: &mut Random, program: &mut Program) {
    let mut code = Vec::new();
    register_instruction(random, &mut code, &FREE);
    program.put(&code);
}

/// A loop of a few instructions; R13 counts.
fn inner_loop(random: &mut Random, program: &mut Program) {
    // MOV R13D, times; DEC R13D; JNE head
    program.absolute(&[0x41, 0xBD], 1 + random.below(12));
    let head = program.here();
    for _ in 0..1 + random.below(8) {
        match random.below(8) {
            0 => x87(random, program),
            1 => registers(random, program),
            2 => program.put(&[0x0F, 0x77]),
            // ADD RBX, 8; SUB RBX, 8
            3 => program.put(&[0x48, 0x83, [0xC3, 0xEB][random.below(2) as usize], 8]),
            _ => any_mmx(random, program),
        }
    }
    program.put(&[0x41, 0xFF, 0xCD, 0x0F, 0x85]);
    let back = head as i64 - (program.here() as i64 + 4);
    program.put(&(back as i32).to_le_bytes());
}

/// An instruction that may fault.
fn attempt(program: &mut Program, bytes: &[u8]) {
    program.set_to_ahead(12, bytes.len());
    program.put(bytes);
}

fn any_mmx(random: &mut Random, program: &mut Program) {
    let memory = random.below(2) == 0;
    let bytes = instruction(random, memory);
    let instr = decode(&bytes);
    // Of these the processor wants memory to be aligned.
    let wide = instr.op_count() > 1 && instr.op_kind(1) == OpKind::Memory && instr.memory_size().size() == 16;
    if wide { attempt(program, &bytes) } else { program.put(&bytes) }
}

/// The bytes of an MMX instruction.
fn instruction(random: &mut Random, memory: bool) -> Vec<u8> {
    loop {
        let mut bytes = candidate(random, memory);
        let instr = decode(&bytes);
        if is_wanted(&instr) {
            bytes.truncate(instr.len());
            return bytes;
        }
    }
}

fn decode(bytes: &[u8]) -> Instruction {
    Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE).decode()
}

fn is_wanted(instr: &Instruction) -> bool {
    let register = |i| (instr.op_kind(i) == OpKind::Register).then(|| instr.op_register(i));
    let mmx = (0..instr.op_count()).any(|i| register(i).is_some_and(|register| register.is_mm()))
        || matches!(instr.mnemonic(), Mnemonic::Emms | Mnemonic::Cvtpi2ps | Mnemonic::Cvtpi2pd);
    let known = |feature: &iced_x86::CpuidFeature| !UNKNOWN.contains(&format!("{feature:?}").as_str());
    let writes = (instr.op_count() > 0).then(|| register(0)).flatten().filter(|register| register.is_gpr());
    mmx && instr.cpuid_features().iter().all(known)
        && writes.is_none_or(|register| FREE.contains(&(register.full_register().number() as u8)))
}

/// Bytes that may be an MMX instruction, with an operand in memory or without.
fn candidate(random: &mut Random, memory: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.below(4) == 0 {
        bytes.push([0x66, 0xF2, 0xF3][random.below(3) as usize]);
    }
    let far = memory && random.below(8) == 0;
    if far {
        // GS, whose base is where data begins
        bytes.push(0x65);
    }
    if random.below(3) == 0 {
        // Pointers stay what they are.
        bytes.push(0x40 | random.below(16) as u8 & if memory { 0xC } else { 0xF });
    }
    bytes.extend([0x0F, random.below(256) as u8]);
    if matches!(bytes.last(), Some(0x38 | 0x3A)) {
        bytes.push(random.below(32) as u8);
    }
    let reg = (random.below(8) as u8) << 3;
    let displacement = (random.below(16) * 8) as u8;
    match random.below(6) {
        _ if !memory => bytes.push(0xC0 | reg | random.below(8) as u8),
        // An absolute address
        _ if far => {
            bytes.extend([reg | 4, 0x25]);
            bytes.extend((random.below(0x200) as u32).to_le_bytes());
        }
        0..3 => bytes.extend([0x40 | reg | RBX, displacement]),
        3 => bytes.extend([reg | RSI]),
        4 => bytes.extend([0x40 | reg | 4, 3 << 6 | RDX << 3 | RBX, displacement]),
        _ => {
            bytes.extend([reg | 4, 0x25]);
            bytes.extend((DATA as u32 + random.below(0x2000) as u32).to_le_bytes());
        }
    }
    bytes.push(random.below(256) as u8);
    bytes
}

fn x87(random: &mut Random, program: &mut Program) {
    const INSNS: [&[u8]; 24] = [
        // FLD1; FLDZ; FLDPI
        &[0xD9, 0xE8],
        &[0xD9, 0xEE],
        &[0xD9, 0xEB],
        // FLD and FSTP of 32, 64 and 80 bits at [RBX + ...]
        &[0xD9, 0x43, 4],
        &[0xD9, 0x5B, 0x0C],
        &[0xDD, 0x43, 8],
        &[0xDD, 0x5B, 0x10],
        &[0xDB, 0x6B, 0x20],
        &[0xDB, 0x7B, 0x30],
        // FILD, FISTP, FISTTP, FADD with memory
        &[0xDB, 0x43, 0x14],
        &[0xDF, 0x7B, 0x18],
        &[0xDD, 0x4B, 0x28],
        &[0xD8, 0x43, 0x0C],
        // FADDP; FMUL ST0, ST3; FXCH; FCHS; FXAM; FUCOMI
        &[0xDE, 0xC1],
        &[0xD8, 0xCB],
        &[0xD9, 0xC9],
        &[0xD9, 0xE0],
        &[0xD9, 0xE5],
        &[0xDB, 0xE9],
        // FINCSTP; FDECSTP; FFREE ST3; FNSTSW AX; FNINIT
        &[0xD9, 0xF7],
        &[0xD9, 0xF6],
        &[0xDD, 0xC3],
        &[0xDF, 0xE0],
        &[0xDB, 0xE3],
    ];
    for _ in 0..1 + random.below(4) {
        program.put(INSNS[random.below(24) as usize]);
    }
}

/// In some rounds: sets the flag for CMOVE.
fn in_some_rounds(random: &mut Random, program: &mut Program) {
    // TEST R15B, mask
    program.put(&[0x41, 0xF6, 0xC7, [0, 1, 3, 0xF, 0x1F, 0x3F][random.below(6) as usize]]);
}

/// In some rounds a pointer is none, or memory ends or changes where it points.
fn lose_aim(random: &mut Random, program: &mut Program) {
    let bad = [
        END - 4 - random.below(0x20),
        NOWHERE,
        1 << 62,
        0x7FFF_FFFF_FFFC - random.below(0x20),
        0u64.wrapping_sub(random.below(0x20)),
        0xA_0000,
        0x9_FFFC,
    ];
    program.set(0, bad[random.below(7) as usize]);
    in_some_rounds(random, program);
    // CMOVE RBX, RAX, or RDI for MASKMOVQ
    let masked = random.below(4) == 0;
    program.put(&[0x48, 0x0F, 0x44, if masked { 0xF8 } else { 0xD8 }]);
    for _ in 0..1 + random.below(3) {
        if masked {
            attempt(program, &[0x0F, 0xF7, 0xC0 | random.below(64) as u8]);
        } else {
            attempt(program, &instruction(random, true));
        }
    }
    aim(random, program);
}

/// In some rounds CR0.TS or CR0.EM is set.
fn lose_availability(random: &mut Random, program: &mut Program) {
    let bits = 4 * (1 + random.below(3) as u8);
    // MOV RAX, CR0; MOV RCX, RAX; OR ECX, bits; CMOVE RAX, RCX; MOV CR0, RAX
    program.put(&[0x0F, 0x20, 0xC0, 0x48, 0x89, 0xC1, 0x83, 0xC9, bits]);
    in_some_rounds(random, program);
    program.put(&[0x48, 0x0F, 0x44, 0xC1, 0x0F, 0x22, 0xC0]);
    for _ in 0..1 + random.below(3) {
        let memory = random.below(2) == 0;
        attempt(program, &instruction(random, memory));
    }
    // MOV RAX, CR0; AND EAX, ~TS & ~EM; MOV CR0, RAX
    program.put(&[0x0F, 0x20, 0xC0, 0x83, 0xE0, 0xF3, 0x0F, 0x22, 0xC0]);
}

/// In some rounds exceptions of x87 or SSE instructions are unmasked.
fn unmask(random: &mut Random, program: &mut Program) {
    let simd = random.below(3) == 0;
    let (masked, unmasked) = if simd { (SIMD_MASKED, SIMD_UNMASKED) } else { (MASKED, UNMASKED) };
    program.set(0, masked);
    program.set(1, unmasked);
    in_some_rounds(random, program);
    // CMOVE RAX, RCX
    program.put(&[0x48, 0x0F, 0x44, 0xC1]);
    if simd {
        // LDMXCSR [RAX]
        program.put(&[0x0F, 0xAE, 0x10]);
        for _ in 0..3 {
            // CVTPI2PS, CVTTPS2PI, CVTPS2PI, with 66h their kin of double precision
            let opcode = [0x2A, 0x2C, 0x2D][random.below(3) as usize];
            let instr = [0x66, 0x0F, opcode, 0xC0 | random.below(64) as u8];
            attempt(program, &instr[random.below(2) as usize..]);
        }
        return program.absolute(&[0x0F, 0xAE, 0x14, 0x25], SIMD_MASKED);
    }
    // FLDCW [RAX]; FLDZ; FLD1; FDIVP or FDIVRP
    program.put(&[0xD9, 0x28]);
    for bytes in [[0xD9, 0xEE], [0xD9, 0xE8], [0xDE, 0xF1 | random.below(2) as u8 * 8]] {
        attempt(program, &bytes);
    }
    for _ in 0..1 + random.below(3) {
        let memory = random.below(2) == 0;
        attempt(program, &instruction(random, memory));
    }
    // FNCLEX; FLDCW
    program.put(&[0xDB, 0xE2]);
    program.absolute(&[0xD9, 0x2C, 0x25], MASKED);
}

/// Saves all registers, or loads what was saved.
fn save(random: &mut Random, program: &mut Program) {
    // FXSAVE64, FXRSTOR64; FNSAVE, FRSTOR; FNSTENV, FLDENV
    let pairs: [[&[u8]; 2]; 3] = [
        [&[0x48, 0x0F, 0xAE, 0x04, 0x25], &[0x48, 0x0F, 0xAE, 0x0C, 0x25]],
        [&[0xDD, 0x34, 0x25], &[0xDD, 0x24, 0x25]],
        [&[0xD9, 0x34, 0x25], &[0xD9, 0x24, 0x25]],
    ];
    let [save, load] = pairs[random.below(3) as usize];
    program.absolute(save, SAVED.into());
    for _ in 0..random.below(3) {
        any_mmx(random, program);
    }
    program.absolute(load, SAVED.into());
}
