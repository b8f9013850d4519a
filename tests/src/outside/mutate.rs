//! Mutations: of bytes that mean nothing, of values by their schema, and of a manifest's tables.

use super::parts::{Index, Parts};
use super::{Kind, Outside};
use crate::Random;
use amber_snapshot::{BaseImage, Manifest, ObjectId, OwnedSection, Value, decode, encode, schema_of};
use std::borrow::Cow;

/// Most that a mutation makes longer what it changes.
const GROWTH: u64 = 300;

/// Bytes, and what they are put in place of.
#[derive(Clone, Debug)]
pub struct Case {
    pub subject: usize,
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

impl Random {
    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len.max(1) as u64) as usize
    }
}

/// A mutation of something of one of the machines.
pub fn case(outside: &Outside, random: &mut Random) -> Case {
    let subject = random.index(outside.subjects());
    let n = random.below(1 << 16) as usize;
    // Sections have the most that can be wrong.
    let (kind, mut bytes) = match random.below(16) {
        0..=3 => (Kind::Section, section(outside.parts(subject), random)),
        4..=6 => (Kind::Core, core(outside, subject, random)),
        7 => (Kind::Index, index(&outside.parts(subject).index, random)),
        _ => {
            let kind = *random.pick(&Kind::ALL);
            (kind, outside.seed(subject, kind, n))
        }
    };
    if random.below(8) == 0 || bytes == outside.seed(subject, kind, n) {
        let other = outside.seed(random.index(outside.subjects()), kind, n);
        for _ in 0..=random.below(3) {
            mangle(&mut bytes, &other, random);
        }
    }
    Case { subject, kind, bytes }
}

/// A number such as programs forget.
fn odd(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => *random.pick(&[0, 1, 0x7F, 0x80, 0xFF, 0x1000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]),
        1 => u64::MAX >> random.below(64),
        2 => 1 << random.below(64),
        3 => u64::MAX - random.below(256),
        4 => (1u64 << random.below(64)).wrapping_sub(random.below(3)),
        _ => random.below(u64::MAX),
    }
}

/// Changes bytes without regard to what they mean.
pub fn mangle(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.index(bytes.len());
    let len = (random.below(64) as usize).min(bytes.len() - at);
    match random.below(10) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
        3 => bytes.truncate(at),
        4 => bytes.extend((0..random.below(GROWTH)).map(|_| random.below(256) as u8)),
        5 => {
            // A length, in the form of headers.
            let word = odd(random).to_le_bytes();
            let width = (1usize << random.below(4)).min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&word[..width]);
        }
        6 if !bytes.is_empty() => {
            // A length, in the form of postcard.
            let huge = varint(odd(random));
            bytes.splice(at..at + 1, huge);
        }
        7 => {
            let from = random.index(other.len());
            let piece = &other[from..(from + len).min(other.len())];
            bytes.splice(at..at + len, piece.iter().copied());
        }
        8 => drop(bytes.drain(at..at + len)),
        _ => {
            let piece = bytes[at..at + len].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A section with some of its fields changed.
fn section(parts: &Parts, random: &mut Random) -> Vec<u8> {
    let n = random.index(parts.manifest.sections.len());
    let section = &parts.manifest.sections[n];
    let changed = fields(section, random).unwrap_or_else(|| section.bytes.clone());
    [&[n as u8][..], &changed].concat()
}

/// Other bytes for a section, of the same schema.
fn fields(section: &OwnedSection, random: &mut Random) -> Option<Vec<u8>> {
    let mut value = decode(section).ok()?;
    for _ in 0..=random.below(3) {
        let mut count = 0;
        visit(&mut value, &mut |_| count += 1);
        let mut chosen = random.below(count) as i64;
        visit(&mut value, &mut |value| {
            if chosen == 0 {
                change(value, random);
            }
            chosen -= 1;
        });
    }
    encode(section, &value).ok()
}

/// Calls `each` with every value, the outer ones later.
fn visit<'a>(value: &mut Value<'a>, each: &mut dyn FnMut(&mut Value<'a>)) {
    match value {
        Value::Option(Some(inner)) => visit(inner, each),
        Value::Variant { value: inner, .. } => visit(inner, each),
        Value::List(list) => list.iter_mut().for_each(|value| visit(value, each)),
        Value::Struct(fields) => fields.iter_mut().for_each(|(_, value)| visit(value, each)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| visit(value, each)),
        _ => {}
    }
    each(value);
}

fn change(value: &mut Value, random: &mut Random) {
    let other = match value {
        Value::Bool(flag) => Value::Bool(!*flag),
        Value::Unsigned(number, bits) => {
            let next = match random.below(4) {
                0 => number.wrapping_add(1),
                1 => number.wrapping_sub(1),
                2 => *number ^ 1 << random.below(128),
                _ => u128::from(odd(random)) << if *bits == 128 { random.below(64) } else { 0 },
            };
            Value::Unsigned(next & u128::MAX >> (128 - u32::from(*bits)), *bits)
        }
        Value::Signed(number, bits) => {
            let shift = 128 - u32::from(*bits);
            let next = if random.below(2) == 0 { number.wrapping_neg() } else { odd(random) as i64 as i128 };
            Value::Signed(next << shift >> shift, *bits)
        }
        Value::F32(_) => Value::F32(odd(random) as u32),
        Value::F64(_) => Value::F64(odd(random)),
        Value::Text(text) => Value::Text(Cow::Owned(text.chars().rev().chain("x\u{1b}".chars()).collect())),
        Value::Bytes(bytes) => {
            let mut bytes = bytes.to_vec();
            mangle(&mut bytes, &[0xFF; 16], random);
            Value::Bytes(Cow::Owned(bytes))
        }
        Value::Option(_) => Value::Option(None),
        Value::Variant { index, name, value } => {
            let other = if random.below(2) == 0 { index.wrapping_add(1) } else { index.wrapping_sub(1) };
            Value::Variant { index: other, name, value: value.clone() }
        }
        Value::List(list) => {
            let mut list = list.clone();
            resize(&mut list, random);
            Value::List(list)
        }
        Value::Unit | Value::Char(_) | Value::Map(_) | Value::Struct(_) | Value::Schema(_) => return,
    };
    *value = other;
}

/// Makes a list longer, shorter or of another order.
fn resize<T: Clone>(list: &mut Vec<T>, random: &mut Random) {
    let Some(some) = list.first().cloned() else { return };
    let (a, b) = (random.index(list.len()), random.index(list.len()));
    match random.below(5) {
        0 => list.clear(),
        1 => drop(list.remove(a)),
        2 => list.insert(a, some),
        3 => list.extend(vec![some; random.below(GROWTH) as usize]),
        _ => list.swap(a, b),
    }
}

/// A manifest with something else in its sections or tables.
fn core(outside: &Outside, subject: usize, random: &mut Random) -> Vec<u8> {
    let mut manifest = outside.parts(subject).manifest.clone();
    let other = &outside.parts(random.index(outside.subjects())).manifest;
    match random.below(3) {
        0 => sections(&mut manifest, other, random),
        1 => regions(&mut manifest, other, random),
        _ => configuration(&mut manifest, random),
    }
    postcard::to_stdvec(&manifest).expect("plain data always serialises to memory")
}

fn sections(manifest: &mut Manifest, other: &Manifest, random: &mut Random) {
    let foreign = random.pick(&other.sections).clone();
    let schemas = [schema_of::<Vec<()>>(), schema_of::<Vec<[(); 3]>>(), schema_of::<(u8, Option<u64>)>()];
    let n = random.index(manifest.sections.len());
    let section = &mut manifest.sections[n];
    match random.below(9) {
        0 => section.path = foreign.path,
        1 => section.kind = foreign.kind,
        2 => section.version = odd(random) as u32,
        3 => section.schema = foreign.schema,
        4 => {
            section.schema = random.pick(&schemas).clone();
            section.bytes = varint(odd(random));
        }
        5 => section.schema.name.push('x'),
        6 => section.bytes = foreign.bytes,
        7 => *section = foreign,
        _ => resize(&mut manifest.sections, random),
    }
}

fn regions(manifest: &mut Manifest, other: &Manifest, random: &mut Random) {
    let foreign = random.pick(&other.regions).clone();
    let n = random.index(manifest.regions.len());
    let table = &mut manifest.regions[n];
    match random.below(9) {
        0 => table.name = foreign.name,
        1 => table.pages = odd(random),
        2 => {
            // As many groups as the pages need, all the same one.
            table.pages = odd(random) % (1 << 28);
            let node = table.groups.first().copied().flatten();
            table.groups = vec![node; table.pages.div_ceil(512) as usize];
        }
        3 => resize(&mut table.groups, random),
        4 => table.groups = foreign.groups,
        5 => table.groups.iter_mut().for_each(|group| *group = Some(ObjectId::ZERO)),
        6 => table.base = foreign.base,
        7 => {
            let (path, len) = ("/dev/zero".to_owned(), odd(random));
            table.base = Some(BaseImage { path, len, hash: [0; 32] });
        }
        _ => resize(&mut manifest.regions, random),
    }
}

/// Changes what the machine is built from, and the size of a region with it.
fn configuration(manifest: &mut Manifest, random: &mut Random) {
    let Some(section) = manifest.sections.iter_mut().find(|section| section.path == "config") else { return };
    if let Some(bytes) = fields(section, random) {
        section.bytes = bytes;
    }
    if random.below(2) == 0 {
        regions(manifest, &manifest.clone(), random);
    }
}

fn index(index: &Index, random: &mut Random) -> Vec<u8> {
    let mut index = index.clone();
    let n = random.index(index.0.len());
    let number = odd(random);
    match random.below(5) {
        0 => index.0[n].offset = number,
        1 => index.0[n].stored = number as u32,
        2 => index.0[n].raw = number as u32,
        3 => index.0[n].id = ObjectId::ZERO,
        _ => resize(&mut index.0, random),
    }
    index.to_bytes()
}
