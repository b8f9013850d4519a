//! Memory images of the x87 state: FNSTENV and FNSAVE (SDM volume 1, figures 8-9 to 8-12), and the legacy region of
//! FXSAVE and XSAVE (tables 10-2 and 13-1).

use super::{X87, status};
use crate::softfloat::F80;
use crate::softfloat::f80::Class;

/// Which of the four layouts of the environment is in force. 64-bit mode uses `Protected32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Real16,
    Protected16,
    Real32,
    Protected32,
}

impl Format {
    /// `protected` is false in real-address and virtual-8086 mode.
    pub const fn new(protected: bool, operand_32: bool) -> Format {
        match (protected, operand_32) {
            (false, false) => Format::Real16,
            (true, false) => Format::Protected16,
            (false, true) => Format::Real32,
            (true, true) => Format::Protected32,
        }
    }

    /// Bytes of the environment.
    pub const fn environment_size(self) -> usize {
        match self {
            Format::Real16 | Format::Protected16 => 14,
            Format::Real32 | Format::Protected32 => 28,
        }
    }

    /// Bytes of the FNSAVE image.
    pub const fn save_size(self) -> usize {
        self.environment_size() + 80
    }
}

/// Room for the largest FNSAVE image.
pub const SAVE_MAX: usize = 108;
/// The x87 part of the FXSAVE image, MXCSR included.
pub const LEGACY_SIZE: usize = 160;

fn word(image: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([image[at], image[at + 1]])
}

fn dword(image: &[u8], at: usize) -> u32 {
    u32::from(word(image, at)) | u32::from(word(image, at + 2)) << 16
}

fn put_word(image: &mut [u8], at: usize, value: u16) {
    image[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn put_dword(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

impl X87 {
    /// The full tag word.
    pub fn tag_word(&self) -> u16 {
        (0..8).fold(0, |tags, r| tags | self.tag(r) << (2 * r))
    }

    fn tag(&self, r: usize) -> u16 {
        if self.valid >> r & 1 == 0 {
            return 3;
        }
        match self.st[r].class() {
            Class::Normal => 0,
            Class::Zero => 1,
            _ => 2,
        }
    }

    /// Takes over a full tag word, of which only emptiness is kept.
    pub fn set_tag_word(&mut self, tags: u16) {
        self.valid = (0..8).fold(0, |valid, r| valid | u8::from(tags >> (2 * r) & 3 != 3) << r);
    }

    /// FNSTENV: fills the first bytes of `image` and masks all exceptions.
    pub fn fnstenv(&mut self, format: Format, image: &mut [u8]) {
        self.environment(format, image);
        self.control |= status::EXCEPTIONS;
        self.summarise();
    }

    fn environment(&self, format: Format, image: &mut [u8]) {
        let (fip, fdp) = match format {
            // Real mode keeps 20-bit (or 32-bit) linear addresses.
            Format::Real16 | Format::Real32 => (
                (u64::from(self.fcs) << 4).wrapping_add(self.fip),
                (u64::from(self.fds) << 4).wrapping_add(self.fdp),
            ),
            _ => (self.fip, self.fdp),
        };
        let head = [self.control, self.status, self.tag_word()];
        let tail = match format {
            Format::Real16 => [
                fip as u16,
                (fip >> 16 << 12) as u16 | self.opcode & 0x7FF,
                fdp as u16,
                (fdp >> 16 << 12) as u16,
            ]
            .map(u32::from),
            Format::Protected16 => [fip as u16, self.fcs, fdp as u16, self.fds].map(u32::from),
            Format::Real32 => [
                fip as u32 & 0xFFFF,
                (fip as u32 >> 16) << 12 | u32::from(self.opcode & 0x7FF),
                fdp as u32 & 0xFFFF,
                (fdp as u32 >> 16) << 12,
            ],
            Format::Protected32 => [
                fip as u32,
                u32::from(self.opcode & 0x7FF) << 16 | u32::from(self.fcs),
                fdp as u32,
                0xFFFF_0000 | u32::from(self.fds),
            ],
        };
        let wide = format.environment_size() == 28;
        for (n, &value) in head.iter().enumerate() {
            if wide {
                put_dword(image, 4 * n, 0xFFFF_0000 | u32::from(value));
            } else {
                put_word(image, 2 * n, value);
            }
        }
        for (n, &value) in tail.iter().enumerate() {
            if wide {
                put_dword(image, 12 + 4 * n, value);
            } else {
                put_word(image, 6 + 2 * n, value as u16);
            }
        }
    }

    /// FLDENV.
    pub fn fldenv(&mut self, format: Format, image: &[u8]) {
        let wide = format.environment_size() == 28;
        let field = |n: usize| if wide { dword(image, 4 * n) } else { word(image, 2 * n).into() };
        self.control = field(0) as u16 & 0x1F7F | 0x0040;
        self.status = field(1) as u16;
        self.set_tag_word(field(2) as u16);
        let (fip, second, fdp, fourth) = (field(3), field(4), field(5), field(6));
        match format {
            Format::Real16 | Format::Real32 => {
                let high = if wide { 0xFFFF } else { 0xF };
                self.fip = u64::from(fip & 0xFFFF | (second >> 12 & high) << 16);
                self.fdp = u64::from(fdp & 0xFFFF | (fourth >> 12 & high) << 16);
                (self.fcs, self.fds) = (0, 0);
                self.opcode = second as u16 & 0x7FF;
            }
            Format::Protected16 | Format::Protected32 => {
                self.fip = fip.into();
                self.fdp = fdp.into();
                self.fcs = second as u16;
                self.fds = fourth as u16;
                self.opcode = (second >> 16) as u16 & 0x7FF;
            }
        }
        self.summarise();
    }

    /// FNSAVE: fills `image` with the environment and the register stack, then initialises the FPU.
    pub fn fnsave(&mut self, format: Format, image: &mut [u8]) {
        self.environment(format, image);
        let start = format.environment_size();
        for i in 0..8 {
            let bytes = self.get(i).to_u128().to_le_bytes();
            let at = start + 10 * usize::from(i);
            image[at..at + 10].copy_from_slice(&bytes[..10]);
        }
        self.fninit();
    }

    /// FRSTOR.
    pub fn frstor(&mut self, format: Format, image: &[u8]) {
        self.fldenv(format, image);
        let start = format.environment_size();
        for i in 0..8 {
            let at = start + 10 * usize::from(i);
            let r = self.physical(i);
            self.st[r] = read_f80(&image[at..at + 10]);
        }
    }

    /// The first 160 bytes of the FXSAVE image; `wide` (REX.W) stores 64-bit pointers instead of selectors. MXCSR and
    /// its mask (bytes 24 to 31) are left to the caller, and so is which of it XSAVE stores.
    pub fn legacy_region(&self, wide: bool) -> [u8; LEGACY_SIZE] {
        let mut image = [0; LEGACY_SIZE];
        put_word(&mut image, 0, self.control);
        put_word(&mut image, 2, self.status);
        image[4] = self.valid;
        put_word(&mut image, 6, self.opcode);
        if wide {
            image[8..16].copy_from_slice(&self.fip.to_le_bytes());
            image[16..24].copy_from_slice(&self.fdp.to_le_bytes());
        } else {
            put_dword(&mut image, 8, self.fip as u32);
            put_word(&mut image, 12, self.fcs);
            put_dword(&mut image, 16, self.fdp as u32);
            put_word(&mut image, 20, self.fds);
        }
        for i in 0..8 {
            let at = 32 + 16 * usize::from(i);
            image[at..at + 16].copy_from_slice(&self.get(i).to_u128().to_le_bytes());
        }
        image
    }

    /// FXRSTOR and XRSTOR of the x87 component.
    pub fn set_legacy_region(&mut self, image: &[u8; LEGACY_SIZE], wide: bool) {
        self.control = word(image, 0) & 0x1F7F | 0x0040;
        self.status = word(image, 2);
        self.valid = image[4];
        self.opcode = word(image, 6) & 0x7FF;
        let qword = |at| u64::from(dword(image, at)) | u64::from(dword(image, at + 4)) << 32;
        if wide {
            (self.fip, self.fdp) = (qword(8), qword(16));
            (self.fcs, self.fds) = (0, 0);
        } else {
            (self.fip, self.fdp) = (dword(image, 8).into(), dword(image, 16).into());
            (self.fcs, self.fds) = (word(image, 12), word(image, 20));
        }
        for i in 0..8 {
            let at = 32 + 16 * usize::from(i);
            let r = self.physical(i);
            self.st[r] = read_f80(&image[at..at + 10]);
        }
        self.summarise();
    }
}

fn read_f80(bytes: &[u8]) -> F80 {
    let mut padded = [0; 16];
    padded[..10].copy_from_slice(bytes);
    F80::from_u128(u128::from_le_bytes(padded))
}
