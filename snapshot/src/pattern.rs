//! Patterns: which fields and which bytes are meant.

use std::ops::Range;

/// A pattern of paths, such as `cpu0.*` or `platform0/pit`, or of bytes of a region, such as `ram:0x1000-0x1fff`.
/// `*` stands for any characters, `?` for one. What lies below a path that fits, fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    glob: String,
    /// Bytes of a region, by their offset in it.
    bytes: Option<Range<u64>>,
}

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of bytes; write REGION:FIRST-LAST, such as ram:0x1000-0x1fff")]
pub struct PatternError(String);

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let Some((glob, range)) = text.split_once(':') else {
            return Ok(Self { glob: text.to_owned(), bytes: None });
        };
        let bad = || PatternError(text.to_owned());
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).map_err(|_| bad()),
            None => text.parse().map_err(|_| bad()),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        let end = last.checked_add(1).filter(|end| first < *end).ok_or_else(bad)?;
        Ok(Self { glob: glob.to_owned(), bytes: Some(first..end) })
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.bytes {
            Some(bytes) => write!(f, "{}:{:#x}-{:#x}", self.glob, bytes.start, bytes.end - 1),
            None => f.write_str(&self.glob),
        }
    }
}

/// Whether `text` or the start of it up to a separator fits the pattern.
fn fits(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if g == glob.len() && text.get(t).is_none_or(|next| b".[/".contains(next)) {
            return true;
        }
        match (glob.get(g), text.get(t)) {
            (Some(b'*'), _) => {
                star = Some((g + 1, t));
                g += 1;
            }
            (Some(b'?'), Some(_)) => (g, t) = (g + 1, t + 1),
            (Some(wanted), Some(found)) if wanted == found => (g, t) = (g + 1, t + 1),
            _ => match star {
                // The latest star takes one character more.
                Some((after, from)) if from < text.len() => {
                    star = Some((after, from + 1));
                    (g, t) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
}

impl Pattern {
    fn fits(&self, path: &str) -> bool {
        fits(self.glob.as_bytes(), path.as_bytes())
    }
}

/// What of two snapshots is compared: what fits a pattern of `only`, if there is one, but nothing that fits one of
/// `ignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub only: Vec<Pattern>,
    pub ignore: Vec<Pattern>,
}

impl Rules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.only.is_empty() && self.ignore.is_empty()
    }

    /// Whether the field at `path` counts.
    pub fn field(&self, path: &str) -> bool {
        let fits = |pattern: &Pattern| pattern.bytes.is_none() && pattern.fits(path);
        (self.only.is_empty() || self.only.iter().any(fits)) && !self.ignore.iter().any(fits)
    }

    /// Bytes of a region that count, as ranges of their offsets in order. `len` is the length of the region.
    pub fn bytes(&self, region: &str, len: u64) -> Vec<Range<u64>> {
        let ranges = |patterns: &[Pattern]| {
            let fitting = patterns.iter().filter(|pattern| pattern.fits(region));
            let range = |pattern: &Pattern| pattern.bytes.clone().unwrap_or(0..len);
            fitting.map(range).map(|range| range.start.min(len)..range.end.min(len)).collect::<Vec<_>>()
        };
        let mut wanted = ranges(&self.only);
        if self.only.is_empty() {
            wanted.push(0..len);
        }
        for ignored in ranges(&self.ignore) {
            let outside = |range: Range<u64>| {
                [range.start..range.end.min(ignored.start), range.start.max(ignored.end)..range.end]
            };
            wanted = wanted.into_iter().flat_map(outside).collect();
        }
        wanted.retain(|range| range.start < range.end);
        wanted.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in wanted {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_fit_a_path_and_what_is_below() {
        for (glob, path, expected) in [
            ("cpu0", "cpu0.system.cr3", true),
            ("cpu0", "cpu01.rip", false),
            ("cpu0.*", "cpu0.system.cr3", true),
            ("cpu?.rip", "cpu3.rip", true),
            ("*.cr3", "cpu0.system.cr3", true),
            ("*.seg", "cpu0.system.seg[1].base", true),
            ("platform0/pit", "platform0/pit.counters[0].count", true),
            ("*pit*count", "platform0/pit.counters[0].count", true),
            ("platform0", "platform0/pit.nmi_sc", true),
            ("pit", "platform0/pit.nmi_sc", false),
            ("*", "", true),
            ("", "x", false),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(pattern(glob).fits(path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn ranges_of_bytes_are_inclusive() {
        let rules = Rules {
            only: vec![pattern("ram:0x1000-0x1fff"), pattern("r*:0x1800-0x2fff"), pattern("vram")],
            ignore: vec![pattern("ram:0x1100-0x11ff"), pattern("cpu0")],
        };
        assert_eq!(rules.bytes("ram", 0x2800), [0x1000..0x1100, 0x1200..0x2800]);
        assert_eq!(rules.bytes("vram", 0x8000).first(), Some(&(0..0x8000)));
        assert!(rules.bytes("firmware", 0x8000).is_empty());
        assert!(!rules.field("cpu0.rip"));
        for bad in ["ram:", "ram:5-4", "ram:x", "ram:0-0xffffffffffffffff"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
