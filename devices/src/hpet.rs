//! High precision event timers: a 64-bit counter of 10 ns and three comparators (IA-PC HPET 1.0a).

use crate::device::{Device, DeviceCtx, DeviceId, size_mask};
use crate::irq::{IrqSource, Line};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Guest-physical address of the registers.
pub const HPET_BASE: u64 = 0xfed0_0000;
/// Bytes of registers.
pub const HPET_LEN: u64 = 0x400;

/// COUNTER_CLK_PERIOD in ns; 10^7 fs in the register.
const PERIOD_NS: u64 = 10;
const COMPARATORS: usize = 3;
/// Vendor 8086, legacy replacement, 64 bits, three timers, revision 1 (HPET, 2.3.4).
pub(crate) const GCAP_ID_LOW: u32 = 0x8086_a001 | (COMPARATORS as u32 - 1) << 8;
const GCAP_ID: u64 = (PERIOD_NS * 1_000_000) << 32 | GCAP_ID_LOW as u64;

const GEN_CONF: u64 = 0x10;
const GINTR_STA: u64 = 0x20;
const MAIN_CNT: u64 = 0xf0;
const TIMERS: u64 = 0x100;
const ENABLE_CNF: u64 = 1;
const LEG_RT_CNF: u64 = 2;

const INT_TYPE_LEVEL: u64 = 1 << 1;
const INT_ENB: u64 = 1 << 2;
const TYPE_PERIODIC: u64 = 1 << 3;
const PER_INT_CAP: u64 = 1 << 4;
const SIZE_CAP: u64 = 1 << 5;
const VAL_SET: u64 = 1 << 6;
const MODE_32: u64 = 1 << 8;
const INT_ROUTE: u64 = 0x1f << 9;
const CONF_WRITABLE: u64 = INT_TYPE_LEVEL | INT_ENB | TYPE_PERIODIC | VAL_SET | MODE_32 | INT_ROUTE;
/// IOAPIC pins a comparator can be routed to: 2, 8 and 16-23, as QEMU's q35 offers.
const INT_ROUTE_CAP: u64 = 0x00ff_0104 << 32;

/// One comparator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Comparator {
    conf: u64,
    comparator: u64,
    /// What a periodic comparator advances by.
    period: u64,
}

impl Comparator {
    fn mask(&self) -> u64 {
        if self.conf & MODE_32 != 0 { 0xffff_ffff } else { u64::MAX }
    }

    fn is_periodic(&self) -> bool {
        self.conf & TYPE_PERIODIC != 0
    }

    /// Counter ticks from `counter` to the next match; `None` if it matches just now and has been seen.
    fn distance(&self, counter: u64, seen: bool) -> Option<u64> {
        let distance = self.comparator.wrapping_sub(counter) & self.mask();
        match (distance, seen) {
            (0, true) => self.mask().checked_add(1),
            (distance, _) => Some(distance),
        }
    }

    /// Moves a periodic comparator past `counter`.
    fn advance(&mut self, counter: u64) {
        let mask = self.mask();
        let period = self.period & mask;
        if !self.is_periodic() || period == 0 {
            return;
        }
        let late = counter.wrapping_sub(self.comparator) & mask;
        let steps = late / period + 1;
        self.comparator = self.comparator.wrapping_add(steps.wrapping_mul(period)) & mask;
    }
}

/// Registers of the block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Hpet {
    gen_conf: u64,
    /// General interrupt status: level-triggered comparators that fired.
    gintr_sta: u64,
    /// Main counter at `since_ns`, or for good while it is halted.
    counter: u64,
    since_ns: u64,
    comparators: [Comparator; COMPARATORS],
}

impl Section for Hpet {
    const KIND: &'static str = "hpet";
    const VERSION: u32 = 1;
}

impl Hpet {
    pub(crate) fn new() -> Self {
        let comparator =
            Comparator { conf: PER_INT_CAP | SIZE_CAP | INT_ROUTE_CAP, comparator: u64::MAX, period: 0 };
        Self {
            gen_conf: 0,
            gintr_sta: 0,
            counter: 0,
            since_ns: 0,
            comparators: [comparator.clone(), comparator.clone(), comparator],
        }
    }

    fn counts(&self) -> bool {
        self.gen_conf & ENABLE_CNF != 0
    }

    fn counter_at(&self, now: u64) -> u64 {
        if self.counts() {
            self.counter.wrapping_add(now.saturating_sub(self.since_ns) / PERIOD_NS)
        } else {
            self.counter
        }
    }

    /// When the counter, `distance` ticks ahead of its value at `now`, gets there.
    fn ns_at(&self, now: u64, distance: u64) -> Option<u64> {
        let ticks = now.saturating_sub(self.since_ns) / PERIOD_NS;
        ticks.checked_add(distance)?.checked_mul(PERIOD_NS)?.checked_add(self.since_ns)
    }

    fn arm(&self, cx: &mut DeviceCtx, index: usize, seen: bool) {
        let now = cx.now();
        let comparator = &self.comparators[index];
        let wanted = self.counts() && comparator.conf & INT_ENB != 0;
        let distance = comparator.distance(self.counter_at(now), seen).filter(|_| wanted);
        let at = distance.and_then(|distance| self.ns_at(now, distance));
        cx.set_timer(DeviceId::Hpet, index as u16, at);
    }

    /// Where the interrupts of a comparator go; nowhere if it is routed to a pin it cannot reach.
    fn line(&self, index: usize) -> Option<Line> {
        let conf = self.comparators[index].conf;
        let pin = conf >> 9 & 0x1f;
        match index {
            0 if self.gen_conf & LEG_RT_CNF != 0 => Some(Line::Isa(0)),
            1 if self.gen_conf & LEG_RT_CNF != 0 => Some(Line::Isa(8)),
            _ => (INT_ROUTE_CAP >> 32 >> pin & 1 != 0).then_some(Line::Pin(pin as u8)),
        }
    }

    fn set_line(&self, cx: &mut DeviceCtx, index: usize, level: bool) {
        if let Some(line) = self.line(index) {
            cx.irqs.set(line, Self::source(index), level);
        }
    }

    /// An edge. An IOAPIC takes a pulse; an 8259 forgets a request whose line falls before its acknowledge, so there the
    /// line stays up until the next edge is due, as OUT of an 8254 does.
    fn edge(&self, cx: &mut DeviceCtx, index: usize) {
        self.set_line(cx, index, false);
        self.set_line(cx, index, true);
        if !matches!(self.line(index), Some(Line::Isa(_))) {
            self.set_line(cx, index, false);
        }
    }

    fn source(index: usize) -> IrqSource {
        match index {
            0 => IrqSource::Hpet0,
            1 => IrqSource::Hpet1,
            _ => IrqSource::Hpet2,
        }
    }

    /// Drives the level-triggered line of a comparator with its status bit.
    fn update_level(&self, cx: &mut DeviceCtx, index: usize) {
        let conf = self.comparators[index].conf;
        let asserted = self.gintr_sta & 1 << index != 0 && conf & INT_ENB != 0 && conf & INT_TYPE_LEVEL != 0;
        self.set_line(cx, index, asserted && self.counts());
    }

    fn write_conf(&mut self, cx: &mut DeviceCtx, value: u64) {
        let before = self.counter_at(cx.now());
        for index in 0..COMPARATORS {
            self.set_line(cx, index, false);
        }
        self.gen_conf = value & (ENABLE_CNF | LEG_RT_CNF);
        self.counter = before;
        self.since_ns = cx.now();
        cx.irqs.set_legacy_replacement(value & LEG_RT_CNF != 0);
        for index in 0..COMPARATORS {
            self.update_level(cx, index);
            self.arm(cx, index, true);
        }
    }

    fn write_counter(&mut self, cx: &mut DeviceCtx, value: u64) {
        self.counter = value;
        self.since_ns = cx.now();
        for index in 0..COMPARATORS {
            self.arm(cx, index, false);
        }
    }

    fn write_timer_conf(&mut self, cx: &mut DeviceCtx, index: usize, value: u64) {
        self.set_line(cx, index, false);
        let comparator = &mut self.comparators[index];
        comparator.conf = comparator.conf & !CONF_WRITABLE | value & CONF_WRITABLE;
        if comparator.conf & MODE_32 != 0 {
            comparator.comparator &= 0xffff_ffff;
        }
        self.update_level(cx, index);
        self.arm(cx, index, true);
    }

    /// VAL_SET: the write also sets the accumulator; without it only the period (HPET, 2.3.9.2). Each keeps what
    /// the write leaves out, so that two 32-bit writes make 64 bits.
    fn write_comparator(&mut self, cx: &mut DeviceCtx, index: usize, value: u64, written: u64) {
        let comparator = &mut self.comparators[index];
        let width = comparator.mask();
        let merge = |old: u64| (old & !written | value) & width;
        if !comparator.is_periodic() || comparator.conf & VAL_SET != 0 {
            comparator.comparator = merge(comparator.comparator);
        }
        if comparator.is_periodic() {
            comparator.period = merge(comparator.period);
        }
        comparator.conf &= !VAL_SET;
        self.arm(cx, index, false);
    }

    fn read_register(&self, now: u64, register: u64) -> u64 {
        match register {
            0 => GCAP_ID,
            GEN_CONF => self.gen_conf,
            GINTR_STA => self.gintr_sta,
            MAIN_CNT => self.counter_at(now),
            TIMERS.. => {
                let index = ((register - TIMERS) / 0x20) as usize;
                match (self.comparators.get(index), register & 0x1f) {
                    (Some(comparator), 0) => comparator.conf,
                    (Some(comparator), 8) => comparator.comparator,
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    /// Writes the bits of `value` that `mask` names.
    fn write_register(&mut self, cx: &mut DeviceCtx, register: u64, value: u64, mask: u64) {
        let whole = self.read_register(cx.now(), register) & !mask | value;
        match register {
            GEN_CONF => self.write_conf(cx, whole),
            // Writing ones clears: bits that are not written are zeros.
            GINTR_STA => {
                self.gintr_sta &= !value;
                for index in 0..COMPARATORS {
                    self.update_level(cx, index);
                }
            }
            // The counter is written while it is halted (HPET, 2.3.7).
            MAIN_CNT if !self.counts() => self.write_counter(cx, whole),
            TIMERS.. => {
                let index = ((register - TIMERS) / 0x20) as usize;
                match register & 0x1f {
                    0 if index < COMPARATORS => self.write_timer_conf(cx, index, whole),
                    8 if index < COMPARATORS => self.write_comparator(cx, index, value, mask),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

impl Device for Hpet {
    fn mmio_read(&mut self, cx: &mut DeviceCtx, offset: u64, _size: u8) -> u64 {
        if offset >= HPET_LEN {
            return u64::MAX;
        }
        self.read_register(cx.now(), offset & !7) >> ((offset & 7) * 8)
    }

    fn mmio_write(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8, value: u64) {
        if offset >= HPET_LEN {
            return;
        }
        let (register, shift) = (offset & !7, (offset & 7) * 8);
        let mask = size_mask(size) << shift;
        self.write_register(cx, register, value << shift & mask, mask);
    }

    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        let index = usize::from(timer) % COMPARATORS;
        let counter = self.counter_at(cx.now());
        self.comparators[index].advance(counter);
        if self.comparators[index].conf & INT_TYPE_LEVEL != 0 {
            self.gintr_sta |= 1 << index;
            self.update_level(cx, index);
        } else {
            self.edge(cx, index);
        }
        self.arm(cx, index, true);
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        *self = Self::new();
        cx.irqs.set_legacy_replacement(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn write(hpet: &mut Hpet, bench: &mut Bench, offset: u64, value: u64) {
        hpet.mmio_write(&mut bench.cx(), offset, 8, value);
    }

    fn fire(hpet: &mut Hpet, bench: &mut Bench) -> u64 {
        let at = bench.clock.next().unwrap();
        bench.clock.advance_to(at);
        let (_, timer) = bench.clock.pop_due().unwrap();
        hpet.timer(&mut bench.cx(), timer.timer);
        at
    }

    #[test]
    fn a_periodic_comparator_keeps_its_period() {
        let (mut hpet, mut bench) = (Hpet::new(), Bench::new());
        write(&mut hpet, &mut bench, 0x100, INT_ENB | TYPE_PERIODIC | VAL_SET | 2 << 9);
        write(&mut hpet, &mut bench, 0x108, 1000);
        write(&mut hpet, &mut bench, 0x108, 250);
        write(&mut hpet, &mut bench, 0x10, 1);
        let times: Vec<u64> = (0..4).map(|_| fire(&mut hpet, &mut bench)).collect();
        assert_eq!(times, [10_000, 12_500, 15_000, 17_500]);
        assert_eq!(bench.pin_edges(2), 4);
    }

    #[test]
    fn halves_of_a_64_bit_period_are_written_one_by_one() {
        let (mut hpet, mut bench) = (Hpet::new(), Bench::new());
        let conf = INT_ENB | TYPE_PERIODIC | 2 << 9;
        for (offset, value) in [(0x108, 1000), (0x10c, 0)] {
            write(&mut hpet, &mut bench, 0x100, conf | VAL_SET);
            hpet.mmio_write(&mut bench.cx(), offset, 4, value);
        }
        for (offset, value) in [(0x108, 250), (0x10c, 0)] {
            hpet.mmio_write(&mut bench.cx(), offset, 4, value);
        }
        write(&mut hpet, &mut bench, 0x10, 1);
        assert_eq!([fire(&mut hpet, &mut bench), fire(&mut hpet, &mut bench)], [10_000, 12_500]);
    }

    #[test]
    fn a_level_interrupt_stays_until_its_status_is_cleared() {
        let (mut hpet, mut bench) = (Hpet::new(), Bench::new());
        write(&mut hpet, &mut bench, 0x10, 1);
        write(&mut hpet, &mut bench, 0x120, INT_ENB | INT_TYPE_LEVEL | 20 << 9);
        write(&mut hpet, &mut bench, 0x128, 77);
        assert_eq!(fire(&mut hpet, &mut bench), 770);
        assert!(bench.irqs.level(Line::Pin(20), IrqSource::Hpet1));
        assert_eq!(hpet.mmio_read(&mut bench.cx(), 0x20, 4), 2);
        write(&mut hpet, &mut bench, 0x20, 2);
        assert!(!bench.irqs.level(Line::Pin(20), IrqSource::Hpet1));
    }

    #[test]
    fn a_pin_beyond_the_capability_is_not_reached() {
        let (mut hpet, mut bench) = (Hpet::new(), Bench::new());
        write(&mut hpet, &mut bench, 0x100, INT_ENB | 26 << 9);
        write(&mut hpet, &mut bench, 0x108, 100);
        write(&mut hpet, &mut bench, 0x10, 1);
        fire(&mut hpet, &mut bench);
        assert_eq!(bench.irqs.take_change(), None, "26 is not pin 2");
    }

    #[test]
    fn capabilities_are_those_of_q35() {
        let (mut hpet, mut bench) = (Hpet::new(), Bench::new());
        assert_eq!(hpet.mmio_read(&mut bench.cx(), 0, 8), 0x0098_9680_8086_a201);
        assert_eq!(hpet.mmio_read(&mut bench.cx(), 4, 4), 10_000_000);
        assert_eq!(hpet.mmio_read(&mut bench.cx(), 0x104, 4), 0x00ff_0104);
    }

    #[test]
    fn in_32_bit_mode_the_match_comes_after_the_wrap() {
        let (mut hpet, mut bench) = (Hpet::new(), Bench::new());
        write(&mut hpet, &mut bench, 0xf0, 0xffff_fff0);
        write(&mut hpet, &mut bench, 0x100, INT_ENB | MODE_32 | 2 << 9);
        write(&mut hpet, &mut bench, 0x108, 0x10);
        write(&mut hpet, &mut bench, 0x10, 1);
        assert_eq!(fire(&mut hpet, &mut bench), 320);
    }
}
