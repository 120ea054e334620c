//! Who can be spoken to at this node.
//!
//! A [`Directory`] is a value that a node makes and hands to its lanes, never a static: two nodes in a process do
//! not meet. Actors are put in one by one; nothing is mirrored to other nodes. A message in the name of an epoch
//! that is over is refused here, before the actor's mailbox is touched.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use control::{Epoch, NodeName};
use serde::{Deserialize, Serialize};

use super::outgoing::{Outgoing, Reply};
use super::{Key, LaneError};

/// What can be spoken to from other nodes.
pub trait Exposed: Send + Sync + fmt::Debug {
    /// The lowest epoch in whose name it can be spoken to; 0 for what has none.
    fn epoch(&self) -> Epoch;
    /// Posts a message to the actor, without waiting. It may be in the name of a later epoch: what that means
    /// is for the actor to say. A message that is not taken is refused by [`Delivery::refuse`].
    fn deliver(&self, message: Delivery);
}

/// A message from another node.
#[derive(Debug)]
pub struct Delivery {
    /// Who sent it; its certificate said so.
    pub from: Arc<NodeName>,
    /// In the name of which ownership.
    pub epoch: Epoch,
    /// What is said.
    pub body: Bytes,
    /// Where the answer goes, if one is wanted.
    pub reply: Option<Reply>,
}

impl Delivery {
    /// Does not take the message: a call gets the error, a cast is dropped.
    pub fn refuse(self, error: LaneError) {
        if let Some(reply) = self.reply {
            reply.refuse(error);
        }
    }
}

/// A watched actor is there no more, or cannot be heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Who was watched.
    pub key: Key,
    /// In which epoch it was watched.
    pub epoch: Epoch,
    /// Why.
    pub reason: DownReason,
}

/// Why a watched actor is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownReason {
    /// The lane to its node ended; made at this end. It may still run.
    NodeDown,
    /// There was none under this key.
    NoSuchActor,
    /// The epoch was over when the watch came; this one is the current.
    StaleEpoch(Epoch),
    /// It stopped in order.
    Stopped,
    /// It failed.
    Failed,
    /// Another one stands under its key now.
    Replaced,
}

/// The actors of one node that can be spoken to. Clones are the same directory.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: BTreeMap<Key, Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    actor: Arc<dyn Exposed>,
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    lane: Arc<Outgoing>,
    request: u64,
    epoch: Epoch,
}

/// Keeps an actor in a [`Directory`]; whoever watches it is told when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it takes the actor out of the directory"]
pub struct Exposure {
    table: Arc<Mutex<Table>>,
    key: Key,
    number: u64,
    reason: DownReason,
}

impl Exposure {
    /// Takes the actor out because it failed.
    pub fn failed(mut self) {
        self.reason = DownReason::Failed;
    }
}

impl Drop for Exposure {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        // Another one may stand there by now.
        let stands = table.entries.get(&self.key).map(|entry| entry.number);
        let removed =
            if stands == Some(self.number) { table.entries.remove(&self.key) } else { None };
        drop(table);
        if let Some(entry) = removed {
            tell(self.key, entry.watchers, self.reason);
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(key: Key, watchers: Vec<Watcher>, reason: DownReason) {
    for watcher in watchers {
        watcher.lane.down(key, watcher.epoch, watcher.request, reason);
    }
}

impl Directory {
    /// Puts an actor under a key. One that stood there before is replaced, and whoever watches it is told.
    pub fn expose(&self, key: Key, actor: Arc<dyn Exposed>) -> Exposure {
        let mut table = lock(&self.table);
        table.next += 1;
        let number = table.next;
        let before = table.entries.insert(key, Entry { number, actor, watchers: Vec::new() });
        drop(table);
        if let Some(before) = before {
            tell(key, before.watchers, DownReason::Replaced);
        }
        Exposure { table: Arc::clone(&self.table), key, number, reason: DownReason::Stopped }
    }

    /// The actor under a key, if it can be spoken to in the name of this epoch.
    ///
    /// # Errors
    ///
    /// [`LaneError::NoSuchActor`] or [`LaneError::StaleEpoch`].
    pub fn find(&self, key: Key, epoch: Epoch) -> Result<Arc<dyn Exposed>, LaneError> {
        let table = lock(&self.table);
        let entry = table.entries.get(&key).ok_or(LaneError::NoSuchActor)?;
        let actor = Arc::clone(&entry.actor);
        drop(table);
        let current = actor.epoch();
        if epoch < current { Err(LaneError::StaleEpoch(current)) } else { Ok(actor) }
    }

    /// A lane's other end wants to know of an actor's end; it is told at once if there is nothing to watch.
    pub(super) fn watch(&self, key: Key, epoch: Epoch, request: u64, lane: &Arc<Outgoing>) {
        let mut table = lock(&self.table);
        let reason = match table.entries.get_mut(&key) {
            None => DownReason::NoSuchActor,
            Some(entry) if epoch < entry.actor.epoch() => {
                DownReason::StaleEpoch(entry.actor.epoch())
            }
            Some(entry) => {
                entry.watchers.push(Watcher { lane: Arc::clone(lane), request, epoch });
                return;
            }
        };
        drop(table);
        lane.down(key, epoch, request, reason);
    }

    /// A lane's other end does not want to know any more, or is gone.
    pub(super) fn unwatch(&self, key: Key, request: u64, lane: &Arc<Outgoing>) {
        let mut table = lock(&self.table);
        if let Some(entry) = table.entries.get_mut(&key) {
            entry.watchers.retain(|it| it.request != request || !Arc::ptr_eq(&it.lane, lane));
        }
    }

    /// How many watch, of all lanes.
    #[must_use]
    pub fn watchers(&self) -> usize {
        lock(&self.table).entries.values().map(|entry| entry.watchers.len()).sum()
    }
}
