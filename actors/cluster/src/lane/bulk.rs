//! Bulk lanes: pieces and runs between nodes, on a connection of their own.
//!
//! Each is one stream in one direction: a header that says what it is, then its bytes. They go from the sender's
//! buffers to the receiver's storage and never through a mailbox. Who receives them hashes them again.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use control::{Epoch, NodeName, TorrentId};
use serde::{Deserialize, Serialize};

use super::LaneError;
use super::frame;
use super::transport::OpenError;

/// A bulk connection whose other end says nothing for this time is over.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// A bulk connection on which nothing is said for this time says that it is there.
pub const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// The most bytes of one stream: the longest piece that is read.
pub const BULK_LEN_MAX: u64 = 1024 * 1024 * 1024;
/// The most bytes of a header.
pub const BULK_HEADER_LEN_MAX: usize = 256;

/// What a bulk stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkHeader {
    /// Of which torrent.
    pub torrent: TorrentId,
    /// In the name of which ownership.
    pub epoch: Epoch,
    /// The piece, or the first of the run.
    pub piece: u32,
    /// The first byte in that piece.
    pub begin: u32,
    /// How many bytes.
    pub length: u64,
}

/// A bulk connection that somebody else dialled, while hands are shaken.
pub type IncomingBulk = Pin<Box<dyn Future<Output = Result<Box<dyn BulkLink>, OpenError>> + Send>>;

/// Opens bulk connections.
#[async_trait]
pub trait BulkTransport: Send + Sync + fmt::Debug {
    /// Connects to a node and makes sure by its certificate that it is this one.
    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Box<dyn BulkLink>, OpenError>;
    /// The next connection that somebody else dials, to be awaited in a task of its own. None when there will be
    /// no more.
    async fn accept(&self) -> Option<IncomingBulk>;
    /// Where it is dialled.
    fn local_addr(&self) -> SocketAddr;
}

/// A bulk connection. It ends when it is dropped.
#[async_trait]
pub trait BulkLink: Send + Sync + fmt::Debug {
    /// Who is at the other end, by its certificate.
    fn peer(&self) -> &NodeName;
    /// Begins a stream, when the other end has room for one more.
    ///
    /// # Errors
    ///
    /// `TooBig` where the header says more than [`BULK_LEN_MAX`]; `Disconnected`.
    async fn send(&self, header: BulkHeader) -> Result<Box<dyn BulkSender>, LaneError>;
    /// The next stream that the other end began.
    ///
    /// # Errors
    ///
    /// `Malformed` where that stream has no right header: others go on. `Disconnected`.
    async fn receive(&self) -> Result<(BulkHeader, Box<dyn BulkReceiver>), LaneError>;
}

/// The sending half of a bulk stream. Dropped before its end, the other end gets an error.
#[async_trait]
pub trait BulkSender: Send + fmt::Debug {
    /// Sends bytes when there is room for them, without a copy.
    ///
    /// # Errors
    ///
    /// `TooBig` beyond the header's length; `Disconnected`, also when the other end wants no more.
    async fn send(&mut self, bytes: Bytes) -> Result<(), LaneError>;
    /// Ends the stream, and waits until the other end's transport has all of it.
    ///
    /// # Errors
    ///
    /// `Malformed` before the header's length was sent; `Disconnected`, also when the other end wants no more.
    async fn finish(self: Box<Self>) -> Result<(), LaneError>;
}

/// The receiving half of a bulk stream. Dropped before its end, the other end is told to stop.
#[async_trait]
pub trait BulkReceiver: Send + fmt::Debug {
    /// The next bytes as they came; none at the end, when all that the header said has come.
    ///
    /// # Errors
    ///
    /// `Malformed` where it is more or less than the header said; `Disconnected` where the sender gave up.
    async fn receive(&mut self) -> Result<Option<Bytes>, LaneError>;
}

impl BulkHeader {
    /// The header as the first bytes of its stream.
    ///
    /// # Errors
    ///
    /// [`LaneError::TooBig`].
    pub(super) fn encode(&self) -> Result<Bytes, LaneError> {
        if self.length > BULK_LEN_MAX {
            return Err(LaneError::TooBig);
        }
        let inside = frame::to_body(self)?;
        let mut bytes = BytesMut::with_capacity(frame::LENGTH_LEN + inside.len());
        bytes.put_u32(u32::try_from(inside.len()).map_err(|_| LaneError::TooBig)?);
        bytes.put_slice(&inside);
        Ok(bytes.freeze())
    }

    /// Reads a header that has come whole, without the length before it.
    ///
    /// # Errors
    ///
    /// [`LaneError::Malformed`].
    pub(super) fn decode(inside: &[u8]) -> Result<Self, LaneError> {
        let header: Self = frame::of_body(inside)?;
        if header.length > BULK_LEN_MAX { Err(LaneError::Malformed) } else { Ok(header) }
    }
}

/// What is still to come of a stream, or to be sent.
#[derive(Debug)]
pub(super) struct Left(pub(super) u64);

impl Left {
    /// So many bytes more.
    pub(super) fn take(&mut self, length: usize, else_: LaneError) -> Result<(), LaneError> {
        self.0 = self.0.checked_sub(length as u64).ok_or(else_)?;
        Ok(())
    }

    /// The stream ended.
    pub(super) fn end(&self) -> Result<(), LaneError> {
        if self.0 == 0 { Ok(()) } else { Err(LaneError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_its_length_has_a_bound() {
        let header = BulkHeader {
            torrent: TorrentId([7; 20]),
            epoch: Epoch(3),
            piece: 9,
            begin: 0,
            length: BULK_LEN_MAX,
        };
        let bytes = header.encode().unwrap();
        assert!(bytes.len() <= BULK_HEADER_LEN_MAX);
        assert_eq!(BulkHeader::decode(&bytes[4..]), Ok(header));
        assert_eq!(BulkHeader::decode(&bytes[4..20]), Err(LaneError::Malformed));
        let long = BulkHeader { length: BULK_LEN_MAX + 1, ..header };
        assert_eq!(long.encode(), Err(LaneError::TooBig));
        assert_eq!(BulkHeader::decode(&frame::to_body(&long).unwrap()), Err(LaneError::Malformed));
    }

    #[test]
    fn a_stream_holds_what_its_header_said() {
        let mut left = Left(10);
        assert!(left.take(10, LaneError::TooBig).is_ok() && left.end().is_ok());
        assert_eq!(left.take(1, LaneError::TooBig), Err(LaneError::TooBig));
        assert_eq!(Left(1).end(), Err(LaneError::Malformed));
    }
}
