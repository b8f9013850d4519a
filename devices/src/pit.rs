//! The 8254 programmable interval timer and port 0x61 (Intel 8254 datasheet; ICH9, 13.3 and 13.7.1).
//!
//! Counters are functions of the tick of CLK: state changes only when the guest writes. Ticks are exact
//! rationals of virtual time.

use crate::clock::{PIT_HZ, tick_ns, ticks};
use crate::device::{Device, DeviceCtx, DeviceId};
use crate::effects::Effect;
use crate::irq::{IrqSource, Line};
use crate::sound::{Signal, Sound};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Port 0x61 bits (NMI_SC).
const NMI_SC_TIM_CNT2_EN: u8 = 0x01;
const NMI_SC_SPKR_DAT_EN: u8 = 0x02;
const NMI_SC_WRITABLE: u8 = 0x0f;
const NMI_SC_REF_TOGGLE: u8 = 0x10;
const NMI_SC_TMR2_OUT_STS: u8 = 0x20;
/// Ticks between two toggles of the refresh bit: 15 us.
const REFRESH_TICKS: u64 = 18;

/// One counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Counter {
    /// M2-M0, with 6 and 7 folded to 2 and 3.
    mode: u8,
    bcd: bool,
    /// RW1-RW0: 1 LSB, 2 MSB, 3 both.
    access: u8,
    /// The count in the counting element, 1 to 0x10000 (10000 in BCD).
    count: u32,
    /// A count written while modes 2 and 3 run: taken at the end of the period.
    next_count: Option<u32>,
    /// Tick at which `count` was loaded; `None` until then.
    loaded: Option<u64>,
    /// Ticks counted before `loaded`, when the gate held the counter.
    held: u64,
    gate: bool,
    /// LSB of a two-byte write whose MSB has not come.
    write_lsb: Option<u8>,
    /// The next byte read is the MSB.
    read_msb: bool,
    latched_count: Option<u16>,
    latched_status: Option<u8>,
    /// Tick from which a written count is in the counting element (status bit 6 until then).
    null_until: u64,
}

impl Counter {
    fn new(gate: bool) -> Self {
        Self { access: 3, count: 0x1_0000, gate, ..Self::default() }
    }

    fn modulus(&self) -> u64 {
        if self.bcd { 10_000 } else { 0x1_0000 }
    }

    /// Ticks of one period, or until terminal count.
    fn period(&self) -> u64 {
        u64::from(self.count).max(1)
    }

    fn is_periodic(&self) -> bool {
        self.mode == 2 || self.mode == 3
    }

    /// Ticks the counting element has seen since its load.
    fn elapsed(&self, tick: u64) -> Option<u64> {
        let loaded = self.loaded?;
        let running = self.gate || matches!(self.mode, 1 | 5);
        Some(self.held + if running { tick.saturating_sub(loaded) } else { 0 })
    }

    /// Takes over a count that waited for the end of a period.
    fn sync(&mut self, tick: u64) {
        let (Some(loaded), Some(next), true) = (self.loaded, self.next_count, self.is_periodic()) else {
            return;
        };
        if tick >= self.null_until && self.gate {
            self.loaded = Some(self.null_until.max(loaded));
            self.count = next;
            self.next_count = None;
        }
    }

    /// Level of OUT.
    fn out(&self, tick: u64) -> bool {
        let count = self.period();
        let Some(elapsed) = self.elapsed(tick) else {
            return self.mode != 0;
        };
        match self.mode {
            0 | 1 => elapsed >= count,
            2 => !self.gate || elapsed % count != count - 1,
            3 => !self.gate || elapsed % count < count.div_ceil(2),
            _ => elapsed != count,
        }
    }

    /// The counting element, as the guest reads it.
    fn value(&self, tick: u64) -> u16 {
        let count = self.period();
        let modulus = self.modulus();
        let left = match (self.elapsed(tick), self.mode) {
            (None, _) => count,
            (Some(elapsed), 2) => count - elapsed % count,
            (Some(elapsed), 3) => {
                let high = count.div_ceil(2);
                let at = elapsed % count;
                let within = if at < high { at } else { at - high };
                (count & !1) - (within * 2).min((count & !1).saturating_sub(2))
            }
            (Some(elapsed), _) => (count + modulus - elapsed % modulus) % modulus,
        };
        let left = left % modulus;
        if self.bcd { to_bcd(left as u16) } else { left as u16 }
    }

    /// OUT from now on, if nothing is written, and the tick from which that is so. A pulse of one tick is not heard.
    fn signal(&self, tick: u64) -> (u64, Signal) {
        let level = (tick, Signal::Level(self.out(tick)));
        let (Some(loaded), Some(elapsed)) = (self.loaded, self.elapsed(tick)) else { return level };
        let square = |start, count: u32| Signal::Square { start, period: count, high: count.div_ceil(2) };
        match (self.mode, self.next_count) {
            (3, Some(next)) if self.gate => (self.null_until, square(self.null_until, next)),
            (3, None) if self.gate => (tick, square(loaded.saturating_sub(self.held), self.count.max(1))),
            (0, _) if self.gate && elapsed < self.period() => {
                (tick, Signal::rises_at_tick((loaded + self.period()).saturating_sub(self.held)))
            }
            (0, _) | (3, _) => level,
            _ => (tick, Signal::Level(true)),
        }
    }

    fn status(&self, tick: u64) -> u8 {
        let null = self.loaded.is_none() || tick < self.null_until;
        u8::from(self.out(tick)) << 7
            | u8::from(null) << 6
            | self.access << 4
            | self.mode << 1
            | u8::from(self.bcd)
    }

    fn write_control(&mut self, value: u8) {
        let mode = value >> 1 & 7;
        *self = Self {
            mode: if mode > 5 { mode & 3 } else { mode },
            bcd: value & 1 != 0,
            access: value >> 4 & 3,
            gate: self.gate,
            ..Self::new(self.gate)
        };
    }

    fn latch_count(&mut self, tick: u64) {
        if self.latched_count.is_none() {
            self.latched_count = Some(self.value(tick));
        }
    }

    fn latch_status(&mut self, tick: u64) {
        if self.latched_status.is_none() {
            self.latched_status = Some(self.status(tick));
        }
    }

    fn read(&mut self, tick: u64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let value = self.latched_count.unwrap_or_else(|| self.value(tick));
        let [lsb, msb] = value.to_le_bytes();
        let (byte, last) = match (self.access, self.read_msb) {
            (1, _) => (lsb, true),
            (2, _) => (msb, true),
            (_, false) => (lsb, false),
            (_, true) => (msb, true),
        };
        self.read_msb = self.access == 3 && !last;
        if last {
            self.latched_count = None;
        }
        byte
    }

    /// A byte of a count; loads it when it is complete.
    fn write(&mut self, tick: u64, byte: u8) {
        let raw = match (self.access, self.write_lsb.take()) {
            (1, _) => u16::from(byte),
            (2, _) => u16::from(byte) << 8,
            (_, None) => {
                self.write_lsb = Some(byte);
                // In mode 0 the first byte already stops the counting (8254, mode 0).
                if self.mode == 0 {
                    self.loaded = None;
                }
                return;
            }
            (_, Some(lsb)) => u16::from_le_bytes([lsb, byte]),
        };
        let count = if self.bcd { from_bcd(raw) } else { u32::from(raw) };
        let count = if count == 0 { self.modulus() as u32 } else { count };
        self.load(tick, count);
    }

    fn load(&mut self, tick: u64, count: u32) {
        let running = self.loaded.is_some();
        match self.mode {
            2 | 3 if running && self.gate => {
                let elapsed = self.elapsed(tick).unwrap_or(0);
                let period = self.period();
                self.next_count = Some(count);
                self.null_until = self.loaded.unwrap_or(tick) + (elapsed / period + 1) * period;
            }
            // Modes 1 and 5 wait for their trigger.
            1 | 5 => self.next_count = Some(count),
            _ => {
                self.count = count;
                self.next_count = None;
                self.held = 0;
                self.loaded = Some(tick + 1);
                self.null_until = tick + 1;
            }
        }
    }

    fn set_gate(&mut self, tick: u64, gate: bool) {
        if self.gate == gate {
            return;
        }
        self.sync(tick);
        let elapsed = self.elapsed(tick);
        self.gate = gate;
        match self.mode {
            0 | 4 => {
                self.held = elapsed.unwrap_or(0);
                self.loaded = self.loaded.map(|_| tick);
            }
            _ if !gate => {}
            1 | 5 if self.next_count.is_none() && self.loaded.is_none() => {}
            _ => {
                self.count = self.next_count.take().unwrap_or(self.count);
                self.held = 0;
                self.loaded = self.loaded.or(matches!(self.mode, 1 | 5).then_some(0)).map(|_| tick + 1);
                self.null_until = tick + 1;
            }
        }
    }

    /// The tick after `tick` at which OUT rises next, and, unless it is only a pulse, falls.
    fn next_edge(&self, tick: u64) -> Option<u64> {
        let elapsed = self.elapsed(tick)?;
        let count = self.period();
        let start = self.loaded?.saturating_sub(self.held);
        let target = match self.mode {
            0 | 1 if elapsed < count => count,
            4 | 5 if elapsed < count + 1 => count + 1,
            2 if self.gate => (elapsed / count + 1) * count,
            3 if self.gate => {
                let (periods, at) = (elapsed / count, elapsed % count);
                let high = count.div_ceil(2);
                periods * count + if at < high { high } else { count }
            }
            _ => return None,
        };
        let running = self.gate || matches!(self.mode, 1 | 5);
        running.then(|| start.saturating_add(target))
    }
}

fn to_bcd(value: u16) -> u16 {
    (value / 1000 % 10) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 | (value % 10)
}

fn from_bcd(raw: u16) -> u32 {
    let digit = |shift: u32| u32::from(raw >> shift & 15);
    (digit(12) * 1000 + digit(8) * 100 + digit(4) * 10 + digit(0)) % 10_000
}

/// The three counters at 0x40-0x43 and port 0x61.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Pit {
    counters: [Counter; 3],
    nmi_sc: u8,
}

impl Section for Pit {
    const KIND: &'static str = "i8254";
    const VERSION: u32 = 1;
}

impl Pit {
    pub(crate) fn new() -> Self {
        // The datasheet leaves the mode open until it is programmed; a mode whose OUT rests high is what
        // software finds on a PC.
        let idle = |gate: bool| Counter { mode: 3, ..Counter::new(gate) };
        Self { counters: [idle(true), idle(true), idle(false)], nmi_sc: 0 }
    }

    /// What the speaker follows after an access at `tick`, and from which tick on: OUT of counter 2, while the data bit
    /// lets it through.
    fn speaker(&self, tick: u64) -> (u64, Signal) {
        match self.nmi_sc & NMI_SC_SPKR_DAT_EN {
            0 => (tick, Signal::Level(false)),
            _ => self.counters[2].signal(tick),
        }
    }

    /// Counter 0 at 18.2 Hz, as firmware leaves it.
    pub(crate) fn set_up_as_firmware(&mut self, cx: &mut DeviceCtx) {
        for (port, value) in [(0x43, 0x34), (0x40, 0), (0x40, 0)] {
            self.pio_write(cx, port, 1, value);
        }
    }

    fn tick(cx: &DeviceCtx) -> u64 {
        ticks(cx.now(), PIT_HZ)
    }

    fn write_control(&mut self, tick: u64, value: u8) {
        if value >> 6 == 3 {
            for (index, counter) in self.counters.iter_mut().enumerate() {
                if value & 2 << index != 0 {
                    if value & 0x20 == 0 {
                        counter.latch_count(tick);
                    }
                    if value & 0x10 == 0 {
                        counter.latch_status(tick);
                    }
                }
            }
            return;
        }
        let counter = &mut self.counters[usize::from(value >> 6)];
        if value & 0x30 == 0 {
            counter.latch_count(tick);
        } else {
            counter.write_control(value);
        }
    }

    /// Drives IRQ0 with OUT of counter 0 and arms the next edge.
    fn update_irq0(&mut self, cx: &mut DeviceCtx) {
        let tick = Self::tick(cx);
        let counter = &mut self.counters[0];
        counter.sync(tick);
        cx.irqs.set(Line::Isa(0), IrqSource::Pit, counter.out(tick));
        let at = counter.next_edge(tick).map(|tick| tick_ns(tick, PIT_HZ));
        cx.set_timer(DeviceId::Pit, 0, at);
    }
}

impl Device for Pit {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8) -> u32 {
        let tick = Self::tick(cx);
        self.counters.iter_mut().for_each(|counter| counter.sync(tick));
        let value = match port {
            0x40..=0x42 => self.counters[usize::from(port - 0x40)].read(tick),
            0x61 => {
                let refresh = if !(tick / REFRESH_TICKS).is_multiple_of(2) { NMI_SC_REF_TOGGLE } else { 0 };
                let out = if self.counters[2].out(tick) { NMI_SC_TMR2_OUT_STS } else { 0 };
                self.nmi_sc | refresh | out
            }
            _ => 0,
        };
        u32::from(value)
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        let (tick, value) = (Self::tick(cx), value as u8);
        self.counters.iter_mut().for_each(|counter| counter.sync(tick));
        let before = self.speaker(tick);
        match port {
            0x40..=0x42 => self.counters[usize::from(port - 0x40)].write(tick, value),
            0x43 => self.write_control(tick, value),
            0x61 => {
                self.nmi_sc = value & NMI_SC_WRITABLE;
                self.counters[2].set_gate(tick, value & NMI_SC_TIM_CNT2_EN != 0);
            }
            _ => return,
        }
        let (from, signal) = self.speaker(tick);
        if (from, signal) != before {
            let at = tick_ns(from, PIT_HZ).max(cx.now());
            cx.effects.push(Effect::Sound(Sound::Speaker { at, signal }));
        }
        if port != 0x61 {
            self.update_irq0(cx);
        }
    }

    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        // Modes 2, 4 and 5 end with a low pulse of one tick: its rising edge is what counts.
        if matches!(self.counters[0].mode, 2 | 4 | 5) {
            cx.irqs.set(Line::Isa(0), IrqSource::Pit, false);
        }
        self.update_irq0(cx);
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        *self = Self::new();
        self.update_irq0(cx);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        // Ticks of 2^62 are beyond the end of virtual time and below any overflow.
        let tick = |tick: u64| tick < 1 << 62;
        self.counters.iter().find_map(|counter| {
            let count = |count: u32| (1..=0x1_0000).contains(&count);
            let possible = counter.mode <= 5
                && counter.access <= 3
                && count(counter.count)
                && counter.next_count.is_none_or(count)
                && tick(counter.held)
                && tick(counter.null_until)
                && counter.loaded.is_none_or(tick);
            (!possible).then(|| ("counters", format!("{counter:?}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn program(pit: &mut Pit, bench: &mut Bench, counter: u8, mode: u8, count: u16) {
        pit.pio_write(&mut bench.cx(), 0x43, 1, u32::from(counter << 6 | 0x30 | mode << 1));
        for byte in count.to_le_bytes() {
            pit.pio_write(&mut bench.cx(), 0x40 + u16::from(counter), 1, u32::from(byte));
        }
    }

    fn at_tick(bench: &mut Bench, tick: u64) {
        bench.clock.advance_to(tick_ns(tick, PIT_HZ));
    }

    fn count(pit: &mut Pit, bench: &mut Bench, counter: u16) -> u32 {
        pit.pio_read(&mut bench.cx(), 0x40 + counter, 1)
            | pit.pio_read(&mut bench.cx(), 0x40 + counter, 1) << 8
    }

    #[test]
    fn mode_0_raises_out_at_terminal_count_and_counts_on() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        program(&mut pit, &mut bench, 0, 0, 100);
        assert!(!bench.irqs.level(Line::Isa(0), IrqSource::Pit));
        assert_eq!(bench.clock.next(), Some(tick_ns(101, PIT_HZ)));
        at_tick(&mut bench, 61);
        assert_eq!(count(&mut pit, &mut bench, 0), 40);
        at_tick(&mut bench, 101);
        bench.clock.pop_due();
        pit.timer(&mut bench.cx(), 0);
        assert!(bench.irqs.level(Line::Isa(0), IrqSource::Pit));
        at_tick(&mut bench, 102);
        assert_eq!(count(&mut pit, &mut bench, 0), 0xffff);
        assert_eq!(bench.clock.next(), None);
    }

    #[test]
    fn mode_2_pulses_each_period_and_takes_a_new_count_at_its_end() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        program(&mut pit, &mut bench, 0, 2, 1000);
        assert_eq!(bench.clock.next(), Some(tick_ns(1001, PIT_HZ)));
        at_tick(&mut bench, 500);
        pit.pio_write(&mut bench.cx(), 0x40, 1, 0x10);
        pit.pio_write(&mut bench.cx(), 0x40, 1, 0);
        at_tick(&mut bench, 1000);
        assert_eq!(count(&mut pit, &mut bench, 0), 1);
        at_tick(&mut bench, 1001);
        bench.clock.pop_due();
        pit.timer(&mut bench.cx(), 0);
        assert_eq!(bench.clock.next(), Some(tick_ns(1017, PIT_HZ)));
    }

    #[test]
    fn mode_3_counts_by_two_and_is_a_square_wave() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        program(&mut pit, &mut bench, 0, 3, 10);
        for (tick, value, out) in [(1, 10, true), (2, 8, true), (5, 2, true), (6, 10, false), (11, 10, true)]
        {
            at_tick(&mut bench, tick);
            assert_eq!(count(&mut pit, &mut bench, 0), value, "tick {tick}");
            assert_eq!(pit.counters[0].out(tick), out, "tick {tick}");
        }
    }

    #[test]
    fn read_back_latches_status_and_count() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        program(&mut pit, &mut bench, 0, 2, 0x1234);
        at_tick(&mut bench, 1);
        pit.pio_write(&mut bench.cx(), 0x43, 1, 0xc2);
        at_tick(&mut bench, 50);
        assert_eq!(pit.pio_read(&mut bench.cx(), 0x40, 1), 0xb4);
        assert_eq!(count(&mut pit, &mut bench, 0), 0x1234);
        assert_eq!(count(&mut pit, &mut bench, 0), 0x1234 - 49);
    }

    #[test]
    fn counter_2_follows_its_gate() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        pit.pio_write(&mut bench.cx(), 0x61, 1, 1);
        program(&mut pit, &mut bench, 2, 0, 100);
        at_tick(&mut bench, 51);
        pit.pio_write(&mut bench.cx(), 0x61, 1, 0);
        at_tick(&mut bench, 500);
        assert_eq!(count(&mut pit, &mut bench, 2), 50);
        pit.pio_write(&mut bench.cx(), 0x61, 1, 1);
        at_tick(&mut bench, 549);
        assert_eq!(pit.pio_read(&mut bench.cx(), 0x61, 1) & 0x20, 0);
        at_tick(&mut bench, 550);
        assert_eq!(pit.pio_read(&mut bench.cx(), 0x61, 1) & 0x20, 0x20);
    }

    #[test]
    fn bcd_counts_in_decimal() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        pit.pio_write(&mut bench.cx(), 0x43, 1, 0x31);
        pit.pio_write(&mut bench.cx(), 0x40, 1, 0x00);
        pit.pio_write(&mut bench.cx(), 0x40, 1, 0x10);
        at_tick(&mut bench, 2);
        assert_eq!(count(&mut pit, &mut bench, 0), 0x0999);
    }

    #[test]
    fn mode_1_waits_for_the_gate() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        program(&mut pit, &mut bench, 2, 1, 20);
        assert!(pit.counters[2].out(10));
        at_tick(&mut bench, 10);
        pit.pio_write(&mut bench.cx(), 0x61, 1, 1);
        assert!(!pit.counters[2].out(11));
        assert!(pit.counters[2].out(31));
    }

    /// What the speaker is told, with the time of each.
    fn told(bench: &mut Bench) -> Vec<(u64, Signal)> {
        let told = bench.effects.drain().filter_map(|effect| match effect {
            Effect::Sound(Sound::Speaker { at, signal }) => Some((at, signal)),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn the_speaker_follows_counter_2() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        program(&mut pit, &mut bench, 2, 3, 1193);
        assert_eq!(told(&mut bench), [], "the data bit is clear");
        bench.clock.advance_to(1_000_000);
        pit.pio_write(&mut bench.cx(), 0x61, 1, 3);
        let start = ticks(1_000_000, PIT_HZ) + 1;
        let square = Signal::Square { start, period: 1193, high: 597 };
        assert_eq!(told(&mut bench), [(1_000_000, square)]);
        pit.pio_write(&mut bench.cx(), 0x42, 1, 0xd8);
        pit.pio_write(&mut bench.cx(), 0x42, 1, 0x04);
        let next = start + 1193;
        let square = Signal::Square { start: next, period: 1240, high: 620 };
        assert_eq!(
            told(&mut bench),
            [(tick_ns(next, PIT_HZ), square)],
            "a count is taken at the end of a period"
        );
        pit.pio_write(&mut bench.cx(), 0x61, 1, 0);
        assert_eq!(told(&mut bench), [(1_000_000, Signal::Level(false))]);
    }

    #[test]
    fn the_data_bit_and_mode_0_are_heard_as_levels() {
        let (mut pit, mut bench) = (Pit::new(), Bench::new());
        pit.pio_write(&mut bench.cx(), 0x61, 1, 2);
        assert_eq!(told(&mut bench), [(0, Signal::Level(true))]);
        pit.pio_write(&mut bench.cx(), 0x61, 1, 0);
        assert_eq!(told(&mut bench), [(0, Signal::Level(false))]);
        pit.pio_write(&mut bench.cx(), 0x61, 1, 3);
        program(&mut pit, &mut bench, 2, 0, 100);
        let last = told(&mut bench).pop();
        assert_eq!(last, Some((0, Signal::rises_at_tick(101))));
    }
}
