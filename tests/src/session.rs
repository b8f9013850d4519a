//! A run as `amber run` has it, in a thread, asked as `amber ctl` asks.

use amber_emu::cli::console::Console;
use amber_emu::cli::session::Session;
use amber_emu::cli::{args::MachineArgs, run};
use amber_emu::config::MachineConfig;
use amber_emu::control::{Caller, Calls, Method};
use amber_emu::machine::Stop;
use serde_json::Value;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// See the module. It begins paused.
pub struct Asked {
    caller: Caller,
    thread: JoinHandle<Stop>,
}

impl Asked {
    /// Starts it; with `lingers` a guest that ends leaves it paused.
    pub fn start(config: MachineConfig, lingers: bool) -> Self {
        let (caller, calls) = Calls::new();
        caller.ask(Method::Pause, |_| ());
        let asking = caller.clone();
        let thread = std::thread::spawn(move || {
            let (mut machine, parent) = run::start(&config, &MachineArgs::default()).expect("it is built");
            let console = Console::deaf(Box::new(std::io::sink()), None, None);
            let mut host =
                run::host(&config, &mut machine, console, Some((asking, calls))).expect("it is hosted");
            host.lingers = lingers;
            let mut session = Session::new(&mut machine, &config, parent).expect("it has names");
            let stop = session.run(u64::MAX, &mut host).expect("it runs");
            run::end(&mut session, &mut host).expect("it ends");
            stop
        });
        Self { caller, thread }
    }

    /// Asks.
    pub fn ask(&self, method: Method) -> Result<Value, String> {
        self.caller.ask_and_wait(method)
    }

    /// Asks, and does not wait for the answer.
    pub fn begin(&self, method: Method) {
        self.caller.ask(method, |_| ());
    }

    /// Asks; the answer comes there.
    pub fn later(&self, method: Method) -> Receiver<Result<Value, String>> {
        let (reply, answer) = channel();
        self.caller.ask(method, move |outcome| drop(reply.send(outcome)));
        answer
    }

    /// Asks for what is not refused.
    pub fn get(&self, method: Method) -> Value {
        let what = format!("{method:?}");
        self.ask(method).unwrap_or_else(|why| panic!("{what}: {why}"))
    }

    /// Where it stands.
    pub fn step(&self) -> u64 {
        self.get(Method::Status)["step"].as_u64().expect("a number")
    }

    /// How it stands, when it does.
    pub fn stands(&self) -> Value {
        let start = Instant::now();
        loop {
            let status = self.get(Method::Status);
            if status["state"] == "paused" {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it never stands: {status}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn hash(&self) -> String {
        self.get(Method::Hash)["state-hash"].as_str().expect("a hash").to_owned()
    }

    /// Ends it.
    pub fn quit(self) -> Stop {
        let (told, heard) = channel::<()>();
        self.caller.ask(Method::Quit, move |_| {
            let _ = told.send(());
        });
        let _ = heard.recv();
        self.thread.join().expect("it does not panic")
    }
}
