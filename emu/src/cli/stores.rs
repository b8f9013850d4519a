//! Which store is meant, and which snapshot.

use amber_snapshot::{Archive, Snapshot, SnapshotId, Store};
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A snapshot that was found, and where.
pub struct Found {
    pub id: SnapshotId,
    pub snapshot: Snapshot,
    /// Its name, and when it was given (Unix seconds).
    pub label: Option<(String, u64)>,
    /// The store it is in; `None` for one in an archive.
    pub store: Option<Arc<Store>>,
}

/// The folder of the store: the one given, else `$AMBER_STORE`, else in the user's data directory.
fn folder(given: Option<&Path>) -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = given.map(Path::to_owned).or_else(|| variable("AMBER_STORE")) {
        return Ok(folder);
    }
    let data = variable("XDG_DATA_HOME").filter(|folder| folder.is_absolute());
    let data = data.or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("amber/store"))
        .ok_or_else(|| anyhow!("no place for snapshots: give --store DIR, or set AMBER_STORE or HOME"))
}

/// Opens the store.
///
/// # Errors
/// When there is no place for it, or its folder cannot be made.
pub fn open(given: Option<&Path>) -> Result<Arc<Store>> {
    let folder = folder(given)?;
    let store = Store::open(&folder).with_context(|| format!("the store {}", folder.display()))?;
    Ok(Arc::new(store))
}

/// The snapshot a person means: a `.amber` file, or a name or the start of an id in the store.
///
/// # Errors
/// When there is none, several, or it cannot be read.
pub fn find(store: Option<&Path>, text: &str) -> Result<Found> {
    find_in(store, &mut None, text)
}

/// Two snapshots; the store is opened once.
///
/// # Errors
/// As [`find`].
pub fn find_two(store: Option<&Path>, a: &str, b: &str) -> Result<(Found, Found)> {
    let mut opened = None;
    Ok((find_in(store, &mut opened, a)?, find_in(store, &mut opened, b)?))
}

fn find_in(given: Option<&Path>, opened: &mut Option<Arc<Store>>, text: &str) -> Result<Found> {
    let file = Path::new(text);
    if file.extension().is_some_and(|extension| extension == "amber") {
        let Archive { id, snapshot, label } = Archive::open(file)?;
        return Ok(Found { id, snapshot, label, store: None });
    }
    let store = match opened {
        Some(store) => Arc::clone(store),
        None => Arc::clone(opened.insert(open(given)?)),
    };
    let id = store.resolve(text)?;
    let snapshot = store.load(id)?;
    let label = store.labels()?.into_iter().find(|label| label.snapshot == id.to_string());
    let label = label.map(|label| (label.name, label.created));
    Ok(Found { id, snapshot, label, store: Some(store) })
}
