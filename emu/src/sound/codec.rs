//! What the codec played, at the mixer's rate.

use super::{FRAMES, RATE};
use amber_devices::sound::Rate;
use std::collections::VecDeque;

/// Most frames that wait: a stream that claims to lie ahead is not kept longer.
const WAITING_MAX: usize = RATE as usize;
/// Frames by which a block may seem to begin earlier or later than the one before it ended: their times are whole ns.
const SEAM: u64 = 2;

/// Frames that wait for their time.
#[derive(Default)]
pub(super) struct CodecTrack {
    /// Where the first of them belongs.
    start: u64,
    waiting: VecDeque<[i16; 2]>,
    /// The last frame that came, and how far the next one of the mixer's is beyond it: a stream of another rate is
    /// drawn with straight lines.
    last: [i16; 2],
    /// In frames of the stream.
    ahead: f64,
}

impl CodecTrack {
    /// Adds what was played from `at` on.
    pub fn add(&mut self, at: u64, rate: Rate, frames: &[[i16; 2]]) {
        let (begin, end) = (FRAMES.frames_in(at), self.start + self.waiting.len() as u64);
        if self.waiting.is_empty() || begin.abs_diff(end) > SEAM {
            self.begin(begin);
        }
        if rate.frames == RATE && rate.seconds == 1 {
            self.waiting.extend(frames);
        } else {
            self.add_at(f64::from(rate.frames) / f64::from(rate.seconds) / f64::from(RATE), frames);
        }
        let surplus = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..surplus);
        self.start += surplus as u64;
    }

    /// What waits ends where it does; the next frames begin at `begin`.
    fn begin(&mut self, begin: u64) {
        let end = self.start + self.waiting.len() as u64;
        match begin.checked_sub(end) {
            Some(gap) if !self.waiting.is_empty() && gap < WAITING_MAX as u64 => {
                self.waiting.extend(std::iter::repeat_n([0; 2], gap as usize));
            }
            _ => {
                self.start = begin;
                self.waiting.clear();
            }
        }
        (self.last, self.ahead) = ([0; 2], 1.0);
    }

    /// `step` frames of the stream are one of the mixer's.
    fn add_at(&mut self, step: f64, frames: &[[i16; 2]]) {
        for frame in frames {
            while self.ahead <= 1.0 {
                let between = |side: usize| {
                    let (from, to) = (f64::from(self.last[side]), f64::from(frame[side]));
                    (from + (to - from) * self.ahead).round() as i16
                };
                self.waiting.push_back([between(0), between(1)]);
                self.ahead += step;
            }
            self.ahead -= 1.0;
            self.last = *frame;
        }
    }

    /// The frame for `frame`; silence if there is none.
    pub fn take(&mut self, frame: u64) -> [i16; 2] {
        while self.start < frame && self.waiting.pop_front().is_some() {
            self.start += 1;
        }
        if self.start != frame {
            return [0; 2];
        }
        self.start += 1;
        self.waiting.pop_front().unwrap_or_else(|| {
            self.start -= 1;
            [0; 2]
        })
    }
}
