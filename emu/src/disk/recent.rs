//! The last few things that were read, so that they need not be read again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// More would take longer to look through than to read again.
const MOST: usize = 256;

/// Things by number, the latest used last.
pub(super) struct Recent<T> {
    kept: Mutex<Vec<(u64, Arc<T>)>>,
    most: usize,
}

impl<T> fmt::Debug for Recent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<T> Recent<T> {
    /// Keeps `most` things, or a few hundred.
    pub fn new(most: usize) -> Self {
        Self { kept: Mutex::default(), most: most.clamp(1, MOST) }
    }

    /// Thing `number`, made if it is not kept.
    ///
    /// # Errors
    /// Those of making it.
    pub fn get<E>(&self, number: u64, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut here = kept();
        if let Some(at) = here.iter().position(|(kept, _)| *kept == number) {
            here[at..].rotate_left(1);
            if let Some((_, thing)) = here.last() {
                return Ok(Arc::clone(thing));
            }
        }
        drop(here);
        let thing = Arc::new(make()?);
        let mut here = kept();
        if here.len() >= self.most {
            here.remove(0);
        }
        here.push((number, Arc::clone(&thing)));
        Ok(thing)
    }
}
