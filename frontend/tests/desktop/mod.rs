//! A desktop of a test's own: an X server without a screen, the program in it, and a person's hands and eyes.

mod cost;
pub mod display;
mod drop;
mod faults;
mod guests;
mod hand;
mod latency;
mod recorded;
mod snapshots;
mod sound;

use amber_tests::program::{Scratch, amber, run};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The right Ctrl by its X keycode: by its name, xdotool presses the left one with it.
pub const HOST: &str = "105";

/// Asks `what` again and again until it has an answer.
pub fn await_some<T>(name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = what() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited for {name}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Pixels: red, green and blue.
#[derive(PartialEq)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 3]>,
}

impl Image {
    pub fn read(file: &Path) -> Self {
        let file = BufReader::new(std::fs::File::open(file).expect("it was written"));
        let mut decoder = png::Decoder::new(file);
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("it has a size")];
        let info = reader.next_frame(&mut bytes).expect("a whole PNG");
        let samples = info.color_type.samples();
        let pixel = |bytes: &[u8]| match samples {
            1 | 2 => [bytes[0]; 3],
            _ => [bytes[0], bytes[1], bytes[2]],
        };
        let pixels = bytes[..info.buffer_size()].chunks_exact(samples).map(pixel).collect();
        Self { width: info.width as usize, height: info.height as usize, pixels }
    }

    /// With each pixel as a square of `factor` pixels a side.
    pub fn enlarged(&self, factor: usize) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let pixel = |n: usize| self.line(n / width / factor)[n % width / factor];
        Self { width, height, pixels: (0..width * height).map(pixel).collect() }
    }

    fn line(&self, y: usize) -> &[[u8; 3]] {
        &self.pixels[y * self.width..][..self.width]
    }

    /// Where `part` is in this image, pixel by pixel.
    pub fn find(&self, part: &Self) -> Option<(usize, usize)> {
        let wide = self.width.checked_sub(part.width)?;
        let high = self.height.checked_sub(part.height)?;
        let is_at = |x: usize, y: usize| {
            (0..part.height).all(|line| self.line(y + line)[x..x + part.width] == *part.line(line))
        };
        (0..=high).flat_map(|y| (0..=wide).map(move |x| (x, y))).find(|(x, y)| is_at(*x, *y))
    }

    /// How many colours it has.
    pub fn colours(&self) -> usize {
        self.pixels.iter().collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// Why no window can be tested here, if so.
pub fn missing() -> Option<String> {
    let finds =
        |tool: &str| Command::new("which").arg(tool).output().is_ok_and(|output| output.status.success());
    let tools = ["Xvfb", "xdotool", "import"];
    let missing = tools.into_iter().find(|tool| !finds(tool));
    missing.map(|tool| format!("{tool} is not installed: no window is tested"))
}

/// An X server without a screen.
pub struct Server {
    child: Child,
    display: String,
}

impl Server {
    pub fn start() -> Self {
        let mut child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb starts");
        let mut number = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut number).expect("Xvfb says its number");
        Self { child, display: format!(":{}", number.trim()) }
    }

    /// Runs a tool there; what it says, if it succeeds.
    pub fn tool(&self, name: &str, args: &[&str]) -> Option<String> {
        let output = Command::new(name).args(args).env("DISPLAY", &self.display).output().expect(name);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program in its window.
pub struct Desktop {
    pub server: Server,
    child: Child,
    window: String,
    pub scratch: Rc<Scratch>,
}

impl Desktop {
    /// Starts it, with a control socket; `None` with a sentence on standard error where nothing draws.
    pub fn start(name: &str, args: &[&str]) -> Option<Self> {
        Self::start_in(Rc::new(Scratch::new(&format!("desktop-{name}"))), args, &[])
    }

    /// Starts it in a folder, whose settings and snapshots it has, with variables of the environment.
    pub fn start_in(scratch: Rc<Scratch>, args: &[&str], environment: &[(&str, String)]) -> Option<Self> {
        // Built before anything waits for it.
        amber();
        let server = Server::start();
        let mut child = Command::new(env!("CARGO_BIN_EXE_amber-desktop"))
            .args(["--settings", "settings.toml"])
            .args(args)
            .current_dir(&scratch.0)
            .env("AMBER_STORE", scratch.0.join("store"))
            .env("DISPLAY", &server.display)
            .env_remove("WAYLAND_DISPLAY")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("amber-desktop starts");
        let window = await_some("the window", || {
            let ended = child.try_wait().expect("it is a child").is_some();
            let found = server.tool("xdotool", &["search", "--onlyvisible", "--name", "^Amber - "]);
            found.filter(|_| !ended).or_else(|| ended.then(String::new))
        });
        if window.is_empty() {
            let mut said = String::new();
            child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
            assert!(said.contains("nothing draws in this window"), "{said}");
            eprintln!("{}: no window is tested", said.trim());
            return None;
        }
        let desktop = Self { server, child, window, scratch };
        desktop.xdotool(&["windowfocus", "--sync", &desktop.window]);
        Some(desktop)
    }

    pub fn xdotool(&self, args: &[&str]) {
        self.server.tool("xdotool", args).unwrap_or_else(|| panic!("xdotool {args:?}"));
    }

    /// Presses keys, by the names X has for them.
    pub fn press(&self, keys: &[&str]) {
        self.xdotool(&[&["key", "--delay", "40"], keys].concat());
    }

    /// A chord with the host key.
    pub fn chord(&self, key: &str) {
        self.xdotool(&["keydown", HOST]);
        self.press(&[key]);
        self.xdotool(&["keyup", HOST]);
    }

    pub fn title(&self) -> String {
        self.server.tool("xdotool", &["getwindowname", &self.window]).unwrap_or_default()
    }

    pub fn await_title(&self, word: &str) {
        await_some(word, || Some(self.title()).filter(|title| title.contains(word)));
    }

    /// Names of its threads.
    pub fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.ok()?.path().join("comm")).ok().map(|name| name.trim().to_owned())
        };
        tasks.filter_map(name).collect()
    }

    /// Width and height of the window, and where it is.
    pub fn place(&self) -> [i32; 4] {
        let said = self
            .server
            .tool("xdotool", &["getwindowgeometry", "--shell", &self.window])
            .expect("it is there");
        ["WIDTH=", "HEIGHT=", "X=", "Y="].map(|key| {
            let value = said.lines().find_map(|line| line.strip_prefix(key)).expect("xdotool says it");
            value.parse().expect("a number")
        })
    }

    /// Makes the window another size, and puts it elsewhere.
    pub fn put(&self, [width, height, x, y]: [i32; 4]) {
        let [width, height, x, y] = [width, height, x, y].map(|number| number.to_string());
        self.xdotool(&["windowsize", "--sync", &self.window, &width, &height]);
        self.xdotool(&["windowmove", "--sync", &self.window, &x, &y]);
    }

    /// Types text.
    pub fn write(&self, text: &str) {
        self.xdotool(&["type", "--delay", "30", text]);
    }

    /// What the window shows.
    pub fn look(&self) -> Image {
        let file = self.scratch.0.join("window.png");
        let target = file.display().to_string();
        self.server.tool("import", &["-window", &self.window, &target]).expect("the window is there");
        Image::read(&file)
    }

    /// Writes a picture of the window to the folder `AMBER_PICTURES`, where one is named.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("AMBER_PICTURES") else { return };
        // A sentence or a key may be under way.
        std::thread::sleep(Duration::from_secs(1));
        let file = Path::new(&folder).join(format!("desktop-{name}.png")).display().to_string();
        let reduce = ["+dither", "-colors", "64", "-strip", "-define", "png:compression-level=9"];
        let args = [&["-window", &self.window], &reduce[..], &[&file]].concat();
        self.server.tool("import", &args).expect("the folder is there");
    }

    /// What the window shows when nothing in it changes any more.
    pub fn still(&self) -> Image {
        let mut last = self.look();
        await_some("a still window", || {
            std::thread::sleep(Duration::from_millis(200));
            let next = self.look();
            let still = next == last && next.colours() > 1;
            last = next;
            still.then_some(())
        });
        last
    }

    /// Width and height of the window.
    pub fn size(&self) -> (usize, usize) {
        let said =
            self.server.tool("xdotool", &["getwindowgeometry", "--shell", &self.window]).unwrap_or_default();
        let side = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|side| side.parse().ok()).expect("a side")
        };
        (side("WIDTH="), side("HEIGHT="))
    }

    /// Moves the cursor to a place in the window.
    pub fn point(&self, x: usize, y: usize) {
        self.xdotool(&["mousemove", "--window", &self.window, &x.to_string(), &y.to_string()]);
    }

    fn socket(&self) -> PathBuf {
        self.scratch.0.join("socket")
    }

    /// Asks the machine by its control socket, `--control socket`.
    pub fn ctl(&self, args: &[&str]) -> Option<String> {
        let output = run(&[&["ctl", &*self.socket().display().to_string()], args].concat());
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until the machine's screen has this text.
    pub fn await_text(&self, what: &str) -> String {
        await_some(what, || self.ctl(&["text"]).filter(|text| text.contains(what)))
    }

    /// The program's exit code, when it has ended.
    pub fn code(&mut self) -> Option<i32> {
        await_some("its end", || self.child.try_wait().expect("it is a child")).code()
    }

    /// The program's exit code and what it said, when it has ended.
    pub fn end(mut self) -> (Option<i32>, String) {
        // Read while it runs: whoever says much waits for a reader.
        let mut stderr = self.child.stderr.take().expect("it is piped");
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).map(|_| String::from_utf8_lossy(&said).into_owned())
        });
        let status = await_some("its end", || self.child.try_wait().expect("it is a child"));
        (status.code(), reader.join().expect("it reads").expect("it is read"))
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs amber to its end with this input.
pub fn run_with_input(args: &[&str], input: &[u8]) {
    let mut child = Command::new(amber()).args(args).stdin(Stdio::piped()).spawn().expect("amber starts");
    child.stdin.take().expect("it is piped").write_all(input).expect("amber reads");
    assert!(child.wait().expect("it is a child").success(), "{args:?}");
}

/// Whether a log repeats its run, without a window.
pub fn replays(log: &Path) -> bool {
    let output =
        Command::new(amber()).arg("replay").arg(log).stdin(Stdio::null()).output().expect("amber starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    eprint!("{said}");
    output.status.success() && said.contains("the same run")
}
