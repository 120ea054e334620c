//! A store in memory: for tests and simulations, and for a node that is to keep nothing.

mod outbox;
mod ownership;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use control::{NodeName, TorrentId, TorrentRow};
use tokio::sync::watch;

use crate::change::Change;
use crate::error::StoreError;
use crate::outbox::{Fact, Place};
use crate::ownership::NodeEntry;
use crate::record::{PageKey, TorrentRecord, TorrentSource};
use crate::{PAGE_LEN_MAX, TorrentStore};

/// A store in memory. It lives as long as its value: a simulated host that is killed and started again
/// finds it as it was.
///
/// Tests and simulations can make it fail ([`fail`](Self::fail), [`fail_next`](Self::fail_next)) and
/// stall ([`stall`](Self::stall)).
///
/// Its clock is [`MemoryStore::with_clock`]'s, or one that goes on by a millisecond each time it is asked.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    stalled: watch::Sender<bool>,
    clock: StoreClock,
}

/// The store's own clock.
enum StoreClock {
    /// Each look is a millisecond.
    Counts(AtomicU64),
    Given(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl std::fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreClock")
    }
}

#[derive(Debug, Default)]
struct State {
    kept: Kept,
    failing: Option<StoreError>,
    failing_next: u32,
    is_closed: bool,
}

/// All that is kept. Large values are reference-counted, so a clone is cheap enough to try a batch on.
#[derive(Debug, Default)]
struct Kept {
    torrents: BTreeMap<TorrentId, Entry>,
    order: BTreeSet<PageKey>,
    meta: BTreeMap<String, Bytes>,
    nodes: BTreeMap<NodeName, NodeEntry>,
    facts: BTreeMap<TorrentId, BTreeMap<Place, Fact>>,
}

#[derive(Debug, Clone)]
struct Entry {
    record: TorrentRecord,
    source: TorrentSource,
    checkpoint: Option<Bytes>,
    ownership: TorrentRow,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with(StoreClock::Counts(AtomicU64::new(0)))
    }

    /// An empty store whose time is what `now_ms` says, in milliseconds since 1970-01-01 UTC.
    pub fn with_clock(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::with(StoreClock::Given(Box::new(now_ms)))
    }

    fn with(clock: StoreClock) -> Self {
        Self { state: Mutex::default(), stalled: watch::Sender::new(false), clock }
    }

    fn now_ms(&self) -> u64 {
        match &self.clock {
            StoreClock::Counts(looks) => looks.fetch_add(1, Ordering::Relaxed),
            StoreClock::Given(now_ms) => now_ms(),
        }
    }

    /// From now on every call fails with `error` and changes nothing; with `None` none does.
    pub fn fail(&self, error: Option<StoreError>) {
        let mut state = self.lock();
        state.failing_next = if error.is_some() { u32::MAX } else { 0 };
        state.failing = error;
    }

    /// The next `calls` calls fail with `error` and change nothing.
    pub fn fail_next(&self, calls: u32, error: StoreError) {
        let mut state = self.lock();
        state.failing_next = calls;
        state.failing = Some(error);
    }

    /// From now on every call waits, until [`resume`](Self::resume).
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Lets the calls go on that waited since [`stall`](Self::stall).
    pub fn resume(&self) {
        self.stalled.send_replace(false);
    }

    /// Opens a store again that was closed, as a new process would; what it keeps is there.
    pub fn reopen(&self) {
        self.lock().is_closed = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The lock is held for a single change or look-up, and a batch that panics is undone by nobody
        // because nothing in it can.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the store stalls, fails if it is to fail, and hands out what is kept.
    async fn enter<T>(
        &self,
        call: impl FnOnce(&mut Kept) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // The sender is ours, so this cannot fail.
        let _ = self.stalled.subscribe().wait_for(|stalled| !stalled).await;
        let mut state = self.lock();
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        if state.failing_next > 0
            && let Some(error) = state.failing.clone()
        {
            if state.failing_next != u32::MAX {
                state.failing_next -= 1;
            }
            return Err(error);
        }
        call(&mut state.kept)
    }
}

impl Kept {
    fn entry(&self, id: TorrentId) -> Result<&Entry, StoreError> {
        self.torrents.get(&id).ok_or(StoreError::NotFound(id))
    }

    fn entry_mut(&mut self, id: TorrentId) -> Result<&mut Entry, StoreError> {
        self.torrents.get_mut(&id).ok_or(StoreError::NotFound(id))
    }

    /// Makes a change and says how it is undone.
    fn apply(&mut self, change: Change) -> Result<Undo, StoreError> {
        match change {
            Change::Add(record, source) => {
                let (id, key) = (record.id, record.page_key());
                if self.torrents.contains_key(&id) {
                    return Err(StoreError::Conflict(id));
                }
                let ownership = TorrentRow::default();
                let entry = Entry { record: *record, source, checkpoint: None, ownership };
                self.torrents.insert(id, entry);
                self.order.insert(key);
                Ok(Undo::Torrent(id, None))
            }
            Change::Update(mut record) => self.alter(record.id, |entry| {
                record.added_ms = entry.record.added_ms;
                entry.record = *record;
            }),
            Change::SetSource(id, source) => self.alter(id, |entry| entry.source = source),
            Change::SetCheckpoint(id, data) => {
                self.alter(id, |entry| entry.checkpoint = Some(data))
            }
            Change::Remove(id) => {
                let entry = self.torrents.remove(&id).ok_or(StoreError::NotFound(id))?;
                self.order.remove(&entry.record.page_key());
                Ok(Undo::Torrent(id, Some(Box::new(entry))))
            }
            Change::Fence(id, epoch) => {
                let current = self.entry(id)?.ownership.epoch;
                if epoch != current {
                    return Err(StoreError::StaleEpoch { torrent: id, said: epoch, current });
                }
                Ok(Undo::Nothing)
            }
            Change::Tell(fact) => self.tell(fact),
            Change::Told(torrent, last) => Ok(self.told(torrent, last)),
            Change::SetMeta(key, value) => {
                let before = match value {
                    Some(value) => self.meta.insert(key.clone(), value),
                    None => self.meta.remove(&key),
                };
                Ok(Undo::Meta(key, before))
            }
        }
    }

    fn alter(&mut self, id: TorrentId, alter: impl FnOnce(&mut Entry)) -> Result<Undo, StoreError> {
        let entry = self.entry_mut(id)?;
        let before = Box::new(entry.clone());
        alter(entry);
        Ok(Undo::Torrent(id, Some(before)))
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Fact(torrent, place, before) => self.untell(torrent, place, before),
            Undo::Facts(torrent, before) => drop(self.facts.insert(torrent, before)),
            Undo::Torrent(id, before) => {
                if let Some(entry) = self.torrents.remove(&id) {
                    self.order.remove(&entry.record.page_key());
                }
                if let Some(entry) = before {
                    self.order.insert(entry.record.page_key());
                    self.torrents.insert(id, *entry);
                }
            }
            Undo::Meta(key, before) => {
                match before {
                    Some(value) => self.meta.insert(key, value),
                    None => self.meta.remove(&key),
                };
            }
        }
    }
}

/// What was there before a change.
enum Undo {
    Nothing,
    Fact(TorrentId, Place, Option<Fact>),
    Facts(TorrentId, BTreeMap<Place, Fact>),
    Torrent(TorrentId, Option<Box<Entry>>),
    Meta(String, Option<Bytes>),
}

#[async_trait]
impl TorrentStore for MemoryStore {
    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        changes.iter().try_for_each(Change::check)?;
        self.enter(|kept| {
            let mut done = Vec::with_capacity(changes.len());
            for change in changes {
                match kept.apply(change) {
                    Ok(undo) => done.push(undo),
                    Err(error) => {
                        done.into_iter().rev().for_each(|undo| kept.undo(undo));
                        return Err(error);
                    }
                }
            }
            Ok(())
        })
        .await
    }

    async fn torrent(&self, id: TorrentId) -> Result<TorrentRecord, StoreError> {
        self.enter(|kept| Ok(kept.entry(id)?.record.clone())).await
    }

    async fn torrents(
        &self,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<TorrentRecord>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.enter(|kept| {
            let range = kept.order.range((after.map_or(Unbounded, Excluded), Unbounded));
            let page = range.take(limit.min(PAGE_LEN_MAX));
            page.map(|key| Ok(kept.entry(key.id)?.record.clone())).collect()
        })
        .await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.enter(|kept| Ok(u64::try_from(kept.torrents.len()).unwrap_or(u64::MAX))).await
    }

    async fn source(&self, id: TorrentId) -> Result<TorrentSource, StoreError> {
        self.enter(|kept| Ok(kept.entry(id)?.source.clone())).await
    }

    async fn checkpoint(&self, id: TorrentId) -> Result<Option<Bytes>, StoreError> {
        self.enter(|kept| Ok(kept.entry(id)?.checkpoint.clone())).await
    }

    async fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.enter(|kept| Ok(kept.meta.get(key).cloned())).await
    }

    async fn close(&self) {
        self.lock().is_closed = true;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn conforms() {
        crate::conformance::check(async || Arc::new(MemoryStore::new())).await;
    }

    #[tokio::test]
    async fn fails_as_told_and_changes_nothing() {
        let store = MemoryStore::new();
        let broken = StoreError::Unavailable("told so".to_owned());
        let set = || vec![Change::SetMeta("k".to_owned(), Some(Bytes::from_static(b"v")))];
        store.fail_next(1, broken.clone());
        assert_eq!(store.write(set()).await, Err(broken.clone()));
        assert_eq!(store.meta("k").await, Ok(None));
        assert_eq!(store.write(set()).await, Ok(()));
        store.fail(Some(broken.clone()));
        assert_eq!(store.meta("k").await, Err(broken.clone()));
        assert_eq!(store.meta("k").await, Err(broken));
        store.fail(None);
        assert_eq!(store.meta("k").await, Ok(Some(Bytes::from_static(b"v"))));
    }

    #[tokio::test]
    async fn stalls_until_it_is_resumed() {
        let store = MemoryStore::new();
        store.stall();
        let mut count = pin!(store.count());
        assert!(count.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        store.resume();
        assert_eq!(count.await, Ok(0));
    }

    #[tokio::test]
    async fn a_closed_store_keeps_what_it_has() {
        let store = MemoryStore::new();
        store.write(vec![Change::SetMeta("k".to_owned(), Some(Bytes::new()))]).await.unwrap();
        store.close().await;
        assert_eq!(store.count().await, Err(StoreError::Closed));
        store.reopen();
        assert_eq!(store.meta("k").await, Ok(Some(Bytes::new())));
    }
}
