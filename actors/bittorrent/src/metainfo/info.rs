//! The info dictionary: what a torrent is, and what its info-hashes are taken over.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::error::Error;
use super::files::{Attributes, File, Files};
use super::merkle;
use super::path::{check_places, clean};
use crate::bencode::{self, Dict, Limits, List, Value};
use crate::{BLOCK_LEN, InfoHash, InfoHashV2, PieceIndex, TorrentId};

/// Pieces of a torrent at most; as in libtorrent.
pub const PIECES_MAX: u32 = 2_097_152;
/// The longest piece, in bytes; as in libtorrent.
pub(super) const PIECE_LENGTH_MAX: u32 = 512 * 1024 * 1024;
/// Files of a torrent at most.
pub(super) const FILES_MAX: usize = 500_000;
/// Memory that the paths of all files may take, in bytes. A directory of a v2 tree is named once and stands
/// in the path of each file below it, so a short tree could fill any memory.
const PATHS_MAX: usize = 256 * 1024 * 1024;
/// What a part of a path takes beside its text, in bytes.
const PART_OVERHEAD: usize = 48;
/// Bytes of all files at most: 2^53, so that every number is exact in every language.
pub(super) const TOTAL_MAX: u64 = 1 << 53;
const SHA1_LEN: usize = 20;
const SHA256_LEN: usize = 32;

/// An info dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    raw: Bytes,
    name: String,
    piece_length: u32,
    piece_count: u32,
    total_length: u64,
    files: Files,
    hashes: Option<Bytes>,
    v1: Option<InfoHash>,
    v2: Option<InfoHashV2>,
    private: bool,
}

impl Info {
    /// Reads an info dictionary that came alone.
    ///
    /// # Errors
    ///
    /// It is not bencode, or against the rules of its version.
    pub fn parse(raw: &Bytes) -> Result<Self, Error> {
        let document = bencode::parse(raw, Limits::METAINFO)?;
        Self::read(raw, document.root())
    }

    pub(super) fn read(raw: &Bytes, value: Value<'_>) -> Result<Self, Error> {
        let info = value.dict().ok_or(Error::Wrong { key: "info", expected: "a dictionary" })?;
        let is_v2 = match info.get("meta version") {
            None => false,
            Some(version) if version.int() == Some(2) => true,
            Some(_) => return Err(Error::Wrong { key: "meta version", expected: "2" }),
        };
        let is_v1 = !is_v2 || info.get("pieces").is_some();
        let piece_length = read_piece_length(info, is_v2)?;
        let v1 = is_v1.then(|| InfoHash(Sha1::digest(raw).into()));
        let v2 = is_v2.then(|| InfoHashV2(Sha256::digest(raw).into()));
        let name = read_name(info, v1, v2)?;
        let tree = if is_v2 { Some(read_tree(info, &name, piece_length)?) } else { None };
        let files = if is_v1 { Some(read_list(info, &name)?) } else { None };
        if let (Some(tree), Some(list)) = (&tree, &files) {
            check_hybrid(list, tree)?;
        }
        let roots = tree.as_ref().map(|tree| tree.iter().map(|file| file.pieces_root).collect());
        let mut files = files.or(tree).ok_or(Error::Missing("pieces"))?;
        add_roots(&mut files, roots.unwrap_or_default());
        let end = files.last().map_or(0, |file| file.offset + file.length);
        let pieces = end.div_ceil(u64::from(piece_length));
        let piece_count = u32::try_from(pieces).ok().filter(|&count| count <= PIECES_MAX);
        let piece_count =
            piece_count.ok_or(Error::TooManyPieces { actual: pieces, limit: PIECES_MAX })?;
        let hashes = if is_v1 { Some(read_hashes(raw, value, info, pieces)?) } else { None };
        Ok(Self {
            raw: raw.clone(),
            name,
            piece_length,
            piece_count,
            total_length: end,
            files: Files { files, piece_length },
            hashes,
            v1,
            v2,
            private: info.int("private") == Some(1),
        })
    }

    /// The bytes that the info-hashes are taken over.
    #[must_use]
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The torrent's name: that of its only file, or of its directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

    /// Bytes of all pieces, pads included.
    #[must_use]
    pub const fn total_length(&self) -> u64 {
        self.total_length
    }

    /// The files.
    #[must_use]
    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// The v1 info-hash, if it has one.
    #[must_use]
    pub const fn v1(&self) -> Option<InfoHash> {
        self.v1
    }

    /// The v2 info-hash, if it has one.
    #[must_use]
    pub const fn v2(&self) -> Option<InfoHashV2> {
        self.v2
    }

    /// Whether peers come from its trackers only (BEP 27).
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.private
    }

    /// The torrent's id.
    #[must_use]
    pub fn torrent_id(&self) -> TorrentId {
        match (self.v1, self.v2) {
            (Some(v1), _) => v1.into(),
            (None, Some(v2)) => v2.into(),
            (None, None) => TorrentId([0; 20]),
        }
    }

    /// Length of a piece in bytes; 0 beyond the last.
    #[must_use]
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        if piece.0 >= self.piece_count {
            return 0;
        }
        let begin = u64::from(piece.0) * u64::from(self.piece_length);
        let rest = self.total_length.saturating_sub(begin);
        u32::try_from(rest).unwrap_or(u32::MAX).min(self.piece_length)
    }

    /// The SHA-1 of a piece, of a torrent that has them.
    #[must_use]
    pub fn piece_hash_v1(&self, piece: PieceIndex) -> Option<[u8; SHA1_LEN]> {
        let begin = piece.as_usize().checked_mul(SHA1_LEN)?;
        self.hashes.as_ref()?.get(begin..begin + SHA1_LEN)?.try_into().ok()
    }

    /// Checks the piece layers of a v2 torrent against the roots of its files.
    pub(super) fn check_layers(&self, layers: Option<Value<'_>>) -> Result<(), Error> {
        // Found by name: a search for each of many files takes quadratic time.
        let layers = layers.and_then(Value::dict).into_iter().flat_map(Dict::iter);
        let layers: BTreeMap<&[u8], Value<'_>> = layers.collect();
        let level = (self.piece_length / BLOCK_LEN).trailing_zeros();
        for file in self.files.iter() {
            let Some(root) =
                file.pieces_root().filter(|_| file.length() > u64::from(self.piece_length))
            else {
                continue;
            };
            let wrong = || Error::Layer(file.path().join("/"));
            let layer = layers.get(root.as_slice()).and_then(|layer| layer.bytes());
            let layer = layer.ok_or_else(wrong)?;
            let pieces = file.length().div_ceil(u64::from(self.piece_length));
            if layer.len() as u64 != pieces * SHA256_LEN as u64 {
                return Err(wrong());
            }
            let hashes: Vec<merkle::Hash> =
                layer.chunks_exact(SHA256_LEN).filter_map(|hash| hash.try_into().ok()).collect();
            if !merkle::layer_matches(&hashes, level, root) {
                return Err(wrong());
            }
        }
        Ok(())
    }
}

fn read_piece_length(info: Dict<'_>, is_v2: bool) -> Result<u32, Error> {
    let wrong = |expected| Err(Error::Wrong { key: "piece length", expected });
    let length = info.int("piece length").ok_or(Error::Missing("piece length"))?;
    let length = u32::try_from(length).unwrap_or(0);
    if !(1..=PIECE_LENGTH_MAX).contains(&length) {
        return wrong("1 to 536870912 bytes");
    }
    if is_v2 && (!length.is_power_of_two() || length < BLOCK_LEN) {
        return wrong("a power of two, 16384 or more, in a v2 torrent");
    }
    Ok(length)
}

fn read_name(
    info: Dict<'_>,
    v1: Option<InfoHash>,
    v2: Option<InfoHashV2>,
) -> Result<String, Error> {
    let name = utf8_first(info, "name").unwrap_or_default();
    if name.is_empty() {
        // Some files have none; their hash tells them apart.
        let hash = v1.map(|hash| hash.to_string()).or_else(|| v2.map(|hash| hash.to_string()));
        return Ok(hash.unwrap_or_default());
    }
    Ok(clean(&[name])?.concat())
}

/// The value of `key.utf-8`, or else of `key`.
fn utf8_first<'d>(dict: Dict<'d>, key: &str) -> Option<&'d [u8]> {
    dict.bytes(&format!("{key}.utf-8")).or_else(|| dict.bytes(key))
}

fn read_length(dict: Dict<'_>) -> Result<u64, Error> {
    let wrong = Error::Wrong { key: "length", expected: "a length in bytes, 2^53 at most" };
    let length = dict.int("length").ok_or(Error::Missing("length"))?;
    u64::try_from(length).ok().filter(|&length| length <= TOTAL_MAX).ok_or(wrong)
}

fn read_attributes(dict: Dict<'_>) -> Attributes {
    let attr = dict.bytes("attr").unwrap_or_default();
    Attributes {
        pad: attr.contains(&b'p'),
        executable: attr.contains(&b'x'),
        hidden: attr.contains(&b'h'),
    }
}

fn read_symlink(dict: Dict<'_>) -> Result<Option<Vec<String>>, Error> {
    if !dict.bytes("attr").unwrap_or_default().contains(&b'l') {
        return Ok(None);
    }
    let target = dict.list("symlink path").ok_or(Error::Missing("symlink path"))?;
    clean(&parts(target, "symlink path")?).map(Some)
}

fn parts<'d>(list: List<'d>, key: &'static str) -> Result<Vec<&'d [u8]>, Error> {
    let wrong = Error::Wrong { key, expected: "a list of strings" };
    list.iter().map(Value::bytes).collect::<Option<_>>().ok_or(wrong)
}

/// The files of a v1 info dictionary.
fn read_list(info: Dict<'_>, name: &str) -> Result<Vec<File>, Error> {
    let Some(list) = info.get("files") else {
        let file = File {
            path: vec![name.to_owned()],
            length: read_length(info)?,
            offset: 0,
            attributes: Attributes { pad: false, ..read_attributes(info) },
            symlink: None,
            pieces_root: None,
        };
        return Ok(vec![file]);
    };
    let list = list.list().ok_or(Error::Wrong { key: "files", expected: "a list" })?;
    let (mut files, mut offset): (Vec<File>, u64) = (Vec::new(), 0);
    for entry in list.iter() {
        let entry = entry
            .dict()
            .ok_or(Error::Wrong { key: "files", expected: "a list of dictionaries" })?;
        let path = entry.list("path.utf-8").or_else(|| entry.list("path"));
        let path = parts(path.ok_or(Error::Missing("path"))?, "path")?;
        let path = clean(&[&[name.as_bytes()], &path[..]].concat())?;
        let attributes = read_attributes(entry);
        if path.len() < 2 && !attributes.pad {
            return Err(Error::Path { path: path.join("/"), why: "it is empty" });
        }
        let symlink = read_symlink(entry)?;
        let length = if symlink.is_some() { 0 } else { read_length(entry)? };
        files.push(File { path, length, offset, attributes, symlink, pieces_root: None });
        offset += length;
        if offset > TOTAL_MAX || files.len() > FILES_MAX {
            return Err(Error::Wrong {
                key: "files",
                expected: "500000 files and 2^53 bytes at most",
            });
        }
    }
    if files.is_empty() {
        return Err(Error::Wrong { key: "files", expected: "a list of at least one file" });
    }
    check_places(files.iter().filter(|file| !file.is_pad()).map(File::path))?;
    Ok(files)
}

fn read_hashes(raw: &Bytes, value: Value<'_>, info: Dict<'_>, pieces: u64) -> Result<Bytes, Error> {
    let hashes = info.bytes("pieces").ok_or(Error::Missing("pieces"))?;
    if hashes.len() as u64 != pieces * SHA1_LEN as u64 {
        let count = hashes.len() / SHA1_LEN;
        return Err(Error::WrongHashCount { hashes: count, pieces });
    }
    // A slice of the raw bytes, which begin where the dictionary stood in its document.
    let end = info.get("pieces").map_or(0, |pieces| pieces.span().end - value.start());
    Ok(raw.slice(end - hashes.len()..end))
}

/// A directory of a v2 file tree that is being read.
struct Level<'d> {
    entries: Box<dyn Iterator<Item = (&'d [u8], Value<'d>)> + 'd>,
}

/// The files of a v2 info dictionary: each begins a piece.
fn read_tree(info: Dict<'_>, name: &str, piece_length: u32) -> Result<Vec<File>, Error> {
    let wrong = |expected| Error::Wrong { key: "file tree", expected };
    let tree = info.dict("file tree").ok_or(Error::Missing("file tree"))?;
    let mut levels = vec![Level { entries: Box::new(tree.iter()) }];
    let (mut path, mut files): (Vec<String>, Vec<File>) = (Vec::new(), Vec::new());
    let (mut offset, mut paths) = (0_u64, 0_usize);
    while let Some(level) = levels.last_mut() {
        let Some((key, value)) = level.entries.next() else {
            levels.pop();
            path.pop();
            continue;
        };
        let dict = value.dict().ok_or_else(|| wrong("dictionaries"))?;
        if !key.is_empty() {
            path.push(clean(&[key])?.concat());
            levels.push(Level { entries: Box::new(dict.iter()) });
            continue;
        }
        // The empty name holds what is known of the file whose path led here.
        paths += path.iter().map(|part| part.len() + PART_OVERHEAD).sum::<usize>();
        if paths > PATHS_MAX {
            return Err(wrong("paths of 256 MiB in memory at most"));
        }
        let file = read_tree_file(dict, &path, offset)?;
        offset = (offset + file.length).next_multiple_of(u64::from(piece_length));
        files.push(file);
        if offset > TOTAL_MAX || files.len() > FILES_MAX {
            return Err(wrong("500000 files and 2^53 bytes at most"));
        }
    }
    if files.is_empty() {
        return Err(wrong("at least one file"));
    }
    check_places(files.iter().map(File::path))?;
    // A single file stands alone; several stand in a directory of the torrent's name.
    let single = matches!(files.as_slice(), [file] if file.path.len() == 1 && file.path.first().is_some_and(|only| only == name));
    if !single {
        files.iter_mut().for_each(|file| file.path.insert(0, name.to_owned()));
    }
    Ok(files)
}

fn read_tree_file(dict: Dict<'_>, path: &[String], offset: u64) -> Result<File, Error> {
    if path.is_empty() {
        return Err(Error::Path { path: String::new(), why: "it is empty" });
    }
    let symlink = read_symlink(dict)?;
    let length = if symlink.is_some() { 0 } else { read_length(dict)? };
    let wrong = Error::Wrong { key: "pieces root", expected: "32 bytes" };
    let pieces_root = match dict.bytes("pieces root") {
        Some(root) => Some(root.try_into().map_err(|_| wrong)?),
        None if length > 0 => return Err(Error::Missing("pieces root")),
        None => None,
    };
    let attributes = Attributes { pad: false, ..read_attributes(dict) };
    Ok(File { path: path.to_vec(), length, offset, attributes, symlink, pieces_root })
}

/// Both descriptions of a hybrid torrent must be of the same files, at the same places.
fn check_hybrid(list: &[File], tree: &[File]) -> Result<(), Error> {
    let mut real = list.iter().filter(|file| !file.is_pad());
    for file in tree {
        let same = real.next().is_some_and(|other| {
            let aligned = file.length == 0 || other.offset == file.offset;
            other.path == file.path && other.length == file.length && aligned
        });
        if !same {
            return Err(Error::HybridMismatch(file.path.join("/")));
        }
    }
    match real.next() {
        Some(more) => Err(Error::HybridMismatch(more.path.join("/"))),
        None => Ok(()),
    }
}

fn add_roots(files: &mut [File], roots: Vec<Option<[u8; 32]>>) {
    let real = files.iter_mut().filter(|file| !file.is_pad());
    real.zip(roots).for_each(|(file, root)| file.pieces_root = root);
}
