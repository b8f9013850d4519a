//! A cable to another program: frames on a Unix socket, each behind its length in four bytes, most significant first. So do
//! QEMU's stream network devices and passt.

use super::Link;
use super::ready::{Watch, ready};
use crate::control::socket::{UnixListener, UnixStream};
use amber_devices::{FRAME_MAX, FRAME_MIN};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest frame of any network; a length beyond it is that of no frame.
const LONGEST: usize = 1 << 16;
/// Most bytes kept for a program that does not read; frames beyond are lost.
const GOING_MAX: usize = 1 << 20;
/// Most bytes read at once.
const CHUNK: usize = 1 << 16;
const LENGTH: usize = 4;

/// One end of the cable.
pub struct SocketLink {
    /// The socket, and where it is, if this end made it. It is removed with this value.
    listener: Option<(UnixListener, PathBuf)>,
    stream: Option<UnixStream>,
    /// Read, and no whole frame yet or not asked for.
    coming: Vec<u8>,
    /// Sent, and not written yet.
    going: Vec<u8>,
}

impl SocketLink {
    /// Connects to the socket `file`, or waits at it for whoever connects: the first end of a cable makes the socket.
    ///
    /// # Errors
    /// When it can be neither.
    pub fn open(file: &Path) -> io::Result<Self> {
        let (listener, stream) = match UnixStream::connect(file) {
            Ok(stream) => (None, Some(stream)),
            Err(error) if error.kind() == ErrorKind::NotFound => (Some(UnixListener::bind(file)?), None),
            Err(error) => return Err(error),
        };
        stream.iter().try_for_each(|stream| stream.set_nonblocking(true))?;
        listener.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
        let listener = listener.map(|listener| (listener, file.to_owned()));
        Ok(Self { listener, stream, coming: Vec::new(), going: Vec::new() })
    }

    /// Takes the other end, if it comes now.
    fn accept(&mut self) {
        if let (None, Some((listener, _))) = (&self.stream, &self.listener)
            && let Ok((stream, _)) = listener.accept()
        {
            self.stream = stream.set_nonblocking(true).ok().map(|()| stream);
        }
    }

    /// The other end is gone. Whoever made the socket takes the next one that comes.
    fn hang_up(&mut self) {
        self.stream = None;
        self.coming.clear();
        self.going.clear();
    }

    /// Writes what the other end takes now.
    fn flush(&mut self) {
        while let (Some(stream), false) = (&mut self.stream, self.going.is_empty()) {
            match stream.write(&self.going) {
                Ok(written @ 1..) => drop(self.going.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.hang_up(),
            }
        }
    }

    /// Reads what has come; whether anything has.
    fn read(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let old = self.coming.len();
        self.coming.resize(old + CHUNK, 0);
        let read = stream.read(&mut self.coming[old..]);
        self.coming.truncate(old + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(1..) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
            Ok(_) | Err(_) => {
                self.hang_up();
                false
            }
        }
    }

    /// The next whole frame of those that were read.
    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let len = u32::from_be_bytes(*self.coming.first_chunk()?) as usize;
        if len > LONGEST {
            self.hang_up();
            return None;
        }
        let frame = self.coming.get(LENGTH..LENGTH + len)?.to_vec();
        self.coming.drain(..LENGTH + len);
        Some(frame)
    }
}

impl Link for SocketLink {
    fn send(&mut self, _now: u64, frame: &[u8]) {
        self.accept();
        if self.stream.is_some() && self.going.len() < GOING_MAX {
            self.going.extend((frame.len() as u32).to_be_bytes());
            self.going.extend(frame);
            self.flush();
        }
    }

    fn receive(&mut self, _now: u64) -> Option<Vec<u8>> {
        self.accept();
        self.flush();
        loop {
            match self.next_frame() {
                Some(frame) if (FRAME_MIN..=FRAME_MAX).contains(&frame.len()) => return Some(frame),
                Some(_) => {}
                None if self.read() => {}
                None => return None,
            }
        }
    }

    fn wait(&mut self, at_most: Duration) {
        let stream = self.stream.iter().map(|stream| Watch::new(stream, true, !self.going.is_empty()));
        // Whoever comes while somebody is there waits.
        let listener = self.listener.iter().filter(|_| self.stream.is_none());
        let watches: Vec<_> =
            stream.chain(listener.map(|(listener, _)| Watch::new(listener, true, false))).collect();
        ready(&watches, at_most);
    }
}

impl Drop for SocketLink {
    fn drop(&mut self) {
        if let Some((_, file)) = &self.listener {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ends_of_a_socket_exchange_frames_and_one_may_come_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cable");
        let mut one = SocketLink::open(&file).expect("it listens");
        one.send(0, &[1; 60]);
        let mut other = SocketLink::open(&file).expect("it connects");
        assert_eq!(one.receive(0), None, "nobody heard the first frame");
        other.send(0, &[2; 60]);
        other.send(0, &[3; FRAME_MAX]);
        assert_eq!([one.receive(0), one.receive(0)], [Some(vec![2; 60]), Some(vec![3; FRAME_MAX])]);
        one.send(0, &[4; FRAME_MIN]);
        assert_eq!((other.receive(0), other.receive(0)), (Some(vec![4; FRAME_MIN]), None));
        drop(other);
        assert_eq!(one.receive(0), None);
        let mut again = SocketLink::open(&file).expect("it connects");
        again.send(0, &[5; 60]);
        assert_eq!(one.receive(0), Some(vec![5; 60]));
        drop(one);
        assert!(!file.exists());
    }

    #[test]
    fn what_is_no_frame_is_skipped_or_ends_the_connection() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cable");
        let mut link = SocketLink::open(&file).expect("it listens");
        let mut other = UnixStream::connect(&file).expect("it connects");
        let frame = |len: u32| [&len.to_be_bytes()[..], &vec![7; len as usize]].concat();
        other.write_all(&[frame(0), frame(13), frame(1519), frame(14)].concat()).expect("written");
        assert_eq!(link.receive(0), Some(vec![7; 14]));
        other.write_all(&[0, 0, 0]).expect("written");
        assert_eq!(link.receive(0), None);
        other.write_all(&[14]).expect("written");
        assert_eq!(link.receive(0), None);
        other.write_all(&[8; 14]).expect("written");
        assert_eq!(link.receive(0), Some(vec![8; 14]));
        other.write_all(&[0xFF; 100]).expect("written");
        assert_eq!(link.receive(0), None);
        assert!(link.stream.is_none());
        std::fs::write(folder.path().join("text"), "no socket").expect("written");
        assert!(SocketLink::open(&folder.path().join("text")).is_err());
    }
}
