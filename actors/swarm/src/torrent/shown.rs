//! What is shown of a torrent.

use bittorrent::bitfield::Bitfield;
use bittorrent::metainfo::Info;
use control::{FileSnapshot, TorrentDetail, TorrentSnapshot, TrackerSnapshot};
use store::TorrentRecord;
use tokio::sync::oneshot;

use super::{Meta, Torrent};
use crate::member::{MemberMsg, MemberView};
use crate::tracker::TrackerMsg;

impl Torrent {
    /// Shows the torrent, as soon as its member and trackers have shown themselves.
    pub(super) fn on_view(&mut self, reply: oneshot::Sender<TorrentDetail>) {
        let (ask_member, member) = oneshot::channel();
        let (ask_tracker, trackers) = oneshot::channel();
        self.tell_member(MemberMsg::View(ask_member));
        self.tell_tracker(TrackerMsg::View(ask_tracker));
        let mut detail = self.detail();
        let info = match &self.meta {
            Meta::Metainfo(metainfo) => Some(metainfo.info.clone()),
            Meta::Magnet(_) => None,
        };
        self.answers.retain(|task| !task.is_finished());
        self.answers.push(self.env.spawn("view", async move {
            // One that is not there now drops the question.
            let view = member.await.unwrap_or_default();
            detail.trackers = trackers.await.unwrap_or_default();
            fill(&mut detail, view, info.as_ref());
            let _ = reply.send(detail);
        }));
    }

    fn detail(&self) -> TorrentDetail {
        let totals = self.tally.totals();
        let mut torrent = snapshot_of(&self.record);
        torrent.state = self.state;
        torrent.downloaded_bytes = totals.down;
        torrent.uploaded_bytes = totals.up;
        torrent.wasted_bytes = totals.wasted;
        torrent.have_bytes = self.progress.have_bytes;
        torrent.wanted_bytes = self.progress.wanted_bytes;
        torrent.peers = self.peers.0;
        torrent.checked =
            self.checked.map(|(checked, total)| f64::from(checked) / f64::from(total.max(1)));
        let metainfo = match &self.meta {
            Meta::Metainfo(metainfo) => Some(metainfo),
            Meta::Magnet(_) => None,
        };
        TorrentDetail {
            torrent,
            settings: self.record.settings.clone(),
            piece_length: metainfo.map_or(0, |metainfo| metainfo.info.piece_length()),
            piece_count: metainfo.map_or(0, |metainfo| metainfo.info.piece_count()),
            pieces: Vec::new(),
            files: Vec::new(),
            peer_list: Vec::new(),
            trackers: Vec::<TrackerSnapshot>::new(),
            comment: metainfo.and_then(|metainfo| metainfo.comment.clone()),
            created_by: metainfo.and_then(|metainfo| metainfo.created_by.clone()),
        }
    }
}

/// Adds what the member shows.
fn fill(detail: &mut TorrentDetail, view: MemberView, info: Option<&Info>) {
    detail.torrent.down_bytes_per_s = view.down_bytes_per_s;
    detail.torrent.up_bytes_per_s = view.up_bytes_per_s;
    detail.torrent.seeds = view.seeds;
    detail.peer_list = view.peers;
    if let Some(progress) = view.progress {
        detail.torrent.have_bytes = progress.have_bytes;
        detail.torrent.wanted_bytes = progress.wanted_bytes;
    }
    let Some(info) = info else { return };
    let nothing = Bitfield::new(info.piece_count());
    let have = view.have.unwrap_or(nothing);
    detail.pieces = have.to_bytes();
    detail.files = files_of(info, &have, &detail.settings);
}

/// The files of a torrent, and how much of each is there.
pub(crate) fn files_of(
    info: &Info,
    have: &Bitfield,
    settings: &control::TorrentSettings,
) -> Vec<FileSnapshot> {
    let files = info.files();
    let shown = files.iter().enumerate().map(|(index, file)| FileSnapshot {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        path: file.path().join("/"),
        length: file.length(),
        have_bytes: have_of(info, have, index),
        priority: settings.priority(index).level(),
        pad: file.is_pad(),
    });
    shown.collect()
}

/// Bytes of a file in verified pieces.
fn have_of(info: &Info, have: &Bitfield, index: usize) -> u64 {
    let files = info.files();
    let Some(file) = files.get(index) else { return 0 };
    let (begin, end) = (file.offset(), file.offset() + file.length());
    let pieces = files.pieces_of(index).filter(|&piece| have.contains(piece));
    pieces
        .map(|piece| {
            let from = u64::from(piece.0) * u64::from(info.piece_length());
            let to = from + u64::from(info.piece_len(piece));
            to.min(end).saturating_sub(from.max(begin))
        })
        .sum()
}

/// What is shown of a torrent of which only its record is known.
pub(crate) fn snapshot_of(record: &TorrentRecord) -> TorrentSnapshot {
    TorrentSnapshot {
        id: record.id,
        v1: record.v1,
        v2: record.v2,
        name: record.name.clone(),
        state: control::TorrentState::Queued,
        error: record.error.clone(),
        total_bytes: record.total_bytes,
        wanted_bytes: record.wanted_bytes,
        have_bytes: record.have_bytes,
        checked: None,
        downloaded_bytes: record.downloaded_bytes,
        uploaded_bytes: record.uploaded_bytes,
        wasted_bytes: 0,
        down_bytes_per_s: 0,
        up_bytes_per_s: 0,
        peers: 0,
        seeds: 0,
        added_ms: record.added_ms,
        completed_ms: record.completed_ms,
        private: record.is_private,
    }
}
