//! The registers, by address (manual, 13.3).

use super::bits::{CTRL_PHY_RST, CTRL_RST, ICR_ALL, ICR_MDAC, MDIC_INTERRUPT, STATUS_FIXED, STATUS_LU};
use super::eeprom::{self, Microwire, WORDS};
use super::filter::Filter;
use super::interrupts::Interrupts;
use super::phy::Phy;
use super::ring::Ring;
use super::statistics::{self, Statistics};
use super::transmit::Transmit;
use crate::pci::endpoint::Endpoint;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const CTRL: u64 = 0x0000;
const CTRL_COPY: u64 = 0x0004;
const STATUS: u64 = 0x0008;
const EECD: u64 = 0x0010;
const EERD: u64 = 0x0014;
const MDIC: u64 = 0x0020;
const ICR: u64 = 0x00c0;
const ITR: u64 = 0x00c4;
const ICS: u64 = 0x00c8;
const IMS: u64 = 0x00d0;
const IMC: u64 = 0x00d8;
const RCTL: u64 = 0x0100;
const TCTL: u64 = 0x0400;
const RING_LEN: u64 = 0x1c;
const RECEIVE_RING: u64 = 0x2800;
const RECEIVE_RING_END: u64 = RECEIVE_RING + RING_LEN;
const TRANSMIT_RING: u64 = 0x3800;
const TRANSMIT_RING_END: u64 = TRANSMIT_RING + RING_LEN;
const VET: u64 = 0x0038;
const RXCSUM: u64 = 0x5000;

/// CTRL out of reset: full duplex.
const CTRL_RESET: u32 = 0x0000_0201;
/// MDIC out of reset: it is ready.
const MDIC_RESET: u32 = 1 << 28;
/// Bits of CTRL that do something once, and are not kept.
const CTRL_ONCE: u32 = CTRL_RST | CTRL_PHY_RST;

/// Registers that are kept for software, with what they hold out of reset: extended control, flow control (addresses, type,
/// timer, thresholds), VLAN type, transmit and receive configuration words, LEDs, packet buffers, gaps, interframe spacing, delays,
/// descriptor control, checksums, and what wakes the system.
const PLAIN: [(u64, u32); 26] = [
    (0x0018, 0),
    (0x0028, 0),
    (0x002c, 0),
    (0x0030, 0),
    (VET, 0x8100),
    (0x0170, 0),
    (0x0178, 0),
    (0x0410, 0),
    (0x0458, 0),
    (0x0e00, 0x0706_0200),
    (0x1000, 0x0010_0030),
    (0x2160, 0),
    (0x2168, 0),
    (0x2820, 0),
    (0x2828, 0x0001_0000),
    (0x282c, 0),
    (0x2c00, 0),
    (0x3820, 0),
    (0x3828, 0),
    (0x382c, 0),
    (0x3830, 0),
    (RXCSUM, 0),
    (0x5800, 0),
    (0x5808, 0),
    (0x5820, 0),
    (0x5838, 0),
];

/// What software keeps in registers that do nothing by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Plain(Vec<u32>);

impl Plain {
    fn new() -> Self {
        Self(PLAIN.iter().map(|(_, reset)| *reset).collect())
    }

    fn place(&mut self, register: u64) -> Option<&mut u32> {
        let n = PLAIN.iter().position(|(own, _)| *own == register)?;
        self.0.get_mut(n)
    }

    fn get(&self, register: u64) -> u32 {
        let n = PLAIN.iter().position(|(own, _)| *own == register);
        n.and_then(|n| self.0.get(n)).copied().unwrap_or(0)
    }

    /// Type of frames with VLAN tags.
    pub fn vet(&self) -> u32 {
        self.get(VET)
    }

    /// Which checksums of frames are looked at.
    pub fn rxcsum(&self) -> u32 {
        self.get(RXCSUM)
    }
}

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Registers {
    pub endpoint: Endpoint,
    pub ctrl: u32,
    pub rctl: u32,
    pub tctl: u32,
    pub(super) eerd: u32,
    pub(super) mdic: u32,
    pub(super) microwire: Microwire,
    pub phy: Phy,
    pub interrupts: Interrupts,
    pub receive: Ring,
    pub transmit: Transmit,
    pub filter: Filter,
    pub statistics: Statistics,
    pub plain: Plain,
    /// IOADDR.
    pub port: u32,
}

impl Section for Registers {
    const KIND: &'static str = "e1000";
    const VERSION: u32 = 2;
}

impl Registers {
    /// Out of reset.
    pub fn new(endpoint: Endpoint, mac: [u8; 6]) -> Self {
        Self {
            endpoint,
            ctrl: CTRL_RESET,
            rctl: 0,
            tctl: 0,
            eerd: 0,
            mdic: MDIC_RESET,
            microwire: Microwire::default(),
            phy: Phy::new(true),
            interrupts: Interrupts::default(),
            receive: Ring::default(),
            transmit: Transmit::default(),
            filter: Filter::new(mac),
            statistics: Statistics::new(),
            plain: Plain::new(),
            port: 0,
        }
    }

    /// CTRL.RST: all but configuration space, the PHY and the way here.
    fn reset(&mut self, mac: [u8; 6]) {
        let fresh = Self::new(self.endpoint.clone(), mac);
        *self = Self { phy: self.phy.clone(), port: self.port, ..fresh };
    }

    /// Type of frames with VLAN tags.
    pub fn vlan_kind(&self) -> u16 {
        self.plain.vet() as u16
    }

    /// Reads a register, or with `two` that and the next.
    pub fn read(&mut self, words: &[u16; WORDS], register: u64, two: bool) -> u64 {
        let low = u64::from(self.read_one(words, register));
        if two { low | u64::from(self.read_one(words, register + 4)) << 32 } else { low }
    }

    fn read_one(&mut self, words: &[u16; WORDS], register: u64) -> u32 {
        match register {
            CTRL | CTRL_COPY => self.ctrl,
            STATUS => STATUS_FIXED | if self.phy.link_up { STATUS_LU } else { 0 },
            EECD => self.microwire.read(words),
            EERD => self.eerd,
            MDIC => self.mdic,
            ICR => self.interrupts.take(),
            ITR => self.interrupts.throttle(),
            IMS => self.interrupts.mask,
            RCTL => self.rctl,
            TCTL => self.tctl,
            RECEIVE_RING..RECEIVE_RING_END => self.receive.read(register - RECEIVE_RING),
            TRANSMIT_RING..TRANSMIT_RING_END => self.transmit.ring.read(register - TRANSMIT_RING),
            statistics::FIRST..statistics::END => self.statistics.read(register),
            _ => {
                let filter = self.filter.read(register);
                filter.or_else(|| self.plain.place(register).copied()).unwrap_or(0)
            }
        }
    }

    /// Writes a register.
    pub fn write(&mut self, words: &[u16; WORDS], mac: [u8; 6], register: u64, value: u32) {
        match register {
            CTRL | CTRL_COPY => self.write_ctrl(mac, value),
            EECD => self.microwire.write(value),
            EERD => self.eerd = eeprom::read_word(words, value),
            MDIC => {
                self.mdic = self.phy.command(value);
                self.interrupts.raise(if value & MDIC_INTERRUPT != 0 { ICR_MDAC } else { 0 });
            }
            ICR => self.interrupts.clear(value),
            ITR => self.interrupts.set_throttle(value),
            ICS => self.interrupts.raise(value),
            IMS => self.interrupts.mask |= value & ICR_ALL,
            IMC => self.interrupts.mask &= !value,
            RCTL => self.rctl = value,
            TCTL => self.tctl = value,
            RECEIVE_RING..RECEIVE_RING_END => self.receive.write(register - RECEIVE_RING, value),
            TRANSMIT_RING..TRANSMIT_RING_END => self.transmit.ring.write(register - TRANSMIT_RING, value),
            _ => {
                if !self.filter.write(register, value)
                    && let Some(plain) = self.plain.place(register)
                {
                    *plain = value;
                }
            }
        }
    }

    fn write_ctrl(&mut self, mac: [u8; 6], value: u32) {
        if value & CTRL_RST != 0 {
            return self.reset(mac);
        }
        if value & CTRL_PHY_RST != 0 {
            self.phy = Phy::new(self.phy.link_up);
        }
        self.ctrl = value & !CTRL_ONCE;
    }

    /// The part of a state from a file that no adapter comes to.
    pub fn inconsistent(&self) -> Option<&'static str> {
        let parts = [
            ("microwire", self.microwire.is_consistent()),
            ("phy", self.phy.is_consistent()),
            ("interrupts", self.interrupts.is_consistent()),
            ("receive", self.receive.is_consistent()),
            ("transmit", self.transmit.is_consistent()),
            ("filter", self.filter.is_consistent()),
            ("statistics", self.statistics.is_consistent()),
            ("plain", self.plain.0.len() == PLAIN.len()),
            ("port", self.port < super::REGISTERS_LEN as u32),
        ];
        parts.into_iter().find(|(_, fine)| !fine).map(|(part, _)| part)
    }
}
