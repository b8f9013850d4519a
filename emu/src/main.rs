//! The command-line program `amber`.

use amber_emu::cli::args::{Cli, Command, RunArgs, sentence};
use amber_emu::cli::fault;
use amber_emu::cli::run::{self, exit};
use amber_emu::cli::{bench, bisect, ctl, disk, replay, share, snapshot};
use amber_emu::test;
use clap::Parser;

fn main() {
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(&error));
    let outcome = fault::guard(|| match &cli.command {
        None => run::run(&RunArgs::default()),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Test(args)) => test::run(args),
        Some(Command::Snapshot(args)) => snapshot::run(args),
        Some(Command::Disk(args)) => disk::run(args),
        Some(Command::Share(args)) => share::run(args),
        Some(Command::Replay(args)) => replay::run(args),
        Some(Command::Bisect(args)) => bisect::run(args),
        Some(Command::BisectSide(args)) => bisect::serve(args),
        Some(Command::Ctl(args)) => ctl::run(args),
        Some(Command::Bench(args)) => bench::run(args),
    });
    let code = match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("amber: {error:#}");
            exit::BAD_INPUT
        }
        Err(panic) => fault::report(&panic, None, None),
    };
    std::process::exit(code);
}

/// Says what is wrong with a command line, as for any bad input; or shows the help asked for.
fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    eprintln!("amber: {}", sentence(error));
    std::process::exit(exit::BAD_INPUT);
}
