//! Whole vector and x87 instructions, decoded and run by the interpreter, against the host's.

// Each case is an instruction in this program's own code: it is run there, on state that FXRSTOR loads, and its bytes
// are read back for the interpreter.
#![allow(unsafe_code)]

mod float;
mod integer;
mod mmx;
mod moves;
mod x87;

use crate::apic::Message;
use crate::block::CodeCache;
use crate::cpuid::MODELS;
use crate::exec::Bus;
use crate::flags::Flags;
use crate::softfloat::oracle::Random;
use crate::state::{Segment, Vcpu, ar, cr, seg};
use amber_mmu::{AddressMap, Backing, MapRange, Mmu, ViewId};

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

use case;

pub(super) struct NoBus;

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
    fn ferr(&mut self, _: &mut Mmu, _: u64, _: bool) {}
    fn request(&mut self) {}
    fn send(&mut self, _: Message) {}
    fn deadline(&self) -> u64 {
        u64::MAX
    }
    fn attention(&mut self) -> bool {
        false
    }
}

const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x8_0000;
const FRAMES: u32 = 512;

/// 2 MiB of memory, identity-mapped in 64-bit mode.
pub(super) fn guest() -> (Vcpu, Mmu) {
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

/// Which NaN a sum of NaNs keeps differs between vendors: makes all one.
fn forget_nans(name: &str, state: &mut State) {
    let size = if name.starts_with("dpps") { 4 } else { 8 };
    for element in state.image[160..416].chunks_mut(size) {
        let nan = match *element {
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).is_nan(),
            [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]).is_nan(),
            _ => false,
        };
        if nan {
            element.fill(0xFF);
        }
    }
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
            if name.starts_with("dpp") {
                forget_nans(name, &mut ours);
                forget_nans(name, &mut theirs);
            }
            let failures = differences(&ours, &theirs);
            if !failures.is_empty() {
                let state = differences(&comparable(start), &theirs);
                panic!("{name} ({bytes:02x?})\n{failures}\nstart against host\n{state}");
            }
        }
    }
}
