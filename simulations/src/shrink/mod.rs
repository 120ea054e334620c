//! Finds a smaller plan that still fails: delta debugging over faults, hosts and settings.
//!
//! Pure: whether a plan fails is asked of the caller, who may run it in a process of its own. The
//! result always is a plan for which the answer was yes, or the one that was given. Every plan that is
//! tried is legal and, as far as the given one was, possible: somebody stays who has all, and nobody is
//! cut off, so that a smaller plan does not fail merely because nothing could come of it.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::{DatagramPlan, Fault, FaultKind, HostPlan, Plan, Role};
use crate::scenario::content_of;

/// Makes `plan` smaller while it `fails`, which is asked at most `attempts_max` times; each step is
/// `told` in a line. `plan` itself is taken to fail.
pub fn shrink(
    plan: &Plan,
    fails: &mut dyn FnMut(&Plan) -> bool,
    attempts_max: usize,
    told: &mut dyn FnMut(&str),
) -> Plan {
    let mut search = Search {
        best: plan.clone(),
        ground: Ground::of(plan),
        attempts_left: attempts_max,
        fails,
        told,
    };
    loop {
        let before = search.best.clone();
        search.drop_parts(|plan| plan.faults.len(), without_faults);
        search.drop_parts(|plan| plan.hosts.len(), without_hosts);
        search.end_sooner();
        search.shorten_faults();
        search.shrink_content();
        search.calm();
        if search.best == before || search.attempts_left == 0 {
            return search.best;
        }
    }
}

struct Search<'a> {
    best: Plan,
    ground: Ground,
    attempts_left: usize,
    fails: &'a mut dyn FnMut(&Plan) -> bool,
    told: &'a mut dyn FnMut(&str),
}

impl Search<'_> {
    /// Whether `plan` is a smaller one that fails; then it is the best from here on.
    fn attempt(&mut self, plan: Plan) -> bool {
        if plan == self.best || self.attempts_left == 0 {
            return false;
        }
        if plan.check().is_err() || !self.ground.holds(&plan) {
            return false;
        }
        self.attempts_left -= 1;
        if !(self.fails)(&plan) {
            return false;
        }
        (self.told)(&format!(
            "still fails with {} faults, {} hosts, {} KiB ({} attempts left)",
            plan.faults.len(),
            plan.hosts.len(),
            content_of(&plan.torrent).div_ceil(1024),
            self.attempts_left
        ));
        self.best = plan;
        true
    }

    /// Tries a change of the best plan.
    fn attempt_with(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.clone();
        change(&mut plan);
        self.attempt(plan)
    }

    /// Drops runs of parts, long ones first, until no single part can be dropped.
    fn drop_parts(&mut self, count: fn(&Plan) -> usize, without: fn(&Plan, &Range<usize>) -> Plan) {
        let mut run = count(&self.best);
        while run > 0 && self.attempts_left > 0 {
            let mut dropped = false;
            // From the end, so that what stays keeps its index while the rest is tried.
            let mut end = count(&self.best);
            while end > 0 {
                let parts = end.saturating_sub(run)..end;
                let smaller = without(&self.best, &parts);
                dropped |= self.attempt(smaller);
                end = parts.start;
            }
            if !dropped || run > 1 {
                run /= 2;
            }
        }
    }

    /// Lets the run end with the last fault.
    fn end_sooner(&mut self) {
        self.attempt_with(|plan| {
            let healed = plan.faults.iter().map(|fault| fault.at_ms + fault.for_ms).max();
            plan.faults_end_ms = healed.unwrap_or(0);
        });
    }

    /// Halves durations while it fails, and takes the mildest form of what has one.
    fn shorten_faults(&mut self) {
        for index in 0..self.best.faults.len() {
            loop {
                let shorter = self.attempt_with(|plan| {
                    if let Some(fault) = plan.faults.get_mut(index)
                        && fault.for_ms > 1
                    {
                        fault.for_ms /= 2;
                    }
                });
                if !shorter {
                    break;
                }
            }
            self.attempt_with(|plan| plan.faults.get_mut(index).into_iter().for_each(milder));
        }
    }

    /// Makes the files one, and that one smaller, down to a piece.
    fn shrink_content(&mut self) {
        self.attempt_with(|plan| plan.torrent.files = vec![content_of(&plan.torrent)]);
        loop {
            let smaller = self.attempt_with(|plan| {
                let piece = u64::from(plan.torrent.piece_length);
                for size in &mut plan.torrent.files {
                    *size = (*size / 2).max(piece.min(*size));
                }
            });
            if !smaller {
                return;
            }
        }
    }

    /// Takes away what makes hosts special: all of it at once where that still fails, else one by one.
    fn calm(&mut self) {
        self.attempt_with(|plan| plan.datagrams = DatagramPlan::default());
        for change in CALMING {
            let all = self.attempt_with(|plan| plan.hosts.iter_mut().for_each(change));
            for index in 0..self.best.hosts.len() {
                if !all {
                    self.attempt_with(|plan| {
                        plan.hosts.get_mut(index).into_iter().for_each(change)
                    });
                }
            }
        }
        for index in 0..self.best.hosts.len() {
            let config = self.best.hosts.get(index).map(|host| host.config.clone());
            for key in config.unwrap_or_default().keys() {
                self.attempt_with(|plan| {
                    if let Some(host) = plan.hosts.get_mut(index) {
                        host.config.remove(key);
                    }
                });
            }
        }
    }
}

/// What makes a host special, each taken away.
const CALMING: [fn(&mut HostPlan); 5] = [
    |host| host.config.clear(),
    |host| host.leaves_ms = None,
    |host| host.arrives_ms = 0,
    |host| host.disk_delay_us = 0,
    |host| host.nat = false,
];

/// The mildest form of a fault.
fn milder(fault: &mut Fault) {
    match &mut fault.kind {
        FaultKind::BitFlip { bits, .. } => *bits = 1,
        FaultKind::Cut { both, .. } => *both = false,
        FaultKind::Crash { .. }
        | FaultKind::PowerCut { .. }
        | FaultKind::Partition { .. }
        | FaultKind::Unplug { .. }
        | FaultKind::SlowLink { .. }
        | FaultKind::Reset { .. }
        | FaultKind::DiskFull { .. }
        | FaultKind::DiskFails { .. }
        | FaultKind::DiskSlow { .. }
        | FaultKind::StoreFails { .. } => {}
    }
}

fn without_faults(plan: &Plan, dropped: &Range<usize>) -> Plan {
    let kept = plan.faults.iter().enumerate().filter(|(index, _)| !dropped.contains(index));
    Plan { faults: kept.map(|(_, fault)| fault.clone()).collect(), ..plan.clone() }
}

/// The plan without some hosts: who knew them knows them no more, and what hit them does not happen.
fn without_hosts(plan: &Plan, dropped: &Range<usize>) -> Plan {
    let moved = |index: usize| {
        let later = index.checked_sub(dropped.len()).filter(|_| index >= dropped.end);
        later.or((index < dropped.start).then_some(index))
    };
    let mut smaller = plan.clone();
    smaller.hosts.drain(dropped.clone());
    for host in &mut smaller.hosts {
        host.knows = host.knows.iter().copied().filter_map(moved).collect();
        host.tracker = host.tracker.and_then(moved);
    }
    let hosts = smaller.hosts.len();
    let hit = |fault: &Fault| {
        let kind = moved_fault(&fault.kind, &moved, hosts)?;
        Some(Fault { kind, ..fault.clone() })
    };
    smaller.faults = plan.faults.iter().filter_map(hit).collect();
    smaller
}

/// A fault among hosts that have moved, if it still is one.
fn moved_fault(
    fault: &FaultKind,
    moved: &impl Fn(usize) -> Option<usize>,
    hosts: usize,
) -> Option<FaultKind> {
    let mut fault = fault.clone();
    match &mut fault {
        FaultKind::Partition { hosts: side } => {
            *side = side.iter().copied().filter_map(moved).collect();
            return (!side.is_empty() && side.len() < hosts).then_some(fault);
        }
        FaultKind::Cut { from: a, to: b, .. } | FaultKind::Reset { a, b } => {
            (*a, *b) = (moved(*a)?, moved(*b)?);
        }
        FaultKind::Crash { host }
        | FaultKind::PowerCut { host }
        | FaultKind::Unplug { host }
        | FaultKind::SlowLink { host, .. }
        | FaultKind::DiskFull { host }
        | FaultKind::DiskFails { host, .. }
        | FaultKind::DiskSlow { host, .. }
        | FaultKind::BitFlip { host, .. }
        | FaultKind::StoreFails { host } => *host = moved(*host)?,
    }
    Some(fault)
}

/// What the plan that was given had and a smaller one must keep, or its failure would mean nothing.
struct Ground {
    /// Somebody has all and stays.
    has_holder: bool,
    /// How many have a part: where nobody has all, they are all needed.
    partial_holders: usize,
    /// Every host can come to every other, over hosts between.
    is_joined: bool,
}

impl Ground {
    fn of(plan: &Plan) -> Self {
        Self {
            has_holder: plan.hosts.iter().any(holds_all),
            partial_holders: partial_holders(plan),
            is_joined: is_joined(plan),
        }
    }

    fn holds(&self, plan: &Plan) -> bool {
        let is_held = if self.has_holder {
            plan.hosts.iter().any(holds_all)
        } else {
            partial_holders(plan) == self.partial_holders
        };
        is_held && (!self.is_joined || is_joined(plan))
    }
}

fn partial_holders(plan: &Plan) -> usize {
    plan.hosts.iter().filter(|host| host.role == Role::Engine && host.has > 0.0).count()
}

fn holds_all(host: &HostPlan) -> bool {
    host.role == Role::Engine && host.has >= 1.0 && host.leaves_ms.is_none()
}

/// Whether all hosts but trackers are one swarm: each reaches each, over hosts between, by an address
/// that one of the two is given or a tracker that they share. Two behind a NAT never reach each other.
fn is_joined(plan: &Plan) -> bool {
    let hosts = &plan.hosts;
    let peers = |index: &usize| hosts.get(*index).is_some_and(|host| host.role != Role::Tracker);
    let mut unreached: BTreeSet<usize> = (0..hosts.len()).filter(peers).collect();
    let mut reached: Vec<usize> = unreached.pop_first().into_iter().collect();
    while let Some(one) = reached.pop() {
        let near = unreached.iter().copied().filter(|other| is_path(hosts, one, *other));
        let near: Vec<usize> = near.collect();
        unreached.retain(|other| near.binary_search(other).is_err());
        reached.extend(near);
    }
    unreached.is_empty()
}

fn is_path(hosts: &[HostPlan], a: usize, b: usize) -> bool {
    let (Some(one), Some(other)) = (hosts.get(a), hosts.get(b)) else { return false };
    let told = one.knows.contains(&b) || other.knows.contains(&a);
    let share = one.tracker.is_some() && one.tracker == other.tracker;
    (told || share) && !(one.nat && other.nat)
}

#[cfg(test)]
mod tests;
