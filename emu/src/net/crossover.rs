//! A crossover cable between two machines of this process.

use super::Link;
use crate::machine::POLL_NS;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What a frame takes from end to end, ns of virtual time. As long as two looks of a machine at its cable are apart: so the
/// machines need not run at the same moment, only in turns of this length.
pub const LATENCY_NS: u64 = POLL_NS;

/// Most frames on their way to one machine; more are lost.
const FRAMES_MAX: usize = 4096;

/// A frame on its way.
struct Sent {
    at: u64,
    frame: Vec<u8>,
}

/// One end of the cable.
pub struct Crossover {
    to: SyncSender<Sent>,
    from: Receiver<Sent>,
    /// Taken out of the cable, and not there yet.
    coming: Option<Sent>,
}

/// A cable: its two ends.
pub fn crossover() -> (Crossover, Crossover) {
    let (to_one, from_other) = sync_channel(FRAMES_MAX);
    let (to_other, from_one) = sync_channel(FRAMES_MAX);
    let end = |to, from| Crossover { to, from, coming: None };
    (end(to_other, from_other), end(to_one, from_one))
}

impl Link for Crossover {
    fn send(&mut self, now: u64, frame: &[u8]) {
        // A full cable loses the frame, as one that is unplugged at the other end does.
        let _ = self.to.try_send(Sent { at: now, frame: frame.to_vec() });
    }

    fn receive(&mut self, now: u64) -> Option<Vec<u8>> {
        // A look may come a little late: what has arrived is what had by the time it was due.
        let due = now - now % POLL_NS;
        let next = self.coming.take().or_else(|| self.from.try_recv().ok())?;
        if next.at + LATENCY_NS > due {
            self.coming = Some(next);
            return None;
        }
        Some(next.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_order_at_the_look_after_their_latency() {
        let (mut one, mut other) = crossover();
        one.send(300, b"first");
        one.send(POLL_NS, b"second");
        other.send(5, b"back");
        assert_eq!(other.receive(POLL_NS + 299), None);
        assert_eq!(other.receive(2 * POLL_NS).as_deref(), Some(&b"first"[..]));
        assert_eq!(other.receive(2 * POLL_NS).as_deref(), Some(&b"second"[..]));
        assert_eq!(other.receive(u64::MAX), None);
        assert_eq!(one.receive(2 * POLL_NS).as_deref(), Some(&b"back"[..]));
    }

    #[test]
    fn a_cable_holds_so_many_frames_and_outlives_its_other_end() {
        let (mut one, mut other) = crossover();
        (0..2 * FRAMES_MAX).for_each(|n| one.send(n as u64, &n.to_le_bytes()));
        let arrived = std::iter::from_fn(|| other.receive(10 * POLL_NS)).count();
        assert_eq!(arrived, FRAMES_MAX);
        drop(other);
        one.send(0, b"lost");
        assert_eq!(one.receive(10 * POLL_NS), None);
    }
}
