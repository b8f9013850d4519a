//! Names in directories.

use super::layout::ENTRY_LEN;
use super::tree::{Entry, ROOT, Tree};
use super::{Attributes, Errno, FileTime, NAME_MAX, TARGET_MAX, Volume};
use std::sync::Arc;

/// Most names of a file.
const LINKS_MAX: u32 = 65_000;

/// Whether a name may stand in a directory.
pub(super) fn check_name(name: &[u8]) -> Result<(), Errno> {
    match name {
        [] => Err(Errno::NOENT),
        b"." | b".." => Err(Errno::INVAL),
        _ if name.len() > NAME_MAX => Err(Errno::NAMETOOLONG),
        _ if name.iter().any(|byte| matches!(byte, 0 | b'/')) => Err(Errno::INVAL),
        _ => Ok(()),
    }
}

pub(super) fn entry_bytes(directory: u32, entry: &Entry) -> [u8; ENTRY_LEN as usize] {
    let mut bytes = [0; ENTRY_LEN as usize];
    bytes[..4].copy_from_slice(&(directory + 1).to_le_bytes());
    bytes[4..8].copy_from_slice(&entry.file.to_le_bytes());
    bytes[8..12].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
    bytes[16..16 + entry.name.len()].copy_from_slice(&entry.name);
    bytes
}

impl Tree {
    /// The file a name in a directory stands for. The root is above itself.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, directory: u32, name: &[u8]) -> Result<u32, Errno> {
        let node = self.directory(directory)?;
        match name {
            b"." => Ok(directory),
            b".." => Ok(node.parent),
            _ => Ok(self.entry(directory, name)?.1.file),
        }
    }

    fn entry(&self, directory: u32, name: &[u8]) -> Result<(u32, &Entry), Errno> {
        let node = self.directory(directory)?;
        let place = node.names.get(name).ok_or(Errno::NOENT)?;
        Ok((*place, node.entries.get(place).ok_or(Errno::NOENT)?))
    }

    /// A new name can stand in a directory.
    fn check_new(&self, directory: u32, name: &[u8]) -> Result<(), Errno> {
        check_name(name)?;
        let node = self.directory(directory)?;
        match () {
            // It was removed itself.
            () if node.inode.links == 0 => Err(Errno::NOENT),
            () if node.names.contains_key(name) => Err(Errno::EXIST),
            () if self.entries.free() == 0 => Err(Errno::NOSPC),
            () => Ok(()),
        }
    }

    fn add_entry(
        &mut self,
        volume: &mut dyn Volume,
        directory: u32,
        name: &[u8],
        file: u32,
        now: FileTime,
    ) -> Result<(), Errno> {
        let place = self.entries.take().ok_or(Errno::NOSPC)?;
        let entry = Entry { name: Arc::from(name), file };
        volume.write(self.layout.entry(place), &entry_bytes(directory, &entry))?;
        let node = self.node_mut(directory)?;
        node.names.insert(Arc::clone(&entry.name), place);
        node.entries.insert(place, entry);
        let is_directory = self.inode(file)?.is_directory();
        if is_directory {
            self.node_mut(file)?.parent = directory;
        }
        self.change(volume, directory, |inode| {
            inode.links += u32::from(is_directory);
            inode.touch(now);
        })
    }

    /// Takes a name out of its directory; the file stays.
    fn remove_entry(
        &mut self,
        volume: &mut dyn Volume,
        directory: u32,
        name: &[u8],
        now: FileTime,
    ) -> Result<u32, Errno> {
        let (place, entry) = self.entry(directory, name)?;
        let file = entry.file;
        let is_directory = self.inode(file)?.is_directory();
        volume.write(self.layout.entry(place), &[0; ENTRY_LEN as usize])?;
        let node = self.node_mut(directory)?;
        node.names.remove(name);
        node.entries.remove(&place);
        self.entries.release(place);
        self.change(volume, directory, |inode| {
            inode.links -= u32::from(is_directory);
            inode.touch(now);
        })?;
        Ok(file)
    }

    /// Makes a file; its number.
    ///
    /// # Errors
    /// When the name cannot be, or there is no room.
    pub fn create(
        &mut self,
        volume: &mut dyn Volume,
        directory: u32,
        name: &[u8],
        attributes: &Attributes,
    ) -> Result<u32, Errno> {
        self.check_new(directory, name)?;
        let file = self.add_node(volume, attributes)?;
        self.add_entry(volume, directory, name, file, attributes.time)?;
        Ok(file)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As [`Self::create`], and when the target is no path.
    pub fn symlink(
        &mut self,
        volume: &mut dyn Volume,
        directory: u32,
        name: &[u8],
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<u32, Errno> {
        if target.is_empty() || target.contains(&0) {
            return Err(Errno::INVAL);
        }
        if target.len() > TARGET_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if self.blocks.free() == 0 {
            return Err(Errno::NOSPC);
        }
        let file = self.create(volume, directory, name, attributes)?;
        self.put_bytes(volume, file, 0, target, attributes.time)?;
        Ok(file)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// When it cannot have it, or there is no room.
    pub fn link(
        &mut self,
        volume: &mut dyn Volume,
        directory: u32,
        name: &[u8],
        file: u32,
        now: FileTime,
    ) -> Result<(), Errno> {
        self.check_new(directory, name)?;
        let inode = self.inode(file)?;
        match inode.links {
            _ if inode.is_directory() => return Err(Errno::PERM),
            0 => return Err(Errno::NOENT),
            LINKS_MAX.. => return Err(Errno::MLINK),
            _ => {}
        }
        self.add_entry(volume, directory, name, file, now)?;
        self.change(volume, file, |inode| {
            inode.links += 1;
            inode.changed = now;
        })
    }

    /// Takes a name away; the file it stood for. With its last name the file is to be forgotten, once nobody uses it.
    ///
    /// # Errors
    /// When there is none, or it is that of a directory that is not empty, or of none where one is wanted.
    pub fn unlink(
        &mut self,
        volume: &mut dyn Volume,
        directory: u32,
        name: &[u8],
        wants_directory: bool,
        now: FileTime,
    ) -> Result<u32, Errno> {
        let (_, entry) = self.entry(directory, name)?;
        let node = self.node(entry.file)?;
        match (node.inode.is_directory(), wants_directory) {
            (true, false) => return Err(Errno::ISDIR),
            (false, true) => return Err(Errno::NOTDIR),
            (true, true) if !node.entries.is_empty() => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        let file = self.remove_entry(volume, directory, name, now)?;
        self.lose_name(volume, file, now)?;
        Ok(file)
    }

    /// One name less. A directory has but one, and is above nothing then.
    fn lose_name(&mut self, volume: &mut dyn Volume, file: u32, now: FileTime) -> Result<(), Errno> {
        let is_directory = self.inode(file)?.is_directory();
        if is_directory {
            self.node_mut(file)?.parent = file;
        }
        self.change(volume, file, |inode| {
            inode.links = if is_directory { 0 } else { inode.links - 1 };
            inode.changed = now;
        })
    }

    /// Moves a name; the file whose name it takes, if there was one.
    ///
    /// # Errors
    /// When the name cannot be, or a directory would be below itself or replace what is none.
    pub fn rename(
        &mut self,
        volume: &mut dyn Volume,
        from: (u32, &[u8]),
        to: (u32, &[u8]),
        now: FileTime,
    ) -> Result<Option<u32>, Errno> {
        let file = self.entry(from.0, from.1)?.1.file;
        check_name(to.1)?;
        let target = self.directory(to.0)?;
        if target.inode.links == 0 {
            return Err(Errno::NOENT);
        }
        let is_directory = self.inode(file)?.is_directory();
        if is_directory && self.is_within(to.0, file) {
            return Err(Errno::INVAL);
        }
        let replaced = match self.entry(to.0, to.1) {
            // Two names of one file: nothing happens.
            Ok((_, entry)) if entry.file == file => return Ok(None),
            Ok(_) => Some(self.unlink(volume, to.0, to.1, is_directory, now)?),
            Err(_) => None,
        };
        self.remove_entry(volume, from.0, from.1, now)?;
        self.add_entry(volume, to.0, to.1, file, now)?;
        self.change(volume, file, |inode| inode.changed = now)?;
        Ok(replaced)
    }

    /// Whether a directory is another one, or below it.
    fn is_within(&self, directory: u32, other: u32) -> bool {
        let mut at = directory;
        loop {
            if at == other {
                return true;
            }
            match self.node(at) {
                Ok(node) if at != ROOT && node.parent != at => at = node.parent,
                _ => return false,
            }
        }
    }

    /// Name of a directory in the one it is in, or of any other file there.
    pub(crate) fn name_of(&self, directory: u32, file: u32) -> Option<Arc<[u8]>> {
        let node = self.directory(directory).ok()?;
        node.entries.values().find(|entry| entry.file == file).map(|entry| Arc::clone(&entry.name))
    }
}
