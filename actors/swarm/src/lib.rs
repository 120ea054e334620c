//! The engine: supervised actors around the machines of the bittorrent crate, and the disk.

pub mod address;
pub mod fetch;
