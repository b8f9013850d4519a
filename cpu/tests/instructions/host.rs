//! Integer instructions on registers, run by the interpreter and by the host's processor, on random operands.
//!
//! What the SDM calls undefined is not compared; an ignored test prints where the host's choice is another than ours.
#![allow(unsafe_code)]

use crate::bare::{CODE, Machine, Mode};
use amber_cpu::flags::{Flags, bit};
use amber_cpu::state::CodeSize;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

const ROUNDS: usize = 400;
const ALL: u64 = bit::ARITHMETIC;
const NO_AF: u64 = ALL & !bit::AF;
/// RSP belongs to the trampoline.
const RSP: usize = 4;

/// RAX to R15, then RFLAGS.
type Registers = [u64; 17];

/// An executable page that runs one instruction between loading and storing all registers.
struct Host(*mut u8);

fn modrm(code: &mut Vec<u8>, opcode: u8, register: usize) {
    // MOV between `register` and [RDI + 8 * register].
    code.extend([0x48 | (register as u8 >> 3) << 2, opcode, 0x87 | (register as u8 & 7) << 3]);
    code.extend((8 * register as u32).to_le_bytes());
}

impl Host {
    fn new() -> Self {
        let rights = ProtFlags::READ | ProtFlags::WRITE | ProtFlags::EXEC;
        // SAFETY: a fresh anonymous mapping that nothing else uses.
        let page = unsafe { mmap_anonymous(std::ptr::null_mut(), 4096, rights, MapFlags::PRIVATE) };
        Self(page.expect("an executable page").cast())
    }

    /// Runs `instruction` on `registers`, which includes its RSP slot but neither loads nor stores it.
    fn run(&self, instruction: &[u8], registers: &mut Registers) {
        let mut code = vec![0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57];
        // PUSH RDI; PUSH [RDI + 128]; POPFQ.
        code.extend([0x57, 0xFF, 0xB7, 0x80, 0, 0, 0, 0x9D]);
        let others = (0..16).filter(|n| *n != RSP && *n != 7);
        others.clone().for_each(|n| modrm(&mut code, 0x8B, n));
        modrm(&mut code, 0x8B, 7);
        code.extend(instruction);
        // XCHG RDI, [RSP].
        code.extend([0x48, 0x87, 0x3C, 0x24]);
        others.for_each(|n| modrm(&mut code, 0x89, n));
        // PUSHFQ; POP [RDI + 128]; POP [RDI + 56].
        code.extend([0x9C, 0x8F, 0x87, 0x80, 0, 0, 0, 0x8F, 0x47, 0x38]);
        // CLD, then the callee-saved registers, RET.
        code.extend([0xFC, 0x41, 0x5F, 0x41, 0x5E, 0x41, 0x5D, 0x41, 0x5C, 0x5D, 0x5B, 0xC3]);
        // SAFETY: the code fits the page, obeys the System V calling convention and touches nothing but `registers`
        // and the stack: the instructions under test have register operands other than RSP.
        unsafe {
            std::ptr::copy_nonoverlapping(code.as_ptr(), self.0, code.len());
            let entry: extern "sysv64" fn(*mut u64) = std::mem::transmute(self.0);
            entry(registers.as_mut_ptr());
        }
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    /// An operand: often near an edge of some width.
    fn operand(&mut self) -> u64 {
        let edge = 1u64 << [0, 3, 7, 8, 15, 16, 31, 32, 63][self.below(9) as usize];
        match self.below(6) {
            0 => self.below(4).wrapping_sub(2),
            1 | 2 => edge.wrapping_add(self.below(3)).wrapping_sub(1),
            3 => self.next() >> self.below(64),
            4 => !(self.next() >> self.below(64)),
            _ => self.next(),
        }
    }
    /// A register that is not RSP.
    fn register(&mut self) -> u8 {
        loop {
            let n = self.below(16) as u8;
            if n != RSP as u8 {
                return n;
            }
        }
    }
}

/// An instruction form: opcode bytes after the prefixes, for 16 bits and more, and the one for 8 bits.
struct Form {
    name: &'static str,
    wide: &'static [u8],
    byte: Option<&'static [u8]>,
    operands: Operands,
    /// Flags that are defined, given the masked count (1 where there is none) and the width.
    defined: fn(u32, u32) -> u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operands {
    /// ModRM with two registers.
    Two,
    /// ModRM with an opcode extension.
    One(u8),
    /// The same and an immediate of the operand size, at most 32 bits.
    Immediate(u8),
    /// The same and an 8-bit immediate.
    Immediate8(u8),
    /// Two registers and an 8-bit immediate.
    Two8,
    /// Nothing.
    None,
}

fn all(_: u32, _: u32) -> u64 {
    ALL
}
fn logic(_: u32, _: u32) -> u64 {
    NO_AF
}
fn carry_overflow(_: u32, _: u32) -> u64 {
    bit::CF | bit::OF
}
fn bit_test(_: u32, _: u32) -> u64 {
    bit::CF | bit::ZF
}
fn scan(_: u32, _: u32) -> u64 {
    bit::ZF
}
fn none(_: u32, _: u32) -> u64 {
    0
}
fn rotate(count: u32, _: u32) -> u64 {
    if count < 2 { ALL } else { ALL & !bit::OF }
}
fn shift(count: u32, width: u32) -> u64 {
    match count {
        0 => ALL,
        1 => NO_AF,
        n if n < width => NO_AF & !bit::OF,
        _ => NO_AF & !bit::OF & !bit::CF,
    }
}
fn shift_arithmetic(count: u32, _: u32) -> u64 {
    match count {
        0 => ALL,
        1 => NO_AF,
        _ => NO_AF & !bit::OF,
    }
}

const fn form(
    name: &'static str,
    wide: &'static [u8],
    byte: Option<&'static [u8]>,
    operands: Operands,
    defined: fn(u32, u32) -> u64,
) -> Form {
    Form { name, wide, byte, operands, defined }
}

use Operands::{Immediate, Immediate8, None as Nothing, One, Two, Two8};

const ARITHMETIC: &[Form] = &[
    form("add", &[0x01], Some(&[0x00]), Two, all),
    form("add r, rm", &[0x03], Some(&[0x02]), Two, all),
    form("or", &[0x09], Some(&[0x08]), Two, logic),
    form("adc", &[0x11], Some(&[0x10]), Two, all),
    form("sbb", &[0x19], Some(&[0x18]), Two, all),
    form("and", &[0x21], Some(&[0x20]), Two, logic),
    form("sub", &[0x29], Some(&[0x28]), Two, all),
    form("xor", &[0x31], Some(&[0x30]), Two, logic),
    form("cmp", &[0x39], Some(&[0x38]), Two, all),
    form("test", &[0x85], Some(&[0x84]), Two, logic),
    form("add imm", &[0x81], Some(&[0x80]), Immediate(0), all),
    form("or imm", &[0x81], Some(&[0x80]), Immediate(1), logic),
    form("adc imm", &[0x81], Some(&[0x80]), Immediate(2), all),
    form("sbb imm", &[0x81], Some(&[0x80]), Immediate(3), all),
    form("and imm", &[0x81], Some(&[0x80]), Immediate(4), logic),
    form("sub imm", &[0x81], Some(&[0x80]), Immediate(5), all),
    form("xor imm", &[0x81], Some(&[0x80]), Immediate(6), logic),
    form("cmp imm", &[0x81], Some(&[0x80]), Immediate(7), all),
    form("adc imm8", &[0x83], None, Immediate8(2), all),
    form("cmp imm8", &[0x83], None, Immediate8(7), all),
    form("test imm", &[0xF7], Some(&[0xF6]), Immediate(0), logic),
    form("not", &[0xF7], Some(&[0xF6]), One(2), all),
    form("neg", &[0xF7], Some(&[0xF6]), One(3), all),
    form("inc", &[0xFF], Some(&[0xFE]), One(0), all),
    form("dec", &[0xFF], Some(&[0xFE]), One(1), all),
    form("mul", &[0xF7], Some(&[0xF6]), One(4), carry_overflow),
    form("imul", &[0xF7], Some(&[0xF6]), One(5), carry_overflow),
    form("imul r, rm", &[0x0F, 0xAF], None, Two, carry_overflow),
    form("imul r, rm, imm8", &[0x6B], None, Two8, carry_overflow),
    form("div", &[0xF7], Some(&[0xF6]), One(6), none),
    form("idiv", &[0xF7], Some(&[0xF6]), One(7), none),
    form("cmpxchg", &[0x0F, 0xB1], Some(&[0x0F, 0xB0]), Two, all),
    form("xadd", &[0x0F, 0xC1], Some(&[0x0F, 0xC0]), Two, all),
    form("xchg", &[0x87], Some(&[0x86]), Two, all),
    form("mov", &[0x89], Some(&[0x88]), Two, all),
    form("mov imm", &[0xC7], Some(&[0xC6]), Immediate(0), all),
];

const SHIFTS: &[Form] = &[
    form("rol cl", &[0xD3], Some(&[0xD2]), One(0), rotate),
    form("ror cl", &[0xD3], Some(&[0xD2]), One(1), rotate),
    form("rcl cl", &[0xD3], Some(&[0xD2]), One(2), rotate),
    form("rcr cl", &[0xD3], Some(&[0xD2]), One(3), rotate),
    form("shl cl", &[0xD3], Some(&[0xD2]), One(4), shift),
    form("shr cl", &[0xD3], Some(&[0xD2]), One(5), shift),
    form("sal cl", &[0xD3], Some(&[0xD2]), One(6), shift),
    form("sar cl", &[0xD3], Some(&[0xD2]), One(7), shift_arithmetic),
    form("rol imm", &[0xC1], Some(&[0xC0]), Immediate8(0), rotate),
    form("ror imm", &[0xC1], Some(&[0xC0]), Immediate8(1), rotate),
    form("rcl imm", &[0xC1], Some(&[0xC0]), Immediate8(2), rotate),
    form("rcr imm", &[0xC1], Some(&[0xC0]), Immediate8(3), rotate),
    form("shl imm", &[0xC1], Some(&[0xC0]), Immediate8(4), shift),
    form("shr imm", &[0xC1], Some(&[0xC0]), Immediate8(5), shift),
    form("sar imm", &[0xC1], Some(&[0xC0]), Immediate8(7), shift_arithmetic),
    form("shld imm", &[0x0F, 0xA4], None, Two8, shift_arithmetic),
    form("shld cl", &[0x0F, 0xA5], None, Two, shift_arithmetic),
    form("shrd imm", &[0x0F, 0xAC], None, Two8, shift_arithmetic),
    form("shrd cl", &[0x0F, 0xAD], None, Two, shift_arithmetic),
];

const BITS: &[Form] = &[
    form("bt", &[0x0F, 0xA3], None, Two, bit_test),
    form("bts", &[0x0F, 0xAB], None, Two, bit_test),
    form("btr", &[0x0F, 0xB3], None, Two, bit_test),
    form("btc", &[0x0F, 0xBB], None, Two, bit_test),
    form("bt imm", &[0x0F, 0xBA], None, Immediate8(4), bit_test),
    form("bts imm", &[0x0F, 0xBA], None, Immediate8(5), bit_test),
    form("btr imm", &[0x0F, 0xBA], None, Immediate8(6), bit_test),
    form("btc imm", &[0x0F, 0xBA], None, Immediate8(7), bit_test),
    form("bsf", &[0x0F, 0xBC], None, Two, scan),
    form("bsr", &[0x0F, 0xBD], None, Two, scan),
    form("popcnt", &[0xF3, 0x0F, 0xB8], None, Two, all),
    form("crc32 r8", &[0xF2, 0x0F, 0x38, 0xF0], None, Two, all),
    form("crc32", &[0xF2, 0x0F, 0x38, 0xF1], None, Two, all),
    form("movzx r8", &[0x0F, 0xB6], None, Two, all),
    form("movzx r16", &[0x0F, 0xB7], None, Two, all),
    form("movsx r8", &[0x0F, 0xBE], None, Two, all),
    form("movsx r16", &[0x0F, 0xBF], None, Two, all),
    form("movsxd", &[0x63], None, Two, all),
    form("cbw", &[0x98], None, Nothing, all),
    form("cwd", &[0x99], None, Nothing, all),
    form("lahf", &[0x9F], None, Nothing, all),
    form("sahf", &[0x9E], None, Nothing, all),
    form("cmc", &[0xF5], None, Nothing, all),
    form("clc", &[0xF8], None, Nothing, all),
    form("stc", &[0xF9], None, Nothing, all),
];

/// Condition codes: SETcc on the byte width, CMOVcc on the others.
const SETCC: [[u8; 2]; 16] = conditions(0x90);
const CMOVCC: [[u8; 2]; 16] = conditions(0x40);
const fn conditions(first: u8) -> [[u8; 2]; 16] {
    let mut opcodes = [[0x0F, first]; 16];
    let mut n = 0;
    while n < 16 {
        opcodes[n][1] = first + n as u8;
        n += 1;
    }
    opcodes
}

/// Encodes the form for random registers at `width` bits. Mandatory prefixes stand before REX.
fn encode(form: &Form, width: u32, r: &mut Random) -> Vec<u8> {
    let opcode = if width == 8 { form.byte.unwrap_or(form.wide) } else { form.wide };
    let (prefixes, opcode) = opcode.split_at(usize::from(matches!(opcode[0], 0xF2 | 0xF3)));
    let mut bytes = Vec::new();
    if width == 16 {
        bytes.push(0x66);
    }
    bytes.extend(prefixes);
    let (reg, rm) = (r.register(), r.register());
    let reg = match form.operands {
        One(n) | Immediate(n) | Immediate8(n) => n,
        _ => reg,
    };
    let mut rex = 0x40 | u8::from(width == 64) << 3 | (reg >> 3) << 2 | rm >> 3;
    let mut low = [reg & 7, rm & 7];
    // Byte registers 4 to 7 are AH to BH without REX.
    let plain = width == 8 && rex == 0x40 && r.below(2) == 0;
    if plain {
        rex = 0;
        low[1] = r.below(8) as u8;
    } else if form.operands == Nothing {
        rex &= 0x48;
    }
    bytes.extend((rex != 0).then_some(rex));
    bytes.extend(opcode);
    if form.operands != Nothing {
        bytes.push(0xC0 | low[0] << 3 | low[1]);
    }
    let immediate = match form.operands {
        Immediate(_) => (width / 8).min(4) as usize,
        Immediate8(_) | Two8 => 1,
        _ => 0,
    };
    bytes.extend(&r.operand().to_le_bytes()[..immediate]);
    bytes
}

/// Whether DIV or IDIV raises #DE, by the definition in wide arithmetic.
fn divides(name: &str, bytes: &[u8], width: u32, registers: &Registers) -> bool {
    let mask = u64::MAX >> (64 - width);
    let rex = bytes.iter().find(|byte| **byte & 0xF0 == 0x40);
    let rm = usize::from(bytes[bytes.len() - 1] & 7 | rex.map_or(0, |rex| (rex & 1) << 3));
    let high = width == 8 && rex.is_none() && rm >= 4;
    let source = if high { registers[rm - 4] >> 8 } else { registers[rm] } & mask;
    let dividend = match width {
        8 => u128::from(registers[0] & 0xFFFF),
        _ => u128::from(registers[2] & mask) << width | u128::from(registers[0] & mask),
    };
    if name == "div" {
        return source != 0 && dividend / u128::from(source) <= u128::from(mask);
    }
    let unused = 128 - 2 * width;
    let dividend = (dividend << unused) as i128 >> unused;
    let source = i128::from(((source << (64 - width)) as i64) >> (64 - width));
    let limit = 1i128 << (width - 1);
    source != 0 && dividend.checked_div(source).is_some_and(|q| (-limit..limit).contains(&q))
}

/// The masked count of a shift, or 1.
fn count(form: &Form, bytes: &[u8], width: u32, registers: &Registers) -> u32 {
    let mask = if width == 64 { 63 } else { 31 };
    let raw = match form.operands {
        Immediate8(_) | Two8 => u64::from(bytes[bytes.len() - 1]),
        _ => registers[1],
    };
    (raw & mask) as u32
}

struct Bench {
    host: Host,
    machine: Machine,
    random: Random,
    cases: usize,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let machine = Machine::new(Mode { size: CodeSize::Bits64, user: false });
        Self { host: Host::new(), machine, random: Random(seed), cases: 0 }
    }

    fn registers(&mut self) -> Registers {
        let mut registers = [0; 17];
        registers.iter_mut().for_each(|register| *register = self.random.operand());
        registers[16] = 2 | self.random.next() & ALL;
        registers
    }

    /// Runs the instruction on the interpreter; `None` if it faulted.
    fn interpret(&mut self, bytes: &[u8], start: &Registers) -> Option<Registers> {
        self.machine.reset();
        self.machine.write(CODE, bytes);
        let rsp = self.machine.cpu.gpr[RSP];
        for n in (0..16).filter(|n| *n != RSP) {
            self.machine.cpu.gpr[n] = start[n];
        }
        self.machine.cpu.flags = Flags::from_bits(start[16]);
        if self.machine.step().is_some() {
            return None;
        }
        assert_eq!(self.machine.cpu.rip, CODE + bytes.len() as u64, "{bytes:02x?}");
        assert_eq!(self.machine.cpu.gpr[RSP], rsp, "{bytes:02x?}");
        let mut registers = *start;
        for n in (0..16).filter(|n| *n != RSP) {
            registers[n] = self.machine.cpu.gpr[n];
        }
        registers[16] = self.machine.cpu.flags.bits();
        Some(registers)
    }

    fn compare(&mut self, name: &str, bytes: &[u8], start: &Registers, defined: u64) {
        let ours = self.interpret(bytes, start);
        let mut ours = ours.unwrap_or_else(|| panic!("{name} {bytes:02x?} faulted"));
        let mut theirs = *start;
        self.host.run(bytes, &mut theirs);
        ours[16] &= defined;
        theirs[16] &= defined;
        assert!(ours == theirs, "{name} {bytes:02x?}\nfrom {start:x?}\nours {ours:x?}\nhost {theirs:x?}");
        self.cases += 1;
    }

    fn check(&mut self, form: &Form, width: u32) {
        for _ in 0..ROUNDS {
            let bytes = encode(form, width, &mut self.random);
            let mut start = self.registers();
            if form.name.contains("div") && self.random.below(2) == 0 {
                // Most random dividends overflow.
                start[2] = if self.random.below(2) == 0 { 0 } else { !0 };
            }
            let n = count(form, &bytes, width, &start);
            let double = form.name.starts_with("sh") && form.operands != One(4) && form.wide.len() == 2;
            if double && n > width {
                continue;
            }
            if form.name.contains("div") && !divides(form.name, &bytes, width, &start) {
                assert!(self.interpret(&bytes, &start).is_none(), "{} {bytes:02x?} has no #DE", form.name);
                continue;
            }
            self.compare(form.name, &bytes, &start, (form.defined)(n, width));
        }
    }

    fn check_all(&mut self, forms: &[Form]) {
        for form in forms {
            let byte = form.byte.is_some().then_some(8);
            for width in byte.into_iter().chain([16, 32, 64]) {
                self.check(form, width);
            }
        }
    }
}

#[test]
fn arithmetic_agrees_with_the_host() {
    let mut bench = Bench::new(1);
    bench.check_all(ARITHMETIC);
    assert!(bench.cases > 40_000, "{}", bench.cases);
}

#[test]
fn shifts_agree_with_the_host() {
    let mut bench = Bench::new(2);
    bench.check_all(SHIFTS);
    assert!(bench.cases > 20_000, "{}", bench.cases);
}

#[test]
fn bit_and_conversion_instructions_agree_with_the_host() {
    let mut bench = Bench::new(3);
    bench.check_all(BITS);
    for reg in 0..16 {
        if reg & 7 != 4 {
            for wide in [0x40, 0x48] {
                let start = bench.registers();
                bench.compare("bswap", &[wide | reg >> 3, 0x0F, 0xC8 | reg & 7], &start, ALL);
            }
        }
    }
}

#[test]
fn conditions_agree_with_the_host() {
    let mut bench = Bench::new(4);
    for n in 0..16 {
        let set =
            Form { name: "setcc", wide: &SETCC[n], byte: Some(&SETCC[n]), operands: One(0), defined: all };
        let cmov = Form { name: "cmovcc", wide: &CMOVCC[n], byte: None, operands: Two, defined: all };
        bench.check(&set, 8);
        [16, 32, 64].into_iter().for_each(|width| bench.check(&cmov, width));
    }
}

/// LEA with every ModRM and SIB byte: all addressing modes.
#[test]
fn addressing_modes_agree_with_the_host() {
    let mut bench = Bench::new(5);
    for _ in 0..20_000 {
        let (mode, rm) = (bench.random.below(3) as u8, bench.random.below(8) as u8);
        let (reg, sib) = (bench.random.register(), bench.random.next() as u8);
        let rex = 0x40 | (bench.random.below(2) as u8) << 3 | reg >> 3 << 2 | bench.random.below(4) as u8;
        let base_is_rsp = rm == 4 && sib & 7 == 4 && rex & 1 == 0;
        if mode == 0 && rm == 5 || base_is_rsp {
            continue;
        }
        let mut bytes = if bench.random.below(4) == 0 { vec![0x67] } else { Vec::new() };
        bytes.extend([rex, 0x8D, mode << 6 | (reg & 7) << 3 | rm]);
        bytes.extend((rm == 4).then_some(sib));
        let displacement = match mode {
            0 if rm == 4 && sib & 7 == 5 => 4,
            0 => 0,
            1 => 1,
            _ => 4,
        };
        let random = bench.random.next().to_le_bytes();
        bytes.extend(&random[..displacement]);
        let start = bench.registers();
        bench.compare("lea", &bytes, &start, ALL);
    }
}

/// Which undefined flags differ, for `tests/instructions/README.md`.
#[test]
#[ignore = "prints what depends on the host"]
fn undefined_flags_on_this_host() {
    let mut bench = Bench::new(6);
    for (form, width) in ARITHMETIC.iter().chain(SHIFTS).chain(BITS).flat_map(|form| [(form, 16), (form, 64)])
    {
        let mut different = 0;
        for _ in 0..ROUNDS {
            let (bytes, start) = (encode(form, width, &mut bench.random), bench.registers());
            let faults = form.name.contains("div") && !divides(form.name, &bytes, width, &start);
            let long = form.name.starts_with("shld") || form.name.starts_with("shrd");
            if faults || long && count(form, &bytes, width, &start) > width {
                continue;
            }
            let ours = bench.interpret(&bytes, &start).expect("no fault");
            let mut theirs = start;
            bench.host.run(&bytes, &mut theirs);
            different |= (ours[16] ^ theirs[16]) & ALL;
        }
        if different != 0 {
            println!("{} {width}: {different:#x}", form.name);
        }
    }
}
