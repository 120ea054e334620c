//! The EventLog trait with memory and SQLite logs.
//!
//! An [`EventLog`] has topics, a topic has partitions, a partition is a sequence of [`Record`]s numbered
//! by offset. The promises are those of Kafka, which implements the trait elsewhere, so that a node on
//! its own and a cluster behave alike:
//!
//! - records of one key are in one partition ([`partition`], the same as that of Java clients), in the
//!   order in which they were appended;
//! - an append that was acknowledged is on disk; one whose answer was lost may be there or not, so its
//!   sender repeats it and its readers expect duplicates (at least once);
//! - readers ask by offset, from any that is still kept, and commit per group where they will go on. What
//!   wakes a reader is only a hint: it always reads the log, so one that lags misses nothing.
//!
//! [`MemoryLog`] serves tests and simulations, and can be told to fail or stall; [`SqliteLog`] serves
//! one machine. Both pass the suite in `conformance`. Time is an argument: a log has no clock.
//!
//! This crate must not know what the events mean. The actors that publish them, from the outbox and from
//! samples, will stand here too.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod memory;
mod partitioner;
mod record;
mod sqlite;
mod topic;
mod wakes;

use async_trait::async_trait;

pub use error::EventLogError;
pub use memory::MemoryLog;
pub use partitioner::{murmur2, partition};
pub use record::{Page, PageLimit, Position, RECORD_LEN_MAX, Record, Stored, Watermarks};
pub use sqlite::SqliteLog;
pub use topic::{Cleanup, PARTITIONS_MAX, TOPICS_MAX, TopicSpec, check_name};

/// A log of events. Implementations are shared behind an `Arc`.
///
/// # Errors
///
/// Every method fails with an [`EventLogError`]: [`UnknownTopic`](EventLogError::UnknownTopic) and
/// [`UnknownPartition`](EventLogError::UnknownPartition) for what was not declared, and whatever the disk
/// or network behind it does.
#[async_trait]
pub trait EventLog: Send + Sync + std::fmt::Debug {
    /// Makes a topic, or gives one that is there another clean-up.
    ///
    /// `Conflict` if it is there with another number of partitions: its keys would move.
    async fn declare(&self, topic: &TopicSpec) -> Result<(), EventLogError>;

    /// The topics, by name.
    async fn topics(&self) -> Result<Vec<TopicSpec>, EventLogError>;

    /// Gives a topic more partitions. From then on keys may go to another partition than before, so order
    /// of a key holds for readers that go by the number in the record, not by offset alone.
    ///
    /// `Conflict` for a log that cannot, or a number that is not larger.
    async fn grow(&self, topic: &str, _partitions: u32) -> Result<(), EventLogError> {
        let found = self.topics().await?.into_iter().find(|known| known.name == topic);
        match found {
            Some(TopicSpec { name: topic, partitions, .. }) => {
                Err(EventLogError::Conflict { topic, partitions })
            }
            None => Err(EventLogError::UnknownTopic(topic.to_owned())),
        }
    }

    /// On how many machines each record of a topic is kept; `None` for a log of one machine.
    async fn replication(&self, _topic: &str) -> Result<Option<u32>, EventLogError> {
        Ok(None)
    }

    /// Appends records in their order, each to the partition of its key, and says where each went.
    ///
    /// When it fails, some of them may have been appended all the same: repeat all.
    async fn append(
        &self,
        topic: &str,
        records: Vec<Record>,
    ) -> Result<Vec<Position>, EventLogError>;

    /// Records of a partition in their order, from the offset `from` on. Nothing where there is none yet.
    ///
    /// `OutOfRange` if `from` is below the first that is kept or above the next that will be appended.
    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: PageLimit,
    ) -> Result<Page, EventLogError>;

    /// Waits until there is something to be read at or after `from`, or the log is closed.
    ///
    /// May return early: read, and wait again.
    async fn readable(&self, topic: &str, partition: u32, from: u64) -> Result<(), EventLogError>;

    /// Keeps, for a group of readers, at which offset of each partition it will go on.
    async fn commit(
        &self,
        group: &str,
        topic: &str,
        next: &[(u32, u64)],
    ) -> Result<(), EventLogError>;

    /// Where a group will go on, if it has committed.
    async fn committed(
        &self,
        group: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<u64>, EventLogError>;

    /// The first offset that can be read and the next that will be appended.
    async fn watermarks(&self, topic: &str, partition: u32) -> Result<Watermarks, EventLogError>;

    /// Removes what the clean-up of each topic lets go at the time `now_ms`, and says how many records.
    ///
    /// A log that cleans up by itself does nothing here.
    async fn clean_up(&self, now_ms: u64) -> Result<u64, EventLogError>;

    /// Finishes what was begun and lets go of files and threads; later calls give
    /// [`Closed`](EventLogError::Closed).
    async fn close(&self);
}
