//! HTTP trackers: request targets, and their bencoded answers (BEP 3, 7, 23, 24, 31, 48).
//!
//! The owner sends `GET target` to [`TrackerUrl::authority`], and hands the decompressed body to the
//! parser whatever the status: some trackers refuse with a body beside 4xx.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::announce::{
    AnnounceRequest, AnnounceResponse, Error, Event, Peers, Retry, ScrapeEntry, TRACKER_ID_MAX,
    count, intervals, positive_seconds,
};
use super::shown::shown_text;
use super::url::{TrackerUrl, escape};
use crate::InfoHash;
use crate::bencode::{self, Dict, Limits, List, Value};

/// Torrents of one scrape; more would make the request line too long for some servers.
pub const SCRAPE_MAX: usize = 50;

/// The request target of an announce: the tracker's path, its own query, and ours behind it.
///
/// It holds the tracker's secrets and must not be logged.
#[must_use]
pub fn announce_target(url: &TrackerUrl, request: &AnnounceRequest) -> String {
    let mut target = with_query(url, url.path());
    let identity = &request.identity;
    target.push_str("info_hash=");
    escape(&identity.info_hash.0, &mut target);
    target.push_str("&peer_id=");
    escape(&identity.peer_id.0, &mut target);
    let mut add = |key: &str, value: String| {
        target.push('&');
        target.push_str(key);
        target.push('=');
        escape(value.as_bytes(), &mut target);
    };
    add("port", identity.port.to_string());
    add("uploaded", request.totals.uploaded.to_string());
    add("downloaded", request.totals.downloaded.to_string());
    add("left", request.totals.left.to_string());
    add("compact", "1".to_owned());
    // For trackers that know no compact form: their lists are shorter without ids.
    add("no_peer_id", "1".to_owned());
    add("key", format!("{:08X}", identity.key));
    add("numwant", request.numwant.to_string());
    if let Some(event) = event_name(request.event) {
        add("event", event.to_owned());
    }
    if let Some(ip) = identity.ip {
        add("ip", ip.to_string());
    }
    if let Some(ipv6) = identity.ipv6 {
        add("ipv6", ipv6.to_string());
    }
    if let Some(id) = &request.tracker_id {
        target.push_str("&trackerid=");
        escape(id, &mut target);
    }
    target
}

const fn event_name(event: Event) -> Option<&'static str> {
    match event {
        Event::None => None,
        Event::Started => Some("started"),
        Event::Completed => Some("completed"),
        Event::Stopped => Some("stopped"),
    }
}

/// `path` with the query of `url`, ready for more parameters.
fn with_query(url: &TrackerUrl, path: &str) -> String {
    match url.query().filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{query}&"),
        None => format!("{path}?"),
    }
}

/// The request target of a scrape of at most [`SCRAPE_MAX`] torrents; more are left out.
///
/// `None` if the tracker cannot be scraped: the last part of its path must begin with `announce`
/// (BEP 48), which becomes `scrape`.
#[must_use]
pub fn scrape_target(url: &TrackerUrl, info_hashes: &[InfoHash]) -> Option<String> {
    let (parents, last) = url.path().rsplit_once('/')?;
    let suffix = last.strip_prefix("announce")?;
    let mut target = with_query(url, &format!("{parents}/scrape{suffix}"));
    for (index, info_hash) in info_hashes.iter().take(SCRAPE_MAX).enumerate() {
        target.push_str(if index == 0 { "info_hash=" } else { "&info_hash=" });
        escape(&info_hash.0, &mut target);
    }
    Some(target)
}

/// Reads the answer to an announce, of at most `limit` bytes.
///
/// # Errors
///
/// It is too long, not bencode, says no, or has neither peers nor an interval.
pub fn parse_announce(body: &[u8], limit: usize) -> Result<AnnounceResponse, Error> {
    let document = read(body, limit)?;
    let root = check_refusal(document.root())?;
    if ["peers", "peers6", "interval"].iter().all(|key| root.get(key).is_none()) {
        // A page of some other service, or a tracker that forgot what it was asked.
        return Err(Error::Missing("peers"));
    }
    let (interval, min_interval) = intervals(root.int("interval"), root.int("min interval"));
    Ok(AnnounceResponse {
        interval,
        min_interval,
        seeds: root.int("complete").and_then(count),
        leeches: root.int("incomplete").and_then(count),
        peers: read_peers(root),
        external_ip: root.bytes("external ip").and_then(read_ip),
        tracker_id: root.bytes("tracker id").and_then(read_tracker_id),
        warning: root.bytes("warning message").map(shown_text),
    })
}

/// Reads the answer to a scrape: an entry for each of `info_hashes` that the tracker knows, in order.
///
/// # Errors
///
/// It is too long, not bencode, says no, or has no `files`.
pub fn parse_scrape(
    body: &[u8],
    info_hashes: &[InfoHash],
    limit: usize,
) -> Result<Vec<Option<ScrapeEntry>>, Error> {
    let document = read(body, limit)?;
    let root = check_refusal(document.root())?;
    let files = root.dict("files").ok_or(Error::Missing("files"))?;
    let mut entries = vec![None; info_hashes.len()];
    for (hash, entry) in files.iter() {
        let asked = info_hashes.iter().zip(&mut entries).find(|(asked, _)| asked.0 == *hash);
        if let (Some((_, found)), Some(entry)) = (asked, entry.dict()) {
            let number = |key| entry.int(key).and_then(count).unwrap_or_default();
            *found = Some(ScrapeEntry {
                seeds: number("complete"),
                leeches: number("incomplete"),
                downloads: number("downloaded"),
            });
        }
    }
    Ok(entries)
}

fn read(body: &[u8], limit: usize) -> Result<bencode::Document<'_>, Error> {
    if body.len() > limit {
        return Err(Error::TooLong { actual: body.len(), limit });
    }
    Ok(bencode::parse_lenient(body, Limits::MESSAGE)?)
}

/// The dictionary of an answer, unless it is a refusal.
fn check_refusal(root: Value<'_>) -> Result<Dict<'_>, Error> {
    let root = root.dict().ok_or(Error::NotADictionary)?;
    let Some(reason) = root.get("failure reason") else { return Ok(root) };
    let reason = shown_text(reason.bytes().unwrap_or(b"without a reason"));
    Err(Error::Refused { reason, retry: read_retry(root) })
}

/// `retry in` (BEP 31): minutes as an integer or as text, or `never`.
fn read_retry(root: Dict<'_>) -> Retry {
    let Some(value) = root.get("retry in") else { return Retry::BackOff };
    if value.bytes() == Some(b"never") {
        return Retry::Never;
    }
    let minutes = value.int().or_else(|| value.text()?.parse().ok());
    let time = minutes.and_then(|minutes: i64| positive_seconds(minutes.saturating_mul(60)));
    time.map_or(Retry::BackOff, Retry::After)
}

fn read_tracker_id(id: &[u8]) -> Option<Vec<u8>> {
    (id.len() <= TRACKER_ID_MAX).then(|| id.to_vec())
}

fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    let v6 = <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
    let ip = v4.or(v6).ok()?.to_canonical();
    (!ip.is_unspecified() && !ip.is_multicast()).then_some(ip)
}

/// Compact `peers` (BEP 23) and `peers6` (BEP 7), or `peers` as a list of dictionaries (BEP 3).
fn read_peers(root: Dict<'_>) -> Vec<SocketAddr> {
    let mut peers = Peers::default();
    if let Some(value) = root.get("peers") {
        peers.add_compact(value.bytes().unwrap_or_default(), 6);
        let list = value.list().into_iter().flat_map(List::iter);
        list.filter_map(read_peer).for_each(|address| peers.add(address));
    }
    peers.add_compact(root.bytes("peers6").unwrap_or_default(), 18);
    peers.finish()
}

/// A peer in a dictionary. Host names are left out: a lookup for each would be an amplifier.
fn read_peer(value: Value<'_>) -> Option<SocketAddr> {
    let peer = value.dict()?;
    let ip = peer.text("ip")?.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(peer.int("port")?).ok()?))
}

#[cfg(test)]
mod tests;
