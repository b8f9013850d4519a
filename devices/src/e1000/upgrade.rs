//! The adapter as it was when it had one context for all packets.

use super::registers;
use super::transmit;
use amber_snapshot::{Section, Upgrade};

/// A schema has the names of types: these are those of their time.
mod v1 {
    use crate::e1000::eeprom::Microwire;
    use crate::e1000::filter::Filter;
    use crate::e1000::interrupts::Interrupts;
    use crate::e1000::phy::Phy;
    use crate::e1000::registers::Plain;
    use crate::e1000::ring::Ring;
    use crate::e1000::statistics::Statistics;
    use crate::e1000::transmit::Context;
    use crate::pci::endpoint::Endpoint;
    use amber_snapshot::Schema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Transmit {
        pub(super) ring: Ring,
        pub(super) context: Context,
        pub(super) due: Option<u64>,
    }

    #[derive(Serialize, Deserialize, Schema)]
    pub(super) struct Registers {
        pub(super) endpoint: Endpoint,
        pub(super) ctrl: u32,
        pub(super) rctl: u32,
        pub(super) tctl: u32,
        pub(super) eerd: u32,
        pub(super) mdic: u32,
        pub(super) microwire: Microwire,
        pub(super) phy: Phy,
        pub(super) interrupts: Interrupts,
        pub(super) receive: Ring,
        pub(super) transmit: Transmit,
        pub(super) filter: Filter,
        pub(super) statistics: Statistics,
        pub(super) plain: Plain,
        pub(super) port: u32,
    }
}

impl Section for v1::Registers {
    const KIND: &'static str = registers::Registers::KIND;
    const VERSION: u32 = 1;
}

impl From<v1::Registers> for registers::Registers {
    fn from(old: v1::Registers) -> Self {
        let v1::Transmit { ring, context, due } = old.transmit;
        // Either kind of packet would have taken it.
        let transmit = transmit::Transmit { ring, normal: context.clone(), segmenting: context, due };
        Self {
            endpoint: old.endpoint,
            ctrl: old.ctrl,
            rctl: old.rctl,
            tctl: old.tctl,
            eerd: old.eerd,
            mdic: old.mdic,
            microwire: old.microwire,
            phy: old.phy,
            interrupts: old.interrupts,
            receive: old.receive,
            transmit,
            filter: old.filter,
            statistics: old.statistics,
            plain: old.plain,
            port: old.port,
        }
    }
}

/// A section as it was, of an adapter with one context.
#[cfg(test)]
pub(super) fn as_it_was(now: &registers::Registers, path: &str) -> amber_snapshot::OwnedSection {
    let registers::Registers { transmit, .. } = now.clone();
    let transmit = v1::Transmit { ring: transmit.ring, context: transmit.segmenting, due: transmit.due };
    let registers::Registers { endpoint, ctrl, rctl, tctl, eerd, mdic, microwire, phy, interrupts, .. } =
        now.clone();
    let registers::Registers { receive, filter, statistics, plain, port, .. } = now.clone();
    let old = v1::Registers {
        endpoint,
        ctrl,
        rctl,
        tctl,
        eerd,
        mdic,
        microwire,
        phy,
        interrupts,
        receive,
        transmit,
        filter,
        statistics,
        plain,
        port,
    };
    old.to_section(path)
}

/// From version 1.
pub const E1000_UPGRADE: Upgrade = Upgrade::of::<v1::Registers, registers::Registers>();
