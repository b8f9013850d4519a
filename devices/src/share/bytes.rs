//! The bytes of files.

use super::layout::OWNER_LEN;
use super::tree::Tree;
use super::{BLOCK, Errno, FILE_MAX, FileTime, TARGET_MAX, Volume};

static ZEROES: [u8; BLOCK as usize] = [0; BLOCK as usize];

impl Tree {
    /// Reads a file from byte `at` on; how many bytes there were.
    ///
    /// # Errors
    /// When it has none to read, or the pages cannot be read.
    pub fn read(&self, volume: &mut dyn Volume, n: u32, at: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let node = self.node(n)?;
        if node.inode.is_directory() {
            return Err(Errno::ISDIR);
        }
        let len = (node.inode.size.saturating_sub(at)).min(into.len() as u64) as usize;
        for piece in pieces(at, len) {
            let into = &mut into[piece.start..piece.start + piece.len];
            match node.blocks.get(&piece.block) {
                Some(block) => volume.read(self.layout.block(*block) + piece.offset, into)?,
                None => into.fill(0),
            }
        }
        Ok(len)
    }

    /// Writes a file from byte `at` on; how many bytes there was room for.
    ///
    /// # Errors
    /// When it is none, would be too long, or there is no room at all.
    pub fn write(
        &mut self,
        volume: &mut dyn Volume,
        n: u32,
        at: u64,
        from: &[u8],
        now: FileTime,
    ) -> Result<usize, Errno> {
        let inode = self.inode(n)?;
        match () {
            () if inode.is_directory() => return Err(Errno::ISDIR),
            () if !inode.is_file() => return Err(Errno::INVAL),
            () => {}
        }
        if at.checked_add(from.len() as u64).is_none_or(|end| end > FILE_MAX) {
            return Err(Errno::FBIG);
        }
        self.put_bytes(volume, n, at, from, now)
    }

    /// Writes bytes of a file, or where a symbolic link leads.
    pub(super) fn put_bytes(
        &mut self,
        volume: &mut dyn Volume,
        n: u32,
        at: u64,
        from: &[u8],
        now: FileTime,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        for piece in pieces(at, from.len()) {
            let bytes = &from[piece.start..piece.start + piece.len];
            match self.block_of(volume, n, piece.block) {
                Ok(block) => volume.write(self.layout.block(block) + piece.offset, bytes)?,
                Err(Errno::NOSPC) if done > 0 => break,
                Err(error) => return Err(error),
            }
            done += piece.len;
        }
        self.change(volume, n, |inode| {
            inode.size = inode.size.max(at + done as u64);
            inode.touch(now);
        })?;
        Ok(done)
    }

    /// A block of a file, a new one of zeroes if it has none there.
    fn block_of(&mut self, volume: &mut dyn Volume, n: u32, index: u32) -> Result<u32, Errno> {
        if let Some(block) = self.node(n)?.blocks.get(&index) {
            return Ok(*block);
        }
        let block = self.blocks.take().ok_or(Errno::NOSPC)?;
        self.node_mut(n)?.blocks.insert(index, block);
        self.own(volume, block, u64::from(n + 1) | u64::from(index) << 32)?;
        Ok(block)
    }

    fn own(&self, volume: &mut dyn Volume, block: u32, owner: u64) -> Result<(), Errno> {
        const _: () = assert!(OWNER_LEN == 8);
        Ok(volume.write(self.layout.owner(block), &owner.to_le_bytes())?)
    }

    /// Makes a file longer or shorter.
    pub(super) fn resize(
        &mut self,
        volume: &mut dyn Volume,
        n: u32,
        size: u64,
        now: FileTime,
    ) -> Result<(), Errno> {
        let inode = self.inode(n)?;
        match () {
            () if inode.is_directory() => return Err(Errno::ISDIR),
            () if !inode.is_file() => return Err(Errno::INVAL),
            () if size > FILE_MAX => return Err(Errno::FBIG),
            () => {}
        }
        if size < inode.size {
            self.cut(volume, n, size)?;
        }
        self.change(volume, n, |inode| {
            inode.size = size;
            inode.touch(now);
        })
    }

    /// Lets go of the blocks of a file from byte `size` on. A block that nobody has is zeroes, and so is what lies behind the
    /// end of a file in its last one.
    pub(super) fn cut(&mut self, volume: &mut dyn Volume, n: u32, size: u64) -> Result<(), Errno> {
        let (first, rest) = (size.div_ceil(BLOCK) as u32, size % BLOCK);
        let gone = self.node_mut(n)?.blocks.split_off(&first);
        for block in gone.into_values() {
            volume.write(self.layout.block(block), &ZEROES)?;
            self.own(volume, block, 0)?;
            self.blocks.release(block);
        }
        if rest != 0
            && let Some(block) = self.node(n)?.blocks.get(&(first - 1))
        {
            volume.write(self.layout.block(*block) + rest, &ZEROES[rest as usize..])?;
        }
        Ok(())
    }

    /// Where in a file the blocks are that it has.
    pub fn blocks_at(&self, n: u32) -> impl Iterator<Item = u64> + '_ {
        self.node(n)
            .ok()
            .into_iter()
            .flat_map(|node| node.blocks.keys().map(|index| u64::from(*index) * BLOCK))
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// When it is none.
    pub fn target(&self, volume: &mut dyn Volume, n: u32) -> Result<Vec<u8>, Errno> {
        if !self.inode(n)?.is_symlink() {
            return Err(Errno::INVAL);
        }
        let mut target = vec![0; TARGET_MAX];
        let len = self.read(volume, n, 0, &mut target)?;
        target.truncate(len);
        Ok(target)
    }
}

/// A part of an access that lies in one block.
struct Piece {
    block: u32,
    offset: u64,
    /// Offset in the access.
    start: usize,
    len: usize,
}

fn pieces(at: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let here = at + start as u64;
        let offset = here % BLOCK;
        let taken = ((BLOCK - offset) as usize).min(len - start);
        let piece = Piece { block: (here / BLOCK) as u32, offset, start, len: taken };
        start += taken;
        (taken > 0).then_some(piece)
    })
}
