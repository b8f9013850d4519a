//! From pages to a tree. They may come from a file that somebody made up: all that is used is looked at first.

use super::inode::{INODE_LEN, Inode, check_mode};
use super::layout::{ENTRY_LEN, OWNER_LEN, ShareLayout};
use super::names::check_name;
use super::tree::{Entry, Node, ROOT, Tree};
use super::{BLOCK, FILE_MAX, TARGET_MAX, Volume};
use std::sync::Arc;

/// Records read at a time.
const CHUNK: u64 = 1024;

impl Tree {
    /// The tree that is in pages.
    ///
    /// # Errors
    /// A sentence that says what in them is none.
    pub fn open(volume: &mut dyn Volume, layout: ShareLayout) -> Result<Self, String> {
        let mut tree = Self::empty(layout);
        records(volume, layout.inode(0), INODE_LEN, layout.files, |n, bytes| tree.open_inode(n, bytes))?;
        records(volume, layout.entry(0), ENTRY_LEN, layout.files, |n, bytes| tree.open_entry(n, bytes))?;
        records(volume, layout.owner(0), OWNER_LEN, layout.blocks, |n, bytes| tree.open_owner(n, bytes))?;
        tree.check_links()?;
        Ok(tree)
    }

    fn open_inode(&mut self, n: u32, bytes: &[u8]) -> Result<(), String> {
        let Some(inode) = bytes.try_into().ok().and_then(Inode::from_bytes) else { return Ok(()) };
        let limit = if inode.is_symlink() { TARGET_MAX as u64 } else { FILE_MAX };
        let sized = inode.is_file() || inode.is_symlink() || inode.size == 0;
        if check_mode(inode.mode).is_err() || inode.size > limit || !sized {
            return Err(format!("file {n} is of no kind, or too long"));
        }
        self.inodes.claim(n);
        self.put(n, Node::new(inode, n));
        Ok(())
    }

    fn open_entry(&mut self, place: u32, bytes: &[u8]) -> Result<(), String> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let Some(directory) = word(0).checked_sub(1) else { return Ok(()) };
        let odd = || format!("name {place} stands nowhere, or for nothing, or is none");
        let (file, len) = (word(4), word(8) as usize);
        let name = bytes.get(16..16 + len.min(ENTRY_LEN as usize)).ok_or_else(odd)?;
        let is_directory = self.inode(file).map_err(|_| odd())?.is_directory();
        let fits = check_name(name).is_ok() && self.directory(directory).is_ok() && file != ROOT;
        if !fits || self.directory(directory).is_ok_and(|node| node.names.contains_key(name)) {
            return Err(odd());
        }
        self.entries.claim(place);
        let entry = Entry { name: Arc::from(name), file };
        let node = self.node_mut(directory).map_err(|_| odd())?;
        node.names.insert(Arc::clone(&entry.name), place);
        node.entries.insert(place, entry);
        if is_directory {
            let child = self.node_mut(file).map_err(|_| odd())?;
            if child.parent != file {
                return Err(format!("directory {file} has two names"));
            }
            child.parent = directory;
        }
        Ok(())
    }

    fn open_owner(&mut self, block: u32, bytes: &[u8]) -> Result<(), String> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let Some(file) = word(0).checked_sub(1) else { return Ok(()) };
        let index = word(4);
        let fits = self.inode(file).is_ok_and(|inode| u64::from(index) * BLOCK < inode.size);
        if !fits {
            return Err(format!("block {block} is behind the end of its file"));
        }
        self.blocks.claim(block);
        let node = self.node_mut(file).map_err(|_| format!("block {block} is of no file"))?;
        match node.blocks.insert(index, block) {
            None => Ok(()),
            Some(other) => Err(format!("blocks {other} and {block} are the same one of file {file}")),
        }
    }

    /// Every file has as many names as it says, and every directory is below the root, unless it was removed.
    fn check_links(&self) -> Result<(), String> {
        if self.directory(ROOT).is_err() {
            return Err("there is no root".to_owned());
        }
        let mut names = vec![0u32; self.nodes.len()];
        let (mut reached, mut below) = (1usize, vec![ROOT]);
        while let Some(directory) = below.pop() {
            let Ok(node) = self.node(directory) else { continue };
            let children = node
                .entries
                .values()
                .filter(|entry| self.inode(entry.file).is_ok_and(|inode| inode.is_directory()));
            let before = below.len();
            below.extend(children.map(|entry| entry.file));
            reached += below.len() - before;
            names[directory as usize] += 2 + (below.len() - before) as u32;
        }
        let named = |node: &Arc<Node>| node.entries.values().map(|entry| entry.file).collect::<Vec<_>>();
        for file in self.nodes.iter().flatten().flat_map(named) {
            if self.inode(file).is_ok_and(|inode| !inode.is_directory()) {
                names[file as usize] += 1;
            }
        }
        let there = || {
            self.nodes
                .iter()
                .zip(&names)
                .enumerate()
                .filter_map(|(n, (node, names))| Some((n, node.as_ref()?, *names)))
        };
        if let Some((n, ..)) = there().find(|(_, node, names)| node.inode.links != *names) {
            return Err(format!("file {n} does not have as many names as it says"));
        }
        let live = there().filter(|(_, node, _)| node.inode.is_directory() && node.inode.links != 0).count();
        if live == reached { Ok(()) } else { Err("a directory is not below the root".to_owned()) }
    }
}

/// Shows `each` all records that are not zeroes, by number.
fn records(
    volume: &mut dyn Volume,
    at: u64,
    len: u64,
    count: u32,
    mut each: impl FnMut(u32, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut buffer = vec![0; (CHUNK * len) as usize];
    for first in (0..u64::from(count)).step_by(CHUNK as usize) {
        let bytes = &mut buffer[..((u64::from(count) - first).min(CHUNK) * len) as usize];
        volume.read(at + first * len, bytes).map_err(|_| "its pages cannot be read".to_owned())?;
        let records = (first as u32..).zip(bytes.chunks_exact(len as usize));
        for (n, record) in records.filter(|(_, record)| record.iter().any(|byte| *byte != 0)) {
            each(n, record)?;
        }
    }
    Ok(())
}
