//! Sound of a machine, laid out in virtual time: what the codec plays and what the speaker does become one stream of 48,000
//! frames a second, for a sink. It is a function of the run, as all else that leaves a machine.

mod codec;
mod recording;
mod speaker;
mod wav;

use amber_devices::clock::NS_PER_SECOND;
use amber_devices::sound::{Rate, Sound};
use codec::CodecTrack;
pub use recording::Recording;
use speaker::SpeakerTrack;
pub use wav::WavFile;

/// Frames a second.
pub const RATE: u32 = 48_000;
const FRAMES: Rate = Rate { frames: RATE, seconds: 1 };
/// How far behind virtual time frames leave: what is played has come by then.
const DELAY_NS: u64 = NS_PER_SECOND / 500;
/// Most frames at once.
const BLOCK: u64 = 4096;

/// Where sound goes.
pub trait Sink {
    /// Takes the next frames, left and right.
    fn play(&mut self, frames: &[[i16; 2]]);
}

/// Lays sound out and hands it on.
pub struct Mixer<S> {
    sink: S,
    /// Frames since power-up that have left, or were before the mixer came.
    position: u64,
    codec: CodecTrack,
    speaker: SpeakerTrack,
}

impl<S: Sink> Mixer<S> {
    /// Takes sound from virtual time `now` on, ns.
    pub fn new(sink: S, now: u64) -> Self {
        let position = FRAMES.frames_in(now);
        Self { sink, position, codec: CodecTrack::default(), speaker: SpeakerTrack::default() }
    }

    /// Takes sound that a machine makes.
    pub fn hear(&mut self, sound: Sound) {
        match sound {
            Sound::Frames { at, rate, frames } => self.codec.add(at, rate, &frames),
            Sound::Speaker { at, signal } => self.speaker.follow(at, signal),
        }
    }

    /// Virtual time has come to `now`: what is complete leaves.
    pub fn advance_to(&mut self, now: u64) {
        let end = FRAMES.frames_in(now.saturating_sub(DELAY_NS));
        // The machine went back in time: the stream goes on from there.
        if FRAMES.frames_in(now) < self.position {
            self.position = end;
            self.codec = CodecTrack::default();
        }
        self.flush_to(end);
    }

    /// The machine went to virtual time `now`, back or ahead: the stream goes on from there.
    pub fn jump_to(&mut self, now: u64) {
        self.position = FRAMES.frames_in(now.saturating_sub(DELAY_NS));
        self.codec = CodecTrack::default();
    }

    /// The run ends at `now`: all leaves. The sink is given back.
    pub fn finish(mut self, now: u64) -> S {
        self.flush_to(FRAMES.frames_in(now));
        self.sink
    }

    fn flush_to(&mut self, end: u64) {
        while self.position < end {
            let len = (end - self.position).min(BLOCK);
            let frames: Vec<[i16; 2]> =
                (self.position..self.position + len).map(|frame| self.mix(frame)).collect();
            self.position += len;
            self.sink.play(&frames);
        }
    }

    fn mix(&mut self, frame: u64) -> [i16; 2] {
        let speaker = i32::from(self.speaker.sample(frame));
        let clamp = |value: i32| value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        self.codec.take(frame).map(|sample| clamp(i32::from(sample) + speaker))
    }
}

#[cfg(test)]
mod tests;
