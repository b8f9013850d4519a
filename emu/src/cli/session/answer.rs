//! What a session is asked, and its answers.

use super::Session;
use crate::cli::host::SessionHost;
use crate::cli::ports::Ports;
use crate::cli::{counters, report};
use crate::control::{DeviceKind, LinkState, Method, keys};
use crate::machine::{Gesture, Goal};
use crate::screenshot;
use amber_devices::{MouseEvent, POINTER_MAX, PointerEvent};
use amber_mmu::ViewId;
use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use std::path::Path;

/// Speeds there are, percent.
const SPEEDS: std::ops::RangeInclusive<u32> = 1..=100_000;
/// Most bytes of memory that are read at once.
const READ_MAX: u64 = 1 << 16;

impl Session<'_> {
    pub(super) fn answer(&mut self, method: &Method, host: &mut SessionHost) -> Result<Value> {
        match method {
            Method::Status => {}
            Method::Pause => self.pause(),
            Method::Resume => {
                if self.paused {
                    self.part_ways(host);
                }
                self.resume(host);
            }
            Method::Play => self.resume(host),
            Method::Step { count } => {
                let step = self.machine.step().saturating_add(*count);
                return self.go_to(Goal::step(step), "step", host);
            }
            Method::Frame => {
                let time = self.machine.platform().next_frame();
                return self.go_to(Goal { step: u64::MAX, time }, "frame", host);
            }
            Method::Speed { percent } => self.set_speed(*percent, host)?,
            Method::History => return self.history(),
            Method::Rewind { step } => self.rewind(*step, host)?,
            Method::StepBack { count } => self.step_back(*count, host)?,
            Method::ReverseContinue => self.reverse_continue(host)?,
            Method::ReverseStep { cpu } => self.reverse_step(*cpu, host)?,
            Method::ReverseStepOver { cpu } => self.reverse_step_over(*cpu, host)?,
            Method::Return { branch } => self.return_to(*branch, host)?,
            Method::Load { snapshot } => self.load(snapshot, host)?,
            Method::Stats => {
                return Ok(counters::counted(self.machine, self.started.elapsed().as_secs_f64()));
            }
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
            Method::Type { text } => self.move_hands(keys::typing(text).map_err(|e| anyhow!(e))?, host),
            Method::Key { keys } => self.move_hands(keys::strokes(keys).map_err(|e| anyhow!(e))?, host),
            Method::Mouse { dx, dy, wheel, buttons } => {
                let event = MouseEvent { dx: *dx, dy: dy.saturating_neg(), wheel: *wheel, buttons: *buttons };
                self.move_hands([Gesture::Mouse(event)], host);
            }
            Method::Pointer { x, y, wheel, buttons } => {
                if [*x, *y].into_iter().any(|at| at > POINTER_MAX) {
                    bail!("pointer {x} {y}: coordinates are between 0 and {POINTER_MAX}");
                }
                let event = PointerEvent { x: *x, y: *y, wheel: *wheel, buttons: *buttons };
                self.move_hands([Gesture::Pointer(event)], host);
            }
            Method::Reset => {
                self.machine.press_reset(host);
                if self.ended.take().is_some() {
                    self.resume(host);
                }
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
            Method::MediaList => return Ok(self.media()),
            Method::MediaExport { .. } => bail!("this is answered when all is in the file"),
            Method::Insert { .. } | Method::Eject { .. } => {
                bail!("this is answered when the guest has let go of the medium")
            }
            Method::Save { .. } => bail!("this is answered when all is on the disk"),
            Method::Read { address, len } => return self.read(*address, *len),
            Method::Quit => self.quit = true,
            Method::Registers { cpu } => return self.registers(*cpu),
            Method::Disassemble { cpu, address, count, before } => {
                return self.disassemble(*cpu, address.as_ref(), *count, *before);
            }
            Method::ReadLinear { cpu, address, len } => return self.read_linear(*cpu, address, *len),
            Method::Stack { cpu, count } => return self.stack(*cpu, *count),
            Method::Sections => return Ok(self.sections()),
            Method::Fields { section } => return self.fields(section),
            Method::Symbols { file } => return self.load_symbols(file),
            Method::Locate { place } => return self.locate(place),
            Method::Break { address } => return self.set_breakpoint(address),
            Method::Watch { address, len, read, write } => {
                return self.set_watchpoint(address, *len, *read, *write);
            }
            Method::Unbreak { id } => return self.remove_point(*id),
            Method::BreakEnable { id, enabled } => return self.enable_point(*id, *enabled),
            Method::BreakList => return Ok(self.points()),
            Method::StepInto { cpu } => self.step_into(*cpu, host)?,
            Method::StepOver { cpu } => self.step_over(*cpu, host)?,
            Method::StepOut { cpu } => self.step_out(*cpu, host)?,
            Method::RunTo { address } => self.run_to(address, host)?,
            Method::Set { path, value } => self.set_field(path, value, host)?,
            Method::Write { address, bytes } => self.write(*address, bytes, host)?,
            Method::WriteLinear { cpu, address, bytes } => self.write_linear(*cpu, address, bytes, host)?,
        }
        let mut status = self.status();
        status["gestures-waiting"] = json!(host.hands.waiting());
        status["speed"] = json!(host.console.speed());
        Ok(status)
    }

    fn set_speed(&self, percent: Option<u32>, host: &mut SessionHost) -> Result<()> {
        if percent.is_some_and(|percent| !SPEEDS.contains(&percent)) {
            bail!("speed: it is between {} and {} percent, or none", SPEEDS.start(), SPEEDS.end());
        }
        host.console.set_speed(percent, self.machine.now());
        Ok(())
    }

    pub(super) fn resume(&mut self, host: &mut SessionHost) {
        self.ended = None;
        if std::mem::take(&mut self.paused) {
            self.go_on();
            // The guest does not catch up the time it stood still.
            host.console.keep_time_from(self.machine.now());
        }
    }

    /// Gestures for the guest. Who lets go of a key while the machine has its future ahead does nothing new: what is down there is
    /// let go when that way is left.
    fn move_hands(&self, gestures: impl IntoIterator<Item = Gesture>, host: &mut SessionHost) {
        let gestures: Vec<_> = gestures.into_iter().collect();
        let behind = self.is_behind() && host.hands.waiting() == 0;
        if !(behind && gestures.iter().all(Gesture::lets_go)) {
            host.hands.extend(gestures);
        }
    }

    fn give_port(&self, port: u8, text: &str, host: &mut SessionHost) -> Result<()> {
        if !self.machine.has_console() {
            bail!("the machine has no virtio console");
        }
        host.ports.give(port, text.as_bytes());
        Ok(())
    }

    pub(super) fn status(&self) -> Value {
        json!({
            "state": if self.paused { "paused" } else { "running" },
            "step": self.machine.step(),
            "time-ns": self.machine.now(),
            "inputs": self.machine.inputs(),
            "parent": self.parent().map(|parent| parent.to_string()),
            "cpus": self.machine.vcpus().len(),
            "ended": self.ended.map(|stop| report::sentence(stop, self.machine)),
            "behind": self.is_behind(),
            "rip": self.machine.vcpus().iter().map(|cpu| format!("{:#x}", cpu.rip)).collect::<Vec<_>>(),
            "stopped": self.stopped(),
            "bound": self.bound,
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

    fn read(&self, address: u64, len: u64) -> Result<Value> {
        if len > READ_MAX {
            bail!("read: {len} bytes are asked for, {READ_MAX} is the most");
        }
        let mut bytes = vec![0; len as usize];
        self.machine.mmu().read_physical(ViewId(0), address, &mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(json!({ "bytes": digits }))
    }
}
