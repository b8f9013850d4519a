//! Suspend to RAM (ACPI 6.5, 7.4.2.2, S3; ICH9, 5.13.6): all is without power but RAM, the real-time clock and what can wake the
//! platform.

use crate::device::{DeviceCtx, DeviceId, Dma};
use crate::effects::Effect;
use crate::platform::{Platform, PlatformConfig};
use crate::pm::RTC_STS;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// The fw_cfg file that tells firmware which sleep states there are. A platform has S3 if this says so.
pub const SYSTEM_STATES: &str = "etc/system-states";
const S3: usize = 3;
/// The state is there.
const OFFERED: u8 = 0x80;

/// What [`SYSTEM_STATES`] says of a platform: SLP_TYP of S0 to S5, and which of them it has. S4 is never among them.
pub fn system_states(s3: bool) -> Vec<u8> {
    vec![OFFERED, 0, 0, 0x01 | if s3 { OFFERED } else { 0 }, 0x02, OFFERED]
}

/// Whether the platform sleeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Suspend {
    pub asleep: bool,
}

impl Section for Suspend {
    const KIND: &'static str = "acpi-s3";
    const VERSION: u32 = 1;
}

impl PlatformConfig {
    /// Whether the platform can suspend to RAM: there must be firmware to wake up to.
    pub(crate) fn offers_s3(&self) -> bool {
        let states = self.fw_cfg_files.iter().rev().find(|(name, _)| name == SYSTEM_STATES);
        let said = states.and_then(|(_, states)| states.get(S3)).is_some_and(|state| state & OFFERED != 0);
        said && self.firmware_len != 0
    }
}

impl Platform {
    /// Whether it sleeps: the processors stand at the reset vector, without power.
    pub fn asleep(&self) -> bool {
        self.suspend.as_ref().is_some_and(|suspend| suspend.asleep)
    }

    /// Goes to sleep, if it can; whether it did. The host bridge, which would lose all (it is in the well without power), keeps PAM:
    /// by its copy in RAM below 1 MiB SeaBIOS knows that it has run before. And it wakes with ECAM on: SeaBIOS takes that for granted
    /// where it sets up SMM and power management again, and switches it off last, so that the next time would find it off.
    pub fn suspend(&mut self, dma: &mut dyn Dma) -> bool {
        let Some(suspend) = &mut self.suspend else { return false };
        suspend.asleep = true;
        let mut host_bridge = self.pci.host_bridge.clone();
        self.reset_devices(dma, |device| !matches!(device, DeviceId::Rtc | DeviceId::Pm));
        host_bridge.suspend();
        self.pci.host_bridge = host_bridge;
        self.pm.suspend();
        let Self { clock, irqs, effects, rtc, .. } = self;
        rtc.drive_irq(&mut DeviceCtx { clock, irqs, effects, dma });
        self.settle();
        self.effects.push(Effect::A20(self.irqs.a20()));
        self.effects.push(Effect::MapChanged);
        self.wake_by_alarm();
        true
    }

    /// Power comes back: firmware runs from the reset vector, and finds by CMOS that it is to resume. `cause` is what PM1_STS
    /// says of it.
    pub(crate) fn wake(&mut self, cause: u16) {
        if let Some(suspend) = self.suspend.as_mut().filter(|suspend| suspend.asleep) {
            suspend.asleep = false;
            self.pm.wake(cause);
            self.rtc.mark_resume();
        }
    }

    /// The alarm's interrupt wakes it, where RTC_EN lets it (ICH9, 13.8.3.2).
    pub(crate) fn wake_by_alarm(&mut self) {
        if self.asleep() && self.rtc.interrupts() && self.pm.wakes_by_alarm() {
            self.wake(RTC_STS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i8042::Key;
    use crate::testing::Memory;

    fn platform() -> Platform {
        let fw_cfg_files = vec![(SYSTEM_STATES.to_owned(), system_states(true))];
        let config = PlatformConfig { fw_cfg_files, firmware_len: 0x4_0000, ..PlatformConfig::default() };
        Platform::new(&config).unwrap()
    }

    fn cmos(platform: &mut Platform, index: u8) -> u32 {
        let memory = &mut Memory(Vec::new());
        platform.pio_write(memory, 0x70, 1, u32::from(index));
        platform.pio_read(memory, 0x71, 1)
    }

    #[test]
    fn it_is_there_where_firmware_is_told_of_it() {
        assert!(platform().suspend.is_some());
        assert!(Platform::new(&PlatformConfig::default()).unwrap().suspend.is_none());
        let direct = PlatformConfig {
            fw_cfg_files: vec![(SYSTEM_STATES.to_owned(), system_states(true))],
            ..PlatformConfig::default()
        };
        assert!(!direct.offers_s3());
    }

    #[test]
    fn a_key_and_the_power_button_wake_it_to_a_resume() {
        for by_key in [false, true] {
            let (mut platform, memory) = (platform(), &mut Memory(Vec::new()));
            assert!(platform.suspend(memory) && platform.asleep());
            match by_key {
                true => assert!(platform.key(memory, Key::named("a").unwrap(), true)),
                false => platform.power_button(memory),
            }
            assert!(!platform.asleep());
            assert_eq!(cmos(&mut platform, 0x0f), 0xfe);
        }
    }

    #[test]
    fn the_alarm_wakes_it_only_if_it_may() {
        for may in [false, true] {
            let (mut platform, memory) = (platform(), &mut Memory(Vec::new()));
            platform.pm.enable_alarm(may);
            // An alarm at every second, in register B.
            for (index, value) in [(1, 0xc0), (3, 0xc0), (5, 0xc0), (0x0b, 0x22)] {
                platform.pio_write(memory, 0x70, 1, index);
                platform.pio_write(memory, 0x71, 1, value);
            }
            platform.suspend(memory);
            assert!(platform.asleep());
            let at = platform.next_deadline().expect("the alarm is armed");
            platform.clock.advance_to(at);
            platform.run_due_timers(memory);
            assert_eq!(platform.asleep(), !may);
        }
    }

    #[test]
    fn ecam_is_on_at_each_wake_and_locked_smram_is_open_again() {
        let (mut platform, memory) = (platform(), &mut Memory(Vec::new()));
        for _ in 0..2 {
            platform.suspend(memory);
            platform.power_button(memory);
            assert_eq!(platform.mmio_read(memory, 0xb000_0000, 4), 0x29c0_8086);
            assert_eq!(platform.mmio_read(memory, 0xb000_009d, 1), 0x02);
            // Locked, and then off by itself, as SeaBIOS leaves it.
            platform.mmio_write(memory, 0xb000_009d, 1, 0x1a);
            platform.mmio_write(memory, 0xb000_0060, 4, 0);
            assert_eq!(platform.mmio_read(memory, 0xb000_0000, 4), 0xffff_ffff);
        }
    }

    #[test]
    fn a_reset_ends_the_sleep_without_a_resume() {
        let (mut platform, memory) = (platform(), &mut Memory(Vec::new()));
        platform.suspend(memory);
        platform.reset(memory);
        assert!(!platform.asleep());
        assert_eq!(cmos(&mut platform, 0x0f), 0);
    }
}
