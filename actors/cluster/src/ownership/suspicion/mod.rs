//! When a node declares another one dead: a machine.
//!
//! A node that loses its lane to a life that it *had a lane with* tells the others that it suspects it, and takes
//! that back when the lane returns. Who hears of suspicions reads the rows and counts: if more than half of the
//! electorate report the life unreachable, the best-ranked judge deposes it at once, and rank k after k times
//! [`Suspicion::RANK_DELAY`], unless it is over by then. A life whose lease ran out needs no reports.
//!
//! Reports hold while the lane to the reporter does, who tells all of them again on a new one.
//!
//! A report about a life that the reporter never had a lane with does not count: else two nodes with a cut link
//! between them would depose each other for ever. A node whose own timers ran late may be the one that slept: it
//! takes back what it suspects and waits a period.
//!
//! The machine asks for rows with [`Step::Read`] and is told them with [`Suspicion::rows`]; what it wants done
//! comes as further steps. It never judges on rows that it was told before the reports.

use std::collections::BTreeMap;
use std::time::Duration;

use bittorrent::Time;
use store::Verdict;

use super::{Holder, Incarnation, NodeName, NodeRow, NodeState, electorate, is_majority};
use crate::placement::rank_judges;

/// What one node knows and thinks of the others.
#[derive(Debug)]
pub struct Suspicion {
    me: Holder,
    peers: BTreeMap<NodeName, Peer>,
    /// By suspect, then by reporter, which life of the reporter speaks.
    reports: BTreeMap<Holder, BTreeMap<NodeName, Incarnation>>,
    /// Until when nothing is suspected or judged: this node slept.
    quiet_until: Time,
    /// When the machine has to be woken next; far later it slept.
    due: Time,
    reads: Reads,
}

/// What a lane told of a node.
#[derive(Debug)]
struct Peer {
    incarnation: Incarnation,
    is_up: bool,
}

/// Asking for rows: one question at a time.
#[derive(Debug, Default)]
struct Reads {
    is_asked: bool,
    /// Something has changed since it was asked.
    is_stale: bool,
    /// When each judgement is to be made, by whom it is about.
    judge_at: BTreeMap<Holder, Time>,
}

/// What the node is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Tell all others that this life cannot be reached from here.
    Suspect(Holder),
    /// Tell all others that it can be reached again, or is none any more.
    Withdraw(Holder),
    /// Read all nodes' rows, and the store's time from a renewal of this node's own; tell them by
    /// [`Suspicion::rows`].
    Read,
    /// Renew this node's own row; only if that succeeds, declare this life over.
    Depose(Holder, Verdict),
}

impl Suspicion {
    /// How much later each further judge acts.
    pub const RANK_DELAY: Duration = Duration::from_millis(300);
    /// The machine is woken at least so often; a node that is so much later slept.
    pub const TICK: Duration = Duration::from_millis(300);
    /// How long a node that slept keeps quiet: longer than a lane takes to be given up.
    pub const QUIET_TIME: Duration = Duration::from_millis(1500);
    /// The most lives that reports are kept of; what is told of others is not heard.
    pub const SUSPECTS_MAX: usize = 1000;

    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(me: Holder, now: Time) -> Self {
        Self {
            me,
            peers: BTreeMap::new(),
            reports: BTreeMap::new(),
            quiet_until: now,
            due: now + Self::TICK,
            reads: Reads::default(),
        }
    }

    /// A lane to this life is open.
    pub fn lane_up(&mut self, other: Holder, steps: &mut Vec<Step>) {
        let known = Peer { incarnation: other.incarnation, is_up: true };
        if let Some(before) = self.peers.insert(other.node.clone(), known) {
            let life = Holder { node: other.node.clone(), incarnation: before.incarnation };
            self.take_back(&life, steps);
            self.unhear(&other.node);
        }
        // Whoever was away has not heard of it.
        steps.extend(self.suspected_by(&self.me.node).cloned().map(Step::Suspect));
    }

    /// The lane to this life is gone.
    pub fn lane_down(&mut self, now: Time, other: &Holder, steps: &mut Vec<Step>) {
        let Some(peer) = self.peers.get_mut(&other.node) else { return };
        if peer.incarnation != other.incarnation {
            // Of a life before; the lane to the present one is another.
            return;
        }
        peer.is_up = false;
        // What it took back would not be heard.
        self.unhear(&other.node);
        if now >= self.quiet_until {
            self.suspect(other.clone(), steps);
        }
    }

    /// `reporter`, over the lane of that life, suspects this life.
    pub fn reported(&mut self, reporter: &Holder, suspect: Holder, steps: &mut Vec<Step>) {
        let is_here = |peer: &Peer| peer.is_up && peer.incarnation == reporter.incarnation;
        if self.peers.get(&reporter.node).is_some_and(is_here) && self.hear(reporter, suspect) {
            self.look(steps);
        }
    }

    /// `reporter` takes that back.
    pub fn withdrawn(&mut self, reporter: &Holder, suspect: &Holder) {
        self.forget_report(&reporter.node, suspect);
    }

    /// When the machine wants to be woken: never more than [`Suspicion::TICK`] away.
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        self.due
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, steps: &mut Vec<Step>) {
        if now >= self.due + Self::TICK {
            self.fall_quiet(now, steps);
        } else if now >= self.quiet_until {
            self.suspect_who_is_down(steps);
            if self.reads.judge_at.values().any(|at| now >= *at) {
                self.look(steps);
            }
        }
        let judgement = self.reads.judge_at.values().copied().filter(|at| *at > now).min();
        self.due = judgement.unwrap_or(Time::MAX).min(now + Self::TICK);
    }

    /// The rows as they were read after the last [`Step::Read`], and the store's time; none if they could not be
    /// read: then the next tick asks again.
    pub fn rows(&mut self, now: Time, read: Option<(&[NodeRow], u64)>, steps: &mut Vec<Step>) {
        self.reads.is_asked = false;
        let is_stale = std::mem::take(&mut self.reads.is_stale);
        if let Some((rows, now_ms)) = read {
            self.forget_the_dead(rows);
            if now >= self.quiet_until {
                self.judge(now, rows, now_ms, steps);
            }
        } else {
            let suspects = self.reports.keys().cloned();
            self.reads.judge_at.extend(suspects.map(|suspect| (suspect, now)));
        }
        if is_stale {
            self.look(steps);
        }
    }

    /// Somebody wakes this node up who may have slept: nothing that it thinks of others holds.
    fn fall_quiet(&mut self, now: Time, steps: &mut Vec<Step>) {
        self.quiet_until = now + Self::QUIET_TIME;
        self.reads.judge_at.clear();
        let mine: Vec<Holder> = self.suspected_by(&self.me.node).cloned().collect();
        for suspect in mine {
            self.take_back(&suspect, steps);
        }
    }

    fn suspected_by<'a>(&'a self, reporter: &'a NodeName) -> impl Iterator<Item = &'a Holder> {
        let theirs = self.reports.iter().filter(|(_, reporters)| reporters.contains_key(reporter));
        theirs.map(|(suspect, _)| suspect)
    }

    fn suspect_who_is_down(&mut self, steps: &mut Vec<Step>) {
        let down = self.peers.iter().filter(|(_, peer)| !peer.is_up);
        let lives =
            down.map(|(node, peer)| Holder { node: node.clone(), incarnation: peer.incarnation });
        for life in lives.collect::<Vec<_>>() {
            if !self.reports.get(&life).is_some_and(|by| by.contains_key(&self.me.node)) {
                self.suspect(life, steps);
            }
        }
    }

    fn suspect(&mut self, life: Holder, steps: &mut Vec<Step>) {
        let me = self.me.clone();
        if self.hear(&me, life.clone()) {
            steps.push(Step::Suspect(life));
            self.look(steps);
        }
    }

    /// Notes a report; says whether it is news.
    fn hear(&mut self, reporter: &Holder, suspect: Holder) -> bool {
        if suspect.node == self.me.node {
            // What others think of this node they settle without it; its next renewal tells.
            return false;
        }
        if self.reports.len() >= Self::SUSPECTS_MAX && !self.reports.contains_key(&suspect) {
            return false;
        }
        let reporters = self.reports.entry(suspect).or_default();
        reporters.insert(reporter.node.clone(), reporter.incarnation) != Some(reporter.incarnation)
    }

    /// Forgets all that a node reported.
    fn unhear(&mut self, reporter: &NodeName) {
        for suspect in self.suspected_by(reporter).cloned().collect::<Vec<_>>() {
            self.forget_report(reporter, &suspect);
        }
    }

    fn forget_report(&mut self, reporter: &NodeName, suspect: &Holder) {
        let Some(reporters) = self.reports.get_mut(suspect) else { return };
        reporters.remove(reporter);
        if reporters.is_empty() {
            self.reports.remove(suspect);
            self.reads.judge_at.remove(suspect);
        }
    }

    fn take_back(&mut self, life: &Holder, steps: &mut Vec<Step>) {
        let mine = self.reports.get(life).is_some_and(|by| by.contains_key(&self.me.node));
        if mine {
            let me = self.me.clone();
            self.withdrawn(&me, life);
            steps.push(Step::Withdraw(life.clone()));
        }
    }

    fn look(&mut self, steps: &mut Vec<Step>) {
        if self.reads.is_asked {
            self.reads.is_stale = true;
        } else {
            self.reads.is_asked = true;
            steps.push(Step::Read);
        }
    }

    /// What is told of lives that are over is of no interest.
    fn forget_the_dead(&mut self, rows: &[NodeRow]) {
        let lives = |life: &Holder| rows.iter().any(|row| row.is(life));
        self.reports.retain(|suspect, _| lives(suspect));
        self.reads.judge_at.retain(|suspect, _| lives(suspect));
        let is_over = |node: &NodeName, peer: &Peer| {
            let life = Holder { node: node.clone(), incarnation: peer.incarnation };
            !peer.is_up && !lives(&life)
        };
        self.peers.retain(|node, peer| !is_over(node, peer));
    }

    fn judge(&mut self, now: Time, rows: &[NodeRow], now_ms: u64, steps: &mut Vec<Step>) {
        for row in rows.iter().filter(|row| row.state != NodeState::Dead && row.holder != self.me) {
            let has_expired = row.has_expired(now_ms);
            let Some(rank) = self.rank_of_me(&row.holder, rows, now_ms) else { continue };
            if !has_expired && !self.is_unreachable(&row.holder, rows, now_ms) {
                self.reads.judge_at.remove(&row.holder);
                continue;
            }
            let wait = Self::RANK_DELAY.saturating_mul(rank);
            let at = *self.reads.judge_at.entry(row.holder.clone()).or_insert(now + wait);
            if now < at {
                self.due = self.due.min(at);
                continue;
            }
            self.reads.judge_at.remove(&row.holder);
            let holder = row.holder.clone();
            let verdict =
                if has_expired { Verdict::Expired { now_ms } } else { Verdict::Unreachable };
            steps.push(Step::Depose(holder, verdict));
        }
    }

    /// Which of the judges this node is; none if it is no judge.
    fn rank_of_me(&self, suspect: &Holder, rows: &[NodeRow], now_ms: u64) -> Option<u32> {
        let judges = electorate(rows, &suspect.node, now_ms);
        if !electorate(rows, &suspect.node, now_ms).any(|row| row.holder == self.me) {
            return None;
        }
        let ranked = rank_judges(&suspect.node, judges.map(|row| &row.holder.node));
        let rank = ranked.iter().position(|node| **node == self.me.node)?;
        u32::try_from(rank).ok()
    }

    /// Whether more than half of the electorate report it; each report is of the judge's life that votes.
    fn is_unreachable(&self, suspect: &Holder, rows: &[NodeRow], now_ms: u64) -> bool {
        let Some(reporters) = self.reports.get(suspect) else { return false };
        let mut judges = 0;
        let mut reports = 0;
        for row in electorate(rows, &suspect.node, now_ms) {
            judges += 1;
            let said = reporters.get(&row.holder.node) == Some(&row.holder.incarnation);
            reports += usize::from(said);
        }
        is_majority(reports, judges)
    }
}

#[cfg(test)]
mod tests;
