//! Where the bytes of all pieces stand in files on this machine.

use std::path::{Path, PathBuf};

use bittorrent::metainfo::Files;

/// Extents of bytes one after another, cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    piece_length: u32,
    /// In order of their offsets. Between those of a v2 torrent there may be gaps, which no hash covers.
    extents: Vec<Extent>,
}

/// A file's bytes, or zeros, at their place among the bytes of all pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The file; `None` for a pad of zeros (BEP 47).
    pub(crate) path: Option<PathBuf>,
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
}

impl Extent {
    const fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// A range of bytes of one extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The extent's place in the layout.
    pub(crate) extent: usize,
    /// Offset in the extent, in bytes.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) length: u64,
}

/// The file that a piece of a v2 torrent is of, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PieceOfFile {
    /// Bytes of the file in the piece.
    pub(crate) length: u64,
    /// Whether the file has no other piece; its hash tree is then as small as its blocks allow.
    pub(crate) is_whole: bool,
}

impl Layout {
    /// Puts extents together; they must be in order and not overlap.
    pub(crate) fn new(piece_length: u32, extents: Vec<Extent>) -> Self {
        assert!(piece_length > 0, "a piece has bytes");
        debug_assert!(extents.is_sorted_by_key(|extent| extent.offset), "extents are in order");
        Self { piece_length, extents }
    }

    /// The files of a torrent below `directory`.
    pub(crate) fn of_torrent(files: &Files, piece_length: u32, directory: &Path) -> Self {
        let extents = files.iter().map(|file| Extent {
            path: (!file.is_pad()).then(|| directory.join(file.path().iter().collect::<PathBuf>())),
            offset: file.offset(),
            length: file.length(),
        });
        Self::new(piece_length, extents.collect())
    }

    /// Length of all pieces but the last, in bytes.
    pub(crate) const fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The extents.
    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Where the last extent ends.
    pub(crate) fn end(&self) -> u64 {
        self.extents.last().map_or(0, Extent::end)
    }

    /// How many pieces there are.
    pub(crate) fn piece_count(&self) -> u64 {
        self.end().div_ceil(u64::from(self.piece_length))
    }

    /// Length of a piece in bytes; 0 beyond the last.
    pub(crate) fn piece_len(&self, piece: u64) -> u32 {
        let begin = piece.saturating_mul(u64::from(self.piece_length));
        let rest = self.end().saturating_sub(begin);
        u32::try_from(rest).unwrap_or(u32::MAX).min(self.piece_length)
    }

    /// The ranges that hold `length` bytes from `begin` on, in order.
    pub(crate) fn spans(&self, begin: u64, length: u64) -> impl Iterator<Item = Span> + '_ {
        let end = begin.saturating_add(length);
        let first = self.extents.partition_point(|extent| extent.end() <= begin);
        let rest = self.extents.iter().enumerate().skip(first);
        rest.take_while(move |(_, extent)| extent.offset < end).filter_map(
            move |(index, extent)| {
                let from = begin.max(extent.offset);
                let to = end.min(extent.end());
                (from < to).then(|| Span {
                    extent: index,
                    offset: from - extent.offset,
                    length: to - from,
                })
            },
        )
    }

    /// The file whose bytes a piece begins with, where files begin pieces (v2 and hybrid torrents).
    pub(crate) fn piece_of_file(&self, piece: u64) -> Option<PieceOfFile> {
        let begin = piece.checked_mul(u64::from(self.piece_length))?;
        let span = self.spans(begin, u64::from(self.piece_length)).next()?;
        let extent = self.extents.get(span.extent).filter(|extent| extent.path.is_some())?;
        let is_whole = extent.length <= u64::from(self.piece_length);
        Some(PieceOfFile { length: span.length, is_whole })
    }

    /// The numbers of the pieces that hold bytes of an extent.
    pub(crate) fn pieces_of(&self, extent: usize) -> std::ops::Range<u64> {
        match self.extents.get(extent).filter(|extent| extent.length > 0) {
            Some(extent) => {
                let length = u64::from(self.piece_length);
                extent.offset / length..extent.end().div_ceil(length)
            }
            None => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(piece_length: u32, extents: &[(u64, u64)]) -> Layout {
        let extent = |&(offset, length)| Extent { path: Some("f".into()), offset, length };
        Layout::new(piece_length, extents.iter().map(extent).collect())
    }

    #[test]
    fn finds_the_extents_of_a_range() {
        let layout = layout(4, &[(0, 3), (3, 0), (3, 4), (7, 2)]);
        let spans: Vec<_> = layout.spans(2, 6).map(|s| (s.extent, s.offset, s.length)).collect();
        assert_eq!(spans, [(0, 2, 1), (2, 0, 4), (3, 0, 1)]);
        assert_eq!((layout.piece_count(), layout.piece_len(2), layout.piece_len(3)), (3, 1, 0));
        assert_eq!(layout.pieces_of(2), 0..2);
        assert_eq!(layout.pieces_of(1), 0..0);
    }

    #[test]
    fn knows_the_file_of_an_aligned_piece() {
        let layout = layout(4, &[(0, 6), (8, 3)]);
        let piece = |length, is_whole| Some(PieceOfFile { length, is_whole });
        assert_eq!(layout.piece_of_file(0), piece(4, false));
        assert_eq!(layout.piece_of_file(1), piece(2, false));
        assert_eq!(layout.piece_of_file(2), piece(3, true));
        assert_eq!(layout.piece_of_file(3), None);
    }
}
