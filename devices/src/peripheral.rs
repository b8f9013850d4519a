//! Devices a machine has only if it is asked for them.

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peripheral {
    /// A sound card: a High Definition Audio controller with a codec.
    Hda,
    /// A keyboard at USB.
    UsbKeyboard,
    /// An absolute pointer at USB.
    UsbTablet,
    /// A console on virtio, with a channel beside it.
    VirtioConsole,
    /// A source of entropy on virtio.
    VirtioRng,
}

impl Peripheral {
    /// All of them by name, in the order machines have them.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("hda", Self::Hda),
        ("usb-keyboard", Self::UsbKeyboard),
        ("usb-tablet", Self::UsbTablet),
        ("virtio-console", Self::VirtioConsole),
        ("virtio-rng", Self::VirtioRng),
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(_, peripheral)| peripheral)
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hda => "hda",
            Self::UsbKeyboard => "usb-keyboard",
            Self::UsbTablet => "usb-tablet",
            Self::VirtioConsole => "virtio-console",
            Self::VirtioRng => "virtio-rng",
        }
    }

    /// The one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, peripheral)| peripheral)
    }
}
