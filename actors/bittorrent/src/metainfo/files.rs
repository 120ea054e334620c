//! The files of a torrent and where their bytes stand among the pieces.

use std::ops::Range;

use crate::PieceIndex;

/// A file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub(super) path: Vec<String>,
    pub(super) length: u64,
    pub(super) offset: u64,
    pub(super) attributes: Attributes,
    pub(super) symlink: Option<Vec<String>>,
    pub(super) pieces_root: Option<[u8; 32]>,
}

/// Attributes of BEP 47.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attributes {
    pub(super) pad: bool,
    pub(super) executable: bool,
    pub(super) hidden: bool,
}

impl File {
    /// Parts of its path, the torrent's name first; safe to be put below a directory.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Where it begins among the bytes of all pieces.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether it only fills a piece with zeros and is not written (BEP 47).
    #[must_use]
    pub const fn is_pad(&self) -> bool {
        self.attributes.pad
    }

    /// Whether it should be executable (BEP 47).
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        self.attributes.executable
    }

    /// Whether it should be hidden (BEP 47).
    #[must_use]
    pub const fn is_hidden(&self) -> bool {
        self.attributes.hidden
    }

    /// Where a symbolic link leads, from the torrent's directory (BEP 47).
    #[must_use]
    pub fn symlink(&self) -> Option<&[String]> {
        self.symlink.as_deref()
    }

    /// The root of its hash tree (BEP 52).
    #[must_use]
    pub const fn pieces_root(&self) -> Option<&[u8; 32]> {
        self.pieces_root.as_ref()
    }
}

/// A range of bytes in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSpan {
    /// The file's place in the torrent.
    pub file: usize,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

/// All files of a torrent, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub(super) files: Vec<File>,
    pub(super) piece_length: u32,
}

impl Files {
    /// How many files there are, pads included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Never: a torrent has a file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// A file by its place.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&File> {
        self.files.get(index)
    }

    /// All files in order.
    pub fn iter(&self) -> std::slice::Iter<'_, File> {
        self.files.iter()
    }

    /// Length of all pieces but the last, in bytes.
    #[must_use]
    pub const fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The file ranges that hold `length` bytes from `begin` of `piece` on, in order; found in
    /// logarithmic time. What lies behind the last file, or between files of a v2 torrent, is left out.
    pub fn spans(
        &self,
        piece: PieceIndex,
        begin: u32,
        length: u64,
    ) -> impl Iterator<Item = FileSpan> + '_ {
        let start = u64::from(piece.0) * u64::from(self.piece_length) + u64::from(begin);
        let end = start.saturating_add(length);
        let first = self.files.partition_point(|file| file.offset + file.length <= start);
        let rest = self.files.iter().enumerate().skip(first);
        rest.take_while(move |(_, file)| file.offset < end).filter_map(move |(index, file)| {
            let from = start.max(file.offset);
            let to = end.min(file.offset + file.length);
            (from < to).then(|| FileSpan {
                file: index,
                offset: from - file.offset,
                length: to - from,
            })
        })
    }

    /// The pieces that hold bytes of a file; none for an empty one.
    pub fn pieces_of(&self, index: usize) -> impl Iterator<Item = PieceIndex> + use<> {
        self.piece_range(index).map(PieceIndex)
    }

    /// The numbers of the pieces that hold bytes of a file.
    #[must_use]
    pub fn piece_range(&self, index: usize) -> Range<u32> {
        let Some(file) = self.files.get(index).filter(|file| file.length > 0) else { return 0..0 };
        let number = |at: u64| u32::try_from(at / u64::from(self.piece_length)).unwrap_or(u32::MAX);
        number(file.offset)..number(file.offset + file.length - 1).saturating_add(1)
    }
}
