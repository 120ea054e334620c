//! Records and changes as rows.

use bytes::Bytes;
use control::{InfoHash, InfoHashV2, TorrentId};
use sqlite_file::rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

use super::outbox;
use super::ownership::ownership;
use crate::change::{Change, settings_from_json, settings_to_json};
use crate::error::StoreError;
use crate::record::{Desired, TorrentRecord, TorrentSource};

/// The columns of a record, in the order of [`read_record`].
macro_rules! columns {
    () => {
        "id, v1, v2, name, added_ms, is_running, settings, is_private, total_bytes, wanted_bytes, \
         have_bytes, downloaded_bytes, uploaded_bytes, seeded_s, completed_ms, error"
    };
}

pub(super) const SELECT_ONE: &str = concat!("SELECT ", columns!(), " FROM torrents WHERE id = ?");

pub(super) const SELECT_PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM torrents WHERE (added_ms, id) > (?, ?) ORDER BY added_ms, id LIMIT ?"
);

pub(super) const SELECT_CHECKPOINT: &str =
    "SELECT data FROM torrents LEFT JOIN checkpoints USING (key) WHERE id = ?";

const INSERT: &str = concat!(
    "INSERT OR IGNORE INTO torrents (",
    columns!(),
    ") VALUES (:id, :v1, :v2, :name, :added_ms, :is_running, :settings, :is_private, \
     :total_bytes, :wanted_bytes, :have_bytes, :downloaded_bytes, :uploaded_bytes, :seeded_s, \
     :completed_ms, :error)"
);

/// The time at which a torrent was added is a value here as in [`INSERT`], but stays as it was.
const UPDATE: &str = "UPDATE torrents SET v1 = :v1, v2 = :v2, name = :name, \
    is_running = :is_running, settings = :settings, is_private = :is_private, \
    total_bytes = :total_bytes, wanted_bytes = :wanted_bytes, have_bytes = :have_bytes, \
    downloaded_bytes = :downloaded_bytes, uploaded_bytes = :uploaded_bytes, \
    seeded_s = :seeded_s, completed_ms = :completed_ms, error = :error \
    WHERE id = :id AND :added_ms >= 0";

/// Makes one change inside the transaction that is open.
pub(super) fn apply(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Add(record, source) => {
            if execute_record(connection, INSERT, record)? == 0 {
                return Err(StoreError::Conflict(record.id));
            }
            write_source(connection, record.id, source)
        }
        Change::Update(record) => found(record.id, execute_record(connection, UPDATE, record)?),
        Change::SetSource(id, source) => write_source(connection, *id, source),
        Change::SetCheckpoint(id, data) => {
            let sql = "INSERT OR REPLACE INTO checkpoints SELECT key, ? FROM torrents WHERE id = ?";
            found(*id, execute(connection, sql, &[&data.as_ref(), &id.as_bytes().as_slice()])?)
        }
        Change::Remove(id) => {
            let key: Option<i64> = connection
                .prepare_cached("DELETE FROM torrents WHERE id = ? RETURNING key")?
                .query_row([id.as_bytes().as_slice()], |row| row.get(0))
                .optional()?;
            let key = key.ok_or(StoreError::NotFound(*id))?;
            execute(connection, "DELETE FROM sources WHERE key = ?", &[&key])?;
            execute(connection, "DELETE FROM checkpoints WHERE key = ?", &[&key]).map(drop)
        }
        Change::Fence(id, epoch) => {
            let current = ownership(connection, *id)?.epoch;
            if *epoch != current {
                return Err(StoreError::StaleEpoch { torrent: *id, said: *epoch, current });
            }
            Ok(())
        }
        Change::Tell(fact) => outbox::tell(connection, fact),
        Change::Told(torrent, last) => outbox::told(connection, *torrent, *last),
        Change::SetMeta(key, Some(value)) => {
            let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)";
            execute(connection, sql, &[key, &value.as_ref()]).map(drop)
        }
        Change::SetMeta(key, None) => {
            execute(connection, "DELETE FROM meta WHERE key = ?", &[key]).map(drop)
        }
    }
}

fn execute(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
    Ok(connection.prepare_cached(sql)?.execute(values)?)
}

fn execute_record(
    connection: &Connection,
    sql: &str,
    record: &TorrentRecord,
) -> Result<usize, StoreError> {
    let settings = settings_to_json(record)?;
    let rows = connection.prepare_cached(sql)?.execute(named_params! {
        ":id": record.id.as_bytes().as_slice(),
        ":v1": record.v1.as_ref().map(|hash| hash.as_bytes().as_slice()),
        ":v2": record.v2.as_ref().map(|hash| hash.as_bytes().as_slice()),
        ":name": record.name,
        ":added_ms": signed(record.added_ms),
        ":is_running": record.desired == Desired::Running,
        ":settings": settings,
        ":is_private": record.is_private,
        ":total_bytes": signed(record.total_bytes),
        ":wanted_bytes": signed(record.wanted_bytes),
        ":have_bytes": signed(record.have_bytes),
        ":downloaded_bytes": signed(record.downloaded_bytes),
        ":uploaded_bytes": signed(record.uploaded_bytes),
        ":seeded_s": signed(record.seeded_s),
        ":completed_ms": record.completed_ms.map(signed),
        ":error": record.error,
    })?;
    Ok(rows)
}

/// A number that [`Change::check`] has found to fit.
const fn signed(count: u64) -> i64 {
    count.cast_signed()
}

fn write_source(
    connection: &Connection,
    id: TorrentId,
    source: &TorrentSource,
) -> Result<(), StoreError> {
    let (is_metainfo, data) = match source {
        TorrentSource::Metainfo(bytes) => (true, bytes.as_ref()),
        TorrentSource::Magnet(link) => (false, link.as_bytes()),
    };
    let sql = "INSERT OR REPLACE INTO sources SELECT key, ?, ? FROM torrents WHERE id = ?";
    found(id, execute(connection, sql, &[&is_metainfo, &data, &id.as_bytes().as_slice()])?)
}

pub(super) fn read_source(
    connection: &Connection,
    id: TorrentId,
) -> Result<TorrentSource, StoreError> {
    let row = connection
        .prepare_cached(
            "SELECT is_metainfo, data FROM torrents JOIN sources USING (key) WHERE id = ?",
        )?
        .query_row([id.as_bytes().as_slice()], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let (is_metainfo, data) = row.ok_or(StoreError::NotFound(id))?;
    if is_metainfo {
        return Ok(TorrentSource::Metainfo(Bytes::from(data)));
    }
    let link = String::from_utf8(data);
    link.map(TorrentSource::Magnet)
        .map_err(|_| StoreError::Corrupt(format!("the magnet link of {id} is no text")))
}

fn found(id: TorrentId, rows: usize) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound(id)) } else { Ok(()) }
}

/// Reads a row whose columns are those of `columns!`.
pub(super) fn read_record(row: &Row<'_>) -> Result<TorrentRecord, StoreError> {
    let id = TorrentId(row.get(0)?);
    let settings = settings_from_json(id, row.get::<_, Option<String>>(6)?.as_deref())?;
    let is_running: bool = row.get(5)?;
    Ok(TorrentRecord {
        id,
        v1: row.get::<_, Option<[u8; 20]>>(1)?.map(InfoHash),
        v2: row.get::<_, Option<[u8; 32]>>(2)?.map(InfoHashV2),
        name: row.get(3)?,
        added_ms: unsigned(row, 4)?,
        desired: if is_running { Desired::Running } else { Desired::Stopped },
        settings,
        is_private: row.get(7)?,
        total_bytes: unsigned(row, 8)?,
        wanted_bytes: unsigned(row, 9)?,
        have_bytes: unsigned(row, 10)?,
        downloaded_bytes: unsigned(row, 11)?,
        uploaded_bytes: unsigned(row, 12)?,
        seeded_s: unsigned(row, 13)?,
        completed_ms: row.get::<_, Option<i64>>(14)?.map(i64::cast_unsigned),
        error: row.get(15)?,
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}
