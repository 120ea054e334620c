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

mod interop;
mod matrix;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases: Vec<Trial> =
        [interop::clients_among_themselves(), matrix::trials()].into_iter().flatten().collect();
    libtest_mimic::run(&arguments, cases).exit_code()
}
