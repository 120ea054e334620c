//! Shaking hands, in both directions, plain or encrypted (BEP 3, MSE).
//!
//! The machines are in [`bittorrent::encryption`] and [`bittorrent::wire::handshake`]; here they get
//! their bytes and their time. Whoever is slow is let go after the handshake's time as a whole.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bittorrent::encryption::{
    self, Ciphers, Incoming, Initiator, Method, Methods, Policy, Progress, Responder,
};
use bittorrent::wire::handshake::HANDSHAKE_LEN;
use bittorrent::wire::{Handshake, Reserved};
use bittorrent::{InfoHash, PeerId};
use bytes::{Buf, BytesMut};
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
    /// No BitTorrent handshake.
    #[error("{0}")]
    NotAHandshake(#[from] bittorrent::wire::handshake::NotAHandshake),
    /// The encrypted handshake failed.
    #[error("{0}")]
    Encryption(#[from] encryption::Error),
    /// The peer speaks of a torrent that is not asked for, or not ours.
    #[error("another torrent")]
    OtherTorrent,
    /// The peer's kind of connection, plain or encrypted, is not taken here.
    #[error("plain or encrypted against the settings")]
    Policy,
}

/// The two directions of an encrypted stream.
pub(crate) type Cipher = Box<Ciphers>;

/// What the settings say of encryption.
fn policy(node: &Node) -> Policy {
    match node.settings().engine.network.encryption {
        Encryption::Plain => Policy::Plain,
        Encryption::Prefer => Policy::Prefer,
        Encryption::Require => Policy::Require,
    }
}

/// What we select behind an encrypted handshake if the peer leaves it to us: plaintext costs nothing, but
/// whoever requires encryption means all of the connection. Either is taken from others: some clients
/// take only one of the two.
fn preferred(node: &Node) -> Method {
    match policy(node) {
        Policy::Require => Method::Rc4,
        Policy::Plain | Policy::Prefer => Method::Plaintext,
    }
}

/// Connects to a peer and shakes hands.
///
/// # Errors
///
/// See [`Error`].
pub(crate) async fn dial(
    node: &Node,
    identity: &Identity,
    address: SocketAddr,
) -> Result<Shaken, Error> {
    node.policy.judge_peer(address)?;
    let policy = policy(node);
    if policy.dials_encrypted() {
        let tried = in_time(node, dial_encrypted(node, identity, address)).await;
        match tried {
            // No connection at all: another attempt would not get further.
            Err(Error::Stream(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(error.into());
            }
            Err(_) if policy.redials_plain() => {}
            done => return done,
        }
    }
    in_time(node, dial_plain(node, identity, address)).await
}

async fn in_time<T>(
    node: &Node,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    let limit = node.settings().engine.network.handshake_timeout;
    node.env().timeout(limit, work).await.ok_or(Error::Slow)?
}

async fn connect(node: &Node, address: SocketAddr) -> Result<Hand, Error> {
    let from = node.settings().engine.network.listen_ip;
    let from = Some(from).filter(|from: &IpAddr| !from.is_unspecified());
    let stream = node.env().net().connect(address, from).await?;
    Ok(Hand { stream, received: BytesMut::new(), cipher: None })
}

async fn dial_plain(
    node: &Node,
    identity: &Identity,
    address: SocketAddr,
) -> Result<Shaken, Error> {
    let mut hand = connect(node, address).await?;
    hand.send(&mut BytesMut::from(&ours(identity).encode()[..])).await?;
    hand.finish(identity, address).await
}

async fn dial_encrypted(
    node: &Node,
    identity: &Identity,
    address: SocketAddr,
) -> Result<Shaken, Error> {
    let mut hand = connect(node, address).await?;
    let mut machine = Initiator::new(&ours(identity), Methods::Both, &mut node.env().secrets());
    loop {
        let progress = machine.receive(&mut hand.received)?;
        // What was read may have an answer that the peer waits for.
        hand.send(machine.transmit()).await?;
        match progress {
            Progress::NeedMore => hand.read().await?,
            Progress::NeedTorrent(_) => return Err(Error::OtherTorrent),
            Progress::Complete(established) => {
                hand.cipher = established.ciphers;
                return hand.finish(identity, address).await;
            }
        }
    }
}

/// Shakes hands with whoever came; `name` gives our name in the torrent that it asks for.
///
/// # Errors
///
/// See [`Error`].
pub(crate) async fn accept(node: &Node, stream: Stream) -> Result<(TorrentId, Shaken), Error> {
    let address = stream.peer_addr();
    node.policy.judge_peer(SocketAddr::new(address.ip(), PORT_OF_ANY))?;
    in_time(node, accept_any(node, stream)).await
}

/// Incoming connections are judged by their host: their port says nothing.
const PORT_OF_ANY: u16 = 49_152;

async fn accept_any(node: &Node, stream: Stream) -> Result<(TorrentId, Shaken), Error> {
    let policy = policy(node);
    let mut hand = Hand { stream, received: BytesMut::new(), cipher: None };
    loop {
        let kind = encryption::classify(&hand.received);
        if !policy.accepts(kind) {
            return Err(Error::Policy);
        }
        match kind {
            Incoming::NeedMore => hand.read().await?,
            Incoming::Plain => break,
            Incoming::Encrypted => {
                hand.answer_encrypted(node).await?;
                break;
            }
        }
    }
    let (id, info_hash) = loop {
        if let Some((_, info_hash)) = Handshake::decode_start(&hand.received)? {
            let id = node.directory.torrent(&info_hash.0).ok_or(Error::OtherTorrent)?;
            break (id, info_hash);
        }
        hand.read().await?;
    };
    let identity = Identity { info_hash, peer_id: node.peer_id_of(id) };
    hand.send_handshake(&identity).await?;
    let address = hand.stream.peer_addr();
    Ok((id, hand.finish(&identity, address).await?))
}

fn ours(identity: &Identity) -> Handshake {
    Handshake { reserved: Reserved::OURS, info_hash: identity.info_hash, peer_id: identity.peer_id }
}

/// A stream on the way to a handshake.
struct Hand {
    stream: Stream,
    received: BytesMut,
    cipher: Option<Cipher>,
}

impl Hand {
    async fn read(&mut self) -> Result<(), Error> {
        self.received.reserve(READ_LEN);
        let before = self.received.len();
        if self.stream.read_some(&mut self.received).await? == 0 {
            return Err(Error::Closed);
        }
        if let Some(cipher) = &mut self.cipher {
            cipher.receive.apply(self.received.get_mut(before..).unwrap_or_default());
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &mut BytesMut) -> Result<(), Error> {
        Ok(self.stream.write_all(&bytes.split()).await?)
    }

    /// Sends our handshake, encrypted if the stream is.
    async fn send_handshake(&mut self, identity: &Identity) -> Result<(), Error> {
        let mut bytes = BytesMut::from(&ours(identity).encode()[..]);
        if let Some(cipher) = &mut self.cipher {
            cipher.send.apply(&mut bytes);
        }
        self.send(&mut bytes).await
    }

    async fn answer_encrypted(&mut self, node: &Node) -> Result<(), Error> {
        let mut machine = Responder::new(Methods::Both, preferred(node), &mut node.env().secrets());
        loop {
            let progress = machine.receive(&mut self.received)?;
            self.send(machine.transmit()).await?;
            match progress {
                Progress::NeedMore => self.read().await?,
                Progress::NeedTorrent(name) => {
                    let hash = node.directory.info_hash(&name).ok_or(Error::OtherTorrent)?;
                    machine.set_torrent(InfoHash(hash));
                }
                Progress::Complete(established) => {
                    self.cipher = established.ciphers;
                    return Ok(());
                }
            }
        }
    }

    /// Waits for the peer's handshake.
    async fn finish(mut self, identity: &Identity, address: SocketAddr) -> Result<Shaken, Error> {
        let theirs = loop {
            if let Some(theirs) = Handshake::decode(&self.received)? {
                break theirs;
            }
            self.read().await?;
        };
        if theirs.info_hash != identity.info_hash {
            return Err(Error::OtherTorrent);
        }
        self.received.advance(HANDSHAKE_LEN);
        Ok(Shaken {
            stream: self.stream,
            received: self.received,
            cipher: self.cipher,
            reserved: theirs.reserved,
            peer_id: theirs.peer_id,
            address,
        })
    }
}
