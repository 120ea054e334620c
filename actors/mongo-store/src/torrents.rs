//! Reading torrents; their changes are in [`write`](crate::write).

use async_trait::async_trait;
use bytes::Bytes;
use control::TorrentId;
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use std::sync::atomic::Ordering;
use store::{
    Change, PAGE_LEN_MAX, PageKey, StoreError, TorrentRecord, TorrentSource, TorrentStore,
};

use crate::MongoStore;
use crate::document::{bytes, id, record, signed, source};
use crate::error::refused;

impl MongoStore {
    /// The document of a torrent in one of the collections that have one for each.
    async fn of_torrent(
        &self,
        collection: &Collection<Document>,
        torrent: TorrentId,
    ) -> Result<Option<Document>, StoreError> {
        let found = collection.find_one(doc! { "_id": id(torrent) }).await;
        found.map_err(|error| refused(&error))
    }

    /// The `_id` of a value of this node.
    pub(crate) fn meta_id(&self, key: &str) -> Document {
        doc! { "node": self.node.as_str(), "key": key }
    }
}

#[async_trait]
impl TorrentStore for MongoStore {
    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        changes.iter().try_for_each(Change::check)?;
        self.call(self.write_all(&changes)).await
    }

    async fn torrent(&self, id: TorrentId) -> Result<TorrentRecord, StoreError> {
        self.call(async {
            let found = self.of_torrent(&self.torrents, id).await?;
            record(&found.ok_or(StoreError::NotFound(id))?)
        })
        .await
    }

    async fn torrents(
        &self,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<TorrentRecord>, StoreError> {
        let limit = limit.min(PAGE_LEN_MAX);
        if limit == 0 {
            // To MongoDB it would be no limit.
            return Ok(Vec::new());
        }
        let filter = after.map_or_else(Document::new, |key| {
            let added = signed(key.added_ms);
            let same_time = doc! { "createdAt": added, "_id": { "$gt": id(key.id) } };
            doc! { "$or": [{ "createdAt": { "$gt": added } }, same_time] }
        });
        self.call(async {
            let found = self
                .torrents
                .find(filter)
                .sort(doc! { "createdAt": 1, "_id": 1 })
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .await
                .map_err(|error| refused(&error))?;
            let page: Vec<Document> = found.try_collect().await.map_err(|error| refused(&error))?;
            page.iter().map(record).collect()
        })
        .await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.call(async {
            self.torrents.count_documents(doc! {}).await.map_err(|error| refused(&error))
        })
        .await
    }

    async fn source(&self, id: TorrentId) -> Result<TorrentSource, StoreError> {
        self.call(async {
            let found = self.of_torrent(&self.sources, id).await?;
            source(&found.ok_or(StoreError::NotFound(id))?)
        })
        .await
    }

    async fn checkpoint(&self, id: TorrentId) -> Result<Option<Bytes>, StoreError> {
        self.call(async {
            if let Some(found) = self.of_torrent(&self.checkpoints, id).await? {
                return bytes(&found, "data").map(Some);
            }
            let torrent = self.of_torrent(&self.torrents, id).await?;
            torrent.map(|_| None).ok_or(StoreError::NotFound(id))
        })
        .await
    }

    async fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.call(async {
            let found = self.meta.find_one(doc! { "_id": self.meta_id(key) }).await;
            let found = found.map_err(|error| refused(&error))?;
            found.map(|value| bytes(&value, "value")).transpose()
        })
        .await
    }

    async fn close(&self) {
        if !self.is_closed.swap(true, Ordering::AcqRel) {
            self.client.clone().shutdown().await;
        }
    }
}
