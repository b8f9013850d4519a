//! ICH9 power management: ACPI fixed registers at PMBASE, the PM timer, GPE0, SMI control and the APM ports
//! 0xB2 and 0xB3 (ICH9, 13.8; ACPI 6.5, 4.8).

use crate::clock::{PM_TIMER_HZ, tick_ns, ticks};
use crate::device::{Device, DeviceCtx, DeviceId, size_mask};
use crate::effects::Effect;
use crate::irq::{IrqSource, Line};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Bytes of the block at PMBASE.
pub const PM_LEN: u16 = 0x80;
/// Values the FADT tells the guest to write to SMI_CMD.
pub(crate) const ACPI_ENABLE: u8 = 2;
pub(crate) const ACPI_DISABLE: u8 = 3;
/// SLP_TYP of the sleep states in the DSDT, as QEMU numbers them.
pub(crate) const SLP_TYP_S5: u16 = 0;
pub(crate) const SLP_TYP_S3: u16 = 1;
const SLP_TYP_S4: u16 = 2;
/// ISA IRQ of the system control interrupt.
pub(crate) const SCI_IRQ: u8 = 9;

const PM1_STS: u16 = 0x00;
#[cfg(test)]
const PM1_EN: u16 = 0x02;
const PM1_CNT: u16 = 0x04;
const PM1_TMR: u16 = 0x08;
pub(crate) const GPE0_STS: u16 = 0x20;
const GPE0_EN: u16 = 0x28;
pub(crate) const SMI_EN: u16 = 0x30;
const SMI_STS: u16 = 0x34;

const TMROF_STS: u16 = 1 << 0;
pub(crate) const PWRBTN_STS: u16 = 1 << 8;
pub(crate) const RTC_STS: u16 = 1 << 10;
const WAK_STS: u16 = 1 << 15;
const PM1_STS_MASK: u16 = 0x8d31;
const PM1_EN_MASK: u16 = 0x4521;
const SCI_EN: u16 = 1 << 0;
const SLP_EN: u16 = 1 << 13;
const PM1_CNT_MASK: u16 = 0x1c03;
const GBL_SMI_EN: u32 = 1 << 0;
const EOS: u32 = 1 << 1;
const APMC_EN: u32 = 1 << 5;
const APM_STS: u32 = 1 << 5;

/// The timer has 24 bits; TMROF_STS is set each time its top bit changes.
const TMR_MASK: u64 = 0xff_ffff;
const TMR_HALF: u64 = 0x80_0000;

/// Registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Pm {
    pm1_sts: u16,
    pm1_en: u16,
    pm1_cnt: u16,
    gpe0_sts: u64,
    gpe0_en: u64,
    smi_en: u32,
    smi_sts: u32,
    /// APM_CNT and APM_STS, ports 0xB2 and 0xB3.
    apm_cnt: u8,
    apm_sts: u8,
    /// Changes of the timer's top bit that TMROF_STS has recorded.
    halves_seen: u64,
    /// SMI is locked on (GEN_PMCON_1 SMI_LOCK, told by the LPC bridge).
    smi_lock: bool,
    /// The processors have system management mode.
    smm: bool,
}

impl Section for Pm {
    const KIND: &'static str = "ich9-pm";
    const VERSION: u32 = 1;
}

impl Pm {
    pub(crate) fn new(smm: bool) -> Self {
        Self {
            pm1_sts: 0,
            pm1_en: 0,
            pm1_cnt: 0,
            gpe0_sts: 0,
            gpe0_en: 0,
            // Without SMM this says "SMM is set up already" to firmware, which then leaves it alone.
            smi_en: if smm { EOS } else { EOS | APMC_EN },
            smi_sts: 0,
            apm_cnt: 0,
            apm_sts: 0,
            halves_seen: 0,
            smi_lock: false,
            smm,
        }
    }

    /// Whether the processors have system management mode. Configuration.
    pub(crate) fn smm(&self) -> bool {
        self.smm
    }

    pub(crate) fn set_smi_lock(&mut self, lock: bool) {
        self.smi_lock |= lock;
    }

    /// Presses the power button.
    pub(crate) fn press_power_button(&mut self, cx: &mut DeviceCtx) {
        self.pm1_sts |= PWRBTN_STS;
        self.update_sci(cx);
    }

    /// A general-purpose event (ACPI 6.5, 4.8.5.1), of the 64 there are.
    pub(crate) fn raise_gpe(&mut self, cx: &mut DeviceCtx, event: u8) {
        self.gpe0_sts |= 1 << (event & 63);
        self.update_sci(cx);
    }

    /// Whether RTC_EN lets the clock's alarm wake the platform.
    pub(crate) fn wakes_by_alarm(&self) -> bool {
        self.pm1_en & RTC_STS != 0
    }

    /// What lies in the well that keeps its power in S3 stays: status and enables of events (ICH9, 13.8.3).
    pub(crate) fn suspend(&mut self) {
        let Self { pm1_sts, pm1_en, gpe0_sts, gpe0_en, halves_seen, .. } = *self;
        *self = Self { pm1_sts, pm1_en, gpe0_sts, gpe0_en, halves_seen, ..Self::new(self.smm) };
    }

    /// Says what woke the platform.
    pub(crate) fn wake(&mut self, cause: u16) {
        self.pm1_sts |= WAK_STS | cause;
    }

    #[cfg(test)]
    pub(crate) fn enable_alarm(&mut self, on: bool) {
        self.pm1_en = if on { RTC_STS } else { 0 };
    }

    /// ACPI mode on, as firmware that has no SMM handler leaves it.
    pub(crate) fn set_up_as_firmware(&mut self) {
        self.pm1_cnt |= SCI_EN;
    }

    fn halves(now: u64) -> u64 {
        ticks(now, PM_TIMER_HZ) / TMR_HALF
    }

    fn settle(&mut self, now: u64) {
        let halves = Self::halves(now);
        if halves > self.halves_seen {
            self.pm1_sts |= TMROF_STS;
            self.halves_seen = halves;
        }
    }

    /// Drives the SCI and arms the timer for the next overflow if one would interrupt.
    fn update_sci(&mut self, cx: &mut DeviceCtx) {
        let event = self.pm1_sts & self.pm1_en != 0 || self.gpe0_sts & self.gpe0_en != 0;
        let sci = event && self.pm1_cnt & SCI_EN != 0;
        cx.irqs.set(Line::Isa(SCI_IRQ), IrqSource::Sci, sci);
        let wanted = self.pm1_en & TMROF_STS != 0 && self.pm1_sts & TMROF_STS == 0;
        let next = tick_ns((Self::halves(cx.now()) + 1) * TMR_HALF, PM_TIMER_HZ);
        cx.set_timer(DeviceId::Pm, 0, wanted.then_some(next));
    }

    /// The aligned 32-bit register at `register`.
    fn read_register(&self, now: u64, register: u16) -> u32 {
        match register {
            PM1_STS => u32::from(self.pm1_sts) | u32::from(self.pm1_en) << 16,
            PM1_CNT => u32::from(self.pm1_cnt),
            PM1_TMR => (ticks(now, PM_TIMER_HZ) & TMR_MASK) as u32,
            GPE0_STS => self.gpe0_sts as u32,
            0x24 => (self.gpe0_sts >> 32) as u32,
            GPE0_EN => self.gpe0_en as u32,
            0x2c => (self.gpe0_en >> 32) as u32,
            SMI_EN => self.smi_en,
            SMI_STS => self.smi_sts,
            _ => 0,
        }
    }

    /// Writes the bytes of an aligned 32-bit register that `mask` selects.
    fn write_register(&mut self, cx: &mut DeviceCtx, register: u16, value: u32, mask: u32) {
        let merge = |old: u32| old & !mask | value & mask;
        let high = |word: u64| (word >> 32) as u32;
        match register {
            PM1_STS => {
                self.pm1_sts &= !((value & mask) as u16 & PM1_STS_MASK);
                self.pm1_en = (merge(u32::from(self.pm1_en) << 16) >> 16) as u16 & PM1_EN_MASK;
            }
            PM1_CNT => self.write_pm1_cnt(cx, merge(u32::from(self.pm1_cnt)) as u16),
            GPE0_STS => self.gpe0_sts &= !u64::from(value & mask),
            0x24 => self.gpe0_sts &= !(u64::from(value & mask) << 32),
            GPE0_EN => {
                self.gpe0_en = self.gpe0_en & 0xffff_ffff << 32 | u64::from(merge(self.gpe0_en as u32));
            }
            0x2c => {
                self.gpe0_en = self.gpe0_en & 0xffff_ffff | u64::from(merge(high(self.gpe0_en))) << 32;
            }
            SMI_EN => {
                let locked = if self.smi_lock { self.smi_en & GBL_SMI_EN } else { 0 };
                self.smi_en = merge(self.smi_en) | locked | EOS;
            }
            SMI_STS => self.smi_sts &= !(value & mask),
            _ => {}
        }
    }

    fn write_pm1_cnt(&mut self, cx: &mut DeviceCtx, value: u16) {
        self.pm1_cnt = value & PM1_CNT_MASK;
        if value & SLP_EN == 0 {
            return;
        }
        match value >> 10 & 7 {
            SLP_TYP_S5 | SLP_TYP_S4 => cx.effects.push(Effect::PowerOff),
            SLP_TYP_S3 => cx.effects.push(Effect::Suspend),
            _ => {}
        }
    }

    fn write_apm_cnt(&mut self, cx: &mut DeviceCtx, value: u8) {
        self.apm_cnt = value;
        match value {
            ACPI_ENABLE => self.pm1_cnt |= SCI_EN,
            ACPI_DISABLE => self.pm1_cnt &= !SCI_EN,
            _ => {}
        }
        let enabled = APMC_EN | GBL_SMI_EN;
        if self.smm && self.smi_en & enabled == enabled {
            self.smi_sts |= APM_STS;
            cx.effects.smi();
        }
    }
}

impl Device for Pm {
    /// `port` is the offset from PMBASE, or 0xB2 or 0xB3.
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, size: u8) -> u32 {
        match port {
            0xb2 => return u32::from(self.apm_cnt),
            0xb3 => return u32::from(self.apm_sts),
            _ => {}
        }
        let now = cx.now();
        self.settle(now);
        let low = self.read_register(now, port & !3);
        let high = self.read_register(now, (port & !3).wrapping_add(4));
        let both = u64::from(high) << 32 | u64::from(low);
        (both >> ((port & 3) * 8) & size_mask(size)) as u32
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, size: u8, value: u32) {
        self.settle(cx.now());
        match port {
            0xb2 => self.write_apm_cnt(cx, value as u8),
            0xb3 => self.apm_sts = value as u8,
            _ => {
                let shift = (port & 3) * 8;
                let (value, mask) = (u64::from(value) << shift, size_mask(size.min(4)) << shift);
                self.write_register(cx, port & !3, value as u32, mask as u32);
                if mask >> 32 != 0 {
                    let next = (port & !3).wrapping_add(4);
                    self.write_register(cx, next, (value >> 32) as u32, (mask >> 32) as u32);
                }
            }
        }
        self.update_sci(cx);
    }

    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        self.settle(cx.now());
        self.update_sci(cx);
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        *self = Self { halves_seen: Self::halves(cx.now()), ..Self::new(self.smm) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn the_timer_wraps_at_24_bits_and_each_half_sets_its_status() {
        let (mut pm, mut bench) = (Pm::new(true), Bench::new());
        pm.pio_write(&mut bench.cx(), PM1_CNT, 2, 1);
        pm.pio_write(&mut bench.cx(), PM1_EN, 2, 1);
        let at = bench.clock.next().unwrap();
        assert_eq!(at, tick_ns(TMR_HALF, PM_TIMER_HZ));
        bench.clock.advance_to(at);
        bench.clock.pop_due();
        pm.timer(&mut bench.cx(), 0);
        assert!(bench.irqs.level(Line::Isa(9), IrqSource::Sci));
        assert_eq!(pm.pio_read(&mut bench.cx(), PM1_TMR, 4), 0x80_0000);
        pm.pio_write(&mut bench.cx(), PM1_STS, 2, 1);
        assert!(!bench.irqs.level(Line::Isa(9), IrqSource::Sci));
        bench.clock.advance_to(tick_ns(2 * TMR_HALF, PM_TIMER_HZ));
        assert_eq!(pm.pio_read(&mut bench.cx(), PM1_TMR, 4), 0);
        assert_eq!(pm.pio_read(&mut bench.cx(), PM1_STS, 2), 1);
    }

    #[test]
    fn soft_off_and_acpi_mode() {
        let (mut pm, mut bench) = (Pm::new(true), Bench::new());
        pm.pio_write(&mut bench.cx(), 0xb2, 1, 2);
        assert_eq!(pm.pio_read(&mut bench.cx(), PM1_CNT, 2), 1);
        pm.pio_write(&mut bench.cx(), PM1_CNT, 2, 0x2001);
        assert_eq!(bench.effects.pop(), Some(Effect::PowerOff));
        pm.pio_write(&mut bench.cx(), 0xb2, 1, 3);
        assert_eq!(pm.pio_read(&mut bench.cx(), PM1_CNT, 2), 0);
    }

    #[test]
    fn suspending_to_disk_is_off_and_to_ram_is_asked_for() {
        let (mut pm, mut bench) = (Pm::new(true), Bench::new());
        pm.pio_write(&mut bench.cx(), PM1_CNT, 2, 0x2001 | SLP_TYP_S4 as u32 * 0x400);
        assert_eq!(bench.effects.pop(), Some(Effect::PowerOff));
        pm.pio_write(&mut bench.cx(), PM1_CNT, 2, 0x2401);
        assert_eq!(bench.effects.pop(), Some(Effect::Suspend));
    }

    #[test]
    fn apm_raises_smi_when_enabled() {
        let (mut pm, mut bench) = (Pm::new(true), Bench::new());
        pm.pio_write(&mut bench.cx(), 0xb2, 1, 0);
        assert!(bench.effects.is_empty());
        pm.pio_write(&mut bench.cx(), SMI_EN, 4, APMC_EN | GBL_SMI_EN);
        bench.effects.processor = 3;
        pm.pio_write(&mut bench.cx(), 0xb2, 1, 0);
        assert_eq!(bench.effects.pop(), Some(Effect::Smi { processor: 3 }));
    }

    #[test]
    fn a_general_purpose_event_interrupts_until_it_is_cleared() {
        let (mut pm, mut bench) = (Pm::new(true), Bench::new());
        pm.pio_write(&mut bench.cx(), PM1_CNT, 2, 1);
        pm.raise_gpe(&mut bench.cx(), 2);
        let sci = |bench: &Bench| bench.irqs.level(Line::Isa(9), IrqSource::Sci);
        assert!(!sci(&bench), "it is not enabled");
        pm.pio_write(&mut bench.cx(), GPE0_EN, 1, 1 << 2);
        assert!(sci(&bench));
        assert_eq!(pm.pio_read(&mut bench.cx(), GPE0_STS, 4), 1 << 2);
        pm.pio_write(&mut bench.cx(), GPE0_STS, 1, 1 << 2);
        assert!(!sci(&bench));
    }

    #[test]
    fn the_power_button_is_an_event() {
        let (mut pm, mut bench) = (Pm::new(true), Bench::new());
        pm.pio_write(&mut bench.cx(), PM1_CNT, 2, 1);
        pm.pio_write(&mut bench.cx(), PM1_EN + 1, 1, 1);
        pm.press_power_button(&mut bench.cx());
        assert!(bench.irqs.level(Line::Isa(9), IrqSource::Sci));
        assert_eq!(pm.pio_read(&mut bench.cx(), PM1_STS, 4), 0x0100_0100);
    }
}
