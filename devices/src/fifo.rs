//! A short first-in first-out queue with a schema, which the standard library's has not.

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Oldest first. Queues of devices hold a few bytes, so taking the first moves the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Fifo<T>(Vec<T>);

impl<T> Fifo<T> {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn push_back(&mut self, value: T) {
        self.0.push(value);
    }

    pub fn pop_front(&mut self) -> Option<T> {
        if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
    }

    pub fn pop_back(&mut self) -> Option<T> {
        self.0.pop()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T> Extend<T> for Fifo<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        self.0.extend(values);
    }
}

impl<T, const N: usize> From<[T; N]> for Fifo<T> {
    fn from(values: [T; N]) -> Self {
        Self(values.into())
    }
}
