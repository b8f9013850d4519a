//! Files that are dropped on the window, as a file manager drops them: the source's side of XDND 5.

use super::{Desktop, await_some, missing};
use std::path::Path;
use x11rb::CURRENT_TIME;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask, PropMode, SELECTION_NOTIFY_EVENT,
    SelectionNotifyEvent, SelectionRequestEvent, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// The source.
struct Source {
    server: RustConnection,
    own: u32,
    /// The window it drops on.
    target: u32,
    files: String,
}

impl Source {
    fn new(desktop: &Desktop, files: &[&Path]) -> Self {
        let (server, screen) = x11rb::connect(Some(&desktop.server.display)).expect("the server is there");
        let root = server.setup().roots[screen].root;
        let own = server.generate_id().expect("there are ids");
        let (class, look) = (WindowClass::INPUT_ONLY, CreateWindowAux::new());
        server.create_window(0, own, root, 0, 0, 1, 1, 0, class, 0, &look).expect("a window");
        let files = files.iter().map(|file| format!("file://{}\r\n", file.display())).collect();
        let source = Self { server, own, target: desktop.window.parse().expect("a number"), files };
        let selection = source.atom("XdndSelection");
        source.server.set_selection_owner(own, selection, CURRENT_TIME).expect("it is owned");
        source
    }

    fn atom(&self, name: &str) -> u32 {
        self.server.intern_atom(false, name.as_bytes()).expect("it asks").reply().expect("an atom").atom
    }

    fn tell(&self, what: &str, data: [u32; 4]) {
        let data = [self.own, data[0], data[1], data[2], data[3]];
        let message = ClientMessageEvent::new(32, self.target, self.atom(what), data);
        self.server.send_event(false, self.target, EventMask::NO_EVENT, message).expect("it is sent");
        self.server.flush().expect("the server listens");
    }

    /// Waits until the window says that, and gives it the files when it asks for them.
    fn hear(&self, what: &str) {
        let wanted = self.atom(what);
        await_some(what, || match self.server.poll_for_event().expect("the server speaks")? {
            Event::SelectionRequest(request) => {
                self.give(request);
                None
            }
            Event::ClientMessage(message) => (message.type_ == wanted).then_some(()),
            _ => None,
        });
    }

    fn give(
        &self,
        SelectionRequestEvent { time, requestor, selection, target, property, .. }: SelectionRequestEvent,
    ) {
        let files = self.files.as_bytes();
        self.server
            .change_property8(PropMode::REPLACE, requestor, property, target, files)
            .expect("it is set");
        let notice = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time,
            requestor,
            selection,
            target,
            property,
        };
        self.server.send_event(false, requestor, EventMask::NO_EVENT, notice).expect("it is sent");
        self.server.flush().expect("the server listens");
    }
}

/// Drops files on the middle of the window.
fn drop_on(desktop: &Desktop, files: &[&Path]) {
    let source = Source::new(desktop, files);
    let [width, height, x, y] = desktop.place();
    let at = ((x + width / 2) as u32) << 16 | (y + height / 2) as u32;
    source.tell("XdndEnter", [5 << 24, source.atom("text/uri-list"), 0, 0]);
    source.tell("XdndPosition", [0, at, CURRENT_TIME, source.atom("XdndActionCopy")]);
    source.hear("XdndStatus");
    source.tell("XdndDrop", [0, CURRENT_TIME, 0, 0]);
    source.hear("XdndFinished");
}

#[test]
fn a_machine_is_given_a_disk_that_is_dropped_and_each_of_several_files_is_asked_about() {
    if let Some(sentence) = missing() {
        return eprintln!("{sentence}");
    }
    let machine = ["--firmware", "monitor", "--pci-hotplug", "--control", "socket"];
    let Some(desktop) = Desktop::start("drop", &machine) else { return };
    let disk = desktop.scratch.file("a disk.img", &[0; 1 << 20]);
    let text = desktop.scratch.file("text.txt", b"nothing a machine takes");
    desktop.chord("p");
    desktop.await_title("paused");
    let before = desktop.still();
    drop_on(&desktop, &[&disk, &text]);
    let first = desktop.still();
    assert!(first != before);
    desktop.press(&["Escape"]);
    let second = desktop.still();
    assert!(second != before && second != first, "the other file is asked about, too");
    desktop.press(&["Return"]);
    assert!(desktop.still() != second, "it can only be read that it is nothing");
    // From Cancel back over a new machine and NVMe to the first: a virtio disk.
    drop_on(&desktop, &[&disk]);
    desktop.still();
    desktop.press(&["shift+Tab", "shift+Tab", "shift+Tab", "Return"]);
    await_some("the disk", || {
        let said = desktop.ctl(&["device", "list"])?;
        (said.contains("\"disk0\"") && said.contains("\"virtio\"")).then_some(())
    });
    desktop.chord("q");
    assert_eq!(desktop.end().0, Some(0));
}
