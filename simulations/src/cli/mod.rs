//! The command line: what can be asked, and who does it.

mod batch;
mod child;
mod interrupt;
mod list;
mod one;
mod output;
mod progress;
mod replay;
mod repro_file;
mod run;
mod shrink;
mod summary;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};
use cluster_config::{ByteSize, Raw, Value};

/// The greatest seed: a repro is TOML, whose numbers have a sign.
const SEED_MAX: u64 = i64::MAX.unsigned_abs();
/// Memory that a seed may take, unless told otherwise: twice what 1,000 hosts need.
const MEMORY_DEFAULT: &str = "2GiB";

/// Deterministic swarm simulations.
#[derive(Debug, Parser)]
#[command(name = "torrentedge-sim", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all passed, 1 something failed, 2 it was called wrongly or a file \
    is wrong, 3 no such scenario or file, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show the scenarios
    List {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a scenario with one or many seeds, each in a process of its own
    Run(RunFlags),
    /// Run a repro again, and say whether it fails as before
    Replay(ReplayFlags),
    /// Find a smaller repro that fails as before
    Shrink(ShrinkFlags),
    /// Run the plan on standard input in this process
    #[command(hide = true)]
    One(OneFlags),
}

/// What a seed may take.
#[derive(Debug, Clone, Args)]
struct LimitFlags {
    /// Stop a seed that has taken so many seconds of CPU time
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = value_parser!(u64).range(1..=1_000_000))]
    cpu_limit: u64,
    /// Stop a seed that takes so much memory, as in 512MiB
    #[arg(long, value_name = "SIZE", default_value = MEMORY_DEFAULT, value_parser = size)]
    memory_limit: u64,
}

/// Flags of `run`.
#[derive(Debug, Args)]
struct RunFlags {
    /// The scenario's name, see `list`
    scenario: String,
    /// Run this seed [default: 0]
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "first"], value_parser = value_parser!(u64).range(..=SEED_MAX))]
    seed: Option<u64>,
    /// Run so many seeds
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    seeds: Option<u64>,
    /// The first of several seeds
    #[arg(long, value_name = "N", default_value_t = 0, requires = "seeds", value_parser = value_parser!(u64).range(..=SEED_MAX - 1_000_000_000))]
    first: u64,
    /// So many seeds at once [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Run each seed in two processes, which must agree (I10)
    #[arg(long)]
    twice: bool,
    /// Write the trace of the one seed to this file; that of its second process to FILE.2
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    trace: Option<PathBuf>,
    /// Write JSON, with all that came of all seeds
    #[arg(long)]
    json: bool,
    /// Write a report with plots: one HTML file
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Flags of `replay`.
#[derive(Debug, Args)]
struct ReplayFlags {
    /// The repro, as a failing seed writes it
    repro: PathBuf,
    /// Write the trace to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Write a report with plots: one HTML file
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Flags of `shrink`.
#[derive(Debug, Args)]
struct ShrinkFlags {
    /// The repro, as a failing seed writes it
    repro: PathBuf,
    /// Where to write the smaller one [default: REPRO-small.toml]
    #[arg(short, long, value_name = "OUT.toml")]
    output: Option<PathBuf>,
    /// Try at most so many smaller plans
    #[arg(long, value_name = "N", default_value_t = 500)]
    attempts: usize,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Flags of `one`.
#[derive(Debug, Args)]
struct OneFlags {
    /// Write the trace to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitFlags,
}

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Passed = 0,
    /// A seed failed, or something could not be done.
    Failed = 1,
    /// It was called wrongly, or a file is wrong.
    Usage = 2,
    /// There is no such scenario or file.
    NotFound = 3,
    /// Someone asked it to end (as shells say of SIGINT).
    Interrupted = 130,
}

/// A command could not do what it was asked: an exit code and one sentence, in lower case and without
/// a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Failure {
    /// For the exit code.
    pub(crate) exit: Exit,
    sentence: String,
}

impl Failure {
    fn new(exit: Exit, sentence: impl fmt::Display) -> Self {
        Self { exit, sentence: sentence.to_string() }
    }

    /// Exit code 1.
    fn failed(sentence: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, sentence)
    }
}

/// Does what the command line asks, and says how it went.
///
/// # Errors
///
/// It could not be done.
pub(crate) fn run(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::List { json } => list::run(*json),
        Command::Run(flags) => run::run(flags),
        Command::Replay(flags) => replay::run(flags),
        Command::Shrink(flags) => shrink::run(flags),
        Command::One(flags) => one::run(flags),
    }
}

/// A size as the configuration has it, in bytes.
fn size(text: &str) -> Result<u64, String> {
    let size = ByteSize::read(&Raw::Text(text)).map(ByteSize::as_bytes);
    size.filter(|bytes| *bytes > 0).ok_or_else(|| format!("expected {}", ByteSize::expects()))
}

/// How this program was called, so that a command that is shown can be pasted.
fn called() -> String {
    std::env::args().next().unwrap_or_else(|| "torrentedge-sim".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn takes_what_the_readme_shows() {
        for line in [
            "torrentedge-sim list --json",
            "torrentedge-sim run churn",
            "torrentedge-sim run churn --seed 42 --trace t.log --twice",
            "torrentedge-sim run churn --seeds 1000 --first 7 --jobs 2 --report r.html",
            "torrentedge-sim run churn --cpu-limit 5 --memory-limit 512MiB --json",
            "torrentedge-sim replay repro.toml --trace t.log --json --report r.html",
            "torrentedge-sim shrink repro.toml -o small.toml --attempts 50",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        for line in [
            "torrentedge-sim run",
            "torrentedge-sim run churn --seed 1 --seeds 2",
            "torrentedge-sim run churn --first 1",
            "torrentedge-sim run churn --seeds 2 --trace t.log",
            "torrentedge-sim run churn --seeds 0",
            "torrentedge-sim run churn --jobs 0",
            "torrentedge-sim run churn --seed 9223372036854775808",
            "torrentedge-sim run churn --memory-limit 0",
            "torrentedge-sim run churn --cpu-limit 0",
            "torrentedge-sim replay",
        ] {
            parse(line).expect_err(line);
        }
    }

    #[test]
    fn a_size_has_a_unit_and_is_not_0() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("2 GB"), Ok(2_000_000_000));
        for wrong in ["", "MiB", "17", "-1 MiB", "2mb", "0"] {
            size(wrong).expect_err(wrong);
        }
    }
}
