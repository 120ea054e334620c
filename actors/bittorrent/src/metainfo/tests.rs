//! Metainfo files, good and bad.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::bencode::Encoder;
use crate::{InfoHash, PieceIndex};

/// A v1 info dictionary of these files, pieces of 4 bytes with made-up hashes.
fn info_of(files: &[(&str, u64)]) -> Vec<u8> {
    let total: u64 = files.iter().map(|(_, length)| length).sum();
    let mut encoder = Encoder::new();
    encoder.dict().bytes("files").list();
    for (path, length) in files {
        encoder.dict().bytes("length").int(*length).bytes("path").list();
        path.split('/').for_each(|part| {
            encoder.bytes(part);
        });
        encoder.end().end();
    }
    encoder.end().bytes("name").bytes("n").bytes("piece length").int(4).bytes("pieces");
    encoder.bytes(vec![7; 20 * usize::try_from(total.div_ceil(4)).unwrap()]).end();
    encoder.finish()
}

fn torrent(info: &[u8]) -> Bytes {
    let mut encoder = Encoder::new();
    encoder.dict().bytes("announce").bytes("http://t/announce").bytes("info").raw(info).end();
    encoder.finish().into()
}

fn refuse(info: &[u8]) -> String {
    Metainfo::parse(&torrent(info)).unwrap_err().to_string()
}

#[test]
fn reads_a_torrent_of_many_files() {
    let info = info_of(&[("a/b", 5), ("c", 0), ("d", 6)]);
    let metainfo = Metainfo::parse(&torrent(&info)).unwrap();
    let info = &metainfo.info;
    assert_eq!((info.name(), info.piece_count(), info.total_length()), ("n", 3, 11));
    assert_eq!(info.piece_len(PieceIndex(2)), 3);
    assert_eq!(info.piece_len(PieceIndex(3)), 0);
    assert_eq!(info.piece_hash_v1(PieceIndex(2)), Some([7; 20]));
    assert_eq!(info.piece_hash_v1(PieceIndex(3)), None);
    assert_eq!(info.files().get(0).unwrap().path(), ["n", "a", "b"]);
    let spans: Vec<_> = info.files().spans(PieceIndex(1), 0, 4).collect();
    let first = FileSpan { file: 0, offset: 4, length: 1 };
    assert_eq!(spans, [first, FileSpan { file: 2, offset: 0, length: 3 }]);
    assert_eq!(info.files().piece_range(0), 0..2);
    assert_eq!(info.files().piece_range(1), 0..0);
    assert_eq!(info.files().piece_range(2), 1..3);
    assert_eq!(metainfo.trackers, [["http://t/announce"]]);
    assert_eq!(Info::parse(info.raw()).unwrap(), *info);
}

#[test]
fn the_info_hash_is_over_the_raw_bytes() {
    let info = b"d6:lengthi3e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let metainfo = Metainfo::parse(&torrent(info)).unwrap();
    // `printf … | sha1sum`
    let expected: InfoHash = "e92d0b2f283d87b37085cc5046bf8110f65bb180".parse().unwrap();
    assert_eq!(metainfo.info.v1(), Some(expected));
    assert_eq!(metainfo.info.v2(), None);
}

#[test]
fn utf8_keys_win() {
    let info = "d6:lengthi3e4:name1:x10:name.utf-83:\u{20ac}12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    assert_eq!(Metainfo::parse(&torrent(info.as_bytes())).unwrap().info.name(), "\u{20ac}");
}

#[test]
fn refuses_bad_lengths_and_names_what_is_wrong() {
    let with = |length: &str, piece: &str, hashes: usize| {
        let pieces = "a".repeat(hashes);
        format!("d6:lengthi{length}e4:name1:x12:piece lengthi{piece}e6:pieces{hashes}:{pieces}e")
    };
    assert!(refuse(with("3", "0", 20).as_bytes()).contains("`piece length` must be"));
    assert!(refuse(with("3", "-1", 20).as_bytes()).contains("`piece length` must be"));
    assert!(refuse(with("-3", "4", 20).as_bytes()).contains("`length` must be"));
    assert!(refuse(with("5", "4", 20).as_bytes()).contains("1 hashes for 2 pieces"));
    assert!(refuse(with("3", "4", 21).as_bytes()).contains("hashes"));
    assert!(refuse(with("9223372036854775807", "4", 20).as_bytes()).contains("`length` must be"));
    assert!(refuse(with("9007199254740992", "4", 20).as_bytes()).contains("pieces"));
    assert!(refuse(b"de").contains("`piece length` is missing"));
    assert!(refuse(b"i1e").contains("`info` must be a dictionary"));
    assert_eq!(Metainfo::parse(&Bytes::from_static(b"de")).unwrap_err(), Error::Missing("info"));
    let long = Bytes::from(vec![b'l'; METAINFO_MAX + 1]);
    assert!(matches!(Metainfo::parse(&long), Err(Error::TooLong { .. })));
}

#[test]
fn refuses_paths_that_lead_out_or_clash() {
    for bad in ["../x", "a/../../x", "..", "."] {
        assert!(refuse(&info_of(&[(bad, 4)])).contains("leads out"), "{bad}");
    }
    assert!(refuse(&info_of(&[("a", 4), ("a", 4)])).contains("two files"));
    assert!(refuse(&info_of(&[("a", 4), ("a/b", 4)])).contains("directory should be"));
    assert!(refuse(&info_of(&[("", 4)])).contains("it is empty"));
    assert!(refuse(&info_of(&[])).contains("at least one file"));
}

#[test]
fn reads_a_v2_tree_and_checks_its_layers() {
    let leaves: Vec<merkle::Hash> = vec![[1; 32], [2; 32], [3; 32]];
    let root = merkle::file_root(&leaves);
    let mut encoder = Encoder::new();
    encoder.dict().bytes("file tree").dict();
    encoder.bytes("a").dict().bytes("").dict().bytes("length").int(40_000);
    encoder.bytes("pieces root").bytes(root).end().end();
    encoder.bytes("b").dict().bytes("").dict().bytes("length").int(5);
    encoder.bytes("pieces root").bytes([9; 32]).end().end().end();
    encoder.bytes("meta version").int(2).bytes("name").bytes("n");
    encoder.bytes("piece length").int(16_384).end();
    let info = encoder.finish();
    let whole = |layer: &[u8]| {
        let mut encoder = Encoder::new();
        encoder.dict().bytes("info").raw(&info).bytes("piece layers").dict();
        encoder.bytes(root).bytes(layer).end().end();
        Metainfo::parse(&encoder.finish().into())
    };
    let metainfo = whole(&leaves.concat()).unwrap();
    assert_eq!(metainfo.info.v1(), None);
    assert_eq!(metainfo.info.piece_count(), 4);
    assert_eq!(metainfo.info.files().get(1).unwrap().offset(), 3 * 16_384);
    assert_eq!(metainfo.torrent_id().0, metainfo.info.v2().unwrap().0[..20]);
    assert!(matches!(whole(&[0; 96]), Err(Error::Layer(_))));
    assert!(matches!(whole(&[0; 95]), Err(Error::Layer(_))));
    assert!(refuse(&info).contains("piece layer"));
}

/// A v2 info dictionary with empty files of these names below directories.
fn tree_of(directories: &[&str], names: impl Iterator<Item = String>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict().bytes("file tree").dict();
    directories.iter().for_each(|name| _ = encoder.bytes(name).dict());
    for name in names {
        encoder.bytes(name).dict().bytes("").dict().bytes("length").int(0).end().end();
    }
    directories.iter().for_each(|_| _ = encoder.end());
    encoder.end().bytes("meta version").int(2).bytes("name").bytes("n");
    encoder.bytes("piece length").int(16_384).end();
    encoder.finish()
}

#[test]
fn refuses_a_v2_tree_whose_paths_are_unsafe_or_clash() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let read = |directories: &[&str], files: &[&str]| {
        Info::parse(&tree_of(directories, names(files).into_iter()).into())
    };
    assert_eq!(read(&["d"], &["a", "b"]).unwrap().files().get(1).unwrap().path(), ["n", "d", "b"]);
    for (directory, file) in [("..", "a"), ("d", ".."), ("d/e", "a")] {
        assert!(matches!(read(&[directory], &[file]), Err(Error::Path { .. })));
    }
    let same = read(&[], &["a\u{1}", "a\u{2}"]).unwrap_err().to_string();
    assert!(same.contains("two files"), "{same}");
}

/// 350 KiB that would take 300 MiB.
#[test]
fn refuses_a_v2_tree_that_takes_much_more_memory_than_its_length() {
    let directory = "d".repeat(255);
    let tree = tree_of(&[&*directory; 90], (0..11_000).map(|n| format!("{n:05}")));
    assert!(tree.len() < 360_000, "{}", tree.len());
    // Not `unwrap_err`, which would write all of it down.
    let error = Info::parse(&tree.into()).err().map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("256 MiB")), "{error:?}");
}

#[test]
fn finds_the_layer_of_each_of_many_files() {
    let mut layers = std::collections::BTreeMap::new();
    let mut info = Encoder::new();
    info.dict().bytes("file tree").dict();
    for n in 0..20_u8 {
        // Two files of each content.
        let leaves = [[n / 2; 32], [9; 32]];
        let root = merkle::file_root(&leaves);
        layers.insert(root, leaves.concat());
        info.bytes(format!("{n:02}")).dict().bytes("").dict().bytes("length").int(20_000);
        info.bytes("pieces root").bytes(root).end().end();
    }
    info.end().bytes("meta version").int(2).bytes("name").bytes("n");
    info.bytes("piece length").int(16_384).end();
    let info = info.finish();
    let whole = |layers: &std::collections::BTreeMap<[u8; 32], Vec<u8>>| {
        let mut encoder = Encoder::new();
        encoder.dict().bytes("info").raw(&info).bytes("piece layers").dict();
        layers.iter().for_each(|(root, layer)| _ = encoder.bytes(root).bytes(layer));
        encoder.end().end();
        Metainfo::parse(&encoder.finish().into())
    };
    assert_eq!(whole(&layers).unwrap().info.piece_count(), 40);
    layers.pop_last();
    assert!(matches!(whole(&layers), Err(Error::Layer(_))));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Metainfo::parse(&bytes.into());
    }

    #[test]
    fn a_changed_byte_does_not_panic(at in 0_usize..200, byte in any::<u8>()) {
        let mut bytes = torrent(&info_of(&[("a/b", 5), ("c", 0), ("d", 6)])).to_vec();
        if let Some(changed) = bytes.get_mut(at) {
            *changed = byte;
        }
        let _ = Metainfo::parse(&bytes.into());
    }

    #[test]
    fn spans_cover_what_they_are_asked_for(
        lengths in prop::collection::vec(0_u64..20, 1..12), start in 0_u64..100, length in 0_u64..60,
    ) {
        let names: Vec<String> = (0..lengths.len()).map(|n| format!("f{n}")).collect();
        let files: Vec<_> = names.iter().map(String::as_str).zip(lengths.iter().copied()).collect();
        let total: u64 = lengths.iter().sum();
        let info = Info::parse(&info_of(&files).into()).unwrap();
        let piece = PieceIndex(u32::try_from(start / 4).unwrap());
        let spans: Vec<_> =
            info.files().spans(piece, u32::try_from(start % 4).unwrap(), length).collect();
        let mut at = start;
        for span in &spans {
            prop_assert!(span.length > 0);
            prop_assert_eq!(info.files().get(span.file).unwrap().offset() + span.offset, at);
            at += span.length;
        }
        prop_assert_eq!(at, (start + length).min(total).max(start));
    }
}
