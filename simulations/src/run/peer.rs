//! A host's life in a run: how it comes, dies, comes back and leaves, and what it told.

use std::net::SocketAddr;

use bittorrent::PieceIndex;
use bittorrent::bitfield::Bitfield;
use bittorrent::resume::Resume;
use control::{
    AddTorrent, EngineError, Event, EventKind, Source, TorrentDetail, TorrentSettings, TorrentState,
};
use env::sim::{HostId, Kill, World};
use futures_util::FutureExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use store::TorrentStore;

use super::engine::{Machine, Shared};
use super::{Act, Run};
use crate::check::has_piece;
use crate::peers;
use crate::plan::{HostPlan, Role, Start};

/// Where engines listen.
const PORT: u16 = 6881;
/// An engine that could not start is started again after so long, in milliseconds.
const AGAIN_MS: u64 = 1_000;

/// A host, as the harness keeps it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) machine: Machine,
    /// It has a process.
    pub(super) runs: bool,
    pub(super) lives: u32,
    /// The state of its torrent, as it told last.
    pub(super) state: Option<TorrentState>,
    /// It has all that it wants now.
    pub(super) whole: bool,
    /// When it had so first.
    pub(super) completed_ms: Option<u64>,
    /// It leaves, or has left.
    pub(super) leaving: bool,
    left: Option<Shared<Option<()>>>,
    /// Faults that may bring its torrent into error.
    pub(super) ill: i32,
    /// When its user started the torrent last.
    pub(super) cared_ms: u64,
    /// When its last check began, by its own word.
    checking_since_ms: u64,
    /// A corrupter that has damaged its files.
    damaged: bool,
    /// What it must still have after a restart, and how many pieces it claimed before.
    must_have: Option<(Vec<u32>, usize)>,
    asked: Option<Shared<Option<Result<TorrentDetail, EngineError>>>>,
}

impl Peer {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            runs: false,
            lives: 0,
            state: None,
            whole: false,
            completed_ms: None,
            leaving: false,
            left: None,
            ill: 0,
            cared_ms: 0,
            checking_since_ms: 0,
            damaged: false,
            must_have: None,
            asked: None,
        }
    }
}

impl Run<'_> {
    pub(super) fn arrive(&mut self, index: usize) {
        let plan = self.plan;
        let Some(of) = plan.hosts.get(index) else { return };
        let disk = self.active.disk_faults(index, plan, &self.world);
        self.world.disk(HostId(index)).set_faults(disk);
        if matches!(of.role, Role::Engine | Role::Corrupter) && of.has > 0.0 {
            self.put_pieces(index, of);
        }
        self.start(index);
    }

    /// Puts the part of the torrent's pieces on a host's disk that it has from the beginning.
    fn put_pieces(&mut self, index: usize, of: &HostPlan) {
        let mut pieces: Vec<_> = self.content.pieces().collect();
        let mut rng = SmallRng::seed_from_u64(self.plan.seed ^ (index as u64) << 40 ^ 0x6861_7665);
        pieces.shuffle(&mut rng);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a number of pieces"
        )]
        let count = (pieces.len() as f64 * of.has).round() as usize;
        pieces.truncate(count);
        self.observer.has(index, pieces.iter().copied());
        let disk = self.world.disk(HostId(index));
        for (path, range) in &self.content.files {
            let mut bytes = vec![0; range.len()];
            for &piece in &pieces {
                let part = self.content.range(piece);
                let (start, end) = (part.start.max(range.start), part.end.min(range.end));
                let to = bytes
                    .get_mut(start.saturating_sub(range.start)..end.saturating_sub(range.start));
                if let (Some(to), Some(from)) = (to, self.content.bytes.get(start..end)) {
                    to.copy_from_slice(from);
                }
            }
            disk.put(path, &bytes);
        }
    }

    /// Starts a host's process.
    pub(super) fn start(&mut self, index: usize) {
        let plan = self.plan;
        let (Some(of), Some(peer)) = (plan.hosts.get(index), self.peers.get_mut(index)) else {
            return;
        };
        if peer.runs || peer.leaving {
            return;
        }
        peer.runs = true;
        peer.lives += 1;
        let known: Vec<_> = of.knows.iter().map(|&host| address(host)).collect();
        match of.role {
            Role::Engine | Role::Corrupter => {
                let added = peer.machine.store.count().now_or_never();
                let is_new = !matches!(added, Some(Ok(1..)));
                let add = is_new.then(|| self.torrent_for(of, known));
                let Some(peer) = self.peers.get_mut(index) else { return };
                let process = peer.machine.process(add);
                self.observer.started(index);
                self.world.start(HostId(index), process);
            }
            Role::Liar => {
                let (id, pieces) =
                    (bittorrent::InfoHash(self.content.id.0), self.content.piece_count);
                self.observer.started(index);
                self.world
                    .start(HostId(index), move |env| Box::pin(peers::liar(env, id, pieces, known)));
            }
            Role::Tracker => {
                self.world.start(HostId(index), |env| Box::pin(peers::tracker(env)));
            }
        }
    }

    fn torrent_for(&self, of: &HostPlan, peers: Vec<SocketAddr>) -> AddTorrent {
        let source = match of.start {
            Start::Metainfo => Source::Metainfo(self.content.metainfo.clone()),
            Start::Magnet => Source::Magnet(format!("magnet:?xt=urn:btih:{}", self.content.id)),
        };
        let tracker = of.tracker.and_then(|host| self.plan.hosts.get(host));
        let trackers = tracker.map(|host| format!("http://{}:6969/announce", host.name));
        let settings = TorrentSettings {
            trackers: trackers.into_iter().collect(),
            ..TorrentSettings::default()
        };
        AddTorrent { source, settings, stopped: false, peers }
    }

    /// Ends a host's process as a fault does.
    pub(super) fn kill(&mut self, index: usize, how: Kill) {
        let Some(peer) = self.peers.get(index).filter(|peer| peer.runs) else { return };
        let checkpoint = peer.machine.store.checkpoint(self.content.id).now_or_never();
        self.world.kill(HostId(index), how);
        let durable = match checkpoint {
            Some(Ok(Some(bytes))) => Resume::decode(&bytes, &self.content.info).ok(),
            _ => None,
        };
        let disk = self.world.disk(HostId(index));
        let claimed = durable.map(|resume| resume.verified.iter().map(|piece| piece.0).collect());
        let claimed: Vec<u32> = claimed.unwrap_or_default();
        let count = self.observer.claimed(index);
        let there = claimed.into_iter().filter(|&piece| has_piece(disk, &self.content, piece));
        let there: Vec<u32> = there.collect();
        self.observer.disk_changed(index, []);
        if self.plan.hosts.get(index).is_some_and(|of| of.role == Role::Engine) {
            self.observer.reached(match how {
                Kill::Process => "restarted-after-crash",
                Kill::Power => "restarted-after-power-cut",
            });
        }
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.runs = false;
        peer.state = None;
        peer.whole = false;
        peer.asked = None;
        peer.must_have = Some((there, count));
        peer.machine.ended();
    }

    /// A host ends in order, and goes when it is done.
    pub(super) fn leave(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if peer.leaving {
            return;
        }
        peer.leaving = true;
        let (runs, whole) = (peer.runs, peer.whole);
        if whole {
            self.observer.reached("seed-left");
        }
        let is_engine = self.plan.hosts.get(index).is_some_and(|of| of.role == Role::Engine);
        if runs && is_engine {
            let left = self
                .peers
                .get(index)
                .map(|peer| peer.machine.ask(|swarm| async move { swarm.shutdown().await }));
            if let Some(peer) = self.peers.get_mut(index) {
                peer.left = left;
            }
            self.world.poke(HostId(index));
        } else if runs {
            self.kill(index, Kill::Process);
        }
    }

    /// Takes what a host told since it was listened to last.
    pub(super) fn listen(&mut self, index: usize) {
        let now_ms = self.now_ms();
        let Some(peer) = self.peers.get_mut(index) else { return };
        let (events, broken) = {
            let mut told = peer.machine.told.lock();
            (std::mem::take(&mut told.events), told.broken.take())
        };
        for event in events {
            self.hear(index, event, now_ms);
        }
        if broken.is_some() && self.peers.get(index).is_some_and(|peer| peer.runs) {
            // As a service manager would do.
            self.kill(index, Kill::Process);
            self.plan_for(now_ms + AGAIN_MS, Act::Again(index));
        }
        let gone = self.peers.get(index).is_some_and(|peer| {
            peer.runs && peer.left.as_ref().is_some_and(|left| left.lock().is_some())
        });
        if gone {
            self.kill(index, Kill::Process);
        }
    }

    fn hear(&mut self, index: usize, event: Event, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        match event.kind {
            EventKind::State { state } => {
                if state == TorrentState::Checking {
                    peer.checking_since_ms = event.at_ms.saturating_sub(World::BEGIN_UNIX_MS);
                }
                let was_error = peer.state == Some(TorrentState::Error);
                peer.state = Some(state);
                peer.whole = matches!(state, TorrentState::Seeding | TorrentState::Finished);
                if peer.whole {
                    peer.completed_ms.get_or_insert(now_ms);
                }
                if state == TorrentState::Error {
                    self.observer.reached("torrent-in-error");
                } else if was_error {
                    self.observer.reached("error-healed");
                }
                self.corrupt(index);
            }
            EventKind::Verified { .. } => {
                let since_ms = peer.checking_since_ms;
                self.observer.rechecked(index, since_ms);
            }
            EventKind::Anomaly { message } => {
                if message.starts_with("banned") {
                    self.observer.reached("peer-banned");
                } else if message.ends_with("failed its hash") {
                    self.observer.reached("hash-failed");
                } else if message.contains("announce") || message.contains("tracker") {
                    self.observer.reached("tracker-failed");
                }
            }
            _ => {}
        }
    }

    /// A corrupter damages every piece that it has, once it has checked them.
    fn corrupt(&mut self, index: usize) {
        let plan = self.plan;
        let is_one = plan.hosts.get(index).is_some_and(|of| of.role == Role::Corrupter);
        let Some(peer) = self.peers.get_mut(index).filter(|peer| is_one && peer.whole) else {
            return;
        };
        if std::mem::replace(&mut peer.damaged, true) {
            return;
        }
        for (path, range) in &self.content.files {
            let mut bytes = self.content.bytes.get(range.clone()).unwrap_or_default().to_vec();
            for part in bytes.chunks_mut(1024) {
                if let Some(byte) = part.first_mut() {
                    *byte ^= 0x55;
                }
            }
            self.world.disk(HostId(index)).put(path, &bytes);
        }
    }

    /// After a restart: what the host says that it has, against its disk and what it must have.
    pub(super) fn inspect(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if !peer.runs || peer.must_have.is_none() || peer.lives < 2 {
            return;
        }
        let is_engine = self.plan.hosts.get(index).is_some_and(|of| of.role == Role::Engine);
        let Some(asked) = peer.asked.take().filter(|_| is_engine) else {
            if is_engine {
                let asked = self.ask(index);
                if let Some(peer) = self.peers.get_mut(index) {
                    peer.asked = asked;
                }
            }
            return;
        };
        let answer = asked.lock().take();
        let Some(answer) = answer else {
            peer.asked = Some(asked);
            return;
        };
        let settled = [TorrentState::Downloading, TorrentState::Seeding, TorrentState::Finished];
        let Ok(detail) = answer else { return };
        if detail.torrent.state == TorrentState::Error {
            // It was in error before it died, so there is no change to tell: its user sees it in the list.
            peer.state = Some(TorrentState::Error);
        }
        if !settled.contains(&detail.torrent.state) {
            return;
        }
        let must_have = peer.must_have.take();
        self.compare_pieces(index, &detail);
        let Some((must_have, claimed)) = must_have else { return };
        let bits = Bitfield::from_bytes(&detail.pieces, detail.piece_count);
        let has = |piece: u32| bits.as_ref().is_ok_and(|bits| bits.contains(PieceIndex(piece)));
        if bits.as_ref().is_ok_and(|bits| (bits.count() as usize) < claimed) {
            self.observer.reached("claimed-less-after-restart");
        }
        if let Some(piece) = must_have.into_iter().find(|&piece| !has(piece)) {
            let message = format!("lost piece {piece}, which was kept and is on its disk");
            self.observer.fail("I2", Some(index), message);
        }
    }

    /// What a host says that it has is on its disk.
    pub(super) fn compare_pieces(&mut self, index: usize, detail: &TorrentDetail) {
        let Ok(bits) = Bitfield::from_bytes(&detail.pieces, detail.piece_count) else { return };
        self.observer.claims(index, bits.iter().map(|piece| piece.0));
    }
}

fn address(host: usize) -> SocketAddr {
    SocketAddr::new(World::ip_of(HostId(host)), PORT)
}
