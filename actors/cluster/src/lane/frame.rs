//! What crosses a lane: frames.
//!
//! A frame is `length (u32, big-endian) | head (postcard) | body`. The length counts head and body and is at
//! most [`FRAME_LEN_MAX`]: the sender is refused before anything is queued, and a reader ends the lane. Memory
//! is taken as bytes come, never on the word of a length.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use control::{Epoch, TorrentId};
use serde::{Deserialize, Serialize};

use super::LaneError;

/// The most that a frame's length may say, in bytes.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;
/// Bytes of the length itself.
pub(super) const LENGTH_LEN: usize = 4;
/// No head is longer: three numbers and a key.
const HEAD_LEN_MAX: usize = 64;
/// A longer body is a slice of what was read; a shorter one is copied, so that it does not keep the rest of it.
const COPIED_LEN_MAX: usize = 4096;

/// Who is spoken to at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// The actor of a torrent.
    Torrent(TorrentId),
    /// A service of the node, by its number.
    Service(u16),
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Wants no answer.
    Cast,
    /// Wants a reply or an error with the same request number.
    Call,
    /// Answers a call.
    Reply,
    /// Answers a call with a [`LaneError`].
    Error,
    /// Wants to know when the actor ends.
    Watch,
    /// Does not want to know any more.
    Unwatch,
    /// Answers a watch with a [`DownReason`](super::DownReason).
    Down,
}

/// What stands before a frame's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Who is spoken to; of an answer, who answers.
    pub to: Key,
    /// The ownership in whose name it is said; of an answer, the answering actor's.
    pub epoch: Epoch,
    /// Which call or watch of the asking side it belongs to; 0 for casts.
    pub request: u64,
    /// What it is.
    pub kind: Kind,
}

/// The bytes of the other end are no frame. The lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is more than is ever sent.
    #[error("a frame of {length} bytes, at most {max} are allowed")]
    TooLong {
        /// What it says.
        length: usize,
        /// What it may say.
        max: usize,
    },
    /// There is no head.
    #[error("the frame's head cannot be read")]
    Head,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
}

/// Appends a frame and says how many bytes it has.
///
/// # Errors
///
/// [`LaneError::TooBig`]: nothing was appended.
pub fn encode(into: &mut BytesMut, head: &Head, body: &[u8]) -> Result<usize, LaneError> {
    let mut space = [0; HEAD_LEN_MAX];
    let head = postcard::to_slice(head, &mut space).map_err(|_| LaneError::TooBig)?;
    let length = head.len().saturating_add(body.len());
    if length > FRAME_LEN_MAX {
        return Err(LaneError::TooBig);
    }
    let says = u32::try_from(length).map_err(|_| LaneError::TooBig)?;
    into.reserve(LENGTH_LEN + length);
    into.put_u32(says);
    into.put_slice(head);
    into.put_slice(body);
    Ok(LENGTH_LEN + length)
}

/// The inside of the next frame at the front of what has come; none if it has not come whole.
///
/// # Errors
///
/// [`FrameError::TooLong`], told as soon as the length is there.
pub(super) fn peek(come: &[u8], max: usize) -> Result<Option<&[u8]>, FrameError> {
    let Some((length, rest)) = come.split_first_chunk::<LENGTH_LEN>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > max {
        return Err(FrameError::TooLong { length, max });
    }
    Ok(rest.get(..length))
}

/// Takes the next frame off the front of what has come; none if it has not come whole.
///
/// # Errors
///
/// It is no frame; what is left in `from` means nothing any more.
pub fn decode(from: &mut BytesMut) -> Result<Option<(Head, Bytes)>, FrameError> {
    let Some(frame) = peek(from, FRAME_LEN_MAX)? else { return Ok(None) };
    let whole = LENGTH_LEN + frame.len();
    let (head, body) = postcard::take_from_bytes::<Head>(frame).map_err(|_| FrameError::Head)?;
    let length = body.len();
    if length <= COPIED_LEN_MAX {
        let body = Bytes::copy_from_slice(body);
        from.advance(whole);
        return Ok(Some((head, body)));
    }
    let mut frame = from.split_to(whole);
    frame.advance(whole - length);
    Ok(Some((head, frame.freeze())))
}

/// A message's body as postcard.
///
/// # Errors
///
/// [`LaneError::TooBig`] or, where a type cannot be written, [`LaneError::Malformed`].
pub fn to_body(message: &impl Serialize) -> Result<Vec<u8>, LaneError> {
    let body = postcard::to_stdvec(message).map_err(|_| LaneError::Malformed)?;
    if body.len() > FRAME_LEN_MAX { Err(LaneError::TooBig) } else { Ok(body) }
}

/// A message from its body; bytes after it are a newer node's and are passed over.
///
/// # Errors
///
/// [`LaneError::Malformed`].
pub fn of_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, LaneError> {
    postcard::take_from_bytes(body).map(|(message, _)| message).map_err(|_| LaneError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads() -> impl Strategy<Value = Head> {
        let keys = prop_oneof![
            any::<[u8; 20]>().prop_map(|id| Key::Torrent(TorrentId(id))),
            any::<u16>().prop_map(Key::Service),
        ];
        let kinds = prop::sample::select(vec![
            Kind::Cast,
            Kind::Call,
            Kind::Reply,
            Kind::Error,
            Kind::Watch,
            Kind::Unwatch,
            Kind::Down,
        ]);
        (keys, any::<u64>(), any::<u64>(), kinds).prop_map(|(to, epoch, request, kind)| Head {
            to,
            epoch: Epoch(epoch),
            request,
            kind,
        })
    }

    proptest! {
        #[test]
        fn a_frame_is_read_as_it_was_written_however_it_is_cut(
            frames in prop::collection::vec((heads(), prop::collection::vec(any::<u8>(), 0..200)), 1..8),
            cut in 1_usize..50,
        ) {
            let mut bytes = BytesMut::new();
            for (head, body) in &frames {
                let before = bytes.len();
                let length = encode(&mut bytes, head, body).unwrap();
                prop_assert_eq!(bytes.len() - before, length);
            }
            let mut come = BytesMut::new();
            let mut read = Vec::new();
            for part in bytes.chunks(cut) {
                come.put_slice(part);
                while let Some((head, body)) = decode(&mut come).unwrap() {
                    read.push((head, body.to_vec()));
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(come.is_empty());
        }

        #[test]
        fn no_bytes_panic_or_take_memory(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut come = BytesMut::from(&bytes[..]);
            let most = come.capacity();
            while let Ok(Some((_, body))) = decode(&mut come) {
                prop_assert!(body.len() <= bytes.len());
            }
            prop_assert!(come.capacity() <= most);
            let _ = of_body::<(Key, String, Vec<u64>)>(&bytes);
        }
    }

    #[test]
    fn the_bytes_are_these() {
        let mut bytes = BytesMut::new();
        let to = Key::Torrent(TorrentId([0xab; 20]));
        let head = Head { to, epoch: Epoch(300), request: 5, kind: Kind::Call };
        encode(&mut bytes, &head, b"body").unwrap();
        let mut expected = vec![0, 0, 0, 30, 0, 20];
        expected.extend([0xab; 20]);
        expected.extend([0xac, 0x02, 5, 1]);
        expected.extend(b"body");
        assert_eq!(bytes[..], expected[..]);
        bytes.clear();
        let head = Head { to: Key::Service(7), epoch: Epoch(0), request: 0, kind: Kind::Down };
        encode(&mut bytes, &head, &[]).unwrap();
        assert_eq!(bytes[..], [0, 0, 0, 5, 1, 7, 0, 0, 6]);
    }

    #[test]
    fn the_longest_frame_passes_and_a_longer_one_is_refused_at_both_ends() {
        let head = Head { to: Key::Service(1), epoch: Epoch(0), request: 1, kind: Kind::Call };
        let mut bytes = BytesMut::new();
        let mut body = vec![7; FRAME_LEN_MAX - 5];
        encode(&mut bytes, &head, &body).unwrap();
        assert_eq!(decode(&mut bytes).unwrap().unwrap().1.len(), body.len());
        body.push(7);
        assert_eq!(encode(&mut bytes, &head, &body), Err(LaneError::TooBig));
        assert!(bytes.is_empty());
        bytes.put_u32(u32::try_from(FRAME_LEN_MAX).unwrap() + 1);
        let error = FrameError::TooLong { length: FRAME_LEN_MAX + 1, max: FRAME_LEN_MAX };
        assert_eq!(decode(&mut bytes), Err(error));
    }

    #[test]
    fn a_frame_without_a_head_is_refused() {
        for inside in [&[][..], &[2, 0, 0, 0], &[1, 7, 0, 0, 99], &[0, 1, 2, 3]] {
            let mut bytes = BytesMut::new();
            bytes.put_u32(u32::try_from(inside.len()).unwrap());
            bytes.put_slice(inside);
            assert_eq!(decode(&mut bytes), Err(FrameError::Head), "{inside:?}");
        }
    }
}
