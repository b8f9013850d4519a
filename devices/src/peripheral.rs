//! Devices a machine has only if it is asked for them.

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peripheral {
    /// A sound card: a High Definition Audio controller with a codec.
    Hda,
}

impl Peripheral {
    /// All of them, in the order machines have them.
    pub const ALL: [Self; 1] = [Self::Hda];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hda => "hda",
        }
    }

    /// The one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peripheral| peripheral.name() == name)
    }
}
