//! A folder of the host, read once: names in order, links as links, and no more of times than when a file was last written.

use super::host;
use super::{Pages, ShareError};
use amber_devices::share::{
    Attributes, Contents, Filling, Item, S_IFLNK, S_IFMT, S_IFREG, ShareLayout, Tree, What,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Reads a folder item by item.
struct Reading<'a> {
    each: &'a mut dyn FnMut(Item, &Path) -> Result<(), ShareError>,
    /// Files with several names, by what the host knows them by, and the item of the first name.
    linked: BTreeMap<(u64, u64), u32>,
    items: u32,
}

/// Shows `each` all that is in a folder; attributes of the folder itself.
fn walk(
    folder: &Path,
    each: &mut dyn FnMut(Item, &Path) -> Result<(), ShareError>,
) -> Result<Attributes, ShareError> {
    let root = fs::metadata(folder).map_err(ShareError::read(folder))?;
    let mut reading = Reading { each, linked: BTreeMap::new(), items: 0 };
    reading.directory(folder, None)?;
    Ok(host::attributes(&root))
}

impl Reading<'_> {
    fn directory(&mut self, folder: &Path, parent: Option<u32>) -> Result<(), ShareError> {
        let read = ShareError::read(folder);
        let listed = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut paths: Vec<PathBuf> = listed.map_err(read)?.into_iter().map(|entry| entry.path()).collect();
        paths.sort_unstable();
        paths.iter().try_for_each(|path| self.name(path, parent))
    }

    fn name(&mut self, path: &Path, parent: Option<u32>) -> Result<(), ShareError> {
        let known = fs::symlink_metadata(path).map_err(ShareError::read(path))?;
        let attributes = host::attributes(&known);
        let name = path.file_name().map(host::bytes).unwrap_or_default();
        let number = self.items;
        let linked = host::identity(&known).filter(|_| !known.is_dir());
        let first = linked.map(|identity| *self.linked.entry(identity).or_insert(number));
        let what = match first {
            Some(first) if first != number => What::SameAs(first),
            _ => contents(path, &attributes)?,
        };
        self.items += 1;
        (self.each)(Item { parent, name, attributes, what }, path)?;
        if known.is_dir() {
            self.directory(path, Some(number))?;
        }
        Ok(())
    }
}

fn contents(path: &Path, attributes: &Attributes) -> Result<What, ShareError> {
    let read = ShareError::read(path);
    match attributes.mode & S_IFMT {
        S_IFREG => Ok(What::Bytes(fs::read(path).map_err(read)?)),
        S_IFLNK => Ok(What::Target(host::bytes(fs::read_link(path).map_err(read)?.as_os_str()))),
        _ => Ok(What::Nothing),
    }
}

/// Lays a share out in pages and fills it with a folder.
///
/// # Errors
/// Names the file that cannot be read, or that there is no room for.
pub fn fill(pages: &mut Pages, layout: ShareLayout, folder: &Path) -> Result<(), ShareError> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        |why| ShareError::Refused { path, why }
    };
    let known = fs::metadata(folder).map_err(ShareError::read(folder))?;
    let attributes = host::attributes(&known);
    let mut tree = Tree::format(pages, layout, &attributes).map_err(refused(folder))?;
    let mut filling = Filling::new(&mut tree);
    let root = walk(folder, &mut |item, path| filling.add(pages, &item).map_err(refused(path)))?;
    filling.end(pages, root.time).map_err(refused(folder))
}

/// All that is in a folder, of which `most` bytes are taken.
///
/// # Errors
/// Names the file that cannot be read, or with which it is too much.
pub fn read_folder(folder: &Path, most: u64) -> Result<Contents, ShareError> {
    let (mut items, mut bytes) = (Vec::new(), 0u64);
    walk(folder, &mut |item: Item, path: &Path| {
        if let What::Bytes(own) = &item.what {
            bytes += own.len() as u64;
        }
        if bytes > most {
            let cause = std::io::Error::other(format!("with it the folder has more than {most} bytes"));
            return Err(ShareError::read(path)(cause));
        }
        items.push(item);
        Ok(())
    })?;
    Ok(Contents { items })
}
