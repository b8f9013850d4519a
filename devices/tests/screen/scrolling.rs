//! Smooth scrolling: by dots, by lines, and above a part of the screen that stands still.

use super::*;

/// Text with its first rows full of characters and attributes that differ.
fn text() -> Guest {
    let mut guest = Guest::new();
    for at in 0..160 * 30u64 {
        guest.store(B8000 + at, (at * 7 + at / 160) as u8);
    }
    guest.indexed(0x3d4, &[(0x0a, 0x20)]);
    guest
}

fn attribute(guest: &mut Guest, index: u8, value: u8) {
    guest.input(0x3da);
    guest.out(0x3c0, index | 0x20);
    guest.out(0x3c0, value);
}

/// Asserts that in these lines `picture` is `from`, moved by so many pixels to the left and so many lines up.
fn assert_moved(picture: &Picture, from: &Picture, lines: std::ops::Range<u32>, left: u32, up: u32) {
    for y in lines {
        for x in 0..picture.width - left {
            assert_eq!(pixel(picture, x, y), pixel(from, x + left, y + up), "at {x}, {y}");
        }
    }
}

#[test]
fn text_moves_by_dots_and_by_characters() {
    let mut guest = text();
    let still = guest.picture();
    for (shift, left) in [(8, 0), (0, 1), (3, 4), (7, 8)] {
        attribute(&mut guest, 0x13, shift);
        let picture = guest.picture();
        assert_moved(&picture, &still, 0..400, left, 0);
        if left > 0 {
            // What comes in at the right is the next character, that of the next row.
            assert_moved(&Picture { width: left, ..cut(&picture, 720 - left) }, &still, 0..384, 0, 16);
        }
    }
    attribute(&mut guest, 0x13, 1);
    guest.indexed(0x3d4, &[(8, 0x40)]);
    assert_moved(&guest.picture(), &still, 0..400, 2 * 9 + 2, 0);
    // Characters of eight dots count from none.
    guest.indexed(0x3d4, &[(8, 0)]);
    guest.indexed(0x3c4, &[(1, 1)]);
    attribute(&mut guest, 0x13, 0);
    let narrow = guest.picture();
    assert_eq!(narrow.width, 640);
    attribute(&mut guest, 0x13, 5);
    assert_moved(&guest.picture(), &narrow, 0..400, 5, 0);
}

/// The picture from column `x` on.
fn cut(picture: &Picture, x: u32) -> Picture {
    let lines = picture.pixels.chunks_exact(4 * picture.width as usize);
    let pixels = lines.flat_map(|line| line[4 * x as usize..].to_vec()).collect();
    Picture { width: picture.width - x, height: picture.height, pixels }
}

#[test]
fn text_moves_by_lines() {
    let mut guest = text();
    let still = guest.picture();
    for row in [1, 9, 15] {
        guest.indexed(0x3d4, &[(8, row)]);
        assert_moved(&guest.picture(), &still, 0..384, 0, u32::from(row));
    }
    // The text is still that of its rows.
    let text = guest.text().unwrap();
    assert_eq!(text.lines().count(), 26, "25 rows, of which the first and the last are seen in part");
}

#[test]
fn the_lower_part_of_a_split_screen_stands_still_if_it_is_told_to() {
    let mut guest = text();
    let still = guest.picture();
    attribute(&mut guest, 0x13, 8);
    // From line 200 on there are the rows from address 0; above it those from row 4 on, from their third line on.
    guest.indexed(0x3d4, &[(0x11, 0x0e), (0x18, 199), (7, 0x0f), (9, 0x0f)]);
    guest.indexed(0x3d4, &[(0x0c, (320u16 >> 8) as u8), (0x0d, 320u16 as u8), (8, 0x22)]);
    attribute(&mut guest, 0x13, 2);
    let moved = guest.picture();
    assert_moved(&moved, &still, 0..200, 9 + 3, 4 * 16 + 2);
    for y in 200..400 {
        assert_eq!(pixel(&moved, 0, y), pixel(&still, 12, y - 200), "the lower part moves, too");
    }
    attribute(&mut guest, 0x10, 0x2c);
    let stands = guest.picture();
    assert_moved(&stands, &still, 0..200, 9 + 3, 4 * 16 + 2);
    for y in 200..400 {
        for x in 0..720 {
            assert_eq!(pixel(&stands, x, y), pixel(&still, x, y - 200));
        }
    }
}

#[test]
fn graphics_move_by_dots() {
    let mut guest = Guest::new();
    guest.set_mode(&MODE_12H);
    guest.set_colours();
    for plane in 0..4u8 {
        guest.indexed(0x3c4, &[(2, 1 << plane)]);
        for at in 0..80 * 480u64 {
            guest.store(A0000 + at, (at * 5 + at / 80 * 3 + u64::from(plane) * 0x47) as u8);
        }
    }
    let still = guest.picture();
    for shift in [1, 7] {
        attribute(&mut guest, 0x13, shift);
        assert_moved(&guest.picture(), &still, 0..480, u32::from(shift), 0);
    }
    guest.indexed(0x3d4, &[(8, 0x60)]);
    assert_moved(&guest.picture(), &still, 0..480, 3 * 8 + 7, 0);
    guest.set_mode(&MODE_13H);
    (0..64_000u64).for_each(|at| guest.store(A0000 + at, (at % 320 + at / 320) as u8));
    let still = guest.picture();
    attribute(&mut guest, 0x13, 6);
    assert_moved(&guest.picture(), &still, 0..200, 3, 0);
}
