//! Small pictures of machines' screens, as snapshots and the program's own folder keep them.

use egui::ColorImage;
use png::{BitDepth, ColorType, Decoder, Limits};
use std::io::{BufRead, Seek};

/// Pixels a snapshot's picture has at most: width and height.
pub const OF_SNAPSHOT: [usize; 2] = [320, 200];
/// Bytes the decoder may take for what is not pixels.
const ASIDE_MAX: usize = 1 << 20;

/// A picture out of a PNG file, whoever wrote it; none if it is not one of a screen, or has more pixels than `most` either way.
pub fn read(source: impl BufRead + Seek, most: [usize; 2]) -> Option<ColorImage> {
    let mut reader = Decoder::new_with_limits(source, Limits { bytes: ASIDE_MAX }).read_info().ok()?;
    let info = reader.info();
    let size = [info.width as usize, info.height as usize];
    let of_screen = info.color_type == ColorType::Rgb && info.bit_depth == BitDepth::Eight;
    if !of_screen || size[0] > most[0] || size[1] > most[1] {
        return None;
    }
    let mut pixels = vec![0; reader.output_buffer_size()?];
    let frame = reader.next_frame(&mut pixels).ok()?;
    let whole =
        [frame.width as usize, frame.height as usize] == size && pixels.len() == size[0] * size[1] * 3;
    whole.then(|| ColorImage::from_rgb(size, &pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_devices::display::Picture;
    use std::io::Cursor;

    fn read_snapshot(bytes: &[u8]) -> Option<ColorImage> {
        read(Cursor::new(bytes), OF_SNAPSHOT)
    }

    fn picture(width: u32, height: u32) -> Vec<u8> {
        let pixels = [1, 2, 3, 255].repeat((width * height) as usize);
        amber_emu::screenshot::to_png(&Picture { width, height, pixels }).unwrap()
    }

    /// A picture of a few bytes whose header says any size.
    fn header(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        writer.write_chunk(png::chunk::IDAT, b"\x78\x9C\x03\0\0\0\0\x01").unwrap();
        drop(writer);
        bytes
    }

    #[test]
    fn what_a_snapshot_keeps_is_read_and_nothing_else() {
        let pixels = [[1, 2, 3, 255], [4, 5, 6, 255]].concat();
        let png = amber_emu::screenshot::to_png(&Picture { width: 2, height: 1, pixels: pixels.clone() });
        let read_back = read_snapshot(&png.unwrap()).expect("a picture");
        assert_eq!(read_back.size, [2, 1]);
        assert_eq!(read_back.pixels.iter().flat_map(|pixel| pixel.to_array()).collect::<Vec<u8>>(), pixels);
        assert!(read_snapshot(b"no picture").is_none() && read_snapshot(&[]).is_none());
    }

    #[test]
    fn what_is_larger_than_a_thumbnail_is_none() {
        assert_eq!(read_snapshot(&picture(320, 200)).map(|picture| picture.size), Some([320, 200]));
        assert!(read_snapshot(&picture(321, 1)).is_none() && read_snapshot(&picture(1, 201)).is_none());
        assert!(read(Cursor::new(picture(3, 2)), [2, 2]).is_none());
        assert!(read_snapshot(&picture(40_000, 1)).is_none());
    }

    #[test]
    fn a_header_takes_no_memory_for_pixels_that_are_not_there() {
        for (width, height) in [(1 << 30, 1 << 30), (40_000, 1), (320, 200)] {
            assert!(read_snapshot(&header(width, height)).is_none(), "{width} x {height}");
        }
    }
}
