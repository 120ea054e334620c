//! The gateway over real HTTP on a loopback address, in front of an engine that is only memory.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "real sockets of tests, and a failing test panics"
)]

mod add;
mod client;
mod content;
mod engine;
mod lifetime;
mod routes;
mod scene;
mod torrents;
