//! What a debugger has every processor watch.

use super::Machine;
use amber_cpu::{Watch, Watchpoint};
use std::collections::BTreeSet;

impl Machine {
    /// Has every processor stop before the instructions at these linear addresses, and at these accesses. Changes nothing
    /// in the state.
    pub fn watch(&mut self, breakpoints: &BTreeSet<u64>, watchpoints: &BTreeSet<Watchpoint>) {
        for vcpu in &mut self.vcpus {
            let (breakpoints, watchpoints) = (breakpoints.clone(), watchpoints.clone());
            vcpu.set_watch(Watch { breakpoints, watchpoints, ..Watch::default() });
        }
    }
}
