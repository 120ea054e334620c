//! The program `torrentedge-sim`: runs scenarios, a process for each seed, and says what came of them.
//!
//! Reading order: `cli` (what can be asked) → `cli::run` (many seeds at once) → `cli::batch` and
//! `cli::summary` (which seed is next, and what all of them say together: pure) → `cli::child` and
//! `cli::one` (the two ends of a seed's process). The parent is an ordinary program with a runtime and
//! signals; what must be the same in each run is in the library, in the child's process alone.
//!
//! Results go to standard output, the last line is the verdict; progress and notes go to standard error.

mod cli;
mod det;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Exit};

/// A thousand hosts are millions of small values; glibc's allocator takes a tenth more time for them, most of it in
/// growing the heap of a thread that is not the first.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Whoever closed standard error or output does not want to know.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    match cli::run(&cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "torrentedge-sim: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}
