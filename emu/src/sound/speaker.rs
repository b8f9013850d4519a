//! The PC speaker: the average of its signal over each frame, without the steady part.

use super::FRAMES;
use amber_devices::clock::{NS_PER_SECOND, PIT_HZ};
use amber_devices::sound::Signal;
use std::collections::VecDeque;

/// What the speaker adds when its signal is high: a quarter of full scale.
const LOUD: f64 = 8192.0;
/// How much of the steady part is left after a frame: a capacitor in its way, 20 ms.
const STEADY: f64 = 0.999;
/// Most changes that wait for their time.
const WAITING_MAX: usize = 1 << 16;

pub(super) struct SpeakerTrack {
    signal: Signal,
    /// Changes to come, with their ns.
    waiting: VecDeque<(u64, Signal)>,
    steady: f64,
}

impl Default for SpeakerTrack {
    fn default() -> Self {
        Self { signal: Signal::Level(false), waiting: VecDeque::new(), steady: 0.0 }
    }
}

impl SpeakerTrack {
    /// The speaker follows another signal from `at` on; what was to come later is void.
    pub fn follow(&mut self, at: u64, signal: Signal) {
        while self.waiting.back().is_some_and(|(later, _)| *later >= at) || self.waiting.len() >= WAITING_MAX
        {
            self.waiting.pop_back();
        }
        self.waiting.push_back((at, signal));
    }

    /// The sample of a frame.
    pub fn sample(&mut self, frame: u64) -> i16 {
        let (begin, end) = (FRAMES.ns_of(frame), FRAMES.ns_of(frame + 1));
        let mut from = begin;
        let mut high = 0.0;
        while let Some((at, signal)) = self.waiting.front().copied().filter(|(at, _)| *at < end) {
            let at = at.max(from);
            high += high_ns(self.signal, from, at);
            (from, self.signal) = (at, signal);
            self.waiting.pop_front();
        }
        high += high_ns(self.signal, from, end);
        let level = LOUD * high / (end - begin) as f64;
        self.steady = level + (self.steady - level) * STEADY;
        (level - self.steady).round() as i16
    }
}

/// For how many ns between `from` and `to` a signal is high.
fn high_ns(signal: Signal, from: u64, to: u64) -> f64 {
    let len = to.saturating_sub(from) as f64;
    match signal {
        Signal::Level(high) => {
            if high {
                len
            } else {
                0.0
            }
        }
        Signal::RisesAt(at) => to.saturating_sub(at.clamp(from, to)) as f64,
        Signal::Square { start, period, high } => {
            let ticks_per_ns = PIT_HZ as f64 / NS_PER_SECOND as f64;
            // Ticks since the first rising edge, and how many of them were high.
            let high_ticks = |ns: u64| {
                let tick = (ns as f64 * ticks_per_ns - start as f64).max(0.0);
                let (whole, part) = ((tick / f64::from(period)).floor(), tick % f64::from(period));
                whole * f64::from(high) + part.min(f64::from(high))
            };
            (high_ticks(to) - high_ticks(from)) / ticks_per_ns
        }
    }
}
