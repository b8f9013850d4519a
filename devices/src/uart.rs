//! The 16550A serial port (National PC16550D datasheet).
//!
//! Characters take time by the divisor, but only a fraction of what a wire would need, so that a guest's
//! console does not spend its life waiting for the transmitter.

use crate::clock::NS_PER_SECOND;
use crate::device::{Device, DeviceCtx, DeviceId};
use crate::effects::Effect;
use crate::fifo::Fifo;
use crate::irq::{IrqSource, Line};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const IER_ERBFI: u8 = 0x01;
const IER_ETBEI: u8 = 0x02;
const IER_ELSI: u8 = 0x04;
const IER_EDSSI: u8 = 0x08;
const IIR_NONE: u8 = 0x01;
const IIR_THRE: u8 = 0x02;
const IIR_RX: u8 = 0x04;
const IIR_LINE: u8 = 0x06;
const IIR_TIMEOUT: u8 = 0x0c;
const IIR_FIFOS: u8 = 0xc0;
const FCR_ENABLE: u8 = 0x01;
const FCR_CLEAR_RX: u8 = 0x02;
const FCR_CLEAR_TX: u8 = 0x04;
const LCR_BREAK: u8 = 0x40;
const LCR_DLAB: u8 = 0x80;
const MCR_DTR: u8 = 0x01;
const MCR_RTS: u8 = 0x02;
const MCR_OUT1: u8 = 0x04;
const MCR_OUT2: u8 = 0x08;
const MCR_LOOP: u8 = 0x10;
const LSR_DR: u8 = 0x01;
const LSR_OE: u8 = 0x02;
const LSR_BI: u8 = 0x10;
const LSR_THRE: u8 = 0x20;
const LSR_TEMT: u8 = 0x40;
const LSR_ERRORS: u8 = 0x1e;
const MSR_TERI: u8 = 0x04;
const MSR_CTS: u8 = 0x10;
const MSR_DSR: u8 = 0x20;
const MSR_RI: u8 = 0x40;
const MSR_DCD: u8 = 0x80;

const FIFO_LEN: usize = 16;
/// Bytes from the host that wait for room in the receiver.
const HOST_QUEUE_LEN: usize = 256;
const CLOCK_HZ: u64 = 1_843_200;
/// How much faster than on a wire a character is: at 9600 baud about as long as one access to a port, so that
/// a driver that polls for each character finds the transmitter ready.
const SPEEDUP: u64 = 1024;

const TIMER_TX: u16 = 0;
const TIMER_RX: u16 = 1;
const TIMER_TIMEOUT: u16 = 2;

/// Registers, FIFOs and the queue of bytes from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Uart {
    /// 0 is COM1.
    port: u8,
    divisor: u16,
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    /// Error bits of LSR that have not been read.
    line_errors: u8,
    msr: u8,
    scr: u8,
    rx: Fifo<u8>,
    tx: Fifo<u8>,
    /// The character on its way out.
    shift: Option<u8>,
    /// The transmitter holding register empty interrupt is pending.
    thre_pending: bool,
    timeout_pending: bool,
    /// Bytes the host sent that the receiver has not taken.
    incoming: Fifo<u8>,
}

impl Section for Uart {
    const KIND: &'static str = "pc16550d";
    const VERSION: u32 = 1;
}

impl Uart {
    pub(crate) fn new(port: u8) -> Self {
        Self {
            port,
            divisor: 12,
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: MCR_OUT2,
            line_errors: 0,
            msr: MSR_DCD | MSR_DSR | MSR_CTS,
            scr: 0,
            rx: Fifo::new(),
            tx: Fifo::new(),
            shift: None,
            thre_pending: false,
            timeout_pending: false,
            incoming: Fifo::new(),
        }
    }

    /// Takes bytes from the host; how many there was room for.
    pub(crate) fn input(&mut self, cx: &mut DeviceCtx, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(HOST_QUEUE_LEN.saturating_sub(self.incoming.len()));
        let idle = self.incoming.is_empty();
        self.incoming.extend(bytes[..taken].iter().copied());
        if idle {
            self.arm_rx(cx);
        }
        taken
    }

    /// Which port it is: 0 is COM1.
    pub(crate) fn port(&self) -> u8 {
        self.port
    }

    fn id(&self) -> DeviceId {
        if self.port == 0 { DeviceId::Uart0 } else { DeviceId::Uart1 }
    }

    /// Time of one character, in ns.
    fn character_ns(&self) -> u64 {
        let data = 5 + u64::from(self.lcr & 3);
        let stop = 1 + u64::from(self.lcr >> 2 & 1);
        let parity = u64::from(self.lcr >> 3 & 1);
        let bits = 1 + data + parity + stop;
        let clocks = u64::from(self.divisor.max(1)) * 16 * bits;
        clocks * NS_PER_SECOND / CLOCK_HZ / SPEEDUP
    }

    fn fifos(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    fn rx_capacity(&self) -> usize {
        if self.fifos() { FIFO_LEN } else { 1 }
    }

    fn trigger_level(&self) -> usize {
        if self.fifos() { [1, 4, 8, 14][usize::from(self.fcr >> 6)] } else { 1 }
    }

    fn loops(&self) -> bool {
        self.mcr & MCR_LOOP != 0
    }

    fn iir(&self) -> u8 {
        if self.ier & IER_ELSI != 0 && self.line_errors != 0 {
            IIR_LINE
        } else if self.ier & IER_ERBFI != 0 && self.rx.len() >= self.trigger_level() {
            IIR_RX
        } else if self.ier & IER_ERBFI != 0 && self.timeout_pending {
            IIR_TIMEOUT
        } else if self.ier & IER_ETBEI != 0 && self.thre_pending {
            IIR_THRE
        } else if self.ier & IER_EDSSI != 0 && self.msr & 0x0f != 0 {
            0x00
        } else {
            IIR_NONE
        }
    }

    /// OUT2 gates the interrupt on a PC; in loopback the pin is high and nothing comes out.
    fn update_irq(&mut self, cx: &mut DeviceCtx) {
        let level = self.iir() != IIR_NONE && self.mcr & MCR_OUT2 != 0 && !self.loops();
        let (irq, source) = if self.port == 0 { (4, IrqSource::Uart0) } else { (3, IrqSource::Uart1) };
        cx.irqs.set(Line::Isa(irq), source, level);
    }

    fn arm_rx(&self, cx: &mut DeviceCtx) {
        let room = self.rx.len() < self.rx_capacity();
        let wanted = !self.incoming.is_empty() && room && !self.loops();
        let at = cx.now().saturating_add(self.character_ns());
        cx.set_timer(self.id(), TIMER_RX, wanted.then_some(at));
    }

    /// Four character times without traffic in a FIFO below its trigger level (PC16550D, FIFO interrupt mode).
    fn arm_timeout(&mut self, cx: &mut DeviceCtx) {
        self.timeout_pending = false;
        let at = cx.now().saturating_add(4 * self.character_ns());
        let wanted = self.fifos() && !self.rx.is_empty();
        cx.set_timer(self.id(), TIMER_TIMEOUT, wanted.then_some(at));
    }

    fn receive(&mut self, cx: &mut DeviceCtx, byte: u8) {
        if self.rx.len() < self.rx_capacity() {
            self.rx.push_back(byte);
        } else {
            self.line_errors |= LSR_OE;
            if !self.fifos() {
                self.rx = Fifo::from([byte]);
            }
        }
        self.arm_timeout(cx);
    }

    fn read_rbr(&mut self, cx: &mut DeviceCtx) -> u8 {
        let byte = self.rx.pop_front().unwrap_or(0);
        self.arm_timeout(cx);
        self.arm_rx(cx);
        byte
    }

    fn write_thr(&mut self, cx: &mut DeviceCtx, byte: u8) {
        self.thre_pending = false;
        let capacity = if self.fifos() { FIFO_LEN } else { 1 };
        if self.tx.len() >= capacity {
            self.tx.pop_back();
        }
        self.tx.push_back(byte);
        if self.shift.is_none() {
            self.start_character(cx);
        }
    }

    /// Moves the next character into the shift register.
    fn start_character(&mut self, cx: &mut DeviceCtx) {
        self.shift = self.tx.pop_front();
        if self.shift.is_some() && self.tx.is_empty() {
            self.thre_pending = true;
        }
        let at = cx.now().saturating_add(self.character_ns());
        cx.set_timer(self.id(), TIMER_TX, self.shift.map(|_| at));
    }

    fn finish_character(&mut self, cx: &mut DeviceCtx) {
        if let Some(byte) = self.shift.take() {
            if self.loops() {
                self.receive(cx, byte);
            } else {
                cx.effects.push(Effect::Serial { port: self.port, byte });
            }
        }
        self.start_character(cx);
    }

    fn write_ier(&mut self, value: u8) {
        let enabled = value & !self.ier & IER_ETBEI != 0;
        self.ier = value & 0x0f;
        // Enabling it while the holding register is empty interrupts at once.
        if enabled && self.tx.is_empty() {
            self.thre_pending = true;
        }
    }

    fn write_fcr(&mut self, cx: &mut DeviceCtx, value: u8) {
        let toggled = (self.fcr ^ value) & FCR_ENABLE != 0;
        if toggled || value & (FCR_ENABLE | FCR_CLEAR_RX) == FCR_ENABLE | FCR_CLEAR_RX {
            self.rx.clear();
            self.timeout_pending = false;
        }
        if toggled || value & (FCR_ENABLE | FCR_CLEAR_TX) == FCR_ENABLE | FCR_CLEAR_TX {
            self.tx.clear();
            self.thre_pending = true;
        }
        self.fcr = if value & FCR_ENABLE != 0 { value & 0xc9 } else { 0 };
        self.arm_timeout(cx);
        self.arm_rx(cx);
    }

    fn write_lcr(&mut self, cx: &mut DeviceCtx, value: u8) {
        let breaks = value & !self.lcr & LCR_BREAK != 0;
        self.lcr = value;
        if breaks && self.loops() {
            self.line_errors |= LSR_BI;
            self.receive(cx, 0);
        }
    }

    fn write_mcr(&mut self, cx: &mut DeviceCtx, value: u8) {
        self.mcr = value & 0x1f;
        self.update_modem();
        self.arm_rx(cx);
    }

    /// Recomputes the modem lines; changes set the delta bits.
    fn update_modem(&mut self) {
        let lines = if self.loops() {
            let wire = |from: u8, to: u8| if self.mcr & from != 0 { to } else { 0 };
            wire(MCR_RTS, MSR_CTS) | wire(MCR_DTR, MSR_DSR) | wire(MCR_OUT1, MSR_RI) | wire(MCR_OUT2, MSR_DCD)
        } else {
            MSR_CTS | MSR_DSR | MSR_DCD
        };
        let changed = (lines ^ self.msr) & 0xf0;
        let mut delta = (changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;
        // Only the trailing edge of the ring indicator counts.
        if changed & MSR_RI != 0 && lines & MSR_RI == 0 {
            delta |= MSR_TERI;
        }
        self.msr = lines | self.msr & 0x0f | delta;
    }

    fn read_lsr(&mut self) -> u8 {
        let mut lsr = self.line_errors & LSR_ERRORS;
        self.line_errors = 0;
        if !self.rx.is_empty() {
            lsr |= LSR_DR;
        }
        if self.tx.is_empty() {
            lsr |= LSR_THRE;
            if self.shift.is_none() {
                lsr |= LSR_TEMT;
            }
        }
        lsr
    }

    fn read_iir(&mut self) -> u8 {
        let iir = self.iir();
        if iir == IIR_THRE {
            self.thre_pending = false;
        }
        iir | if self.fifos() { IIR_FIFOS } else { 0 }
    }
}

impl Device for Uart {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8) -> u32 {
        let dlab = self.lcr & LCR_DLAB != 0;
        let value = match port & 7 {
            0 if dlab => self.divisor as u8,
            0 => self.read_rbr(cx),
            1 if dlab => (self.divisor >> 8) as u8,
            1 => self.ier,
            2 => self.read_iir(),
            3 => self.lcr,
            4 => self.mcr,
            5 => self.read_lsr(),
            6 => {
                let msr = self.msr;
                self.msr &= 0xf0;
                msr
            }
            _ => self.scr,
        };
        self.update_irq(cx);
        u32::from(value)
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        let value = value as u8;
        let dlab = self.lcr & LCR_DLAB != 0;
        match port & 7 {
            0 if dlab => self.divisor = self.divisor & 0xff00 | u16::from(value),
            0 => self.write_thr(cx, value),
            1 if dlab => self.divisor = self.divisor & 0x00ff | u16::from(value) << 8,
            1 => self.write_ier(value),
            2 => self.write_fcr(cx, value),
            3 => self.write_lcr(cx, value),
            4 => self.write_mcr(cx, value),
            7 => self.scr = value,
            _ => {}
        }
        self.update_irq(cx);
    }

    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        match timer {
            TIMER_TX => self.finish_character(cx),
            TIMER_RX => {
                if let Some(byte) = self.incoming.pop_front() {
                    self.receive(cx, byte);
                }
                self.arm_rx(cx);
            }
            TIMER_TIMEOUT => self.timeout_pending = !self.rx.is_empty(),
            _ => {}
        }
        self.update_irq(cx);
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        let incoming = std::mem::replace(&mut self.incoming, Fifo::new());
        *self = Self { incoming, ..Self::new(self.port) };
        self.arm_rx(cx);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let queues = [
            ("rx", self.rx.len(), FIFO_LEN),
            ("tx", self.tx.len(), FIFO_LEN),
            ("incoming", self.incoming.len(), HOST_QUEUE_LEN),
        ];
        let too_long = queues.into_iter().find(|(_, len, most)| len > most);
        too_long.map(|(name, len, _)| (name, format!("{len} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn run(uart: &mut Uart, bench: &mut Bench) {
        while let Some(at) = bench.clock.next() {
            bench.clock.advance_to(at);
            let (_, timer) = bench.clock.pop_due().unwrap();
            uart.timer(&mut bench.cx(), timer.timer);
        }
    }

    fn irq(bench: &Bench) -> bool {
        bench.irqs.level(Line::Isa(4), IrqSource::Uart0)
    }

    #[test]
    fn a_byte_leaves_after_its_character_time_and_thre_interrupts() {
        let (mut uart, mut bench) = (Uart::new(0), Bench::new());
        uart.pio_write(&mut bench.cx(), 0x3f9, 1, u32::from(IER_ETBEI));
        assert!(irq(&bench));
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fa, 1), 0x02);
        assert!(!irq(&bench), "reading IIR clears THRE");
        uart.pio_write(&mut bench.cx(), 0x3f8, 1, 0x41);
        uart.pio_write(&mut bench.cx(), 0x3f8, 1, 0x42);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fd, 1) & 0x60, 0);
        run(&mut uart, &mut bench);
        assert!(irq(&bench));
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fd, 1), 0x60);
        let sent: Vec<Effect> = bench.effects.drain().collect();
        assert_eq!(sent, [0x41, 0x42].map(|byte| Effect::Serial { port: 0, byte }));
    }

    #[test]
    fn the_receiver_interrupts_at_its_trigger_level_and_after_a_pause() {
        let (mut uart, mut bench) = (Uart::new(0), Bench::new());
        uart.pio_write(&mut bench.cx(), 0x3fa, 1, 0x41);
        uart.pio_write(&mut bench.cx(), 0x3f9, 1, u32::from(IER_ERBFI));
        assert_eq!(uart.input(&mut bench.cx(), b"abc"), 3);
        run(&mut uart, &mut bench);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fa, 1), 0xcc);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3f8, 1), u32::from(b'a'));
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fa, 1), 0xc1);
        uart.input(&mut bench.cx(), b"de");
        run(&mut uart, &mut bench);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fa, 1), 0xc4);
        assert!(irq(&bench));
    }

    #[test]
    fn nothing_from_the_host_is_lost() {
        let (mut uart, mut bench) = (Uart::new(0), Bench::new());
        uart.pio_write(&mut bench.cx(), 0x3fa, 1, 1);
        let bytes: Vec<u8> = (0..=255).chain(0..44).collect();
        assert_eq!(uart.input(&mut bench.cx(), &bytes), 256);
        let mut got = Vec::new();
        for _ in 0..256 {
            run(&mut uart, &mut bench);
            got.push(uart.pio_read(&mut bench.cx(), 0x3f8, 1) as u8);
        }
        assert_eq!(got, bytes[..256]);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fd, 1), 0x60);
    }

    #[test]
    fn loopback_wires_lines_and_data_back() {
        let (mut uart, mut bench) = (Uart::new(0), Bench::new());
        uart.pio_write(&mut bench.cx(), 0x3fc, 1, 0x1a);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3fe, 1) & 0xf0, 0x90);
        uart.pio_write(&mut bench.cx(), 0x3f8, 1, 0x5a);
        run(&mut uart, &mut bench);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x3f8, 1), 0x5a);
        assert!(bench.effects.is_empty());
    }

    #[test]
    fn divisor_and_scratch() {
        let (mut uart, mut bench) = (Uart::new(1), Bench::new());
        uart.pio_write(&mut bench.cx(), 0x2fb, 1, 0x83);
        uart.pio_write(&mut bench.cx(), 0x2f8, 1, 1);
        uart.pio_write(&mut bench.cx(), 0x2f9, 1, 0);
        assert_eq!(uart.character_ns(), 86_805 / 1024);
        uart.pio_write(&mut bench.cx(), 0x2ff, 1, 0xa5);
        assert_eq!(uart.pio_read(&mut bench.cx(), 0x2ff, 1), 0xa5);
    }
}
