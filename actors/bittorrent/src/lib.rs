//! BitTorrent as pure machines.
//!
//! Nothing in this crate reads a clock, opens a socket, spawns a task or draws unseeded chance: time
//! ([`Time`]) and generators are arguments, and every machine is a plain value whose methods say what
//! to do. The actors that deliver are in the `swarm` crate.
//!
//! Reading order: [`ids`] → [`metainfo`] → [`wire`] → [`peer`] → [`picker`] → [`choke`] → [`tracker`].

pub mod assembly;
pub mod bencode;
pub mod bitfield;
pub mod choke;
pub mod encryption;
pub mod goals;
pub mod ids;
pub mod magnet;
pub mod metainfo;
pub mod peer;
pub mod peer_id;
pub mod peer_priority;
pub mod picker;
pub mod rate;
pub mod resume;
pub mod suspects;
pub mod time;
pub mod tracker;
pub mod wire;

pub use ids::{BLOCK_LEN, BlockRef, InfoHash, InfoHashV2, PeerId, PieceIndex, TorrentId};
pub use time::Time;
