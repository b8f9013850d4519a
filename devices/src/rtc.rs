//! The MC146818A real-time clock and its CMOS memory, with the ICH9's second bank (ICH9, 13.6).
//!
//! The date is a function of virtual time; flags settle when somebody looks, and timers are armed only for
//! interrupts that are enabled.

use crate::calendar::{Date, SECONDS_PER_DAY};
use crate::clock::{NS_PER_SECOND, tick_ns, ticks};
use crate::device::{Device, DeviceCtx, DeviceId};
use crate::irq::{IrqSource, Line};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const SECONDS: usize = 0;
const SECONDS_ALARM: usize = 1;
const MINUTES: usize = 2;
const MINUTES_ALARM: usize = 3;
const HOURS: usize = 4;
const HOURS_ALARM: usize = 5;
const DAY_OF_WEEK: usize = 6;
const DAY_OF_MONTH: usize = 7;
const MONTH: usize = 8;
const YEAR: usize = 9;
const REGISTER_A: usize = 10;
const REGISTER_B: usize = 11;
const REGISTER_C: usize = 12;
const REGISTER_D: usize = 13;
/// Where firmware and kernels keep the century; IBM PS/2s used the second one.
const CENTURY: usize = 0x32;
const CENTURY_PS2: usize = 0x37;

const A_UIP: u8 = 0x80;
const A_DV_NORMAL: u8 = 0x20;
const A_DV: u8 = 0x70;
const A_DV_RESET: u8 = 0x60;
const A_RS: u8 = 0x0f;
const B_SET: u8 = 0x80;
const B_PIE: u8 = 0x40;
const B_AIE: u8 = 0x20;
const B_UIE: u8 = 0x10;
const B_SQWE: u8 = 0x08;
const B_DM: u8 = 0x04;
const B_24H: u8 = 0x02;
const C_IRQF: u8 = 0x80;
const C_PF: u8 = 0x40;
const C_AF: u8 = 0x20;
const C_UF: u8 = 0x10;
const D_VRT: u8 = 0x80;

/// The update cycle: UIP rises 244 us before it and it takes 1984 us (MC146818A, table 5).
const UIP_NS: u64 = (244 + 1984) * 1000;
/// Leaving divider reset, the first update comes half a second later (MC146818A, register A).
const DIVIDER_RESET_NS: u64 = NS_PER_SECOND / 2;
const CRYSTAL_HZ: u64 = 32_768;

/// Seconds a clock may be away from 1970, about 2 million years: keeps the arithmetic on dates far from its ends.
pub(crate) const SECONDS_MAX: u64 = 1 << 46;

const TIMER_PERIODIC: u16 = 0;
const TIMER_UPDATE: u16 = 1;

/// The number of processors, less one, in CMOS.
const LAST_CPU: usize = 0x5f;

/// Sizes and counts firmware reads from CMOS.
#[derive(Clone, Copy, Debug)]
pub struct CmosLayout {
    /// RAM below 4 GiB, in bytes.
    pub low_ram: u64,
    /// RAM above 4 GiB, in bytes.
    pub high_ram: u64,
    /// Processors.
    pub cpus: u32,
    /// Types of the floppy disk drives, as register 10h has them: the first one's in the high nibble.
    pub floppies: u8,
}

/// The clock, both banks of CMOS memory and the index registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Rtc {
    /// Index of the standard bank. Bit 7 would mask NMI#, which nothing drives here.
    index: u8,
    index_extended: u8,
    /// Registers and memory; the time registers in it count only while SET stops the clock.
    cmos: Vec<u8>,
    extended: Vec<u8>,
    /// Seconds since 1970 that the clock shows at `second_ns`.
    second: i64,
    /// Virtual time at which `second` began.
    second_ns: u64,
    /// Virtual time up to which the flags of register C have been worked out.
    settled_ns: u64,
    /// Virtual time the periodic rate is counted from.
    periodic_ns: u64,
}

impl Section for Rtc {
    const KIND: &'static str = "mc146818";
    const VERSION: u32 = 1;
}

impl Rtc {
    pub(crate) fn new(start: i64, layout: &CmosLayout) -> Self {
        let mut cmos = vec![0; 128];
        cmos[REGISTER_A] = A_DV_NORMAL | 6;
        cmos[REGISTER_B] = B_24H;
        cmos[REGISTER_D] = D_VRT;
        fill(&mut cmos, layout);
        Self {
            index: 0,
            index_extended: 0,
            cmos,
            extended: vec![0; 128],
            second: start,
            second_ns: 0,
            settled_ns: 0,
            periodic_ns: 0,
        }
    }

    /// Firmware is told how many processors there are.
    pub(crate) fn set_cpus(&mut self, cpus: u32) {
        self.cmos[LAST_CPU] = last_cpu(cpus);
    }

    fn runs(&self) -> bool {
        self.cmos[REGISTER_A] & A_DV_RESET != A_DV_RESET && self.cmos[REGISTER_B] & B_SET == 0
    }

    /// Whole seconds since `second_ns`.
    fn seconds_since(&self, now: u64) -> u64 {
        now.saturating_sub(self.second_ns) / NS_PER_SECOND
    }

    fn second_at(&self, now: u64) -> i64 {
        self.second.saturating_add_unsigned(self.seconds_since(now))
    }

    fn next_second_ns(&self, now: u64) -> u64 {
        self.second_ns.saturating_add((self.seconds_since(now) + 1).saturating_mul(NS_PER_SECOND))
    }

    fn update_in_progress(&self, now: u64) -> bool {
        self.runs() && self.next_second_ns(now) - now <= UIP_NS
    }

    /// Ticks of the 32.768 kHz crystal in one period of the rate selector, if it is on.
    fn periodic_ticks(&self) -> Option<u64> {
        if self.cmos[REGISTER_A] & A_DV_RESET == A_DV_RESET {
            return None;
        }
        match self.cmos[REGISTER_A] & A_RS {
            0 => None,
            rate @ 1..=2 => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    fn periods(&self, now: u64) -> u64 {
        let crystal = ticks(now.saturating_sub(self.periodic_ns), CRYSTAL_HZ);
        self.periodic_ticks().map_or(0, |period| crystal / period)
    }

    fn next_period_ns(&self, now: u64) -> Option<u64> {
        let next = (self.periods(now) + 1).checked_mul(self.periodic_ticks()?)?;
        self.periodic_ns.checked_add(tick_ns(next, CRYSTAL_HZ))
    }

    /// Brings the flags of register C up to `now`.
    fn settle(&mut self, now: u64) {
        let from = self.settled_ns;
        self.settled_ns = now;
        let mut flags = 0;
        if self.periods(now) > self.periods(from.max(self.periodic_ns)) {
            flags |= C_PF;
        }
        if self.runs() {
            let (first, last) = (self.second_at(from.max(self.second_ns)), self.second_at(now));
            if last > first {
                flags |= C_UF;
                if self.next_alarm(first).is_some_and(|alarm| alarm <= last) {
                    flags |= C_AF;
                }
            }
        }
        self.cmos[REGISTER_C] |= flags;
    }

    /// The first second after `after` that the alarm registers match, within a day: the alarm repeats daily.
    fn next_alarm(&self, after: i64) -> Option<i64> {
        let matches = |alarm: u8, shown: u8| alarm & 0xc0 == 0xc0 || alarm == shown;
        // An alarm that no second, minute or hour shows never comes. Any other is at most 24 hours, 60 minutes and 60
        // seconds of steps away.
        let shown_by = |alarm: u8, most: u8, shown: &dyn Fn(u8) -> u8| {
            (0..most).any(|value| matches(alarm, shown(value)))
        };
        if !shown_by(self.cmos[SECONDS_ALARM], 60, &|second| self.encode(second))
            || !shown_by(self.cmos[MINUTES_ALARM], 60, &|minute| self.encode(minute))
            || !shown_by(self.cmos[HOURS_ALARM], 24, &|hour| self.encode_hour(hour))
        {
            return None;
        }
        let end = after.saturating_add(SECONDS_PER_DAY);
        let mut second = after.saturating_add(1);
        while second <= end {
            let of_day = second.rem_euclid(SECONDS_PER_DAY);
            let (hour, minute) = ((of_day / 3600) as u8, (of_day / 60 % 60) as u8);
            if !matches(self.cmos[HOURS_ALARM], self.encode_hour(hour)) {
                second += 3600 - of_day % 3600;
            } else if !matches(self.cmos[MINUTES_ALARM], self.encode(minute)) {
                second += 60 - of_day % 60;
            } else if !matches(self.cmos[SECONDS_ALARM], self.encode((of_day % 60) as u8)) {
                second += 1;
            } else {
                return Some(second);
            }
        }
        None
    }

    /// Drives IRQ8 and arms timers for the interrupts that are enabled.
    fn update_irq(&mut self, cx: &mut DeviceCtx) {
        let enabled = self.cmos[REGISTER_C] & self.cmos[REGISTER_B] & (B_PIE | B_AIE | B_UIE) != 0;
        if enabled {
            self.cmos[REGISTER_C] |= C_IRQF;
        } else {
            self.cmos[REGISTER_C] &= !C_IRQF;
        }
        cx.irqs.set(Line::Isa(8), IrqSource::Rtc, enabled);
        let (now, b) = (cx.now(), self.cmos[REGISTER_B]);
        let pending = |enable: u8| self.cmos[REGISTER_C] & enable != 0;
        let periodic = if b & B_PIE != 0 && !pending(C_PF) { self.next_period_ns(now) } else { None };
        cx.set_timer(DeviceId::Rtc, TIMER_PERIODIC, periodic);
        let wanted = b & (B_UIE | B_AIE) & !self.cmos[REGISTER_C];
        let update = (wanted != 0 && self.runs()).then(|| self.next_update_ns(now, wanted));
        cx.set_timer(DeviceId::Rtc, TIMER_UPDATE, update);
    }

    /// The next second at which one of the `wanted` interrupts comes.
    fn next_update_ns(&self, now: u64, wanted: u8) -> u64 {
        if wanted & B_UIE != 0 {
            return self.next_second_ns(now);
        }
        let shown = self.second_at(now);
        let ahead = self.next_alarm(shown).map_or(SECONDS_PER_DAY, |alarm| alarm - shown) as u64 - 1;
        self.next_second_ns(now).saturating_add(ahead * NS_PER_SECOND)
    }

    /// Whether it asks for an interrupt.
    pub(crate) fn interrupts(&self) -> bool {
        self.cmos[REGISTER_C] & C_IRQF != 0
    }

    /// Drives its line again, after the interrupt controllers were reset and it was not.
    pub(crate) fn drive_irq(&mut self, cx: &mut DeviceCtx) {
        self.settle(cx.now());
        self.update_irq(cx);
    }

    /// Leaves word for firmware that it is to resume, as QEMU does.
    pub(crate) fn mark_resume(&mut self) {
        const SHUTDOWN_STATUS: usize = 0x0f;
        const RESUME: u8 = 0xfe;
        self.cmos[SHUTDOWN_STATUS] = RESUME;
    }

    fn encode(&self, value: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_DM != 0 { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn decode(&self, raw: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_DM != 0 {
            raw
        } else {
            (raw >> 4).wrapping_mul(10).wrapping_add(raw & 15)
        }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_24H != 0 {
            return self.encode(hour);
        }
        let twelve = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        self.encode(twelve) | if hour >= 12 { 0x80 } else { 0 }
    }

    fn decode_hour(&self, raw: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_24H != 0 {
            return self.decode(raw);
        }
        self.decode(raw & 0x7f) % 12 + if raw & 0x80 != 0 { 12 } else { 0 }
    }

    /// Writes what the clock shows at `now` into the time registers.
    fn show(&mut self, now: u64) {
        let date = Date::from_unix(self.second_at(now));
        self.cmos[SECONDS] = self.encode(date.second);
        self.cmos[MINUTES] = self.encode(date.minute);
        self.cmos[HOURS] = self.encode_hour(date.hour);
        self.cmos[DAY_OF_WEEK] = self.encode(date.day_of_week);
        self.cmos[DAY_OF_MONTH] = self.encode(date.day);
        self.cmos[MONTH] = self.encode(date.month);
        self.cmos[YEAR] = self.encode((date.year.rem_euclid(100)) as u8);
        let century = self.encode((date.year.div_euclid(100)).rem_euclid(100) as u8);
        self.cmos[CENTURY] = century;
        self.cmos[CENTURY_PS2] = century;
    }

    /// Takes the time registers over as the time at `now`.
    fn set_time(&mut self) {
        let date = Date {
            second: self.decode(self.cmos[SECONDS]),
            minute: self.decode(self.cmos[MINUTES]),
            hour: self.decode_hour(self.cmos[HOURS]),
            day_of_week: 0,
            day: self.decode(self.cmos[DAY_OF_MONTH]),
            month: self.decode(self.cmos[MONTH]),
            year: i64::from(self.decode(self.cmos[CENTURY])) * 100 + i64::from(self.decode(self.cmos[YEAR])),
        };
        self.second = date.to_unix();
    }

    fn write_register(&mut self, now: u64, index: usize, value: u8) {
        let is_time = matches!(index, SECONDS | MINUTES | HOURS | DAY_OF_WEEK..=YEAR | CENTURY | CENTURY_PS2);
        if is_time {
            self.write_time(now, index, value);
            return;
        }
        match index {
            REGISTER_A => self.write_register_a(now, value & !A_UIP),
            REGISTER_B => self.write_register_b(now, value),
            REGISTER_C | REGISTER_D => {}
            _ => self.cmos[index] = value,
        }
    }

    fn write_time(&mut self, now: u64, index: usize, value: u8) {
        if !self.runs() {
            self.cmos[index] = value;
            return;
        }
        self.show(now);
        self.cmos[index] = value;
        self.second_ns = self.second_ns.saturating_add(self.seconds_since(now) * NS_PER_SECOND);
        self.set_time();
    }

    fn write_register_a(&mut self, now: u64, value: u8) {
        let ran = self.runs();
        let rate_changed = (self.cmos[REGISTER_A] ^ value) & (A_RS | A_DV) != 0;
        if ran {
            self.show(now);
        }
        self.cmos[REGISTER_A] = value;
        if rate_changed {
            self.periodic_ns = now;
        }
        self.start_or_stop(now, ran, now.wrapping_sub(DIVIDER_RESET_NS));
    }

    fn write_register_b(&mut self, now: u64, value: u8) {
        let ran = self.runs();
        if ran {
            self.show(now);
        }
        // SET also clears UIE (MC146818A, register B).
        self.cmos[REGISTER_B] = if value & B_SET != 0 { value & !B_UIE } else { value };
        let phase = now.saturating_sub(self.second_ns) % NS_PER_SECOND;
        self.start_or_stop(now, ran, now - phase);
    }

    /// Freezes the time registers or, from `second_ns` on, lets them run.
    fn start_or_stop(&mut self, now: u64, ran: bool, second_ns: u64) {
        if !ran && self.runs() {
            self.set_time();
            self.second_ns = if second_ns > now { 0 } else { second_ns };
            self.settled_ns = now;
        }
    }

    fn read_register(&mut self, cx: &mut DeviceCtx, index: usize) -> u8 {
        let now = cx.now();
        match index {
            REGISTER_A => {
                let uip = if self.update_in_progress(now) { A_UIP } else { 0 };
                self.cmos[REGISTER_A] | uip
            }
            REGISTER_C => {
                let value = self.cmos[REGISTER_C];
                self.cmos[REGISTER_C] = 0;
                self.update_irq(cx);
                value
            }
            _ => {
                if self.runs() {
                    self.show(now);
                }
                self.cmos[index]
            }
        }
    }
}

/// One less than the number of processors.
fn last_cpu(cpus: u32) -> u8 {
    cpus.saturating_sub(1).min(255) as u8
}

/// The sizes SeaBIOS and memory testers read, in the layout of AMI's and QEMU's CMOS.
fn fill(cmos: &mut [u8], layout: &CmosLayout) {
    let mut word = |index: usize, value: u64| {
        cmos[index..index + 2].copy_from_slice(&(value.min(0xffff) as u16).to_le_bytes());
    };
    word(0x15, 640);
    let extended = layout.low_ram.saturating_sub(1 << 20) >> 10;
    word(0x17, extended);
    word(0x30, extended);
    word(0x34, layout.low_ram.saturating_sub(16 << 20) >> 16);
    word(0x5b, layout.high_ram >> 16 & 0xffff);
    cmos[0x5d] = (layout.high_ram >> 32) as u8;
    cmos[LAST_CPU] = last_cpu(layout.cpus);
    // Equipment: mathematics coprocessor and pointing device; floppy disk drives, and how many more than one.
    cmos[0x14] = 0x06;
    cmos[0x10] = layout.floppies;
    if layout.floppies != 0 {
        cmos[0x14] |= 1 | u8::from(layout.floppies & 0xf != 0) << 6;
    }
    // Boot order: hard disk, floppy, CD-ROM; no floppy signature check.
    cmos[0x3d] = 0x12;
    cmos[0x38] = 0x30;
}

impl Device for Rtc {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8) -> u32 {
        self.settle(cx.now());
        let value = match port {
            0x71 => self.read_register(cx, usize::from(self.index & 0x7f)),
            0x72 => self.index_extended,
            0x73 => self.extended[usize::from(self.index_extended & 0x7f)],
            _ => 0xff,
        };
        u32::from(value)
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        let value = value as u8;
        match port {
            0x70 => self.index = value,
            0x71 => {
                self.settle(cx.now());
                self.write_register(cx.now(), usize::from(self.index & 0x7f), value);
                self.update_irq(cx);
            }
            0x72 => self.index_extended = value & 0x7f,
            0x73 => self.extended[usize::from(self.index_extended & 0x7f)] = value,
            _ => {}
        }
    }

    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        self.settle(cx.now());
        self.update_irq(cx);
    }

    /// RESET# clears the interrupt enables and flags; time and memory live on the battery.
    fn reset(&mut self, cx: &mut DeviceCtx) {
        self.settle(cx.now());
        self.index = 0;
        self.index_extended = 0;
        self.cmos[REGISTER_B] &= !(B_PIE | B_AIE | B_UIE | B_SQWE);
        self.cmos[REGISTER_C] = 0;
        self.update_irq(cx);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        if self.cmos.len() != 128 {
            return Some(("cmos", format!("{} bytes", self.cmos.len())));
        }
        if self.extended.len() != 128 {
            return Some(("extended", format!("{} bytes", self.extended.len())));
        }
        (self.second.unsigned_abs() > SECONDS_MAX).then(|| ("second", self.second.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const LAYOUT: CmosLayout = CmosLayout { low_ram: 512 << 20, high_ram: 0, cpus: 2, floppies: 0x42 };

    fn rtc() -> Rtc {
        // 2024-02-29 23:59:58
        Rtc::new(1_709_251_198, &LAYOUT)
    }

    fn read(rtc: &mut Rtc, bench: &mut Bench, index: u32) -> u32 {
        rtc.pio_write(&mut bench.cx(), 0x70, 1, index);
        rtc.pio_read(&mut bench.cx(), 0x71, 1)
    }

    fn write(rtc: &mut Rtc, bench: &mut Bench, index: u32, value: u32) {
        rtc.pio_write(&mut bench.cx(), 0x70, 1, index);
        rtc.pio_write(&mut bench.cx(), 0x71, 1, value);
    }

    #[test]
    fn shows_the_date_in_bcd_and_rolls_over() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        let shown: Vec<u32> =
            [0x32, 9, 8, 7, 6, 4, 2, 0].map(|index| read(&mut rtc, &mut bench, index)).to_vec();
        assert_eq!(shown, [0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x58]);
        bench.clock.advance_to(2 * NS_PER_SECOND);
        let shown: Vec<u32> = [8, 7, 6, 4, 2, 0].map(|index| read(&mut rtc, &mut bench, index)).to_vec();
        assert_eq!(shown, [0x03, 0x01, 6, 0, 0, 0]);
    }

    #[test]
    fn uip_leads_the_update() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        bench.clock.advance_to(NS_PER_SECOND - UIP_NS - 1);
        assert_eq!(read(&mut rtc, &mut bench, 10), 0x26);
        bench.clock.advance_to(NS_PER_SECOND - UIP_NS);
        assert_eq!(read(&mut rtc, &mut bench, 10), 0xa6);
        bench.clock.advance_to(NS_PER_SECOND);
        assert_eq!(read(&mut rtc, &mut bench, 10), 0x26);
        assert_eq!(read(&mut rtc, &mut bench, 0), 0x59);
    }

    #[test]
    fn periodic_interrupts_come_at_1024_hz_and_wait_for_register_c() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        write(&mut rtc, &mut bench, 11, 0x42);
        let at = bench.clock.next().unwrap();
        assert_eq!(at, 976_563);
        bench.clock.advance_to(at);
        bench.clock.pop_due();
        rtc.timer(&mut bench.cx(), TIMER_PERIODIC);
        assert!(bench.irqs.level(Line::Isa(8), IrqSource::Rtc));
        assert_eq!(bench.clock.next(), None);
        assert_eq!(read(&mut rtc, &mut bench, 12), 0xc0);
        assert!(!bench.irqs.level(Line::Isa(8), IrqSource::Rtc));
        assert_eq!(bench.clock.next(), Some(1_953_125));
    }

    #[test]
    fn the_alarm_comes_at_its_second() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        write(&mut rtc, &mut bench, 1, 0x05);
        write(&mut rtc, &mut bench, 3, 0xff);
        write(&mut rtc, &mut bench, 5, 0x00);
        write(&mut rtc, &mut bench, 11, 0x22);
        assert_eq!(bench.clock.next(), Some(7 * NS_PER_SECOND));
        bench.clock.advance_to(7 * NS_PER_SECOND);
        bench.clock.pop_due();
        rtc.timer(&mut bench.cx(), TIMER_UPDATE);
        assert_eq!(read(&mut rtc, &mut bench, 12), 0xf0, "PF is set whether it interrupts or not");
    }

    #[test]
    fn an_alarm_no_clock_shows_never_comes_and_costs_nothing() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        for (seconds, minutes, hours) in [(0x7f, 0xff, 0xff), (0x00, 0x7f, 0xff), (0x00, 0x00, 0x7f)] {
            write(&mut rtc, &mut bench, 1, seconds);
            write(&mut rtc, &mut bench, 3, minutes);
            write(&mut rtc, &mut bench, 5, hours);
            assert_eq!(rtc.next_alarm(1_709_251_198), None);
        }
        let started = std::time::Instant::now();
        write(&mut rtc, &mut bench, 1, 0x7f);
        for _ in 0..20_000 {
            read(&mut rtc, &mut bench, 13);
        }
        assert!(started.elapsed().as_secs() < 2, "20,000 accesses take {:?}", started.elapsed());
    }

    #[test]
    fn set_stops_the_clock_and_takes_a_new_time() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        write(&mut rtc, &mut bench, 11, 0x86);
        for (index, value) in [(0, 30), (2, 15), (4, 12), (7, 24), (8, 12), (9, 99), (0x32, 19)] {
            write(&mut rtc, &mut bench, index, value);
        }
        bench.clock.advance_to(5 * NS_PER_SECOND);
        assert_eq!(read(&mut rtc, &mut bench, 0), 30);
        write(&mut rtc, &mut bench, 11, 0x06);
        bench.clock.advance_to(6 * NS_PER_SECOND);
        assert_eq!(read(&mut rtc, &mut bench, 0), 31);
        assert_eq!(read(&mut rtc, &mut bench, 4), 12);
        assert_eq!(read(&mut rtc, &mut bench, 6), 6, "a Friday");
        write(&mut rtc, &mut bench, 11, 0x04);
        assert_eq!(read(&mut rtc, &mut bench, 4), 12 | 0x80, "12 p.m.");
    }

    #[test]
    fn cmos_tells_the_floppy_disk_drives() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        assert_eq!([0x10, 0x14].map(|index| read(&mut rtc, &mut bench, index)), [0x42, 0x47]);
        let mut rtc = Rtc::new(0, &CmosLayout { floppies: 0x40, ..LAYOUT });
        assert_eq!([0x10, 0x14].map(|index| read(&mut rtc, &mut bench, index)), [0x40, 0x07]);
        let mut rtc = Rtc::new(0, &CmosLayout { floppies: 0, ..LAYOUT });
        assert_eq!([0x10, 0x14].map(|index| read(&mut rtc, &mut bench, index)), [0x00, 0x06]);
    }

    #[test]
    fn cmos_tells_the_memory_size() {
        let (mut rtc, mut bench) = (rtc(), Bench::new());
        assert_eq!(read(&mut rtc, &mut bench, 0x35), 31);
        assert_eq!(read(&mut rtc, &mut bench, 0x5f), 1);
    }
}
