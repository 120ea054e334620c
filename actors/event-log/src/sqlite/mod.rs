//! A log in a SQLite file: for one machine.
//!
//! A file of its own beside the store's, so that events do not make the store's commits wait. What the
//! file promises (durability, group commit) is told in [`sqlite_file`].

mod clean_up;
mod rows;

use std::path::Path;

use async_trait::async_trait;
use sqlite_file::rusqlite::Connection;
use sqlite_file::{Database, Schema};

use crate::EventLog;
use crate::error::EventLogError;
use crate::record::{Page, PageLimit, Position, Record, Watermarks};
use crate::topic::{TopicSpec, check_name};
use crate::wakes::Wakes;

/// `TEev`: the event log of TorrentEdge.
const SCHEMA: Schema =
    Schema { application_id: 0x5445_6576, migrations: &[include_str!("schema.sql")] };

/// A log in a SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    database: Database,
    wakes: Wakes,
}

impl SqliteLog {
    /// Opens the log in the file at `path`, made with its directory if it is not there.
    ///
    /// Blocks on the disk: call it where that is allowed.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is damaged, is not an event log, or is one of a newer version.
    pub fn open(path: &Path) -> Result<Self, EventLogError> {
        Ok(Self { database: Database::open(path, &SCHEMA)?, wakes: Wakes::new() })
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn declare(&self, topic: &TopicSpec) -> Result<(), EventLogError> {
        topic.check()?;
        let topic = topic.clone();
        self.database.write(0, move |connection| rows::declare(connection, &topic)).await
    }

    async fn topics(&self) -> Result<Vec<TopicSpec>, EventLogError> {
        self.database.read(rows::topics).await
    }

    async fn append(
        &self,
        topic: &str,
        records: Vec<Record>,
    ) -> Result<Vec<Position>, EventLogError> {
        records.iter().try_for_each(Record::check)?;
        let bytes = records.iter().map(Record::len).sum();
        let name = topic.to_owned();
        let append = move |connection: &Connection| rows::append(connection, &name, &records);
        let positions = self.database.write(bytes, append).await?;
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
        let topic = topic.to_owned();
        let read =
            move |connection: &Connection| rows::read(connection, &topic, partition, from, limit);
        self.database.read(read).await
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
        let (group, topic, next) = (group.to_owned(), topic.to_owned(), next.to_vec());
        let commit = move |connection: &Connection| rows::commit(connection, &group, &topic, &next);
        self.database.write(0, commit).await
    }

    async fn committed(
        &self,
        group: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<u64>, EventLogError> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let read =
            move |connection: &Connection| rows::committed(connection, &group, &topic, partition);
        self.database.read(read).await
    }

    async fn watermarks(&self, topic: &str, partition: u32) -> Result<Watermarks, EventLogError> {
        let topic = topic.to_owned();
        let read =
            move |connection: &Connection| Ok(rows::find(connection, &topic, partition)?.marks);
        self.database.read(read).await
    }

    async fn clean_up(&self, now_ms: u64) -> Result<u64, EventLogError> {
        let mut removed: u64 = 0;
        for topic in self.topics().await? {
            for partition in 0..topic.partitions {
                // A step at a time, so that appends go in between.
                loop {
                    let topic = topic.clone();
                    let step = move |connection: &Connection| {
                        clean_up::step(connection, &topic, partition, now_ms)
                    };
                    let done = self.database.write(0, step).await?;
                    removed = removed.saturating_add(done.removed);
                    if !done.is_more {
                        break;
                    }
                }
            }
        }
        Ok(removed)
    }

    async fn close(&self) {
        self.wakes.close();
        self.database.close().await;
    }
}

#[cfg(test)]
mod tests;
