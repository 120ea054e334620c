//! System tests: real processes on hosts of a network that each test makes for itself.
//!
//! `cargo test -p tests --test system -- NAME` runs the cases whose name contains `NAME`;
//! `--list` names them. With `INTEROP=all` in the environment the interop matrix is complete,
//! otherwise it is a choice in which every pair of values occurs.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests drive real processes on the real clock, and may panic"
)]

mod attacks;
mod commands;
mod hostile;
mod interop;
mod matrix;
mod resume;
mod serve;
mod slow;
mod trackers;

use std::process::ExitCode;

use anyhow::Result;
use harness::Scene;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Those that wait for long timers first, so that others run meanwhile.
    let cases: Vec<Trial> = [
        slow::trials(),
        interop::clients_among_themselves(),
        matrix::trials(),
        hostile::trials(),
        resume::trials(),
        serve::trials(),
        trackers::trials(),
        commands::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, cases).exit_code()
}

/// A test by its name, on a scene of its own.
fn trial(name: &str, play: impl FnOnce(&Scene) -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || Scene::run(play).map_err(|error| format!("{error:#}").into()))
}
