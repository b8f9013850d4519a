//! Messages about files that are open.

use super::fids::{Fid, READ, WRITE};
use super::message::{HEADER_LEN, Reader, Reply};
use super::session::{Done, Work};
use crate::share::{Changes, Errno, S_IFMT, S_IFREG};

/// Bits of an open (as Linux has them on most machines).
const O_ACCMODE: u32 = 3;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;
const O_TRUNC: u32 = 0o1000;
const O_DIRECTORY: u32 = 0o200_000;
/// Nobody has a lock.
const F_UNLCK: u8 = 2;
/// Longest directory entry but for its name.
const ENTRY_LEN: usize = 13 + 8 + 1 + 2;

/// How a file is open.
fn access(flags: u32) -> Result<u8, Errno> {
    match flags & O_ACCMODE {
        0 => Ok(READ),
        O_WRONLY => Ok(WRITE),
        O_RDWR => Ok(READ | WRITE),
        _ => Err(Errno::INVAL),
    }
}

impl Work<'_> {
    pub fn lopen(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let (number, flags) = (from.u32()?, from.u32()?);
        let (fid, inode) = self.file(number)?;
        let open = access(flags)?;
        match () {
            () if fid.open != 0 => return Err(Errno::INVAL),
            () if inode.is_directory() && open & WRITE != 0 => return Err(Errno::ISDIR),
            () if !inode.is_directory() && flags & O_DIRECTORY != 0 => return Err(Errno::NOTDIR),
            () if self.is_read_only() && (open & WRITE != 0 || flags & O_TRUNC != 0) => {
                return Err(Errno::ROFS);
            }
            () => {}
        }
        if flags & O_TRUNC != 0 && inode.is_file() {
            let changes = Changes { size: Some(0), ..Changes::default() };
            self.tree.set(self.volume, fid.file, &changes, self.now)?;
        }
        self.fids.put(Fid { open, ..fid });
        to.qid(self.qid(fid.file)?).u32(0);
        Ok(())
    }

    /// Makes a file in the fid's directory; the fid is the file's then.
    pub fn lcreate(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let directory = self.fids.get(from.u32()?)?;
        let (name, flags, mode, gid) = (from.string()?, from.u32()?, from.u32()?, from.u32()?);
        let open = access(flags)?;
        if directory.open != 0 {
            return Err(Errno::INVAL);
        }
        let attributes = self.made_by(directory, mode & !S_IFMT & 0o7777 | S_IFREG, gid);
        let file = self.tree.create(self.volume, directory.file, name, &attributes)?;
        self.fids.put(Fid { file, parent: directory.file, open, ..directory });
        self.release(directory.file)?;
        to.qid(self.qid(file)?).u32(0);
        Ok(())
    }

    fn open(&self, fid: u32, how: u8) -> Result<Fid, Errno> {
        let fid = self.fids.get(fid)?;
        if fid.open & how != 0 { Ok(fid) } else { Err(Errno::BADF) }
    }

    /// Bytes of data an answer has room for.
    fn data_room(&self, asked: u32) -> usize {
        self.room.saturating_sub(HEADER_LEN + 4).min(asked as usize)
    }

    pub fn read(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let (fid, at, count) = (from.u32()?, from.u64()?, from.u32()?);
        let fid = self.open(fid, READ)?;
        let left = self.tree.inode(fid.file)?.size.saturating_sub(at);
        let mut data = vec![0; self.data_room(count).min(usize::try_from(left).unwrap_or(usize::MAX))];
        let len = self.tree.read(self.volume, fid.file, at, &mut data)?;
        to.u32(len as u32).bytes(&data[..len]);
        Ok(())
    }

    pub fn write(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let (fid, at, count) = (from.u32()?, from.u64()?, from.u32()?);
        let fid = self.open(fid, WRITE)?;
        let data = from.bytes(count as usize)?;
        let len = self.tree.write(self.volume, fid.file, at, data, self.now)?;
        to.u32(len as u32);
        Ok(())
    }

    pub fn readdir(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        let (fid, place, count) = (from.u32()?, from.u64()?, from.u32()?);
        let fid = self.open(fid, READ)?;
        let (mut data, room) = (Reply::new(0, 0), HEADER_LEN + self.data_room(count));
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        // Places begin behind those of the directory itself and the one above it.
        let own = [(1, &b"."[..], fid.file), (2, b"..", self.tree.find(fid.file, b"..")?)];
        let listed = self.tree.list(fid.file, place.saturating_sub(2))?;
        let listed = listed.map(|(next, entry)| (next + 2, &*entry.name, entry.file));
        let own = own.into_iter().filter(|(next, ..)| *next > place);
        for (next, name, file) in own.chain(listed) {
            if data.len() + ENTRY_LEN + name.len() > room {
                break;
            }
            let kind = (self.tree.inode(file)?.mode >> 12) as u8;
            data.qid(self.qid(file)?).u64(next.into()).u8(kind).string(name);
        }
        let data = data.finish();
        to.u32((data.len() - HEADER_LEN) as u32).bytes(&data[HEADER_LEN..]);
        Ok(())
    }

    /// There is one client, which keeps its locks itself: each is granted.
    pub fn lock(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        self.fids.get(from.u32()?)?;
        to.u8(0);
        Ok(())
    }

    pub fn getlock(&mut self, from: &mut Reader, to: &mut Reply) -> Done {
        self.fids.get(from.u32()?)?;
        let _kind = from.u8()?;
        let (start, len, process, client) = (from.u64()?, from.u64()?, from.u32()?, from.string()?);
        to.u8(F_UNLCK).u64(start).u64(len).u32(process).string(client);
        Ok(())
    }
}
