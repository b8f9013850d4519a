//! Room on the monitors: whether a window there can be seen, and how far it can grow.

use std::time::{Duration, Instant};
use winit::monitor::MonitorHandle;

/// Pixels of a window that are to be seen at least, so that it can be taken hold of.
const HOLD: i64 = 100;
/// How long the window system may take to give a window another size.
const PATIENCE: Duration = Duration::from_secs(1);

/// A monitor, in pixels of the desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor {
    pub x: i32,
    pub y: i32,
    pub width: u32,
    pub height: u32,
}

impl From<&MonitorHandle> for Monitor {
    fn from(monitor: &MonitorHandle) -> Self {
        let (at, size) = (monitor.position(), monitor.size());
        Self { x: at.x, y: at.y, width: size.width, height: size.height }
    }
}

impl Monitor {
    /// Whether the top of a window at `(x, y)` can be taken hold of there.
    pub fn shows(&self, (x, y): (i32, i32), width: u32) -> bool {
        let (x, y, left, top) = (i64::from(x), i64::from(y), i64::from(self.x), i64::from(self.y));
        let (right, bottom) = (left + i64::from(self.width), top + i64::from(self.height));
        x <= right - HOLD && x + i64::from(width) >= left + HOLD && (top..=bottom - HOLD).contains(&y)
    }
}

/// How wide a window is to be, and where, if it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub width: u32,
    pub x: Option<i32>,
}

/// What a window grew by for what is beside the machine's screen.
#[derive(Default)]
pub struct Room {
    /// Pixels.
    grown: u32,
    /// Its left edge before it made room, and after.
    moved: Option<(i32, i32)>,
    /// The width it has without, while the window system has not said what became of the wish.
    asked: Option<(u32, Instant)>,
}

impl Room {
    /// Room that a window had when it was seen last, pixels.
    pub fn of(grown: u32) -> Self {
        Self { grown, ..Self::default() }
    }

    /// Pixels of the window's width that are room for what is beside the screen.
    pub fn grown(&self) -> u32 {
        self.grown
    }

    /// Makes `wanted` pixels of room in a window that is `width` wide, with its left edge at `x` if that is known: as far as
    /// the monitor has them. What was there for the same before goes.
    pub fn make(&mut self, wanted: u32, width: u32, x: Option<i32>, monitor: Option<Monitor>) -> Change {
        let bare = width.saturating_sub(self.grown);
        let most = monitor.map_or(u32::MAX, |monitor| monitor.width.max(bare));
        let new = bare.saturating_add(wanted).min(most);
        self.grown = new - bare;
        self.asked = Some((bare, Instant::now()));
        let moved = self.moved.take();
        let x = x.zip(monitor).and_then(|(x, monitor)| {
            let begin = moved.filter(|(_, to)| *to == x).map_or(x, |(from, _)| from);
            let right = i64::from(monitor.x) + i64::from(monitor.width);
            let over = (i64::from(begin) + i64::from(new) - right).max(0);
            // A window that was beyond the edge before stays as far beyond it.
            let over = over.min(i64::from(self.grown)) as i32;
            let to = begin.saturating_sub(over).max(monitor.x.min(begin));
            self.moved = (to != begin).then_some((begin, to));
            (to != x).then_some(to)
        });
        Change { width: new, x }
    }

    /// The window is that wide: what it was given, if it asked, and else what a person made of it.
    pub fn see(&mut self, width: u32) {
        if let Some((bare, _)) = self.asked.take().filter(|(_, at)| at.elapsed() < PATIENCE) {
            self.grown = width.saturating_sub(bare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONITOR: Monitor = Monitor { x: 1000, y: 0, width: 1280, height: 800 };

    #[test]
    fn a_window_can_be_taken_hold_of_or_is_put_elsewhere() {
        for (at, shown) in [
            ((1000, 0), true),
            ((990, 20), true),
            ((300, 20), true),
            ((299, 20), false),
            ((2180, 700), true),
            ((2181, 700), false),
            ((1000, 701), false),
            ((1000, -1), false),
            ((i32::MAX, i32::MIN), false),
        ] {
            assert_eq!(MONITOR.shows(at, 800), shown, "{at:?}");
        }
    }

    #[test]
    fn a_window_is_as_wide_after_as_before() {
        for (monitor, with) in
            [(None, 1420), (Some(Monitor { width: 3000, ..MONITOR }), 1420), (Some(MONITOR), 1280)]
        {
            let mut room = Room::default();
            assert_eq!(room.make(620, 800, None, monitor).width, with);
            room.see(with);
            assert_eq!(room.make(280, with, None, monitor).width, 1080, "another pane");
            room.see(1080);
            assert_eq!(room.make(0, 1080, None, monitor).width, 800);
        }
    }

    #[test]
    fn what_the_window_system_gave_is_what_goes() {
        let mut room = Room::default();
        room.make(620, 800, None, None);
        room.see(1000);
        // By hand.
        room.see(1100);
        assert_eq!(room.make(0, 1100, None, None).width, 900);
    }

    #[test]
    fn a_window_at_the_edge_makes_room_on_its_left_and_goes_back() {
        let mut room = Room::default();
        let change = room.make(380, 800, Some(1400), Some(MONITOR));
        assert_eq!(change, Change { width: 1180, x: Some(1100) });
        room.see(1180);
        assert_eq!(room.make(0, 1180, Some(1100), Some(MONITOR)), Change { width: 800, x: Some(1400) });
        // One that was moved by hand stays there.
        room.make(380, 800, Some(1400), Some(MONITOR));
        assert_eq!(room.make(0, 1180, Some(1050), Some(MONITOR)), Change { width: 800, x: None });
        // One that was beyond the edge before is not put elsewhere.
        let change = room.make(100, 800, Some(1600), Some(MONITOR));
        assert_eq!(change, Change { width: 900, x: Some(1500) });
    }

    #[test]
    fn room_of_the_last_time_goes_too() {
        let mut room = Room::of(380);
        assert_eq!(room.make(0, 1180, None, None).width, 800);
        assert_eq!(room.grown(), 0);
    }
}
