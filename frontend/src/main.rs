//! `amber-desktop`: a machine in a window.

mod action;
mod app;
mod chooser;
mod comparison;
mod contents;
mod dialog;
mod geometry;
mod glance;
mod keyboard;
mod keys;
mod machine;
mod media;
mod menu;
mod mouse;
mod opening;
mod panes;
mod places;
mod preferences;
mod recent;
mod room;
mod scroll;
mod settings;
mod sound;
mod speed;
mod start;
mod status;
mod style;
mod submenu;
mod terminal;
mod thumbnail;
mod timeline;
mod window;
mod wishes;

use amber_emu::cli::args::{RunArgs, sentence};
use amber_emu::cli::run::exit;
use anyhow::{Context, Result, anyhow};
use app::{App, Event, First};
use clap::Parser;
use machine::Plan;
use places::Places;
use std::ffi::OsString;
use std::path::PathBuf;
use winit::event_loop::EventLoop;

/// A machine in a window. Takes a MACHINE.toml and the options of `amber run`; without any, one chooses a machine there. Of any
/// other file alone - a snapshot, a disk, a CD, a kernel - it does what its start screen does.
#[derive(Parser)]
#[command(name = "amber-desktop", version)]
struct Desktop {
    /// File of the settings, with folders for new machines and pictures beside it [default: in the user's own folders].
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

fn main() {
    let code = run().unwrap_or_else(|error| {
        eprintln!("amber-desktop: {error:#}");
        exit::BAD_INPUT
    });
    std::process::exit(code);
}

fn run() -> Result<i32> {
    let mut settings = named_settings(std::env::args_os());
    let first = match Desktop::try_parse() {
        // Help and version need no window.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => First::Machine(Err(anyhow!(sentence(&error)))),
        Ok(Desktop { run, .. }) if run.dump_config => return amber_emu::cli::run::run(&run),
        Ok(Desktop { run, settings: file }) => {
            settings = file;
            first(run)
        }
    };
    let places = Places::find(settings.as_deref())?;
    let event_loop = EventLoop::<Event>::with_user_event()
        .build()
        .context("there is no window system; `amber run` runs machines without one")?;
    let mut app = App::new(event_loop.create_proxy(), first, places);
    event_loop.run_app(&mut app)?;
    Ok(if app.failed.is_some() { exit::BAD_INPUT } else { 0 })
}

/// What the window begins with.
fn first(mut run: RunArgs) -> First {
    let image = run.file.take_if(|file| start::is_image(file));
    match (Plan::new(run), image) {
        (Ok(plan), image) if plan.is_blank() => First::Start(Box::new(plan.running().clone()), image),
        (Ok(_), Some(file)) => First::Machine(Err(anyhow!(
            "{}: is no MACHINE.toml; give it by the option that is for it, or alone",
            file.display()
        ))),
        (plan, _) => First::Machine(plan.map(Box::new)),
    }
}

/// The file of `--settings`, also where other options are not understood: the window that says so is to look as it does else.
fn named_settings(args: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut args = args.skip_while(|arg| !arg.as_encoded_bytes().starts_with(b"--settings"));
    let first = args.next()?.into_string().ok()?;
    match first.strip_prefix("--settings=") {
        Some(file) => Some(file.into()),
        None => args.next().map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_settings_is_known_whatever_the_other_options_are() {
        let named = |line: &str| named_settings(line.split(' ').map(OsString::from));
        assert_eq!(named("amber-desktop --wrong --settings a.toml b"), Some("a.toml".into()));
        assert_eq!(named("amber-desktop --settings=a.toml --wrong"), Some("a.toml".into()));
        assert_eq!(named("amber-desktop a.toml"), None);
        assert_eq!(named("amber-desktop --settings"), None);
    }
}
