//! Writes to CR0, CR3 and CR4 (SDM Vol. 3A, 2.5) and the PDPTE registers.

use crate::exec::{Cx, Exec};
use crate::state::{ar, cr, seg};

/// CR0 as `value` written there makes it. `None` if it has reserved bits or an illegal combination of bits.
pub(crate) fn legal_cr0(value: u64) -> Option<u64> {
    let on = |bit: u64| value & bit != 0;
    let bad = value >> 32 != 0 || on(cr::CR0_PG) && !on(cr::CR0_PE) || on(cr::CR0_NW) && !on(cr::CR0_CD);
    (!bad).then_some(value & 0xE005_003F | cr::CR0_ET)
}

impl Cx<'_> {
    /// MOV to CR0, LMSW.
    pub fn write_cr0(&mut self, value: u64) -> Exec {
        let old = self.cpu.system.cr0;
        let Some(value) = legal_cr0(value) else { return Err(self.gp(0)) };
        let system = &self.cpu.system;
        let toggles_pg = (value ^ old) & cr::CR0_PG != 0;
        let enabling = toggles_pg && value & cr::CR0_PG != 0;
        let mut efer = system.efer;
        if enabling && efer & cr::EFER_LME != 0 {
            let code_64 = system.seg[seg::CS].access & ar::L != 0;
            let task_16 = !self.cpu.task_is_32_bit();
            if system.cr4 & cr::CR4_PAE == 0 || code_64 || task_16 {
                return Err(self.gp(0));
            }
            efer |= cr::EFER_LMA;
        } else if toggles_pg && !enabling {
            let long_code = self.cpu.long_mode() && system.seg[seg::CS].access & ar::L != 0;
            if system.cr4 & cr::CR4_PCIDE != 0 || long_code {
                return Err(self.gp(0));
            }
            efer &= !cr::EFER_LMA;
        }
        let pae = system.cr4 & cr::CR4_PAE != 0 && efer & cr::EFER_LMA == 0;
        if pae && value & cr::CR0_PG != 0 && (value ^ old) & (cr::CR0_PG | cr::CR0_CD | cr::CR0_NW) != 0 {
            self.load_pdptes(self.cpu.system.cr3)?;
        }
        self.cpu.system.efer = efer;
        self.cpu.system.cr0 = value;
        self.cpu.paging_changed();
        self.cpu.mode_changed();
        self.cpu.flags_changed();
        self.select_context();
        self.recheck();
        Ok(())
    }

    /// MOV to CR3.
    pub fn write_cr3(&mut self, value: u64) -> Exec {
        let pcid = self.cpu.system.cr4 & cr::CR4_PCIDE != 0;
        // Bit 63 asks not to flush; nothing is ever flushed here.
        let value = if pcid { value & !(1 << 63) } else { value };
        if self.cpu.long_mode() && value >> self.cpu.model.physical_bits != 0 {
            return Err(self.gp(0));
        }
        if self.cpu.uses_pdptes() {
            self.load_pdptes(value)?;
        }
        self.cpu.system.cr3 = value;
        self.cpu.paging_changed();
        self.select_context();
        self.recheck();
        Ok(())
    }

    /// MOV to CR4.
    pub fn write_cr4(&mut self, value: u64) -> Exec {
        let old = self.cpu.system.cr4;
        let long = self.cpu.long_mode();
        let drops_pae = long && value & cr::CR4_PAE == 0;
        let enables_pcid = value & !old & cr::CR4_PCIDE != 0;
        let pcid_wrong = enables_pcid && (!long || self.cpu.system.cr3 & 0xFFF != 0);
        if value & !self.cpu.model.cr4_bits() != 0 || drops_pae || pcid_wrong {
            return Err(self.gp(0));
        }
        let paging = cr::CR4_PAE | cr::CR4_PSE | cr::CR4_PGE | cr::CR4_SMEP;
        let pae = value & cr::CR4_PAE != 0 && !long && self.cpu.system.cr0 & cr::CR0_PG != 0;
        if pae && (value ^ old) & paging != 0 {
            self.load_pdptes(self.cpu.system.cr3)?;
        }
        self.cpu.system.cr4 = value;
        self.cpu.paging_changed();
        self.cpu.flags_changed();
        self.select_context();
        self.recheck();
        Ok(())
    }

    /// Loads the PDPTE registers from the table at `cr3` (SDM 4.4.1).
    pub fn load_pdptes(&mut self, cr3: u64) -> Exec {
        let mut pdptes = [0; 4];
        for (n, pdpte) in pdptes.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            self.mmu.read_physical(self.cpu.view, (cr3 & 0xFFFF_FFE0) + 8 * n as u64, &mut bytes);
            *pdpte = u64::from_le_bytes(bytes);
            let reserved = 0x1E6 | !((1u64 << self.cpu.model.physical_bits) - 1);
            if *pdpte & 1 != 0 && *pdpte & reserved != 0 {
                return Err(self.gp(0));
            }
        }
        self.cpu.system.pdptes = pdptes;
        self.cpu.paging_changed();
        Ok(())
    }
}
