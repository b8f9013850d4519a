//! The PHY behind MDIC (manual, 13.4.13 and chapter 8): one that has agreed on 1000 Mbit/s, full duplex, as soon as the cable is
//! plugged in.

use super::bits::{MDIC_DATA, MDIC_ERROR, MDIC_READ, MDIC_READY, MDIC_WRITE};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Its address, and how many registers there are.
const ADDRESS: u32 = 1;
const REGISTERS: usize = 32;

const CONTROL: usize = 0;
const STATUS: usize = 1;
const GIGABIT_STATUS: usize = 10;
const PORT_STATUS: usize = 17;
const INTERRUPT_STATUS: usize = 19;
const CONTROL_RESET: u16 = 1 << 15;
const CONTROL_RESTART: u16 = 1 << 9;
const STATUS_LINK: u16 = 1 << 2;
const STATUS_AGREED: u16 = 1 << 5;
/// The partner's receivers are fine, and it can do 1000 Mbit/s in both duplexes.
const PARTNER: u16 = 0x3c00;
/// 1000 Mbit/s, full duplex, resolved.
const PORT_RESOLVED: u16 = 0xa800;
const PORT_LINK: u16 = 1 << 10;
/// Link status, and completed negotiation.
const INTERRUPT_LINK: u16 = 0x0c00;

/// What registers hold out of reset, where that is not 0: control, status, identifier (two), what is advertised, what the
/// partner can, expansion, 1000BASE-T control, extended status, PHY specific control and extended control.
const RESET: [(usize, u16); 11] = [
    (CONTROL, 0x1140),
    (STATUS, 0x7949),
    (2, 0x0141),
    (3, 0x0c20),
    (4, 0x0de1),
    (5, 0x45e1),
    (6, 0x0005),
    (9, 0x0e00),
    (15, 0x3000),
    (16, 0x0060),
    (20, 0x0d60),
];
/// Registers that software writes.
const WRITABLE: [usize; 9] = [CONTROL, 4, 7, 9, 16, 18, 20, 29, 30];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Phy {
    registers: Vec<u16>,
    /// The cable is plugged in.
    pub link_up: bool,
    /// It was pulled out since software looked (STATUS' link bit stays down until it does).
    link_was_down: bool,
}

impl Phy {
    pub fn new(link_up: bool) -> Self {
        let mut registers = vec![0; REGISTERS];
        RESET.into_iter().for_each(|(register, value)| registers[register] = value);
        Self { registers, link_up, link_was_down: false }
    }

    /// The cable is plugged in, or pulled out.
    pub fn set_link(&mut self, up: bool) {
        self.link_was_down |= !up;
        self.link_up = up;
        self.registers[INTERRUPT_STATUS] |= INTERRUPT_LINK;
    }

    fn read(&mut self, register: usize) -> u16 {
        let value = self.registers[register];
        match register {
            STATUS => {
                let down = std::mem::take(&mut self.link_was_down);
                let agreed = if self.link_up { STATUS_AGREED } else { 0 };
                value | agreed | if self.link_up && !down { STATUS_LINK } else { 0 }
            }
            GIGABIT_STATUS if self.link_up => PARTNER,
            PORT_STATUS if self.link_up => PORT_RESOLVED | PORT_LINK,
            INTERRUPT_STATUS => std::mem::take(&mut self.registers[register]),
            _ => value,
        }
    }

    fn write(&mut self, register: usize, value: u16) {
        match register {
            CONTROL if value & CONTROL_RESET != 0 => *self = Self::new(self.link_up),
            CONTROL => self.registers[register] = value & !(CONTROL_RESTART | 0x3f),
            _ if WRITABLE.contains(&register) => self.registers[register] = value,
            _ => {}
        }
    }

    /// Software writes MDIC: the register as it reads from then on.
    pub fn command(&mut self, value: u32) -> u32 {
        let (phy, register) = (value >> 21 & 0x1f, (value >> 16 & 0x1f) as usize);
        let command = value & !(MDIC_READY | MDIC_ERROR);
        match value & (MDIC_READ | MDIC_WRITE) {
            MDIC_READ if phy == ADDRESS => command & !MDIC_DATA | u32::from(self.read(register)) | MDIC_READY,
            MDIC_WRITE if phy == ADDRESS => {
                self.write(register, value as u16);
                command | MDIC_READY
            }
            _ => command | MDIC_READY | MDIC_ERROR,
        }
    }

    /// Whether it could be a state: as many registers as there are.
    pub fn is_consistent(&self) -> bool {
        self.registers.len() == REGISTERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(phy: &mut Phy, register: u32) -> u16 {
        let answer = phy.command(MDIC_READ | ADDRESS << 21 | register << 16);
        assert_eq!(answer & (MDIC_READY | MDIC_ERROR), MDIC_READY);
        answer as u16
    }

    #[test]
    fn the_link_is_up_unless_the_cable_is_out() {
        let mut phy = Phy::new(true);
        assert_eq!((read(&mut phy, 1), read(&mut phy, 17)), (0x796d, 0xac00));
        assert_eq!([read(&mut phy, 2), read(&mut phy, 3)], [0x0141, 0x0c20]);
        phy.set_link(false);
        assert_eq!((read(&mut phy, 1) & 0x24, read(&mut phy, 17), read(&mut phy, 10)), (0, 0, 0));
        phy.set_link(false);
        phy.set_link(true);
        assert_eq!((read(&mut phy, 1) & 4, read(&mut phy, 1) & 4), (0, 4), "it tells once that it was down");
        assert_eq!((read(&mut phy, 19), read(&mut phy, 19)), (0x0c00, 0));
    }

    #[test]
    fn registers_are_written_as_far_as_they_can_be() {
        let mut phy = Phy::new(true);
        let mut write = |register: u32, value: u32| {
            phy.command(MDIC_WRITE | ADDRESS << 21 | register << 16 | value);
            read(&mut phy, register)
        };
        assert_eq!((write(4, 0x01e1), write(2, 0xffff), write(0, 0x1340)), (0x01e1, 0x0141, 0x1140));
        assert_eq!((write(0, 0x9140), read(&mut phy, 4)), (0x1140, 0x0de1), "that was a reset");
        let nobody = phy.command(MDIC_READ | 2 << 21);
        assert_eq!(nobody & (MDIC_READY | MDIC_ERROR), MDIC_READY | MDIC_ERROR);
    }
}
