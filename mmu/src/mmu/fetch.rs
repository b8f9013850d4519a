//! Where instructions are fetched from, and when code has to be looked up anew.
//!
//! Kernels map their code by the same tables in every address space. Contexts whose root entry for it is the same
//! share a code space, so that code found in one process is found in all of them: a code space has a context id for
//! the tables below that entry to name, but translates no data.

use super::{ExecPage, Mmu, Place};
use crate::executed::Executed;
use crate::map::Backing;
use crate::paging::{ACCESSED, Access, AddressSpace, PRESENT, PageFault, PagingMode, Used};
use crate::tlb::{CONTEXTS, Claim, ContextId, ContextKey, bits};

/// log2 of the linear range behind a root entry.
const ROOT_SHIFT: u8 = 39;

/// Whose code a context's is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Home {
    /// Its own, until a fetch tells.
    #[default]
    Unknown,
    /// Its own: it fetched from behind different root entries.
    Own,
    /// That of a code space, from the range that begins at `base` on.
    Shared { base: u64, space: ContextId },
}

/// What was fetched from where, per context.
pub(super) struct Fetches {
    homes: [Home; CONTEXTS],
    /// See [`Mmu::exec_epoch`].
    epochs: [u64; CONTEXTS],
    /// Since the epoch began.
    executed: Box<[Executed; CONTEXTS]>,
}

impl Default for Fetches {
    fn default() -> Self {
        let executed = Box::new([Executed::NONE; CONTEXTS]);
        Self { homes: [Home::Unknown; CONTEXTS], epochs: [1; CONTEXTS], executed }
    }
}

impl Mmu {
    /// Code reached through any of `contexts` has to be looked up anew.
    pub(super) fn exec_changed(&mut self, contexts: u64) {
        if contexts == 0 {
            return;
        }
        for context in bits(contexts) {
            self.fetches.epochs[context] += 1;
            self.fetches.executed[context] = Executed::NONE;
        }
        self.disturbed = true;
    }

    /// Those of `contexts` in which instructions may have been fetched from the `1 << shift` bytes from `base` on.
    pub(super) fn executing(&self, contexts: u64, base: u64, shift: u8) -> u64 {
        bits(contexts)
            .filter(|context| self.fetches.executed[*context].any_in(base, shift))
            .fold(0, |found, context| found | 1 << context)
    }

    /// Root entries of `contexts` for the `1 << shift` bytes from `base` on may have changed.
    pub(super) fn leave_code_spaces(&mut self, contexts: u64, base: u64, shift: u8) {
        if shift < ROOT_SHIFT {
            return;
        }
        let inside = |at: u64| shift > ROOT_SHIFT || at == base;
        for context in bits(contexts) {
            let home = &mut self.fetches.homes[context];
            match *home {
                Home::Shared { base, .. } if !inside(base) => {}
                Home::Shared { .. } => {
                    *home = Home::Unknown;
                    self.disturbed = true;
                }
                _ => *home = Home::Unknown,
            }
        }
    }

    /// The context whose code is found in `context`.
    #[inline(always)]
    pub fn code_space(&self, context: ContextId) -> ContextId {
        match self.fetches.homes[usize::from(context.0) % CONTEXTS] {
            Home::Shared { space, .. } => space,
            _ => context,
        }
    }

    /// Changes when a translation that instructions were fetched through in a code space may have changed.
    #[inline(always)]
    pub fn exec_epoch(&self, space: ContextId) -> u64 {
        self.fetches.epochs[usize::from(space.0) % CONTEXTS]
    }

    /// The frame instructions at `linear` are fetched from.
    ///
    /// # Errors
    /// The page fault the fetch causes.
    pub fn exec_page(&mut self, context: ContextId, linear: u64) -> Result<ExecPage, PageFault> {
        self.find_home(context, linear);
        let space = self.code_space(context);
        let place = match self.tlb.exec(space, linear & !0xFFF) {
            Some(frame) => Place::Frame(frame),
            None if space == context => self.place(context, linear, Access::Execute)?,
            None => self.place_shared(context, space, linear)?,
        };
        // The walk may have changed whose code it is.
        let space = self.code_space(context);
        self.fetches.executed[usize::from(space.0) % CONTEXTS].note(linear);
        Ok(match place {
            Place::Frame(frame) => ExecPage::Frame(frame),
            Place::Device(gpa) => ExecPage::Device(gpa),
            Place::Open => ExecPage::Device(!0),
        })
    }

    /// Decides whose code the context's is, now that it fetches from `linear`.
    fn find_home(&mut self, context: ContextId, linear: u64) {
        let range = linear >> ROOT_SHIFT << ROOT_SHIFT;
        match self.fetches.homes[usize::from(context.0) % CONTEXTS] {
            Home::Own => {}
            Home::Shared { base, .. } if base == range => {}
            Home::Shared { .. } => {
                self.fetches.homes[usize::from(context.0) % CONTEXTS] = Home::Own;
                self.disturbed = true;
            }
            Home::Unknown => {
                if let Some(space) = self.join_code_space(context, linear) {
                    let home = Home::Shared { base: range, space };
                    self.fetches.homes[usize::from(context.0) % CONTEXTS] = home;
                }
            }
        }
    }

    /// The code space for what `context` maps behind the root entry for `linear`. `None` if that is not for sharing,
    /// or not yet.
    fn join_code_space(&mut self, context: ContextId, linear: u64) -> Option<ContextId> {
        let key = self.tlb.key(context).copied().filter(|key| !key.rights.user)?;
        if key.space.mode != PagingMode::Level4 {
            return None;
        }
        let entry = key.space.root + (linear >> ROOT_SHIFT & 0x1FF) * 8;
        let (read, write) = self.maps[usize::from(key.view & 1)].lookup(entry & self.a20_mask);
        if read != write || !matches!(read, Backing::Frames(_)) {
            return None;
        }
        let value = self.read_entry(key.view, entry, 8);
        // Without the accessed flag a change would go unnoticed.
        if value & (PRESENT | ACCESSED) != PRESENT | ACCESSED {
            return None;
        }
        self.mark_table(&key, context, linear, &Used { entry, value, shift: ROOT_SHIFT });
        let range = linear >> ROOT_SHIFT;
        let shared = AddressSpace { root: value & !ACCESSED, pdptes: [range, 0, 0, 0], ..key.space };
        let (space, claim) =
            self.tlb.code_space(&ContextKey { space: shared, rights: Default::default(), ..key });
        if claim == Claim::Evicted {
            self.fetches.homes.iter_mut().for_each(|home| {
                if matches!(home, Home::Shared { space: other, .. } if *other == space) {
                    *home = Home::Unknown;
                }
            });
            self.exec_changed(space.bit());
        }
        Some(space)
    }

    /// As [`Self::place`] for a fetch, but noted for a code space that `context` shares.
    fn place_shared(
        &mut self,
        context: ContextId,
        space: ContextId,
        linear: u64,
    ) -> Result<Place, PageFault> {
        let key = self.key(context);
        let walk = self.translate(&key, context, linear, None, Access::Execute)?;
        for used in &walk.used[1..walk.levels] {
            self.mark_table(&key, space, linear, used);
        }
        let gpa = walk.page & self.a20_mask;
        Ok(match self.maps[usize::from(key.view & 1)].lookup(gpa).0 {
            Backing::Frames(frame) => {
                if self.code_space(context) == space {
                    self.tlb.fill_exec(space, linear & !0xFFF, frame);
                }
                Place::Frame(frame)
            }
            Backing::Device => Place::Device(gpa | linear & 0xFFF),
            Backing::Open => Place::Open,
        })
    }
}
