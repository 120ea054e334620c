//! What MSE derives from the shared secret and the torrent's info-hash, all by SHA-1.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};
use rand::Rng;
use sha1::{Digest, Sha1};

use super::dh::{KEY_LEN, Secret};
use super::rc4::Rc4;
use super::{Ciphers, Error, PAD_MAX};
use crate::InfoHash;

/// The secret that two peers share after they exchanged keys.
pub(super) struct Shared(pub(super) [u8; KEY_LEN]);

/// Shows nothing of the secret.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// What the initiator sends behind its padding: the mark by which the responder finds the end.
    pub(super) fn mark(&self) -> [u8; 20] {
        hash(&[b"req1", &self.0])
    }

    /// Turns the name of a torrent ([`super::obfuscated`]) into what the initiator sends, and back.
    pub(super) fn mask(&self, mut name: [u8; 20]) -> [u8; 20] {
        for (byte, mask) in name.iter_mut().zip(hash(&[b"req3", &self.0])) {
            *byte ^= mask;
        }
        name
    }

    /// The ciphers of the side that opened the connection.
    pub(super) fn initiator(&self, info_hash: InfoHash) -> Box<Ciphers> {
        let (send, receive) = (self.cipher(b"keyA", info_hash), self.cipher(b"keyB", info_hash));
        Box::new(Ciphers { send, receive })
    }

    /// The ciphers of the side that accepted it.
    pub(super) fn responder(&self, info_hash: InfoHash) -> Box<Ciphers> {
        let (send, receive) = (self.cipher(b"keyB", info_hash), self.cipher(b"keyA", info_hash));
        Box::new(Ciphers { send, receive })
    }

    fn cipher(&self, side: &[u8], info_hash: InfoHash) -> Rc4 {
        Rc4::new(&hash(&[side, &self.0, &info_hash.0]))
    }
}

pub(super) fn hash(parts: &[&[u8]]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// What each side sends first: its public key and padding of noise.
pub(super) fn greeting(secret: &Secret, rng: &mut impl Rng) -> BytesMut {
    let mut out = BytesMut::from(&secret.public_key()[..]);
    out.put_bytes(0, usize::from(draw_pad(rng)));
    let (_, pad) = out.split_at_mut(KEY_LEN);
    rng.fill(pad);
    out
}

/// Draws the length of a padding.
pub(super) fn draw_pad(rng: &mut impl Rng) -> u16 {
    rng.random_range(0..=PAD_MAX)
}

/// Writes a padding inside an encrypted part: its length and zeros, as MSE wants it.
pub(super) fn put_pad(pad: u16, out: &mut BytesMut) {
    out.put_u16(pad);
    out.put_bytes(0, usize::from(pad));
}

/// Drops padding up to and with `mark`; whether the mark was there.
///
/// Padding is dropped as it comes, so that none collects; `dropped` counts it.
///
/// # Errors
///
/// There was more padding than a peer may send.
pub(super) fn skip_to(mark: &[u8], buf: &mut BytesMut, dropped: &mut usize) -> Result<bool, Error> {
    let pad_max = usize::from(PAD_MAX);
    let found = buf.windows(mark.len()).take(pad_max + 1).position(|window| window == mark);
    // Without the mark, all but the last bytes are padding: those may be how it begins.
    let padding = found.unwrap_or_else(|| (buf.len() + 1).saturating_sub(mark.len()));
    *dropped += padding;
    if *dropped > pad_max {
        return Err(Error::NoMark);
    }
    buf.advance(padding + found.map_or(0, |_| mark.len()));
    Ok(found.is_some())
}

/// Takes `N` bytes off the front of `buf`, or leaves it as it is.
pub(super) fn take<const N: usize>(buf: &mut BytesMut) -> Option<[u8; N]> {
    let bytes = *buf.first_chunk::<N>()?;
    buf.advance(N);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn key_stream(mut cipher: Rc4) -> String {
        let mut bytes = [0; 16];
        cipher.apply(&mut bytes);
        hex(&bytes)
    }

    // Computed in Python, for a secret of the bytes 0 to 95.
    #[test]
    fn derives_what_another_implementation_derives() {
        let shared = Shared(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        let info_hash = InfoHash([0xab; 20]);
        let name = super::super::obfuscated(info_hash);
        assert_eq!(hex(&shared.mark()), "ed37476cccf63496894d66db14b9806c8c9efe3e");
        assert_eq!(hex(&name), "debcbb002ca1ef763a10a40caaeab1f00a565dbe");
        assert_eq!(hex(&shared.mask(name)), "973a477bb0129c42dfbbf83c9e6b9e2bcd9bd8cd");
        let ciphers = shared.initiator(info_hash);
        assert_eq!(key_stream(ciphers.send), "783b05c0e3d5f474fa8b653613a01ea8");
        assert_eq!(key_stream(ciphers.receive), "186535a5d18b5b747fb6dcfee70b60eb");
    }

    #[test]
    fn finds_the_mark_behind_as_much_padding_as_allowed() {
        for (padding, expected) in [(0, Ok(true)), (512, Ok(true)), (513, Err(Error::NoMark))] {
            let mut buf = BytesMut::from(&vec![b'.'; padding][..]);
            buf.extend_from_slice(b"markrest");
            let result = skip_to(b"mark", &mut buf, &mut 0);
            assert_eq!(result, expected, "{padding}");
            assert!(result.is_err() || buf == b"rest"[..]);
        }
    }
}
