//! System-management mode: entry, RSM and the state-save map (SDM Vol. 3C, chapter 32). The map has the AMD64
//! layout with revision 0x20064, which is what stock firmware for this chipset looks for.

use crate::control::legal_cr0;
use crate::exec::{Cx, Exec};
use crate::flags::{Flags, bit};
use crate::state::{Activity, Segment, Shadow, ar, cr, seg};
use amber_mmu::ViewId;

/// Offset of the save area from SMBASE.
const SAVE: u64 = 0xFE00;
const REVISION: u32 = 0x0002_0064;

/// Offsets in the save area of ES, CS, SS, DS, FS, GS, LDTR and TR.
const SEGMENTS: [usize; 8] = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x70, 0x90];

/// Offsets in the save area of the general registers RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8..R15.
fn gpr_offset(n: usize) -> usize {
    0x1F8 - 8 * n
}

impl Cx<'_> {
    /// Takes an SMI.
    pub(crate) fn enter_smm(&mut self) {
        let mut save = [0u8; 0x200];
        self.save_smm(&mut save);
        let base = u64::from(self.cpu.system.smbase);
        self.disarm_monitor();
        self.cpu.system.pending.smi = false;
        self.cpu.system.smm = true;
        self.cpu.view = ViewId(1);
        self.mmu.write_physical(self.cpu.view, base + SAVE, &save);
        self.cpu.system.nmi_blocked = true;
        self.cpu.system.activity = Activity::Running;
        self.cpu.flags = Flags::from_bits(bit::ONE);
        self.cpu.system.cr0 &= !(cr::CR0_PE | cr::CR0_EM | cr::CR0_TS | cr::CR0_PG);
        self.cpu.system.cr4 = 0;
        self.cpu.system.efer = 0;
        self.cpu.system.dr7 = 0x400;
        self.cpu.system.cpl = 0;
        let flat = Segment {
            selector: 0,
            base: 0,
            limit: !0,
            access: ar::P | ar::S | ar::RW | ar::ACCESSED | ar::G,
        };
        self.cpu.system.seg = [flat; 6];
        self.cpu.system.seg[seg::CS] = Segment { selector: (base >> 4) as u16, base, ..flat };
        self.cpu.rip = 0x8000;
        self.cpu.derive();
        self.select_context();
    }

    fn save_smm(&self, save: &mut [u8; 0x200]) {
        let cpu = &self.cpu;
        let system = &cpu.system;
        let mut put = |offset: usize, bytes: &[u8]| save[offset..offset + bytes.len()].copy_from_slice(bytes);
        for n in 0..16 {
            put(gpr_offset(n), &cpu.gpr[n].to_le_bytes());
        }
        put(0x178, &cpu.rip.to_le_bytes());
        put(0x170, &cpu.flags.bits().to_le_bytes());
        put(0x168, &system.dr6.to_le_bytes());
        put(0x160, &system.dr7.to_le_bytes());
        put(0x158, &system.cr0.to_le_bytes());
        put(0x150, &system.cr3.to_le_bytes());
        put(0x148, &system.cr4.to_le_bytes());
        put(0x0D0, &system.efer.to_le_bytes());
        put(0x0FC, &REVISION.to_le_bytes());
        put(0x100, &system.smbase.to_le_bytes());
        put(0x0C9, &[u8::from(system.activity == Activity::Halted)]);
        put(0x0CB, &[system.cpl]);
        put(0x068, &system.gdtr.base.to_le_bytes());
        put(0x064, &system.gdtr.limit.to_le_bytes());
        put(0x088, &system.idtr.base.to_le_bytes());
        put(0x084, &system.idtr.limit.to_le_bytes());
        let segments = system.seg.iter().chain([&system.ldtr, &system.tr]);
        for (at, segment) in SEGMENTS.into_iter().zip(segments) {
            put(at, &segment.selector.to_le_bytes());
            put(at + 2, &pack_access(segment.access).to_le_bytes());
            put(at + 4, &segment.limit.to_le_bytes());
            put(at + 8, &segment.base.to_le_bytes());
        }
    }

    /// RSM.
    pub(crate) fn resume_from_smm(&mut self) -> Exec {
        let base = u64::from(self.cpu.system.smbase);
        let mut save = [0u8; 0x200];
        self.mmu.read_physical(self.cpu.view, base + SAVE, &mut save);
        let get = |offset: usize| {
            let mut raw = [0; 8];
            raw.copy_from_slice(&save[offset..offset + 8]);
            u64::from_le_bytes(raw)
        };
        let (cr4, efer) = (get(0x148), get(0x0D0));
        let Some(cr0) = legal_cr0(get(0x158)).filter(|cr0| self.restorable(*cr0, cr4, efer)) else {
            self.shut_down();
            return Ok(());
        };
        for n in 0..16 {
            self.cpu.gpr[n] = get(gpr_offset(n));
        }
        self.cpu.rip = get(0x178);
        self.cpu.flags = Flags::from_bits(get(0x170));
        let system = &mut self.cpu.system;
        system.set_dr6(get(0x168));
        system.set_dr7(get(0x160));
        system.cr0 = cr0;
        system.cr3 = get(0x150);
        system.cr4 = cr4;
        system.efer = efer;
        system.smbase = get(0x100) as u32;
        system.activity = if save[0x0C9] & 1 != 0 { Activity::Halted } else { Activity::Running };
        system.cpl = save[0x0CB] & 3;
        system.gdtr.base = get(0x068);
        system.gdtr.limit = get(0x064) as u16;
        system.idtr.base = get(0x088);
        system.idtr.limit = get(0x084) as u16;
        let mut loaded = [Segment::default(); 8];
        for (at, segment) in SEGMENTS.into_iter().zip(&mut loaded) {
            let word = get(at);
            segment.selector = word as u16;
            segment.access = unpack_access((word >> 16) as u16);
            segment.limit = (word >> 32) as u32;
            segment.base = get(at + 8);
        }
        system.seg.copy_from_slice(&loaded[..6]);
        system.ldtr = loaded[6];
        system.tr = loaded[7];
        system.smm = false;
        system.nmi_blocked = false;
        // What the handler left is not the program's.
        (system.shadow, system.pending.debug) = (Shadow::None, 0);
        self.cpu.suppress_trap = true;
        self.cpu.derive();
        if self.cpu.uses_pdptes() && self.load_pdptes(self.cpu.system.cr3).is_err() {
            self.shut_down();
        }
        self.select_context();
        self.recheck();
        Ok(())
    }

    /// Whether RSM takes these control registers beside a CR0 that is legal in itself.
    fn restorable(&self, cr0: u64, cr4: u64, efer: u64) -> bool {
        let on = |register: u64, bit: u64| register & bit != 0;
        let long = on(efer, cr::EFER_LMA);
        cr4 & !self.cpu.model.cr4_bits() == 0
            && efer & !cr::EFER_BITS == 0
            && long == (on(efer, cr::EFER_LME) && on(cr0, cr::CR0_PG))
            && (!long || on(cr4, cr::CR4_PAE))
            && (long || !on(cr4, cr::CR4_PCIDE))
    }

    /// The state to return to makes no sense (SDM Vol. 3C, 32.3.2).
    fn shut_down(&mut self) {
        self.cpu.system.activity = Activity::Shutdown;
        self.recheck();
    }
}

/// Access rights in 16 bits: "unusable" goes where the reserved bit 8 is.
fn pack_access(access: u32) -> u16 {
    (access & 0xF0FF) as u16 | if access & ar::UNUSABLE != 0 { 1 << 8 } else { 0 }
}
fn unpack_access(packed: u16) -> u32 {
    u32::from(packed & 0xF0FF) | if packed & 1 << 8 != 0 { ar::UNUSABLE } else { 0 }
}
