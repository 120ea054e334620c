//! Facts that wait, in memory.

use async_trait::async_trait;
use control::TorrentId;

use super::{Kept, MemoryStore, Undo};
use crate::PAGE_LEN_MAX;
use crate::error::StoreError;
use crate::outbox::{FACTS_MAX, Fact, Outbox, Place};

impl Kept {
    /// Adds a fact that waits.
    pub(super) fn tell(&mut self, fact: Fact) -> Result<Undo, StoreError> {
        let (torrent, place) = (fact.torrent, fact.place);
        let facts = self.facts.entry(torrent).or_default();
        if facts.len() >= FACTS_MAX && !facts.contains_key(&place) {
            return Err(StoreError::Full(format!("{FACTS_MAX} facts of {torrent} wait")));
        }
        let before = facts.insert(place, fact);
        Ok(Undo::Fact(torrent, place, before))
    }

    /// Takes out the facts up to this one.
    pub(super) fn told(&mut self, torrent: TorrentId, last: Place) -> Undo {
        let Some(facts) = self.facts.get_mut(&torrent) else { return Undo::Nothing };
        let before = facts.clone();
        facts.retain(|place, _| *place > last);
        if facts.is_empty() {
            self.facts.remove(&torrent);
        }
        Undo::Facts(torrent, before)
    }

    /// As before a [`Kept::tell`].
    pub(super) fn untell(&mut self, torrent: TorrentId, place: Place, before: Option<Fact>) {
        let facts = self.facts.entry(torrent).or_default();
        facts.remove(&place);
        facts.extend(before.map(|fact| (place, fact)));
        if facts.is_empty() {
            self.facts.remove(&torrent);
        }
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn facts(&self, torrent: TorrentId, limit: usize) -> Result<Vec<Fact>, StoreError> {
        self.enter(|kept| {
            let facts = kept.facts.get(&torrent).into_iter().flat_map(|facts| facts.values());
            Ok(facts.take(limit.min(PAGE_LEN_MAX)).cloned().collect())
        })
        .await
    }

    async fn waiting(
        &self,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<TorrentId>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.enter(|kept| {
            let range = kept.facts.range((after.map_or(Unbounded, Excluded), Unbounded));
            Ok(range.map(|(torrent, _)| *torrent).take(limit.min(PAGE_LEN_MAX)).collect())
        })
        .await
    }
}
