//! What guests draw is what is on the screen: modes as drivers program them, by the ports and memory a guest has.

mod redraw;
mod scrolling;

use amber_devices::display::{Picture, VideoMemory};
use amber_devices::{Backing, DisplayKind, Dma, Effect, Platform, PlatformConfig, RegionId};
use proptest::prelude::*;

const VRAM: usize = 16 << 20;
const A0000: u64 = 0xa_0000;
const B8000: u64 = 0xb_8000;
/// BAR 0 and BAR 2 of the display, where the chipset comes up with them.
const FRAME_BUFFER: u64 = 0xfd00_0000;
const REGISTERS: u64 = 0xfebf_0000;

/// Video memory and nothing else.
struct Memory(Vec<u8>);

impl Dma for Memory {
    fn read(&mut self, _gpa: u64, into: &mut [u8]) {
        into.fill(0xff);
    }
    fn write(&mut self, _gpa: u64, _from: &[u8]) {}
    fn read_vram(&mut self, at: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[at as usize..][..into.len()]);
    }
    fn write_vram(&mut self, at: u64, from: &[u8]) {
        self.0[at as usize..][..from.len()].copy_from_slice(from);
    }
}

impl VideoMemory for Memory {
    fn read(&self, at: u64, into: &mut [u8]) {
        let from = self.0.get(at as usize..).unwrap_or(&[]);
        let len = from.len().min(into.len());
        into[..len].copy_from_slice(&from[..len]);
        into[len..].fill(0);
    }
}

/// A machine of a display alone, and the memory map a guest would write through.
struct Guest {
    platform: Platform,
    memory: Memory,
}

impl Guest {
    fn new() -> Self {
        let mut guest = Self {
            platform: Platform::new(&PlatformConfig::default()).unwrap(),
            memory: Memory(vec![0; VRAM]),
        };
        guest.platform.fill_video_memory(&mut guest.memory);
        guest
    }

    fn out(&mut self, port: u16, value: u8) {
        self.platform.pio_write(&mut self.memory, port, 1, value.into());
    }

    fn input(&mut self, port: u16) -> u8 {
        self.platform.pio_read(&mut self.memory, port, 1) as u8
    }

    fn indexed(&mut self, port: u16, registers: &[(u8, u8)]) {
        for (index, value) in registers {
            self.platform.pio_write(&mut self.memory, port, 2, u32::from(*value) << 8 | u32::from(*index));
        }
    }

    fn dispi(&mut self, index: u16, value: u16) {
        self.platform.pio_write(&mut self.memory, 0x1ce, 2, index.into());
        self.platform.pio_write(&mut self.memory, 0x1cf, 2, value.into());
    }

    fn dispi_value(&mut self, index: u16) -> u16 {
        self.platform.pio_write(&mut self.memory, 0x1ce, 2, index.into());
        self.platform.pio_read(&mut self.memory, 0x1cf, 2) as u16
    }

    /// Stores as the processor does: to memory where the map has some, else to the device.
    fn store(&mut self, gpa: u64, byte: u8) {
        let map = self.platform.memory_map(false);
        let range = map.iter().find(|range| (range.base..range.end()).contains(&gpa));
        match range.map(|range| (range.base, range.write)) {
            Some((base, Backing::Region { region: RegionId::Vram, offset })) => {
                self.memory.0[(offset + gpa - base) as usize] = byte;
            }
            Some((_, Backing::Device)) => self.platform.mmio_write(&mut self.memory, gpa, 1, byte.into()),
            other => panic!("{gpa:#x} is {other:?}"),
        }
    }

    fn load(&mut self, gpa: u64) -> u8 {
        self.platform.mmio_read(&mut self.memory, gpa, 1) as u8
    }

    /// Sequencer, CRTC, graphics and attribute registers of a mode.
    fn set_mode(&mut self, mode: &Mode) {
        self.out(0x3c2, mode.misc);
        self.indexed(0x3c4, &numbered(&mode.sequencer));
        self.indexed(0x3d4, &[(0x11, 0)]);
        self.indexed(0x3d4, &numbered(&mode.crtc));
        self.indexed(0x3ce, &numbered(&mode.graphics));
        self.input(0x3da);
        for (index, value) in numbered(&mode.attribute) {
            self.out(0x3c0, index);
            self.out(0x3c0, value);
        }
        self.out(0x3c0, 0x20);
    }

    /// All 256 entries of the colour table, each another colour.
    fn set_colours(&mut self) {
        self.out(0x3c8, 0);
        for entry in 0..=255u8 {
            let colour = [entry >> 2, entry << 2 & 0x3f, entry >> 4 | entry << 4 & 0x30];
            colour.into_iter().for_each(|byte| self.out(0x3c9, byte));
        }
    }

    fn picture(&self) -> Picture {
        self.platform.scanout().render(&self.memory)
    }

    fn text(&self) -> Option<String> {
        self.platform.scanout().text(&self.memory)
    }
}

fn numbered(registers: &[u8]) -> Vec<(u8, u8)> {
    (0..).zip(registers.iter().copied()).collect()
}

struct Mode {
    misc: u8,
    sequencer: [u8; 5],
    crtc: [u8; 25],
    graphics: [u8; 9],
    attribute: [u8; 21],
}

const PLAIN: [u8; 21] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x01, 0x00, 0x0f, 0x00, 0x00];

const MODE_12H: Mode = Mode {
    misc: 0xe3,
    sequencer: [0x03, 0x01, 0x0f, 0x00, 0x06],
    crtc: [
        0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xea,
        0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff,
    ],
    graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff],
    attribute: PLAIN,
};

const MODE_13H: Mode = Mode {
    misc: 0x63,
    sequencer: [0x03, 0x01, 0x0f, 0x00, 0x0e],
    crtc: [
        0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c,
        0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff,
    ],
    graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff],
    attribute: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0x00, 0x0f, 0x00, 0x00],
};

/// CGA's 320x200 with four colours.
const MODE_4: Mode = Mode {
    misc: 0x63,
    sequencer: [0x03, 0x09, 0x03, 0x00, 0x02],
    crtc: [
        0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c,
        0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff,
    ],
    graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0f, 0x00, 0xff],
    attribute: [
        0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 3, 0, 0,
    ],
};

/// Pictures are compared by hash; `AMBER_PICTURES=DIR` writes them as PPM files, to be looked at.
fn hash(name: &str, picture: &Picture) -> String {
    if let Some(folder) = std::env::var_os("AMBER_PICTURES") {
        let mut file = format!("P6 {} {} 255\n", picture.width, picture.height).into_bytes();
        file.extend(picture.pixels.chunks_exact(4).flat_map(|pixel| &pixel[..3]));
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.ppm")), file).unwrap();
    }
    blake3::hash(&picture.pixels).to_hex()[..16].to_owned()
}

fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let at = ((y * picture.width + x) * 4) as usize;
    [picture.pixels[at], picture.pixels[at + 1], picture.pixels[at + 2]]
}

#[test]
fn text_comes_up_without_firmware_and_is_read_back() {
    let mut guest = Guest::new();
    for (n, byte) in "Hello, \u{1}world".bytes().enumerate() {
        guest.store(B8000 + 160 * 3 + 2 * n as u64, byte);
        guest.store(B8000 + 160 * 3 + 2 * n as u64 + 1, 0x10 + n as u8);
    }
    // All characters, in rows of 64.
    for code in 0..=255u8 {
        let at = B8000 + 160 * (8 + u64::from(code / 64)) + 2 * u64::from(code % 64);
        guest.store(at, code);
        guest.store(at + 1, 0x0f);
    }
    assert_eq!(guest.load(B8000 + 160 * 3), b'H');
    assert_eq!(guest.load(B8000 + 160 * 3 + 1), 0x10);
    let text = guest.text().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 25);
    assert_eq!(lines[3], "Hello, ☺world");
    assert_eq!(lines[11].chars().nth(1), Some('┴'));
    let picture = guest.picture();
    assert_eq!((picture.width, picture.height), (720, 400));
    assert_eq!(hash("text", &picture), "06aefa23398292e7");
    // Lines join across the ninth dot, and letters do not.
    assert_eq!(pixel(&picture, 9 * 4 + 8, 16 * 11 + 8), pixel(&picture, 9 * 4 + 7, 16 * 11 + 8));
}

#[test]
fn the_cursor_blinks_on_virtual_time() {
    let mut guest = Guest::new();
    let (shown, scanout) = (guest.picture(), guest.platform.scanout());
    assert_ne!(pixel(&shown, 4, 14), [0, 0, 0]);
    guest.platform.clock.advance_to(16 * 1_000_000_000 / 70 + 1_000_000);
    assert_eq!(pixel(&guest.picture(), 4, 14), [0, 0, 0]);
    let without = guest.platform.scanout();
    assert!(without != scanout && without.only_blinks(&scanout) && scanout.only_blinks(&without));
    guest.indexed(0x3d4, &[(0x09, 0x0e)]);
    assert!(!guest.platform.scanout().only_blinks(&scanout), "its lines are others");
    guest.indexed(0x3d4, &[(0x09, 0x4f), (0x0a, 0x20)]);
    guest.platform.clock.advance_to(33 * 1_000_000_000 / 70);
    assert_eq!(pixel(&guest.picture(), 4, 14), [0, 0, 0], "switched off");
}

#[test]
fn mode_12h_draws_in_planes() {
    let mut guest = Guest::new();
    guest.set_mode(&MODE_12H);
    guest.set_colours();
    // Sixteen bars by write mode 2, then a frame of colour 15 by set/reset, then a copy by the latches.
    guest.indexed(0x3ce, &[(5, 2)]);
    for y in 0..480u64 {
        for x in 0..80u64 {
            guest.store(A0000 + y * 80 + x, (x / 5) as u8);
        }
    }
    guest.indexed(0x3ce, &[(5, 0), (0, 0x0f), (1, 0x0f), (8, 0x3c)]);
    for y in 100..200u64 {
        guest.load(A0000 + y * 80 + 40);
        guest.store(A0000 + y * 80 + 40, 0);
    }
    guest.indexed(0x3ce, &[(0, 0), (1, 0), (8, 0xff), (5, 1)]);
    for y in 0..100u64 {
        guest.load(A0000 + (100 + y) * 80 + 40);
        guest.store(A0000 + (300 + y) * 80 + 10, 0xaa);
    }
    guest.indexed(0x3ce, &[(5, 8), (2, 8), (7, 0x0f)]);
    assert_eq!(guest.load(A0000 + 100 * 80 + 40), 0xc3, "read mode 1 finds colour 8 around the bar");
    let picture = guest.picture();
    assert_eq!((picture.width, picture.height), (640, 480));
    assert_eq!(hash("mode12h", &picture), "0136e0cacb6f75c6");
    assert_eq!(guest.text(), None);
    // The second half of the screen begins at address 0 again.
    guest.indexed(0x3d4, &[(0x11, 0), (0x18, 0xef), (7, 0x2e), (9, 0)]);
    let split = guest.picture();
    assert_eq!(pixel(&split, 0, 240), pixel(&picture, 0, 0));
    assert_eq!(pixel(&split, 322, 340), pixel(&picture, 322, 100));
}

#[test]
fn mode_13h_is_memory_as_it_is_until_something_changes_its_bytes() {
    let mut guest = Guest::new();
    guest.set_mode(&MODE_13H);
    guest.set_colours();
    let linear = |guest: &Guest| {
        let map = guest.platform.memory_map(false);
        let range = map.iter().find(|range| (range.base..range.end()).contains(&A0000)).copied();
        matches!(range.unwrap().write, Backing::Region { region: RegionId::Vram, offset: 0 })
    };
    assert!(linear(&guest));
    for at in 0..64_000u64 {
        guest.store(A0000 + at, (at % 320 + at / 320) as u8);
    }
    let picture = guest.picture();
    assert_eq!((picture.width, picture.height), (320, 200));
    assert_eq!(hash("mode13h", &picture), "0819ca36639efc39");
    // Unchained, the same memory is four planes.
    guest.platform.effects().drain().for_each(drop);
    guest.indexed(0x3c4, &[(4, 6)]);
    assert_eq!(guest.platform.effects().pop(), Some(Effect::MapChanged));
    assert!(!linear(&guest));
    guest.indexed(0x3d4, &[(0x14, 0), (0x17, 0xe3)]);
    guest.indexed(0x3c4, &[(2, 0x04)]);
    guest.store(A0000 + 80 * 50 + 3, 0xf0);
    let drawn = guest.picture();
    assert_eq!(pixel(&drawn, 14, 50), [0xf3, 0x00, 0x3c]);
    assert_eq!(pixel(&drawn, 13, 50), pixel(&picture, 13, 50));
}

#[test]
fn cga_graphics_have_their_lines_in_two_banks() {
    let mut guest = Guest::new();
    guest.set_mode(&MODE_4);
    guest.set_colours();
    for at in 0..80 * 100 {
        guest.store(B8000 + at, 0b0001_1011);
        guest.store(B8000 + 0x2000 + at, if at % 80 < 40 { 0xff } else { 0x00 });
    }
    let picture = guest.picture();
    assert_eq!((picture.width, picture.height), (320, 200));
    let row = |y| (0..4).map(|x| pixel(&picture, x, y)).collect::<Vec<_>>();
    assert_ne!(row(0)[0], row(0)[1]);
    assert_eq!(row(1)[0], row(0)[3]);
    assert_eq!(pixel(&picture, 200, 1), row(0)[0]);
    assert_eq!(hash("mode4", &picture), "44e7162ce55eba43");
}

#[test]
fn a_32_bit_mode_is_a_linear_frame_buffer() {
    let mut guest = Guest::new();
    assert_eq!(guest.dispi_value(0), 0xb0c5);
    assert_eq!(guest.dispi_value(10), 256);
    for (index, value) in [(4, 0), (1, 1024), (2, 768), (3, 32), (4, 0x41)] {
        guest.dispi(index, value);
    }
    assert_eq!((guest.dispi_value(6), guest.dispi_value(7)), (1024, 4096));
    guest.out(0x3c0, 0x20);
    for y in 0..768u64 {
        for x in 0..1024u64 {
            let colour = [x / 4, y / 3, (x ^ y) & 0xff, 0];
            (0..4).for_each(|n| guest.memory.0[(y * 1024 + x) as usize * 4 + n] = colour[n] as u8);
        }
    }
    guest.store(FRAME_BUFFER + 5 * 4096 + 9 * 4 + 2, 0xfe);
    let picture = guest.picture();
    assert_eq!((picture.width, picture.height), (1024, 768));
    assert_eq!(pixel(&picture, 9, 5), [0xfe, 1, 2]);
    assert_eq!(hash("vbe32", &picture), "caf74e207f7ea725");
    // Panning within a wider and higher picture.
    for (index, value) in [(6, 2048), (8, 16), (9, 3)] {
        guest.dispi(index, value);
    }
    assert_eq!((guest.dispi_value(6), guest.dispi_value(8), guest.dispi_value(9)), (2048, 16, 3));
    assert_eq!(pixel(&guest.picture(), 0, 0), pixel(&picture, 16, 6));
    // Off again, the VGA's own mode is back. On again, memory is cleared, unless it is to be kept.
    guest.dispi(4, 0);
    assert!(guest.text().is_some());
    guest.dispi(4, 0x81);
    assert_eq!(pixel(&guest.picture(), 9, 5), [0xfe, 1, 2]);
    guest.dispi(4, 0);
    guest.dispi(4, 1);
    assert_eq!(pixel(&guest.picture(), 9, 5), [0, 0, 0]);
}

#[test]
fn other_depths_have_their_colours() {
    for (bpp, bytes, colour) in [
        (8, &[3][..], [0x00, 0x30, 0xc3]),
        (15, &[0x1f, 0x7c], [0xff, 0x00, 0xff]),
        (16, &[0xe0, 0x07], [0x00, 0xff, 0x00]),
        (24, &[1, 2, 3], [3, 2, 1]),
    ] {
        let mut guest = Guest::new();
        guest.set_colours();
        for (index, value) in [(1, 640), (2, 480), (3, bpp), (4, 1)] {
            guest.dispi(index, value);
        }
        (0..).zip(bytes).for_each(|(n, byte)| guest.store(FRAME_BUFFER + bytes.len() as u64 + n, *byte));
        assert_eq!(pixel(&guest.picture(), 1, 0), colour, "{bpp} bits");
        // The same by the bank at A0000h.
        guest.dispi(5, 1);
        guest.store(A0000, 0x77);
        assert_eq!(guest.memory.0[0x1_0000], 0x77);
    }
}

#[test]
fn the_function_shows_ports_dispi_and_the_monitor() {
    let mut guest = Guest::new();
    let read =
        |guest: &mut Guest, at: u64, size| guest.platform.mmio_read(&mut guest.memory, REGISTERS + at, size);
    let edid: Vec<u8> = (0..128).map(|at| read(&mut guest, at, 1) as u8).collect();
    assert_eq!(edid.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    assert_eq!(u16::from(edid[54 + 2]) | u16::from(edid[54 + 4] >> 4) << 8, 1280);
    assert_eq!(u16::from(edid[54 + 5]) | u16::from(edid[54 + 7] >> 4) << 8, 800);
    assert_eq!(read(&mut guest, 0x500, 2), 0xb0c5);
    assert_eq!(read(&mut guest, 0x600, 4), 8);
    assert_eq!(read(&mut guest, 0x604, 4), 0x1e1e_1e1e);
    assert_eq!(read(&mut guest, 0x40c, 1), 0x67, "miscellaneous output");
    for (at, value) in [(0x502, 800), (0x504, 600), (0x506, 32), (0x508, 0x41)] {
        guest.platform.mmio_write(&mut guest.memory, REGISTERS + at, 2, value);
    }
    assert_eq!(guest.platform.scanout().size(), (800, 600));
    guest.platform.mmio_write(&mut guest.memory, REGISTERS + 0x400, 1, 0);
    assert_eq!(guest.picture().pixels[..4], [0, 0, 0, 0xff], "blanked");
}

#[test]
fn the_option_rom_is_where_its_bar_is() {
    let config =
        PlatformConfig { firmware_len: 0x4_0000, option_rom_len: 0xa000, ..PlatformConfig::default() };
    let mut guest = Guest { platform: Platform::new(&config).unwrap(), memory: Memory(vec![0; VRAM]) };
    let mut config = |register: u32, value: Option<u32>| {
        guest.platform.pio_write(&mut guest.memory, 0xcf8, 4, 0x8000_0800 | register);
        match value {
            Some(value) => guest.platform.pio_write(&mut guest.memory, 0xcfc, 4, value),
            None => return guest.platform.pio_read(&mut guest.memory, 0xcfc, 4),
        }
        0
    };
    assert_eq!(config(0, None), 0x1111_1234);
    assert_eq!(config(8, None), 0x0300_0002);
    config(0x30, Some(u32::MAX));
    assert_eq!(config(0x30, None), 0xffff_0001);
    config(0x10, Some(u32::MAX));
    assert_eq!(config(0x10, None), 0xff00_0008);
    config(0x30, Some(0xe000_0001));
    config(4, Some(2));
    let map = guest.platform.memory_map(false);
    let rom = map.iter().find(|range| range.base == 0xe000_0000).unwrap();
    let from = Backing::Region { region: RegionId::Firmware, offset: 0x4_0000 };
    assert_eq!((rom.read, rom.write, rom.len), (from, Backing::Open, 0xa000));
}

#[test]
fn a_display_of_text_alone_has_its_characters_in_memory() {
    let config = PlatformConfig { display: DisplayKind::Text, ..PlatformConfig::default() };
    let mut guest = Guest { platform: Platform::new(&config).unwrap(), memory: Memory(vec![0; 0x8000]) };
    guest.store(B8000 + 160, b'A');
    guest.store(B8000 + 161, 0x1e);
    assert_eq!(guest.memory.0[160], b'A');
    assert_eq!(guest.text().unwrap().lines().nth(1), Some("A"));
    assert_eq!(pixel(&guest.picture(), 0, 16), [0, 0, 0xaa]);
    let mut other = PlatformConfig { option_rom_len: 0x1000, ..config };
    assert!(Platform::new(&other).is_err());
    other.display = DisplayKind::Std;
    assert!(Platform::new(&other).is_ok());
}

#[test]
fn retrace_follows_the_mode() {
    let mut guest = Guest::new();
    let edges = |guest: &mut Guest| {
        let (start, mut edges, mut last) = (guest.platform.clock.now(), 0, 0);
        for step in 0..100_000 {
            guest.platform.clock.advance_to(start + step * 10_000);
            let retrace = guest.input(0x3da) & 8;
            edges += u32::from(retrace > last);
            last = retrace;
        }
        edges
    };
    assert_eq!(edges(&mut guest), 70);
    guest.set_mode(&MODE_12H);
    assert!((59..=60).contains(&edges(&mut guest)));
}

/// An access of a driver that may be mad.
fn access(guest: &mut Guest, random: u64) {
    let (kind, size, value) = (random >> 60, 1 << (random >> 56 & 3), random as u32);
    let at = u64::from(random as u16);
    let size_32 = size.min(4);
    match kind {
        0..=5 => {
            guest.platform.pio_write(&mut guest.memory, 0x3b0 + (random >> 32) as u16 % 0x30, size_32, value)
        }
        6 => drop(guest.platform.pio_read(&mut guest.memory, 0x3b0 + (random >> 32) as u16 % 0x30, size_32)),
        7 => guest.platform.pio_write(&mut guest.memory, 0x1ce, 2, value % 12),
        8 | 9 => guest.platform.pio_write(&mut guest.memory, 0x1cf, 2, value >> (random >> 40 & 15)),
        10 | 11 => guest.platform.mmio_write(&mut guest.memory, A0000 + at * 2, size, random),
        12 => drop(guest.platform.mmio_read(&mut guest.memory, A0000 + at * 2, size)),
        13 => guest.platform.mmio_write(&mut guest.memory, REGISTERS + at % 0x700, size, random),
        14 => drop(guest.platform.mmio_read(&mut guest.memory, REGISTERS + at % 0x700, size)),
        _ => guest.platform.clock.advance_to(guest.platform.clock.now() + at * 1000),
    }
}

/// Random registers and memory, and a look at the screen now and then: 10^5 accesses, or as many as AMBER_ACCESSES says.
#[test]
fn no_driver_makes_the_screen_panic() {
    let accesses = std::env::var("AMBER_ACCESSES").map_or(100_000, |n| n.parse().expect("a number"));
    let mut guest = Guest::new();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for n in 0..accesses {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        access(&mut guest, state.wrapping_mul(0x2545_f491_4f6c_dd1d));
        guest.platform.effects().drain().for_each(drop);
        if n % 997 == 0 {
            let (width, height) = guest.platform.scanout().size();
            if u64::from(width) * u64::from(height) < 1 << 21 {
                let picture = guest.picture();
                assert_eq!(picture.pixels.len() as u64, u64::from(width) * u64::from(height) * 4);
            }
            guest.text();
            let map = guest.platform.memory_map(false);
            assert!(map.windows(2).all(|pair| pair[0].end() <= pair[1].base));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planar_bytes_come_back(bytes in proptest::collection::vec(any::<[u8; 4]>(), 1..40), at in 0u64..0xff00) {
        let mut guest = Guest::new();
        guest.set_mode(&MODE_12H);
        for (n, planes) in bytes.iter().enumerate() {
            for (plane, byte) in planes.iter().enumerate() {
                guest.indexed(0x3c4, &[(2, 1 << plane)]);
                guest.store(A0000 + at + n as u64, *byte);
            }
        }
        for (n, planes) in bytes.iter().enumerate() {
            for plane in 0..4u8 {
                guest.indexed(0x3ce, &[(4, plane)]);
                prop_assert_eq!(guest.load(A0000 + at + n as u64), planes[usize::from(plane)]);
            }
        }
    }
}
