//! What is asked of a tracker and what it answers, whatever the transport (BEP 3, 7, 24, 31, 48).

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::shown::shown_text;
use crate::wire::pex::compact_address;
use crate::{InfoHash, PeerId, bencode};

/// The interval of a tracker that names none, or one that is not positive.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(30 * 60);
/// A longer interval is cut to this, so that a tracker cannot make us stay away for ever.
pub const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest tracker id that is kept and sent back, in bytes.
pub const TRACKER_ID_MAX: usize = 256;

/// Why an announce is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Event {
    /// The interval is over.
    #[default]
    None,
    /// We join the swarm.
    Started,
    /// The last missing piece came.
    Completed,
    /// We leave the swarm.
    Stopped,
}

/// Bytes of blocks, as trackers count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Sent to peers.
    pub uploaded: u64,
    /// Taken from peers.
    pub downloaded: u64,
    /// Missing until all wanted files are complete; anything but 0 while that is not known.
    pub left: u64,
}

/// How we name ourselves to the trackers of a torrent. Debugged without the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The swarm: a v1 info-hash, or a v2 info-hash cut to 20 bytes (BEP 52).
    pub info_hash: InfoHash,
    /// Our peer id.
    pub peer_id: PeerId,
    /// Where we accept peers; 0 if nowhere.
    pub port: u16,
    /// A number by which a tracker knows us again after our address changed; a secret between us and
    /// trackers.
    pub key: u32,
    /// Where peers reach us, if it is not the address that the tracker sees.
    pub ip: Option<IpAddr>,
    /// Our IPv6 address, told to trackers that see our IPv4 one (BEP 7).
    pub ipv6: Option<Ipv6Addr>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Identity");
        out.field("info_hash", &self.info_hash).field("port", &self.port);
        out.finish_non_exhaustive()
    }
}

/// An announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// Who we are.
    pub identity: Identity,
    /// What we have done since the start.
    pub totals: Totals,
    /// Why it is sent.
    pub event: Event,
    /// Peers that we want.
    pub numwant: u16,
    /// What this tracker gave us to send back, at most [`TRACKER_ID_MAX`] bytes. Not for UDP.
    pub tracker_id: Option<Vec<u8>>,
}

/// The answer to an announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// Time until the next announce: positive, at most [`INTERVAL_MAX`], not below `min_interval`.
    pub interval: Duration,
    /// The least time until the next announce, if the tracker names one.
    pub min_interval: Option<Duration>,
    /// Peers that have everything.
    pub seeds: Option<u32>,
    /// Peers that have not.
    pub leeches: Option<u32>,
    /// Peers, each once, at most [`PEERS_MAX`](super::PEERS_MAX) of each address family.
    pub peers: Vec<SocketAddr>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// What the tracker warns of, to be shown.
    pub warning: Option<String>,
}

/// A tracker's numbers of one torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrapeEntry {
    /// Peers that have everything.
    pub seeds: u32,
    /// Peers that have not.
    pub leeches: u32,
    /// Peers that ever said that they are complete.
    pub downloads: u32,
}

/// When a tracker may be asked again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retry {
    /// The tracker names no time: back off.
    #[default]
    BackOff,
    /// After this time (BEP 31), at most [`INTERVAL_MAX`].
    After(Duration),
    /// Never: it is no tracker (BEP 31).
    Never,
}

/// Why an answer is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than is read.
    #[error("the answer is {actual} bytes long, at most {limit} are read")]
    TooLong {
        /// Its length in bytes.
        actual: usize,
        /// The most that is read.
        limit: usize,
    },
    /// Not bencode.
    #[error("the answer is not bencode: {0}")]
    Bencode(#[from] bencode::Error),
    /// The outermost value is no dictionary.
    #[error("the answer is no dictionary")]
    NotADictionary,
    /// A key is not there or has a value that it must not have.
    #[error("the answer has no valid `{0}`")]
    Missing(&'static str),
    /// The tracker says no.
    #[error("the tracker refuses: {reason}")]
    Refused {
        /// Its reason, to be shown.
        reason: String,
        /// When it may be asked again.
        retry: Retry,
    },
    /// No answer came, however often we asked (BEP 15).
    #[error("no answer after {attempts} attempts")]
    TimedOut {
        /// Packets that were sent in vain.
        attempts: u32,
    },
}

/// A failed announce, as the [`Announcer`](super::Announcer) needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    retry: Retry,
}

impl Failure {
    /// A failure on the way to the tracker; `message` is cut and escaped to be shown.
    ///
    /// It must hold no secret: an error of an HTTP library may quote the whole address.
    #[must_use]
    pub fn new(message: &str) -> Self {
        Self { message: shown_text(message.as_bytes()), retry: Retry::BackOff }
    }

    /// What happened, to be shown.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When the tracker may be asked again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        self.retry
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        match error {
            // The reason alone tells a user more than that there is one.
            Error::Refused { reason, retry } => Self { message: reason.clone(), retry: *retry },
            Error::TooLong { .. }
            | Error::Bencode(_)
            | Error::NotADictionary
            | Error::Missing(_)
            | Error::TimedOut { .. } => Self::new(&error.to_string()),
        }
    }
}

/// The interval that a tracker means by `seconds`, and by `min_seconds`.
pub(super) fn intervals(
    seconds: Option<i64>,
    min_seconds: Option<i64>,
) -> (Duration, Option<Duration>) {
    let min = min_seconds.and_then(positive_seconds);
    let interval = seconds.and_then(positive_seconds).unwrap_or(INTERVAL_DEFAULT);
    (interval.max(min.unwrap_or_default()), min)
}

/// The time of a positive number of seconds, cut to [`INTERVAL_MAX`].
pub(super) fn positive_seconds(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0)?;
    Some(Duration::from_secs(seconds).min(INTERVAL_MAX))
}

/// A count of peers; a negative one is none.
pub(super) fn count(value: i64) -> Option<u32> {
    u64::try_from(value).ok().map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

/// Peers of an answer as they are collected: each once, bounded for each address family.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: Vec<SocketAddr>,
    known: BTreeSet<SocketAddr>,
    v4: usize,
    v6: usize,
}

impl Peers {
    /// Takes an address unless it is known, leads nowhere, or there are enough of its family.
    pub(super) fn add(&mut self, address: SocketAddr) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let count = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        if *count < super::PEERS_MAX && leads_somewhere(address) && self.known.insert(address) {
            *count += 1;
            self.peers.push(address);
        }
    }

    /// Takes compact addresses of `length` bytes each: 6 (BEP 23) or 18 (BEP 7). What remains at the
    /// end is ignored.
    pub(super) fn add_compact(&mut self, bytes: &[u8], length: usize) {
        for address in bytes.chunks_exact(length).filter_map(compact_address) {
            self.add(address);
        }
    }

    /// The peers, in the order in which they came.
    pub(super) fn finish(self) -> Vec<SocketAddr> {
        self.peers
    }
}

/// Whether an address is a single host's; the same as of compact addresses.
fn leads_somewhere(address: SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::super::PEERS_MAX;
    use super::*;

    #[test]
    fn intervals_are_positive_and_bounded() {
        let seconds = Duration::from_secs;
        assert_eq!(intervals(Some(3), None), (seconds(3), None));
        assert_eq!(intervals(Some(30), Some(60)), (seconds(60), Some(seconds(60))));
        for bad in [None, Some(0), Some(-1), Some(i64::MIN)] {
            assert_eq!(intervals(bad, bad), (INTERVAL_DEFAULT, None), "{bad:?}");
        }
        assert_eq!(intervals(Some(i64::MAX), Some(i64::MAX)), (INTERVAL_MAX, Some(INTERVAL_MAX)));
    }

    #[test]
    fn peers_are_kept_once_and_bounded_in_each_family() {
        let mut peers = Peers::default();
        for n in 0..100_000_u32 {
            let [_, a, b, c] = n.to_be_bytes();
            peers.add_compact(&[1, a, b, c, 0, 9, 1, a, b, c, 0, 9], 6);
        }
        let mut v6 = [0x20; 18];
        peers.add_compact(&v6, 18);
        v6[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        peers.add_compact(&v6, 18);
        let peers = peers.finish();
        assert_eq!(peers.len(), PEERS_MAX + 1, "a mapped address is of the first family");
        assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), peers.len());
    }

    #[test]
    fn addresses_that_lead_nowhere_are_left_out() {
        let mut peers = Peers::default();
        for address in ["1.2.3.4:0", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1"]
        {
            peers.add(address.parse().unwrap());
        }
        peers.add("[::ffff:1.2.3.4]:5".parse().unwrap());
        assert_eq!(peers.finish(), ["1.2.3.4:5".parse().unwrap()]);
    }

    #[test]
    fn a_failure_shows_the_reason_alone() {
        let refused = Error::Refused { reason: "not registered".to_owned(), retry: Retry::Never };
        let failure = Failure::from(&refused);
        assert_eq!((failure.message(), failure.retry()), ("not registered", Retry::Never));
        let failure = Failure::from(&Error::TimedOut { attempts: 5 });
        assert_eq!(failure.message(), "no answer after 5 attempts");
        assert_eq!(failure.retry(), Retry::BackOff);
    }
}
