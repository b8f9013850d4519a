//! The window below 1 MiB: where it is, and what planar accesses do in it (IBM VGA, sequencer and graphics controller).

use super::{PLANES_LEN, Registers, Vga};
use crate::device::DeviceCtx;
use crate::map::{Backing, MapRange, RegionId, VRAM_LEN_TEXT};

const MISC_RAM: u8 = 0x02;
const SR4_NO_ODD_EVEN: u8 = 0x04;
const SR4_CHAIN_4: u8 = 0x08;
const GR5_READ_MODE_1: u8 = 0x08;
const GR5_ODD_EVEN: u8 = 0x10;
const WINDOW_64K: u64 = 0x1_0000;
const A0000: u64 = 0xa_0000;
const B8000: u64 = 0xb_8000;

/// What the window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aperture {
    /// Nothing.
    Closed,
    /// Video memory from `offset` on, as it is.
    Linear { base: u64, len: u64, offset: u64 },
    /// Planes: every access asks the adapter.
    Planar { base: u64, len: u64 },
}

impl Aperture {
    /// The window in the map of memory.
    pub fn range(self) -> Option<MapRange> {
        match self {
            Self::Closed => None,
            Self::Linear { base, len, offset } => {
                Some(MapRange::new(base, len, Backing::Region { region: RegionId::Vram, offset }))
            }
            Self::Planar { base, len } => Some(MapRange::new(base, len, Backing::Device)),
        }
    }
}

/// A window onto the planes.
struct Window {
    base: u64,
    len: u64,
    /// Address in the planes of its first byte.
    bank: u64,
    /// Addresses in the planes, less one.
    last: u64,
}

/// What a byte in the window is.
#[derive(Clone, Copy)]
struct Place {
    /// The same address in each plane.
    address: u64,
    /// Planes a write reaches, a bit each.
    planes: u8,
    /// Plane a read in mode 0 is of.
    plane: u8,
}

/// FFh in the byte of each plane that has its bit in `planes`.
fn of_planes(planes: u8) -> u32 {
    (u32::from(planes & 0x0f) * 0x0020_4081 & 0x0101_0101) * 0xff
}

/// The same byte in all planes.
fn in_all(byte: u8) -> u32 {
    u32::from(byte) * 0x0101_0101
}

impl Vga {
    /// The window as it is now.
    pub(crate) fn aperture(&self) -> Aperture {
        let registers = &self.registers;
        if registers.function.is_none() {
            return Aperture::Linear { base: B8000, len: VRAM_LEN_TEXT, offset: 0 };
        }
        match registers.dispi.mode() {
            Some(mode) if mode.bpp != 4 => {
                let offset = registers.dispi.bank_offset();
                return Aperture::Linear { base: A0000, len: WINDOW_64K, offset };
            }
            Some(_) => return Aperture::Planar { base: A0000, len: WINDOW_64K },
            None => {}
        }
        if registers.misc_output & MISC_RAM == 0 {
            return Aperture::Closed;
        }
        let (base, len) = registers.window();
        match registers.is_linear() {
            true => Aperture::Linear { base, len, offset: 0 },
            false => Aperture::Planar { base, len },
        }
    }

    /// Whether `gpa` is in a window of which every access asks the adapter.
    pub(crate) fn claims(&self, gpa: u64) -> bool {
        match self.aperture() {
            Aperture::Planar { base, len } => gpa.checked_sub(base).is_some_and(|at| at < len),
            _ => false,
        }
    }

    fn window(&self) -> Option<Window> {
        let Aperture::Planar { base, len } = self.aperture() else { return None };
        // A window beyond the planes shows their beginning again.
        let planes = if self.registers.dispi.mode().is_some() { self.kind.vram_len() } else { PLANES_LEN };
        Some(Window { base, len, bank: self.registers.dispi.bank_offset(), last: planes / 4 - 1 })
    }

    fn place(&self, window: &Window, gpa: u64) -> Option<Place> {
        let at = gpa.checked_sub(window.base).filter(|at| *at < window.len)?;
        let mut place = self.registers.place(at);
        place.address = (place.address + window.bank) & window.last;
        Some(place)
    }

    /// Reads a byte of the window: the latches take all four planes.
    pub(super) fn memory_read(&mut self, cx: &mut DeviceCtx, gpa: u64) -> u8 {
        let Some(place) = self.window().and_then(|window| self.place(&window, gpa)) else { return 0xff };
        let registers = &mut self.registers;
        cx.dma.read_vram(place.address * 4, &mut registers.latches);
        if registers.graphics[5] & GR5_READ_MODE_1 == 0 {
            return registers.latches[usize::from(place.plane & 3)];
        }
        registers.compare()
    }

    /// Writes at most 8 bytes of the window.
    pub(super) fn memory_write(&mut self, cx: &mut DeviceCtx, gpa: u64, value: &[u8]) {
        let Some(window) = self.window() else { return };
        let Some(first) = self.place(&window, gpa) else { return self.memory_write_apart(cx, gpa, value) };
        let end = value.len().saturating_sub(1) as u64;
        let last = if end == 0 { Some(first) } else { self.place(&window, gpa.wrapping_add(end)) };
        let Some(last) = last else { return self.memory_write_apart(cx, gpa, value) };
        let count = last.address.wrapping_sub(first.address).wrapping_add(1);
        let mut row = [[0; 4]; 8];
        let Some(row @ [_, ..]) = row.get_mut(..count as usize) else {
            return self.memory_write_apart(cx, gpa, value);
        };
        cx.dma.read_vram(first.address * 4, row.as_flattened_mut());
        for (n, byte) in (0..).zip(value) {
            let place = match n {
                0 => Some(first),
                _ if n == end => Some(last),
                _ => self.place(&window, gpa.wrapping_add(n)),
            };
            let Some(place) = place else { continue };
            let Some(at) = row.get_mut(place.address.wrapping_sub(first.address) as usize) else { continue };
            let reached = of_planes(place.planes);
            *at =
                (u32::from_le_bytes(*at) & !reached | self.registers.written(*byte) & reached).to_le_bytes();
        }
        cx.dma.write_vram(first.address * 4, row.as_flattened());
    }

    /// Writes bytes that do not lie in a row in the planes, as some of an access across the window's end do not.
    fn memory_write_apart(&mut self, cx: &mut DeviceCtx, gpa: u64, value: &[u8]) {
        if value.len() > 1 {
            (0..).zip(value).for_each(|(n, byte)| self.memory_write(cx, gpa.wrapping_add(n), &[*byte]));
        }
    }
}

impl Registers {
    /// Where GR6 has the window: base and length.
    fn window(&self) -> (u64, u64) {
        match self.graphics[6] >> 2 & 3 {
            0 => (A0000, 0x2_0000),
            1 => (A0000, WINDOW_64K),
            2 => (0xb_0000, 0x8000),
            _ => (B8000, 0x8000),
        }
    }

    /// Chain-4 and nothing that changes bytes on their way: memory may be mapped as it is. (The latches then keep what they
    /// have, as nothing sees the reads.)
    fn is_linear(&self) -> bool {
        let graphics = &self.graphics;
        self.sequencer[4] & SR4_CHAIN_4 != 0
            && self.sequencer[2] & 0x0f == 0x0f
            && graphics[1] & 0x0f == 0
            && graphics[3] & 0x1f == 0
            && graphics[5] & (3 | GR5_READ_MODE_1) == 0
            && graphics[8] == 0xff
    }

    fn place(&self, at: u64) -> Place {
        let parity = at as u8 & 1;
        let map_mask = self.sequencer[2] & 0x0f;
        if self.sequencer[4] & SR4_CHAIN_4 != 0 {
            let plane = at as u8 & 3;
            return Place { address: at >> 2, planes: map_mask & 1 << plane, plane };
        }
        let odd_even_write = self.sequencer[4] & SR4_NO_ODD_EVEN == 0;
        let odd_even_read = self.graphics[5] & GR5_ODD_EVEN != 0;
        // Address bit 0 chooses between even and odd planes, and is 0 in each.
        let address = if odd_even_write || odd_even_read { at & !1 } else { at };
        let planes = if odd_even_write { map_mask & 0b0101 << parity } else { map_mask };
        let plane = self.graphics[4] & 3;
        Place { address, planes, plane: if odd_even_read { plane & 2 | parity } else { plane } }
    }

    /// Read mode 1: a bit for each pixel of the latches that has the colour asked for, in the planes that are looked at.
    fn compare(&self) -> u8 {
        let (colour, care) = (self.graphics[2], self.graphics[7]);
        let differing = self.latches.iter().enumerate().fold(0, |bits, (plane, latch)| {
            let wanted = if colour >> plane & 1 != 0 { 0xff } else { 0 };
            if care >> plane & 1 != 0 { bits | latch ^ wanted } else { bits }
        });
        !differing
    }

    /// What the graphics controller makes of a byte, a byte for each plane: write modes 0 to 3.
    fn written(&self, value: u8) -> u32 {
        let graphics = &self.graphics;
        let latches = u32::from_le_bytes(self.latches);
        let rotated = value.rotate_right(u32::from(graphics[3] & 7));
        let set = of_planes(graphics[0]);
        let mode = graphics[5] & 3;
        let data = match mode {
            0 => {
                let enabled = of_planes(graphics[1]);
                set & enabled | in_all(rotated) & !enabled
            }
            1 => return latches,
            2 => of_planes(value),
            _ => set,
        };
        let data = match graphics[3] >> 3 & 3 {
            0 => data,
            1 => data & latches,
            2 => data | latches,
            _ => data ^ latches,
        };
        let mask = in_all(if mode == 3 { graphics[8] & rotated } else { graphics[8] });
        data & mask | latches & !mask
    }
}
