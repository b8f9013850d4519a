//! Whole vector and x87 instructions, decoded and run by the interpreter, against the host's.

// Each case is an instruction in this program's own code: it is run there, on state that FXRSTOR loads, and its bytes
// are read back for the interpreter.
#![allow(unsafe_code)]

use crate::apic::Message;
use crate::block::CodeCache;
use crate::cpuid::MODELS;
use crate::exec::Bus;
use crate::flags::Flags;
use crate::softfloat::oracle::Random;
use crate::state::{Segment, Vcpu, ar, cr, seg};
use amber_mmu::{AddressMap, Backing, MapRange, Mmu, ViewId};
use std::arch::asm;

#[repr(C, align(16))]
#[derive(Clone)]
struct State {
    image: [u8; 512],
    /// RAX, RCX, RDX, RFLAGS, and an initial MXCSR for afterwards.
    registers: [u64; 5],
    padding: u64,
    memory: [u8; 64],
}

type Host = fn(&mut State) -> &'static [u8];

macro_rules! case {
    ($op:expr) => {{
        let host: Host = |state| {
            let (start, end): (*const u8, *const u8);
            unsafe {
                asm!(
                    "fxrstor64 [r8]",
                    "push qword ptr [r9 + 24]", "popfq",
                    "mov rax, [r9]", "mov rcx, [r9 + 8]", "mov rdx, [r9 + 16]",
                    "2:", $op, "3:",
                    "mov [r9], rax", "mov [r9 + 8], rcx", "mov [r9 + 16], rdx",
                    "pushfq", "pop qword ptr [r9 + 24]",
                    "fxsave64 [r8]", "fninit", "ldmxcsr [r9 + 32]",
                    "lea rax, [rip + 2b]", "lea rcx, [rip + 3b]",
                    in("r8") &mut state.image, in("r9") &mut state.registers,
                    in("rsi") &mut state.memory, in("rdi") &state.memory,
                    out("rax") start, out("rcx") end, out("rdx") _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                    out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                    out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                    out("mm0") _, out("mm1") _, out("mm2") _, out("mm3") _,
                    out("mm4") _, out("mm5") _, out("mm6") _, out("mm7") _,
                );
                std::slice::from_raw_parts(start, end.offset_from(start) as usize)
            }
        };
        ($op, host)
    }};
}

struct NoBus;

impl Bus for NoBus {
    fn pio_read(&mut self, _: &mut Mmu, _: u64, _: u16, _: u8) -> u32 {
        0
    }
    fn pio_write(&mut self, _: &mut Mmu, _: u64, _: u16, _: u8, _: u32) {}
    fn mmio_read(&mut self, _: &mut Mmu, _: u64, _: u64, _: u8) -> u64 {
        0
    }
    fn mmio_write(&mut self, _: &mut Mmu, _: u64, _: u64, _: u8, _: u64) {}
    fn intr(&self) -> bool {
        false
    }
    fn intack(&mut self, _: &mut Mmu, _: u64) -> u8 {
        0
    }
    fn eoi(&mut self, _: &mut Mmu, _: u64, _: u8) {}
    fn send(&mut self, _: Message) {}
    fn deadline(&self) -> u64 {
        u64::MAX
    }
    fn attention(&self) -> bool {
        false
    }
}

const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x8_0000;
const FRAMES: u32 = 512;

/// 2 MiB of memory, identity-mapped in 64-bit mode.
fn guest() -> (Vcpu, Mmu) {
    let mut mmu = Mmu::new(FRAMES).expect("memory");
    let frames = Backing::Frames(mmu.allocate(FRAMES - 1).expect("frames"));
    let len = u64::from(FRAMES - 1) * 4096;
    mmu.set_map(ViewId(0), AddressMap::new(vec![MapRange { base: 0, len, read: frames, write: frames }]));
    for (table, entry) in [(0x1000, 0x2003u64), (0x2000, 0x3003), (0x3000, 0x83)] {
        mmu.write_physical(ViewId(0), table, &entry.to_le_bytes());
    }
    let mut cpu = Vcpu::new(MODELS[0], 0, 1, 0);
    let system = &mut cpu.system;
    system.cr0 = cr::CR0_PE | cr::CR0_PG | cr::CR0_NE | cr::CR0_ET;
    system.cr3 = 0x1000;
    system.cr4 = cr::CR4_PAE | cr::CR4_OSFXSR | cr::CR4_OSXMMEXCPT;
    system.efer = cr::EFER_LME | cr::EFER_LMA;
    let flat = Segment { selector: 8, base: 0, limit: u32::MAX, access: 0xC093 };
    system.seg = [flat; 6];
    system.seg[seg::CS].access = 0x9B | ar::L | ar::G;
    cpu.derive();
    (cpu, mmu)
}

fn random_state(r: &mut Random) -> State {
    let mut state = State { image: [0; 512], registers: [0, 0, 0, 2, 0x1F80], padding: 0, memory: [0; 64] };
    let control = 0x37F & !0x300 | (r.below(4) as u16) << 10 | [0u16, 2, 3][r.below(3) as usize] << 8;
    let status = (r.next() as u16) & 0x7F3F;
    state.image[..2].copy_from_slice(&control.to_le_bytes());
    state.image[2..4].copy_from_slice(&status.to_le_bytes());
    state.image[4] = if r.below(2) == 0 { 0xFF } else { r.next() as u8 };
    let zeroing = [0u32, 0, 0, 0x40, 0x8000, 0x8040][r.below(6) as usize];
    let mxcsr = 0x1F80 | r.below(64) as u32 | zeroing | (r.below(4) as u32) << 13;
    state.image[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    for n in 0..8 {
        let value = r.f80().to_u128().to_le_bytes();
        state.image[32 + 16 * n..42 + 16 * n].copy_from_slice(&value[..10]);
    }
    for n in 0..16 {
        state.image[160 + 16 * n..176 + 16 * n].copy_from_slice(&vector(r));
    }
    for n in 0..3 {
        state.registers[n] = r.next() >> r.below(64);
    }
    state.registers[3] = 2 | r.next() & 0x8D5;
    for chunk in state.memory.chunks_mut(16) {
        chunk.copy_from_slice(&vector(r));
    }
    state
}

fn vector(r: &mut Random) -> [u8; 16] {
    let value = match r.below(4) {
        0 => u128::from(r.f64()) << 64 | u128::from(r.f64()),
        1 => (0..4).fold(0, |v, _| v << 32 | u128::from(r.f32())),
        2 => r.f80().to_u128(),
        _ => u128::from(r.next()) << 64 | u128::from(r.next()),
    };
    value.to_le_bytes()
}

fn load(cpu: &mut Vcpu, mmu: &mut Mmu, state: &State) {
    let mut legacy = [0; 160];
    legacy.copy_from_slice(&state.image[..160]);
    cpu.x87.set_legacy_region(&legacy, true);
    cpu.mxcsr = u32::from_le_bytes([state.image[24], state.image[25], state.image[26], state.image[27]]);
    for (n, chunk) in state.image[160..416].chunks_exact(16).enumerate() {
        cpu.xmm[n] = u128::from_le_bytes(chunk.try_into().unwrap());
    }
    cpu.gpr[..3].copy_from_slice(&state.registers[..3]);
    (cpu.gpr[6], cpu.gpr[7]) = (DATA, DATA);
    cpu.flags = Flags::from_bits(state.registers[3]);
    cpu.derive();
    mmu.write_physical(ViewId(0), DATA, &state.memory);
}

fn unload(cpu: &Vcpu, mmu: &Mmu) -> State {
    let mut state = State { image: [0; 512], registers: [0, 0, 0, 0, 0x1F80], padding: 0, memory: [0; 64] };
    state.image[..160].copy_from_slice(&cpu.x87.legacy_region(true));
    state.image[24..28].copy_from_slice(&cpu.mxcsr.to_le_bytes());
    for (n, value) in cpu.xmm.iter().enumerate() {
        state.image[160 + 16 * n..176 + 16 * n].copy_from_slice(&value.to_le_bytes());
    }
    state.registers[..3].copy_from_slice(&cpu.gpr[..3]);
    state.registers[3] = cpu.flags.bits();
    mmu.read_physical(ViewId(0), DATA, &mut state.memory);
    state
}

/// Clears what is not compared: pointers, opcode, MXCSR_MASK, reserved bytes, system flags.
fn comparable(mut state: State) -> State {
    state.image[6..24].fill(0);
    state.image[28..32].fill(0);
    state.image[416..].fill(0);
    state.registers[3] &= 0x8D5;
    state
}

fn differences(ours: &State, host: &State) -> String {
    let mut text = String::new();
    for n in (0..416).step_by(16) {
        let (a, b) = (&ours.image[n..n + 16], &host.image[n..n + 16]);
        if a != b {
            text += &format!("image {n}: ours {a:02x?}\n           host {b:02x?}\n");
        }
    }
    if ours.registers != host.registers {
        text += &format!("registers {:x?}\n     host {:x?}\n", ours.registers, host.registers);
    }
    if ours.memory != host.memory {
        text += &format!("memory {:02x?}\n  host {:02x?}\n", ours.memory, host.memory);
    }
    text
}

fn run(seed: u64, rounds: usize, cases: &[(&str, Host)]) {
    let (mut cpu, mut mmu) = guest();
    let mut code = CodeCache::new();
    let mut r = Random(seed);
    for (n, (name, host)) in cases.iter().enumerate() {
        let at = CODE + 32 * n as u64;
        for _ in 0..rounds {
            let start = random_state(&mut r);
            let mut theirs = start.clone();
            let bytes = host(&mut theirs);
            load(&mut cpu, &mut mmu, &start);
            mmu.write_physical(ViewId(0), at, bytes);
            cpu.rip = at;
            let faults = cpu.counters.faults;
            cpu.run(&mut code, &mut mmu, &mut NoBus, 0, u64::MAX, 1);
            assert_eq!(cpu.counters.faults, faults, "{name} faulted: {:?}", cpu.raised);
            assert_eq!(cpu.rip, at + bytes.len() as u64, "{name}");
            let (mut ours, mut theirs) = (comparable(unload(&cpu, &mmu)), comparable(theirs));
            if name.starts_with("fcomi") || name.starts_with("fucomi") {
                // The manual has C1 cleared; AMD leaves it.
                ours.image[3] &= !2;
                theirs.image[3] &= !2;
            }
            let failures = differences(&ours, &theirs);
            if !failures.is_empty() {
                let state = differences(&comparable(start), &theirs);
                panic!("{name} ({bytes:02x?})\n{failures}\nstart against host\n{state}");
            }
        }
    }
}

#[test]
fn sse_integer() {
    let cases = [
        case!("paddb xmm1, xmm10"),
        case!("paddb xmm9, [rsi]"),
        case!("paddw xmm1, xmm10"),
        case!("paddw xmm9, [rsi]"),
        case!("paddd xmm1, xmm10"),
        case!("paddd xmm9, [rsi]"),
        case!("paddq xmm1, xmm10"),
        case!("paddq xmm9, [rsi]"),
        case!("psubb xmm1, xmm10"),
        case!("psubb xmm9, [rsi]"),
        case!("psubw xmm1, xmm10"),
        case!("psubw xmm9, [rsi]"),
        case!("psubd xmm1, xmm10"),
        case!("psubd xmm9, [rsi]"),
        case!("psubq xmm1, xmm10"),
        case!("psubq xmm9, [rsi]"),
        case!("paddsb xmm1, xmm10"),
        case!("paddsb xmm9, [rsi]"),
        case!("paddsw xmm1, xmm10"),
        case!("paddsw xmm9, [rsi]"),
        case!("paddusb xmm1, xmm10"),
        case!("paddusb xmm9, [rsi]"),
        case!("paddusw xmm1, xmm10"),
        case!("paddusw xmm9, [rsi]"),
        case!("psubsb xmm1, xmm10"),
        case!("psubsb xmm9, [rsi]"),
        case!("psubsw xmm1, xmm10"),
        case!("psubsw xmm9, [rsi]"),
        case!("psubusb xmm1, xmm10"),
        case!("psubusb xmm9, [rsi]"),
        case!("psubusw xmm1, xmm10"),
        case!("psubusw xmm9, [rsi]"),
        case!("pmullw xmm1, xmm10"),
        case!("pmullw xmm9, [rsi]"),
        case!("pmulhw xmm1, xmm10"),
        case!("pmulhw xmm9, [rsi]"),
        case!("pmulhuw xmm1, xmm10"),
        case!("pmulhuw xmm9, [rsi]"),
        case!("pmulhrsw xmm1, xmm10"),
        case!("pmulhrsw xmm9, [rsi]"),
        case!("pmuludq xmm1, xmm10"),
        case!("pmuludq xmm9, [rsi]"),
        case!("pmaddwd xmm1, xmm10"),
        case!("pmaddwd xmm9, [rsi]"),
        case!("pmaddubsw xmm1, xmm10"),
        case!("pmaddubsw xmm9, [rsi]"),
        case!("psadbw xmm1, xmm10"),
        case!("psadbw xmm9, [rsi]"),
        case!("pavgb xmm1, xmm10"),
        case!("pavgb xmm9, [rsi]"),
        case!("pavgw xmm1, xmm10"),
        case!("pavgw xmm9, [rsi]"),
        case!("pabsb xmm1, xmm10"),
        case!("pabsb xmm9, [rsi]"),
        case!("pabsw xmm1, xmm10"),
        case!("pabsw xmm9, [rsi]"),
        case!("pabsd xmm1, xmm10"),
        case!("pabsd xmm9, [rsi]"),
        case!("psignb xmm1, xmm10"),
        case!("psignb xmm9, [rsi]"),
        case!("psignw xmm1, xmm10"),
        case!("psignw xmm9, [rsi]"),
        case!("psignd xmm1, xmm10"),
        case!("psignd xmm9, [rsi]"),
        case!("pand xmm1, xmm10"),
        case!("pand xmm9, [rsi]"),
        case!("pandn xmm1, xmm10"),
        case!("pandn xmm9, [rsi]"),
        case!("por xmm1, xmm10"),
        case!("por xmm9, [rsi]"),
        case!("pxor xmm1, xmm10"),
        case!("pxor xmm9, [rsi]"),
        case!("pcmpeqb xmm1, xmm10"),
        case!("pcmpeqb xmm9, [rsi]"),
        case!("pcmpeqw xmm1, xmm10"),
        case!("pcmpeqw xmm9, [rsi]"),
        case!("pcmpeqd xmm1, xmm10"),
        case!("pcmpeqd xmm9, [rsi]"),
        case!("pcmpgtb xmm1, xmm10"),
        case!("pcmpgtb xmm9, [rsi]"),
        case!("pcmpgtw xmm1, xmm10"),
        case!("pcmpgtw xmm9, [rsi]"),
        case!("pcmpgtd xmm1, xmm10"),
        case!("pcmpgtd xmm9, [rsi]"),
        case!("pminub xmm1, xmm10"),
        case!("pminub xmm9, [rsi]"),
        case!("pminsw xmm1, xmm10"),
        case!("pminsw xmm9, [rsi]"),
        case!("pmaxub xmm1, xmm10"),
        case!("pmaxub xmm9, [rsi]"),
        case!("pmaxsw xmm1, xmm10"),
        case!("pmaxsw xmm9, [rsi]"),
        case!("psllw xmm1, xmm10"),
        case!("psllw xmm9, [rsi]"),
        case!("pslld xmm1, xmm10"),
        case!("pslld xmm9, [rsi]"),
        case!("psllq xmm1, xmm10"),
        case!("psllq xmm9, [rsi]"),
        case!("psrlw xmm1, xmm10"),
        case!("psrlw xmm9, [rsi]"),
        case!("psrld xmm1, xmm10"),
        case!("psrld xmm9, [rsi]"),
        case!("psrlq xmm1, xmm10"),
        case!("psrlq xmm9, [rsi]"),
        case!("psraw xmm1, xmm10"),
        case!("psraw xmm9, [rsi]"),
        case!("psrad xmm1, xmm10"),
        case!("psrad xmm9, [rsi]"),
        case!("punpcklbw xmm1, xmm10"),
        case!("punpcklbw xmm9, [rsi]"),
        case!("punpcklwd xmm1, xmm10"),
        case!("punpcklwd xmm9, [rsi]"),
        case!("punpckldq xmm1, xmm10"),
        case!("punpckldq xmm9, [rsi]"),
        case!("packsswb xmm1, xmm10"),
        case!("packsswb xmm9, [rsi]"),
        case!("packuswb xmm1, xmm10"),
        case!("packuswb xmm9, [rsi]"),
        case!("packssdw xmm1, xmm10"),
        case!("packssdw xmm9, [rsi]"),
        case!("punpckhbw xmm1, xmm10"),
        case!("punpckhbw xmm9, [rsi]"),
        case!("punpckhwd xmm1, xmm10"),
        case!("punpckhwd xmm9, [rsi]"),
        case!("punpckhdq xmm1, xmm10"),
        case!("punpckhdq xmm9, [rsi]"),
        case!("pshufb xmm1, xmm10"),
        case!("pshufb xmm9, [rsi]"),
        case!("phaddw xmm1, xmm10"),
        case!("phaddw xmm9, [rsi]"),
        case!("phaddd xmm1, xmm10"),
        case!("phaddd xmm9, [rsi]"),
        case!("phaddsw xmm1, xmm10"),
        case!("phaddsw xmm9, [rsi]"),
        case!("phsubw xmm1, xmm10"),
        case!("phsubw xmm9, [rsi]"),
        case!("phsubd xmm1, xmm10"),
        case!("phsubd xmm9, [rsi]"),
        case!("phsubsw xmm1, xmm10"),
        case!("phsubsw xmm9, [rsi]"),
        case!("pcmpeqq xmm1, xmm10"),
        case!("pcmpeqq xmm9, [rsi]"),
        case!("pcmpgtq xmm1, xmm10"),
        case!("pcmpgtq xmm9, [rsi]"),
        case!("pminsb xmm1, xmm10"),
        case!("pminsb xmm9, [rsi]"),
        case!("pminsd xmm1, xmm10"),
        case!("pminsd xmm9, [rsi]"),
        case!("pminuw xmm1, xmm10"),
        case!("pminuw xmm9, [rsi]"),
        case!("pminud xmm1, xmm10"),
        case!("pminud xmm9, [rsi]"),
        case!("pmaxsb xmm1, xmm10"),
        case!("pmaxsb xmm9, [rsi]"),
        case!("pmaxsd xmm1, xmm10"),
        case!("pmaxsd xmm9, [rsi]"),
        case!("pmaxuw xmm1, xmm10"),
        case!("pmaxuw xmm9, [rsi]"),
        case!("pmaxud xmm1, xmm10"),
        case!("pmaxud xmm9, [rsi]"),
        case!("pmulld xmm1, xmm10"),
        case!("pmulld xmm9, [rsi]"),
        case!("pmuldq xmm1, xmm10"),
        case!("pmuldq xmm9, [rsi]"),
        case!("phminposuw xmm1, xmm10"),
        case!("phminposuw xmm9, [rsi]"),
        case!("packusdw xmm1, xmm10"),
        case!("packusdw xmm9, [rsi]"),
        case!("punpcklqdq xmm1, xmm10"),
        case!("punpcklqdq xmm9, [rsi]"),
        case!("punpckhqdq xmm1, xmm10"),
        case!("punpckhqdq xmm9, [rsi]"),
        case!("movshdup xmm1, xmm10"),
        case!("movshdup xmm9, [rsi]"),
        case!("movsldup xmm1, xmm10"),
        case!("movsldup xmm9, [rsi]"),
        case!("movddup xmm1, xmm10"),
        case!("movddup xmm9, [rsi]"),
        case!("unpcklps xmm1, xmm10"),
        case!("unpcklps xmm9, [rsi]"),
        case!("unpckhps xmm1, xmm10"),
        case!("unpckhps xmm9, [rsi]"),
        case!("unpcklpd xmm1, xmm10"),
        case!("unpcklpd xmm9, [rsi]"),
        case!("unpckhpd xmm1, xmm10"),
        case!("unpckhpd xmm9, [rsi]"),
        case!("andps xmm1, xmm10"),
        case!("andps xmm9, [rsi]"),
        case!("andnpd xmm1, xmm10"),
        case!("andnpd xmm9, [rsi]"),
        case!("orps xmm1, xmm10"),
        case!("orps xmm9, [rsi]"),
        case!("xorpd xmm1, xmm10"),
        case!("xorpd xmm9, [rsi]"),
        case!("ptest xmm1, xmm10"),
        case!("ptest xmm9, [rsi]"),
        case!("pmovsxbw xmm1, xmm10"),
        case!("pmovsxbw xmm9, [rsi]"),
        case!("pmovsxbd xmm1, xmm10"),
        case!("pmovsxbd xmm9, [rsi]"),
        case!("pmovsxbq xmm1, xmm10"),
        case!("pmovsxbq xmm9, [rsi]"),
        case!("pmovsxwd xmm1, xmm10"),
        case!("pmovsxwd xmm9, [rsi]"),
        case!("pmovsxwq xmm1, xmm10"),
        case!("pmovsxwq xmm9, [rsi]"),
        case!("pmovsxdq xmm1, xmm10"),
        case!("pmovsxdq xmm9, [rsi]"),
        case!("pmovzxbw xmm1, xmm10"),
        case!("pmovzxbw xmm9, [rsi]"),
        case!("pmovzxbd xmm1, xmm10"),
        case!("pmovzxbd xmm9, [rsi]"),
        case!("pmovzxbq xmm1, xmm10"),
        case!("pmovzxbq xmm9, [rsi]"),
        case!("pmovzxwd xmm1, xmm10"),
        case!("pmovzxwd xmm9, [rsi]"),
        case!("pmovzxwq xmm1, xmm10"),
        case!("pmovzxwq xmm9, [rsi]"),
        case!("pmovzxdq xmm1, xmm10"),
        case!("pmovzxdq xmm9, [rsi]"),
        case!("aesenc xmm1, xmm10"),
        case!("aesenc xmm9, [rsi]"),
        case!("aesenclast xmm1, xmm10"),
        case!("aesenclast xmm9, [rsi]"),
        case!("aesdec xmm1, xmm10"),
        case!("aesdec xmm9, [rsi]"),
        case!("aesdeclast xmm1, xmm10"),
        case!("aesdeclast xmm9, [rsi]"),
        case!("aesimc xmm1, xmm10"),
        case!("aesimc xmm9, [rsi]"),
        case!("pshufd xmm1, xmm10, 0x19"),
        case!("pshufd xmm9, [rsi], 0x19"),
        case!("pshuflw xmm1, xmm10, 0x19"),
        case!("pshuflw xmm9, [rsi], 0x19"),
        case!("pshufhw xmm1, xmm10, 0x19"),
        case!("pshufhw xmm9, [rsi], 0x19"),
        case!("shufps xmm1, xmm10, 0x19"),
        case!("shufps xmm9, [rsi], 0x19"),
        case!("shufpd xmm1, xmm10, 0x19"),
        case!("shufpd xmm9, [rsi], 0x19"),
        case!("palignr xmm1, xmm10, 0x19"),
        case!("palignr xmm9, [rsi], 0x19"),
        case!("pblendw xmm1, xmm10, 0x19"),
        case!("pblendw xmm9, [rsi], 0x19"),
        case!("blendps xmm1, xmm10, 0x19"),
        case!("blendps xmm9, [rsi], 0x19"),
        case!("blendpd xmm1, xmm10, 0x19"),
        case!("blendpd xmm9, [rsi], 0x19"),
        case!("mpsadbw xmm1, xmm10, 0x19"),
        case!("mpsadbw xmm9, [rsi], 0x19"),
        case!("insertps xmm1, xmm10, 0x19"),
        case!("insertps xmm9, [rsi], 0x19"),
        case!("aeskeygenassist xmm1, xmm10, 0x19"),
        case!("aeskeygenassist xmm9, [rsi], 0x19"),
        case!("pclmulqdq xmm1, xmm10, 0x19"),
        case!("pclmulqdq xmm9, [rsi], 0x19"),
        case!("psllw xmm3, 3"),
        case!("psllw xmm3, 40"),
        case!("pslld xmm3, 3"),
        case!("pslld xmm3, 40"),
        case!("psllq xmm3, 3"),
        case!("psllq xmm3, 40"),
        case!("psrlw xmm3, 3"),
        case!("psrlw xmm3, 40"),
        case!("psrld xmm3, 3"),
        case!("psrld xmm3, 40"),
        case!("psrlq xmm3, 3"),
        case!("psrlq xmm3, 40"),
        case!("psraw xmm3, 3"),
        case!("psraw xmm3, 40"),
        case!("psrad xmm3, 3"),
        case!("psrad xmm3, 40"),
        case!("pslldq xmm3, 3"),
        case!("pslldq xmm3, 40"),
        case!("psrldq xmm3, 3"),
        case!("psrldq xmm3, 40"),
        case!("pblendvb xmm1, xmm2, xmm0"),
        case!("pblendvb xmm1, [rsi], xmm0"),
        case!("blendvps xmm1, xmm2, xmm0"),
        case!("blendvps xmm1, [rsi], xmm0"),
        case!("blendvpd xmm1, xmm2, xmm0"),
        case!("blendvpd xmm1, [rsi], xmm0"),
    ];
    run(31, 40, &cases);
}

#[test]
fn mmx() {
    let cases = [
        case!("paddb mm1, mm2"),
        case!("paddb mm3, [rsi]"),
        case!("paddw mm1, mm2"),
        case!("paddw mm3, [rsi]"),
        case!("paddd mm1, mm2"),
        case!("paddd mm3, [rsi]"),
        case!("paddq mm1, mm2"),
        case!("paddq mm3, [rsi]"),
        case!("psubb mm1, mm2"),
        case!("psubb mm3, [rsi]"),
        case!("psubw mm1, mm2"),
        case!("psubw mm3, [rsi]"),
        case!("psubd mm1, mm2"),
        case!("psubd mm3, [rsi]"),
        case!("psubq mm1, mm2"),
        case!("psubq mm3, [rsi]"),
        case!("paddsb mm1, mm2"),
        case!("paddsb mm3, [rsi]"),
        case!("paddsw mm1, mm2"),
        case!("paddsw mm3, [rsi]"),
        case!("paddusb mm1, mm2"),
        case!("paddusb mm3, [rsi]"),
        case!("paddusw mm1, mm2"),
        case!("paddusw mm3, [rsi]"),
        case!("psubsb mm1, mm2"),
        case!("psubsb mm3, [rsi]"),
        case!("psubsw mm1, mm2"),
        case!("psubsw mm3, [rsi]"),
        case!("psubusb mm1, mm2"),
        case!("psubusb mm3, [rsi]"),
        case!("psubusw mm1, mm2"),
        case!("psubusw mm3, [rsi]"),
        case!("pmullw mm1, mm2"),
        case!("pmullw mm3, [rsi]"),
        case!("pmulhw mm1, mm2"),
        case!("pmulhw mm3, [rsi]"),
        case!("pmulhuw mm1, mm2"),
        case!("pmulhuw mm3, [rsi]"),
        case!("pmulhrsw mm1, mm2"),
        case!("pmulhrsw mm3, [rsi]"),
        case!("pmuludq mm1, mm2"),
        case!("pmuludq mm3, [rsi]"),
        case!("pmaddwd mm1, mm2"),
        case!("pmaddwd mm3, [rsi]"),
        case!("pmaddubsw mm1, mm2"),
        case!("pmaddubsw mm3, [rsi]"),
        case!("psadbw mm1, mm2"),
        case!("psadbw mm3, [rsi]"),
        case!("pavgb mm1, mm2"),
        case!("pavgb mm3, [rsi]"),
        case!("pavgw mm1, mm2"),
        case!("pavgw mm3, [rsi]"),
        case!("pabsb mm1, mm2"),
        case!("pabsb mm3, [rsi]"),
        case!("pabsw mm1, mm2"),
        case!("pabsw mm3, [rsi]"),
        case!("pabsd mm1, mm2"),
        case!("pabsd mm3, [rsi]"),
        case!("psignb mm1, mm2"),
        case!("psignb mm3, [rsi]"),
        case!("psignw mm1, mm2"),
        case!("psignw mm3, [rsi]"),
        case!("psignd mm1, mm2"),
        case!("psignd mm3, [rsi]"),
        case!("pand mm1, mm2"),
        case!("pand mm3, [rsi]"),
        case!("pandn mm1, mm2"),
        case!("pandn mm3, [rsi]"),
        case!("por mm1, mm2"),
        case!("por mm3, [rsi]"),
        case!("pxor mm1, mm2"),
        case!("pxor mm3, [rsi]"),
        case!("pcmpeqb mm1, mm2"),
        case!("pcmpeqb mm3, [rsi]"),
        case!("pcmpeqw mm1, mm2"),
        case!("pcmpeqw mm3, [rsi]"),
        case!("pcmpeqd mm1, mm2"),
        case!("pcmpeqd mm3, [rsi]"),
        case!("pcmpgtb mm1, mm2"),
        case!("pcmpgtb mm3, [rsi]"),
        case!("pcmpgtw mm1, mm2"),
        case!("pcmpgtw mm3, [rsi]"),
        case!("pcmpgtd mm1, mm2"),
        case!("pcmpgtd mm3, [rsi]"),
        case!("pminub mm1, mm2"),
        case!("pminub mm3, [rsi]"),
        case!("pminsw mm1, mm2"),
        case!("pminsw mm3, [rsi]"),
        case!("pmaxub mm1, mm2"),
        case!("pmaxub mm3, [rsi]"),
        case!("pmaxsw mm1, mm2"),
        case!("pmaxsw mm3, [rsi]"),
        case!("psllw mm1, mm2"),
        case!("psllw mm3, [rsi]"),
        case!("pslld mm1, mm2"),
        case!("pslld mm3, [rsi]"),
        case!("psllq mm1, mm2"),
        case!("psllq mm3, [rsi]"),
        case!("psrlw mm1, mm2"),
        case!("psrlw mm3, [rsi]"),
        case!("psrld mm1, mm2"),
        case!("psrld mm3, [rsi]"),
        case!("psrlq mm1, mm2"),
        case!("psrlq mm3, [rsi]"),
        case!("psraw mm1, mm2"),
        case!("psraw mm3, [rsi]"),
        case!("psrad mm1, mm2"),
        case!("psrad mm3, [rsi]"),
        case!("punpcklbw mm1, mm2"),
        case!("punpcklbw mm3, [rsi]"),
        case!("punpcklwd mm1, mm2"),
        case!("punpcklwd mm3, [rsi]"),
        case!("punpckldq mm1, mm2"),
        case!("punpckldq mm3, [rsi]"),
        case!("packsswb mm1, mm2"),
        case!("packsswb mm3, [rsi]"),
        case!("packuswb mm1, mm2"),
        case!("packuswb mm3, [rsi]"),
        case!("packssdw mm1, mm2"),
        case!("packssdw mm3, [rsi]"),
        case!("punpckhbw mm1, mm2"),
        case!("punpckhbw mm3, [rsi]"),
        case!("punpckhwd mm1, mm2"),
        case!("punpckhwd mm3, [rsi]"),
        case!("punpckhdq mm1, mm2"),
        case!("punpckhdq mm3, [rsi]"),
        case!("pshufb mm1, mm2"),
        case!("pshufb mm3, [rsi]"),
        case!("phaddw mm1, mm2"),
        case!("phaddw mm3, [rsi]"),
        case!("phaddd mm1, mm2"),
        case!("phaddd mm3, [rsi]"),
        case!("phaddsw mm1, mm2"),
        case!("phaddsw mm3, [rsi]"),
        case!("phsubw mm1, mm2"),
        case!("phsubw mm3, [rsi]"),
        case!("phsubd mm1, mm2"),
        case!("phsubd mm3, [rsi]"),
        case!("phsubsw mm1, mm2"),
        case!("phsubsw mm3, [rsi]"),
        case!("pshufw mm1, mm2, 0x6c"),
        case!("pshufw mm1, [rsi], 0x6c"),
        case!("palignr mm1, mm2, 3"),
        case!("palignr mm1, [rsi], 9"),
        case!("psllw mm3, 3"),
        case!("psllw mm3, 40"),
        case!("pslld mm3, 3"),
        case!("pslld mm3, 40"),
        case!("psllq mm3, 3"),
        case!("psllq mm3, 40"),
        case!("psrlw mm3, 3"),
        case!("psrlw mm3, 40"),
        case!("psrld mm3, 3"),
        case!("psrld mm3, 40"),
        case!("psrlq mm3, 3"),
        case!("psrlq mm3, 40"),
        case!("psraw mm3, 3"),
        case!("psraw mm3, 40"),
        case!("psrad mm3, 3"),
        case!("psrad mm3, 40"),
        case!("movq mm1, mm2"),
        case!("movq mm1, [rsi]"),
        case!("movq [rsi], mm1"),
        case!("movd mm1, eax"),
        case!("movd mm1, dword ptr [rsi]"),
        case!("movq mm1, rax"),
        case!("movd eax, mm1"),
        case!("movd dword ptr [rsi], mm1"),
        case!("movq rax, mm1"),
        case!("movntq [rsi], mm2"),
        case!("movq2dq xmm1, mm2"),
        case!("movdq2q mm2, xmm9"),
        case!("pmovmskb eax, mm3"),
        case!("pextrw eax, mm3, 2"),
        case!("pinsrw mm3, eax, 1"),
        case!("pinsrw mm3, [rsi], 3"),
        case!("maskmovq mm1, mm2"),
        case!("emms"),
        case!("cvtpi2ps xmm1, mm2"),
        // Not CVTPI2PS with memory: Intel enters MMX state then, too, and AMD does not.
        case!("cvtpi2pd xmm1, mm2"),
        case!("cvtpi2pd xmm1, [rsi]"),
        case!("cvtps2pi mm1, xmm2"),
        case!("cvtps2pi mm1, [rsi]"),
        case!("cvttps2pi mm1, xmm2"),
        case!("cvtpd2pi mm1, xmm2"),
        case!("cvttpd2pi mm1, [rsi]"),
    ];
    run(32, 40, &cases);
}

#[test]
fn sse_moves_and_strings() {
    let cases = [
        case!("movaps xmm1, xmm10"),
        case!("movaps xmm11, [rsi + 16]"),
        case!("movaps [rsi + 16], xmm12"),
        case!("movapd xmm1, xmm10"),
        case!("movapd xmm11, [rsi + 16]"),
        case!("movapd [rsi + 16], xmm12"),
        case!("movdqa xmm1, xmm10"),
        case!("movdqa xmm11, [rsi + 16]"),
        case!("movdqa [rsi + 16], xmm12"),
        case!("movups xmm1, xmm10"),
        case!("movups xmm11, [rsi + 7]"),
        case!("movups [rsi + 7], xmm12"),
        case!("movupd xmm1, xmm10"),
        case!("movupd xmm11, [rsi + 7]"),
        case!("movupd [rsi + 7], xmm12"),
        case!("movdqu xmm1, xmm10"),
        case!("movdqu xmm11, [rsi + 7]"),
        case!("movdqu [rsi + 7], xmm12"),
        case!("lddqu xmm1, [rsi + 3]"),
        case!("movntdqa xmm1, [rsi + 16]"),
        case!("movntps [rsi], xmm1"),
        case!("movntpd [rsi], xmm1"),
        case!("movntdq [rsi], xmm1"),
        case!("movss xmm1, xmm10"),
        case!("movss xmm11, [rsi + 5]"),
        case!("movss [rsi + 5], xmm12"),
        case!("movsd xmm1, xmm10"),
        case!("movsd xmm11, [rsi + 5]"),
        case!("movsd [rsi + 5], xmm12"),
        case!("movlps xmm11, [rsi + 5]"),
        case!("movlps [rsi + 5], xmm12"),
        case!("movlpd xmm11, [rsi + 5]"),
        case!("movlpd [rsi + 5], xmm12"),
        case!("movhps xmm11, [rsi + 5]"),
        case!("movhps [rsi + 5], xmm12"),
        case!("movhpd xmm11, [rsi + 5]"),
        case!("movhpd [rsi + 5], xmm12"),
        case!("movhlps xmm1, xmm10"),
        case!("movlhps xmm1, xmm10"),
        case!("movq xmm1, xmm10"),
        case!("movq xmm1, qword ptr [rsi]"),
        case!("movq qword ptr [rsi], xmm1"),
        case!("movd xmm9, ecx"),
        case!("movd xmm9, dword ptr [rsi]"),
        case!("movq xmm9, rcx"),
        case!("movd ecx, xmm9"),
        case!("movd dword ptr [rsi], xmm9"),
        case!("movq rcx, xmm9"),
        case!("movmskps eax, xmm10"),
        case!("movmskpd eax, xmm10"),
        case!("pmovmskb eax, xmm10"),
        case!("maskmovdqu xmm1, xmm2"),
        case!("pextrb eax, xmm1, 9"),
        case!("pextrb [rsi], xmm1, 9"),
        case!("pextrw eax, xmm1, 5"),
        case!("pextrw [rsi], xmm1, 5"),
        case!("pextrd eax, xmm1, 2"),
        case!("pextrd [rsi], xmm1, 2"),
        case!("pextrq rax, xmm1, 1"),
        case!("pextrq [rsi], xmm1, 1"),
        case!("extractps eax, xmm1, 3"),
        case!("extractps [rsi], xmm1, 3"),
        case!("pinsrb xmm1, eax, 9"),
        case!("pinsrb xmm1, [rsi], 9"),
        case!("pinsrw xmm1, eax, 6"),
        case!("pinsrw xmm1, [rsi], 6"),
        case!("pinsrd xmm1, ecx, 2"),
        case!("pinsrd xmm1, [rsi], 2"),
        case!("pinsrq xmm1, rcx, 1"),
        case!("pinsrq xmm1, [rsi], 0"),
        case!("movnti [rsi], eax"),
        case!("movnti [rsi], rax"),
        case!("crc32 eax, cl"),
        case!("crc32 eax, cx"),
        case!("crc32 eax, ecx"),
        case!("crc32 rax, rcx"),
        case!("crc32 eax, byte ptr [rsi]"),
        case!("crc32 rax, qword ptr [rsi]"),
        case!("stmxcsr [rsi]"),
        case!("prefetcht0 [rsi]"),
        case!("lfence"),
        case!("mfence"),
        case!("sfence"),
        case!("pcmpistri xmm1, xmm2, 0x0c"),
        case!("pcmpistri xmm1, [rsi + 3], 0x0c"),
        case!("pcmpistri xmm1, xmm2, 0x41"),
        case!("pcmpistri xmm1, [rsi + 3], 0x41"),
        case!("pcmpistri xmm1, xmm2, 0x5a"),
        case!("pcmpistri xmm1, [rsi + 3], 0x5a"),
        case!("pcmpistri xmm1, xmm2, 0x34"),
        case!("pcmpistri xmm1, [rsi + 3], 0x34"),
        case!("pcmpistrm xmm1, xmm2, 0x0c"),
        case!("pcmpistrm xmm1, [rsi + 3], 0x0c"),
        case!("pcmpistrm xmm1, xmm2, 0x41"),
        case!("pcmpistrm xmm1, [rsi + 3], 0x41"),
        case!("pcmpistrm xmm1, xmm2, 0x5a"),
        case!("pcmpistrm xmm1, [rsi + 3], 0x5a"),
        case!("pcmpistrm xmm1, xmm2, 0x34"),
        case!("pcmpistrm xmm1, [rsi + 3], 0x34"),
        case!("pcmpestri xmm1, xmm2, 0x0c"),
        case!("pcmpestri xmm1, [rsi + 3], 0x0c"),
        case!("pcmpestri xmm1, xmm2, 0x41"),
        case!("pcmpestri xmm1, [rsi + 3], 0x41"),
        case!("pcmpestri xmm1, xmm2, 0x5a"),
        case!("pcmpestri xmm1, [rsi + 3], 0x5a"),
        case!("pcmpestri xmm1, xmm2, 0x34"),
        case!("pcmpestri xmm1, [rsi + 3], 0x34"),
        case!("pcmpestrm xmm1, xmm2, 0x0c"),
        case!("pcmpestrm xmm1, [rsi + 3], 0x0c"),
        case!("pcmpestrm xmm1, xmm2, 0x41"),
        case!("pcmpestrm xmm1, [rsi + 3], 0x41"),
        case!("pcmpestrm xmm1, xmm2, 0x5a"),
        case!("pcmpestrm xmm1, [rsi + 3], 0x5a"),
        case!("pcmpestrm xmm1, xmm2, 0x34"),
        case!("pcmpestrm xmm1, [rsi + 3], 0x34"),
        case!(".byte 0x66, 0x48, 0x0f, 0x3a, 0x61, 0xca, 0x0c"),
    ];
    run(33, 40, &cases);
}

#[test]
fn sse_floating_point() {
    let cases = [
        case!("addps xmm1, xmm10"),
        case!("addps xmm9, [rsi]"),
        case!("addpd xmm1, xmm10"),
        case!("addpd xmm9, [rsi]"),
        case!("addss xmm1, xmm10"),
        case!("addss xmm9, [rsi]"),
        case!("addsd xmm1, xmm10"),
        case!("addsd xmm9, [rsi]"),
        case!("subps xmm1, xmm10"),
        case!("subps xmm9, [rsi]"),
        case!("subpd xmm1, xmm10"),
        case!("subpd xmm9, [rsi]"),
        case!("subss xmm1, xmm10"),
        case!("subss xmm9, [rsi]"),
        case!("subsd xmm1, xmm10"),
        case!("subsd xmm9, [rsi]"),
        case!("mulps xmm1, xmm10"),
        case!("mulps xmm9, [rsi]"),
        case!("mulpd xmm1, xmm10"),
        case!("mulpd xmm9, [rsi]"),
        case!("mulss xmm1, xmm10"),
        case!("mulss xmm9, [rsi]"),
        case!("mulsd xmm1, xmm10"),
        case!("mulsd xmm9, [rsi]"),
        case!("divps xmm1, xmm10"),
        case!("divps xmm9, [rsi]"),
        case!("divpd xmm1, xmm10"),
        case!("divpd xmm9, [rsi]"),
        case!("divss xmm1, xmm10"),
        case!("divss xmm9, [rsi]"),
        case!("divsd xmm1, xmm10"),
        case!("divsd xmm9, [rsi]"),
        case!("minps xmm1, xmm10"),
        case!("minps xmm9, [rsi]"),
        case!("minpd xmm1, xmm10"),
        case!("minpd xmm9, [rsi]"),
        case!("minss xmm1, xmm10"),
        case!("minss xmm9, [rsi]"),
        case!("minsd xmm1, xmm10"),
        case!("minsd xmm9, [rsi]"),
        case!("maxps xmm1, xmm10"),
        case!("maxps xmm9, [rsi]"),
        case!("maxpd xmm1, xmm10"),
        case!("maxpd xmm9, [rsi]"),
        case!("maxss xmm1, xmm10"),
        case!("maxss xmm9, [rsi]"),
        case!("maxsd xmm1, xmm10"),
        case!("maxsd xmm9, [rsi]"),
        case!("sqrtps xmm1, xmm10"),
        case!("sqrtps xmm9, [rsi]"),
        case!("sqrtpd xmm1, xmm10"),
        case!("sqrtpd xmm9, [rsi]"),
        case!("sqrtss xmm1, xmm10"),
        case!("sqrtss xmm9, [rsi]"),
        case!("sqrtsd xmm1, xmm10"),
        case!("sqrtsd xmm9, [rsi]"),
        case!("cmpps xmm1, xmm2, 0"),
        case!("cmppd xmm1, xmm2, 0"),
        case!("cmpss xmm1, xmm2, 0"),
        case!("cmpsd xmm1, xmm2, 0"),
        case!("cmpps xmm1, xmm2, 1"),
        case!("cmppd xmm1, xmm2, 1"),
        case!("cmpss xmm1, xmm2, 1"),
        case!("cmpsd xmm1, xmm2, 1"),
        case!("cmpps xmm1, xmm2, 2"),
        case!("cmppd xmm1, xmm2, 2"),
        case!("cmpss xmm1, xmm2, 2"),
        case!("cmpsd xmm1, xmm2, 2"),
        case!("cmpps xmm1, xmm2, 3"),
        case!("cmppd xmm1, xmm2, 3"),
        case!("cmpss xmm1, xmm2, 3"),
        case!("cmpsd xmm1, xmm2, 3"),
        case!("cmpps xmm1, xmm2, 4"),
        case!("cmppd xmm1, xmm2, 4"),
        case!("cmpss xmm1, xmm2, 4"),
        case!("cmpsd xmm1, xmm2, 4"),
        case!("cmpps xmm1, xmm2, 5"),
        case!("cmppd xmm1, xmm2, 5"),
        case!("cmpss xmm1, xmm2, 5"),
        case!("cmpsd xmm1, xmm2, 5"),
        case!("cmpps xmm1, xmm2, 6"),
        case!("cmppd xmm1, xmm2, 6"),
        case!("cmpss xmm1, xmm2, 6"),
        case!("cmpsd xmm1, xmm2, 6"),
        case!("cmpps xmm1, xmm2, 7"),
        case!("cmppd xmm1, xmm2, 7"),
        case!("cmpss xmm1, xmm2, 7"),
        case!("cmpsd xmm1, xmm2, 7"),
        case!("cmpps xmm1, [rsi], 1"),
        case!("cmppd xmm1, [rsi], 1"),
        case!("cmpss xmm1, [rsi], 1"),
        case!("cmpsd xmm1, [rsi], 1"),
        case!("roundps xmm1, xmm2, 0"),
        case!("roundpd xmm1, xmm2, 0"),
        case!("roundss xmm1, xmm2, 0"),
        case!("roundsd xmm1, xmm2, 0"),
        case!("roundps xmm1, xmm2, 1"),
        case!("roundpd xmm1, xmm2, 1"),
        case!("roundss xmm1, xmm2, 1"),
        case!("roundsd xmm1, xmm2, 1"),
        case!("roundps xmm1, xmm2, 2"),
        case!("roundpd xmm1, xmm2, 2"),
        case!("roundss xmm1, xmm2, 2"),
        case!("roundsd xmm1, xmm2, 2"),
        case!("roundps xmm1, xmm2, 3"),
        case!("roundpd xmm1, xmm2, 3"),
        case!("roundss xmm1, xmm2, 3"),
        case!("roundsd xmm1, xmm2, 3"),
        case!("roundps xmm1, xmm2, 4"),
        case!("roundpd xmm1, xmm2, 4"),
        case!("roundss xmm1, xmm2, 4"),
        case!("roundsd xmm1, xmm2, 4"),
        case!("roundps xmm1, xmm2, 9"),
        case!("roundpd xmm1, xmm2, 9"),
        case!("roundss xmm1, xmm2, 9"),
        case!("roundsd xmm1, xmm2, 9"),
        case!("roundps xmm1, xmm2, 12"),
        case!("roundpd xmm1, xmm2, 12"),
        case!("roundss xmm1, xmm2, 12"),
        case!("roundsd xmm1, xmm2, 12"),
        case!("roundps xmm1, [rsi], 4"),
        case!("roundpd xmm1, [rsi], 4"),
        case!("roundss xmm1, [rsi], 4"),
        case!("roundsd xmm1, [rsi], 4"),
        case!("addsubps xmm1, xmm10"),
        case!("addsubps xmm9, [rsi]"),
        case!("addsubpd xmm1, xmm10"),
        case!("addsubpd xmm9, [rsi]"),
        case!("haddps xmm1, xmm10"),
        case!("haddps xmm9, [rsi]"),
        case!("haddpd xmm1, xmm10"),
        case!("haddpd xmm9, [rsi]"),
        case!("hsubps xmm1, xmm10"),
        case!("hsubps xmm9, [rsi]"),
        case!("hsubpd xmm1, xmm10"),
        case!("hsubpd xmm9, [rsi]"),
        case!("comiss xmm1, xmm10"),
        case!("comiss xmm9, [rsi]"),
        case!("comisd xmm1, xmm10"),
        case!("comisd xmm9, [rsi]"),
        case!("ucomiss xmm1, xmm10"),
        case!("ucomiss xmm9, [rsi]"),
        case!("ucomisd xmm1, xmm10"),
        case!("ucomisd xmm9, [rsi]"),
        case!("cvtps2dq xmm1, xmm10"),
        case!("cvtps2dq xmm9, [rsi]"),
        case!("cvttps2dq xmm1, xmm10"),
        case!("cvttps2dq xmm9, [rsi]"),
        case!("cvtdq2ps xmm1, xmm10"),
        case!("cvtdq2ps xmm9, [rsi]"),
        case!("cvtdq2pd xmm1, xmm10"),
        case!("cvtdq2pd xmm9, [rsi]"),
        case!("cvtpd2dq xmm1, xmm10"),
        case!("cvtpd2dq xmm9, [rsi]"),
        case!("cvttpd2dq xmm1, xmm10"),
        case!("cvttpd2dq xmm9, [rsi]"),
        case!("cvtps2pd xmm1, xmm10"),
        case!("cvtps2pd xmm9, [rsi]"),
        case!("cvtpd2ps xmm1, xmm10"),
        case!("cvtpd2ps xmm9, [rsi]"),
        case!("cvtss2sd xmm1, xmm10"),
        case!("cvtss2sd xmm9, [rsi]"),
        case!("cvtsd2ss xmm1, xmm10"),
        case!("cvtsd2ss xmm9, [rsi]"),
        case!("dpps xmm1, xmm10, 0x73"),
        case!("dpps xmm9, [rsi], 0x73"),
        case!("dppd xmm1, xmm10, 0x73"),
        case!("dppd xmm9, [rsi], 0x73"),
        case!("cvtss2si eax, xmm10"),
        case!("cvtss2si rax, xmm10"),
        case!("cvtss2si eax, [rsi]"),
        case!("cvtss2si rax, [rsi]"),
        case!("cvttss2si eax, xmm10"),
        case!("cvttss2si rax, xmm10"),
        case!("cvttss2si eax, [rsi]"),
        case!("cvttss2si rax, [rsi]"),
        case!("cvtsd2si eax, xmm10"),
        case!("cvtsd2si rax, xmm10"),
        case!("cvtsd2si eax, [rsi]"),
        case!("cvtsd2si rax, [rsi]"),
        case!("cvttsd2si eax, xmm10"),
        case!("cvttsd2si rax, xmm10"),
        case!("cvttsd2si eax, [rsi]"),
        case!("cvttsd2si rax, [rsi]"),
        case!("cvtsi2ss xmm1, eax"),
        case!("cvtsi2ss xmm1, rax"),
        case!("cvtsi2ss xmm1, dword ptr [rsi]"),
        case!("cvtsi2ss xmm1, qword ptr [rsi]"),
        case!("cvtsi2sd xmm1, eax"),
        case!("cvtsi2sd xmm1, rax"),
        case!("cvtsi2sd xmm1, dword ptr [rsi]"),
        case!("cvtsi2sd xmm1, qword ptr [rsi]"),
    ];
    run(34, 60, &cases);
}

#[test]
fn x87() {
    let cases = [
        case!("fadd st(0), st(3)"),
        case!("fadd st(3), st(0)"),
        case!("faddp st(2), st(0)"),
        case!("fadd dword ptr [rsi]"),
        case!("fadd qword ptr [rsi]"),
        case!("fiadd word ptr [rsi]"),
        case!("fiadd dword ptr [rsi]"),
        case!("fmul st(0), st(3)"),
        case!("fmul st(3), st(0)"),
        case!("fmulp st(2), st(0)"),
        case!("fmul dword ptr [rsi]"),
        case!("fmul qword ptr [rsi]"),
        case!("fimul word ptr [rsi]"),
        case!("fimul dword ptr [rsi]"),
        case!("fsub st(0), st(3)"),
        case!("fsub st(3), st(0)"),
        case!("fsubp st(2), st(0)"),
        case!("fsub dword ptr [rsi]"),
        case!("fsub qword ptr [rsi]"),
        case!("fisub word ptr [rsi]"),
        case!("fisub dword ptr [rsi]"),
        case!("fsubr st(0), st(3)"),
        case!("fsubr st(3), st(0)"),
        case!("fsubrp st(2), st(0)"),
        case!("fsubr dword ptr [rsi]"),
        case!("fsubr qword ptr [rsi]"),
        case!("fisubr word ptr [rsi]"),
        case!("fisubr dword ptr [rsi]"),
        case!("fdiv st(0), st(3)"),
        case!("fdiv st(3), st(0)"),
        case!("fdivp st(2), st(0)"),
        case!("fdiv dword ptr [rsi]"),
        case!("fdiv qword ptr [rsi]"),
        case!("fidiv word ptr [rsi]"),
        case!("fidiv dword ptr [rsi]"),
        case!("fdivr st(0), st(3)"),
        case!("fdivr st(3), st(0)"),
        case!("fdivrp st(2), st(0)"),
        case!("fdivr dword ptr [rsi]"),
        case!("fdivr qword ptr [rsi]"),
        case!("fidivr word ptr [rsi]"),
        case!("fidivr dword ptr [rsi]"),
        case!("fcom st(2)"),
        case!("fcomp st(2)"),
        case!("fcompp"),
        case!("fcom dword ptr [rsi]"),
        case!("fcomp qword ptr [rsi]"),
        case!("ficom word ptr [rsi]"),
        case!("ficomp dword ptr [rsi]"),
        case!("fucom st(3)"),
        case!("fucomp st(3)"),
        case!("fucompp"),
        case!("ftst"),
        case!("fxam"),
        case!("fucomi st(0), st(2)"),
        case!("fucomip st(0), st(2)"),
        case!("fcomi st(0), st(2)"),
        case!("fcomip st(0), st(2)"),
        case!("fcmovb st(0), st(3)"),
        case!("fcmove st(0), st(3)"),
        case!("fcmovbe st(0), st(3)"),
        case!("fcmovu st(0), st(3)"),
        case!("fcmovnb st(0), st(3)"),
        case!("fcmovne st(0), st(3)"),
        case!("fcmovnbe st(0), st(3)"),
        case!("fcmovnu st(0), st(3)"),
        case!("fld st(3)"),
        case!("fst st(3)"),
        case!("fstp st(3)"),
        case!("fxch st(2)"),
        case!("ffree st(2)"),
        case!("ffreep st(2)"),
        case!("fincstp"),
        case!("fdecstp"),
        case!("fchs"),
        case!("fabs"),
        case!("fnop"),
        case!("fld1"),
        case!("fldl2t"),
        case!("fldl2e"),
        case!("fldpi"),
        case!("fldlg2"),
        case!("fldln2"),
        case!("fldz"),
        case!("fsqrt"),
        case!("frndint"),
        case!("fscale"),
        case!("fxtract"),
        case!("fprem"),
        case!("fprem1"),
        case!("fninit"),
        case!("fnclex"),
        case!("fwait"),
        case!("fnstsw ax"),
        case!("fld dword ptr [rsi]"),
        case!("fld qword ptr [rsi]"),
        case!("fld tbyte ptr [rsi]"),
        case!("fild word ptr [rsi]"),
        case!("fild dword ptr [rsi]"),
        case!("fild qword ptr [rsi]"),
        case!("fst dword ptr [rsi]"),
        case!("fst qword ptr [rsi]"),
        case!("fstp dword ptr [rsi]"),
        case!("fstp qword ptr [rsi]"),
        case!("fstp tbyte ptr [rsi]"),
        case!("fist word ptr [rsi]"),
        case!("fist dword ptr [rsi]"),
        case!("fistp word ptr [rsi]"),
        case!("fistp dword ptr [rsi]"),
        case!("fistp qword ptr [rsi]"),
        case!("fisttp word ptr [rsi]"),
        case!("fisttp dword ptr [rsi]"),
        case!("fisttp qword ptr [rsi]"),
        case!("fbstp tbyte ptr [rsi]"),
        case!("fnstcw word ptr [rsi]"),
        case!("fnstsw word ptr [rsi]"),
    ];
    run(35, 80, &cases);
}
