//! Drives real programs for the system tests: other people's BitTorrent clients, a real tracker, and
//! `torrentedge` itself, each on a host of its own inside a network that the test makes.
//!
//! Reading order: [`net`] (hosts without a way out of the machine), [`process`] (programs that end
//! with their test), [`sample`] and [`metainfo`] (what is transferred), [`client`] (the trait that
//! every driver implements) and the drivers beside it, [`wiretap`] (what really went over the wire).
//!
//! Nothing here waits for a time: every wait is for an event, with a deadline that fails the test.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests drive real processes on the real clock, and may panic"
)]

pub mod announces;
pub mod aria2;
pub mod client;
pub mod deadline;
pub mod http;
pub mod libtorrent;
pub mod metainfo;
pub mod net;
pub mod node;
pub mod process;
pub mod raw_peer;
pub mod sample;
pub mod scene;
pub mod torrentedge;
pub mod tracker;
pub mod transmission;
pub mod webtorrent;
pub mod wiretap;

pub use client::{Client, Encryption, Job, Peer, Source};
pub use deadline::Deadline;
pub use metainfo::Metainfo;
pub use net::{Host, Network};
pub use process::Process;
pub use sample::Sample;
pub use scene::Scene;
