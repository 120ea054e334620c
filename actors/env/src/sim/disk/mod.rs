//! A simulated disk: files in memory, what of them is durable, and faults on demand.
//!
//! A process that dies loses nothing that it wrote. A power cut loses or tears writes that were not
//! synced, and may lose names that were not synced with their directory. Equal pages of all disks of a
//! world are held once ([`pages`]), so a thousand hosts can hold the same file.

mod content;
mod files;
mod pages;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bittorrent::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use self::content::{Content, Image};
use self::files::SimFiles;
use self::pages::PAGE;
pub(super) use self::pages::PageStore;
use super::queue::Event;
use super::state::{Life, Shared};
use crate::disk::{Disk, DiskJob, DiskLane};

/// What a job takes at least.
const JOB_TAKES: Duration = Duration::from_micros(80);
/// What a sync takes.
const SYNC_TAKES: Duration = Duration::from_millis(2);
/// Nanoseconds a byte: 1 GB/s.
const BYTE_TAKES_NS: u64 = 1;

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
    /// Those that a name or an open handle leads to.
    contents: BTreeMap<usize, Content>,
    next: usize,
    /// Pages of all files that have a name.
    used_pages: u64,
    store: PageStore,
    faults: DiskFaults,
    rng: SmallRng,
    now_ns: i64,
    took_ns: u64,
}

/// The disk as one life of a host uses it.
#[derive(Debug)]
pub(super) struct LifeDisk {
    disk: SimDisk,
    shared: Arc<Shared>,
    life: Life,
}

impl SimDisk {
    pub(super) fn new(seed: u64, store: PageStore) -> Self {
        let platter = Platter {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            links: BTreeMap::new(),
            contents: BTreeMap::new(),
            next: 0,
            used_pages: 0,
            store,
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

    /// Bytes that are taken, in whole pages.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used_pages * PAGE as u64
    }

    /// Sets the faults that the disk shows from now on.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.lock().faults = faults;
    }

    /// Puts a durable file on the disk, as if it had always been there; one that stands there already is
    /// changed, and its time of modification with it.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = path.as_ref();
        let mut platter = self.lock();
        let old = platter.names.get(path).copied();
        let id = old.unwrap_or_else(|| platter.create(path));
        platter.name_durably(path, id);
        platter.change(id, |content, store| {
            content.put(Image::of(bytes, store));
            content.modified_ns += 1;
        });
    }

    /// The bytes of a file as a reader would see them now.
    #[must_use]
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let platter = self.lock();
        let content = platter.content_at(path.as_ref())?;
        let mut bytes = vec![0; usize::try_from(content.now.len).unwrap_or(usize::MAX)];
        content.now.read(0, &mut bytes);
        Some(bytes)
    }

    /// Whether a file holds `expected` from `offset` on, as a reader would see it now. A hole is zeros;
    /// what ends beyond the file is not there. Copies nothing.
    #[must_use]
    pub fn matches(&self, path: impl AsRef<Path>, offset: u64, expected: &[u8]) -> bool {
        let platter = self.lock();
        let content = platter.content_at(path.as_ref());
        content.is_some_and(|content| content.now.matches(offset, expected))
    }

    /// Flips a bit of a file, the lowest of a byte first, both in what a reader sees and in what is
    /// durable; nothing tells that it was. False if there is no such byte.
    #[must_use]
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) -> bool {
        let mut platter = self.lock();
        let Some(&id) = platter.names.get(path.as_ref()) else { return false };
        platter.change(id, |content, _| content.flip_bit(bit)).unwrap_or(false)
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
            content.lose_power(&mut platter.rng, &platter.store);
        }
        platter.count_again();
    }

    /// How long the jobs so far kept the disk busy beyond what was waited for.
    #[must_use]
    pub fn backlog(&self) -> Time {
        Time::from_nanos(self.lock().took_ns)
    }
}

impl Platter {
    /// A new file of this name, instead of the one that has it.
    fn create(&mut self, path: &Path) -> usize {
        let id = self.next;
        self.next += 1;
        self.contents.insert(id, Content::made_at(self.now_ns));
        self.name(path, id);
        id
    }

    fn content_at(&self, path: &Path) -> Option<&Content> {
        self.contents.get(self.names.get(path)?)
    }

    fn name(&mut self, path: &Path, id: usize) {
        if let Some(content) = self.contents.get_mut(&id) {
            content.names += 1;
            if content.names == 1 {
                self.used_pages += content.now.page_count();
            }
        }
        if let Some(old) = self.names.insert(path.to_owned(), id) {
            self.lost_name(old);
        }
    }

    fn unname(&mut self, path: &Path) -> Option<usize> {
        let id = self.names.remove(path)?;
        self.lost_name(id);
        Some(id)
    }

    fn lost_name(&mut self, id: usize) {
        if let Some(content) = self.contents.get_mut(&id) {
            content.names -= 1;
            if content.names == 0 {
                self.used_pages -= content.now.page_count();
            }
        }
        self.forget_if_lost(id);
    }

    fn name_durably(&mut self, path: &Path, id: usize) {
        if let Some(content) = self.contents.get_mut(&id) {
            content.durable_names += 1;
        }
        if let Some(old) = self.durable_names.insert(path.to_owned(), id) {
            self.lost_durable_name(old);
        }
    }

    fn unname_durably(&mut self, path: &Path) {
        if let Some(id) = self.durable_names.remove(path) {
            self.lost_durable_name(id);
        }
    }

    fn lost_durable_name(&mut self, id: usize) {
        if let Some(content) = self.contents.get_mut(&id) {
            content.durable_names -= 1;
        }
        self.forget_if_lost(id);
    }

    /// Nothing leads to a file any more, or a handle to it was closed.
    fn forget_if_lost(&mut self, id: usize) {
        let lost = |it: &Content| it.names == 0 && it.durable_names == 0 && it.handles == 0;
        if self.contents.get(&id).is_some_and(lost) {
            self.contents.remove(&id);
        }
    }

    /// Counts names and pages after a power cut, which changes all of them.
    fn count_again(&mut self) {
        for content in self.contents.values_mut() {
            (content.names, content.durable_names) = (0, 0);
        }
        for id in self.names.values() {
            if let Some(content) = self.contents.get_mut(id) {
                content.names += 1;
            }
        }
        for id in self.durable_names.values() {
            if let Some(content) = self.contents.get_mut(id) {
                content.durable_names += 1;
            }
        }
        self.contents.retain(|_, it| it.names + it.durable_names + it.handles > 0);
        let named = self.contents.values().filter(|content| content.names > 0);
        self.used_pages = named.map(|content| content.now.page_count()).sum();
    }

    /// Changes a file, and the count of pages with it; `None` if there is no such file.
    fn change<T>(
        &mut self,
        id: usize,
        act: impl FnOnce(&mut Content, &PageStore) -> T,
    ) -> Option<T> {
        let content = self.contents.get_mut(&id)?;
        let before = content.now.page_count();
        let result = act(content, &self.store);
        if content.names > 0 {
            self.used_pages = self.used_pages - before + content.now.page_count();
        }
        Some(result)
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
        let used = self.used_pages * PAGE as u64;
        self.faults.capacity.map_or(u64::MAX, |all| all.saturating_sub(used))
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
