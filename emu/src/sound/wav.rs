//! Sound as a WAV file.

use super::{RATE, Sink};
use anyhow::{Context, Result};
use hound::{SampleFormat, WavSpec, WavWriter};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

const SPEC: WavSpec =
    WavSpec { channels: 2, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
/// Most frames of a file: its lengths have 32 bits.
const FRAMES_MAX: u64 = (u32::MAX as u64 - 1024) / 4;

/// The file. What goes wrong is told at the end: the run does not stop for it.
pub struct WavFile {
    name: PathBuf,
    /// None once it has ended.
    writer: Option<WavWriter<BufWriter<File>>>,
    frames: u64,
    failed: Option<hound::Error>,
}

impl WavFile {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(name: &Path) -> Result<Self> {
        let writer = WavWriter::create(name, SPEC)
            .with_context(|| format!("--audio wav:{}: cannot be created", name.display()))?;
        Ok(Self { name: name.to_owned(), writer: Some(writer), frames: 0, failed: None })
    }
}

impl Sink for WavFile {
    fn play(&mut self, frames: &[[i16; 2]]) {
        let Some(writer) = &mut self.writer else { return };
        for frame in frames {
            self.frames += 1;
            if self.failed.is_some() || self.frames > FRAMES_MAX {
                return;
            }
            let wrote = frame.iter().try_for_each(|sample| writer.write_sample(*sample));
            self.failed = wrote.err();
        }
    }

    fn end(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let wrote = self.failed.take().map_or(Ok(()), Err).and(writer.finalize());
        wrote.with_context(|| format!("--audio wav:{}: cannot be written", self.name.display()))?;
        if self.frames > FRAMES_MAX {
            tracing::warn!(
                "{}: a WAV file has no room for more than six hours; it ends there",
                self.name.display()
            );
        }
        Ok(())
    }
}
