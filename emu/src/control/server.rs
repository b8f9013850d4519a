//! The socket's end in the machine's process: a thread for each program that is connected, which waits for the machine's
//! answer to each of its lines.

use super::socket::{UnixListener, UnixStream, is_socket};
use super::{Answer, Caller, Request};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest line that is read.
const MAX_LINE: u64 = 1 << 20;

/// A socket that is listened to. It is removed with this value, and who listened ends.
pub struct Server {
    path: PathBuf,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Listens at `path`, and passes on by `caller` what is asked there.
    ///
    /// # Errors
    /// When the socket cannot be made, e.g. as a machine listens there already.
    pub fn listen(path: &Path, caller: Caller) -> io::Result<Self> {
        // A socket nobody listens to was left behind by a process that was killed.
        let refuses =
            || UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        if is_socket(path) && refuses() {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path).map_err(|error| taken(path, error))?;
        let closed = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&closed);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let caller = caller.clone();
                std::thread::spawn(move || serve(&stream, &caller));
            }
        });
        Ok(Self { path: path.to_owned(), closed })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes who listens. A socket that somebody removed wakes nobody.
        drop(UnixStream::connect(&self.path));
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What is wrong with a place that is taken, and what to do.
fn taken(path: &Path, error: io::Error) -> io::Error {
    let sentence = match error.kind() {
        io::ErrorKind::AddrInUse if is_socket(path) => "another machine listens there; choose another path",
        io::ErrorKind::AddrInUse => "there is a file of that name; choose another path",
        io::ErrorKind::NotFound => "its folder is not there; make it, or choose another path",
        _ => return error,
    };
    io::Error::new(error.kind(), sentence)
}

/// Answers one program's lines until it goes.
fn serve(stream: &UnixStream, caller: &Caller) -> Option<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).ok()?;
        if read == 0 || read as u64 == MAX_LINE {
            return None;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let _unanswered = caller.unanswered();
        let answer = answer(&line, caller);
        let mut text = serde_json::to_vec(&answer).ok()?;
        text.push(b'\n');
        let mut out = stream;
        out.write_all(&text).ok()?;
    }
}

fn answer(line: &[u8], caller: &Caller) -> Answer {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(e) => return Answer::new(Value::Null, Err(format!("this is no request: {e}"))),
    };
    let outcome = request.method().and_then(|method| caller.ask_and_wait(method));
    Answer::new(request.id, outcome)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::control::Calls;

    #[test]
    fn only_a_socket_nobody_listens_at_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let listen = |path: &Path| Server::listen(path, Calls::new().0);
        let refused = |path: &Path| listen(path).err().map(|error| error.to_string()).unwrap_or_default();
        let file = folder.path().join("file");
        std::fs::write(&file, "what somebody wrote").unwrap();
        assert!(refused(&file).contains("a file of that name"));
        assert_eq!(std::fs::read(&file).unwrap(), b"what somebody wrote");
        assert!(refused(&folder.path().join("none/socket")).contains("its folder is not there"));
        let path = folder.path().join("socket");
        // As a process that was killed leaves it.
        drop(UnixListener::bind(&path).unwrap());
        let server = listen(&path).unwrap();
        assert!(refused(&path).contains("another machine listens there"));
        drop(server);
        assert!(!path.exists());
    }
}
