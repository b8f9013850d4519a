use super::*;
use crate::device::{Dma, MediumError};
use crate::share::{Attributes, S_IFDIR};
use crate::testing::{Memory, Random};
use crate::virtio::testing::{BUFFERS, Driver, operations};

mod hostile;
mod messages;

const SLOT: u8 = 24;
const SIZE: u64 = 1 << 20;
/// Where answers go.
const ANSWER: u64 = BUFFERS + 0x4000;
const ANSWER_LEN: u32 = 0x4000;

/// RAM, and the pages of a share.
struct World {
    ram: Memory,
    pages: Vec<u8>,
    damage: Option<String>,
}

impl Dma for World {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        self.ram.read(gpa, into);
    }
    fn write(&mut self, gpa: u64, from: &[u8]) {
        self.ram.write(gpa, from);
    }
    fn read_share(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        into.copy_from_slice(self.pages.get(at as usize..at as usize + into.len()).ok_or(MediumError)?);
        Ok(())
    }
    fn write_share(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        let pages = self.pages.get_mut(at as usize..at as usize + from.len());
        pages.ok_or(MediumError)?.copy_from_slice(from);
        Ok(())
    }
    fn damage_share(&mut self, why: &str) {
        self.damage = Some(why.to_owned());
    }
}

type Guest = Driver<Virtio9p, World>;

fn config(read_only: bool) -> ShareConfig {
    ShareConfig { tag: "files".into(), size: SIZE, read_only }
}

fn world() -> World {
    let layout = ShareLayout::new(SIZE);
    let pages = vec![0; (layout.pages() * BLOCK) as usize];
    let mut world = World { ram: Memory(vec![0; 0x1_0000]), pages, damage: None };
    let time = FileTime { seconds: 77, nanoseconds: 0 };
    let root = Attributes { mode: S_IFDIR | 0o755, uid: 0, gid: 0, device: 0, time };
    Tree::format(&mut Lent(&mut world), layout, &root).unwrap();
    world
}

fn guest(read_only: bool) -> Guest {
    Driver::new(Virtio9p::new(SLOT, &config(read_only), 1000), world(), 1, 0)
}

/// The tree the pages hold.
fn tree(guest: &mut Guest) -> Tree {
    Tree::open(&mut Lent(&mut guest.memory), ShareLayout::new(SIZE)).unwrap()
}

/// A message: kind, and its parts one after the other.
fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = (7 + body.len() as u32).to_le_bytes().to_vec();
    bytes.extend([kind, 9, 0]);
    bytes.extend(body);
    bytes
}

fn text(name: &[u8]) -> Vec<u8> {
    [&(name.len() as u16).to_le_bytes(), name].concat()
}

fn word(value: u32) -> [u8; 4] {
    value.to_le_bytes()
}

fn long(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

/// Sends a message; the answer behind its header, or the error.
fn ask(guest: &mut Guest, kind: u8, parts: &[&[u8]]) -> Result<Vec<u8>, Errno> {
    ask_for(guest, kind, parts, ANSWER_LEN)
}

fn ask_for(guest: &mut Guest, kind: u8, parts: &[&[u8]], room: u32) -> Result<Vec<u8>, Errno> {
    let message = message(kind, parts);
    guest.memory.write(BUFFERS, &message);
    guest.offer(QUEUE, 0, Some((BUFFERS, message.len() as u32)), Some((ANSWER, room)));
    assert!(guest.pass());
    let len = guest.written(QUEUE) as usize;
    let answer = guest.bytes(ANSWER, len);
    assert_eq!(answer[..4], word(len as u32), "{answer:?}");
    assert_eq!(answer[5..7], [9, 0]);
    match answer[4] {
        7 => Err(Errno(u32::from_le_bytes(answer[7..11].try_into().unwrap()))),
        other => {
            assert_eq!(other, kind + 1);
            Ok(answer[7..].to_vec())
        }
    }
}

/// Version is agreed on, and fid 0 is the root for user 5.
fn attached(read_only: bool) -> Guest {
    let mut guest = guest(read_only);
    let agreed = ask(&mut guest, 100, &[&word(8192), &text(b"9P2000.L")]).unwrap();
    assert_eq!(agreed, [&word(8192)[..], &text(b"9P2000.L")].concat());
    let root = ask(&mut guest, 104, &[&word(0), &word(!0), &text(b""), &text(b""), &word(5)]).unwrap();
    assert_eq!((root.len(), root[0]), (13, 0x80));
    guest
}

/// A fid for a path from the root; how many names of it were found.
fn walk(guest: &mut Guest, fid: u32, names: &[&[u8]]) -> Result<u16, Errno> {
    let count = (names.len() as u16).to_le_bytes();
    let names: Vec<u8> = names.iter().flat_map(|name| text(name)).collect();
    let answer = ask(guest, 110, &[&word(0), &word(fid), &count, &names])?;
    Ok(u16::from_le_bytes([answer[0], answer[1]]))
}

/// A new file by fid `fid`, open to be read and written.
fn create(guest: &mut Guest, fid: u32, name: &[u8]) -> Result<(), Errno> {
    walk(guest, fid, &[])?;
    ask(guest, 14, &[&word(fid), &text(name), &word(2), &word(0o640), &word(6)]).map(drop)
}

fn write(guest: &mut Guest, fid: u32, at: u64, bytes: &[u8]) -> Result<u32, Errno> {
    let answer = ask(guest, 118, &[&word(fid), &long(at), &word(bytes.len() as u32), bytes])?;
    Ok(u32::from_le_bytes(answer.try_into().unwrap()))
}

fn read(guest: &mut Guest, fid: u32, at: u64, count: u32) -> Result<Vec<u8>, Errno> {
    let answer = ask(guest, 116, &[&word(fid), &long(at), &word(count)])?;
    assert_eq!(answer[..4], word(answer.len() as u32 - 4));
    Ok(answer[4..].to_vec())
}
