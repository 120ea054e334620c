//! What an observer of a world sees of its streams.

use bytes::Bytes;

use super::world::HostId;

/// Something that happened to a stream, told in the order in which it happened.
///
/// Side 0 of a stream is the dialler's, side 1 the acceptor's. Numbers of streams are never used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The acceptor's listener took an attempt to connect.
    Opened {
        /// The stream.
        stream: u64,
        /// Who connected.
        dialler: HostId,
        /// Who listens.
        acceptor: HostId,
    },
    /// An application wrote bytes.
    Sent {
        /// The stream.
        stream: u64,
        /// Which side wrote.
        side: usize,
        /// What it wrote: not a copy but what travels.
        bytes: Bytes,
    },
    /// An application read bytes that the other side sent.
    Read {
        /// The stream.
        stream: u64,
        /// Which side read.
        side: usize,
        /// How many bytes.
        length: usize,
    },
    /// A side is at its end. Told once for each side.
    Closed {
        /// The stream.
        stream: u64,
        /// Which side.
        side: usize,
        /// Whether it was reset or its host died, instead of dropping its end.
        reset: bool,
    },
}
