//! Which pages of RAM are code, and what they say.

use crate::machine::Machine;
use crate::symbols::Symbols;
use amber_cpu::Vcpu;
use amber_mmu::PagingMode;
use iced_x86::{Decoder, DecoderOptions, FastFormatter, FlowControl, Instruction};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const PAGE: u64 = 4096;
/// Page tables that are looked at, of each processor; a guest may have them lead anywhere.
const MAX_TABLES: usize = 1 << 14;
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NX: u64 = 1 << 63;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// A page of RAM that is code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePage {
    /// Linear address it is mapped at.
    pub linear: u64,
    /// 16, 32 or 64.
    pub bits: u32,
}

/// Those of `wanted` (indices of pages of RAM) that are code to a processor of `machine`: it is mapped executable in
/// long mode, and read-only or a function by its symbols; or RIP is in it.
pub fn code_pages(
    machine: &Machine,
    wanted: &BTreeSet<u64>,
    symbols: Option<&Symbols>,
    found: &mut BTreeMap<u64, CodePage>,
) {
    for cpu in machine.vcpus() {
        if cpu.address_space().mode == PagingMode::Level4 {
            let mut walk = Walk { machine, cpu, wanted, symbols, found: &mut *found, tables: 0 };
            walk.table(cpu.address_space().root, 39, 0, true, false);
        }
        let (linear, bits) = (cpu.linear_rip() & !(PAGE - 1), cpu.code_size().bits());
        let at = machine.mmu().probe(cpu.address_space(), cpu.view(), linear);
        if let Some(("ram", offset)) = at.and_then(|gpa| machine.region_at(gpa))
            && wanted.contains(&(offset / PAGE))
        {
            found.insert(offset / PAGE, CodePage { linear, bits });
        }
    }
}

struct Walk<'a> {
    machine: &'a Machine,
    cpu: &'a Vcpu,
    wanted: &'a BTreeSet<u64>,
    symbols: Option<&'a Symbols>,
    found: &'a mut BTreeMap<u64, CodePage>,
    tables: usize,
}

impl Walk<'_> {
    /// Looks at a table whose entries cover `1 << shift` bytes each, from `linear` on.
    fn table(&mut self, gpa: u64, shift: u32, linear: u64, writable: bool, no_execute: bool) {
        self.tables += 1;
        if self.tables > MAX_TABLES {
            return;
        }
        let mut table = [0; PAGE as usize];
        self.machine.mmu().read_physical(self.cpu.view(), gpa, &mut table);
        for (n, entry) in table.as_chunks::<8>().0.iter().enumerate() {
            let entry = u64::from_le_bytes(*entry);
            let below = linear | (n as u64) << shift;
            let no_execute = no_execute || entry & NX != 0;
            if entry & PRESENT == 0 || no_execute {
                continue;
            }
            let writable = writable && entry & WRITABLE != 0;
            if shift == 12 || (shift < 39 && entry & LARGE != 0) {
                let first = entry & ADDRESS & !((1 << shift) - 1);
                self.leaf(first, 1 << shift, (below << 16) as i64 >> 16, writable);
            } else {
                self.table(entry & ADDRESS, shift - 9, below, writable, no_execute);
            }
        }
    }

    /// Looks at what an executable mapping maps.
    fn leaf(&mut self, gpa: u64, len: u64, linear: i64, writable: bool) {
        // A large page never lies across a border of the map that matters here.
        let Some(("ram", first)) = self.machine.region_at(gpa) else { return };
        for page in self.wanted.range(first / PAGE..(first + len) / PAGE) {
            let linear = (linear as u64).wrapping_add(page * PAGE - first);
            let symbol = |linear| self.symbols.and_then(|symbols| symbols.locate(linear));
            let named = |linear| symbol(linear).is_some_and(|symbol| symbol.code);
            let better = |known: &CodePage| (named(linear), linear) > (named(known.linear), known.linear);
            if (!writable || named(linear)) && self.found.get(page).is_none_or(better) {
                self.found.insert(*page, CodePage { linear, bits: 64 });
            }
        }
    }
}

/// Code that differs: the instructions there before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeChange {
    /// Linear address.
    pub at: u64,
    pub symbol: Option<String>,
    pub a: Vec<(u64, String)>,
    pub b: Vec<(u64, String)>,
}

/// The instructions of a page that have bytes in `ranges`, on both sides.
pub fn changes(
    page: CodePage,
    a: &[u8],
    b: &[u8],
    ranges: &[Range<u16>],
    symbols: Option<&Symbols>,
) -> Vec<CodeChange> {
    let (before, after) = (decode(page, a, ranges, symbols), decode(page, b, ranges, symbols));
    let mut spans: Vec<Range<u64>> = before.iter().chain(&after).map(|found| found.0.clone()).collect();
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    let inside = |list: &[(Range<u64>, String)], span: &Range<u64>| {
        let within = list.iter().filter(|(at, _)| span.start <= at.start && at.start < span.end);
        within.map(|(at, text)| (at.start, text.clone())).collect()
    };
    let change = |span: Range<u64>| CodeChange {
        at: span.start,
        symbol: symbols.and_then(|symbols| symbols.locate(span.start)).map(|found| found.to_string()),
        a: inside(&before, &span),
        b: inside(&after, &span),
    };
    merged.into_iter().map(change).collect()
}

/// Decodes a page from its start, or from the first symbol in it that lies before the first byte of interest.
fn decode(
    page: CodePage,
    bytes: &[u8],
    ranges: &[Range<u16>],
    symbols: Option<&Symbols>,
) -> Vec<(Range<u64>, String)> {
    let first = ranges.first().map_or(0, |range| u64::from(range.start));
    let symbol = symbols.and_then(|symbols| symbols.locate(page.linear + first));
    let start = symbol.map_or(0, |symbol| first.saturating_sub(symbol.offset));
    let mut decoder =
        Decoder::with_ip(page.bits, &bytes[start as usize..], page.linear + start, DecoderOptions::NONE);
    let mut formatter = FastFormatter::new();
    let mut found = Vec::new();
    let mut ranges = ranges.iter().map(|range| u64::from(range.start)..u64::from(range.end)).peekable();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let at = instruction.ip() - page.linear;
        let end = at + instruction.len() as u64;
        while ranges.next_if(|range| range.end <= at).is_some() {}
        let Some(range) = ranges.peek() else { break };
        if range.start < end {
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            text.push_str(&target(&instruction, symbols));
            found.push((instruction.ip()..instruction.next_ip(), text));
        }
    }
    found
}

/// Where a branch goes, by name.
fn target(instruction: &Instruction, symbols: Option<&Symbols>) -> String {
    let direct = matches!(
        instruction.flow_control(),
        FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
    );
    let located =
        symbols.filter(|_| direct).and_then(|symbols| symbols.locate(instruction.near_branch_target()));
    located.map_or_else(String::new, |symbol| format!(" <{symbol}>"))
}
