//! Metainfo out of an info dictionary that came from peers.

use bittorrent::bencode::Encoder;
use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Info;
use bytes::Bytes;
use control::FilePriority;

/// A metainfo file around an info dictionary: its bytes stay as they are, so the info-hash does too.
pub(crate) fn wrap(info: &Info, trackers: &[String], web_seeds: &[String]) -> Bytes {
    let mut out = Encoder::new();
    out.dict();
    if let Some(first) = trackers.first() {
        out.bytes("announce").bytes(first).bytes("announce-list").list();
        for tracker in trackers {
            out.list().bytes(tracker).end();
        }
        out.end();
    }
    out.bytes("info").raw(info.raw());
    if !web_seeds.is_empty() {
        out.bytes("url-list").list();
        web_seeds.iter().for_each(|url| _ = out.bytes(url));
        out.end();
    }
    out.end();
    out.finish().into()
}

/// The priorities that a magnet link's selection means (BEP 53); empty where it selects all.
pub(crate) fn selection(magnet: &Magnet, info: &Info) -> Vec<FilePriority> {
    if magnet.selected.is_empty() {
        return Vec::new();
    }
    let files = 0..u32::try_from(info.files().len()).unwrap_or(u32::MAX);
    let priority =
        |file| if magnet.selects(file) { FilePriority::NORMAL } else { FilePriority::SKIP };
    files.map(priority).collect()
}
