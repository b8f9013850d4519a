//! The format of a stream (High Definition Audio 1.0a, 3.7.1), and its bytes as sound.

use crate::sound::Rate;

/// What a format register says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub rate: Rate,
    pub channels: u8,
    /// Bytes of a sample: 1, 2 or 4.
    pub sample: u8,
    /// Linear samples, and not a coded stream.
    pub linear: bool,
}

impl Format {
    pub fn of(register: u16) -> Self {
        let base = if register & 1 << 14 != 0 { 44_100 } else { 48_000 };
        let (times, parts) = (register >> 11 & 7, register >> 8 & 7);
        Self {
            rate: Rate { frames: base * (u32::from(times.min(3)) + 1), seconds: u32::from(parts) + 1 },
            channels: (register & 0xf) as u8 + 1,
            sample: match register >> 4 & 7 {
                0 => 1,
                1 => 2,
                _ => 4,
            },
            linear: register & 1 << 15 == 0,
        }
    }

    /// Bytes of a frame.
    pub fn frame(self) -> u32 {
        u32::from(self.channels) * u32::from(self.sample)
    }

    /// Frames of `bytes`, with left at channel `first` and right at the next one, if there is one.
    pub fn stereo(self, bytes: &[u8], first: u8, amplification: [u32; 2]) -> Vec<[i16; 2]> {
        let frame = self.frame() as usize;
        let channel = |side: u8| usize::from((first + side).min(self.channels - 1));
        let at = [channel(0), channel(1)].map(|channel| channel * usize::from(self.sample));
        let sample = |frame: &[u8], at: usize, factor: u32| {
            let raw = &frame[at..at + usize::from(self.sample)];
            // The most significant bytes hold 16 bits, whatever the size.
            let value = match *raw {
                [byte] => i32::from(byte as i8) << 8,
                [.., low, high] => i32::from(i16::from_le_bytes([low, high])),
                [] => 0,
            };
            ((i64::from(value) * i64::from(factor)) >> 16) as i16
        };
        let [left, right] = amplification;
        bytes
            .chunks_exact(frame)
            .map(|frame| [sample(frame, at[0], left), sample(frame, at[1], right)])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_say_rate_channels_and_size() {
        let format = Format::of(0x4011);
        assert_eq!((format.rate.frames, format.rate.seconds), (44_100, 1));
        assert_eq!((format.channels, format.sample, format.frame()), (2, 2, 4));
        let format = Format::of(1 << 11 | 2 << 8 | 4 << 4);
        assert_eq!((format.rate.frames, format.rate.seconds, format.frame()), (96_000, 3, 4));
        assert_eq!(format.rate.ns_of(32_000), 1_000_000_000);
    }

    #[test]
    fn bytes_are_left_and_right() {
        let full = [1 << 16; 2];
        let bytes = [1, 0, 0xff, 0xff, 0, 0x80, 0xff, 0x7f];
        assert_eq!(Format::of(0x11).stereo(&bytes, 0, full), [[1, -1], [i16::MIN, i16::MAX]]);
        assert_eq!(Format::of(0x10).stereo(&bytes[..2], 0, full), [[1, 1]], "one channel is both");
        assert_eq!(Format::of(0x41).stereo(&[9, 9, 1, 0, 9, 9, 2, 0], 0, full), [[1, 2]]);
        assert_eq!(Format::of(0x11).stereo(&[0, 2, 0, 2], 0, [1 << 15, 0]), [[256, 0]]);
    }
}
