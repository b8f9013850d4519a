//! The host's side of a machine while it runs under gdb's eyes: the console, and a look at the network now and then.

use super::wire::Wire;
use crate::machine::HostIo;
use std::cell::{Cell, RefCell};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longest time a running guest leaves a waiting gdb alone.
const PATIENCE: Duration = Duration::from_millis(5);

/// Tells when it is time for another look.
struct Watchman(Cell<Instant>);

impl Watchman {
    fn new() -> Self {
        Self(Cell::new(Instant::now()))
    }
    fn due(&self) -> bool {
        let now = Instant::now();
        let due = now >= self.0.get();
        if due {
            self.0.set(now + PATIENCE);
        }
        due
    }
}

/// Interrupts the run when gdb has something to say.
pub struct Listening<'a> {
    host: &'a mut dyn HostIo,
    wire: &'a Wire,
    watchman: Watchman,
    heard: Cell<bool>,
}

impl<'a> Listening<'a> {
    pub fn new(host: &'a mut dyn HostIo, wire: &'a Wire) -> Self {
        Self { host, wire, watchman: Watchman::new(), heard: Cell::new(false) }
    }

    /// Whether gdb spoke (or is gone).
    pub fn heard(&self) -> bool {
        self.heard.get()
    }
}

impl HostIo for Listening<'_> {
    fn serial_output(&mut self, port: u8, byte: u8) {
        self.host.serial_output(port, byte);
    }
    fn debug_output(&mut self, byte: u8) {
        self.host.debug_output(byte);
    }
    fn serial_input(&mut self, step: u64, idle: Option<u64>) -> Vec<u8> {
        self.host.serial_input(step, idle)
    }
    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        self.host.console_output(port, bytes);
    }
    fn console_input(&mut self, step: u64, port: u8, room: usize, idle: Option<u64>) -> Vec<u8> {
        self.host.console_input(step, port, room, idle)
    }
    fn frame_output(&mut self, now: u64, frame: &[u8]) {
        self.host.frame_output(now, frame);
    }
    fn frame_input(&mut self, step: u64, now: u64) -> Option<Vec<u8>> {
        self.host.frame_input(step, now)
    }
    fn may_receive(&self) -> bool {
        self.host.may_receive()
    }
    fn idle(&mut self, ns: u64) {
        self.host.idle(ns);
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
    fn stop_requested(&self) -> bool {
        if self.watchman.due() && self.wire.ready() {
            self.heard.set(true);
        }
        self.heard.get() || self.host.stop_requested()
    }
}

/// Interrupts the run when a new gdb connects.
pub struct AwaitingGdb<'a> {
    host: &'a mut dyn HostIo,
    listener: &'a TcpListener,
    watchman: Watchman,
    arrived: RefCell<Option<TcpStream>>,
}

impl<'a> AwaitingGdb<'a> {
    /// `listener` must not block.
    pub fn new(host: &'a mut dyn HostIo, listener: &'a TcpListener) -> Self {
        Self { host, listener, watchman: Watchman::new(), arrived: RefCell::new(None) }
    }

    /// The new connection, if there is one.
    pub fn arrived(self) -> Option<TcpStream> {
        self.arrived.into_inner()
    }
}

impl HostIo for AwaitingGdb<'_> {
    fn serial_output(&mut self, port: u8, byte: u8) {
        self.host.serial_output(port, byte);
    }
    fn debug_output(&mut self, byte: u8) {
        self.host.debug_output(byte);
    }
    fn serial_input(&mut self, step: u64, idle: Option<u64>) -> Vec<u8> {
        self.host.serial_input(step, idle)
    }
    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        self.host.console_output(port, bytes);
    }
    fn console_input(&mut self, step: u64, port: u8, room: usize, idle: Option<u64>) -> Vec<u8> {
        self.host.console_input(step, port, room, idle)
    }
    fn frame_output(&mut self, now: u64, frame: &[u8]) {
        self.host.frame_output(now, frame);
    }
    fn frame_input(&mut self, step: u64, now: u64) -> Option<Vec<u8>> {
        self.host.frame_input(step, now)
    }
    fn may_receive(&self) -> bool {
        self.host.may_receive()
    }
    fn idle(&mut self, ns: u64) {
        self.host.idle(ns);
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
    fn stop_requested(&self) -> bool {
        if self.watchman.due()
            && let Ok((stream, _)) = self.listener.accept()
        {
            *self.arrived.borrow_mut() = Some(stream);
        }
        self.arrived.borrow().is_some() || self.host.stop_requested()
    }
}
