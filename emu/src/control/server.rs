//! The socket's end in the machine's process: a thread for each program that is connected, which waits for the machine's
//! answer to each of its lines.

use super::socket::{UnixListener, UnixStream};
use super::{Answer, Method, Request};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Longest line that is read.
const MAX_LINE: u64 = 1 << 20;

/// A request on its way to the machine.
pub struct Call {
    pub method: Method,
    reply: Sender<Result<Value, String>>,
}

impl Call {
    /// Answers it. A program that has gone does not hear it.
    pub fn answer(self, outcome: Result<Value, String>) {
        let _ = self.reply.send(outcome);
    }
}

/// How long the end of a run is held up at most by programs that do not read their answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// Requests that wait for the machine. When this is dropped, so that there is no machine any more, those that still wait
/// are told so, and all answers are on their way.
pub struct Calls {
    receiver: Receiver<Call>,
    waiting: Arc<AtomicUsize>,
    unanswered: Arc<AtomicUsize>,
}

impl Drop for Calls {
    fn drop(&mut self) {
        while self.take().is_some() {}
        let start = Instant::now();
        while self.unanswered.load(Ordering::Acquire) != 0 && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A line that was read and whose answer is not written yet.
struct Unanswered<'a>(&'a AtomicUsize);

impl<'a> Unanswered<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Calls {
    /// Whether any waits. Cheap enough to ask at every slice.
    pub fn any(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// The next one, if any waits.
    pub fn take(&self) -> Option<Call> {
        self.receiver.try_recv().ok().inspect(|_| self.taken())
    }

    /// The next one, whenever it comes. `None` if none can come any more.
    pub fn wait(&self) -> Option<Call> {
        self.receiver.recv().ok().inspect(|_| self.taken())
    }

    fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that is listened to. It is removed with this value.
pub struct Server {
    path: PathBuf,
}

impl Server {
    /// Listens at `path`.
    ///
    /// # Errors
    /// When the socket cannot be made, e.g. as a machine listens there already.
    pub fn listen(path: &Path) -> io::Result<(Self, Calls)> {
        // A socket nobody listens to was left behind by a process that was killed.
        if UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let unanswered = Arc::new(AtomicUsize::new(0));
        let calls = Calls { receiver, waiting: Arc::clone(&waiting), unanswered: Arc::clone(&unanswered) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                let (waiting, unanswered) = (Arc::clone(&waiting), Arc::clone(&unanswered));
                std::thread::spawn(move || serve(&stream, &sender, &waiting, &unanswered));
            }
        });
        Ok((Self { path: path.to_owned() }, calls))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers one program's lines until it goes.
fn serve(
    stream: &UnixStream,
    calls: &Sender<Call>,
    waiting: &AtomicUsize,
    unanswered: &AtomicUsize,
) -> Option<()> {
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
        let _unanswered = Unanswered::new(unanswered);
        let answer = answer(&line, calls, waiting);
        let mut text = serde_json::to_vec(&answer).ok()?;
        text.push(b'\n');
        let mut out = stream;
        out.write_all(&text).ok()?;
    }
}

fn answer(line: &[u8], calls: &Sender<Call>, waiting: &AtomicUsize) -> Answer {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(e) => return Answer::new(Value::Null, Err(format!("this is no request: {e}"))),
    };
    let outcome = request.method().and_then(|method| {
        let (reply, answer) = channel();
        waiting.fetch_add(1, Ordering::Relaxed);
        let ended = || "the run has ended".to_owned();
        calls.send(Call { method, reply }).map_err(|_| ended())?;
        answer.recv().map_err(|_| ended())?
    });
    Answer::new(request.id, outcome)
}
