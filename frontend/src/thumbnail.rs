//! Small pictures of machines' screens, as snapshots keep them.

use egui::ColorImage;
use std::io::Cursor;

/// A picture out of a PNG file's bytes; none if it is not one of a screen.
pub fn read(bytes: &[u8]) -> Option<ColorImage> {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut pixels).ok()?;
    let size = [info.width as usize, info.height as usize];
    let whole = info.color_type == png::ColorType::Rgb
        && info.bit_depth == png::BitDepth::Eight
        && info.buffer_size() == size[0] * size[1] * 3;
    whole.then(|| ColorImage::from_rgb(size, &pixels[..info.buffer_size()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_devices::display::Picture;

    #[test]
    fn what_a_snapshot_keeps_is_read_and_nothing_else() {
        let pixels = [[1, 2, 3, 255], [4, 5, 6, 255]].concat();
        let png = amber_emu::screenshot::to_png(&Picture { width: 2, height: 1, pixels: pixels.clone() });
        let read_back = read(&png.unwrap()).expect("a picture");
        assert_eq!(read_back.size, [2, 1]);
        assert_eq!(read_back.pixels.iter().flat_map(|pixel| pixel.to_array()).collect::<Vec<u8>>(), pixels);
        assert!(read(b"no picture").is_none() && read(&[]).is_none());
    }
}
