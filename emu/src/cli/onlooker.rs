//! Somebody who watches a run, as a window does. Watching changes nothing in the machine.

use crate::machine::{Machine, Stop};

/// How a run stands, beside its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub paused: bool,
    /// The guest ended like this, and the run lingers.
    pub ended: Option<Stop>,
    /// The machine went back, and has its future ahead.
    pub behind: bool,
    /// Virtual time by the wall clock's, percent; `None` is as fast as it goes.
    pub speed: Option<u32>,
    /// Bytes the guest had sent to serial port 0 and the virtio console where it stands, if the run remembers.
    pub said: Option<u64>,
}

/// See the module.
pub trait Onlooker {
    /// Whether it wants to look now; asked each ms of virtual time.
    fn wants_to_look(&mut self) -> bool;
    /// A look at the machine where it stands. A paused machine is looked at after each thing that was asked of it.
    fn look(&mut self, machine: &mut Machine, standing: Standing);
}
