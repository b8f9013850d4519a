//! Changes a session is asked for: of a paused machine, and inputs.

use super::Session;
use crate::cli::fields::path_of;
use crate::cli::host::SessionHost;
use crate::control::Place;
use crate::machine::Edit;
use amber_snapshot::parse_hex;
use anyhow::{Result, anyhow, bail};

fn bytes(digits: &str) -> Result<Vec<u8>> {
    let bytes = parse_hex(digits).filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| anyhow!("`{digits}` is not pairs of hexadecimal digits"))
}

impl Session<'_> {
    fn edit(&mut self, what: &str, edit: Edit, host: &mut SessionHost) -> Result<()> {
        if !self.paused {
            bail!("{what}: the machine runs; pause it first");
        }
        self.machine.edit(host, edit).map_err(|why| anyhow!("{what}: {why}"))
    }

    pub(super) fn set_field(&mut self, path: &str, value: &str, host: &mut SessionHost) -> Result<()> {
        self.edit("set", Edit::Field { path: path_of(path), value: value.to_owned() }, host)
    }

    pub(super) fn write(&mut self, address: u64, digits: &str, host: &mut SessionHost) -> Result<()> {
        self.edit("write", Edit::Physical { address, bytes: bytes(digits)? }, host)
    }

    pub(super) fn write_linear(
        &mut self,
        cpu: u32,
        place: &Place,
        digits: &str,
        host: &mut SessionHost,
    ) -> Result<()> {
        let (address, bytes) = (self.address(place)?, bytes(digits)?);
        self.edit("write-linear", Edit::Linear { processor: cpu, address, bytes }, host)
    }
}
