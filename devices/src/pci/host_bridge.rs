//! Function 00:00.0: the memory controller hub of the Q35 (Intel 3 Series Express datasheet, 5.1).

use super::config::{ConfigSpace, Identity};
use crate::map::{Backing, MapRange, RegionId};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const EXT_TSEG: u16 = 0x50;
const PCIEXBAR: u16 = 0x60;
const PAM0: u16 = 0x90;
const SMRAM: u16 = 0x9d;
const ESMRAMC: u16 = 0x9e;

const SMRAM_D_OPEN: u8 = 0x40;
const SMRAM_D_CLS: u8 = 0x20;
const SMRAM_D_LCK: u8 = 0x10;
const SMRAM_G_SMRAME: u8 = 0x08;
/// C_BASE_SEG: compatible SMRAM is at 0xA0000, read only.
const SMRAM_C_BASE_SEG: u8 = 0x02;
const ESMRAMC_T_EN: u8 = 0x01;
const ESMRAMC_H_SMRAME: u8 = 0x80;
/// SM_CACHE, SM_L1 and SM_L2 are always one.
const ESMRAMC_FIXED: u8 = 0x38;
const PCIEXBAR_EN: u32 = 0x01;
/// Where PCIEXBAR points before anybody programs it, and where firmware leaves it.
pub const PCIEXBAR_BASE: u64 = 0xb000_0000;
/// PAM attributes: reads, writes go to RAM.
const PAM_RE: u8 = 0x01;
const PAM_WE: u8 = 0x02;

/// The compatible SMRAM window, over video memory.
pub(crate) const CSEG_BASE: u64 = 0xa_0000;
const CSEG_LEN: u64 = 0x2_0000;

/// Registers of the host bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct HostBridge {
    config: ConfigSpace,
    /// RAM below 4 GiB, in bytes: the top of the TSEG.
    low_ram: u64,
}

impl Section for HostBridge {
    const KIND: &'static str = "q35-mch";
    const VERSION: u32 = 1;
}

impl HostBridge {
    pub(crate) fn new(low_ram: u64) -> Self {
        let mut config = ConfigSpace::new(&Identity {
            vendor_device: 0x29c0_8086,
            class_revision: 0x0600_0000,
            multifunction: false,
            interrupt_pin: 0,
        });
        config.set_u32(PCIEXBAR, PCIEXBAR_BASE as u32);
        config.set_u8(SMRAM, SMRAM_C_BASE_SEG);
        config.set_u8(ESMRAMC, ESMRAMC_FIXED);
        Self { config, low_ram }
    }

    pub(crate) fn config(&self) -> &ConfigSpace {
        &self.config
    }

    /// The state firmware leaves: everything below 1 MiB is RAM, ECAM is on.
    pub(crate) fn set_up_as_firmware(&mut self) {
        self.config.set_u8(PAM0, 0x30);
        for pam in 1..7 {
            self.config.set_u8(PAM0 + pam, 0x33);
        }
        self.config.set_u32(PCIEXBAR, PCIEXBAR_BASE as u32 | PCIEXBAR_EN);
    }

    pub(crate) fn low_ram(&self) -> u64 {
        self.low_ram
    }

    fn locked(&self) -> bool {
        self.config.u8(SMRAM) & SMRAM_D_LCK != 0
    }

    fn writable(&self, offset: u16) -> u8 {
        match offset {
            // Nothing is behind this register of newer bridges: it reads back what is written.
            EXT_TSEG | 0x51 if !self.locked() => 0xff,
            PCIEXBAR => 0x07,
            0x63 => 0xf0 | self.pciexbar_low_bits(),
            0x64 => 0x0f,
            PAM0 => 0x30,
            0x91..=0x96 => 0x33,
            SMRAM if self.locked() => 0,
            SMRAM => SMRAM_D_OPEN | SMRAM_D_CLS | SMRAM_D_LCK | SMRAM_G_SMRAME,
            ESMRAMC if self.locked() => 0,
            ESMRAMC => !ESMRAMC_FIXED & 0xc7,
            _ => ConfigSpace::header_writable(offset),
        }
    }

    /// Address bits 27:26 exist in PCIEXBAR only for the smaller windows.
    fn pciexbar_low_bits(&self) -> u8 {
        match self.config.u8(PCIEXBAR) >> 1 & 3 {
            0 => 0,
            1 => 0x08,
            _ => 0x0c,
        }
    }

    /// Writes a byte; whether the memory map may have changed.
    pub(crate) fn write(&mut self, offset: u16, value: u8) -> bool {
        let writable = self.writable(offset);
        let before = self.config.u8(offset);
        self.config.write(offset, value, writable);
        if offset == SMRAM && self.locked() {
            // Locking closes the window for good.
            self.config.write(SMRAM, 0, SMRAM_D_OPEN);
        }
        let maps = matches!(offset, PCIEXBAR..=0x67 | PAM0..=0x96 | SMRAM | ESMRAMC);
        maps && self.config.u8(offset) != before
    }

    /// Base and length of the enhanced configuration window, while it is on.
    pub fn ecam(&self) -> Option<(u64, u64)> {
        let low = self.config.u32(PCIEXBAR);
        let len: u64 = match low >> 1 & 3 {
            0 => 256 << 20,
            1 => 128 << 20,
            2 => 64 << 20,
            _ => return None,
        };
        let base = u64::from(self.config.u32(PCIEXBAR + 4)) << 32 | u64::from(low & 0xfc00_0000);
        (low & PCIEXBAR_EN != 0).then_some((base & !(len - 1), len))
    }

    /// Base and length of the TSEG, while it is on.
    pub fn tseg(&self) -> Option<(u64, u64)> {
        let enabled = self.config.u8(SMRAM) & SMRAM_G_SMRAME != 0;
        let esmramc = self.config.u8(ESMRAMC);
        let len: u64 = match esmramc >> 1 & 3 {
            0 => 1 << 20,
            1 => 2 << 20,
            2 => 8 << 20,
            _ => return None,
        };
        let base = self.low_ram.checked_sub(len)?;
        (enabled && esmramc & ESMRAMC_T_EN != 0).then_some((base, len))
    }

    /// The layers the bridge puts over RAM: PAM, SMRAM and TSEG, as seen from inside SMM or not.
    /// `firmware_len` is the size of the image that ends at 4 GiB, of which the last 128 KiB show at 0xE0000.
    pub(crate) fn layers(&self, smm: bool, firmware_len: u64) -> Vec<MapRange> {
        let mut layers = vec![self.segment(0xf_0000, 0x1_0000, self.config.u8(PAM0) >> 4, firmware_len)];
        for index in 0..12 {
            let pam = self.config.u8(PAM0 + 1 + index / 2) >> (index % 2 * 4);
            layers.push(self.segment(0xc_0000 + u64::from(index) * 0x4000, 0x4000, pam, firmware_len));
        }
        layers.extend(self.cseg_layer(smm));
        if let Some((base, len)) = self.tseg() {
            // Outside SMM nothing answers there.
            let view = if smm { MapRange::ram(base, len, base) } else { open(base, len) };
            layers.push(view);
        }
        layers.extend(self.hseg_layer(smm));
        layers
    }

    fn segment(&self, base: u64, len: u64, pam: u8, firmware_len: u64) -> MapRange {
        let ram = Backing::Region { region: RegionId::Ram, offset: base };
        // 0x100000 corresponds to the end of the image.
        let rom = match firmware_len.checked_sub(0x10_0000 - base) {
            Some(offset) if base >= 0xe_0000 => Backing::Region { region: RegionId::Firmware, offset },
            _ => Backing::Open,
        };
        MapRange {
            base,
            len,
            read: if pam & PAM_RE != 0 { ram } else { rom },
            write: if pam & PAM_WE != 0 { ram } else { Backing::Open },
        }
    }

    fn cseg_layer(&self, smm: bool) -> Option<MapRange> {
        let smram = self.config.u8(SMRAM);
        if smram & SMRAM_G_SMRAME == 0 || self.config.u8(ESMRAMC) & ESMRAMC_H_SMRAME != 0 {
            return None;
        }
        let ram = MapRange::ram(CSEG_BASE, CSEG_LEN, CSEG_BASE);
        if smram & SMRAM_D_OPEN != 0 {
            return Some(ram);
        }
        // D_CLS leaves code in SMRAM and sends data to video memory; the map does not tell them apart.
        (smm && smram & SMRAM_D_CLS == 0).then_some(ram)
    }

    /// High SMRAM: the compatible window's RAM at 0xFEDA0000.
    fn hseg_layer(&self, smm: bool) -> Option<MapRange> {
        let enabled = self.config.u8(SMRAM) & SMRAM_G_SMRAME != 0;
        let high = enabled && self.config.u8(ESMRAMC) & ESMRAMC_H_SMRAME != 0;
        (high && smm).then(|| MapRange::ram(0xfeda_0000, CSEG_LEN, CSEG_BASE))
    }

    /// In S3: everything is as after a reset, but PAM stays, and ECAM is on. See [`crate::Platform::suspend`].
    pub(crate) fn suspend(&mut self) {
        let pam: Vec<(u16, u8)> = (PAM0..PAM0 + 7).map(|at| (at, self.config.u8(at))).collect();
        self.reset();
        pam.into_iter().for_each(|(at, value)| self.config.set_u8(at, value));
        self.config.set_u32(PCIEXBAR, PCIEXBAR_BASE as u32 | PCIEXBAR_EN);
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.low_ram);
    }
}

fn open(base: u64, len: u64) -> MapRange {
    MapRange::new(base, len, Backing::Open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::flatten;

    const FIRMWARE: u64 = 0x4_0000;

    fn at(bridge: &HostBridge, smm: bool, gpa: u64) -> (Backing, Backing) {
        let mut layers = vec![MapRange::ram(0, 0x800_0000, 0)];
        layers.extend(bridge.layers(smm, FIRMWARE));
        let map = flatten(&layers);
        let range = map.iter().find(|range| (range.base..range.end()).contains(&gpa));
        range.map_or((Backing::Open, Backing::Open), |range| (range.read, range.write))
    }

    #[test]
    fn pam_switches_between_rom_and_ram() {
        let mut bridge = HostBridge::new(0x800_0000);
        let (read, write) = at(&bridge, false, 0xf_0000);
        assert!(matches!(read, Backing::Region { region: RegionId::Firmware, .. }));
        assert_eq!(write, Backing::Open);
        assert!(bridge.write(PAM0, 0x30));
        let (read, write) = at(&bridge, false, 0xf_0000);
        assert!(matches!(read, Backing::Region { region: RegionId::Ram, .. }));
        assert_eq!(read, write);
    }

    #[test]
    fn smram_is_hidden_unless_open_or_in_smm_and_locks() {
        let mut bridge = HostBridge::new(0x800_0000);
        bridge.write(SMRAM, 0x4a);
        assert!(bridge.cseg_layer(false).is_some());
        bridge.write(SMRAM, 0x0a);
        assert!(bridge.cseg_layer(false).is_none());
        assert!(bridge.cseg_layer(true).is_some());
        bridge.write(SMRAM, 0x5a);
        assert_eq!(bridge.config().u8(SMRAM), 0x1a);
        bridge.write(SMRAM, 0x4a);
        assert!(bridge.cseg_layer(false).is_none());
    }

    #[test]
    fn tseg_is_the_top_of_low_ram() {
        let mut bridge = HostBridge::new(0x800_0000);
        bridge.write(ESMRAMC, 0x05);
        bridge.write(SMRAM, 0x0a);
        assert_eq!(bridge.tseg(), Some((0x780_0000, 0x80_0000)));
        assert_eq!(at(&bridge, false, 0x780_0000).0, Backing::Open);
        assert!(matches!(at(&bridge, true, 0x780_0000).0, Backing::Region { .. }));
    }

    #[test]
    fn ecam_appears_when_programmed() {
        let mut bridge = HostBridge::new(0x800_0000);
        assert_eq!(bridge.ecam(), None);
        assert!(bridge.write(PCIEXBAR, 0x01));
        assert_eq!(bridge.ecam(), Some((PCIEXBAR_BASE, 256 << 20)));
    }
}
