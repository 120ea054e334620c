//! Removing what a topic's clean-up lets go.

use sqlite_file::rusqlite::{Connection, params};

use super::rows::{find, unsigned};
use crate::error::EventLogError;
use crate::memory::before;
use crate::topic::{Cleanup, TopicSpec};

/// The most records that one step looks at: a few milliseconds.
const STEP_LEN: usize = 1000;

/// What a step did.
pub(super) struct Done {
    /// How many records it removed.
    pub(super) removed: u64,
    /// Whether another step may find more.
    pub(super) is_more: bool,
}

/// Cleans up a part of a partition.
pub(super) fn step(
    connection: &Connection,
    topic: &TopicSpec,
    partition: u32,
    now_ms: u64,
) -> Result<Done, EventLogError> {
    match topic.cleanup {
        Cleanup::Delete { age: None, partition_bytes: None } => {
            Ok(Done { removed: 0, is_more: false })
        }
        Cleanup::Delete { age, partition_bytes } => {
            let since_ms = age.map_or(0, |age| before(now_ms, age));
            let bytes_max = partition_bytes.unwrap_or(u64::MAX);
            delete(connection, &topic.name, partition, since_ms, bytes_max)
        }
        Cleanup::Compact { gone_age } => {
            compact(connection, &topic.name, partition, before(now_ms, gone_age))
        }
    }
}

/// Removes records from the beginning of the partition.
fn delete(
    connection: &Connection,
    topic: &str,
    partition: u32,
    since_ms: u64,
    bytes_max: u64,
) -> Result<Done, EventLogError> {
    let found = find(connection, topic, partition)?;
    let sql = "SELECT offset, ts_ms, size FROM log WHERE partition_id = ? ORDER BY offset LIMIT ?";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![found.id, i64::try_from(STEP_LEN).unwrap_or(i64::MAX)])?;
    let (mut bytes, mut low, mut removed) = (found.bytes, found.marks.low, 0);
    while let Some(row) = rows.next()? {
        if bytes <= bytes_max && unsigned(row, 1)? >= since_ms {
            break;
        }
        low = unsigned(row, 0)?.saturating_add(1);
        bytes = bytes.saturating_sub(unsigned(row, 2)?);
        removed += 1;
    }
    if removed > 0 {
        connection
            .prepare_cached("DELETE FROM log WHERE partition_id = ? AND offset < ?")?
            .execute(params![found.id, low.cast_signed()])?;
        connection
            .prepare_cached("UPDATE partitions SET low = ?, bytes = ? WHERE id = ?")?
            .execute(params![low.cast_signed(), bytes.cast_signed(), found.id])?;
    }
    Ok(Done { removed: u64::try_from(removed).unwrap_or(0), is_more: removed == STEP_LEN })
}

/// Keeps the newest record of each key, in one step: such a topic holds one record a torrent and what
/// came since the last time.
fn compact(
    connection: &Connection,
    topic: &str,
    partition: u32,
    gone_since_ms: u64,
) -> Result<Done, EventLogError> {
    let found = find(connection, topic, partition)?;
    let since_ms = i64::try_from(gone_since_ms).unwrap_or(i64::MAX);
    let removed = connection
        .prepare_cached(
            "DELETE FROM log WHERE partition_id = ?1 AND (offset NOT IN \
             (SELECT max(offset) FROM log WHERE partition_id = ?1 GROUP BY key) \
             OR (payload IS NULL AND ts_ms < ?2))",
        )?
        .execute(params![found.id, since_ms])?;
    connection
        .prepare_cached(
            "UPDATE partitions SET bytes = \
             (SELECT coalesce(sum(size), 0) FROM log WHERE partition_id = ?1) WHERE id = ?1",
        )?
        .execute([found.id])?;
    Ok(Done { removed: u64::try_from(removed).unwrap_or(u64::MAX), is_more: false })
}
