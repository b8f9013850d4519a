//! Where the machine's screen is in the window.

use amber_devices::POINTER_MAX;
use serde::{Deserialize, Serialize};

/// How a picture fills an area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// By the largest whole number, so that each pixel is a square of the same size.
    #[default]
    Integer,
    /// As large as its proportions allow.
    Aspect,
    /// All of the area.
    Stretch,
}

/// A rectangle, in pixels of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Scaling {
    /// Where in `area` a picture of `size` (width and height) is: in its middle. A picture that is larger than the area is
    /// made smaller, with its proportions where they are kept.
    pub fn place(self, size: (u32, u32), area: Place) -> Place {
        let (width, height) = match self {
            Self::Stretch => (area.width, area.height),
            Self::Aspect => fit(size, area),
            Self::Integer => match whole(size, area) {
                0 => fit(size, area),
                factor => (size.0 * factor, size.1 * factor),
            },
        };
        Place { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
    }
}

/// The largest whole number of times a picture fits.
fn whole(size: (u32, u32), area: Place) -> u32 {
    (area.width / size.0.max(1)).min(area.height / size.1.max(1))
}

/// The largest size with the proportions of `size`.
fn fit(size: (u32, u32), area: Place) -> (u32, u32) {
    let (width, height) = (u64::from(size.0.max(1)), u64::from(size.1.max(1)));
    let (most_wide, most_high) = (u64::from(area.width), u64::from(area.height));
    if most_wide * height <= most_high * width {
        (area.width, (most_wide * height / width) as u32)
    } else {
        ((most_high * width / height) as u32, area.height)
    }
}

impl Place {
    /// What an absolute pointer says of a point in the window; `None` outside.
    pub fn pointer(self, x: f64, y: f64) -> Option<(u16, u16)> {
        let along = |at: f64, from: u32, len: u32| {
            let part = (at - f64::from(from)) / f64::from(len.max(1));
            (0.0..1.0).contains(&part).then(|| (part * f64::from(POINTER_MAX)).round() as u16)
        };
        Some((along(x, self.x, self.width)?, along(y, self.y, self.height)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Place = Place { x: 10, y: 20, width: 1500, height: 1000 };

    fn at(x: u32, y: u32, width: u32, height: u32) -> Place {
        Place { x, y, width, height }
    }

    #[test]
    fn each_scaling_fills_what_it_may() {
        // Twice 720 x 400; a third time it is too wide.
        assert_eq!(Scaling::Integer.place((720, 400), AREA), at(40, 120, 1440, 800));
        // 1500 / 720 is less than 1000 / 400.
        assert_eq!(Scaling::Aspect.place((720, 400), AREA), at(10, 103, 1500, 833));
        assert_eq!(Scaling::Aspect.place((600, 600), AREA), at(260, 20, 1000, 1000));
        assert_eq!(Scaling::Stretch.place((720, 400), AREA), AREA);
    }

    #[test]
    fn what_does_not_fit_is_made_smaller() {
        let place = Scaling::Integer.place((3000, 1000), AREA);
        assert_eq!(place, at(10, 270, 1500, 500));
        assert_eq!(Scaling::Aspect.place((3000, 1000), AREA), place);
        let nothing = Scaling::Integer.place((720, 400), at(0, 0, 0, 0));
        assert_eq!((nothing.width, nothing.height), (0, 0));
        assert_eq!(Scaling::Aspect.place((0, 0), AREA), at(260, 20, 1000, 1000));
    }

    #[test]
    fn a_picture_never_leaves_its_area() {
        for scaling in [Scaling::Integer, Scaling::Aspect, Scaling::Stretch] {
            for size in [(1, 1), (1, 4000), (4000, 1), (1499, 999), (1501, 1001), (320, 200), (0, 5)] {
                let place = scaling.place(size, AREA);
                assert!(place.x >= AREA.x && place.x + place.width <= AREA.x + AREA.width, "{size:?}");
                assert!(place.y >= AREA.y && place.y + place.height <= AREA.y + AREA.height, "{size:?}");
            }
        }
    }

    #[test]
    fn the_pointer_reaches_every_edge_and_nothing_beyond() {
        assert_eq!(AREA.pointer(10.0, 20.0), Some((0, 0)));
        assert_eq!(AREA.pointer(760.0, 520.0), Some((16384, 16384)));
        assert_eq!(AREA.pointer(1509.9999, 1019.9999), Some((32767, 32767)));
        for (x, y) in [(9.9, 500.0), (1510.0, 500.0), (500.0, 19.9), (500.0, 1020.0)] {
            assert_eq!(AREA.pointer(x, y), None);
        }
        assert_eq!(at(0, 0, 0, 0).pointer(0.0, 0.0), Some((0, 0)));
    }
}
