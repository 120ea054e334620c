//! Many changes or none: a transaction, begun again where it met another.
//!
//! Every change that stands on a torrent also counts up `touched` in the torrent's document, a [`Change::Fence`]
//! only where the epoch is the writer's. So two writes of one torrent, or a write and a claim, meet in one
//! document, and one of them is undone and begins again: what a snapshot saw cannot be outdated when it commits.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, TransactionOptions};
use rand::Rng;
use store::{Change, StoreError, TorrentRecord, TorrentSource};

use crate::document::{added, binary, fields, id, owner_row, signed, source_fields};
use crate::error::{is_duplicate, refused};
use crate::outbox::tellings;
use crate::{MongoStore, durable};

/// The first pause before a transaction that met another begins again; each further one is twice as long, less up to a half by chance.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// The longest such pause. How often is bounded by the time of the call.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// The most bytes of documents that are sent in one command; MongoDB takes 48 MB.
const COMMAND_LEN_MAX: usize = 16 << 20;

/// Why a transaction did not go through.
pub(crate) enum Undone {
    /// It met another, or the primary changed: again.
    Transient,
    /// For good.
    Refused(StoreError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            Self::Transient
        } else {
            Self::Refused(refused(&error))
        }
    }
}

impl MongoStore {
    /// Makes all changes, in their order, or none.
    pub(crate) async fn write_all(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut session = self.client.start_session().await.map_err(|error| refused(&error))?;
        let (mut pause, mut chance) = (PAUSE_MIN, self.env.rng("mongo-store"));
        loop {
            match self.try_write(&mut session, changes).await {
                Ok(()) => return Ok(()),
                Err(Undone::Refused(error)) => return Err(error),
                Err(Undone::Transient) => {}
            }
            // Somewhere in it: two that met would meet again.
            self.env.sleep(pause.mul_f64(chance.random_range(0.5..1.0))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_write(
        &self,
        session: &mut ClientSession,
        changes: &[Change],
    ) -> Result<(), Undone> {
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(durable())
            .build();
        session.start_transaction().with_options(options).await?;
        let made = self.make_all(session, changes).await;
        if let Err(undone) = made {
            // It was undone already, or will be when its time is over.
            let _ = session.abort_transaction().await;
            return Err(undone);
        }
        while let Err(error) = session.commit_transaction().await {
            // The same commit may be asked for again, and says what became of it.
            if !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
                return Err(error.into());
            }
        }
        Ok(())
    }

    async fn make_all(
        &self,
        session: &mut ClientSession,
        changes: &[Change],
    ) -> Result<(), Undone> {
        let mut rest = changes;
        while let Some(first) = rest.first() {
            let (adds, facts) = (additions(rest), tellings(rest));
            let made = adds.len().max(facts.len()).max(1);
            if !adds.is_empty() {
                self.add(session, &adds).await?;
            } else if !facts.is_empty() {
                self.tell(session, &facts).await?;
            } else {
                self.make(session, first).await?;
            }
            rest = rest.get(made..).unwrap_or_default();
        }
        Ok(())
    }

    /// Adds torrents in two commands, however many there are.
    async fn add(
        &self,
        session: &mut ClientSession,
        adds: &[(&TorrentRecord, &TorrentSource)],
    ) -> Result<(), Undone> {
        let records: Result<Vec<_>, _> = adds.iter().map(|(record, _)| added(record)).collect();
        let inserted = self.torrents.insert_many(records?).session(&mut *session).await;
        if let Err(error) = inserted {
            if let Some(there) = refused_addition(&error, adds) {
                return Err(Undone::Refused(StoreError::Conflict(there.id)));
            }
            return Err(error.into());
        }
        let sources = adds.iter().map(|(record, source)| {
            let mut document = doc! { "_id": id(record.id) };
            document.extend(source_fields(source));
            document
        });
        self.sources.insert_many(sources).session(session).await?;
        Ok(())
    }

    async fn make(&self, session: &mut ClientSession, change: &Change) -> Result<(), Undone> {
        match change {
            Change::Add(record, source) => self.add(session, &[(record, source)]).await,
            Change::Update(record) => {
                let update = doc! { "$set": fields(record)?, "$inc": { "touched": 1_i64 } };
                self.touch(session, record.id, update).await
            }
            Change::SetSource(torrent, source) => {
                self.touch(session, *torrent, touched()).await?;
                let set = doc! { "$set": source_fields(source) };
                let filter = doc! { "_id": id(*torrent) };
                self.sources.update_one(filter, set).upsert(true).session(session).await?;
                Ok(())
            }
            Change::SetCheckpoint(torrent, data) => {
                self.touch(session, *torrent, touched()).await?;
                let set = doc! { "$set": { "data": binary(data) } };
                let filter = doc! { "_id": id(*torrent) };
                self.checkpoints.update_one(filter, set).upsert(true).session(session).await?;
                Ok(())
            }
            Change::Remove(torrent) => {
                let filter = doc! { "_id": id(*torrent) };
                let removed =
                    self.torrents.delete_one(filter.clone()).session(&mut *session).await?;
                if removed.deleted_count == 0 {
                    return Err(StoreError::NotFound(*torrent).into());
                }
                self.sources.delete_one(filter.clone()).session(&mut *session).await?;
                self.checkpoints.delete_one(filter).session(session).await?;
                Ok(())
            }
            Change::Tell(fact) => self.tell(session, &[fact]).await,
            Change::Told(torrent, last) => self.told(session, *torrent, *last).await,
            Change::Fence(torrent, epoch) => self.pass(session, *torrent, *epoch).await,
            Change::SetMeta(key, Some(value)) => {
                let set = doc! { "$set": { "value": binary(value) } };
                let filter = doc! { "_id": self.meta_id(key) };
                self.meta.update_one(filter, set).upsert(true).session(session).await?;
                Ok(())
            }
            Change::SetMeta(key, None) => {
                self.meta.delete_one(doc! { "_id": self.meta_id(key) }).session(session).await?;
                Ok(())
            }
        }
    }

    /// Changes a torrent's document, which has to be there.
    async fn touch(
        &self,
        session: &mut ClientSession,
        torrent: control::TorrentId,
        update: Document,
    ) -> Result<(), Undone> {
        let filter = doc! { "_id": id(torrent) };
        let updated = self.torrents.update_one(filter, update).session(session).await?;
        if updated.matched_count == 0 {
            return Err(StoreError::NotFound(torrent).into());
        }
        Ok(())
    }

    /// Lets a write in this epoch go on.
    async fn pass(
        &self,
        session: &mut ClientSession,
        torrent: control::TorrentId,
        said: control::Epoch,
    ) -> Result<(), Undone> {
        let filter = doc! { "_id": id(torrent), "epoch": signed(said.0) };
        let passed = self.torrents.update_one(filter, touched()).session(&mut *session).await?;
        if passed.matched_count > 0 {
            return Ok(());
        }
        let found = self.torrents.find_one(doc! { "_id": id(torrent) }).session(session).await?;
        let found = found.ok_or(StoreError::NotFound(torrent))?;
        let (_, row) = owner_row(&found)?;
        Err(StoreError::StaleEpoch { torrent, said, current: row.epoch }.into())
    }
}

fn touched() -> Document {
    doc! { "$inc": { "touched": 1_i64 } }
}

/// The torrents that the first changes add, as many as fit into one command.
fn additions(changes: &[Change]) -> Vec<(&TorrentRecord, &TorrentSource)> {
    let mut bytes = 0;
    changes
        .iter()
        .map_while(|change| match change {
            Change::Add(record, source) => Some((record.as_ref(), source)),
            _ => None,
        })
        .take_while(|(_, source)| {
            bytes += source.len();
            bytes <= COMMAND_LEN_MAX
        })
        .collect()
}

/// The torrent that was there already, if that is why they were not added.
fn refused_addition<'a>(
    error: &Error,
    adds: &[(&'a TorrentRecord, &TorrentSource)],
) -> Option<&'a TorrentRecord> {
    use mongodb::error::ErrorKind;
    if !is_duplicate(error) {
        return None;
    }
    let ErrorKind::InsertMany(refused) = error.kind.as_ref() else {
        return adds.first().map(|(record, _)| *record);
    };
    let index = refused.write_errors.as_ref()?.first()?.index;
    adds.get(index).map(|(record, _)| *record)
}
