//! Magnet links (BEP 9, 53): what was read can be written and read again.

use std::ops::RangeInclusive;

use bittorrent::magnet::{FILE_INDEX_END, MAGNET_LEN_MAX, Magnet, PEERS_MAX, RANGES_MAX, URLS_MAX};

use crate::Seed;

/// Reads a link.
pub fn check(bytes: &[u8]) {
    let Ok(link) = std::str::from_utf8(bytes) else { return };
    let Ok(magnet) = Magnet::parse(link) else { return };
    assert!(link.len() <= MAGNET_LEN_MAX);
    assert!(magnet.v1.is_some() || magnet.v2.is_some());
    assert!(magnet.trackers.len() <= URLS_MAX && magnet.web_seeds.len() <= URLS_MAX);
    assert!(magnet.peers.len() <= PEERS_MAX && magnet.selected.len() <= RANGES_MAX);
    let apart = |pair: &[RangeInclusive<u32>]| *pair[0].end() < *pair[1].start();
    assert!(magnet.selected.windows(2).all(apart), "{:?}", magnet.selected);
    for range in &magnet.selected {
        assert!(range.start() <= range.end() && *range.end() < FILE_INDEX_END);
        assert!(magnet.selects(*range.start()) && magnet.selects(*range.end()));
    }
    let again = magnet.to_string();
    // What is escaped grows, and may then be too long to be read.
    if again.len() <= MAGNET_LEN_MAX {
        assert_eq!(Magnet::parse(&again).as_ref(), Ok(&magnet), "{again}");
    }
}

/// Links of all versions, with every parameter.
pub fn seeds() -> Vec<Seed> {
    let v1 = "xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
    let base32 = "xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";
    let v2 = format!("xt=urn:btmh:1220{}", "ab".repeat(32));
    let full = "dn=a+name%21&tr=http%3A%2F%2Ft.example%2Fannounce&tr.1=udp://t.example:80\
                &ws=http://w.example/&xl=12345&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:1\
                &x.pe=p.example:9&so=0,2-4,7&unknown=1";
    vec![
        ("v1", format!("magnet:?{v1}").into()),
        ("base32", format!("magnet:?{base32}&dn=n").into()),
        ("v2", format!("magnet:?{v2}").into()),
        ("full", format!("magnet:?{v1}&{v2}&{full}").into()),
        ("no_hash", b"magnet:?dn=n".to_vec()),
    ]
}
