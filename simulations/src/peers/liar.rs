//! A peer that claims to have everything, unchokes everybody, and never answers a request.
//!
//! It speaks plain BEP 3 without the fast extension, so that no request is ever rejected either, and it
//! stays: it sends a keep-alive every minute and reads whatever comes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bittorrent::bitfield::Bitfield;
use bittorrent::wire::handshake::HANDSHAKE_LEN;
use bittorrent::wire::{Handshake, Message, Reserved, codec};
use bittorrent::{InfoHash, PeerId};
use bytes::{Bytes, BytesMut};
use env::NodeEnv;
use env::net::Stream;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{PEER_PORT, accept, any};

/// Connections at once, those that are being opened and those that wait to be opened again included.
const CONNECTIONS_MAX: usize = 200;
/// Hands are shaken within this time.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Peers close a connection on which nothing came for two minutes (BEP 3).
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// An address is dialled again after this time.
const REDIAL: Duration = Duration::from_secs(30);
/// Bytes that are read, and thrown away, at once.
const READ_LEN: usize = 16 * 1024;

/// What a connection has led to: the address is to be dialled again, if it was dialled.
type Ended = Option<SocketAddr>;
type Connections = FuturesUnordered<Pin<Box<dyn Future<Output = Ended> + Send>>>;

/// What it says.
#[derive(Debug, Clone)]
struct Lie {
    env: NodeEnv,
    info_hash: InfoHash,
    handshake: Bytes,
    /// That it has all pieces, and serves everybody.
    claims: Bytes,
}

/// A liar at port 6881 that also dials these addresses, and again when a connection has ended.
///
/// It ends at once where the port is taken, otherwise never.
pub async fn liar(env: NodeEnv, info_hash: InfoHash, piece_count: u32, known: Vec<SocketAddr>) {
    let Ok(listener) = env.net().listen(any(PEER_PORT)).await else { return };
    let lie = Lie::new(env, info_hash, piece_count);
    let mut connections = Connections::new();
    for address in known.into_iter().take(CONNECTIONS_MAX / 2) {
        connections.push(Box::pin(lie.clone().dial(address, Duration::ZERO)));
    }
    loop {
        tokio::select! {
            biased;
            Some(ended) = connections.next(), if !connections.is_empty() => {
                if let Some(address) = ended {
                    connections.push(Box::pin(lie.clone().dial(address, REDIAL)));
                }
            }
            accepted = accept(&listener) => {
                let Some(stream) = accepted else { return };
                // Beyond the bound it is closed at once.
                if connections.len() < CONNECTIONS_MAX {
                    connections.push(Box::pin(lie.clone().accept(stream)));
                }
            }
        }
    }
}

impl Lie {
    fn new(env: NodeEnv, info_hash: InfoHash, piece_count: u32) -> Self {
        let mut peer_id = PeerId(*b"-LI0000-............");
        if let Some(own) = peer_id.0.get_mut(8..) {
            env.fill("liar", own);
        }
        let handshake = Handshake { reserved: Reserved::default(), info_hash, peer_id };
        let mut claims = BytesMut::new();
        let all = Bitfield::full(piece_count).to_bytes();
        codec::encode(&Message::Bitfield(all.into()), &mut claims);
        codec::encode(&Message::Unchoke, &mut claims);
        let handshake = Bytes::copy_from_slice(&handshake.encode());
        Self { env, info_hash, handshake, claims: claims.freeze() }
    }

    async fn dial(self, address: SocketAddr, after: Duration) -> Ended {
        self.env.sleep(after).await;
        let hands = async {
            let stream = self.env.net().connect(address, None).await?;
            stream.write_all(&self.handshake).await?;
            self.read_handshake(&stream).await?;
            Ok::<_, io::Error>(stream)
        };
        if let Some(Ok(stream)) = self.env.timeout(HANDSHAKE_TIME, hands).await {
            // However it ends, it is dialled again.
            let _ = self.lie(&stream).await;
        }
        Some(address)
    }

    async fn accept(self, stream: Stream) -> Ended {
        let hands = async {
            self.read_handshake(&stream).await?;
            stream.write_all(&self.handshake).await
        };
        if let Some(Ok(())) = self.env.timeout(HANDSHAKE_TIME, hands).await {
            // Whoever came may come again.
            let _ = self.lie(&stream).await;
        }
        None
    }

    /// Reads a handshake of BEP 3 for our torrent; others are an error.
    async fn read_handshake(&self, stream: &Stream) -> io::Result<()> {
        let mut received = BytesMut::with_capacity(HANDSHAKE_LEN);
        loop {
            match Handshake::decode(&received) {
                Ok(None) => {}
                Ok(Some(theirs)) if theirs.info_hash == self.info_hash => return Ok(()),
                Ok(Some(_)) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
            if stream.read_some(&mut received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Claims everything, and is deaf from then on; ends with the stream.
    async fn lie(&self, stream: &Stream) -> io::Result<()> {
        stream.write_all(&self.claims).await?;
        let mut keep_alive = BytesMut::new();
        codec::encode(&Message::KeepAlive, &mut keep_alive);
        let mut due = self.env.sleep(KEEP_ALIVE);
        let mut ignored = BytesMut::with_capacity(READ_LEN);
        loop {
            tokio::select! {
                biased;
                () = &mut due => {
                    stream.write_all(&keep_alive).await?;
                    due = self.env.sleep(KEEP_ALIVE);
                }
                read = stream.read_some(&mut ignored) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    ignored.clear();
                }
            }
        }
    }
}
