//! Facts that wait, in a SQLite file.

use async_trait::async_trait;
use bytes::Bytes;
use control::{Epoch, TorrentId};
use sqlite_file::rusqlite::{Connection, params};

use super::SqliteStore;
use crate::PAGE_LEN_MAX;
use crate::error::StoreError;
use crate::outbox::{FACTS_MAX, Fact, Outbox, Place};

/// Adds a fact that waits, inside the transaction that is open.
pub(super) fn tell(connection: &Connection, fact: &Fact) -> Result<(), StoreError> {
    let torrent = fact.torrent.as_bytes().as_slice();
    connection.prepare_cached("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?, ?)")?.execute(
        params![
            torrent,
            fact.place.epoch.0.cast_signed(),
            fact.place.seq.cast_signed(),
            fact.topic,
            fact.record.as_ref(),
        ],
    )?;
    // The offset beyond the last that may be there.
    let sql = "SELECT 1 FROM outbox WHERE torrent = ? LIMIT 1 OFFSET ?";
    let too_many = connection
        .prepare_cached(sql)?
        .exists(params![torrent, i64::try_from(FACTS_MAX).unwrap_or(i64::MAX)])?;
    if too_many {
        return Err(StoreError::Full(format!("{FACTS_MAX} facts of {} wait", fact.torrent)));
    }
    Ok(())
}

/// Takes out the facts up to this one, inside the transaction that is open.
pub(super) fn told(
    connection: &Connection,
    torrent: TorrentId,
    last: Place,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM outbox WHERE torrent = ? AND (epoch, seq) <= (?, ?)")?
        .execute(params![
        torrent.as_bytes().as_slice(),
        last.epoch.0.cast_signed(),
        last.seq.cast_signed(),
    ])?;
    Ok(())
}

#[async_trait]
impl Outbox for SqliteStore {
    async fn facts(&self, torrent: TorrentId, limit: usize) -> Result<Vec<Fact>, StoreError> {
        let rows_max = i64::try_from(limit.min(PAGE_LEN_MAX)).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let sql = "SELECT epoch, seq, topic, record FROM outbox WHERE torrent = ? \
                       ORDER BY epoch, seq LIMIT ?";
            let mut select = connection.prepare_cached(sql)?;
            let mut found = select.query(params![torrent.as_bytes().as_slice(), rows_max])?;
            let mut facts = Vec::new();
            while let Some(row) = found.next()? {
                let epoch = Epoch(row.get::<_, i64>(0)?.cast_unsigned());
                let place = Place { epoch, seq: row.get::<_, i64>(1)?.cast_unsigned() };
                let record = Bytes::from(row.get::<_, Vec<u8>>(3)?);
                facts.push(Fact { torrent, place, topic: row.get(2)?, record });
            }
            Ok(facts)
        };
        self.database.read(read).await
    }

    async fn waiting(
        &self,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<TorrentId>, StoreError> {
        let rows_max = i64::try_from(limit.min(PAGE_LEN_MAX)).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let sql =
                "SELECT DISTINCT torrent FROM outbox WHERE torrent > ? ORDER BY torrent LIMIT ?";
            let mut select = connection.prepare_cached(sql)?;
            // Shorter than every id, so before the first.
            let after = after.as_ref().map_or(&[][..], |id| id.as_bytes().as_slice());
            let mut found = select.query(params![after, rows_max])?;
            let mut torrents = Vec::new();
            while let Some(row) = found.next()? {
                torrents.push(TorrentId(row.get(0)?));
            }
            Ok(torrents)
        };
        self.database.read(read).await
    }
}
