//! What a driver of 9P2000.L asks for, message by message: who answers which, and how errors are told.

use super::fids::{Fid, Fids};
use super::message::{HEADER_LEN, Qid, Reader, Reply};
use crate::share::{Errno, FileTime, Inode, Tree, Volume};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Longest message that is agreed on.
pub(super) const MSIZE_MAX: u32 = 512 << 10;
/// Shortest one: any name fits, and a little data.
const MSIZE_MIN: u32 = 4096;
const VERSION: &[u8] = b"9P2000.L";
const RLERROR: u8 = 7;

/// Kinds of messages; the answer to each is the next number.
pub(super) mod kind {
    pub const STATFS: u8 = 8;
    pub const LOPEN: u8 = 12;
    pub const LCREATE: u8 = 14;
    pub const SYMLINK: u8 = 16;
    pub const MKNOD: u8 = 18;
    pub const RENAME: u8 = 20;
    pub const READLINK: u8 = 22;
    pub const GETATTR: u8 = 24;
    pub const SETATTR: u8 = 26;
    pub const READDIR: u8 = 40;
    pub const FSYNC: u8 = 50;
    pub const LOCK: u8 = 52;
    pub const GETLOCK: u8 = 54;
    pub const LINK: u8 = 70;
    pub const MKDIR: u8 = 72;
    pub const RENAMEAT: u8 = 74;
    pub const UNLINKAT: u8 = 76;
    pub const VERSION: u8 = 100;
    pub const ATTACH: u8 = 104;
    pub const FLUSH: u8 = 108;
    pub const WALK: u8 = 110;
    pub const READ: u8 = 116;
    pub const WRITE: u8 = 118;
    pub const CLUNK: u8 = 120;
    pub const REMOVE: u8 = 122;
}

/// What driver and device remember of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Session {
    /// Longest message, as agreed on.
    msize: u32,
    pub fids: Fids,
}

impl Default for Session {
    fn default() -> Self {
        Self { msize: MSIZE_MIN, fids: Fids::default() }
    }
}

/// The files of a share, and when and how they are used.
pub(super) struct Share<'a> {
    pub tree: &'a mut Tree,
    pub volume: &'a mut dyn Volume,
    pub now: FileTime,
    pub read_only: bool,
}

/// What a message is carried out with.
pub(super) struct Work<'a> {
    pub fids: &'a mut Fids,
    pub tree: &'a mut Tree,
    pub volume: &'a mut dyn Volume,
    pub now: FileTime,
    read_only: bool,
    /// Bytes the answer may have.
    pub room: usize,
}

/// Outcome of a message: its answer is filled in.
pub(super) type Done = Result<(), Errno>;

impl Session {
    /// What a message is carried out with, whose answer may have `room` bytes.
    pub fn work<'a>(&'a mut self, share: Share<'a>, room: usize) -> Work<'a> {
        let Share { tree, volume, now, read_only } = share;
        Work { fids: &mut self.fids, tree, volume, now, read_only, room }
    }

    /// The answer to a message, for which there is `room`. `None` if it is none. Without a share there are only errors.
    pub fn answer<'a>(
        &'a mut self,
        share: Option<Share<'a>>,
        message: &[u8],
        room: usize,
    ) -> Option<Vec<u8>> {
        let mut reader = Reader(message);
        let (len, kind, tag) = (reader.u32().ok()?, reader.u8().ok()?, reader.u16().ok()?);
        let body = message.get(HEADER_LEN..usize::try_from(len).ok()?).ok_or(Errno::PROTO);
        let mut reply = Reply::new(kind.wrapping_add(1), tag);
        let room = room.min(self.msize as usize);
        let outcome = body.and_then(|body| {
            let share = share.ok_or(Errno::IO)?;
            if kind == kind::VERSION {
                self.msize = agree(body, &mut reply)?;
                return self.work(share, room).forget_all();
            }
            self.work(share, room).carry_out(kind, &mut Reader(body), &mut reply)
        });
        let fits = if reply.len() <= room { Ok(()) } else { Err(Errno::MSGSIZE) };
        if let Err(Errno(number)) = outcome.and(fits) {
            reply = Reply::new(RLERROR, tag);
            reply.u32(number);
        }
        Some(reply.finish())
    }

    /// Whether a driver could have brought it about.
    pub fn is_consistent(&self) -> bool {
        (MSIZE_MIN..=MSIZE_MAX).contains(&self.msize) && self.fids.is_consistent()
    }
}

/// The longest message that both sides take; no other version is spoken.
fn agree(body: &[u8], reply: &mut Reply) -> Result<u32, Errno> {
    let mut body = Reader(body);
    let (asked, version) = (body.u32()?, body.string()?);
    let known = version == VERSION && asked >= MSIZE_MIN;
    let msize = asked.clamp(MSIZE_MIN, MSIZE_MAX);
    reply.u32(msize.min(asked)).string(if known { VERSION } else { b"unknown" });
    Ok(msize)
}

impl Work<'_> {
    fn carry_out(&mut self, kind: u8, from: &mut Reader, to: &mut Reply) -> Done {
        if self.read_only && is_change(kind) {
            return Err(Errno::ROFS);
        }
        match kind {
            kind::STATFS => self.statfs(from, to),
            kind::LOPEN => self.lopen(from, to),
            kind::LCREATE => self.lcreate(from, to),
            kind::SYMLINK => self.symlink(from, to),
            kind::MKNOD => self.mknod(from, to),
            kind::RENAME => self.rename(from),
            kind::READLINK => self.readlink(from, to),
            kind::GETATTR => self.getattr(from, to),
            kind::SETATTR => self.setattr(from),
            kind::READDIR => self.readdir(from, to),
            // What is written is part of the state.
            kind::FSYNC => self.fids.get(from.u32()?).map(drop),
            kind::LOCK => self.lock(from, to),
            kind::GETLOCK => self.getlock(from, to),
            kind::LINK => self.link(from),
            kind::MKDIR => self.mkdir(from, to),
            kind::RENAMEAT => self.renameat(from),
            kind::UNLINKAT => self.unlinkat(from),
            kind::ATTACH => self.attach(from, to),
            // Messages are carried out one after the other: the one to be flushed was answered.
            kind::FLUSH => from.u16().map(drop),
            kind::WALK => self.walk(from, to),
            kind::READ => self.read(from, to),
            kind::WRITE => self.write(from, to),
            kind::CLUNK => self.clunk(from),
            kind::REMOVE => self.remove(from),
            // Extended attributes and authentication among them.
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// A fid, and its file.
    pub fn file(&self, fid: u32) -> Result<(Fid, &Inode), Errno> {
        let fid = self.fids.get(fid)?;
        Ok((fid, self.tree.inode(fid.file)?))
    }

    pub fn qid(&self, file: u32) -> Result<Qid, Errno> {
        let inode = self.tree.inode(file)?;
        let kind = if inode.is_directory() {
            0x80
        } else if inode.is_symlink() {
            0x02
        } else {
            0
        };
        let path = u64::from(inode.generation) << 32 | u64::from(file);
        Ok(Qid { kind, version: inode.version, path })
    }

    /// Lets go of a file, if it has no name and nobody uses it.
    pub fn release(&mut self, file: u32) -> Done {
        let nameless = self.tree.inode(file).is_ok_and(|inode| inode.links == 0);
        if nameless && !self.fids.holds(file) {
            self.tree.forget(self.volume, file)?;
        }
        Ok(())
    }

    /// No fid is used any more.
    pub fn forget_all(&mut self) -> Done {
        let files = self.fids.clear();
        files.into_iter().try_for_each(|file| self.release(file))
    }
}

/// Whether messages of a kind change files. Opening one does if it says so.
fn is_change(kind: u8) -> bool {
    matches!(
        kind,
        kind::LCREATE
            | kind::SYMLINK
            | kind::MKNOD
            | kind::RENAME
            | kind::SETATTR
            | kind::LINK
            | kind::MKDIR
            | kind::RENAMEAT
            | kind::UNLINKAT
            | kind::WRITE
            | kind::REMOVE
    )
}
