//! What a driver calls files by.

use crate::share::Errno;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Most names a driver may have in use. Linux has one for each name it keeps in mind.
const FIDS_MAX: usize = 1 << 16;

/// A file that is open can be read, written, or both; a directory can be read.
pub(super) const READ: u8 = 1;
pub(super) const WRITE: u8 = 2;

/// A name in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Fid {
    pub fid: u32,
    /// Number of the file.
    pub file: u32,
    /// Directory it was found in.
    pub parent: u32,
    /// Whose files are made with it.
    pub uid: u32,
    /// [`READ`] and [`WRITE`], where it is open.
    pub open: u8,
}

/// All names in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Fids {
    /// In order.
    list: Vec<Fid>,
}

impl Fids {
    fn place(&self, fid: u32) -> Result<usize, usize> {
        self.list.binary_search_by_key(&fid, |own| own.fid)
    }

    pub fn get(&self, fid: u32) -> Result<Fid, Errno> {
        self.place(fid).map(|at| self.list[at]).map_err(|_| Errno::BADF)
    }

    /// Whether a name is free to be used.
    pub fn check_new(&self, fid: u32) -> Result<(), Errno> {
        match self.place(fid) {
            Ok(_) => Err(Errno::INVAL),
            Err(_) if self.list.len() >= FIDS_MAX => Err(Errno::NFILE),
            Err(_) => Ok(()),
        }
    }

    /// Uses a name, which may be in use already.
    pub fn put(&mut self, fid: Fid) {
        match self.place(fid.fid) {
            Ok(at) => self.list[at] = fid,
            Err(at) => self.list.insert(at, fid),
        }
    }

    /// A name is not used any more.
    pub fn remove(&mut self, fid: u32) -> Result<Fid, Errno> {
        self.place(fid).map(|at| self.list.remove(at)).map_err(|_| Errno::BADF)
    }

    /// All names are not used any more; the files they stood for.
    pub fn clear(&mut self) -> Vec<u32> {
        let mut files: Vec<u32> = std::mem::take(&mut self.list).into_iter().map(|fid| fid.file).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a file is in use.
    pub fn holds(&self, file: u32) -> bool {
        self.list.iter().any(|fid| fid.file == file)
    }

    /// Whether a driver could have brought it about.
    pub fn is_consistent(&self) -> bool {
        let ordered = self.list.windows(2).all(|pair| pair[0].fid < pair[1].fid);
        ordered && self.list.len() <= FIDS_MAX && self.list.iter().all(|fid| fid.open <= READ | WRITE)
    }
}
