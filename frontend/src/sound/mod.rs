//! Sound on the host's loudspeakers: the machine's stream, laid out in virtual time, through a ring to cpal's thread.

mod feed;

use amber_emu::sound::{RATE, Sink};
use anyhow::{Context, Result, bail};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{FromSample, SampleFormat, SizedSample, Stream, StreamConfig, SupportedStreamConfig};
use feed::Feed;
use rtrb::{Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    ring: Producer<[i16; 2]>,
    volume: Arc<Volume>,
    played: u64,
    /// Plays until it is dropped.
    _stream: Stream,
}

impl Loudspeakers {
    /// Opens the host's default output.
    ///
    /// # Errors
    /// When there is none, or it plays nothing this program can give it.
    pub fn open(volume: Arc<Volume>) -> Result<Self> {
        let device = cpal::default_host().default_output_device();
        let device = device.context("sound: this host has no output; --audio none does without")?;
        let config = output(&device)?;
        let (ring, frames) = RingBuffer::new(ROOM);
        let rate = f64::from(config.sample_rate());
        let feed = Feed::new(frames, f64::from(RATE) / rate, Arc::clone(&volume));
        let stream = stream(&device, &config, feed).context("sound: the host's output cannot be opened")?;
        stream.play().context("sound: the host's output does not play")?;
        tracing::info!(target: "sound", "plays {} Hz, {} channels, {}", rate, config.channels(), config.sample_format());
        Ok(Self { ring, volume, played: 0, _stream: stream })
    }
}

/// What the device is to be given: the machine's own rate if it takes that, else what it likes best.
fn output(device: &cpal::Device) -> Result<SupportedStreamConfig> {
    let best = device.default_output_config().context("sound: the host's output plays nothing")?;
    let Ok(configs) = device.supported_output_configs() else { return Ok(best) };
    let fits = |range: &cpal::SupportedStreamConfigRange| {
        range.channels() == best.channels() && range.sample_format() == best.sample_format()
    };
    let own = configs.filter(fits).find_map(|range| range.try_with_sample_rate(RATE));
    Ok(own.unwrap_or(best))
}

fn stream(device: &cpal::Device, config: &SupportedStreamConfig, feed: Feed) -> Result<Stream> {
    let shape = config.config();
    match config.sample_format() {
        SampleFormat::F32 => playing::<f32>(device, shape, feed),
        SampleFormat::I16 => playing::<i16>(device, shape, feed),
        SampleFormat::I32 => playing::<i32>(device, shape, feed),
        SampleFormat::U16 => playing::<u16>(device, shape, feed),
        SampleFormat::U8 => playing::<u8>(device, shape, feed),
        other => bail!("it wants samples as {other}, which are not made here"),
    }
}

fn playing<T: SizedSample + FromSample<f32>>(
    device: &cpal::Device,
    shape: StreamConfig,
    mut feed: Feed,
) -> Result<Stream> {
    let channels = usize::from(shape.channels).max(1);
    let data = move |out: &mut [T], _: &cpal::OutputCallbackInfo| {
        feed.begin(out.len() / channels);
        for frame in out.chunks_mut(channels) {
            let [left, right] = feed.next();
            for (n, sample) in frame.iter_mut().enumerate() {
                // One loudspeaker plays both sides; of more than two the first two play.
                let value = match (channels, n) {
                    (1, _) => f32::midpoint(left, right),
                    (_, 0) => left,
                    (_, 1) => right,
                    _ => 0.0,
                };
                *sample = T::from_sample(value);
            }
        }
    };
    let failed = |error| tracing::warn!(target: "sound", "the host's output: {error}");
    Ok(device.build_output_stream(shape, data, failed, None)?)
}

impl Sink for Loudspeakers {
    fn play(&mut self, frames: &[[i16; 2]]) {
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
