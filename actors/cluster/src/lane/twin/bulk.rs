//! The twin of bulk connections.
//!
//! One stream after another on one simulated connection: a header, parts with their lengths, and a mark for the end
//! or for having been given up. Unlike over QUIC, streams of one direction wait for each other, an end that wants no
//! more of one is sent the rest, which it drops, and the end of a stream waits for nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use control::NodeName;
use env::{NodeEnv, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Shared, TwinConfig, listen};
use crate::lane::LaneError;
use crate::lane::bulk::{
    BULK_HEADER_LEN_MAX, BulkHeader, BulkLink, BulkReceiver, BulkSender, BulkTransport,
    IncomingBulk, Left,
};
use crate::lane::frame;
use crate::lane::transport::{self, Connection, OpenError, Reader, Writer};

/// The most bytes of a part; longer ones are cut.
const PART_LEN_MAX: usize = 64 * 1024;
/// Parts that wait for the simulated network.
const WAITING_MAX: usize = 8;
/// In place of a part's length: the end, and that the sender gave up.
const END: u32 = 0;
const GIVEN_UP: u32 = u32::MAX;

/// Opens simulated bulk connections.
#[derive(Debug)]
pub struct TwinBulk {
    shared: Arc<Shared>,
    listener: Arc<dyn env::net::Listener>,
}

impl TwinBulk {
    /// Listens at an address; port 0 takes a free one. The protocol of `config` is a bulk one.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at.
    pub async fn listen(
        env: &NodeEnv,
        config: TwinConfig,
        at: SocketAddr,
    ) -> std::io::Result<Self> {
        let (shared, listener) = listen(env, config, at).await?;
        Ok(Self { shared, listener })
    }
}

#[async_trait]
impl BulkTransport for TwinBulk {
    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Box<dyn BulkLink>, OpenError> {
        let link = self.shared.dial(node, at).await?;
        Ok(Box::new(Link::start(&self.shared.env, link)))
    }

    async fn accept(&self) -> Option<IncomingBulk> {
        let stream = self.listener.accept().await.ok()?;
        let shared = Arc::clone(&self.shared);
        Some(Box::pin(async move {
            let link = shared.answer(stream).await?;
            let link: Box<dyn BulkLink> = Box::new(Link::start(&shared.env, link));
            Ok(link)
        }))
    }

    fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }
}

/// What is written of a stream.
#[derive(Debug)]
enum Piece {
    Header(Bytes),
    Part(Bytes),
    End,
    GivenUp,
}

/// A bulk connection.
#[derive(Debug)]
struct Link {
    peer: NodeName,
    connection: Arc<dyn Connection>,
    /// Whose stream is being sent.
    turn: Arc<Mutex<()>>,
    pieces: mpsc::Sender<Piece>,
    come: Arc<Mutex<Come>>,
    _writing: Task<()>,
}

/// What has come of the stream that is being received.
struct Come {
    reader: Reader,
    buffer: BytesMut,
    /// Whether a stream has begun whose end was not read.
    inside: bool,
}

impl std::fmt::Debug for Come {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Come").field("inside", &self.inside).finish_non_exhaustive()
    }
}

async fn write(mut writer: Writer, mut pieces: mpsc::Receiver<Piece>) {
    while let Some(piece) = pieces.recv().await {
        let mut bytes = BytesMut::new();
        match piece {
            Piece::Header(header) => bytes.put_slice(&header),
            Piece::Part(part) => {
                bytes.put_u32(u32::try_from(part.len()).unwrap_or(GIVEN_UP));
                bytes.put_slice(&part);
            }
            Piece::End => bytes.put_u32(END),
            Piece::GivenUp => bytes.put_u32(GIVEN_UP),
        }
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

impl Link {
    fn start(env: &NodeEnv, link: transport::Link) -> Self {
        let transport::Link { certified, reader, writer, connection } = link;
        let (pieces, waiting) = mpsc::channel(WAITING_MAX);
        Self {
            peer: certified,
            connection,
            turn: Arc::default(),
            pieces,
            come: Arc::new(Mutex::new(Come { reader, buffer: BytesMut::new(), inside: false })),
            _writing: env.spawn("twin-bulk", write(writer, waiting)),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(None);
    }
}

#[async_trait]
impl BulkLink for Link {
    fn peer(&self) -> &NodeName {
        &self.peer
    }

    async fn send(&self, header: BulkHeader) -> Result<Box<dyn BulkSender>, LaneError> {
        let bytes = header.encode()?;
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let lost = |_| LaneError::Disconnected;
        let end = self.pieces.clone().reserve_owned().await.map_err(lost)?;
        self.pieces.send(Piece::Header(bytes)).await.map_err(|_| LaneError::Disconnected)?;
        let (pieces, left) = (self.pieces.clone(), Left(header.length));
        Ok(Box::new(Sender { pieces, end: Some(end), left, _turn: turn }))
    }

    async fn receive(&self) -> Result<(BulkHeader, Box<dyn BulkReceiver>), LaneError> {
        let mut come = Arc::clone(&self.come).lock_owned().await;
        while come.inside {
            // Somebody wanted no more of it.
            come.part().await?;
        }
        let header = come.header().await?;
        let left = Left(header.length);
        Ok((header, Box::new(Receiver { come, left })))
    }
}

/// A stream that is being sent. The permit makes sure that its end can be said, whenever it comes.
#[derive(Debug)]
struct Sender {
    pieces: mpsc::Sender<Piece>,
    end: Option<OwnedPermit<Piece>>,
    left: Left,
    _turn: OwnedMutexGuard<()>,
}

#[async_trait]
impl BulkSender for Sender {
    async fn send(&mut self, mut bytes: Bytes) -> Result<(), LaneError> {
        self.left.take(bytes.len(), LaneError::TooBig)?;
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(PART_LEN_MAX));
            let sent = self.pieces.send(Piece::Part(part)).await;
            sent.map_err(|_| LaneError::Disconnected)?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), LaneError> {
        self.left.end()?;
        if let Some(end) = self.end.take() {
            end.send(Piece::End);
        }
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.send(Piece::GivenUp);
        }
    }
}

impl Come {
    async fn fill(&mut self) -> Result<(), LaneError> {
        self.buffer.reserve(PART_LEN_MAX);
        match self.reader.read_buf(&mut self.buffer).await {
            Ok(read) if read > 0 => Ok(()),
            _ => Err(LaneError::Disconnected),
        }
    }

    async fn header(&mut self) -> Result<BulkHeader, LaneError> {
        loop {
            let malformed = |_| LaneError::Malformed;
            let inside = frame::peek(&self.buffer, BULK_HEADER_LEN_MAX).map_err(malformed)?;
            if let Some(inside) = inside {
                let length = frame::LENGTH_LEN + inside.len();
                let header = BulkHeader::decode(inside);
                self.buffer.advance(length);
                self.inside = true;
                return header;
            }
            self.fill().await?;
        }
    }

    /// The next part of the stream; none at its end.
    async fn part(&mut self) -> Result<Option<Bytes>, LaneError> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<{ frame::LENGTH_LEN }>() {
                let length = u32::from_be_bytes(*length);
                if length == END || length == GIVEN_UP {
                    self.buffer.advance(frame::LENGTH_LEN);
                    self.inside = false;
                    let ended = length == END;
                    return if ended { Ok(None) } else { Err(LaneError::Disconnected) };
                }
                let malformed = |_| LaneError::Malformed;
                if let Some(part) = frame::peek(&self.buffer, PART_LEN_MAX).map_err(malformed)? {
                    let part = Bytes::copy_from_slice(part);
                    self.buffer.advance(frame::LENGTH_LEN + part.len());
                    return Ok(Some(part));
                }
            }
            self.fill().await?;
        }
    }
}

/// A stream that is being received.
#[derive(Debug)]
struct Receiver {
    come: OwnedMutexGuard<Come>,
    left: Left,
}

#[async_trait]
impl BulkReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, LaneError> {
        if !self.come.inside {
            return self.left.end().map(|()| None);
        }
        let Some(part) = self.come.part().await? else {
            return self.left.end().map(|()| None);
        };
        self.left.take(part.len(), LaneError::Malformed)?;
        Ok(Some(part))
    }
}
