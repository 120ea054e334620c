//! A store in a SQLite file: for one machine.
//!
//! Records, sources and checkpoints are tables of their own, so that a list reads none of the large
//! values. What the file promises (durability, group commit) is told in [`sqlite_file`].

mod outbox;
mod ownership;
mod rows;

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use control::TorrentId;
use sqlite_file::rusqlite::{Connection, OptionalExtension, params};
use sqlite_file::{Database, Schema};

use crate::change::Change;
use crate::error::StoreError;
use crate::record::{PageKey, TorrentRecord, TorrentSource};
use crate::{PAGE_LEN_MAX, TorrentStore};

/// `TEst`: the store of TorrentEdge.
const SCHEMA: Schema = Schema {
    application_id: 0x5445_7374,
    migrations: &[
        include_str!("schema.sql"),
        include_str!("ownership.sql"),
        include_str!("outbox.sql"),
    ],
};

/// About what a record takes in memory while it waits to be written, in bytes.
const RECORD_LEN: usize = 512;

/// A store in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, made with its directory if it is not there.
    ///
    /// Blocks on the disk: call it where that is allowed.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is damaged, is not a store, or is one of a newer version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(path, &SCHEMA)? })
    }
}

#[async_trait]
impl TorrentStore for SqliteStore {
    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        changes.iter().try_for_each(Change::check)?;
        let bytes = changes.iter().map(|change| change.len().saturating_add(RECORD_LEN)).sum();
        let job = move |connection: &Connection| {
            changes.iter().try_for_each(|change| rows::apply(connection, change))
        };
        self.database.write(bytes, job).await
    }

    async fn torrent(&self, id: TorrentId) -> Result<TorrentRecord, StoreError> {
        self.database
            .read(move |connection| {
                let mut select = connection.prepare_cached(rows::SELECT_ONE)?;
                let mut found = select.query([id.as_bytes().as_slice()])?;
                rows::read_record(found.next()?.ok_or(StoreError::NotFound(id))?)
            })
            .await
    }

    async fn torrents(
        &self,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<TorrentRecord>, StoreError> {
        let limit = limit.min(PAGE_LEN_MAX);
        let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let mut select = connection.prepare_cached(rows::SELECT_PAGE)?;
            // No torrent was added before 1970, so this is before the first.
            let added_ms = after.map_or(-1, |key| i64::try_from(key.added_ms).unwrap_or(i64::MAX));
            let id = after.map_or([0; 20], |key| *key.id.as_bytes());
            let mut found = select.query(params![added_ms, id.as_slice(), rows_max])?;
            let mut page = Vec::with_capacity(limit);
            while let Some(row) = found.next()? {
                page.push(rows::read_record(row)?);
            }
            Ok(page)
        };
        self.database.read(read).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let read = |connection: &Connection| {
            let mut select = connection.prepare_cached("SELECT count(*) FROM torrents")?;
            let count: i64 = select.query_row([], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        };
        self.database.read(read).await
    }

    async fn source(&self, id: TorrentId) -> Result<TorrentSource, StoreError> {
        self.database.read(move |connection| rows::read_source(connection, id)).await
    }

    async fn checkpoint(&self, id: TorrentId) -> Result<Option<Bytes>, StoreError> {
        let read = move |connection: &Connection| {
            let mut select = connection.prepare_cached(rows::SELECT_CHECKPOINT)?;
            let data: Option<Option<Vec<u8>>> =
                select.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?;
            Ok(data.ok_or(StoreError::NotFound(id))?.map(Bytes::from))
        };
        self.database.read(read).await
    }

    async fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let key = key.to_owned();
        let read = move |connection: &Connection| {
            let mut select = connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
            let value: Option<Vec<u8>> = select.query_row([key], |row| row.get(0)).optional()?;
            Ok(value.map(Bytes::from))
        };
        self.database.read(read).await
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

#[cfg(test)]
mod tests;
