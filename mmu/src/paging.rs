//! Page-table formats and the rules of translation (SDM Vol. 3A, chapter 5). Pure: memory is reached through
//! the closure the caller passes.

/// The paging modes of SDM 5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PagingMode {
    /// CR0.PG = 0: linear addresses are physical.
    Off,
    /// Two levels of 4-byte entries; 4 MiB pages when CR4.PSE.
    Bits32 { pse: bool },
    /// Three levels; the four PDPTEs are registers.
    Pae,
    /// IA-32e, four levels.
    Level4,
}

/// Everything that decides how linear addresses translate, apart from the privilege of the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressSpace {
    /// Paging mode.
    pub mode: PagingMode,
    /// CR3 without its low 12 (PAE: 5) bits.
    pub root: u64,
    /// PDPTE registers; zero outside PAE.
    pub pdptes: [u64; 4],
    /// CR0.WP.
    pub write_protect: bool,
    /// EFER.NXE.
    pub no_execute: bool,
    /// CR4.SMEP.
    pub smep: bool,
    /// CR4.SMAP.
    pub smap: bool,
    /// MAXPHYADDR of the CPU model.
    pub physical_bits: u8,
}

/// What an access wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Execute,
}

/// A page fault: the error code of SDM 4.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// Error code as pushed.
    pub code: u32,
}

pub(crate) const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
pub(crate) const ACCESSED: u64 = 1 << 5;
pub(crate) const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
pub(crate) const NX: u64 = 1 << 63;

/// One table entry a walk used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Guest-physical address of the entry.
    pub entry: u64,
    /// Its value as read.
    pub value: u64,
    /// log2 of the linear range one entry of that table covers.
    pub shift: u8,
}

/// Where a walk goes on: a table, and what the entries that led there allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Guest-physical address of the table.
    table: u64,
    /// log2 of the linear range one of its entries covers.
    pub shift: u8,
    writable: bool,
    user: bool,
    no_execute: bool,
}

/// A finished walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Guest-physical address of the 4 KiB page.
    pub page: u64,
    /// Entries used, the leaf last.
    pub used: [Used; 4],
    /// How many of `used` count.
    pub levels: usize,
    /// Where the table with the leaf was reached.
    pub last: Step,
}

impl AddressSpace {
    /// The space of a CPU with paging off.
    pub const fn unpaged(physical_bits: u8) -> Self {
        Self {
            mode: PagingMode::Off,
            root: 0,
            pdptes: [0; 4],
            write_protect: false,
            no_execute: false,
            smep: false,
            smap: false,
            physical_bits,
        }
    }

    /// Size in bytes of a table entry.
    pub fn entry_size(&self) -> u64 {
        if matches!(self.mode, PagingMode::Bits32 { .. }) { 4 } else { 8 }
    }

    fn first_step(&self, linear: u64) -> Step {
        let (table, shift) = match self.mode {
            PagingMode::Off => (0, 12),
            PagingMode::Bits32 { .. } => (self.root & 0xFFFF_F000, 22),
            PagingMode::Pae => (self.pdptes[(linear >> 30 & 3) as usize], 21),
            PagingMode::Level4 => (self.root, 39),
        };
        Step { table, shift, writable: true, user: true, no_execute: false }
    }

    fn reserved(&self, value: u64, shift: u8, leaf: bool) -> bool {
        if let PagingMode::Bits32 { .. } = self.mode {
            // 4 MiB pages: bits 20:13 carry the high address bits (PSE-36), bit 21 is reserved.
            let beyond = (0xFFu64 << 13) & !(((1u64 << (self.physical_bits.clamp(32, 40) - 32)) - 1) << 13);
            return leaf && shift == 22 && value & (1 << 21 | beyond) != 0;
        }
        let mut mask = ((1u64 << 52) - 1) & !((1u64 << self.physical_bits) - 1);
        if !self.no_execute {
            mask |= NX;
        }
        if self.mode == PagingMode::Pae {
            mask |= 0x7FF << 52;
        }
        if leaf && shift > 12 {
            mask |= ((1u64 << shift) - 1) & !0x1FFF;
        }
        if shift == 39 {
            mask |= LARGE;
        }
        value & mask != 0
    }

    fn is_leaf(&self, value: u64, shift: u8) -> bool {
        match (shift, self.mode) {
            (12, _) => true,
            (22, PagingMode::Bits32 { pse }) => pse && value & LARGE != 0,
            (21 | 30, _) => value & LARGE != 0,
            _ => false,
        }
    }

    fn leaf_page(&self, value: u64, shift: u8, linear: u64) -> u64 {
        let offset = linear & ((1u64 << shift) - 1) & !0xFFF;
        match self.mode {
            PagingMode::Bits32 { .. } if shift == 22 => {
                (value & 0xFFC0_0000) | (value >> 13 & 0xFF) << 32 | offset
            }
            PagingMode::Bits32 { .. } => value & 0xFFFF_F000,
            _ => (value & 0x000F_FFFF_FFFF_F000 & !((1u64 << shift) - 1)) | offset,
        }
    }

    fn fault_code(&self, present: bool, reserved: bool, access: Access, user: bool) -> PageFault {
        let fetch = access == Access::Execute && ((self.no_execute && self.entry_size() == 8) || self.smep);
        let code = u32::from(present)
            | u32::from(access == Access::Write) << 1
            | u32::from(user) << 2
            | u32::from(reserved) << 3
            | u32::from(fetch) << 4;
        PageFault { code }
    }

    /// Walks the tables for `linear`, from the root or from where an earlier walk came to. `read` gives the entry at a
    /// guest-physical address.
    pub(crate) fn walk(
        &self,
        linear: u64,
        from: Option<Step>,
        access: Access,
        user: bool,
        smap_enforced: bool,
        mut read: impl FnMut(u64, u64) -> u64,
    ) -> Result<Walk, PageFault> {
        let mut step = from.unwrap_or_else(|| self.first_step(linear));
        let mut walk = Walk { page: linear & !0xFFF, used: [Used::default(); 4], levels: 0, last: step };
        if self.mode == PagingMode::Off {
            return Ok(walk);
        }
        if self.mode == PagingMode::Pae && from.is_none() {
            if step.table & PRESENT == 0 {
                return Err(self.fault_code(false, false, access, user));
            }
            step.table &= 0x000F_FFFF_FFFF_F000;
        }
        let size = self.entry_size();
        let index_bits = if size == 4 { 10 } else { 9 };
        loop {
            walk.last = step;
            let entry = step.table + (linear >> step.shift & ((1 << index_bits) - 1)) * size;
            let value = read(entry, size);
            walk.used[walk.levels] = Used { entry, value, shift: step.shift };
            walk.levels += 1;
            if value & PRESENT == 0 {
                return Err(self.fault_code(false, false, access, user));
            }
            let leaf = self.is_leaf(value, step.shift);
            if self.reserved(value, step.shift, leaf) {
                return Err(self.fault_code(true, true, access, user));
            }
            step.writable &= value & WRITABLE != 0;
            step.user &= value & USER != 0;
            step.no_execute |= size == 8 && self.no_execute && value & NX != 0;
            if leaf {
                walk.page = self.leaf_page(value, step.shift, linear);
                break;
            }
            step.table = if size == 4 { value & 0xFFFF_F000 } else { value & 0x000F_FFFF_FFFF_F000 };
            step.shift -= index_bits;
        }
        if self.permits(&step, access, user, smap_enforced) {
            Ok(walk)
        } else {
            Err(self.fault_code(true, false, access, user))
        }
    }

    /// SDM 4.6: access rights.
    fn permits(&self, reached: &Step, access: Access, user: bool, smap_enforced: bool) -> bool {
        if user {
            return reached.user
                && match access {
                    Access::Read => true,
                    Access::Write => reached.writable,
                    Access::Execute => !reached.no_execute,
                };
        }
        match access {
            Access::Execute => !(reached.no_execute || self.smep && reached.user),
            _ if smap_enforced && self.smap && reached.user => false,
            Access::Read => true,
            Access::Write => reached.writable || !self.write_protect,
        }
    }
}
