//! One tracker of a torrent as the announcer knows it (BEP 3, 31).

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;

use super::announce::{AnnounceResponse, Event, Failure, Retry};
use super::url::TrackerUrl;
use crate::Time;

/// Time after the first failure; it doubles with each failure in a row.
const BACK_OFF_FIRST: Duration = Duration::from_secs(5);
/// The longest time after a failure.
const BACK_OFF_MAX: Duration = Duration::from_secs(30 * 60);
/// The least interval of a tracker that names none, unless its interval is shorter.
const MIN_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// How a tracker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not asked yet, or left.
    Idle,
    /// Being asked.
    Announcing,
    /// The last answer was good.
    Working,
    /// The last announce failed.
    Failed,
}

/// What is shown of a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its address without secrets.
    pub url: String,
    /// Tier, from 0.
    pub tier: u32,
    /// How it is doing.
    pub status: Status,
    /// The last failure or warning.
    pub message: Option<String>,
    /// Peers that have everything, as it says.
    pub seeds: Option<u32>,
    /// Peers that have not, as it says.
    pub leeches: Option<u32>,
    /// When it is asked next, as far as that is known.
    pub next_announce: Option<Time>,
}

/// A tracker and what is between it and us.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) url: TrackerUrl,
    pub(super) status: Status,
    pub(super) message: Option<String>,
    pub(super) seeds: Option<u32>,
    pub(super) leeches: Option<u32>,
    pub(super) tracker_id: Option<Vec<u8>>,
    /// The event of the announce that has no answer yet.
    pub(super) in_flight: Option<Event>,
    /// It took our `started` and no `stopped` was sent since.
    pub(super) knows_us: bool,
    /// It took our `completed`.
    pub(super) completed_sent: bool,
    /// Tried in the walk through the tiers that is going on.
    pub(super) tried: bool,
    /// Not asked before this: its least interval, or the back-off.
    pub(super) not_before: Time,
    /// When it was asked last.
    asked: Option<Time>,
    /// Failures in a row.
    failures: u32,
}

impl Entry {
    pub(super) const fn new(url: TrackerUrl) -> Self {
        Self {
            url,
            status: Status::Idle,
            message: None,
            seeds: None,
            leeches: None,
            tracker_id: None,
            in_flight: None,
            knows_us: false,
            completed_sent: false,
            tried: false,
            not_before: Time::ZERO,
            asked: None,
            failures: 0,
        }
    }

    /// Whether there is news that does not wait for the least interval.
    pub(super) const fn has_news(&self, completed: bool) -> bool {
        completed && self.knows_us && !self.completed_sent
    }

    /// The event of the next announce. `completed` says that the last piece came in this run.
    pub(super) const fn next_event(&self, completed: bool) -> Event {
        if !self.knows_us {
            Event::Started
        } else if self.has_news(completed) {
            Event::Completed
        } else {
            Event::None
        }
    }

    /// When it may be asked, `spacing` being the least time between two announces.
    pub(super) fn allowed_at(&self, completed: bool, spacing: Duration) -> Time {
        let spaced = self.asked.map_or(Time::ZERO, |asked| asked + spacing);
        if self.has_news(completed) && self.failures == 0 {
            spaced
        } else {
            spaced.max(self.not_before)
        }
    }

    /// An announce is under way.
    pub(super) const fn ask(&mut self, now: Time, event: Event) {
        self.in_flight = Some(event);
        self.asked = Some(now);
        self.tried = true;
        self.status = Status::Announcing;
    }

    /// It answered the announce of `event`.
    pub(super) fn answered(&mut self, now: Time, event: Event, response: &AnnounceResponse) {
        self.failures = 0;
        self.message.clone_from(&response.warning);
        self.seeds = response.seeds.or(self.seeds);
        self.leeches = response.leeches.or(self.leeches);
        if response.tracker_id.is_some() {
            self.tracker_id.clone_from(&response.tracker_id);
        }
        match event {
            Event::Started => self.knows_us = true,
            Event::Completed => self.completed_sent = true,
            Event::None => {}
            Event::Stopped => return self.left(),
        }
        self.status = Status::Working;
        let least = MIN_INTERVAL_DEFAULT.min(response.interval);
        self.not_before = now + response.min_interval.unwrap_or(least);
    }

    /// The announce of `event` failed.
    pub(super) fn failed(
        &mut self,
        now: Time,
        event: Event,
        failure: &Failure,
        rng: &mut SmallRng,
    ) {
        if event == Event::Stopped {
            // It is not repeated: the tracker forgets us by itself.
            return self.left();
        }
        self.status = Status::Failed;
        self.message = Some(failure.message().to_owned());
        let back_off = BACK_OFF_FIRST.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.not_before = match failure.retry() {
            Retry::BackOff => now + jittered(back_off.min(BACK_OFF_MAX), rng),
            Retry::After(time) => now + time,
            Retry::Never => Time::MAX,
        };
    }

    /// We are in its swarm no longer.
    const fn left(&mut self) {
        self.knows_us = false;
        self.status = Status::Idle;
        self.not_before = Time::ZERO;
    }

    /// A user wants to hear of it now: its back-off begins anew, and `never` is asked once more.
    pub(super) fn retry_now(&mut self) {
        if self.failures > 0 {
            self.failures = 1;
            self.not_before = self.asked.map_or(Time::ZERO, |asked| asked + BACK_OFF_FIRST);
        }
    }
}

/// A part of `time` that is drawn between three quarters and all of it, so that those who failed
/// together do not come back together.
fn jittered(time: Duration, rng: &mut SmallRng) -> Duration {
    time.mul_f64(rng.random_range(0.75..=1.0))
}
