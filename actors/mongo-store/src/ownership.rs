//! Lives of nodes and owners of torrents: each change is one compare-and-set on one document.
//!
//! The server's time is what a write of its own left in a document (`$$NOW`, `$currentDate`). It is compared in
//! filters, as a time that is over: nothing runs out early.

use std::time::Duration;

use async_trait::async_trait;
use control::{Epoch, Holder, NodeName, NodeState, TorrentId, TorrentRow};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;
use store::{
    Assignment, Begin, NODES_MAX, NodeEntry, NodeInfo, OwnershipStore, PAGE_LEN_MAX, Renewal,
    StoreError, Verdict, lease_ms,
};

use crate::MongoStore;
use crate::document::{
    binary, date, holder as holder_fields, id, node_entry, owner_row, signed, state_name, time_ms,
};
use crate::error::{is_duplicate, refused};

/// How often a change is tried whose row changes at the same time. Each try that fails is another's success.
const TRIES_MAX: u32 = 100;

/// What a row of a life that is not over looks like.
fn living(holder: &Holder) -> Document {
    doc! {
        "_id": holder.node.as_str(),
        "incarnation": signed(holder.incarnation.0),
        "state": { "$ne": state_name(NodeState::Dead) },
    }
}

/// A lease from the server's now on, in an update that is a pipeline.
fn leased(lease: Duration) -> Document {
    doc! { "seen": "$$NOW", "leaseUntil": { "$add": ["$$NOW", signed(lease_ms(lease))] } }
}

fn contended(what: &str) -> StoreError {
    StoreError::Unavailable(format!("{what} changed {TRIES_MAX} times while it was to be changed"))
}

impl MongoStore {
    /// The server's time, a moment ago.
    async fn now_ms(&self) -> Result<u64, StoreError> {
        for _ in 0..TRIES_MAX {
            let clock = self
                .meta
                .find_one_and_update(
                    doc! { "_id": "clock" },
                    doc! { "$currentDate": { "now": true } },
                )
                .upsert(true)
                .return_document(ReturnDocument::After)
                .await;
            match clock {
                Ok(Some(clock)) => return time_ms(&clock, "now"),
                // Two made it at once: now it is there.
                Ok(None) => {}
                Err(error) if is_duplicate(&error) => {}
                Err(error) => return Err(refused(&error)),
            }
        }
        Err(contended("the clock"))
    }

    async fn node(&self, node: &NodeName) -> Result<Option<NodeEntry>, StoreError> {
        let found = self.nodes.find_one(doc! { "_id": node.as_str() }).await;
        found.map_err(|error| refused(&error))?.as_ref().map(node_entry).transpose()
    }

    /// Begins a life where no other may go on; `None` where one may.
    async fn try_begin(
        &self,
        node: &NodeName,
        info: &NodeInfo,
        lease: Duration,
    ) -> Result<Option<Begin>, StoreError> {
        let data_id = binary(&info.data_id);
        let filter = doc! {
            "_id": node.as_str(),
            "$or": [
                { "dataId": data_id.clone() },
                { "state": state_name(NodeState::Dead) },
                { "leaseUntil": { "$lt": date(self.now_ms().await?) } },
            ],
        };
        let mut set = leased(lease);
        set.extend(doc! {
            "incarnation": { "$add": ["$incarnation", 1_i64] },
            "state": state_name(NodeState::Up),
            "dataId": data_id,
            // Whatever a node calls itself is no expression.
            "address": { "$literal": &info.address },
            "weight": i64::from(info.weight),
        });
        let begun = self
            .nodes
            .find_one_and_update(filter, vec![doc! { "$set": set }])
            .return_document(ReturnDocument::After)
            .await
            .map_err(|error| refused(&error))?;
        let Some(row) = begun else { return Ok(None) };
        let incarnation = node_entry(&row)?.row.holder.incarnation;
        Ok(Some(Begin::Begun { incarnation, now_ms: time_ms(&row, "seen")? }))
    }

    /// Makes the row of a node that was never here: of a life before its first, which is over.
    async fn make_row(&self, node: &NodeName, info: &NodeInfo) -> Result<(), StoreError> {
        let nodes = self.nodes.count_documents(doc! {}).await.map_err(|error| refused(&error))?;
        if usize::try_from(nodes).unwrap_or(usize::MAX) >= NODES_MAX {
            return Err(StoreError::Invalid(format!("more than {NODES_MAX} nodes")));
        }
        let row = doc! {
            "_id": node.as_str(),
            "incarnation": 0_i64,
            "state": state_name(NodeState::Dead),
            "leaseUntil": date(0),
            "seen": date(0),
            "dataId": binary(&info.data_id),
            "address": &info.address,
            "weight": i64::from(info.weight),
        };
        match self.nodes.insert_one(row).await {
            Err(error) if !is_duplicate(&error) => Err(refused(&error)),
            _ => Ok(()),
        }
    }

    async fn begin_life(
        &self,
        node: &NodeName,
        info: &NodeInfo,
        lease: Duration,
    ) -> Result<Begin, StoreError> {
        if self.node(node).await?.is_none() {
            self.make_row(node, info).await?;
        }
        for _ in 0..TRIES_MAX {
            if let Some(begun) = self.try_begin(node, info, lease).await? {
                return Ok(begun);
            }
            // Its row does not match: a life with another directory may go on. Or it did a moment ago.
            if let Some(entry) = self.node(node).await?
                && entry.info.data_id != info.data_id
                && entry.row.state != NodeState::Dead
            {
                return Ok(Begin::Occupied { lease_until_ms: entry.row.lease_until_ms });
            }
        }
        Err(contended("the node's row"))
    }

    async fn set_state(&self, filter: Document, state: NodeState) -> Result<bool, StoreError> {
        let set = doc! { "$set": { "state": state_name(state) } };
        let updated = self.nodes.update_one(filter, set).await.map_err(|error| refused(&error))?;
        Ok(updated.matched_count > 0)
    }

    async fn assign_epoch(
        &self,
        torrent: TorrentId,
        seen: Epoch,
        owner: Option<&Holder>,
    ) -> Result<Assignment, StoreError> {
        let filter = doc! { "_id": id(torrent), "epoch": signed(seen.0) };
        let next = Epoch(seen.0 + 1);
        let set = doc! { "$set": { "epoch": signed(next.0), "owner": owner.map(holder_fields) } };
        for _ in 0..TRIES_MAX {
            let updated = self.torrents.update_one(filter.clone(), set.clone()).await;
            if updated.map_err(|error| refused(&error))?.matched_count > 0 {
                return Ok(Assignment::Assigned(next));
            }
            let row = self.row_of(torrent).await?;
            if row.epoch != seen {
                return Ok(Assignment::Lost(row));
            }
            // Removed and added again meanwhile.
        }
        Err(contended("the torrent"))
    }

    async fn row_of(&self, torrent: TorrentId) -> Result<TorrentRow, StoreError> {
        let found = self.torrents.find_one(doc! { "_id": id(torrent) }).await;
        let found = found.map_err(|error| refused(&error))?;
        Ok(owner_row(&found.ok_or(StoreError::NotFound(torrent))?)?.1)
    }
}

#[async_trait]
impl OwnershipStore for MongoStore {
    async fn begin(
        &self,
        node: &NodeName,
        info: &NodeInfo,
        lease: Duration,
    ) -> Result<Begin, StoreError> {
        info.check()?;
        self.call(self.begin_life(node, info, lease)).await
    }

    async fn renew(&self, holder: &Holder, lease: Duration) -> Result<Renewal, StoreError> {
        self.call(async {
            let renewed = self
                .nodes
                .find_one_and_update(living(holder), vec![doc! { "$set": leased(lease) }])
                .return_document(ReturnDocument::After)
                .await
                .map_err(|error| refused(&error))?;
            let Some(row) = renewed else { return Ok(Renewal::Over) };
            Ok(Renewal::Renewed { now_ms: time_ms(&row, "seen")? })
        })
        .await
    }

    async fn drain(&self, holder: &Holder) -> Result<bool, StoreError> {
        self.call(self.set_state(living(holder), NodeState::Draining)).await
    }

    async fn depose(&self, holder: &Holder, verdict: Verdict) -> Result<bool, StoreError> {
        let mut filter = living(holder);
        if let Verdict::Expired { now_ms } = verdict {
            filter.insert("leaseUntil", doc! { "$lt": date(now_ms) });
        }
        self.call(self.set_state(filter, NodeState::Dead)).await
    }

    async fn nodes(&self) -> Result<Vec<NodeEntry>, StoreError> {
        self.call(async {
            let found = self
                .nodes
                .find(doc! { "incarnation": { "$gt": 0_i64 } })
                .sort(doc! { "_id": 1 })
                .limit(i64::try_from(NODES_MAX).unwrap_or(i64::MAX))
                .await
                .map_err(|error| refused(&error))?;
            let rows: Vec<Document> = found.try_collect().await.map_err(|error| refused(&error))?;
            rows.iter().map(node_entry).collect()
        })
        .await
    }

    async fn ownership(&self, torrent: TorrentId) -> Result<TorrentRow, StoreError> {
        self.call(self.row_of(torrent)).await
    }

    async fn assign(
        &self,
        torrent: TorrentId,
        seen: Epoch,
        owner: Option<&Holder>,
    ) -> Result<Assignment, StoreError> {
        self.call(self.assign_epoch(torrent, seen, owner)).await
    }

    async fn owned(
        &self,
        node: Option<&NodeName>,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<(TorrentId, TorrentRow)>, StoreError> {
        let limit = limit.min(PAGE_LEN_MAX);
        if limit == 0 {
            // To MongoDB it would be no limit.
            return Ok(Vec::new());
        }
        // A row without an owner has no `owner.node`, which null matches.
        let mut filter = doc! { "owner.node": node.map(NodeName::as_str) };
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": id(after) });
        }
        self.call(async {
            let found = self
                .torrents
                .find(filter)
                .projection(doc! { "epoch": 1, "owner": 1 })
                .sort(doc! { "_id": 1 })
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .await
                .map_err(|error| refused(&error))?;
            let rows: Vec<Document> = found.try_collect().await.map_err(|error| refused(&error))?;
            rows.iter().map(owner_row).collect()
        })
        .await
    }
}
