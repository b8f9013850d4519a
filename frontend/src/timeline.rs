//! The timeline under the screen: a slider over what the machine remembers, in both directions, with marks at its points and
//! at snapshots, and the buttons that go with it.

use super::action::Action;
use super::app::About;
use super::glance::Glance;
use super::panes::View;
use super::status::{State, time};
use super::wishes::Wishes;
use amber_emu::control::Method;
use egui::{Button, FontId, Pos2, Rect, Response, RichText, Sense, Shape, Stroke, Ui, Vec2};
use serde_json::Value;
use std::time::{Duration, Instant};

/// From one asking to the next, while the machine runs.
const SPAN: Duration = Duration::from_millis(500);
/// From an answer that nothing is remembered, or from a failure, to the next asking.
const RETRY: Duration = Duration::from_secs(1);
/// Ways that are asked for at once, while the slider is dragged: one may be long.
const UNDER_WAY: usize = 2;
/// Points from the middle of a snapshot's sign to its corners.
const DIAMOND: f32 = 4.0;
/// Virtual time the button goes back, ns.
const SECOND: u64 = 1_000_000_000;
/// Points of the slider's height, and of the room its ends have.
const HEIGHT: f32 = 22.0;
const ENDS: f32 = 8.0;

/// A place in the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spot {
    step: u64,
    now: u64,
}

impl Spot {
    fn of(place: &Value) -> Option<Self> {
        Some(Self { step: place["step"].as_u64()?, now: place["time-ns"].as_u64()? })
    }
}

/// What is remembered.
#[derive(Default)]
struct Known {
    first: Spot,
    here: Spot,
    last: Spot,
    points: Vec<Spot>,
    snapshots: Vec<(String, Spot)>,
    branches: Vec<(u64, Spot)>,
}

impl Known {
    fn of(history: &Value) -> Option<Self> {
        let list = |name: &str| history[name].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let snapshot = |mark: &Value| Some((mark["name"].as_str()?.to_owned(), Spot::of(mark)?));
        let branch = |branch: &Value| Some((branch["id"].as_u64()?, Spot::of(&branch["end"])?));
        Some(Self {
            first: Spot::of(&history["first"])?,
            here: Spot::of(&history["here"])?,
            last: Spot::of(&history["last"])?,
            points: list("points").filter_map(Spot::of).collect(),
            snapshots: list("snapshots").filter_map(snapshot).collect(),
            branches: list("branches").filter_map(branch).collect(),
        })
    }

    /// The point that is nearest in time.
    fn nearest(&self, now: u64) -> Option<Spot> {
        let ends = [self.first, self.last];
        self.points.iter().copied().chain(ends).min_by_key(|point| point.now.abs_diff(now))
    }

    /// The last point at or before a step.
    fn point_before(&self, step: u64) -> Option<Spot> {
        self.points.iter().copied().filter(|point| point.step <= step).max_by_key(|point| point.step)
    }

    /// The step an action leads to.
    fn step_of(&self, action: Action) -> u64 {
        match action {
            Action::SecondBack => {
                let now = self.here.now.saturating_sub(SECOND).max(self.first.now);
                self.step_at(now).min(self.here.step)
            }
            _ => self.last.step,
        }
    }

    /// The step at a time, as far as the points tell.
    fn step_at(&self, now: u64) -> u64 {
        let all = [self.first].into_iter().chain(self.points.iter().copied()).chain([self.last]);
        let (mut before, mut after) = (self.first, self.last);
        for spot in all {
            if spot.now <= now && spot.now >= before.now {
                before = spot;
            }
            if spot.now >= now && spot.now <= after.now {
                after = spot;
            }
        }
        let (span, steps) = (after.now.saturating_sub(before.now), after.step.saturating_sub(before.step));
        let part = u128::from(now.saturating_sub(before.now)) * u128::from(steps) / u128::from(span.max(1));
        before.step + u64::try_from(part).unwrap_or(steps).min(steps)
    }
}

/// What a person does with the slider.
struct Drag {
    /// The machine ran when it began.
    ran: bool,
    /// Virtual time it is at.
    now: u64,
    /// The point the machine was last brought to.
    point: Option<u64>,
}

/// A step that is gone to once the point before it was seen: playing up to it may take a while, and drawing then waits.
struct Exactly {
    step: u64,
    /// The machine stands at the point.
    near: bool,
    /// It is to run on.
    ran: bool,
}

/// See the module.
#[derive(Default)]
pub struct Timeline {
    /// It is shown while the machine runs, too.
    pub shown: bool,
    known: Option<Known>,
    /// Why there is nothing to show.
    nothing: Option<String>,
    asked: Option<(Instant, Glance)>,
    drag: Option<Drag>,
    /// Where a person wants to go, as soon as it is known what is remembered.
    wanted: Option<Action>,
    /// So many ways to another time are asked for, of which the last counts.
    under_way: usize,
    /// Where it goes from the point nearest before.
    exactly: Option<Exactly>,
}

impl Timeline {
    /// The timeline of another machine.
    pub fn for_another(&self) -> Self {
        Self { shown: self.shown, ..Self::default() }
    }

    pub fn is_shown(&self, view: View) -> bool {
        view.state == State::Paused || self.drag.is_some() || self.shown && view.state == State::Running
    }

    /// A person wants to go a second back, or to the end. What is remembered is asked first: it may be much by now.
    pub fn want(&mut self, action: Action, wishes: &mut Wishes) {
        self.wanted = Some(action);
        wishes.ask(Method::History, About::History);
    }

    /// Goes where a person wants. The point nearest before is there at once; the steps from there may take longer.
    pub fn go(&mut self, state: State, wishes: &mut Wishes) {
        let Some(known) = &self.known else { return };
        let Some(action) = self.wanted.take() else { return };
        let step = known.step_of(action);
        let point = known.point_before(step).filter(|_| step < known.last.step).map(|point| point.step);
        let runs = state == State::Running;
        let ran = runs || self.exactly.take().is_some_and(|before| before.ran);
        if runs {
            wishes.ask(Method::Pause, About::Nothing);
        }
        self.exactly = Some(Exactly { step, near: point.is_none(), ran });
        match point {
            Some(step) => wishes.ask(Method::Rewind { step }, About::Near),
            None => self.go_on(wishes),
        }
    }

    /// The window was drawn: goes on to the very step a person wants, from the point before it.
    pub fn go_on(&mut self, wishes: &mut Wishes) {
        let Some(Exactly { step, ran, .. }) = self.exactly.take_if(|exactly| exactly.near) else { return };
        wishes.ask(Method::Rewind { step }, About::Rewound);
        self.under_way += 1;
        if ran {
            wishes.ask(Method::Resume, About::Nothing);
        }
    }

    /// An answer; a sentence for the person if there is one.
    pub fn hear(&mut self, about: About, outcome: Result<Value, String>) -> Option<String> {
        match (about, outcome) {
            (About::History, Ok(history)) => {
                self.known = Known::of(&history);
                self.nothing = None;
                None
            }
            (About::History, Err(why)) => {
                let sentence = self.wanted.take().map(|_| why.clone());
                self.nothing = Some(why);
                sentence
            }
            (About::Near, outcome) => {
                if let Some(exactly) = &mut self.exactly {
                    exactly.near = true;
                }
                outcome.err()
            }
            (_, outcome) => {
                self.under_way = self.under_way.saturating_sub(1);
                self.asked = None;
                outcome.err().filter(|_| self.under_way == 0)
            }
        }
    }

    pub fn draw(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        self.refresh(view.glance, wishes);
        if self.nothing.is_some() {
            // A machine that is paused draws nothing by itself.
            ui.ctx().request_repaint_after(RETRY);
        }
        ui.horizontal(|ui| {
            ui.set_min_height(HEIGHT);
            self.buttons(ui, view, wishes);
            match (&self.known, &self.nothing) {
                (Some(_), None) => self.slider(ui, view, wishes),
                (_, Some(why)) => drop(ui.label(RichText::new(why).weak())),
                (None, None) => drop(ui.label("…")),
            }
        });
    }

    /// Asks again what is remembered, when that may be something else.
    fn refresh(&mut self, glance: Glance, wishes: &mut Wishes) {
        let due = self.asked.is_none_or(|(at, then)| {
            let moved = (then.step, then.behind) != (glance.step, glance.behind);
            match self.nothing {
                Some(_) => at.elapsed() >= RETRY,
                None => moved && (at.elapsed() >= SPAN || glance.paused),
            }
        });
        if due && self.drag.is_none() {
            self.asked = Some((Instant::now(), glance));
            wishes.ask(Method::History, About::History);
        }
    }

    fn buttons(&self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        let paused = view.state == State::Paused;
        let knows = self.known.is_some() && self.nothing.is_none();
        let mut button = |enabled: bool, sign: &str, hint: &str, action: Action| {
            let shown = ui.add_enabled(enabled, Button::new(sign).min_size(Vec2::new(26.0, HEIGHT)));
            if shown.on_hover_text(hint).clicked() {
                wishes.act(action);
            }
        };
        button(knows, "⏪", "Back a second", Action::SecondBack);
        button(knows && paused, "⏴", "Step back", Action::StepBack);
        let (sign, hint) = if paused {
            ("▶", "Resume from here: what is ahead becomes a branch")
        } else {
            ("⏸", "Pause")
        };
        button(true, sign, hint, Action::Pause);
        button(paused, "⏵", "Step one instruction", Action::Step);
        button(knows && paused && view.glance.behind, "⏩", "Play what is ahead, as it was", Action::Play);
        button(knows && view.glance.behind, "⏭", "Forward to the end", Action::ToEnd);
        let branches = self.known.as_ref().map(|known| &known.branches[..]).unwrap_or_default();
        if !branches.is_empty() {
            ui.menu_button("Branches", |ui| {
                for (id, end) in branches {
                    if ui.button(format!("Return to {}", time(end.now))).clicked() {
                        wishes.act(Action::Return(*id));
                        ui.close();
                    }
                }
            });
        }
    }

    fn slider(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        let Some(known) = &self.known else { return };
        let here = self.drag.as_ref().map_or(view.glance.now, |drag| drag.now);
        let last = known.last.now.max(view.glance.now);
        let label = |at: u64| RichText::new(time(at)).monospace();
        ui.label(label(here)).on_hover_text("Virtual time");
        let room = ui.fonts_mut(|fonts| fonts.glyph_width(&FontId::monospace(12.0), '0')) * 14.0;
        let size = Vec2::new((ui.available_width() - room).max(60.0), HEIGHT);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
        let scale = Scale { from: known.first.now, to: last, rect: rect.shrink2(Vec2::new(ENDS, 0.0)) };
        paint(ui, &scale, known, here, &response);
        ui.label(label(last));
        let at = response.interact_pointer_pos().map(|at| scale.time(at.x));
        self.hear_slider(&response, at, view, wishes);
    }

    /// The slider was touched, at a time.
    fn hear_slider(&mut self, response: &Response, at: Option<u64>, view: View, wishes: &mut Wishes) {
        let begins = response.drag_started() || response.clicked() && self.drag.is_none();
        if let Some(now) = at.filter(|_| begins) {
            let ran = view.state == State::Running;
            if ran {
                wishes.ask(Method::Pause, About::Nothing);
            }
            self.drag = Some(Drag { ran, now, point: None });
            self.under_way = self.under_way.min(1);
        }
        let Some(drag) = &mut self.drag else { return };
        drag.now = at.unwrap_or(drag.now);
        let Some(known) = &self.known else { return };
        if response.drag_stopped() || response.clicked() {
            wishes.ask(Method::Rewind { step: known.step_at(drag.now) }, About::Rewound);
            if drag.ran {
                wishes.ask(Method::Resume, About::Nothing);
            }
            self.drag = None;
            self.under_way += 1;
        } else if let Some(point) = known.nearest(drag.now).filter(|_| self.under_way < UNDER_WAY)
            && drag.point != Some(point.step)
        {
            drag.point = Some(point.step);
            self.under_way += 1;
            wishes.ask(Method::Rewind { step: point.step }, About::Rewound);
        }
    }
}

/// Where times are on the slider.
struct Scale {
    from: u64,
    to: u64,
    rect: Rect,
}

impl Scale {
    fn x(&self, now: u64) -> f32 {
        let span = self.to.saturating_sub(self.from).max(1);
        let part = now.saturating_sub(self.from).min(span) as f64 / span as f64;
        self.rect.left() + self.rect.width() * part as f32
    }

    fn time(&self, x: f32) -> u64 {
        let part = f64::from((x - self.rect.left()) / self.rect.width().max(1.0)).clamp(0.0, 1.0);
        self.from + (self.to.saturating_sub(self.from) as f64 * part) as u64
    }
}

fn paint(ui: &Ui, scale: &Scale, known: &Known, here: u64, response: &Response) {
    let (painter, visuals) = (ui.painter(), ui.visuals());
    let look = ui.style().interact(response);
    let (y, left, right) = (scale.rect.center().y, scale.rect.left(), scale.rect.right());
    let faint = visuals.weak_text_color();
    painter.line_segment(
        [Pos2::new(left, y), Pos2::new(right, y)],
        Stroke::new(3.0, visuals.widgets.inactive.bg_fill),
    );
    let at = Pos2::new(scale.x(here), y);
    painter.line_segment([Pos2::new(left, y), at], Stroke::new(3.0, visuals.selection.bg_fill));
    for point in &known.points {
        let x = scale.x(point.now);
        painter.line_segment([Pos2::new(x, y + 5.0), Pos2::new(x, y + 9.0)], Stroke::new(1.0, faint));
    }
    for (_, spot) in &known.snapshots {
        let top = Pos2::new(scale.x(spot.now), scale.rect.top() + 4.0);
        // The fonts have no such sign.
        let corners = [(0.0, -DIAMOND), (DIAMOND, 0.0), (0.0, DIAMOND), (-DIAMOND, 0.0)];
        let corners = corners.map(|(x, y)| top + Vec2::new(x, y)).to_vec();
        painter.add(Shape::convex_polygon(corners, visuals.hyperlink_color, Stroke::NONE));
    }
    painter.circle(at, 7.0, look.bg_fill, Stroke::new(1.5, look.fg_stroke.color));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known() -> Known {
        let place = |step: u64, now: u64| json!({ "step": step, "time-ns": now });
        let history = json!({
            "first": place(0, 0), "here": place(1000, 9000), "last": place(1000, 9000),
            "points": [place(0, 0), place(100, 1000), place(900, 2000)],
            "snapshots": [{ "name": "a", "step": 5, "time-ns": 50 }],
            "branches": [{ "id": 3, "end": place(7, 70) }],
        });
        Known::of(&history).expect("a history")
    }

    #[test]
    fn a_time_has_a_nearest_point_and_a_step() {
        let known = known();
        assert_eq!(
            [0, 1400, 1600, 8000].map(|now| known.nearest(now).map(|spot| spot.step)),
            [0, 100, 900, 1000].map(Some)
        );
        assert_eq!(
            [0, 500, 1000, 1500, 5500, 9000, 99_000].map(|now| known.step_at(now)),
            [0, 50, 100, 500, 950, 1000, 1000]
        );
        assert_eq!(
            [99, 100, 950].map(|step| known.point_before(step).map(|spot| spot.step)),
            [0, 100, 900].map(Some)
        );
        assert_eq!((known.snapshots[0].1.step, known.branches[0].0), (5, 3));
        assert!(Known::of(&json!({})).is_none());
    }

    #[test]
    fn who_wants_back_goes_when_it_is_known_what_is_remembered() {
        let mut timeline = Timeline::default();
        let mut wishes = Wishes::default();
        timeline.want(Action::SecondBack, &mut wishes);
        assert_eq!(std::mem::take(&mut wishes).asks, [(Method::History, About::History)]);
        timeline.go(State::Running, &mut wishes);
        assert!(wishes.asks.is_empty());
        let at = |step: u64| json!({ "step": step, "time-ns": step * SECOND / 100 });
        let history = json!({
            "first": at(0), "here": at(500), "last": at(500), "points": [at(0), at(300)], "snapshots": [], "branches": [],
        });
        assert_eq!(timeline.hear(About::History, Ok(history)), None);
        timeline.go(State::Running, &mut wishes);
        let methods: Vec<_> = wishes.asks.iter().map(|(method, _)| method.clone()).collect();
        let rewind = |step: u64| Method::Rewind { step };
        assert_eq!(methods, [Method::Pause, rewind(300)]);
        wishes.clear();
        timeline.go_on(&mut wishes);
        assert!(wishes.asks.is_empty(), "the point is to be seen first");
        assert_eq!(timeline.hear(About::Near, Ok(json!({}))), None);
        timeline.go_on(&mut wishes);
        let methods: Vec<_> = wishes.asks.iter().map(|(method, _)| method.clone()).collect();
        assert_eq!(methods, [rewind(400), Method::Resume]);
        timeline.want(Action::SecondBack, &mut wishes);
        assert_eq!(timeline.hear(About::History, Err("none".into())), Some("none".to_owned()));
    }

    #[test]
    fn after_a_failure_it_is_asked_again_and_the_next_answer_is_shown() {
        let (mut timeline, mut wishes) = (Timeline::default(), Wishes::default());
        let mut asks = |timeline: &mut Timeline| {
            // The machine goes on meanwhile.
            let step = timeline.asked.map_or(0, |(_, then)| then.step + 1);
            timeline.refresh(Glance { step, paused: true, ..Glance::default() }, &mut wishes);
            std::mem::take(&mut wishes.asks).len()
        };
        assert_eq!(asks(&mut timeline), 1);
        timeline.hear(About::History, Err("none".into()));
        assert_eq!((asks(&mut timeline), timeline.nothing.as_deref()), (0, Some("none")), "not at once");
        std::thread::sleep(RETRY);
        assert_eq!([asks(&mut timeline), asks(&mut timeline)], [1, 0], "once a second");
        let at = json!({ "step": 0, "time-ns": 0 });
        timeline.hear(About::History, Ok(json!({ "first": at, "here": at, "last": at })));
        assert!(timeline.nothing.is_none() && timeline.known.is_some());
        assert_eq!(asks(&mut timeline), 1, "as before");
    }

    #[test]
    fn places_on_the_slider_are_times() {
        let rect = Rect::from_min_size(Pos2::new(10.0, 0.0), Vec2::new(100.0, 20.0));
        let scale = Scale { from: 1000, to: 3000, rect };
        for (now, x) in [(1000, 10.0), (2000, 60.0), (3000, 110.0)] {
            assert_eq!((scale.x(now), scale.time(x)), (x, now));
        }
        assert_eq!((scale.time(0.0), scale.time(500.0)), (1000, 3000));
    }
}
