//! Giving all torrents away, so that the node can stop without a gap.

use std::collections::{BTreeMap, BTreeSet};

use bittorrent::Time;
use control::{Epoch, Holder, TorrentId, TorrentRow};

use super::{Act, Ask, Keeper, Life};
use crate::ownership::Step;

/// How far it has come.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// The row says so: nobody gives this node anything any more.
    is_said: bool,
    /// Flushed, and still this life's.
    released: BTreeSet<TorrentId>,
    /// On their way to another life.
    giving: BTreeMap<TorrentId, Option<Holder>>,
    is_over: bool,
}

impl Keeper {
    /// Begins to give away what this life owns, and takes nothing more; [`Act::Drained`] when all is gone.
    pub fn drain(&mut self, acts: &mut Vec<Act>) {
        if let Some(life) = &mut self.life
            && life.drain.is_none()
        {
            life.drain = Some(Drain::default());
            life.claims.stop();
            acts.push(Act::Ask(life.holder.incarnation, Ask::Drain));
        }
    }

    /// A torrent was flushed after [`Act::Release`]: another node may go on with it.
    pub fn released(&mut self, torrent: TorrentId, acts: &mut Vec<Act>) {
        let Some(life) = &mut self.life else { return };
        let Some(drain) = &mut life.drain else { return };
        if life.owned.contains_key(&torrent) {
            drain.released.insert(torrent);
            life.give(torrent, acts);
        }
    }

    /// Another node says that it gave this torrent to this life: its own rows are looked through.
    pub fn adopt(&mut self, acts: &mut Vec<Act>) {
        if let Some(life) = &mut self.life {
            life.claims.search(Some(self.me.clone()));
            life.claims.ask_first(acts);
        }
    }

    pub(super) fn draining(&mut self, now: Time, goes_on: Option<bool>, acts: &mut Vec<Act>) {
        match goes_on {
            Some(true) => {
                let Some(life) = &mut self.life else { return };
                let Some(drain) = &mut life.drain else { return };
                drain.is_said = true;
                let owned: Vec<_> = life.owned.iter().map(|(id, epoch)| (*id, *epoch)).collect();
                for (torrent, epoch) in owned {
                    life.release(torrent, epoch, acts);
                }
                life.end_if_drained(acts);
            }
            Some(false) => self.follow(now, vec![Step::Restart], acts),
            // The next renewal asks again.
            None => {}
        }
    }
}

impl Life {
    /// Asks for a torrent to be flushed, if this life gives all away.
    pub(super) fn release(&self, torrent: TorrentId, epoch: Epoch, acts: &mut Vec<Act>) {
        if self.drain.as_ref().is_some_and(|drain| drain.is_said) {
            acts.push(Act::Release(torrent, epoch));
        }
    }

    /// Tries again what failed before.
    pub(super) fn go_on_draining(&mut self, acts: &mut Vec<Act>) {
        let Some(drain) = &self.drain else { return };
        if !drain.is_said {
            acts.push(Act::Ask(self.holder.incarnation, Ask::Drain));
            return;
        }
        let waiting = drain.released.iter().filter(|torrent| !drain.giving.contains_key(*torrent));
        for torrent in waiting.copied().collect::<Vec<_>>() {
            self.give(torrent, acts);
        }
        self.end_if_drained(acts);
    }

    fn give(&mut self, torrent: TorrentId, acts: &mut Vec<Act>) {
        let heir = self.claims.heir(torrent);
        let Some(drain) = &mut self.drain else { return };
        let Some(seen) = self.owned.get(&torrent).copied() else { return };
        if drain.giving.len() < Keeper::CLAIMS_MAX && !drain.giving.contains_key(&torrent) {
            drain.giving.insert(torrent, heir.clone());
            let ask = Ask::Give { torrent, seen, to: heir };
            acts.push(Act::Ask(self.holder.incarnation, ask));
        }
    }

    /// The store has answered; none leaves it for the next renewal.
    pub(super) fn given(
        &mut self,
        torrent: TorrentId,
        row: Option<TorrentRow>,
        acts: &mut Vec<Act>,
    ) {
        let Some(drain) = &mut self.drain else { return };
        let heir = drain.giving.remove(&torrent).flatten();
        let Some(row) = row else { return };
        if row.owner.as_ref() != Some(&self.holder) && self.owned.remove(&torrent).is_some() {
            drain.released.remove(&torrent);
            acts.push(Act::Drop(torrent));
            if let Some(heir) = heir.filter(|heir| row.owner.as_ref() == Some(heir)) {
                acts.push(Act::Adopt(heir, torrent));
            }
        }
        let next =
            drain.released.iter().find(|torrent| !drain.giving.contains_key(*torrent)).copied();
        if let Some(next) = next {
            self.give(next, acts);
        }
        self.end_if_drained(acts);
    }

    fn end_if_drained(&mut self, acts: &mut Vec<Act>) {
        let Some(drain) = &mut self.drain else { return };
        if drain.is_said && self.owned.is_empty() && !std::mem::replace(&mut drain.is_over, true) {
            acts.push(Act::Drained);
        }
    }
}
