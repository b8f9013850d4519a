//! The ring's other end: frames for the loudspeakers, at their pace.

use super::Volume;
use amber_emu::sound::RATE;
use rtrb::Consumer;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Frames that should wait in the ring: what the host may be late by. 120 ms.
const TARGET: f64 = RATE as f64 * 0.12;
/// Of the ring's room, how much of it may be waited for: a full ring takes nothing more.
const FULL: f64 = 0.8;
/// How much faster or slower than it should the stream goes at most, to come back to that: a twelfth of a semitone.
const BEND: f64 = 0.005;
/// By how many times what should wait the sound may be late.
const LATE: f64 = 3.0;
/// How fast the mean of what waits follows, each time the loudspeakers ask.
const SMOOTH: f64 = 0.05;
/// Of a sample that nothing follows, what is left after a frame: silence within some ms, without a crack.
const FADE: f32 = 0.995;
/// Frames played without the ring after which it was no underrun: the machine stood still.
const STOOD_STILL: u64 = RATE as u64 / 2;

/// See the module.
pub struct Feed {
    ring: Consumer<[i16; 2]>,
    /// Frames of the ring for each of the loudspeakers', if both clocks were right.
    nominal: f64,
    step: f64,
    /// The mean of what waits, frames.
    waiting: f64,
    /// Frames since the ring ran dry; none while it feeds.
    dry: Option<u64>,
    /// It fed before.
    fed: bool,
    /// The two frames it is between, and how far.
    from: [f32; 2],
    to: [f32; 2],
    between: f64,
    volume: Arc<Volume>,
    muted: bool,
}

impl Feed {
    /// A feed for loudspeakers that take a frame for each `nominal` frames of the ring.
    pub fn new(ring: Consumer<[i16; 2]>, nominal: f64, volume: Arc<Volume>) -> Self {
        Self {
            ring,
            nominal,
            step: nominal,
            waiting: TARGET,
            dry: Some(0),
            fed: false,
            from: [0.0; 2],
            to: [0.0; 2],
            between: 1.0,
            volume,
            muted: false,
        }
    }

    /// The loudspeakers ask for so many frames.
    pub fn begin(&mut self, frames: usize) {
        self.muted = self.volume.muted.load(Ordering::Relaxed);
        // What is asked for now must be there, and what comes meanwhile on top.
        let target = TARGET.max(2.0 * frames as f64 * self.nominal).min(self.most());
        let waiting = self.shorten(target);
        match self.dry {
            Some(since) if waiting >= target.floor() => {
                if self.fed && since < STOOD_STILL {
                    self.volume.underruns.fetch_add(1, Ordering::Relaxed);
                }
                (self.dry, self.fed, self.waiting) = (None, true, waiting);
            }
            Some(since) => self.dry = Some(since + frames as u64),
            None => self.waiting += (waiting - self.waiting) * SMOOTH,
        }
        let off = ((self.waiting - target) / target).clamp(-1.0, 1.0);
        self.step = self.nominal * (1.0 + off * BEND);
    }

    /// The most that can be waited for.
    fn most(&self) -> f64 {
        self.ring.buffer().capacity() as f64 * FULL
    }

    /// How much waits. What is late by far, after a start or a machine that ran ahead, is left out.
    fn shorten(&mut self, target: f64) -> f64 {
        let waiting = self.ring.slots();
        let surplus = waiting.saturating_sub(target as usize);
        let far = if self.dry.is_some() { 0.0 } else { LATE * target };
        if surplus as f64 <= far {
            return waiting as f64;
        }
        if let Ok(late) = self.ring.read_chunk(surplus) {
            late.commit_all();
        }
        self.waiting = target;
        target
    }

    /// The next frame, between -1 and 1.
    pub fn next(&mut self) -> [f32; 2] {
        while self.between >= 1.0 {
            self.between -= 1.0;
            self.from = self.to;
            self.to = self.take();
        }
        let at = self.between as f32;
        self.between += self.step;
        let mixed = [0, 1].map(|side| self.from[side] + (self.to[side] - self.from[side]) * at);
        if self.muted { [0.0; 2] } else { mixed }
    }

    fn take(&mut self) -> [f32; 2] {
        if self.dry.is_none() {
            match self.ring.pop() {
                Ok(frame) => return frame.map(|sample| f32::from(sample) / 32768.0),
                Err(_) => self.dry = Some(0),
            }
        }
        self.to.map(|sample| sample * FADE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::{Producer, RingBuffer};

    fn feed(nominal: f64) -> (Producer<[i16; 2]>, Feed, Arc<Volume>) {
        let (producer, consumer) = RingBuffer::new(24_000);
        let volume = Arc::new(Volume::default());
        (producer, Feed::new(consumer, nominal, Arc::clone(&volume)), volume)
    }

    fn put(producer: &mut Producer<[i16; 2]>, frames: usize, value: i16) {
        (0..frames).for_each(|_| producer.push([value, -value]).expect("there is room"));
    }

    fn ask(feed: &mut Feed, frames: usize) -> Vec<[f32; 2]> {
        feed.begin(frames);
        (0..frames).map(|_| feed.next()).collect()
    }

    #[test]
    fn it_waits_for_enough_and_then_plays_what_came() {
        let (mut ring, mut feed, volume) = feed(1.0);
        put(&mut ring, 1000, 16384);
        assert!(ask(&mut feed, 480).iter().all(|frame| *frame == [0.0; 2]), "too little waits");
        put(&mut ring, 6000, 16384);
        let heard = ask(&mut feed, 480);
        assert_eq!(heard[10], [0.5, -0.5]);
        assert_eq!(volume.underruns.load(Ordering::Relaxed), 0, "the first frames are no underrun");
        volume.muted.store(true, Ordering::Relaxed);
        assert_eq!(ask(&mut feed, 1)[0], [0.0; 2]);
    }

    #[test]
    fn a_ring_that_runs_dry_fades_and_is_counted_but_a_machine_that_stood_still_is_not() {
        for (pause, counted) in [(2, 1), (200, 0)] {
            let (mut ring, mut feed, volume) = feed(1.0);
            put(&mut ring, 7200, 16384);
            let heard: Vec<_> = (0..12).flat_map(|_| ask(&mut feed, 480)).collect();
            let steps = heard[1000..].windows(2).map(|pair| (pair[1][0] - pair[0][0]).abs());
            assert!(steps.fold(0.0, f32::max) < 0.01, "it cracks");
            (0..pause).for_each(|_| drop(ask(&mut feed, 480)));
            assert!(feed.next()[0] < 0.2);
            put(&mut ring, 7200, 16384);
            ask(&mut feed, 480);
            assert_eq!(volume.underruns.load(Ordering::Relaxed), counted);
        }
    }

    #[test]
    fn a_machine_that_ran_ahead_is_not_heard_late() {
        let (mut ring, mut feed, _) = feed(1.0);
        put(&mut ring, 24_000, 1);
        ask(&mut feed, 480);
        assert!(feed.ring.slots() < 5760, "nothing was played yet");
        put(&mut ring, 18_000, 1);
        ask(&mut feed, 480);
        assert!(feed.ring.slots() < 5760, "{} wait", feed.ring.slots());
    }

    #[test]
    fn loudspeakers_that_ask_for_much_at_once_are_heard() {
        let (mut ring, mut feed, _) = feed(1.0);
        put(&mut ring, 19_000, 16384);
        assert!(ask(&mut feed, 20_000).iter().all(|frame| *frame == [0.0; 2]), "too little waits");
        put(&mut ring, 1000, 16384);
        let heard = ask(&mut feed, 20_000);
        assert_eq!((heard[10], heard[19_000]), ([0.5, -0.5], [0.5, -0.5]));
    }

    #[test]
    fn clocks_that_differ_leave_the_ring_as_full_as_it_should_be() {
        // The machine makes 0.2 % more frames than the loudspeakers take, or less; they take 44,100 a second.
        for surplus in [1.002, 0.998] {
            let (mut ring, mut feed, volume) = feed(48_000.0 / 44_100.0);
            let mut made = 0.0;
            put(&mut ring, 7000, 1);
            for _ in 0..20_000 {
                made += 480.0 * surplus;
                let whole = f64::trunc(made);
                put(&mut ring, whole as usize, 1);
                made -= whole;
                ask(&mut feed, 441);
            }
            let waiting = feed.ring.slots() as f64;
            assert!((waiting / TARGET - 1.0).abs() < 0.6, "{waiting} frames wait");
            assert_eq!(volume.underruns.load(Ordering::Relaxed), 0);
        }
    }
}
