//! What the machine is asked by other threads, and its answers.

use super::Method;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What is done with an answer. Dropped where there is none, because the run has ended.
type Reply = Box<dyn FnOnce(Result<Value, String>) + Send>;

/// A request on its way to the machine.
pub struct Call {
    pub method: Method,
    reply: Reply,
}

impl Call {
    /// Answers it. A program that has gone does not hear it.
    pub fn answer(self, outcome: Result<Value, String>) {
        (self.reply)(outcome);
    }
}

/// How long the end of a run is held up at most by programs that do not read their answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// Requests that wait for the machine. When this is dropped, so that there is no machine any more, those that still wait
/// are told so, and all answers are on their way.
pub struct Calls {
    receiver: Receiver<Call>,
    /// Nobody can ask any more when all callers are gone.
    sender: Weak<Sender<Call>>,
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

impl Calls {
    /// A caller, and what reaches the machine by it.
    pub fn new() -> (Caller, Self) {
        let (sender, receiver) = channel();
        let sender = Arc::new(sender);
        let weak = Arc::downgrade(&sender);
        let waiting = Arc::new(AtomicUsize::new(0));
        let unanswered = Arc::new(AtomicUsize::new(0));
        let caller = Caller { sender, waiting: Arc::clone(&waiting), unanswered: Arc::clone(&unanswered) };
        (caller, Self { receiver, sender: weak, waiting, unanswered })
    }

    /// One more who asks, while there is any.
    pub fn caller(&self) -> Option<Caller> {
        let (waiting, unanswered) = (Arc::clone(&self.waiting), Arc::clone(&self.unanswered));
        Some(Caller { sender: self.sender.upgrade()?, waiting, unanswered })
    }

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

/// One who asks the machine. Its clones ask the same machine.
#[derive(Clone)]
pub struct Caller {
    sender: Arc<Sender<Call>>,
    waiting: Arc<AtomicUsize>,
    unanswered: Arc<AtomicUsize>,
}

impl Caller {
    /// Asks, and does not wait: `reply` is called by the machine's thread, or dropped when the run has ended.
    pub fn ask(&self, method: Method, reply: impl FnOnce(Result<Value, String>) + Send + 'static) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Where there is no machine any more, the reply is dropped with the call.
        let _ = self.sender.send(Call { method, reply: Box::new(reply) });
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What the machine says, or that the run has ended.
    pub fn ask_and_wait(&self, method: Method) -> Result<Value, String> {
        let (reply, answer) = channel();
        // A program that has gone hears nothing.
        self.ask(method, move |outcome| drop(reply.send(outcome)));
        answer.recv().map_err(|_| "the run has ended".to_owned())?
    }

    /// Holds up the end of the run until this is dropped, for an answer that is still to be passed on.
    pub(super) fn unanswered(&self) -> Unanswered<'_> {
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        Unanswered(&self.unanswered)
    }
}

/// A request whose answer has not been passed on yet.
pub(super) struct Unanswered<'a>(&'a AtomicUsize);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_answered_and_a_run_that_ended_answers_none() {
        let (caller, calls) = Calls::new();
        assert!(!calls.any());
        let asker = caller.clone();
        let thread = std::thread::spawn(move || asker.ask_and_wait(Method::Status));
        let call = calls.wait().expect("it was asked");
        assert!(!calls.any());
        assert_eq!(call.method, Method::Status);
        call.answer(Ok(json!(7)));
        assert_eq!(thread.join().unwrap(), Ok(json!(7)));
        let (told, heard) = channel();
        caller.ask(Method::Pause, move |outcome| told.send(outcome).unwrap());
        assert!(calls.any());
        drop(calls);
        assert!(heard.recv().is_err(), "the reply was dropped unused");
        assert_eq!(caller.ask_and_wait(Method::Hash), Err("the run has ended".to_owned()));
    }
}
