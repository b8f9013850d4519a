//! A tree of files as a value: what a share is filled with.

use super::tree::{ROOT, Tree};
use super::{Attributes, Errno, FileTime, Volume};
use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Nothing: a directory, or a special file.
    Nothing,
    Bytes(Vec<u8>),
    /// Where a symbolic link leads.
    Target(Vec<u8>),
    /// Another name of an item before.
    SameAs(u32),
}

/// A name in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The directory it is in: an item before, or none for the root.
    pub parent: Option<u32>,
    pub name: Vec<u8>,
    pub attributes: Attributes,
    pub what: What,
}

/// A tree: what is below the root, each directory before what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub items: Vec<Item>,
}

/// Fills a share, item by item.
pub struct Filling<'a> {
    tree: &'a mut Tree,
    /// Numbers of the items' files.
    files: Vec<u32>,
    /// Directories get their own time back at the end.
    directories: Vec<(u32, FileTime)>,
}

impl<'a> Filling<'a> {
    pub fn new(tree: &'a mut Tree) -> Self {
        Self { tree, files: Vec::new(), directories: Vec::new() }
    }

    fn file(&self, item: u32) -> Result<u32, Errno> {
        self.files.get(item as usize).copied().ok_or(Errno::INVAL)
    }

    /// Adds the next item.
    ///
    /// # Errors
    /// When it cannot be where it is to be, or there is no room.
    pub fn add(&mut self, volume: &mut dyn Volume, item: &Item) -> Result<(), Errno> {
        let Item { parent, name, attributes, what } = item;
        let parent = parent.map_or(Ok(ROOT), |parent| self.file(parent))?;
        let file = match what {
            What::Nothing => self.tree.create(volume, parent, name, attributes)?,
            What::Bytes(bytes) => {
                let file = self.tree.create(volume, parent, name, attributes)?;
                self.tree.fill(volume, file, bytes, attributes.time)?;
                file
            }
            What::Target(target) => self.tree.symlink(volume, parent, name, target, attributes)?,
            What::SameAs(other) => {
                let file = self.file(*other)?;
                self.tree.link(volume, parent, name, file, attributes.time)?;
                file
            }
        };
        if self.tree.inode(file)?.is_directory() {
            self.directories.push((file, attributes.time));
        }
        self.files.push(file);
        Ok(())
    }

    /// All items are there.
    ///
    /// # Errors
    /// When the pages cannot be written.
    pub fn end(self, volume: &mut dyn Volume, root: FileTime) -> Result<(), Errno> {
        for (file, time) in self.directories.into_iter().chain([(ROOT, root)]) {
            self.tree.change(volume, file, |inode| (inode.modified, inode.changed) = (time, time))?;
        }
        Ok(())
    }
}

impl Tree {
    /// The bytes of a new file. Where a whole block is zeroes there is none.
    fn fill(
        &mut self,
        volume: &mut dyn Volume,
        file: u32,
        bytes: &[u8],
        time: FileTime,
    ) -> Result<(), Errno> {
        for (n, block) in bytes.chunks(super::BLOCK as usize).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                self.write(volume, file, n as u64 * super::BLOCK, block, time)?;
            }
        }
        if bytes.is_empty() { Ok(()) } else { self.resize(volume, file, bytes.len() as u64, time) }
    }

    /// Takes away all that is below the root; what is to be forgotten, once nobody uses it.
    ///
    /// # Errors
    /// When the pages cannot be written.
    pub fn empty_root(&mut self, volume: &mut dyn Volume, now: FileTime) -> Result<Vec<u32>, Errno> {
        let mut gone = Vec::new();
        while let Some((directory, name)) = self.some_leaf() {
            let is_directory = self.inode(self.find(directory, &name)?)?.is_directory();
            gone.push(self.unlink(volume, directory, &name, is_directory, now)?);
        }
        Ok(gone)
    }

    /// A name that nothing is below of.
    fn some_leaf(&self) -> Option<(u32, Vec<u8>)> {
        let mut directory = ROOT;
        loop {
            let entry = self.node(directory).ok()?.entries.values().next_back()?;
            match self.node(entry.file) {
                Ok(node) if !node.entries.is_empty() => directory = entry.file,
                _ => return Some((directory, entry.name.to_vec())),
            }
        }
    }
}
