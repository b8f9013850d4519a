//! The characters of a PC (code page 437) and their glyphs, as a VGA's firmware has them: Spleen 8x16, and the glyphs that it
//! does not have.

use super::boxes::{BOXES, glyph};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Rows of a glyph.
pub(crate) const GLYPH_LEN: usize = 16;
/// A row of 8 pixels in each byte, the leftmost in bit 7.
pub(crate) type Glyph = [u8; GLYPH_LEN];

/// Characters of the codes that are not ASCII's; 00h is shown as nothing.
const LOW: [char; 32] = [
    ' ', '☺', '☻', '♥', '♦', '♣', '♠', '•', '◘', '○', '◙', '♂', '♀', '♪', '♫', '☼', '►', '◄', '↕', '‼', '¶',
    '§', '▬', '↨', '↑', '↓', '→', '←', '∟', '↔', '▲', '▼',
];
const HIGH: [char; 129] = [
    '⌂', 'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ', 'ô',
    'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿',
    '⌐', '¬', '½', '¼', '¡', '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕', '╣', '║', '╗', '╝', '╜',
    '╛', '┐', '└', '┴', '┬', '├', '─', '┼', '╞', '╟', '╚', '╔', '╩', '╦', '╠', '═', '╬', '╧', '╨', '╤', '╥',
    '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█', '▄', '▌', '▐', '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ',
    'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±', '≥', '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ',
    '²', '■', ' ',
];

/// Glyphs drawn for this program.
const OWN: [(char, Glyph); 11] = [
    ('►', [0, 0, 0, 0x40, 0x60, 0x70, 0x78, 0x7c, 0x78, 0x70, 0x60, 0x40, 0, 0, 0, 0]),
    ('◄', [0, 0, 0, 0x04, 0x0c, 0x1c, 0x3c, 0x7c, 0x3c, 0x1c, 0x0c, 0x04, 0, 0, 0, 0]),
    ('∟', [0, 0, 0, 0, 0, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x7e, 0, 0, 0, 0]),
    ('α', [0, 0, 0, 0, 0, 0x3a, 0x4c, 0x44, 0x44, 0x44, 0x4c, 0x3a, 0, 0, 0, 0]),
    ('Σ', [0, 0, 0x7e, 0x42, 0x20, 0x10, 0x08, 0x08, 0x10, 0x20, 0x42, 0x7e, 0, 0, 0, 0]),
    ('σ', [0, 0, 0, 0, 0, 0x3e, 0x48, 0x44, 0x44, 0x44, 0x44, 0x38, 0, 0, 0, 0]),
    ('τ', [0, 0, 0, 0, 0, 0x7e, 0x10, 0x10, 0x10, 0x10, 0x12, 0x0c, 0, 0, 0, 0]),
    ('Θ', [0, 0, 0x3c, 0x42, 0x42, 0x42, 0x7e, 0x42, 0x42, 0x42, 0x42, 0x3c, 0, 0, 0, 0]),
    ('δ', [0, 0, 0x3e, 0x40, 0x20, 0x18, 0x3c, 0x42, 0x42, 0x42, 0x42, 0x3c, 0, 0, 0, 0]),
    ('φ', [0, 0, 0, 0x08, 0x08, 0x3e, 0x49, 0x49, 0x49, 0x49, 0x3e, 0x08, 0x08, 0, 0, 0]),
    ('ε', [0, 0, 0, 0, 0, 0x1e, 0x20, 0x40, 0x3c, 0x40, 0x40, 0x3e, 0, 0, 0, 0]),
];

/// The character of a code.
pub(crate) fn character(code: u8) -> char {
    match code {
        0..=0x1f => LOW[usize::from(code)],
        0x20..=0x7e => char::from(code),
        _ => HIGH[usize::from(code - 0x7f)],
    }
}

/// The glyphs by code.
pub(crate) fn glyphs() -> &'static [Glyph; 256] {
    static GLYPHS: OnceLock<[Glyph; 256]> = OnceLock::new();
    GLYPHS.get_or_init(|| {
        let mut known = spleen();
        known.extend(OWN);
        known.extend(BOXES.map(|(character, arms)| (character, glyph(arms))));
        std::array::from_fn(|code| known.get(&character(code as u8)).copied().unwrap_or([0; GLYPH_LEN]))
    })
}

/// Spleen's glyphs by character: a PSF 1 file of 512 glyphs, with a list of characters (UTF-16) for each that FFFFh ends.
fn spleen() -> BTreeMap<char, Glyph> {
    const HEADER: usize = 4;
    const GLYPHS: usize = 512;
    const END: u16 = 0xffff;
    let file = spleen_font::FONT_8X16;
    let (glyphs, names) = file[HEADER..].split_at(GLYPHS * GLYPH_LEN);
    let names = names.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let names: Vec<u16> = names.collect();
    let mut known = BTreeMap::new();
    for (glyph, names) in glyphs.chunks_exact(GLYPH_LEN).zip(names.split(|name| *name == END)) {
        let mut rows = [0; GLYPH_LEN];
        rows.copy_from_slice(glyph);
        known.extend(names.iter().filter_map(|name| Some((char::from_u32(u32::from(*name))?, rows))));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_but_the_blank_ones_has_a_glyph() {
        for code in 0..=255u8 {
            let blank = glyphs()[usize::from(code)] == [0; GLYPH_LEN];
            assert_eq!(blank, character(code) == ' ', "code {code:#x} {}", character(code));
        }
    }

    #[test]
    fn box_drawing_joins() {
        let row = |code: u8| glyphs()[usize::from(code)];
        assert!(row(0xc4).contains(&0xff), "a horizontal line goes from edge to edge");
        assert!(row(0xdb).iter().all(|row| *row == 0xff));
    }
}
