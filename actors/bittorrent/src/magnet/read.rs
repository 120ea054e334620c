//! Reading magnet links (BEP 9, 53).

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::{
    Error, FILE_INDEX_END, MAGNET_LEN_MAX, Magnet, PEERS_MAX, PeerAddress, RANGES_MAX, URLS_MAX,
};
use crate::{InfoHash, InfoHashV2};

const SCHEME: &str = "magnet:?";
/// The longest name that is kept, in bytes; that of a file.
const NAME_LEN_MAX: usize = 1024;
/// The longest address that is read, in bytes.
const URL_LEN_MAX: usize = 2048;
/// The longest host name, in bytes (RFC 1035).
const HOST_LEN_MAX: usize = 253;
/// Bytes of all files at most; as in metainfo.
const TOTAL_MAX: u64 = 1 << 53;
/// What a SHA-256 begins with as a multihash: its kind and length.
const SHA256_PREFIX: &str = "1220";

/// The value of a parameter and where it stands.
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    key: &'static str,
    value: &'a str,
    at: usize,
}

impl Field<'_> {
    const fn error(&self, what: &'static str) -> Error {
        Error::Parameter { key: self.key, at: self.at, what }
    }

    /// The value with its `%` escapes resolved.
    fn decode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(self.value.len());
        let mut bytes = self.value.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            if byte != b'%' {
                out.push(byte);
                continue;
            }
            let digit = |digit: Option<(usize, u8)>| {
                let (_, digit) = digit?;
                char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
            };
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                let at = self.at + at;
                let what = "`%` must be followed by two hexadecimal digits";
                return Err(Error::Parameter { key: self.key, at, what });
            };
            out.push(high << 4 | low);
        }
        Ok(out)
    }

    fn text(&self) -> Result<String, Error> {
        String::from_utf8(self.decode()?).map_err(|_| self.error("not UTF-8"))
    }
}

pub(super) fn read(link: &str) -> Result<Magnet, Error> {
    if link.len() > MAGNET_LEN_MAX {
        return Err(Error::TooLong(link.len()));
    }
    let (scheme, query) = link.split_at_checked(SCHEME.len()).ok_or(Error::NotMagnet)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Error::NotMagnet);
    }
    let mut magnet = Magnet::default();
    let mut at = SCHEME.len();
    for parameter in query.split('&') {
        if let Some((key, value)) = parameter.split_once('=') {
            take(&mut magnet, key, value, at + key.len() + 1)?;
        }
        at += parameter.len() + 1;
    }
    if magnet.v1.is_none() && magnet.v2.is_none() {
        return Err(Error::NoInfoHash);
    }
    magnet.selected = merge(magnet.selected);
    Ok(magnet)
}

/// `tr` of `tr.1`.
fn without_number(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => key,
    }
}

fn take(magnet: &mut Magnet, key: &str, value: &str, at: usize) -> Result<(), Error> {
    let field = |key| Field { key, value, at };
    match without_number(key) {
        "xt" => take_topic(magnet, field("xt")),
        "dn" => {
            magnet.name = read_name(field("dn"))?.or_else(|| magnet.name.take());
            Ok(())
        }
        "xl" => {
            magnet.length = Some(read_length(field("xl"))?);
            Ok(())
        }
        "tr" => take_url(&mut magnet.trackers, field("tr")),
        "ws" => take_url(&mut magnet.web_seeds, field("ws")),
        "x.pe" => take_peer(&mut magnet.peers, field("x.pe")),
        "so" => take_ranges(&mut magnet.selected, field("so")),
        _ => Ok(()),
    }
}

/// Takes an info-hash; topics of other networks are passed over.
fn take_topic(magnet: &mut Magnet, field: Field<'_>) -> Result<(), Error> {
    let text = field.text()?;
    let rest = |prefix: &str| {
        let (start, rest) = text.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then_some(rest)
    };
    if let Some(text) = rest("urn:btih:") {
        let hash = read_v1(text);
        let hash = hash.ok_or_else(|| field.error("must be 40 hexadecimal or 32 base32 digits"))?;
        if magnet.v1.replace(hash).is_some_and(|before| before != hash) {
            return Err(field.error("another v1 info-hash stands before it"));
        }
    } else if let Some(text) = rest("urn:btmh:") {
        let hash = text.strip_prefix(SHA256_PREFIX).and_then(|hex| hex.parse().ok());
        let wrong = || field.error("must be 1220 and 64 hexadecimal digits");
        let hash: InfoHashV2 = hash.ok_or_else(wrong)?;
        if magnet.v2.replace(hash).is_some_and(|before| before != hash) {
            return Err(field.error("another v2 info-hash stands before it"));
        }
    }
    Ok(())
}

fn read_v1(text: &str) -> Option<InfoHash> {
    if text.len() == 32 { read_base32(text).map(InfoHash) } else { text.parse().ok() }
}

/// 32 digits of base32 (RFC 4648), in upper or lower case, as 20 bytes.
fn read_base32(text: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    let (mut digits, mut bits, mut held) = (text.bytes(), 0_u32, 0_u32);
    for byte in &mut bytes {
        while held < 8 {
            let digit = match digits.next()?.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                digit @ b'2'..=b'7' => digit - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u32::from(digit);
            held += 5;
        }
        held -= 8;
        let [.., low] = (bits >> held).to_be_bytes();
        *byte = low;
    }
    Some(bytes)
}

fn read_name(field: Field<'_>) -> Result<Option<String>, Error> {
    // Only here is `+` a space: no address holds one, and some hold a `+`.
    let value = field.value.replace('+', " ");
    let bytes = Field { value: &value, ..field }.decode()?;
    let mut name = String::from_utf8_lossy(&bytes).trim().to_owned();
    name.truncate(name.floor_char_boundary(NAME_LEN_MAX));
    Ok((!name.is_empty()).then_some(name))
}

fn read_length(field: Field<'_>) -> Result<u64, Error> {
    let digits = field.value.bytes().all(|byte| byte.is_ascii_digit());
    let length = field.value.parse().ok().filter(|&length| digits && length <= TOTAL_MAX);
    length.ok_or_else(|| field.error("must be a length in bytes, 2^53 at most"))
}

fn take_url(urls: &mut Vec<String>, field: Field<'_>) -> Result<(), Error> {
    let text = field.text()?;
    let url = text.trim();
    if url.is_empty() || urls.iter().any(|known| known == url) {
        return Ok(());
    }
    if url.len() > URL_LEN_MAX {
        return Err(field.error("an address of more than 2048 bytes"));
    }
    if urls.len() >= URLS_MAX {
        return Err(field.error("more than 200 of these"));
    }
    urls.push(url.to_owned());
    Ok(())
}

fn take_peer(peers: &mut Vec<PeerAddress>, field: Field<'_>) -> Result<(), Error> {
    let text = field.text()?;
    let peer = read_peer(&text);
    let peer = peer.ok_or_else(|| field.error("must be a host or address, `:`, and a port"))?;
    if peers.contains(&peer) {
        return Ok(());
    }
    if peers.len() >= PEERS_MAX {
        return Err(field.error("more than 200 of these"));
    }
    peers.push(peer);
    Ok(())
}

fn read_peer(text: &str) -> Option<PeerAddress> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        // A scope is a matter of the link's author's machine.
        let address = SocketAddr::new(address.ip(), address.port());
        return (address.port() != 0).then_some(PeerAddress::Ip(address));
    }
    let (host, port) = text.rsplit_once(':')?;
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_name = (1..=HOST_LEN_MAX).contains(&host.len()) && host.bytes().all(in_name);
    if !is_name || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|&port| port != 0)?;
    Some(PeerAddress::Name(host.to_owned(), port))
}

fn take_ranges(ranges: &mut Vec<RangeInclusive<u32>>, field: Field<'_>) -> Result<(), Error> {
    let text = field.text()?;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (read_index(first), read_index(last)) else {
            return Err(field.error("must be file indices below 2^24, `,` and `-`"));
        };
        if first > last {
            return Err(field.error("a range that ends before it begins"));
        }
        if ranges.len() >= RANGES_MAX {
            return Err(field.error("more than 10000 ranges"));
        }
        ranges.push(first..=last);
    }
    Ok(())
}

fn read_index(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&index| digits && index < FILE_INDEX_END)
}

/// In order, with those that overlap or touch made one.
fn merge(mut ranges: Vec<RangeInclusive<u32>>) -> Vec<RangeInclusive<u32>> {
    ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
    let mut merged: Vec<RangeInclusive<u32>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}
