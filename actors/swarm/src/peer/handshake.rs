//! Shaking hands, in both directions, plain or encrypted (BEP 3, MSE).
//!
//! The machines are in [`bittorrent::encryption`] and [`bittorrent::wire::handshake`]; here they get
//! their bytes and their time. Whoever is slow is let go after the handshake's time as a whole.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bittorrent::wire::{Handshake, Reserved};
use bittorrent::{InfoHash, PeerId};
use bytes::BytesMut;
use cluster_config::Encryption;
use control::TorrentId;
use env::net::Stream;

use crate::address::Refused;
use crate::node::Node;

/// Bytes that are read at once: no handshake is longer.
const READ_LEN: usize = 1024;

/// What we say in a handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    /// The torrent, as it stands in handshakes.
    pub(crate) info_hash: InfoHash,
    /// Our name.
    pub(crate) peer_id: PeerId,
}

/// A stream whose ends have shaken hands.
#[derive(Debug)]
pub(crate) struct Shaken {
    /// The stream.
    pub(crate) stream: Stream,
    /// What came behind the handshake, decrypted.
    pub(crate) received: BytesMut,
    /// Set where the stream is encrypted.
    pub(crate) cipher: Option<Cipher>,
    /// What the peer can do.
    pub(crate) reserved: Reserved,
    /// The peer's name.
    pub(crate) peer_id: PeerId,
    /// Where it is.
    pub(crate) address: SocketAddr,
}

/// Why hands could not be shaken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The address is not spoken to.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The stream failed.
    #[error("{0}")]
    Stream(#[from] io::Error),
    /// It took too long.
    #[error("too slow")]
    Slow,
    /// The peer closed the stream.
    #[error("closed by the peer")]
    Closed,
}
