//! Message stream encryption (MSE, also called PE): connections that look like noise.
//!
//! No BEP describes it; all large clients speak it. It hides BitTorrent from those who slow it down,
//! and gives no secrecy against who knows the torrent. The peers exchange keys, then the initiator
//! names the torrent in a way that only who knows it understands, and offers what may follow: all in
//! RC4, or plaintext. [`Initiator`] and [`Responder`] are the two sides as machines: bytes in, bytes
//! out. Waiting has a limit in bytes here, and one in time at the owner's.
//!
//! What an incoming connection begins with is told by [`classify`], and whether to take it or how to
//! dial by [`Policy`].
//!
//! ```
//! use bittorrent::encryption::{Initiator, Method, Methods, Progress, Responder, obfuscated};
//! use bittorrent::wire::{Handshake, Reserved};
//! use bittorrent::{InfoHash, PeerId};
//! use bytes::BytesMut;
//! use rand::{SeedableRng, rngs::SmallRng};
//!
//! # fn main() -> Result<(), bittorrent::encryption::Error> {
//! let info_hash = InfoHash([7; 20]);
//! let handshake = Handshake { reserved: Reserved::OURS, info_hash, peer_id: PeerId([1; 20]) };
//! let mut rng = SmallRng::seed_from_u64(1); // a node seeds it from the system
//! let mut a = Initiator::new(&handshake, Methods::Both, &mut rng);
//! let mut b = Responder::new(Methods::Both, Method::Plaintext, &mut rng);
//!
//! // What a sends, b receives, and the other way round.
//! let (mut to_a, mut to_b) = (b.transmit().split(), a.transmit().split());
//! let _ = a.receive(&mut to_a)?;
//! to_b.unsplit(a.transmit().split());
//! if let Progress::NeedTorrent(name) = b.receive(&mut to_b)? {
//!     assert_eq!(name, obfuscated(info_hash));
//!     b.set_torrent(info_hash);
//! }
//! let Progress::Complete(of_b) = b.receive(&mut to_b)? else { panic!() };
//! to_a.unsplit(b.transmit().split());
//! let Progress::Complete(of_a) = a.receive(&mut to_a)? else { panic!() };
//! assert_eq!((of_a.method(), of_b.method()), (Method::Plaintext, Method::Plaintext));
//!
//! // From here on the streams are plain; the first thing in them is the handshake of BEP 3.
//! assert_eq!(Handshake::decode(a.transmit()), Ok(Some(handshake)));
//! # Ok(())
//! # }
//! ```

mod dh;
mod initiator;
mod keys;
mod rc4;
mod responder;
#[cfg(test)]
mod tests;

use bytes::BytesMut;

pub use initiator::Initiator;
pub use rc4::Rc4;
pub use responder::Responder;

use crate::InfoHash;
use crate::wire::handshake::PROTOCOL;

/// The most padding that is sent or taken in each of a handshake's four places, in bytes.
pub const PAD_MAX: u16 = 512;
/// The longest initial payload that is taken from an initiator, in bytes.
///
/// It holds a handshake (BEP 3) and seldom more; the length that it could have is 65,535.
pub const INITIAL_PAYLOAD_MAX: u16 = 16 * 1024;

/// The verification constant: zeros by which a peer sees that it decrypts right.
const VC: [u8; 8] = [0; 8];

/// How an incoming connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// Not yet decided: more bytes are needed, 20 at most.
    NeedMore,
    /// With a handshake of BEP 3.
    Plain,
    /// With anything else, so with a key if the peer speaks BitTorrent.
    Encrypted,
}

/// Tells plain from encrypted by the first bytes of an incoming connection.
///
/// ```
/// use bittorrent::encryption::{Incoming, classify};
/// assert_eq!(classify(b"\x13BitTorrent"), Incoming::NeedMore);
/// assert_eq!(classify(b"\x13BitTorrent protocol"), Incoming::Plain);
/// assert_eq!(classify(b"\x13Bat"), Incoming::Encrypted);
/// ```
#[must_use]
pub fn classify(start: &[u8]) -> Incoming {
    if PROTOCOL.iter().zip(start).any(|(expected, byte)| expected != byte) {
        Incoming::Encrypted
    } else if start.len() < PROTOCOL.len() {
        Incoming::NeedMore
    } else {
        Incoming::Plain
    }
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Never.
    Plain,
    /// Where the peer can; else plain.
    Prefer,
    /// Always; an owner that means what follows the handshake too offers [`Methods::Rc4`] alone.
    Require,
}

impl Policy {
    /// Whether the first attempt to reach a peer is an encrypted one.
    #[must_use]
    pub const fn dials_encrypted(self) -> bool {
        matches!(self, Self::Prefer | Self::Require)
    }

    /// Whether a peer with which the encrypted handshake failed is dialled again, plain.
    #[must_use]
    pub const fn redials_plain(self) -> bool {
        matches!(self, Self::Prefer)
    }

    /// Whether an incoming connection may go on; true while its kind is not known.
    #[must_use]
    pub const fn accepts(self, incoming: Incoming) -> bool {
        match incoming {
            Incoming::NeedMore => true,
            Incoming::Plain => matches!(self, Self::Plain | Self::Prefer),
            Incoming::Encrypted => matches!(self, Self::Prefer | Self::Require),
        }
    }
}

/// What follows an encrypted handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Plain bytes: costs nothing.
    Plaintext,
    /// All bytes go through RC4, which costs about as much as all else that is done with them.
    Rc4,
}

impl Method {
    /// The method's bit in `crypto_provide` and `crypto_select`.
    const fn bit(self) -> u32 {
        match self {
            Self::Plaintext => 0x01,
            Self::Rc4 => 0x02,
        }
    }
}

/// The methods that a side allows: one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// Plaintext only.
    Plaintext,
    /// RC4 only.
    Rc4,
    /// Either.
    Both,
}

impl Methods {
    /// Their bits in `crypto_provide`.
    const fn bits(self) -> u32 {
        match self {
            Self::Plaintext => Method::Plaintext.bit(),
            Self::Rc4 => Method::Rc4.bit(),
            Self::Both => Method::Plaintext.bit() | Method::Rc4.bit(),
        }
    }

    /// Whether a method is among them.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.bits() & method.bit() != 0
    }
}

/// The two directions of a connection that goes on in RC4.
#[derive(Debug, Clone)]
pub struct Ciphers {
    /// Encrypts what is sent.
    pub send: Rc4,
    /// Decrypts what is received.
    pub receive: Rc4,
}

/// A finished encrypted handshake: the peer wire protocol goes on from here.
#[derive(Debug)]
pub struct Established {
    /// The torrent that the initiator named.
    pub info_hash: InfoHash,
    /// The ciphers that all further bytes go through; `None` if plaintext was selected.
    pub ciphers: Option<Box<Ciphers>>,
}

impl Established {
    /// The method that was selected.
    #[must_use]
    pub const fn method(&self) -> Method {
        if self.ciphers.is_some() { Method::Rc4 } else { Method::Plaintext }
    }

    /// Ends a handshake, decrypting what `buf` holds of the peer wire protocol: the first `initial`
    /// bytes came in RC4 whatever was selected, those behind only if RC4 was.
    fn new(
        info_hash: InfoHash,
        mut ciphers: Box<Ciphers>,
        method: Method,
        initial: u16,
        buf: &mut BytesMut,
    ) -> Self {
        let encrypted = match method {
            Method::Plaintext => usize::from(initial).min(buf.len()),
            Method::Rc4 => buf.len(),
        };
        let (encrypted, _) = buf.split_at_mut(encrypted);
        ciphers.receive.apply(encrypted);
        let ciphers = (method == Method::Rc4).then_some(ciphers);
        Self { info_hash, ciphers }
    }
}

/// How far a handshake has come.
#[must_use]
#[derive(Debug)]
pub enum Progress {
    /// More bytes of the peer are needed.
    NeedMore,
    /// The initiator named a torrent, as [`obfuscated`] names it; never from an [`Initiator`].
    ///
    /// Goes on with [`Responder::set_torrent`]; if no torrent has this name, the connection is to be
    /// closed.
    NeedTorrent([u8; 20]),
    /// The handshake is over, once what `transmit` still holds is sent. What is left in the buffer
    /// is decrypted already.
    Complete(Established),
}

/// The peer broke the handshake, or nothing is agreed: the connection is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A public key that makes the secret known to everybody, or is no number below the prime.
    #[error("the peer's public key is not fit for use")]
    UnfitKey,
    /// The padding behind a key does not end: the peer speaks something else, or about a torrent
    /// that is not ours.
    #[error("no sign of an encrypted handshake within {PAD_MAX} bytes of padding")]
    NoMark,
    /// The verification constant is wrong: the peer encrypts with another key.
    #[error("the verification constant does not decrypt to zeros")]
    WrongConstant,
    /// More padding announced than [`PAD_MAX`].
    #[error("padding of {0} bytes, at most {PAD_MAX} are taken")]
    PadTooLong(u16),
    /// A longer initial payload announced than [`INITIAL_PAYLOAD_MAX`].
    #[error("an initial payload of {0} bytes, at most {INITIAL_PAYLOAD_MAX} are taken")]
    PayloadTooLong(u16),
    /// None of the methods that the initiator provides, as bits, is allowed.
    #[error("the peer offers the methods {0:#x}, and none of them is allowed")]
    NothingAllowed(u32),
    /// The responder selected, as bits, none, several, or what was not offered.
    #[error("the peer selected the methods {0:#x}, which is not one of those offered")]
    NotOffered(u32),
    /// The handshake is over, by success or by an earlier error.
    #[error("the encrypted handshake is over")]
    Over,
}

/// The name under which an initiator asks for a torrent: `HASH('req2', info-hash)`.
///
/// A node keeps a map from it to its torrents, for [`Progress::NeedTorrent`].
#[must_use]
pub fn obfuscated(info_hash: InfoHash) -> [u8; 20] {
    keys::hash(&[b"req2", &info_hash.0])
}
