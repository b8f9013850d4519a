//! Somebody who watches a run, as a window does. Watching changes nothing in the machine.

use crate::machine::Machine;

/// See the module.
pub trait Onlooker {
    /// Whether it wants to look now; asked each ms of virtual time.
    fn wants_to_look(&mut self) -> bool;
    /// A look at the machine where it stands. A paused machine is looked at after each thing that was asked of it.
    fn look(&mut self, machine: &mut Machine, paused: bool);
}
