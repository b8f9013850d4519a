//! What the window remembers from one start of the program to the next: a TOML file in the user's folder of settings.

use super::geometry::Scaling;
use super::keyboard::HostKey;
use super::recent::Recent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// From a change to the file being written, so that a window that is dragged is written once.
const DELAY: Duration = Duration::from_millis(500);
/// The sizes one can choose, in percent.
pub const ZOOMS: [u32; 5] = [100, 125, 150, 175, 200];

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// As the window system has it; dark where that does not say.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [(&'static str, Self); 3] =
        [("As the system", Self::System), ("Light", Self::Light), ("Dark", Self::Dark)];
}

/// Where the window was, and how large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Placement {
    /// Points: width and height.
    pub size: Option<(u32, u32)>,
    /// Pixels from the left and the top of the desktop; window systems may not tell.
    pub position: Option<(i32, i32)>,
    pub maximised: bool,
    /// Points of its width that it has for what is beside the screen.
    pub beside: u32,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Settings {
    pub scaling: Scaling,
    pub theme: Theme,
    /// Size of all that is not the guest's, in percent of what the monitor asks for.
    pub zoom: u32,
    pub host_key: HostKey,
    /// Folder of screenshots. Unset: the working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screenshots: Option<PathBuf>,
    /// Folder the last image was chosen from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Title of the pane that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pane: Option<String>,
    pub window: Placement,
    /// Widths of panes by title, in points.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pane_widths: BTreeMap<String, f32>,
    /// The last one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Recent>,
    /// Keys of other versions are kept.
    #[serde(flatten)]
    pub others: BTreeMap<String, toml::Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scaling: Scaling::default(),
            theme: Theme::default(),
            zoom: 100,
            host_key: HostKey::default(),
            screenshots: None,
            images: None,
            pane: None,
            window: Placement::default(),
            pane_widths: BTreeMap::new(),
            recent: Vec::new(),
            others: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// What a file says; none if there is no such file.
    fn read(file: &Path) -> Result<Option<Self>, String> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let settings = toml::from_str::<Self>(&text).map_err(|error| error.message().to_owned())?;
        Ok(Some(settings.within_bounds()))
    }

    /// What was written by hand may be anything.
    fn within_bounds(mut self) -> Self {
        self.zoom = self.zoom.clamp(ZOOMS[0], ZOOMS[ZOOMS.len() - 1]);
        self.pane_widths.retain(|_, width| width.is_finite() && (50.0..5000.0).contains(width));
        self
    }

    /// Writes the file as a whole, or leaves the old one.
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        replace(file, toml::to_string(self)?.as_bytes())?;
        Ok(())
    }
}

/// Keeps a file under another name. What became of it, in a sentence; an error when it is where it was.
fn put_aside(file: &Path, why: &str) -> Result<String, String> {
    let why = why.lines().next().unwrap_or_default();
    let aside = free_name(file);
    let moved = std::fs::rename(file, &aside);
    let (file, aside) = (file.display(), aside.display());
    match moved {
        Ok(()) => Ok(format!(
            "The settings in {file} are not understood ({why}); they are kept as {aside}, and the window begins with those of a new user."
        )),
        Err(error) => Err(format!(
            "The settings in {file} are not understood ({why}), and cannot be kept aside: {error}. They stay as they are, and what is changed now is not kept."
        )),
    }
}

/// The first name for a broken file that none has.
fn free_name(file: &Path) -> PathBuf {
    let (mut aside, mut number) = (file.with_extension("broken.toml"), 2);
    while aside.symlink_metadata().is_ok() {
        aside = file.with_extension(format!("broken-{number}.toml"));
        number += 1;
    }
    aside
}

/// Writes a file as a whole, or leaves the one that is there. Its folder is made.
///
/// # Errors
/// When the host cannot.
pub fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = folder.join(name);
    let written = std::fs::File::create(&beside).and_then(|mut new| {
        new.write_all(bytes)?;
        new.sync_all()?;
        std::fs::rename(&beside, file)
    });
    if written.is_err() {
        // What is half written is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The file of the settings, which follows them.
pub struct Keeper {
    /// None while one is there that is not understood: it is not to be lost.
    file: Option<PathBuf>,
    /// What is in it.
    written: Settings,
    /// What they were when they were last looked at, and when that changed.
    changed: Option<(Settings, Instant)>,
}

impl Keeper {
    /// The keeper of a file, and what is to be said of it: one that is not understood is kept aside.
    pub fn open(file: &Path) -> (Self, Option<String>) {
        let (file, written, sentence) = match Settings::read(file) {
            Ok(read) => (Some(file.to_owned()), read.unwrap_or_default(), None),
            Err(why) => match put_aside(file, &why) {
                Ok(sentence) => (Some(file.to_owned()), Settings::default(), Some(sentence)),
                Err(sentence) => (None, Settings::default(), Some(sentence)),
            },
        };
        (Self { file, written, changed: None }, sentence)
    }

    /// What is in the file.
    pub fn read(&self) -> &Settings {
        &self.written
    }

    /// Writes what stayed the same for a while, and is not in the file. When to look again.
    ///
    /// # Errors
    /// A sentence, once for each change, when it cannot be written.
    pub fn follow(&mut self, now: &Settings) -> Result<Option<Instant>, String> {
        if *now == self.written {
            self.changed = None;
            return Ok(None);
        }
        match &self.changed {
            Some((then, at)) if then == now => match *at + DELAY {
                due if due <= Instant::now() => self.write(now).map(|()| None),
                due => Ok(Some(due)),
            },
            _ => {
                let at = Instant::now();
                self.changed = Some((now.clone(), at));
                Ok(Some(at + DELAY))
            }
        }
    }

    /// Writes it at once, if it is not in the file.
    ///
    /// # Errors
    /// A sentence, when it cannot be written.
    pub fn write(&mut self, now: &Settings) -> Result<(), String> {
        self.changed = None;
        if *now == self.written {
            return Ok(());
        }
        self.written = now.clone();
        let Some(file) = &self.file else { return Ok(()) };
        now.write(file)
            .map_err(|error| format!("The settings cannot be written to {}: {error:#}.", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_tests::program::Scratch;

    fn other() -> Settings {
        Settings {
            scaling: Scaling::Stretch,
            theme: Theme::Light,
            zoom: 150,
            host_key: HostKey::ScrollLock,
            screenshots: Some("/tmp/shots".into()),
            pane: Some("Statistics".to_owned()),
            window: Placement {
                size: Some((900, 700)),
                position: Some((-3, 20)),
                maximised: true,
                beside: 280,
            },
            pane_widths: BTreeMap::from([("Statistics".to_owned(), 312.5)]),
            recent: vec![Recent { file: "/m/a.toml".into(), opened: 1_700_000_000 }],
            ..Settings::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let scratch = Scratch::new("settings-round-trip");
        let file = scratch.0.join("new/folder/desktop.toml");
        assert_eq!(Settings::read(&file), Ok(None));
        for settings in [Settings::default(), other()] {
            settings.write(&file).unwrap();
            assert_eq!(Settings::read(&file), Ok(Some(settings)));
        }
        let files = std::fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "nothing half written is left");
    }

    #[test]
    fn keys_of_other_versions_are_kept_and_those_that_lack_are_as_for_a_new_user() {
        let scratch = Scratch::new("settings-unknown");
        let file = scratch.0.join("desktop.toml");
        std::fs::write(&file, "zoom = 999\ncolour = \"green\"\n[window]\nmaximised = true\n").unwrap();
        let settings = Settings::read(&file).unwrap().expect("there is a file");
        assert_eq!((settings.zoom, settings.window.maximised), (200, true));
        settings.write(&file).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("colour = \"green\""));
    }

    #[test]
    fn a_broken_file_is_said_and_kept_aside() {
        let scratch = Scratch::new("settings-broken");
        let file = scratch.0.join("desktop.toml");
        std::fs::write(&file, "theme = \"mauve\"\n").unwrap();
        let (keeper, sentence) = Keeper::open(&file);
        assert_eq!(keeper.read(), &Settings::default());
        let sentence = sentence.expect("it is said");
        assert!(sentence.contains("mauve") && sentence.contains("desktop.broken.toml"), "{sentence}");
        assert_eq!(
            std::fs::read_to_string(scratch.0.join("desktop.broken.toml")).unwrap(),
            "theme = \"mauve\"\n"
        );
        assert!(!file.exists());
    }

    #[test]
    fn whatever_is_broken_is_kept_and_none_in_the_place_of_another() {
        let scratch = Scratch::new("settings-broken-again");
        let file = scratch.0.join("desktop.toml");
        let broken: [&[u8]; 3] = [b"zoom = \"first\"", b"zoom = \xFF", b"zoom = \"third\""];
        let names = ["desktop.broken.toml", "desktop.broken-2.toml", "desktop.broken-3.toml"];
        for (bytes, name) in broken.iter().zip(names) {
            std::fs::write(&file, bytes).unwrap();
            let (mut keeper, sentence) = Keeper::open(&file);
            assert!(sentence.is_some_and(|sentence| sentence.contains(name)));
            assert_eq!(keeper.write(&other()), Ok(()));
            assert_eq!(Settings::read(&file), Ok(Some(other())), "the file is written again");
        }
        for (bytes, name) in broken.iter().zip(names) {
            assert_eq!(std::fs::read(scratch.0.join(name)).unwrap(), *bytes);
        }
    }

    #[test]
    fn what_cannot_be_put_aside_is_not_written_over() {
        let scratch = Scratch::new("settings-stuck");
        let stuck = scratch.0.join("desktop.toml");
        std::fs::write(&stuck, "a file").unwrap();
        let (mut keeper, sentence) = Keeper::open(&stuck.join("below"));
        assert!(sentence.is_some_and(|sentence| sentence.contains("cannot be kept aside")));
        assert_eq!(keeper.file, None);
        assert_eq!(keeper.write(&other()), Ok(()));
        assert_eq!(keeper.follow(&other()), Ok(None));
        assert_eq!(std::fs::read_to_string(&stuck).unwrap(), "a file");
    }

    #[test]
    fn a_change_is_written_once_it_is_one() {
        let scratch = Scratch::new("settings-keeper");
        let file = scratch.0.join("desktop.toml");
        let (mut keeper, _) = Keeper::open(&file);
        assert_eq!(keeper.follow(&Settings::default()), Ok(None));
        let due = keeper.follow(&other()).unwrap().expect("it is to be written");
        assert!(!file.exists() && due > Instant::now());
        std::thread::sleep(DELAY + Duration::from_millis(20));
        assert_eq!(keeper.follow(&other()), Ok(None));
        assert_eq!(Settings::read(&file), Ok(Some(other())));
        let (mut keeper, _) = Keeper::open(&scratch.0.join("new/below"));
        std::fs::write(scratch.0.join("new"), "a file, no folder").unwrap();
        assert!(keeper.write(&other()).is_err_and(|sentence| sentence.contains("below")));
        assert_eq!(keeper.follow(&other()), Ok(None), "it is said once");
    }
}
