//! The controller as it was when media stayed in their drives.

use super::Registers;
use super::port::Port;
use amber_snapshot::{Section, Upgrade};

/// A schema has the names of types: these are those of their time.
mod v1 {
    use crate::ahci::port::InFlight;
    use crate::ata::upgrade::Drive;
    use crate::pci::endpoint::Endpoint;
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Port {
        pub(super) list: u64,
        pub(super) fis: u64,
        pub(super) interrupts: u32,
        pub(super) enable: u32,
        pub(super) command: u32,
        pub(super) task: u32,
        pub(super) signature: u32,
        pub(super) control: u32,
        pub(super) error: u32,
        pub(super) active: u32,
        pub(super) issue: u32,
        pub(super) last: u8,
        pub(super) halted: bool,
        pub(super) in_reset: bool,
        pub(super) in_flight: Vec<InFlight>,
        pub(super) drive: Drive,
    }

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Registers {
        pub(super) endpoint: Endpoint,
        pub(super) interrupts_on: bool,
        pub(super) interrupts: u32,
        pub(super) ports: Vec<Port>,
    }
}

impl Section for v1::Registers {
    const KIND: &'static str = Registers::KIND;
    const VERSION: u32 = 1;
}

impl From<v1::Port> for Port {
    fn from(old: v1::Port) -> Self {
        Self {
            list: old.list,
            fis: old.fis,
            interrupts: old.interrupts,
            enable: old.enable,
            command: old.command,
            task: old.task,
            signature: old.signature,
            control: old.control,
            error: old.error,
            active: old.active,
            issue: old.issue,
            last: old.last,
            halted: old.halted,
            in_reset: old.in_reset,
            in_flight: old.in_flight,
            drive: old.drive.into(),
        }
    }
}

impl From<v1::Registers> for Registers {
    fn from(old: v1::Registers) -> Self {
        let v1::Registers { endpoint, interrupts_on, interrupts, ports } = old;
        let ports = ports.into_iter().map(Port::from).collect();
        Self { endpoint, interrupts_on, interrupts, ports }
    }
}

/// From version 1.
pub const AHCI_UPGRADE: Upgrade = Upgrade::of::<v1::Registers, Registers>();

/// A section as it was.
#[cfg(test)]
pub(super) fn as_it_was(now: &Registers, path: &str) -> amber_snapshot::OwnedSection {
    let Registers { endpoint, interrupts_on, interrupts, ports } = now.clone();
    let port = |now: Port| v1::Port {
        list: now.list,
        fis: now.fis,
        interrupts: now.interrupts,
        enable: now.enable,
        command: now.command,
        task: now.task,
        signature: now.signature,
        control: now.control,
        error: now.error,
        active: now.active,
        issue: now.issue,
        last: now.last,
        halted: now.halted,
        in_reset: now.in_reset,
        in_flight: now.in_flight,
        drive: now.drive.into(),
    };
    let ports = ports.into_iter().map(port).collect();
    v1::Registers { endpoint, interrupts_on, interrupts, ports }.to_section(path)
}
