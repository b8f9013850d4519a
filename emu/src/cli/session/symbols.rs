//! Names for addresses, in a session.

use super::Session;
use crate::cli::edit::number;
use crate::control::Place;
use crate::symbols::Symbols;
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::path::Path;

/// An address as answers have it.
pub(super) fn hex(address: u64) -> String {
    format!("{address:#x}")
}

impl Session<'_> {
    pub(super) fn load_symbols(&mut self, file: &Path) -> Result<Value> {
        let symbols = Symbols::from_file(file)?;
        let count = symbols.len();
        self.debugger.symbols = Some(symbols);
        Ok(json!({ "symbols": count }))
    }

    /// The linear address of a place.
    pub(super) fn address(&self, place: &Place) -> Result<u64> {
        let text = match place {
            Place::Address(address) => return Ok(*address),
            Place::Text(text) => text.trim(),
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return number(text);
        }
        let (name, offset) = text.split_once('+').unwrap_or((text, "0"));
        let symbols = self.debugger.symbols.as_ref().with_context(|| {
            format!(
                "{name} is no address; load symbols to name one, or write a number such as 4096 or 0x1000"
            )
        })?;
        let start = symbols.address(name).ok_or_else(|| anyhow!("there is no symbol {name}"))?;
        Ok(start.wrapping_add(number(offset)?))
    }

    /// The name of a linear address.
    pub(super) fn name(&self, address: u64) -> Option<String> {
        self.debugger.symbols.as_ref()?.locate(address).map(|found| found.to_string())
    }

    pub(super) fn locate(&self, place: &Place) -> Result<Value> {
        let address = self.address(place)?;
        Ok(json!({ "address": hex(address), "symbol": self.name(address) }))
    }
}
