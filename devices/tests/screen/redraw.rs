//! Whoever has the picture before draws the lines that changed.

use super::*;
use std::collections::BTreeSet;
use std::time::Instant;

const PAGE: u64 = 4096;

/// Guests with something on each kind of screen.
fn screens() -> Vec<(&'static str, Guest)> {
    let mut text = Guest::new();
    (0..4000u64).for_each(|at| text.store(B8000 + at, at as u8));
    let mode = |mode: &Mode| {
        let mut guest = Guest::new();
        guest.set_mode(mode);
        guest.set_colours();
        guest
    };
    let dispi = |registers: &[(u16, u16)]| {
        let mut guest = Guest::new();
        guest.set_colours();
        registers.iter().for_each(|(index, value)| guest.dispi(*index, *value));
        guest.out(0x3c0, 0x20);
        guest
    };
    let mut split = mode(&MODE_12H);
    split.indexed(0x3d4, &[(0x11, 0), (0x18, 0xef), (7, 0x2e), (9, 0), (0x0c, 0xf0), (8, 0x20)]);
    vec![
        ("text", text),
        ("12h", mode(&MODE_12H)),
        ("13h", mode(&MODE_13H)),
        ("4", mode(&MODE_4)),
        ("split", split),
        ("32 bits", dispi(&[(1, 1024), (2, 768), (3, 32), (4, 1)])),
        ("24 bits", dispi(&[(1, 800), (2, 600), (3, 24), (4, 1), (6, 1000), (8, 13), (9, 3)])),
        ("16 bits", dispi(&[(1, 640), (2, 480), (3, 16), (4, 1), (9, 100)])),
        ("8 bits", dispi(&[(1, 640), (2, 480), (3, 8), (4, 1), (8, 3)])),
        ("4 bits", dispi(&[(1, 800), (2, 600), (3, 4), (4, 1), (6, 1024), (8, 5), (9, 1)])),
    ]
}

#[test]
fn lines_drawn_again_make_the_same_picture_as_all_of_them() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    for (name, mut guest) in screens() {
        let scanout = guest.platform.scanout();
        let mut picture = scanout.render(&guest.memory);
        let shown = scanout.memory();
        let mut partly = 0;
        for _ in 0..40 {
            let mut pages = BTreeSet::new();
            for _ in 0..random(4) {
                let at = shown.start + random(shown.end - shown.start);
                guest.memory.0[at as usize] ^= random(255) as u8 + 1;
                pages.insert(at / PAGE);
            }
            let changed = |bytes: std::ops::Range<u64>| {
                (bytes.start / PAGE..bytes.end.div_ceil(PAGE)).any(|page| pages.contains(&page))
            };
            let lines = scanout.redraw(&guest.memory, &changed, &mut picture);
            assert!(picture == scanout.render(&guest.memory), "{name}");
            assert!(!pages.is_empty() || lines.is_empty(), "{name}");
            partly += u32::from(!lines.is_empty() && lines.len() < picture.height as usize / 2);
        }
        assert!(partly > 3 || name == "text", "{name}: {partly} of 40 times a part was drawn");
    }
}

/// Prints what drawing costs.
#[test]
#[ignore = "measures"]
fn cost() {
    for (name, guest) in screens() {
        let scanout = guest.platform.scanout();
        let mut picture = scanout.render(&guest.memory);
        let last = scanout.memory().end - 1;
        let mut time = |changed: &dyn Fn(std::ops::Range<u64>) -> bool| {
            let start = Instant::now();
            for _ in 0..100 {
                scanout.redraw(&guest.memory, changed, &mut picture);
            }
            start.elapsed() / 100
        };
        let (whole, line) = (time(&|_| true), time(&|bytes| bytes.contains(&last)));
        eprintln!("{name}: {whole:?} for all of it, {line:?} for what is in one place");
    }
}
