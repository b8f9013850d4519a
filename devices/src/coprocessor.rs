//! Numeric errors as the AT reports them (ICH9: FERR#/IGNNE# of the processor interface, COPROC_ERR): FERR# of the processor becomes IRQ13, and a write
//! to port F0h withdraws that and asserts IGNNE#, until the processor releases FERR#.

use crate::device::{Device, DeviceCtx};
use crate::effects::Effect;
use crate::irq::{IrqSource, Line};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// COPROC_ERR; write-only.
const COPROC_ERR: u16 = 0xf0;
const IRQ13: Line = Line::Isa(13);

/// The two pins. The latch of IRQ13 is the level of its line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Coprocessor {
    ferr: bool,
    ignne: bool,
}

impl Section for Coprocessor {
    const KIND: &'static str = "coprocessor";
    const VERSION: u32 = 1;
}

impl Coprocessor {
    /// FERR# changes. IRQ13 stays latched when it goes.
    pub(crate) fn ferr(&mut self, cx: &mut DeviceCtx, asserted: bool) {
        if asserted && !self.ferr {
            cx.irqs.set(IRQ13, IrqSource::Coprocessor, true);
        }
        self.ferr = asserted;
        if !asserted && self.ignne {
            self.ignne = false;
            cx.effects.push(Effect::Ignne(false));
        }
    }
}

impl Device for Coprocessor {
    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8, _value: u32) {
        if port != COPROC_ERR {
            return;
        }
        cx.irqs.set(IRQ13, IrqSource::Coprocessor, false);
        if self.ferr && !self.ignne {
            self.ignne = true;
            cx.effects.push(Effect::Ignne(true));
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::default();
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        (self.ignne && !self.ferr).then(|| ("ignne", "true without FERR#".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn line(bench: &Bench) -> bool {
        bench.irqs.level(IRQ13, IrqSource::Coprocessor)
    }

    #[test]
    fn ferr_latches_irq13_and_port_f0_answers_with_ignne() {
        let (mut coprocessor, mut bench) = (Coprocessor::default(), Bench::new());
        coprocessor.ferr(&mut bench.cx(), true);
        assert_eq!(bench.pin_edges(13), 1);
        coprocessor.pio_write(&mut bench.cx(), 0xf0, 1, 0);
        coprocessor.pio_write(&mut bench.cx(), 0xf0, 1, 0);
        assert!(!line(&bench));
        coprocessor.ferr(&mut bench.cx(), false);
        coprocessor.ferr(&mut bench.cx(), true);
        assert_eq!(bench.pin_edges(13), 1);
        assert_eq!(bench.effects.drain().collect::<Vec<_>>(), [Effect::Ignne(true), Effect::Ignne(false)]);
    }

    #[test]
    fn irq13_outlasts_ferr_and_then_port_f0_asserts_nothing() {
        let (mut coprocessor, mut bench) = (Coprocessor::default(), Bench::new());
        coprocessor.ferr(&mut bench.cx(), true);
        coprocessor.ferr(&mut bench.cx(), false);
        assert!(line(&bench));
        coprocessor.pio_write(&mut bench.cx(), 0xf0, 1, 0);
        assert!(!line(&bench) && bench.effects.is_empty());
    }
}
