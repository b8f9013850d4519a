//! Watched memory: alignment checks, data breakpoints (SDM Vol. 3B, 17.2) and a debugger's watchpoints. While any
//! is armed, accesses go through TLB contexts that have no fast path.

use crate::event::AC;
use crate::exec::{Cx, Exec};
use crate::state::{Vcpu, cr};
use std::collections::BTreeSet;

/// A debugger's watchpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watchpoint {
    pub linear: u64,
    pub len: u64,
    pub read: bool,
    pub write: bool,
}

/// What a debugger wants to be told. Not part of the machine's state.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Linear addresses of instructions to stop before.
    pub breakpoints: BTreeSet<u64>,
    pub watchpoints: BTreeSet<Watchpoint>,
    /// The watchpoint last hit.
    pub hit: Option<Watchpoint>,
    /// Linear address and retired instructions of the breakpoint last reported: the run goes on from there.
    pub reported: Option<(u64, u64)>,
}

fn overlaps(a: u64, a_len: u64, b: u64, b_len: u64) -> bool {
    a < b.wrapping_add(b_len) && b < a.wrapping_add(a_len)
}

impl Vcpu {
    /// Kind (0 execute, 1 write, 3 read or write) and length of breakpoint `n`, if enabled.
    pub(crate) fn breakpoint(&self, n: usize) -> Option<(u64, u64)> {
        let dr7 = self.system.dr7;
        let control = dr7 >> (16 + 4 * n);
        let len = [1, 2, 8, 4][(control >> 2 & 3) as usize];
        (dr7 >> (2 * n) & 3 != 0).then_some((control & 3, len))
    }

    /// Whether an instruction breakpoint is armed.
    pub(crate) fn code_breakpoints(&self) -> bool {
        self.system.dr7 & 0xFF != 0 && (0..4).any(|n| matches!(self.breakpoint(n), Some((0, _))))
    }

    /// DR6 bits of the instruction breakpoints at `linear`.
    pub(crate) fn code_breakpoint_at(&self, linear: u64) -> u64 {
        (0..4)
            .filter(|n| matches!(self.breakpoint(*n), Some((0, _))) && self.system.dr[*n] == linear)
            .fold(0, |hit, n| hit | 1 << n)
    }

    /// Replaces what a debugger watches.
    pub fn set_watch(&mut self, watch: Watch) {
        let reported = self.watch.reported;
        self.watch = Watch { reported, ..watch };
        self.debug_changed();
    }

    /// What a debugger watches.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// A breakpoint at the instruction that is next is known of: a run goes on from there.
    pub fn pass_breakpoint(&mut self) {
        self.watch.reported = Some((self.linear_rip(), self.system.retired));
    }

    /// A breakpoint at the instruction that is next stops a run, though it may have done so before.
    pub fn meet_breakpoint(&mut self) {
        self.watch.reported = None;
    }

    /// Takes the watchpoint last hit.
    pub fn take_watch_hit(&mut self) -> Option<Watchpoint> {
        self.watch.hit.take()
    }

    pub(crate) fn watch_changed(&mut self) {
        // Alignment is checked at CPL 3 alone; kernels run with AC set around user copies (SMAP).
        let aligned = self.system.cpl == 3
            && self.system.cr0 & cr::CR0_AM != 0
            && self.flags.has(crate::flags::bit::AC);
        let data =
            self.system.dr7 & 0xFF != 0 && (0..4).any(|n| matches!(self.breakpoint(n), Some((1 | 3, _))));
        self.watched = aligned || data || !self.watch.watchpoints.is_empty();
    }
}

impl Cx<'_> {
    /// Checks the alignment of an access.
    pub(crate) fn check_alignment(&mut self, linear: u64, size: usize) -> Exec {
        if self.alignment_checked() && linear & (size as u64 - 1) != 0 && size.is_power_of_two() {
            return Err(self.raise_code(AC, 0));
        }
        Ok(())
    }

    /// Looks at an access in a watched context, which will not fault.
    pub(crate) fn watch_access(&mut self, linear: u64, size: usize, write: bool) {
        for n in 0..4 {
            let Some((kind, len)) = self.cpu.breakpoint(n) else { continue };
            let start = self.cpu.system.dr[n] & !(len - 1);
            let matches = kind == 3 || kind == 1 && write;
            if matches && overlaps(linear, size as u64, start, len) {
                self.cpu.system.pending.debug |= 1 << n;
                self.recheck();
            }
        }
        self.watch_debugger(linear, size, write);
    }

    /// I/O breakpoints (CR4.DE), after a port access.
    pub(crate) fn watch_io(&mut self, port: u16, size: u8) {
        if self.cpu.system.dr7 & 0xFF == 0 || self.cpu.system.cr4 & cr::CR4_DE == 0 {
            return;
        }
        for n in 0..4 {
            let Some((2, len)) = self.cpu.breakpoint(n) else { continue };
            if overlaps(u64::from(port), u64::from(size), self.cpu.system.dr[n] & !(len - 1), len) {
                self.cpu.system.pending.debug |= 1 << n;
                self.recheck();
            }
        }
    }

    fn watch_debugger(&mut self, linear: u64, size: usize, write: bool) {
        let hit = self.cpu.watch.watchpoints.iter().copied().find(|watch| {
            (if write { watch.write } else { watch.read })
                && overlaps(linear, size as u64, watch.linear, watch.len)
        });
        if hit.is_some() {
            self.cpu.watch.hit = hit;
            self.recheck();
        }
    }
}
