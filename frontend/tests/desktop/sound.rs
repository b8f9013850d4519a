//! A guest's tone on the host's loudspeakers: cpal's, into a sound server whose output leads nowhere and is recorded.

use super::{Desktop, missing};
use amber_tests::program::Scratch;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const RATE: f64 = 48_000.0;
/// Code for 64-bit mode: counter 2 plays 1000 Hz on the speaker, for ever.
const TONE: [u8; 22] = [
    0xb0, 0xb6, 0xe6, 0x43, 0xb0, 0xa9, 0xe6, 0x42, 0xb0, 0x04, 0xe6, 0x42, // count 04A9h in mode 3
    0xe4, 0x61, 0x0c, 0x03, 0xe6, 0x61, // gate and data
    0xe4, 0x61, 0xeb, 0xfc, // reads port 61h again and again
];
/// What the tone's period is off by at most: the stream goes a little faster or slower with the loudspeakers' clock.
const BEND: f64 = 0.006;

/// PulseAudio of the test's own, in a folder.
struct SoundServer(Child);

impl SoundServer {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("sound.socket");
        // One that was killed leaves it.
        let _ = std::fs::remove_file(&socket);
        let alsa = "pcm.!default { type pulse }\nctl.!default { type pulse }\n";
        std::fs::write(folder.join(".asoundrc"), alsa).expect("a file");
        let child = Command::new("pulseaudio")
            .args(["-n", "--exit-idle-time=-1", "--daemonize=no", "--use-pid-file=no"])
            .arg("--load=module-null-sink sink_name=nowhere rate=48000 channels=2")
            .arg(format!("--load=module-native-protocol-unix socket={} auth-anonymous=1", socket.display()))
            .envs(environment(folder))
            .stderr(Stdio::null())
            .spawn()
            .expect("pulseaudio starts");
        super::await_some("the sound server", || socket.exists().then_some(()));
        Self(child)
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn environment(folder: &Path) -> [(&'static str, String); 3] {
    let folder = folder.display();
    [
        ("HOME", folder.to_string()),
        ("XDG_RUNTIME_DIR", folder.to_string()),
        ("PULSE_SERVER", format!("unix:{folder}/sound.socket")),
    ]
}

/// Records what the server plays for so long.
fn record(folder: &Path, time: Duration) -> Vec<i16> {
    let file = folder.join("heard");
    let mut recorder = Command::new("parec")
        .args(["-d", "nowhere.monitor", "--format=s16le", "--rate=48000", "--channels=2"])
        .envs(environment(folder))
        .stdout(std::fs::File::create(&file).expect("a file"))
        .spawn()
        .expect("parec starts");
    std::thread::sleep(time);
    let _ = recorder.kill();
    let _ = recorder.wait();
    let bytes = std::fs::read(&file).expect("it was written");
    bytes.chunks_exact(4).map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect()
}

/// Burns a core until the answer is dropped.
struct Burner(Arc<AtomicBool>);

impl Burner {
    fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        std::thread::spawn(move || while !seen.load(Ordering::Relaxed) {});
        Self(ends)
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The program in a window with a guest that plays a tone; `None` with a sentence where it cannot be.
fn start(scratch: &Rc<Scratch>) -> Option<(SoundServer, Desktop)> {
    let finds = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    let no_server = (!finds("pulseaudio") || !finds("parec")).then(|| "there is no PulseAudio".to_owned());
    if let Some(sentence) = missing().or(no_server) {
        eprintln!("{sentence}");
        return None;
    }
    let server = SoundServer::start(&scratch.0);
    let image = scratch.file("tone.bin", &TONE);
    let flat = format!("{}@0x100000", image.display());
    let args = ["--flat", &flat, "--audio", "cpal", "--log", "sound", "--control", "socket"];
    let desktop = Desktop::start_in(Rc::clone(scratch), &args, &environment(&scratch.0))?;
    desktop.await_title("running");
    std::thread::sleep(Duration::from_secs(2));
    Some((server, desktop))
}

/// Frames from one rise through nothing to the next.
fn periods(heard: &[i16]) -> Vec<usize> {
    let rises: Vec<usize> = (1..heard.len()).filter(|n| heard[*n] > 0 && heard[*n - 1] <= 0).collect();
    rises.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Hears a tone for so long beside a program that burns a core: what was heard, or what is wrong with it.
fn hears_a_tone(seconds: u64) -> Result<String, String> {
    let scratch = Rc::new(Scratch::new("desktop-sound"));
    let Some((_server, desktop)) = start(&scratch) else { return Ok("nothing".to_owned()) };
    let burner = Burner::start();
    let heard = record(&scratch.0, Duration::from_secs(seconds));
    drop(burner);
    desktop.chord("q");
    let (code, said) = desktop.end();
    assert_eq!(code, Some(0), "{said}");
    if !said.contains(" 0 underruns") {
        return Err(said);
    }
    let length = heard.len() as f64 / RATE;
    assert!(length > seconds as f64 * 0.9, "{length} s were recorded");
    let periods = periods(&heard);
    assert!(!periods.is_empty(), "nothing was heard; the program says: {said}");
    let gaps: Vec<_> = periods.iter().filter(|period| period.abs_diff(48) > 2).collect();
    if !gaps.is_empty() {
        return Err(format!("there are gaps: {gaps:?} frames"));
    }
    let mean = periods.iter().sum::<usize>() as f64 / periods.len() as f64;
    let off = mean / (RATE * 1193.0 / 1_193_182.0) - 1.0;
    assert!(off.abs() < BEND, "a period is {mean} frames");
    Ok(format!("{length:.1} s, {} periods of {mean:.3} frames; {}", periods.len(), said.trim()))
}

/// For 10 s, where the host may be busy with more than that three times; or once for `AMBER_SOUND_SECONDS`.
#[test]
fn a_tone_is_heard_without_a_gap_while_another_program_burns_a_core() {
    let named = std::env::var("AMBER_SOUND_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let mut wrong = Vec::new();
    for _ in 0..named.map_or(3, |_| 1) {
        match hears_a_tone(named.unwrap_or(10)) {
            Ok(heard) => return eprintln!("{heard}"),
            Err(why) => wrong.push(why),
        }
    }
    panic!("{}", wrong.join("\n"));
}

#[test]
fn a_sound_server_that_went_away_and_came_back_is_heard_again() {
    let scratch = Rc::new(Scratch::new("desktop-sound-server"));
    let Some((server, desktop)) = start(&scratch) else { return };
    drop(server);
    std::thread::sleep(Duration::from_secs(1));
    let _server = SoundServer::start(&scratch.0);
    super::await_some("the tone", || {
        (!periods(&record(&scratch.0, Duration::from_secs(1))).is_empty()).then_some(())
    });
    desktop.chord("q");
    let (code, said) = desktop.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("opened again"), "{said}");
}
