//! The keyboard controller with a keyboard and a mouse (Intel 8042 as in the PC/AT and PS/2; ICH9, 13.7).

mod keyboard;
mod mouse;
mod scancodes;
mod upgrade;

use crate::device::{Device, DeviceCtx, DeviceId};
use crate::effects::Effect;
use crate::fifo::Fifo;
use crate::irq::{A20Source, IrqSource, Line};
use amber_snapshot::{Schema, Section};
use keyboard::Keyboard;
use mouse::Mouse;
pub use mouse::MouseEvent;
pub use scancodes::Key;
use serde::{Deserialize, Serialize};
pub use upgrade::I8042_UPGRADES;

/// The timer by which a held key repeats.
const REPEAT: u16 = 0;
/// The timer of the mouse's samples.
const SAMPLE: u16 = 1;

const STATUS_OBF: u8 = 0x01;
const STATUS_SYS: u8 = 0x04;
const STATUS_COMMAND: u8 = 0x08;
const STATUS_UNLOCKED: u8 = 0x10;
const STATUS_AUX_OBF: u8 = 0x20;

const CONFIG_KBD_INT: u8 = 0x01;
const CONFIG_AUX_INT: u8 = 0x02;
const CONFIG_SYS: u8 = 0x04;
const CONFIG_KBD_DISABLE: u8 = 0x10;
const CONFIG_AUX_DISABLE: u8 = 0x20;
const CONFIG_XLATE: u8 = 0x40;

const OUTPUT_NOT_RESET: u8 = 0x01;
const OUTPUT_A20: u8 = 0x02;
const OUTPUT_KBD_OBF: u8 = 0x10;
const OUTPUT_AUX_OBF: u8 = 0x20;

/// Where the byte in the output buffer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
enum Source {
    Keyboard,
    Aux,
}

/// What the next byte at port 0x60 is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
enum Expect {
    #[default]
    Keyboard,
    /// Byte of the controller's RAM; 0 is the command byte.
    Ram(u8),
    OutputPort,
    KeyboardBuffer,
    AuxBuffer,
    Aux,
}

/// Controller and both devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct I8042 {
    status: u8,
    /// Controller RAM; byte 0 is the command byte.
    ram: [u8; 32],
    output_port: u8,
    expect: Expect,
    /// The output buffer.
    output: Option<(u8, Source)>,
    /// What an empty output buffer reads as: its last byte.
    last: u8,
    /// Answers of the controller itself, ahead of both devices.
    replies: Fifo<(u8, Source)>,
    /// The translator saw 0xF0 and makes the next code a break code.
    break_prefix: bool,
    keyboard: Keyboard,
    mouse: Mouse,
}

impl Section for I8042 {
    const KIND: &'static str = "i8042";
    const VERSION: u32 = 3;
}

impl I8042 {
    pub(crate) fn new() -> Self {
        let mut ram = [0; 32];
        ram[0] = CONFIG_KBD_INT | CONFIG_AUX_INT;
        Self {
            status: STATUS_COMMAND | STATUS_UNLOCKED,
            ram,
            output_port: OUTPUT_NOT_RESET | OUTPUT_A20,
            expect: Expect::Keyboard,
            output: None,
            last: 0,
            replies: Fifo::new(),
            break_prefix: false,
            keyboard: Keyboard::new(),
            mouse: Mouse::new(),
        }
    }

    /// The state a PC's firmware leaves: translation on, interrupts on, system flag set.
    pub(crate) fn set_up_as_firmware(&mut self) {
        self.ram[0] = CONFIG_KBD_INT | CONFIG_AUX_INT | CONFIG_SYS | CONFIG_XLATE;
        self.status |= STATUS_SYS;
    }

    /// A key goes down or up; whether the keyboard had room for it.
    pub(crate) fn key(&mut self, cx: &mut DeviceCtx, key: Key, pressed: bool) -> bool {
        let before = self.keyboard.repeating;
        let taken = self.keyboard.key(key, pressed);
        if pressed || self.keyboard.repeating != before {
            self.arm_repeat(cx, self.keyboard.delay());
        }
        self.update(cx);
        taken
    }

    /// Whether the guest has taken every key stroke so far, and listens for more.
    pub(crate) fn keyboard_is_ready(&self) -> bool {
        self.keyboard.is_ready() && !matches!(self.output, Some((_, Source::Keyboard)))
    }

    /// Whether the guest has taken every motion so far.
    pub(crate) fn mouse_is_ready(&self) -> bool {
        self.mouse.is_ready()
    }

    /// The lights: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    pub(crate) fn leds(&self) -> u8 {
        self.keyboard.leds
    }

    /// The key that is held repeats in `after` ns, if one is.
    fn arm_repeat(&self, cx: &mut DeviceCtx, after: u64) {
        let at = self.keyboard.repeating.map(|_| cx.now() + after);
        cx.set_timer(DeviceId::I8042, REPEAT, at);
    }

    /// The mouse moves or a button changes.
    pub(crate) fn mouse(&mut self, cx: &mut DeviceCtx, event: MouseEvent) {
        self.mouse.event(event);
        self.update(cx);
    }

    fn has(&self, config: u8) -> bool {
        self.ram[0] & config != 0
    }

    /// Samples the mouse, fills the output buffer if it is empty, and drives both interrupt lines.
    fn update(&mut self, cx: &mut DeviceCtx) {
        self.mouse.sample(cx.now());
        while self.output.is_none() {
            let Some(next) = self.next_output() else { break };
            self.output = next;
        }
        cx.set_timer(DeviceId::I8042, SAMPLE, self.mouse.sample_at());
        let (kbd, aux) = match self.output {
            Some((_, Source::Keyboard)) => (self.has(CONFIG_KBD_INT), false),
            Some((_, Source::Aux)) => (false, self.has(CONFIG_AUX_INT)),
            None => (false, false),
        };
        cx.irqs.set(Line::Isa(1), IrqSource::Keyboard, kbd);
        cx.irqs.set(Line::Isa(12), IrqSource::Mouse, aux);
    }

    /// Takes a byte from whoever has one; the inner `None` is a prefix the translator swallowed.
    fn next_output(&mut self) -> Option<Option<(u8, Source)>> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(Some(reply));
        }
        if !self.has(CONFIG_KBD_DISABLE)
            && let Some(byte) = self.keyboard.take()
        {
            let byte = if self.has(CONFIG_XLATE) { self.translate(byte) } else { Some(byte) };
            return Some(byte.map(|byte| (byte, Source::Keyboard)));
        }
        if self.has(CONFIG_AUX_DISABLE) {
            return None;
        }
        self.mouse.take().map(|byte| Some((byte, Source::Aux)))
    }

    fn translate(&mut self, byte: u8) -> Option<u8> {
        if byte == scancodes::BREAK_PREFIX {
            self.break_prefix = true;
            return None;
        }
        let break_bit = if std::mem::take(&mut self.break_prefix) { 0x80 } else { 0 };
        Some(scancodes::set_2_to_1(byte) | break_bit)
    }

    fn reply(&mut self, byte: u8) {
        self.replies.push_back((byte, Source::Keyboard));
    }

    fn command(&mut self, cx: &mut DeviceCtx, command: u8) {
        self.expect = Expect::Keyboard;
        self.status |= STATUS_COMMAND;
        match command {
            0x20..=0x3f => self.reply(self.ram[usize::from(command & 0x1f)]),
            0x60..=0x7f => self.expect = Expect::Ram(command & 0x1f),
            0xa7 => self.ram[0] |= CONFIG_AUX_DISABLE,
            0xa8 => self.ram[0] &= !CONFIG_AUX_DISABLE,
            0xa9 | 0xab => self.reply(0x00),
            0xaa => {
                self.status |= STATUS_SYS;
                self.reply(0x55);
            }
            0xad => self.ram[0] |= CONFIG_KBD_DISABLE,
            0xae => self.ram[0] &= !CONFIG_KBD_DISABLE,
            // Input port: not inhibited, colour display.
            0xc0 => self.reply(0x80),
            0xd0 => self.reply(self.output_port_value()),
            0xd1 => self.expect = Expect::OutputPort,
            0xd2 => self.expect = Expect::KeyboardBuffer,
            0xd3 => self.expect = Expect::AuxBuffer,
            0xd4 => self.expect = Expect::Aux,
            0xdd => self.write_output_port(cx, self.output_port & !OUTPUT_A20),
            0xdf => self.write_output_port(cx, self.output_port | OUTPUT_A20),
            // Pulses output port bits that are zero; bit 0 is the reset line.
            0xf0..=0xff if command & 1 == 0 => cx.effects.push(Effect::Reset),
            _ => {}
        }
    }

    fn data(&mut self, cx: &mut DeviceCtx, value: u8) {
        self.status &= !STATUS_COMMAND;
        match std::mem::take(&mut self.expect) {
            // Talking to a device enables its interface.
            Expect::Keyboard => {
                self.ram[0] &= !CONFIG_KBD_DISABLE;
                self.keyboard.command(value);
            }
            Expect::Aux => {
                self.ram[0] &= !CONFIG_AUX_DISABLE;
                self.mouse.command(value);
            }
            Expect::Ram(index) => self.write_ram(index, value),
            Expect::OutputPort => self.write_output_port(cx, value),
            Expect::KeyboardBuffer => self.reply(value),
            Expect::AuxBuffer => self.replies.push_back((value, Source::Aux)),
        }
    }

    fn write_ram(&mut self, index: u8, value: u8) {
        self.ram[usize::from(index & 0x1f)] = value;
        if index == 0 && value & CONFIG_SYS != 0 {
            self.status |= STATUS_SYS;
        }
    }

    fn output_port_value(&self) -> u8 {
        let full = match self.output {
            Some((_, Source::Keyboard)) => OUTPUT_KBD_OBF,
            Some((_, Source::Aux)) => OUTPUT_AUX_OBF,
            None => 0,
        };
        self.output_port | full
    }

    fn write_output_port(&mut self, cx: &mut DeviceCtx, value: u8) {
        self.output_port = value & !(OUTPUT_KBD_OBF | OUTPUT_AUX_OBF);
        cx.set_a20(A20Source::I8042, value & OUTPUT_A20 != 0);
        if value & OUTPUT_NOT_RESET == 0 {
            cx.effects.push(Effect::Reset);
        }
    }

    fn read_status(&self) -> u8 {
        let full = match self.output {
            Some((_, Source::Keyboard)) => STATUS_OBF,
            Some((_, Source::Aux)) => STATUS_OBF | STATUS_AUX_OBF,
            None => 0,
        };
        self.status | full
    }
}

impl Device for I8042 {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8) -> u32 {
        if port == 0x64 {
            return u32::from(self.read_status());
        }
        let Some((byte, source)) = self.output.take() else {
            return u32::from(self.last);
        };
        self.last = byte;
        let (line, from) = match source {
            Source::Keyboard => (Line::Isa(1), IrqSource::Keyboard),
            Source::Aux => (Line::Isa(12), IrqSource::Mouse),
        };
        cx.irqs.set(line, from, false);
        self.update(cx);
        u32::from(byte)
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        if port == 0x64 {
            self.command(cx, value as u8);
        } else {
            self.data(cx, value as u8);
        }
        if self.keyboard.repeating.is_none() {
            cx.set_timer(DeviceId::I8042, REPEAT, None);
        }
        // The controller has no way to queue more; a guest that never reads loses the oldest answers.
        while self.replies.len() > 16 {
            self.replies.pop_front();
        }
        self.update(cx);
    }

    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        if timer == REPEAT {
            self.keyboard.repeat();
            self.arm_repeat(cx, self.keyboard.period());
        }
        self.update(cx);
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        *self = Self::new();
        cx.set_a20(A20Source::I8042, true);
    }
}

#[cfg(test)]
mod tests;
