//! A debugger by the control socket: what it shows, where it stops, that it leaves the run as it is, and that what it changes is
//! an input, on both engines.

use amber_tests::caller::{CALLER, MAP};
use amber_tests::program::{Scratch, amber, run};
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A run of it that is asked. Killed with this value.
struct Asked {
    child: Option<Child>,
    socket: String,
    map: String,
}

impl Asked {
    fn start(folder: &Scratch, args: &[&str]) -> Self {
        let flat = format!("{}@0x100000", folder.file("caller.bin", CALLER).display());
        let map = folder.file("System.map", MAP).display().to_string();
        let socket = folder.0.join("socket").display().to_string();
        let child = Command::new(amber())
            .args(["run", "--flat", &flat, "--memory", "16M", "--headless", "--hash", "--control", &socket])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("amber starts");
        let started = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(started.elapsed() < PATIENCE, "nobody listens at {socket}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child: Some(child), socket, map }
    }

    fn try_ask(&self, words: &[&str]) -> Result<Value, String> {
        let output = run(&[&["ctl", &self.socket], words].concat());
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).expect("answers are JSON")),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn ask(&self, words: &[&str]) -> Value {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Why the machine stands, when it does.
    fn stopped(&self) -> Value {
        let started = Instant::now();
        loop {
            let status = self.ask(&["status"]);
            if status["state"] == "paused" {
                return status["stopped"].clone();
            }
            assert!(started.elapsed() < PATIENCE, "it never stops: {status}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where the machine stands after it was asked to go on.
    fn after(&self, words: &[&str]) -> (Value, Value) {
        self.ask(words);
        let stopped = self.stopped();
        (stopped["why"].clone(), stopped["address"].clone())
    }

    fn register(&self, name: &str) -> String {
        let registers = self.ask(&["registers"]);
        let rows = registers["registers"].as_array().expect("registers").clone();
        let row = rows.into_iter().find(|row| row["name"] == name).expect("there is such a register");
        row["value"].as_str().expect("a value").to_owned()
    }

    /// The state hash the run ends with.
    fn end(mut self) -> String {
        let child = self.child.take().expect("it ends once");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.lines()
            .find(|line| line.starts_with("state-hash"))
            .unwrap_or_else(|| panic!("{said}"))
            .to_owned()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn at(why: &str, address: &str) -> (Value, Value) {
    (why.into(), address.into())
}

#[test]
fn a_stopped_guest_shows_registers_code_stack_and_sections() {
    let folder = Scratch::new("debug-shows");
    let guest = Asked::start(&folder, &[]);
    assert_eq!(guest.ask(&["symbols", &guest.map])["symbols"], 4);
    guest.ask(&["break", "inner"]);
    let stopped = guest.stopped();
    assert_eq!((&stopped["why"], &stopped["symbol"]), (&"breakpoint".into(), &"inner".into()));
    let lines = guest.ask(&["disassemble", "2", "inner", "3"])["lines"].clone();
    let column = |name: &str| {
        let rows = lines.as_array().expect("lines").iter();
        rows.map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(column("text"), ["call 0x100021", "pop rax", "ret", "add rax, 0x2", "ret"]);
    assert_eq!(column("symbol"), ["outer+0x1", "outer+0x6", "outer+0x7", "inner", "inner+0x4"]);
    assert_eq!(column("target-symbol"), ["inner", "-", "-", "-", "-"]);
    assert_eq!(column("bytes")[3], "48 83 c0 02");
    let stack = guest.ask(&["stack", "3"])["values"].clone();
    assert_eq!(stack[0]["symbol"], "outer+0x6");
    assert_eq!(stack[2]["value"], "0x000000000010000c");
    assert_eq!(guest.register("rip"), "0x0000000000100021");
    assert_eq!(guest.register("rsp"), "0x00000000001fffe8");
    let read = guest.ask(&["read-linear", "inner", "5"]);
    assert_eq!(read["bytes"], guest.ask(&["read", "0x100021", "5"])["bytes"]);
    assert_eq!(read["bytes"], "4883c002c3");
    assert_eq!(guest.ask(&["locate", "0x100020"])["symbol"], "outer+0x7");
    let sections = guest.ask(&["sections"])["sections"].clone();
    assert!(sections.as_array().expect("sections").iter().any(|section| section["path"] == "platform0/pit"));
    let fields = guest.ask(&["fields", "cpu0"])["fields"].clone();
    let rip = fields.as_array().expect("fields").iter().find(|field| field["path"] == "cpu0.rip");
    assert_eq!(rip.expect("it has one")["plain"], "1048609");
    for (words, why) in [
        (&["fields", "cpu7"][..], "no section"),
        (&["registers", "1"], "no processor 1"),
        (&["break", "nowhere"], "no symbol nowhere"),
        (&["watch", "counter", "0", "false", "true"], "watches 1 to"),
        (&["watch", "counter", "8", "false", "false"], "neither"),
        (&["unbreak", "9"], "no breakpoint 9"),
    ] {
        let error = guest.try_ask(words).expect_err("it is refused");
        assert!(error.contains(why), "{words:?}: {error}");
    }
}

#[test]
fn steps_go_into_over_and_out_of_calls_and_watchpoints_stop() {
    let folder = Scratch::new("debug-steps");
    let guest = Asked::start(&folder, &[]);
    guest.ask(&["symbols", &guest.map]);
    let inner = guest.ask(&["break", "inner"])["id"].to_string();
    assert_eq!(guest.stopped()["address"], "0x100021");
    // A breakpoint it stands at does not hold it.
    let rbx = guest.register("rbx");
    assert_eq!(guest.after(&["resume"]), at("breakpoint", "0x100021"));
    assert_ne!(guest.register("rbx"), rbx);
    assert_eq!(guest.after(&["step-out"]), at("step", "0x10001f"));
    assert_eq!(guest.after(&["step-out"]), at("step", "0x10000c"));
    assert_eq!(guest.after(&["run-to", "main"]), at("step", "0x100007"));
    assert_eq!(guest.after(&["step-over"]), at("breakpoint", "0x100021"), "a breakpoint is on the way");
    guest.ask(&["break-enable", &inner, "false"]);
    guest.after(&["run-to", "main"]);
    assert_eq!(guest.after(&["step-over"]), at("step", "0x10000c"));
    assert_eq!(guest.after(&["step-into"]), at("step", "0x10000f"));
    let id = guest.ask(&["watch", "counter", "8", "false", "true"])["id"].clone();
    assert_eq!(guest.after(&["resume"]), at("watchpoint", "0x100017"));
    assert_eq!(guest.stopped()["id"], id);
    guest.ask(&["unbreak", &id.to_string()]);
    assert_eq!(guest.ask(&["break-list"])["points"].as_array().map(Vec::len), Some(1));
    guest.ask(&["resume"]);
    assert!(guest.try_ask(&["step-over"]).expect_err("it runs").contains("pause it first"));
    guest.ask(&["pause"]);
    assert_eq!(guest.stopped()["why"], "pause");
}

#[test]
fn whoever_looks_and_stops_changes_nothing() {
    let folder = Scratch::new("debug-nothing");
    let end = ["--stop-at", "400000000"];
    let alone = Asked::start(&folder, &end).end();
    let guest = Asked::start(&folder, &end);
    guest.ask(&["symbols", &guest.map]);
    let id = guest.ask(&["break", "inner"])["id"].to_string();
    guest.stopped();
    for words in [&["step-over"][..], &["step-out"], &["step-into"], &["run-to", "main"], &["step", "3"]] {
        guest.after(words);
        guest.ask(&["registers"]);
        guest.ask(&["disassemble", "20", "inner", "20"]);
        guest.ask(&["stack", "20"]);
        guest.ask(&["fields", "platform0/pit"]);
    }
    guest.ask(&["unbreak", &id]);
    guest.ask(&["resume"]);
    assert_eq!(guest.end(), alone);
}

/// A recorded run in which somebody changes a register, a device, and code that is then executed.
fn edited(engine: &str) {
    let folder = Scratch::new(&format!("debug-edits-{engine}"));
    let log = folder.0.join("log").display().to_string();
    let guest = Asked::start(&folder, &["--record", &log, "--engine", engine]);
    guest.ask(&["symbols", &guest.map]);
    assert!(guest.try_ask(&["set", "cpu0.rbx", "1"]).expect_err("it runs").contains("pause it first"));
    let id = guest.ask(&["break", "main"])["id"].to_string();
    guest.stopped();
    let before = guest.ask(&["hash"]);
    for (words, why) in [
        (&["set", "cpu0.nothing", "1"][..], "there is no nothing"),
        (&["set", "cpu9.rip", "1"], "there is no such section"),
        (&["set", "platform0/pit.counters[0].access", "300"], "0 to 255"),
        (&["set", "platform0/pm.smm", "false"], "no machine can be so"),
        (&["set", "machine.step", "1"], "section machine"),
        (&["set", "config.memory", "4096"], "section config"),
        (&["write", "0xfee00000", "00"], "no memory that can be written"),
        (&["write", "0x100000", "0"], "hexadecimal"),
        (&["write-linear", "0xffff800000000000", "00"], "not mapped"),
    ] {
        let error = guest.try_ask(words).expect_err("it is refused");
        assert!(error.contains(why), "{words:?}: {error}");
    }
    assert_eq!(guest.ask(&["hash"]), before, "what is refused changes nothing");
    guest.ask(&["set", "cpu0.rbx", "0x1000"]);
    assert_eq!(guest.register("rbx"), "0x0000000000001000");
    guest.ask(&["set", "cpu0.rax", "0"]);
    guest.ask(&["set", "platform0/pit.counters[0].count", "1234"]);
    let fields = guest.ask(&["fields", "platform0/pit"]).to_string();
    assert!(fields.contains("\"1234\""), "{fields}");
    // inc rbx becomes dec rbx; the sum is in RAX when inner no longer keeps it.
    guest.ask(&["write-linear", "main+7", "CB"]);
    guest.ask(&["write", "0x100019", "90"]);
    guest.ask(&["write", "0x10001f", "90"]);
    guest.ask(&["write-linear", "inner+3", "07"]);
    assert_eq!(guest.after(&["step-over"]), at("step", "0x10000c"));
    assert_eq!(guest.register("rax"), "0x0000000000000007");
    guest.after(&["resume"]);
    assert_eq!(guest.register("rbx"), "0x0000000000000fff");
    guest.ask(&["unbreak", &id]);
    guest.ask(&["resume"]);
    std::thread::sleep(Duration::from_millis(200));
    guest.ask(&["quit"]);
    let hash = guest.end();
    let again = run(&["replay", &log, "--hash"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("the same run") && said.contains(&hash), "{said}");
    // The log means the same to the other engine.
    let both = run(&["bisect", &log, &log, "--engine-a", "interp", "--engine-b", "jit"]);
    let told = String::from_utf8_lossy(&both.stdout);
    assert!(
        both.status.success() && told.contains("nothing differs"),
        "{told}{}",
        String::from_utf8_lossy(&both.stderr)
    );
}

#[test]
fn changes_are_inputs_to_translated_code() {
    edited("jit");
}

#[test]
fn changes_are_inputs_to_interpreted_code() {
    edited("interp");
}
