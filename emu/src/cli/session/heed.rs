//! What is asked while the machine is on its way through its past: it may be far, and nobody is to wait for an answer, or to be
//! kept from giving it up.

use super::Session;
use crate::cli::host::SessionHost;
use crate::control::{Call, Calls, Method};

/// What becomes of a way through the past for what is asked meanwhile.
enum Asked {
    /// It is answered at once.
    Answered,
    /// It has its turn afterwards, wherever the machine stands then.
    Anywhere,
    /// It has its turn when the machine is there.
    There,
    /// It makes the way needless.
    Instead,
    /// The run ends.
    End,
}

fn asked(method: &Method) -> Asked {
    match method {
        Method::Status => Asked::Answered,
        Method::Resume | Method::Play | Method::History | Method::Speed { .. } => Asked::Anywhere,
        Method::Pause
        | Method::Rewind { .. }
        | Method::StepBack { .. }
        | Method::ReverseContinue
        | Method::ReverseStep { .. }
        | Method::ReverseStepOver { .. }
        | Method::Return { .. }
        | Method::Load { .. } => Asked::Instead,
        Method::Quit => Asked::End,
        _ => Asked::There,
    }
}

impl Session<'_> {
    /// Looks at what was asked; whether the machine is to give up where it goes.
    pub(super) fn heed(&mut self, host: &SessionHost) -> bool {
        while let Some(call) = host.calls.as_ref().and_then(Calls::take) {
            match asked(&call.method) {
                Asked::Answered => {
                    let status = self.status();
                    call.answer(Ok(status));
                    continue;
                }
                // Nobody will hear what the others would be told.
                Asked::End => self.queued.clear(),
                Asked::Anywhere | Asked::There | Asked::Instead => {}
            }
            self.queued.push_back(call);
        }
        // What was asked to be done there must not be done elsewhere.
        let decides = |call: &Call| !matches!(asked(&call.method), Asked::Anywhere | Asked::Answered);
        let Some(first) = self.queued.iter().position(decides) else { return false };
        let instead = !matches!(asked(&self.queued[first].method), Asked::There);
        if instead {
            self.forget_to_resume(first);
        }
        instead
    }

    /// Whoever wanted the machine to run on from where it does not come has it stand where it is: what is ahead there is not left.
    fn forget_to_resume(&mut self, before: usize) {
        let later = self.queued.split_off(before);
        let status = self.status();
        for call in std::mem::replace(&mut self.queued, later).into_iter().rev() {
            match call.method {
                Method::Resume => call.answer(Ok(status.clone())),
                _ => self.queued.push_front(call),
            }
        }
    }

    /// The next thing another program asks for; waited for while the machine stands.
    pub(super) fn next_call(&mut self, host: &SessionHost) -> Option<Call> {
        self.queued.pop_front().or_else(|| host.next_call(self.paused))
    }
}
