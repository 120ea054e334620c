//! Trackers: announce and scrape over HTTP and UDP (BEP 3, 7, 12, 15, 23, 24, 27, 31, 41, 48).
//!
//! An *announce* tells a tracker that we are in a swarm and asks for peers; a *scrape* asks for
//! numbers only. A torrent's trackers stand in *tiers*; one of them is used at a time.
//!
//! Nothing here opens a socket. [`Announcer`] decides for one swarm which tracker is told what, and
//! when; a hybrid torrent is in two swarms and has two of them (BEP 52). Its owner asks: over HTTP with the request target of [`http`] and its parsers for the answer,
//! over UDP with a [`udp::Exchange`] for each request. It tells the announcer what came of it.
//!
//! Whoever delivers sees to the rest: addresses are judged before they are dialled, a redirect again;
//! the body is cut at [`RESPONSE_MAX`] bytes *after* decompression; an announce that has no answer in
//! time is a [`Failure`], so that every announce ends.
//!
//! Addresses of trackers often hold a user's secret, and what a tracker writes is shown and logged:
//! see [`TrackerUrl`] and [`shown_text`].
//!
//! Reading order: [`url`] → [`announce`] → [`http`] → [`udp`] → [`tiers`] → [`announcer`].

pub mod announce;
pub mod announcer;
mod entry;
pub mod http;
mod shown;
pub mod tiers;
pub mod udp;
pub mod url;

pub use announce::{
    AnnounceRequest, AnnounceResponse, Error, Event, Failure, Identity, Retry, ScrapeEntry, Totals,
};
pub use announcer::{Action, Announcer, PeerNeed, Settings};
pub use entry::{Snapshot, Status};
pub use shown::{SHOWN_MAX, shown_text};
pub use tiers::TrackerKey;
pub use url::TrackerUrl;

/// The longest answer of an HTTP tracker that is read, in bytes, decompressed; as libtorrent.
pub const RESPONSE_MAX: usize = 1024 * 1024;
/// Peers of an answer that are kept, of each address family.
pub const PEERS_MAX: usize = 200;
