//! The `torrentedge` program: the command line and what each command is composed of.
//!
//! Reading order: `cli` (what can be asked) → `commands` (a file a command) → `startup` and `shutdown`
//! → `telemetry` and `progress` (what a person sees). `hashing` reads and hashes files for the commands
//! that work without an engine. Results go to standard output; progress, log lines and the one sentence
//! of a failure go to standard error.

mod cli;
mod commands;
mod engine;
mod failure;
mod hashing;
mod kafka;
mod output;
mod progress;
mod selection;
mod shutdown;
mod startup;
mod telemetry;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Whoever closed standard error or output does not want to know.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "torrentedge: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}
