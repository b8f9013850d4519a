//! Pages of a context that lead to devices: an access to one goes to the bus each time, but need not be translated each time.
//! Coherent as the TLB is.

use crate::paging::Access;

/// Pages remembered at a time.
const PAGES: usize = 32;

/// A page that reads or writes were seen to lead to a device by.
#[derive(Clone, Copy)]
struct DevicePage {
    linear: u64,
    gpa: u64,
    read: bool,
    write: bool,
}

pub(crate) struct DevicePages([Option<DevicePage>; PAGES]);

impl DevicePages {
    pub const EMPTY: Self = Self([None; PAGES]);

    fn slot(page: u64) -> usize {
        (page >> 12) as usize % PAGES
    }

    /// The guest-physical page that `access` to the linear `page` leads to.
    #[inline]
    pub fn get(&self, page: u64, access: Access) -> Option<u64> {
        let known = self.0[Self::slot(page)].as_ref().filter(|known| known.linear == page)?;
        let allowed = match access {
            Access::Read => known.read,
            Access::Write => known.write,
            Access::Execute => false,
        };
        allowed.then_some(known.gpa)
    }

    /// Notes where a data access to `page` leads. Returns the page that is forgotten for it, and whether `page` is new.
    pub fn note(&mut self, page: u64, access: Access, gpa: u64) -> (Option<u64>, bool) {
        let slot = &mut self.0[Self::slot(page)];
        let known = slot.filter(|known| known.linear == page);
        let forgotten = slot.filter(|old| old.linear != page).map(|old| old.linear);
        let (read, write) = known.map_or((false, false), |known| (known.read, known.write));
        *slot = Some(DevicePage {
            linear: page,
            gpa,
            read: read || access == Access::Read,
            write: write || access == Access::Write,
        });
        (forgotten, known.is_none())
    }

    /// The pages that are remembered.
    pub fn pages(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flatten().map(|known| known.linear)
    }

    /// Forgets the pages in the `len` bytes from `base` on, and hands each to `gone`.
    pub fn drop_range(&mut self, base: u64, len: u64, mut gone: impl FnMut(u64)) {
        for slot in &mut self.0 {
            if let Some(known) = slot.take_if(|known| known.linear.wrapping_sub(base) < len) {
                gone(known.linear);
            }
        }
    }
}
