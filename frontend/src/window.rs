//! The window: made, drawn by egui on whatever graphics there are, and asked for the pointer.

use super::room::{Monitor, Room};
use super::settings::{Placement, Settings, Theme};
use super::style;
use anyhow::{Context as _, Result};
use egui::{Context, ThemePreference, Ui, ViewportId};
use egui_wgpu::winit::Painter;
use egui_wgpu::{RendererOptions, SurfaceConfig, WgpuConfiguration, WgpuSetup};
use std::sync::Arc;
use std::time::Duration;
use winit::dpi::{LogicalSize, PhysicalPosition, PhysicalSize};
use winit::event::WindowEvent;
use winit::event_loop::ActiveEventLoop;
use winit::monitor::MonitorHandle;
use winit::window::{self, CursorGrabMode, Fullscreen, Window};

/// Room for 640 x 480 with the bars around it, and for 720 x 400.
const SIZE: LogicalSize<u32> = LogicalSize::new(800, 560);
/// Points of height that a frame around it may take.
const FRAME: u32 = 40;
const SMALLEST: LogicalSize<u32> = LogicalSize::new(320, 240);

/// See the module.
pub struct Surface {
    pub window: Arc<Window>,
    egui: Context,
    pub state: egui_winit::State,
    painter: Painter,
    room: Room,
}

impl Surface {
    /// Opens the window.
    ///
    /// # Errors
    /// When there is no window system, or nothing draws for it.
    pub fn open(event_loop: &ActiveEventLoop, title: &str, place: Placement) -> Result<Self> {
        let monitor = monitor_of(event_loop, place);
        let mut attributes = Window::default_attributes()
            .with_title(title)
            .with_inner_size(size_on(monitor.as_ref(), place))
            .with_maximized(place.maximised)
            .with_min_inner_size(SMALLEST);
        if let Some((x, y)) = place.position.filter(|at| shows(monitor.as_ref(), *at, place)) {
            attributes = attributes.with_position(PhysicalPosition::new(x, y));
        }
        let window = Arc::new(event_loop.create_window(attributes).context("no window can be opened")?);
        let egui = Context::default();
        style::set(&egui);
        let painter = pollster::block_on(painter(event_loop, &egui, &window))?;
        let state = egui_winit::State::new(
            egui.clone(),
            ViewportId::ROOT,
            &window,
            Some(window.scale_factor() as f32),
            window.theme(),
            painter.max_texture_side(),
        );
        let room = Room::of((f64::from(place.beside) * window.scale_factor()).round() as u32);
        Ok(Self { window, egui, state, painter, room })
    }

    /// Colours and size of what is not the guest's.
    pub fn set_look(&self, settings: &Settings) {
        let (own, frame) = match settings.theme {
            Theme::System => (ThemePreference::System, None),
            Theme::Light => (ThemePreference::Light, Some(window::Theme::Light)),
            Theme::Dark => (ThemePreference::Dark, Some(window::Theme::Dark)),
        };
        self.egui.set_theme(own);
        self.window.set_theme(frame);
        self.egui.set_zoom_factor(settings.zoom as f32 / 100.0);
    }

    /// Where the window is now, with its position if that was told; what it was before it was made to fill the screen.
    pub fn placement(&self, at: Option<(i32, i32)>, before: Placement) -> Placement {
        let maximised = self.window.is_maximized();
        if maximised || self.is_full_screen() {
            return Placement { maximised, ..before };
        }
        let size: LogicalSize<u32> = self.window.inner_size().to_logical(self.window.scale_factor());
        let beside = (f64::from(self.room.grown()) / self.window.scale_factor()).round() as u32;
        let asked = || self.window.outer_position().ok().map(|at| (at.x, at.y));
        Placement { size: Some((size.width, size.height)), position: at.or_else(asked), maximised, beside }
    }

    /// An event of the window, for what egui draws. Whether it must be drawn again.
    pub fn hear(&mut self, event: &WindowEvent) -> bool {
        if let WindowEvent::Resized(size) = event {
            self.resized(*size);
        }
        self.state.on_window_event(&self.window, event).repaint
    }

    fn resized(&mut self, size: PhysicalSize<u32>) {
        self.room.see(size.width);
        let sides = std::num::NonZeroU32::new(size.width).zip(std::num::NonZeroU32::new(size.height));
        if let Some((width, height)) = sides {
            self.painter.on_window_resized(ViewportId::ROOT, width, height);
        }
    }

    /// Draws what `contents` adds; how long that stays true.
    pub fn draw(&mut self, contents: impl FnMut(&mut Ui)) -> Duration {
        let input = self.state.take_egui_input(&self.window);
        let output = self.egui.run_ui(input, contents);
        self.state.handle_platform_output(&self.window, output.platform_output);
        let shapes = self.egui.tessellate(output.shapes, output.pixels_per_point);
        self.window.pre_present_notify();
        self.painter.paint_and_update_textures(
            ViewportId::ROOT,
            output.pixels_per_point,
            [0.0, 0.0, 0.0, 1.0],
            &shapes,
            &output.textures_delta,
            Vec::new(),
            &self.window,
        );
        output.viewport_output.get(&ViewportId::ROOT).map_or(Duration::MAX, |view| view.repaint_delay)
    }

    /// Takes the pointer for the guest, or gives it back. Whether it is locked in place, and only its device tells of motion.
    ///
    /// # Errors
    /// When the window system does not let it be taken.
    pub fn grab(&self, taken: bool) -> Result<bool> {
        let mut locked = false;
        if taken {
            // Not every window system can lock it in place.
            locked = self.window.set_cursor_grab(CursorGrabMode::Locked).is_ok();
            if !locked {
                let confined = self.window.set_cursor_grab(CursorGrabMode::Confined);
                confined.context("the window system does not let the mouse be taken")?;
            }
        } else {
            self.window.set_cursor_grab(CursorGrabMode::None)?;
        }
        self.window.set_cursor_visible(!taken);
        Ok(locked)
    }

    /// Puts a confined pointer back into the middle when it comes near an edge; where it is then.
    pub fn recentre(&self, at: PhysicalPosition<f64>) -> PhysicalPosition<f64> {
        let size = self.window.inner_size();
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let centre = PhysicalPosition::new((width / 2.0).floor(), (height / 2.0).floor());
        let near = (at.x - centre.x).abs() > width / 4.0 || (at.y - centre.y).abs() > height / 4.0;
        if near && self.window.set_cursor_position(centre).is_ok() { centre } else { at }
    }

    /// Makes the window wider than it is without, by so many points, so that what is beside the screen takes nothing from it,
    /// as far as the monitor has room. The window system may refuse.
    pub fn make_room(&mut self, points: f32) {
        if self.is_full_screen() || self.window.is_maximized() {
            return;
        }
        let size = self.window.inner_size();
        let wanted = (points * self.egui.pixels_per_point()).round() as u32;
        let at = self.window.outer_position().ok();
        let monitor = self.window.current_monitor().map(|monitor| Monitor::from(&monitor));
        let change = self.room.make(wanted, size.width, at.map(|at| at.x), monitor);
        if let Some((x, at)) = change.x.zip(at) {
            self.window.set_outer_position(PhysicalPosition::new(x, at.y));
        }
        // What became of it is told by an event, but under Wayland, where it has that size at once.
        if let Some(size) = self.window.request_inner_size(PhysicalSize::new(change.width, size.height)) {
            self.resized(size);
        }
    }

    /// Whether keys go to something in the window.
    pub fn wants_keys(&self) -> bool {
        self.egui.egui_wants_keyboard_input()
    }

    /// Nothing in the window has the keys any more.
    pub fn give_keys_back(&self) {
        self.egui.memory_mut(|memory| {
            if let Some(id) = memory.focused() {
                memory.surrender_focus(id);
            }
        });
    }

    pub fn is_full_screen(&self) -> bool {
        self.window.fullscreen().is_some()
    }

    /// All of the screen, or a window again.
    pub fn set_full_screen(&self, full: bool) {
        self.window.set_fullscreen(full.then_some(Fullscreen::Borderless(None)));
    }
}

/// Points of a window that was last seen there.
fn size_of(place: Placement) -> LogicalSize<u32> {
    place.size.map_or(SIZE, |(width, height)| LogicalSize::new(width, height))
}

/// Whether the window can be seen where it was: a monitor may have gone.
fn shows(monitor: Option<&MonitorHandle>, at: (i32, i32), place: Placement) -> bool {
    monitor.is_some_and(|monitor| {
        let size: PhysicalSize<u32> = size_of(place).to_physical(monitor.scale_factor());
        Monitor::from(monitor).shows(at, size.width)
    })
}

/// The monitor the window was on, or else the first.
fn monitor_of(event_loop: &ActiveEventLoop, place: Placement) -> Option<MonitorHandle> {
    let there = |monitor: &MonitorHandle| place.position.is_some_and(|at| shows(Some(monitor), at, place));
    let first = || event_loop.primary_monitor().or_else(|| event_loop.available_monitors().next());
    event_loop.available_monitors().find(there).or_else(first)
}

/// Its size, as far as the monitor has room for it and for its frame.
fn size_on(monitor: Option<&MonitorHandle>, place: Placement) -> LogicalSize<u32> {
    let (size, monitor) = (size_of(place), monitor.filter(|monitor| monitor.size().width != 0));
    monitor.map_or(size, |monitor| {
        let most: LogicalSize<u32> = monitor.size().to_logical(monitor.scale_factor());
        LogicalSize::new(size.width.min(most.width), size.height.min(most.height.saturating_sub(FRAME)))
    })
}

/// What draws in the window: Vulkan, Metal, Direct3D or GL, in hardware or not.
async fn painter(event_loop: &ActiveEventLoop, egui: &Context, window: &Arc<Window>) -> Result<Painter> {
    let display = event_loop.owned_display_handle();
    let config = WgpuConfiguration {
        wgpu_setup: WgpuSetup::from_display_handle(display),
        surface: SurfaceConfig::LOW_LATENCY,
        ..WgpuConfiguration::default()
    };
    // A pixel of the guest has the colour the guest gave it.
    let options = RendererOptions { dithering: false, ..RendererOptions::default() };
    let mut painter = Painter::new(egui.clone(), config, false, options).await;
    painter.set_window(ViewportId::ROOT, Some(Arc::clone(window))).await.context(
        "nothing draws in this window: neither a Vulkan nor a GL driver works here; on Debian, mesa-vulkan-drivers has one in \
         software",
    )?;
    Ok(painter)
}
