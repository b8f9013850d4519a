//! What a guest plays is what a WAV file has: the right tone, without a gap, and the same on every way to it.

use amber_emu::config::{Engine, MachineConfig};
use amber_tests::program::{Scratch, amber};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};

const RATE: usize = 48_000;
/// Code for 64-bit mode: counter 2 plays 1000 Hz on the speaker while port 61h is read half a million times, each in 1 us.
const BEEP: [u8; 39] = [
    0xb0, 0xb6, 0xe6, 0x43, 0xb0, 0xa9, 0xe6, 0x42, 0xb0, 0x04, 0xe6, 0x42, // count 04A9h in mode 3
    0xe4, 0x61, 0x0c, 0x03, 0xe6, 0x61, // gate and data
    0xb9, 0x20, 0xa1, 0x07, 0x00, 0xe4, 0x61, 0xff, 0xc9, 0x75, 0xfa, // 500,000 times
    0x24, 0xfc, 0xe6, 0x61, // silence
    0xb0, 0x10, 0xe6, 0xf4, 0xeb, 0xfe, // the end
];

/// The left of a WAV file; both sides are the same here.
fn left(file: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(file).expect("a WAV file");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, RATE as u32));
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().expect("it is whole");
    samples.chunks(2).map(|frame| frame[0]).collect()
}

/// Where it is loud: from the first to the last sample above a tenth of full scale.
fn loud(samples: &[i16], within: Range<usize>) -> Range<usize> {
    let loud = |sample: &i16| sample.unsigned_abs() > 3276;
    let part = &samples[within.clone()];
    let first = part.iter().position(loud).expect("there is a tone");
    let last = part.iter().rposition(loud).expect("there is a tone");
    within.start + first..within.start + last + 1
}

/// Samples between two rises through the middle.
fn periods(samples: &[i16]) -> Vec<usize> {
    let middle = i32::from(*samples.iter().max().unwrap()).midpoint((*samples.iter().min().unwrap()).into());
    let above = |n: usize| i32::from(samples[n]) > middle;
    let rises: Vec<usize> = (1..samples.len()).filter(|n| above(*n) && !above(n - 1)).collect();
    rises.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A tone of `hertz`, whose periods are all alike.
fn assert_tone(samples: &[i16], hertz: f64, seconds: f64) {
    let periods = periods(samples);
    let period = RATE as f64 / hertz;
    let mean = periods.iter().sum::<usize>() as f64 / periods.len() as f64;
    assert!((mean / period - 1.0).abs() < 0.001, "{mean} samples of {period}");
    assert!(periods.iter().all(|own| (*own as f64 - period).abs() <= 1.5), "there is a gap: {periods:?}");
    let len = samples.len() as f64 / RATE as f64;
    assert!((len - seconds).abs() < 0.005, "{len} s");
}

fn run(command: &mut Command) -> Output {
    command.output().expect("it runs")
}

#[test]
fn a_tone_of_the_speaker_is_recorded_and_replayed() {
    let scratch = Scratch::new("speaker");
    let image = scratch.file("beep.bin", &BEEP);
    let [log, first, second] = ["log", "first.wav", "second.wav"].map(|name| scratch.0.join(name));
    let flat = format!("{}@0x100000", image.display());
    let ran = run(Command::new(amber())
        .args(["run", "--headless", "--flat", &flat, "--record"])
        .arg(&log)
        .args(["--audio", &format!("wav:{}", first.display())]));
    assert_eq!(ran.status.code(), Some(33), "{}", String::from_utf8_lossy(&ran.stderr));
    let samples = left(&first);
    let loud = loud(&samples, 0..samples.len());
    assert_tone(&samples[loud], 1_193_182.0 / 1193.0, 0.5);
    let replayed = run(Command::new(amber())
        .arg("replay")
        .arg(&log)
        .args(["--audio", &format!("wav:{}", second.display())]));
    assert_eq!(replayed.status.code(), Some(0), "{}", String::from_utf8_lossy(&replayed.stderr));
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "the replay sounds otherwise");
}

#[test]
fn a_file_that_cannot_be_is_named() {
    let ran = run(Command::new(amber()).args(["run", "--headless", "--audio", "wav:/nowhere/out.wav"]));
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("--audio wav:/nowhere/out.wav: cannot be created"));
}

/// Debian's driver plays on the card, and a program on the speaker.
#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_plays_a_tone() {
    let Some(folder) = amber_tests::debian() else { return };
    let initrd = folder.join("sound.gz");
    if !initrd.is_file() {
        eprintln!("skipped: no {}; tests/fetch-debian.sh makes it", initrd.display());
        return;
    }
    let scratch = Scratch::new("sound");
    let play = |engine: Engine| {
        let file = scratch.0.join(format!("{engine}.wav"));
        let config = MachineConfig {
            kernel: Some(folder.join("vmlinuz")),
            initrd: Some(initrd.clone()),
            append: Some("console=ttyS0 panic=-1".into()),
            device: vec!["hda".parse().unwrap()],
            audio: Some(format!("wav:{}", file.display()).parse().unwrap()),
            headless: true,
            hash: true,
            engine,
            ..MachineConfig::default()
        };
        let toml = scratch.file(&format!("{engine}.toml"), config.to_toml().unwrap().as_bytes());
        let ran = run(Command::new(amber()).arg("run").arg(toml));
        assert!(String::from_utf8_lossy(&ran.stdout).contains("PASS"));
        (left(&file), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (samples, hash) = play(Engine::Jit);
    let all = loud(&samples, 0..samples.len());
    // Behind the silence that ends its last period the card plays an older one until the driver stops it.
    let card = loud(&samples, all.start..all.start + 3 * RATE + RATE / 200);
    assert_tone(&samples[card.clone()], 440.0, 3.0);
    let speaker = loud(&samples, card.end + RATE / 10..samples.len());
    assert_tone(&samples[speaker], 1_193_182.0 / 1193.0, 0.5);
    assert!(play(Engine::Interp) == (samples, hash), "the engines differ");
}
