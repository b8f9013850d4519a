//! Random loops: programs of short loops that step through memory by pointers, with branches, calls and a stack in
//! them, so that the JIT makes loops of them. Pointers wander over pages, devices, the stack and the program itself.

use crate::Random;
use crate::streams::{CODE, DATA, mov, prologue, register_instruction};

/// Where the stack is.
const STACK: u64 = 0x90_8000;
/// Guest registers that point to memory.
const POINTERS: [u8; 6] = [3, 5, 6, 7, 12, 14];
/// The counter of rounds.
const COUNTER: u8 = 15;
/// An index below 256.
const INDEX: u8 = 9;

/// A program of some loops after one another.
pub fn program(random: &mut Random) -> Vec<u8> {
    let mut code = prologue(random);
    for _ in 0..1 + random.below(4) {
        one_loop(random, &mut code);
    }
    // MOV AL, 10h; OUT F4h, AL; HLT
    code.extend([0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
    code
}

fn one_loop(random: &mut Random, code: &mut Vec<u8>) {
    for pointer in POINTERS {
        let page = match random.below(16) {
            0 => 0xA_0000,
            1 => 0xFEE0_0000,
            2 => CODE,
            3 => STACK - 0x1000,
            _ => DATA + random.below(8) * 0x1000,
        };
        mov(code, pointer, page + random.below(0x1000) + random.below(2) * 0xF80);
    }
    mov(code, 4, STACK + random.below(64) * 8);
    mov(code, COUNTER, 20 + random.below(1200));
    mov(code, INDEX, random.below(256));
    // Another nop now and then has loops begin all over their pages.
    code.extend(vec![0x90; random.below(40) as usize]);
    let head = code.len();
    for _ in 0..2 + random.below(9) {
        match random.below(8) {
            0 => skip(random, code),
            1 => balanced(random, code),
            _ => item(random, code),
        }
    }
    // MOVZX R9D, R9B, so that it stays an index.
    code.extend([0x45, 0x0F, 0xB6, 0xC9]);
    // DEC R15; JNE head
    code.extend([0x49, 0xFF, 0xCF, 0x0F, 0x85]);
    code.extend((head as i32 - (code.len() as i32 + 4)).to_le_bytes());
}

/// Something that is done now and then: Jcc over it.
fn skip(random: &mut Random, code: &mut Vec<u8>) {
    let mut body = Vec::new();
    for _ in 0..1 + random.below(3) {
        item(random, &mut body);
    }
    code.extend([0x70 | random.below(16) as u8, body.len() as u8]);
    code.extend(body);
}

/// Something with the stack that leaves RSP as it was.
fn balanced(random: &mut Random, code: &mut Vec<u8>) {
    let register = [0, 1, 2, 8, 10, 11, 13][random.below(7) as usize];
    let pop = |code: &mut Vec<u8>| {
        if register >= 8 {
            code.push(0x41);
        }
        code.push(0x58 | register & 7);
    };
    match random.below(5) {
        // PUSH imm8 and PUSHFQ
        0 => code.extend([0x6A, random.below(256) as u8]),
        1 => code.push(0x9C),
        // CALL of what comes next
        2 => code.extend([0xE8, 0, 0, 0, 0]),
        // PUSH qword [pointer]
        3 => {
            let pointer = POINTERS[random.below(6) as usize];
            memory(random, code, 0x40, &[0xFF], 6, pointer);
        }
        // LEA RSP, [RSP - 8]; MOV [RSP], RAX
        _ => code.extend([0x48, 0x8D, 0x64, 0x24, 0xF8, 0x48, 0x89, 0x04, 0x24]),
    }
    item(random, code);
    pop(code);
}

fn item(random: &mut Random, code: &mut Vec<u8>) {
    let pointer = POINTERS[random.below(6) as usize];
    let register = [0, 1, 2, 8, 10, 11, 13][random.below(7) as usize];
    let rex = 0x40 | (random.below(2) as u8) << 3;
    let any = random.below(64) as u8;
    let of = |all: &[u8]| [all[usize::from(any) % all.len()]];
    match random.below(13) {
        // MOV of AH, CH or DH both ways
        11 => {
            let near = [5, 6, 7][random.below(3) as usize];
            code.extend([0x88 | any & 2, 0x60 + ((any >> 2) % 3) * 8 + near, any >> 1]);
        }
        // MOV both ways, ADD both ways, CMP, MOVZX, INC, MOV of an immediate
        0 | 1 => memory(random, code, rex, &[0x8B], register, pointer),
        2 | 3 => memory(random, code, rex, &of(&[0x89, 0x88]), register, pointer),
        4 => memory(random, code, rex, &of(&[0x03, 0x01, 0x3B, 0x39]), register, pointer),
        5 => memory(random, code, rex, &[0x0F, 0xB6], register, pointer),
        6 => memory(random, code, rex, &[0xFF], any & 1, pointer),
        // MOVUPS and MOVAPS both ways
        7 => {
            // An aligned one that is not ends the program.
            let opcode = if any == 0 { 0x28 } else { 0x10 | any & 1 };
            memory(random, code, 0x40, &[0x0F, opcode], any >> 1 & 7, pointer);
        }
        // ADD pointer, step
        8 | 9 => {
            let step = [1, 4, 8, 16, 0xF8, 0x40, 0xC0][random.below(7) as usize];
            code.extend([0x48 | pointer >> 3, 0x83, 0xC0 | pointer & 7, step]);
        }
        // LEA pointer, [pointer + 4 KiB - 8], and back
        10 => {
            let step = [0xFF8i32, -0xFF0][random.below(2) as usize];
            let base = pointer & 7;
            code.extend([0x48 | pointer >> 3 << 2 | pointer >> 3, 0x8D, 0x80 | base << 3 | base]);
            if base == 4 {
                code.push(0x24);
            }
            code.extend(step.to_le_bytes());
        }
        _ => register_instruction(random, code, &[0, 1, 2, 8, 10, 11, 13, 9]),
    }
}

/// An instruction with a memory operand near a pointer, or an element of an array there.
fn memory(random: &mut Random, code: &mut Vec<u8>, rex: u8, opcode: &[u8], register: u8, pointer: u8) {
    let displacement = (random.below(48) as u8).wrapping_sub(16);
    let indexed = random.below(4) == 0;
    let b = pointer >> 3;
    let x = if indexed { INDEX >> 3 } else { 0 };
    code.push(rex | register >> 3 << 2 | x << 1 | b);
    code.extend(opcode);
    if indexed {
        code.extend([
            0x44 | (register & 7) << 3,
            (random.below(4) as u8) << 6 | (INDEX & 7) << 3 | pointer & 7,
        ]);
    } else {
        code.push(0x40 | (register & 7) << 3 | pointer & 7);
        if pointer & 7 == 4 {
            code.push(0x24);
        }
    }
    code.push(displacement);
    if opcode == [0xC7] {
        code.extend([1, 2, 3, 4]);
    }
}
