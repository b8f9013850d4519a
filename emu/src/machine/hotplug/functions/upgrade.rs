//! The functions that may go as earlier builds had them.

use super::FunctionParts;
use amber_snapshot::{Section, Upgrade};

/// From version 1.
pub(in crate::machine) const FUNCTIONS_UPGRADE: Upgrade = Upgrade::of::<v1::FunctionParts, FunctionParts>();

/// A schema has the names of types: these are those of their time.
mod v1 {
    use super::super::PlacedDisk;
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    /// As it was when the network adapter stayed.
    #[derive(Serialize, Deserialize, Schema)]
    pub(in crate::machine) struct FunctionParts {
        pub(super) disks: Vec<PlacedDisk>,
    }
}

impl Section for v1::FunctionParts {
    const KIND: &'static str = FunctionParts::KIND;
    const VERSION: u32 = 1;
}

impl From<v1::FunctionParts> for FunctionParts {
    fn from(old: v1::FunctionParts) -> Self {
        Self { disks: old.disks, adapter: false }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::FUNCTIONS;
    use super::*;
    use crate::machine::Machine;
    use amber_devices::FunctionSlots;

    #[test]
    fn the_network_adapter_of_an_older_machine_stays() {
        let old = v1::FunctionParts { disks: Vec::new() }.to_section(FUNCTIONS);
        let functions = Machine::equipment_in(&[old]).unwrap().hotplug.functions.unwrap();
        assert!(!functions.has_adapter_slot());
        assert_eq!(functions.chipset(), FunctionSlots::default(), "its slot is none of the block's");
        assert!(FunctionParts::new(&[]).has_adapter_slot());
    }
}
