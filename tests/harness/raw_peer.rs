//! A peer that speaks the wire protocol of BEP 3, 9 and 10 by hand, to break its rules on purpose.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{Deadline, Host};

/// Ids of messages.
pub mod id {
    /// The sender will answer requests.
    pub const UNCHOKE: u8 = 1;
    /// The sender wants pieces.
    pub const INTERESTED: u8 = 2;
    /// The pieces that the sender has.
    pub const BITFIELD: u8 = 5;
    /// Asks for a block.
    pub const REQUEST: u8 = 6;
    /// A block.
    pub const PIECE: u8 = 7;
    /// The extension protocol of BEP 10.
    pub const EXTENDED: u8 = 20;
}

/// Length of a handshake in bytes.
pub const HANDSHAKE_LEN: usize = 68;
/// The longest message that is read, in bytes.
const MESSAGE_MAX: usize = 1 << 20;
/// How long a peer waits for the next byte before it gives up.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often a listener looks whether it is to stop.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The handshake of BEP 3 with the bit of BEP 10.
pub fn handshake(info_hash: &[u8; 20]) -> [u8; HANDSHAKE_LEN] {
    let mut bytes = [0; HANDSHAKE_LEN];
    bytes[..20].copy_from_slice(b"\x13BitTorrent protocol");
    bytes[25] = 0x10;
    bytes[28..48].copy_from_slice(info_hash);
    bytes[48..].copy_from_slice(b"-XX0001-hostile peer");
    bytes
}

/// A message with its length and id.
pub fn message(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).expect("a message is short");
    [&length.to_be_bytes()[..], &[id], payload].concat()
}

/// One connection.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
}

impl RawPeer {
    /// Dials a client from `host`.
    ///
    /// # Errors
    ///
    /// Nothing listens there.
    pub fn dial(host: &Host, to: SocketAddrV4) -> Result<Self> {
        let to = SocketAddr::V4(to);
        Self::over(host.enter(|| TcpStream::connect_timeout(&to, SILENCE_MAX))?)
    }

    fn over(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The other side has closed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Gives up sending and receiving after this time without progress.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn set_patience(&mut self, patience: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        Ok(self.stream.set_write_timeout(Some(patience))?)
    }

    /// Exchanges handshakes.
    ///
    /// # Errors
    ///
    /// The other side closes, or its handshake is of another torrent.
    pub fn shake_hands(&mut self, info_hash: &[u8; 20]) -> Result<()> {
        self.send(&handshake(info_hash))?;
        let mut theirs = [0; HANDSHAKE_LEN];
        self.stream.read_exact(&mut theirs)?;
        ensure!(&theirs[28..48] == info_hash, "a handshake for another torrent");
        Ok(())
    }

    /// Reads the next message that is no keep-alive.
    ///
    /// # Errors
    ///
    /// The other side closes, is silent for a minute, or sends too long a message.
    pub fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            ensure!(length <= MESSAGE_MAX, "a message of {length} bytes");
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body)?;
            if let Some((id, payload)) = body.split_first() {
                return Ok((*id, payload.to_vec()));
            }
        }
    }

    /// Reads and forgets until the other side closes.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn wait_closed(&mut self, deadline: &Deadline) -> Result<()> {
        self.stream.set_read_timeout(Some(LOOK_AGAIN_AFTER))?;
        let mut sink = [0; 16_384];
        deadline.wait_for("the end of the connection", || match self.stream.read(&mut sink) {
            Ok(0) => Ok(Some(())),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(_) => Ok(Some(())),
        })
    }

    /// Sends `bytes` one at a time, `every` so often, until the other side closes.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn drip(&mut self, bytes: &[u8], every: Duration, deadline: &Deadline) -> Result<()> {
        for byte in bytes {
            let pause = Deadline::after(every);
            let closed = pause.wait_for("a pause", || self.has_closed());
            if closed.is_ok() || self.send(&[*byte]).is_err() {
                return Ok(());
            }
            if deadline.passed() {
                bail!("still connected after {} s", deadline.elapsed().as_secs());
            }
        }
        self.wait_closed(deadline)
    }

    fn has_closed(&mut self) -> Result<Option<()>> {
        self.stream.set_read_timeout(Some(LOOK_AGAIN_AFTER))?;
        let mut sink = [0; 1_024];
        Ok(match self.stream.read(&mut sink) {
            Ok(0) => Some(()),
            Ok(_) => None,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(_) => Some(()),
        })
    }
}

/// What a listening peer did and saw.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that came as far as a handshake.
    pub handshakes: AtomicU64,
    /// Blocks sent.
    pub blocks: AtomicU64,
    /// Pieces of the info dictionary sent.
    pub metadata: AtomicU64,
}

/// How a listening peer treats a connection after it was accepted.
pub type Behaviour = dyn Fn(RawPeer, &Counts) -> Result<()> + Send + Sync;

/// A peer that waits for connections on a host, until it is dropped.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddrV4,
    /// What happened so far.
    pub counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Listens on `port` of `host` and treats each connection on a thread of its own.
    ///
    /// # Errors
    ///
    /// The port is taken.
    pub fn start(host: &Host, port: u16, behaviour: Arc<Behaviour>) -> Result<Self> {
        let address = host.at(port);
        let listener = host.enter(|| TcpListener::bind(address)).context("cannot listen")?;
        listener.set_nonblocking(true)?;
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, flag) = (Arc::clone(&counts), Arc::clone(&stop));
        let thread = thread::spawn(move || accept_all(&listener, &behaviour, &shared, &flag));
        Ok(Self { address, counts, stop, thread: Some(thread) })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its connections end with it, whatever they failed with.
            let _ = thread.join();
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    behaviour: &Arc<Behaviour>,
    counts: &Arc<Counts>,
    stop: &AtomicBool,
) {
    let mut open: Vec<(TcpStream, JoinHandle<()>)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            thread::park_timeout(LOOK_AGAIN_AFTER);
            continue;
        };
        let (behaviour, counts) = (Arc::clone(behaviour), Arc::clone(counts));
        let Ok(kept) = stream.try_clone() else { continue };
        let thread = thread::spawn(move || {
            // That the other side hangs up on it is what a hostile peer expects.
            let _ = RawPeer::over(stream).and_then(|peer| behaviour(peer, &counts));
        });
        open.push((kept, thread));
    }
    for (stream, thread) in open {
        let _ = stream.shutdown(Shutdown::Both);
        let _ = thread.join();
    }
}

/// Claims to have all `pieces`, and answers every request with bytes that are not the torrent's.
pub fn sends_corrupt_data(info_hash: [u8; 20], pieces: usize) -> Arc<Behaviour> {
    Arc::new(move |mut peer, counts| {
        peer.shake_hands(&info_hash)?;
        counts.handshakes.fetch_add(1, Ordering::Relaxed);
        let mut bitfield = vec![0xff; pieces.div_ceil(8)];
        if let Some(last) = bitfield.last_mut().filter(|_| !pieces.is_multiple_of(8)) {
            *last <<= 8 - pieces % 8;
        }
        peer.send(&message(id::BITFIELD, &bitfield))?;
        peer.send(&message(id::UNCHOKE, &[]))?;
        loop {
            let (kind, payload) = peer.receive()?;
            if kind != id::REQUEST {
                continue;
            }
            let (place, length) = payload.split_at_checked(8).context("a short request")?;
            let length = u32::from_be_bytes(length.try_into()?) as usize;
            let block = [place, &vec![0x55; length.min(MESSAGE_MAX)]].concat();
            peer.send(&message(id::PIECE, &block))?;
            counts.blocks.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// What a peer lies about when it is asked for the info dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataLie {
    /// It names the right size and sends other bytes.
    Garbage,
    /// It names a size of many megabytes and sends zeros.
    Size,
    /// It names the right size and never answers.
    Silence,
    /// It names the right size and refuses every request.
    Refusal,
}

/// Claims to have the info dictionary of `size` bytes, and lies.
pub fn lies_about_metadata(info_hash: [u8; 20], size: usize, lie: MetadataLie) -> Arc<Behaviour> {
    /// The id by which this peer wants BEP 9 to be called.
    const OURS: u8 = 3;
    const PIECE: usize = 16_384;
    const MANY: usize = 9_000_000;
    let size = if lie == MetadataLie::Size { MANY } else { size };
    Arc::new(move |mut peer, counts| {
        peer.shake_hands(&info_hash)?;
        counts.handshakes.fetch_add(1, Ordering::Relaxed);
        let hello = format!("\0d1:md11:ut_metadatai{OURS}ee13:metadata_sizei{size}ee");
        peer.send(&message(id::EXTENDED, hello.as_bytes()))?;
        let mut theirs = None;
        loop {
            let (kind, payload) = peer.receive()?;
            let Some((extension, body)) = payload.split_first() else { continue };
            if kind != id::EXTENDED {
                continue;
            }
            let text = String::from_utf8_lossy(body);
            if *extension == 0 {
                theirs =
                    number_after(&text, "11:ut_metadatai").and_then(|id| u8::try_from(id).ok());
            }
            let (Some(theirs), Some(piece)) = (theirs, number_after(&text, "5:piecei")) else {
                continue;
            };
            let answer = match lie {
                MetadataLie::Silence => continue,
                MetadataLie::Refusal => format!("d8:msg_typei2e5:piecei{piece}ee").into_bytes(),
                MetadataLie::Garbage | MetadataLie::Size => {
                    let head = format!("d8:msg_typei1e5:piecei{piece}e10:total_sizei{size}ee");
                    let length = size.saturating_sub(piece * PIECE).min(PIECE);
                    [head.as_bytes(), &vec![0; length]].concat()
                }
            };
            peer.send(&message(id::EXTENDED, &[&[theirs], &answer[..]].concat()))?;
            counts.metadata.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// The digits that follow `key` in `text`.
fn number_after(text: &str, key: &str) -> Option<usize> {
    let rest = &text[text.find(key)? + key.len()..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
