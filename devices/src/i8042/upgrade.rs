//! The keyboard controller as it was before keys repeated and set 3 was there.

use super::keyboard::Keyboard;
use super::mouse::Mouse;
use super::{Expect, I8042, Source};
use crate::fifo::Fifo;
use amber_snapshot::{Schema, Section, Upgrade};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Schema)]
struct KeyboardV1 {
    scanning: bool,
    set: u8,
    leds: u8,
    typematic: u8,
    pending: Option<u8>,
    last: u8,
    answers: Fifo<u8>,
    strokes: Fifo<u8>,
}

#[derive(Serialize, Deserialize, Schema)]
struct MouseV1 {
    reporting: bool,
    remote: bool,
    wrap: bool,
    scaling: bool,
    resolution: u8,
    sample_rate: u8,
    id: u8,
    knock: [u8; 3],
    pending: Option<u8>,
    buttons: u8,
    dx: i32,
    dy: i32,
    wheel: i32,
    answers: Fifo<u8>,
    packets: Fifo<u8>,
}

#[derive(Serialize, Deserialize, Schema)]
struct I8042V1 {
    status: u8,
    ram: [u8; 32],
    output_port: u8,
    expect: Expect,
    output: Option<(u8, Source)>,
    last: u8,
    replies: Fifo<(u8, Source)>,
    break_prefix: bool,
    keyboard: KeyboardV1,
    mouse: MouseV1,
}

impl Section for I8042V1 {
    const KIND: &'static str = I8042::KIND;
    const VERSION: u32 = 1;
}

impl From<KeyboardV1> for Keyboard {
    fn from(old: KeyboardV1) -> Self {
        let KeyboardV1 { scanning, set, leds, typematic, pending, last, answers, strokes } = old;
        Self { scanning, set, leds, typematic, pending, last, answers, strokes, ..Self::new() }
    }
}

impl From<MouseV1> for Mouse {
    fn from(old: MouseV1) -> Self {
        Self {
            reporting: old.reporting,
            remote: old.remote,
            wrap: old.wrap,
            scaling: old.scaling,
            resolution: old.resolution,
            sample_rate: old.sample_rate,
            id: old.id,
            knock: old.knock,
            pending: old.pending,
            buttons: old.buttons,
            reported: old.buttons,
            dx: old.dx,
            dy: old.dy,
            wheel: old.wheel,
            answers: old.answers,
            packets: old.packets,
        }
    }
}

impl From<I8042V1> for I8042 {
    fn from(old: I8042V1) -> Self {
        Self {
            status: old.status,
            ram: old.ram,
            output_port: old.output_port,
            expect: old.expect,
            output: old.output,
            last: old.last,
            replies: old.replies,
            break_prefix: old.break_prefix,
            keyboard: old.keyboard.into(),
            mouse: old.mouse.into(),
        }
    }
}

/// From version 1.
pub const I8042_UPGRADE: Upgrade = Upgrade::of::<I8042V1, I8042>();
