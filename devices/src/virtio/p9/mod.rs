//! virtio-9p (virtio 1.2, 5.13): a share's files, by 9P2000.L.
//!
//! A message is taken off the queue when the driver rings, and carried out, the whole of it, when its time is over. The files
//! are pages the machine has ([`crate::share`]); what is known of them here is derived, and made again when it is missing.

mod fids;
mod files;
mod message;
mod names;
mod session;
#[cfg(test)]
mod tests;

use super::function::OnVirtio;
use super::in_flight::InFlight;
use super::queue::{Broken, Chain, gather, scatter, total};
use super::transport::{F_EVENT_INDEX, F_INDIRECT, F_VERSION_1, Offer, Request, Transport, layout};
use crate::clock::NS_PER_SECOND;
use crate::device::{Device, DeviceCtx, DeviceId};
use crate::pci::endpoint::Layout;
use crate::platform::ConfigError;
use crate::share::{
    BLOCK, Contents, Errno, FileTime, Filling, Lent, SHARE_MAX, SHARE_MIN, ShareLayout, Tree,
};
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use serde::{Deserialize, Serialize};
use session::{Done, MSIZE_MAX, Session, Share, Work};

/// Of no class, as QEMU's.
static LAYOUT: Layout = layout(9, 0x0002_0001, 2);
const QUEUE: u16 = 0;
const TIMER: u16 = 0;
const F_MOUNT_TAG: u64 = 1 << 0;

/// Longest mount tag.
pub const TAG_MAX: usize = 31;
/// Shortest answer there must be room for: an error.
const ERROR_LEN: u64 = 11;

/// What a message takes, in ns of virtual time: this, and a ns for every four bytes of it and of the room for its answer.
const MESSAGE_NS: u64 = 8_000;

/// What a share is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareConfig {
    /// What guests mount it by.
    pub tag: String,
    /// Bytes of files it has room for: see [`ShareLayout::new`].
    pub size: u64,
    /// The guest cannot write.
    pub read_only: bool,
}

impl ShareConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self { tag, size, .. } = self;
        if !(1..=TAG_MAX).contains(&tag.len()) || tag.contains('\0') {
            return Err(ConfigError::ShareTag(tag.clone()));
        }
        if !(SHARE_MIN..=SHARE_MAX).contains(size) || !size.is_multiple_of(BLOCK) {
            return Err(ConfigError::ShareSize(*size));
        }
        Ok(())
    }
}

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    transport: Transport,
    in_flight: InFlight,
    session: Session,
}

impl Section for Registers {
    const KIND: &'static str = "virtio-9p";
    const VERSION: u32 = 1;
}

/// The tree in the pages, once it was needed: derived, so that all are equal.
#[derive(Clone, Debug, Default)]
enum Derived {
    #[default]
    Unknown,
    Known(Box<Tree>),
    /// The pages hold none.
    Damaged,
}

impl Derived {
    /// The share whose tree it is. It is read from the pages where it is not known yet.
    fn share<'a>(
        &'a mut self,
        volume: &'a mut Lent<'_>,
        config: &ShareConfig,
        now: FileTime,
    ) -> Option<Share<'a>> {
        if matches!(self, Self::Unknown) {
            *self = match Tree::open(volume, ShareLayout::new(config.size)) {
                Ok(tree) => Self::Known(Box::new(tree)),
                Err(why) => {
                    volume.0.damage_share(&why);
                    Self::Damaged
                }
            };
        }
        let Self::Known(tree) = self else { return None };
        Some(Share { tree, volume, now, read_only: config.read_only })
    }
}

impl PartialEq for Derived {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Derived {}

/// A share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Virtio9p {
    registers: Registers,
    slot: u8,
    config: ShareConfig,
    /// What the clock showed at power-up, seconds since 1970: files have the time since.
    epoch: i64,
    structure: Vec<u8>,
    tree: Derived,
}

impl Virtio9p {
    pub fn new(slot: u8, config: &ShareConfig, epoch: i64) -> Self {
        let transport = Transport::new(&LAYOUT, 1);
        let registers = Registers { transport, in_flight: InFlight::default(), session: Session::default() };
        let mut structure = (config.tag.len() as u16).to_le_bytes().to_vec();
        structure.extend(config.tag.bytes());
        Self { registers, slot, config: config.clone(), epoch, structure, tree: Derived::Unknown }
    }

    /// The driver is gone: nothing is on its way, and it uses no file.
    fn forget(&mut self, cx: &mut DeviceCtx) {
        self.registers.in_flight.clear();
        if !self.registers.session.fids.is_empty() {
            let now = self.time(cx);
            let (session, volume) = (&mut self.registers.session, &mut Lent(cx.dma));
            if let Some(share) = self.tree.share(volume, &self.config, now) {
                // What cannot be let go of is told where the pages are lent.
                let _ = session.work(share, 0).forget_all();
            }
        }
        self.registers.session = Session::default();
    }

    /// Takes what is available off the queue.
    fn take(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let Registers { transport, in_flight, .. } = &mut self.registers;
        let features = transport.ring_features();
        while transport.serves(QUEUE) {
            let queue = &mut transport.queues[usize::from(QUEUE)];
            let Some(head) = queue.pop(cx.dma)? else {
                queue.ask_for_notification(cx.dma, features);
                break;
            };
            if in_flight.len() >= usize::from(queue.size) {
                return Err(Broken("more messages in flight than the queue is long"));
            }
            let chain = queue.chain(cx.dma, head, features)?;
            let most = u64::from(MSIZE_MAX);
            let len = total(&chain.readable).min(most) + total(&chain.writable).min(most);
            in_flight.push(head, cx.now(), MESSAGE_NS + len / 4);
        }
        Ok(())
    }

    /// While the function is no bus master, nothing lands.
    fn arm(&mut self, cx: &mut DeviceCtx) {
        let Registers { transport, in_flight, .. } = &self.registers;
        let next = in_flight.next().filter(|_| transport.serves(QUEUE)).map(|due| due.max(cx.now()));
        cx.set_timer(DeviceId::Slot(self.slot), TIMER, next);
    }

    fn fail(&mut self, cx: &mut DeviceCtx, Broken(why): Broken) {
        tracing::debug!(target: "virtio-9p", "{why}; the device needs a reset");
        self.registers.in_flight.clear();
        self.registers.transport.fail(cx, self.slot);
    }

    /// What is due is carried out.
    fn land(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let features = self.registers.transport.ring_features();
        let before = self.registers.transport.queues[usize::from(QUEUE)].used();
        for head in self.registers.in_flight.land(cx.now()) {
            let queue = &self.registers.transport.queues[usize::from(QUEUE)];
            let chain = queue.chain(cx.dma, head, features)?;
            let written = self.carry_out(cx, &chain)?;
            let queue = &mut self.registers.transport.queues[usize::from(QUEUE)];
            queue.push(cx.dma, head, written);
        }
        if self.registers.transport.queues[usize::from(QUEUE)].wants_interrupt(cx.dma, before, features) {
            self.registers.transport.interrupt_queue(cx, self.slot, QUEUE);
        }
        Ok(())
    }

    /// Carries a message out; bytes of its answer.
    fn carry_out(&mut self, cx: &mut DeviceCtx, chain: &Chain) -> Result<u32, Broken> {
        let room = total(&chain.writable);
        if room < ERROR_LEN {
            return Err(Broken("a message without room for an answer"));
        }
        let len = total(&chain.readable).min(u64::from(MSIZE_MAX)) as usize;
        let mut message = vec![0; len];
        gather(cx.dma, &chain.readable, &mut message);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let now = self.time(cx);
        let mut volume = Lent(cx.dma);
        let share = self.tree.share(&mut volume, &self.config, now);
        let answer = self.registers.session.answer(share, &message, room);
        let answer = answer.ok_or(Broken("a message that is none"))?;
        scatter(cx.dma, &chain.writable, &answer);
        Ok(answer.len().min(room) as u32)
    }

    fn time(&self, cx: &DeviceCtx) -> FileTime {
        let seconds = self.epoch.saturating_add((cx.now() / NS_PER_SECOND) as i64);
        FileTime { seconds, nanoseconds: (cx.now() % NS_PER_SECOND) as u32 }
    }

    /// Has other contents from now on. Files that are open stay until they are closed.
    ///
    /// # Errors
    /// When they are too much, or no tree: the share is empty then.
    pub fn load(&mut self, cx: &mut DeviceCtx, contents: &Contents) -> Result<(), Errno> {
        let now = self.time(cx);
        let volume = &mut Lent(cx.dma);
        let share = self.tree.share(volume, &self.config, now).ok_or(Errno::IO)?;
        let mut work = self.registers.session.work(share, 0);
        replace(&mut work, contents).inspect_err(|_| {
            // Half of a tree is none.
            let _ = clear(&mut work);
        })
    }
}

fn clear(work: &mut Work) -> Done {
    let gone = work.tree.empty_root(work.volume, work.now)?;
    gone.into_iter().try_for_each(|file| work.release(file))
}

fn replace(work: &mut Work, contents: &Contents) -> Done {
    clear(work)?;
    let now = work.now;
    let mut filling = Filling::new(work.tree);
    contents.items.iter().try_for_each(|item| filling.add(work.volume, item))?;
    filling.end(work.volume, now)
}

/// What the transport is told of the device.
fn offer(structure: &[u8], slot: u8) -> Offer<'_> {
    let features = F_INDIRECT | F_EVENT_INDEX | F_VERSION_1 | F_MOUNT_TAG;
    Offer { layout: &LAYOUT, features, config: structure, generation: 0, slot }
}

impl Device for Virtio9p {
    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        if self.registers.transport.serves(QUEUE) {
            if let Err(broken) = self.land(cx) {
                self.fail(cx, broken);
            }
            self.arm(cx);
        }
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        self.forget(cx);
        let tree = std::mem::take(&mut self.tree);
        *self = Self { tree, ..Self::new(self.slot, &self.config, self.epoch) };
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { transport, in_flight, session } = &self.registers;
        if let Some(field) = transport.impossible(&offer(&self.structure, self.slot), 1) {
            return Some((field, "what no virtio-9p comes to".to_owned()));
        }
        let size = transport.queues.first().map_or(0, |queue| queue.size);
        if !in_flight.is_consistent(size) {
            return Some(("in_flight", format!("{} messages", in_flight.len())));
        }
        (!session.is_consistent()).then(|| ("session", "what no driver agrees on".to_owned()))
    }
}

impl OnVirtio for Virtio9p {
    const LAYOUT: &'static Layout = &LAYOUT;

    fn pci_slot(&self) -> u8 {
        self.slot
    }

    fn transport(&self) -> &Transport {
        &self.registers.transport
    }

    fn with_offer<R>(&mut self, act: impl FnOnce(&mut Transport, &Offer) -> R) -> R {
        let offer = offer(&self.structure, self.slot);
        act(&mut self.registers.transport, &offer)
    }

    fn answer(&mut self, cx: &mut DeviceCtx, request: Request) {
        match request {
            Request::Nothing => return,
            Request::Reset => self.forget(cx),
            Request::Notify(QUEUE) | Request::Look => {
                if let Err(broken) = self.take(cx) {
                    self.fail(cx, broken);
                }
            }
            Request::Notify(_) => {}
        }
        self.arm(cx);
    }

    fn name(&self) -> String {
        "virtio-9p0".to_owned()
    }

    fn section(&self, path: &str) -> OwnedSection {
        self.registers.to_section(path)
    }

    fn take_section(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.registers = Registers::from_section(section)?;
        self.tree = Derived::Unknown;
        Ok(())
    }
}
