//! What this end of a lane has asked and waits to hear: calls and watches.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use control::Epoch;
use tokio::sync::oneshot;

use super::{Down, DownReason, Key, LaneError};

/// The most calls of one end that wait for an answer at once.
pub const CALLS_MAX: usize = 4096;
/// The most actors that one end watches at once over a lane.
pub const WATCHES_MAX: usize = 65_536;

/// What came of a call.
pub(super) type Outcome = Result<Bytes, LaneError>;

/// The questions of one end. Numbers are never used again, so a late answer meets nobody.
#[derive(Debug, Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    calls: BTreeMap<u64, oneshot::Sender<Outcome>>,
    watches: BTreeMap<u64, Watched>,
    ended: bool,
}

#[derive(Debug)]
struct Watched {
    key: Key,
    epoch: Epoch,
    tell: oneshot::Sender<Down>,
}

impl Table {
    fn number(&mut self) -> Result<u64, LaneError> {
        if self.ended {
            return Err(LaneError::Disconnected);
        }
        self.next += 1;
        Ok(self.next)
    }
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new call's number, and where its outcome comes.
    ///
    /// # Errors
    ///
    /// `Busy` when [`CALLS_MAX`] wait; `Disconnected` after the end.
    pub(super) fn call(&self) -> Result<(u64, oneshot::Receiver<Outcome>), LaneError> {
        let mut table = self.lock();
        if table.calls.len() >= CALLS_MAX {
            return Err(LaneError::Busy);
        }
        let number = table.number()?;
        let (tell, told) = oneshot::channel();
        table.calls.insert(number, tell);
        Ok((number, told))
    }

    /// An answer came. One that nobody waits for any more is dropped.
    pub(super) fn answer(&self, number: u64, outcome: Outcome) {
        let tell = self.lock().calls.remove(&number);
        if let Some(tell) = tell {
            let _ = tell.send(outcome);
        }
    }

    /// Nobody waits for this call any more.
    pub(super) fn forget_call(&self, number: u64) {
        self.lock().calls.remove(&number);
    }

    /// A new watch's number, and where its end comes.
    ///
    /// # Errors
    ///
    /// `Busy` when [`WATCHES_MAX`] are open; `Disconnected` after the end.
    pub(super) fn watch(
        &self,
        key: Key,
        epoch: Epoch,
    ) -> Result<(u64, oneshot::Receiver<Down>), LaneError> {
        let mut table = self.lock();
        if table.watches.len() >= WATCHES_MAX {
            return Err(LaneError::Busy);
        }
        let number = table.number()?;
        let (tell, told) = oneshot::channel();
        table.watches.insert(number, Watched { key, epoch, tell });
        Ok((number, told))
    }

    /// A watched actor ended.
    pub(super) fn down(&self, number: u64, reason: DownReason) {
        let watched = self.lock().watches.remove(&number);
        if let Some(Watched { key, epoch, tell }) = watched {
            let _ = tell.send(Down { key, epoch, reason });
        }
    }

    /// Nobody watches under this number any more; says whether anybody did.
    pub(super) fn forget_watch(&self, number: u64) -> bool {
        self.lock().watches.remove(&number).is_some()
    }

    /// The lane ended: every call gets `Disconnected`, every watch `NodeDown`.
    pub(super) fn end(&self) {
        let mut table = self.lock();
        table.ended = true;
        let calls = std::mem::take(&mut table.calls);
        let watches = std::mem::take(&mut table.watches);
        drop(table);
        for tell in calls.into_values() {
            let _ = tell.send(Err(LaneError::Disconnected));
        }
        for Watched { key, epoch, tell } in watches.into_values() {
            let _ = tell.send(Down { key, epoch, reason: DownReason::NodeDown });
        }
    }

    /// Calls that wait.
    pub(super) fn calls(&self) -> usize {
        self.lock().calls.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::Service(1);

    #[test]
    fn an_answer_meets_its_call_once() {
        let pending = Pending::default();
        let (first, mut told_first) = pending.call().unwrap();
        let (second, mut told_second) = pending.call().unwrap();
        pending.answer(second, Ok(Bytes::from_static(b"two")));
        pending.answer(second, Err(LaneError::Busy));
        pending.answer(99, Err(LaneError::Busy));
        assert_eq!(told_second.try_recv().unwrap(), Ok(Bytes::from_static(b"two")));
        assert!(told_first.try_recv().is_err());
        pending.forget_call(first);
        assert_eq!(pending.calls(), 0);
    }

    #[test]
    fn the_end_is_told_to_all_and_refuses_more() {
        let pending = Pending::default();
        let (_, mut call) = pending.call().unwrap();
        let (_, mut watch) = pending.watch(KEY, Epoch(4)).unwrap();
        pending.end();
        assert_eq!(call.try_recv().unwrap(), Err(LaneError::Disconnected));
        let down = Down { key: KEY, epoch: Epoch(4), reason: DownReason::NodeDown };
        assert_eq!(watch.try_recv().unwrap(), down);
        assert_eq!(pending.call().unwrap_err(), LaneError::Disconnected);
        assert_eq!(pending.watch(KEY, Epoch(4)).unwrap_err(), LaneError::Disconnected);
    }

    #[test]
    fn calls_have_a_bound() {
        let pending = Pending::default();
        let told: Vec<_> = (0..CALLS_MAX).map(|_| pending.call().unwrap()).collect();
        assert_eq!(pending.call().unwrap_err(), LaneError::Busy);
        pending.forget_call(told[0].0);
        assert!(pending.call().is_ok());
    }
}
