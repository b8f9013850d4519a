//! Virtual time and the ordered queue of timers. Timers are data: which device, which of its timers.

use crate::device::DeviceId;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Nanoseconds in a second of virtual time.
pub const NS_PER_SECOND: u64 = 1_000_000_000;

/// Latest time, and most timers ever armed, that a state read from a file may have: 146 years. Sums of it and anything
/// that is added to it do not overflow.
pub const TIME_MAX: u64 = 1 << 62;

/// Timers a device may have: their numbers are below it.
pub(crate) const TIMERS: u16 = 8;

/// Frequency of the 8254's CLK inputs, in Hz.
pub const PIT_HZ: u64 = 1_193_182;

/// Frequency of the ACPI PM timer, in Hz (ACPI 6.5, 4.8.2.1).
pub const PM_TIMER_HZ: u64 = 3_579_545;

/// One timer of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
pub struct Timer {
    /// Who is told.
    pub device: DeviceId,
    /// Which of the device's timers it is.
    pub timer: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Armed {
    at: u64,
    sequence: u64,
    timer: Timer,
}

/// Virtual time of one platform, in ns since power-on, and what is due when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Clock {
    now: u64,
    sequence: u64,
    /// Latest first, so that the next one is at the end. A platform has a few dozen timers at most.
    queue: Vec<Armed>,
}

impl Section for Clock {
    const KIND: &'static str = "clock";
    const VERSION: u32 = 3;
}

impl Clock {
    /// Virtual time in ns.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Moves virtual time forward to `now`; an earlier time changes nothing.
    pub fn advance_to(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    /// Arms `timer` for the time `at` (ns), replacing an earlier arming of it. Timers due at the same time
    /// fire in the order they were armed.
    pub fn arm(&mut self, timer: Timer, at: u64) {
        self.cancel(timer);
        let sequence = self.sequence;
        self.sequence += 1;
        let index = self.queue.partition_point(|armed| armed.at > at);
        self.queue.insert(index, Armed { at, sequence, timer });
    }

    /// Disarms `timer`.
    pub fn cancel(&mut self, timer: Timer) {
        if let Some(index) = self.queue.iter().position(|armed| armed.timer == timer) {
            self.queue.remove(index);
        }
    }

    /// When the next timer is due, in ns.
    pub fn next(&self) -> Option<u64> {
        self.queue.last().map(|armed| armed.at)
    }

    /// Takes the next timer that is due now, with the time it was due.
    pub fn pop_due(&mut self) -> Option<(u64, Timer)> {
        if self.next()? > self.now {
            return None;
        }
        self.queue.pop().map(|armed| (armed.at, armed.timer))
    }

    /// The first field that holds what a clock never comes to, as one read from a file may.
    pub(crate) fn impossible(&self) -> Option<(&'static str, String)> {
        if self.now > TIME_MAX {
            return Some(("now", self.now.to_string()));
        }
        if self.sequence > TIME_MAX {
            return Some(("sequence", self.sequence.to_string()));
        }
        let wild = self.queue.iter().find(|armed| armed.timer.timer >= TIMERS);
        if let Some(armed) = wild {
            return Some(("queue", format!("{:?}", armed.timer)));
        }
        (!self.in_order()).then(|| ("queue", "timers out of order".to_owned()))
    }

    /// Whether the queue is in order and holds no timer twice.
    fn in_order(&self) -> bool {
        let ordered =
            self.queue.windows(2).all(|pair| (pair[0].at, pair[0].sequence) > (pair[1].at, pair[1].sequence));
        let mut timers: Vec<Timer> = self.queue.iter().map(|armed| armed.timer).collect();
        timers.sort_unstable();
        let unique = timers.windows(2).all(|pair| pair[0] != pair[1]);
        ordered && unique && self.queue.iter().all(|armed| armed.sequence < self.sequence)
    }
}

/// Whole ticks of a clock of `hz` after `ns` of virtual time. Exact; wraps at 2^64 ticks.
pub fn ticks(ns: u64, hz: u64) -> u64 {
    (u128::from(ns) * u128::from(hz) / u128::from(NS_PER_SECOND)) as u64
}

/// The first ns at which [`ticks`] of `hz` is at least `tick`; the end of time if it lies beyond.
pub fn tick_ns(tick: u64, hz: u64) -> u64 {
    let ns = (u128::from(tick) * u128::from(NS_PER_SECOND)).div_ceil(u128::from(hz));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(timer: u16) -> Timer {
        Timer { device: DeviceId::Pit, timer }
    }

    #[test]
    fn timers_fire_by_time_then_by_order_of_arming() {
        let mut clock = Clock::default();
        clock.arm(timer(0), 50);
        clock.arm(timer(1), 20);
        clock.arm(timer(2), 50);
        clock.arm(timer(0), 50);
        assert_eq!(clock.next(), Some(20));
        assert_eq!(clock.pop_due(), None);
        clock.advance_to(50);
        let order: Vec<_> = std::iter::from_fn(|| clock.pop_due()).collect();
        assert_eq!(order, [(20, timer(1)), (50, timer(2)), (50, timer(0))]);
        assert_eq!(clock.impossible(), None);
    }

    #[test]
    fn what_no_clock_comes_to_is_named() {
        let mut clock = Clock::default();
        clock.arm(timer(1), 7);
        assert_eq!(clock.impossible(), None);
        let wrong = |change: fn(&mut Clock)| {
            let mut clock = clock.clone();
            change(&mut clock);
            clock.impossible().map(|(field, _)| field)
        };
        assert_eq!(wrong(|clock| clock.now = u64::MAX), Some("now"));
        assert_eq!(wrong(|clock| clock.sequence = u64::MAX), Some("sequence"));
        assert_eq!(wrong(|clock| clock.queue[0].timer.timer = 8), Some("queue"));
        assert_eq!(wrong(|clock| clock.sequence = 0), Some("queue"));
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut clock = Clock::default();
        clock.advance_to(9);
        clock.advance_to(4);
        assert_eq!(clock.now(), 9);
    }

    #[test]
    fn tick_ns_is_the_first_ns_of_its_tick() {
        for tick in [1, 2, 3, 1193, 1_193_182, 77_777_777_777] {
            let at = tick_ns(tick, PIT_HZ);
            assert_eq!(ticks(at, PIT_HZ), tick);
            assert_eq!(ticks(at - 1, PIT_HZ), tick - 1);
        }
        assert_eq!(ticks(NS_PER_SECOND * 3600, PM_TIMER_HZ), PM_TIMER_HZ * 3600);
    }
}
