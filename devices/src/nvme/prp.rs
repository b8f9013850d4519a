//! Where a command's data is in memory: physical region pages (NVM Express 1.4, 4.3).

use super::status::Status;
use crate::device::Dma;

/// The only size of memory pages here.
pub(super) const PAGE: u64 = 4096;
const ENTRY: u64 = 8;

/// A part of a buffer, which lies in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub address: u64,
    pub len: usize,
}

/// The two entries of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prp {
    pub first: u64,
    pub second: u64,
}

impl Prp {
    /// The buffer of `len` bytes. Lists are as long as the buffer needs them, whatever they hold.
    pub fn segments(self, dma: &mut dyn Dma, len: u64) -> Result<Vec<Segment>, Status> {
        if !self.first.is_multiple_of(4) {
            return Err(Status::PRP_OFFSET);
        }
        let first = len.min(PAGE - self.first % PAGE);
        let mut segments = vec![Segment { address: self.first, len: first as usize }];
        let left = len - first;
        if left > PAGE {
            read_lists(dma, self.second, left, &mut segments)?;
        } else if left > 0 {
            segments.push(page(self.second, left)?);
        }
        Ok(segments)
    }

    /// Writes `bytes` to the buffer.
    pub fn write(self, dma: &mut dyn Dma, mut bytes: &[u8]) -> Result<(), Status> {
        for Segment { address, len } in self.segments(dma, bytes.len() as u64)? {
            let (here, rest) = bytes.split_at(len);
            dma.write(address, here);
            bytes = rest;
        }
        Ok(())
    }

    /// Fills `bytes` from the buffer.
    pub fn read(self, dma: &mut dyn Dma, mut bytes: &mut [u8]) -> Result<(), Status> {
        for Segment { address, len } in self.segments(dma, bytes.len() as u64)? {
            let (here, rest) = bytes.split_at_mut(len);
            dma.read(address, here);
            bytes = rest;
        }
        Ok(())
    }
}

fn page(address: u64, left: u64) -> Result<Segment, Status> {
    let aligned = address.is_multiple_of(PAGE);
    aligned.then_some(Segment { address, len: left.min(PAGE) as usize }).ok_or(Status::PRP_OFFSET)
}

/// Adds the pages of the last `left` bytes of a buffer, whose list begins at `list`.
fn read_lists(dma: &mut dyn Dma, mut list: u64, mut left: u64, to: &mut Vec<Segment>) -> Result<(), Status> {
    if !list.is_multiple_of(ENTRY) {
        return Err(Status::PRP_OFFSET);
    }
    loop {
        let room = (PAGE - list % PAGE) / ENTRY;
        let wanted = left.div_ceil(PAGE);
        let entries = read_entries(dma, list, room.min(wanted));
        // The last entry of a page leads to the next list, if that is not the end.
        let (data, next) = match entries.split_last() {
            Some((next, data)) if wanted > room => (data, Some(*next)),
            _ => (&entries[..], None),
        };
        for entry in data {
            let segment = page(*entry, left)?;
            left -= segment.len as u64;
            to.push(segment);
        }
        match next {
            None => return Ok(()),
            // From here on each list has pages of data, so there is an end.
            Some(next) if next.is_multiple_of(PAGE) => list = next,
            Some(_) => return Err(Status::PRP_OFFSET),
        }
    }
}

fn read_entries(dma: &mut dyn Dma, list: u64, count: u64) -> Vec<u64> {
    let mut bytes = vec![0; (count * ENTRY) as usize];
    dma.read(list, &mut bytes);
    let (entries, _) = bytes.as_chunks();
    entries.iter().map(|entry| u64::from_le_bytes(*entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    fn put(memory: &mut Memory, list: u64, entries: &[u64]) {
        for (at, entry) in (list..).step_by(8).zip(entries) {
            memory.write(at, &entry.to_le_bytes());
        }
    }

    fn addresses(
        memory: &mut Memory,
        first: u64,
        second: u64,
        len: u64,
    ) -> Result<Vec<(u64, usize)>, Status> {
        let segments = Prp { first, second }.segments(memory, len)?;
        Ok(segments.iter().map(|segment| (segment.address, segment.len)).collect())
    }

    #[test]
    fn one_or_two_pages_need_no_list() {
        let mut memory = Memory(vec![0; 0x4000]);
        let mut get = |first, second, len| addresses(&mut memory, first, second, len);
        assert_eq!(get(0x1004, 1, 512), Ok(vec![(0x1004, 512)]));
        assert_eq!(get(0x1e00, 0x5000, 1024), Ok(vec![(0x1e00, 512), (0x5000, 512)]));
        assert_eq!(get(0x1000, 0x5000, 8192), Ok(vec![(0x1000, 4096), (0x5000, 4096)]));
        assert_eq!(get(0x1002, 0, 512), Err(Status::PRP_OFFSET));
        assert_eq!(get(0x1e00, 0x5004, 1024), Err(Status::PRP_OFFSET));
    }

    #[test]
    fn a_list_goes_on_in_another_page() {
        let mut memory = Memory(vec![0; 0x4000]);
        put(&mut memory, 0x1fe8, &[0x1_0000, 0x2_0000, 0x3000]);
        put(&mut memory, 0x3000, &[0x3_0000, 0x4_0000]);
        let pages = addresses(&mut memory, 0x800, 0x1fe8, 4 * 4096);
        let want =
            vec![(0x800, 2048), (0x1_0000, 4096), (0x2_0000, 4096), (0x3_0000, 4096), (0x4_0000, 2048)];
        assert_eq!(pages, Ok(want));
        // Three entries are enough for three pages: the third is no pointer.
        let pages = addresses(&mut memory, 0x800, 0x1fe8, 2048 + 3 * 4096);
        assert_eq!(pages.unwrap().last(), Some(&(0x3000, 4096)));
        put(&mut memory, 0x1ff8, &[0x3008]);
        assert_eq!(addresses(&mut memory, 0x800, 0x1fe8, 4 * 4096), Err(Status::PRP_OFFSET));
        assert_eq!(addresses(&mut memory, 0, 0x1fe4, 4 * 4096), Err(Status::PRP_OFFSET));
    }

    #[test]
    fn lists_that_lead_to_themselves_end() {
        let mut memory = Memory(vec![0; 0x4000]);
        put(&mut memory, 0x1ff8, &[0x1ff8]);
        assert_eq!(addresses(&mut memory, 0, 0x1ff8, 1 << 19), Err(Status::PRP_OFFSET));
        put(&mut memory, 0x1000, &[0x1000; 512]);
        assert_eq!(addresses(&mut memory, 0, 0x1000, 1 << 23).unwrap().len(), 1 << 11);
    }
}
