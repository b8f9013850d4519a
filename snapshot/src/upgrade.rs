//! Sections of older versions: explicit functions that make those of the next version out of them.

use crate::{OwnedSection, Section, SectionError};
use std::borrow::Cow;

/// How sections of one kind and one version become sections of a newer one. The functions for several versions follow
/// each other: what comes out of one is looked at again.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade {
    /// [`Section::KIND`] of what it takes.
    pub kind: &'static str,
    /// [`Section::VERSION`] of what it takes.
    pub version: u32,
    /// What takes the section's place, all sections it becomes, in order. It must not be of this kind and version.
    pub apply: fn(&OwnedSection) -> Result<Vec<OwnedSection>, SectionError>,
}

impl Upgrade {
    /// A section whose fields changed. `Old` is the type as it was, kept beside the new one, with its version; its
    /// schema must be that of the stored section.
    pub const fn of<Old: Section, New: Section + From<Old>>() -> Self {
        const { assert!(Old::VERSION < New::VERSION, "an upgrade leads to a newer version") };
        Self { kind: Old::KIND, version: Old::VERSION, apply: replaced::<Old, New> }
    }
}

fn replaced<Old: Section, New: Section + From<Old>>(
    section: &OwnedSection,
) -> Result<Vec<OwnedSection>, SectionError> {
    let old = Old::from_section(section)?;
    Ok(vec![New::from(old).to_section(&section.path)])
}

/// The sections with every upgrade done that there is one for. Others stay as they are, whatever their version:
/// whoever reads them refuses those that are not of this build's.
///
/// # Errors
/// Names the section that is not what its version says.
pub fn upgraded<'a>(
    sections: &'a [OwnedSection],
    table: &[Upgrade],
) -> Result<Cow<'a, [OwnedSection]>, SectionError> {
    let fitting = |section: &OwnedSection| {
        table.iter().find(|upgrade| (upgrade.kind, upgrade.version) == (&section.kind, section.version))
    };
    if !sections.iter().any(|section| fitting(section).is_some()) {
        return Ok(Cow::Borrowed(sections));
    }
    let mut left: Vec<OwnedSection> = sections.iter().rev().cloned().collect();
    let mut done = Vec::with_capacity(left.len());
    while let Some(section) = left.pop() {
        match fitting(&section) {
            Some(upgrade) => left.extend((upgrade.apply)(&section)?.into_iter().rev()),
            None => done.push(section),
        }
    }
    Ok(Cow::Owned(done))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Schema, SectionError};
    use serde::{Deserialize, Serialize};

    /// A chip that counted up to 255 first, then had a second counter, then one with a chip of its own.
    #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
    struct ChipV1 {
        count: u8,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
    struct ChipV2 {
        counts: [u16; 2],
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
    struct Chip {
        count: u16,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
    struct Second {
        count: u16,
    }
    impl Section for ChipV1 {
        const KIND: &'static str = "chip";
        const VERSION: u32 = 1;
    }
    impl Section for ChipV2 {
        const KIND: &'static str = "chip";
        const VERSION: u32 = 2;
    }
    impl Section for Chip {
        const KIND: &'static str = "chip";
        const VERSION: u32 = 3;
    }
    impl Section for Second {
        const KIND: &'static str = "second";
        const VERSION: u32 = 1;
    }
    impl From<ChipV1> for ChipV2 {
        fn from(old: ChipV1) -> Self {
            Self { counts: [old.count.into(), 0] }
        }
    }

    fn in_two(section: &OwnedSection) -> Result<Vec<OwnedSection>, SectionError> {
        let ChipV2 { counts: [first, second] } = ChipV2::from_section(section)?;
        let path = &section.path;
        Ok(vec![
            Chip { count: first }.to_section(path),
            Second { count: second }.to_section(&format!("{path}/second")),
        ])
    }

    const TABLE: [Upgrade; 2] =
        [Upgrade::of::<ChipV1, ChipV2>(), Upgrade { kind: "chip", version: 2, apply: in_two }];

    #[test]
    fn older_sections_become_newer_ones_step_by_step_and_may_become_several() {
        let other = Second { count: 9 }.to_section("b");
        let stored = [ChipV1 { count: 7 }.to_section("a"), other.clone()];
        let now = upgraded(&stored, &TABLE).unwrap();
        let second = Second { count: 0 }.to_section("a/second");
        assert_eq!(now[..], [Chip { count: 7 }.to_section("a"), second, other.clone()]);
        let stored = [other, ChipV2 { counts: [300, 400] }.to_section("a")];
        let now = upgraded(&stored, &TABLE).unwrap();
        assert_eq!(now[2], Second { count: 400 }.to_section("a/second"));
        assert_eq!(Chip::from_section(&now[1]).unwrap(), Chip { count: 300 });
    }

    #[test]
    fn current_sections_are_not_touched_and_unknown_versions_are_still_refused() {
        let stored = [Chip { count: 7 }.to_section("a")];
        assert!(matches!(upgraded(&stored, &TABLE), Ok(Cow::Borrowed(_))));
        let odd = [OwnedSection { version: 0, ..stored[0].clone() }];
        let now = upgraded(&odd, &TABLE).unwrap();
        assert!(matches!(Chip::from_section(&now[0]), Err(SectionError::Version { found: 0, .. })));
    }

    #[test]
    fn an_old_section_that_is_not_what_its_version_says_is_refused_by_name() {
        let old = ChipV1 { count: 7 }.to_section("x/chip");
        let long = [OwnedSection { bytes: vec![7, 7], ..old.clone() }];
        assert!(upgraded(&long, &TABLE).unwrap_err().to_string().contains("x/chip"));
        let schema = ChipV2 { counts: [0; 2] }.to_section("x/chip").schema;
        let other = upgraded(&[OwnedSection { schema, ..old }], &TABLE).map(|_| ());
        assert!(matches!(other, Err(SectionError::Schema { version: 1, .. })));
    }
}
