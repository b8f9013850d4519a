//! A processor without devices, 2 MiB of identity-mapped memory, and handlers that halt.

use amber_cpu::apic::Message;
use amber_cpu::cpuid::MODELS;
use amber_cpu::state::{Activity, CodeSize, Segment, cr, seg};
use amber_cpu::{Bus, CodeCache, Exit, Ran, Vcpu};
use amber_mmu::{AddressMap, Backing, MapRange, Mmu, ViewId};

pub const MEMORY: ViewId = ViewId(0);
const FRAMES: u32 = 512;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const PT: u64 = 0x4000;
const GDT: u64 = 0x5000;
const IDT: u64 = 0x6000;
const TSS: u64 = 0x7000;
pub const HANDLERS: u64 = 0x8000;
const KERNEL_STACK: u64 = 0xF000;
/// Where the instruction lies.
pub const CODE: u64 = 0x1_0000;
/// Where data pointers of the tables lead.
pub const DATA: u64 = 0x2_0000;
/// RSP of the tables.
pub const STACK: u64 = 0x3_0800;
/// A page that is not present, one that is read-only, one that is the supervisor's.
pub const ABSENT: u64 = 0xA_0000;
pub const READ_ONLY: u64 = 0xA_1000;
pub const SUPERVISOR: u64 = 0xA_2000;

/// No devices.
#[derive(Default)]
pub struct NoBus {
    /// FERR#.
    pub ferr: bool,
    /// INTR.
    pub intr: bool,
    /// Reads of device memory.
    pub accesses: u32,
    /// Writes of device memory and of ports: when, and where.
    pub writes: Vec<(u64, u64)>,
    /// The write after which INTR is asserted.
    pub interrupts_after: Option<usize>,
}

impl NoBus {
    fn write(&mut self, now: u64, at: u64) {
        self.writes.push((now, at));
        self.intr |= self.interrupts_after == Some(self.writes.len());
    }
}

impl Bus for NoBus {
    fn pio_read(&mut self, _: &mut Mmu, _: u64, port: u16, _: u8) -> u32 {
        u32::from(port) * 0x10001
    }
    fn pio_write(&mut self, _: &mut Mmu, now: u64, port: u16, _: u8, _: u32) {
        self.write(now, port.into());
    }
    fn mmio_read(&mut self, _: &mut Mmu, _: u64, _: u64, _: u8) -> u64 {
        self.accesses += 1;
        !0
    }
    fn mmio_write(&mut self, _: &mut Mmu, now: u64, gpa: u64, _: u8, _: u64) {
        self.write(now, gpa);
    }
    fn intr(&self) -> bool {
        self.intr
    }
    fn intack(&mut self, _: &mut Mmu, _: u64) -> u8 {
        self.intr = false;
        0
    }
    fn eoi(&mut self, _: &mut Mmu, _: u64, _: u8) {}
    fn ferr(&mut self, _: &mut Mmu, _: u64, asserted: bool) {
        self.ferr = asserted;
    }
    fn request(&mut self) {}
    fn send(&mut self, _: Message) {}
    fn deadline(&self) -> u64 {
        u64::MAX
    }
    fn attention(&mut self) -> bool {
        false
    }
}

/// Real mode, flat protected mode or 64-bit mode, at privilege level 0 or 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub size: CodeSize,
    pub user: bool,
}

/// An exception as its handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    pub vector: u8,
    pub error: Option<u32>,
}

pub struct Machine {
    pub cpu: Vcpu,
    pub mmu: Mmu,
    pub bus: NoBus,
    pub code: CodeCache,
    mode: Mode,
}

impl Machine {
    pub fn new(mode: Mode) -> Self {
        let mut mmu = Mmu::new(FRAMES).expect("memory");
        let frames = Backing::Frames(mmu.allocate(FRAMES - 1).expect("frames"));
        let len = u64::from(FRAMES - 1) * 4096;
        mmu.set_map(MEMORY, AddressMap::new(vec![MapRange { base: 0, len, read: frames, write: frames }]));
        let mut machine = Self {
            cpu: Vcpu::new(MODELS[0], 0, 1, 0),
            mmu,
            bus: NoBus::default(),
            code: CodeCache::new(),
            mode,
        };
        machine.tables();
        machine.reset();
        machine
    }

    pub fn is_real(&self) -> bool {
        self.mode.size == CodeSize::Bits16
    }

    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        self.mmu.write_physical(MEMORY, address, bytes);
    }

    pub fn read(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.mmu.read_physical(MEMORY, address, &mut bytes);
        bytes
    }

    fn write_u64(&mut self, address: u64, value: u64) {
        self.write(address, &value.to_le_bytes());
    }

    /// Page tables, GDT, IDT or IVT, TSS and the handlers.
    fn tables(&mut self) {
        self.write(HANDLERS, &[0xF4; 32]);
        if self.mode.size == CodeSize::Bits16 {
            for vector in 0..32u64 {
                self.write(vector * 4, &(HANDLERS as u32 + vector as u32).to_le_bytes());
            }
            return;
        }
        for (table, next) in [(PML4, PDPT), (PDPT, PD), (PD, PT)] {
            self.write_u64(
                table,
                next | if table == PDPT && self.mode.size == CodeSize::Bits32 { 1 } else { 7 },
            );
        }
        for page in 0..512 {
            let rights = match page << 12 {
                ABSENT => 6,
                READ_ONLY => 5,
                SUPERVISOR => 3,
                _ => 7,
            };
            self.write_u64(PT + page * 8, page << 12 | rights);
        }
        let long = self.mode.size == CodeSize::Bits64;
        let code = if long { 0x00AF_9B00_0000_FFFF } else { 0x00CF_9B00_0000_FFFF };
        for (n, descriptor) in
            [0, code, 0x00CF_9300_0000_FFFF, code | 3 << 45, 0x00CF_F300_0000_FFFF].into_iter().enumerate()
        {
            self.write_u64(GDT + 8 * n as u64, descriptor);
        }
        for vector in 0..32 {
            let handler = HANDLERS + vector;
            let gate = handler & 0xFFFF | 8 << 16 | 0x8E00 << 32;
            self.write_u64(IDT + vector * if long { 16 } else { 8 }, gate);
        }
        // No I/O permission bitmap.
        self.write(TSS + 0x66, &[0x68, 0]);
        // RSP0, or ESP0 and SS0.
        self.write_u64(TSS + 4, if long { KERNEL_STACK } else { KERNEL_STACK | 0x10 << 32 });
    }

    /// Registers before each instruction.
    pub fn reset(&mut self) {
        let (size, user) = (self.mode.size, self.mode.user);
        let system = &mut self.cpu.system;
        system.activity = Activity::Running;
        self.cpu.gpr[..16].fill(0);
        self.cpu.gpr[4] = if size == CodeSize::Bits16 { 0x800 } else { STACK };
        if size == CodeSize::Bits16 {
            system.seg = [Segment::real((DATA >> 4) as u16); 6];
            system.seg[seg::CS] = Segment::real((CODE >> 4) as u16);
            system.seg[seg::SS] = Segment::real((STACK >> 4) as u16 & 0xFF00);
            self.cpu.rip = 0;
            self.cpu.derive();
            return;
        }
        let long = size == CodeSize::Bits64;
        system.cr0 = cr::CR0_PE | cr::CR0_PG | cr::CR0_NE | cr::CR0_ET | cr::CR0_WP;
        system.cr3 = if long { PML4 } else { PDPT };
        system.cr4 = cr::CR4_PAE | cr::CR4_OSFXSR;
        system.pdptes = [PD | 1, 0, 0, 0];
        system.efer = if long { cr::EFER_LME | cr::EFER_LMA } else { 0 };
        let dpl: u32 = if user { 3 } else { 0 };
        let rights = dpl << 5;
        system.cpl = dpl as u8;
        let data = if user { 0x23 } else { 0x10 };
        system.seg = [Segment { selector: data, base: 0, limit: !0, access: 0xC093 | rights }; 6];
        let code = if long { 0xA09B } else { 0xC09B };
        let selector = if user { 0x1B } else { 8 };
        system.seg[seg::CS] = Segment { selector, base: 0, limit: !0, access: code | rights };
        system.tr = Segment { selector: 0x28, base: TSS, limit: 0x67, access: 0x8B };
        system.gdtr.base = GDT;
        system.gdtr.limit = 0x27;
        system.idtr.base = IDT;
        system.idtr.limit = if long { 0x1FF } else { 0xFF };
        self.cpu.rip = CODE;
        self.cpu.derive();
    }

    /// Runs on for some steps.
    pub fn run(&mut self, steps: u64) -> Exit {
        self.run_from(0, u64::MAX, steps).exit
    }

    /// Runs on from virtual time `now` for some steps, not past `deadline`.
    pub fn run_from(&mut self, now: u64, deadline: u64, steps: u64) -> Ran {
        self.cpu.run(&mut self.code, &mut self.mmu, &mut self.bus, now, deadline, steps)
    }

    /// Runs one instruction, or one chunk of a repeated one.
    pub fn step(&mut self) -> Option<Exception> {
        let faults = self.cpu.counters.faults;
        self.run(1);
        // INT n and its kin get there without a fault.
        let at = self.cpu.rip.wrapping_sub(HANDLERS);
        if self.cpu.counters.faults == faults && at >= 32 {
            return None;
        }
        let vector = u8::try_from(at).unwrap_or(u8::MAX);
        let coded = matches!(vector, 8 | 10..=14 | 17) && self.mode.size != CodeSize::Bits16;
        let top = self.read(self.cpu.gpr[4], 4);
        let error = coded.then(|| u32::from_le_bytes([top[0], top[1], top[2], top[3]]));
        Some(Exception { vector, error })
    }
}
