//! An Intel 82540EM gigabit Ethernet controller, QEMU's `e1000` (PCI/PCI-X Family of Gigabit Ethernet Controllers Software
//! Developer's Manual, "the manual" here).
//!
//! The adapter owns registers only: packets to be sent are read when they leave, frames land when the machine hands them over.
//! Interrupts are throttled by ITR; the delays of single descriptors (TIDV, TADV, RDTR, RADV) are kept and delay nothing.

mod bits;
mod eeprom;
mod filter;
mod interrupts;
mod phy;
mod receive;
mod registers;
mod ring;
mod statistics;
mod transmit;
mod upgrade;

use crate::device::{Device, DeviceCtx, DeviceId, Dma};
use crate::effects::Effect;
use crate::nic::{FRAME_MAX, FRAME_MIN, FRAME_NS, Nic, NicConfig};
use crate::pci::config::Identity;
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::function::Function;
use amber_snapshot::{OwnedSection, Section, SectionError};
use bits::{CTRL_VME, ICR_LSC, ICR_RXDMT0, ICR_RXO, ICR_RXT0, ICR_TXDW, ICR_TXQE, RCTL_EN, TCTL_EN};
use eeprom::WORDS;
use receive::Landing;
use registers::Registers;
use statistics::{MPC, RNBC, ROC, TSCTC};
use transmit::Sent;
pub use upgrade::E1000_UPGRADE;

const REGISTERS_BAR: u8 = 0;
const PORTS_BAR: u8 = 1;
const REGISTERS_LEN: u64 = 0x2_0000;
static BARS: [Bar; 2] = [
    Bar { index: REGISTERS_BAR, kind: BarKind::Memory32 { prefetchable: false }, len: REGISTERS_LEN },
    Bar { index: PORTS_BAR, kind: BarKind::Io, len: 0x40 },
];
/// Network controller, Ethernet. No messages: this chip has MSI at most, and QEMU's not even that.
static LAYOUT: Layout = Layout {
    identity: Identity {
        vendor_device: 0x100e_8086,
        class_revision: 0x0200_0003,
        multifunction: false,
        interrupt_pin: 1,
    },
    bars: &BARS,
    msix_bar: 0,
    vectors: 0,
};

/// A packet leaves; an interrupt that was held back is due.
const TIMER_SEND: u16 = 0;
const TIMER_INTERRUPT: u16 = 1;

/// Most descriptors that are done, and frames that leave, at one time.
const DESCRIPTORS_AT_ONCE: u32 = 256;
const FRAMES_AT_ONCE: usize = 64;

/// The adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct E1000 {
    registers: Registers,
    slot: u8,
    config: NicConfig,
    words: [u16; WORDS],
}

impl E1000 {
    pub fn new(slot: u8, config: &NicConfig) -> Self {
        let registers = Registers::new(Endpoint::new(&LAYOUT, &[]), config.mac);
        Self { registers, slot, config: config.clone(), words: eeprom::words(config.mac) }
    }

    fn id(&self) -> DeviceId {
        DeviceId::Slot(self.slot)
    }

    /// Whether packets can be sent now.
    fn sends(&self) -> bool {
        self.registers.tctl & TCTL_EN != 0 && self.registers.endpoint.is_master()
    }

    /// Whether frames can be received now.
    fn receives(&self) -> bool {
        let Registers { rctl, phy, endpoint, .. } = &self.registers;
        rctl & RCTL_EN != 0 && phy.link_up && endpoint.is_master()
    }

    /// After an access: what may go on does.
    fn go_on(&mut self, cx: &mut DeviceCtx) {
        let ready = self.sends() && self.registers.transmit.ring.available() != 0;
        let transmit = &mut self.registers.transmit;
        match (ready, transmit.due) {
            (true, None) => transmit.due = Some(cx.now() + FRAME_NS),
            (false, Some(_)) => transmit.due = None,
            _ => {}
        }
        self.arm(cx);
    }

    fn arm(&mut self, cx: &mut DeviceCtx) {
        cx.set_timer(self.id(), TIMER_SEND, self.registers.transmit.due.map(|due| due.max(cx.now())));
        self.drive(cx);
    }

    /// Brings the interrupt to what the registers say.
    fn drive(&mut self, cx: &mut DeviceCtx) {
        let Registers { interrupts, endpoint, .. } = &mut self.registers;
        let (asserted, later) = interrupts.level(cx.now());
        endpoint.set_interrupt(cx, self.slot, asserted);
        cx.set_timer(DeviceId::Slot(self.slot), TIMER_INTERRUPT, later);
    }

    /// Packets leave: as many as may at one time.
    fn send(&mut self, cx: &mut DeviceCtx) {
        let (mut descriptors, mut frames, mut taken, mut causes) = (0, 0, 0, 0);
        let tag = (self.registers.ctrl & CTRL_VME != 0).then(|| self.registers.vlan_kind());
        let mut stuck = false;
        while descriptors < DESCRIPTORS_AT_ONCE && frames < FRAMES_AT_ONCE {
            let sent = self.registers.transmit.send(cx.dma, tag);
            stuck = sent.descriptors == 0;
            if stuck {
                break;
            }
            descriptors += sent.descriptors;
            causes |= if sent.reports { ICR_TXDW } else { 0 };
            frames += sent.frames.len();
            taken += self.leave(cx, sent);
        }
        let left = self.registers.transmit.ring.available() != 0;
        causes |= if left || descriptors == 0 { 0 } else { ICR_TXQE };
        // What is on the wire keeps those behind it waiting; a packet that is not whole waits for its end.
        self.registers.transmit.due = (left && !stuck).then(|| cx.now() + taken.max(FRAME_NS));
        self.registers.interrupts.raise(causes);
        self.arm(cx);
    }

    /// Frames leave; what they take on the wire, ns.
    fn leave(&mut self, cx: &mut DeviceCtx, sent: Sent) -> u64 {
        let Registers { statistics, phy, .. } = &mut self.registers;
        if sent.segmented {
            statistics.count(TSCTC);
        }
        let mut taken = 0;
        let fits = |frame: &Vec<u8>| (FRAME_MIN..=FRAME_MAX).contains(&frame.len());
        for frame in sent.frames.into_iter().filter(fits) {
            taken += FRAME_NS + frame.len() as u64;
            statistics.sent(&frame);
            if phy.link_up {
                cx.effects.push(Effect::Frame(frame));
            }
        }
        taken
    }

    /// A frame lands; the causes of that, and whether it reached memory.
    fn land(&mut self, dma: &mut dyn Dma, frame: &[u8]) -> (u32, bool) {
        let strips = self.registers.ctrl & CTRL_VME != 0;
        let Registers { statistics, filter, receive, rctl, plain, .. } = &mut self.registers;
        let (rctl, rxcsum) = (*rctl, plain.rxcsum());
        statistics.came(frame);
        let vlan = receive::tag(frame, plain.vet());
        let Some(passed) = filter.passes(rctl, frame, vlan) else { return (0, false) };
        let Some(landing) = Landing::new(frame, passed, rctl, rxcsum, vlan.filter(|_| strips)) else {
            statistics.count(ROC);
            return (0, false);
        };
        if receive.available() < receive::enough(receive, rctl).max(landing.buffers(rctl)) {
            statistics.count(RNBC);
            statistics.count(MPC);
            return (ICR_RXO, false);
        }
        landing.land(dma, receive, rctl);
        statistics.received(frame);
        // Half, a quarter or an eighth of the ring is left (RCTL.RDMTS).
        let low = receive.available() <= receive.size() >> (1 + (rctl >> 8 & 3).min(2));
        (ICR_RXT0 | if low { ICR_RXDMT0 } else { 0 }, true)
    }
}

impl Nic for E1000 {
    fn takes_frames(&mut self, _dma: &mut dyn Dma) -> bool {
        let Registers { receive, rctl, .. } = &self.registers;
        self.receives() && receive.available() >= receive::enough(receive, *rctl)
    }

    fn receive(&mut self, cx: &mut DeviceCtx, frame: &[u8]) -> bool {
        if !self.receives() || !(FRAME_MIN..=FRAME_MAX).contains(&frame.len()) {
            return false;
        }
        let (causes, landed) = self.land(cx.dma, frame);
        self.registers.interrupts.raise(causes);
        self.drive(cx);
        landed
    }

    fn set_link(&mut self, cx: &mut DeviceCtx, up: bool) {
        if self.registers.phy.link_up != up {
            self.registers.phy.set_link(up);
            self.registers.interrupts.raise(ICR_LSC);
            self.drive(cx);
        }
    }
}

impl Device for E1000 {
    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        match timer {
            TIMER_SEND if self.sends() => self.send(cx),
            _ => self.drive(cx),
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        // Nobody has touched the cable.
        let link_up = self.registers.phy.link_up;
        *self = Self::new(self.slot, &self.config);
        self.registers.phy.link_up = link_up;
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let new = Self::new(self.slot, &self.config);
        let like = self.registers.endpoint.is_like(&new.registers.endpoint, &LAYOUT, 0..0);
        let odd = if like { self.registers.inconsistent() } else { Some("endpoint") };
        odd.map(|field| (field, "what no 82540EM comes to".to_owned()))
    }
}

impl Function for E1000 {
    fn slot(&self) -> u8 {
        self.slot
    }

    fn config_read(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        self.registers.endpoint.read_bytes(offset, size)
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        self.registers.endpoint.write_bytes(cx, &LAYOUT, self.slot, offset, size, value);
        self.go_on(cx);
    }

    fn windows(&self) -> Vec<Window> {
        self.registers.endpoint.windows(&LAYOUT).collect()
    }

    fn bar_read(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8) -> u64 {
        let value = match (bar, offset) {
            (REGISTERS_BAR, _) => self.registers.read(&self.words, offset & !3, size == 8),
            (_, 0..4) => u64::from(self.registers.port),
            (_, 4..8) => self.registers.read(&self.words, u64::from(self.registers.port) & !3, false),
            _ => 0,
        };
        self.drive(cx);
        value >> (offset % 4 * 8) & crate::device::size_mask(size)
    }

    /// Registers are written whole (13.1).
    fn bar_write(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8, value: u64) {
        if !offset.is_multiple_of(4) || size < 4 {
            return;
        }
        match (bar, offset) {
            (REGISTERS_BAR, _) => {
                self.registers.write(&self.words, self.config.mac, offset, value as u32);
                if size == 8 {
                    self.registers.write(&self.words, self.config.mac, offset + 4, (value >> 32) as u32);
                }
            }
            (_, 0) => self.registers.port = value as u32 & (REGISTERS_LEN as u32 - 1),
            (_, 4) => {
                let at = u64::from(self.registers.port) & !3;
                self.registers.write(&self.words, self.config.mac, at, value as u32);
            }
            _ => {}
        }
        self.go_on(cx);
    }

    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64) {
        self.registers.endpoint.set_up_as_firmware(&LAYOUT, self.slot, next, port);
    }

    fn section_name(&self) -> String {
        "e1000".to_owned()
    }

    fn to_section(&self, path: &str) -> OwnedSection {
        self.registers.to_section(path)
    }

    fn set_registers(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.registers = Registers::from_section(section)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
