//! The torrent that a run is about: its bytes, which follow from the seed, and its metainfo.

use std::ops::Range;

use anyhow::{Context, Result};
use bittorrent::PieceIndex;
use bittorrent::metainfo::create::{
    Hashes, Options, Plan as TorrentPlan, Segment, SourceFile, Surroundings, Version,
};
use bittorrent::metainfo::{Info, Metainfo};
use bytes::Bytes;
use control::TorrentId;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use sha1::{Digest, Sha1};

use crate::plan::Plan;

/// The directory of every engine's downloads.
pub const DOWNLOADS: &str = "/data/downloads";
/// The name of the torrent.
const NAME: &str = "swarm";

/// A torrent with its bytes.
#[derive(Debug)]
pub struct Content {
    /// All bytes, file after file.
    pub bytes: Bytes,
    /// Where each file stands, and which of the bytes it holds.
    pub files: Vec<(String, Range<usize>)>,
    /// The metainfo.
    pub metainfo: Bytes,
    /// Its info dictionary.
    pub info: Info,
    /// Its id.
    pub id: TorrentId,
    /// Bytes of a piece.
    pub piece_length: usize,
    /// How many pieces there are.
    pub piece_count: u32,
}

impl Content {
    /// The torrent of a plan.
    ///
    /// # Errors
    ///
    /// The plan's torrent cannot be made, such as one without bytes.
    pub fn new(plan: &Plan) -> Result<Self> {
        let total: u64 = plan.torrent.files.iter().sum();
        let total = usize::try_from(total).context("the torrent is too large")?;
        let mut bytes = vec![0; total];
        SmallRng::seed_from_u64(plan.seed ^ 0x0063_6f6e_7465_6e74).fill_bytes(&mut bytes);
        let single = plan.torrent.files.len() == 1;
        let mut files = Vec::new();
        let mut sources = Vec::new();
        let mut at = 0;
        for (number, &length) in plan.torrent.files.iter().enumerate() {
            let end = at + usize::try_from(length)?;
            let name = format!("part-{number:03}");
            let path = if single { String::new() } else { format!("/{name}") };
            files.push((format!("{DOWNLOADS}/{NAME}{path}"), at..end));
            sources.push(SourceFile {
                path: if single { Vec::new() } else { vec![name] },
                length,
                executable: false,
                hidden: false,
            });
            at = end;
        }
        let options = Options {
            version: Version::V1,
            piece_length: Some(plan.torrent.piece_length),
            private: plan.torrent.private,
        };
        let made = TorrentPlan::new(NAME, sources, options).context("the torrent of the plan")?;
        let metainfo = Bytes::from(made.finish(&hashes(&made, &files, &bytes), &SURROUNDINGS)?);
        let info = Metainfo::parse(&metainfo)?.info;
        let id = info.torrent_id();
        let piece_count = made.piece_count();
        let piece_length = usize::try_from(plan.torrent.piece_length)?;
        let bytes = Bytes::from(bytes);
        Ok(Self { bytes, files, metainfo, info, id, piece_length, piece_count })
    }

    /// The bytes of a piece; nothing where there is no such piece.
    #[must_use]
    pub fn piece(&self, piece: u32) -> &[u8] {
        self.bytes.get(self.range(piece)).unwrap_or_default()
    }

    /// Which of all bytes a piece is.
    #[must_use]
    pub fn range(&self, piece: u32) -> Range<usize> {
        let start = (piece as usize).saturating_mul(self.piece_length).min(self.bytes.len());
        start..start.saturating_add(self.piece_length).min(self.bytes.len())
    }

    /// The parts of files that hold these bytes: path, offset in the file, bytes.
    pub fn parts(&self, range: Range<usize>) -> impl Iterator<Item = (&str, u64, &[u8])> {
        self.files.iter().filter_map(move |(path, file)| {
            let (start, end) = (range.start.max(file.start), range.end.min(file.end));
            let bytes = self.bytes.get(start..end).filter(|bytes| !bytes.is_empty())?;
            Some((path.as_str(), (start - file.start) as u64, bytes))
        })
    }

    /// All pieces.
    pub fn pieces(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.piece_count
    }
}

const SURROUNDINGS: Surroundings = Surroundings {
    trackers: Vec::new(),
    web_seeds: Vec::new(),
    comment: None,
    created_by: None,
    creation_date: None,
};

fn hashes(made: &TorrentPlan, files: &[(String, Range<usize>)], bytes: &[u8]) -> Hashes {
    let mut hashes = Hashes::default();
    for piece in (0..made.piece_count()).map(PieceIndex) {
        let mut hash = Sha1::new();
        for segment in made.segments(piece) {
            let Segment::File { file, offset, length } = segment else { continue };
            let start = files.get(file).map_or(0, |(_, range)| range.start as u64) + offset;
            let part = usize::try_from(start)
                .ok()
                .and_then(|start| bytes.get(start..start + length as usize));
            hash.update(part.unwrap_or_default());
        }
        hashes.v1.push(hash.finalize().into());
    }
    hashes
}
