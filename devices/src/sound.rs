//! What a machine has to say: sound as it leaves the platform, placed in virtual time.

use crate::clock::{NS_PER_SECOND, PIT_HZ, tick_ns};

/// Frames per second, as an exact fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Frames in `seconds` seconds.
    pub frames: u32,
    /// Not 0.
    pub seconds: u32,
}

impl Rate {
    /// Whole frames in `ns`.
    pub fn frames_in(self, ns: u64) -> u64 {
        let per = u128::from(NS_PER_SECOND) * u128::from(self.seconds);
        (u128::from(ns) * u128::from(self.frames) / per) as u64
    }

    /// The first ns at which [`Rate::frames_in`] is at least `frames`; the end of time if it lies beyond.
    pub fn ns_of(self, frames: u64) -> u64 {
        let ns = u128::from(frames) * u128::from(NS_PER_SECOND) * u128::from(self.seconds);
        u64::try_from(ns.div_ceil(u128::from(self.frames.max(1)))).unwrap_or(u64::MAX)
    }
}

/// Sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Left and right of what a codec played from `at` (ns of virtual time) on.
    Frames {
        /// When the first of them began.
        at: u64,
        /// How fast they go.
        rate: Rate,
        /// Full scale is that of 16 bits.
        frames: Vec<[i16; 2]>,
    },
    /// The PC speaker follows this signal from `at` (ns of virtual time) on, which may lie ahead.
    Speaker {
        /// When it begins to.
        at: u64,
        /// What it follows.
        signal: Signal,
    },
}

/// What drives the PC speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A steady level.
    Level(bool),
    /// Low, and high from this ns on.
    RisesAt(u64),
    /// High for the first `high` of `period` ticks of the 8254's clock, over and over, from tick `start` on.
    Square {
        /// Tick of a rising edge.
        start: u64,
        /// Ticks of a period, not 0.
        period: u32,
        /// Ticks of it that are high.
        high: u32,
    },
}

impl Signal {
    /// Low until `tick` of the 8254's clock.
    pub(crate) fn rises_at_tick(tick: u64) -> Self {
        Self::RisesAt(tick_ns(tick, PIT_HZ))
    }
}
