//! The file system of a simulated disk, as jobs see it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{Content, pages_of};
use super::pages::PAGE;
use super::{BYTE_TAKES_NS, EIO, Platter, SYNC_TAKES, SimDisk};
use crate::disk::{File, FileFacts, FileSystem, OpenMode};

/// The files of a disk.
pub(super) struct SimFiles {
    pub(super) disk: SimDisk,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: usize,
    writable: bool,
}

/// The names below a directory, with what it itself may be the name of.
fn below<'a>(
    names: &'a BTreeMap<PathBuf, usize>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a usize)> {
    // Paths are ordered by their parts, so those below one follow it.
    names
        .range::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |(name, _)| name.starts_with(path))
}

impl FileSystem for SimFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut platter = self.disk.lock();
        let id = match (mode, platter.names.get(path)) {
            (OpenMode::Read, None) => return Err(io::ErrorKind::NotFound.into()),
            (OpenMode::Read | OpenMode::ReadWrite, Some(&id)) => id,
            (OpenMode::Truncate, _) | (OpenMode::ReadWrite, None) => {
                platter.writable()?;
                // A new inode, so that a power cut before the sync can bring the old content back.
                platter.create(path)
            }
        };
        if let Some(content) = platter.contents.get_mut(&id) {
            content.handles += 1;
        }
        Ok(Arc::new(SimFile { disk: self.disk.clone(), id, writable: mode != OpenMode::Read }))
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        let platter = self.disk.lock();
        if let Some(content) = platter.content_at(path) {
            return Ok(facts_of(content));
        }
        if below(&platter.names, path).next().is_some() {
            return Ok(FileFacts { len: 0, modified_ns: 0, is_dir: true });
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        self.disk.lock().writable()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        platter.writable()?;
        let id = *platter.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if from != to {
            platter.name(to, id);
            platter.unname(from);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        platter.writable()?;
        platter.links.remove(path);
        platter.unname_durably(path);
        platter.unname(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let platter = self.disk.lock();
        if below(&platter.names, path).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let platter = self.disk.lock();
        let inside =
            below(&platter.names, path).filter_map(|(name, _)| name.strip_prefix(path).ok());
        let mut names: Vec<_> =
            inside.filter_map(|rest| Some(rest.iter().next()?.to_owned())).collect();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        platter.took_ns += u64::try_from(SYNC_TAKES.as_nanos()).unwrap_or(0);
        let platter = &mut *platter;
        let mut gone = Vec::new();
        for (name, _) in below(&platter.durable_names, path) {
            if name.parent() == Some(path) && !platter.names.contains_key(name) {
                gone.push(name.clone());
            }
        }
        let mut new = Vec::new();
        for (name, id) in below(&platter.names, path) {
            if name.parent() == Some(path) && platter.durable_names.get(name) != Some(id) {
                new.push((name.clone(), *id));
            }
        }
        gone.iter().for_each(|name| platter.unname_durably(name));
        new.iter().for_each(|(name, id)| platter.name_durably(name, *id));
        Ok(())
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        platter.writable()?;
        if platter.links.insert(link.to_owned(), target.to_owned()).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(())
    }

    fn free_space(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.disk.lock().room())
    }
}

fn facts_of(content: &Content) -> FileFacts {
    FileFacts { len: content.now.len, modified_ns: content.modified_ns, is_dir: false }
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Platter, usize) -> io::Result<T>) -> io::Result<T> {
        act(&mut self.disk.lock(), self.id)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut platter = self.disk.lock();
        if let Some(content) = platter.contents.get_mut(&self.id) {
            content.handles -= 1;
        }
        platter.forget_if_lost(self.id);
    }
}

fn content(platter: &Platter, id: usize) -> io::Result<&Content> {
    platter.contents.get(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl File for SimFile {
    fn read_vectored_at(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.with(|platter, id| {
            if platter.faults.reads_fail {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            let image = &content(platter, id)?.now;
            let mut read = 0;
            for buf in bufs {
                read += image.read(offset.saturating_add(read as u64), buf);
            }
            platter.took_ns += read as u64 * BYTE_TAKES_NS;
            Ok(read)
        })
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.with(|platter, id| {
            if !self.writable {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            platter.writable()?;
            let len: usize = bufs.iter().map(|buf| buf.len()).sum();
            let new = content(platter, id)?.now.holes(pages_of(offset, len as u64));
            if new * PAGE as u64 > platter.room() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            platter.took_ns += len as u64 * BYTE_TAKES_NS;
            let now_ns = platter.now_ns;
            platter.change(id, |content, store| {
                content.write(offset, bufs, len, store);
                content.modified_ns = now_ns;
            });
            Ok(len)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|platter, id| {
            platter.writable()?;
            platter
                .change(id, |content, _| content.set_len(len))
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len > self.facts()?.len {
            self.set_len(len)?;
        }
        self.with(|platter, id| {
            let new = content(platter, id)?.now.holes(pages_of(0, len));
            if new * PAGE as u64 > platter.room() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            platter.change(id, |content, store| content.allocate(len, store));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|platter, id| {
            platter.took_ns += u64::try_from(SYNC_TAKES.as_nanos()).unwrap_or(0);
            if platter.faults.writes_fail {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            platter.change(id, Content::sync).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn facts(&self) -> io::Result<FileFacts> {
        self.with(|platter, id| content(platter, id).map(facts_of))
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.with(|platter, id| Ok(content(platter, id)?.now.next_data(from)))
    }
}
