//! The datagrams of UDP trackers (BEP 15), and the address that goes with an announce (BEP 41).
//!
//! All numbers are big-endian. A datagram may be longer than it must be: what follows is ignored.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::announce::{
    AnnounceRequest, AnnounceResponse, Event, Peers, ScrapeEntry, count, intervals,
};
use super::super::shown::shown_text;
use crate::InfoHash;

/// Torrents of one scrape (BEP 15).
pub const SCRAPE_MAX: usize = 74;

/// By which a tracker of this protocol knows a connect request.
const PROTOCOL_ID: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;
/// Option "URL data" of BEP 41.
const OPTION_URL_DATA: u8 = 2;
/// Option "end of options" of BEP 41.
const OPTION_END: u8 = 0;

/// Which addresses a tracker sends: those of the family by which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Six bytes a peer.
    V4,
    /// 18 bytes a peer.
    V6,
}

impl Family {
    /// The family of a tracker's address, as the socket sees it: a mapped one is IPv4.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// A datagram of a tracker, without its transaction id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A connection id.
    Connect(u64),
    /// The answer to an announce.
    Announce(AnnounceResponse),
    /// The answer to a scrape, in the order of the request.
    Scrape(Vec<ScrapeEntry>),
    /// The tracker says no; its reason, to be shown.
    Error(String),
}

/// Asks for a connection id.
#[must_use]
pub fn connect(transaction: u32) -> Bytes {
    header(PROTOCOL_ID, CONNECT, transaction).freeze()
}

/// An announce; `url_data` is [`TrackerUrl::url_data`](crate::tracker::TrackerUrl::url_data).
#[must_use]
pub fn announce(
    connection: u64,
    transaction: u32,
    request: &AnnounceRequest,
    url_data: &str,
) -> Bytes {
    let mut out = header(connection, ANNOUNCE, transaction);
    let identity = &request.identity;
    out.put_slice(&identity.info_hash.0);
    out.put_slice(&identity.peer_id.0);
    // Signed on the wire.
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    out.put_i64(signed(request.totals.downloaded));
    out.put_i64(signed(request.totals.left));
    out.put_i64(signed(request.totals.uploaded));
    out.put_u32(match request.event {
        Event::None => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    });
    // The field has room for IPv4 only, also when the tracker is asked by IPv6.
    match identity.ip {
        Some(IpAddr::V4(ip)) => out.put_slice(&ip.octets()),
        Some(IpAddr::V6(_)) | None => out.put_u32(0),
    }
    out.put_u32(identity.key);
    out.put_i32(i32::from(request.numwant));
    out.put_u16(identity.port);
    put_url_data(&mut out, url_data);
    out.freeze()
}

/// Appends the options of BEP 41; a long address takes several.
fn put_url_data(out: &mut BytesMut, url_data: &str) {
    if url_data.is_empty() {
        return;
    }
    for part in url_data.as_bytes().chunks(usize::from(u8::MAX)) {
        out.put_u8(OPTION_URL_DATA);
        out.put_u8(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.put_slice(part);
    }
    out.put_u8(OPTION_END);
}

/// A scrape of at most [`SCRAPE_MAX`] torrents; more are left out.
#[must_use]
pub fn scrape(connection: u64, transaction: u32, info_hashes: &[InfoHash]) -> Bytes {
    let mut out = header(connection, SCRAPE, transaction);
    for info_hash in info_hashes.iter().take(SCRAPE_MAX) {
        out.put_slice(&info_hash.0);
    }
    out.freeze()
}

fn header(connection: u64, action: u32, transaction: u32) -> BytesMut {
    let mut out = BytesMut::with_capacity(128);
    out.put_u64(connection);
    out.put_u32(action);
    out.put_u32(transaction);
    out
}

/// Reads a datagram of a tracker: its transaction id, and what it says.
///
/// `None` if it is too short for what it says it is, or no answer.
#[must_use]
pub fn decode(datagram: &[u8], family: Family) -> Option<(u32, Reply)> {
    let (action, rest) = take_u32(datagram)?;
    let (transaction, body) = take_u32(rest)?;
    let reply = match action {
        CONNECT => Reply::Connect(u64::from_be_bytes(*body.first_chunk()?)),
        ANNOUNCE => Reply::Announce(decode_announce(body, family)?),
        SCRAPE => Reply::Scrape(decode_scrape(body)),
        ERROR => Reply::Error(shown_text(body)),
        _ => return None,
    };
    Some((transaction, reply))
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// A number that is signed on the wire.
fn take_i32(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((i64::from(i32::from_be_bytes(*number)), rest))
}

fn decode_announce(body: &[u8], family: Family) -> Option<AnnounceResponse> {
    let (interval, rest) = take_i32(body)?;
    let (leeches, rest) = take_i32(rest)?;
    let (seeds, addresses) = take_i32(rest)?;
    let (interval, min_interval) = intervals(Some(interval), None);
    let mut peers = Peers::default();
    peers.add_compact(addresses, if family == Family::V4 { 6 } else { 18 });
    Some(AnnounceResponse {
        interval,
        min_interval,
        seeds: count(seeds),
        leeches: count(leeches),
        peers: peers.finish(),
        external_ip: None,
        tracker_id: None,
        warning: None,
    })
}

fn decode_scrape(body: &[u8]) -> Vec<ScrapeEntry> {
    let entry = |bytes: &[u8]| {
        let (seeds, rest) = take_i32(bytes)?;
        let (downloads, rest) = take_i32(rest)?;
        let (leeches, _) = take_i32(rest)?;
        let number = |value| count(value).unwrap_or_default();
        Some(ScrapeEntry {
            seeds: number(seeds),
            leeches: number(leeches),
            downloads: number(downloads),
        })
    };
    body.chunks_exact(12).take(SCRAPE_MAX).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::super::announce::{INTERVAL_DEFAULT, Identity, Totals};
    use super::super::super::{PEERS_MAX, SHOWN_MAX};
    use super::*;
    use crate::PeerId;

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            identity: Identity {
                info_hash: InfoHash([0x11; 20]),
                peer_id: PeerId(*b"-TE0100-abcdefghijkl"),
                port: 6881,
                key: 0xdead_beef,
                ip: Some("192.0.2.1".parse().unwrap()),
                ipv6: None,
            },
            totals: Totals { uploaded: 3, downloaded: 1, left: u64::MAX },
            event: Event::Completed,
            numwant: 200,
            tracker_id: Some(b"not sent".to_vec()),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn requests_are_as_bep_15_draws_them() {
        assert_eq!(hex(&connect(0x0102_0304)), "00000417271019800000000001020304");
        let announce = announce(0x1122_3344_5566_7788, 9, &request(), "");
        let golden = [
            "1122334455667788", // connection id
            "00000001",         // announce
            "00000009",         // transaction id
            "1111111111111111111111111111111111111111",
            "2d5445303130302d6162636465666768696a6b6c",
            "0000000000000001", // downloaded
            "7fffffffffffffff", // left, cut to what is signed
            "0000000000000003", // uploaded
            "00000001",         // completed
            "c0000201",         // IP address
            "deadbeef",         // key
            "000000c8",         // wanted
            "1ae1",             // port
        ];
        assert_eq!(hex(&announce), golden.concat());
        assert_eq!(announce.len(), 98);
        let scrape = scrape(1, 2, &[InfoHash([3; 20]); 80]);
        assert_eq!(hex(&scrape[..16]), "00000000000000010000000200000002");
        assert_eq!(scrape.len(), 16 + 20 * SCRAPE_MAX);
    }

    #[test]
    fn the_address_follows_as_bep_41_draws_it() {
        let options = |url_data: &str| announce(1, 2, &request(), url_data).slice(98..);
        assert_eq!(&options("/dir?a=b&c=d")[..], b"\x02\x0c/dir?a=b&c=d\x00");
        let long = options(&"x".repeat(300));
        assert_eq!((long[0], long[1], long[257], long[258]), (2, 255, 2, 45));
        assert_eq!((long.len(), long[304]), (305, 0));
    }

    #[test]
    fn reads_what_a_tracker_answers() {
        let connect = [&[0; 4][..], &[0, 0, 0, 7], &[1, 2, 3, 4, 5, 6, 7, 8]].concat();
        let reply = Reply::Connect(0x0102_0304_0506_0708);
        assert_eq!(decode(&connect, Family::V4), Some((7, reply)));
        let mut announce = vec![0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 3];
        announce.extend([1, 2, 3, 4, 0, 5, 9, 9, 9, 9, 0, 0, 1]);
        let Some((7, Reply::Announce(response))) = decode(&announce, Family::V4) else { panic!() };
        assert_eq!(response.interval, Duration::from_secs(1800));
        assert_eq!((response.seeds, response.leeches), (Some(3), Some(2)));
        assert_eq!(response.peers, ["1.2.3.4:5".parse().unwrap()]);
        announce.truncate(20);
        announce.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 6]);
        let Some((7, Reply::Announce(response))) = decode(&announce, Family::V6) else { panic!() };
        assert_eq!(response.peers, ["[2001:db8::1]:6".parse().unwrap()]);
        let scrape = [0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1];
        let entry = ScrapeEntry { seeds: 1, downloads: 2, leeches: 3 };
        assert_eq!(decode(&scrape, Family::V4), Some((7, Reply::Scrape(vec![entry]))));
        let error = b"\0\0\0\x03\0\0\0\x07no\n";
        assert_eq!(decode(error, Family::V4), Some((7, Reply::Error("no\\u{a}".to_owned()))));
    }

    #[test]
    fn hostile_datagrams_are_refused_or_bounded() {
        for short in [&b""[..], b"\0\0\0\x01\0\0\0", &[0; 15], b"\0\0\0\x01\0\0\0\x07\0\0\0\x01"] {
            assert_eq!(decode(short, Family::V4), None);
        }
        assert_eq!(decode(&[9; 64], Family::V4), None, "an unknown action");
        let mut negative = vec![0, 0, 0, 1, 0, 0, 0, 7];
        negative.extend([0xff; 12]);
        let Some((_, Reply::Announce(response))) = decode(&negative, Family::V4) else { panic!() };
        assert_eq!((response.interval, response.seeds), (INTERVAL_DEFAULT, None));
        let many =
            (0..10_000_u16).flat_map(|n| [1, 1, n.to_be_bytes()[0], n.to_be_bytes()[1], 0, 1]);
        negative.extend(many);
        let Some((_, Reply::Announce(response))) = decode(&negative, Family::V4) else { panic!() };
        assert_eq!(response.peers.len(), PEERS_MAX);
        let mut error = vec![0, 0, 0, 3, 0, 0, 0, 7];
        error.extend([0xff; 60_000]);
        let Some((_, Reply::Error(reason))) = decode(&error, Family::V4) else { panic!() };
        assert!(reason.chars().count() <= SHOWN_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(action in 0..5_u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, Family::V4);
            let _ = decode(&[&[0, 0, 0, action][..], &bytes].concat(), Family::V6);
        }
    }
}
