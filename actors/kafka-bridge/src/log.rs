//! The event log on Kafka.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use event_log::{
    EventLog, EventLogError, Page, PageLimit, Position, Record, TopicSpec, Watermarks,
};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::watch;

use crate::appender::Appender;
use crate::edge::{now, within};
use crate::groups::Groups;
use crate::readers::{Nothing, Readers};
use crate::settings::{ANSWER_WITHIN, READABLE_WITHIN, Settings};
use crate::topics::Topics;

/// An event log on a cluster of Kafka brokers. Topics and groups are those whose names begin with the prefix
/// of its [`Settings`], and are spoken of without it.
///
/// Brokers may be away: a call waits for them within a bound (10 s; an append 30 s) and then fails with
/// [`EventLogError::Unavailable`]. Nothing has to be done when they are back.
///
/// Kafka's clients cannot say the time 0, so a record of 1970-01-01 00:00:00.000 is kept as one of a
/// millisecond later. Kafka cleans up by itself, in its own time and by whole segments.
pub struct KafkaLog {
    brokers: String,
    topics: Topics,
    appender: Appender,
    readers: Readers,
    groups: Groups,
    closed: watch::Sender<bool>,
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Makes the clients, which connect when they are needed: no broker has to be there yet. Must be called
    /// on a tokio runtime with timers.
    ///
    /// # Errors
    ///
    /// [`EventLogError::Invalid`] for settings that cannot work.
    pub fn new(settings: Settings) -> Result<Self, EventLogError> {
        settings.check()?;
        Ok(Self {
            brokers: settings.brokers.join(","),
            topics: Topics::new(&settings)?,
            appender: Appender::new(settings.producer()),
            readers: Readers::new(settings.consumer("read")),
            groups: Groups::new(settings),
            closed: watch::Sender::new(false),
        })
    }

    fn check_open(&self) -> Result<(), EventLogError> {
        if *self.closed.borrow() { Err(EventLogError::Closed) } else { Ok(()) }
    }

    /// Waits for the log to be closed, but not longer than `limit`.
    async fn closes(&self, limit: Duration) -> Result<(), EventLogError> {
        let mut closed = self.closed.subscribe();
        // The sender is ours, so it cannot be gone.
        within(limit, closed.wait_for(|closed| *closed)).await;
        self.check_open()
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn declare(&self, topic: &TopicSpec) -> Result<(), EventLogError> {
        self.check_open()?;
        self.topics.declare(topic).await
    }

    async fn topics(&self) -> Result<Vec<TopicSpec>, EventLogError> {
        self.check_open()?;
        self.topics.list().await
    }

    async fn grow(&self, topic: &str, partitions: u32) -> Result<(), EventLogError> {
        self.check_open()?;
        self.topics.grow(topic, partitions).await
    }

    async fn replication(&self, topic: &str) -> Result<Option<u32>, EventLogError> {
        self.check_open()?;
        self.topics.replication(topic).await.map(Some)
    }

    async fn append(
        &self,
        topic: &str,
        records: Vec<Record>,
    ) -> Result<Vec<Position>, EventLogError> {
        self.check_open()?;
        let partitions = self.topics.count(topic).await?;
        for record in &records {
            record.check()?;
            if record.headers.iter().any(|(name, _)| name.contains('\0')) {
                return Err(EventLogError::Invalid("a header name with a zero byte".to_owned()));
            }
        }
        let full = self.topics.full(topic);
        let appended = self.appender.append(&full, partitions, &records).await;
        appended.map_err(|(error, code)| match code {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => self.topics.gone(topic),
            _ => error,
        })
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: PageLimit,
    ) -> Result<Page, EventLogError> {
        self.check_open()?;
        let number = self.topics.check(topic, partition).await?;
        let marks = self.topics.watermarks(topic, partition).await?;
        marks.check(from)?;
        let mut page = Page { records: Vec::new(), next: from };
        if from == marks.high {
            return Ok(page);
        }
        let mut reader = self.readers.at(&self.topics.full(topic), number, from).await?;
        let (mut bytes, until) = (0_usize, now() + ANSWER_WITHIN);
        while page.next < marks.high && page.records.len() < limit.records.max(1) {
            let left = until.saturating_duration_since(now());
            let is_first = page.records.is_empty();
            let fits = |len: usize| is_first || bytes.saturating_add(len) <= limit.bytes;
            match reader.next_if(left, |stored| fits(stored.record.len())).await {
                Ok(Some(stored)) => {
                    bytes = bytes.saturating_add(stored.record.len());
                    page.next = stored.offset + 1;
                    page.records.push(stored);
                }
                // What was read so far is a page; what follows is asked for again.
                Ok(None) => break,
                Err(_) if !is_first => break,
                Err(Nothing::Late) => {
                    return Err(EventLogError::Unavailable("Kafka sends no records".to_owned()));
                }
                Err(Nothing::OutOfRange) => {
                    let Watermarks { low, high } = self.topics.watermarks(topic, partition).await?;
                    return Err(EventLogError::OutOfRange { from, low, high });
                }
                Err(Nothing::Gone) => return Err(self.topics.gone(topic)),
                Err(Nothing::Failed(error)) => return Err(error),
            }
        }
        Ok(page)
    }

    async fn readable(&self, topic: &str, partition: u32, from: u64) -> Result<(), EventLogError> {
        self.check_open()?;
        let number = self.topics.check(topic, partition).await?;
        let high = self.topics.watermarks(topic, partition).await?.high;
        if high > from {
            return Ok(());
        }
        if high < from {
            // No consumer can stand there.
            return self.closes(READABLE_WITHIN).await;
        }
        let mut reader = self.readers.at(&self.topics.full(topic), number, from).await?;
        let mut closed = self.closed.subscribe();
        let waited = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return Err(EventLogError::Closed),
            waited = reader.await_next(READABLE_WITHIN) => waited,
        };
        match waited {
            // Early, as the trait allows: the reader looks, and asks again.
            Ok(()) | Err(Nothing::Late | Nothing::OutOfRange) => Ok(()),
            Err(Nothing::Gone) => Err(self.topics.gone(topic)),
            Err(Nothing::Failed(error)) => Err(error),
        }
    }

    async fn commit(
        &self,
        group: &str,
        topic: &str,
        next: &[(u32, u64)],
    ) -> Result<(), EventLogError> {
        self.check_open()?;
        self.topics.count(topic).await?;
        let mut checked = Vec::with_capacity(next.len());
        for (partition, offset) in next {
            checked.push((self.topics.check(topic, *partition).await?, *offset));
        }
        self.groups.commit(group, self.topics.full(topic), checked).await
    }

    async fn committed(
        &self,
        group: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<u64>, EventLogError> {
        self.check_open()?;
        let partition = self.topics.check(topic, partition).await?;
        self.groups.committed(group, self.topics.full(topic), partition).await
    }

    async fn watermarks(&self, topic: &str, partition: u32) -> Result<Watermarks, EventLogError> {
        self.check_open()?;
        self.topics.watermarks(topic, partition).await
    }

    async fn clean_up(&self, _now_ms: u64) -> Result<u64, EventLogError> {
        self.check_open()?;
        Ok(0)
    }

    async fn close(&self) {
        if !self.closed.send_replace(true) {
            self.appender.close().await;
            self.readers.close().await;
            self.groups.close().await;
        }
    }
}
