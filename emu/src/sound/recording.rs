//! The sound of a run, where the run wants it.

use super::{Mixer, WavFile};
use crate::config::AudioChoice;
use amber_devices::sound::Sound;
use anyhow::Result;

/// Sound on its way to a file, or nowhere.
#[derive(Default)]
pub struct Recording(Option<Mixer<WavFile>>);

impl Recording {
    /// Begins at virtual time `now`, ns.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn begin(choice: &AudioChoice, now: u64) -> Result<Self> {
        Ok(Self(match choice {
            AudioChoice::None => None,
            AudioChoice::Wav(file) => Some(Mixer::new(WavFile::create(file)?, now)),
        }))
    }

    /// Takes sound that the machine makes.
    pub fn hear(&mut self, sound: Sound) {
        if let Some(mixer) = &mut self.0 {
            mixer.hear(sound);
        }
    }

    /// Virtual time has come to `now`, ns.
    pub fn advance_to(&mut self, now: u64) {
        if let Some(mixer) = &mut self.0 {
            mixer.advance_to(now);
        }
    }

    /// The machine is at virtual time `now`, ns: what lies between is not played.
    pub fn jump_to(&mut self, now: u64) {
        if let Some(mixer) = &mut self.0 {
            mixer.jump_to(now);
        }
    }

    /// The run ends at `now`, ns.
    ///
    /// # Errors
    /// When the file could not be written whole.
    pub fn finish(&mut self, now: u64) -> Result<()> {
        self.0.take().map_or(Ok(()), |mixer| mixer.finish(now).finish())
    }
}
