//! Frames whose contents have yet to come from a snapshot: brought when first needed, or ahead of need by another
//! thread.

use crate::pool::{GROUP, HostFrame, PAGE, Pool};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Where pages come from, e.g. a snapshot.
pub trait PageSource: Send + Sync {
    /// The bytes of page `page`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the source.
    fn read(&self, page: u64, into: &mut [u8; PAGE as usize]) -> Result<(), String>;
}

/// What went wrong with a machine's memory, if anything: then the machine must not go on.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<OnceLock<String>>);

impl Health {
    pub fn damage(&self, why: String) {
        // The first reason stands.
        let _ = self.0.set(why);
    }

    pub fn damaged(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The frames of one group that are to come.
pub struct Pending {
    pool: Arc<Pool>,
    frames: [HostFrame; GROUP],
    source: Arc<dyn PageSource>,
    base: u64,
    health: Health,
    /// One bit for each frame not there yet. A bit is cleared once the frame's bytes are in place.
    left: [AtomicU64; GROUP / 64],
    /// Held while a frame is brought; true once nobody may bring any more.
    cancelled: Mutex<bool>,
}

impl Pending {
    pub(crate) fn new(
        pool: Arc<Pool>,
        frames: [HostFrame; GROUP],
        source: Arc<dyn PageSource>,
        base: u64,
        pages: [u64; GROUP / 64],
        health: Health,
    ) -> Self {
        Self {
            pool,
            frames,
            source,
            base,
            health,
            left: pages.map(AtomicU64::new),
            cancelled: Mutex::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaited(&self, index: usize) -> bool {
        self.left[index / 64].load(Ordering::Acquire) >> (index % 64) & 1 != 0
    }

    /// Brings frame `index`, which is `frame` of the host's, if it is not there.
    #[inline]
    pub(crate) fn bring(&self, index: usize, frame: HostFrame) {
        if self.awaited(index) {
            self.fetch(index, frame);
        }
    }

    #[cold]
    fn fetch(&self, index: usize, frame: HostFrame) {
        let cancelled = self.lock();
        // The lock orders this read after the write of whoever was faster.
        if *cancelled || !self.awaited(index) {
            return;
        }
        let mut page = [0; PAGE as usize];
        match self.source.read(self.base + index as u64, &mut page) {
            // Nobody reads the frame before its bit is cleared.
            Ok(()) => self.pool.write(frame, 0, &page),
            Err(why) => self.health.damage(why),
        }
        self.left[index / 64].fetch_and(!(1 << (index % 64)), Ordering::Release);
    }

    pub(crate) fn bring_all(&self, frames: &[HostFrame; GROUP]) {
        frames.iter().enumerate().for_each(|(index, frame)| self.bring(index, *frame));
    }

    /// Brings everything that is left, ahead of need.
    pub fn complete(&self) {
        self.bring_all(&self.frames);
    }

    /// The frames are about to be given back.
    pub(crate) fn cancel(&self) {
        *self.lock() = true;
    }
}
