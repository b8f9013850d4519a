//! Decoded code: basic blocks keyed by (frame, offset, code size), found by linear address through a jump cache.
//! Derived from memory, so it may be dropped at any moment.

use crate::decode::{Decoded, MAX_LENGTH, decode};
use crate::exec::{Cx, Fault, Insn};
use crate::state::{CodeSize, Raised, seg};
use amber_mmu::{ExecPage, FrameId, PAGE, Smc};

/// Instructions in a block at most.
const BLOCK_INSNS: usize = 64;
/// Blocks kept before all are dropped.
const MAX_BLOCKS: usize = 1 << 18;
const JUMPS: usize = 1 << 13;

/// A run of instructions in one page that ends at a branch.
pub(crate) struct Block {
    pub insns: Box<[Insn]>,
    /// Length in bytes.
    pub bytes: u16,
    offset: u16,
    size: CodeSize,
    frame: FrameId,
    /// 64-byte granules its bytes lie in.
    granules: u64,
    /// Changes when the slot is given to another block.
    serial: u32,
}

#[derive(Clone, Copy)]
struct Jump {
    linear: u64,
    /// Execution epoch, context and code size the entry is valid for.
    tag: u64,
    block: u32,
    serial: u32,
}

const NO_JUMP: Jump = Jump { linear: 0, tag: 0, block: 0, serial: 0 };

/// Where the next instructions come from.
pub(crate) enum Found {
    /// A cached block.
    Cached(usize),
    /// Instructions that cannot be cached: they cross a page or do not lie in memory.
    Loose(Block),
}

/// All decoded code of a machine, shared by its processors.
pub struct CodeCache {
    blocks: Vec<Block>,
    free: Vec<u32>,
    /// Per frame: (offset << 2 | code size, block), sorted.
    pages: Vec<Vec<(u16, u32)>>,
    jumps: Box<[Jump; JUMPS]>,
    /// Instructions decoded so far.
    pub decoded: u64,
    /// Blocks made so far.
    pub built: u64,
    /// Look-ups that missed the jump cache.
    pub missed: u64,
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
            blocks: Vec::new(),
            free: Vec::new(),
            pages: Vec::new(),
            jumps: jumps.try_into().unwrap_or_else(|_| unreachable!("the vector has JUMPS elements")),
            decoded: 0,
            built: 0,
            missed: 0,
        }
    }

    /// Drops all decoded code. The guest cannot tell.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.free.clear();
        self.pages.clear();
        self.jumps.fill(NO_JUMP);
    }

    #[inline(always)]
    pub(crate) fn block(&self, id: usize) -> &Block {
        &self.blocks[id]
    }

    #[inline(always)]
    fn slot(linear: u64) -> usize {
        (linear ^ linear >> 13) as usize % JUMPS
    }

    #[inline(always)]
    fn tag(cx: &mut Cx) -> u64 {
        let context = cx.active_context().index();
        cx.mmu.exec_epoch() << 8 | context << 2 | cx.cpu.code_size as u64
    }

    /// The block at the processor's RIP.
    #[inline(always)]
    pub(crate) fn find(&mut self, cx: &mut Cx) -> Result<Found, Fault> {
        let linear = cx.cpu.linear_rip();
        let jump = self.jumps[Self::slot(linear)];
        if jump.linear == linear
            && jump.tag == Self::tag(cx)
            && self.blocks[jump.block as usize].serial == jump.serial
        {
            let id = jump.block as usize;
            if cx.cpu.code_size == CodeSize::Bits64 || cx.in_code_limit(self.blocks[id].bytes) {
                return Ok(Found::Cached(id));
            }
        }
        self.find_slow(cx, linear)
    }

    #[inline(never)]
    fn find_slow(&mut self, cx: &mut Cx, linear: u64) -> Result<Found, Fault> {
        self.missed += 1;
        cx.check_fetch()?;
        let context = cx.active_context();
        let page = cx.mmu.exec_page(context, linear).map_err(|fault| cx.fetch_fault(fault.code, linear))?;
        let ExecPage::Frame(frame) = page else { return self.loose(cx, linear) };
        let key = ((linear & 0xFFF) as u16) << 2 | cx.cpu.code_size as u16;
        let id = match self.lookup(frame, key) {
            Some(id) => id,
            None => match self.build(cx, frame, linear) {
                Some(id) => id,
                None => return self.loose(cx, linear),
            },
        };
        if cx.cpu.code_size != CodeSize::Bits64 && !cx.in_code_limit(self.blocks[id].bytes) {
            return self.loose(cx, linear);
        }
        let tag = Self::tag(cx);
        self.jumps[Self::slot(linear)] =
            Jump { linear, tag, block: id as u32, serial: self.blocks[id].serial };
        Ok(Found::Cached(id))
    }

    fn lookup(&self, frame: FrameId, key: u16) -> Option<usize> {
        let page = self.pages.get(frame.0 as usize)?;
        let found = page.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(page[found].1 as usize)
    }

    /// Decodes a block. `None` if its first instruction crosses the page.
    fn build(&mut self, cx: &mut Cx, frame: FrameId, linear: u64) -> Option<usize> {
        let start = (linear & 0xFFF) as usize;
        let size = cx.cpu.code_size;
        let bytes = &cx.mmu.frame(frame)[start..];
        let mut insns = Vec::with_capacity(16);
        let mut at = 0;
        while insns.len() < BLOCK_INSNS && at < bytes.len() {
            match decode(&bytes[at..], at as u16, size) {
                Decoded::Insn(insn, ends) => {
                    at += usize::from(insn.len);
                    insns.push(insn);
                    if ends {
                        break;
                    }
                }
                Decoded::Truncated => break,
            }
        }
        if insns.is_empty() {
            return None;
        }
        self.decoded += insns.len() as u64;
        self.built += 1;
        let granules = (start / 64..=(start + at - 1) / 64).fold(0, |all, granule| all | 1u64 << granule);
        let block = Block {
            insns: insns.into_boxed_slice(),
            bytes: at as u16,
            offset: start as u16,
            size,
            frame,
            granules,
            serial: 0,
        };
        cx.mmu.mark_code(frame, granules);
        Some(self.insert(block))
    }

    fn insert(&mut self, mut block: Block) -> usize {
        if self.blocks.len() - self.free.len() >= MAX_BLOCKS {
            self.clear();
        }
        let (frame, key) = (block.frame.0 as usize, block.offset << 2 | block.size as u16);
        let id = match self.free.pop() {
            Some(id) => {
                block.serial = self.blocks[id as usize].serial;
                self.blocks[id as usize] = block;
                id
            }
            None => {
                block.serial = 1;
                self.blocks.push(block);
                self.blocks.len() as u32 - 1
            }
        };
        if self.pages.len() <= frame {
            self.pages.resize_with(frame + 1, Vec::new);
        }
        let page = &mut self.pages[frame];
        let position = page.partition_point(|(other, _)| *other < key);
        page.insert(position, (key, id));
        id as usize
    }

    /// One instruction that may cross into the next page or lie outside memory.
    fn loose(&mut self, cx: &mut Cx, linear: u64) -> Result<Found, Fault> {
        let mut bytes = [0; MAX_LENGTH];
        let first = (PAGE - (linear & 0xFFF)).min(MAX_LENGTH as u64) as usize;
        let allowed = cx.fetch_limit();
        cx.fetch(linear, &mut bytes[..first])?;
        let mut have = first.min(allowed);
        let insn = loop {
            match decode(&bytes[..have], 0, cx.cpu.code_size) {
                Decoded::Insn(insn, _) => break insn,
                Decoded::Truncated if have >= allowed => return Err(cx.gp(0)),
                Decoded::Truncated => {
                    let next = cx.wrap_linear(linear + have as u64);
                    cx.fetch(next, &mut bytes[have..])?;
                    have = MAX_LENGTH.min(allowed);
                }
            }
        };
        self.decoded += 1;
        Ok(Found::Loose(Block {
            bytes: u16::from(insn.len),
            insns: Box::new([insn]),
            offset: 0,
            size: cx.cpu.code_size,
            frame: FrameId(0),
            granules: 0,
            serial: 0,
        }))
    }

    /// Drops the blocks that stores have hit.
    pub(crate) fn invalidate(&mut self, cx: &mut Cx) {
        for Smc { frame, granules } in cx.mmu.take_smc() {
            let Some(page) = self.pages.get_mut(frame.0 as usize) else { continue };
            let mut left = 0;
            let (blocks, free) = (&mut self.blocks, &mut self.free);
            page.retain(|(_, id)| {
                let block = &mut blocks[*id as usize];
                let keep = block.granules & granules == 0;
                if keep {
                    left |= block.granules;
                } else {
                    block.serial += 1;
                    free.push(*id);
                }
                keep
            });
            cx.mmu.set_code(frame, left);
        }
    }
}

impl Cx<'_> {
    /// Bytes that may be fetched from RIP on before the CS limit.
    fn fetch_limit(&self) -> usize {
        if self.cpu.code_size == CodeSize::Bits64 {
            return MAX_LENGTH;
        }
        let limit = u64::from(self.cpu.system.seg[seg::CS].limit);
        (limit + 1).saturating_sub(self.cpu.rip).min(MAX_LENGTH as u64) as usize
    }

    #[inline(always)]
    fn in_code_limit(&self, bytes: u16) -> bool {
        self.cpu.rip + u64::from(bytes) <= u64::from(self.cpu.system.seg[seg::CS].limit) + 1
    }

    fn check_fetch(&mut self) -> Result<(), Fault> {
        let legal = match self.cpu.code_size {
            CodeSize::Bits64 => crate::exec::is_canonical(self.cpu.rip),
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
