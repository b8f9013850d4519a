//! The keyboard controller as it was before keys repeated and set 3 was there, and before the mouse had its sample rate.

use super::I8042;
use super::keyboard::Keyboard;
use super::mouse::Mouse;
use amber_snapshot::{Section, Upgrade};

/// A schema has the names of types: these are those of their time.
mod v1 {
    use crate::fifo::Fifo;
    use crate::i8042::{Expect, Source};
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Keyboard {
        pub(super) scanning: bool,
        pub(super) set: u8,
        pub(super) leds: u8,
        pub(super) typematic: u8,
        pub(super) pending: Option<u8>,
        pub(super) last: u8,
        pub(super) answers: Fifo<u8>,
        pub(super) strokes: Fifo<u8>,
    }

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Mouse {
        pub(super) reporting: bool,
        pub(super) remote: bool,
        pub(super) wrap: bool,
        pub(super) scaling: bool,
        pub(super) resolution: u8,
        pub(super) sample_rate: u8,
        pub(super) id: u8,
        pub(super) knock: [u8; 3],
        pub(super) pending: Option<u8>,
        pub(super) buttons: u8,
        pub(super) dx: i32,
        pub(super) dy: i32,
        pub(super) wheel: i32,
        pub(super) answers: Fifo<u8>,
        pub(super) packets: Fifo<u8>,
    }

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct I8042 {
        pub(super) status: u8,
        pub(super) ram: [u8; 32],
        pub(super) output_port: u8,
        pub(super) expect: Expect,
        pub(super) output: Option<(u8, Source)>,
        pub(super) last: u8,
        pub(super) replies: Fifo<(u8, Source)>,
        pub(super) break_prefix: bool,
        pub(super) keyboard: Keyboard,
        pub(super) mouse: Mouse,
    }
}

/// As version 1, with a keyboard that is as it is now.
mod v2 {
    use crate::fifo::Fifo;
    use crate::i8042::keyboard::Keyboard;
    use crate::i8042::{Expect, Source};
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Mouse {
        pub(super) reporting: bool,
        pub(super) remote: bool,
        pub(super) wrap: bool,
        pub(super) scaling: bool,
        pub(super) resolution: u8,
        pub(super) sample_rate: u8,
        pub(super) id: u8,
        pub(super) knock: [u8; 3],
        pub(super) pending: Option<u8>,
        pub(super) buttons: u8,
        pub(super) reported: u8,
        pub(super) dx: i32,
        pub(super) dy: i32,
        pub(super) wheel: i32,
        pub(super) answers: Fifo<u8>,
        pub(super) packets: Fifo<u8>,
    }

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct I8042 {
        pub(super) status: u8,
        pub(super) ram: [u8; 32],
        pub(super) output_port: u8,
        pub(super) expect: Expect,
        pub(super) output: Option<(u8, Source)>,
        pub(super) last: u8,
        pub(super) replies: Fifo<(u8, Source)>,
        pub(super) break_prefix: bool,
        pub(super) keyboard: Keyboard,
        pub(super) mouse: Mouse,
    }
}

impl Section for v2::I8042 {
    const KIND: &'static str = I8042::KIND;
    const VERSION: u32 = 2;
}

impl Section for v1::I8042 {
    const KIND: &'static str = I8042::KIND;
    const VERSION: u32 = 1;
}

impl From<v1::Keyboard> for Keyboard {
    fn from(old: v1::Keyboard) -> Self {
        let v1::Keyboard { scanning, set, leds, typematic, pending, last, answers, strokes } = old;
        Self { scanning, set, leds, typematic, pending, last, answers, strokes, ..Self::new() }
    }
}

impl From<v1::Mouse> for v2::Mouse {
    fn from(old: v1::Mouse) -> Self {
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

impl From<v2::Mouse> for Mouse {
    fn from(old: v2::Mouse) -> Self {
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
            reported: old.reported,
            dx: old.dx,
            dy: old.dy,
            wheel: old.wheel,
            answers: old.answers,
            packets: old.packets,
            next_sample: 0,
        }
    }
}

impl From<v1::I8042> for v2::I8042 {
    fn from(old: v1::I8042) -> Self {
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

impl From<v2::I8042> for I8042 {
    fn from(old: v2::I8042) -> Self {
        Self {
            status: old.status,
            ram: old.ram,
            output_port: old.output_port,
            expect: old.expect,
            output: old.output,
            last: old.last,
            replies: old.replies,
            break_prefix: old.break_prefix,
            keyboard: old.keyboard,
            mouse: old.mouse.into(),
        }
    }
}

/// From versions 1 and 2, each to the next.
pub const I8042_UPGRADES: [Upgrade; 2] =
    [Upgrade::of::<v1::I8042, v2::I8042>(), Upgrade::of::<v2::I8042, I8042>()];
