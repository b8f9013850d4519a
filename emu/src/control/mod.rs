//! The control socket: another program's way to a running machine. JSON lines over a Unix socket, one request and one
//! answer each; `docs/control.md` lists the methods. A window in the machine's process asks the same by a `Caller`.

mod calls;
pub mod keys;
mod place;
mod server;
pub(crate) mod socket;

pub use calls::{Call, Caller, Calls};
pub use place::Place;
pub use server::Server;
pub use socket::UnixStream;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// A line from the other program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Comes back in the answer.
    pub id: Value,
    pub method: String,
    #[serde(default)]
    pub params: Value,
}

/// The answer to a request: a result or a sentence that says why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub id: Value,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// What the machine is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// Where the machine stands.
    Status,
    /// Stop until `resume`.
    Pause,
    /// Go on; what is ahead of a machine that went back is a way it leaves.
    Resume,
    /// Go on along what is ahead of a machine that went back, as it was, and beyond its end.
    Play,
    /// Take so many steps of a paused machine.
    Step { count: u64 },
    /// Run a paused machine to the next frame of its screen.
    Frame,
    /// Virtual time goes at so many percent of the wall clock's, or as fast as it can.
    Speed {
        #[serde(default)]
        percent: Option<u32>,
    },
    /// What is remembered of the run.
    History,
    /// The machine stands at that step: back, or forward as far as it was.
    Rewind { step: u64 },
    /// A paused machine takes so many steps back.
    StepBack { count: u64 },
    /// The machine stands at the end of a way it left.
    Return { branch: u64 },
    /// Save a snapshot under a name.
    Save { name: String },
    /// Go on from a snapshot.
    Load { snapshot: String },
    /// The state hash.
    Hash,
    /// The counters `--stats` prints.
    Stats,
    /// Bytes for serial port 0.
    Serial { text: String },
    /// Text typed at the virtio console.
    Console { text: String },
    /// Text for the channel beside it.
    ChannelWrite { text: String },
    /// What the guest wrote to the channel.
    ChannelRead,
    /// The files of the share go to a folder.
    ShareExport { tag: String, folder: PathBuf },
    /// The share has the files of a folder from now on.
    ShareLoad { tag: String, folder: PathBuf },
    /// A picture of the screen, as a PNG file.
    Screenshot { file: PathBuf },
    /// The characters on a text screen.
    Text,
    /// Text for the keyboard.
    Type { text: String },
    /// Keys for the keyboard, by name.
    Key { keys: String },
    /// Motion to the right and down, the wheel's towards the user, and the buttons that are down.
    Mouse {
        dx: i32,
        dy: i32,
        #[serde(default)]
        wheel: i32,
        #[serde(default)]
        buttons: u8,
    },
    /// The place of an absolute pointer, the wheel's motion towards the user, and the buttons that are down.
    Pointer {
        x: u16,
        y: u16,
        #[serde(default)]
        wheel: i32,
        #[serde(default)]
        buttons: u8,
    },
    /// The reset button.
    Reset,
    /// The power button.
    Power,
    /// Plug the network adapter's cable in, or pull it out.
    NetLink { state: LinkState },
    /// A processor comes, the one with the lowest free id unless it is named.
    CpuAdd(Option<CpuPlace>),
    /// The guest is asked to let go of a processor; answered when it has, or refuses.
    CpuRemove { id: u32 },
    /// The processors and their places.
    CpuList,
    /// A memory module of this size comes, in the first free slot.
    MemoryAdd { size: String },
    /// The guest is asked to let go of a memory module; answered when it has, or refuses.
    MemoryRemove { slot: u8 },
    /// The slots for memory modules.
    MemoryList,
    /// A device comes: a disk or a network adapter, as the option of a run describes one.
    DeviceAdd { kind: DeviceKind, device: String },
    /// The guest is asked to let go of a device, by its name; answered when it has.
    DeviceRemove { id: String },
    /// The devices that can go.
    DeviceList,
    /// The drives for media, and what is in them.
    MediaList,
    /// What the guest finds on the medium of a drive is written to a new file; answered when it is.
    MediaExport { drive: String, file: PathBuf },
    /// A medium is put into a drive, by its name; answered when it is in, which waits for a guest that holds the one there.
    Insert {
        drive: String,
        file: PathBuf,
        #[serde(default, rename = "read-only")]
        read_only: bool,
    },
    /// The medium of a drive is taken out; answered when it is, which waits for a guest that holds it unless it is forced.
    Eject {
        drive: String,
        #[serde(default)]
        force: bool,
    },
    /// Bytes of physical memory, as hexadecimal digits.
    Read { address: u64, len: u64 },
    /// The registers of a processor, by its index.
    Registers {
        #[serde(default)]
        cpu: u32,
    },
    /// So many instructions from a linear address on (that of the next one unless it is given), and so many before it.
    Disassemble {
        #[serde(default)]
        cpu: u32,
        #[serde(default)]
        address: Option<Place>,
        count: u32,
        #[serde(default)]
        before: u32,
    },
    /// Bytes of memory as a processor sees it.
    ReadLinear {
        #[serde(default)]
        cpu: u32,
        address: Place,
        len: u64,
    },
    /// The top of a processor's stack.
    Stack {
        #[serde(default)]
        cpu: u32,
        count: u32,
    },
    /// The sections the machine's state consists of.
    Sections,
    /// What a section says, field by field.
    Fields { section: String },
    /// Names for addresses, from an ELF or a System.map.
    Symbols { file: PathBuf },
    /// The address of a place, and its name.
    Locate { place: Place },
    /// Pause before the instruction at a linear address.
    Break { address: Place },
    /// Pause after an access to memory.
    Watch { address: Place, len: u64, read: bool, write: bool },
    /// Forget a breakpoint or watchpoint.
    Unbreak { id: u32 },
    /// Have a breakpoint or watchpoint count, or not.
    BreakEnable { id: u32, enabled: bool },
    /// All breakpoints and watchpoints.
    BreakList,
    /// A paused machine goes on until that processor has taken a step.
    StepInto {
        #[serde(default)]
        cpu: u32,
    },
    /// The same, but a call is one step.
    StepOver {
        #[serde(default)]
        cpu: u32,
    },
    /// A paused machine goes back to where a breakpoint or watchpoint last stopped it, or would have.
    ReverseContinue,
    /// A paused machine goes back to before the last step of that processor.
    ReverseStep {
        #[serde(default)]
        cpu: u32,
    },
    /// The same, but a call that has returned is one step.
    ReverseStepOver {
        #[serde(default)]
        cpu: u32,
    },
    /// A paused machine goes on until the function that processor is in has returned.
    StepOut {
        #[serde(default)]
        cpu: u32,
    },
    /// A paused machine goes on to a linear address.
    RunTo { address: Place },
    /// Give a field of the paused machine's state another value.
    Set { path: String, value: String },
    /// Replace bytes of physical memory; `bytes` are hexadecimal digits.
    Write { address: u64, bytes: String },
    /// Replace bytes of memory as a processor sees it.
    WriteLinear {
        #[serde(default)]
        cpu: u32,
        address: Place,
        bytes: String,
    },
    /// End the run.
    Quit,
}

/// What is done to a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    Up,
    Down,
}

/// Kinds of devices that come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    Disk,
    Net,
}

/// A place for a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuPlace {
    pub id: u32,
}

impl Request {
    /// What is asked.
    ///
    /// # Errors
    /// A sentence that names the method or parameter at fault.
    pub fn method(&self) -> Result<Method, String> {
        let none = serde_json::json!({});
        let method = &self.method;
        let with = |params: &Value| {
            serde_json::from_value(serde_json::json!({ "method": method, "params": params }))
        };
        let understood = match self.params.is_null() || self.params == none {
            false => with(&self.params),
            // Methods without parameters have none, and others may do without those they have.
            true => {
                let alone = serde_json::from_value(serde_json::json!({ "method": method }));
                alone.or_else(|_| with(&none))
            }
        };
        understood.map_err(|e| format!("{method}: {e}"))
    }
}

impl Answer {
    /// The answer to request `id`.
    pub fn new(id: Value, outcome: Result<Value, String>) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Self { id, result, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(line: &str) -> Result<Method, String> {
        serde_json::from_str::<Request>(line).map_err(|e| e.to_string())?.method()
    }

    #[test]
    fn requests_are_understood_or_refused_by_name() {
        assert_eq!(method(r#"{"id":1,"method":"status"}"#), Ok(Method::Status));
        assert_eq!(method(r#"{"id":1,"method":"status","params":{}}"#), Ok(Method::Status));
        assert_eq!(method(r#"{"id":1,"method":"cpu-add"}"#), Ok(Method::CpuAdd(None)));
        let named = method(r#"{"id":1,"method":"cpu-add","params":{"id":2}}"#);
        assert_eq!(named, Ok(Method::CpuAdd(Some(CpuPlace { id: 2 }))));
        let save = method(r#"{"id":"a","method":"save","params":{"name":"x"}}"#);
        assert_eq!(save, Ok(Method::Save { name: "x".into() }));
        assert_eq!(method(r#"{"id":1,"method":"registers"}"#), Ok(Method::Registers { cpu: 0 }));
        let place = Place::Text("main+4".into());
        let named = method(r#"{"id":1,"method":"break","params":{"address":"main+4"}}"#);
        assert_eq!(named, Ok(Method::Break { address: place }));
        let numbered = method(r#"{"id":1,"method":"break","params":{"address":4096}}"#);
        assert_eq!(numbered, Ok(Method::Break { address: Place::Address(4096) }));
        for bad in [
            r#"{"id":1,"method":"sing"}"#,
            r#"{"id":1,"method":"save"}"#,
            r#"{"id":1,"method":"save","params":{"name":1}}"#,
            r#"{"id":1,"method":"step","params":{"count":-1}}"#,
            r#"{"method":"status"}"#,
            "[]",
        ] {
            assert!(method(bad).is_err(), "{bad}");
        }
    }
}
