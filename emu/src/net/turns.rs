//! Machines on one cable, run in turns of virtual time: what each of them does is a function of how all began.

use super::{LATENCY_NS, Link};
use crate::input::Record;
use crate::machine::{Gesture, HostIo, Machine, Ready, Stop};
use amber_devices::sound::Sound;

/// A machine, its host, and its end of the cable.
pub struct Side<'a> {
    pub machine: &'a mut Machine,
    pub host: &'a mut dyn HostIo,
    pub link: &'a mut dyn Link,
}

/// Runs machines until virtual time `until`, ns, or until none goes on. How each ended; `None` if it goes on.
pub fn run_in_turns(sides: &mut [Side], until: u64) -> Vec<Option<Stop>> {
    let mut ended = vec![None; sides.len()];
    let mut end = sides.iter().map(|side| side.machine.now()).min().unwrap_or(until);
    while end < until && ended.contains(&None) {
        end = (end - end % LATENCY_NS + LATENCY_NS).min(until);
        for (side, ended) in sides.iter_mut().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            *ended = side.turn(end);
        }
    }
    ended
}

impl Side<'_> {
    /// Runs the machine to its first look at the host at `end` or later. `Some` if it does not go on from there.
    fn turn(&mut self, end: u64) -> Option<Stop> {
        if self.machine.now() >= end {
            return None;
        }
        let mut host = Turn { host: self.host, link: self.link, end, over: false };
        let stop = self.machine.run(u64::MAX, &mut host, true);
        (stop != Stop::User || !host.over).then_some(stop)
    }
}

/// The host of a machine while it is its turn.
struct Turn<'a> {
    host: &'a mut dyn HostIo,
    link: &'a mut dyn Link,
    end: u64,
    over: bool,
}

impl HostIo for Turn<'_> {
    fn serial_output(&mut self, port: u8, byte: u8) {
        self.host.serial_output(port, byte);
    }
    fn debug_output(&mut self, byte: u8) {
        self.host.debug_output(byte);
    }
    fn sound(&mut self, sound: Sound) {
        self.host.sound(sound);
    }
    fn serial_input(&mut self, step: u64, idle: Option<u64>) -> Vec<u8> {
        // The other machines are not to wait.
        self.host.serial_input(step, idle.map(|_| 0))
    }
    fn gesture(&mut self, step: u64, now: u64, ready: Ready) -> Option<Gesture> {
        self.host.gesture(step, now, ready)
    }
    fn frame_output(&mut self, now: u64, frame: &[u8]) {
        self.link.send(now, frame);
    }
    fn frame_input(&mut self, _step: u64, now: u64) -> Option<Vec<u8>> {
        self.link.receive(now)
    }
    fn may_receive(&self) -> bool {
        true
    }
    fn may_input(&self) -> bool {
        self.host.may_input()
    }
    fn end_of_input(&self) -> Option<u8> {
        self.host.end_of_input()
    }
    fn attend(&mut self) {
        self.host.attend();
    }
    fn pace(&mut self, now: u64) {
        self.over |= now >= self.end;
        self.host.pace(now);
    }
    fn note(&mut self, record: &Record) {
        self.host.note(record);
    }
    fn stop_requested(&self) -> bool {
        self.over || self.host.stop_requested()
    }
}
