//! Addresses of trackers (BEP 3, 15), and the request targets that are made of them.

use bittorrent::tracker::http::{SCRAPE_MAX, announce_target, scrape_target};
use bittorrent::tracker::url::URL_LEN_MAX;
use bittorrent::tracker::{AnnounceRequest, Event, Identity, Totals, TrackerUrl};
use bittorrent::{InfoHash, PeerId};

use crate::Seed;

/// Reads an address: nothing in it can end a request line or add a header.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(url) = text.parse::<TrackerUrl>() else { return };
    assert!(text.trim().len() <= URL_LEN_MAX);
    assert!(!url.host().is_empty() && url.port() != 0 && url.path().starts_with('/'));
    let revealed = url.reveal();
    // What is escaped grows, and may then be too long to be read.
    if revealed.len() <= URL_LEN_MAX {
        assert_eq!(revealed.parse::<TrackerUrl>().as_ref(), Ok(&url));
    }
    let targets = [Some(announce_target(&url, &request())), scrape_target(&url, &hashes())];
    for line in targets.into_iter().flatten().chain([url.authority()]) {
        assert!(line.bytes().all(|byte| byte.is_ascii_graphic()), "{line:?}");
    }
    // A query is a secret.
    let shown = format!("{url} {url:?}");
    assert!(!shown.contains(char::is_control));
    assert!(
        url.query().is_none_or(|query| !shown.contains(&format!("?{query}")))
            || url.query() == Some("")
    );
}

fn hashes() -> Vec<InfoHash> {
    vec![InfoHash([0xff; 20]); SCRAPE_MAX + 1]
}

fn request() -> AnnounceRequest {
    let identity = Identity {
        info_hash: InfoHash(*b"\0\r\n &?#%aaaaaaaaaaaa"),
        peer_id: PeerId([b' '; 20]),
        port: 6_881,
        key: 1,
        ip: Some([192, 0, 2, 1].into()),
        ipv6: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
    };
    let tracker_id = Some(b"\r\nHost: x".to_vec());
    let totals = Totals { uploaded: 1, downloaded: 2, left: 3 };
    AnnounceRequest { identity, totals, event: Event::Completed, numwant: 50, tracker_id }
}

/// Addresses of each scheme, with everything that they may hold, and some that are refused.
pub fn seeds() -> Vec<Seed> {
    let with = |name, text: &str| (name, text.as_bytes().to_vec());
    vec![
        with("http", "http://t.example/announce"),
        with(
            "full",
            "https://user:word@t.example:8443/0123456789abcdef0123/announce.php?key=a%20b",
        ),
        with("udp", "udp://t.example:1337/announce?k=v"),
        with("v6", "http://[2001:db8::1]:80/announce"),
        with("spaces", " http://t.example/a b\u{e4}/announce "),
        with("header", "http://t.example/announce\r\nHost: x"),
        with("other", "wss://t.example/announce"),
        with("no_port", "udp://t.example"),
    ]
}
