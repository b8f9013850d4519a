//! What a guest starts with: the writes to its memory and the entry state of the boot protocol. Kept in a region of
//! its own, so that a machine restored elsewhere can reset.

use super::{Machine, MachineError};
use crate::boot::{BootEntry, BootImage};
use amber_cpu::Vcpu;
use amber_cpu::state::{Segment, cr, seg};
use amber_mmu::{FrameId, PAGE, ViewId};
use serde::{Deserialize, Serialize};

/// The content of the region `boot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    entry: BootEntry,
    /// Ranges of memory (address, bytes) that are zero before the writes, as they are at power-up.
    zeros: Vec<(u64, u64)>,
    writes: Vec<Write>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Write {
    gpa: u64,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

impl Start {
    /// From a boot image and the ACPI tables to place with it.
    pub fn new(image: BootImage, tables: Vec<(u64, Vec<u8>)>) -> Self {
        let writes =
            image.writes.into_iter().chain(tables).map(|(gpa, bytes)| Write { gpa, bytes }).collect();
        Self { entry: image.entry, zeros: image.zeros, writes }
    }

    /// Whether a reset enters the guest as a boot loader would, memory written again, not at the reset vector.
    pub fn starts_anew(&self) -> bool {
        self.entry != BootEntry::Reset
    }

    /// What the region holds.
    pub fn to_bytes(&self) -> Result<Vec<u8>, MachineError> {
        postcard::to_stdvec(self).map_err(|e| MachineError::Start(e.to_string()))
    }
}

impl Machine {
    /// Makes zero again what a guest is promised zero: a reset leaves memory as it was. Pages that are zero stay shared.
    pub(super) fn clear(&mut self, start: &Start) {
        const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
        let mut page = ZEROS;
        for (gpa, len) in &start.zeros {
            let (mut at, end) = (*gpa, gpa.saturating_add(*len));
            while at < end {
                let here = (end - at).min(PAGE - at % PAGE);
                let bytes = &mut page[..here as usize];
                self.mmu.read_physical(ViewId(0), at, bytes);
                if bytes.iter().any(|byte| *byte != 0) {
                    self.mmu.write_physical(ViewId(0), at, &ZEROS[..here as usize]);
                }
                at += here;
            }
        }
    }

    /// Writes what the guest starts with and sets the boot processor's entry state.
    pub(super) fn start(&mut self, start: &Start) {
        for Write { gpa, bytes } in &start.writes {
            self.mmu.write_physical(ViewId(0), *gpa, bytes);
        }
        if start.entry != BootEntry::Reset {
            self.vcpus.iter_mut().for_each(set_up_as_firmware);
        }
        enter(&mut self.vcpus[0], &start.entry);
    }

    /// What the guest starts with, from its region.
    pub(super) fn saved_start(&self) -> Result<Start, MachineError> {
        let region = self.region(super::BOOT);
        let mut bytes = Vec::with_capacity(region.pages as usize * PAGE as usize);
        for page in 0..region.pages {
            bytes.extend_from_slice(self.mmu.frame(FrameId(region.first.0 + page)));
        }
        let (start, _padding): (Start, _) =
            postcard::take_from_bytes(&bytes).map_err(|e| MachineError::Start(e.to_string()))?;
        let zeros = start.zeros.iter().try_fold(0u64, |sum, (_, len)| sum.checked_add(*len));
        match zeros.is_some_and(|zeros| zeros <= self.spec.memory) {
            true => Ok(start),
            false => Err(MachineError::Start("more of its memory is zero than there is".to_owned())),
        }
    }
}

/// A processor as firmware leaves it.
pub(super) fn set_up_as_firmware(vcpu: &mut Vcpu) {
    set_mtrrs(vcpu);
    wire_interrupts(vcpu);
}

/// Memory types as firmware leaves them: write-back, but for the last GiB below 4 GiB, where devices are. A kernel
/// that finds the MTRRs off leaves the PAT alone too.
fn set_mtrrs(vcpu: &mut Vcpu) {
    const ENABLE: u64 = 1 << 11;
    const WRITE_BACK: u64 = 6;
    const UNCACHEABLE: u64 = 0;
    let msrs = &mut vcpu.system.msrs;
    msrs.mtrr_def_type = ENABLE | WRITE_BACK;
    msrs.mtrr_variable[0] = 0xC000_0000 | UNCACHEABLE;
    msrs.mtrr_variable[1] = 0xFF_C000_0000 | ENABLE;
}

/// Virtual wire mode as firmware leaves it (MP specification 1.4, 3.6.2.1): the 8259's INTR reaches the boot processor
/// through LINT0, NMI every processor through LINT1. Out of reset all entries are masked, as the SDM says (11.4.7.1), also
/// under firmware: that sets them up itself.
fn wire_interrupts(vcpu: &mut Vcpu) {
    const SPURIOUS: u32 = 0x0F;
    const LINT0: u32 = 0x35;
    const LINT1: u32 = 0x36;
    const ENABLE: u32 = 1 << 8;
    const EXT_INT: u32 = 7 << 8;
    const NMI: u32 = 4 << 8;
    let apic = &mut vcpu.apic;
    apic.write(SPURIOUS, ENABLE | 0xFF, 0);
    if apic.base & amber_cpu::apic::BASE_BSP != 0 {
        apic.write(LINT0, EXT_INT, 0);
    }
    apic.write(LINT1, NMI, 0);
}

/// Sets a processor to the entry state of a boot protocol.
fn enter(vcpu: &mut Vcpu, entry: &BootEntry) {
    const DATA: u32 = 0xC093;
    let flat = |selector: u16, access: u32| Segment { selector, base: 0, limit: !0, access };
    match entry {
        BootEntry::Reset => {}
        BootEntry::Long64 { rip, rsp, rsi, cr3, gdt, cs, ds } => {
            let system = &mut vcpu.system;
            system.seg = [flat(*ds, DATA); 6];
            system.seg[seg::CS] = flat(*cs, 0xA09B);
            system.gdtr.base = gdt.base;
            system.gdtr.limit = gdt.limit;
            system.cr0 = cr::CR0_PE | cr::CR0_ET | cr::CR0_NE | cr::CR0_WP | cr::CR0_PG;
            system.cr3 = *cr3;
            system.cr4 = cr::CR4_PAE;
            system.efer = cr::EFER_LME | cr::EFER_LMA;
            vcpu.rip = *rip;
            vcpu.gpr[4] = *rsp;
            vcpu.gpr[6] = *rsi;
        }
        BootEntry::Protected32 { eip, eax, ebx } => {
            let system = &mut vcpu.system;
            system.seg = [flat(0x10, DATA); 6];
            system.seg[seg::CS] = flat(0x08, 0xC09B);
            system.tr = Segment { selector: 0, base: 0, limit: 0x67, access: 0x8B };
            system.cr0 = cr::CR0_PE | cr::CR0_ET;
            vcpu.rip = u64::from(*eip);
            vcpu.gpr[0] = u64::from(*eax);
            vcpu.gpr[3] = u64::from(*ebx);
        }
    }
    vcpu.derive();
}
