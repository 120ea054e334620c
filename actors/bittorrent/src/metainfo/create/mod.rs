//! Making metainfo files, v1, v2 and hybrid (BEP 3, 12, 19, 27, 47, 52).
//!
//! In three steps, of which only the second reads files and is somebody else's: [`Plan::new`] lays the
//! files out and chooses the length of pieces; for each piece the caller hashes what [`Plan::segments`]
//! says, in any order and on as many threads as it likes; [`Plan::finish`] writes the `.torrent`.
//!
//! The info-hashes are those that libtorrent gives the same files in the same order: no key is written
//! that need not be, and the lengths of pieces are chosen by its rule. Where a name goes on from another
//! with a character below `/`, as `a-b` from `a` in `a/x`, its hybrids have v1 and v2 in different orders,
//! which it then refuses itself; ours keep to that of v2.
//!
//! In a v2 or hybrid torrent every file begins a piece, so a piece holds bytes of one file only and is
//! read once for both hashes. A hybrid fills the gaps with pad files.
//!
//! ```
//! use bittorrent::metainfo::{Metainfo, create::*};
//!
//! let file = SourceFile { length: 5, ..SourceFile::default() };
//! let options = Options { version: Version::V1, piece_length: None, private: false };
//! let plan = Plan::new("hello.txt", vec![file], options)?;
//! assert_eq!(plan.segments(bittorrent::PieceIndex(0)), [Segment::File { file: 0, offset: 0, length: 5 }]);
//! // As a hash of the five bytes would be.
//! let hashes = Hashes { v1: vec![[7; 20]], v2: Vec::new() };
//! let torrent = plan.finish(&hashes, &Surroundings::default())?;
//! assert_eq!(Metainfo::parse(&torrent.into())?.info.name(), "hello.txt");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod tests;
mod write;

use super::files::Attributes;
use super::info::{FILES_MAX, PIECE_LENGTH_MAX, TOTAL_MAX};
use super::merkle::{self, Hash};
use super::path::{check_places, clean};
use super::{METAINFO_MAX, PIECES_MAX};
use crate::{BLOCK_LEN, PieceIndex};

/// The longest piece that is chosen by itself, in bytes.
const AUTOMATIC_MAX: u32 = 16 * 1024 * 1024;

/// Which versions of BitTorrent a torrent is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// v1 only (BEP 3).
    V1,
    /// v2 only (BEP 52).
    V2,
    /// Both.
    Hybrid,
}

impl Version {
    const fn has_v1(self) -> bool {
        matches!(self, Self::V1 | Self::Hybrid)
    }

    const fn has_v2(self) -> bool {
        matches!(self, Self::V2 | Self::Hybrid)
    }
}

/// A file that is to be in a torrent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SourceFile {
    /// Parts of its path below the torrent's directory; none for the only file of a torrent without one.
    pub path: Vec<String>,
    /// Length in bytes.
    pub length: u64,
    /// Whether it is marked as executable (BEP 47).
    pub executable: bool,
    /// Whether it is marked as hidden (BEP 47).
    pub hidden: bool,
}

/// How a torrent is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// For which versions.
    pub version: Version,
    /// Length of a piece in bytes, a power of two from 16 KiB to 512 MiB; `None` chooses one.
    pub piece_length: Option<u32>,
    /// Whether peers come from its trackers only (BEP 27).
    pub private: bool,
}

/// What stands in a metainfo file around the info dictionary, and does not change the info-hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Trackers by tier, the first tier first (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// A comment.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub creation_date: Option<i64>,
}

/// The hashes of all pieces, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hashes {
    /// SHA-1 of each piece, of its zeros too; for v1 and hybrid.
    pub v1: Vec<[u8; 20]>,
    /// What [`Plan::piece_root`] gives for each piece; for v2 and hybrid.
    pub v2: Vec<Hash>,
}

/// A part of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// Bytes of a file.
    File {
        /// Its place in [`Plan::files`].
        file: usize,
        /// Offset in the file, in bytes.
        offset: u64,
        /// Length in bytes.
        length: u32,
    },
    /// Zeros of a pad file: in the SHA-1 of the piece, not in its hash tree.
    Zeros {
        /// Length in bytes.
        length: u32,
    },
}

/// Why no torrent can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No file, or only empty ones.
    #[error("there is nothing in it")]
    Empty,
    /// Not a length that pieces can have.
    #[error("a piece length of {0} bytes: must be a power of two from 16384 to 536870912")]
    PieceLength(u32),
    /// A name that other clients could not write, or two files at one place.
    #[error(transparent)]
    Path(#[from] super::Error),
    /// A name that would be changed when the torrent is read.
    #[error("{0:?}: a name must be 1 to 255 bytes without `\\` and control characters")]
    Name(String),
    /// In a v2 torrent this cannot be told from the file alone.
    #[error("a directory whose only file is called {0:?}, as it is itself")]
    Ambiguous(String),
    /// One file without a path means that there is no other.
    #[error("a file without a path beside others")]
    PathMissing,
    /// More than others read.
    #[error("{files} files and {length} bytes, at most 500000 and 2^53 are read")]
    TooMuch {
        /// Files that there are, pads not counted.
        files: usize,
        /// Bytes of them.
        length: u64,
    },
    /// More than others read.
    #[error("{actual} pieces, at most {PIECES_MAX} are read; longer pieces are fewer")]
    TooManyPieces {
        /// Pieces that there would be.
        actual: u64,
    },
    /// Longer than others read.
    #[error(
        "the .torrent would be {0} bytes long, at most {METAINFO_MAX} are read; longer pieces make it shorter"
    )]
    TooLong(usize),
    /// Not one hash a piece.
    #[error("{v1} SHA-1 and {v2} SHA-256 hashes for {pieces} pieces")]
    HashCount {
        /// SHA-1 hashes that were given.
        v1: usize,
        /// Roots that were given.
        v2: usize,
        /// Pieces that there are.
        pieces: u32,
    },
}

/// A file and where it begins among the bytes of all pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    offset: u64,
    end: u64,
}

/// How the bytes of files become pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    name: String,
    options: Options,
    piece_length: u32,
    piece_count: u32,
    files: Vec<SourceFile>,
    /// For each file.
    placed: Vec<Placed>,
    /// Of all pieces, the pad behind the last file included.
    length: u64,
}

impl Plan {
    /// Lays out files, sorted by the parts of their paths as bytes, which is the only order that v2 knows.
    ///
    /// `name` is that of the torrent's directory, or of its only file if that has no path.
    ///
    /// # Errors
    ///
    /// There is nothing in it, a name cannot be used, or it is too much; see [`Error`].
    pub fn new(name: &str, mut files: Vec<SourceFile>, options: Options) -> Result<Self, Error> {
        files.sort();
        check_names(name, &files, options.version)?;
        let length = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.length));
        if length == 0 {
            return Err(Error::Empty);
        }
        if length > TOTAL_MAX || files.len() > FILES_MAX {
            return Err(Error::TooMuch { files: files.len(), length });
        }
        let piece_length = options.piece_length.unwrap_or_else(|| automatic_piece_length(length));
        let is_in_bounds = (BLOCK_LEN..=PIECE_LENGTH_MAX).contains(&piece_length);
        if !piece_length.is_power_of_two() || !is_in_bounds {
            return Err(Error::PieceLength(piece_length));
        }
        let (placed, length) = place(&files, piece_length, options.version);
        let pieces = length.div_ceil(u64::from(piece_length));
        let piece_count = u32::try_from(pieces).ok().filter(|&count| count <= PIECES_MAX);
        let piece_count = piece_count.ok_or(Error::TooManyPieces { actual: pieces })?;
        Ok(Self {
            name: name.to_owned(),
            options,
            piece_length,
            piece_count,
            files,
            placed,
            length,
        })
    }

    /// The files in the order of the torrent, without pads.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Length of all pieces but the last, in bytes.
    #[must_use]
    pub const fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces there are.
    #[must_use]
    pub const fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// For which versions it is.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.options.version
    }

    /// What a piece is made of, in order; nothing beyond the last. Found in logarithmic time.
    #[must_use]
    pub fn segments(&self, piece: PieceIndex) -> Vec<Segment> {
        let mut at = u64::from(piece.0) * u64::from(self.piece_length);
        let end = (at + u64::from(self.piece_length)).min(self.length);
        let short = |length: u64| u32::try_from(length).unwrap_or(u32::MAX);
        let mut segments = Vec::new();
        let zeros = |segments: &mut Vec<Segment>, length: u64| {
            if length > 0 && self.options.version == Version::Hybrid {
                segments.push(Segment::Zeros { length: short(length) });
            }
        };
        let first = self.placed.partition_point(|file| file.end <= at);
        for (file, place) in self.placed.iter().enumerate().skip(first) {
            if place.offset >= end {
                break;
            }
            if place.offset == place.end {
                continue;
            }
            zeros(&mut segments, place.offset.saturating_sub(at));
            let from = place.offset.max(at);
            at = place.end.min(end);
            let (offset, length) = (from - place.offset, short(at - from));
            segments.push(Segment::File { file, offset, length });
        }
        zeros(&mut segments, end.saturating_sub(at));
        segments
    }

    /// The root of a piece's hash tree, from the SHA-256 of each of its blocks of 16 KiB (the last may be
    /// shorter; zeros of pads are left out).
    ///
    /// The tree of a file of one piece is only as high as its blocks need (BEP 52); that of others is
    /// filled up.
    #[must_use]
    pub fn piece_root(&self, piece: PieceIndex, leaves: &[Hash]) -> Hash {
        let begin = u64::from(piece.0) * u64::from(self.piece_length);
        let file = self.placed.partition_point(|file| file.end <= begin);
        let length = self.files.get(file).map_or(0, |file| file.length);
        if length <= u64::from(self.piece_length) {
            return merkle::file_root(leaves);
        }
        let blocks = (self.piece_length / BLOCK_LEN) as usize;
        merkle::piece_layer(leaves, blocks).first().copied().unwrap_or_default()
    }

    /// Writes the metainfo file.
    ///
    /// # Errors
    ///
    /// There is not one hash a piece of each kind that the version needs, or it would be too long.
    pub fn finish(&self, hashes: &Hashes, around: &Surroundings) -> Result<Vec<u8>, Error> {
        let wanted = |has: bool| if has { self.piece_count as usize } else { 0 };
        let version = self.options.version;
        let (v1, v2) = (hashes.v1.len(), hashes.v2.len());
        if (v1, v2) != (wanted(version.has_v1()), wanted(version.has_v2())) {
            return Err(Error::HashCount { v1, v2, pieces: self.piece_count });
        }
        let bytes = write::metainfo(self, hashes, around);
        if bytes.len() > METAINFO_MAX {
            return Err(Error::TooLong(bytes.len()));
        }
        Ok(bytes)
    }

    /// Whether it is one file without a directory.
    fn is_single(&self) -> bool {
        self.files.first().is_some_and(|file| file.path.is_empty())
    }

    /// The pad behind a file, in bytes.
    fn pad_behind(&self, file: usize) -> u64 {
        let next = self.placed.get(file + 1).map_or(self.length, |next| next.offset);
        self.placed.get(file).map_or(0, |place| next - place.end)
    }

    /// Numbers of the pieces of a file, for v2 and hybrid.
    fn pieces_of(&self, file: usize) -> std::ops::Range<usize> {
        let Some(place) = self.placed.get(file) else { return 0..0 };
        let piece = u64::from(self.piece_length);
        let number = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        number(place.offset / piece)..number(place.end.div_ceil(piece))
    }
}

impl SourceFile {
    const fn attributes(&self) -> Attributes {
        Attributes { pad: false, executable: self.executable, hidden: self.hidden }
    }
}

/// The length of pieces that libtorrent would choose: the list of hashes grows with the square root of
/// the content. Gives 16 KiB up to 2.6 MB, 1 MiB up to 11 GB, 16 MiB from 704 GB on.
#[must_use]
pub fn automatic_piece_length(total: u64) -> u32 {
    // Pieces of `p` bytes do up to (2p / 20)² bytes, where 20 is the length of a hash.
    let does = |piece: u32| u128::from(piece) * u128::from(piece);
    let mut piece = BLOCK_LEN;
    while piece < AUTOMATIC_MAX && u128::from(total) > (does(piece) + 50) / 100 {
        piece *= 2;
    }
    piece
}

/// Checks that readers will find the names as they are, and that no two files are at one place.
fn check_names(name: &str, files: &[SourceFile], version: Version) -> Result<(), Error> {
    for file in files {
        if file.path.is_empty() && files.len() > 1 {
            return Err(Error::PathMissing);
        }
        let mut path = vec![name.to_owned()];
        path.extend_from_slice(&file.path);
        if path.iter().any(String::is_empty) {
            return Err(Error::Name(path.join("/")));
        }
        let parts: Vec<&[u8]> = path.iter().map(String::as_bytes).collect();
        if clean(&parts)? != path {
            return Err(Error::Name(path.join("/")));
        }
    }
    check_places(files.iter().map(|file| file.path.as_slice()))?;
    match files {
        [only] if version.has_v2() && matches!(only.path.as_slice(), [path] if path == name) => {
            Err(Error::Ambiguous(name.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Where each file begins and ends, and where the last piece ends.
fn place(files: &[SourceFile], piece_length: u32, version: Version) -> (Vec<Placed>, u64) {
    let aligned = |at: u64| at.next_multiple_of(u64::from(piece_length));
    let (mut at, mut placed) = (0, Vec::with_capacity(files.len()));
    for file in files {
        let offset = if version.has_v2() { aligned(at) } else { at };
        at = offset + file.length;
        placed.push(Placed { offset, end: at });
    }
    // As libtorrent does: one file alone is not padded, of several also the last one.
    let length = if version == Version::Hybrid && files.len() > 1 { aligned(at) } else { at };
    (placed, length)
}
