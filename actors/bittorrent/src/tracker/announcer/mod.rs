//! When which tracker of a torrent is told what (BEP 3, 12, 27, 31).
//!
//! One tracker is used at a time, as BEP 12 has it, for private torrents too (BEP 27): a *walk* through
//! the tiers asks one tracker after the other until one answers, which moves to the front of its tier.
//! The next walk begins when the interval of that tracker is over, again with the first tier, so that
//! we come back to a better tracker that failed. If none answers, the next walk begins when the first
//! back-off ends.
//!
//! A tracker gets `started` until it has answered once; `completed` once, if the last piece came in
//! this run; and, if it knows us, `stopped` once, whatever comes of it.
//!
//! Invariants: at most one announce that is not `stopped` is under way; each is ended by
//! [`Announcer::on_response`] or [`Announcer::on_failure`]; a walk asks each tracker once at most.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;

use super::announce::{AnnounceRequest, AnnounceResponse, Event, Failure, Identity, Totals};
use super::entry::{Entry, Snapshot, Status};
use super::tiers::{Tiers, TrackerKey};
use super::url::TrackerUrl;
use crate::Time;

/// Time between two announces while peers are urgently needed, unless the tracker's least interval is
/// longer.
const URGENT_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What a node's configuration says of announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least time between two announces to a tracker, whatever it or a user asks for.
    pub spacing: Duration,
    /// Peers that are asked for at once.
    pub numwant: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { spacing: Duration::from_secs(1), numwant: 200 }
    }
}

/// How much a torrent needs peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerNeed {
    /// It has as many as it may have: none are asked for.
    None,
    /// Whatever comes at the tracker's interval.
    #[default]
    Usual,
    /// It has too few: trackers are asked more often, as far as they allow.
    Urgent,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this announce. Its end is to be told, with the key.
    Announce {
        /// Which tracker.
        key: TrackerKey,
        /// Where it is.
        tracker: TrackerUrl,
        /// What it is told.
        request: AnnounceRequest,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// In no swarm, or leaving it.
    Stopped,
    /// In the swarm.
    Running,
}

/// The tracker that answered last, and its answer.
#[derive(Debug, Clone, Copy)]
struct Working {
    key: TrackerKey,
    answered: Time,
    interval: Duration,
    /// A user wants to hear of it before the interval is over.
    wanted_now: bool,
}

/// The announces of one torrent in one swarm.
///
/// Methods only note what happened; [`Announcer::handle_timeout`], due at
/// [`Announcer::poll_timeout`], says what to do. So ask for both after each call.
#[derive(Debug)]
pub struct Announcer {
    identity: Identity,
    settings: Settings,
    trackers: BTreeMap<TrackerKey, Entry>,
    tiers: Tiers,
    next_key: u32,
    /// Trackers that were removed and know us still.
    leaving: Vec<(TrackerKey, Entry)>,
    phase: Phase,
    /// What was counted before the start.
    base: Totals,
    /// The last piece came in this run.
    completed: bool,
    need: PeerNeed,
    working: Option<Working>,
    /// A walk is under way.
    walking: bool,
    /// When the next walk begins.
    walk_at: Time,
    rng: SmallRng,
}

impl Announcer {
    /// An announcer that waits for [`Announcer::start`].
    #[must_use]
    pub fn new(
        identity: Identity,
        settings: Settings,
        tiers: Vec<Vec<TrackerUrl>>,
        rng: SmallRng,
    ) -> Self {
        let mut announcer = Self {
            identity,
            settings,
            trackers: BTreeMap::new(),
            tiers: Tiers::default(),
            next_key: 0,
            leaving: Vec::new(),
            phase: Phase::Stopped,
            base: Totals::default(),
            completed: false,
            need: PeerNeed::Usual,
            working: None,
            walking: false,
            walk_at: Time::MAX,
            rng,
        };
        announcer.set_trackers(Time::ZERO, tiers);
        announcer
    }

    /// Joins the swarm. `totals` is what was counted before: trackers count from the start.
    pub fn start(&mut self, now: Time, totals: Totals) {
        if self.phase == Phase::Running {
            return;
        }
        self.phase = Phase::Running;
        self.base = totals;
        self.completed = false;
        for entry in self.trackers.values_mut() {
            entry.completed_sent = false;
            entry.retry_now();
        }
        self.walk_at = now;
    }

    /// Leaves the swarm: the trackers that know us are told, also one whose answer is under way.
    pub fn stop(&mut self) {
        self.phase = Phase::Stopped;
        self.working = None;
        self.walking = false;
        for entry in self.trackers.values_mut() {
            if !entry.knows_us && entry.in_flight.is_none() {
                entry.status = Status::Idle;
            }
        }
    }

    /// Whether we are in no swarm and nothing is under way: it may be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let idle = |entry: &Entry| entry.in_flight.is_none() && !entry.knows_us;
        self.phase == Phase::Stopped && self.leaving.is_empty() && self.trackers.values().all(idle)
    }

    /// The last missing piece came from a peer. Not to be called for a torrent that was complete when
    /// it started.
    pub fn completed(&mut self) {
        self.completed = true;
        self.plan();
    }

    /// Says how much peers are needed from now on.
    pub fn set_peer_need(&mut self, need: PeerNeed) {
        self.need = need;
        self.plan();
    }

    /// A user wants an announce now: it comes as soon as the trackers' least intervals allow. Those
    /// that failed are tried again.
    pub fn reannounce(&mut self) {
        self.trackers.values_mut().for_each(Entry::retry_now);
        if self.is_asking() {
            return;
        }
        match &mut self.working {
            Some(working) => {
                working.wanted_now = true;
                self.plan();
            }
            None => self.walk_at = self.walk_at.min(self.earliest()),
        }
    }

    /// Changes the trackers. What is known of those that stay is kept; those that go are told that we
    /// leave; a new one is tried at once, unless one works.
    pub fn set_trackers(&mut self, now: Time, tiers: Vec<Vec<TrackerUrl>>) {
        let mut before: BTreeMap<TrackerUrl, (TrackerKey, Entry)> =
            std::mem::take(&mut self.trackers)
                .into_iter()
                .map(|(key, entry)| (entry.url.clone(), (key, entry)))
                .collect();
        let mut keys = Vec::new();
        for tier in tiers {
            let mut tier_keys = Vec::new();
            for url in tier {
                if self.trackers.values().any(|entry| entry.url == url) {
                    continue;
                }
                let (key, entry) =
                    before.remove(&url).unwrap_or_else(|| (self.fresh_key(), Entry::new(url)));
                self.trackers.insert(key, entry);
                tier_keys.push(key);
            }
            keys.push(tier_keys);
        }
        keys.retain(|tier| !tier.is_empty());
        self.tiers = Tiers::new(keys, &mut self.rng);
        self.leaving.extend(before.into_values().filter(|(_, entry)| entry.knows_us));
        self.working = self.working.filter(|working| self.trackers.contains_key(&working.key));
        if self.working.is_none() {
            self.walking = false;
            self.walk_at = now;
        }
    }

    fn fresh_key(&mut self) -> TrackerKey {
        let key = TrackerKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1);
        key
    }

    /// A tracker answered. Its peers are the caller's to use.
    pub fn on_response(&mut self, now: Time, key: TrackerKey, response: &AnnounceResponse) {
        let Some(entry) = self.trackers.get_mut(&key) else { return };
        let Some(event) = entry.in_flight.take() else { return };
        entry.answered(now, event, response);
        if event == Event::Stopped {
            return self.left();
        }
        self.tiers.promote(key);
        if self.phase == Phase::Running {
            let interval = response.interval;
            self.working = Some(Working { key, answered: now, interval, wanted_now: false });
            self.walking = false;
            self.plan();
        }
    }

    /// An announce failed: there was no way to the tracker, no answer in time, or it said no.
    pub fn on_failure(&mut self, now: Time, key: TrackerKey, failure: &Failure) {
        let Some(entry) = self.trackers.get_mut(&key) else { return };
        let Some(event) = entry.in_flight.take() else { return };
        entry.failed(now, event, failure, &mut self.rng);
        if event == Event::Stopped {
            return self.left();
        }
        match self.phase {
            Phase::Running => {
                self.working = self.working.filter(|working| working.key != key);
                // The same walk goes on with the next tracker.
                self.walk_at = now;
            }
            Phase::Stopped => {
                entry.status = Status::Idle;
                // Not said again: there is no time for it.
                entry.completed_sent |= event == Event::Completed;
            }
        }
    }

    /// A tracker was told that we left. If we came back meanwhile, it can be asked again.
    fn left(&mut self) {
        if self.phase == Phase::Running && self.working.is_none() {
            self.walk_at = self.walk_at.min(self.earliest());
        }
    }

    /// When [`Announcer::handle_timeout`] is due: at once if it is [`Time::ZERO`], never if it is
    /// [`Time::MAX`].
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        let must_leave = |entry: &Entry| entry.knows_us && entry.in_flight.is_none();
        match self.phase {
            _ if !self.leaving.is_empty() => Time::ZERO,
            Phase::Stopped if self.trackers.values().any(must_leave) => Time::ZERO,
            Phase::Stopped => Time::MAX,
            Phase::Running if self.is_asking() || self.trackers.is_empty() => Time::MAX,
            Phase::Running => self.walk_at,
        }
    }

    /// Says what to do now. `totals` are those of the torrent ever, as at [`Announcer::start`].
    #[must_use]
    pub fn handle_timeout(&mut self, now: Time, totals: Totals) -> Vec<Action> {
        let mut actions: Vec<Action> = std::mem::take(&mut self.leaving)
            .into_iter()
            .map(|(key, entry)| self.announce(key, &entry, Event::Stopped, totals))
            .collect();
        match self.phase {
            Phase::Stopped => actions.extend(self.leave(now, totals)),
            Phase::Running => actions.extend(self.walk(now, totals)),
        }
        actions
    }

    /// Tells those that know us that we leave, and before that, who has not heard it, that we are
    /// complete: a download that ends with its last piece counts as one.
    fn leave(&mut self, now: Time, totals: Totals) -> Vec<Action> {
        let completed = self.completed;
        let last = |entry: &Entry| match entry.has_news(completed) {
            true => Event::Completed,
            false => Event::Stopped,
        };
        let told = |entry: &Entry| entry.knows_us && entry.in_flight.is_none();
        let told = self.trackers.iter().filter(|(_, entry)| told(entry));
        let events: Vec<_> = told.map(|(&key, entry)| (key, last(entry))).collect();
        events.into_iter().filter_map(|(key, event)| self.ask(now, key, event, totals)).collect()
    }

    /// Begins a walk, or goes on with it: asks the next tracker whose time has come.
    fn walk(&mut self, now: Time, totals: Totals) -> Option<Action> {
        if self.is_asking() || now < self.walk_at {
            return None;
        }
        if !self.walking {
            self.walking = true;
            self.trackers.values_mut().for_each(|entry| entry.tried = false);
        }
        let Some(key) = self.candidate(now) else {
            self.walking = false;
            self.walk_at = self.earliest();
            return None;
        };
        let event = self.trackers.get(&key)?.next_event(self.completed);
        self.ask(now, key, event, totals)
    }

    /// The next tracker of a walk. One that works and has not heard the news yet comes first: another
    /// could not tell it.
    fn candidate(&self, now: Time) -> Option<TrackerKey> {
        let ready = |key: &TrackerKey| {
            self.trackers.get(key).is_some_and(|entry| {
                !entry.tried && entry.in_flight.is_none() && self.allowed_at(entry) <= now
            })
        };
        let untold = |key: &TrackerKey| {
            self.trackers.get(key).is_some_and(|entry| entry.has_news(self.completed))
        };
        let working = self.working.map(|working| working.key);
        let told_first = working.filter(untold).filter(ready);
        told_first.or_else(|| self.tiers.walk().map(|(_, key)| key).find(ready))
    }

    fn ask(&mut self, now: Time, key: TrackerKey, event: Event, totals: Totals) -> Option<Action> {
        self.trackers.get_mut(&key)?.ask(now, event);
        let entry = self.trackers.get(&key)?;
        Some(self.announce(key, entry, event, totals))
    }

    fn announce(&self, key: TrackerKey, entry: &Entry, event: Event, totals: Totals) -> Action {
        let leaves = event == Event::Stopped || self.phase == Phase::Stopped;
        let wants_none = leaves || self.need == PeerNeed::None;
        let request = AnnounceRequest {
            identity: self.identity.clone(),
            totals: Totals {
                uploaded: totals.uploaded.saturating_sub(self.base.uploaded),
                downloaded: totals.downloaded.saturating_sub(self.base.downloaded),
                left: totals.left,
            },
            event,
            numwant: if wants_none { 0 } else { self.settings.numwant },
            tracker_id: entry.tracker_id.clone(),
        };
        Action::Announce { key, tracker: entry.url.clone(), request }
    }

    /// Whether an announce that is not `stopped` is under way.
    fn is_asking(&self) -> bool {
        let asks = |entry: &Entry| entry.in_flight.is_some_and(|event| event != Event::Stopped);
        self.trackers.values().any(asks)
    }

    fn allowed_at(&self, entry: &Entry) -> Time {
        entry.allowed_at(self.completed, self.settings.spacing)
    }

    /// When the first tracker may be asked.
    fn earliest(&self) -> Time {
        let idle = self.trackers.values().filter(|entry| entry.in_flight.is_none());
        idle.map(|entry| self.allowed_at(entry)).min().unwrap_or(Time::MAX)
    }

    /// Sets the time of the next walk anew, if a tracker works and no walk is under way.
    fn plan(&mut self) {
        let Some(working) = self.working.filter(|_| !self.walking) else { return };
        let Some(entry) = self.trackers.get(&working.key) else { return };
        let allowed = self.allowed_at(entry);
        let mut at = working.answered + working.interval.max(self.settings.spacing);
        if self.need == PeerNeed::Urgent {
            at = at.min((working.answered + URGENT_INTERVAL).max(allowed));
        }
        if working.wanted_now || entry.has_news(self.completed) {
            at = at.min(allowed);
        }
        self.walk_at = at;
    }

    /// What is shown of the trackers, in the order in which they are tried.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Snapshot> {
        let known = self.tiers.walk().filter_map(|(tier, key)| {
            let entry = self.trackers.get(&key)?;
            Some(Snapshot {
                url: entry.url.to_string(),
                tier,
                status: entry.status,
                message: entry.message.clone(),
                seeds: entry.seeds,
                leeches: entry.leeches,
                next_announce: self.next_announce(key, entry),
            })
        });
        known.collect()
    }

    fn next_announce(&self, key: TrackerKey, entry: &Entry) -> Option<Time> {
        let works = self.working.is_some_and(|working| working.key == key);
        let at = match entry.status {
            _ if self.phase == Phase::Stopped => None,
            Status::Idle | Status::Announcing => None,
            Status::Working => works.then_some(self.walk_at),
            Status::Failed => Some(self.walk_at.max(self.allowed_at(entry))),
        };
        at.filter(|&at| at < Time::MAX)
    }
}
