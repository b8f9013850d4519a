//! A processor in real mode and 16 MiB of memory, nothing else.

use crate::moo::{Case, FLAGS, IP, REGISTERS, State};
use amber_cpu::apic::Message;
use amber_cpu::cpuid::MODELS;
use amber_cpu::flags::Flags;
use amber_cpu::state::{Activity, Segment, seg};
use amber_cpu::{Bus, CodeCache, Vcpu};
use amber_mmu::{AddressMap, Backing, MapRange, Mmu, ViewId};

const FRAMES: u32 = 4096;
const MEMORY: ViewId = ViewId(0);
/// An instruction, or the chunks of a repeated one, and the HLT.
const STEPS: u64 = 4096;
/// Offset of the halting handler of vector 0.
const HANDLER: u16 = 0x500;
const HANDLERS: u16 = 32;
/// Encoding numbers of the general registers in the order of [`REGISTERS`].
const GENERAL: [(usize, usize); 8] = [(0, 0), (1, 3), (2, 1), (3, 2), (8, 4), (9, 5), (10, 6), (11, 7)];
const SEGMENTS: [(usize, usize); 4] = [(4, seg::CS), (5, seg::SS), (6, seg::DS), (7, seg::ES)];

/// No devices: ports read as the test rig's floating bus does.
struct Floating;

impl Bus for Floating {
    fn pio_read(&mut self, _: &mut Mmu, _: u64, _: u16, _: u8) -> u32 {
        !0
    }
    fn pio_write(&mut self, _: &mut Mmu, _: u64, _: u16, _: u8, _: u32) {}
    fn mmio_read(&mut self, _: &mut Mmu, _: u64, _: u64, _: u8) -> u64 {
        !0
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

/// What a case did.
pub struct Outcome {
    pub registers: [u16; 14],
    pub memory: Vec<(u32, u8)>,
    /// Whether the HLT was reached.
    pub halted: bool,
    /// The first exception.
    pub exception: Option<u8>,
}

pub struct Machine {
    cpu: Vcpu,
    mmu: Mmu,
    code: CodeCache,
}

impl Machine {
    pub fn new() -> Self {
        let mut mmu = Mmu::new(FRAMES).expect("memory");
        let frames = Backing::Frames(mmu.allocate(FRAMES - 1).expect("frames"));
        let len = u64::from(FRAMES - 1) * 4096;
        mmu.set_map(MEMORY, AddressMap::new(vec![MapRange { base: 0, len, read: frames, write: frames }]));
        Self { cpu: Vcpu::new(MODELS[0], 0, 1, 0), mmu, code: CodeCache::new() }
    }

    /// Gives each exception a handler that halts, which a case's own handlers replace.
    fn prepare(&mut self) {
        for vector in 0..HANDLERS {
            self.mmu.write_physical(
                MEMORY,
                u64::from(vector) * 4,
                &u32::from(HANDLER + vector).to_le_bytes(),
            );
            self.mmu.write_physical(MEMORY, u64::from(HANDLER + vector), &[0xF4]);
        }
    }

    fn load(&mut self, state: &State) {
        self.prepare();
        let value = |n: usize| state.registers[n].expect("an initial state names every register");
        for (ours, register) in GENERAL {
            self.cpu.gpr[register] = u64::from(value(ours));
        }
        let system = &mut self.cpu.system;
        for (ours, register) in SEGMENTS {
            system.seg[register] = Segment::real(value(ours));
        }
        system.activity = Activity::Running;
        // The recorded processor had no x87: no case may leave an error behind for the next.
        self.cpu.x87.status = 0;
        system.idtr.base = 0;
        self.cpu.rip = u64::from(value(IP));
        // IOPL and NT are random in the files, and cannot be set in a real 286 in real mode.
        self.cpu.flags = Flags::from_bits(u64::from(value(FLAGS)) & 0xFFF);
        self.cpu.derive();
        for (address, byte) in &state.memory {
            self.mmu.write_physical(MEMORY, u64::from(*address), &[*byte]);
        }
    }

    /// The vector whose handler starts where the processor stands.
    fn vector_entered(&self) -> u8 {
        let here = u32::from(self.cpu.system.seg[seg::CS].selector) << 16 | self.cpu.rip as u32;
        let entry = |vector: &u16| {
            let mut bytes = [0; 4];
            self.mmu.read_physical(MEMORY, u64::from(*vector) * 4, &mut bytes);
            u32::from_le_bytes(bytes) == here
        };
        (0..HANDLERS).find(entry).map_or(u8::MAX, |vector| vector as u8)
    }

    /// Runs a case up to its HLT.
    pub fn run(&mut self, case: &Case) -> Outcome {
        self.load(&case.initial);
        let faults = self.cpu.counters.faults;
        let mut exception = None;
        for _ in 0..STEPS {
            self.cpu.run(&mut self.code, &mut self.mmu, &mut Floating, 0, u64::MAX, 1);
            if exception.is_none() && self.cpu.counters.faults != faults {
                exception = Some(self.vector_entered());
            }
            if self.cpu.system.activity == Activity::Halted {
                break;
            }
        }
        let mut registers = [0; REGISTERS.len()];
        for (ours, register) in GENERAL {
            registers[ours] = self.cpu.gpr[register] as u16;
        }
        for (ours, register) in SEGMENTS {
            registers[ours] = self.cpu.system.seg[register].selector;
        }
        registers[IP] = self.cpu.rip as u16;
        registers[FLAGS] = self.cpu.flags.bits() as u16;
        let mut memory = Vec::new();
        for (address, _) in case.initial.memory.iter().chain(&case.last.memory) {
            let mut byte = [0];
            self.mmu.read_physical(MEMORY, u64::from(*address), &mut byte);
            memory.push((*address, byte[0]));
        }
        let halted = self.cpu.system.activity == Activity::Halted;
        Outcome { registers, memory, halted, exception }
    }
}
