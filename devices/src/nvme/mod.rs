//! NVM Express 1.4: a controller with one namespace, the disk.
//!
//! The device owns registers only. A command is taken off its queue when the driver rings, and lands, the whole of it, at
//! a time that is a function of its kind and length: until then nothing of it has happened. Its entry in the queue is free
//! from then on, so a command in flight is in the section as the driver wrote it; its data is not.

mod admin;
mod controller;
mod features;
mod identify;
mod io;
mod log;
mod prp;
mod queue;
mod status;

use crate::device::{Device, DeviceCtx, DeviceId};
use crate::disk::DiskConfig;
use crate::pci::config::Identity;
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::function::Function;
use crate::pci::msix::MSIX_LEN;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use controller::{Controller, Request};
use features::Features;
pub(crate) use identify::eui64;
use log::{Counters, DoorbellError, EVENT_REQUESTS_MAX, Events};
use prp::PAGE;
use queue::{Command, Completion, CompletionQueue, ENTRIES_MAX, SubmissionQueue};
use serde::{Deserialize, Serialize};
use status::Status;

const REGISTERS_BAR: u8 = 0;
const MSIX_BAR: u8 = 4;
/// Where the doorbells begin.
const DOORBELLS: u64 = 0x1000;
static BARS: [Bar; 2] = [
    Bar { index: REGISTERS_BAR, kind: BarKind::Memory64 { prefetchable: false }, len: 0x4000 },
    Bar { index: MSIX_BAR, kind: BarKind::Memory32 { prefetchable: false }, len: MSIX_LEN },
];
/// QEMU's, which firmware and drivers know. Mass storage, non-volatile memory, NVM Express.
static LAYOUT: Layout = Layout {
    identity: Identity {
        vendor_device: 0x0010_1b36,
        class_revision: 0x0108_0202,
        multifunction: false,
        interrupt_pin: 1,
    },
    bars: &BARS,
    msix_bar: MSIX_BAR,
    vectors: VECTORS,
};

const TIMER: u16 = 0;
/// 1.4.
const VERSION: u32 = 0x0001_0400;
/// Most I/O queues of each kind.
const IO_QUEUES: u16 = 16;
/// A message for each of them, and one for the admin queue.
const VECTORS: u16 = IO_QUEUES + 1;
/// Most commands that ABORT takes back at the same time.
const ABORTS_MAX: u8 = 4;
/// Most data of a command: pages, as a power of 2, and bytes.
const TRANSFER_SHIFT: u8 = 7;
const TRANSFER_MAX: u64 = PAGE << TRANSFER_SHIFT;
/// The namespace, and what stands for all of them.
const NAMESPACE: u32 = 1;
const ALL_NAMESPACES: u32 = u32::MAX;
/// What an admin command takes, in ns of virtual time.
const ADMIN_NS: u64 = 5_000;

/// A command taken off its queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct InFlight {
    /// Its submission queue.
    queue: u16,
    /// When it lands, ns.
    due: u64,
    command: Command,
}

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    endpoint: Endpoint,
    controller: Controller,
    /// By their identifiers.
    submission: Vec<SubmissionQueue>,
    completion: Vec<CompletionQueue>,
    /// What landed and has no room in its completion queue yet, in order.
    waiting: Vec<Completion>,
    features: Features,
    events: Events,
    counters: Counters,
    /// In the order they land.
    in_flight: Vec<InFlight>,
}

impl Section for Registers {
    const KIND: &'static str = "nvme";
    const VERSION: u32 = 1;
}

/// A disk in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nvme {
    registers: Registers,
    slot: u8,
    /// Which of the machine's disks it is.
    disk: u8,
    config: DiskConfig,
}

impl Nvme {
    pub fn new(slot: u8, disk: u8, config: &DiskConfig) -> Self {
        let registers = Registers {
            endpoint: Endpoint::new(&LAYOUT, &[]),
            controller: Controller::default(),
            submission: Vec::new(),
            completion: Vec::new(),
            waiting: Vec::new(),
            features: Features::new(),
            events: Events::default(),
            counters: Counters::default(),
            in_flight: Vec::new(),
        };
        Self { registers, slot, disk, config: config.clone() }
    }

    fn id(&self) -> DeviceId {
        DeviceId::Slot(self.slot)
    }

    /// Whether what is in flight lands, and memory can be reached.
    fn runs(&self) -> bool {
        self.registers.controller.is_ready() && self.registers.endpoint.is_master()
    }

    /// The admin queues, as the registers have them.
    fn start(&mut self) {
        let Registers { controller, submission, completion, .. } = &mut self.registers;
        let (commands, completions) = controller.admin_sizes();
        submission.push(SubmissionQueue::new(0, controller.asq, commands, 0));
        completion.push(CompletionQueue::new(0, controller.acq, completions, Some(0)));
    }

    /// Nothing is left but the registers that stay (7.3.2), and what counts since power-on.
    fn reset_controller(&mut self) {
        let Registers { submission, completion, in_flight, waiting, features, events, .. } =
            &mut self.registers;
        submission.clear();
        completion.clear();
        in_flight.clear();
        waiting.clear();
        *features = Features::new();
        events.reset();
    }

    /// Goes on with all that can go on after an access.
    fn go_on(&mut self, cx: &mut DeviceCtx) {
        self.tell_events();
        self.deliver(cx);
        self.fetch(cx);
        let next =
            self.registers.in_flight.first().filter(|_| self.runs()).map(|next| next.due.max(cx.now()));
        cx.set_timer(self.id(), TIMER, next);
        let open = |queue: &CompletionQueue| {
            let mask = 1u32.checked_shl(queue.vector.into()).unwrap_or(0);
            queue.interrupts && queue.is_open() && self.registers.controller.interrupt_mask & mask == 0
        };
        let asserted = self.registers.completion.iter().any(open);
        self.registers.endpoint.set_interrupt(cx, self.slot, asserted);
    }

    /// Takes commands off the queues. Of each queue no more are under way than it has entries.
    fn fetch(&mut self, cx: &mut DeviceCtx) {
        if !self.registers.controller.takes_commands() || !self.registers.endpoint.is_master() {
            return;
        }
        let now = cx.now();
        let Registers { submission, in_flight, waiting, .. } = &mut self.registers;
        for queue in submission {
            let flying = in_flight.iter().filter(|flight| flight.queue == queue.id).count();
            let landed = waiting.iter().filter(|completion| completion.submission == queue.id).count();
            let room = usize::from(queue.size.min(ENTRIES_MAX)).saturating_sub(flying + landed);
            for _ in 0..room {
                let Some(command) = queue.pop(cx.dma) else { break };
                let due = now + if queue.id == 0 { ADMIN_NS } else { io::latency(&command) };
                let at = in_flight.partition_point(|other| other.due <= due);
                in_flight.insert(at, InFlight { queue: queue.id, due, command });
            }
        }
    }

    /// What is due lands, all at this moment.
    fn land(&mut self, cx: &mut DeviceCtx) {
        let now = cx.now();
        while self.registers.in_flight.first().is_some_and(|flight| flight.due <= now) {
            let InFlight { queue, command, .. } = self.registers.in_flight.remove(0);
            let outcome = match queue {
                0 => self.admin(cx, &command),
                _ => self.io(cx, &command).map(Some),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(result)) => self.complete(queue, command.id, Status::SUCCESS, result),
                Err(status) => self.complete(queue, command.id, status, 0),
            }
        }
    }

    /// A command of queue `submission` has ended.
    fn complete(&mut self, submission: u16, command: u16, Status(status): Status, result: u32) {
        let queue = self.registers.submission.iter().find(|queue| queue.id == submission);
        if let Some(completion) = queue.map(|queue| queue.completion) {
            let ended = Completion { submission, completion, command, status, result };
            self.registers.waiting.push(ended);
        }
    }

    /// Ends commands in flight before they land; whether there were such.
    fn take_back(&mut self, which: impl Fn(&InFlight) -> bool, status: Status) -> bool {
        let (taken, rest): (Vec<_>, _) =
            std::mem::take(&mut self.registers.in_flight).into_iter().partition(which);
        self.registers.in_flight = rest;
        for InFlight { queue, command, .. } in &taken {
            self.complete(*queue, command.id, status, 0);
        }
        !taken.is_empty()
    }

    fn tell_events(&mut self) {
        while let Some((command, result)) = self.registers.events.next() {
            self.complete(0, command, Status::SUCCESS, result);
        }
    }

    /// Writes what ended to the completion queues with room for it, and interrupts.
    fn deliver(&mut self, cx: &mut DeviceCtx) {
        if !self.runs() {
            return;
        }
        let Registers { endpoint, submission, completion, waiting, .. } = &mut self.registers;
        let mut vectors = 0u32;
        waiting.retain(|ended| {
            let Some(queue) = completion.iter_mut().find(|queue| queue.id == ended.completion) else {
                return false;
            };
            if queue.is_full() {
                return true;
            }
            let head =
                submission.iter().find(|queue| queue.id == ended.submission).map_or(0, |queue| queue.head);
            queue.post(cx.dma, ended, head);
            if queue.interrupts {
                vectors |= 1 << queue.vector;
            }
            false
        });
        for vector in (0..VECTORS).filter(|vector| vectors & 1 << vector != 0) {
            endpoint.send(cx.effects, vector);
        }
    }

    /// The driver rang: it put commands into a queue, or took completions out.
    fn ring(&mut self, doorbell: u64, value: u32) {
        let id = (doorbell / 2) as u16;
        let Registers { controller, submission, completion, .. } = &mut self.registers;
        if !controller.is_ready() {
            return;
        }
        let place = if doorbell.is_multiple_of(2) {
            submission.iter_mut().find(|queue| queue.id == id).map(|queue| (&mut queue.tail, queue.size))
        } else {
            completion.iter_mut().find(|queue| queue.id == id).map(|queue| (&mut queue.head, queue.size))
        };
        match place {
            Some((index, size)) if value < u32::from(size) => *index = value as u16,
            Some(_) => self.misused(DoorbellError::Value),
            None => self.misused(DoorbellError::Register),
        }
    }

    fn write_dword(&mut self, cx: &mut DeviceCtx, offset: u64, value: u32) {
        if let Some(doorbell) = offset.checked_sub(DOORBELLS) {
            self.ring(doorbell / 4, value);
        } else {
            match self.registers.controller.write(offset, value) {
                Request::Nothing => {}
                Request::Start => self.start(),
                Request::Reset => self.reset_controller(),
                Request::ShutDown => {
                    // No register tells the driver of a failure.
                    let _ = self.commit(cx);
                }
            }
        }
        self.go_on(cx);
    }

    /// Whether queues are such as a ready controller's are, and none are there otherwise.
    fn has_good_queues(&self) -> bool {
        let Registers { controller, submission, completion, .. } = &self.registers;
        let ids: Vec<_> = submission.iter().map(|queue| queue.id).collect();
        let targets: Vec<_> = completion.iter().map(|queue| queue.id).collect();
        let ascending = |ids: &[u16]| ids.is_sorted_by(|a, b| a < b) && ids.iter().all(|id| *id <= IO_QUEUES);
        let (commands, completions) = controller.admin_sizes();
        let short =
            |id: u16, size: u16, admin: u16| if id == 0 { size == admin } else { size <= ENTRIES_MAX };
        let ready = controller.is_ready();
        let admin = |ids: &[u16]| ids.first().map_or(!ready, |first| ready && *first == 0);
        ascending(&ids)
            && ascending(&targets)
            && admin(&ids)
            && admin(&targets)
            && submission.iter().all(|queue| {
                let leads = targets.contains(&queue.completion) && (queue.completion == 0) == (queue.id == 0);
                queue.is_consistent() && short(queue.id, queue.size, commands) && leads
            })
            && completion
                .iter()
                .all(|queue| queue.is_consistent(VECTORS) && short(queue.id, queue.size, completions))
    }

    /// Whether the commands under way are of queues that are there, and no more than can be.
    fn has_good_commands(&self) -> bool {
        let Registers { submission, completion, in_flight, waiting, .. } = &self.registers;
        let many = |id: u16| {
            let flying = in_flight.iter().filter(|flight| flight.queue == id).count();
            let landed = waiting.iter().filter(|ended| ended.submission == id).count();
            // Requests for events wait elsewhere, and their ends come on top.
            flying + landed > usize::from(ENTRIES_MAX) + EVENT_REQUESTS_MAX
        };
        let known = |id: u16| submission.iter().any(|queue| queue.id == id);
        in_flight.is_sorted_by_key(|flight| flight.due)
            && in_flight.iter().all(|flight| flight.due <= crate::TIME_MAX && known(flight.queue))
            && waiting.iter().all(|ended| {
                ended.submission <= IO_QUEUES && completion.iter().any(|queue| queue.id == ended.completion)
            })
            && !(0..=IO_QUEUES).any(many)
    }
}

impl Device for Nvme {
    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        if self.runs() {
            self.land(cx);
        }
        self.go_on(cx);
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new(self.slot, self.disk, &self.config);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let registers = &self.registers;
        let fresh = Endpoint::new(&LAYOUT, &[]);
        let checks = [
            ("endpoint", registers.endpoint.is_like(&fresh, &LAYOUT, 0..0)),
            ("controller", registers.controller.is_consistent()),
            ("submission", self.has_good_queues()),
            ("in_flight", self.has_good_commands()),
            ("features", registers.features.is_consistent()),
            ("events", registers.events.is_consistent()),
        ];
        let wrong = checks.into_iter().find(|(_, good)| !good);
        wrong.map(|(field, _)| (field, "what no NVMe controller comes to".to_owned()))
    }
}

impl Function for Nvme {
    fn slot(&self) -> u8 {
        self.slot
    }

    fn config_read(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        self.registers.endpoint.read_bytes(offset, size)
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        self.registers.endpoint.write_bytes(cx, &LAYOUT, self.slot, offset, size, value);
        self.go_on(cx);
    }

    fn windows(&self) -> Vec<Window> {
        self.registers.endpoint.windows(&LAYOUT).collect()
    }

    fn bar_read(&mut self, _cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8) -> u64 {
        if bar == MSIX_BAR {
            return self.registers.endpoint.msix_read(offset, size);
        }
        (0..u64::from(size)).fold(0, |value, index| {
            let at = offset + index;
            let byte = self.registers.controller.read(at & !3) >> (at % 4 * 8) & 0xff;
            value | u64::from(byte) << (index * 8)
        })
    }

    /// Registers are written by dwords, alone or in pairs; doorbells of queues that are not there are only complained of.
    fn bar_write(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8, value: u64) {
        if bar == MSIX_BAR {
            self.registers.endpoint.msix_write(cx.effects, offset, size, value);
            return;
        }
        if !offset.is_multiple_of(4) || size < 4 {
            return;
        }
        self.write_dword(cx, offset, value as u32);
        if size == 8 {
            self.write_dword(cx, offset + 4, (value >> 32) as u32);
        }
    }

    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64) {
        self.registers.endpoint.set_up_as_firmware(&LAYOUT, self.slot, next, port);
    }

    fn section_name(&self) -> String {
        format!("nvme{}", self.disk)
    }

    fn to_section(&self, path: &str) -> OwnedSection {
        self.registers.to_section(path)
    }

    fn set_registers(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.registers = Registers::from_section(section)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
