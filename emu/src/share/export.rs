//! Files of a share, written to a folder of the host.

use super::{Pages, ShareError, host};
use amber_devices::share::{BLOCK, Errno, Inode, ROOT, ShareLayout, Tree};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub files: u64,
    pub bytes: u64,
    /// Device nodes, sockets and pipes, which are left out.
    pub left_out: u64,
}

struct Writing<'a> {
    tree: &'a Tree,
    pages: &'a mut Pages,
    /// Files with several names, and the first of them.
    linked: BTreeMap<u32, PathBuf>,
    written: Written,
}

/// Writes all files of a share to a folder, which is made or must be empty. Owners are whoever writes; device nodes, pipes and
/// sockets are left out.
///
/// # Errors
/// Names what cannot be written, or says that the pages hold no tree.
pub fn write_folder(pages: &mut Pages, layout: ShareLayout, folder: &Path) -> Result<Written, ShareError> {
    let tree = Tree::open(pages, layout).map_err(ShareError::NoTree)?;
    fs::create_dir_all(folder).map_err(ShareError::write(folder))?;
    if fs::read_dir(folder).map_err(ShareError::read(folder))?.next().is_some() {
        return Err(ShareError::Full(folder.to_owned()));
    }
    let mut writing = Writing { tree: &tree, pages, linked: BTreeMap::new(), written: Written::default() };
    writing.directory(ROOT, folder)?;
    Ok(writing.written)
}

impl Writing<'_> {
    fn inode(&self, file: u32, path: &Path) -> Result<&Inode, ShareError> {
        self.tree.inode(file).map_err(|why| refused(path, why))
    }

    /// A directory gets its own permissions when all is in it.
    fn directory(&mut self, file: u32, path: &Path) -> Result<(), ShareError> {
        let names: Vec<_> = self
            .tree
            .list(file, 0)
            .map_err(|why| refused(path, why))?
            .map(|(_, entry)| entry.clone())
            .collect();
        for entry in names {
            self.name(entry.file, &path.join(host::name(&entry.name)))?;
        }
        let inode = self.inode(file, path)?;
        host::set(path, inode.mode, inode.modified).map_err(ShareError::write(path))
    }

    fn name(&mut self, file: u32, path: &Path) -> Result<(), ShareError> {
        let inode = self.inode(file, path)?;
        if inode.is_directory() {
            fs::create_dir(path).map_err(ShareError::write(path))?;
            self.written.files += 1;
            return self.directory(file, path);
        }
        if let Some(first) = self.linked.get(&file) {
            return fs::hard_link(first, path).map_err(ShareError::write(path));
        }
        if inode.links > 1 {
            self.linked.insert(file, path.to_owned());
        }
        self.file(file, path)
    }

    fn file(&mut self, file: u32, path: &Path) -> Result<(), ShareError> {
        let inode = self.inode(file, path)?.clone();
        if inode.is_symlink() {
            let target = self.tree.target(self.pages, file).map_err(|why| refused(path, why))?;
            host::symlink(&target, path).map_err(ShareError::write(path))?;
        } else if inode.is_file() {
            self.bytes(file, &inode, path)?;
            host::set(path, inode.mode, inode.modified).map_err(ShareError::write(path))?;
        } else {
            self.linked.remove(&file);
            self.written.left_out += 1;
            return Ok(());
        }
        self.written.files += 1;
        self.written.bytes += inode.size;
        Ok(())
    }

    /// Blocks the file does not have are holes.
    fn bytes(&mut self, file: u32, inode: &Inode, path: &Path) -> Result<(), ShareError> {
        let write = || ShareError::write(path);
        let mut out = File::options().write(true).create_new(true).open(path).map_err(write())?;
        out.set_len(inode.size).map_err(write())?;
        let mut block = vec![0; BLOCK as usize];
        for at in self.tree.blocks_at(file) {
            let len = self.tree.read(self.pages, file, at, &mut block).map_err(|why| refused(path, why))?;
            out.seek(SeekFrom::Start(at)).and_then(|_| out.write_all(&block[..len])).map_err(write())?;
        }
        Ok(())
    }
}

fn refused(path: &Path, why: Errno) -> ShareError {
    ShareError::Refused { path: path.to_owned(), why }
}
