//! A few pieces hashed side by side by one thread.

use std::ops::Range;

use bittorrent::metainfo::create::Version;
use bittorrent::metainfo::merkle;
use lane_hash::{LEAF_LEN, Sha1Job, Sha1State, sha256_many, update_many_sha1};

use super::layout::Layout;
use super::reader::{Reader, Unreadable};
use super::{
    BATCH_LEN, BATCH_PIECES_MAX, LANES, PieceHash, PieceResult, WINDOW_LEN, has_v1, has_v2,
};

/// What one thread hashes with; its buffer is used again for each batch.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    layout: &'a Layout,
    version: Version,
    reader: Reader<'a>,
    buffer: PageBuffer,
    /// Bytes of a piece that are read at a time: the whole piece, or a part of it.
    window: usize,
    /// Pieces.
    count: usize,
}

/// A piece that is being hashed.
struct Piece {
    begin: u64,
    length: usize,
    /// Bytes of its file (v2), or 0.
    file_length: usize,
    is_whole_file: bool,
    sha1: Sha1State,
    leaves: Vec<merkle::Hash>,
    failure: Option<Unreadable>,
}

impl Piece {
    /// How many of its bytes the window from `at` on has.
    fn len_from(&self, at: usize, window: usize) -> usize {
        if self.failure.is_some() { 0 } else { self.length.saturating_sub(at).min(window) }
    }

    fn finish(self, version: Version, blocks_per_piece: usize) -> PieceResult {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let v2 = (has_v2(version) && !self.leaves.is_empty()).then(|| {
            if self.is_whole_file {
                merkle::file_root(&self.leaves)
            } else {
                let layer = merkle::piece_layer(&self.leaves, blocks_per_piece);
                layer.first().copied().unwrap_or_default()
            }
        });
        Ok(PieceHash { v1: has_v1(version).then(|| self.sha1.finish()), v2 })
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(layout: &'a Layout, version: Version) -> Self {
        let window = layout.piece_length().min(WINDOW_LEN);
        let count = (BATCH_LEN / window).clamp(LANES, BATCH_PIECES_MAX);
        // A torrent shorter than a batch needs no whole buffer.
        let needed = layout.piece_count().clamp(1, u64::from(count)) * u64::from(window);
        let buffer = PageBuffer::new(usize::try_from(needed).unwrap_or(usize::MAX));
        let (window, count) = (window as usize, count as usize);
        Self { layout, version, reader: Reader::new(layout), buffer, window, count }
    }

    /// How many pieces it takes at a time.
    pub(super) const fn len(&self) -> u64 {
        self.count as u64
    }

    /// Hashes pieces, [`Self::len`] at most; `None` when `stopped` says so before the end.
    pub(super) fn hash(
        &mut self,
        pieces: Range<u64>,
        stopped: &dyn Fn() -> bool,
    ) -> Option<Vec<PieceResult>> {
        let mut pieces: Vec<Piece> = pieces.map(|piece| self.piece(piece)).collect();
        let longest = pieces.iter().map(|piece| piece.length).max().unwrap_or(0);
        for at in (0..longest).step_by(self.window) {
            if stopped() {
                return None;
            }
            self.read(&mut pieces, at);
            // A hostile torrent may have a million long pieces of a file that is not there.
            if pieces.iter().all(|piece| piece.failure.is_some()) {
                break;
            }
            if has_v1(self.version) {
                self.add_sha1(&mut pieces, at);
            }
            if has_v2(self.version) {
                self.add_leaves(&mut pieces, at);
            }
        }
        let blocks_per_piece = (self.layout.piece_length() as usize / LEAF_LEN).max(1);
        Some(pieces.into_iter().map(|piece| piece.finish(self.version, blocks_per_piece)).collect())
    }

    fn piece(&self, number: u64) -> Piece {
        let of_file = if has_v2(self.version) { self.layout.piece_of_file(number) } else { None };
        Piece {
            begin: number * u64::from(self.layout.piece_length()),
            length: self.layout.piece_len(number) as usize,
            file_length: of_file.map_or(0, |of| usize::try_from(of.length).unwrap_or(usize::MAX)),
            is_whole_file: of_file.is_some_and(|of| of.is_whole),
            sha1: Sha1State::new(),
            leaves: Vec::new(),
            failure: None,
        }
    }

    /// Reads the next bytes of each piece, a window each.
    fn read(&mut self, pieces: &mut [Piece], at: usize) {
        // Pieces that fit their windows stand one after another in the buffer as in the files.
        if self.window == self.layout.piece_length() as usize
            && let Some(first) = pieces.first()
        {
            let total = pieces.iter().map(|piece| piece.length).sum();
            let whole = self.buffer.bytes_mut().get_mut(..total).unwrap_or_default();
            if self.reader.fill(first.begin, whole).is_ok() {
                return;
            }
            // One of them cannot be read: each by itself, to know which.
        }
        for (piece, slot) in pieces.iter_mut().zip(self.buffer.bytes_mut().chunks_mut(self.window))
        {
            let length = piece.len_from(at, self.window);
            let slot = slot.get_mut(..length).unwrap_or_default();
            if !slot.is_empty()
                && let Err(failure) = self.reader.fill(piece.begin + at as u64, slot)
            {
                piece.failure = Some(failure);
            }
        }
    }

    fn add_sha1(&self, pieces: &mut [Piece], at: usize) {
        let windows: Vec<[&[u8]; 1]> = pieces
            .iter()
            .zip(self.buffer.bytes().chunks(self.window))
            .map(|(piece, slot)| [slot.get(..piece.len_from(at, self.window)).unwrap_or_default()])
            .collect();
        let jobs = pieces.iter_mut().zip(&windows);
        let mut jobs: Vec<Sha1Job<'_>> =
            jobs.map(|(piece, segments)| Sha1Job { state: &mut piece.sha1, segments }).collect();
        update_many_sha1(&mut jobs);
    }

    /// The hashes of the blocks in the windows. A window has whole blocks, but at the end of a file.
    fn add_leaves(&self, pieces: &mut [Piece], at: usize) {
        let mut counts = Vec::with_capacity(pieces.len());
        let mut blocks: Vec<[&[u8]; 1]> = Vec::new();
        for (piece, slot) in pieces.iter().zip(self.buffer.bytes().chunks(self.window)) {
            let length = piece.file_length.saturating_sub(at);
            let length = length.min(piece.len_from(at, self.window));
            let before = blocks.len();
            let bytes = slot.get(..length).unwrap_or_default();
            blocks.extend(bytes.chunks(LEAF_LEN).map(|block| [block]));
            counts.push(blocks.len() - before);
        }
        let messages: Vec<&[&[u8]]> = blocks.iter().map(|block| block.as_slice()).collect();
        let mut hashes = vec![[0; 32]; messages.len()];
        sha256_many(&messages, &mut hashes);
        let mut rest = hashes.as_slice();
        for (piece, count) in pieces.iter_mut().zip(counts) {
            let (own, after) = rest.split_at_checked(count).unwrap_or_default();
            piece.leaves.extend_from_slice(own);
            rest = after;
        }
    }
}

/// Bytes that begin a page: the kernel copies to such an address in less than half the time.
#[derive(Debug)]
struct PageBuffer {
    bytes: Vec<u8>,
    /// Where the first page begins.
    start: usize,
}

impl PageBuffer {
    const PAGE_LEN: usize = 4096;

    fn new(length: usize) -> Self {
        let bytes = vec![0; length + Self::PAGE_LEN];
        let start = bytes.as_ptr().align_offset(Self::PAGE_LEN).min(Self::PAGE_LEN);
        Self { bytes, start }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_a_page_and_is_long_enough() {
        for length in [1, 4095, 1 << 20] {
            let mut buffer = PageBuffer::new(length);
            assert!(buffer.bytes_mut().as_ptr().addr().is_multiple_of(PageBuffer::PAGE_LEN));
            assert!(buffer.bytes().len() >= length);
        }
    }
}
