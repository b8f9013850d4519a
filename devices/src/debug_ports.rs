//! Single ports: POST code, fast A20 and reset, the reset control register, firmware debug consoles and
//! isa-debug-exit.

use crate::device::{Device, DeviceCtx, size_mask};
use crate::effects::Effect;
use crate::irq::A20Source;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const POST: u16 = 0x80;
const PORT92: u16 = 0x92;
const DEBUGCON: u16 = 0xe9;
const DEBUG_EXIT: u16 = 0xf4;
const DEBUG_EXIT_END: u16 = 0xf7;
const SEABIOS_DEBUG: u16 = 0x402;
const RST_CNT: u16 = 0xcf9;
/// What a debug console answers, so that firmware knows it is there.
const DEBUGCON_PRESENT: u32 = 0xe9;

const PORT92_INIT_NOW: u8 = 0x01;
const PORT92_ALT_A20_GATE: u8 = 0x02;
const RST_CNT_SYS_RST: u8 = 0x02;
const RST_CNT_RST_CPU: u8 = 0x04;
const RST_CNT_WRITABLE: u8 = 0x0a;

/// The registers behind these ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct DebugPorts {
    post: u8,
    port92: u8,
    rst_cnt: u8,
}

impl Section for DebugPorts {
    const KIND: &'static str = "debug-ports";
    const VERSION: u32 = 1;
}

impl DebugPorts {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn write_port92(&mut self, cx: &mut DeviceCtx, value: u8) {
        let pulse = value & !self.port92 & PORT92_INIT_NOW != 0;
        self.port92 = value;
        cx.set_a20(A20Source::Port92, value & PORT92_ALT_A20_GATE != 0);
        // The ICH9 pulses INIT# here; like QEMU's q35 the whole platform is reset, which preserves RAM and
        // CMOS and so serves the same software.
        if pulse {
            cx.effects.push(Effect::Reset);
        }
    }

    fn write_rst_cnt(&mut self, cx: &mut DeviceCtx, value: u8) {
        // RST_CPU starts the reset and is not kept: after an INIT, which leaves this register alone, it can be set again.
        self.rst_cnt = value & RST_CNT_WRITABLE;
        if value & RST_CNT_RST_CPU == 0 {
            return;
        }
        let hard = value & RST_CNT_SYS_RST != 0;
        cx.effects.push(if hard { Effect::Reset } else { Effect::Init });
    }
}

impl Device for DebugPorts {
    fn pio_read(&mut self, _cx: &mut DeviceCtx, port: u16, size: u8) -> u32 {
        match port {
            POST => u32::from(self.post),
            PORT92 => u32::from(self.port92),
            RST_CNT => u32::from(self.rst_cnt),
            DEBUGCON | SEABIOS_DEBUG => DEBUGCON_PRESENT,
            DEBUG_EXIT..=DEBUG_EXIT_END => 0,
            _ => size_mask(size) as u32,
        }
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        match port {
            POST => self.post = value as u8,
            PORT92 => self.write_port92(cx, value as u8),
            RST_CNT => self.write_rst_cnt(cx, value as u8),
            DEBUGCON | SEABIOS_DEBUG => cx.effects.push(Effect::DebugConsole(value as u8)),
            DEBUG_EXIT => cx.effects.push(Effect::DebugExit(value)),
            _ => {}
        }
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        *self = Self::default();
        cx.set_a20(A20Source::Port92, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn debug_exit_takes_the_whole_value() {
        let (mut ports, mut bench) = (DebugPorts::new(), Bench::new());
        ports.pio_write(&mut bench.cx(), 0xf4, 4, 0x1_0003);
        assert_eq!(bench.effects.pop(), Some(Effect::DebugExit(0x1_0003)));
    }

    #[test]
    fn reset_control_can_be_used_again() {
        let (mut ports, mut bench) = (DebugPorts::new(), Bench::new());
        for value in [0x02, 0x06, 0x00, 0x04, 0x04] {
            ports.pio_write(&mut bench.cx(), 0xcf9, 1, value);
        }
        let effects: Vec<_> = bench.effects.drain().collect();
        assert_eq!(effects, [Effect::Reset, Effect::Init, Effect::Init]);
        assert_eq!(ports.pio_read(&mut bench.cx(), 0xcf9, 1), 0);
    }
}
