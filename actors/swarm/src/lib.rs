//! The engine: supervised actors around the machines of the `bittorrent` crate, and the disk.
//!
//! Start with [`Swarm`], the handle of a running engine. Behind it, from the root down:
//!
//! - `session`: all torrents of a node, those without an actor included; the queue; the listener
//! - `torrent`: the owner of one torrent: its record, trackers and member
//! - `member`: one torrent's peers and pieces on this node: picker, choker, supervision
//! - `peer`: one connection; `piece`: pieces on their way; [`disk`]: storage and hashing
//! - `tracker`: announcing; [`fetch`]: HTTP; [`address`]: whom we speak to
//! - `credit`, `limiter`: bytes in memory and bytes per second, bounded
//!
//! A block goes from the connection to the piece actor to storage and never through a torrent's mailbox.
//! All actors get their world from [`env::NodeEnv`]. This crate must not know the gateway, Kafka or MongoDB.

pub mod address;
#[cfg(not(feature = "seeded-bugs"))]
mod bugs;
#[cfg(feature = "seeded-bugs")]
pub mod bugs;
mod credit;
mod directory;
pub mod disk;
mod engine;
pub mod fetch;
mod have;
mod limiter;
mod member;
mod metainfo;
mod node;
mod peer;
mod piece;
mod publisher;
mod queue;
mod session;
mod tally;
mod torrent;
mod tracker;

#[cfg(test)]
extern crate self as swarm;
#[cfg(test)]
mod tests;

pub use engine::{Foundation, StartError, Swarm};
pub use have::SharedHave;
pub use node::Settings;
pub use publisher::{EventKeeping, TORRENT_UPDATES};
