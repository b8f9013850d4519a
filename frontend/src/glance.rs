//! What the window sees of the machine: the last of it, handed over without either waiting for the other.

use super::app::Event;
use super::scroll::Said;
use amber_devices::display::Picture;
use amber_emu::cli::onlooker::{Onlooker, Standing};
use amber_emu::cli::report;
use amber_emu::machine::{Machine, Seen};
use egui::ColorImage;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use winit::event_loop::EventLoopProxy;

/// From one look to the next, at least: 60 times a second.
const LOOK: Duration = Duration::from_micros(16_600);
/// How often the window hears of a machine whose screen does not change: a drawing in software takes a host with few cores some of
/// its time.
const TELL: Duration = Duration::from_secs(1);
/// How often what blinks on a screen may do so: as on a display, also where virtual time goes faster.
const BLINK: Duration = Duration::from_millis(266);
/// Most bytes of the serial port that wait for the window; of more the first half is lost.
const SERIAL_MAX: usize = 1 << 18;

/// Where the machine stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    pub step: u64,
    /// Virtual time, ns.
    pub now: u64,
    pub paused: bool,
    /// The guest ended; the machine can be looked at.
    pub ended: bool,
    /// It went back, and has its future ahead.
    pub behind: bool,
    /// Virtual time by the wall clock's, percent; `None` is as fast as it goes.
    pub speed: Option<u32>,
    /// A driver listens to an absolute pointer.
    pub pointer: bool,
    pub cpus: u32,
}

/// What is new.
#[derive(Default)]
pub struct News {
    pub picture: Option<ColorImage>,
    pub glance: Option<Glance>,
    pub serial: Vec<Said>,
    /// How the guest ended, in a sentence.
    pub ended: Option<String>,
}

impl News {
    /// Bytes of the serial port that wait.
    fn waiting(&self) -> usize {
        self.serial.iter().map(Said::len).sum()
    }

    fn say(&mut self, bytes: &[u8]) {
        match self.serial.last_mut() {
            Some(Said::Bytes(last)) => last.extend(bytes),
            _ => self.serial.push(Said::Bytes(bytes.to_vec())),
        }
        while self.waiting() > SERIAL_MAX {
            match &mut self.serial[..] {
                [Said::Bytes(only)] => drop(only.drain(..only.len() - SERIAL_MAX / 2)),
                _ => drop(self.serial.remove(0)),
            }
        }
    }
}

/// Between the machine's thread and the window's.
pub struct Slot {
    waiting: Mutex<(News, bool)>,
    /// Bytes of the serial port that came by, as far as the machine has come.
    said: AtomicU64,
    /// Wakes the window.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Slot {
    /// A slot whose other end is woken by `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), said: AtomicU64::new(0), wake: Box::new(wake) })
    }

    /// A slot whose other end is the window.
    pub fn waking(window: &EventLoopProxy<Event>) -> Arc<Self> {
        let window = window.clone();
        // A window that is gone hears nothing.
        Self::new(move || drop(window.send_event(Event::News)))
    }

    fn lock(&self) -> MutexGuard<'_, (News, bool)> {
        // Whoever panicked here left whole values.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is new; with `tell` the window is woken, if it was not already.
    fn put(&self, tell: bool, change: impl FnOnce(&mut News)) {
        let mut waiting = self.lock();
        change(&mut waiting.0);
        let wakes = tell && !std::mem::replace(&mut waiting.1, true);
        drop(waiting);
        if wakes {
            (self.wake)();
        }
    }

    /// All that is new since the last time.
    pub fn take(&self) -> News {
        std::mem::take(&mut *self.lock()).0
    }
}

/// The window's eyes, in the machine's thread.
pub struct Eyes {
    slot: Arc<Slot>,
    seen: Seen,
    /// When the screen was seen to be another.
    pictured: Option<Instant>,
    looked: Option<Instant>,
    told: Option<(Instant, Glance)>,
}

impl Eyes {
    pub fn new(slot: Arc<Slot>) -> Self {
        Self { slot, seen: Seen::default(), pictured: None, looked: None, told: None }
    }

    /// The picture, if it is another.
    fn picture(&mut self, machine: &mut Machine, now: Instant, paused: bool) -> Option<ColorImage> {
        let soon = !paused && self.pictured.is_some_and(|at| now - at < BLINK);
        if soon && machine.only_blinks(&self.seen) {
            return None;
        }
        let picture = machine.changed_picture(&mut self.seen).map(image);
        if picture.is_some() {
            self.pictured = Some(now);
        }
        picture
    }
}

fn image(picture: &Picture) -> ColorImage {
    let size = [picture.width as usize, picture.height as usize];
    ColorImage::from_rgba_premultiplied(size, &picture.pixels)
}

impl Onlooker for Eyes {
    fn wants_to_look(&mut self) -> bool {
        self.looked.is_none_or(|at| at.elapsed() >= LOOK)
    }

    fn look(&mut self, machine: &mut Machine, standing: Standing) {
        let now = Instant::now();
        self.looked = Some(now);
        let picture = self.picture(machine, now, standing.paused);
        let (step, time) = (machine.step(), machine.now());
        let Standing { paused, ended, behind, speed, said } = standing;
        let (pointer, cpus) = (machine.has_pointer(), machine.vcpus().len() as u32);
        let glance = Glance { step, now: time, paused, ended: ended.is_some(), behind, speed, pointer, cpus };
        // The machine went to another time.
        let went = said.filter(|said| self.slot.said.swap(*said, Ordering::Relaxed) != *said);
        let tell = picture.is_some()
            || went.is_some()
            || self.told.is_none_or(|(at, last)| {
                let changed = Glance { step, now: time, ..last } != glance;
                changed || paused && last.step != step || now - at >= TELL
            });
        if tell {
            self.told = Some((now, glance));
        }
        self.slot.put(tell, |news| {
            news.glance = Some(glance);
            news.serial.extend(went.map(Said::At));
            if let Some(stop) = ended {
                news.ended = Some(report::sentence(stop, machine));
            }
            if picture.is_some() {
                news.picture = picture;
            }
        });
    }
}

/// Where serial port 0 goes.
pub struct Line(pub Arc<Slot>);

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.said.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.0.put(true, |news| news.say(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_window_is_woken_once_for_all_that_waits() {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let slot = Slot::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        slot.put(false, |news| news.glance = Some(Glance { step: 1, ..Glance::default() }));
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        let mut line = Line(Arc::clone(&slot));
        line.write_all(b"ab").unwrap();
        line.write_all(b"c").unwrap();
        slot.put(true, |news| news.glance = Some(Glance { step: 2, ..Glance::default() }));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let news = slot.take();
        let said = [Said::Bytes(b"abc".to_vec())];
        assert_eq!((news.serial.as_slice(), news.glance.map(|glance| glance.step)), (&said[..], Some(2)));
        assert!(slot.take().serial.is_empty());
        line.write_all(&vec![b'x'; SERIAL_MAX + 1]).unwrap();
        assert_eq!(woken.load(Ordering::Relaxed), 2);
        assert_eq!(slot.take().waiting(), SERIAL_MAX / 2);
    }

    #[test]
    fn a_machine_is_seen_as_it_stands_and_a_still_screen_once() {
        let config = amber_emu::config::MachineConfig::default();
        let mut machine = amber_emu::cli::build::machine(&config).expect("the monitor");
        let slot = Slot::new(|| ());
        let mut eyes = Eyes::new(Arc::clone(&slot));
        assert!(eyes.wants_to_look());
        let paused = Standing { paused: true, ..Standing::default() };
        eyes.look(&mut machine, paused);
        assert!(!eyes.wants_to_look(), "60 times a second are enough");
        let (picture, news) = (machine.picture(), slot.take());
        let shown = news.picture.expect("nobody saw it");
        assert_eq!(shown.size, [picture.width as usize, picture.height as usize]);
        let bytes: Vec<u8> = shown.pixels.iter().flat_map(|pixel| pixel.to_array()).collect();
        assert_eq!(bytes, picture.pixels);
        assert_eq!(news.glance, Some(Glance { paused: true, cpus: 1, ..Glance::default() }));
        eyes.look(&mut machine, paused);
        assert!(slot.take().picture.is_none());
    }
}
