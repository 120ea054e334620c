//! A log in memory: for tests and simulations, and for a node that is to keep nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::error::EventLogError;
use crate::record::{Page, PageLimit, Position, Record, Stored, Watermarks};
use crate::topic::{Cleanup, TOPICS_MAX, TopicSpec, check_name};
use crate::wakes::Wakes;
use crate::{EventLog, partition};

/// A log in memory. It lives as long as its value: a simulated host that is killed and started again
/// finds it as it was. The bytes of a topic's clean-up hold at every append, not only at clean-ups.
///
/// Tests and simulations can make it fail ([`fail`](Self::fail), [`fail_next`](Self::fail_next)) and
/// stall ([`stall`](Self::stall)).
#[derive(Debug)]
pub struct MemoryLog {
    state: Mutex<State>,
    stalled: watch::Sender<bool>,
    wakes: Wakes,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, Topic>,
    /// By group, topic and partition.
    committed: BTreeMap<(String, String, u32), u64>,
    failing: Option<EventLogError>,
    failing_next: u32,
    is_closed: bool,
}

#[derive(Debug)]
struct Topic {
    cleanup: Cleanup,
    partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    marks: Watermarks,
    records: BTreeMap<u64, Record>,
    bytes: u64,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// A log without topics.
    #[must_use]
    pub fn new() -> Self {
        let stalled = watch::Sender::new(false);
        Self { state: Mutex::default(), stalled, wakes: Wakes::new() }
    }

    /// From now on every call fails with `error` and changes nothing; with `None` none does.
    pub fn fail(&self, error: Option<EventLogError>) {
        let mut state = self.lock();
        state.failing_next = if error.is_some() { u32::MAX } else { 0 };
        state.failing = error;
    }

    /// The next `calls` calls fail with `error` and change nothing.
    pub fn fail_next(&self, calls: u32, error: EventLogError) {
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

    /// Opens a log again that was closed, as a new process would; what it keeps is there.
    pub fn reopen(&self) {
        self.lock().is_closed = false;
        self.wakes.reopen();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The lock is held for one call, in which nothing panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the log stalls, fails if it is to fail, and hands out its state.
    async fn enter<T>(
        &self,
        call: impl FnOnce(&mut State) -> Result<T, EventLogError>,
    ) -> Result<T, EventLogError> {
        // The sender is ours, so this cannot fail.
        let _ = self.stalled.subscribe().wait_for(|stalled| !stalled).await;
        let mut state = self.lock();
        if state.is_closed {
            return Err(EventLogError::Closed);
        }
        if state.failing_next > 0
            && let Some(error) = state.failing.clone()
        {
            if state.failing_next != u32::MAX {
                state.failing_next -= 1;
            }
            return Err(error);
        }
        call(&mut state)
    }
}

impl State {
    fn topic_mut(&mut self, topic: &str) -> Result<&mut Topic, EventLogError> {
        self.topics.get_mut(topic).ok_or_else(|| EventLogError::UnknownTopic(topic.to_owned()))
    }

    fn partition(&self, topic: &str, partition: u32) -> Result<&Partition, EventLogError> {
        let unknown = || EventLogError::UnknownTopic(topic.to_owned());
        let partitions = &self.topics.get(topic).ok_or_else(unknown)?.partitions;
        let found = usize::try_from(partition).ok().and_then(|index| partitions.get(index));
        found.ok_or_else(|| EventLogError::UnknownPartition { topic: topic.to_owned(), partition })
    }
}

impl Topic {
    fn append(&mut self, record: Record) -> Option<Position> {
        let count = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let partition = partition(&record.key, count);
        let log = self.partitions.get_mut(usize::try_from(partition).ok()?)?;
        let offset = log.marks.high;
        log.marks.high += 1;
        log.bytes += size(&record);
        log.records.insert(offset, record);
        if let Cleanup::Delete { partition_bytes: Some(bytes_max), .. } = self.cleanup {
            log.delete_while(|bytes, _| bytes > bytes_max);
        }
        Some(Position { partition, offset })
    }
}

impl Partition {
    /// Removes the first record while `is_too_much` says so of the bytes that there are and of it.
    fn delete_while(&mut self, is_too_much: impl Fn(u64, &Record) -> bool) -> u64 {
        let mut removed = 0;
        while let Some(first) = self.records.first_entry()
            && is_too_much(self.bytes, first.get())
        {
            let (offset, record) = first.remove_entry();
            self.bytes -= size(&record);
            self.marks.low = offset + 1;
            removed += 1;
        }
        removed
    }

    /// Keeps the newest record of each key, and of keys that are gone only what is at least as new as
    /// `gone_since_ms`.
    fn compact(&mut self, gone_since_ms: u64) -> u64 {
        let newest: BTreeMap<Bytes, u64> =
            self.records.iter().map(|(offset, record)| (record.key.clone(), *offset)).collect();
        let before = self.records.len();
        self.records.retain(|offset, record| {
            let is_newest = newest.get(&record.key) == Some(offset);
            is_newest && (record.payload.is_some() || record.ts_ms >= gone_since_ms)
        });
        self.bytes = self.records.values().map(size).sum();
        u64::try_from(before - self.records.len()).unwrap_or(u64::MAX)
    }

    fn clean_up(&mut self, cleanup: Cleanup, now_ms: u64) -> u64 {
        match cleanup {
            Cleanup::Delete { age, partition_bytes } => {
                let bytes_max = partition_bytes.unwrap_or(u64::MAX);
                let since_ms = age.map_or(0, |age| before(now_ms, age));
                self.delete_while(|bytes, first| bytes > bytes_max || first.ts_ms < since_ms)
            }
            Cleanup::Compact { gone_age } => self.compact(before(now_ms, gone_age)),
        }
    }
}

/// The time `age` before `now_ms`.
pub(crate) fn before(now_ms: u64, age: std::time::Duration) -> u64 {
    now_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

/// The size of a record as retention counts it.
pub(crate) fn size(record: &Record) -> u64 {
    u64::try_from(record.len()).unwrap_or(u64::MAX)
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn declare(&self, topic: &TopicSpec) -> Result<(), EventLogError> {
        topic.check()?;
        self.enter(|state| {
            let is_full = state.topics.len() >= TOPICS_MAX;
            if let Some(found) = state.topics.get_mut(&topic.name) {
                let partitions = u32::try_from(found.partitions.len()).unwrap_or(u32::MAX);
                if partitions != topic.partitions {
                    return Err(EventLogError::Conflict { topic: topic.name.clone(), partitions });
                }
                found.cleanup = topic.cleanup;
                return Ok(());
            }
            if is_full {
                return Err(EventLogError::Invalid(format!("more than {TOPICS_MAX} topics")));
            }
            let partitions = (0..topic.partitions).map(|_| Partition::default()).collect();
            state.topics.insert(topic.name.clone(), Topic { cleanup: topic.cleanup, partitions });
            Ok(())
        })
        .await
    }

    async fn topics(&self) -> Result<Vec<TopicSpec>, EventLogError> {
        let spec = |(name, topic): (&String, &Topic)| TopicSpec {
            name: name.clone(),
            partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
            cleanup: topic.cleanup,
        };
        self.enter(|state| Ok(state.topics.iter().map(spec).collect())).await
    }

    async fn append(
        &self,
        topic: &str,
        records: Vec<Record>,
    ) -> Result<Vec<Position>, EventLogError> {
        records.iter().try_for_each(Record::check)?;
        let append = |state: &mut State| {
            let topic = state.topic_mut(topic)?;
            Ok(records.into_iter().filter_map(|record| topic.append(record)).collect())
        };
        let positions = self.enter(append).await?;
        self.wakes.ring(topic);
        Ok(positions)
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: PageLimit,
    ) -> Result<Page, EventLogError> {
        self.enter(|state| {
            let found = state.partition(topic, partition)?;
            found.marks.check(from)?;
            let stored = found.records.range(from..).map(|(offset, record)| {
                Ok::<_, EventLogError>(Stored { offset: *offset, record: record.clone() })
            });
            Ok(found.marks.page(from, limit.fill(stored)?))
        })
        .await
    }

    async fn readable(&self, topic: &str, partition: u32, from: u64) -> Result<(), EventLogError> {
        loop {
            // Known to exist before there is a bell for it; heard before it is looked at.
            self.watermarks(topic, partition).await?;
            let mut bell = self.wakes.listen(topic).ok_or(EventLogError::Closed)?;
            if self.watermarks(topic, partition).await?.high > from {
                return Ok(());
            }
            bell.changed().await.map_err(|_| EventLogError::Closed)?;
        }
    }

    async fn commit(
        &self,
        group: &str,
        topic: &str,
        next: &[(u32, u64)],
    ) -> Result<(), EventLogError> {
        check_name("group", group)?;
        self.enter(|state| {
            for (partition, _) in next {
                state.partition(topic, *partition)?;
            }
            for (partition, offset) in next {
                let key = (group.to_owned(), topic.to_owned(), *partition);
                state.committed.insert(key, *offset);
            }
            Ok(())
        })
        .await
    }

    async fn committed(
        &self,
        group: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<u64>, EventLogError> {
        self.enter(|state| {
            state.partition(topic, partition)?;
            Ok(state.committed.get(&(group.to_owned(), topic.to_owned(), partition)).copied())
        })
        .await
    }

    async fn watermarks(&self, topic: &str, partition: u32) -> Result<Watermarks, EventLogError> {
        self.enter(|state| Ok(state.partition(topic, partition)?.marks)).await
    }

    async fn clean_up(&self, now_ms: u64) -> Result<u64, EventLogError> {
        self.enter(|state| {
            let topics = state.topics.values_mut();
            let removed = topics.flat_map(|topic| {
                let cleanup = topic.cleanup;
                topic.partitions.iter_mut().map(move |found| found.clean_up(cleanup, now_ms))
            });
            Ok(removed.sum())
        })
        .await
    }

    async fn close(&self) {
        self.lock().is_closed = true;
        self.wakes.close();
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
        crate::conformance::check(async || Arc::new(MemoryLog::new()) as _).await;
        crate::conformance::check_clean_up(async || Arc::new(MemoryLog::new()) as _).await;
    }

    #[tokio::test]
    async fn fails_as_told_and_appends_nothing() {
        let log = MemoryLog::new();
        log.declare(&TopicSpec::new("t", 1)).await.unwrap();
        let broken = EventLogError::Unavailable("told so".to_owned());
        log.fail_next(1, broken.clone());
        assert_eq!(log.append("t", vec![Record::new("k", 1, "p")]).await, Err(broken.clone()));
        assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks::default()));
        log.fail(Some(broken.clone()));
        assert_eq!(log.topics().await, Err(broken));
        log.fail(None);
        assert!(log.append("t", vec![Record::new("k", 1, "p")]).await.is_ok());
    }

    #[tokio::test]
    async fn stalls_until_it_is_resumed() {
        let log = MemoryLog::new();
        log.stall();
        let mut topics = pin!(log.topics());
        assert!(topics.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        log.resume();
        assert_eq!(topics.await, Ok(vec![]));
    }

    #[tokio::test]
    async fn its_bytes_are_bounded_at_every_append() {
        let log = MemoryLog::new();
        let record = Record::new("k", 1, vec![0; 1000]);
        let bytes = 3 * size(&record);
        let cleanup = Cleanup::Delete { age: None, partition_bytes: Some(bytes) };
        log.declare(&TopicSpec::new("t", 1).with_cleanup(cleanup)).await.unwrap();
        log.append("t", vec![record; 10]).await.unwrap();
        assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 7, high: 10 }));
    }
}
