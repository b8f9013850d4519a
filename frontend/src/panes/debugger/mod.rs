//! The debugger: registers, code, stack and memory beside each other; devices and breakpoints in tabs. All of it is asked of
//! the machine as `amber ctl` asks, and what is changed is an input.

mod code;
mod devices;
mod field;
mod look;
mod memory;
mod points;
mod registers;
mod stack;
mod toolbar;

use super::View;
use crate::app::About;
use crate::status::State;
use crate::wishes::Wishes;
use amber_emu::control::Method;
use code::Code;
use devices::Devices;
use egui::{CentralPanel, Frame, Panel, Ui};
use look::number;
use memory::Memory;
use points::Points;
use registers::Registers;
use serde_json::Value;
use stack::Stack;
use std::time::{Duration, Instant};

/// From one refreshing to the next, while the machine runs.
const SPAN: Duration = Duration::from_millis(500);
/// The same of a paused one, unless it takes a step.
const PAUSED_SPAN: Duration = Duration::from_secs(1);

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Status,
    Registers,
    Code,
    Stack,
    Memory,
    Sections,
    Fields,
    Points,
    Symbols,
    /// Where to look, by name.
    CodePlace,
    MemoryPlace,
    /// Something was changed.
    Changed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tab {
    #[default]
    Code,
    Devices,
    Points,
}

/// What the parts of the pane share.
#[derive(Clone, Copy)]
pub struct Shared {
    pub cpu: u32,
    pub paused: bool,
}

/// See the module.
#[derive(Default)]
pub struct Debugger {
    tab: Tab,
    /// The processor that is shown.
    cpu: u32,
    registers: Registers,
    code: Code,
    stack: Stack,
    memory: Memory,
    devices: Devices,
    points: Points,
    /// Why the machine stands.
    stopped: Option<String>,
    /// When all was asked for last, and at which step of a paused machine.
    asked: Option<(Instant, Option<u64>)>,
    /// Answers that are still to come.
    waiting: usize,
    /// Something is other than it was shown.
    stale: bool,
}

impl Debugger {
    pub fn draw(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        let shared = Shared { cpu: self.cpu, paused: view.state == State::Paused };
        ui.add_space(2.0);
        self.toolbar(ui, view, wishes);
        ui.separator();
        match self.tab {
            Tab::Code => self.code_and_data(ui, shared, wishes),
            Tab::Devices => self.devices.draw(ui, shared, wishes),
            Tab::Points => self.points.draw(ui, shared, wishes),
        }
        if view.runs() {
            ui.ctx().request_repaint_after(if shared.paused { PAUSED_SPAN } else { SPAN });
        }
    }

    fn code_and_data(&mut self, ui: &mut Ui, shared: Shared, wishes: &mut Wishes) {
        let lower = ui.available_height() * 0.4;
        let side = look::width(ui, 22.0);
        Panel::bottom("debugger-data").resizable(true).default_size(lower).frame(Frame::NONE).show(
            ui,
            |ui| {
                ui.add_space(3.0);
                Panel::left("debugger-stack").exact_size(side).resizable(false).frame(Frame::NONE).show(
                    ui,
                    |ui| {
                        self.stack.draw(ui);
                    },
                );
                CentralPanel::no_frame().show(ui, |ui| self.memory.draw(ui, shared, wishes));
            },
        );
        CentralPanel::no_frame().show(ui, |ui| {
            Panel::left("debugger-registers").exact_size(side).resizable(false).frame(Frame::NONE).show(
                ui,
                |ui| {
                    self.registers.draw(ui, shared, wishes);
                },
            );
            CentralPanel::no_frame().show(ui, |ui| {
                self.code.draw(ui, shared, &self.points, wishes);
            });
        });
    }

    /// Asks for what is shown: of a paused machine at each step and now and then, for others may change it, of a running one often.
    pub fn refresh(&mut self, view: View, wishes: &mut Wishes) {
        self.stale |= std::mem::take(&mut wishes.again);
        if !view.runs() || self.waiting != 0 {
            return;
        }
        let paused = view.state == State::Paused;
        let place = paused.then_some(view.glance.step);
        let span = if paused { PAUSED_SPAN } else { SPAN };
        let due = self.asked.is_none_or(|(at, then)| then != place || at.elapsed() >= span);
        if !due && !self.stale {
            return;
        }
        let stops = paused && self.asked.is_none_or(|(_, then)| then != place);
        if stops {
            self.code.follow();
        }
        (self.asked, self.stale) = (Some((Instant::now(), place)), false);
        self.cpu = self.cpu.min(view.glance.cpus.saturating_sub(1));
        self.ask_all(stops, wishes);
    }

    fn ask_all(&mut self, stops: bool, wishes: &mut Wishes) {
        let cpu = self.cpu;
        let mut ask = |method, question| {
            self.waiting += 1;
            wishes.ask(method, About::Debugger(question));
        };
        if stops {
            // It says whose stop it is, and the rest is asked for then.
            return ask(Method::Status, Question::Status);
        }
        ask(Method::BreakList, Question::Points);
        match self.tab {
            Tab::Code => {
                ask(Method::Registers { cpu }, Question::Registers);
                ask(self.code.method(cpu), Question::Code);
                ask(self.stack.method(cpu), Question::Stack);
                ask(self.memory.method(cpu), Question::Memory);
            }
            Tab::Devices => {
                if self.devices.is_empty() {
                    ask(Method::Sections, Question::Sections);
                }
                for section in self.devices.wanted() {
                    ask(Method::Fields { section }, Question::Fields);
                }
            }
            Tab::Points => {}
        }
    }

    /// An answer.
    pub fn hear(&mut self, question: Question, answer: &Value) {
        match question {
            Question::Status => self.hear_status(answer),
            Question::Registers => self.registers.hear(answer),
            Question::Code => self.code.hear(answer),
            Question::Stack => {
                self.stack.hear(answer);
                // That of a running machine is soon elsewhere.
                let stands = self.asked.is_some_and(|(_, place)| place.is_some());
                let top = number(&answer["values"][0]["address"]).filter(|_| stands);
                self.stale |= self.memory.begin_at(top);
            }
            Question::Memory => self.memory.hear(answer),
            Question::Sections => self.stale |= self.devices.hear_sections(answer),
            Question::Fields => self.devices.hear_fields(answer),
            Question::Points => self.points.hear(answer),
            Question::Symbols => {
                self.points.hear_symbols(answer);
                self.stale = true;
            }
            Question::CodePlace => self.code.go_to(number(&answer["address"])),
            Question::MemoryPlace => self.memory.go_to(number(&answer["address"])),
            Question::Changed => {}
        }
        self.answered(question);
    }

    /// Something was refused, or not known.
    pub fn refused(&mut self, question: Question) {
        match question {
            Question::Code => self.code.refused(),
            Question::Memory => self.memory.refused(),
            _ => {}
        }
        self.answered(question);
    }

    fn answered(&mut self, question: Question) {
        match question {
            Question::CodePlace | Question::MemoryPlace | Question::Changed => self.stale = true,
            Question::Symbols => {}
            _ => self.waiting = self.waiting.saturating_sub(1),
        }
    }

    fn hear_status(&mut self, answer: &Value) {
        let stopped = &answer["stopped"];
        if let Some(cpu) = stopped["cpu"].as_u64() {
            self.cpu = cpu as u32;
        }
        self.stopped = match stopped["why"].as_str() {
            Some(why @ ("breakpoint" | "watchpoint")) => {
                Some(format!("{why} {}", stopped["id"].as_u64().unwrap_or_default()))
            }
            _ => None,
        };
        self.stale = true;
    }

    /// Whether it asks the person something.
    pub fn asks(&self) -> bool {
        self.points.asks()
    }

    /// One step of a paused machine: of the processor that is shown, where there are several.
    pub fn step(&self, cpus: u32) -> Method {
        if cpus > 1 { Method::StepInto { cpu: self.cpu } } else { Method::Step { count: 1 } }
    }

    pub fn step_over(&self) -> Method {
        Method::StepOver { cpu: self.cpu }
    }

    pub fn step_over_back(&self) -> Method {
        Method::ReverseStepOver { cpu: self.cpu }
    }

    pub fn step_out(&self) -> Method {
        Method::StepOut { cpu: self.cpu }
    }
}
