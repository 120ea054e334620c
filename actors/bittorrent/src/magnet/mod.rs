//! Magnet links (BEP 9, 53): what a torrent is called, and where its metadata may be found.
//!
//! [`Magnet`] is read with `parse` and written with `Display`. Unknown parameters are passed over, as the
//! links of other programs hold many; a known one that is wrong is an [`Error`] that says where it stands.
//! Errors never repeat what stands there: addresses of trackers may hold passkeys.

mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::metainfo::Metainfo;
use crate::{InfoHash, InfoHashV2, TorrentId};

/// The longest link that is read, in bytes.
pub const MAGNET_LEN_MAX: usize = 64 * 1024;
/// Trackers of a link, and web seeds, at most.
pub const URLS_MAX: usize = 200;
/// Peers of a link at most.
pub const PEERS_MAX: usize = 200;
/// Ranges of selected files at most.
pub const RANGES_MAX: usize = 10_000;
/// File indices of a selection are below this.
pub const FILE_INDEX_END: u32 = 1 << 24;

/// A magnet link. It has one info-hash at least.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Magnet {
    /// The v1 info-hash, if it has one.
    pub v1: Option<InfoHash>,
    /// The v2 info-hash, if it has one.
    pub v2: Option<InfoHashV2>,
    /// What to call the torrent until its metadata is there. As it stood in the link: to be shown, not to
    /// be used as a path.
    pub name: Option<String>,
    /// Bytes of all files.
    pub length: Option<u64>,
    /// Trackers, each a tier of its own.
    pub trackers: Vec<String>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers to begin with.
    pub peers: Vec<PeerAddress>,
    /// The files that are wanted, by index: apart from each other, in order; none given means all files
    /// (BEP 53). Not checked against the torrent, whose files are not known yet.
    pub selected: Vec<RangeInclusive<u32>>,
}

/// Where a link says that a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddress {
    /// An address.
    Ip(SocketAddr),
    /// A host name, to be looked up, and a port.
    Name(String, u16),
}

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than is read.
    #[error("a magnet link of {0} bytes, at most {MAGNET_LEN_MAX} are read")]
    TooLong(usize),
    /// Something else than a magnet link.
    #[error("a magnet link begins with `magnet:?`")]
    NotMagnet,
    /// It names no torrent.
    #[error("no `xt` with an info-hash (urn:btih or urn:btmh)")]
    NoInfoHash,
    /// A parameter is wrong.
    #[error("`{key}` at byte {at}: {what}")]
    Parameter {
        /// Its name, without a number behind it.
        key: &'static str,
        /// Where its value stands in the link, from 0.
        at: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Magnet {
    /// Reads a link.
    ///
    /// ```
    /// let link = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=a+name&so=0,2-4";
    /// let magnet = bittorrent::magnet::Magnet::parse(link)?;
    /// assert_eq!(magnet.name.as_deref(), Some("a name"));
    /// assert_eq!(magnet.selected, [0..=0, 2..=4]);
    /// # Ok::<(), bittorrent::magnet::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// It is no magnet link, names no torrent or two, or a parameter is wrong; see [`Error`].
    pub fn parse(link: &str) -> Result<Self, Error> {
        read::read(link)
    }

    /// The torrent's id.
    #[must_use]
    pub fn torrent_id(&self) -> TorrentId {
        match (self.v1, self.v2) {
            (Some(v1), _) => v1.into(),
            (None, Some(v2)) => v2.into(),
            (None, None) => TorrentId([0; 20]),
        }
    }

    /// Whether a file is wanted.
    #[must_use]
    pub fn selects(&self, file: u32) -> bool {
        let at = self.selected.partition_point(|range| *range.end() < file);
        self.selected.is_empty() || self.selected.get(at).is_some_and(|range| range.contains(&file))
    }
}

impl FromStr for Magnet {
    type Err = Error;

    fn from_str(link: &str) -> Result<Self, Error> {
        Self::parse(link)
    }
}

impl From<&Metainfo> for Magnet {
    /// The link of a torrent, with its trackers and web seeds.
    fn from(metainfo: &Metainfo) -> Self {
        let info = &metainfo.info;
        let pads = info.files().iter().filter(|file| file.is_pad());
        let padding: u64 = pads.map(crate::metainfo::File::length).sum();
        Self {
            v1: info.v1(),
            v2: info.v2(),
            name: Some(info.name().to_owned()),
            length: Some(info.total_length().saturating_sub(padding)),
            trackers: metainfo.trackers.iter().flatten().take(URLS_MAX).cloned().collect(),
            web_seeds: metainfo.web_seeds.iter().take(URLS_MAX).cloned().collect(),
            peers: Vec::new(),
            selected: Vec::new(),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Text as the value of a parameter: all but unreserved characters (RFC 3986) are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(f, "{}", char::from(byte))
            }
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

/// The link in its canonical form.
impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '?';
        let mut begin = |f: &mut fmt::Formatter<'_>, key: &str| {
            write!(f, "{}{key}=", std::mem::replace(&mut separator, '&'))
        };
        write!(f, "magnet:")?;
        if let Some(hash) = self.v1 {
            begin(f, "xt")?;
            write!(f, "urn:btih:{hash}")?;
        }
        if let Some(hash) = self.v2 {
            begin(f, "xt")?;
            write!(f, "urn:btmh:1220{hash}")?;
        }
        let name = self.name.iter().map(|name| ("dn", name));
        let trackers = self.trackers.iter().map(|url| ("tr", url));
        let web_seeds = self.web_seeds.iter().map(|url| ("ws", url));
        for (key, text) in name.chain(trackers).chain(web_seeds) {
            begin(f, key)?;
            Escaped(text).fmt(f)?;
        }
        if let Some(length) = self.length {
            begin(f, "xl")?;
            length.fmt(f)?;
        }
        for peer in &self.peers {
            begin(f, "x.pe")?;
            peer.fmt(f)?;
        }
        for (number, range) in self.selected.iter().enumerate() {
            if number == 0 {
                begin(f, "so")?;
            } else {
                write!(f, ",")?;
            }
            write!(f, "{}", range.start())?;
            if range.start() < range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}
