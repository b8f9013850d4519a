//! The files as a tree: what is derived from the pages, and how both are kept up to date.

use super::inode::{Inode, check_mode};
use super::layout::ShareLayout;
use super::slots::Slots;
use super::{Attributes, Errno, FileTime, Volume};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of the directory everything is below.
pub const ROOT: u32 = 0;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Arc<[u8]>,
    /// Number of the file.
    pub file: u32,
}

/// A file, and what it has.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub inode: Inode,
    /// The directory that a directory is in; its own number at the root, where it was removed, and of other files.
    pub parent: u32,
    /// Names in a directory, by the place of their records.
    pub entries: BTreeMap<u32, Entry>,
    pub names: BTreeMap<Arc<[u8]>, u32>,
    /// Blocks of a file, by their number in it.
    pub blocks: BTreeMap<u32, u32>,
}

impl Node {
    pub fn new(inode: Inode, parent: u32) -> Self {
        Self { inode, parent, entries: BTreeMap::new(), names: BTreeMap::new(), blocks: BTreeMap::new() }
    }
}

/// What is to be changed of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Permissions, without the kind.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub accessed: Option<FileTime>,
    pub modified: Option<FileTime>,
}

/// The files. A clone costs nothing per file, until one of both is changed.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) layout: ShareLayout,
    pub(super) nodes: Arc<Vec<Option<Arc<Node>>>>,
    pub(super) inodes: Slots,
    pub(super) entries: Slots,
    pub(super) blocks: Slots,
}

impl Tree {
    pub(super) fn empty(layout: ShareLayout) -> Self {
        Self {
            layout,
            nodes: Arc::new(Vec::new()),
            inodes: Slots::new(layout.files),
            entries: Slots::new(layout.files),
            blocks: Slots::new(layout.blocks),
        }
    }

    /// Lays a share out in pages of zeroes, with an empty directory.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn format(volume: &mut dyn Volume, layout: ShareLayout, root: &Attributes) -> Result<Self, Errno> {
        let mut tree = Self::empty(layout);
        tree.add_node(volume, root)?;
        Ok(tree)
    }

    /// Blocks for files: how many there are, and how many of them are free.
    pub fn blocks(&self) -> (u32, u32) {
        (self.layout.blocks, self.blocks.free())
    }

    /// Files: how many there may be, and how many more.
    pub fn files(&self) -> (u32, u32) {
        (self.layout.files, self.inodes.free().min(self.entries.free()))
    }

    pub(super) fn node(&self, n: u32) -> Result<&Node, Errno> {
        self.nodes.get(n as usize).and_then(Option::as_deref).ok_or(Errno::NOENT)
    }

    pub(super) fn node_mut(&mut self, n: u32) -> Result<&mut Node, Errno> {
        let node = Arc::make_mut(&mut self.nodes).get_mut(n as usize).and_then(Option::as_mut);
        node.map(Arc::make_mut).ok_or(Errno::NOENT)
    }

    /// A file.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn inode(&self, n: u32) -> Result<&Inode, Errno> {
        Ok(&self.node(n)?.inode)
    }

    /// Blocks a file has.
    pub fn blocks_of(&self, n: u32) -> u64 {
        self.node(n).map_or(0, |node| node.blocks.len() as u64)
    }

    /// Names in a directory from `place` on, with the places behind them.
    ///
    /// # Errors
    /// When it is no directory.
    pub fn list(&self, directory: u32, place: u32) -> Result<impl Iterator<Item = (u32, &Entry)>, Errno> {
        let entries = self.directory(directory)?.entries.range(place..);
        Ok(entries.map(|(place, entry)| (place + 1, entry)))
    }

    pub(super) fn directory(&self, n: u32) -> Result<&Node, Errno> {
        let node = self.node(n)?;
        if node.inode.is_directory() { Ok(node) } else { Err(Errno::NOTDIR) }
    }

    /// Writes a file's record from what is known of it.
    pub(super) fn save(&self, volume: &mut dyn Volume, n: u32) -> Result<(), Errno> {
        Ok(volume.write(self.layout.inode(n), &self.inode(n)?.to_bytes())?)
    }

    pub(super) fn change(
        &mut self,
        volume: &mut dyn Volume,
        n: u32,
        change: impl FnOnce(&mut Inode),
    ) -> Result<(), Errno> {
        change(&mut self.node_mut(n)?.inode);
        self.save(volume, n)
    }

    /// A file without a name.
    pub(super) fn add_node(
        &mut self,
        volume: &mut dyn Volume,
        attributes: &Attributes,
    ) -> Result<u32, Errno> {
        check_mode(attributes.mode)?;
        let n = self.inodes.take().ok_or(Errno::NOSPC)?;
        let mut record = [0; super::inode::INODE_LEN as usize];
        volume.read(self.layout.inode(n), &mut record)?;
        let inode = Inode::new(attributes, Inode::generation_in(&record).wrapping_add(1));
        self.put(n, Node::new(inode, n));
        self.save(volume, n)?;
        Ok(n)
    }

    pub(super) fn put(&mut self, n: u32, node: Node) {
        let nodes = Arc::make_mut(&mut self.nodes);
        if nodes.len() <= n as usize {
            nodes.resize(n as usize + 1, None);
        }
        nodes[n as usize] = Some(Arc::new(node));
    }

    /// Lets go of a file that has no name any more, with all its blocks. One that has stays.
    ///
    /// # Errors
    /// When the pages cannot be written.
    pub fn forget(&mut self, volume: &mut dyn Volume, n: u32) -> Result<(), Errno> {
        let Ok(Node { inode: Inode { links: 0, generation, .. }, .. }) = self.node(n) else { return Ok(()) };
        let generation = *generation;
        self.cut(volume, n, 0)?;
        volume.write(self.layout.inode(n), &Inode::vacant(generation))?;
        Arc::make_mut(&mut self.nodes)[n as usize] = None;
        self.inodes.release(n);
        Ok(())
    }

    /// Changes what is asked for.
    ///
    /// # Errors
    /// When the file cannot have that size, or there is no room for it.
    pub fn set(
        &mut self,
        volume: &mut dyn Volume,
        n: u32,
        changes: &Changes,
        now: FileTime,
    ) -> Result<(), Errno> {
        let Changes { mode, uid, gid, size, accessed, modified } = *changes;
        if let Some(size) = size {
            self.resize(volume, n, size, now)?;
        }
        self.change(volume, n, |inode| {
            inode.mode = mode.map_or(inode.mode, |mode| inode.mode & super::S_IFMT | mode & 0o7777);
            inode.uid = uid.unwrap_or(inode.uid);
            inode.gid = gid.unwrap_or(inode.gid);
            inode.accessed = accessed.unwrap_or(inode.accessed);
            inode.modified = modified.unwrap_or(inode.modified);
            inode.changed = now;
        })
    }
}
