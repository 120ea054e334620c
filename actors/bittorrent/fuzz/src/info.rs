//! Info dictionaries (BEP 3, 47, 52): every path is safe, and files and pieces cover the same bytes.

use std::collections::BTreeSet;

use bittorrent::PieceIndex;
use bittorrent::bencode::Encoder;
use bittorrent::metainfo::{File, Info, PIECES_MAX};
use bytes::Bytes;

use crate::Seed;

/// Pieces at both ends whose files are looked at.
const LOOKED_AT: u32 = 32;

/// Reads an info dictionary.
pub fn check(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(info) = Info::parse(&bytes) else { return };
    assert_eq!(info.raw(), &bytes);
    check_info(&info);
}

/// Checks what every info dictionary promises that was taken.
pub(crate) fn check_info(info: &Info) {
    assert!(info.v1().is_some() || info.v2().is_some());
    assert!(info.piece_count() <= PIECES_MAX && info.piece_length() > 0);
    assert!(!info.name().is_empty() && !info.files().is_empty());
    assert_eq!(Info::parse(info.raw()).as_ref(), Ok(info));
    check_paths(info);
    check_offsets(info);
    let count = info.piece_count();
    let ends = (0..count.min(LOOKED_AT)).chain(count.saturating_sub(LOOKED_AT)..count);
    ends.for_each(|piece| check_piece(info, PieceIndex(piece)));
    assert_eq!(info.piece_len(PieceIndex(count)), 0);
    assert_eq!(info.piece_hash_v1(PieceIndex(count)), None);
}

fn check_paths(info: &Info) {
    let mut taken = BTreeSet::new();
    for file in info.files().iter() {
        let parts = file.path().iter().chain(file.symlink().into_iter().flatten());
        for part in parts {
            assert!(!part.is_empty() && part != "." && part != "..", "{part:?}");
            assert!(part.len() <= 255, "{part:?}");
            let misleads = |c: char| c == '/' || c == '\\' || c.is_control();
            assert!(!part.contains(misleads), "{part:?}");
        }
        assert!(!file.path().is_empty());
        if !file.is_pad() {
            assert!(taken.insert(file.path()), "two files at {:?}", file.path());
        }
    }
    for path in &taken {
        let directories = (1..path.len()).map(|depth| &path[..depth]);
        directories.for_each(|above| assert!(!taken.contains(above), "{above:?} is a file too"));
    }
}

fn check_offsets(info: &Info) {
    let mut end = 0;
    for file in info.files().iter() {
        assert!(file.offset() >= end, "files overlap");
        end = file.offset() + file.length();
    }
    assert_eq!(end, info.total_length());
    let pieces = end.div_ceil(u64::from(info.piece_length()));
    assert_eq!(pieces, u64::from(info.piece_count()));
}

fn check_piece(info: &Info, piece: PieceIndex) {
    let length = u64::from(info.piece_len(piece));
    assert!(length > 0 && length <= u64::from(info.piece_length()));
    assert_eq!(info.piece_hash_v1(piece).is_some(), info.v1().is_some());
    let begin = u64::from(piece.0) * u64::from(info.piece_length());
    let (mut at, mut covered) = (begin, 0);
    for span in info.files().spans(piece, 0, length) {
        let file: &File = info.files().get(span.file).expect("a span is in a file");
        assert!(span.length > 0 && span.offset + span.length <= file.length());
        assert!(file.offset() + span.offset >= at, "spans in order");
        assert!(info.files().piece_range(span.file).contains(&piece.0));
        at = file.offset() + span.offset + span.length;
        covered += span.length;
    }
    assert!(at <= begin + length);
    // Only in v2 torrents do gaps stand between files.
    assert!(covered == length || info.v2().is_some());
}

/// One file, many files, a v2 tree and a hybrid with a pad file.
pub fn seeds() -> Vec<Seed> {
    let (single, many, v2, hybrid) = (single(), many(), v2(), hybrid());
    vec![("single", single), ("many", many), ("v2", v2), ("hybrid", hybrid)]
}

fn single() -> Vec<u8> {
    let mut out = Encoder::new();
    out.dict().bytes("length").int(20).bytes("name").bytes("file.bin");
    out.bytes("piece length").int(16).bytes("pieces").bytes([b'h'; 40]);
    out.bytes("private").int(1).end();
    out.finish()
}

fn many() -> Vec<u8> {
    let mut out = Encoder::new();
    out.dict().bytes("files").list();
    for (attr, length, path) in
        [("", 5, &["d", "a.txt"][..]), ("p", 11, &[".pad", "11"]), ("xh", 7, &["b"])]
    {
        out.dict().bytes("attr").bytes(attr).bytes("length").int(length).bytes("path").list();
        path.iter().for_each(|part| _ = out.bytes(part));
        out.end().end();
    }
    out.dict().bytes("attr").bytes("l").bytes("length").int(0).bytes("path").list();
    out.bytes("link").end().bytes("symlink path").list().bytes("b").end().end();
    out.end().bytes("name").bytes("n").bytes("name.utf-8").bytes("\u{e4}");
    out.bytes("piece length").int(16).bytes("pieces").bytes([b'h'; 40]).end();
    out.finish()
}

fn tree(out: &mut Encoder) {
    out.bytes("file tree").dict();
    for (name, length) in [("a", 5), ("b", 16_400)] {
        out.bytes(name).dict().bytes("").dict().bytes("length").int(length);
        out.bytes("pieces root").bytes(root(length)).end().end();
    }
    out.end();
}

/// The root of a file of blocks whose hashes are all `h`.
fn root(length: u32) -> [u8; 32] {
    let blocks = length.div_ceil(bittorrent::BLOCK_LEN) as usize;
    bittorrent::metainfo::merkle::file_root(&vec![[b'h'; 32]; blocks])
}

pub(crate) fn v2() -> Vec<u8> {
    let mut out = Encoder::new();
    out.dict();
    tree(&mut out);
    out.bytes("meta version").int(2).bytes("name").bytes("n");
    out.bytes("piece length").int(16_384).end();
    out.finish()
}

/// What stands beside [`v2`] and [`hybrid`] in a metainfo file: the layers of their longer file.
pub(crate) fn write_layers(out: &mut Encoder) {
    out.bytes("piece layers").dict().bytes(root(16_400)).bytes([b'h'; 64]).end();
}

pub(crate) fn hybrid() -> Vec<u8> {
    let mut out = Encoder::new();
    out.dict();
    tree(&mut out);
    out.bytes("files").list();
    out.dict().bytes("length").int(5).bytes("path").list().bytes("a").end().end();
    out.dict().bytes("attr").bytes("p").bytes("length").int(16_379);
    out.bytes("path").list().bytes(".pad").bytes("16379").end().end();
    out.dict().bytes("length").int(16_400).bytes("path").list().bytes("b").end().end();
    out.end().bytes("meta version").int(2).bytes("name").bytes("n");
    out.bytes("piece length").int(16_384).bytes("pieces").bytes([b'h'; 60]).end();
    out.finish()
}
