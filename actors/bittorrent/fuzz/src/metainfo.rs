//! Metainfo files (BEP 3, 5, 12, 19, 52).

use bittorrent::bencode::Encoder;
use bittorrent::metainfo::Metainfo;
use bytes::Bytes;

use crate::{Seed, info};

/// Trackers, and web seeds, that are kept.
const URLS_MAX: usize = 500;
/// The longest address that is kept, in bytes.
const URL_LEN_MAX: usize = 2048;
/// The longest comment in bytes: 16 KiB that are read, each at worst a replacement character of three.
const TEXT_LEN_MAX: usize = 3 * 16 * 1024;

/// Reads a `.torrent` file: the limits hold for everything that is kept.
pub fn check(bytes: &[u8]) {
    let Ok(metainfo) = Metainfo::parse(&Bytes::copy_from_slice(bytes)) else { return };
    info::check_info(&metainfo.info);
    assert_eq!(metainfo.torrent_id(), metainfo.info.torrent_id());
    assert!(metainfo.trackers.iter().all(|tier| !tier.is_empty()), "an empty tier");
    check_urls(metainfo.trackers.iter().flatten());
    check_urls(metainfo.web_seeds.iter());
    for text in [&metainfo.comment, &metainfo.created_by].into_iter().flatten() {
        assert!(text.len() <= TEXT_LEN_MAX);
    }
    assert!(metainfo.nodes.len() <= URLS_MAX);
    assert!(metainfo.nodes.iter().all(|(host, port)| host.len() <= 255 && *port != 0));
}

fn check_urls<'a>(urls: impl Iterator<Item = &'a String>) {
    let mut urls: Vec<_> = urls.collect();
    assert!(urls.iter().all(|url| !url.is_empty() && url.len() <= URL_LEN_MAX));
    let count = urls.len();
    assert!(count <= URLS_MAX, "{count} addresses");
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), count, "an address twice");
}

/// Files of all versions, with everything that can stand beside the info dictionary.
pub fn seeds() -> Vec<Seed> {
    let mut seeds =
        vec![("v2", with_layers(&info::v2())), ("hybrid", with_layers(&info::hybrid()))];
    seeds.extend(info::seeds().into_iter().take(2).map(|(name, info)| (name, full(&info))));
    seeds
}

fn full(info: &[u8]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.dict().bytes("announce").bytes("http://t.example/announce");
    out.bytes("announce-list").list();
    out.list().bytes("http://t.example/announce").bytes("udp://t.example:80").end();
    out.list().bytes("https://u.example/announce").end().end();
    out.bytes("comment").bytes("a comment").bytes("created by").bytes("x");
    out.bytes("creation date").int(1_700_000_000).bytes("info").raw(info);
    out.bytes("nodes").list().list().bytes("n.example").int(6_881).end().end();
    out.bytes("url-list").list().bytes("http://w.example/").end().end();
    out.finish()
}

fn with_layers(info: &[u8]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.dict().bytes("info").raw(info);
    info::write_layers(&mut out);
    out.end();
    out.finish()
}
