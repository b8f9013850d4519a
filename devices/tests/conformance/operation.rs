//! What a guest and the world do to a platform, and what comes of it.

use crate::machine::*;
use crate::memory::Memory;
use amber_devices::{Dma, Effect, Key, MouseEvent, Part, Platform};

#[derive(Clone, Debug)]
pub enum Op {
    In {
        port: u16,
        size: u8,
    },
    Out {
        port: u16,
        size: u8,
        value: u32,
    },
    Read {
        gpa: u64,
        size: u8,
    },
    Write {
        gpa: u64,
        size: u8,
        value: u64,
    },
    Advance(u64),
    /// Bytes in memory: what a processor writes.
    Poke(u64, Vec<u8>),
    Serial(u8, Vec<u8>),
    Console(u8, Vec<u8>),
    Key(u8, bool),
    Mouse(i8, i8),
    Eoi(u8),
    Intack,
    PowerButton,
    Ferr(bool),
    PlugCpu(u32),
    AskForCpu(u32),
    PlugDimm(u8),
    PlugDisk(u8),
    AskForDisk(u8),
    PlugNic,
    AskForNic,
    AskForDimm(u8),
}

/// What a guest and the world could tell: values read and effects, in order.
#[derive(Debug, Default, PartialEq)]
pub struct Log {
    pub values: Vec<u64>,
    pub effects: Vec<Effect>,
}

pub fn run(platform: &mut Platform, memory: &mut Memory, ops: &[Op]) -> Log {
    let mut log = Log::default();
    for op in ops {
        let value = step(platform, memory, op);
        log.values.push(value);
        log.values.push(u64::from(platform.intr()));
        log.effects.extend(platform.effects().drain());
    }
    log
}

pub fn step(platform: &mut Platform, memory: &mut Memory, op: &Op) -> u64 {
    match op {
        Op::In { port, size } => return u64::from(platform.pio_read(memory, *port, *size)),
        Op::Out { port, size, value } => platform.pio_write(memory, *port, *size, *value),
        Op::Read { gpa, size } => return platform.mmio_read(memory, *gpa, *size),
        Op::Write { gpa, size, value } => platform.mmio_write(memory, *gpa, *size, *value),
        Op::Advance(ns) => advance(platform, memory, *ns),
        Op::Poke(gpa, bytes) => memory.write(*gpa, bytes),
        Op::Serial(port, bytes) => return platform.serial_input(memory, *port, bytes) as u64,
        Op::Console(port, bytes) => {
            let room = platform.console_room(memory, *port);
            platform.console_input(memory, *port, &bytes[..bytes.len().min(room)]);
            return room as u64;
        }
        Op::Key(code, pressed) => {
            let key = Key { code: code & 0x7f, extended: code & 0x80 != 0 };
            return u64::from(platform.key(memory, key, *pressed));
        }
        Op::Mouse(dx, dy) => {
            let event =
                MouseEvent { dx: i32::from(*dx), dy: i32::from(*dy), wheel: 0, buttons: *dx as u8 & 7 };
            platform.mouse(memory, event);
        }
        Op::Eoi(vector) => platform.eoi_broadcast(*vector),
        Op::Intack => return u64::from(platform.intack()),
        Op::Ferr(asserted) => platform.ferr(memory, *asserted),
        Op::PowerButton => platform.power_button(memory),
        Op::PlugCpu(id) if platform.part_state(Part::Cpu(*id)).present => {}
        Op::PlugCpu(id) => platform.plug_cpu(memory, *id),
        Op::AskForCpu(id) => platform.ask_for(memory, Part::Cpu(*id)),
        Op::PlugDisk(n) if platform.part_state(function(*n)).present => {}
        Op::PlugDisk(n) => platform.plug_disk(memory, *n, &pluggable(*n)),
        Op::AskForDisk(n) => platform.ask_for(memory, function(*n)),
        Op::PlugNic if platform.part_state(ADAPTER).present => {}
        Op::PlugNic => platform.plug_nic(memory, &nic()),
        Op::AskForNic => platform.ask_for(memory, ADAPTER),
        Op::PlugDimm(slot) if platform.part_state(Part::Dimm(*slot)).present => {}
        Op::PlugDimm(slot) => platform.plug_dimm(memory, &dimm(*slot)),
        Op::AskForDimm(slot) => platform.ask_for(memory, Part::Dimm(*slot)),
    }
    0
}

/// Lets time pass as the run loop does: from deadline to deadline, but not through too many.
pub fn advance(platform: &mut Platform, memory: &mut Memory, ns: u64) {
    let end = platform.clock.now().saturating_add(ns);
    for _ in 0..100 {
        match platform.next_deadline() {
            Some(at) if at <= end => platform.clock.advance_to(at),
            _ => break,
        }
        platform.run_due_timers(memory);
    }
    if platform.next_deadline().is_none_or(|at| at > end) {
        platform.clock.advance_to(end);
    }
}
