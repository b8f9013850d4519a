//! `amber-desktop`: a machine in a window.

mod action;
mod app;
mod comparison;
mod contents;
mod geometry;
mod glance;
mod keyboard;
mod keys;
mod machine;
mod menu;
mod mouse;
mod panes;
mod status;
mod terminal;
mod thumbnail;
mod window;
mod wishes;

use amber_emu::cli::args::{RunArgs, sentence};
use amber_emu::cli::run::exit;
use anyhow::{Context, Result, anyhow};
use app::{App, Event};
use clap::Parser;
use machine::Plan;
use winit::event_loop::EventLoop;

/// A machine in a window. Takes a MACHINE.toml and the options of `amber run`; without any, the built-in monitor runs.
#[derive(Parser)]
#[command(name = "amber-desktop", version)]
struct Desktop {
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
    let plan = match Desktop::try_parse() {
        // Help and version need no window.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => Err(anyhow!(sentence(&error))),
        Ok(Desktop { run }) if run.dump_config => return amber_emu::cli::run::run(&run),
        Ok(Desktop { run }) => Plan::new(run),
    };
    let event_loop = EventLoop::<Event>::with_user_event()
        .build()
        .context("there is no window system; `amber run` runs machines without one")?;
    let mut app = App::new(event_loop.create_proxy(), plan);
    event_loop.run_app(&mut app)?;
    Ok(if app.failed.is_some() { exit::BAD_INPUT } else { 0 })
}
