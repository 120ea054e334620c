//! A torrent as the session knows it: its record, and whether it has an actor.

use std::net::SocketAddr;

use bittorrent::Time;
use cluster_config::SeedingConfig;
use control::{TorrentSnapshot, TorrentState};
use ractor::ActorRef;
use store::{Desired, TorrentRecord};

use super::Answer;
use crate::queue;
use crate::torrent::{TorrentMsg, snapshot_of};

/// A torrent as the session knows it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: TorrentRecord,
    pub(super) life: Life,
    /// What its actor says it is doing.
    pub(super) state: Option<TorrentState>,
    /// The queue lets it run.
    pub(super) may_run: bool,
    /// All of it is to be hashed at the next start.
    pub(super) recheck: bool,
    /// A user started it while its actor was ending: the error that it ends with is forgiven.
    pub(super) forgiven: bool,
    /// What to do as soon as its actor is there.
    pub(super) after_start: Option<Then>,
    /// Counts its events.
    pub(super) seq: u64,
    /// Addresses that a user named, until it runs.
    pub(super) peers: Vec<SocketAddr>,
}

/// Whether a torrent has an actor.
#[derive(Debug)]
pub(super) enum Life {
    /// It has none; at this moment it gets one again, if it may run. Without a moment: at once.
    Passive { wake_at: Option<Time> },
    /// What is kept of it is being read.
    Starting { pending: Vec<TorrentMsg> },
    /// It has one.
    Active { actor: ActorRef<TorrentMsg> },
    /// It is ending.
    Closing { actor: ActorRef<TorrentMsg>, then: Then, pending: Vec<TorrentMsg> },
}

/// What comes after a torrent's actor has ended.
#[derive(Debug)]
pub(super) enum Then {
    /// Rest, until this moment if there is one.
    Rest(Option<Time>),
    /// Start again and hash everything.
    Recheck,
    /// Forget it.
    Remove { with_data: bool, reply: Option<Answer> },
}

impl Then {
    /// Whether this is to be done rather than `other`.
    pub(super) const fn outranks(&self, other: &Self) -> bool {
        self.rank() >= other.rank()
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Rest(_) => 0,
            Self::Recheck => 1,
            Self::Remove { .. } => 2,
        }
    }
}

/// A torrent in a list, and whom to ask for more.
#[derive(Debug)]
pub(crate) struct Listed {
    /// As far as the session knows it.
    pub(crate) snapshot: TorrentSnapshot,
    /// Knows more.
    pub(crate) actor: Option<ActorRef<TorrentMsg>>,
}

impl Entry {
    pub(super) fn new(record: TorrentRecord) -> Self {
        Self {
            record,
            life: Life::Passive { wake_at: None },
            state: None,
            may_run: false,
            recheck: false,
            forgiven: false,
            after_start: None,
            seq: 0,
            peers: Vec::new(),
        }
    }

    /// Takes over what its actor keeps; what a user wants of it is kept here.
    pub(super) fn adopt(&mut self, record: TorrentRecord) {
        let (desired, settings) = (self.record.desired, self.record.settings.clone());
        let error = if desired == Desired::Running { record.error.clone() } else { None };
        let priorities = record.settings.priorities.clone();
        self.record = record;
        self.record.desired = desired;
        self.record.error = error;
        self.record.settings = settings;
        if self.record.settings.priorities.is_empty() {
            // A magnet link's selection becomes known with the metadata.
            self.record.settings.priorities = priorities;
        }
    }

    /// The names by which incoming peers may ask for it.
    pub(super) fn handshake_hashes(&self) -> Vec<[u8; 20]> {
        let v2 = self.record.v2.map(|hash| control::TorrentId::from(hash).0);
        self.record.v1.map(|hash| hash.0).into_iter().chain(v2).collect()
    }

    pub(super) fn listed(&self, seeding: &SeedingConfig) -> Listed {
        let mut snapshot = snapshot_of(&self.record);
        snapshot.state = self.shown_state(seeding);
        let actor = match &self.life {
            Life::Active { actor } => Some(actor.clone()),
            Life::Passive { .. } | Life::Starting { .. } | Life::Closing { .. } => None,
        };
        Listed { snapshot, actor }
    }

    /// Bytes of memory that a torrent without an actor takes, at least.
    #[cfg(test)]
    fn memory(&self) -> usize {
        let record = &self.record;
        let settings = &record.settings;
        let trackers: usize = settings.trackers.iter().map(String::len).sum();
        size_of::<Self>() + record.name.len() + settings.priorities.len() + trackers
    }

    fn shown_state(&self, seeding: &SeedingConfig) -> TorrentState {
        if let Some(state) = self.state {
            return state;
        }
        if self.record.error.is_some() {
            TorrentState::Error
        } else if self.record.desired == Desired::Stopped {
            TorrentState::Stopped
        } else if queue::is_finished(&self.record, seeding) {
            TorrentState::Finished
        } else if !self.may_run {
            TorrentState::Queued
        } else if queue::is_complete(&self.record) {
            TorrentState::Seeding
        } else {
            TorrentState::Downloading
        }
    }
}

#[cfg(test)]
mod tests {
    use control::TorrentId;

    use super::*;

    #[test]
    fn a_torrent_without_an_actor_takes_less_than_a_kibibyte() {
        let mut record = TorrentRecord::new(TorrentId([1; 20]), 0);
        record.name = "a name of fifty characters, as torrents often have".to_owned();
        let entry = Entry::new(record);
        assert!(entry.memory() < 1024, "{} bytes", entry.memory());
    }
}
