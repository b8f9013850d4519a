//! The host's side of a session: the console, the input log, and what other programs ask for.

use super::console::Console;
use super::hands::Hands;
use super::onlooker::{Onlooker, Standing};
use super::ports::Ports;
use crate::control::{Call, Calls, Method, Server};
use crate::history::{Schedule, Tape};
use crate::input::{Record, Recorder};
use crate::machine::{Gesture, HostIo, Machine, Ready};
use crate::net::{Idle, Link};
use crate::sound::Recording;
use amber_devices::sound::Sound;
use std::collections::VecDeque;

/// Most bytes the guest is given at once.
const CHUNK: usize = 64;

/// See the module.
pub struct SessionHost {
    pub console: Console,
    pub recorder: Option<Recorder>,
    /// The control socket, removed with this value.
    pub server: Option<Server>,
    /// What is asked of the machine, there and by a window.
    pub calls: Option<Calls>,
    /// Who watches.
    pub onlooker: Option<Box<dyn Onlooker>>,
    /// It wants to look.
    look_due: bool,
    /// Where sound goes.
    pub sound: Recording,
    /// Typed by other programs.
    typed: VecDeque<u8>,
    /// What the network adapter's cable leads to.
    pub link: Option<Box<dyn Link>>,
    idle: Idle,
    /// The virtio console's ends.
    pub ports: Ports,
    /// Keys and motion by other programs.
    pub hands: Hands,
    /// The run is itself an answer: only what is asked meanwhile stops it.
    pub deaf: bool,
    /// Somebody does what the guest asks for.
    pub serves: bool,
    /// A guest that ends does not end the run: it stands paused.
    pub lingers: bool,
    /// What came in, for a run that remembers its past.
    pub tape: Option<Tape>,
    /// When it takes the next point.
    pub schedule: Schedule,
    /// It is time for one.
    pub point_due: bool,
    /// Parts came or went, or the guest said something of one, since this was last looked at.
    pub parts_changed: bool,
}

impl SessionHost {
    /// A host with a console.
    pub fn new(console: Console, recorder: Option<Recorder>, calls: Option<Calls>) -> Self {
        Self {
            console,
            recorder,
            server: None,
            calls,
            onlooker: None,
            look_due: false,
            sound: Recording::default(),
            typed: VecDeque::new(),
            link: None,
            idle: Idle::default(),
            ports: Ports::default(),
            hands: Hands::default(),
            deaf: false,
            serves: false,
            lingers: false,
            tape: None,
            schedule: Schedule::new(),
            point_due: false,
            parts_changed: false,
        }
    }

    /// Whether the person at the console asked to end the run.
    pub fn quit(&self) -> bool {
        self.console.quit()
    }

    /// Whether the person at the console asked for a snapshot since the last call.
    pub fn take_save_request(&mut self) -> bool {
        self.console.take_save_request()
    }

    /// Wakes the machine's thread, by a question nobody hears the answer of.
    pub fn waker(&self) -> impl FnOnce() + Send + use<> {
        let caller = self.calls.as_ref().and_then(Calls::caller);
        move || caller.into_iter().for_each(|caller| caller.ask(Method::Status, drop))
    }

    /// The next thing another program asks for; waited for with `paused`.
    pub fn next_call(&self, paused: bool) -> Option<Call> {
        let calls = self.calls.as_ref()?;
        if paused { calls.wait() } else { calls.take() }
    }

    /// Lets the onlooker look, if it wants to, or there is something new for certain.
    pub fn show(&mut self, machine: &mut Machine, mut standing: Standing) {
        let due = std::mem::take(&mut self.look_due) || standing.paused;
        standing.speed = self.console.speed();
        standing.said = self.tape.as_ref().map(|tape| tape.said);
        if let Some(onlooker) = self.onlooker.as_mut().filter(|_| due) {
            onlooker.look(machine, standing);
        }
    }

    /// The machine goes on, or something comes in: what is ahead of it is another way from now on, with a log of its own.
    pub fn part_ways(&mut self) {
        let Some(torn) = self.tape.as_mut().and_then(Tape::tear) else { return };
        torn.log = self.recorder.as_mut().and_then(|recorder| recorder.leave(torn.inputs));
    }

    /// The machine went to another time: what was on its way to it is void.
    pub fn jump(&mut self, now: u64) {
        self.hands.rest();
        self.typed.clear();
        self.ports.rest();
        self.console.rest();
        self.sound.jump_to(now);
        self.console.keep_time_from(now);
        self.parts_changed = true;
    }

    /// Whether anything waits for the guest that somebody asked for.
    pub fn any_waits(&self) -> bool {
        self.hands.waiting() != 0 || !self.typed.is_empty() || self.ports.any() || self.console.any_typed()
    }

    /// The machine goes on where it was not before: nobody holds what is down there.
    pub fn let_go(&mut self) {
        if let Some(held) = self.tape.as_ref().map(Tape::held) {
            self.hands.before(held.released());
        }
    }

    /// Types for the guest.
    pub fn type_in(&mut self, bytes: &[u8]) {
        self.typed.extend(bytes);
    }

    /// How long to wait for the console: what waits for its time is not to, nor is a frame, nor bytes for the guest.
    fn patience(&self, idle: Option<u64>) -> Option<u64> {
        let waits = self.hands.waiting() == 0 && self.link.is_none() && !self.ports.any();
        if waits { idle } else { idle.map(|_| 0) }
    }

    /// Whether inputs are recorded.
    pub fn records(&self) -> bool {
        self.recorder.is_some()
    }
}

impl HostIo for SessionHost {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if let Some(tape) = self.tape.as_mut().filter(|_| port == 0) {
            tape.said += 1;
        }
        self.console.serial_output(port, byte);
    }

    fn debug_output(&mut self, byte: u8) {
        self.console.debug_output(byte);
    }

    fn sound(&mut self, sound: Sound) {
        self.sound.hear(sound);
    }

    fn serial_input(&mut self, step: u64, idle: Option<u64>) -> Vec<u8> {
        if !self.typed.is_empty() {
            let chunk = self.typed.len().min(CHUNK);
            return self.typed.drain(..chunk).collect();
        }
        if self.ports.has_terminal {
            return Vec::new();
        }
        self.console.serial_input(step, self.patience(idle))
    }

    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        match port {
            Ports::CHANNEL => self.ports.hear(bytes),
            _ => {
                if let Some(tape) = &mut self.tape {
                    tape.said += bytes.len() as u64;
                }
                self.console.console_output(port, bytes);
            }
        }
    }

    fn console_input(&mut self, _step: u64, port: u8, room: usize, idle: Option<u64>) -> Vec<u8> {
        let bytes = self.ports.take(port, room);
        if !bytes.is_empty() || port == Ports::CHANNEL || !self.ports.has_terminal {
            return bytes;
        }
        self.console.typed(room.min(CHUNK), self.patience(idle))
    }

    fn gesture(&mut self, _step: u64, now: u64, ready: Ready) -> Option<Gesture> {
        self.hands.next(now, ready)
    }

    fn frame_output(&mut self, now: u64, frame: &[u8]) {
        if let Some(link) = &mut self.link {
            link.send(now, frame);
        }
    }

    fn frame_input(&mut self, _step: u64, now: u64) -> Option<Vec<u8>> {
        self.link.as_mut()?.receive(now)
    }

    fn idle(&mut self, ns: u64) {
        // A console that keeps to the wall clock waits already.
        if let Some(link) = self.link.as_mut().filter(|_| !self.console.is_paced()) {
            self.console.flush();
            self.idle.wait(link.as_mut(), ns);
        }
    }

    fn may_receive(&self) -> bool {
        self.link.is_some()
    }

    fn may_input(&self) -> bool {
        self.console.may_input() || !self.typed.is_empty() || self.ports.any() || self.calls.is_some()
    }

    fn end_of_input(&self) -> Option<u8> {
        self.console.end_of_input()
    }

    fn note(&mut self, record: &Record) {
        self.part_ways();
        if let Some(tape) = &mut self.tape {
            tape.note(record);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.record(record);
        }
    }

    fn attend(&mut self) {
        self.console.attend();
        self.point_due |= self.tape.is_some() && self.schedule.is_due();
        self.look_due |= self.onlooker.as_mut().is_some_and(|onlooker| onlooker.wants_to_look());
    }

    fn pace(&mut self, now: u64) {
        self.sound.advance_to(now);
        self.console.pace(now);
    }

    fn takes_requests(&self) -> bool {
        self.serves
    }

    fn part_changed(&mut self) {
        self.parts_changed = true;
    }

    fn stop_requested(&self) -> bool {
        let called = || self.calls.as_ref().is_some_and(Calls::any);
        let due = || self.parts_changed || self.look_due || self.point_due || self.console.stop_requested();
        called() || self.quit() || !self.deaf && due()
    }
}
