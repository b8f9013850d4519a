//! Machines to begin with.

use super::form::{Form, Starts};
use amber_devices::DiskInterface;
use amber_emu::config::{Firmware, MachineConfig};

/// A machine to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    Linux,
    Bios,
    Uefi,
    Retro,
}

impl Template {
    pub const ALL: [Self; 4] = [Self::Linux, Self::Bios, Self::Uefi, Self::Retro];

    pub fn title(self) -> &'static str {
        match self {
            Self::Linux => "Linux kernel",
            Self::Bios => "PC with BIOS",
            Self::Uefi => "PC with UEFI",
            Self::Retro => "Retro PC",
        }
    }

    /// What it has.
    pub fn words(self) -> &'static str {
        match self {
            Self::Linux => "booted directly, with an initrd; no firmware",
            Self::Bios => "SeaBIOS, a virtio disk and a network",
            Self::Uefi => "OVMF, an NVMe disk, USB keyboard and tablet",
            Self::Retro => "SeaBIOS, diskette and IDE disk, 64M, VGA",
        }
    }

    /// Its form. Files are to be chosen.
    pub fn form(self) -> Form {
        let mut form = Form::of("", None, MachineConfig::default());
        match self {
            Self::Linux => {
                form.starts = Starts::Kernel;
                "console=tty0".clone_into(&mut form.append);
                "user".clone_into(&mut form.net);
            }
            Self::Bios => {
                form.starts = Starts::Bios;
                "1G".clone_into(&mut form.memory);
                form.add_disk(String::new(), DiskInterface::Virtio);
                "user".clone_into(&mut form.net);
                form.hotplug = true;
            }
            Self::Uefi => {
                form.starts = Starts::Uefi;
                "2G".clone_into(&mut form.memory);
                "2".clone_into(&mut form.cpus);
                form.add_disk(String::new(), DiskInterface::Nvme);
                (form.keyboard, form.tablet, form.sound, form.hotplug) = (true, true, true, true);
                "user".clone_into(&mut form.net);
            }
            Self::Retro => {
                form.starts = Starts::Bios;
                "64M".clone_into(&mut form.memory);
                form.add_floppy(String::new());
                form.add_disk(String::new(), DiskInterface::Ide);
                "floppy,disk".clone_into(&mut form.boot);
            }
        }
        form.name = self.title().to_owned();
        form
    }
}

/// The guests that are built in, and what they do.
pub const EMBEDDED: [(Firmware, &str, &str); 6] = [
    (Firmware::Monitor, "Monitor", "a prompt on the serial port: type help"),
    (Firmware::Selftest, "Self-test", "tests instructions, and says what it finds"),
    (Firmware::Interrupts, "Interrupts", "timers, keyboard and interrupts at work"),
    (Firmware::Paging, "Paging", "page tables, faults and rights"),
    (Firmware::Smp, "Processors", "starts the other processors, and talks to them"),
    (Firmware::Requests, "Requests", "asks for checkpoints and forks of itself"),
];
