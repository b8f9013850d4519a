//! Glyphs of boxes with double lines, which the font does not tell from single ones: drawn from what goes where.

use super::font::{GLYPH_LEN, Glyph};

/// Lines to the left, to the right, up and down: none, one or two.
type Arms = [u8; 4];

pub(super) const BOXES: [(char, Arms); 29] = [
    ('═', [2, 2, 0, 0]),
    ('║', [0, 0, 2, 2]),
    ('╒', [0, 2, 0, 1]),
    ('╓', [0, 1, 0, 2]),
    ('╔', [0, 2, 0, 2]),
    ('╕', [2, 0, 0, 1]),
    ('╖', [1, 0, 0, 2]),
    ('╗', [2, 0, 0, 2]),
    ('╘', [0, 2, 1, 0]),
    ('╙', [0, 1, 2, 0]),
    ('╚', [0, 2, 2, 0]),
    ('╛', [2, 0, 1, 0]),
    ('╜', [1, 0, 2, 0]),
    ('╝', [2, 0, 2, 0]),
    ('╞', [0, 2, 1, 1]),
    ('╟', [0, 1, 2, 2]),
    ('╠', [0, 2, 2, 2]),
    ('╡', [2, 0, 1, 1]),
    ('╢', [1, 0, 2, 2]),
    ('╣', [2, 0, 2, 2]),
    ('╤', [2, 2, 0, 1]),
    ('╥', [1, 1, 0, 2]),
    ('╦', [2, 2, 0, 2]),
    ('╧', [2, 2, 1, 0]),
    ('╨', [1, 1, 2, 0]),
    ('╩', [2, 2, 2, 0]),
    ('╪', [2, 2, 1, 1]),
    ('╫', [1, 1, 2, 2]),
    ('╬', [2, 2, 2, 2]),
];

/// The font's single lines are columns 3 and 4, and row 7; of two lines, one is before and one behind. By where they are
/// (before, at, behind the middle): first columns of lines down, of two each, and rows of lines across.
const COLUMNS: [u8; 3] = [1, 3, 5];
const ROWS: [u8; 3] = [6, 7, 8];
const LAST_COLUMN: u8 = 7;
const LAST_ROW: u8 = 2 * ROWS[1];

/// The glyph with these arms.
pub(super) fn glyph([left, right, up, down]: Arms) -> Glyph {
    let mut glyph = [0; GLYPH_LEN];
    for (mirrored, lines, opposite) in [(false, right, left), (true, left, right)] {
        for (from, across) in arm(lines, opposite, up, down) {
            for x in COLUMNS[from]..=LAST_COLUMN {
                set(&mut glyph, if mirrored { LAST_COLUMN - x } else { x }, ROWS[across]);
            }
        }
    }
    for (mirrored, lines, opposite) in [(false, down, up), (true, up, down)] {
        for (from, across) in arm(lines, opposite, left, right) {
            for y in ROWS[from]..GLYPH_LEN as u8 {
                let y = if mirrored { LAST_ROW.wrapping_sub(y) } else { y };
                (0..2).for_each(|n| set(&mut glyph, COLUMNS[across] + n, y));
            }
        }
    }
    glyph
}

/// The lines of an arm: whether each begins before (0), at (1) or behind (2) the middle, and where it lies across. `before` and
/// `behind` are the arms at right angles.
fn arm(lines: u8, opposite: u8, before: u8, behind: u8) -> Vec<(usize, usize)> {
    // A double line on its side takes a line in where it is near; else the line turns its corner outside.
    let begins = |side: u8, other: u8| match (side, other) {
        (2, _) => 2,
        (0, 2) => 0,
        _ => 1,
    };
    match lines {
        0 => Vec::new(),
        1 if before == 2 && behind == 2 && opposite == 0 => vec![(2, 1)],
        1 if before == 2 || behind == 2 => vec![(0, 1)],
        1 => vec![(1, 1)],
        _ => vec![(begins(before, behind), 0), (begins(behind, before), 2)],
    }
}

fn set(glyph: &mut Glyph, x: u8, y: u8) {
    if let Some(row) = glyph.get_mut(usize::from(y)) {
        *row |= 0x80 >> x;
    }
}
