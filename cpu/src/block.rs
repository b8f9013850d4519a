//! Decoded code: basic blocks keyed by (frame, offset, code size), found by linear address through a jump cache.
//! Derived from memory, so it may be dropped at any moment.

use crate::decode::{Decoded, MAX_LENGTH, Pair, decode};
use crate::edges::Edges;
use crate::exec::{Cx, Fault, Insn, is_canonical};
use crate::interp::Look;
use crate::jit::{Jit, Piece};
use crate::record::{Progress, Recorder, Step};
use crate::semantics::fused::fuse;
use crate::state::{CodeSize, Raised, seg};
use amber_mmu::{ContextId, ExecPage, FrameId, GROUP, PAGE, Smc};
use std::ops::Range;

/// Instructions in a block at most.
pub(crate) const BLOCK_INSNS: usize = 64;
/// Instructions kept before all are dropped (32 bytes each); room given up by dropped blocks counts too.
const MAX_INSNS: usize = 1 << 20;
const JUMPS: usize = 1 << 15;
/// Times a block is interpreted before it is translated.
const HOT: u8 = 16;
/// Times a block is found running before a loop is looked for about it.
const OFTEN: u8 = 3;

/// A run of instructions in one page that ends at a branch.
#[derive(Clone, Copy)]
struct Block {
    span: Span,
    /// 64-byte granules its bytes lie in.
    granules: u64,
    /// Jump-cache slots that may name the block: the last two it was found by, and whether there were more.
    slots: [u16; 2],
    more_slots: bool,
    /// Frame and key the block is listed under.
    home: (u32, u16),
    /// The frame it ends in, if that is another one.
    tail: Option<u32>,
}

/// Marks a key as that of a block which begins in the page before and ends in this one.
const TAIL: u16 = 1 << 15;

impl Block {
    /// Notes a jump-cache slot that names the block now.
    fn found_by(&mut self, slot: u16) {
        if self.slots.contains(&slot) {
            return;
        }
        self.more_slots |= self.slots[1] != NO_SLOT;
        self.slots = [slot, self.slots[0]];
    }

    /// Whether it has code in `bytes` of a frame it is listed in under `key`.
    fn overlaps(&self, key: u16, bytes: &Range<usize>) -> bool {
        let start = usize::from(self.home.1 >> 2);
        let end = start + usize::from(self.span.bytes);
        let (start, end) = if key == TAIL { (0, end - PAGE as usize) } else { (start, end) };
        start < bytes.end && bytes.start < end
    }

    /// Removes the jump-cache entries that name block `id`.
    fn forget(&self, id: u32, jumps: &mut [Jump; JUMPS]) {
        let all = if self.more_slots { jumps.len() } else { 0 };
        let known = self.slots.iter().filter(|slot| **slot != NO_SLOT).map(|slot| usize::from(*slot));
        for slot in known.chain(0..all) {
            if jumps[slot].block == id {
                jumps[slot].tag = 0;
            }
        }
    }
}

/// Where the instructions of a block are.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Span {
    first: u32,
    pub count: u16,
    /// Length of the code in bytes.
    pub bytes: u16,
}

#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Jump {
    linear: u64,
    /// See [`Cx::code_tag`]; never 0 in use.
    tag: u64,
    span: Span,
    block: u32,
    /// Offset of the translation in code memory; [`jump::UNTRANSLATED`] if there is none.
    code: u32,
}

const NO_SPAN: Span = Span { first: 0, count: 0, bytes: 0 };
const NO_JUMP: Jump = Jump { linear: 0, tag: 0, span: NO_SPAN, block: 0, code: jump::UNTRANSLATED };

/// The jump cache as translated code sees it.
pub(crate) mod jump {
    use super::Jump;
    use std::mem::offset_of;

    pub const COUNT: usize = super::JUMPS;
    pub const SIZE: usize = size_of::<Jump>();
    pub const LINEAR: i32 = offset_of!(Jump, linear) as i32;
    pub const TAG: i32 = offset_of!(Jump, tag) as i32;
    pub const CODE: i32 = offset_of!(Jump, code) as i32;
    /// The slot of a linear address is `(linear ^ linear >> HASH_SHIFT ^ mix(tag)) % COUNT`.
    pub const HASH_SHIFT: u8 = 15;
    /// Where the routine for code that is not translated lies.
    pub const UNTRANSLATED: u32 = 0;

    /// Each context gets slots of its own, so that programs in turn keep theirs.
    pub fn mix(tag: u64) -> u64 {
        (tag & 0xFC) << 7
    }
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The reference.
    Interpreter,
    /// The same, but blocks of 64-bit code that run often become host code.
    Jit,
}

impl Engine {
    /// Whether this host can run translated code.
    pub const HAS_JIT: bool = Jit::EXISTS;
}

impl Default for Engine {
    fn default() -> Self {
        if Self::HAS_JIT { Self::Jit } else { Self::Interpreter }
    }
}

/// What the JIT did, for `--stats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct JitCounters {
    /// Instructions run as translated code.
    pub run: u64,
    /// Times translated code was entered.
    pub entered: u64,
    /// Looks between two instructions after which it went on without being left.
    pub crossed: u64,
    /// Instructions that translated code had interpreted.
    pub interpreted: u64,
    /// Blocks translated.
    pub translated: u64,
    /// Instructions in them.
    pub instructions: u64,
    /// Host code made, bytes.
    pub bytes: u64,
    /// Time spent on it, ns.
    pub nanoseconds: u64,
    /// Times all code was dropped for want of room.
    pub flushes: u64,
    /// Loops translated.
    pub loops: u64,
    /// Looks at where it is, once in a while, and how many of them found it at a loop.
    pub samples: u64,
    pub samples_in_loops: u64,
}

/// Which instructions a translation may leave to the host as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modes {
    /// Those on XMM registers.
    pub sse: bool,
    /// Those on x87 registers.
    pub x87: bool,
}

/// What a translation is of.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub block: u32,
    pub rip: u64,
    pub modes: Modes,
    /// Its one instruction ends in the next page: what is there depends on how that is mapped.
    pub crosses: bool,
    /// It is that of a loop, which ends where it begins.
    pub looping: bool,
}

/// How translated code was left.
pub(crate) struct Left {
    /// The tag it ran under last.
    pub tag: u64,
    /// What came of the look between two instructions, if that is why.
    pub looked: Option<Look>,
    /// A link that leads nowhere yet and the RIP it is to lead to, if that is why.
    pub link: Option<(u32, u64)>,
    /// Whether as many steps are done as it was to take.
    pub spent: bool,
}

/// What the jump cache knows of an address.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub span: Span,
    pub block: u32,
    /// Offset of the translation, see [`jump::UNTRANSLATED`].
    pub code: u32,
}
const NO_SLOT: u16 = u16::MAX;

/// Where the next instructions come from when the jump cache does not know.
pub(crate) enum Found {
    /// A cached block.
    Cached(Span),
    /// One instruction that cannot be cached: it crosses a page or does not lie in memory.
    Loose(Insn),
}

/// The blocks of a frame: (offset << 2 | code size, block), sorted.
type Page = Vec<(u16, u32)>;

/// Those of each frame. In tables of 512 frames, as a machine has code in few of its frames and a fork none at first.
#[derive(Default)]
struct Pages(Vec<Option<Box<[Page; GROUP]>>>);

impl Pages {
    fn get(&self, frame: u32) -> Option<&Page> {
        let table = self.0.get(frame as usize / GROUP)?.as_ref()?;
        Some(&table[frame as usize % GROUP])
    }

    fn get_mut(&mut self, frame: u32) -> &mut Page {
        let n = frame as usize / GROUP;
        if self.0.len() <= n {
            self.0.resize_with(n + 1, || None);
        }
        let table = self.0[n].get_or_insert_with(|| Box::new(std::array::from_fn(|_| Vec::new())));
        &mut table[frame as usize % GROUP]
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// All decoded code of a machine, shared by its processors.
pub struct CodeCache {
    insns: Vec<Insn>,
    blocks: Vec<Block>,
    free: Vec<u32>,
    pages: Pages,
    jumps: Box<[Jump; JUMPS]>,
    /// Instructions decoded so far.
    pub decoded: u64,
    /// Blocks made so far.
    pub built: u64,
    /// Look-ups that missed the jump cache.
    pub missed: u64,
    /// Coverage, while it is wanted. Stays when code is dropped.
    pub edges: Option<Edges>,
    engine: Engine,
    /// Translations to host code, once a block ran often.
    jit: Option<Box<Jit>>,
    /// How often the block in each slot of the jump cache was interpreted, or found running once it was translated.
    heat: Box<[u8; JUMPS]>,
    /// The loop that is being recorded.
    recorder: Option<Recorder>,
}

impl Default for CodeCache {
    fn default() -> Self {
        Self::new()
    }
}

impl CodeCache {
    /// An empty cache.
    pub fn new() -> Self {
        let jumps = vec![NO_JUMP; JUMPS].into_boxed_slice();
        Self {
            insns: Vec::new(),
            blocks: Vec::new(),
            free: Vec::new(),
            pages: Pages::default(),
            jumps: jumps.try_into().unwrap_or_else(|_| unreachable!("the vector has JUMPS elements")),
            decoded: 0,
            built: 0,
            missed: 0,
            edges: None,
            engine: Engine::default(),
            jit: None,
            heat: Box::new([0; JUMPS]),
            recorder: None,
        }
    }

    /// Chooses what executes instructions. The guest cannot tell.
    pub fn set_engine(&mut self, engine: Engine) {
        self.engine = if Engine::HAS_JIT { engine } else { Engine::Interpreter };
        if engine == Engine::Interpreter {
            self.drop_translations();
            self.jit = None;
        }
    }

    /// Has the JIT put everything right that the architecture leaves undefined, and use nothing that some hosts lack, whatever
    /// this host does: for tests.
    pub fn distrust_host(&mut self) {
        self.begin();
        if let Some(jit) = &mut self.jit {
            jit.distrust_host();
        }
        self.drop_translations();
    }

    /// Has the JIT look for loops after so many steps of translated code: for tests.
    pub fn look_every(&mut self, steps: u64) {
        self.begin();
        if let Some(jit) = &mut self.jit {
            jit.look_every(steps);
        }
    }

    /// Makes the JIT, if it is wanted and not there yet; without one everything is interpreted.
    fn begin(&mut self) {
        if self.jit.is_none() && self.engine == Engine::Jit {
            match Jit::new() {
                Ok(jit) => self.jit = Some(Box::new(jit)),
                Err(error) => {
                    tracing::warn!(target: "jit", "the host allows no translated code: {error}");
                    self.engine = Engine::Interpreter;
                }
            }
        }
    }

    /// Whether blocks that run often are translated.
    pub(crate) fn translates(&self) -> bool {
        self.engine == Engine::Jit
    }

    /// What the JIT did, and the bytes of its code and of what belongs to that.
    pub fn jit(&self) -> Option<(JitCounters, (u64, u64))> {
        self.jit.as_ref().map(|jit| (jit.counters, jit.footprint()))
    }

    /// See [`Jit::interpreted`].
    pub fn interpreted(&self) -> Vec<(String, u64)> {
        self.jit.as_ref().map_or_else(Vec::new, |jit| jit.interpreted())
    }

    /// Drops all decoded code. The guest cannot tell.
    pub fn clear(&mut self) {
        self.insns.clear();
        self.blocks.clear();
        self.free.clear();
        self.pages.clear();
        self.jumps.fill(NO_JUMP);
        self.recorder = None;
        if let Some(jit) = &mut self.jit {
            jit.clear();
        }
    }

    /// The instructions of a block.
    #[inline(always)]
    pub(crate) fn insns(&self, span: Span) -> &[Insn] {
        let first = span.first as usize;
        self.insns.get(first..first + usize::from(span.count)).unwrap_or(&[])
    }

    #[inline(always)]
    fn slot(linear: u64, tag: u64) -> usize {
        (linear ^ linear >> jump::HASH_SHIFT ^ jump::mix(tag)) as usize % JUMPS
    }

    /// The block at `linear`, if the jump cache knows it for `tag`.
    #[inline(always)]
    pub(crate) fn find(&self, linear: u64, tag: u64) -> Option<Known> {
        let jump = &self.jumps[Self::slot(linear, tag)];
        let known = Known { span: jump.span, block: jump.block, code: jump.code };
        (jump.linear == linear && jump.tag == tag).then_some(known)
    }

    /// The code at the processor's RIP.
    #[inline(never)]
    pub(crate) fn find_slow(&mut self, cx: &mut Cx) -> Result<Found, Fault> {
        self.missed += 1;
        let linear = cx.cpu.linear_rip();
        cx.check_fetch()?;
        let context = cx.active_context();
        let page = cx.mmu.exec_page(context, linear).map_err(|fault| cx.fetch_fault(fault.code, linear))?;
        if cx.mmu.disturbed() {
            // The flags that the walk set were in decoded code.
            self.invalidate(cx);
        }
        let ExecPage::Frame(frame) = page else { return self.loose(cx, linear) };
        let key = ((linear & 0xFFF) as u16) << 2 | cx.cpu.code_size as u16;
        let id = match self.lookup(frame, key) {
            // What the second page holds depends on how it is mapped now.
            Some(id) if self.blocks[id].tail.is_some() => return self.loose(cx, linear),
            Some(id) => id,
            None => match self.build(cx, frame, linear) {
                Some(id) => id,
                None => return self.loose(cx, linear),
            },
        };
        let span = self.blocks[id].span;
        if cx.cpu.code_size != CodeSize::Bits64 && !cx.in_code_limit(span.bytes) {
            return self.loose(cx, linear);
        }
        let tag = cx.code_tag();
        let slot = Self::slot(linear, tag);
        let code = self.translation_of(id as u32, linear, tag);
        self.jumps[slot] = Jump { linear, tag, span, block: id as u32, code };
        self.blocks[id].found_by(slot as u16);
        Ok(Found::Cached(span))
    }

    fn lookup(&self, frame: FrameId, key: u16) -> Option<usize> {
        let page = self.pages.get(frame.0)?;
        let found = page.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(page[found].1 as usize)
    }

    /// Decodes a block. `None` if its first instruction crosses the page.
    fn build(&mut self, cx: &mut Cx, frame: FrameId, linear: u64) -> Option<usize> {
        let start = (linear & 0xFFF) as usize;
        let size = cx.cpu.code_size;
        self.make_room(cx, BLOCK_INSNS);
        let bytes = &cx.mmu.frame(frame)[start..];
        let first = self.insns.len();
        let mut at = 0;
        let mut fusible = None;
        while self.insns.len() - first < BLOCK_INSNS && at < bytes.len() {
            match decode(&bytes[at..], at as u16, size, &cx.cpu.model) {
                Decoded::Insn(insn, ends, pair) => {
                    at += usize::from(insn.len);
                    let before = (self.insns.len() > first).then(|| self.insns.last_mut()).flatten();
                    if let (Some(before), Some(fused), Pair::Second) = (before, fusible, pair) {
                        fuse(before, fused, &insn);
                    }
                    fusible = match pair {
                        Pair::First(fused) => Some(fused),
                        _ => None,
                    };
                    self.insns.push(insn);
                    if ends {
                        break;
                    }
                }
                Decoded::Truncated => break,
            }
        }
        let count = self.insns.len() - first;
        if count == 0 {
            return None;
        }
        self.decoded += count as u64;
        self.built += 1;
        let granules = (start / 64..=(start + at - 1) / 64).fold(0, |all, granule| all | 1u64 << granule);
        let span = Span { first: first as u32, count: count as u16, bytes: at as u16 };
        cx.mmu.mark_code(frame, granules);
        let key = (start as u16) << 2 | size as u16;
        let home = (frame.0, key);
        Some(self.insert(Block { span, granules, slots: [NO_SLOT; 2], more_slots: false, home, tail: None }))
    }

    /// Drops all decoded code if there is no room for `count` more instructions.
    fn make_room(&mut self, cx: &mut Cx, count: usize) {
        if self.insns.len() + count > MAX_INSNS {
            self.clear();
            cx.mmu.drop_code_marks();
        }
    }

    fn insert(&mut self, block: Block) -> usize {
        let (frame, key) = block.home;
        let id = match self.free.pop() {
            Some(id) => {
                self.blocks[id as usize] = block;
                id
            }
            None => {
                self.blocks.push(block);
                self.blocks.len() as u32 - 1
            }
        };
        self.list(frame, key, id);
        id as usize
    }

    fn list(&mut self, frame: u32, key: u16, id: u32) {
        let page = self.pages.get_mut(frame);
        let position = page.partition_point(|(other, _)| *other < key);
        page.insert(position, (key, id));
    }

    /// Caches an instruction that begins at the end of one frame and ends at the start of another.
    fn insert_crossing(&mut self, cx: &mut Cx, insn: Insn, linear: u64, frames: [FrameId; 2]) -> usize {
        self.make_room(cx, 1);
        let span = Span { first: self.insns.len() as u32, count: 1, bytes: u16::from(insn.len) };
        self.insns.push(insn);
        let granules = 1 << 63;
        let home = (frames[0].0, ((linear & 0xFFF) as u16) << 2 | cx.cpu.code_size as u16);
        let id = self.insert(Block {
            span,
            granules,
            slots: [NO_SLOT; 2],
            more_slots: false,
            home,
            tail: Some(frames[1].0),
        });
        self.list(frames[1].0, TAIL, id as u32);
        cx.mmu.mark_code(frames[0], granules);
        cx.mmu.mark_code(frames[1], 1);
        id
    }

    /// One instruction that may cross into the next page or lie outside memory.
    fn loose(&mut self, cx: &mut Cx, linear: u64) -> Result<Found, Fault> {
        let mut bytes = [0; MAX_LENGTH];
        let first = (PAGE - (linear & 0xFFF)).min(MAX_LENGTH as u64) as usize;
        let allowed = cx.fetch_limit();
        cx.fetch(linear, &mut bytes[..first])?;
        let mut have = first.min(allowed);
        let insn = loop {
            match decode(&bytes[..have], 0, cx.cpu.code_size, &cx.cpu.model) {
                Decoded::Insn(insn, ..) => break insn,
                Decoded::Truncated if have >= allowed => return Err(cx.gp(0)),
                Decoded::Truncated => {
                    let next = cx.wrap_linear(linear.wrapping_add(have as u64));
                    if cx.cpu.long_mode() && !is_canonical(next) {
                        return Err(cx.gp(0));
                    }
                    cx.fetch(next, &mut bytes[have..])?;
                    have = MAX_LENGTH.min(allowed);
                }
            }
        };
        self.decoded += 1;
        if usize::from(insn.len) > first && cx.cpu.code_size == CodeSize::Bits64 {
            self.remember_crossing(cx, insn, linear);
        }
        Ok(Found::Loose(insn))
    }

    /// Puts a page-crossing instruction into the jump cache, which forgets it when either page's mapping changes.
    fn remember_crossing(&mut self, cx: &mut Cx, insn: Insn, linear: u64) {
        let context = cx.active_context();
        let second = cx.wrap_linear((linear | 0xFFF).wrapping_add(1));
        let frames = [cx.mmu.exec_page(context, linear), cx.mmu.exec_page(context, second)];
        let [Ok(ExecPage::Frame(head)), Ok(ExecPage::Frame(tail))] = frames else { return };
        let key = ((linear & 0xFFF) as u16) << 2 | cx.cpu.code_size as u16;
        // The frame may hold the head of another pairing: that one goes.
        if let Some(old) = self.lookup(head, key) {
            self.remove(old as u32);
        }
        let id = self.insert_crossing(cx, insn, linear, [head, tail]);
        let tag = cx.code_tag();
        let slot = Self::slot(linear, tag);
        let span = self.blocks[id].span;
        let code = self.translation_of(id as u32, linear, tag);
        self.jumps[slot] = Jump { linear, tag, span, block: id as u32, code };
        self.blocks[id].found_by(slot as u16);
    }

    /// Drops one block wherever it is listed.
    fn remove(&mut self, id: u32) {
        self.recorder = None;
        let heads = self.jit.as_mut().map_or_else(Vec::new, |jit| jit.remove(id));
        for head in heads.into_iter().filter(|head| *head != id) {
            self.blocks[head as usize].forget(head, &mut self.jumps);
        }
        let block = self.blocks[id as usize];
        block.forget(id, &mut self.jumps);
        let (home, key) = block.home;
        self.pages.get_mut(home).retain(|entry| *entry != (key, id));
        if let Some(tail) = block.tail {
            self.pages.get_mut(tail).retain(|entry| *entry != (TAIL, id));
        }
        self.free.push(id);
    }

    /// Drops the blocks that stores have hit.
    pub(crate) fn invalidate(&mut self, cx: &mut Cx) {
        for Smc { frame, bytes } in cx.mmu.take_smc() {
            let Some(page) = self.pages.get(frame.0) else {
                // The code was dropped and its marks were not.
                cx.mmu.set_code(frame, 0);
                continue;
            };
            let hit: Vec<u32> = page
                .iter()
                .filter(|(key, id)| self.blocks[*id as usize].overlaps(*key, &bytes))
                .map(|(_, id)| *id)
                .collect();
            if hit.is_empty() && !page.is_empty() {
                continue;
            }
            for id in hit {
                self.remove(id);
            }
            let page = self.pages.get_mut(frame.0);
            let left = page.iter().fold(0, |all, (key, id)| {
                all | if *key == TAIL { 1 } else { self.blocks[*id as usize].granules }
            });
            cx.mmu.set_code(frame, left);
        }
    }
}

/// Translations.
impl CodeCache {
    fn translation_of(&self, block: u32, linear: u64, tag: u64) -> u32 {
        self.jit.as_ref().map_or(jump::UNTRANSLATED, |jit| jit.find(block, linear, modes(tag)))
    }

    fn drop_translations(&mut self) {
        if let Some(jit) = &mut self.jit {
            jit.clear();
        }
        self.jumps.iter_mut().for_each(|jump| jump.code = jump::UNTRANSLATED);
    }

    /// Notes that a block at `linear` is about to be interpreted once more; translates it if that happens often. The
    /// offset of its translation.
    pub(crate) fn warm(&mut self, cx: &mut Cx, linear: u64, tag: u64, known: Known) -> u32 {
        let slot = Self::slot(linear, tag);
        self.heat[slot] += 1;
        if self.heat[slot] < HOT || cx.cpu.code_size != CodeSize::Bits64 {
            self.heat[slot] = self.heat[slot].min(HOT);
            return jump::UNTRANSLATED;
        }
        self.heat[slot] = 0;
        self.begin();
        if self.jit.as_ref().is_some_and(|jit| !jit.has_room()) {
            self.drop_translations();
        }
        let Some(jit) = &mut self.jit else { return jump::UNTRANSLATED };
        let block = &self.blocks[known.block as usize];
        let mut bytes = cx.mmu.frame(FrameId(block.home.0))[(linear & 0xFFF) as usize..].to_vec();
        if let Some(tail) = block.tail {
            bytes.extend_from_slice(&cx.mmu.frame(FrameId(tail))[..MAX_LENGTH]);
        }
        let (modes, crosses) = (modes(tag), block.tail.is_some());
        let start = Start { block: known.block, rip: linear, modes, crosses, looping: false };
        let piece = Piece { rip: linear, bytes: &bytes, count: usize::from(known.span.count) };
        let code = jit.translate(start, piece, &cx.cpu.model);
        self.jumps[slot].code = code;
        code
    }

    /// Runs translated code for at most `room` steps. The tag that code is looked up by where it was left, and what came
    /// of the look between two instructions that it was left after, if there was one.
    pub(crate) fn run_translated(
        &mut self,
        cx: &mut Cx,
        code: u32,
        tag: u64,
        room: u64,
    ) -> (u64, Option<Look>) {
        let Some(jit) = &mut self.jit else { return (tag, None) };
        if !jit.has_tags() {
            self.drop_translations();
            return (tag, None);
        }
        let jumps = self.jumps.as_ptr().cast();
        let Left { tag, looked, link, spent } = jit.run(cx, code, room, jumps);
        if let Some((link, target)) = link
            && let Some(known) = self.find(target, tag).filter(|known| known.code != jump::UNTRANSLATED)
            && let Some(jit) = &mut self.jit
        {
            jit.link(link, known.code, target, tag);
        }
        if spent {
            self.sample(cx.cpu.linear_rip(), tag);
        }
        (tag, looked)
    }

    /// Notes that translated code was found about to run the block at `linear`. If that happens often, the next turn of
    /// the loop it may be in is recorded.
    fn sample(&mut self, linear: u64, tag: u64) {
        let Some(known) = self.find(linear, tag) else { return };
        let Some(jit) = &mut self.jit else { return };
        jit.counters.samples += 1;
        if jit.is_loop(known.code) {
            jit.counters.samples_in_loops += 1;
            return;
        }
        let heat = &mut self.heat[Self::slot(linear, tag)];
        *heat += 1;
        if *heat >= OFTEN {
            *heat = 0;
            self.recorder = Some(Recorder::new(linear, tag));
        }
    }

    /// Whether the block at `linear`, which is to run next, has to be interpreted for the sake of a recording.
    pub(crate) fn records(&mut self, cx: &mut Cx, linear: u64, tag: u64, known: Known) -> bool {
        let Some(recorder) = &mut self.recorder else { return false };
        match recorder.note(linear, tag, known) {
            Progress::Goes => true,
            Progress::Closed(steps) => {
                self.recorder = None;
                self.translate_loop(cx, tag, &steps);
                false
            }
            Progress::Failed => {
                self.recorder = None;
                false
            }
        }
    }

    fn translate_loop(&mut self, cx: &mut Cx, tag: u64, steps: &[Step]) {
        let Some(jit) = self.jit.as_mut().filter(|jit| jit.has_room()) else { return };
        let Some(head) = steps.first() else { return };
        if steps.iter().any(|step| self.blocks[step.block as usize].tail.is_some()) {
            return;
        }
        let bytes: Vec<Vec<u8>> = steps
            .iter()
            .map(|step| {
                let frame = cx.mmu.frame(FrameId(self.blocks[step.block as usize].home.0));
                frame[(step.rip & 0xFFF) as usize..].to_vec()
            })
            .collect();
        let pieces: Vec<Piece> = steps
            .iter()
            .zip(&bytes)
            .map(|(step, bytes)| Piece { rip: step.rip, bytes, count: step.count })
            .collect();
        let mut others: Vec<u32> = steps[1..].iter().map(|step| step.block).collect();
        others.sort_unstable();
        others.dedup();
        others.retain(|block| *block != head.block);
        let start =
            Start { block: head.block, rip: head.rip, modes: modes(tag), crosses: false, looping: true };
        let code = jit.translate_loop(start, &pieces, others, &cx.cpu.model);
        self.blocks[head.block as usize].forget(head.block, &mut self.jumps);
        let slot = Self::slot(head.rip, tag);
        let jump = &mut self.jumps[slot];
        if jump.block == head.block && jump.linear == head.rip {
            (jump.tag, jump.code) = (tag, code);
        }
    }
}

/// The modes of translations for a tag.
fn modes(tag: u64) -> Modes {
    Modes { sse: tag >> 8 & 1 != 0, x87: tag >> 9 & 1 != 0 }
}

impl Cx<'_> {
    /// What a jump-cache entry is valid for: execution epoch, modes of translations, code space, code size.
    #[inline]
    pub(crate) fn code_tag(&mut self) -> u64 {
        let context = self.active_context();
        let modes = self.cpu.native_modes();
        self.cpu.tagged_modes = modes;
        self.tag_in(context)
    }

    /// The same in another context.
    #[inline]
    pub(crate) fn tag_in(&self, context: ContextId) -> u64 {
        let (modes, size) = (self.cpu.tagged_modes, self.cpu.code_size as u64);
        let space = self.mmu.code_space(context);
        self.mmu.exec_epoch(space) << 10 | modes << 8 | space.index() << 2 | size
    }

    /// Bytes that may be fetched from RIP on before the CS limit.
    fn fetch_limit(&self) -> usize {
        if self.cpu.code_size == CodeSize::Bits64 {
            return MAX_LENGTH;
        }
        let limit = u64::from(self.cpu.system.seg[seg::CS].limit);
        (limit + 1).saturating_sub(self.cpu.rip).min(MAX_LENGTH as u64) as usize
    }

    /// Whether code of that length at RIP lies within the CS limit.
    #[inline(always)]
    pub(crate) fn in_code_limit(&self, bytes: u16) -> bool {
        self.cpu.rip + u64::from(bytes) <= u64::from(self.cpu.system.seg[seg::CS].limit) + 1
    }

    fn check_fetch(&mut self) -> Result<(), Fault> {
        let legal = match self.cpu.code_size {
            CodeSize::Bits64 => is_canonical(self.cpu.rip),
            _ => self.cpu.rip <= u64::from(self.cpu.system.seg[seg::CS].limit),
        };
        if legal { Ok(()) } else { Err(self.gp(0)) }
    }

    fn fetch_fault(&mut self, code: u32, linear: u64) -> Fault {
        self.cpu.raised = Raised { vector: crate::event::PF, error: Some(code), address: linear };
        Fault
    }

    fn wrap_linear(&self, linear: u64) -> u64 {
        if self.cpu.long_mode() { linear } else { linear & 0xFFFF_FFFF }
    }

    /// Fetches bytes that lie in one page.
    fn fetch(&mut self, linear: u64, into: &mut [u8]) -> Result<(), Fault> {
        let context = self.active_context();
        match self.mmu.exec_page(context, linear) {
            Ok(ExecPage::Frame(frame)) => {
                let offset = (linear & 0xFFF) as usize;
                let len = into.len().min(PAGE as usize - offset);
                into[..len].copy_from_slice(&self.mmu.frame(frame)[offset..offset + len]);
                Ok(())
            }
            // Fetches from devices read as open bus.
            Ok(ExecPage::Device(_)) => {
                into.fill(0xFF);
                Ok(())
            }
            Err(fault) => Err(self.fetch_fault(fault.code, linear)),
        }
    }
}
