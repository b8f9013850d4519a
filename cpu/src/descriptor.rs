//! Descriptors and selectors (SDM Vol. 3A, 3.4.5 and 5.8).

use crate::exec::{Cx, Exec, Fault, is_canonical};
use crate::state::{Segment, ar};

/// Selector without its RPL: what error codes carry.
pub fn index(selector: u16) -> u32 {
    u32::from(selector & 0xFFFC)
}

/// Whether a selector is null.
pub fn is_null(selector: u16) -> bool {
    selector & 0xFFFC == 0
}

/// A descriptor as read from a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub low: u64,
    /// Upper half of a 16-byte descriptor in IA-32e mode.
    pub high: u64,
    /// Linear address it was read from.
    pub linear: u64,
}

/// Types of system descriptors (SDM table 3-2).
pub mod system_type {
    pub const TSS16_AVAILABLE: u32 = 1;
    pub const LDT: u32 = 2;
    pub const CALL_GATE16: u32 = 4;
    pub const TASK_GATE: u32 = 5;
    pub const INTERRUPT_GATE16: u32 = 6;
    pub const TRAP_GATE16: u32 = 7;
    pub const TSS_AVAILABLE: u32 = 9;
    pub const CALL_GATE: u32 = 12;
    pub const INTERRUPT_GATE: u32 = 14;
    pub const TRAP_GATE: u32 = 15;
}

impl Descriptor {
    /// Access rights; see [`ar`].
    pub fn access(&self) -> u32 {
        (self.low >> 40 & 0xF0FF) as u32
    }
    pub fn has(&self, bits: u32) -> bool {
        self.access() & bits == bits
    }
    pub fn is_system(&self) -> bool {
        !self.has(ar::S)
    }
    pub fn kind(&self) -> u32 {
        self.access() & 0xF
    }
    pub fn present(&self) -> bool {
        self.has(ar::P)
    }
    pub fn dpl(&self) -> u8 {
        (self.access() >> ar::DPL_SHIFT & 3) as u8
    }
    pub fn is_code(&self) -> bool {
        self.has(ar::S | ar::CODE)
    }
    pub fn is_conforming(&self) -> bool {
        self.has(ar::S | ar::CODE | ar::DC)
    }
    pub fn base(&self) -> u64 {
        let low = self.low >> 16 & 0xFF_FFFF | self.low >> 32 & 0xFF00_0000;
        if self.is_system() { low | self.high << 32 } else { low }
    }
    /// In bytes, inclusive.
    pub fn limit(&self) -> u32 {
        let raw = (self.low & 0xFFFF | self.low >> 32 & 0xF_0000) as u32;
        if self.has(ar::G) { raw << 12 | 0xFFF } else { raw }
    }
    /// Target selector of a gate.
    pub fn gate_selector(&self) -> u16 {
        (self.low >> 16) as u16
    }
    /// Target offset of a gate; 16-bit gates have 16 bits.
    pub fn gate_offset(&self, wide: bool) -> u64 {
        let low = self.low & 0xFFFF;
        match (wide, self.kind() & 8 != 0) {
            (true, _) => low | self.low >> 32 & 0xFFFF_0000 | self.high << 32,
            (false, true) => low | self.low >> 32 & 0xFFFF_0000,
            (false, false) => low,
        }
    }
    /// Parameters a call gate copies.
    pub fn gate_parameters(&self) -> u8 {
        (self.low >> 32 & 31) as u8
    }
    /// IST index of a 64-bit interrupt gate.
    pub fn gate_ist(&self) -> u8 {
        (self.low >> 32 & 7) as u8
    }
    /// The segment register this descriptor gives.
    pub fn segment(&self, selector: u16) -> Segment {
        Segment { selector, base: self.base(), limit: self.limit(), access: self.access() }
    }
}

impl Cx<'_> {
    /// Linear address of a selector's descriptor; `None` if its table does not reach that far.
    fn descriptor_linear(&self, selector: u16, size: u64) -> Option<u64> {
        let offset = u64::from(selector & 0xFFF8);
        let system = &self.cpu.system;
        let (base, limit) = if selector & 4 == 0 {
            (system.gdtr.base, u64::from(system.gdtr.limit))
        } else if system.ldtr.usable() {
            (system.ldtr.base, u64::from(system.ldtr.limit))
        } else {
            return None;
        };
        (offset + size - 1 <= limit).then(|| base.wrapping_add(offset))
    }

    /// Reads a selector's 8-byte descriptor. `vector` is raised with the selector if the table ends before it.
    pub fn descriptor(&mut self, selector: u16, vector: u8) -> Result<Descriptor, Fault> {
        let Some(linear) = self.descriptor_linear(selector, 8) else {
            return Err(self.raise_code(vector, index(selector)));
        };
        let low = self.load_system::<u64>(linear)?;
        Ok(Descriptor { low, high: 0, linear })
    }

    /// Reads the upper half of a 16-byte descriptor (IA-32e system segments and call gates).
    pub fn widen_descriptor(
        &mut self,
        selector: u16,
        found: Descriptor,
        vector: u8,
    ) -> Result<Descriptor, Fault> {
        if self.descriptor_linear(selector, 16).is_none() {
            return Err(self.raise_code(vector, index(selector)));
        }
        let high = self.load_system::<u64>(found.linear.wrapping_add(8))?;
        // The upper half has type 0, so that nothing takes it for a descriptor.
        if high >> 40 & 0x1F != 0 {
            return Err(self.raise_code(vector, index(selector)));
        }
        Ok(Descriptor { high: high & 0xFFFF_FFFF, ..found })
    }

    /// Reads the upper half of an LDT's or TSS's descriptor in IA-32e mode.
    pub fn widen_segment(
        &mut self,
        selector: u16,
        found: Descriptor,
        vector: u8,
    ) -> Result<Descriptor, Fault> {
        let found = self.widen_descriptor(selector, found, vector)?;
        if is_canonical(found.base()) { Ok(found) } else { Err(self.raise_code(vector, index(selector))) }
    }

    /// Sets the accessed bit of a code or data descriptor in memory.
    pub fn mark_accessed(&mut self, found: &mut Descriptor) -> Exec {
        if !found.has(ar::ACCESSED) {
            self.store_system(found.linear.wrapping_add(5), (found.low >> 40) as u8 | 1)?;
            found.low |= 1 << 40;
        }
        Ok(())
    }

    /// Sets or clears the busy bit of a TSS descriptor in memory.
    pub fn mark_busy(&mut self, linear: u64, busy: bool) -> Exec {
        let byte = self.load_system::<u8>(linear.wrapping_add(5))?;
        self.store_system(linear.wrapping_add(5), if busy { byte | 2 } else { byte & !2 })
    }
}
