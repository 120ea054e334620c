//! The engine on simulated hosts, from outside: as its users and its peers see it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::panic,
    reason = "a test may panic, and clippy knows only functions that are tests themselves"
)]

mod determinism;
mod faults;
mod hostile;
mod lab;
mod limits;
mod policies;
mod swarms;
mod two_hosts;
