//! Topics, records and offsets as rows.

use std::time::Duration;

use bytes::Bytes;
use sqlite_file::rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::EventLogError;
use crate::memory::size;
use crate::partition;
use crate::record::{Page, PageLimit, Position, Record, Stored, Watermarks};
use crate::topic::{Cleanup, TOPICS_MAX, TopicSpec};

/// A partition's row.
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) marks: Watermarks,
    pub(super) bytes: u64,
}

pub(super) fn declare(connection: &Connection, topic: &TopicSpec) -> Result<(), EventLogError> {
    if let Some(partitions) = partition_count(connection, &topic.name)? {
        if partitions != topic.partitions {
            return Err(EventLogError::Conflict { topic: topic.name.clone(), partitions });
        }
    } else {
        let count: i64 = connection.query_row("SELECT count(*) FROM topics", [], |r| r.get(0))?;
        if usize::try_from(count).unwrap_or(usize::MAX) >= TOPICS_MAX {
            return Err(EventLogError::Invalid(format!("more than {TOPICS_MAX} topics")));
        }
        let mut insert =
            connection.prepare_cached("INSERT INTO partitions (topic, partition) VALUES (?, ?)")?;
        for partition in 0..topic.partitions {
            insert.execute(params![topic.name, partition])?;
        }
    }
    let (age, partition_bytes, is_compacted) = match topic.cleanup {
        Cleanup::Delete { age, partition_bytes } => (age, partition_bytes, false),
        Cleanup::Compact { gone_age } => (Some(gone_age), None, true),
    };
    let age_ms = age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let partition_bytes = partition_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    connection.execute(
        "INSERT OR REPLACE INTO topics (name, partitions, age_ms, partition_bytes, is_compacted) \
         VALUES (?, ?, ?, ?, ?)",
        params![topic.name, topic.partitions, age_ms, partition_bytes, is_compacted],
    )?;
    Ok(())
}

pub(super) fn topics(connection: &Connection) -> Result<Vec<TopicSpec>, EventLogError> {
    let sql = "SELECT name, partitions, age_ms, partition_bytes, is_compacted FROM topics \
               ORDER BY name";
    let mut select = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let age_ms: Option<i64> = row.get(2)?;
        let age = age_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
        let bytes: Option<i64> = row.get(3)?;
        let cleanup = if row.get(4)? {
            Cleanup::Compact { gone_age: age.unwrap_or_default() }
        } else {
            Cleanup::Delete { age, partition_bytes: bytes.map(i64::unsigned_abs) }
        };
        Ok(TopicSpec { name: row.get(0)?, partitions: row.get(1)?, cleanup })
    };
    Ok(select.query_map([], read)?.collect::<Result<_, _>>()?)
}

fn partition_count(connection: &Connection, topic: &str) -> Result<Option<u32>, EventLogError> {
    let mut select = connection.prepare_cached("SELECT partitions FROM topics WHERE name = ?")?;
    Ok(select.query_row([topic], |row| row.get(0)).optional()?)
}

fn known_partition_count(connection: &Connection, topic: &str) -> Result<u32, EventLogError> {
    let count = partition_count(connection, topic)?;
    count.ok_or_else(|| EventLogError::UnknownTopic(topic.to_owned()))
}

pub(super) fn find(
    connection: &Connection,
    topic: &str,
    partition: u32,
) -> Result<Found, EventLogError> {
    let sql = "SELECT id, low, high, bytes FROM partitions WHERE topic = ? AND partition = ?";
    let mut select = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let marks = Watermarks { low: unsigned(row, 1)?, high: unsigned(row, 2)? };
        Ok(Found { id: row.get(0)?, marks, bytes: unsigned(row, 3)? })
    };
    if let Some(found) = select.query_row(params![topic, partition], read).optional()? {
        return Ok(found);
    }
    known_partition_count(connection, topic)?;
    Err(EventLogError::UnknownPartition { topic: topic.to_owned(), partition })
}

pub(super) fn append(
    connection: &Connection,
    topic: &str,
    records: &[Record],
) -> Result<Vec<Position>, EventLogError> {
    let partitions = known_partition_count(connection, topic)?;
    let mut advance = connection.prepare_cached(
        "UPDATE partitions SET high = high + 1, bytes = bytes + ? \
         WHERE topic = ? AND partition = ? RETURNING id, high - 1",
    )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO log (partition_id, offset, key, ts_ms, headers, payload, size) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut positions = Vec::with_capacity(records.len());
    for record in records {
        let partition = partition(&record.key, partitions);
        let size = size(record).cast_signed();
        let (id, offset): (i64, i64) = advance
            .query_row(params![size, topic, partition], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let headers = encode_headers(record)?;
        let (key, payload) = (record.key.as_ref(), record.payload.as_deref());
        let ts_ms = record.ts_ms.cast_signed();
        insert.execute(params![id, offset, key, ts_ms, headers, payload, size])?;
        positions.push(Position { partition, offset: offset.unsigned_abs() });
    }
    Ok(positions)
}

pub(super) fn read(
    connection: &Connection,
    topic: &str,
    partition: u32,
    from: u64,
    limit: PageLimit,
) -> Result<Page, EventLogError> {
    let found = find(connection, topic, partition)?;
    found.marks.check(from)?;
    let sql = "SELECT offset, key, ts_ms, headers, payload FROM log \
               WHERE partition_id = ? AND offset >= ? AND offset < ? ORDER BY offset LIMIT ?";
    let mut select = connection.prepare_cached(sql)?;
    let rows_max = i64::try_from(limit.records.max(1)).unwrap_or(i64::MAX);
    let (from_row, end_row) = (from.cast_signed(), found.marks.high.cast_signed());
    let mut rows = select.query(params![found.id, from_row, end_row, rows_max])?;
    let stored = std::iter::from_fn(|| match rows.next() {
        Ok(row) => row.map(read_stored),
        Err(error) => Some(Err(error.into())),
    });
    let records = limit.fill(stored)?;
    Ok(found.marks.page(from, records))
}

fn read_stored(row: &Row<'_>) -> Result<Stored, EventLogError> {
    let offset = unsigned(row, 0)?;
    let headers: Option<Vec<u8>> = row.get(3)?;
    let record = Record {
        key: Bytes::from(row.get::<_, Vec<u8>>(1)?),
        ts_ms: unsigned(row, 2)?,
        headers: decode_headers(headers.as_deref())?,
        payload: row.get::<_, Option<Vec<u8>>>(4)?.map(Bytes::from),
    };
    Ok(Stored { offset, record })
}

fn encode_headers(record: &Record) -> Result<Option<Vec<u8>>, EventLogError> {
    if record.headers.is_empty() {
        return Ok(None);
    }
    let encoded = postcard::to_stdvec(&record.headers);
    encoded.map(Some).map_err(|error| EventLogError::Invalid(format!("headers: {error}")))
}

fn decode_headers(encoded: Option<&[u8]>) -> Result<Vec<(String, Bytes)>, EventLogError> {
    let Some(encoded) = encoded else { return Ok(Vec::new()) };
    postcard::from_bytes(encoded)
        .map_err(|error| EventLogError::Corrupt(format!("the headers of a record: {error}")))
}

pub(super) fn commit(
    connection: &Connection,
    group: &str,
    topic: &str,
    next: &[(u32, u64)],
) -> Result<(), EventLogError> {
    let sql = "INSERT OR REPLACE INTO offsets (\"group\", topic, partition, next) \
               VALUES (?, ?, ?, ?)";
    let mut insert = connection.prepare_cached(sql)?;
    for (partition, offset) in next {
        find(connection, topic, *partition)?;
        let offset = i64::try_from(*offset)
            .map_err(|_| EventLogError::Invalid(format!("the offset {offset}")))?;
        insert.execute(params![group, topic, partition, offset])?;
    }
    Ok(())
}

pub(super) fn committed(
    connection: &Connection,
    group: &str,
    topic: &str,
    partition: u32,
) -> Result<Option<u64>, EventLogError> {
    find(connection, topic, partition)?;
    let sql = "SELECT next FROM offsets WHERE \"group\" = ? AND topic = ? AND partition = ?";
    let mut select = connection.prepare_cached(sql)?;
    Ok(select.query_row(params![group, topic, partition], |row| unsigned(row, 0)).optional()?)
}

/// A number that was written as what fits into both signs.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> sqlite_file::rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}
