//! Sound on the host's loudspeakers: the machine's stream, laid out in virtual time, through a ring to cpal's thread.

mod feed;
mod output;

use amber_emu::sound::{RATE, Sink};
use anyhow::{Context, Result};
use output::{Ring, Stop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Frames the ring has room for: half a second. What a machine makes beyond, as one that runs ahead does, is not heard.
const ROOM: usize = RATE as usize / 2;

/// What the window and the loudspeakers know of each other.
#[derive(Debug, Default)]
pub struct Volume {
    pub muted: AtomicBool,
    /// Times there was nothing to play while the machine went on.
    pub underruns: AtomicU64,
}

/// The host's loudspeakers. They fall silent when this is dropped.
pub struct Loudspeakers {
    ring: Ring,
    /// The rings of streams opened since.
    rings: Receiver<Result<Ring>>,
    stop: Sender<Stop>,
    volume: Arc<Volume>,
    played: u64,
}

impl Loudspeakers {
    /// Opens the host's default output.
    ///
    /// # Errors
    /// When there is none, or it plays nothing this program can give it.
    pub fn open(volume: Arc<Volume>) -> Result<Self> {
        let (sender, rings) = channel();
        let (stop, stops) = channel();
        let (heard, broke) = (Arc::clone(&volume), stop.clone());
        // A thread of its own: a sound server may be slow to answer, and no machine waits for it.
        std::thread::Builder::new()
            .name("loudspeakers".to_owned())
            .spawn(move || output::play(&heard, &sender, &stops, &broke))
            .context("sound: no thread for it")?;
        let ring = rings.recv().context("sound: the host's output broke")??;
        Ok(Self { ring, rings, stop, volume, played: 0 })
    }
}

impl Drop for Loudspeakers {
    fn drop(&mut self) {
        let _ = self.stop.send(Stop::Over);
    }
}

impl Sink for Loudspeakers {
    fn play(&mut self, frames: &[[i16; 2]]) {
        if let Ok(Ok(ring)) = self.rings.try_recv() {
            self.ring = ring;
        }
        self.played += frames.len() as u64;
        // The loudspeakers set the pace: the machine does not wait for them.
        frames.iter().try_for_each(|frame| self.ring.push(*frame)).unwrap_or_default();
    }

    fn end(&mut self) -> Result<()> {
        let seconds = self.played as f64 / f64::from(RATE);
        let underruns = self.volume.underruns.load(Ordering::Relaxed);
        tracing::info!(target: "sound", "played {seconds:.3} s, {underruns} underruns");
        Ok(())
    }
}
