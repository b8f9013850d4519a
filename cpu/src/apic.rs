//! The local APIC, xAPIC and x2APIC (SDM Vol. 3A, chapter 11). Its timer counts ns of virtual time, divided.

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Delivery modes (ICR bits 10:8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Fixed,
    LowestPriority,
    Smi,
    Nmi,
    Init,
    Startup,
    ExtInt,
}

impl Delivery {
    /// Decodes bits 10:8.
    pub fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::Startup,
            7 => Self::ExtInt,
            _ => return None,
        })
    }
}

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Physical(u32),
    Logical(u32),
    /// The processor with this APIC id alone.
    Own(u32),
    All,
    AllBut(u32),
}

/// An interrupt message on its way to local APICs: an IPI, an IOAPIC message or an MSI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub destination: Destination,
    pub delivery: Delivery,
    pub vector: u8,
    /// Level-triggered: its EOI goes to the IOAPICs.
    pub level: bool,
}

impl Message {
    /// Decodes an MSI write (SDM Vol. 3A, 11.11). `None` if it addresses no local APIC or has a reserved mode.
    pub fn from_msi(address: u64, data: u32) -> Option<Self> {
        if address >> 20 != 0xFEE {
            return None;
        }
        let id = (address >> 12 & 0xFF) as u32;
        let logical = address & 1 << 2 != 0;
        Some(Self {
            destination: match (logical, id) {
                (false, 0xFF) => Destination::All,
                (false, id) => Destination::Physical(id),
                (true, id) => Destination::Logical(id),
            },
            delivery: Delivery::from_bits(data >> 8)?,
            vector: data as u8,
            level: data & 1 << 15 != 0,
        })
    }
}

/// LVT entries by register order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lvt {
    Timer = 0,
    Thermal = 1,
    Performance = 2,
    Lint0 = 3,
    Lint1 = 4,
    Error = 5,
}

const MASKED: u32 = 1 << 16;
/// IA32_APIC_BASE bits.
pub const BASE_BSP: u64 = 1 << 8;
pub const BASE_X2: u64 = 1 << 10;
pub const BASE_ENABLE: u64 = 1 << 11;
const DEFAULT_BASE: u64 = 0xFEE0_0000;

/// What writing a register asks of the processor or the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    None,
    /// Send this message.
    Send(Message),
    /// Broadcast an EOI for this level-triggered vector.
    Eoi(u8),
}

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct LocalApic {
    /// IA32_APIC_BASE.
    pub base: u64,
    id: u32,
    tpr: u8,
    ldr: u32,
    dfr: u32,
    svr: u32,
    esr: u32,
    esr_pending: u32,
    icr: u64,
    lvt: [u32; 6],
    isr: [u32; 8],
    tmr: [u32; 8],
    irr: [u32; 8],
    divide: u32,
    initial: u32,
    /// ns at which the running count began.
    started: u64,
    /// ns at which the timer fires next.
    expires: Option<u64>,
}

impl LocalApic {
    /// After power-up.
    pub fn new(id: u32, bsp: bool) -> Self {
        let base = DEFAULT_BASE | BASE_ENABLE | if bsp { BASE_BSP } else { 0 };
        Self::reset(base, id)
    }

    /// INIT: everything but the id and IA32_APIC_BASE (SDM 11.4.7.3).
    pub fn init(&mut self) {
        *self = Self::reset(self.base, self.id);
    }

    fn reset(base: u64, id: u32) -> Self {
        Self {
            base,
            id,
            tpr: 0,
            ldr: 0,
            dfr: !0,
            svr: 0xFF,
            esr: 0,
            esr_pending: 0,
            icr: 0,
            lvt: [MASKED; 6],
            isr: [0; 8],
            tmr: [0; 8],
            irr: [0; 8],
            divide: 0,
            initial: 0,
            started: 0,
            expires: None,
        }
    }

    /// The APIC id.
    pub fn id(&self) -> u32 {
        self.id
    }
    pub fn x2apic(&self) -> bool {
        self.base & (BASE_ENABLE | BASE_X2) == BASE_ENABLE | BASE_X2
    }
    pub fn enabled(&self) -> bool {
        self.base & BASE_ENABLE != 0
    }
    fn software_enabled(&self) -> bool {
        self.svr & 1 << 8 != 0
    }

    /// Writes IA32_APIC_BASE. False if the transition or a bit is not allowed (SDM 11.12.5).
    pub fn set_base(&mut self, value: u64, physical_bits: u8) -> bool {
        let reserved = 0x2FF | !((1u64 << physical_bits) - 1);
        let state = |base: u64| (base & BASE_ENABLE != 0, base & BASE_X2 != 0);
        let refused = matches!(
            (state(self.base), state(value)),
            (_, (false, true)) | ((true, true), (true, false)) | ((false, false), (true, true))
        );
        if value & reserved != 0 || refused {
            return false;
        }
        if self.enabled() && value & BASE_ENABLE == 0 {
            self.base = value & !BASE_BSP | self.base & BASE_BSP;
            self.init();
            return true;
        }
        self.base = value;
        true
    }

    /// Whether a message's destination includes this APIC.
    pub fn matches(&self, destination: Destination) -> bool {
        match destination {
            Destination::All => true,
            Destination::AllBut(id) => id != self.id,
            Destination::Own(id) | Destination::Physical(id) => {
                id == self.id || id == 0xFFFF_FFFF || (!self.x2apic() && id == 0xFF)
            }
            Destination::Logical(mask) => self.matches_logical(mask),
        }
    }

    /// The logical id. In x2APIC mode it follows from the id (SDM 11.12.10.2).
    fn ldr(&self) -> u32 {
        if self.x2apic() { (self.id >> 4) << 16 | 1 << (self.id & 15) } else { self.ldr }
    }

    fn matches_logical(&self, mask: u32) -> bool {
        let ldr = self.ldr();
        if self.x2apic() {
            return mask == !0 || (mask >> 16 == ldr >> 16 && mask & ldr & 0xFFFF != 0);
        }
        let own = (ldr >> 24) as u8;
        let mask = mask as u8;
        match self.dfr >> 28 {
            0xF => mask & own != 0,
            0 => mask == 0xFF || (mask >> 4 == own >> 4 && mask & own & 0xF != 0),
            _ => false,
        }
    }

    /// Accepts a fixed or lowest-priority interrupt. False if the APIC is off and drops it.
    pub fn accept(&mut self, vector: u8, level: bool) -> bool {
        if !self.enabled() || !self.software_enabled() {
            return false;
        }
        if vector < 16 {
            self.error(1 << 6);
            return false;
        }
        set_bit(&mut self.irr, vector, true);
        set_bit(&mut self.tmr, vector, level);
        true
    }

    fn error(&mut self, bit: u32) {
        self.esr_pending |= bit;
        let entry = self.lvt[Lvt::Error as usize];
        if entry & MASKED == 0 && entry as u8 >= 16 {
            set_bit(&mut self.irr, entry as u8, true);
        }
    }

    /// Task-priority class in CR8 form.
    pub fn cr8(&self) -> u64 {
        u64::from(self.tpr >> 4)
    }
    /// Writes the task priority as CR8 does.
    pub fn set_cr8(&mut self, value: u64) {
        self.tpr = (value as u8 & 0xF) << 4;
    }

    /// Processor priority: what an arbiter of lowest-priority delivery compares.
    pub fn ppr(&self) -> u8 {
        let in_service = highest(&self.isr).unwrap_or(0);
        if self.tpr >> 4 >= in_service >> 4 { self.tpr } else { in_service & 0xF0 }
    }

    /// The vector to deliver now, if one outranks the processor priority.
    #[inline]
    pub fn deliverable(&self) -> Option<u8> {
        highest(&self.irr).filter(|vector| vector >> 4 > self.ppr() >> 4 && self.software_enabled())
    }

    /// Moves a deliverable vector into service.
    pub fn acknowledge(&mut self, vector: u8) {
        set_bit(&mut self.irr, vector, false);
        set_bit(&mut self.isr, vector, true);
    }

    fn eoi(&mut self) -> Wish {
        let Some(vector) = highest(&self.isr) else { return Wish::None };
        set_bit(&mut self.isr, vector, false);
        if get_bit(&self.tmr, vector) && self.svr & 1 << 12 == 0 { Wish::Eoi(vector) } else { Wish::None }
    }

    /// Whether the 8259's INTR reaches the processor: by LINT0 as ExtINT, or directly while the APIC is off.
    pub fn external_interrupts(&self) -> bool {
        if !self.enabled() {
            return true;
        }
        let lint0 = self.lvt[Lvt::Lint0 as usize];
        lint0 & MASKED == 0 && lint0 >> 8 & 7 == 7
    }

    /// Delivers a pulse on LINT1 (the platform's NMI wire). True if it is an NMI.
    pub fn lint1_is_nmi(&self) -> bool {
        let lint1 = self.lvt[Lvt::Lint1 as usize];
        !self.enabled() || (lint1 & MASKED == 0 && lint1 >> 8 & 7 == 4)
    }

    // ---- timer ----

    /// ns at which the timer fires next.
    #[inline]
    pub fn timer_expires(&self) -> Option<u64> {
        self.expires
    }

    fn shift(&self) -> u32 {
        // Divide configuration 0..=7 (bits 3, 1, 0) means 2, 4, .. 128, 1.
        let code = self.divide & 3 | self.divide >> 1 & 4;
        (code + 1) & 7
    }
    fn timer_mode(&self) -> u32 {
        self.lvt[Lvt::Timer as usize] >> 17 & 3
    }

    /// Fires the timer if it is due at `now`.
    pub fn run_timer(&mut self, now: u64) {
        while let Some(at) = self.expires.filter(|at| *at <= now) {
            let entry = self.lvt[Lvt::Timer as usize];
            if entry & MASKED == 0 {
                self.accept(entry as u8, false);
            }
            self.expires = None;
            if self.timer_mode() == 1 && self.initial != 0 {
                self.started = at;
                let period = u64::from(self.initial) << self.shift();
                // A period shorter than a slice fires once for all the ticks it missed.
                let missed = (now - at) / period;
                self.started = at + missed * period;
                self.expires = Some(self.started + period);
            }
        }
    }

    fn current(&self, now: u64) -> u32 {
        match self.expires {
            Some(_) if self.timer_mode() < 2 => {
                let gone = now.saturating_sub(self.started) >> self.shift();
                u64::from(self.initial).saturating_sub(gone) as u32
            }
            _ => 0,
        }
    }

    fn start(&mut self, now: u64) {
        self.started = now;
        let armed = self.initial != 0 && self.timer_mode() < 2;
        self.expires = armed.then(|| now.saturating_add(u64::from(self.initial) << self.shift()));
    }

    /// Arms the timer for an absolute time in TSC-deadline mode (`None` disarms).
    pub fn set_deadline(&mut self, expires: Option<u64>) {
        if self.timer_mode() == 2 {
            self.expires = expires;
        }
    }
    /// Whether a TSC deadline is still to come.
    pub fn deadline_armed(&self) -> bool {
        self.deadline_mode() && self.expires.is_some()
    }
    /// Whether LVT timer is in TSC-deadline mode.
    pub fn deadline_mode(&self) -> bool {
        self.timer_mode() == 2
    }

    // ---- registers; `register` is the MMIO offset / 16 ----

    /// Reads a register.
    pub fn read(&self, register: u32, now: u64) -> u32 {
        match register {
            0x02 if self.x2apic() => self.id,
            0x02 => self.id << 24,
            // Version 0x14, six LVT entries, EOI-broadcast suppression.
            0x03 => 0x14 | 5 << 16 | 1 << 24,
            0x08 => u32::from(self.tpr),
            0x0A => u32::from(self.ppr()),
            0x0D => self.ldr(),
            0x0E => self.dfr,
            0x0F => self.svr,
            0x10..=0x17 => self.isr[register as usize - 0x10],
            0x18..=0x1F => self.tmr[register as usize - 0x18],
            0x20..=0x27 => self.irr[register as usize - 0x20],
            0x28 => self.esr,
            0x30 => self.icr as u32,
            0x31 => (self.icr >> 32) as u32,
            0x32..=0x37 => self.lvt[register as usize - 0x32],
            0x38 => self.initial,
            0x39 => self.current(now),
            0x3E => self.divide,
            _ => 0,
        }
    }

    /// ICR as one value (x2APIC).
    pub fn icr(&self) -> u64 {
        self.icr
    }

    /// Puts back the ICR that a self-IPI must not show in.
    pub(crate) fn restore_icr(&mut self, icr: u64) {
        self.icr = icr;
    }

    /// Writes a register. ICR in x2APIC mode goes through [`Self::write_icr`].
    pub fn write(&mut self, register: u32, value: u32, now: u64) -> Wish {
        match register {
            0x08 => self.tpr = value as u8,
            0x0B => return self.eoi(),
            0x0D if !self.x2apic() => self.ldr = value & 0xFF00_0000,
            0x0E if !self.x2apic() => self.dfr = value | 0x0FFF_FFFF,
            0x0F => self.write_svr(value),
            0x28 => self.esr = std::mem::take(&mut self.esr_pending),
            0x30 => return self.write_icr(self.icr & !0xFFFF_FFFF | u64::from(value)),
            0x31 => self.icr = u64::from(value) << 32 | self.icr & 0xFFFF_FFFF,
            0x32..=0x37 => self.write_lvt(register as usize - 0x32, value),
            0x38 if !self.deadline_mode() => {
                self.initial = value;
                self.start(now);
            }
            0x3E => self.write_divide(value, now),
            _ => {}
        }
        Wish::None
    }

    fn write_svr(&mut self, value: u32) {
        self.svr = value & 0x13FF;
        if !self.software_enabled() {
            self.lvt.iter_mut().for_each(|entry| *entry |= MASKED);
        }
    }

    fn write_lvt(&mut self, index: usize, value: u32) {
        let old_mode = self.timer_mode();
        let masked = if self.software_enabled() { 0 } else { MASKED };
        self.lvt[index] = value & lvt_writable(index) | masked;
        if index == 0 && (old_mode == 2) != (self.timer_mode() == 2) {
            self.expires = None;
            self.initial = 0;
        }
    }

    fn write_divide(&mut self, value: u32, now: u64) {
        let left = self.current(now);
        self.divide = value & 0xB;
        if self.expires.is_some() && self.timer_mode() < 2 {
            // The count goes on at the new rate.
            let gone = u64::from(self.initial - left.min(self.initial)) << self.shift();
            self.started = now.saturating_sub(gone);
            self.expires = Some(now + (u64::from(left) << self.shift()));
        }
    }

    /// Writes ICR and says what to send.
    pub fn write_icr(&mut self, value: u64) -> Wish {
        self.icr = value & !(1 << 12);
        let low = value as u32;
        let high = if self.x2apic() { (value >> 32) as u32 } else { (value >> 56) as u32 };
        let Some(delivery) = Delivery::from_bits(low >> 8) else { return Wish::None };
        // INIT level de-assert is a no-op on every processor of this class.
        if delivery == Delivery::Init && low & 1 << 15 != 0 && low & 1 << 14 == 0 {
            return Wish::None;
        }
        let broadcast = if self.x2apic() { !0 } else { 0xFF };
        let destination = match low >> 18 & 3 {
            1 => Destination::Own(self.id),
            2 => Destination::All,
            3 => Destination::AllBut(self.id),
            _ if low & 1 << 11 != 0 => Destination::Logical(high),
            _ if high == broadcast => Destination::All,
            _ => Destination::Physical(high),
        };
        if matches!(delivery, Delivery::Fixed | Delivery::LowestPriority) && (low as u8) < 16 {
            self.error(1 << 5);
            return Wish::None;
        }
        Wish::Send(Message { destination, delivery, vector: low as u8, level: false })
    }
}

/// Bits of an LVT entry that can be written.
fn lvt_writable(index: usize) -> u32 {
    match index {
        0 => 0x0007_00FF,
        1 | 2 => 0x0001_07FF,
        3 | 4 => 0x0001_A7FF,
        _ => 0x0001_00FF,
    }
}

/// Bits that WRMSR may set in a register in x2APIC mode (SDM table 11-6); `None` if it is not written at all. The
/// status bits of LVT entries are ignored rather than refused.
pub(crate) fn x2apic_writable(register: u32) -> Option<u32> {
    Some(match register {
        // TPR, SELF IPI; EOI, ESR; SVR; ICR, initial count; divide configuration.
        0x08 | 0x3F => 0xFF,
        0x0B | 0x28 => 0,
        0x0F => 0x13FF,
        0x30 | 0x38 => !0,
        0x3E => 0xB,
        0x32 | 0x33 | 0x34 | 0x37 => lvt_writable(register as usize - 0x32) | 1 << 12,
        0x35 | 0x36 => lvt_writable(register as usize - 0x32) | 1 << 12 | 1 << 14,
        _ => return None,
    })
}

fn highest(bits: &[u32; 8]) -> Option<u8> {
    (0..8).rev().find(|i| bits[*i] != 0).map(|i| (i as u32 * 32 + 31 - bits[i].leading_zeros()) as u8)
}
fn set_bit(bits: &mut [u32; 8], vector: u8, on: bool) {
    let mask = 1 << (vector & 31);
    let word = &mut bits[usize::from(vector >> 5)];
    if on { *word |= mask } else { *word &= !mask }
}
fn get_bit(bits: &[u32; 8], vector: u8) -> bool {
    bits[usize::from(vector >> 5)] & 1 << (vector & 31) != 0
}
