//! The host's output: a stream of cpal's, opened again when it breaks or its device goes.

use super::feed::Feed;
use super::{ROOM, Volume};
use amber_emu::sound::RATE;
use anyhow::{Context, Result, bail};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{ErrorKind, FromSample, SampleFormat, SizedSample, Stream, StreamConfig, SupportedStreamConfig};
use rtrb::{Producer, RingBuffer};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Before a stream that broke is opened again; twice as long each time it could not be, up to the longest.
const SOON: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(2);

/// The end of a ring to which the machine's frames go.
pub type Ring = Producer<[i16; 2]>;

/// What ends a stream.
pub enum Stop {
    /// It plays nothing more, for this reason.
    Broke(cpal::Error),
    /// Nobody wants to hear more.
    Over,
}

/// Plays until it is over: each stream's ring, or why the first cannot be, goes to `rings`.
pub fn play(volume: &Arc<Volume>, rings: &Sender<Result<Ring>>, stops: &Receiver<Stop>, stop: &Sender<Stop>) {
    let mut opened = open(volume, stop);
    loop {
        let stream = match opened {
            Ok((stream, ring)) => rings.send(Ok(ring)).map(|()| stream),
            Err(error) => return drop(rings.send(Err(error))),
        };
        let (Ok(stream), Ok(Stop::Broke(error))) = (stream, stops.recv()) else { return };
        tracing::warn!(target: "sound", "the host's output: {error}; it is opened again");
        drop(stream);
        let Some(next) = reopen(volume, stops, stop) else { return };
        opened = Ok(next);
    }
}

/// Tries until there is an output again; none when it is over.
fn reopen(volume: &Arc<Volume>, stops: &Receiver<Stop>, stop: &Sender<Stop>) -> Option<(Stream, Ring)> {
    let mut wait = SOON;
    loop {
        if let Ok(Stop::Over) | Err(RecvTimeoutError::Disconnected) = stops.recv_timeout(wait) {
            return None;
        }
        match open(volume, stop) {
            Ok(opened) => return Some(opened),
            Err(error) => tracing::debug!(target: "sound", "{error:#}"),
        }
        wait = (wait * 2).min(LATEST);
    }
}

/// Opens the host's default output.
fn open(volume: &Arc<Volume>, stop: &Sender<Stop>) -> Result<(Stream, Ring)> {
    let device = cpal::default_host().default_output_device();
    let device = device.context("sound: this host has no output; --audio none does without")?;
    let config = configuration(&device)?;
    let (ring, frames) = RingBuffer::new(ROOM);
    let rate = f64::from(config.sample_rate());
    let feed = Feed::new(frames, f64::from(RATE) / rate, Arc::clone(volume));
    let stream =
        stream(&device, &config, feed, stop.clone()).context("sound: the host's output cannot be opened")?;
    stream.play().context("sound: the host's output does not play")?;
    tracing::info!(target: "sound", "plays {} Hz, {} channels, {}", rate, config.channels(), config.sample_format());
    Ok((stream, ring))
}

/// What the device is to be given: the machine's own rate if it takes that, else what it likes best.
fn configuration(device: &cpal::Device) -> Result<SupportedStreamConfig> {
    let best = device.default_output_config().context("sound: the host's output plays nothing")?;
    let Ok(configs) = device.supported_output_configs() else { return Ok(best) };
    let fits = |range: &cpal::SupportedStreamConfigRange| {
        range.channels() == best.channels() && range.sample_format() == best.sample_format()
    };
    let own = configs.filter(fits).find_map(|range| range.try_with_sample_rate(RATE));
    Ok(own.unwrap_or(best))
}

fn stream(
    device: &cpal::Device,
    config: &SupportedStreamConfig,
    feed: Feed,
    stop: Sender<Stop>,
) -> Result<Stream> {
    let shape = config.config();
    match config.sample_format() {
        SampleFormat::F32 => playing::<f32>(device, shape, feed, stop),
        SampleFormat::I16 => playing::<i16>(device, shape, feed, stop),
        SampleFormat::I32 => playing::<i32>(device, shape, feed, stop),
        SampleFormat::U16 => playing::<u16>(device, shape, feed, stop),
        SampleFormat::U8 => playing::<u8>(device, shape, feed, stop),
        other => bail!("it wants samples as {other}, which are not made here"),
    }
}

fn playing<T: SizedSample + FromSample<f32>>(
    device: &cpal::Device,
    shape: StreamConfig,
    mut feed: Feed,
    stop: Sender<Stop>,
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
    // A stream that broke says so without end.
    let mut broke = false;
    let failed = move |error: cpal::Error| {
        if plays_on(error.kind()) {
            tracing::debug!(target: "sound", "the host's output: {error}");
        } else if !std::mem::replace(&mut broke, true) {
            let _ = stop.send(Stop::Broke(error));
        }
    };
    Ok(device.build_output_stream(shape, data, failed, None)?)
}

/// Whether a stream goes on by itself after this.
fn plays_on(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged)
}
