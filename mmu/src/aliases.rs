//! Where a frame may be writable: the linear pages and contexts that hold a write permission to it.

use crate::tlb::Tlb;

#[derive(Clone, Copy, Default)]
struct Alias {
    page: u64,
    contexts: u64,
}

/// A superset of the live write permissions to one frame, bounded: a third linear page evicts the oldest.
#[derive(Clone, Copy, Default)]
pub(crate) struct Aliases([Alias; 2]);

impl Aliases {
    pub fn add(&mut self, page: u64, context: u64, tlb: &mut Tlb) {
        if let Some(known) = self.0.iter_mut().find(|alias| alias.page == page && alias.contexts != 0) {
            known.contexts |= context;
            return;
        }
        let [first, second] = self.0;
        if second.contexts != 0 {
            tlb.drop_write(second.contexts, second.page);
        }
        self.0 = [Alias { page, contexts: context }, first];
    }

    /// Takes every write permission to the frame away.
    pub fn revoke(&mut self, tlb: &mut Tlb) {
        for alias in self.0 {
            tlb.drop_write(alias.contexts, alias.page);
        }
        *self = Self::default();
    }
}
