//! The first words on a lane: who speaks, and in which version.
//!
//! The name of the protocol in TLS (ALPN) carries the major version: another one ends the handshake. Minor
//! versions live side by side, each with the one before it, so that nodes can be replaced one by one. What a
//! later minor version adds to [`Hello`] stands at its end, and earlier ones pass over it.

use bytes::{Buf, BufMut, BytesMut};
use control::{Incarnation, NodeName};
use serde::{Deserialize, Serialize};

use super::frame::{self, FrameError};

/// Name and major version of control lanes, as in ALPN.
pub const CONTROL_PROTOCOL: &[u8] = b"te-ctl/1";
/// Name and major version of bulk lanes, as in ALPN.
pub const BULK_PROTOCOL: &[u8] = b"te-bulk/1";
/// The minor version that this program speaks.
pub const MINOR: u32 = 1;
/// The most bytes of a greeting.
pub const HELLO_LEN_MAX: usize = 1024;

/// What each end of a lane says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who speaks; its certificate must say the same.
    pub node: NodeName,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its minor version.
    pub minor: u32,
    /// What else it can do: a bit each, none so far. Both use what both can.
    pub features: u64,
}

/// Why a greeting was not taken; told to the other end before the lane is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The name in the greeting is not the one in the certificate, or not the one that was dialled.
    #[error("the greeting's name is not the certificate's")]
    WrongName,
    /// The two minor versions are further apart than one.
    #[error("the versions are too far apart")]
    Version,
    /// It is no greeting.
    #[error("the greeting is malformed")]
    Malformed,
    /// There is no room for another lane.
    #[error("there is no room for another lane")]
    Busy,
}

/// The first frame of the one who was dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// Welcome.
    Hello(Hello),
    /// Not so.
    Refused(Refusal),
}

/// What two nodes agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The lower of both minor versions.
    pub minor: u32,
    /// The features of both.
    pub features: u64,
}

impl Hello {
    /// What this node and the one whose greeting came agree upon. `certified` is the name in the certificate.
    ///
    /// # Errors
    ///
    /// Its name is not its certificate's, or its version is too far from ours.
    pub fn agree(&self, theirs: &Self, certified: &NodeName) -> Result<Agreed, Refusal> {
        if theirs.node != *certified || theirs.node == self.node {
            return Err(Refusal::WrongName);
        }
        if self.minor.abs_diff(theirs.minor) > 1 {
            return Err(Refusal::Version);
        }
        let minor = self.minor.min(theirs.minor);
        Ok(Agreed { minor, features: self.features & theirs.features })
    }
}

/// Either kind of greeting as a frame of its own.
#[must_use]
pub fn encode(greeting: &Greeting) -> BytesMut {
    // A name has at most 63 bytes and a vector always has room.
    let inside = postcard::to_stdvec(greeting).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(frame::LENGTH_LEN + inside.len());
    bytes.put_u32(u32::try_from(inside.len()).unwrap_or(0));
    bytes.put_slice(&inside);
    bytes
}

/// Takes a greeting off the front of what has come; none if it has not come whole.
///
/// # Errors
///
/// It is too long, or no greeting.
pub fn decode(from: &mut BytesMut) -> Result<Option<Greeting>, FrameError> {
    let Some(inside) = frame::peek(from, HELLO_LEN_MAX)? else { return Ok(None) };
    let whole = frame::LENGTH_LEN + inside.len();
    let (greeting, _) = postcard::take_from_bytes(inside).map_err(|_| FrameError::Head)?;
    from.advance(whole);
    Ok(Some(greeting))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello(name: &str, minor: u32, features: u64) -> Hello {
        let node = NodeName::new(name).unwrap();
        Hello { node, incarnation: Incarnation(3), minor, features }
    }

    #[test]
    fn one_minor_version_before_and_after_is_spoken_with() {
        let (ours, certified) = (hello("a", 5, 0b110), NodeName::new("b").unwrap());
        let agree = |minor| ours.agree(&hello("b", minor, 0b011), &certified);
        assert_eq!(agree(4), Ok(Agreed { minor: 4, features: 0b010 }));
        assert_eq!(agree(5), Ok(Agreed { minor: 5, features: 0b010 }));
        assert_eq!(agree(6), Ok(Agreed { minor: 5, features: 0b010 }));
        assert_eq!((agree(3), agree(7)), (Err(Refusal::Version), Err(Refusal::Version)));
    }

    #[test]
    fn a_name_is_the_certificates_and_not_our_own() {
        let ours = hello("a", 1, 0);
        let certified = NodeName::new("b").unwrap();
        assert_eq!(ours.agree(&hello("c", 1, 0), &certified), Err(Refusal::WrongName));
        let own = NodeName::new("a").unwrap();
        assert_eq!(ours.agree(&hello("a", 1, 0), &own), Err(Refusal::WrongName));
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let greeting = Greeting::Hello(hello("node-1", 2, 9));
        let mut bytes = encode(&greeting);
        bytes.extend_from_slice(b"later");
        bytes[3] += 5;
        bytes.extend_from_slice(b"next");
        assert_eq!(decode(&mut bytes), Ok(Some(greeting)));
        assert_eq!(&bytes[..], b"next");
    }

    #[test]
    fn the_bytes_are_these() {
        let bytes = encode(&Greeting::Hello(hello("n1", 1, 0)));
        assert_eq!(bytes[..], [0, 0, 0, 7, 0, 2, b'n', b'1', 3, 1, 0]);
        assert_eq!(encode(&Greeting::Refused(Refusal::Version))[..], [0, 0, 0, 2, 1, 1]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&mut BytesMut::from(&bytes[..]));
        }
    }
}
