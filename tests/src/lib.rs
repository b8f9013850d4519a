//! Suites that need a whole machine; see the folders beside this crate.
