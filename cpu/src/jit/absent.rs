//! The JIT where the host is not the guest's architecture: there is none, and everything is interpreted.

use crate::block::{JitCounters, Left, Modes, Start};
use crate::cpuid::CpuModel;
use crate::exec::Cx;

/// A block to be translated.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub rip: u64,
    pub bytes: &'a [u8],
    pub count: usize,
}

/// No translations.
pub struct Jit {
    /// All zero.
    pub counters: JitCounters,
}

impl Jit {
    /// Whether this host can run translated code.
    pub const EXISTS: bool = false;

    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn new() -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    pub fn distrust_host(&mut self) {}
    pub fn footprint(&self) -> (u64, u64) {
        (0, 0)
    }
    pub fn interpreted(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
    pub fn has_room(&self) -> bool {
        true
    }
    pub fn has_tags(&self) -> bool {
        true
    }
    pub fn clear(&mut self) {}
    pub fn find(&self, _block: u32, _rip: u64, _modes: Modes) -> u32 {
        crate::block::jump::UNTRANSLATED
    }
    pub fn is_loop(&self, _code: u32) -> bool {
        false
    }
    pub fn translate(&mut self, _start: Start, _piece: Piece, _model: &CpuModel) -> u32 {
        crate::block::jump::UNTRANSLATED
    }
    pub fn translate_loop(
        &mut self,
        _start: Start,
        _pieces: &[Piece],
        _others: Vec<u32>,
        _model: &CpuModel,
    ) -> u32 {
        crate::block::jump::UNTRANSLATED
    }
    pub fn remove(&mut self, _block: u32) -> Vec<u32> {
        Vec::new()
    }
    pub fn look_every(&mut self, _steps: u64) {}
    pub fn link(&mut self, _number: u32, _code: u32, _rip: u64, _tag: u64) {}
    pub fn run(&mut self, cx: &mut Cx, _code: u32, _room: u64, _jumps: *const u8) -> Left {
        Left { tag: cx.code_tag(), looked: None, link: None, spent: false }
    }
}
