//! Where a torrent's bytes stand on disk, and which of its files were written since they were synced.
//!
//! Used on disk threads only, by jobs that may outlive whoever asked for them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bittorrent::metainfo::{File as TorrentFile, FileSpan, Info};
use bittorrent::resume::FileState;
use bittorrent::{BlockRef, PieceIndex};
use env::disk::{File, FileSystem};

use super::error::StorageError;
use super::handles::{Access, Handles, Uid};
use crate::bugs::{self, Bug};

/// A torrent's files.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) uid: Uid,
    pub(super) info: Arc<Info>,
    pub(super) root: PathBuf,
    handles: Arc<Handles>,
    deleted: AtomicBool,
    unsynced: Mutex<Unsynced>,
}

#[derive(Debug, Default)]
struct Unsynced {
    /// Files whose content is not known to be durable.
    content: BTreeSet<usize>,
    /// Files whose name, with its directories, is known to be durable.
    named: BTreeSet<usize>,
    /// Executable files that were marked so.
    marked: BTreeSet<usize>,
}

impl Layout {
    pub(super) fn new(uid: Uid, info: Arc<Info>, root: PathBuf, handles: Arc<Handles>) -> Self {
        let (deleted, unsynced) = (AtomicBool::new(false), Mutex::default());
        Self { uid, info, root, handles, deleted, unsynced }
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        // Sets are whole after every call on them.
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of a file.
    pub(super) fn path(&self, file: &TorrentFile) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(file.path());
        path
    }

    /// The path of a file by its place; the torrent's directory for a place that is none.
    pub(super) fn path_at(&self, index: usize) -> PathBuf {
        self.info.files().get(index).map_or_else(|| self.root.clone(), |file| self.path(file))
    }

    /// Whether the file holds bytes on disk.
    pub(super) fn is_on_disk(file: &TorrentFile) -> bool {
        !file.is_pad() && file.symlink().is_none()
    }

    /// Whether bytes at this place are zeros that stand nowhere.
    pub(super) fn is_pad(&self, index: usize) -> bool {
        self.info.files().get(index).is_some_and(TorrentFile::is_pad)
    }

    /// The file ranges of a block.
    pub(super) fn spans(&self, block: BlockRef) -> impl Iterator<Item = FileSpan> + '_ {
        self.info.files().spans(block.piece, block.begin, block.length.into())
    }

    /// A block that is a whole piece.
    pub(super) fn whole(&self, piece: PieceIndex) -> BlockRef {
        BlockRef { piece, begin: 0, length: self.info.piece_len(piece) }
    }

    /// Whether the block lies within its piece.
    pub(super) fn check_range(&self, block: BlockRef) -> Result<(), StorageError> {
        let end = block.begin.checked_add(block.length);
        match end.filter(|&end| block.length > 0 && end <= self.info.piece_len(block.piece)) {
            Some(_) => Ok(()),
            None => Err(StorageError::OutOfRange(block)),
        }
    }

    /// Opens a file, or takes it from those that are open.
    pub(super) fn open(
        &self,
        files: &dyn FileSystem,
        index: usize,
        access: Access,
    ) -> Result<Arc<dyn File>, StorageError> {
        if self.deleted.load(Ordering::Acquire) {
            return Err(StorageError::Deleted);
        }
        let path = self.path_at(index);
        let opened = self.handles.open(files, (self.uid, index), &path, access);
        let file = opened.map_err(|error| StorageError::new(&path, &error))?;
        if access == Access::Write {
            self.mark(index, &*file);
        }
        Ok(file)
    }

    /// Makes a file executable if the torrent says so (BEP 47), once.
    fn mark(&self, index: usize, file: &dyn File) {
        let is_one = self.info.files().get(index).is_some_and(TorrentFile::is_executable);
        if is_one && self.unsynced().marked.insert(index) {
            // Some file systems know no such mark; the bytes are right all the same.
            let _ = file.set_executable();
        }
    }

    /// Closes all files.
    pub(super) fn close(&self) {
        self.handles.close(self.uid);
    }

    /// Notes that a file is about to be written, or that what was read of it must be made durable.
    pub(super) fn touch(&self, index: usize) {
        self.unsynced().content.insert(index);
    }

    /// Makes all durable that was written before the call: content first, then names.
    pub(super) fn sync(&self, files: &dyn FileSystem) -> Result<(), StorageError> {
        if bugs::has(Bug::ForgetsToSync) {
            return Ok(());
        }
        let indices = std::mem::take(&mut self.unsynced().content);
        let result = self.sync_files(files, &indices);
        if result.is_err() {
            self.unsynced().content.extend(indices);
        }
        result
    }

    fn sync_files(
        &self,
        files: &dyn FileSystem,
        indices: &BTreeSet<usize>,
    ) -> Result<(), StorageError> {
        let mut directories = BTreeSet::new();
        for &index in indices {
            let path = self.path_at(index);
            let file = self.open(files, index, Access::Read)?;
            file.sync().map_err(|error| StorageError::new(&path, &error))?;
            if !self.unsynced().named.contains(&index) {
                let above = path.ancestors().skip(1);
                directories.extend(
                    above.take_while(|path| path.starts_with(&self.root)).map(Path::to_owned),
                );
            }
        }
        for directory in directories.iter().rev() {
            files.sync_dir(directory).map_err(|error| StorageError::new(directory, &error))?;
        }
        self.unsynced().named.extend(indices);
        Ok(())
    }

    /// Length and time of change of each file; `None` for one that is not there or holds nothing.
    pub(super) fn states(
        &self,
        files: &dyn FileSystem,
    ) -> Result<Vec<Option<FileState>>, StorageError> {
        let state = |file: &TorrentFile| {
            if !Self::is_on_disk(file) {
                return Ok(None);
            }
            let path = self.path(file);
            match files.facts(&path) {
                Ok(facts) if facts.is_dir => Ok(None),
                Ok(facts) => Ok(Some(FileState { length: facts.len, mtime_ns: facts.modified_ns })),
                Err(error) => match StorageError::new(&path, &error) {
                    StorageError::Missing { .. } => Ok(None),
                    other => Err(other),
                },
            }
        };
        self.info.files().iter().map(state).collect()
    }

    /// Removes the torrent's files, and its directories as far as nothing else is in them.
    pub(super) fn delete(&self, files: &dyn FileSystem) -> Result<(), StorageError> {
        self.deleted.store(true, Ordering::Release);
        self.close();
        *self.unsynced() = Unsynced::default();
        let (mut result, mut directories) = (Ok(()), BTreeSet::new());
        for file in self.info.files().iter().filter(|file| !file.is_pad()) {
            let path = self.path(file);
            if let Err(error) = files.remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                result = result.and(Err(StorageError::new(&path, &error)));
            }
            let above = path.ancestors().skip(1).map(Path::to_owned);
            directories.extend(above.take_while(|path| *path != self.root));
        }
        for directory in directories.iter().rev() {
            // A directory that stays holds something that is not ours; that is no failure.
            let _ = files.remove_dir(directory);
        }
        result
    }
}
