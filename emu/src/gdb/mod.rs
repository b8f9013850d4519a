//! The gdb server: the remote serial protocol on a TCP connection.
//!
//! Debugging must not change what the guest computes: breakpoints and watchpoints are a [`amber_cpu::Watch`] of each
//! processor, memory is never patched, and the machine stops only where it could have been stopped anyway. What gdb
//! writes (registers, memory) is of course another history.

mod debuggee;
mod description;
mod host;
pub(crate) mod memory;
mod monitor;
mod msrs;
mod protocol;
pub(crate) mod registers;
mod wire;

use crate::machine::{HostIo, Machine, Stop};
use anyhow::{Context, Result};
use debuggee::Debuggee;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStubBuilder};
use host::{AwaitingGdb, Listening};
use std::net::{TcpListener, TcpStream};
use wire::Wire;

/// Packets up to this size are understood; gdb learns it from qSupported.
const PACKET_SIZE: usize = 0x4000;

/// A server that gdb has connected to, or may connect to again.
pub struct Server {
    listener: TcpListener,
    stream: TcpStream,
}

/// How a session came to its end.
enum Parting {
    /// The run ended.
    Ended(Stop),
    /// gdb detached or went away: the guest goes on.
    Left,
}

impl Server {
    /// Listens at `address`, says so on standard error (a port of 0 is replaced by the one chosen), and waits for a
    /// connection.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn wait(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| match address.contains(':') {
            true => format!("--gdb {address}"),
            // Most likely the file, which --gdb took for its value.
            false => format!("--gdb {address} (it takes HOST:PORT; a MACHINE.toml goes before it)"),
        })?;
        let local = listener.local_addr().with_context(|| format!("--gdb {address}"))?;
        eprintln!("amber: waiting for gdb at {local} (target remote {local})");
        let (stream, _) = listener.accept().with_context(|| format!("--gdb {address}"))?;
        listener.set_nonblocking(true).with_context(|| format!("--gdb {address}"))?;
        Ok(Self { listener, stream })
    }

    /// Runs the machine under gdb's control to the end of the run. After gdb detached the guest runs on, and gdb may
    /// come back.
    ///
    /// # Errors
    /// When the connection cannot be set up.
    pub fn run(
        self,
        machine: &mut Machine,
        until: u64,
        host: &mut dyn HostIo,
        no_reboot: bool,
    ) -> Result<Stop> {
        let Self { listener, mut stream } = self;
        loop {
            let mut debuggee = Debuggee::new(machine, until, no_reboot);
            if let Parting::Ended(stop) = session(&mut debuggee, host, Wire::new(stream)?) {
                return Ok(stop);
            }
            drop(debuggee);
            let mut awaiting = AwaitingGdb::new(host, &listener);
            let stop = machine.run(until, &mut awaiting, no_reboot);
            match awaiting.arrived() {
                Some(next) if stop == Stop::User => stream = next,
                _ => return Ok(stop),
            }
        }
    }
}

/// One connection, from gdb's first packet to its last.
fn session(debuggee: &mut Debuggee, host: &mut dyn HostIo, wire: Wire) -> Parting {
    let stub = GdbStubBuilder::new(wire).packet_buffer_size(PACKET_SIZE).build();
    let Ok(mut state) =
        stub.map_err(|_| ()).and_then(|stub| stub.run_state_machine(debuggee).map_err(|_| ()))
    else {
        return Parting::Left;
    };
    loop {
        let next = match state {
            GdbStubStateMachine::Idle(mut idle) => match idle.borrow_conn().read() {
                Ok(byte) => idle.incoming_data(debuggee, byte),
                Err(_) => return Parting::Left,
            },
            GdbStubStateMachine::Running(mut running) => {
                let mut listening = Listening::new(host, running.borrow_conn());
                match debuggee.go(&mut listening) {
                    Some(reason) => running.report_stop(debuggee, reason),
                    None => match running.borrow_conn().read() {
                        Ok(byte) => running.incoming_data(debuggee, byte),
                        Err(_) => return Parting::Left,
                    },
                }
            }
            GdbStubStateMachine::CtrlCInterrupt(interrupted) => {
                let reason = debuggee.interrupted();
                interrupted.interrupt_handled(debuggee, Some(reason))
            }
            GdbStubStateMachine::Disconnected(gone) => return debuggee.part(gone.get_reason()),
        };
        match next {
            Ok(next) => state = next,
            Err(error) => {
                tracing::warn!(target: "gdb", "the connection ends: {error}");
                return Parting::Left;
            }
        }
    }
}

impl Debuggee<'_> {
    fn part(&self, reason: DisconnectReason) -> Parting {
        match (reason, self.ended()) {
            (DisconnectReason::Disconnect, _) => Parting::Left,
            (DisconnectReason::Kill, _) => Parting::Ended(Stop::User),
            (_, Some(stop)) => Parting::Ended(stop),
            (_, None) => Parting::Left,
        }
    }
}
