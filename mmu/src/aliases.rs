//! Which translations lead to a frame: the linear pages and contexts that may hold a write permission to it and, while
//! the frame is shared with a fork or a frozen state, any permission.

use crate::tlb::Tlb;

#[derive(Clone, Copy, Default)]
struct Alias {
    page: u64,
    contexts: u64,
}

/// What of a translation goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revoke {
    /// The permission to write.
    Write,
    /// All of it: the frame has another address, or has to be found when it gets one.
    Translation,
}

/// A superset of those translations of one frame, bounded: a third linear page evicts the oldest.
#[derive(Clone, Copy, Default)]
pub(crate) struct Aliases([Alias; 2]);

impl Aliases {
    /// Notes a translation; `evict` is what becomes of one there is no room for.
    pub fn add(&mut self, page: u64, context: u64, tlb: &mut Tlb, evict: Revoke) {
        if let Some(known) = self.0.iter_mut().find(|alias| alias.page == page && alias.contexts != 0) {
            known.contexts |= context;
            return;
        }
        let [first, second] = self.0;
        second.revoke(tlb, evict);
        self.0 = [Alias { page, contexts: context }, first];
    }

    /// Takes permissions to the frame away, all that were noted.
    pub fn revoke(&mut self, tlb: &mut Tlb, what: Revoke) {
        self.0.iter().for_each(|alias| alias.revoke(tlb, what));
        *self = Self::default();
    }
}

impl Alias {
    fn revoke(&self, tlb: &mut Tlb, what: Revoke) {
        match what {
            _ if self.contexts == 0 => {}
            Revoke::Write => tlb.drop_write(self.contexts, self.page),
            Revoke::Translation => tlb.drop_page(self.contexts, self.page),
        }
    }
}
