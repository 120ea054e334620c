//! Bulk lanes over QUIC: one uni stream a piece or run.

use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use control::NodeName;
use quinn::{ReadError, ReadExactError, VarInt};

use super::tuning::{BulkTuning, MTU_MAX};
use super::{BulkThreads, Credentials, Settings, Socket, shake_hands};
use crate::lane::LaneError;
use crate::lane::bulk::{
    BULK_HEADER_LEN_MAX, BulkHeader, BulkLink, BulkReceiver, BulkSender, BulkTransport,
    IncomingBulk, Left,
};
use crate::lane::hello::BULK_PROTOCOL;
use crate::lane::transport::OpenError;

/// The most bytes of a received part.
const PART_LEN_MAX: usize = 256 * 1024;
/// The number with which a stream is ended that its holder gave up.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

/// Bulk connections over QUIC.
#[derive(Debug)]
pub struct QuicBulk {
    socket: Socket,
}

#[derive(Debug)]
struct Link {
    connection: quinn::Connection,
    peer: NodeName,
}

#[derive(Debug)]
struct Sender {
    stream: quinn::SendStream,
    left: Left,
    finished: bool,
}

#[derive(Debug)]
struct Receiver {
    stream: quinn::RecvStream,
    left: Left,
}

impl QuicBulk {
    /// Listens at an address; port 0 takes a free one. QUIC works on `threads`, which must outlive this.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at, or the credentials cannot be used.
    pub fn bind(
        credentials: &Credentials,
        tuning: &BulkTuning,
        threads: &BulkThreads,
        at: SocketAddr,
    ) -> std::io::Result<Self> {
        let settings = Settings {
            protocol: BULK_PROTOCOL,
            transport: tuning.transport(),
            mtu: tuning.mtu.min(MTU_MAX),
            runtime: threads.runtime(),
        };
        Ok(Self { socket: Socket::bind(credentials, settings, at)? })
    }
}

#[async_trait]
impl BulkTransport for QuicBulk {
    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Box<dyn BulkLink>, OpenError> {
        let (connection, peer) = self.socket.dial(node, at).await?;
        if peer != *node {
            connection.close(VarInt::from_u32(1), &[]);
            return Err(OpenError::WrongName);
        }
        Ok(Box::new(Link { connection, peer }))
    }

    async fn accept(&self) -> Option<IncomingBulk> {
        let (incoming, permit) = self.socket.accept().await?;
        Some(Box::pin(async move {
            let _permit = permit;
            let (connection, peer) = shake_hands(incoming).await?;
            let link: Box<dyn BulkLink> = Box::new(Link { connection, peer });
            Ok(link)
        }))
    }

    fn local_addr(&self) -> SocketAddr {
        self.socket.local
    }
}

#[async_trait]
impl BulkLink for Link {
    fn peer(&self) -> &NodeName {
        &self.peer
    }

    async fn send(&self, header: BulkHeader) -> Result<Box<dyn BulkSender>, LaneError> {
        let bytes = header.encode()?;
        let lost = |_| LaneError::Disconnected;
        let mut stream = self.connection.open_uni().await.map_err(lost)?;
        stream.write_chunk(bytes).await.map_err(|_| LaneError::Disconnected)?;
        Ok(Box::new(Sender { stream, left: Left(header.length), finished: false }))
    }

    async fn receive(&self) -> Result<(BulkHeader, Box<dyn BulkReceiver>), LaneError> {
        loop {
            let stream = self.connection.accept_uni().await;
            let mut stream = stream.map_err(|_| LaneError::Disconnected)?;
            match header_of(&mut stream).await {
                Ok(inside) => {
                    let header = BulkHeader::decode(&inside)?;
                    return Ok((header, Box::new(Receiver { stream, left: Left(header.length) })));
                }
                // The sender gave up before it had begun.
                Err(ReadExactError::ReadError(ReadError::Reset(_))) => {}
                Err(ReadExactError::ReadError(_)) => return Err(LaneError::Disconnected),
                Err(ReadExactError::FinishedEarly(_)) => return Err(LaneError::Malformed),
            }
        }
    }
}

/// The inside of a header; one that is too long is read as if it ended too early.
async fn header_of(stream: &mut quinn::RecvStream) -> Result<Vec<u8>, ReadExactError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > BULK_HEADER_LEN_MAX {
        return Err(ReadExactError::FinishedEarly(0));
    }
    let mut inside = vec![0; length];
    stream.read_exact(&mut inside).await?;
    Ok(inside)
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), &[]);
    }
}

#[async_trait]
impl BulkSender for Sender {
    async fn send(&mut self, bytes: Bytes) -> Result<(), LaneError> {
        self.left.take(bytes.len(), LaneError::TooBig)?;
        self.stream.write_chunk(bytes).await.map_err(|_| LaneError::Disconnected)
    }

    async fn finish(mut self: Box<Self>) -> Result<(), LaneError> {
        self.left.end()?;
        self.stream.finish().map_err(|_| LaneError::Disconnected)?;
        match self.stream.stopped().await {
            Ok(None) => {
                self.finished = true;
                Ok(())
            }
            Ok(Some(_)) | Err(_) => Err(LaneError::Disconnected),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.finished {
            // It may have ended by itself.
            let _ = self.stream.reset(GIVEN_UP);
        }
    }
}

#[async_trait]
impl BulkReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, LaneError> {
        let part = self.stream.read_chunk(PART_LEN_MAX, true).await;
        let Some(part) = part.map_err(|_| LaneError::Disconnected)? else {
            return self.left.end().map(|()| None);
        };
        self.left.take(part.bytes.len(), LaneError::Malformed)?;
        Ok(Some(part.bytes))
    }
}
