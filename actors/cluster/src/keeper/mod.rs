//! What a node does to own torrents: a machine.
//!
//! [`Keeper`] puts the rules of [`ownership`](crate::ownership) together for one node. It begins a life, renews its
//! lease, listens to lanes and reports, judges, and claims what belongs to nobody: the torrents of lives that are over
//! and those that were never owned. It asks a store with [`Act::Ask`] and is told the answers; what it owns it says
//! with [`Act::Serve`] and [`Act::Drop`], each with the epoch that all effects are to carry.
//!
//! A node that is to stop in order drains: each torrent is flushed ([`Act::Release`], [`Keeper::released`]) and given to
//! the node that would own it next, which is told ([`Act::Adopt`]); the row is the truth, the telling a hint.
//!
//! One question of a kind is on its way at a time, claims aside, of which there are at most
//! [`Keeper::CLAIMS_MAX`]. An answer carries the incarnation for which it was asked; those of an ended life are not
//! listened to.

mod claims;
mod drain;

use std::collections::BTreeMap;
use std::time::Duration;

use bittorrent::Time;
use control::{Epoch, Holder, Incarnation, NodeName, NodeRow, TorrentId, TorrentRow};
use rand::Rng;
use store::{NodeEntry, Verdict};

use crate::ownership::{Answer, JudgeStep, Lease, Step, Suspicion};
use claims::Claims;
use drain::Drain;

/// What one node knows, owns and wants.
#[derive(Debug)]
pub struct Keeper {
    me: NodeName,
    life: Option<Life>,
    /// When to try to begin a life, or when that was asked for last.
    begin_at: Time,
    is_beginning: bool,
}

/// One life of the node.
#[derive(Debug)]
struct Life {
    holder: Holder,
    lease: Lease,
    suspicion: Suspicion,
    /// The store's time as the last renewal returned it, in milliseconds.
    store_ms: u64,
    /// When the last renewal succeeded.
    renewed_at: Time,
    /// Until when no lease has run out: the store was away, for others as well.
    lenient_until: Time,
    owned: BTreeMap<TorrentId, Epoch>,
    claims: Claims,
    rows: Rows,
    drain: Option<Drain>,
    /// Waiting for a renewal of this life's own.
    verdicts: Vec<(Holder, Verdict)>,
}

/// Reading the rows of all nodes: one question at a time.
#[derive(Debug, Default)]
struct Rows {
    is_asked: bool,
    /// They are to be read again: the judge does not judge on rows from before what it heard.
    is_again: bool,
}

/// What the store is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Begin a life.
    Begin,
    /// Renew the lease.
    Renew,
    /// All nodes.
    Nodes,
    /// Declare a life over.
    Depose(Holder, Verdict),
    /// Say that this life takes no more torrents and gives away those that it has.
    Drain,
    /// Give a torrent to another life, or to nobody.
    Give {
        /// Which torrent.
        torrent: TorrentId,
        /// In which epoch this life owns it.
        seen: Epoch,
        /// To whom.
        to: Option<Holder>,
    },
    /// Torrents that some life of this node owns, or that nobody owns, after this one.
    Owned {
        /// Whose.
        node: Option<NodeName>,
        /// The page begins after it.
        after: Option<TorrentId>,
    },
    /// Give a torrent to this life.
    Claim {
        /// Which torrent.
        torrent: TorrentId,
        /// In which epoch it was seen to be free.
        seen: Epoch,
    },
}

/// What the store answered. `None` and [`Answer::Failed`]: nothing that says anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// To [`Ask::Begin`]: the incarnation and the store's time in milliseconds, if a life has begun.
    Begun(Option<(Incarnation, u64)>),
    /// To [`Ask::Renew`], and the store's time in milliseconds.
    Renewed(Answer, u64),
    /// To [`Ask::Nodes`].
    Nodes(Option<Vec<NodeEntry>>),
    /// To [`Ask::Depose`]: whether it is over by this.
    Deposed(Option<bool>),
    /// To [`Ask::Drain`]: whether this life still goes on.
    Draining(Option<bool>),
    /// To [`Ask::Give`]: the row after it, whoever has it now.
    Given(TorrentId, Option<TorrentRow>),
    /// To [`Ask::Owned`]: a page, empty at the end.
    Owned(Option<Vec<(TorrentId, TorrentRow)>>),
    /// To [`Ask::Claim`]: the row after it, whoever has it now.
    Claimed(TorrentId, Option<TorrentRow>),
}

impl Ask {
    /// What the machine is told where there is no answer.
    #[must_use]
    pub const fn unanswered(&self) -> Told {
        match self {
            Self::Begin => Told::Begun(None),
            Self::Renew => Told::Renewed(Answer::Failed, 0),
            Self::Nodes => Told::Nodes(None),
            Self::Depose(..) => Told::Deposed(None),
            Self::Drain => Told::Draining(None),
            Self::Give { torrent, .. } => Told::Given(*torrent, None),
            Self::Owned { .. } => Told::Owned(None),
            Self::Claim { torrent, .. } => Told::Claimed(*torrent, None),
        }
    }
}

/// What the node is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ask the store, for this life (0 before the first).
    Ask(Incarnation, Ask),
    /// Tell all nodes to which there is a lane.
    Suspect(Holder),
    /// The same: it is suspected no more.
    Withdraw(Holder),
    /// A life has begun: lanes speak for it from now on.
    Live(Holder),
    /// Own this torrent, in this epoch.
    Serve(TorrentId, Epoch),
    /// Admit nothing more to this torrent, flush it and write its checkpoint; then say [`Keeper::released`].
    Release(TorrentId, Epoch),
    /// Tell this life that it owns this torrent now.
    Adopt(Holder, TorrentId),
    /// All is given away: this life can end.
    Drained,
    /// Own it no more, and let no effect of it out.
    Drop(TorrentId),
    /// Write, announce and tell nothing for now.
    Freeze,
    /// Go on.
    Thaw,
    /// This life is over, with all lanes that speak for it; another one begins.
    End,
}

impl Keeper {
    /// How long after a failed attempt the next one to begin a life is made; less up to a half by chance.
    pub const BEGIN_EVERY: Duration = Duration::from_secs(1);
    /// A node whose renewals did not succeed for so long takes the store to have been away.
    pub const AWAY_TIME: Duration = Duration::from_secs(5);
    /// For how long after that it lets others renew their leases before it judges them.
    pub const LENIENT_TIME: Duration = Duration::from_secs(5);
    /// The most claims on their way.
    pub const CLAIMS_MAX: usize = 64;

    /// A node without a life, which it begins at once.
    #[must_use]
    pub const fn new(me: NodeName, now: Time) -> Self {
        Self { me, life: None, begin_at: now, is_beginning: false }
    }

    /// Its life, if it has one.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        self.life.as_ref().map(|life| &life.holder)
    }

    /// Until when effects may go out, unless the lease is renewed before.
    #[must_use]
    pub fn safe_until(&self) -> Time {
        self.life.as_ref().map_or(Time::ZERO, |life| life.lease.safe_until())
    }

    /// Whether an effect of this torrent may go out now, and with which epoch. To be asked before each: the node may
    /// have slept since it was woken last.
    #[must_use]
    pub fn may_act(&self, torrent: TorrentId, now: Time) -> Option<Epoch> {
        let life = self.life.as_ref().filter(|life| life.lease.may_act(now))?;
        life.owned.get(&torrent).copied()
    }

    /// Somebody says that another epoch of a torrent has begun: this node owns it no more.
    pub fn stale(&mut self, torrent: TorrentId, current: Epoch, acts: &mut Vec<Act>) {
        let Some(life) = &mut self.life else { return };
        if life.owned.get(&torrent).is_some_and(|mine| *mine < current) {
            life.owned.remove(&torrent);
            acts.push(Act::Drop(torrent));
        }
    }

    /// A lane to this life is open.
    pub fn lane_up(&mut self, now: Time, other: Holder, acts: &mut Vec<Act>) {
        self.judge(now, acts, |judge, steps| judge.lane_up(other, steps));
    }

    /// The lane to this life is gone.
    pub fn lane_down(&mut self, now: Time, other: &Holder, acts: &mut Vec<Act>) {
        self.judge(now, acts, |judge, steps| judge.lane_down(now, other, steps));
    }

    /// Another node cannot reach this life.
    pub fn reported(&mut self, now: Time, reporter: &Holder, suspect: Holder, acts: &mut Vec<Act>) {
        self.judge(now, acts, |judge, steps| judge.reported(reporter, suspect, steps));
    }

    /// It can again.
    pub fn withdrawn(&mut self, reporter: &Holder, suspect: &Holder) {
        if let Some(life) = &mut self.life {
            life.suspicion.withdrawn(reporter, suspect);
        }
    }

    /// When the machine wants to be woken.
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        match &self.life {
            None if self.is_beginning => Time::MAX,
            None => self.begin_at,
            Some(life) => life
                .lease
                .poll_timeout()
                .min(life.suspicion.poll_timeout())
                .min(life.claims.poll_timeout()),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, acts: &mut Vec<Act>) {
        let Some(life) = &mut self.life else {
            if !self.is_beginning && now >= self.begin_at {
                self.is_beginning = true;
                self.begin_at = now;
                acts.push(Act::Ask(Incarnation(0), Ask::Begin));
            }
            return;
        };
        let mut steps = Vec::new();
        life.lease.handle_timeout(now, &mut steps);
        life.claims.handle_timeout(now, acts);
        self.follow(now, steps, acts);
        self.judge(now, acts, |judge, steps| judge.handle_timeout(now, steps));
    }

    /// The store has answered what was asked for the life `asked_by`.
    pub fn told(
        &mut self,
        now: Time,
        asked_by: Incarnation,
        told: Told,
        chance: &mut impl Rng,
        acts: &mut Vec<Act>,
    ) {
        if let Told::Begun(begun) = told {
            self.begun(now, begun, chance, acts);
            return;
        }
        let Some(life) = self.life.as_mut().filter(|life| life.holder.incarnation == asked_by)
        else {
            return;
        };
        match told {
            Told::Begun(_) => {}
            Told::Renewed(answer, store_ms) => self.renewed(now, answer, store_ms, acts),
            Told::Nodes(nodes) => self.nodes(now, nodes, acts),
            Told::Deposed(done) => {
                if done.is_none() {
                    life.retry_judgement(now);
                }
                // By this node or another one: who is dead has torrents that are free.
                life.ask_nodes(acts);
            }
            Told::Owned(page) => {
                let mine = life.claims.page(page.as_deref(), now, chance, acts);
                mine.into_iter().for_each(|(torrent, epoch)| life.serve(torrent, epoch, acts));
                life.claims.handle_timeout(now, acts);
            }
            Told::Draining(goes_on) => self.draining(now, goes_on, acts),
            Told::Given(torrent, row) => life.given(torrent, row, acts),
            Told::Claimed(torrent, row) => {
                life.claims.answered(torrent, now, acts);
                if let Some(row) = row.filter(|row| row.owner.as_ref() == Some(&life.holder)) {
                    life.serve(torrent, row.epoch, acts);
                }
            }
        }
    }

    fn begun(
        &mut self,
        now: Time,
        begun: Option<(Incarnation, u64)>,
        chance: &mut impl Rng,
        acts: &mut Vec<Act>,
    ) {
        if !std::mem::take(&mut self.is_beginning) {
            return;
        }
        let Some((incarnation, store_ms)) = begun else {
            self.begin_at = now + Self::BEGIN_EVERY.mul_f64(chance.random_range(0.5..1.0));
            return;
        };
        let holder = Holder { node: self.me.clone(), incarnation };
        let mut life = Life {
            suspicion: Suspicion::new(holder.clone(), now),
            claims: Claims::new(holder.clone()),
            // From when it was asked for: the row may have been written at once.
            lease: Lease::begun(self.begin_at),
            holder: holder.clone(),
            store_ms,
            renewed_at: now,
            lenient_until: now + Self::LENIENT_TIME,
            owned: BTreeMap::new(),
            drain: None,
            rows: Rows::default(),
            verdicts: Vec::new(),
        };
        acts.push(Act::Live(holder));
        life.ask_nodes(acts);
        self.life = Some(life);
    }

    fn renewed(&mut self, now: Time, answer: Answer, store_ms: u64, acts: &mut Vec<Act>) {
        let Some(life) = &mut self.life else { return };
        let mut steps = Vec::new();
        life.lease.answered(now, answer, &mut steps);
        let verdicts = std::mem::take(&mut life.verdicts);
        match answer {
            Answer::Renewed => {
                life.store_ms = store_ms;
                if now >= life.renewed_at + Self::AWAY_TIME {
                    life.lenient_until = now + Self::LENIENT_TIME;
                }
                life.renewed_at = now;
                let incarnation = life.holder.incarnation;
                acts.extend(
                    verdicts.into_iter().map(|(holder, verdict)| {
                        Act::Ask(incarnation, Ask::Depose(holder, verdict))
                    }),
                );
                life.ask_nodes(acts);
                life.go_on_draining(acts);
            }
            Answer::Failed if !verdicts.is_empty() => life.retry_judgement(now),
            Answer::Failed | Answer::Refused => {}
        }
        self.follow(now, steps, acts);
    }

    fn nodes(&mut self, now: Time, nodes: Option<Vec<NodeEntry>>, acts: &mut Vec<Act>) {
        let Some(life) = &mut self.life else { return };
        let is_again = std::mem::take(&mut life.rows).is_again;
        // At the beginning of all times nothing has run out.
        let store_ms = if now < life.lenient_until { 0 } else { life.store_ms };
        let rows: Option<Vec<NodeRow>> =
            nodes.as_ref().map(|nodes| nodes.iter().map(|node| node.row.clone()).collect());
        if let Some(nodes) = nodes {
            life.claims.nodes(nodes, store_ms, acts);
        }
        if is_again {
            life.ask_nodes(acts);
            return;
        }
        let read = rows.as_deref().map(|rows| (rows, store_ms));
        self.judge(now, acts, |judge, steps| judge.rows(now, read, steps));
    }

    /// Does what the lease says.
    fn follow(&mut self, now: Time, steps: Vec<Step>, acts: &mut Vec<Act>) {
        for step in steps {
            let Some(life) = &mut self.life else { return };
            match step {
                Step::Renew => acts.push(Act::Ask(life.holder.incarnation, Ask::Renew)),
                Step::Freeze => acts.push(Act::Freeze),
                Step::Thaw => acts.push(Act::Thaw),
                Step::Stop => {
                    let owned = std::mem::take(&mut life.owned);
                    acts.extend(owned.into_keys().map(Act::Drop));
                }
                Step::Restart => {
                    acts.extend(life.owned.keys().copied().map(Act::Drop));
                    acts.push(Act::End);
                    self.life = None;
                    self.begin_at = now;
                }
            }
        }
    }

    /// Lets the judge work, and does what it says.
    fn judge(
        &mut self,
        now: Time,
        acts: &mut Vec<Act>,
        work: impl FnOnce(&mut Suspicion, &mut Vec<JudgeStep>),
    ) {
        let Some(life) = &mut self.life else { return };
        let mut steps = Vec::new();
        work(&mut life.suspicion, &mut steps);
        for step in steps {
            match step {
                JudgeStep::Suspect(suspect) => acts.push(Act::Suspect(suspect)),
                JudgeStep::Withdraw(suspect) => acts.push(Act::Withdraw(suspect)),
                JudgeStep::Read => {
                    life.rows.is_again = life.rows.is_asked;
                    life.ask_nodes(acts);
                }
                JudgeStep::Depose(holder, verdict) => life.depose(now, holder, verdict, acts),
            }
        }
    }
}

impl Life {
    fn serve(&mut self, torrent: TorrentId, epoch: Epoch, acts: &mut Vec<Act>) {
        if self.owned.get(&torrent).is_none_or(|mine| *mine < epoch) {
            self.owned.insert(torrent, epoch);
            acts.push(Act::Serve(torrent, epoch));
            self.release(torrent, epoch, acts);
        }
    }

    fn ask_nodes(&mut self, acts: &mut Vec<Act>) {
        if !std::mem::replace(&mut self.rows.is_asked, true) {
            acts.push(Act::Ask(self.holder.incarnation, Ask::Nodes));
        }
    }

    /// Declares a life over, after a renewal has shown that this one is not.
    fn depose(&mut self, now: Time, holder: Holder, verdict: Verdict, acts: &mut Vec<Act>) {
        self.verdicts.push((holder, verdict));
        // One that is on its way does as well.
        if self.lease.renew_early(now) {
            acts.push(Act::Ask(self.holder.incarnation, Ask::Renew));
        }
    }

    fn retry_judgement(&mut self, now: Time) {
        self.suspicion.rows(now, None, &mut Vec::new());
    }
}

#[cfg(test)]
mod tests;
