//! Resume data: what is known to be on disk, and how much of it may be believed later.
//!
//! [`Resume`] is a torrent's checkpoint: its verified pieces, and each file's length and time of change
//! when they were known to be there. A piece in flight is not in it and is lost. The owner writes it only
//! after the bytes it claims were flushed. [`Resume::trust`] compares it with the files found at the next
//! start: a piece that touches a file that somebody else may have changed is hashed again, not believed.
//!
//! Form, all numbers big-endian: `TERESUME`, version (1 byte), [`Taken`] (1 byte), torrent id (20), pieces
//! (4), files (4), bitfield, then for each file a number `n`: 0 for none on disk, else its length less
//! that in the metainfo, zigzag, plus 1; where there is one, its time less that of the file before,
//! zigzag. These numbers are LEB128. The last 8 bytes are the beginning of the SHA-256 of all before. One
//! value has one form.

mod leb128;
#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::bitfield::{Bitfield, BitfieldError};
use crate::metainfo::{File, Files, Info};
use crate::{PieceIndex, TorrentId};
use leb128::Reader;

/// The longest resume data, in bytes; what a store takes.
pub const RESUME_LEN_MAX: usize = 4 << 20;
const MAGIC: &[u8; 8] = b"TERESUME";
const VERSION: u8 = 1;
const CHECKSUM_LEN: usize = 8;
/// The longest file that is recorded, in bytes; far beyond any there is.
const FILE_LEN_MAX: u64 = 1 << 62;

/// A file as it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    /// Length in bytes.
    pub length: u64,
    /// When it was changed last, in nanoseconds since 1970-01-01 UTC.
    pub mtime_ns: i64,
}

/// When resume data was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// While the torrent ran. Incomplete files may have been written by us after it.
    Running,
    /// When the torrent had stopped and its files were closed. Nobody should have written after it.
    Stopped,
}

/// What is known to be on disk of one torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The torrent.
    pub torrent: TorrentId,
    /// When it was taken.
    pub taken: Taken,
    /// The pieces that were hashed, found right, and flushed.
    pub verified: Bitfield,
    /// The torrent's files in order, with `None` for one that is not on disk (pads never are). Taken
    /// after the flush.
    pub files: Vec<Option<FileState>>,
}

/// What may be believed of resume data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Trust {
    /// These pieces are there.
    pub trusted: Bitfield,
    /// These may be there and must be hashed. Pieces with bytes that no file holds are not among them.
    pub recheck: Bitfield,
}

/// Why resume data is not used. The torrent must then be checked as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than is ever written.
    #[error("resume data of {0} bytes, at most {RESUME_LEN_MAX} are written")]
    TooLong(usize),
    /// Not resume data, or cut, or bytes of it changed.
    #[error("no resume data, or damaged")]
    Damaged,
    /// Written by a newer program.
    #[error("resume data of version {0}, this program reads {VERSION}")]
    Version(u8),
    /// Of another torrent.
    #[error("resume data of torrent {0}")]
    OtherTorrent(TorrentId),
    /// Of a torrent of another shape.
    #[error("resume data for {pieces} pieces and {files} files")]
    OtherShape {
        /// Pieces that it is for.
        pieces: u32,
        /// Files that it is for.
        files: u32,
    },
    /// Its bitfield has spare bits set.
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
}

/// What a file's state on disk means for its pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// What is claimed of it may be believed.
    Believed,
    /// What is claimed of it must be hashed.
    Doubted,
    /// It is another file: all of it may be right or wrong.
    Changed,
}

impl Resume {
    /// Nothing on disk of a torrent.
    #[must_use]
    pub fn nothing(info: &Info) -> Self {
        Self {
            torrent: info.torrent_id(),
            taken: Taken::Stopped,
            verified: Bitfield::new(info.piece_count()),
            files: vec![None; info.files().len()],
        }
    }

    /// Writes it, in [`RESUME_LEN_MAX`] bytes at most: where a torrent has so many files that it would be
    /// longer, the states of the last files are left out, and their pieces will be hashed again.
    #[must_use]
    pub fn encode(&self, files: &Files) -> Vec<u8> {
        self.encode_within(files, RESUME_LEN_MAX)
    }

    fn encode_within(&self, files: &Files, limit: usize) -> Vec<u8> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
        let mut out = Vec::from(MAGIC.as_slice());
        out.push(VERSION);
        out.push(match self.taken {
            Taken::Running => 0,
            Taken::Stopped => 1,
        });
        out.extend_from_slice(self.torrent.as_bytes());
        out.extend_from_slice(&self.verified.len().to_be_bytes());
        out.extend_from_slice(&number(files.len()));
        out.extend_from_slice(self.verified.as_bytes());
        let (mut entry, mut before, mut room_left) = (Vec::new(), 0, true);
        for (index, file) in files.iter().enumerate() {
            entry.clear();
            let state = self.files.get(index).copied().flatten();
            let state = state.filter(|state| room_left && state.length <= FILE_LEN_MAX);
            write_state(&mut entry, file, state, before);
            // Each file behind it takes one byte at least.
            let behind = files.len() - index - 1;
            if out.len() + entry.len() + behind + CHECKSUM_LEN > limit {
                room_left = false;
                entry.clear();
                entry.push(0);
            } else if let Some(state) = state {
                before = state.mtime_ns;
            }
            out.extend_from_slice(&entry);
        }
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum);
        out
    }

    /// Reads what [`encode`](Self::encode) wrote for this torrent.
    ///
    /// # Errors
    ///
    /// It is damaged, from a newer version, or of another torrent; see [`Error`].
    pub fn decode(bytes: &[u8], info: &Info) -> Result<Self, Error> {
        if bytes.len() > RESUME_LEN_MAX {
            return Err(Error::TooLong(bytes.len()));
        }
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Error::Damaged)?;
        if !body.starts_with(MAGIC) || checksum(body) != *sum {
            return Err(Error::Damaged);
        }
        Self::read(Reader::new(body), info)
    }

    /// Reads what stands before the checksum.
    fn read(mut reader: Reader<'_>, info: &Info) -> Result<Self, Error> {
        reader.array::<8>().ok_or(Error::Damaged)?;
        let [version, taken] = reader.array().ok_or(Error::Damaged)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let taken = match taken {
            0 => Taken::Running,
            1 => Taken::Stopped,
            _ => return Err(Error::Damaged),
        };
        let torrent = TorrentId(reader.array().ok_or(Error::Damaged)?);
        if torrent != info.torrent_id() {
            return Err(Error::OtherTorrent(torrent));
        }
        let pieces = u32::from_be_bytes(reader.array().ok_or(Error::Damaged)?);
        let count = u32::from_be_bytes(reader.array().ok_or(Error::Damaged)?);
        if pieces != info.piece_count() || count as usize != info.files().len() {
            return Err(Error::OtherShape { pieces, files: count });
        }
        let bits = reader.take(pieces.div_ceil(8) as usize).ok_or(Error::Damaged)?;
        let verified = Bitfield::from_bytes(bits, pieces)?;
        let mut files = Vec::with_capacity(info.files().len());
        let mut before = 0;
        for file in info.files().iter() {
            let state = read_state(&mut reader, file, before).ok_or(Error::Damaged)?;
            before = state.map_or(before, |state| state.mtime_ns);
            files.push(state);
        }
        if !reader.is_at_end() {
            return Err(Error::Damaged);
        }
        Ok(Self { torrent, taken, verified, files })
    }

    /// Says what may be believed, given the torrent's files as they are found now, in order, with `None`
    /// for one that is not there.
    ///
    /// A file's pieces are believed if it has the recorded length and time. While the torrent ran, an
    /// incomplete file may also be longer and newer: our own writes after the checkpoint leave verified
    /// pieces as they were. What such writes had completed is not looked for, and is fetched again.
    /// Where a file was changed by others, all of its pieces are hashed, claimed or not.
    pub fn trust(&self, files: &Files, now: &[Option<FileState>]) -> Trust {
        let pieces = self.verified.len();
        let mut trusted = self.verified.clone();
        let mut recheck = Bitfield::new(pieces);
        let real = files.iter().enumerate().filter(|(_, file)| !file.is_pad());
        for (index, _) in real.clone() {
            let found = now.get(index).copied().flatten();
            let verdict = self.judge(files, index, found);
            if verdict == Verdict::Believed {
                continue;
            }
            for piece in files.pieces_of(index) {
                let claimed = self.verified.contains(piece);
                if claimed || verdict == Verdict::Changed {
                    recheck.insert(piece);
                }
                trusted.remove(piece);
            }
        }
        // Last, as a piece may touch several files: what no file holds need not be hashed to be missing.
        for (index, file) in real {
            let found = now.get(index).copied().flatten().map_or(0, |state| state.length);
            for piece in beyond(files, index, file, found) {
                trusted.remove(piece);
                recheck.remove(piece);
            }
        }
        Trust { trusted, recheck }
    }

    fn judge(&self, files: &Files, index: usize, found: Option<FileState>) -> Verdict {
        let recorded = self.files.get(index).copied().flatten();
        match (recorded, found, self.taken) {
            (_, None, _) => Verdict::Doubted,
            (Some(recorded), Some(found), _) if recorded == found => Verdict::Believed,
            (Some(recorded), Some(found), Taken::Running) => {
                let grown = found.length >= recorded.length && found.mtime_ns >= recorded.mtime_ns;
                let complete = files.pieces_of(index).all(|piece| self.verified.contains(piece));
                if grown && !complete { Verdict::Believed } else { Verdict::Changed }
            }
            // We made it after the checkpoint, or its state was left out of it.
            (None, Some(_), Taken::Running) => Verdict::Doubted,
            (_, Some(_), Taken::Stopped) => Verdict::Changed,
        }
    }
}

/// The pieces of a file that need bytes beyond its first `found` ones.
fn beyond(
    files: &Files,
    index: usize,
    file: &File,
    found: u64,
) -> impl Iterator<Item = PieceIndex> + use<> {
    let all = files.piece_range(index);
    let first = (file.offset() + found) / u64::from(files.piece_length());
    let first = u32::try_from(first).unwrap_or(u32::MAX).max(all.start);
    let end = if found < file.length() { all.end } else { first };
    (first..end).map(PieceIndex)
}

fn write_state(out: &mut Vec<u8>, file: &File, state: Option<FileState>, before: i64) {
    let Some(state) = state else {
        out.push(0);
        return;
    };
    let more = state.length.wrapping_sub(file.length()).cast_signed();
    leb128::write(out, leb128::zigzag(more) + 1);
    leb128::write(out, leb128::zigzag(state.mtime_ns.wrapping_sub(before)));
}

/// Reads a file's state; the outer `None` is for bytes that are never written.
fn read_state(reader: &mut Reader<'_>, file: &File, before: i64) -> Option<Option<FileState>> {
    let Some(more) = reader.leb128()?.checked_sub(1) else { return Some(None) };
    let length = file.length().checked_add_signed(leb128::unzigzag(more))?;
    let mtime_ns = before.wrapping_add(leb128::unzigzag(reader.leb128()?));
    (length <= FILE_LEN_MAX).then_some(Some(FileState { length, mtime_ns }))
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest: [u8; 32] = Sha256::digest(body).into();
    digest.first_chunk().copied().unwrap_or_default()
}
