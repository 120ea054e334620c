//! Metainfo files, v1, v2 and hybrid (BEP 3, 12, 19, 27, 47, 52).
//!
//! [`Metainfo`] is a whole `.torrent` file; [`Info`] is its info dictionary, which also comes alone from
//! peers (BEP 9). [`create`] makes new ones. Info-hashes are taken over the raw bytes. Hashes of pieces stay slices of those bytes.

pub mod create;
mod error;
mod files;
mod info;
pub mod merkle;
mod path;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::TorrentId;
use crate::bencode::{self, Dict, Limits, Value};

pub use error::Error;
pub use files::{File, FileSpan, Files};
pub use info::{Info, PIECES_MAX};

/// The longest `.torrent` file that is read, in bytes; as in libtorrent.
pub const METAINFO_MAX: usize = 10_000_000;
/// Trackers and web seeds that are kept.
const URLS_MAX: usize = 500;
/// The longest address that is kept, in bytes.
const URL_LEN_MAX: usize = 2048;
/// The longest comment that is kept, in bytes.
const TEXT_LEN_MAX: usize = 16 * 1024;

/// A `.torrent` file.
#[derive(Debug, Clone)]
pub struct Metainfo {
    /// What is hashed.
    pub info: Info,
    /// Trackers by tier, the first tier first (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// A comment.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub creation_date: Option<i64>,
    /// DHT nodes to begin with: host and port (BEP 5).
    pub nodes: Vec<(String, u16)>,
}

impl Metainfo {
    /// Reads a `.torrent` file.
    ///
    /// # Errors
    ///
    /// It is too long, not bencode, or against the rules of its version; see [`Error`].
    pub fn parse(bytes: &Bytes) -> Result<Self, Error> {
        if bytes.len() > METAINFO_MAX {
            return Err(Error::TooLong { actual: bytes.len(), limit: METAINFO_MAX });
        }
        let document = bencode::parse(bytes, Limits::METAINFO)?;
        let root = document.root().dict().ok_or(Error::NotADictionary)?;
        let raw = root.get("info").ok_or(Error::Missing("info"))?;
        let info = Info::read(&bytes.slice(raw.span()), raw)?;
        if info.v2().is_some() {
            info.check_layers(root.get("piece layers"))?;
        }
        let mut nodes = Vec::new();
        for node in root.list("nodes").into_iter().flat_map(bencode::List::iter).take(URLS_MAX) {
            nodes.extend(read_node(node));
        }
        Ok(Self {
            info,
            trackers: read_trackers(root),
            web_seeds: read_web_seeds(root),
            comment: read_text(root, "comment"),
            created_by: read_text(root, "created by"),
            creation_date: root.int("creation date"),
            nodes,
        })
    }

    /// The torrent's id.
    #[must_use]
    pub fn torrent_id(&self) -> TorrentId {
        self.info.torrent_id()
    }
}

fn read_text(root: Dict<'_>, key: &str) -> Option<String> {
    let utf8 = format!("{key}.utf-8");
    let bytes = root.bytes(&utf8).or_else(|| root.bytes(key))?;
    let kept = bytes.get(..TEXT_LEN_MAX).unwrap_or(bytes);
    Some(String::from_utf8_lossy(kept).into_owned())
}

fn read_url(value: Value<'_>) -> Option<String> {
    let url = value.text()?.trim();
    (!url.is_empty() && url.len() <= URL_LEN_MAX).then(|| url.to_owned())
}

/// Tiers of `announce-list`, or `announce` alone where there are none.
fn read_trackers(root: Dict<'_>) -> Vec<Vec<String>> {
    let mut kept = 0;
    let mut tiers: Vec<Vec<String>> = Vec::new();
    for tier in root.list("announce-list").into_iter().flat_map(bencode::List::iter) {
        let mut urls: Vec<String> = Vec::new();
        // Some files hold plain strings where lists should be.
        let plain = read_url(tier);
        let list = tier.list().into_iter().flat_map(bencode::List::iter).filter_map(read_url);
        for url in plain.into_iter().chain(list) {
            if kept < URLS_MAX && !tiers.iter().flatten().chain(&urls).any(|known| *known == url) {
                kept += 1;
                urls.push(url);
            }
        }
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    if tiers.is_empty() {
        tiers.extend(root.get("announce").and_then(read_url).map(|url| vec![url]));
    }
    tiers
}

fn read_web_seeds(root: Dict<'_>) -> Vec<String> {
    let mut seeds: Vec<String> = Vec::new();
    if let Some(value) = root.get("url-list") {
        let list = value.list().into_iter().flat_map(bencode::List::iter).filter_map(read_url);
        for url in read_url(value).into_iter().chain(list).take(URLS_MAX) {
            if !seeds.contains(&url) {
                seeds.push(url);
            }
        }
    }
    seeds
}

fn read_node(node: Value<'_>) -> Option<(String, u16)> {
    let mut parts = node.list()?.iter();
    let host = parts.next()?.text()?;
    let port = u16::try_from(parts.next()?.int()?).ok()?;
    (host.len() <= 255 && port != 0).then(|| (host.to_owned(), port))
}
