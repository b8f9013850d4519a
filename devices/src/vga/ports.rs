//! The VGA's I/O ports, 3B4h to 3DAh (IBM VGA; numbers of registers as there: CR is the CRTC's, SR the sequencer's, GR the
//! graphics controller's, AR the attribute controller's).

use super::Registers;

const MISC_COLOUR: u8 = 0x01;
/// AR index: the palette belongs to the screen, not to the processor.
pub(crate) const PALETTE_ON: u8 = 0x20;

impl Registers {
    /// Whether the CRTC answers at 3D4h (colour) and not at 3B4h.
    fn claims(&self, port: u16) -> bool {
        let colour = self.misc_output & MISC_COLOUR != 0;
        match port {
            0x3b4 | 0x3b5 | 0x3ba => !colour,
            0x3d4 | 0x3d5 | 0x3da => colour,
            _ => true,
        }
    }

    /// Reads a port at time `now`.
    pub fn port_read(&mut self, now: u64, port: u16) -> u8 {
        if !self.claims(port) {
            return 0xff;
        }
        match port {
            0x3c0 => self.attribute_index,
            0x3c1 => get(&self.attribute, self.attribute_index & 0x1f),
            // Switch sense: the monitor is one with colours.
            0x3c2 => 0x10,
            0x3c4 => self.sequencer_index,
            0x3c5 => get(&self.sequencer, self.sequencer_index),
            0x3c6 => self.dac.mask,
            0x3c7 => u8::from(self.dac.reading) * 3,
            0x3c8 => (self.dac.write / 3) as u8,
            0x3c9 => self.dac.read(),
            0x3ca => self.feature_control,
            0x3cc => self.misc_output,
            0x3ce => self.graphics_index,
            0x3cf => get(&self.graphics, self.graphics_index),
            0x3b4 | 0x3d4 => self.crtc_index,
            0x3b5 | 0x3d5 => get(&self.crtc, self.crtc_index),
            0x3ba | 0x3da => {
                self.attribute_data = false;
                self.timing().input_status_1(now)
            }
            _ => 0xff,
        }
    }

    /// Writes a port.
    pub fn port_write(&mut self, port: u16, value: u8) {
        if !self.claims(port) {
            return;
        }
        match port {
            0x3c0 => self.write_attribute(value),
            0x3c2 => self.misc_output = value,
            0x3c4 => self.sequencer_index = value & 7,
            0x3c5 => set(&mut self.sequencer, usize::from(self.sequencer_index), value),
            0x3c6 => self.dac.mask = value,
            0x3c7 => self.dac.start_reading(value),
            0x3c8 => self.dac.start_writing(value),
            0x3c9 => self.dac.write(value, self.dispi.has_wide_dac()),
            0x3ba | 0x3da => self.feature_control = value,
            0x3ce => self.graphics_index = value & 15,
            0x3cf => set(&mut self.graphics, usize::from(self.graphics_index), value),
            0x3b4 | 0x3d4 => self.crtc_index = value & 0x3f,
            0x3b5 | 0x3d5 => self.write_crtc(value),
            _ => {}
        }
    }

    fn write_attribute(&mut self, value: u8) {
        if self.attribute_data {
            let index = self.attribute_index & 0x1f;
            // While the palette is on the screen, the processor cannot write it.
            if index > 0x0f || self.attribute_index & PALETTE_ON == 0 {
                set(&mut self.attribute, usize::from(index), value);
            }
        } else {
            self.attribute_index = value & 0x3f;
        }
        self.attribute_data = !self.attribute_data;
    }

    fn write_crtc(&mut self, value: u8) {
        // CR11 bit 7 protects CR0-CR7, except the line compare bit in CR7.
        let protected = self.crtc[0x11] & 0x80 != 0;
        match usize::from(self.crtc_index) {
            7 if protected => self.crtc[7] = self.crtc[7] & !0x10 | value & 0x10,
            0..=7 if protected => {}
            index => set(&mut self.crtc, index, value),
        }
    }
}

fn get(registers: &[u8], index: u8) -> u8 {
    registers.get(usize::from(index)).copied().unwrap_or(0)
}

fn set(registers: &mut [u8], index: usize, value: u8) {
    if let Some(register) = registers.get_mut(index) {
        *register = value;
    }
}
