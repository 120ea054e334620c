//! The hashes that a torrent says its pieces have (BEP 3, 52).

use std::collections::BTreeMap;

use bittorrent::PieceIndex;
use bittorrent::bencode::{self, Limits};
use bittorrent::metainfo::create::Version;
use bittorrent::metainfo::{Info, Metainfo, merkle};
use bytes::Bytes;

use crate::hashing::PieceHash;

/// The expected hashes of all pieces.
#[derive(Debug)]
pub(super) struct Expected {
    info: Info,
    /// Where each file with bytes begins, and its hashes by piece; v2 only.
    files: Vec<FileHashes>,
}

#[derive(Debug)]
struct FileHashes {
    first_piece: u64,
    /// One a piece: those of its layer, or its root where it has no other piece.
    hashes: Vec<merkle::Hash>,
}

impl Expected {
    /// Reads a `.torrent` file. Its piece layers are checked against the roots of its files.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, bittorrent::metainfo::Error> {
        let info = Metainfo::parse(bytes)?.info;
        let files = if info.v2().is_some() { layers(bytes, &info)? } else { Vec::new() };
        Ok(Self { info, files })
    }

    pub(super) const fn info(&self) -> &Info {
        &self.info
    }

    /// Which hashes there are.
    pub(super) const fn version(&self) -> Version {
        match (self.info.v1(), self.info.v2()) {
            (Some(_), Some(_)) => Version::Hybrid,
            (None, Some(_)) => Version::V2,
            (_, None) => Version::V1,
        }
    }

    /// The hashes of a piece.
    pub(super) fn of(&self, piece: u64) -> PieceHash {
        let index = u32::try_from(piece).map(PieceIndex).ok();
        let next = self.files.partition_point(|file| file.first_piece <= piece);
        let v2 = next.checked_sub(1).and_then(|at| self.files.get(at)).and_then(|file| {
            let at = usize::try_from(piece - file.first_piece).ok()?;
            file.hashes.get(at).copied()
        });
        PieceHash { v1: index.and_then(|index| self.info.piece_hash_v1(index)), v2 }
    }
}

/// The hashes of each file's pieces. The layers were checked when the file was read.
fn layers(bytes: &Bytes, info: &Info) -> Result<Vec<FileHashes>, bittorrent::metainfo::Error> {
    let document = bencode::parse(bytes, Limits::METAINFO)?;
    let layers = document.root().dict().and_then(|root| root.dict("piece layers"));
    let layers: BTreeMap<&[u8], &[u8]> = layers
        .iter()
        .flat_map(|layers| layers.iter())
        .filter_map(|(root, layer)| Some((root, layer.bytes()?)))
        .collect();
    let piece_length = u64::from(info.piece_length());
    let files = info.files().iter().filter(|file| file.length() > 0);
    let hashed = files.filter_map(|file| {
        let root = file.pieces_root()?;
        let hashes = if file.length() > piece_length {
            let layer = layers.get(root.as_slice()).copied().unwrap_or_default();
            layer.as_chunks().0.to_vec()
        } else {
            vec![*root]
        };
        Some(FileHashes { first_piece: file.offset() / piece_length, hashes })
    });
    Ok(hashed.collect())
}
