//! The pair of 8259A interrupt controllers with the ELCR of the ICH9 (Intel 8259A datasheet; ICH9, 13.4).

use crate::device::{Device, DeviceCtx};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const ICW1_IC4: u8 = 0x01;
const ICW1_SNGL: u8 = 0x02;
const ICW1_SELECT: u8 = 0x10;
const ICW4_AEOI: u8 = 0x02;
const ICW4_SFNM: u8 = 0x10;
const OCW3_SELECT: u8 = 0x08;
const OCW3_RIS: u8 = 0x01;
const OCW3_RR: u8 = 0x02;
const OCW3_POLL: u8 = 0x04;
const OCW3_SMM: u8 = 0x20;
const OCW3_ESMM: u8 = 0x40;
/// The input a spurious cycle answers with.
const SPURIOUS: u8 = 7;
/// Master input the slave's INT is wired to.
const CASCADE: u8 = 2;

/// Which initialization command word the chip expects next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
enum Expect {
    #[default]
    Ready,
    Icw2,
    Icw3,
    Icw4,
}

/// One 8259A.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct I8259 {
    /// Levels of the inputs.
    lines: u8,
    /// Edges latched and not acknowledged.
    edges: u8,
    imr: u8,
    isr: u8,
    /// Edge/level control: inputs that are level triggered.
    elcr: u8,
    expect: Expect,
    icw1: u8,
    icw2: u8,
    icw3: u8,
    icw4: u8,
    /// The input with the lowest priority.
    lowest: u8,
    special_mask: bool,
    rotate_in_aeoi: bool,
    read_isr: bool,
    poll: bool,
}

impl I8259 {
    fn new() -> Self {
        Self { lowest: 7, ..Self::default() }
    }

    /// Interrupt request register. A request goes away with its input, which is what makes the acknowledge
    /// cycle after it spurious.
    fn irr(&self) -> u8 {
        (self.edges & !self.elcr) | (self.lines & self.elcr)
    }

    fn set_line(&mut self, input: u8, level: bool) {
        let bit = 1 << (input & 7);
        if !level {
            self.lines &= !bit;
            self.edges &= !bit;
        } else if self.lines & bit == 0 {
            self.lines |= bit;
            self.edges |= bit;
        }
    }

    /// Inputs from the highest to the lowest priority.
    fn by_priority(&self) -> impl Iterator<Item = u8> + use<> {
        let lowest = self.lowest;
        (1..=8u8).map(move |step| lowest.wrapping_add(step) & 7)
    }

    /// The input whose request passes mask and priority, if any; INT is high while there is one.
    fn request(&self) -> Option<u8> {
        let requests = self.irr() & !self.imr;
        if requests == 0 {
            return None;
        }
        let mut blocking = self.isr;
        if self.special_mask {
            blocking &= !self.imr;
        }
        for input in self.by_priority() {
            let bit = 1 << input;
            // In special fully nested mode the slave may interrupt again while it is in service.
            let nests = self.icw4 & ICW4_SFNM != 0 && self.icw3 & bit != 0;
            if requests & bit != 0 && (blocking & bit == 0 || nests) {
                return Some(input);
            }
            if blocking & bit != 0 && !self.special_mask {
                return None;
            }
        }
        None
    }

    /// First INTA: the request goes into service.
    fn acknowledge(&mut self, input: u8) {
        let bit = 1 << input;
        self.edges &= !bit;
        if self.icw4 & ICW4_AEOI == 0 {
            self.isr |= bit;
        } else if self.rotate_in_aeoi {
            self.lowest = input;
        }
    }

    fn vector(&self, input: u8) -> u8 {
        (self.icw2 & 0xf8) | input
    }

    fn write_command(&mut self, value: u8) {
        if value & ICW1_SELECT != 0 {
            self.icw1 = value;
            self.expect = Expect::Icw2;
            self.edges = 0;
            self.imr = 0;
            self.isr = 0;
            self.lowest = 7;
            self.special_mask = false;
            self.read_isr = false;
            self.poll = false;
            if value & ICW1_IC4 == 0 {
                self.icw4 = 0;
            }
        } else if value & OCW3_SELECT != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    fn write_ocw2(&mut self, value: u8) {
        let level = value & 7;
        match value >> 5 {
            0b000 => self.rotate_in_aeoi = false,
            0b100 => self.rotate_in_aeoi = true,
            0b001 => drop(self.end_of_interrupt()),
            0b101 => {
                if let Some(input) = self.end_of_interrupt() {
                    self.lowest = input;
                }
            }
            0b011 => self.isr &= !(1 << level),
            0b111 => {
                self.isr &= !(1 << level);
                self.lowest = level;
            }
            0b110 => self.lowest = level,
            _ => {}
        }
    }

    /// Non-specific EOI: the highest priority in service ends; one that is masked in special mask mode stays.
    fn end_of_interrupt(&mut self) -> Option<u8> {
        let in_service = if self.special_mask { self.isr & !self.imr } else { self.isr };
        let input = self.by_priority().find(|input| in_service & 1 << input != 0)?;
        self.isr &= !(1 << input);
        Some(input)
    }

    fn write_ocw3(&mut self, value: u8) {
        self.poll = value & OCW3_POLL != 0;
        if value & OCW3_RR != 0 {
            self.read_isr = value & OCW3_RIS != 0;
        }
        if value & OCW3_ESMM != 0 {
            self.special_mask = value & OCW3_SMM != 0;
        }
    }

    fn write_data(&mut self, value: u8) {
        match self.expect {
            Expect::Ready => self.imr = value,
            Expect::Icw2 => {
                self.icw2 = value;
                self.expect = match self.icw1 {
                    icw1 if icw1 & ICW1_SNGL == 0 => Expect::Icw3,
                    icw1 if icw1 & ICW1_IC4 != 0 => Expect::Icw4,
                    _ => Expect::Ready,
                };
            }
            Expect::Icw3 => {
                self.icw3 = value;
                self.expect = if self.icw1 & ICW1_IC4 != 0 { Expect::Icw4 } else { Expect::Ready };
            }
            Expect::Icw4 => {
                self.icw4 = value;
                self.expect = Expect::Ready;
            }
        }
    }
}

/// Both 8259As: master at 0x20, slave at 0xA0 on the master's IR2, ELCR at 0x4D0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Pic {
    master: I8259,
    slave: I8259,
}

impl Section for Pic {
    const KIND: &'static str = "i8259a";
    const VERSION: u32 = 1;
}

/// Inputs that can be level triggered (ICH9, 13.4.10 and 13.4.11).
const ELCR1_MASK: u8 = 0xf8;
const ELCR2_MASK: u8 = 0xde;

impl Pic {
    pub(crate) fn new() -> Self {
        Self { master: I8259::new(), slave: I8259::new() }
    }

    /// Sets the level of IRQ `irq` (0-15, not 2).
    pub(crate) fn set_irq(&mut self, irq: u8, level: bool) {
        if irq < 8 {
            self.master.set_line(irq, level);
        } else {
            self.slave.set_line(irq - 8, level);
        }
        self.cascade();
    }

    /// Level of the INT output of the master.
    pub fn intr(&self) -> bool {
        self.master.request().is_some()
    }

    /// The two INTA cycles: the vector on the bus. Spurious if the request went away (8259A, "default IR7").
    pub fn intack(&mut self) -> u8 {
        let Some(input) = self.master.request() else {
            return self.master.vector(SPURIOUS);
        };
        self.master.acknowledge(input);
        if input != CASCADE || self.master.icw1 & ICW1_SNGL != 0 {
            return self.master.vector(input);
        }
        let vector = match self.slave.request() {
            Some(input) => {
                self.slave.acknowledge(input);
                self.slave.vector(input)
            }
            None => self.slave.vector(SPURIOUS),
        };
        // INT drops with the acknowledge; a request still pending raises it again, as a new edge on IR2.
        self.master.set_line(CASCADE, false);
        self.cascade();
        vector
    }

    fn cascade(&mut self) {
        let int = self.slave.request().is_some();
        self.master.set_line(CASCADE, int);
    }

    fn poll(&mut self, slave: bool) -> u8 {
        let chip = if slave { &mut self.slave } else { &mut self.master };
        chip.poll = false;
        match chip.request() {
            Some(input) => {
                chip.acknowledge(input);
                self.cascade();
                0x80 | input
            }
            None => 0,
        }
    }

    /// The state a PC's firmware leaves for an operating system: vectors 0x08 and 0x70, all masked.
    pub(crate) fn set_up_as_firmware(&mut self) {
        for (chip, icw2, icw3) in [(&mut self.master, 0x08, 1 << CASCADE), (&mut self.slave, 0x70, CASCADE)] {
            chip.write_command(ICW1_SELECT | ICW1_IC4);
            chip.write_data(icw2);
            chip.write_data(icw3);
            chip.write_data(0x01);
            chip.write_data(0xff);
        }
        self.slave.elcr = 0x0c;
    }
}

impl Device for Pic {
    fn pio_read(&mut self, _cx: &mut DeviceCtx, port: u16, _size: u8) -> u32 {
        let slave = port & 0x80 != 0;
        let chip = if slave { &self.slave } else { &self.master };
        let value = match port {
            0x4d0 => self.master.elcr,
            0x4d1 => self.slave.elcr,
            _ if chip.poll => self.poll(slave),
            0x21 | 0xa1 => chip.imr,
            _ if chip.read_isr => chip.isr,
            _ => chip.irr(),
        };
        u32::from(value)
    }

    fn pio_write(&mut self, _cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        let value = value as u8;
        match port {
            0x20 => self.master.write_command(value),
            0x21 => self.master.write_data(value),
            0xa0 => self.slave.write_command(value),
            0xa1 => self.slave.write_data(value),
            0x4d0 => self.master.elcr = value & ELCR1_MASK,
            0x4d1 => self.slave.elcr = value & ELCR2_MASK,
            _ => {}
        }
        self.cascade();
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn initialised(bench: &mut Bench) -> Pic {
        let mut pic = Pic::new();
        for (port, value) in [
            (0x20, 0x11),
            (0x21, 0x30),
            (0x21, 4),
            (0x21, 1),
            (0xa0, 0x11),
            (0xa1, 0x38),
            (0xa1, 2),
            (0xa1, 1),
            (0x21, 0),
            (0xa1, 0),
        ] {
            pic.pio_write(&mut bench.cx(), port, 1, value);
        }
        pic
    }

    #[test]
    fn lower_numbers_win_and_nest() {
        let mut bench = Bench::new();
        let mut pic = initialised(&mut bench);
        pic.set_irq(5, true);
        pic.set_irq(3, true);
        assert_eq!(pic.intack(), 0x33);
        assert!(!pic.intr(), "IRQ5 waits for IRQ3");
        pic.set_irq(1, true);
        assert_eq!(pic.intack(), 0x31);
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0x20);
        assert!(!pic.intr());
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0x20);
        assert_eq!(pic.intack(), 0x35);
    }

    #[test]
    fn a_request_that_goes_away_is_spurious() {
        let mut bench = Bench::new();
        let mut pic = initialised(&mut bench);
        pic.set_irq(4, true);
        pic.set_irq(4, false);
        assert!(!pic.intr());
        assert_eq!(pic.intack(), 0x37);
        assert_eq!(pic.master.isr, 0);
    }

    #[test]
    fn the_slave_interrupts_again_after_its_end_of_interrupt() {
        let mut bench = Bench::new();
        let mut pic = initialised(&mut bench);
        pic.set_irq(8, true);
        pic.set_irq(12, true);
        assert_eq!(pic.intack(), 0x38);
        pic.pio_write(&mut bench.cx(), 0xa0, 1, 0x20);
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0x20);
        assert_eq!(pic.intack(), 0x3c);
    }

    #[test]
    fn level_inputs_request_until_they_drop() {
        let mut bench = Bench::new();
        let mut pic = initialised(&mut bench);
        pic.pio_write(&mut bench.cx(), 0x4d1, 1, 0xff);
        assert_eq!(pic.pio_read(&mut bench.cx(), 0x4d1, 1), 0xde);
        pic.set_irq(10, true);
        assert_eq!(pic.intack(), 0x3a);
        pic.pio_write(&mut bench.cx(), 0xa0, 1, 0x20);
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0x20);
        assert!(pic.intr());
        pic.set_irq(10, false);
        assert!(!pic.intr());
    }

    #[test]
    fn rotation_and_special_mask() {
        let mut bench = Bench::new();
        let mut pic = initialised(&mut bench);
        pic.set_irq(3, true);
        pic.intack();
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0xa0);
        pic.set_irq(4, true);
        pic.set_irq(1, true);
        assert_eq!(pic.intack(), 0x34, "IRQ3 is lowest now, IRQ4 highest");
        pic.pio_write(&mut bench.cx(), 0x21, 1, 0x10);
        assert!(!pic.intr());
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0x68);
        assert_eq!(pic.intack(), 0x31, "masked IRQ4 in service does not block");
    }

    #[test]
    fn poll_acknowledges() {
        let mut bench = Bench::new();
        let mut pic = initialised(&mut bench);
        pic.set_irq(6, true);
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0x0c);
        assert_eq!(pic.pio_read(&mut bench.cx(), 0x20, 1), 0x86);
        pic.pio_write(&mut bench.cx(), 0x20, 1, 0x0b);
        assert_eq!(pic.pio_read(&mut bench.cx(), 0x20, 1), 0x40);
    }
}
