//! The command-line program `amber`.

use amber_emu::cli::args::{Cli, Command, RunArgs};
use amber_emu::cli::run::{self, exit};
use clap::Parser;

fn main() {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        None => run::run(&RunArgs::default()),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Test(_)) => Err(anyhow::anyhow!("amber test is not there yet")),
    };
    let code = outcome.unwrap_or_else(|error| {
        eprintln!("amber: {error:#}");
        exit::BAD_INPUT
    });
    std::process::exit(code);
}
