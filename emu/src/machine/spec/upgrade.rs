//! The configuration as earlier builds had it.

use super::{DiskSpec, MachineSpec};
use amber_snapshot::{Section, Upgrade};

/// From versions 2 and 3.
pub(in crate::machine) const SPEC_UPGRADES: [Upgrade; 2] =
    [Upgrade::of::<v2::MachineSpec, v3::MachineSpec>(), Upgrade::of::<v3::MachineSpec, MachineSpec>()];

/// A schema has the names of types: these are those of their time.
mod v2 {
    use super::DiskSpec;
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    /// As it was when a display had no more than text.
    #[derive(Serialize, Deserialize, Schema)]
    pub(in crate::machine) struct MachineSpec {
        pub(super) machine: String,
        pub(super) cpu: String,
        pub(super) features: Vec<(String, bool)>,
        pub(super) cpus: u32,
        pub(super) memory: u64,
        pub(super) seed: u64,
        pub(super) rtc_start: i64,
        pub(super) quantum: u64,
        pub(super) firmware_len: u64,
        pub(super) boot_len: u64,
        pub(super) disks: Vec<DiskSpec>,
    }
}

mod v3 {
    use super::DiskSpec;
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    /// As it was when firmware had no variables.
    #[derive(Serialize, Deserialize, Schema)]
    pub(in crate::machine) struct MachineSpec {
        pub(super) machine: String,
        pub(super) cpu: String,
        pub(super) features: Vec<(String, bool)>,
        pub(super) cpus: u32,
        pub(super) memory: u64,
        pub(super) seed: u64,
        pub(super) rtc_start: i64,
        pub(super) quantum: u64,
        pub(super) firmware_len: u64,
        pub(super) boot_len: u64,
        pub(super) disks: Vec<DiskSpec>,
        pub(super) display: String,
        pub(super) option_rom_len: u64,
    }
}

impl Section for v2::MachineSpec {
    const KIND: &'static str = MachineSpec::KIND;
    const VERSION: u32 = 2;
}

impl Section for v3::MachineSpec {
    const KIND: &'static str = MachineSpec::KIND;
    const VERSION: u32 = 3;
}

impl From<v2::MachineSpec> for v3::MachineSpec {
    fn from(old: v2::MachineSpec) -> Self {
        Self {
            machine: old.machine,
            cpu: old.cpu,
            features: old.features,
            cpus: old.cpus,
            memory: old.memory,
            seed: old.seed,
            rtc_start: old.rtc_start,
            quantum: old.quantum,
            firmware_len: old.firmware_len,
            boot_len: old.boot_len,
            disks: old.disks,
            display: "text".to_owned(),
            option_rom_len: 0,
        }
    }
}

impl From<v3::MachineSpec> for MachineSpec {
    fn from(old: v3::MachineSpec) -> Self {
        Self {
            machine: old.machine,
            cpu: old.cpu,
            features: old.features,
            cpus: old.cpus,
            memory: old.memory,
            seed: old.seed,
            rtc_start: old.rtc_start,
            quantum: old.quantum,
            firmware_len: old.firmware_len,
            boot_len: old.boot_len,
            disks: old.disks,
            display: old.display,
            option_rom_len: old.option_rom_len,
            variables_len: 0,
            fw_cfg: Vec::new(),
        }
    }
}
