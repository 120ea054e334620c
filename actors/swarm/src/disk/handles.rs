//! Open files of the whole node: a bounded number, the least recently used closed first.
//!
//! Used on disk threads only. The lock is held for a look-up; files are opened and closed without it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use env::disk::{File, FileSystem, OpenMode};

/// A torrent's number in this node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uid(pub(super) u64);

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Reading.
    Read,
    /// Writing and reading; makes the file and its directories.
    Write,
}

type Key = (Uid, usize);

/// The open files.
#[derive(Debug)]
pub(super) struct Handles {
    max: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    open: BTreeMap<Key, Handle>,
    /// The keys of `open` by when they were used last.
    order: BTreeMap<u64, Key>,
    uses: u64,
}

#[derive(Debug)]
struct Handle {
    file: Arc<dyn File>,
    access: Access,
    used: u64,
}

impl Handles {
    /// Keeps `max` files open at most, those in use by a job aside.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), cache: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // Each change below is whole before anything could panic.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file `key`, which stands at `path`.
    pub(super) fn open(
        &self,
        files: &dyn FileSystem,
        key: Key,
        path: &Path,
        access: Access,
    ) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.lock().get(key, access) {
            return Ok(file);
        }
        let mode = match access {
            Access::Read => OpenMode::Read,
            Access::Write => OpenMode::ReadWrite,
        };
        let file = files.open(path, mode)?;
        let closed = self.lock().put(key, Arc::clone(&file), access, self.max);
        drop(closed);
        Ok(file)
    }

    /// Closes the files of a torrent.
    pub(super) fn close(&self, torrent: Uid) {
        let closed = {
            let mut cache = self.lock();
            let keys: Vec<_> = cache
                .open
                .range((torrent, 0)..=(torrent, usize::MAX))
                .map(|(&key, _)| key)
                .collect();
            keys.into_iter().filter_map(|key| cache.remove(key)).collect::<Vec<_>>()
        };
        drop(closed);
    }

    /// How many files are kept open.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().open.len()
    }
}

impl Cache {
    fn get(&mut self, key: Key, access: Access) -> Option<Arc<dyn File>> {
        let handle = self.open.get_mut(&key).filter(|handle| handle.access >= access)?;
        self.order.remove(&handle.used);
        self.uses += 1;
        handle.used = self.uses;
        self.order.insert(self.uses, key);
        Some(Arc::clone(&handle.file))
    }

    /// Keeps a file; gives those that are to be closed.
    fn put(&mut self, key: Key, file: Arc<dyn File>, access: Access, max: usize) -> Vec<Handle> {
        let mut closed: Vec<_> = self.remove(key).into_iter().collect();
        self.uses += 1;
        self.open.insert(key, Handle { file, access, used: self.uses });
        self.order.insert(self.uses, key);
        while self.open.len() > max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            closed.extend(self.open.remove(&oldest));
        }
        closed
    }

    fn remove(&mut self, key: Key) -> Option<Handle> {
        let handle = self.open.remove(&key)?;
        self.order.remove(&handle.used);
        Some(handle)
    }
}
