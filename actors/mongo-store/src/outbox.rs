//! Facts that wait.
//!
//! The `_id` of a fact is its torrent's id, epoch and number, in an order that is that of its bytes: what waits of a
//! torrent is a range, in its order.

use std::collections::BTreeSet;

use async_trait::async_trait;
use control::{Epoch, TorrentId};
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use store::{Change, FACTS_MAX, Fact, Outbox, PAGE_LEN_MAX, Place, StoreError};

use crate::MongoStore;
use crate::document::{binary, bytes, id, text};
use crate::error::refused;
use crate::write::Undone;

/// Before all facts of a torrent.
const FIRST: Place = Place { epoch: Epoch(0), seq: 0 };
/// After all.
const LAST: Place = Place { epoch: Epoch(u64::MAX), seq: u64::MAX };
/// The length of an `_id`: 20 bytes of the torrent, 8 of the epoch, 8 of the number.
const ID_LEN: usize = 36;

fn fact_id(torrent: TorrentId, place: Place) -> Bson {
    let mut bytes = Vec::with_capacity(ID_LEN);
    bytes.extend_from_slice(torrent.as_bytes());
    bytes.extend_from_slice(&place.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&place.seq.to_be_bytes());
    binary(&bytes)
}

/// The facts of a torrent up to this one.
fn until(torrent: TorrentId, last: Place) -> Document {
    doc! { "_id": { "$gte": fact_id(torrent, FIRST), "$lte": fact_id(torrent, last) } }
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a fact has an _id of another form".to_owned())
}

fn read_fact(document: &Document) -> Result<Fact, StoreError> {
    let key: [u8; ID_LEN] = bytes(document, "_id")?.as_ref().try_into().map_err(|_| corrupt())?;
    let (torrent, place) = key.split_first_chunk::<20>().ok_or_else(corrupt)?;
    let (epoch, seq) = place.split_first_chunk::<8>().ok_or_else(corrupt)?;
    let seq = seq.first_chunk::<8>().ok_or_else(corrupt)?;
    Ok(Fact {
        torrent: TorrentId(*torrent),
        place: Place { epoch: Epoch(u64::from_be_bytes(*epoch)), seq: u64::from_be_bytes(*seq) },
        topic: text(document, "topic")?,
        record: bytes(document, "record")?,
    })
}

/// The facts that the first changes tell.
pub(crate) fn tellings(changes: &[Change]) -> Vec<&Fact> {
    let facts = changes.iter().map_while(|change| match change {
        Change::Tell(fact) => Some(fact),
        _ => None,
    });
    facts.take(PAGE_LEN_MAX).collect()
}

impl MongoStore {
    /// Adds facts, in three commands and one for each torrent.
    pub(crate) async fn tell(
        &self,
        session: &mut ClientSession,
        facts: &[&Fact],
    ) -> Result<(), Undone> {
        // The last one of a place is the one that waits.
        let mut documents = std::collections::BTreeMap::new();
        for fact in facts {
            let key = fact_id(fact.torrent, fact.place);
            let document = doc! {
                "_id": key.clone(),
                "torrent": id(fact.torrent),
                "topic": &fact.topic,
                "record": binary(&fact.record),
            };
            documents.insert((fact.torrent, fact.place), (key, document));
        }
        let keys: Vec<Bson> = documents.values().map(|(key, _)| key.clone()).collect();
        let there = doc! { "_id": { "$in": keys } };
        self.outbox.delete_many(there).session(&mut *session).await?;
        let documents = documents.into_values().map(|(_, document)| document);
        self.outbox.insert_many(documents).session(&mut *session).await?;
        for torrent in facts.iter().map(|fact| fact.torrent).collect::<BTreeSet<_>>() {
            let beyond = self
                .outbox
                .find_one(until(torrent, LAST))
                .sort(doc! { "_id": 1 })
                .skip(FACTS_MAX as u64)
                .session(&mut *session)
                .await?;
            if beyond.is_some() {
                let why = format!("{FACTS_MAX} facts of {torrent} wait");
                return Err(StoreError::Full(why).into());
            }
        }
        Ok(())
    }

    /// Takes out the facts up to this one.
    pub(crate) async fn told(
        &self,
        session: &mut ClientSession,
        torrent: TorrentId,
        last: Place,
    ) -> Result<(), Undone> {
        self.outbox.delete_many(until(torrent, last)).session(session).await?;
        Ok(())
    }
}

#[async_trait]
impl Outbox for MongoStore {
    async fn facts(&self, torrent: TorrentId, limit: usize) -> Result<Vec<Fact>, StoreError> {
        let limit = limit.min(PAGE_LEN_MAX);
        if limit == 0 {
            // To MongoDB it would be no limit.
            return Ok(Vec::new());
        }
        self.call(async {
            let found = self
                .outbox
                .find(until(torrent, LAST))
                .sort(doc! { "_id": 1 })
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .await
                .map_err(|error| refused(&error))?;
            let facts: Vec<Document> =
                found.try_collect().await.map_err(|error| refused(&error))?;
            facts.iter().map(read_fact).collect()
        })
        .await
    }

    async fn waiting(
        &self,
        after: Option<TorrentId>,
        limit: usize,
    ) -> Result<Vec<TorrentId>, StoreError> {
        let limit = i64::try_from(limit.min(PAGE_LEN_MAX)).unwrap_or(i64::MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let later = after.map_or_else(Document::new, |after| {
            doc! { "_id": { "$gt": fact_id(after, LAST) } }
        });
        let stages = vec![
            doc! { "$match": later },
            doc! { "$group": { "_id": "$torrent", "facts": { "$sum": 1 } } },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$limit": limit },
        ];
        self.call(async {
            let found = self.outbox.aggregate(stages).await.map_err(|error| refused(&error))?;
            let rows: Vec<Document> = found.try_collect().await.map_err(|error| refused(&error))?;
            let torrent = |row: &Document| {
                bytes(row, "_id")?.as_ref().try_into().map(TorrentId).map_err(|_| corrupt())
            };
            rows.iter().map(torrent).collect()
        })
        .await
    }
}
