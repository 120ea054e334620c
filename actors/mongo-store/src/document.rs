//! Records and rows as documents.

use bytes::Bytes;
use control::{
    Epoch, Holder, Incarnation, InfoHash, InfoHashV2, NodeName, NodeRow, NodeState, TorrentId,
    TorrentRow,
};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use store::{Desired, NodeEntry, NodeInfo, StoreError, TorrentRecord, TorrentSource};

pub(crate) fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

pub(crate) fn id(torrent: TorrentId) -> Bson {
    binary(torrent.as_bytes())
}

/// What an owner's row has in the field `owner`.
pub(crate) fn holder(owner: &Holder) -> Document {
    doc! { "node": owner.node.as_str(), "incarnation": signed(owner.incarnation.0) }
}

/// A number that was checked to fit before.
pub(crate) const fn signed(count: u64) -> i64 {
    count.cast_signed()
}

fn corrupt(field: &str) -> StoreError {
    StoreError::Corrupt(format!("the field {field} of a document is missing or of another type"))
}

/// A whole number, whatever width the server gave it.
pub(crate) fn integer(document: &Document, field: &str) -> Result<i64, StoreError> {
    match document.get(field) {
        Some(Bson::Int64(number)) => Ok(*number),
        Some(Bson::Int32(number)) => Ok(i64::from(*number)),
        _ => Err(corrupt(field)),
    }
}

fn count(document: &Document, field: &str) -> Result<u64, StoreError> {
    Ok(integer(document, field)?.cast_unsigned())
}

pub(crate) fn text(document: &Document, field: &str) -> Result<String, StoreError> {
    document.get_str(field).map(str::to_owned).map_err(|_| corrupt(field))
}

/// A field that is null or missing where there is nothing.
fn optional<T>(
    document: &Document,
    field: &str,
    read: impl FnOnce(&Document, &str) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    match document.get(field) {
        None | Some(Bson::Null) => Ok(None),
        Some(_) => read(document, field).map(Some),
    }
}

pub(crate) fn bytes(document: &Document, field: &str) -> Result<Bytes, StoreError> {
    let bytes = document.get_binary_generic(field).map_err(|_| corrupt(field))?;
    Ok(Bytes::copy_from_slice(bytes))
}

fn array<const N: usize>(document: &Document, field: &str) -> Result<[u8; N], StoreError> {
    bytes(document, field)?.as_ref().try_into().map_err(|_| corrupt(field))
}

/// A time of the server, in milliseconds since 1970-01-01 UTC.
pub(crate) fn time_ms(document: &Document, field: &str) -> Result<u64, StoreError> {
    let time = document.get_datetime(field).map_err(|_| corrupt(field))?;
    Ok(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}

/// A time of the server, as it is compared in filters.
pub(crate) fn date(ms: u64) -> DateTime {
    DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The fields of a record, without those that a change must leave as they are.
pub(crate) fn fields(record: &TorrentRecord) -> Result<Document, StoreError> {
    Ok(doc! {
        "v1": record.v1.as_ref().map(|hash| binary(hash.as_bytes())),
        "v2": record.v2.as_ref().map(|hash| binary(hash.as_bytes())),
        "name": &record.name,
        "isRunning": record.desired == Desired::Running,
        "settings": store::settings_to_json(record)?,
        "isPrivate": record.is_private,
        "totalBytes": signed(record.total_bytes),
        "wantedBytes": signed(record.wanted_bytes),
        "haveBytes": signed(record.have_bytes),
        "downloadedBytes": signed(record.downloaded_bytes),
        "uploadedBytes": signed(record.uploaded_bytes),
        "seededS": signed(record.seeded_s),
        "completedAt": record.completed_ms.map(signed),
        "error": record.error.clone(),
    })
}

/// A torrent that was added just now.
pub(crate) fn added(record: &TorrentRecord) -> Result<Document, StoreError> {
    let mut document = doc! {
        "_id": id(record.id),
        "createdAt": signed(record.added_ms),
        "epoch": 0_i64,
        "owner": null,
        "touched": 0_i64,
    };
    document.extend(fields(record)?);
    Ok(document)
}

pub(crate) fn record(document: &Document) -> Result<TorrentRecord, StoreError> {
    let id = TorrentId(array(document, "_id")?);
    let settings = optional(document, "settings", text)?;
    let is = |field: &str| document.get_bool(field).map_err(|_| corrupt(field));
    Ok(TorrentRecord {
        id,
        v1: optional(document, "v1", array)?.map(InfoHash),
        v2: optional(document, "v2", array)?.map(InfoHashV2),
        name: text(document, "name")?,
        added_ms: count(document, "createdAt")?,
        desired: if is("isRunning")? { Desired::Running } else { Desired::Stopped },
        settings: store::settings_from_json(id, settings.as_deref())?,
        is_private: is("isPrivate")?,
        total_bytes: count(document, "totalBytes")?,
        wanted_bytes: count(document, "wantedBytes")?,
        have_bytes: count(document, "haveBytes")?,
        downloaded_bytes: count(document, "downloadedBytes")?,
        uploaded_bytes: count(document, "uploadedBytes")?,
        seeded_s: count(document, "seededS")?,
        completed_ms: optional(document, "completedAt", count)?,
        error: optional(document, "error", text)?,
    })
}

pub(crate) fn source_fields(source: &TorrentSource) -> Document {
    match source {
        TorrentSource::Metainfo(bytes) => doc! { "metainfo": binary(bytes), "magnet": null },
        TorrentSource::Magnet(link) => doc! { "metainfo": null, "magnet": link },
    }
}

pub(crate) fn source(document: &Document) -> Result<TorrentSource, StoreError> {
    match optional(document, "metainfo", bytes)? {
        Some(metainfo) => Ok(TorrentSource::Metainfo(metainfo)),
        None => text(document, "magnet").map(TorrentSource::Magnet),
    }
}

fn node_name(document: &Document, field: &str) -> Result<NodeName, StoreError> {
    NodeName::new(&text(document, field)?).ok_or_else(|| corrupt(field))
}

/// The id and the row of a torrent's document.
pub(crate) fn owner_row(document: &Document) -> Result<(TorrentId, TorrentRow), StoreError> {
    let owner = match document.get("owner") {
        Some(Bson::Document(owner)) => Some(Holder {
            node: node_name(owner, "node")?,
            incarnation: Incarnation(count(owner, "incarnation")?),
        }),
        _ => None,
    };
    let row = TorrentRow { epoch: Epoch(count(document, "epoch")?), owner };
    Ok((TorrentId(array(document, "_id")?), row))
}

pub(crate) const fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "up",
        NodeState::Draining => "draining",
        NodeState::Dead => "dead",
    }
}

pub(crate) fn node_entry(document: &Document) -> Result<NodeEntry, StoreError> {
    let state = match document.get_str("state") {
        Ok("up") => NodeState::Up,
        Ok("draining") => NodeState::Draining,
        Ok("dead") => NodeState::Dead,
        _ => return Err(corrupt("state")),
    };
    let holder = Holder {
        node: node_name(document, "_id")?,
        incarnation: Incarnation(count(document, "incarnation")?),
    };
    let weight = u32::try_from(integer(document, "weight")?).map_err(|_| corrupt("weight"))?;
    let info = NodeInfo {
        data_id: array(document, "dataId")?,
        address: text(document, "address")?,
        weight,
    };
    let row = NodeRow { holder, state, lease_until_ms: time_ms(document, "leaseUntil")? };
    Ok(NodeEntry { row, info })
}
