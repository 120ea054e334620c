//! Why a call, cast or watch did not do what it should.

use control::{Epoch, NodeName};
use serde::{Deserialize, Serialize};

/// What comes back instead of a reply. It crosses the wire, so variants are only ever added at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum LaneError {
    /// Nobody is exposed under this key at the other end.
    #[error("there is no such actor")]
    NoSuchActor,
    /// The other end does not own the torrent; it may know who does.
    #[error("it is not the owner{}", .0.as_ref().map(|node| format!(", {node} is")).unwrap_or_default())]
    NotOwner(Option<NodeName>),
    /// The message's epoch is over; the current one comes with the refusal. The actor has not seen the message.
    #[error("the epoch is over, the current one is {0}")]
    StaleEpoch(Epoch),
    /// There is no room: in the queue, in the table of calls, or at the actor. Try again later.
    #[error("there is no room")]
    Busy,
    /// The frame would be longer than [`FRAME_LEN_MAX`](super::FRAME_LEN_MAX). The lane lives.
    #[error("the message is too long for a frame")]
    TooBig,
    /// The lane ended, or the actor did, before there was an answer: it may have been done or not.
    #[error("the lane or the actor ended before the answer")]
    Disconnected,
    /// No answer came in time: it may have been done or not.
    #[error("no answer came in time")]
    Timeout,
    /// The body is not what the actor, or the caller, understands.
    #[error("the message is malformed")]
    Malformed,
}

impl LaneError {
    /// How many kinds there are.
    pub(super) const KINDS: usize = 8;

    /// The place of this kind in a table of [`LaneError::KINDS`].
    pub(super) const fn kind(&self) -> usize {
        match self {
            Self::NoSuchActor => 0,
            Self::NotOwner(_) => 1,
            Self::StaleEpoch(_) => 2,
            Self::Busy => 3,
            Self::TooBig => 4,
            Self::Disconnected => 5,
            Self::Timeout => 6,
            Self::Malformed => 7,
        }
    }

    /// As the body of a frame.
    pub(super) fn to_body(&self) -> Vec<u8> {
        // A short enum always has room in a vector; the other end takes no bytes for malformed.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// From the body of a frame: what cannot be read is [`LaneError::Malformed`], as is a kind that only a
    /// newer node knows.
    pub(super) fn of_body(body: &[u8]) -> Self {
        postcard::from_bytes(body).unwrap_or(Self::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crosses_the_wire() {
        let node = NodeName::new("node-1");
        let all = [
            LaneError::NoSuchActor,
            LaneError::NotOwner(None),
            LaneError::NotOwner(node),
            LaneError::StaleEpoch(Epoch(7)),
            LaneError::Busy,
            LaneError::TooBig,
            LaneError::Disconnected,
            LaneError::Timeout,
            LaneError::Malformed,
        ];
        for error in all {
            assert_eq!(LaneError::of_body(&error.to_body()), error);
            assert!(error.kind() < LaneError::KINDS);
        }
        assert_eq!(LaneError::of_body(&[]), LaneError::Malformed);
        assert_eq!(LaneError::of_body(&[99]), LaneError::Malformed, "of a newer node");
        // `NotOwner` of a name that is none.
        assert_eq!(LaneError::of_body(&[1, 1, 1, b'!']), LaneError::Malformed);
    }

    #[test]
    fn says_what_is_wrong() {
        let said = |error: LaneError| error.to_string();
        assert_eq!(said(LaneError::NotOwner(None)), "it is not the owner");
        assert_eq!(said(LaneError::NotOwner(NodeName::new("b"))), "it is not the owner, b is");
        assert_eq!(
            said(LaneError::StaleEpoch(Epoch(7))),
            "the epoch is over, the current one is 7"
        );
    }
}
