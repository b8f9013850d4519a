//! The registers as they were when the adapter was no more than a text console.

use super::{Dac, Dispi, Registers};
use amber_snapshot::{Section, Upgrade};

/// A schema has the names of types: these are those of their time.
mod v1 {
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Vga {
        pub(super) misc_output: u8,
        pub(super) feature_control: u8,
        pub(super) attribute_index: u8,
        pub(super) attribute_data: bool,
        pub(super) attribute: Vec<u8>,
        pub(super) sequencer_index: u8,
        pub(super) sequencer: Vec<u8>,
        pub(super) graphics_index: u8,
        pub(super) graphics: Vec<u8>,
        pub(super) crtc_index: u8,
        pub(super) crtc: Vec<u8>,
        pub(super) pel_mask: u8,
        pub(super) palette_read: u16,
        pub(super) palette_write: u16,
        pub(super) palette_reading: bool,
        pub(super) palette: Vec<u8>,
    }
}

impl Section for v1::Vga {
    const KIND: &'static str = Registers::KIND;
    const VERSION: u32 = 1;
}

impl From<v1::Vga> for Registers {
    fn from(old: v1::Vga) -> Self {
        Self {
            misc_output: old.misc_output,
            feature_control: old.feature_control,
            attribute_index: old.attribute_index,
            attribute_data: old.attribute_data,
            attribute: old.attribute,
            sequencer_index: old.sequencer_index,
            sequencer: old.sequencer,
            graphics_index: old.graphics_index,
            graphics: old.graphics,
            crtc_index: old.crtc_index,
            crtc: old.crtc,
            latches: [0; 4],
            dac: Dac {
                mask: old.pel_mask,
                read: old.palette_read,
                write: old.palette_write,
                reading: old.palette_reading,
                palette: old.palette,
            },
            dispi: Dispi::new(),
            function: None,
        }
    }
}

/// From version 1.
pub const VGA_UPGRADE: Upgrade = Upgrade::of::<v1::Vga, Registers>();
