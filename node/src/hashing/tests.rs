//! Hashes of layouts in temporary files, against hashes taken one at a time.

#![expect(clippy::cast_possible_truncation, reason = "patterns of bytes are cut on purpose")]

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use bittorrent::metainfo::merkle;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::*;

/// Bytes that differ everywhere.
fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

fn hashes(layout: &Layout, version: Version) -> Vec<PieceResult> {
    let pieces = usize::try_from(layout.piece_count()).unwrap();
    let mut hashes: Vec<Option<PieceResult>> = vec![None; pieces];
    let hasher = Hasher { layout, version, threads: 3, stop: &AtomicBool::new(false) };
    let done = hasher.run(|piece, result| {
        let before = hashes[usize::try_from(piece).unwrap()].replace(result);
        assert!(before.is_none(), "piece {piece} comes once");
        ControlFlow::Continue(())
    });
    assert_eq!(done, Ok(()));
    hashes.into_iter().map(Option::unwrap).collect()
}

/// Writes files of these lengths, each at the next multiple of `align`, and takes their hashes.
fn check(piece_length: u32, lengths: &[usize], align: u64) {
    let directory = tempfile::tempdir().unwrap();
    let (mut content, mut extents) = (Vec::new(), Vec::new());
    for (number, &length) in lengths.iter().enumerate() {
        let path = directory.path().join(number.to_string());
        let offset = (content.len() as u64).next_multiple_of(align);
        let file = bytes(length, number as u8);
        fs::write(&path, &file).unwrap();
        content.resize(usize::try_from(offset).unwrap(), 0);
        content.extend(file);
        extents.push(Extent { path: Some(path), offset, length: length as u64 });
    }
    let layout = Layout::new(piece_length, extents);
    let is_v2 = align > 1;
    let version = if is_v2 { Version::Hybrid } else { Version::V1 };
    let found = hashes(&layout, version);
    let expected = content.chunks(piece_length as usize);
    assert_eq!(found.len(), expected.len());
    for (piece, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        let found = found.unwrap();
        assert_eq!(found.v1, Some(Sha1::digest(expected).into()), "SHA-1 of piece {piece}");
        assert_eq!(found.v2.is_some(), is_v2);
    }
    if !is_v2 {
        return;
    }
    let found = hashes(&layout, Version::V2);
    for (number, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
        let leaves: Vec<merkle::Hash> = bytes(length, number as u8)
            .chunks(16_384)
            .map(|leaf| Sha256::digest(leaf).into())
            .collect();
        let of = layout.pieces_of(number);
        let range = usize::try_from(of.start).unwrap()..usize::try_from(of.end).unwrap();
        let own: Vec<_> =
            found[range].iter().map(|hash| hash.as_ref().unwrap().v2.unwrap()).collect();
        let root = merkle::file_root(&leaves);
        if let [only] = own[..] {
            assert_eq!(only, root, "file {number}");
        } else {
            let level = (piece_length / 16_384).trailing_zeros();
            assert!(merkle::layer_matches(&own, level, &root), "file {number}");
        }
    }
}

#[test]
fn pieces_of_many_small_files() {
    check(1000, &[1, 0, 999, 1001, 5000, 3, 0, 123_456, 7], 1);
    check(7, &[1, 2, 3, 4000], 1);
}

#[test]
fn pieces_shorter_and_longer_than_a_window() {
    check(65_536, &[3_000_001], 1);
    check(3 << 20, &[10 << 20, 5, (2 << 20) + 1], 1);
    check((1 << 20) + 1, &[(6 << 20) + 3], 1);
}

#[test]
fn trees_of_aligned_files() {
    check(16_384, &[1, 16_384, 16_385, 100_000, 0, 5], 16_384);
    check(65_536, &[1, 40_000, 65_536, 200_000], 65_536);
    check(4 << 20, &[9 << 20, 300_000], 4 << 20);
}

#[test]
fn a_file_that_is_not_there_costs_its_own_pieces_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("a"), bytes(40, 1)).unwrap();
    fs::write(path("short"), bytes(10, 2)).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let extents = ["a", "missing", "short", "directory"]
        .iter()
        .zip(0..)
        .map(|(name, number)| Extent { path: Some(path(name)), offset: 40 * number, length: 40 });
    let layout = Layout::new(20, extents.collect());
    let shown: Vec<String> = hashes(&layout, Version::V1)
        .into_iter()
        .map(|result| result.map_or_else(|failure| failure.why.to_string(), |_| "read".to_owned()))
        .collect();
    let (missing, short) = ("there is no such file", "it is shorter than it should be");
    let directory = "it is not a regular file";
    assert_eq!(shown, ["read", "read", missing, missing, short, short, directory, directory]);
}

#[test]
fn ends_when_it_is_told_to() {
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(&path, bytes(1 << 20, 0)).unwrap();
    let extent = Extent { path: Some(path.path().to_owned()), offset: 0, length: 1 << 20 };
    let layout = Layout::new(1 << 10, vec![extent]);
    let stop = AtomicBool::new(false);
    let hasher = Hasher { layout: &layout, version: Version::V1, threads: 2, stop: &stop };
    let mut seen = 0;
    let done = hasher.run(|_, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((done, seen), (Ok(()), 1));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(hasher.run(|_, _| ControlFlow::Continue(())), Err(Unfinished::Stopped));
}
