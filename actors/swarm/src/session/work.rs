//! What the session has done beside it: reading, fetching, storing, deleting.

use std::sync::Arc;

use bittorrent::magnet::{Magnet, PeerAddress};
use bittorrent::metainfo::Metainfo;
use bittorrent::tracker::TrackerUrl;
use bytes::Bytes;
use control::{AddTorrent, EngineError, ErrorCode, EventKind, Reply, Source, TorrentSettings};
use store::{
    Change, Desired, PAGE_LEN_MAX, StoreError, TorrentRecord, TorrentSource, TorrentStore,
};
use tracing::warn;

use super::{Answer, Work};
use crate::disk::TorrentFiles;
use crate::fetch::{FetchError, Limits};
use crate::node::Node;

/// The most trackers that settings may add.
const TRACKERS_MAX: usize = 200;

/// All records of the store.
pub(super) async fn load(store: &dyn TorrentStore) -> Result<Vec<TorrentRecord>, StoreError> {
    let mut all: Vec<TorrentRecord> = Vec::new();
    loop {
        let after = all.last().map(TorrentRecord::page_key);
        let page = store.torrents(after, PAGE_LEN_MAX).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Reads what is to be added; refusals are answered here.
pub(super) async fn prepare_add(node: &Arc<Node>, add: AddTorrent, reply: Answer) -> Option<Work> {
    match read_add(node, &add).await {
        Ok((mut record, source, mut peers)) => {
            record.settings = add.settings;
            record.desired = if add.stopped { Desired::Stopped } else { Desired::Running };
            peers.extend(add.peers);
            Some(Work::Prepared { record: Box::new(record), source, peers, reply })
        }
        Err(error) => {
            let _ = reply.send(Err(error));
            None
        }
    }
}

type Readable = (TorrentRecord, TorrentSource, Vec<std::net::SocketAddr>);

async fn read_add(node: &Arc<Node>, add: &AddTorrent) -> Result<Readable, EngineError> {
    check_settings(&add.settings)?;
    let now_ms = node.env().unix_ms();
    match &add.source {
        Source::Metainfo(bytes) => read_metainfo(bytes, now_ms),
        Source::Magnet(link) => read_magnet(link, now_ms),
        Source::Url(url) => {
            let body = node.fetcher.get(url, Limits::METAINFO).await;
            let body = body.map_err(|error| fetch_error(&error))?;
            if body.status != 200 {
                let why = format!("the server answered {} instead of a .torrent file", body.status);
                return Err(EngineError::new(ErrorCode::Unreachable, why));
            }
            read_metainfo(&body.bytes, now_ms)
        }
    }
}

fn read_metainfo(bytes: &Bytes, now_ms: u64) -> Result<Readable, EngineError> {
    let metainfo = Metainfo::parse(bytes).map_err(|error| invalid(format!("metainfo: {error}")))?;
    let info = &metainfo.info;
    let Some(v1) = info.v1() else { return Err(v2_only()) };
    let mut record = TorrentRecord::new(metainfo.torrent_id(), now_ms);
    record.v1 = Some(v1);
    record.v2 = info.v2();
    record.name = info.name().to_owned();
    record.is_private = info.is_private();
    record.total_bytes = info.total_length();
    record.wanted_bytes = info.total_length();
    // A buffer of its own: what came in may be part of a larger one.
    Ok((record, TorrentSource::Metainfo(Bytes::copy_from_slice(bytes)), Vec::new()))
}

fn read_magnet(link: &str, now_ms: u64) -> Result<Readable, EngineError> {
    let magnet = Magnet::parse(link).map_err(|error| invalid(format!("magnet link: {error}")))?;
    let Some(v1) = magnet.v1 else { return Err(v2_only()) };
    let mut record = TorrentRecord::new(magnet.torrent_id(), now_ms);
    record.v1 = Some(v1);
    record.v2 = magnet.v2;
    if let Some(name) = &magnet.name {
        record.name.clone_from(name);
    }
    let peers = magnet.peers.iter().filter_map(|peer| match peer {
        PeerAddress::Ip(address) => Some(*address),
        PeerAddress::Name(..) => None,
    });
    let peers = peers.collect();
    Ok((record, TorrentSource::Magnet(link.to_owned()), peers))
}

fn v2_only() -> EngineError {
    let why = "a torrent of version 2 only cannot be transferred by this version yet; use a v1 or \
               hybrid torrent";
    EngineError::new(ErrorCode::Unsupported, why)
}

fn invalid(why: String) -> EngineError {
    EngineError::new(ErrorCode::Invalid, why)
}

fn fetch_error(error: &FetchError) -> EngineError {
    EngineError::new(ErrorCode::Unreachable, error.to_string())
}

/// What the store says, for those who asked.
pub(super) fn store_error(error: StoreError) -> EngineError {
    let code = match &error {
        StoreError::NotFound(_) => ErrorCode::NotFound,
        StoreError::Conflict(_) | StoreError::StaleEpoch { .. } => ErrorCode::Conflict,
        StoreError::Invalid(_) => ErrorCode::Invalid,
        StoreError::Full(_) | StoreError::Unavailable(_) => ErrorCode::Storage,
        StoreError::Closed => ErrorCode::ShuttingDown,
        StoreError::Corrupt(_) | StoreError::NewerSchema { .. } => ErrorCode::Internal,
    };
    EngineError::new(code, error.to_string())
}

/// Refuses settings that cannot be meant.
pub(super) fn check_settings(settings: &TorrentSettings) -> Result<(), EngineError> {
    if settings.trackers.len() > TRACKERS_MAX {
        return Err(invalid(format!(
            "{} trackers, at most {TRACKERS_MAX}",
            settings.trackers.len()
        )));
    }
    for tracker in &settings.trackers {
        tracker
            .parse::<TrackerUrl>()
            .map_err(|error| invalid(format!("tracker address: {error}")))?;
    }
    let ratio = settings.seed_goals.and_then(|goals| goals.ratio);
    if ratio.is_some_and(|ratio| !ratio.is_finite() || ratio < 0.0) {
        return Err(invalid("a seed ratio must be a number that is not negative".to_owned()));
    }
    if settings.download_dir.as_ref().is_some_and(|dir| dir.to_str().is_none()) {
        return Err(invalid("a download directory must be UTF-8 text".to_owned()));
    }
    Ok(())
}

/// Forgets a torrent that has no actor any more, and deletes its files if wished.
pub(super) async fn remove(
    node: &Arc<Node>,
    record: TorrentRecord,
    with_data: bool,
    seq: u64,
    reply: Option<Answer>,
) -> Option<Work> {
    let result = remove_all(node, &record, with_data).await;
    if let Err(error) = &result {
        warn!(info_hash = %record.id, %error, "not wholly removed");
    } else {
        node.publish(record.id, seq, EventKind::Removed { with_data });
    }
    if let Some(reply) = reply {
        let _ = reply.send(result.map(|()| Reply::Done));
    }
    None
}

async fn remove_all(
    node: &Arc<Node>,
    record: &TorrentRecord,
    with_data: bool,
) -> Result<(), EngineError> {
    let source = if with_data { node.store.source(record.id).await.ok() } else { None };
    // First the record: what is deleted must not be claimed.
    node.store.write(vec![Change::Remove(record.id)]).await.map_err(store_error)?;
    let Some(TorrentSource::Metainfo(bytes)) = source else { return Ok(()) };
    let Ok(metainfo) = Metainfo::parse(&bytes) else { return Ok(()) };
    let (disk, dir) = (node.disk.clone(), node.download_dir(&record.settings));
    let files = TorrentFiles::new(disk, Arc::new(metainfo.info), dir, false);
    let deleted = files.delete().await;
    deleted.map_err(|error| EngineError::new(ErrorCode::Storage, error.to_string()))
}
