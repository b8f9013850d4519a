//! The registers as they were when the adapter was no more than a text console.

use super::{Dac, Dispi, Registers};
use amber_snapshot::{Schema, Section, Upgrade};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Schema)]
struct RegistersV1 {
    misc_output: u8,
    feature_control: u8,
    attribute_index: u8,
    attribute_data: bool,
    attribute: Vec<u8>,
    sequencer_index: u8,
    sequencer: Vec<u8>,
    graphics_index: u8,
    graphics: Vec<u8>,
    crtc_index: u8,
    crtc: Vec<u8>,
    pel_mask: u8,
    palette_read: u16,
    palette_write: u16,
    palette_reading: bool,
    palette: Vec<u8>,
}

impl Section for RegistersV1 {
    const KIND: &'static str = Registers::KIND;
    const VERSION: u32 = 1;
}

impl From<RegistersV1> for Registers {
    fn from(old: RegistersV1) -> Self {
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
pub const VGA_UPGRADE: Upgrade = Upgrade::of::<RegistersV1, Registers>();
