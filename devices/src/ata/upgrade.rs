//! A drive as it was when its medium stayed.

use super::drive::{self, QueuedError, Sense};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// A schema has the names of types: this is that of its time.
#[derive(Clone, Serialize, Deserialize, Schema)]
pub(crate) struct Drive {
    write_cache: bool,
    look_ahead: bool,
    smart: bool,
    multiple: u8,
    heads: u8,
    track: u8,
    mode: u8,
    queued_error: Option<QueuedError>,
    sense: Sense,
    attention: Option<Sense>,
    tray_open: bool,
    tray_locked: bool,
}

impl From<Drive> for drive::Drive {
    fn from(old: Drive) -> Self {
        Self {
            write_cache: old.write_cache,
            look_ahead: old.look_ahead,
            smart: old.smart,
            multiple: old.multiple,
            heads: old.heads,
            track: old.track,
            mode: old.mode,
            queued_error: old.queued_error,
            sense: old.sense,
            attention: old.attention,
            tray_open: old.tray_open,
            tray_locked: old.tray_locked,
            event: None,
        }
    }
}

/// As it was, of a drive that has no event to tell.
#[cfg(test)]
impl From<drive::Drive> for Drive {
    fn from(now: drive::Drive) -> Self {
        Self {
            write_cache: now.write_cache,
            look_ahead: now.look_ahead,
            smart: now.smart,
            multiple: now.multiple,
            heads: now.heads,
            track: now.track,
            mode: now.mode,
            queued_error: now.queued_error,
            sense: now.sense,
            attention: now.attention,
            tray_open: now.tray_open,
            tray_locked: now.tray_locked,
        }
    }
}
