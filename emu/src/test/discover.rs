//! From the paths of the command line to tests.

use super::case::Case;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The file that makes a folder a test.
const TEST_FILE: &str = "test.toml";

/// Every test the paths name: images, folders with a `test.toml`, and folders of such folders.
///
/// # Errors
/// The path or file at fault, as one sentence.
pub fn discover(paths: &[PathBuf]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for path in paths {
        if path.join(TEST_FILE).is_file() {
            cases.extend(folder(path)?);
        } else if path.is_dir() {
            let before = cases.len();
            for folder_in in sorted(path)?.iter().filter(|entry| entry.join(TEST_FILE).is_file()) {
                cases.extend(folder(folder_in)?);
            }
            if cases.len() == before {
                bail!("{}: has no {TEST_FILE}, and no folder in it has one", path.display());
            }
        } else if path.file_name().is_some_and(|name| name == TEST_FILE) {
            cases.extend(folder(path.parent().unwrap_or(Path::new("")))?);
        } else {
            cases.push(Case::from_image(path)?);
        }
    }
    Ok(cases)
}

fn folder(path: &Path) -> Result<Vec<Case>> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name =
        absolute.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into());
    Case::from_file(&path.join(TEST_FILE), &name)
}

/// The entries of a folder in the order of their names: the host's order must not show.
fn sorted(path: &Path) -> Result<Vec<PathBuf>> {
    let read = || format!("{}: cannot be read", path.display());
    let entries = std::fs::read_dir(path).with_context(read)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>().with_context(read)?;
    paths.sort();
    Ok(paths)
}
