//! The command set (82077AA, 5.0): what a first byte asks for, and how many bytes there are.

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    ReadTrack,
    Specify,
    SenseDriveStatus,
    WriteData,
    ReadData,
    Recalibrate,
    SenseInterruptStatus,
    WriteDeletedData,
    ReadId,
    ReadDeletedData,
    FormatTrack,
    DumpReg,
    Seek,
    RelativeSeek,
    Version,
    PerpendicularMode,
    Configure,
    Lock,
    Verify,
    /// Among them scans, which nobody uses, and PART ID: that it is invalid tells an 82077AA from an 82078.
    Invalid,
}

/// Bits of the first byte.
pub(super) const MULTI_TRACK: u8 = 0x80;
pub(super) const MFM: u8 = 0x40;
pub(super) const SKIP: u8 = 0x20;
/// RELATIVE SEEK goes inwards.
pub(super) const INWARDS: u8 = 0x40;
/// LOCK locks.
pub(super) const LOCK: u8 = 0x80;

impl Command {
    /// The command of a first byte.
    pub fn of(byte: u8) -> Self {
        match (byte & 0x1f, byte >> 5) {
            (0x02, 0 | 2) => Self::ReadTrack,
            (0x03, 0) => Self::Specify,
            (0x04, 0) => Self::SenseDriveStatus,
            (0x05, 0 | 2 | 4 | 6) => Self::WriteData,
            (0x06, _) => Self::ReadData,
            (0x07, 0) => Self::Recalibrate,
            (0x08, 0) => Self::SenseInterruptStatus,
            (0x09, 0 | 2 | 4 | 6) => Self::WriteDeletedData,
            // Linux sets bits that mean nothing here.
            (0x0a, _) => Self::ReadId,
            (0x0c, _) => Self::ReadDeletedData,
            (0x0d, 0 | 2) => Self::FormatTrack,
            (0x0e, 0) => Self::DumpReg,
            (0x0f, 0) => Self::Seek,
            (0x0f, 4 | 6) => Self::RelativeSeek,
            (0x10, 0) => Self::Version,
            (0x12, 0) => Self::PerpendicularMode,
            (0x13, 0) => Self::Configure,
            (0x14, 0 | 4) => Self::Lock,
            (0x16, _) => Self::Verify,
            _ => Self::Invalid,
        }
    }

    /// Bytes of the command, the first one included.
    pub fn len(self) -> usize {
        match self {
            Self::SenseInterruptStatus | Self::DumpReg | Self::Version | Self::Lock | Self::Invalid => 1,
            Self::SenseDriveStatus | Self::Recalibrate | Self::ReadId | Self::PerpendicularMode => 2,
            Self::Specify | Self::Seek | Self::RelativeSeek => 3,
            Self::Configure => 4,
            Self::FormatTrack => 6,
            _ => 9,
        }
    }

    /// Whether its bytes come from the host.
    pub fn writes(self) -> bool {
        matches!(self, Self::WriteData | Self::WriteDeletedData | Self::FormatTrack)
    }
}
