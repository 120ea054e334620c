//! Deterministic swarm simulations: the engine's own actors, 10 to 1,000 hosts in one process, under
//! faults by seed.
//!
//! Reading order: [`scenario`] (what a person writes) → [`plan`] (what a seed makes of it) → [`run`] (the
//! hosts, the clock, the faults) → [`check`] (what must hold, looked at after every event) →
//! [`outcome`] and [`report`] (what came of it). `main.rs` is the program `torrentedge-sim`.
//!
//! This crate must not know the gateway, Kafka or MongoDB.

pub mod check;
pub mod content;
pub mod outcome;
pub mod peers;
pub mod plan;
pub mod report;
pub mod repro;
pub mod run;
pub mod scenario;
pub mod shrink;
