//! The controller as it was when media stayed in their drives.

use super::Registers;
use super::channel::{Channel, Seat};
use amber_snapshot::{Section, Upgrade};

/// A schema has the names of types: these are those of their time.
mod v1 {
    use crate::ata::disk::Extent;
    use crate::ata::task::Task;
    use crate::ata::upgrade::Drive;
    use crate::ide::bus_master::BusMaster;
    use crate::ide::channel::{Phase, Stream};
    use crate::ide::registers;
    use crate::pci::endpoint::Endpoint;
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Seat {
        pub(super) registers: registers::Registers,
        pub(super) drive: Drive,
        pub(super) interrupt: bool,
    }

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Channel {
        pub(super) seats: [Seat; 2],
        pub(super) device: u8,
        pub(super) control: u8,
        pub(super) bus_master: BusMaster,
        pub(super) phase: Phase,
        pub(super) due: Option<u64>,
        pub(super) task: Option<Task>,
        pub(super) rest: Option<Extent>,
        pub(super) stream: Option<Stream>,
        pub(super) buffer: Vec<u8>,
        pub(super) at: u32,
        pub(super) end: u32,
    }

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Registers {
        pub(super) endpoint: Endpoint,
        pub(super) channels: [Channel; 2],
    }
}

impl Section for v1::Registers {
    const KIND: &'static str = Registers::KIND;
    const VERSION: u32 = 1;
}

impl From<v1::Seat> for Seat {
    fn from(old: v1::Seat) -> Self {
        Self { registers: old.registers, drive: old.drive.into(), interrupt: old.interrupt }
    }
}

impl From<v1::Channel> for Channel {
    fn from(old: v1::Channel) -> Self {
        Self {
            seats: old.seats.map(Seat::from),
            device: old.device,
            control: old.control,
            bus_master: old.bus_master,
            phase: old.phase,
            due: old.due,
            task: old.task,
            rest: old.rest,
            stream: old.stream,
            buffer: old.buffer,
            at: old.at,
            end: old.end,
        }
    }
}

impl From<v1::Registers> for Registers {
    fn from(old: v1::Registers) -> Self {
        Self { endpoint: old.endpoint, channels: old.channels.map(Channel::from) }
    }
}

/// From version 1.
pub const IDE_UPGRADE: Upgrade = Upgrade::of::<v1::Registers, Registers>();

/// A section as it was.
#[cfg(test)]
pub(super) fn as_it_was(now: &Registers, path: &str) -> amber_snapshot::OwnedSection {
    let Registers { endpoint, channels } = now.clone();
    let seat =
        |now: Seat| v1::Seat { registers: now.registers, drive: now.drive.into(), interrupt: now.interrupt };
    let channel = |now: Channel| v1::Channel {
        seats: now.seats.map(seat),
        device: now.device,
        control: now.control,
        bus_master: now.bus_master,
        phase: now.phase,
        due: now.due,
        task: now.task,
        rest: now.rest,
        stream: now.stream,
        buffer: now.buffer,
        at: now.at,
        end: now.end,
    };
    v1::Registers { endpoint, channels: channels.map(channel) }.to_section(path)
}
