//! Numbers for tags, short enough for translated code to compare.

/// Contexts with their modes that a tag can name.
const TAGS: usize = 1024;

/// The last tag of each context, and what names it.
pub(super) struct Tags {
    last: Box<[(u64, u32); TAGS]>,
    given: u32,
}

impl Default for Tags {
    fn default() -> Self {
        Self { last: Box::new([(0, 0); TAGS]), given: 0 }
    }
}

impl Tags {
    /// Whether there are numbers left for a run: a link must never be taken for one of another tag.
    pub fn left(&self) -> bool {
        self.given < u32::MAX - 8
    }

    /// A number for a tag that no other tag ever had, never 0.
    pub fn number(&mut self, tag: u64) -> u32 {
        let known = &mut self.last[tag as usize % TAGS];
        if known.0 != tag {
            self.given += 1;
            *known = (tag, self.given);
        }
        known.1
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.last.fill((0, 0));
        self.given = 0;
    }
}
