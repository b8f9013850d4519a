//! A hand, an eye and an ear that are quick enough to measure with: programs that are started for one key, one picture or
//! one question take longer than what is measured.

use super::Desktop;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, ImageFormat};
use x11rb::rust_connection::RustConnection;

/// An xdotool that waits for what to do.
pub struct Hand {
    child: Child,
    words: Option<ChildStdin>,
}

impl Hand {
    pub fn of(desktop: &Desktop) -> Self {
        let mut child = Command::new("xdotool")
            .arg("-")
            .env("DISPLAY", &desktop.server.display)
            .stdin(Stdio::piped())
            .spawn()
            .expect("xdotool starts");
        let words = child.stdin.take();
        let mut hand = Self { child, words };
        // It has read its first line when it is ready for the next.
        hand.does("getmouselocation");
        std::thread::sleep(std::time::Duration::from_millis(200));
        hand
    }

    /// Does it now.
    pub fn does(&mut self, what: &str) {
        let words = self.words.as_mut().expect("it listens");
        writeln!(words, "{what}").and_then(|()| words.flush()).expect("xdotool listens");
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        drop(self.words.take());
        let _ = self.child.wait();
    }
}

/// Looks at part of the window.
pub struct Eye {
    server: RustConnection,
    window: u32,
    /// Left, top, width and height of the part.
    part: (i16, i16, u16, u16),
}

impl Eye {
    pub fn on(desktop: &Desktop, part: (i16, i16, u16, u16)) -> Self {
        let (server, _) = x11rb::connect(Some(&desktop.server.display)).expect("the server is there");
        server.flush().expect("the server listens");
        Self { server, window: desktop.window.parse().expect("a number"), part }
    }

    pub fn sees(&self) -> Vec<u8> {
        let (x, y, width, height) = self.part;
        let asked = self.server.get_image(ImageFormat::Z_PIXMAP, self.window, x, y, width, height, !0);
        asked.expect("the server listens").reply().expect("the window is there").data
    }
}

/// Asks the machine by its control socket.
pub struct Ear(BufReader<UnixStream>);

impl Ear {
    pub fn at(desktop: &Desktop) -> Self {
        Self::at_socket(&desktop.socket())
    }

    pub fn at_socket(socket: &Path) -> Self {
        let stream = super::await_some("the socket", || UnixStream::connect(socket).ok());
        Self(BufReader::new(stream))
    }

    /// Asks, and does not wait.
    pub fn ask(&mut self, method: &str, params: Value) {
        let line = json!({ "id": 1, "method": method, "params": params });
        writeln!(self.0.get_mut(), "{line}").expect("the machine listens");
    }

    /// The answer to what was asked; `None` if the machine is gone.
    pub fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|length| *length != 0)?;
        serde_json::from_str(&line).ok()
    }

    /// Where the machine stands.
    pub fn step(&mut self) -> u64 {
        self.ask("status", json!({}));
        self.hear().and_then(|answer| answer["result"]["step"].as_u64()).expect("it answers")
    }
}
