//! Messages about names and attributes.

use super::fids::Fid;
use super::message::{Reader, Reply};
use super::session::{Done, Work};
use crate::share::{Attributes, BLOCK, Changes, Errno, FileTime, NAME_MAX, ROOT, S_IFDIR, S_IFLNK, S_IFMT};

/// Most names of a walk (9P2000, walk(5)).
const NAMES_MAX: u16 = 16;
const AT_REMOVEDIR: u32 = 0x200;
/// What statfs says it is: V9FS_MAGIC.
const MAGIC: u32 = 0x0102_1997;
/// Everything stat wants to know (P9_GETATTR_BASIC).
const BASIC: u64 = 0x7ff;
/// No user is named.
const NO_UID: u32 = u32::MAX;

/// What is to be set of a file.
mod valid {
    pub const MODE: u32 = 1;
    pub const UID: u32 = 2;
    pub const GID: u32 = 4;
    pub const SIZE: u32 = 8;
    pub const ATIME: u32 = 0x10;
    pub const MTIME: u32 = 0x20;
    pub const ATIME_SET: u32 = 0x80;
    pub const MTIME_SET: u32 = 0x100;
}

fn time(from: &mut Reader) -> Result<FileTime, Errno> {
    let (seconds, nanoseconds) = (from.u64()? as i64, from.u64()?);
    Ok(FileTime { seconds, nanoseconds: nanoseconds.min(999_999_999) as u32 })
}

impl Work<'_> {
    pub fn attach(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let (fid, _afid, _user, _tree) = (from.u32()?, from.u32()?, from.string()?, from.string()?);
        let uid = from.u32().ok().filter(|uid| *uid != NO_UID).unwrap_or(0);
        self.fids.check_new(fid)?;
        self.fids.put(Fid { fid, file: ROOT, parent: ROOT, uid, open: 0 });
        to.qid(self.qid(ROOT)?);
        Ok(())
    }

    pub fn walk(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let (fid, new, count) = (from.u32()?, from.u32()?, from.u16()?);
        let start = self.fids.get(fid)?;
        if count > NAMES_MAX || start.open != 0 && count != 0 {
            return Err(Errno::INVAL);
        }
        if new != fid {
            self.fids.check_new(new)?;
        }
        let (mut at, mut qids) = (Fid { fid: new, open: 0, ..start }, Vec::new());
        for n in 0..count {
            let found = from.string().and_then(|name| self.tree.find(at.file, name));
            match found {
                Ok(file) => {
                    (at.parent, at.file) = (at.file, file);
                    qids.push(self.qid(file)?);
                }
                // Where some names are found the answer says how far it went, and the new fid is none.
                Err(error) if n == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if qids.len() == usize::from(count) {
            self.fids.put(at);
            if new == fid {
                self.release(start.file)?;
            }
        }
        to.u16(qids.len() as u16);
        for qid in qids {
            to.qid(qid);
        }
        Ok(())
    }

    pub fn clunk(&mut self, from: &mut Reader) -> Done {
        let fid = self.fids.remove(from.u32()?)?;
        self.release(fid.file)
    }

    /// The file's name goes, and the fid in any case.
    pub fn remove(&mut self, from: &mut Reader) -> Done {
        let fid = self.fids.remove(from.u32()?)?;
        let is_directory = self.tree.inode(fid.file)?.is_directory();
        let name = self.tree.name_of(fid.parent, fid.file).ok_or(Errno::NOENT);
        let gone =
            name.and_then(|name| self.tree.unlink(self.volume, fid.parent, &name, is_directory, self.now));
        self.release(fid.file)?;
        gone.map(drop)
    }

    pub fn statfs(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        self.fids.get(from.u32()?)?;
        let ((blocks, free), (files, more)) = (self.tree.blocks(), self.tree.files());
        to.u32(MAGIC).u32(BLOCK as u32);
        for count in [blocks, free, free, files, more] {
            to.u64(count.into());
        }
        to.u64(0).u32(NAME_MAX as u32);
        Ok(())
    }

    pub fn getattr(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let (fid, inode) = self.file(from.u32()?)?;
        // A directory has a block, as on most file systems.
        let (size, blocks) = match inode.is_directory() {
            true => (BLOCK, 1),
            false => (inode.size, self.tree.blocks_of(fid.file)),
        };
        to.u64(BASIC).qid(self.qid(fid.file)?).u32(inode.mode).u32(inode.uid).u32(inode.gid);
        to.u64(inode.links.into()).u64(inode.device).u64(size).u64(BLOCK).u64(blocks * (BLOCK / 512));
        for time in [inode.accessed, inode.modified, inode.changed, FileTime::default()] {
            to.u64(time.seconds as u64).u64(time.nanoseconds.into());
        }
        to.u64(0).u64(0);
        Ok(())
    }

    pub fn setattr(&mut self, from: &mut Reader) -> Done {
        let (fid, valid) = (self.fids.get(from.u32()?)?, from.u32()?);
        let (mode, uid, gid, size) = (from.u32()?, from.u32()?, from.u32()?, from.u64()?);
        let (accessed, modified) = (time(from)?, time(from)?);
        let now = self.now;
        let asked = |bit: u32| valid & bit != 0;
        let instant = |bit: u32, set: u32, time| asked(bit).then_some(if asked(set) { time } else { now });
        let changes = Changes {
            mode: asked(valid::MODE).then_some(mode),
            uid: asked(valid::UID).then_some(uid),
            gid: asked(valid::GID).then_some(gid),
            size: asked(valid::SIZE).then_some(size),
            accessed: instant(valid::ATIME, valid::ATIME_SET, accessed),
            modified: instant(valid::MTIME, valid::MTIME_SET, modified),
        };
        self.tree.set(self.volume, fid.file, &changes, now)
    }

    /// Attributes of what a fid's user makes.
    pub fn made_by(&self, fid: Fid, mode: u32, gid: u32) -> Attributes {
        Attributes { mode, uid: fid.uid, gid, device: 0, time: self.now }
    }

    pub fn symlink(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let fid = self.fids.get(from.u32()?)?;
        let (name, target, gid) = (from.string()?, from.string()?, from.u32()?);
        let attributes = self.made_by(fid, S_IFLNK | 0o777, gid);
        let file = self.tree.symlink(self.volume, fid.file, name, target, &attributes)?;
        to.qid(self.qid(file)?);
        Ok(())
    }

    pub fn mknod(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let fid = self.fids.get(from.u32()?)?;
        let (name, mode) = (from.string()?, from.u32()?);
        let (major, minor, gid) = (u64::from(from.u32()?), u64::from(from.u32()?), from.u32()?);
        if matches!(mode & S_IFMT, S_IFDIR | S_IFLNK) {
            return Err(Errno::INVAL);
        }
        // As the C library packs them.
        let device = minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32;
        let attributes = Attributes { device, ..self.made_by(fid, mode, gid) };
        let file = self.tree.create(self.volume, fid.file, name, &attributes)?;
        to.qid(self.qid(file)?);
        Ok(())
    }

    pub fn mkdir(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let fid = self.fids.get(from.u32()?)?;
        let (name, mode, gid) = (from.string()?, from.u32()?, from.u32()?);
        let attributes = self.made_by(fid, S_IFDIR | mode & 0o7777, gid);
        let file = self.tree.create(self.volume, fid.file, name, &attributes)?;
        to.qid(self.qid(file)?);
        Ok(())
    }

    pub fn readlink(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let fid = self.fids.get(from.u32()?)?;
        let target = self.tree.target(self.volume, fid.file)?;
        to.string(&target);
        Ok(())
    }

    pub fn link(&mut self, from: &mut Reader) -> Done {
        let (directory, fid) = (self.fids.get(from.u32()?)?, self.fids.get(from.u32()?)?);
        let name = from.string()?;
        self.tree.link(self.volume, directory.file, name, fid.file, self.now)
    }

    pub fn rename(&mut self, from: &mut Reader) -> Done {
        let (fid, directory) = (self.fids.get(from.u32()?)?, self.fids.get(from.u32()?)?);
        let name = from.string()?;
        let old = self.tree.name_of(fid.parent, fid.file).ok_or(Errno::NOENT)?;
        self.move_name((fid.parent, &old), (directory.file, name))?;
        self.fids.put(Fid { parent: directory.file, ..fid });
        Ok(())
    }

    pub fn renameat(&mut self, from: &mut Reader) -> Done {
        let (old, name) = (self.fids.get(from.u32()?)?, from.string()?);
        let (new, other) = (self.fids.get(from.u32()?)?, from.string()?);
        self.move_name((old.file, name), (new.file, other))
    }

    fn move_name(&mut self, from: (u32, &[u8]), to: (u32, &[u8])) -> Done {
        match self.tree.rename(self.volume, from, to, self.now)? {
            Some(replaced) => self.release(replaced),
            None => Ok(()),
        }
    }

    pub fn unlinkat(&mut self, from: &mut Reader) -> Done {
        let (fid, name, flags) = (self.fids.get(from.u32()?)?, from.string()?, from.u32()?);
        let wants_directory = flags & AT_REMOVEDIR != 0;
        let gone = self.tree.unlink(self.volume, fid.file, name, wants_directory, self.now)?;
        self.release(gone)
    }
}
