//! Rows of nodes and owners in memory.

use std::time::Duration;

use async_trait::async_trait;
use control::{Epoch, Holder, NodeName, NodeRow, NodeState, TorrentId, TorrentRow};

use super::{Kept, MemoryStore};
use crate::PAGE_LEN_MAX;
use crate::error::StoreError;
use crate::ownership::{
    Assignment, Begin, NODES_MAX, NodeEntry, NodeInfo, OwnershipStore, Renewal, Verdict, lease_ms,
};

impl Kept {
    /// The row of a life that is not over.
    fn living(&mut self, holder: &Holder) -> Option<&mut NodeRow> {
        let row = &mut self.nodes.get_mut(&holder.node)?.row;
        row.is(holder).then_some(row)
    }

    fn begin(&mut self, node: &NodeName, info: &NodeInfo, now_ms: u64, lease: Duration) -> Begin {
        match NodeEntry::next_life(self.nodes.get(node), node, info, now_ms, lease) {
            Ok(entry) => {
                let incarnation = entry.row.holder.incarnation;
                self.nodes.insert(node.clone(), entry);
                Begin::Begun { incarnation, now_ms }
            }
            Err(lease_until_ms) => Begin::Occupied { lease_until_ms },
        }
    }
}

#[async_trait]
impl OwnershipStore for MemoryStore {
    async fn begin(
        &self,
        node: &NodeName,
        info: &NodeInfo,
        lease: Duration,
    ) -> Result<Begin, StoreError> {
        info.check()?;
        self.enter(|kept| {
            if kept.nodes.len() >= NODES_MAX && !kept.nodes.contains_key(node) {
                return Err(StoreError::Invalid(format!("more than {NODES_MAX} nodes")));
            }
            Ok(kept.begin(node, info, self.now_ms(), lease))
        })
        .await
    }

    async fn renew(&self, holder: &Holder, lease: Duration) -> Result<Renewal, StoreError> {
        self.enter(|kept| {
            let now_ms = self.now_ms();
            let Some(row) = kept.living(holder) else { return Ok(Renewal::Over) };
            row.lease_until_ms = now_ms + lease_ms(lease);
            Ok(Renewal::Renewed { now_ms })
        })
        .await
    }

    async fn drain(&self, holder: &Holder) -> Result<bool, StoreError> {
        self.enter(|kept| {
            let row = kept.living(holder);
            Ok(row.map(|row| row.state = NodeState::Draining).is_some())
        })
        .await
    }

    async fn depose(&self, holder: &Holder, verdict: Verdict) -> Result<bool, StoreError> {
        self.enter(|kept| {
            let row = kept.living(holder).filter(|row| verdict.holds(row));
            Ok(row.map(|row| row.state = NodeState::Dead).is_some())
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<NodeEntry>, StoreError> {
        self.enter(|kept| Ok(kept.nodes.values().cloned().collect())).await
    }

    async fn ownership(&self, torrent: TorrentId) -> Result<TorrentRow, StoreError> {
        self.enter(|kept| Ok(kept.entry(torrent)?.ownership.clone())).await
    }

    async fn assign(
        &self,
        torrent: TorrentId,
        seen: Epoch,
        owner: Option<&Holder>,
    ) -> Result<Assignment, StoreError> {
        self.enter(|kept| {
            let row = &mut kept.entry_mut(torrent)?.ownership;
            if row.epoch != seen {
                return Ok(Assignment::Lost(row.clone()));
            }
            *row = TorrentRow { epoch: Epoch(seen.0 + 1), owner: owner.cloned() };
            Ok(Assignment::Assigned(row.epoch))
        })
        .await
    }

    async fn owned(
        &self,
        node: Option<&NodeName>,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<(TorrentId, TorrentRow)>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.enter(|kept| {
            let range = kept.torrents.range((after.map_or(Unbounded, Excluded), Unbounded));
            let is_theirs = |row: &TorrentRow| row.owner.as_ref().map(|owner| &owner.node) == node;
            let theirs = range.filter(|(_, entry)| is_theirs(&entry.ownership));
            let page = theirs.map(|(id, entry)| (*id, entry.ownership.clone()));
            Ok(page.take(limit.min(PAGE_LEN_MAX)).collect())
        })
        .await
    }
}
