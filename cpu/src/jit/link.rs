//! Ways out of translations to others, patched once it is known where they lead.

use super::memory::CodeMemory;

/// What a way out is to lead to.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    /// Offset of the translation.
    pub code: u32,
    pub rip: u64,
    /// Names the tag it was found under.
    pub tag_id: u32,
    /// Flags at its start are of no use to it.
    pub ignores_flags: bool,
    /// What it is of depends on how the next page is mapped, too.
    pub crosses: bool,
}

/// A way out. Offsets are those of the translation it is of.
pub(super) enum Exit {
    Link(Link),
    Guess(Guess),
}

impl Exit {
    /// Has it lead to a translation; `place` is the offset of the one it is of.
    pub fn connect(&self, memory: &mut CodeMemory, place: usize, to: &Destination) {
        match self {
            Self::Link(link) => link.connect(memory, place, to),
            Self::Guess(guess) => guess.connect(memory, place, to),
        }
    }

    /// Has it lead back to the run loop, as at first.
    pub fn disconnect(&self, memory: &mut CodeMemory, place: usize) {
        match self {
            Self::Link(link) => link.disconnect(memory, place),
            Self::Guess(guess) => guess.disconnect(memory, place),
        }
    }
}

/// A way out to code that may be translated later: what is patched then.
pub(super) struct Link {
    pub target: u64,
    /// The displacement of the jump to the target.
    pub jump: usize,
    /// Of a target in another page: where the tag is compared, and the displacement of the jump if it is another one.
    pub guard: Option<(usize, usize)>,
    /// Where both jumps lead until then: back to the run loop.
    pub unlinked: usize,
    /// Looks the target up: for a jump under another tag, once there is a link.
    pub look_up: usize,
    /// If flags are not saved before the jump: where they are, and the displacement of the jump to the target after
    /// that.
    pub saves: Option<(usize, usize)>,
}

impl Link {
    fn connect(&self, memory: &mut CodeMemory, place: usize, to: &Destination) {
        if let Some((tag, other)) = self.guard {
            memory.patch(place + tag, to.tag_id);
            patch(memory, place + other, place + self.look_up);
        } else if to.crosses {
            return patch(memory, place + self.jump, place + self.look_up);
        }
        match self.saves {
            Some((saving, jump)) if !to.ignores_flags => {
                patch(memory, place + jump, to.code as usize);
                patch(memory, place + self.jump, place + saving);
            }
            _ => patch(memory, place + self.jump, to.code as usize),
        }
    }

    fn disconnect(&self, memory: &mut CodeMemory, place: usize) {
        patch(memory, place + self.jump, place + self.unlinked);
        if let Some((tag, other)) = self.guard {
            memory.patch(place + tag, 0);
            patch(memory, place + other, place + self.unlinked);
        }
    }
}

/// An indirect branch that is believed to lead where it led the first time. No tag has number 0, so while that is what is
/// compared nothing is believed.
pub(super) struct Guess {
    /// Where the tag is compared, and the displacement of the jump if it is another one.
    pub tag: (usize, usize),
    /// Where the RIP is that is compared, and the displacement of the jump if it is another one.
    pub rip: (usize, usize),
    /// The displacement of the jump to the target.
    pub jump: usize,
    /// Where branches lead until the first has been seen: back to the run loop.
    pub unknown: usize,
    /// Looks the target up.
    pub look_up: usize,
}

impl Guess {
    fn connect(&self, memory: &mut CodeMemory, place: usize, to: &Destination) {
        memory.patch(place + self.tag.0, to.tag_id);
        memory.patch(place + self.rip.0, to.rip as u32);
        memory.patch(place + self.rip.0 + 4, (to.rip >> 32) as u32);
        patch(memory, place + self.tag.1, place + self.look_up);
        patch(memory, place + self.rip.1, place + self.unknown);
        patch(memory, place + self.jump, to.code as usize);
    }

    fn disconnect(&self, memory: &mut CodeMemory, place: usize) {
        self.believe_nothing(memory, place, self.unknown);
    }

    /// Has the target be looked up from now on.
    pub fn give_up(&self, memory: &mut CodeMemory, place: usize) {
        self.believe_nothing(memory, place, self.look_up);
    }

    /// Goes on at offset `other` whatever the target is.
    fn believe_nothing(&self, memory: &mut CodeMemory, place: usize, other: usize) {
        memory.patch(place + self.tag.0, 0);
        patch(memory, place + self.tag.1, place + other);
        patch(memory, place + self.jump, place + self.unknown);
    }
}

/// Has the displacement at an offset lead to another offset.
fn patch(memory: &mut CodeMemory, at: usize, target: usize) {
    memory.patch(at, (target as i64 - (at as i64 + 4)) as u32);
}
