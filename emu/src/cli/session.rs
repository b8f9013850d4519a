//! A run as its person sees it: the machine, what it is saved to, and what is asked of it while it runs.

use super::host::SessionHost;
use super::parts::Leaving;
use super::ports::Ports;
use super::saving::{Saver, now};
use super::stores;
use crate::checkpoints::{Checkpoints, Policy, Shelf};
use crate::config::{MachineConfig, SaveAt};
use crate::control::{DeviceKind, LinkState, Method, keys};
use crate::machine::request::{Asking, Refusal};
use crate::machine::{Frozen, Gesture, Machine, Stop};
use crate::screenshot;
use crate::share::{Pages, read_folder, write_folder};
use amber_devices::share::ShareLayout;
use amber_devices::{MouseEvent, POINTER_MAX, PointerEvent};
use amber_mmu::ViewId;
use amber_snapshot::SnapshotId;
use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use std::path::Path;

/// Most bytes of files that are loaded into a share at once: they go to the input log.
const SHARE_LOAD_MAX: u64 = 1 << 30;
/// Most bytes of memory that are read at once.
const READ_MAX: u64 = 1 << 16;

/// A run.
pub struct Session<'a> {
    pub machine: &'a mut Machine,
    pub config: &'a MachineConfig,
    /// The snapshot the run went on from.
    pub parent: Option<SnapshotId>,
    /// Made when something is first saved.
    saver: Option<Saver>,
    checkpoints: Checkpoints,
    /// Parts the guest was asked to let go of, and who waits for that.
    pub(super) leaving: Leaving,
    paused: bool,
    quit: bool,
}

/// The store, as the guest's requests reach it.
struct StoreShelf<'a> {
    folder: Option<&'a Path>,
    parent: Option<SnapshotId>,
}

impl Shelf for StoreShelf<'_> {
    fn save(&mut self, mut state: Frozen, name: &str) -> Result<(), Refusal> {
        let store = stores::open(self.folder).map_err(|_| Refusal::Store)?;
        store.check_name(name).map_err(|_| Refusal::Name)?;
        let saved = state.save(&store, self.parent).map_err(|_| Refusal::Store)?;
        store.name(name, saved.id, now(), false).map_err(|_| Refusal::Store)
    }

    fn load(&mut self, name: &str) -> Result<Machine, Refusal> {
        let found = stores::find(self.folder, name).map_err(|_| Refusal::Unknown)?;
        Machine::load(found.snapshot).map_err(|_| Refusal::Unknown)
    }
}

/// What is to be done at a step.
#[derive(Clone, Copy)]
enum Due<'a> {
    Save(&'a str),
    Screenshot(&'a Path),
}

/// All of it, the last first.
fn points(config: &MachineConfig) -> Vec<(u64, Due<'_>)> {
    let saves = config.save_at.iter().map(|SaveAt { step, name }| (*step, Due::Save(name)));
    let shots = config.screenshot.iter().filter_map(|shot| Some((shot.step?, Due::Screenshot(&shot.file))));
    let mut points: Vec<_> = saves.chain(shots).collect();
    points.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    points
}

impl<'a> Session<'a> {
    /// A run of `machine`, which went on from `parent`.
    ///
    /// # Errors
    /// When a snapshot that is to be saved cannot have its name.
    pub fn new(
        machine: &'a mut Machine,
        config: &'a MachineConfig,
        parent: Option<SnapshotId>,
    ) -> Result<Self> {
        let checkpoints = Checkpoints::new(config.guest_checkpoints);
        let leaving = Leaving::default();
        let mut session =
            Self { machine, config, parent, saver: None, checkpoints, leaving, paused: false, quit: false };
        session.check_names()?;
        Ok(session)
    }

    fn check_names(&mut self) -> Result<()> {
        let config = self.config;
        let names: Vec<_> =
            config.save_at.iter().map(|point| &point.name).chain(&config.save_on_exit).collect();
        for (n, name) in names.iter().enumerate() {
            self.saver()?.store().check_name(name)?;
            if names[..n].contains(name) {
                bail!("two snapshots of this run are to be named {name}; give each a name of its own");
            }
        }
        Ok(())
    }

    fn saver(&mut self) -> Result<&mut Saver> {
        match &mut self.saver {
            Some(saver) => Ok(saver),
            none => {
                let store = stores::open(self.config.store.as_deref())?;
                Ok(none.insert(Saver::new(store, self.parent)))
            }
        }
    }

    /// Saves the machine as it is now, beside its run.
    fn save(&mut self, name: &str) -> Result<()> {
        self.saver()?;
        let Some(saver) = &mut self.saver else { bail!("there is no store") };
        Ok(saver.save(self.machine, name)?)
    }

    /// Runs to step `until`, saving on the way what is to be saved and doing what is asked.
    ///
    /// # Errors
    /// None of the guest's doing.
    pub fn run(&mut self, until: u64, host: &mut SessionHost) -> Result<Stop> {
        host.serves = self.config.guest_checkpoints != Policy::Deny;
        let mut points = points(self.config);
        loop {
            while let Some(point) = points.pop_if(|point| point.0 <= self.machine.step()) {
                self.reach(point.1);
            }
            let next = points.last().map_or(until, |point| point.0.min(until));
            match self.machine.run(next, host, self.config.no_reboot) {
                Stop::Step if self.machine.step() < until => {}
                Stop::Request(asking) => self.serve(asking, host),
                Stop::User => {
                    self.attend(host);
                    if self.quit || host.quit() {
                        return Ok(Stop::User);
                    }
                }
                stop => return Ok(stop),
            }
        }
    }

    /// Does what software in the guest asks for.
    fn serve(&mut self, asking: Asking, host: &mut SessionHost) {
        let mut shelf = StoreShelf { folder: self.config.store.as_deref(), parent: self.parent };
        self.checkpoints.serve(self.machine, asking, host, &mut shelf);
    }

    /// Does what is to be done at a step.
    fn reach(&mut self, due: Due) {
        match due {
            Due::Save(name) => self.save_or_say(name),
            Due::Screenshot(file) => {
                if let Err(error) = screenshot::write(&self.machine.picture(), file) {
                    eprintln!("amber: {error}; the machine runs on");
                }
            }
        }
    }

    /// A failed save is told, and the machine runs on.
    fn save_or_say(&mut self, name: &str) {
        if let Err(error) = self.save(name) {
            eprintln!("amber: {error:#}; the machine runs on");
        }
    }

    /// Does what the person at the console and other programs ask for.
    fn attend(&mut self, host: &mut SessionHost) {
        if host.take_save_request() {
            let name = format!("step-{}", self.machine.step());
            self.save_or_say(&name);
            eprintln!("amber: saving {name}");
        }
        host.parts_changed = false;
        self.leaving.look(self.machine);
        self.let_go_of_cable(host);
        loop {
            host.show(self.machine, self.paused);
            let Some(call) = host.next_call(self.paused) else { return };
            let Some(call) = self.ask_to_leave(call, host) else { continue };
            let outcome = self.answer(&call.method, host);
            call.answer(outcome.map_err(|e| format!("{e:#}")));
            if self.quit {
                return;
            }
        }
    }

    fn answer(&mut self, method: &Method, host: &mut SessionHost) -> Result<Value> {
        match method {
            Method::Status => {}
            Method::Pause => self.paused = true,
            Method::Resume => self.resume(host),
            Method::Step { count } => return self.step(*count, host),
            Method::Save { name } => return self.save_and_wait(name),
            Method::Load { snapshot } => self.load(snapshot, host)?,
            Method::Hash => return Ok(json!({ "state-hash": self.machine.state_hash().to_string() })),
            Method::Serial { text } => host.type_in(text.as_bytes()),
            Method::Console { text } => self.give_port(0, text, host)?,
            Method::ChannelWrite { text } => self.give_port(Ports::CHANNEL, text, host)?,
            Method::ChannelRead => {
                return Ok(json!({ "text": String::from_utf8_lossy(&host.ports.read()) }));
            }
            Method::ShareExport { tag, folder } => return self.export_share(tag, folder),
            Method::ShareLoad { tag, folder } => self.load_share(tag, folder, host)?,
            Method::Screenshot { file } => return self.screenshot(file),
            Method::Text => return self.text(),
            Method::Type { text } => host.hands.extend(keys::typing(text).map_err(|e| anyhow!(e))?),
            Method::Key { keys } => host.hands.extend(keys::strokes(keys).map_err(|e| anyhow!(e))?),
            Method::Mouse { dx, dy, wheel, buttons } => {
                let event = MouseEvent { dx: *dx, dy: dy.saturating_neg(), wheel: *wheel, buttons: *buttons };
                host.hands.extend([Gesture::Mouse(event)]);
            }
            Method::Pointer { x, y, wheel, buttons } => {
                if [*x, *y].into_iter().any(|at| at > POINTER_MAX) {
                    bail!("pointer {x} {y}: coordinates are between 0 and {POINTER_MAX}");
                }
                let event = PointerEvent { x: *x, y: *y, wheel: *wheel, buttons: *buttons };
                host.hands.extend([Gesture::Pointer(event)]);
            }
            Method::Reset => {
                self.machine.press_reset(host);
                // What was asked of the guest is forgotten.
                host.parts_changed = true;
            }
            Method::Power => self.machine.press_power(host),
            Method::NetLink { state } => {
                if !self.machine.set_link(host, *state == LinkState::Up) {
                    bail!("net-link: the machine has no network adapter");
                }
            }
            Method::CpuAdd(place) => return self.add_cpu(place.map(|place| place.id), host),
            Method::CpuList => return Ok(self.cpus()),
            Method::MemoryAdd { size } => return self.add_memory(size, host),
            Method::MemoryList => return Ok(self.memory()),
            Method::DeviceAdd { kind: DeviceKind::Disk, device } => return self.add_disk(device, host),
            Method::DeviceAdd { kind: DeviceKind::Net, device } => return self.add_nic(device, host),
            Method::DeviceList => return Ok(self.devices()),
            Method::CpuRemove { .. } | Method::MemoryRemove { .. } | Method::DeviceRemove { .. } => {
                bail!("this is answered when the guest has let go of the part")
            }
            Method::Read { address, len } => return self.read(*address, *len),
            Method::Quit => self.quit = true,
        }
        let mut status = self.status();
        status["gestures-waiting"] = json!(host.hands.waiting());
        Ok(status)
    }

    fn resume(&mut self, host: &mut SessionHost) {
        if std::mem::take(&mut self.paused) {
            // The guest does not catch up the time it stood still.
            host.console.keep_time_from(self.machine.now());
        }
    }

    fn give_port(&self, port: u8, text: &str, host: &mut SessionHost) -> Result<()> {
        if !self.machine.has_console() {
            bail!("the machine has no virtio console");
        }
        host.ports.give(port, text.as_bytes());
        Ok(())
    }

    /// The share of that tag, and its pages.
    fn share(&self, tag: &str) -> Result<(ShareLayout, Pages)> {
        let Some((spec, pages)) = self.machine.share() else { bail!("the machine has no share") };
        if spec.tag != tag {
            bail!("{tag}: the machine's share is {}", spec.tag);
        }
        Ok((spec.layout(), pages))
    }

    fn export_share(&self, tag: &str, folder: &Path) -> Result<Value> {
        let (layout, mut pages) = self.share(tag)?;
        let written = write_folder(&mut pages, layout, folder)?;
        Ok(json!({ "files": written.files, "bytes": written.bytes, "left-out": written.left_out }))
    }

    fn load_share(&mut self, tag: &str, folder: &Path, host: &mut SessionHost) -> Result<()> {
        self.share(tag)?;
        let contents = read_folder(folder, SHARE_LOAD_MAX)?;
        let loaded = self.machine.load_share(host, contents);
        loaded.map_err(|_| {
            anyhow!("{}: the share has no room for all of it, and is empty now", folder.display())
        })
    }

    fn status(&self) -> Value {
        json!({
            "state": if self.paused { "paused" } else { "running" },
            "step": self.machine.step(),
            "time-ns": self.machine.now(),
            "inputs": self.machine.inputs(),
            "cpus": self.machine.vcpus().len(),
            "rip": self.machine.vcpus().iter().map(|cpu| format!("{:#x}", cpu.rip)).collect::<Vec<_>>(),
        })
    }

    fn screenshot(&self, file: &Path) -> Result<Value> {
        let picture = self.machine.picture();
        screenshot::write(&picture, file)?;
        Ok(json!({ "file": file, "width": picture.width, "height": picture.height }))
    }

    fn text(&self) -> Result<Value> {
        let text = self.machine.screen_text();
        Ok(json!({ "text": text.ok_or_else(|| anyhow!("text: the screen shows no text mode"))? }))
    }

    fn step(&mut self, count: u64, host: &mut SessionHost) -> Result<Value> {
        if !self.paused {
            bail!("step: the machine runs; pause it first");
        }
        let to = self.machine.step().saturating_add(count);
        host.deaf = true;
        let stop = loop {
            match self.machine.run(to, host, self.config.no_reboot) {
                Stop::Request(asking) => self.serve(asking, host),
                stop => break stop,
            }
        };
        host.deaf = false;
        let mut status = self.status();
        status["stop"] = json!(format!("{stop:?}"));
        Ok(status)
    }

    fn save_and_wait(&mut self, name: &str) -> Result<Value> {
        self.save(name)?;
        let Some(saver) = &mut self.saver else { bail!("there is no store") };
        let saved = saver.finish(self.machine)?.ok_or_else(|| anyhow!("nothing was saved"))?;
        Ok(json!({ "id": saved.id.to_string(), "step": self.machine.step(), "bytes": saved.written }))
    }

    fn load(&mut self, text: &str, host: &mut SessionHost) -> Result<()> {
        if host.records() {
            bail!("load: this run is recorded, and a log has one history; load in another run");
        }
        let found = stores::find(self.config.store.as_deref(), text)?;
        // The machine that runs is given up only for one that is whole.
        let machine = Machine::load(found.snapshot)?;
        if let Some(saver) = &mut self.saver {
            saver.finish(self.machine)?;
            saver.go_on_from(found.id);
        }
        machine.fetch_ahead();
        *self.machine = machine;
        host.console.keep_time_from(self.machine.now());
        self.leaving.forget();
        host.hands.rest();
        self.parent = Some(found.id);
        Ok(())
    }

    fn read(&self, address: u64, len: u64) -> Result<Value> {
        if len > READ_MAX {
            bail!("read: {len} bytes are asked for, {READ_MAX} is the most");
        }
        let mut bytes = vec![0; len as usize];
        self.machine.mmu().read_physical(ViewId(0), address, &mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(json!({ "bytes": digits }))
    }

    /// Saves what is to be saved at the end, and waits until all is on the disk.
    ///
    /// # Errors
    /// When a save failed.
    pub fn finish(&mut self) -> Result<()> {
        let last = match &self.config.save_on_exit {
            Some(name) => self.save(name),
            None => Ok(()),
        };
        if let Some(saver) = &mut self.saver {
            saver.finish_visibly(self.machine)?;
        }
        last
    }
}
