//! The title and the status line: what runs, how far it is, and how fast.

use super::glance::Glance;
use super::keyboard::HostKey;
use std::time::{Duration, Instant};

/// What a speed is taken over.
const SPAN: Duration = Duration::from_millis(500);

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Starting,
    Running,
    Paused,
    Ended,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// What a machine is doing, in a word: one that stands may have gone back, or have ended.
pub fn word(state: State, glance: Glance) -> &'static str {
    match state {
        State::Paused if glance.behind => "rewinding",
        State::Running if glance.behind => "replaying",
        State::Paused if glance.ended => State::Ended.word(),
        state => state.word(),
    }
}

/// The window's title.
pub fn title(name: &str, word: &str, host: HostKey) -> String {
    format!("Amber - {name} - {word} - {} releases the mouse", host.name())
}

/// The speed that is asked for.
pub fn speed(percent: Option<u32>) -> String {
    percent.map_or("as fast as it goes".to_owned(), |percent| format!("speed {percent} %"))
}

/// Bytes as a person reads them.
pub fn size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// Virtual time as a person reads it.
pub fn time(ns: u64) -> String {
    let (seconds, ms) = (ns / 1_000_000_000, ns / 1_000_000 % 1000);
    match seconds / 60 {
        0 => format!("{seconds}.{ms:03} s"),
        minutes => format!("{}:{:02}:{:02}.{ms:03}", minutes / 60, minutes % 60, seconds % 60),
    }
}

/// How fast steps and virtual time go.
#[derive(Default)]
pub struct Meter {
    from: Option<(Instant, Glance)>,
    /// Steps a second, and virtual time by the wall clock's.
    pub rates: Option<(f64, f64)>,
}

impl Meter {
    /// The machine stood at `glance` at this time.
    pub fn read(&mut self, at: Instant, glance: Glance) {
        let Some((since, old)) = self.from.filter(|(_, old)| !glance.paused && old.step <= glance.step)
        else {
            (self.from, self.rates) = (Some((at, glance)), None);
            return;
        };
        let span = at - since;
        if span >= SPAN {
            let seconds = span.as_secs_f64();
            let steps = (glance.step - old.step) as f64 / seconds;
            let time = glance.now.saturating_sub(old.now) as f64 / 1e9 / seconds;
            (self.from, self.rates) = (Some((at, glance)), Some((steps, time)));
        }
    }

    /// The speeds in words.
    pub fn text(&self) -> String {
        let Some((steps, time)) = self.rates else { return String::new() };
        format!("{:.1} MIPS, {:.0} % of real time", steps / 1e6, time * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(700), "700 bytes");
        assert_eq!(size(1440 << 10), "1.4 MiB");
        assert_eq!(size(8 << 30), "8 GiB");
        assert_eq!(size(1500), "1.5 KiB");
    }

    #[test]
    fn times_and_titles_are_readable() {
        assert_eq!(time(0), "0.000 s");
        assert_eq!(time(59_999_999_999), "59.999 s");
        assert_eq!(time(3_723_004_000_000), "1:02:03.004");
        assert_eq!(
            title("monitor", State::Paused.word(), HostKey::ScrollLock),
            "Amber - monitor - paused - Scroll Lock releases the mouse"
        );
        let back = Glance { behind: true, ..Glance::default() };
        assert_eq!((word(State::Paused, back), word(State::Running, back)), ("rewinding", "replaying"));
        assert_eq!(
            (speed(Some(25)), speed(None)),
            ("speed 25 %".to_owned(), "as fast as it goes".to_owned())
        );
    }

    #[test]
    fn a_speed_is_what_was_done_in_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let glance = |step, now| Glance { step, now, ..Glance::default() };
        let mut meter = Meter::default();
        meter.read(at(0), glance(0, 0));
        meter.read(at(100), glance(1_000_000, 0));
        assert_eq!(meter.text(), "");
        meter.read(at(500), glance(50_000_000, 250_000_000));
        assert_eq!(meter.text(), "100.0 MIPS, 50 % of real time");
        meter.read(at(600), Glance { paused: true, ..glance(50_000_000, 250_000_000) });
        assert_eq!(meter.text(), "", "nothing is fast that stands");
        meter.read(at(700), glance(1000, 0));
        meter.read(at(1200), glance(500, 0));
        assert_eq!(meter.text(), "", "another machine is there");
    }
}
