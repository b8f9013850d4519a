//! Random programs that go to and fro between a kernel, its user and its interrupt handlers, with a timer that strikes
//! anywhere.

use crate::Random;
use crate::streams::CODE;

const TABLES: u64 = CODE + 0x1_0000;
const GDT: u64 = TABLES + 0x4000;
const IDT: u64 = TABLES + 0x5000;
const TASK: u64 = TABLES + 0x6000;
const END: u64 = TABLES + 0x7000;
const DATA: u64 = 0x80_0000;
const KERNEL_STACK: u64 = 0x90_8000;
const USER_STACK: u64 = 0x91_8000;
/// Interrupts so far, and a sum of where they came.
const COUNT: u64 = 0x98_0000;
const PLACES: u64 = COUNT + 8;
/// No memory is mapped there.
pub(crate) const NOWHERE: u64 = 0x4000_0000;
const ROUNDS: u32 = 200;

/// Selectors of the kernel; those of the user are as SYSRET wants them.
const KERNEL_CODE: u64 = 8;
const KERNEL_DATA: u64 = 0x10;
const USER_BASE: u64 = 0x18;
const TASK_SELECTOR: u8 = 0x30;

const TIMER: u8 = 0x40;

/// A program in the making. R12 is where to go on after a fault, R13 where after a system call, R15 counts rounds.
pub(crate) struct Program {
    code: Vec<u8>,
}

impl Program {
    pub fn here(&self) -> u64 {
        CODE + self.code.len() as u64
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    /// MOV r64, imm64.
    pub fn set(&mut self, register: u8, value: u64) {
        self.put(&[0x48 | register >> 3, 0xB8 | register & 7]);
        self.put(&value.to_le_bytes());
    }

    /// MOV r64, imm64 with the address `ahead` bytes behind it.
    pub fn set_to_ahead(&mut self, register: u8, ahead: usize) {
        let target = self.here() + 10 + ahead as u64;
        self.set(register, target);
    }

    fn wrmsr(&mut self, msr: u32, value: u64) {
        self.put(&[0xB9]);
        self.put(&msr.to_le_bytes());
        self.put(&[0xB8]);
        self.put(&(value as u32).to_le_bytes());
        self.put(&[0xBA]);
        self.put(&((value >> 32) as u32).to_le_bytes());
        self.put(&[0x0F, 0x30]);
    }

    /// RDMSR; OR EAX, bits; WRMSR.
    fn set_in_msr(&mut self, msr: u32, bits: u32) {
        self.put(&[0xB9]);
        self.put(&msr.to_le_bytes());
        self.put(&[0x0F, 0x32, 0x0D]);
        self.put(&bits.to_le_bytes());
        self.put(&[0x0F, 0x30]);
    }

    /// An instruction with an absolute address of 32 bits.
    pub fn absolute(&mut self, opcode: &[u8], address: u64) {
        self.put(opcode);
        self.put(&(address as u32).to_le_bytes());
    }

    /// MOV AL, value; OUT F4h, AL; HLT.
    fn end(&mut self) {
        self.put(&[0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
    }

    /// Descriptor tables, MSRs and the local APIC's timer, which strikes each `period` ns, or not at all.
    fn prologue(&mut self, handlers: &Handlers, period: u32) {
        // MOV EAX, tables; MOV CR3, RAX; MOV RAX, CR4; OR EAX, 600h; MOV CR4, RAX; FNINIT
        self.absolute(&[0xB8], TABLES);
        self.put(&[0x0F, 0x22, 0xD8, 0x0F, 0x20, 0xE0, 0x0D, 0, 6, 0, 0, 0x0F, 0x22, 0xE0, 0xDB, 0xE3]);
        self.set(4, KERNEL_STACK);
        // LGDT; LIDT; PUSH 8; PUSH next; RETFQ
        self.absolute(&[0x0F, 0x01, 0x14, 0x25], GDT + 0xFF0);
        self.absolute(&[0x0F, 0x01, 0x1C, 0x25], IDT + 0xFF0);
        let next = self.here() + 9;
        self.absolute(&[0x6A, KERNEL_CODE as u8, 0x68], next);
        self.put(&[0x48, 0xCB]);
        // MOV EAX, data; MOV SS, EAX; MOV DS, EAX; MOV ES, EAX; MOV EAX, task; LTR AX
        self.absolute(&[0xB8], KERNEL_DATA);
        self.put(&[0x8E, 0xD0, 0x8E, 0xD8, 0x8E, 0xC0, 0xB8, TASK_SELECTOR, 0, 0, 0, 0x0F, 0x00, 0xD8]);
        self.set_in_msr(0xC000_0080, 1);
        self.wrmsr(0xC000_0081, USER_BASE << 48 | KERNEL_CODE << 32);
        self.wrmsr(0xC000_0082, handlers.call);
        self.wrmsr(0xC000_0084, 0x300);
        self.wrmsr(0xC000_0101, DATA);
        self.wrmsr(0xC000_0102, DATA + 0x1000);
        // No interrupts from the 8259: MOV AL, FFh; OUT 21h, AL; OUT A1h, AL
        self.put(&[0xB0, 0xFF, 0xE6, 0x21, 0xE6, 0xA1]);
        self.set_in_msr(0x1B, 0xC00);
        self.wrmsr(0x80F, 0x1FF);
        self.wrmsr(0x83E, 0xB);
        self.wrmsr(0x832, 0x2_0000 | u64::from(TIMER));
        self.wrmsr(0x838, period.into());
        // MOV R15D, rounds
        self.absolute(&[0x41, 0xBF], ROUNDS.into());
    }
}

/// Where the handlers are.
struct Handlers {
    /// Of SYSCALL.
    call: u64,
    timer: u64,
    /// Of faults without error code, and with one.
    fault: u64,
    fault_with_code: u64,
}

fn handlers(program: &mut Program) -> Handlers {
    let call = program.here();
    // SWAPGS; MOV ESP, stack; JMP R13
    program.put(&[0x0F, 0x01, 0xF8]);
    program.absolute(&[0xBC], KERNEL_STACK);
    program.put(&[0x41, 0xFF, 0xE5]);
    let timer = program.here();
    // PUSH RAX, RCX, RDX; INC qword [count]; MOV RAX, [RSP+24]; ADD [places], RAX; ROL qword [places], 1
    program.put(&[0x50, 0x51, 0x52]);
    program.absolute(&[0x48, 0xFF, 0x04, 0x25], COUNT);
    program.put(&[0x48, 0x8B, 0x44, 0x24, 24]);
    program.absolute(&[0x48, 0x01, 0x04, 0x25], PLACES);
    program.absolute(&[0x48, 0xD1, 0x04, 0x25], PLACES);
    // EOI; POP RDX, RCX, RAX; IRETQ
    program.wrmsr(0x80B, 0);
    program.put(&[0x5A, 0x59, 0x58, 0x48, 0xCF]);
    let fault = program.here();
    // MOV [RSP], R12; IRETQ
    program.put(&[0x4C, 0x89, 0x24, 0x24, 0x48, 0xCF]);
    let fault_with_code = program.here();
    // ADD RSP, 8; MOV [RSP], R12; IRETQ
    program.put(&[0x48, 0x83, 0xC4, 8, 0x4C, 0x89, 0x24, 0x24, 0x48, 0xCF]);
    Handlers { call, timer, fault, fault_with_code }
}

/// The image: the code, and the tables where the prologue says.
fn image(mut code: Vec<u8>, handlers: &Handlers) -> Vec<u8> {
    assert!(code.len() as u64 <= TABLES - CODE);
    code.resize((END - CODE) as usize, 0);
    let mut put = |at: u64, value: u64| {
        code[(at - CODE) as usize..][..8].copy_from_slice(&value.to_le_bytes());
    };
    // The first 16 MiB in pages of 2 MiB for everyone.
    put(TABLES, (TABLES + 0x1000) | 7);
    put(TABLES + 0x1000, (TABLES + 0x2000) | 7);
    (0..8).for_each(|n| put(TABLES + 0x2000 + 8 * n, n << 21 | 0x87));
    let task = 0x0000_8900_0000_0067 | (TASK & 0xFF_FFFF) << 16;
    let gdt = [
        0,
        0x00AF_9B00_0000_FFFF,
        0x00CF_9300_0000_FFFF,
        0x00CF_FB00_0000_FFFF,
        0x00CF_F300_0000_FFFF,
        0x00AF_FB00_0000_FFFF,
        task,
        0,
    ];
    gdt.into_iter().enumerate().for_each(|(n, descriptor)| put(GDT + 8 * n as u64, descriptor));
    put(GDT + 0xFF0, GDT << 16 | 0x3F);
    put(GDT + 0xFF8, GDT >> 48);
    let gates = [
        (6, handlers.fault),
        (7, handlers.fault),
        (13, handlers.fault_with_code),
        (14, handlers.fault_with_code),
        (16, handlers.fault),
        (19, handlers.fault),
        (TIMER.into(), handlers.timer),
    ];
    for (vector, target) in gates {
        let gate = target >> 16 << 48 | 0x8E00 << 32 | KERNEL_CODE << 16 | target & 0xFFFF;
        put(IDT + 16 * vector, gate);
    }
    put(IDT + 0xFF0, IDT << 16 | 0xFEF);
    put(IDT + 0xFF8, IDT >> 48);
    put(TASK + 4, KERNEL_STACK);
    code
}

/// A program of random pieces.
pub fn program(random: &mut Random) -> Vec<u8> {
    let bits = 6 + random.below(8);
    let period = 150 + random.below(1 << bits);
    repeated(period as u32, |program| {
        for _ in 0..4 + random.below(16) {
            kernel_piece(random, program);
        }
    })
}

/// A program that carries `body` out for some rounds. `period` of the timer, ns; 0 for none.
pub(crate) fn repeated(period: u32, body: impl FnOnce(&mut Program)) -> Vec<u8> {
    let mut program = Program { code: vec![0xE9, 0, 0, 0, 0] };
    let handlers = handlers(&mut program);
    let start = program.code.len() as u32 - 5;
    program.code[1..5].copy_from_slice(&start.to_le_bytes());
    program.prologue(&handlers, period);
    let head = program.here();
    body(&mut program);
    // CLI; DEC R15D; JNE head
    program.put(&[0xFA, 0x41, 0xFF, 0xCF, 0x0F, 0x85]);
    let back = head as i64 - (program.here() as i64 + 4);
    program.put(&(back as i32).to_le_bytes());
    program.end();
    image(program.code, &handlers)
}

/// Has an interrupt wait, opens interrupts for no longer than the STI before a CLI holds them off, and says in the exit
/// code how many came: none if `open` is 0, else one a round.
pub fn held_off(open: usize) -> Vec<u8> {
    let mut program = Program { code: vec![0xE9, 0, 0, 0, 0] };
    let handlers = handlers(&mut program);
    let start = program.code.len() as u32 - 5;
    program.code[1..5].copy_from_slice(&start.to_le_bytes());
    program.prologue(&handlers, 0);
    let head = program.here();
    // CLI; SELF IPI; JMP next; STI; NOP...; CLI
    program.put(&[0xFA]);
    program.wrmsr(0x83F, TIMER.into());
    program.put(&[0xEB, 0, 0xFB]);
    program.put(&vec![0x90; open]);
    program.put(&[0xFA, 0x41, 0xFF, 0xCF, 0x0F, 0x85]);
    let back = head as i64 - (program.here() as i64 + 4);
    program.put(&(back as i32).to_le_bytes());
    // MOV EAX, [count]; OUT F4h, AL; HLT
    program.absolute(&[0x8B, 0x04, 0x25], COUNT);
    program.put(&[0xE6, 0xF4, 0xF4]);
    image(program.code, &handlers)
}

/// Rounds of [`held_off`].
pub const HELD_OFF_ROUNDS: u32 = ROUNDS;

/// Something that any level may do.
fn any_piece(random: &mut Random, program: &mut Program) {
    const PIECES: [&[u8]; 22] = [
        // NOP; ADD RBX, 1; a store and a load
        &[0x90],
        &[0x48, 0x83, 0xC3, 1],
        &[0x48, 0x89, 0x1C, 0x25, 0x00, 0x20, 0x80, 0x00],
        &[0x48, 0x03, 0x1C, 0x25, 0x08, 0x20, 0x80, 0x00],
        // RDTSC; ADD RBX, RAX; ADD RBX, RDX
        &[0x0F, 0x31, 0x48, 0x01, 0xC3, 0x48, 0x01, 0xD3],
        // RDTSCP; ADD RBX, RCX; ROL RBX, 1
        &[0x0F, 0x01, 0xF9, 0x48, 0x01, 0xCB, 0x48, 0xD1, 0xC3],
        // MOV EAX, CS; ADD EBX, EAX; MOV R10, SS; ADD EBX, R10D
        &[0x8C, 0xC8, 0x01, 0xC3, 0x4D, 0x8C, 0xD2, 0x44, 0x01, 0xD3],
        // MOV EDX, GS; MOV R14D, DS; MOV AX, ES
        &[0x8C, 0xEA, 0x41, 0x8C, 0xDE, 0x66, 0x8C, 0xC0],
        // PAUSE
        &[0xF3, 0x90],
        // PUSHFQ; POP RAX; ADD RBX, RAX
        &[0x9C, 0x58, 0x48, 0x01, 0xC3],
        // MOVQ XMM3, RBX; PADDQ XMM4, XMM3; MOVQ RBX, XMM4
        &[0x66, 0x48, 0x0F, 0x6E, 0xDB, 0x66, 0x0F, 0xD4, 0xE3, 0x66, 0x48, 0x0F, 0x7E, 0xE3],
        // FLD1; FADD ST0, ST0; FISTP qword [802100h]
        &[0xD9, 0xE8, 0xD8, 0xC0, 0xDF, 0x3C, 0x25, 0x00, 0x21, 0x80, 0x00],
        // MOVQ MM1, RBX; PADDW MM1, [802100h]; PSHUFW MM2, MM1, 1Bh; MOVQ [802108h], MM2
        &[
            0x48, 0x0F, 0x6E, 0xCB, 0x0F, 0xFD, 0x0C, 0x25, 0x00, 0x21, 0x80, 0x00, 0x0F, 0x70, 0xD1, 0x1B,
            0x0F, 0x7F, 0x14, 0x25, 0x08, 0x21, 0x80, 0x00,
        ],
        // CVTPI2PS XMM5, [802100h]; MOVQ2DQ XMM3, MM2; MOVD EBX, MM1; EMMS
        &[
            0x0F, 0x2A, 0x2C, 0x25, 0x00, 0x21, 0x80, 0x00, 0xF3, 0x0F, 0xD6, 0xDA, 0x0F, 0x7E, 0xCB, 0x0F,
            0x77,
        ],
        // CMP RBX, RAX; SAHF; JNE over; ADC RBX, 3
        &[0x48, 0x39, 0xC3, 0x9E, 0x75, 4, 0x48, 0x83, 0xD3, 3],
        // ADD RAX, GS:[8]
        &[0x65, 0x48, 0x03, 0x04, 0x25, 8, 0, 0, 0],
        // INC qword GS:[10h]
        &[0x65, 0x48, 0xFF, 0x04, 0x25, 16, 0, 0, 0],
        // CPUID
        &[0x31, 0xC0, 0x53, 0x0F, 0xA2, 0x5B],
        // MOV ECX, 5; DEC ECX; JNE
        &[0xB9, 5, 0, 0, 0, 0xFF, 0xC9, 0x75, 0xFC],
        // MOV EDI, 803000h; MOV ECX, 9; REP STOSQ
        &[0xBF, 0x00, 0x30, 0x80, 0x00, 0xB9, 9, 0, 0, 0, 0xF3, 0x48, 0xAB],
        // LFENCE; MFENCE
        &[0x0F, 0xAE, 0xE8, 0x0F, 0xAE, 0xF0],
        // STC; LAHF; ADC BL, AH
        &[0xF9, 0x9F, 0x10, 0xE3],
    ];
    let faults: [&[u8]; 4] = [
        // UD2; MOV RAX, [nowhere]; INC qword [nowhere]; HLT
        &[0x0F, 0x0B],
        &[0x48, 0x8B, 0x04, 0x25, 0, 0, 0, (NOWHERE >> 24) as u8],
        &[0x48, 0xFF, 0x04, 0x25, 0, 0, 0, (NOWHERE >> 24) as u8],
        &[0x48, 0xA1, 0, 0, 0, 0, 0, 0, 0, 0x80],
    ];
    if random.below(8) == 0 {
        let fault = faults[random.below(4) as usize];
        program.set_to_ahead(12, fault.len());
        program.put(fault);
    } else {
        program.put(PIECES[random.below(22) as usize]);
    }
}

/// Something that the kernel does.
fn kernel_piece(random: &mut Random, program: &mut Program) {
    const PIECES: [&[u8]; 18] = [
        &[0xFB],
        &[0xFB],
        &[0xFA],
        // STI; CLI, and with instructions between them
        &[0xFB, 0xFA],
        &[0xFB, 0x90, 0xFA],
        &[0xFB, 0x48, 0x83, 0xC3, 1, 0x90, 0xFA],
        // STI; HLT; CLI
        &[0xFB, 0xF4, 0xFA],
        // STI; PUSHFQ; CLI; POPFQ
        &[0xFB, 0x9C, 0xFA, 0x9D],
        // CLI; PUSHFQ; STI; POPFQ
        &[0xFA, 0x9C, 0xFB, 0x9D],
        // STI; PAUSE; CLI
        &[0xFB, 0xF3, 0x90, 0xFA],
        // SWAPGS; ADD RBX, GS:[0]; SWAPGS
        &[0x0F, 0x01, 0xF8, 0x65, 0x48, 0x03, 0x1C, 0x25, 0, 0, 0, 0, 0x0F, 0x01, 0xF8],
        // STI; MOV EAX, 10h; MOV SS, EAX; NOP; CLI
        &[0xFB, 0xB8, 0x10, 0, 0, 0, 0x8E, 0xD0, 0x90, 0xFA],
        // MOV RAX, CR3; MOV CR3, RAX
        &[0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8],
        // MOV EAX, 2; MOV CR8, RAX; STI; NOP; CLI; XOR EAX, EAX; MOV CR8, RAX: nothing is held off
        &[0xB8, 2, 0, 0, 0, 0x44, 0x0F, 0x22, 0xC0, 0xFB, 0x90, 0xFA, 0x31, 0xC0, 0x44, 0x0F, 0x22, 0xC0],
        // MOV EAX, 5; MOV CR8, RAX; STI; NOP; XOR EAX, EAX; MOV CR8, RAX; NOP; CLI: the timer is
        &[
            0xB8, 5, 0, 0, 0, 0x44, 0x0F, 0x22, 0xC0, 0xFB, 0x90, 0x31, 0xC0, 0x44, 0x0F, 0x22, 0xC0, 0x90,
            0xFA,
        ],
        // A self IPI: MOV ECX, 83Fh; MOV EAX, 40h; XOR EDX, EDX; WRMSR
        &[0xB9, 0x3F, 8, 0, 0, 0xB8, TIMER, 0, 0, 0, 0x31, 0xD2, 0x0F, 0x30],
        // CLTS; INVLPG [RSP]
        &[0x0F, 0x06, 0x0F, 0x01, 0x3C, 0x24],
        // MOV EAX, 2; OUT 80h, AL
        &[0xB8, 2, 0, 0, 0, 0xE6, 0x80],
    ];
    match random.below(10) {
        0..4 => program.put(PIECES[random.below(18) as usize]),
        4..7 => any_piece(random, program),
        7 => {
            // STI, and any instruction right after it
            let cli = random.below(2) == 0;
            program.put(&[0xFA, 0xFB]);
            any_piece(random, program);
            program.put(if cli { &[0xFA] } else { &[0x90] });
        }
        8 => return_within(random, program),
        _ => user_piece(random, program),
    }
}

/// IRETQ to the kernel itself.
fn return_within(random: &mut Random, program: &mut Program) {
    let image = if random.below(2) == 0 { 0x202 } else { 2 };
    // PUSH 10h; PUSH RSP-image in RAX; PUSH flags; PUSH 8; PUSH R12; IRETQ
    let before = random.below(2) as usize;
    program.put(&[0x48, 0x89, 0xE0]);
    let pushes =
        [0x6A, KERNEL_DATA as u8, 0x50, 0x68, image as u8, (image >> 8) as u8, 0, 0, 0x6A, 8, 0x41, 0x54];
    program.set_to_ahead(12, pushes.len() + before + 2);
    program.put(&pushes);
    program.put(&[0xFB][..before]);
    program.put(&[0x48, 0xCF]);
}

/// To the user and back.
fn user_piece(random: &mut Random, program: &mut Program) {
    let mut user = Program { code: Vec::new() };
    let by_sysret = random.below(2) == 0;
    let flags = if random.below(4) == 0 { 2 } else { 0x202 };
    // MOV ESP, stack; SWAPGS; SYSRETQ, or the pushes of an IRETQ
    let mut way = Vec::new();
    if by_sysret {
        way.extend([0xBC]);
        way.extend((USER_STACK as u32).to_le_bytes());
        way.extend([0x0F, 0x01, 0xF8, 0x48, 0x0F, 0x07]);
    } else {
        way.extend([0x0F, 0x01, 0xF8, 0x6A, USER_BASE as u8 + 8 + 3, 0x68]);
        way.extend((USER_STACK as u32).to_le_bytes());
        // PUSH R11; PUSH code; PUSH RCX; IRETQ
        way.extend([0x41, 0x53, 0x6A, USER_BASE as u8 + 16 + 3, 0x51, 0x48, 0xCF]);
    }
    // CLI: with the user's stack or GS no interrupt may come.
    program.put(&[0xFA]);
    // The user's code has addresses of its own in it.
    let lead = 3 * 10 + way.len();
    user.code.resize(program.code.len() + lead, 0);
    let from = user.code.len();
    for _ in 0..random.below(6) {
        any_piece(random, &mut user);
    }
    if random.below(4) == 0 {
        // CLI and STI are not the user's.
        user.set_to_ahead(12, 1);
        user.put(&[if random.below(2) == 0 { 0xFA } else { 0xFB }]);
    }
    user.put(&[0x0F, 0x05]);
    let continuation = user.here();
    program.set(13, continuation);
    program.set(1, CODE + from as u64);
    program.set(11, flags);
    program.put(&way);
    assert_eq!(program.code.len(), from);
    program.code.extend_from_slice(&user.code[from..]);
}
