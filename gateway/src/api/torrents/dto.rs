//! How torrents look in JSON.
//!
//! Own types rather than those of `control`, whose form between nodes may change when the API's may not.
//! Names say their units; byte counts are numbers, times are milliseconds since 1970-01-01 UTC.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use control::{
    FileSnapshot, PeerSnapshot, TorrentDetail, TorrentSettings, TorrentSnapshot, TorrentState,
    TrackerSnapshot, TrackerStatus,
};
use serde::Serialize;

/// A torrent in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Torrent<'a> {
    hash: String,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    name: &'a str,
    state: &'static str,
    error: Option<&'a str>,
    progress: f64,
    total_bytes: u64,
    wanted_bytes: u64,
    have_bytes: u64,
    checked: Option<f64>,
    downloaded_bytes: u64,
    uploaded_bytes: u64,
    wasted_bytes: u64,
    down_bytes_per_s: u64,
    up_bytes_per_s: u64,
    peers: u32,
    seeds: u32,
    added_ms: u64,
    completed_ms: Option<u64>,
    private: bool,
}

impl<'a> From<&'a TorrentSnapshot> for Torrent<'a> {
    fn from(torrent: &'a TorrentSnapshot) -> Self {
        Self {
            hash: torrent.id.to_string(),
            info_hash_v1: torrent.v1.map(|hash| hash.to_string()),
            info_hash_v2: torrent.v2.map(|hash| hash.to_string()),
            name: &torrent.name,
            state: state(torrent.state),
            error: torrent.error.as_deref(),
            progress: torrent.progress(),
            total_bytes: torrent.total_bytes,
            wanted_bytes: torrent.wanted_bytes,
            have_bytes: torrent.have_bytes,
            checked: torrent.checked,
            downloaded_bytes: torrent.downloaded_bytes,
            uploaded_bytes: torrent.uploaded_bytes,
            wasted_bytes: torrent.wasted_bytes,
            down_bytes_per_s: torrent.down_bytes_per_s,
            up_bytes_per_s: torrent.up_bytes_per_s,
            peers: torrent.peers,
            seeds: torrent.seeds,
            added_ms: torrent.added_ms,
            completed_ms: torrent.completed_ms,
            private: torrent.private,
        }
    }
}

const fn state(state: TorrentState) -> &'static str {
    match state {
        TorrentState::Stopped => "stopped",
        TorrentState::Queued => "queued",
        TorrentState::Checking => "checking",
        TorrentState::Metadata => "metadata",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Finished => "finished",
        TorrentState::Error => "error",
    }
}

/// All of one torrent: what stands in the list, and more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail<'a> {
    #[serde(flatten)]
    torrent: Torrent<'a>,
    settings: Settings<'a>,
    piece_length: u32,
    piece_count: u32,
    /// Base64 of the verified pieces, the first in the highest bit of the first byte.
    pieces: String,
    files: Vec<File<'a>>,
    peer_list: Vec<Peer<'a>>,
    trackers: Vec<Tracker<'a>>,
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
}

impl<'a> From<&'a TorrentDetail> for Detail<'a> {
    fn from(detail: &'a TorrentDetail) -> Self {
        Self {
            torrent: Torrent::from(&detail.torrent),
            settings: Settings::from(&detail.settings),
            piece_length: detail.piece_length,
            piece_count: detail.piece_count,
            pieces: BASE64_STANDARD.encode(&detail.pieces),
            files: detail.files.iter().map(File::from).collect(),
            peer_list: detail.peer_list.iter().map(Peer::from).collect(),
            trackers: detail.trackers.iter().map(Tracker::from).collect(),
            comment: detail.comment.as_deref(),
            created_by: detail.created_by.as_deref(),
        }
    }
}

/// What was set, but for the trackers: their addresses may hold secrets, and the list of trackers shows
/// what may be shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings<'a> {
    download_dir: Option<std::borrow::Cow<'a, str>>,
    sequential: bool,
    priorities: Vec<u8>,
    down_bytes_per_s: u64,
    up_bytes_per_s: u64,
    connections_max: u32,
    seed_goals: Option<SeedGoals>,
    queue_position: u32,
    preallocate: Option<bool>,
}

#[derive(Serialize)]
struct SeedGoals {
    ratio: Option<f64>,
    seconds: Option<u64>,
}

impl<'a> From<&'a TorrentSettings> for Settings<'a> {
    fn from(settings: &'a TorrentSettings) -> Self {
        let seed_goals = settings
            .seed_goals
            .map(|goals| SeedGoals { ratio: goals.ratio, seconds: goals.seconds });
        Self {
            download_dir: settings.download_dir.as_ref().map(|path| path.to_string_lossy()),
            sequential: settings.sequential,
            priorities: settings.priorities.iter().map(|priority| priority.level()).collect(),
            down_bytes_per_s: settings.down_bytes_per_s,
            up_bytes_per_s: settings.up_bytes_per_s,
            connections_max: settings.connections_max,
            seed_goals,
            queue_position: settings.queue_position,
            preallocate: settings.preallocate,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    index: u32,
    path: &'a str,
    length: u64,
    have_bytes: u64,
    priority: u8,
    pad: bool,
}

impl<'a> From<&'a FileSnapshot> for File<'a> {
    fn from(file: &'a FileSnapshot) -> Self {
        Self {
            index: file.index,
            path: &file.path,
            length: file.length,
            have_bytes: file.have_bytes,
            priority: file.priority,
            pad: file.pad,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Peer<'a> {
    address: String,
    client: &'a str,
    progress: f64,
    down_bytes_per_s: u64,
    up_bytes_per_s: u64,
    downloaded_bytes: u64,
    uploaded_bytes: u64,
    incoming: bool,
    encrypted: bool,
    choked: bool,
    choking: bool,
    interested: bool,
    wants: bool,
}

impl<'a> From<&'a PeerSnapshot> for Peer<'a> {
    fn from(peer: &'a PeerSnapshot) -> Self {
        Self {
            address: peer.address.to_string(),
            client: &peer.client,
            progress: peer.progress,
            down_bytes_per_s: peer.down_bytes_per_s,
            up_bytes_per_s: peer.up_bytes_per_s,
            downloaded_bytes: peer.downloaded_bytes,
            uploaded_bytes: peer.uploaded_bytes,
            incoming: peer.incoming,
            encrypted: peer.encrypted,
            choked: peer.choked,
            choking: peer.choking,
            interested: peer.interested,
            wants: peer.wants,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tracker<'a> {
    url: &'a str,
    tier: u32,
    status: &'static str,
    message: Option<&'a str>,
    seeds: Option<u32>,
    leeches: Option<u32>,
    next_announce_s: Option<u64>,
}

impl<'a> From<&'a TrackerSnapshot> for Tracker<'a> {
    fn from(tracker: &'a TrackerSnapshot) -> Self {
        Self {
            url: &tracker.url,
            tier: tracker.tier,
            status: match tracker.status {
                TrackerStatus::Idle => "idle",
                TrackerStatus::Announcing => "announcing",
                TrackerStatus::Working => "working",
                TrackerStatus::Failed => "failed",
            },
            message: tracker.message.as_deref(),
            seeds: tracker.seeds,
            leeches: tracker.leeches,
            next_announce_s: tracker.next_announce_s,
        }
    }
}
