//! The speed a person asks for: slow and fast, and back to what it was.

/// Slow, percent.
const SLOW: u32 = 25;

/// A speed: percent of the wall clock's; `None` is as fast as it goes.
type Percent = Option<u32>;

/// See the module.
#[derive(Default)]
pub struct Speed {
    /// What the machine has, once it is known.
    now: Option<Percent>,
    /// What it began with.
    usual: Percent,
    /// What it had before a key was held.
    before: Option<Percent>,
}

impl Speed {
    /// The machine has this speed.
    pub fn see(&mut self, speed: Percent) {
        if self.now.replace(speed).is_none() {
            self.usual = speed;
        }
    }

    fn toggled(&self, to: Percent) -> Percent {
        if self.now == Some(to) { self.usual } else { to }
    }

    /// Slow, or no longer.
    pub fn slow(&self) -> Percent {
        self.toggled(Some(SLOW))
    }

    /// As fast as it goes, or no longer.
    pub fn fast(&self) -> Percent {
        self.toggled(None)
    }

    /// As fast as it goes while a key is held.
    pub fn hold(&mut self, held: bool) -> Percent {
        match held {
            true => {
                self.before = self.before.or(self.now);
                None
            }
            false => self.before.take().unwrap_or(self.usual),
        }
    }

    /// The window lost the keyboard: what the speed is then, if a key was held.
    pub fn let_go(&mut self) -> Option<Percent> {
        self.before.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_leads_back() {
        let mut speed = Speed::default();
        speed.see(Some(100));
        assert_eq!((speed.slow(), speed.fast()), (Some(25), None));
        speed.see(Some(25));
        assert_eq!((speed.slow(), speed.fast()), (Some(100), None));
        assert_eq!(speed.hold(true), None);
        speed.see(None);
        assert_eq!(speed.hold(true), None);
        assert_eq!(speed.hold(false), Some(25));
        speed.see(None);
        assert_eq!((speed.fast(), speed.let_go()), (Some(100), None));
        speed.hold(true);
        assert_eq!(speed.let_go(), Some(None));
    }
}
