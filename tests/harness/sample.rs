//! Sample data: the same bytes on every run, made anew for each test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::metainfo::Metainfo;

/// Stands at the start of every [`MARKER_EVERY`] bytes of a file, so that unencrypted payload can be
/// told on the wire.
pub const MARKER: &[u8] = b"TorrentEdge sample data, sent unencrypted.";

/// Distance between markers in bytes: one block.
pub const MARKER_EVERY: usize = 16_384;

/// Files to share: one file called `name`, or a directory of them.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The torrent's name.
    pub name: String,
    /// Paths below the torrent's root and lengths; one with an empty path for a single file.
    pub files: Vec<(PathBuf, usize)>,
    /// Length of a piece in bytes.
    pub piece_length: usize,
}

impl Sample {
    /// One file that ends in the middle of a block.
    pub fn single() -> Self {
        Self::of_length("single.bin", 5_000_011)
    }

    /// One file of `length` bytes.
    pub fn of_length(name: &str, length: usize) -> Self {
        let files = vec![(PathBuf::new(), length)];
        Self { name: name.to_owned(), files, piece_length: 65_536 }
    }

    /// A tree with an empty file, files that share a piece, and names that are not ASCII.
    pub fn multi() -> Self {
        let lengths = [
            ("a.txt", 1),
            ("b/empty", 0),
            ("b/c/größe.bin", 3_456_789),
            ("b/d", 16_384),
            ("z", 100_001),
        ];
        let files = lengths.map(|(path, length)| (PathBuf::from(path), length)).to_vec();
        Self { name: "multi set".to_owned(), files, piece_length: 65_536 }
    }

    /// The same sample, without its empty files where `leave_out` says so.
    #[must_use]
    pub fn without_empty(mut self, leave_out: bool) -> Self {
        self.files.retain(|(_, length)| *length > 0 || !leave_out);
        self
    }

    /// Total length in bytes.
    pub fn total_length(&self) -> usize {
        self.files.iter().map(|(_, length)| length).sum()
    }

    /// Where file or directory of this sample lies when downloaded to `dir`.
    pub fn root(&self, dir: &Path) -> PathBuf {
        dir.join(&self.name)
    }

    /// The content of all files, in the torrent's order, without gaps.
    pub fn content(&self) -> Vec<u8> {
        (0..self.files.len()).flat_map(|index| self.file_content(index)).collect()
    }

    /// Writes the files below `dir`.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub fn write_to(&self, dir: &Path) -> Result<()> {
        for (index, (path, _)) in self.files.iter().enumerate() {
            let file = self.path_of(dir, path);
            fs::create_dir_all(file.parent().context("a file lies in a directory")?)?;
            fs::write(&file, self.file_content(index))?;
        }
        Ok(())
    }

    /// Checks the SHA-256 of every file below `dir`.
    ///
    /// # Errors
    ///
    /// A file is missing or differs.
    pub fn verify(&self, dir: &Path) -> Result<()> {
        for (index, (path, _)) in self.files.iter().enumerate() {
            let file = self.path_of(dir, path);
            let found =
                fs::read(&file).with_context(|| format!("{} is missing", file.display()))?;
            let expected = Sha256::digest(self.file_content(index));
            ensure!(
                Sha256::digest(found) == expected,
                "{} differs from the seed's",
                file.display()
            );
        }
        Ok(())
    }

    /// Describes this sample as a v1 torrent.
    pub fn metainfo(&self) -> Metainfo {
        Metainfo::of(self)
    }

    fn path_of(&self, dir: &Path, path: &Path) -> PathBuf {
        let root = self.root(dir);
        if path.as_os_str().is_empty() { root } else { root.join(path) }
    }

    fn file_content(&self, index: usize) -> Vec<u8> {
        let (path, length) = &self.files[index];
        let length = *length;
        let mut bytes = Vec::with_capacity(length + 8);
        let mut state = self.root(path).as_os_str().as_encoded_bytes().iter().fold(1, mix);
        while bytes.len() < length {
            bytes.extend_from_slice(&next_random(&mut state).to_le_bytes());
        }
        bytes.truncate(length);
        for block in bytes.chunks_mut(MARKER_EVERY) {
            let marked = block.len().min(MARKER.len());
            block[..marked].copy_from_slice(&MARKER[..marked]);
        }
        bytes
    }
}

/// Takes one more byte of a name into a seed.
fn mix(seed: u64, byte: &u8) -> u64 {
    seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
}

/// The SplitMix64 generator: enough for bytes that do not compress and never change.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// SHA-256 of every file below `dir`, by path relative to it, in order.
///
/// # Errors
///
/// A directory or file cannot be read.
pub fn digests(dir: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let digest = crate::metainfo::hex(&Sha256::digest(fs::read(&path)?));
                found.insert(path.strip_prefix(dir)?.to_owned(), digest);
            }
        }
    }
    Ok(found)
}
