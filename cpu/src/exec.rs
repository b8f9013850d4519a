//! What a semantics function sees: the processor, memory and the bus, and the instruction in its decoded form.

use crate::flags::bit;
use crate::state::{BLOCK_RIP, Raised, Vcpu, seg};
use amber_mmu::{Access, Mmu, Place, Word};

/// A raised exception or other reason not to complete the instruction; what it is waits in `Vcpu::raised`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Outcome of a semantics function. On `Err` nothing architectural has been committed (except what the SDM says
/// an interrupted string instruction commits).
pub type Exec = Result<(), Fault>;

/// A semantics function.
pub type Handler = fn(&mut Cx, &Insn) -> Exec;

/// The machine around a processor. `now` is the exact virtual time in ns of the access.
pub trait Bus {
    /// Reads an I/O port; `size` is 1, 2 or 4.
    fn pio_read(&mut self, mmu: &mut Mmu, now: u64, port: u16, size: u8) -> u32;
    /// Writes an I/O port.
    fn pio_write(&mut self, mmu: &mut Mmu, now: u64, port: u16, size: u8, value: u32);
    /// Reads device memory; `size` is 1, 2, 4 or 8.
    fn mmio_read(&mut self, mmu: &mut Mmu, now: u64, gpa: u64, size: u8) -> u64;
    /// Writes device memory.
    fn mmio_write(&mut self, mmu: &mut Mmu, now: u64, gpa: u64, size: u8, value: u64);
    /// Level of the 8259's INTR output.
    fn intr(&self) -> bool;
    /// Interrupt acknowledge cycle: the vector.
    fn intack(&mut self, mmu: &mut Mmu, now: u64) -> u8;
    /// EOI of a level-triggered interrupt.
    fn eoi(&mut self, mmu: &mut Mmu, now: u64, vector: u8);
    /// FERR# changes.
    fn ferr(&mut self, mmu: &mut Mmu, now: u64, asserted: bool);
    /// Sends an interrupt message (ICR write).
    fn send(&mut self, message: crate::apic::Message);
    /// Software asks the machine for something, by the NOP of `semantics::request`.
    fn request(&mut self);
    /// Earliest virtual time at which the machine has something to do.
    fn deadline(&self) -> u64;
    /// Whether the machine must act on effects of the last access before the next instruction.
    fn attention(&mut self) -> bool;
}

/// `Insn::flags` bits.
pub mod iflag {
    /// Mask of the address size: 0 is 64, 1 is 32, 2 is 16 bits.
    pub const ADDRESS: u8 = 3;
    /// Decoded for 64-bit mode: only FS and GS have a base, no limits.
    pub const FLAT: u8 = 1 << 2;
    /// The handler sets RIP itself.
    pub const BRANCH: u8 = 1 << 3;
    /// LOCK prefix.
    pub const LOCK: u8 = 1 << 4;
    /// REP/REPE prefix (F3).
    pub const REP: u8 = 1 << 5;
    /// REPNE prefix (F2).
    pub const REPNE: u8 = 1 << 6;
    /// Operand size is 64 bits by REX.W (FXSAVE64, IRETQ and the like).
    pub const WIDE: u8 = 1 << 7;
}

/// A decoded instruction.
///
/// Operands: register operands stand in the order the SDM lists them, the first in `reg`, the second in `rm`, a
/// third in `aux2`, whatever memory operand stands between them. General-register codes are 0..=15; byte registers AH, CH, DH, BH are 0x20 | 0..=3. For
/// vector registers the number alone. The memory operand is base + index << scale + disp in segment `seg`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Insn {
    pub exec: Handler,
    /// Immediate, sign-extended to the operand size where the SDM says so; branch displacement; moffs address;
    /// what FOP keeps of an x87 instruction.
    pub imm: u64,
    pub disp: i32,
    /// Offset of the following instruction from the start of the block.
    pub next: u16,
    /// Length in bytes.
    pub len: u8,
    /// See [`iflag`].
    pub flags: u8,
    pub base: u8,
    pub index: u8,
    pub scale: u8,
    pub seg: u8,
    pub reg: u8,
    pub rm: u8,
    /// Operand size in bytes where a handler is not generic over it; condition code.
    pub aux: u8,
    /// Third register, or a second immediate (ENTER).
    pub aux2: u8,
}

const ADDRESS_MASKS: [u64; 4] = [!0, 0xFFFF_FFFF, 0xFFFF, 0];

/// Memory stores to which are watched, because it holds decoded code or page tables.
pub(crate) struct Trapped {
    place: Place,
    linear: u64,
}

/// Everything an instruction can touch.
pub struct Cx<'a> {
    pub cpu: &'a mut Vcpu,
    pub mmu: &'a mut Mmu,
    pub bus: &'a mut dyn Bus,
}

/// A general-register operand width: how it is read from and written to a 64-bit register.
pub trait Width: Word + std::fmt::Debug + PartialEq {
    /// Width in bits.
    const BITS: u32;
    /// Reads register `code`.
    fn get(gpr: &[u64; 32], code: u8) -> Self;
    /// Writes register `code`: 32-bit writes zero-extend, narrower ones merge.
    fn put(gpr: &mut [u64; 32], code: u8, value: Self);
}

impl Width for u8 {
    const BITS: u32 = 8;
    #[inline(always)]
    fn get(gpr: &[u64; 32], code: u8) -> Self {
        (gpr[(code & 31) as usize] >> (code >> 5 << 3)) as u8
    }
    #[inline(always)]
    fn put(gpr: &mut [u64; 32], code: u8, value: Self) {
        let shift = code >> 5 << 3;
        let register = &mut gpr[(code & 31) as usize];
        *register = *register & !(0xFFu64 << shift) | u64::from(value) << shift;
    }
}
impl Width for u16 {
    const BITS: u32 = 16;
    #[inline(always)]
    fn get(gpr: &[u64; 32], code: u8) -> Self {
        gpr[(code & 31) as usize] as u16
    }
    #[inline(always)]
    fn put(gpr: &mut [u64; 32], code: u8, value: Self) {
        let register = &mut gpr[(code & 31) as usize];
        *register = *register & !0xFFFF | u64::from(value);
    }
}
impl Width for u32 {
    const BITS: u32 = 32;
    #[inline(always)]
    fn get(gpr: &[u64; 32], code: u8) -> Self {
        gpr[(code & 31) as usize] as u32
    }
    #[inline(always)]
    fn put(gpr: &mut [u64; 32], code: u8, value: Self) {
        gpr[(code & 31) as usize] = u64::from(value);
    }
}
impl Width for u64 {
    const BITS: u32 = 64;
    #[inline(always)]
    fn get(gpr: &[u64; 32], code: u8) -> Self {
        gpr[(code & 31) as usize]
    }
    #[inline(always)]
    fn put(gpr: &mut [u64; 32], code: u8, value: Self) {
        gpr[(code & 31) as usize] = value;
    }
}

impl Cx<'_> {
    /// Reads a general register.
    #[inline(always)]
    pub fn get<T: Width>(&self, code: u8) -> T {
        T::get(&self.cpu.gpr, code)
    }

    /// Writes a general register.
    #[inline(always)]
    pub fn put<T: Width>(&mut self, code: u8, value: T) {
        T::put(&mut self.cpu.gpr, code, value);
    }

    /// RIP of the following instruction, not yet truncated to the code size.
    #[inline(always)]
    pub fn next_rip(&self, i: &Insn) -> u64 {
        self.cpu.gpr[BLOCK_RIP as usize].wrapping_add(u64::from(i.next))
    }

    /// RIP of this instruction.
    #[inline(always)]
    pub fn this_rip(&self, i: &Insn) -> u64 {
        self.next_rip(i).wrapping_sub(u64::from(i.len))
    }

    /// Offset of the memory operand in its segment.
    #[inline(always)]
    pub fn offset(&self, i: &Insn) -> u64 {
        let gpr = &self.cpu.gpr;
        gpr[(i.base & 31) as usize]
            .wrapping_add(gpr[(i.index & 31) as usize] << (i.scale & 3))
            .wrapping_add(i.disp as u64)
            & ADDRESS_MASKS[(i.flags & iflag::ADDRESS) as usize]
    }

    /// The address-size mask of the instruction (for string pointers and counts).
    #[inline(always)]
    pub fn address_mask(&self, i: &Insn) -> u64 {
        ADDRESS_MASKS[(i.flags & iflag::ADDRESS) as usize]
    }

    /// Linear address of an access of `size` bytes at `offset` in segment `segment` by instruction `i`.
    #[inline(always)]
    pub fn linear(
        &mut self,
        i: &Insn,
        segment: u8,
        offset: u64,
        size: u64,
        write: bool,
    ) -> Result<u64, Fault> {
        if i.flags & iflag::FLAT != 0 {
            Ok(offset.wrapping_add(self.cpu.flat_base[(segment & 7) as usize]))
        } else {
            self.linear_segmented(segment, offset, size, write)
        }
    }

    /// Linear address of the memory operand of `i`.
    #[inline(always)]
    pub fn operand(&mut self, i: &Insn, size: u64, write: bool) -> Result<u64, Fault> {
        let offset = self.offset(i);
        self.linear(i, i.seg, offset, size, write)
    }

    /// Reads the memory operand.
    #[inline(always)]
    pub fn read<T: Word>(&mut self, i: &Insn) -> Result<T, Fault> {
        let linear = self.operand(i, T::SIZE as u64, false)?;
        self.load(linear, i.seg)
    }

    /// Writes the memory operand.
    #[inline(always)]
    pub fn write<T: Word>(&mut self, i: &Insn, value: T) -> Exec {
        let linear = self.operand(i, T::SIZE as u64, true)?;
        self.store(linear, i.seg, value)
    }

    /// Reads the memory operand of a read-modify-write, having checked that it may be written. Returns its linear
    /// address for [`Self::store`].
    #[inline(always)]
    pub fn read_to_modify<T: Word>(&mut self, i: &Insn) -> Result<(u64, T), Fault> {
        let linear = self.operand(i, T::SIZE as u64, true)?;
        Ok((linear, self.load_to_modify(linear, i.seg)?))
    }

    /// Reads memory at the current privilege, having checked that it may be written.
    #[inline(always)]
    pub fn load_to_modify<T: Word>(&mut self, linear: u64, segment: u8) -> Result<T, Fault> {
        if let Some(value) = self.mmu.modify_fast(linear) {
            return Ok(value);
        }
        self.check_writable(linear, segment, T::SIZE)?;
        self.load(linear, segment)
    }

    /// Reads memory at the current privilege. `segment` decides between #SS and #GP for non-canonical addresses.
    #[inline(always)]
    pub fn load<T: Word>(&mut self, linear: u64, segment: u8) -> Result<T, Fault> {
        match self.mmu.read_fast(linear) {
            Some(value) => Ok(value),
            None => self.load_slow(linear, segment),
        }
    }

    /// Writes memory at the current privilege.
    #[inline(always)]
    pub fn store<T: Word>(&mut self, linear: u64, segment: u8, value: T) -> Exec {
        if self.mmu.write_fast(linear, value) { Ok(()) } else { self.store_slow(linear, segment, value) }
    }

    /// Raises an exception with an error code.
    #[cold]
    pub fn raise_code(&mut self, vector: u8, code: u32) -> Fault {
        self.cpu.raised = Raised { vector, error: Some(code), address: 0 };
        Fault
    }

    /// Raises an exception without one.
    #[cold]
    pub fn raise(&mut self, vector: u8) -> Fault {
        self.cpu.raised = Raised { vector, error: None, address: 0 };
        Fault
    }

    /// #UD.
    #[cold]
    pub fn ud(&mut self) -> Fault {
        self.raise(6)
    }

    /// #GP with an error code.
    #[cold]
    pub fn gp(&mut self, code: u32) -> Fault {
        self.raise_code(13, code)
    }

    /// After what may change [`Vcpu::native_modes`]: code is looked up by them.
    pub(crate) fn follow_modes(&mut self) {
        if self.cpu.native_modes() != self.cpu.tagged_modes {
            self.recheck();
        }
    }

    /// Makes the run loop look at everything that may be due before the next instruction.
    pub fn recheck(&mut self) {
        self.cpu.attention = true;
        self.leave();
    }

    /// Ends the block after this instruction.
    #[inline(always)]
    pub fn leave(&mut self) {
        self.cpu.timing.limit = 0;
    }

    /// Virtual time of this instruction, ns.
    pub fn now(&self) -> u64 {
        self.cpu.timing.now()
    }

    /// Adds the cost of a slow access, ns.
    pub fn charge(&mut self, ns: u64) {
        self.cpu.timing.charge(ns);
        self.leave();
    }

    fn address_fault(&mut self, segment: u8) -> Fault {
        if usize::from(segment) == seg::SS { self.raise_code(12, 0) } else { self.gp(0) }
    }

    /// Checks that a linear range is canonical (64-bit mode) or wraps it to 32 bits.
    fn canonical(&mut self, linear: u64, size: usize, segment: u8) -> Result<u64, Fault> {
        if !self.cpu.long_mode() {
            return Ok(linear & 0xFFFF_FFFF);
        }
        let last = linear.wrapping_add(size as u64 - 1);
        if is_canonical(linear) && is_canonical(last) { Ok(linear) } else { Err(self.address_fault(segment)) }
    }

    fn place(&mut self, linear: u64, access: Access) -> Result<Place, Fault> {
        let context = self.active_context();
        match self.mmu.place(context, linear, access) {
            Ok(place) => {
                // The flags the walk set may lie in this block's bytes.
                if self.mmu.disturbed() {
                    self.leave();
                }
                Ok(place)
            }
            Err(fault) => {
                self.cpu.raised = Raised { vector: 14, error: Some(fault.code), address: linear };
                Err(Fault)
            }
        }
    }

    /// The pieces of an access that stay in one page each: (linear, length) twice, the second perhaps empty.
    fn pieces(&self, linear: u64, size: usize) -> [(u64, usize); 2] {
        let first = size.min(4096 - (linear & 0xFFF) as usize);
        let mut rest = linear.wrapping_add(first as u64);
        if !self.cpu.long_mode() {
            rest &= 0xFFFF_FFFF;
        }
        [(linear, first), (rest, size - first)]
    }

    #[cold]
    #[inline(never)]
    fn load_slow<T: Word>(&mut self, linear: u64, segment: u8) -> Result<T, Fault> {
        let mut bytes = [0; 16];
        self.load_bytes(linear, segment, &mut bytes[..T::SIZE])?;
        Ok(T::from_le(&bytes))
    }

    /// Reads up to 16 bytes the slow way.
    pub fn load_bytes(&mut self, linear: u64, segment: u8, into: &mut [u8]) -> Exec {
        let linear = self.canonical(linear, into.len(), segment)?;
        let size = into.len();
        let watched = self.cpu.watched;
        if watched {
            self.check_alignment(linear, size)?;
        }
        let [(first, len), (second, rest)] = self.pieces(linear, size);
        let place = self.place(first, Access::Read)?;
        // A device is read only once nothing can fault any more.
        let next = if rest != 0 { Some(self.place(second, Access::Read)?) } else { None };
        if watched {
            self.watch_access(linear, size, false);
        }
        self.load_piece(place, first, &mut into[..len]);
        if let Some(next) = next {
            self.load_piece(next, second, &mut into[len..]);
        }
        Ok(())
    }

    fn load_piece(&mut self, place: Place, linear: u64, into: &mut [u8]) {
        match place {
            Place::Frame(frame) => {
                let offset = (linear & 0xFFF) as usize;
                into.copy_from_slice(&self.mmu.frame(frame)[offset..offset + into.len()]);
            }
            Place::Open => into.fill(0xFF),
            Place::Device(gpa) => {
                for (at, piece) in bus_pieces(gpa, into.len()) {
                    let value = self.device_read(gpa + at as u64, piece as u8).to_le_bytes();
                    into[at..at + piece].copy_from_slice(&value[..piece]);
                }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn store_slow<T: Word>(&mut self, linear: u64, segment: u8, value: T) -> Exec {
        self.store_bytes(linear, segment, &value.to_le()[..T::SIZE])
    }

    /// Writes up to 16 bytes the slow way; nothing is written if any of it faults.
    pub fn store_bytes(&mut self, linear: u64, segment: u8, from: &[u8]) -> Exec {
        let linear = self.canonical(linear, from.len(), segment)?;
        let watched = self.cpu.watched;
        if watched {
            self.check_alignment(linear, from.len())?;
        }
        let [(first, len), (second, rest)] = self.pieces(linear, from.len());
        let place = self.place(first, Access::Write)?;
        let next = if rest != 0 { Some(self.place(second, Access::Write)?) } else { None };
        if watched {
            self.watch_access(linear, from.len(), true);
        }
        self.store_piece(place, first, &from[..len]);
        if let Some(next) = next {
            self.store_piece(next, second, &from[len..]);
        }
        Ok(())
    }

    fn store_piece(&mut self, place: Place, linear: u64, from: &[u8]) {
        match place {
            Place::Frame(frame) => {
                self.mmu.write_frame(frame, (linear & 0xFFF) as usize, from);
                if self.mmu.disturbed() {
                    self.leave();
                }
            }
            Place::Open => {}
            Place::Device(gpa) => {
                for (at, piece) in bus_pieces(gpa, from.len()) {
                    let mut value = [0; 8];
                    value[..piece].copy_from_slice(&from[at..at + piece]);
                    self.device_write(gpa + at as u64, piece as u8, u64::from_le_bytes(value));
                }
            }
        }
    }

    /// Checks that a store of `size` bytes will succeed, without the TLB's help only where it must.
    pub fn check_store(&mut self, linear: u64, segment: u8, size: usize) -> Exec {
        let held = |at: u64| self.mmu.modify_fast::<u8>(at).is_some();
        if held(linear) && held(linear.wrapping_add(size as u64 - 1)) {
            return Ok(());
        }
        self.check_writable(linear, segment, size)
    }

    /// Checks that a range may be written at the current privilege, as a read-modify-write does before it reads.
    #[cold]
    #[inline(never)]
    pub fn check_writable(&mut self, linear: u64, segment: u8, size: usize) -> Exec {
        let linear = self.canonical(linear, size, segment)?;
        for (at, len) in self.pieces(linear, size) {
            if len != 0 {
                self.place(at, Access::Write)?;
            }
        }
        Ok(())
    }

    /// Fills the TLB for a page without accessing it. False if that would fault or there is no memory. A page that
    /// does not fault here has the same accessed and dirty flags as after the access that follows.
    pub fn touch(&mut self, linear: u64, write: bool) -> bool {
        if self.canonical(linear, 1, 0).is_err() {
            return false;
        }
        let access = if write { Access::Write } else { Access::Read };
        matches!(self.place(linear, access), Ok(Place::Frame(_)))
    }

    /// Where stores to the page of `linear` go, if that is memory they are watched in.
    pub(crate) fn trapped_memory(&mut self, linear: u64) -> Option<Trapped> {
        let linear = self.canonical(linear, 1, 0).ok()?;
        let place =
            self.place(linear, Access::Write).ok().filter(|place| matches!(place, Place::Frame(_)))?;
        Some(Trapped { place, linear })
    }

    /// Writes bytes that lie in one page as one store.
    pub(crate) fn store_trapped(&mut self, to: &Trapped, from: &[u8]) {
        self.store_piece(to.place, to.linear, from);
    }

    fn device_read(&mut self, gpa: u64, size: u8) -> u64 {
        if let Some(offset) = self.cpu.apic_offset(gpa) {
            return self.apic_mmio_read(offset, size);
        }
        let now = self.now();
        let value = self.bus.mmio_read(self.mmu, now, gpa, size);
        self.after_bus(MMIO_NS);
        value
    }

    fn device_write(&mut self, gpa: u64, size: u8, value: u64) {
        if let Some(offset) = self.cpu.apic_offset(gpa) {
            return self.apic_mmio_write(offset, size, value);
        }
        let now = self.now();
        self.bus.mmio_write(self.mmu, now, gpa, size, value);
        self.after_bus(MMIO_NS);
    }

    /// Accounts for a bus access: its cost, an earlier deadline, effects that cannot wait.
    pub fn after_bus(&mut self, ns: u64) {
        let deadline = self.bus.deadline();
        self.cpu.timing.lower_deadline(deadline);
        self.charge(ns);
        if self.bus.attention() || self.bus.intr() {
            self.recheck();
        }
    }

    /// Drives FERR#.
    pub fn set_ferr(&mut self, asserted: bool) {
        self.cpu.system.ferr = asserted;
        let now = self.now();
        self.bus.ferr(self.mmu, now, asserted);
        self.after_bus(0);
    }

    /// Whether CR0.AM, RFLAGS.AC and CPL 3 ask for alignment checks.
    pub fn alignment_checked(&self) -> bool {
        self.cpu.system.cpl == 3
            && !self.cpu.implicit
            && self.cpu.flags.has(bit::AC)
            && self.cpu.system.cr0 & crate::state::cr::CR0_AM != 0
    }
}

/// Cost of a memory-mapped device access, ns.
pub const MMIO_NS: u64 = 100;
/// Cost of a port access, ns.
pub const PIO_NS: u64 = 1000;

/// Whether bits 63:47 of a linear address are equal.
pub fn is_canonical(linear: u64) -> bool {
    ((linear << 16) as i64 >> 16) as u64 == linear
}

/// Splits an access into naturally aligned pieces of 1, 2, 4 or 8 bytes: (offset, size).
fn bus_pieces(gpa: u64, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let left = (len - at).checked_ilog2()?;
        let piece = 1 << (gpa + at as u64).trailing_zeros().min(left).min(3);
        let here = at;
        at += piece;
        Some((here, piece))
    })
}
