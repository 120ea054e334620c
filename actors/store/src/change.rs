//! What can change in a store, and the bounds of it.

use bytes::Bytes;
use control::{Epoch, TorrentId, TorrentSettings};

use crate::error::StoreError;
use crate::outbox::{FACT_LEN_MAX, FACT_TOPIC_LEN_MAX, Fact, Place};
use crate::record::{TorrentRecord, TorrentSource};

/// The longest source of a torrent, in bytes: a metainfo of 10 MB with what is put around an info
/// dictionary that came from peers.
pub const SOURCE_LEN_MAX: usize = 10 << 20;

/// The longest checkpoint of a torrent, in bytes.
pub const CHECKPOINT_LEN_MAX: usize = 4 << 20;

/// The longest key or value of the node itself, in bytes.
pub const META_LEN_MAX: usize = 64 << 10;

/// The longest text of a record (its name, its error), in bytes.
const TEXT_LEN_MAX: usize = 64 << 10;

/// The longest settings of a torrent as JSON, in bytes: a priority for each of 100,000 files and more.
const SETTINGS_LEN_MAX: usize = 1 << 20;

/// What can change in a store.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A torrent is added. `Conflict` if it is there.
    Add(Box<TorrentRecord>, TorrentSource),
    /// A torrent's record is replaced. `NotFound` if it is not there. The time it was added stays as it
    /// was.
    Update(Box<TorrentRecord>),
    /// A torrent's source is replaced: its metadata has come. `NotFound` if it is not there.
    SetSource(TorrentId, TorrentSource),
    /// A torrent's checkpoint is replaced. `NotFound` if it is not there.
    SetCheckpoint(TorrentId, Bytes),
    /// A torrent goes, with its source and checkpoint. `NotFound` if it is not there.
    Remove(TorrentId),
    /// Nothing changes; but the other changes are made only if this is the torrent's epoch. `StaleEpoch` if it
    /// is another, `NotFound` if there is no such torrent. Each write of a torrent's owner begins with one, so that
    /// nothing is kept of an owner that is one no more.
    Fence(TorrentId, Epoch),
    /// A fact waits to be told; if it waits already it is replaced. `Full` if too many of the torrent wait.
    Tell(Fact),
    /// The facts of a torrent up to this one were told, and wait no more.
    Told(TorrentId, Place),
    /// A value of the node itself is set, or unset.
    SetMeta(String, Option<Bytes>),
}

impl Change {
    /// A torrent is added.
    #[must_use]
    pub fn add(record: TorrentRecord, source: TorrentSource) -> Self {
        Self::Add(Box::new(record), source)
    }

    /// A torrent's record is replaced.
    #[must_use]
    pub fn update(record: TorrentRecord) -> Self {
        Self::Update(Box::new(record))
    }

    /// Checks the bounds, which are the same for every store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`], with what is too much.
    pub fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Add(record, source) => {
                check_record(record)?;
                check_source(source)
            }
            Self::Update(record) => check_record(record),
            Self::SetSource(_, source) => check_source(source),
            Self::SetCheckpoint(_, data) => {
                check_len("a checkpoint", data.len(), CHECKPOINT_LEN_MAX)
            }
            Self::Tell(fact) => {
                check_len("a topic", fact.topic.len(), FACT_TOPIC_LEN_MAX)?;
                check_len("a fact", fact.record.len(), FACT_LEN_MAX)?;
                check_count(fact.place.epoch.0)?;
                check_count(fact.place.seq)
            }
            Self::Remove(_) | Self::Fence(..) | Self::Told(..) => Ok(()),
            Self::SetMeta(key, value) => {
                check_len("a key", key.len(), META_LEN_MAX)?;
                check_len("a value", value.as_ref().map_or(0, Bytes::len), META_LEN_MAX)
            }
        }
    }

    /// About what it holds in memory beside itself, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Add(_, source) | Self::SetSource(_, source) => source.len(),
            Self::SetCheckpoint(_, data) => data.len(),
            Self::SetMeta(_, value) => value.as_ref().map_or(0, Bytes::len),
            Self::Tell(fact) => fact.topic.len() + fact.record.len(),
            Self::Update(_) | Self::Remove(_) | Self::Fence(..) | Self::Told(..) => 0,
        }
    }
}

fn check_record(record: &TorrentRecord) -> Result<(), StoreError> {
    check_len("a name", record.name.len(), TEXT_LEN_MAX)?;
    check_len("an error", record.error.as_ref().map_or(0, String::len), TEXT_LEN_MAX)?;
    let settings = settings_to_json(record)?;
    check_len("settings", settings.map_or(0, |json| json.len()), SETTINGS_LEN_MAX)?;
    let counts = [
        record.added_ms,
        record.total_bytes,
        record.wanted_bytes,
        record.have_bytes,
        record.downloaded_bytes,
        record.uploaded_bytes,
        record.seeded_s,
        record.completed_ms.unwrap_or(0),
    ];
    counts.into_iter().try_for_each(check_count)
}

/// Databases have signed numbers.
fn check_count(count: u64) -> Result<(), StoreError> {
    if i64::try_from(count).is_err() {
        return Err(StoreError::Invalid("a number above 2^63".to_owned()));
    }
    Ok(())
}

/// A torrent's settings as they are kept: JSON, or nothing where all is as by default, as it mostly is.
///
/// # Errors
///
/// [`StoreError::Invalid`], where JSON cannot hold them.
pub fn settings_to_json(record: &TorrentRecord) -> Result<Option<String>, StoreError> {
    if record.settings == TorrentSettings::default() {
        return Ok(None);
    }
    // The only settings that JSON cannot hold are paths that are not text.
    let json = serde_json::to_string(&record.settings);
    json.map(Some)
        .map_err(|error| StoreError::Invalid(format!("settings of {}: {error}", record.id)))
}

/// The settings of a torrent that [`settings_to_json`] made.
///
/// # Errors
///
/// [`StoreError::Corrupt`], where they are no settings.
pub fn settings_from_json(
    id: TorrentId,
    json: Option<&str>,
) -> Result<TorrentSettings, StoreError> {
    let Some(json) = json else { return Ok(TorrentSettings::default()) };
    serde_json::from_str(json)
        .map_err(|error| StoreError::Corrupt(format!("the settings of {id}: {error}")))
}

fn check_source(source: &TorrentSource) -> Result<(), StoreError> {
    if source.is_empty() {
        return Err(StoreError::Invalid("an empty source".to_owned()));
    }
    check_len("a source", source.len(), SOURCE_LEN_MAX)
}

fn check_len(what: &str, len: usize, len_max: usize) -> Result<(), StoreError> {
    if len > len_max {
        return Err(StoreError::Invalid(format!("{what} of {len} bytes, more than {len_max}")));
    }
    Ok(())
}
