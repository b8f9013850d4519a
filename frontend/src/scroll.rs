//! What the guest said on the serial port, and how far of it is shown: the machine may go back, and forward again.

use super::terminal::Terminal;

/// Most bytes that are kept to be shown again.
const KEPT_MAX: usize = 1 << 20;

/// News of the serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The guest said this, where the machine stood.
    Bytes(Vec<u8>),
    /// The machine stands where so many bytes had been said.
    At(u64),
}

impl Said {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::At(_) => 0,
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Scroll {
    pub terminal: Terminal,
    /// Bytes before the first that is kept.
    first: u64,
    kept: Vec<u8>,
    /// How many of those kept are shown.
    shown: usize,
}

impl Scroll {
    /// Takes news.
    pub fn hear(&mut self, said: &Said) {
        match said {
            Said::Bytes(bytes) => self.add(bytes),
            Said::At(at) => self.show(*at),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let known = self.kept[self.shown..].starts_with(bytes);
        if known {
            self.shown += bytes.len();
            return self.terminal.hear(bytes);
        }
        // What was ahead is another way.
        self.kept.truncate(self.shown);
        self.kept.extend(bytes);
        let over = if self.kept.len() > KEPT_MAX { self.kept.len() - KEPT_MAX / 2 } else { 0 };
        self.kept.drain(..over);
        self.first += over as u64;
        self.shown = self.kept.len();
        self.terminal.hear(bytes);
    }

    fn show(&mut self, at: u64) {
        if at < self.first {
            // What is kept is of later, and would be shown in the place of what was said here.
            self.kept.clear();
            self.first = at;
        }
        let shown = usize::try_from(at.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.shown = shown.min(self.kept.len());
        // Bytes that were said on a way nobody saw have no place.
        self.first = at - self.shown as u64;
        self.terminal = Terminal::default();
        self.terminal.hear(&self.kept[..self.shown]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_goes_back_and_forward_with_the_machine() {
        let mut scroll = Scroll::default();
        let text = |scroll: &Scroll| scroll.terminal.text();
        scroll.hear(&Said::Bytes(b"one two".to_vec()));
        scroll.hear(&Said::Bytes(b" three".to_vec()));
        scroll.hear(&Said::At(3));
        assert_eq!(text(&scroll), "one");
        scroll.hear(&Said::At(7));
        assert_eq!(text(&scroll), "one two", "it is ahead still");
        scroll.hear(&Said::Bytes(b" four".to_vec()));
        assert_eq!(text(&scroll), "one two four");
        scroll.hear(&Said::At(13));
        scroll.hear(&Said::Bytes(b"!".to_vec()));
        assert_eq!(text(&scroll), "one two four!", "three is gone");
        scroll.hear(&Said::At(500));
        scroll.hear(&Said::Bytes(b"?".to_vec()));
        scroll.hear(&Said::At(500));
        assert_eq!(text(&scroll), "one two four!");
    }

    #[test]
    fn what_is_said_again_leaves_what_is_ahead() {
        let mut scroll = Scroll::default();
        scroll.hear(&Said::Bytes(b"one two three".to_vec()));
        scroll.hear(&Said::At(3));
        scroll.hear(&Said::Bytes(b" two".to_vec()));
        assert_eq!(scroll.terminal.text(), "one two");
        scroll.hear(&Said::At(13));
        assert_eq!(scroll.terminal.text(), "one two three");
    }

    #[test]
    fn of_very_much_the_end_is_kept() {
        let mut scroll = Scroll::default();
        scroll.hear(&Said::Bytes(vec![b'x'; KEPT_MAX]));
        scroll.hear(&Said::Bytes(b"end".to_vec()));
        assert!(scroll.kept.len() <= KEPT_MAX && scroll.kept.ends_with(b"end"));
        scroll.hear(&Said::At(KEPT_MAX as u64 + 1));
        assert!(scroll.terminal.text().ends_with("xe"));
    }

    #[test]
    fn before_what_is_kept_nothing_from_elsewhere_is_shown() {
        let mut scroll = Scroll::default();
        scroll.hear(&Said::At(100));
        scroll.hear(&Said::Bytes(b"late".to_vec()));
        scroll.hear(&Said::At(40));
        assert_eq!(scroll.terminal.text(), "");
        scroll.hear(&Said::At(42));
        assert_eq!(scroll.terminal.text(), "", "what was said there is not kept");
        scroll.hear(&Said::Bytes(b"early".to_vec()));
        scroll.hear(&Said::At(44));
        assert_eq!(scroll.terminal.text(), "ea");
    }
}
