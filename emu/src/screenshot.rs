//! Pictures of the screen as PNG files.

use amber_devices::display::Picture;
use png::{BitDepth, ColorType, Encoder, EncodingError};
use std::path::Path;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ScreenshotError {
    #[error("the picture cannot be written as PNG: {0}")]
    Encode(#[from] EncodingError),
    #[error("{}: cannot be written: {cause}", file.display())]
    Write { file: std::path::PathBuf, cause: std::io::Error },
}

/// The picture as PNG.
///
/// # Errors
/// Never for a picture of a screen.
pub fn to_png(picture: &Picture) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    let colours: Vec<u8> = picture.pixels.chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
    writer.write_image_data(&colours)?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes the picture to a file.
///
/// # Errors
/// When the file cannot be written.
pub fn write(picture: &Picture, file: &Path) -> Result<(), ScreenshotError> {
    let bytes = to_png(picture)?;
    std::fs::write(file, bytes).map_err(|cause| ScreenshotError::Write { file: file.to_owned(), cause })
}
