//! Rows of nodes and owners in a SQLite file.
//!
//! All writes are made by one thread one after another, so a read and a write in one job are a compare-and-set.
//! The store's clock is SQLite's, which is the machine's: one machine has one.

use std::time::Duration;

use async_trait::async_trait;
use control::{Epoch, Holder, Incarnation, NodeName, NodeRow, NodeState, TorrentId, TorrentRow};
use sqlite_file::rusqlite::{Connection, Row, params};

use super::SqliteStore;
use crate::PAGE_LEN_MAX;
use crate::error::StoreError;
use crate::ownership::{
    Assignment, Begin, NODES_MAX, NodeEntry, NodeInfo, OwnershipStore, Renewal, Verdict, lease_ms,
};

/// About what a change of a row takes in memory while it waits to be written, in bytes.
const ROW_LEN: usize = 512;

const SELECT_NODES: &str =
    "SELECT name, incarnation, state, lease_until_ms, data_id, address, weight FROM nodes";

/// The store's time, in milliseconds since 1970-01-01 UTC.
fn now_ms(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
    let now: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(now.cast_unsigned())
}

const fn state_code(state: NodeState) -> i64 {
    match state {
        NodeState::Up => 0,
        NodeState::Draining => 1,
        NodeState::Dead => 2,
    }
}

fn name_of(text: &str) -> Result<NodeName, StoreError> {
    NodeName::new(text).ok_or_else(|| StoreError::Corrupt(format!("{text:?} is no node's name")))
}

fn read_node(row: &Row<'_>) -> Result<NodeEntry, StoreError> {
    let node = name_of(&row.get::<_, String>(0)?)?;
    let state = match row.get::<_, i64>(2)? {
        0 => NodeState::Up,
        1 => NodeState::Draining,
        2 => NodeState::Dead,
        other => return Err(StoreError::Corrupt(format!("node {node} in state {other}"))),
    };
    let holder = Holder { node, incarnation: Incarnation(row.get::<_, i64>(1)?.cast_unsigned()) };
    let lease_until_ms = row.get::<_, i64>(3)?.cast_unsigned();
    let info = NodeInfo { data_id: row.get(4)?, address: row.get(5)?, weight: row.get(6)? };
    Ok(NodeEntry { row: NodeRow { holder, state, lease_until_ms }, info })
}

fn node(connection: &Connection, name: &NodeName) -> Result<Option<NodeEntry>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT_NODES} WHERE name = ?"))?;
    let mut found = select.query([name.as_str()])?;
    found.next()?.map(read_node).transpose()
}

/// Reads a row of `epoch, owner, owner_incarnation`.
fn read_owner(row: &Row<'_>, first: usize) -> Result<TorrentRow, StoreError> {
    let epoch = Epoch(row.get::<_, i64>(first)?.cast_unsigned());
    let owner = row.get::<_, Option<String>>(first + 1)?;
    let incarnation = Incarnation(row.get::<_, i64>(first + 2)?.cast_unsigned());
    let owner =
        owner.map(|name| Ok::<_, StoreError>(Holder { node: name_of(&name)?, incarnation }));
    Ok(TorrentRow { epoch, owner: owner.transpose()? })
}

/// A torrent's row; `NotFound` if there is no such torrent.
pub(super) fn ownership(connection: &Connection, id: TorrentId) -> Result<TorrentRow, StoreError> {
    let sql = "SELECT epoch, owner, owner_incarnation FROM torrents WHERE id = ?";
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query([id.as_bytes().as_slice()])?;
    read_owner(found.next()?.ok_or(StoreError::NotFound(id))?, 0)
}

fn begin(
    connection: &Connection,
    name: &NodeName,
    info: &NodeInfo,
    lease: Duration,
) -> Result<Begin, StoreError> {
    let now_ms = now_ms(connection)?;
    let before = node(connection, name)?;
    let NodeRow { holder, state, lease_until_ms } =
        match NodeEntry::next_life(before.as_ref(), name, info, now_ms, lease) {
            Ok(entry) => entry.row,
            Err(lease_until_ms) => return Ok(Begin::Occupied { lease_until_ms }),
        };
    if before.is_none() {
        let sql = "SELECT count(*) FROM nodes";
        let nodes: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        if usize::try_from(nodes).unwrap_or(0) >= NODES_MAX {
            return Err(StoreError::Invalid(format!("more than {NODES_MAX} nodes")));
        }
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            name.as_str(),
            holder.incarnation.0.cast_signed(),
            state_code(state),
            lease_until_ms.cast_signed(),
            info.data_id.as_slice(),
            info.address,
            info.weight,
        ])?;
    Ok(Begin::Begun { incarnation: holder.incarnation, now_ms })
}

fn assign(
    connection: &Connection,
    id: TorrentId,
    seen: Epoch,
    owner: Option<&Holder>,
) -> Result<Assignment, StoreError> {
    let row = ownership(connection, id)?;
    if row.epoch != seen {
        return Ok(Assignment::Lost(row));
    }
    let next = Epoch(seen.0 + 1);
    connection
        .prepare_cached(
            "UPDATE torrents SET epoch = ?, owner = ?, owner_incarnation = ? WHERE id = ?",
        )?
        .execute(params![
            next.0.cast_signed(),
            owner.map(|holder| holder.node.as_str()),
            owner.map_or(0, |holder| holder.incarnation.0.cast_signed()),
            id.as_bytes().as_slice(),
        ])?;
    Ok(Assignment::Assigned(next))
}

impl SqliteStore {
    /// Sets the state of a life that is not over and whose lease ends before this time; says whether there was one.
    async fn set_state(
        &self,
        holder: &Holder,
        state: NodeState,
        lease_below_ms: u64,
    ) -> Result<bool, StoreError> {
        let holder = holder.clone();
        let job = move |connection: &Connection| {
            let sql = "UPDATE nodes SET state = ? \
                       WHERE name = ? AND incarnation = ? AND state <> 2 AND lease_until_ms < ?";
            let rows = connection.prepare_cached(sql)?.execute(params![
                state_code(state),
                holder.node.as_str(),
                holder.incarnation.0.cast_signed(),
                lease_below_ms.min(i64::MAX.unsigned_abs()).cast_signed(),
            ])?;
            Ok::<_, StoreError>(rows > 0)
        };
        self.database.write(ROW_LEN, job).await
    }
}

#[async_trait]
impl OwnershipStore for SqliteStore {
    async fn begin(
        &self,
        node: &NodeName,
        info: &NodeInfo,
        lease: Duration,
    ) -> Result<Begin, StoreError> {
        info.check()?;
        let (node, info) = (node.clone(), info.clone());
        let job = move |connection: &Connection| begin(connection, &node, &info, lease);
        self.database.write(ROW_LEN, job).await
    }

    async fn renew(&self, holder: &Holder, lease: Duration) -> Result<Renewal, StoreError> {
        let holder = holder.clone();
        let job = move |connection: &Connection| {
            let now_ms = now_ms(connection)?;
            let until_ms = now_ms.saturating_add(lease_ms(lease)).cast_signed();
            let sql = "UPDATE nodes SET lease_until_ms = ? \
                       WHERE name = ? AND incarnation = ? AND state <> 2";
            let incarnation = holder.incarnation.0.cast_signed();
            let rows = connection.prepare_cached(sql)?.execute(params![
                until_ms,
                holder.node.as_str(),
                incarnation
            ])?;
            Ok::<_, StoreError>(if rows == 0 { Renewal::Over } else { Renewal::Renewed { now_ms } })
        };
        self.database.write(ROW_LEN, job).await
    }

    async fn drain(&self, holder: &Holder) -> Result<bool, StoreError> {
        self.set_state(holder, NodeState::Draining, u64::MAX).await
    }

    async fn depose(&self, holder: &Holder, verdict: Verdict) -> Result<bool, StoreError> {
        let lease_below_ms = match verdict {
            Verdict::Unreachable => u64::MAX,
            Verdict::Expired { now_ms } => now_ms,
        };
        self.set_state(holder, NodeState::Dead, lease_below_ms).await
    }

    async fn nodes(&self) -> Result<Vec<NodeEntry>, StoreError> {
        let read = |connection: &Connection| {
            let sql = format!("{SELECT_NODES} ORDER BY name");
            let mut select = connection.prepare_cached(&sql)?;
            let mut found = select.query([])?;
            let mut nodes = Vec::new();
            while let Some(row) = found.next()? {
                nodes.push(read_node(row)?);
            }
            Ok(nodes)
        };
        self.database.read(read).await
    }

    async fn ownership(&self, torrent: TorrentId) -> Result<TorrentRow, StoreError> {
        self.database.read(move |connection| ownership(connection, torrent)).await
    }

    async fn assign(
        &self,
        torrent: TorrentId,
        seen: Epoch,
        owner: Option<&Holder>,
    ) -> Result<Assignment, StoreError> {
        let owner = owner.cloned();
        let job = move |connection: &Connection| assign(connection, torrent, seen, owner.as_ref());
        self.database.write(ROW_LEN, job).await
    }

    async fn owned(
        &self,
        node: Option<&NodeName>,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<(TorrentId, TorrentRow)>, StoreError> {
        let node = node.map(|name| name.as_str().to_owned());
        let rows_max = i64::try_from(limit.min(PAGE_LEN_MAX)).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let sql = "SELECT id, epoch, owner, owner_incarnation FROM torrents \
                       WHERE owner IS ? AND id > ? ORDER BY id LIMIT ?";
            let mut select = connection.prepare_cached(sql)?;
            // Shorter than every id, so before the first.
            let after = after.as_ref().map_or(&[][..], |id| id.as_bytes().as_slice());
            let mut found = select.query(params![node, after, rows_max])?;
            let mut page = Vec::new();
            while let Some(row) = found.next()? {
                page.push((TorrentId(row.get(0)?), read_owner(row, 1)?));
            }
            Ok(page)
        };
        self.database.read(read).await
    }
}
