//! Sockets are files: poll(2).

use super::Ready;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A socket, and what it is watched for.
pub struct Watch<'a> {
    socket: BorrowedFd<'a>,
    flags: PollFlags,
}

impl<'a> Watch<'a> {
    pub fn new(socket: &'a impl AsFd, read: bool, write: bool) -> Self {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read);
        flags.set(PollFlags::OUT, write);
        Self { socket: socket.as_fd(), flags }
    }
}

/// What can be done at each socket now; if at none, within `at_most`.
pub fn ready(watches: &[Watch], at_most: Duration) -> Vec<Ready> {
    // A socket that failed would end the wait, even if nothing is asked of it.
    let asked = |watch: &&Watch| !watch.flags.is_empty();
    let mut fds: Vec<_> = (watches.iter().filter(asked))
        .map(|watch| PollFd::from_borrowed_fd(watch.socket, watch.flags))
        .collect();
    let timeout = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
    // A signal ends the wait early: nothing is ready then.
    if poll(&mut fds, Some(&timeout)).is_err() {
        return vec![Ready::default(); watches.len()];
    }
    let failed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    let mut told = fds.iter().map(PollFd::revents);
    let answer = |watch: &Watch| {
        let now = if watch.flags.is_empty() { None } else { told.next() };
        let can = |flag| watch.flags.contains(flag) && now.is_some_and(|now| now.intersects(flag | failed));
        Ready { read: can(PollFlags::IN), write: can(PollFlags::OUT) }
    };
    watches.iter().map(answer).collect()
}
