use super::*;
use amber_devices::sound::Signal;

#[derive(Default)]
struct Tape(Vec<[i16; 2]>);

impl Sink for Tape {
    fn play(&mut self, frames: &[[i16; 2]]) {
        self.0.extend(frames);
    }
}

/// Upward crossings of zero on the left.
fn crossings(frames: &[[i16; 2]]) -> usize {
    frames.windows(2).filter(|pair| pair[0][0] <= 0 && pair[1][0] > 0).count()
}

#[test]
fn blocks_of_a_stream_join_without_a_gap() {
    let mut mixer = Mixer::new(Tape::default(), 1_000_000);
    let rate = Rate { frames: 48_000, seconds: 1 };
    let mut next = 0i16;
    for turn in 0..100u64 {
        let frames: Vec<[i16; 2]> =
            (0..if turn % 2 == 0 { 40 } else { 56 }).map(|n| [next + n + 1, 0]).collect();
        let at = 5_000_000 + rate.ns_of(next as u64);
        next += frames.len() as i16;
        mixer.hear(Sound::Frames { at, rate, frames });
        mixer.advance_to(5_000_000 + rate.ns_of(next as u64));
    }
    let tape = mixer.finish(5_000_000 + rate.ns_of(next as u64)).0;
    let first = tape.iter().position(|frame| frame[0] != 0).unwrap();
    assert_eq!(first, 4 * 48, "it lies where it was played");
    assert_eq!(tape.len() - first, next as usize);
    assert!(tape[first..].iter().zip(1..).all(|(frame, n)| frame[0] == n));
}

#[test]
fn other_rates_keep_their_pitch() {
    let rate = Rate { frames: 44_100, seconds: 1 };
    let wave = |n: u64| ((n as f64 * 441.0 / 44_100.0 * std::f64::consts::TAU).sin() * 10_000.0) as i16;
    let mut mixer = Mixer::new(Tape::default(), 0);
    for turn in 0..1000u64 {
        let (from, to) = (rate.frames_in(turn * 1_000_000), rate.frames_in((turn + 1) * 1_000_000));
        let frames = (from..to).map(|n| [wave(n); 2]).collect();
        mixer.hear(Sound::Frames { at: rate.ns_of(from), rate, frames });
        mixer.advance_to((turn + 1) * 1_000_000);
    }
    let tape = mixer.finish(1_000_000_000).0;
    assert!((440..=441).contains(&crossings(&tape)), "{}", crossings(&tape));
    let loud = tape[100..].windows(60).all(|window| window.iter().any(|frame| frame[0].abs() > 8000));
    assert!(loud, "there is a gap");
}

#[test]
fn the_speaker_plays_its_signal() {
    let mut mixer = Mixer::new(Tape::default(), 0);
    // 1,193,182 / 1193 is 1000.15 Hz.
    let square = Signal::Square { start: 1, period: 1193, high: 597 };
    mixer.hear(Sound::Speaker { at: 10_000_000, signal: square });
    mixer.hear(Sound::Speaker { at: 510_000_000, signal: Signal::Level(false) });
    let tape = mixer.finish(600_000_000).0;
    assert_eq!(tape.len(), 28_800);
    assert!(tape[..480].iter().all(|frame| *frame == [0; 2]));
    assert!((499..=501).contains(&crossings(&tape[480..24_480])), "{}", crossings(&tape[480..24_480]));
    assert!(tape[27_000..].iter().all(|frame| frame[0].abs() < 500), "silence");
}

#[test]
fn a_signal_to_come_is_void_after_another() {
    let mut mixer = Mixer::new(Tape::default(), 0);
    mixer.hear(Sound::Speaker { at: 20_000_000, signal: Signal::Level(true) });
    mixer.hear(Sound::Speaker { at: 10_000_000, signal: Signal::Level(false) });
    let tape = mixer.finish(50_000_000).0;
    assert!(tape.iter().all(|frame| *frame == [0; 2]));
    let mut mixer = Mixer::new(Tape::default(), 0);
    mixer.hear(Sound::Speaker { at: 0, signal: Signal::RisesAt(10_000_000) });
    let tape = mixer.finish(20_000_000).0;
    assert!(tape[479][0] == 0 && tape[481][0] > 8000);
}

#[test]
fn a_machine_that_goes_back_goes_on_from_there() {
    let mut mixer = Mixer::new(Tape::default(), 0);
    mixer.advance_to(100_000_000);
    mixer.advance_to(50_000_000);
    mixer.advance_to(100_000_000);
    assert_eq!(mixer.finish(100_000_000).0.len(), 98 * 48 + 52 * 48);
}
