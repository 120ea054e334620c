//! Answers of HTTP trackers (BEP 3, 7, 23, 24, 31, 48).

use std::net::SocketAddr;

use bittorrent::InfoHash;
use bittorrent::bencode::Encoder;
use bittorrent::tracker::announce::{INTERVAL_MAX, TRACKER_ID_MAX};
use bittorrent::tracker::http::{parse_announce, parse_scrape};
use bittorrent::tracker::{AnnounceResponse, PEERS_MAX, RESPONSE_MAX, SHOWN_MAX};

use crate::Seed;

/// The longest text that is shown, in bytes: a character has four at most.
const SHOWN_LEN_MAX: usize = 4 * SHOWN_MAX;

/// Reads an answer to an announce and to a scrape.
pub fn check(bytes: &[u8]) {
    if let Ok(response) = parse_announce(bytes, RESPONSE_MAX) {
        check_response(&response);
    }
    let hashes = [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])];
    if let Ok(entries) = parse_scrape(bytes, &hashes, RESPONSE_MAX) {
        assert_eq!(entries.len(), hashes.len());
    }
    assert!(parse_announce(bytes, bytes.len().saturating_sub(1)).is_err(), "beyond the limit");
}

/// What every answer to an announce promises.
pub(crate) fn check_response(response: &AnnounceResponse) {
    let of_family = |v4| response.peers.iter().filter(move |peer| peer.is_ipv4() == v4).count();
    assert!(of_family(true) + of_family(false) <= 2 * PEERS_MAX, "{} peers", response.peers.len());
    assert!(response.peers.iter().all(leads_somewhere));
    assert!(!response.interval.is_zero() && response.interval <= INTERVAL_MAX);
    assert!(response.min_interval.is_none_or(|min| min <= INTERVAL_MAX));
    assert!(response.tracker_id.as_ref().is_none_or(|id| id.len() <= TRACKER_ID_MAX));
    if let Some(warning) = &response.warning {
        check_shown(warning);
    }
}

/// What a tracker wrote is short and cannot mislead a terminal.
pub(crate) fn check_shown(text: &str) {
    assert!(text.len() <= SHOWN_LEN_MAX, "{} bytes", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

fn leads_somewhere(address: &SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

/// Compact and old answers, a refusal, a scrape.
pub fn seeds() -> Vec<Seed> {
    let v4 = [192, 0, 2, 1, 0x1a, 0xe1, 192, 0, 2, 2, 0x1a, 0xe1];
    let mut v6 = [0; 18];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15..].copy_from_slice(&[1, 0x1a, 0xe1]);
    let mut compact = Encoder::new();
    compact.dict().bytes("complete").int(5).bytes("external ip").bytes([192, 0, 2, 1]);
    compact.bytes("incomplete").int(7).bytes("interval").int(1_800).bytes("min interval").int(60);
    compact.bytes("peers").bytes(v4).bytes("peers6").bytes(v6);
    compact.bytes("tracker id").bytes("abc").bytes("warning message").bytes("care").end();
    let old = b"d8:intervali1800e5:peersld2:ip9:192.0.2.17:peer id20:aaaaaaaaaaaaaaaaaaaa\
                4:porti6881eed2:ip11:2001:db8::14:porti1eeee";
    let scrape = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei5e10:downloadedi50e\
                   10:incompletei10eeee";
    vec![
        ("compact", compact.finish()),
        ("old", old.to_vec()),
        ("refusal", b"d14:failure reason4:none8:retry in5:nevere".to_vec()),
        ("retry", b"d14:failure reason4:busy8:retry ini5ee".to_vec()),
        ("scrape", scrape.to_vec()),
        ("html", b"<html></html>".to_vec()),
    ]
}
