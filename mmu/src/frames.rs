//! The frames of one machine: which host frame holds each guest frame now. Tables of 512 frames are shared with
//! forks and frozen states and copied when they change, as the frames themselves are; so freezing and forking cost
//! nothing per byte.

use crate::pending::{Health, PageSource, Pending};
use crate::pool::{FrameId, FramesError, GROUP, HostFrame, PAGE, Pool};
use std::sync::Arc;

/// Generation of what is written to fresh memory, and of what is still to come.
pub const FIRST_EPOCH: u64 = 1;

/// Where 512 consecutive guest frames are, and when each was last written.
pub(crate) struct Group {
    pool: Arc<Pool>,
    frames: [HostFrame; GROUP],
    /// Epoch of the last write; 0 while the frame was never written.
    generations: [u64; GROUP],
    /// The latest of `generations`.
    newest: u64,
    /// Frames whose contents are still to come.
    pending: Option<Arc<Pending>>,
}

impl Group {
    fn fresh(pool: &Arc<Pool>) -> Option<Self> {
        let first = pool.take_group()?.0;
        let frames = std::array::from_fn(|i| HostFrame(first + i as u32));
        Some(Self { pool: Arc::clone(pool), frames, generations: [0; GROUP], newest: 0, pending: None })
    }

    /// The host frame, its contents having come.
    #[inline]
    fn host(&self, index: usize) -> HostFrame {
        let frame = self.frames[index];
        if let Some(pending) = &self.pending {
            pending.bring(index, frame);
        }
        frame
    }

    /// The same frames once more.
    fn share(&self) -> Self {
        if let Some(pending) = &self.pending {
            pending.bring_all(&self.frames);
        }
        self.frames.iter().for_each(|frame| self.pool.retain(*frame));
        Self {
            pool: Arc::clone(&self.pool),
            frames: self.frames,
            generations: self.generations,
            newest: self.newest,
            pending: None,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            pending.cancel();
        }
        self.pool.release(self.frames.iter().copied());
    }
}

/// Groups by index; `None` where frames were given back and nobody has them now.
type Groups = Vec<Option<Arc<Group>>>;

/// The group a frame is in. Frames that are asked for belong to a region that is there.
#[inline]
fn group_of(groups: &[Option<Arc<Group>>], frame: FrameId) -> &Arc<Group> {
    let group = groups[frame.0 as usize / GROUP].as_ref();
    group.unwrap_or_else(|| unreachable!("frame {} was given back", frame.0))
}

/// Guest frames as they were at one moment; they stay so while the machine goes on.
#[derive(Clone)]
pub struct FrozenFrames {
    groups: Arc<[Option<Arc<Group>>]>,
    epoch: u64,
    moment: Moment,
    health: Health,
}

/// Tells frozen states apart.
#[derive(Clone, Default)]
struct Moment(Arc<()>);

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl FrozenFrames {
    /// The bytes of a frame.
    pub fn bytes(&self, frame: FrameId) -> &[u8] {
        let group = group_of(&self.groups, frame);
        group.pool.bytes(group.host(frame.0 as usize % GROUP))
    }

    /// Generation of the last write to `frame` before the moment, `None` while it was never written.
    pub fn generation(&self, frame: FrameId) -> Option<u64> {
        let generation = group_of(&self.groups, frame).generations[frame.0 as usize % GROUP];
        (generation != 0).then_some(generation)
    }

    /// The latest generation among the 512 frames from `first` on, which starts a group.
    pub fn newest(&self, first: FrameId) -> u64 {
        group_of(&self.groups, first).newest
    }
}

/// What became of a frame that is to be written.
pub(crate) struct Owned {
    pub host: HostFrame,
    /// It has another address than before: translations to the old one are stale.
    pub moved: bool,
}

/// The frames.
pub(crate) struct Frames {
    pool: Arc<Pool>,
    groups: Groups,
    /// The epoch that writes belong to now.
    epoch: u64,
    /// The frozen state that `written` is relative to.
    base: Moment,
    /// Epoch up to which writes are not listed in `written`.
    base_epoch: u64,
    /// Frames written since.
    written: Vec<FrameId>,
    health: Health,
}

impl Frames {
    /// A pool with room for `frames` frames and no frame yet.
    pub fn new(frames: u32) -> Result<Self, FramesError> {
        let pool = Arc::new(Pool::new(frames)?);
        let (base, health) = (Moment::default(), Health::default());
        Ok(Self {
            pool,
            groups: Vec::new(),
            epoch: FIRST_EPOCH,
            base,
            base_epoch: 0,
            written: Vec::new(),
            health,
        })
    }

    /// Takes `count` consecutive zero frames, from a multiple of 512 on; `None` when the host has no more.
    pub fn allocate(&mut self, count: u32) -> Option<FrameId> {
        let wanted = (count as usize).div_ceil(GROUP);
        let first = self.room_for(wanted);
        let frame = u32::try_from((first + wanted) * GROUP).ok().map(|_| FrameId((first * GROUP) as u32))?;
        let fresh: Option<Groups> =
            (0..wanted).map(|_| Some(Some(Arc::new(Group::fresh(&self.pool)?)))).collect();
        let fresh = fresh?;
        self.groups.resize(self.groups.len().max(first + wanted), None);
        self.groups[first..first + wanted].clone_from_slice(&fresh);
        self.differ_in_groups();
        Some(frame)
    }

    /// The first of so many groups in a row that nobody has.
    fn room_for(&self, wanted: usize) -> usize {
        let mut first = 0;
        for (n, group) in self.groups.iter().enumerate() {
            if group.is_some() {
                first = n + 1;
            } else if n + 1 - first == wanted {
                break;
            }
        }
        first
    }

    /// Gives back what [`Self::allocate`] gave.
    pub fn release(&mut self, first: FrameId, count: u32) {
        let first = first.0 as usize / GROUP;
        self.groups[first..first + (count as usize).div_ceil(GROUP)].fill(None);
        self.differ_in_groups();
    }

    /// No list of written frames says how this one differs from any frozen state.
    fn differ_in_groups(&mut self) {
        self.base = Moment::default();
    }

    /// Has the contents of the 512 frames from `first` on (untouched since [`Self::allocate`]) come from `source`
    /// when they are first needed: frame i from its page `base + i`, for the bits set in `pages`.
    pub fn expect(
        &mut self,
        first: FrameId,
        source: Arc<dyn PageSource>,
        base: u64,
        pages: [u64; GROUP / 64],
    ) {
        // What is written from now on is newer than what comes.
        self.epoch = self.epoch.max(FIRST_EPOCH + 1);
        let group = self.groups[first.0 as usize / GROUP].as_mut().and_then(Arc::get_mut);
        let Some(group) = group else {
            unreachable!("a group that was just allocated is shared with nobody")
        };
        for (index, generation) in group.generations.iter_mut().enumerate() {
            if pages[index / 64] >> (index % 64) & 1 != 0 {
                *generation = FIRST_EPOCH;
                group.newest = FIRST_EPOCH;
            }
        }
        let pool = Arc::clone(&group.pool);
        group.pending =
            Some(Arc::new(Pending::new(pool, group.frames, source, base, pages, self.health.clone())));
    }

    /// What is still to come, for a thread that fetches it ahead of need.
    pub fn pending(&self) -> Vec<Arc<Pending>> {
        self.groups.iter().flatten().filter_map(|group| group.pending.clone()).collect()
    }

    /// The state now. Every address given out before may become stale by the next write.
    pub fn freeze(&mut self) -> FrozenFrames {
        self.base = Moment::default();
        let frozen = FrozenFrames {
            groups: self.groups.iter().cloned().collect(),
            epoch: self.epoch,
            moment: self.base.clone(),
            health: self.health.clone(),
        };
        self.list_from_here();
        frozen
    }

    /// Writes are listed from now on.
    fn list_from_here(&mut self) {
        self.written.clear();
        self.base_epoch = self.epoch;
        self.epoch += 1;
    }

    /// Frames of their own that start as `frozen`.
    pub fn fork(frozen: &FrozenFrames) -> Option<Self> {
        let pool = Arc::clone(&frozen.groups.iter().flatten().next()?.pool);
        Some(Self {
            pool,
            groups: frozen.groups.to_vec(),
            epoch: frozen.epoch + 1,
            base: frozen.moment.clone(),
            base_epoch: frozen.epoch,
            written: Vec::new(),
            health: frozen.health.clone(),
        })
    }

    /// The frames that may differ from `frozen`: a list where `frozen` is what this one was last frozen as, forked
    /// from or brought back to; else every table is compared.
    fn written_since(&mut self, frozen: &FrozenFrames) -> Vec<FrameId> {
        if frozen.moment == self.base {
            return std::mem::take(&mut self.written);
        }
        let mut differing = Vec::new();
        for (n, pair) in self.groups.iter().zip(&*frozen.groups).enumerate() {
            let (Some(own), Some(then)) = pair else { continue };
            let comparable = Arc::ptr_eq(&own.pool, &then.pool);
            if !Arc::ptr_eq(own, then) {
                // A host frame that both name has not been written since: it would have been copied.
                let changed = (0..GROUP).filter(|i| !comparable || own.frames[*i] != then.frames[*i]);
                differing.extend(changed.map(|i| FrameId((n * GROUP + i) as u32)));
            }
        }
        differing
    }

    /// Begins to bring `frozen` back: the frames to be written again. [`Self::rewound`] ends it.
    pub fn begin_rewind(&mut self, frozen: &FrozenFrames) -> Vec<FrameId> {
        self.take_groups(frozen);
        let changed = self.written_since(frozen);
        self.epoch = self.epoch.max(frozen.epoch) + 1;
        changed
    }

    /// Has the groups `frozen` has: those that came since go, and those that went since are shared with it.
    fn take_groups(&mut self, frozen: &FrozenFrames) {
        if frozen.moment == self.base {
            return;
        }
        self.groups.resize(frozen.groups.len(), None);
        for (own, then) in self.groups.iter_mut().zip(&*frozen.groups) {
            if own.is_none() || then.is_none() {
                own.clone_from(then);
            }
        }
    }

    /// Has each group that differs from `frozen`'s in common with it from now on, so that no frame is copied. Every address
    /// given out before may be stale then.
    pub fn share_groups(&mut self, frozen: &FrozenFrames) {
        self.groups.clone_from_slice(&frozen.groups);
    }

    /// Whether `frozen` is of the same host memory, and so can be shared with.
    pub fn shares_memory_with(&self, frozen: &FrozenFrames) -> bool {
        let mut groups = frozen.groups.iter().flatten();
        groups.all(|group| Arc::ptr_eq(&group.pool, &self.pool))
    }

    /// Frames written since this was last frozen or brought back to a frozen state.
    pub fn written(&self) -> usize {
        self.written.len()
    }

    /// The frames hold what `frozen` does.
    pub fn rewound(&mut self, frozen: &FrozenFrames) {
        self.base = frozen.moment.clone();
        self.list_from_here();
    }

    /// Closes the epoch: writes from now on are newer than all before.
    pub fn seal(&mut self) {
        self.epoch += 1;
    }

    /// The pool, to reach memory by address.
    #[inline(always)]
    pub fn memory(&self) -> &Pool {
        &self.pool
    }

    #[inline]
    fn host(&self, frame: FrameId) -> HostFrame {
        group_of(&self.groups, frame).host(frame.0 as usize % GROUP)
    }

    /// Host address of the first byte of `frame`, to read.
    #[inline]
    pub fn address(&self, frame: FrameId) -> usize {
        self.pool.address(self.host(frame))
    }

    /// The bytes of `frame`.
    #[inline]
    pub fn bytes(&self, frame: FrameId) -> &[u8] {
        self.pool.bytes(self.host(frame))
    }

    /// Whether a write would give `frame` another address.
    #[inline]
    pub fn shared(&self, frame: FrameId) -> bool {
        let group = group_of(&self.groups, frame);
        Arc::strong_count(group) > 1 || self.pool.shared(group.frames[frame.0 as usize % GROUP])
    }

    /// Makes `frame` this machine's own, for a write in the current epoch. `None` when the host has no memory for a
    /// copy.
    pub fn own(&mut self, frame: FrameId) -> Option<Owned> {
        let (n, index) = (frame.0 as usize / GROUP, frame.0 as usize % GROUP);
        let group = group_of(&self.groups, frame);
        let host = group.host(index);
        // Whoever shares a group ended the epoch.
        if group.generations[index] == self.epoch && !self.pool.shared(host) {
            return Some(Owned { host, moved: false });
        }
        let Some(slot) = self.groups[n].as_mut() else { unreachable!("frame {} was given back", frame.0) };
        if Arc::get_mut(slot).is_none() {
            *slot = Arc::new(slot.share());
        }
        let Some(group) = Arc::get_mut(slot) else { unreachable!("a group made here has one owner") };
        let mut host = group.host(index);
        let moved = self.pool.shared(host);
        if moved {
            let Some(copy) = self.pool.take() else {
                self.health.damage("the host has no memory left for a copy of a guest page".to_owned());
                return None;
            };
            self.pool.copy_frame(host, copy);
            self.pool.release(std::iter::once(host));
            group.frames[index] = copy;
            host = copy;
        }
        if group.generations[index] != self.epoch {
            if group.generations[index] <= self.base_epoch {
                self.written.push(frame);
            }
            group.generations[index] = self.epoch;
            group.newest = self.epoch;
        }
        Some(Owned { host, moved })
    }

    /// Generation of the last write to `frame`, `None` while it was never written.
    pub fn generation(&self, frame: FrameId) -> Option<u64> {
        let generation = group_of(&self.groups, frame).generations[frame.0 as usize % GROUP];
        (generation != 0).then_some(generation)
    }

    /// The latest generation among the 512 frames from `first` on, which starts a group.
    pub fn newest(&self, first: FrameId) -> u64 {
        group_of(&self.groups, first).newest
    }

    /// Notes that the memory is not what it should be.
    pub fn damage(&self, why: String) {
        self.health.damage(why);
    }

    /// What went wrong with the memory, if anything.
    pub fn damaged(&self) -> Option<&str> {
        self.health.damaged()
    }

    /// Guest memory there is, bytes.
    pub fn guest_bytes(&self) -> u64 {
        (self.groups.iter().flatten().count() * GROUP) as u64 * PAGE
    }

    /// Host memory behind the frames, with those of forks and frozen states, bytes.
    pub fn host_bytes(&self) -> u64 {
        self.pool.in_use()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(frames: &mut Frames, frame: u32, byte: u8) {
        let owned = frames.own(FrameId(frame)).expect("host memory");
        frames.memory().write(owned.host, 0, &[byte; PAGE as usize]);
    }

    fn first_byte(frames: &Frames, frame: u32) -> u8 {
        frames.bytes(FrameId(frame))[0]
    }

    #[test]
    fn a_frozen_state_keeps_its_bytes_and_a_fork_goes_its_own_way() {
        let mut parent = Frames::new(2048).expect("pool");
        assert_eq!(parent.allocate(1500), Some(FrameId(0)));
        write(&mut parent, 700, 1);
        let frozen = parent.freeze();
        write(&mut parent, 700, 2);
        let mut child = Frames::fork(&frozen).expect("a machine has frames");
        write(&mut child, 701, 3);
        assert_eq!(frozen.bytes(FrameId(700))[0], 1);
        assert_eq!((first_byte(&parent, 700), first_byte(&parent, 701)), (2, 0));
        assert_eq!((first_byte(&child, 700), first_byte(&child, 701)), (1, 3));
    }

    #[test]
    fn a_write_moves_a_frame_only_while_it_is_shared() {
        let mut frames = Frames::new(512).expect("pool");
        frames.allocate(512);
        write(&mut frames, 5, 1);
        let before = frames.address(FrameId(5));
        let frozen = frames.freeze();
        assert!(frames.shared(FrameId(5)));
        assert!(frames.own(FrameId(5)).expect("host memory").moved);
        assert!(!frames.own(FrameId(5)).expect("host memory").moved);
        assert_ne!(frames.address(FrameId(5)), before);
        drop(frozen);
        assert!(!frames.own(FrameId(6)).expect("host memory").moved);
    }

    #[test]
    fn frames_of_dropped_states_are_used_again() {
        let mut frames = Frames::new(512).expect("pool");
        frames.allocate(512);
        let mut used = 0;
        for round in 0..10 {
            let frozen = frames.freeze();
            (0..100).for_each(|frame| write(&mut frames, frame, round));
            drop(frozen);
            if round == 0 {
                used = frames.host_bytes();
            }
        }
        assert_eq!(frames.host_bytes(), 512 * PAGE);
        assert!(used <= 612 * PAGE, "{used}");
    }

    #[test]
    fn frames_come_and_go_and_are_there_again_after_a_rewind() {
        let mut frames = Frames::new(4096).expect("pool");
        frames.allocate(600);
        let one = frames.freeze();
        let module = frames.allocate(1000).expect("host memory");
        assert_eq!(module, FrameId(1024));
        write(&mut frames, 1030, 1);
        let two = frames.freeze();
        let used = frames.host_bytes();
        frames.release(module, 1000);
        assert_eq!(frames.guest_bytes(), 1024 * PAGE);
        assert_eq!(frames.allocate(400), Some(FrameId(1024)), "there is room again");
        write(&mut frames, 1031, 2);
        let rewound = |frames: &mut Frames, to: &FrozenFrames| {
            for frame in frames.begin_rewind(to) {
                let host = frames.own(frame).expect("host memory").host;
                frames.memory().write(host, 0, to.bytes(frame));
            }
            frames.rewound(to);
        };
        rewound(&mut frames, &two);
        assert_eq!(
            (frames.guest_bytes(), first_byte(&frames, 1030), first_byte(&frames, 1031)),
            (2048 * PAGE, 1, 0)
        );
        write(&mut frames, 1030, 3);
        assert_eq!(two.bytes(FrameId(1030))[0], 1);
        rewound(&mut frames, &one);
        assert_eq!(frames.guest_bytes(), 1024 * PAGE);
        drop((one, two));
        for _ in 0..100 {
            let module = frames.allocate(1024).expect("host memory");
            assert_eq!(frames.bytes(FrameId(module.0 + 7))[0], 0);
            write(&mut frames, module.0 + 7, 9);
            frames.release(module, 1024);
        }
        assert!(frames.host_bytes() <= used + 1024 * PAGE, "{}", frames.host_bytes());
    }

    #[test]
    fn what_was_written_is_listed_against_the_latest_and_found_against_older_states() {
        let mut frames = Frames::new(2048).expect("pool");
        frames.allocate(2048);
        let older = frames.freeze();
        write(&mut frames, 3, 1);
        let latest = frames.freeze();
        write(&mut frames, 1030, 1);
        frames.seal();
        write(&mut frames, 1030, 2);
        write(&mut frames, 9, 2);
        assert_eq!(frames.written_since(&latest), [FrameId(1030), FrameId(9)]);
        let mut all = frames.written_since(&older);
        all.sort();
        assert_eq!(all, [FrameId(3), FrameId(9), FrameId(1030)]);
    }
}
