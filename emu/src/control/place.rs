//! Where something is, as a debugger is told: a number, or a symbol's name.

use serde::Deserialize;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// A linear address.
    Address(u64),
    /// A number such as `0x1000`, a symbol, or one with an offset, as in `start_kernel+0x20`.
    Text(String),
}
