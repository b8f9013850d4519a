//! Causes of interrupts, their mask, and how often they are told of (manual, 13.4.17 to 13.4.22).

use super::bits::ICR_ALL;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Unit of ITR, ns.
const ITR_NS: u64 = 256;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Interrupts {
    causes: u32,
    pub mask: u32,
    /// Shortest time between two interrupts, in units of 256 ns.
    throttle: u16,
    /// When the next one may be, ns.
    earliest: u64,
    asserted: bool,
}

impl Interrupts {
    /// There are causes.
    pub fn raise(&mut self, causes: u32) {
        self.causes |= causes & ICR_ALL;
    }

    /// Software reads ICR, which clears it.
    pub fn take(&mut self) -> u32 {
        std::mem::take(&mut self.causes)
    }

    /// Software writes ICR: what it names is no cause any more.
    pub fn clear(&mut self, causes: u32) {
        self.causes &= !causes;
    }

    pub fn throttle(&self) -> u32 {
        self.throttle.into()
    }

    pub fn set_throttle(&mut self, value: u32) {
        self.throttle = value as u16;
    }

    /// Level of INTA# at time `now`, ns, and when it changes if nothing happens before.
    pub fn level(&mut self, now: u64) -> (bool, Option<u64>) {
        if self.causes & self.mask == 0 {
            self.asserted = false;
            return (false, None);
        }
        if !self.asserted {
            if now < self.earliest {
                return (false, Some(self.earliest));
            }
            self.asserted = true;
            self.earliest = now + u64::from(self.throttle) * ITR_NS;
        }
        (true, None)
    }

    /// Whether it could be a state.
    pub fn is_consistent(&self) -> bool {
        (self.causes | self.mask) & !ICR_ALL == 0 && self.earliest <= crate::TIME_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_that_are_not_masked_interrupt_as_often_as_they_may() {
        let mut interrupts = Interrupts::default();
        interrupts.raise(0x81);
        assert_eq!(interrupts.level(0), (false, None));
        interrupts.mask = 0x80;
        interrupts.set_throttle(100);
        assert_eq!(interrupts.level(1000), (true, None));
        interrupts.clear(0x80);
        assert_eq!(interrupts.level(1100), (false, None));
        interrupts.raise(0x80);
        assert_eq!(interrupts.level(1200), (false, Some(26_600)));
        assert_eq!(interrupts.level(26_600), (true, None));
        assert_eq!((interrupts.take(), interrupts.take()), (0x81, 0));
        assert_eq!(interrupts.level(26_700), (false, None));
    }
}
