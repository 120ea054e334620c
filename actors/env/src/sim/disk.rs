//! A simulated disk: files in memory, what of them is durable, and faults on demand.
//!
//! A process that dies loses nothing that it wrote. A power cut loses or tears writes that were not
//! synced, and may lose names that were not synced with their directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bittorrent::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::queue::{Event, Life, Shared};
use crate::disk::{Disk, DiskJob, DiskLane, File, FileFacts, FileSystem, OpenMode};

/// What a job takes at least.
const JOB_TAKES: Duration = Duration::from_micros(80);
/// What a sync takes.
const SYNC_TAKES: Duration = Duration::from_millis(2);
/// Nanoseconds a byte: 1 GB/s.
const BYTE_TAKES_NS: u64 = 1;
/// Room is taken in steps of this size: a page.
const PAGE: u64 = 4096;
/// Writes are torn at this size: a sector.
const SECTOR: usize = 512;

/// Faults that a disk shows from now on.
#[derive(Debug, Clone, Default)]
pub struct DiskFaults {
    /// Bytes that fit, all files together; `None` is without bound. Beyond: `StorageFull`.
    pub capacity: Option<u64>,
    /// Every read fails with `EIO`.
    pub reads_fail: bool,
    /// Every write fails with `EIO`.
    pub writes_fail: bool,
    /// Nothing can be written or made (`EROFS`).
    pub read_only: bool,
    /// Every job panics instead of being done.
    pub jobs_panic: bool,
    /// Added to every job.
    pub delay: Duration,
}

/// A disk. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct SimDisk {
    platter: Arc<Mutex<Platter>>,
}

#[derive(Debug)]
struct Platter {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    links: BTreeMap<PathBuf, PathBuf>,
    contents: BTreeMap<usize, Content>,
    next: usize,
    faults: DiskFaults,
    rng: SmallRng,
    now_ns: i64,
    took_ns: u64,
}

#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    /// The pages that hold data: the others are holes and take no room.
    pages: BTreeSet<u64>,
    modified_ns: i64,
}

/// The disk as one life of a host uses it.
#[derive(Debug)]
pub(super) struct LifeDisk {
    disk: SimDisk,
    shared: Arc<Shared>,
    life: Life,
}

impl SimDisk {
    pub(super) fn new(seed: u64) -> Self {
        let platter = Platter {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            links: BTreeMap::new(),
            contents: BTreeMap::new(),
            next: 0,
            faults: DiskFaults::default(),
            rng: SmallRng::seed_from_u64(seed),
            now_ns: 0,
            took_ns: 0,
        };
        Self { platter: Arc::new(Mutex::new(platter)) }
    }

    pub(super) fn for_life(&self, shared: Arc<Shared>, life: Life) -> LifeDisk {
        LifeDisk { disk: self.clone(), shared, life }
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the faults that the disk shows from now on.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.lock().faults = faults;
    }

    /// Puts a durable file on the disk, as if it had always been there; one that stands there already is
    /// changed, and its time of modification with it.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut platter = self.lock();
        let id = platter.create(path.as_ref());
        let modified_ns = platter.contents.get(&id).map_or(0, |content| content.modified_ns + 1);
        platter.durable_names.insert(path.as_ref().to_owned(), id);
        let (durable, pages) = (bytes.to_vec(), pages_of(0, bytes.len()).collect());
        let unsynced = Vec::new();
        let content = Content { bytes: bytes.to_vec(), durable, unsynced, pages, modified_ns };
        platter.contents.insert(id, content);
    }

    /// The bytes of a file as a reader would see them now.
    #[must_use]
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let platter = self.lock();
        let id = platter.names.get(path.as_ref())?;
        platter.contents.get(id).map(|content| content.bytes.clone())
    }

    /// The paths of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Loses or tears what was not synced.
    pub fn power_cut(&self) {
        let mut platter = self.lock();
        let platter = &mut *platter;
        let mut names = platter.durable_names.clone();
        for (path, id) in &platter.names {
            // A name that was not synced may still have reached the disk.
            if !names.contains_key(path) && platter.rng.random_bool(0.5) {
                names.insert(path.clone(), *id);
            }
        }
        platter.names.clone_from(&names);
        platter.durable_names = names;
        for content in platter.contents.values_mut() {
            content.lose_power(&mut platter.rng);
        }
    }
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8], now_ns: i64) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(to) = self.bytes.get_mut(offset..end) {
            to.copy_from_slice(bytes);
        }
        self.unsynced.push((offset, bytes.to_vec()));
        self.pages.extend(pages_of(offset, bytes.len()));
        self.modified_ns = now_ns;
    }

    fn lose_power(&mut self, rng: &mut SmallRng) {
        let mut bytes = std::mem::take(&mut self.durable);
        for (offset, written) in self.unsynced.drain(..) {
            let kept = match rng.random_range(0..3) {
                0 => 0,
                1 => written.len(),
                _ => (rng.random_range(0..=written.len()) / SECTOR) * SECTOR,
            };
            if kept == 0 {
                continue;
            }
            let end = offset + kept;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let (Some(to), Some(from)) = (bytes.get_mut(offset..end), written.get(..kept)) {
                to.copy_from_slice(from);
            }
        }
        self.durable.clone_from(&bytes);
        self.bytes = bytes;
    }
}

/// The pages that `len` bytes from `offset` lie on.
fn pages_of(offset: usize, len: usize) -> Range<u64> {
    let (from, to) = (offset as u64, (offset + len) as u64);
    from / PAGE..to.div_ceil(PAGE)
}

impl Platter {
    fn create(&mut self, path: &Path) -> usize {
        if let Some(&id) = self.names.get(path) {
            return id;
        }
        let id = self.next;
        self.next += 1;
        self.contents.insert(id, Content { modified_ns: self.now_ns, ..Content::default() });
        self.names.insert(path.to_owned(), id);
        id
    }

    fn writable(&self) -> io::Result<()> {
        if self.faults.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if self.faults.writes_fail {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    fn room(&self) -> u64 {
        self.faults.capacity.map_or(u64::MAX, |all| all.saturating_sub(self.used()))
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|id| self.contents.get(id))
            .map(|content| content.pages.len() as u64 * PAGE)
            .sum()
    }
}

/// The number of the error `EIO` on Linux.
const EIO: i32 = 5;

impl Disk for LifeDisk {
    fn submit(&self, _lane: DiskLane, job: DiskJob) {
        let (disk, shared) = (self.disk.clone(), Arc::clone(&self.shared));
        let mut state = self.shared.lock();
        let at = state.now + JOB_TAKES;
        let life = self.life;
        // The job runs when its event is due; what it took is added to the platter's busy time and so
        // delays the jobs after it.
        let busy = {
            let mut platter = disk.lock();
            let delay = platter.faults.delay + Duration::from_nanos(platter.took_ns);
            platter.took_ns = 0;
            delay
        };
        let run = Box::new(move || {
            let now_ns = i64::try_from(shared.lock().now.as_nanos()).unwrap_or(i64::MAX);
            let panics = {
                let mut platter = disk.lock();
                platter.now_ns = now_ns;
                platter.faults.jobs_panic
            };
            // As on a real disk thread: whoever waits for the job sees its answer channel closed.
            let run = std::panic::AssertUnwindSafe(|| {
                assert!(!panics, "a disk job panics as it was told to");
                job(&SimFiles { disk });
            });
            // The panic itself was told on the way.
            let _ = std::panic::catch_unwind(run);
        });
        state.schedule(at + busy, life, Event::Job(run));
    }
}

struct SimFiles {
    disk: SimDisk,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: usize,
    writable: bool,
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
                platter.names.remove(path);
                platter.create(path)
            }
        };
        Ok(Arc::new(SimFile { disk: self.disk.clone(), id, writable: mode != OpenMode::Read }))
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        let platter = self.disk.lock();
        if let Some(content) = platter.names.get(path).and_then(|id| platter.contents.get(id)) {
            let len = content.bytes.len() as u64;
            return Ok(FileFacts { len, modified_ns: content.modified_ns, is_dir: false });
        }
        if platter.names.keys().any(|name| name.starts_with(path)) {
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
        let id = platter.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        platter.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        platter.writable()?;
        platter.links.remove(path);
        platter.durable_names.remove(path);
        platter.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let platter = self.disk.lock();
        if platter.names.keys().any(|name| name.starts_with(path)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let platter = self.disk.lock();
        let below = platter.names.keys().filter_map(|name| name.strip_prefix(path).ok());
        let mut names: Vec<_> =
            below.filter_map(|rest| Some(rest.iter().next()?.to_owned())).collect();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        platter.took_ns += u64::try_from(SYNC_TAKES.as_nanos()).unwrap_or(0);
        let platter = &mut *platter;
        platter
            .durable_names
            .retain(|name, _| name.parent() != Some(path) || platter.names.contains_key(name));
        for (name, id) in &platter.names {
            if name.parent() == Some(path) {
                platter.durable_names.insert(name.clone(), *id);
            }
        }
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

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Platter, usize) -> io::Result<T>) -> io::Result<T> {
        act(&mut self.disk.lock(), self.id)
    }
}

fn content(platter: &mut Platter, id: usize) -> io::Result<&mut Content> {
    platter.contents.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl File for SimFile {
    fn read_vectored_at(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.with(|platter, id| {
            if platter.faults.reads_fail {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            let bytes = &content(platter, id)?.bytes;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let mut rest = bytes.get(start..).unwrap_or_default();
            let mut read = 0;
            for buf in bufs {
                let taken = rest.len().min(buf.len());
                let (now, later) = rest.split_at(taken);
                if let Some(to) = buf.get_mut(..taken) {
                    to.copy_from_slice(now);
                }
                rest = later;
                read += taken;
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
            let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let here = &content(platter, id)?.pages;
            let new = pages_of(start, bytes.len()).filter(|page| !here.contains(page)).count();
            if new as u64 * PAGE > platter.room() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            platter.took_ns += bytes.len() as u64 * BYTE_TAKES_NS;
            let now_ns = platter.now_ns;
            content(platter, id)?.write(start, &bytes, now_ns);
            Ok(bytes.len())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|platter, id| {
            platter.writable()?;
            let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let content = content(platter, id)?;
            content.bytes.resize(len, 0);
            content.pages.retain(|page| page * PAGE < len as u64);
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len > self.facts()?.len {
            self.set_len(len)?;
        }
        self.with(|platter, id| {
            let all = pages_of(0, usize::try_from(len).unwrap_or(usize::MAX));
            let here = content(platter, id)?.pages.len() as u64;
            if (all.end - here.min(all.end)) * PAGE > platter.room() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            content(platter, id)?.pages.extend(all);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|platter, id| {
            platter.took_ns += u64::try_from(SYNC_TAKES.as_nanos()).unwrap_or(0);
            if platter.faults.writes_fail {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            let content = content(platter, id)?;
            content.durable.clone_from(&content.bytes);
            content.unsynced.clear();
            Ok(())
        })
    }

    fn facts(&self) -> io::Result<FileFacts> {
        self.with(|platter, id| {
            let content = content(platter, id)?;
            let len = content.bytes.len() as u64;
            Ok(FileFacts { len, modified_ns: content.modified_ns, is_dir: false })
        })
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.with(|platter, id| {
            let len = content(platter, id)?.bytes.len() as u64;
            let pages = &content(platter, id)?.pages;
            let Some(&first) = pages.range(from / PAGE..).next() else { return Ok(None) };
            let run = pages.range(first..).zip(first..).take_while(|(page, next)| *page == next);
            let end = (first + run.count() as u64) * PAGE;
            let range = from.max(first * PAGE)..end.min(len);
            Ok(Some(range).filter(|range| !range.is_empty()))
        })
    }
}

impl SimDisk {
    /// How long the jobs so far kept the disk busy beyond what was waited for.
    #[must_use]
    pub fn backlog(&self) -> Time {
        Time::from_nanos(self.lock().took_ns)
    }
}
