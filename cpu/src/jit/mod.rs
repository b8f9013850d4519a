//! The JIT: blocks that run often become host code, for an x86-64 host is nearly the guest's processor.
//!
//! A translation computes what the interpreter would, step by step: it holds the guest's registers in the host's,
//! its flags in the host's flags, and reaches memory through the TLB. Whatever is rare it hands to the interpreter's
//! functions, one instruction at a time. It is left where a block ends, or after an instruction that needs the run
//! loop, with all state where it belongs.

mod branch;
mod cross;
mod emit;
mod enter;
mod flags;
mod frame;
mod host;
mod interpret;
mod link;
mod memory;
mod mmx;
mod operate;
mod plan;
mod raw;
mod registers;
mod shift;
mod stack;
mod syscall;
mod system;
mod tags;
mod translate;
mod window;
mod x87;

use crate::block::{JitCounters, Left, Modes, Start, jump};
use crate::cpuid::CpuModel;
use crate::exec::Cx;
use emit::Code;
use enter::Routines;
use frame::{Entry, Reason, Site, unpack};
use host::HostCpu;
use link::{Destination, Exit};
use memory::CodeMemory;
pub(crate) use plan::Piece;
use plan::Target;
use std::collections::BTreeMap;
use tags::Tags;
use translate::{Place, Translator};
use window::Loop;

/// Room kept for one translation, bytes.
const LARGEST: usize = 64 << 10;
/// Steps run in one go at most, after which it is looked where it is.
const LOOK_EVERY: u64 = 1 << 17;

/// A translated block.
struct Translation {
    start: Start,
    /// Flags at its start are of no use to it.
    ignores_flags: bool,
    /// Offset in code memory.
    code: u32,
    /// Blocks of a loop besides the first.
    others: Vec<u32>,
    /// Links that lead here.
    incoming: Vec<u32>,
    /// Its own: the first, and how many.
    links: (u32, u32),
}

/// A way out whose translation has a place.
struct Placed {
    exit: Exit,
    /// Offset of the translation it is of.
    place: usize,
    /// The translation it leads to.
    to: Option<u32>,
}

/// All translations of a machine.
pub struct Jit {
    memory: CodeMemory,
    routines: Routines,
    routines_end: usize,
    host: HostCpu,
    translations: Vec<Option<Translation>>,
    free: Vec<u32>,
    /// Translations by block.
    by_block: Vec<Vec<u32>>,
    /// Translations by offset in code memory.
    by_code: BTreeMap<u32, u32>,
    sites: Vec<Site>,
    /// The first is none.
    links: Vec<Option<Placed>>,
    tags: Tags,
    last_loop: u32,
    look_every: u64,
    /// What it did.
    pub counters: JitCounters,
}

impl Jit {
    /// Whether this host can run translated code.
    pub const EXISTS: bool = true;

    /// Without translations yet.
    ///
    /// # Errors
    /// When the host refuses executable memory, or lacks instructions that are translated to themselves.
    pub fn new() -> std::io::Result<Self> {
        if !is_x86_feature_detected!("sse4.2") || !is_x86_feature_detected!("popcnt") {
            return Err(std::io::ErrorKind::Unsupported.into());
        }
        let mut memory = CodeMemory::new()?;
        let mut code = Code::default();
        let routines = enter::routines(&mut code);
        memory.append(&code.bytes);
        let host = HostCpu::fingerprint(&mut memory);
        let routines_end = memory.used();
        Ok(Self {
            host,
            memory,
            routines,
            routines_end,
            translations: Vec::new(),
            free: Vec::new(),
            by_block: Vec::new(),
            by_code: BTreeMap::new(),
            sites: Vec::new(),
            links: vec![None],
            tags: Tags::default(),
            last_loop: 0,
            look_every: LOOK_EVERY,
            counters: JitCounters::default(),
        })
    }

    /// Trusts the host in nothing the architecture leaves undefined, as if its fingerprint were the worst. Goes for what is
    /// translated from now on.
    pub fn distrust_host(&mut self) {
        self.host = HostCpu::WORST;
    }

    /// Looks where translated code is after so many steps, to find loops.
    pub fn look_every(&mut self, steps: u64) {
        self.look_every = steps.max(crate::block::BLOCK_INSNS as u64);
    }

    /// Bytes of host memory in use for code, and for what belongs to it (roughly).
    pub fn footprint(&self) -> (u64, u64) {
        let metadata = self.sites.capacity() * size_of::<Site>()
            + self.links.capacity() * size_of::<Option<Placed>>()
            + self.translations.capacity() * size_of::<Option<Translation>>();
        (self.memory.used() as u64, metadata as u64)
    }

    /// What was interpreted most from within translated code that is there: the instructions, and how often.
    pub fn interpreted(&self) -> Vec<(String, u64)> {
        let mut counts = BTreeMap::new();
        for site in &self.sites {
            *counts.entry(format!("{:?}", site.code)).or_insert(0) += site.count.get();
        }
        let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count != 0).collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Whether there is room for another translation.
    pub fn has_room(&self) -> bool {
        self.memory.has_room(LARGEST)
    }

    /// Whether there are numbers left for tags: a link must never be taken for one of another tag.
    pub fn has_tags(&self) -> bool {
        self.tags.left()
    }

    /// Drops all translations.
    pub fn clear(&mut self) {
        self.counters.flushes += u64::from(!self.by_code.is_empty());
        self.memory.truncate(self.routines_end);
        self.translations.clear();
        self.free.clear();
        self.by_block.clear();
        self.by_code.clear();
        self.sites.clear();
        self.links.truncate(1);
        self.tags.clear();
    }

    /// Whether the code at an offset is that of a loop.
    pub fn is_loop(&self, code: u32) -> bool {
        let translation = self.by_code.get(&code).and_then(|id| self.translations[*id as usize].as_ref());
        translation.is_some_and(|translation| translation.start.looping)
    }

    /// Offset of the translation of a block for a RIP.
    pub fn find(&self, block: u32, rip: u64, modes: Modes) -> u32 {
        let all = self.by_block.get(block as usize).map_or(&[][..], Vec::as_slice);
        let fits =
            |translation: &&Translation| translation.start.rip == rip && translation.start.modes == modes;
        let here = |translation: &&Translation| translation.start.block == block;
        // A loop came after what was translated first.
        let known = all.iter().rev().filter_map(|id| self.translations[*id as usize].as_ref());
        known.filter(here).find(fits).map_or(jump::UNTRANSLATED, |translation| translation.code)
    }

    /// Translates a block. The offset of the translation.
    pub fn translate(&mut self, start: Start, piece: Piece, model: &CpuModel) -> u32 {
        match self.find(start.block, start.rip, start.modes) {
            jump::UNTRANSLATED => self.translate_pieces(start, &[piece], Vec::new(), model),
            known => known,
        }
    }

    /// Translates a loop of several blocks: `others` are those besides the first. Links that led to the first block's own
    /// translation will lead to that of the loop.
    pub fn translate_loop(
        &mut self,
        start: Start,
        pieces: &[Piece],
        others: Vec<u32>,
        model: &CpuModel,
    ) -> u32 {
        let before = self.find(start.block, start.rip, start.modes);
        let code = self.translate_pieces(start, pieces, others, model);
        if code == jump::UNTRANSLATED {
            return before;
        }
        self.counters.loops += 1;
        if let Some(id) = self.by_code.get(&before)
            && let Some(old) = &mut self.translations[*id as usize]
        {
            let incoming = std::mem::take(&mut old.incoming);
            incoming.into_iter().for_each(|link| self.unlink(link));
        }
        code
    }

    fn translate_pieces(
        &mut self,
        start: Start,
        pieces: &[Piece],
        others: Vec<u32>,
        model: &CpuModel,
    ) -> u32 {
        let looping = start.looping.then(|| {
            self.last_loop = self.last_loop % (u32::MAX - 1) + 1;
            Loop(self.last_loop)
        });
        let began = std::time::Instant::now();
        let target = Target { model, modes: start.modes, host: self.host };
        let Some((insns, windows)) = plan::plan(pieces, looping, &target) else {
            return jump::UNTRANSLATED;
        };
        let place = self.memory.used();
        let (sites, links) = (self.sites.len() as u32, self.links.len() as u32);
        let at = Place { code: place, site: sites, link: links };
        let unit = Translator::new(&self.routines, self.host, &insns, windows, start.rip, at).translate();
        if !self.memory.has_room(unit.code.len()) {
            return jump::UNTRANSLATED;
        }
        self.memory.append(&unit.code);
        self.sites.extend(unit.sites);
        let own = (links, unit.links.len() as u32);
        self.links.extend(unit.links.into_iter().map(|exit| Some(Placed { exit, place, to: None })));
        let code = place as u32;
        let ignores_flags = unit.ignores_flags;
        self.add(Translation { start, others, ignores_flags, code, incoming: Vec::new(), links: own });
        self.counters.translated += 1;
        self.counters.instructions += u64::from(unit.count);
        self.counters.bytes += unit.code.len() as u64;
        self.counters.nanoseconds += began.elapsed().as_nanos() as u64;
        code
    }

    fn add(&mut self, translation: Translation) {
        let (block, code) = (translation.start.block, translation.code);
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.translations.push(None);
                self.translations.len() as u32 - 1
            }
        };
        for block in translation.others.iter().copied().chain([block]) {
            let block = block as usize;
            if self.by_block.len() <= block {
                self.by_block.resize_with(block + 1, Vec::new);
            }
            self.by_block[block].push(id);
        }
        self.translations[id as usize] = Some(translation);
        self.by_code.insert(code, id);
    }

    /// Drops the translations that a block is in: the blocks they began with. Code memory is reused when all is dropped.
    pub fn remove(&mut self, block: u32) -> Vec<u32> {
        let all = self.by_block.get_mut(block as usize).map(std::mem::take);
        let mut heads = Vec::new();
        for id in all.unwrap_or_default() {
            let Some(translation) = self.translations[id as usize].take() else { continue };
            self.free.push(id);
            heads.push(translation.start.block);
            for block in translation.others.iter().copied().chain([translation.start.block]) {
                self.by_block[block as usize].retain(|other| *other != id);
            }
            self.by_code.remove(&translation.code);
            translation.incoming.iter().for_each(|link| self.unlink(*link));
            let (first, count) = translation.links;
            for number in first..first + count {
                let Some(to) = self.links[number as usize].take().and_then(|placed| placed.to) else {
                    continue;
                };
                self.forget_incoming(to, number);
            }
        }
        heads
    }

    /// Has a link lead to the translation at offset `code` that was found for `rip` under `tag`. A guess that was wrong is given
    /// up.
    pub fn link(&mut self, number: u32, code: u32, rip: u64, tag: u64) {
        let tag_id = self.tags.number(tag);
        let Some(id) = self.by_code.get(&code).copied() else { return };
        let Some(Some(placed)) = self.links.get_mut(number as usize) else { return };
        if let Some(to) = placed.to {
            if let Exit::Guess(guess) = &placed.exit {
                guess.give_up(&mut self.memory, placed.place);
                placed.to = None;
                self.forget_incoming(to, number);
            }
            return;
        }
        let Some(target) = &mut self.translations[id as usize] else { return };
        placed.to = Some(id);
        target.incoming.push(number);
        let (ignores_flags, crosses) = (target.ignores_flags, target.start.crosses);
        let to = Destination { code, rip, tag_id, ignores_flags, crosses };
        placed.exit.connect(&mut self.memory, placed.place, &to);
    }

    fn unlink(&mut self, number: u32) {
        let Some(Some(placed)) = self.links.get_mut(number as usize) else { return };
        placed.to = None;
        placed.exit.disconnect(&mut self.memory, placed.place);
    }

    /// Link `number` leads no more to translation `to`.
    fn forget_incoming(&mut self, to: u32, number: u32) {
        if let Some(target) = &mut self.translations[to as usize] {
            target.incoming.retain(|link| *link != number);
        }
    }

    /// Runs translated code from offset `code` on for at most `room` steps.
    pub fn run(&mut self, cx: &mut Cx, code: u32, room: u64, jumps: *const u8) -> Left {
        let base = self.memory.base();
        let mut entry = Entry {
            vcpu: &raw mut *cx.cpu,
            jumps,
            code_base: base,
            cx: (&raw mut *cx).cast(),
            sites: &raw const self.sites,
            longest: self.look_every,
            ..Entry::EMPTY
        };
        entry.set_out(cx, &mut self.tags, room);
        entry.tags = &raw mut self.tags;
        enter::enter(base + self.routines.enter as u64, &mut entry, base + u64::from(code));
        if std::mem::take(&mut entry.x87_stored) != 0 {
            x87::take(&mut cx.cpu.x87, &entry.x87);
        }
        follow_level(cx);
        self.counters.entered += 1;
        self.counters.crossed += entry.crossed;
        self.counters.interpreted += entry.interpreted;
        if let Some(panic) = entry.panic.take() {
            std::panic::resume_unwind(panic);
        }
        let mut left = Left { tag: cx.code_tag(), looked: entry.looked, link: None, spent: false };
        if entry.reason == Reason::Continue as u32 {
            let done = entry.done();
            entry.run += done;
            cx.cpu.rip = entry.rip;
            unpack(entry.flags, &mut cx.cpu.flags);
            cx.cpu.timing.commit(done);
            left.link = (entry.link != 0).then_some((entry.link, entry.rip));
            left.spent = entry.link == 0 && entry.budget < 0;
        }
        self.counters.run += entry.run;
        left
    }
}

/// After translated code changed the privilege level on its own.
fn follow_level(cx: &mut Cx) {
    if cx.cpu.context_stale {
        cx.select_context();
    }
}
