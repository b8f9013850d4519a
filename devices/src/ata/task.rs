//! A command as the host writes it to a drive's registers (ATA8-ACS, 6.1).

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// The registers of a command. Where the host wrote them byte by byte, what it wrote before is in the upper halves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Task {
    /// The FIS is for the command register, not for device control.
    pub is_command: bool,
    pub command: u8,
    pub features: u16,
    /// 48 bits.
    pub lba: u64,
    pub count: u16,
    pub device: u8,
    pub control: u8,
    /// The packet of a PACKET command.
    pub packet: [u8; 16],
}

impl Task {
    /// Whether a FIS can have said so, as a file may not.
    pub fn is_possible(&self) -> bool {
        self.is_command && self.lba < 1 << 48
    }
}
