//! The machines that ran last, and what they showed last.

use super::settings::replace;
use super::thumbnail;
use egui::ColorImage;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many are remembered.
const MOST: usize = 12;
/// Pixels a picture has at most.
const WIDTH: usize = 240;
const HEIGHT: usize = 150;
/// Lines of a serial port that are kept.
const LINES: usize = 25;

/// A machine that ran: a MACHINE.toml, or a `.amber` file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    pub file: PathBuf,
    /// When it was started last, Unix seconds.
    pub opened: u64,
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Puts a machine first.
pub fn remember(recent: &mut Vec<Recent>, file: &Path) {
    recent.retain(|other| other.file != file);
    recent.insert(0, Recent { file: file.to_owned(), opened: now() });
    recent.truncate(MOST);
}

/// How long ago, in words.
pub fn ago(then: u64, now: u64) -> String {
    let count = |n: u64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match now.saturating_sub(then) {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => count(seconds / 60, "minute"),
        seconds @ 3600..86_400 => count(seconds / 3600, "hour"),
        seconds => count(seconds / 86_400, "day"),
    }
}

/// What a machine showed last.
#[derive(Clone, Debug, PartialEq)]
pub enum Last {
    Screen(ColorImage),
    /// The end of what the serial port said.
    Serial(String),
}

impl Last {
    /// A picture that is small enough to be kept.
    pub fn of_screen(screen: &ColorImage) -> Self {
        Self::Screen(smaller(screen))
    }

    /// The last lines of a terminal.
    pub fn of_serial(text: &str) -> Self {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        Self::Serial(lines[lines.len().saturating_sub(LINES)..].join("\n"))
    }

    /// Keeps it for a machine's file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path, machine: &Path) -> std::io::Result<()> {
        let [picture, text] = files(folder, machine);
        let (file, other, bytes) = match self {
            Self::Screen(screen) => (picture, text, png(screen).map_err(std::io::Error::other)?),
            Self::Serial(words) => (text, picture, words.clone().into_bytes()),
        };
        // There may be none.
        let _ = std::fs::remove_file(other);
        replace(&file, &bytes)
    }

    /// What is kept for a machine's file. What cannot be read is not there.
    pub fn read(folder: &Path, machine: &Path) -> Option<Self> {
        let [picture, text] = files(folder, machine);
        if let Ok(words) = std::fs::read_to_string(text) {
            return Some(Self::Serial(words));
        }
        let picture = BufReader::new(File::open(picture).ok()?);
        thumbnail::read(picture, [WIDTH, HEIGHT]).map(Self::Screen)
    }

    /// Forgets it.
    pub fn remove(folder: &Path, machine: &Path) {
        for file in files(folder, machine) {
            // There may be none.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// By the path of the machine: a picture, and a text.
fn files(folder: &Path, machine: &Path) -> [PathBuf; 2] {
    // FNV-1a, 64 bits.
    let hash =
        machine.as_os_str().as_encoded_bytes().iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3)
        });
    ["png", "txt"].map(|kind| folder.join(format!("{hash:016x}.{kind}")))
}

/// The image by a whole factor smaller, each pixel the mean of those it stands for.
fn smaller(image: &ColorImage) -> ColorImage {
    let [width, height] = image.size;
    let factor = width.div_ceil(WIDTH).max(height.div_ceil(HEIGHT)).max(1);
    let size = [(width / factor).max(1).min(width), (height / factor).max(1).min(height)];
    let mean = |n: usize| {
        let (x, y) = (n % size[0] * factor, n / size[0] * factor);
        let lines = (y..(y + factor).min(height)).map(|line| line * width);
        let pixels = lines.flat_map(|line| &image.pixels[line + x..line + (x + factor).min(width)]);
        let (mut sum, mut count) = ([0u32; 3], 0);
        for pixel in pixels {
            [pixel.r(), pixel.g(), pixel.b()]
                .into_iter()
                .zip(&mut sum)
                .for_each(|(c, sum)| *sum += u32::from(c));
            count += 1;
        }
        let [r, g, b] = sum.map(|sum| (sum / count.max(1)) as u8);
        egui::Color32::from_rgb(r, g, b)
    };
    ColorImage::new(size, (0..size[0] * size[1]).map(mean).collect())
}

fn png(image: &ColorImage) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.size[0] as u32, image.size[1] as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let colours: Vec<u8> = image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&colours)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_tests::program::Scratch;
    use egui::Color32;

    #[test]
    fn the_last_one_is_first_and_each_is_there_once() {
        let mut recent = Vec::new();
        for n in 0..MOST + 3 {
            remember(&mut recent, Path::new(&format!("/{n}.toml")));
        }
        remember(&mut recent, Path::new("/5.toml"));
        assert_eq!(recent.len(), MOST);
        assert_eq!(recent[0].file, Path::new("/5.toml"));
        assert_eq!(recent.iter().filter(|other| other.file == Path::new("/5.toml")).count(), 1);
    }

    #[test]
    fn times_are_in_words() {
        let words = |seconds: u64| ago(1000, 1000 + seconds);
        assert_eq!(words(59), "just now");
        assert_eq!(words(60), "1 minute ago");
        assert_eq!(words(2 * 3600 + 5), "2 hours ago");
        assert_eq!(words(86_400 * 40), "40 days ago");
        assert_eq!(ago(1000, 5), "just now", "clocks may be wrong");
    }

    #[test]
    fn the_last_screen_is_kept_small_and_comes_back() {
        let scratch = Scratch::new("recent-picture");
        let (folder, machine) = (scratch.0.join("pictures"), Path::new("/m/a.toml"));
        let left = |n: usize| if n % 720 < 360 { Color32::RED } else { Color32::BLUE };
        let last = Last::of_screen(&ColorImage::new([720, 400], (0..720 * 400).map(left).collect()));
        let Last::Screen(small) = &last else { panic!("it is a screen") };
        assert_eq!(small.size, [240, 133]);
        assert_eq!((small.pixels[0], small.pixels[239]), (Color32::RED, Color32::BLUE));
        last.write(&folder, machine).unwrap();
        assert_eq!(Last::read(&folder, machine), Some(last));
        let text: String = (0..40).map(|n| format!("line {n}\n")).collect();
        let serial = Last::of_serial(&text);
        serial.write(&folder, machine).unwrap();
        assert_eq!(Last::read(&folder, machine), Some(serial));
        assert_eq!(Last::read(&folder, Path::new("/m/b.toml")), None);
        Last::remove(&folder, machine);
        assert_eq!(Last::read(&folder, machine), None);
    }

    #[test]
    fn screens_of_any_size_become_small() {
        for size in [[1, 1], [1, 4000], [4000, 1], [241, 150], [2560, 1600]] {
            let small = smaller(&ColorImage::filled(size, Color32::WHITE));
            assert!(small.size[0] <= WIDTH && small.size[1] <= HEIGHT, "{size:?} {:?}", small.size);
            assert!(small.pixels.iter().all(|pixel| *pixel == Color32::WHITE), "{size:?}");
        }
    }
}
