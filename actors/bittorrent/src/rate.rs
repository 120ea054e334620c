//! Rates and token buckets.
//!
//! [`RateMeter`] tells how fast bytes flowed lately; [`TokenBucket`] says how many may flow now. Both
//! compute from the [`Time`] that they are given, so neither needs a tick, and neither uses anything
//! but integers, so every host computes the same.

use std::time::Duration;

use crate::Time;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// What a meter looks back on, at least; twice this at most.
const METER_WINDOW: Duration = Duration::from_secs(4);
/// A meter that is younger than this divides by this, so that its first block is no gigabyte a second.
const METER_MIN_SPAN: Duration = Duration::from_secs(1);

/// A rate in bytes a second over the last four seconds or so, and the total.
///
/// Two adjacent windows are counted; the older one fades out as the newer one fills. It takes 40 bytes
/// and constant time.
///
/// ```
/// use bittorrent::{Time, rate::RateMeter};
///
/// let mut meter = RateMeter::new(Time::ZERO);
/// for second in 0..20 {
///     meter.add(Time::from_secs(second), 1_000);
/// }
/// assert_eq!(meter.rate(Time::from_secs(20)), 1_000);
/// assert_eq!(meter.rate(Time::from_secs(60)), 0);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RateMeter {
    /// When the newer window began.
    since: Time,
    /// Bytes in the window before.
    previous: u64,
    /// Bytes in the newer window.
    current: u64,
    total: u64,
    born: Time,
}

impl RateMeter {
    /// Makes a meter that has seen nothing.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { since: now, previous: 0, current: 0, total: 0, born: now }
    }

    /// Counts `bytes` that flowed at `now`.
    pub fn add(&mut self, now: Time, bytes: u64) {
        (self.previous, self.current, self.since) = self.at(now);
        self.current = self.current.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
    }

    /// The rate in bytes a second.
    #[must_use]
    pub fn rate(&self, now: Time) -> u64 {
        let (previous, current, since) = self.at(now);
        let window = nanos(METER_WINDOW);
        let into = now.since(since);
        let fading = previous.saturating_mul(window.saturating_sub(nanos(into))) / window;
        let bytes = fading.saturating_add(current);
        // A young meter has no older window to lean on.
        let span = METER_WINDOW.min(now.since(self.born)).max(METER_MIN_SPAN);
        let rate = u128::from(bytes) * u128::from(SECOND) / u128::from(nanos(span));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// All bytes that were counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Both windows, and the begin of the newer one, as seen at `now`.
    fn at(&self, now: Time) -> (u64, u64, Time) {
        match now.since(self.since).as_nanos() / METER_WINDOW.as_nanos() {
            0 => (self.previous, self.current, self.since),
            1 => (self.current, 0, self.since + METER_WINDOW),
            _ => (0, 0, now),
        }
    }
}

/// An allowance that fills at a constant rate up to a bound.
///
/// Exact: no part of a token is lost however often it is asked.
///
/// ```
/// use bittorrent::{Time, rate::TokenBucket};
///
/// let mut bucket = TokenBucket::new(1_000, 500, Time::ZERO);
/// assert!(bucket.take(Time::ZERO, 500));
/// assert!(!bucket.take(Time::ZERO, 100));
/// assert_eq!(bucket.ready_at(Time::ZERO, 100), Time::from_millis(100));
/// assert!(bucket.take(Time::from_millis(100), 100));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    rate_bytes_per_s: u64,
    burst: u64,
    /// Tokens in the bucket at `at`; below zero after [`TokenBucket::overdraw`].
    level: i64,
    /// Part of the next token, in 1/[`SECOND`] of it.
    part: u64,
    at: Time,
}

impl TokenBucket {
    /// Makes a full bucket. A rate of zero never fills it again; `burst` is in bytes and counts up to
    /// `i64::MAX`.
    #[must_use]
    pub fn new(rate_bytes_per_s: u64, burst: u64, now: Time) -> Self {
        let level = i64::try_from(burst).unwrap_or(i64::MAX);
        Self { rate_bytes_per_s, burst: level.unsigned_abs(), level, part: 0, at: now }
    }

    /// Changes the rate from `now` on. What is in the bucket stays, up to the new `burst`.
    pub fn set_rate(&mut self, now: Time, rate_bytes_per_s: u64, burst: u64) {
        self.refill(now);
        let fresh = Self::new(rate_bytes_per_s, burst, now);
        *self = Self { level: self.level.min(fresh.level), part: 0, ..fresh };
    }

    /// The rate at which it fills, in bytes a second.
    #[must_use]
    pub const fn rate_bytes_per_s(&self) -> u64 {
        self.rate_bytes_per_s
    }

    /// Tokens that may be taken at `now`.
    #[must_use]
    pub fn available(&self, now: Time) -> u64 {
        u64::try_from(self.filled(now).0).unwrap_or(0)
    }

    /// Takes `count` tokens if there are so many, else none. Says whether it took them.
    #[must_use]
    pub fn take(&mut self, now: Time, count: u64) -> bool {
        self.refill(now);
        match i64::try_from(count) {
            Ok(count) if count <= self.level => {
                self.level -= count;
                true
            }
            _ => false,
        }
    }

    /// Takes `count` tokens, also if there are fewer: for bytes that have flowed already.
    pub fn overdraw(&mut self, now: Time, count: u64) {
        self.refill(now);
        self.level = self.level.saturating_sub(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Puts `count` tokens in, up to the bound.
    pub fn give(&mut self, now: Time, count: u64) {
        self.refill(now);
        let burst = i64::try_from(self.burst).unwrap_or(i64::MAX);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(count).min(burst);
    }

    /// The earliest moment at which `count` tokens are there, or a full bucket if it holds fewer;
    /// [`Time::MAX`] if that never comes.
    #[must_use]
    pub fn ready_at(&self, now: Time, count: u64) -> Time {
        let (level, part) = self.filled(now);
        let goal = i128::from(count.min(self.burst));
        let missing = (goal - i128::from(level)) * i128::from(SECOND) - i128::from(part);
        let Ok(missing) = u128::try_from(missing) else { return now };
        if missing == 0 {
            return now;
        }
        if self.rate_bytes_per_s == 0 {
            return Time::MAX;
        }
        let wait = missing.div_ceil(u128::from(self.rate_bytes_per_s));
        now.max(self.at) + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    fn refill(&mut self, now: Time) {
        (self.level, self.part) = self.filled(now);
        self.at = self.at.max(now);
    }

    /// Whole tokens and the part of the next one at `now`.
    fn filled(&self, now: Time) -> (i64, u64) {
        let grown = u128::from(nanos(now.since(self.at))) * u128::from(self.rate_bytes_per_s)
            + u128::from(self.part);
        let room = i128::from(self.burst) - i128::from(self.level);
        let whole = i128::try_from(grown / u128::from(SECOND)).unwrap_or(i128::MAX);
        if whole >= room {
            return (i64::try_from(self.burst).unwrap_or(i64::MAX), 0);
        }
        let level = i128::from(self.level) + whole;
        let part = u64::try_from(grown % u128::from(SECOND)).unwrap_or(0);
        (i64::try_from(level).unwrap_or(i64::MAX), part)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rate after `bytes` every `every_ms` from 0 to `until_ms`.
    fn steady(bytes: u64, every_ms: u64, until_ms: u64) -> u64 {
        let mut meter = RateMeter::new(Time::ZERO);
        for at in (0..until_ms).step_by(usize::try_from(every_ms).unwrap()) {
            meter.add(Time::from_millis(at), bytes);
        }
        meter.rate(Time::from_millis(until_ms))
    }

    #[test]
    fn a_steady_flow_is_measured_right() {
        assert_eq!(steady(16_384, 10, 10_000), 1_638_400);
        assert_eq!(steady(16_384, 100, 30_000), 163_840);
        // Young: four hundred milliseconds of 1 MB/s are 0.4 MB in the least span of a second.
        assert_eq!(steady(10_000, 10, 400), 400_000);
        assert_eq!(steady(10_000, 10, 2_000), 1_000_000);
    }

    #[test]
    fn a_flow_that_ends_fades_out_within_two_windows() {
        let mut meter = RateMeter::new(Time::ZERO);
        for second in 0..10 {
            meter.add(Time::from_secs(second), 1_000);
        }
        let rates: Vec<u64> = (10..18).map(|at| meter.rate(Time::from_secs(at))).collect();
        assert!(rates.is_sorted_by(|a, b| a >= b), "{rates:?}");
        assert_eq!(rates.last(), Some(&0));
        assert_eq!(meter.total(), 10_000);
    }

    #[test]
    fn time_that_goes_back_changes_nothing() {
        let mut bucket = TokenBucket::new(10, 10, Time::from_secs(5));
        assert!(bucket.take(Time::from_secs(5), 10));
        assert_eq!(bucket.available(Time::from_secs(1)), 0);
        assert_eq!(bucket.ready_at(Time::from_secs(1), 10), Time::from_secs(6));
        let mut meter = RateMeter::new(Time::from_secs(5));
        meter.add(Time::from_secs(1), 7);
        assert_eq!(meter.rate(Time::from_secs(5)), 7);
    }

    #[test]
    fn gifts_fill_it_and_do_not_overflow() {
        let mut bucket = TokenBucket::new(0, 100, Time::ZERO);
        assert!(bucket.take(Time::ZERO, 100));
        bucket.give(Time::ZERO, 30);
        assert_eq!(bucket.available(Time::ZERO), 30);
        bucket.give(Time::ZERO, u64::MAX);
        assert_eq!(bucket.available(Time::ZERO), 100);
    }

    #[test]
    fn debts_are_paid_before_anything_is_given() {
        let mut bucket = TokenBucket::new(100, 100, Time::ZERO);
        bucket.overdraw(Time::ZERO, 300);
        assert_eq!(bucket.available(Time::from_secs(2)), 0);
        assert_eq!(bucket.ready_at(Time::ZERO, 1), Time::from_millis(2_010));
        assert_eq!(bucket.available(Time::from_secs(3)), 100);
    }

    #[test]
    fn more_than_the_burst_is_ready_when_full_and_zero_never() {
        let mut bucket = TokenBucket::new(100, 100, Time::ZERO);
        assert!(!bucket.take(Time::ZERO, 101));
        assert_eq!(bucket.ready_at(Time::ZERO, 5_000), Time::ZERO);
        bucket.set_rate(Time::ZERO, 0, 50);
        assert_eq!(bucket.available(Time::from_secs(9)), 50);
        assert!(bucket.take(Time::ZERO, 50));
        assert_eq!(bucket.ready_at(Time::ZERO, 1), Time::MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// However the time is cut, what was given is at most the burst and what flowed in since, and
        /// at least that less what overflowed.
        #[test]
        fn gives_exactly_its_rate(
            rate in 1u64..4_000_000_000,
            steps in prop::collection::vec((1u64..50_000_000, 1u64..40_000), 1..200),
        ) {
            let mut bucket = TokenBucket::new(rate, 1 << 40, Time::ZERO);
            assert!(bucket.take(Time::ZERO, 1 << 40));
            let (mut now, mut given) = (Time::ZERO, 0u128);
            for (step, want) in steps {
                now += Duration::from_nanos(step);
                if bucket.take(now, want) {
                    given += u128::from(want);
                }
            }
            given += u128::from(bucket.available(now));
            let grown = u128::from(rate) * u128::from(now.as_nanos()) / u128::from(SECOND);
            prop_assert_eq!(given, grown);
        }

        #[test]
        fn is_ready_at_the_moment_it_says_and_not_before(
            rate in 1u64..u64::MAX, burst in 1u64..u64::MAX, debt in 0u64..u64::MAX, want in 1u64..u64::MAX,
        ) {
            let mut bucket = TokenBucket::new(rate, burst, Time::ZERO);
            bucket.overdraw(Time::ZERO, debt);
            let ready = bucket.ready_at(Time::ZERO, want);
            let goal = want.min(burst).min(i64::MAX.unsigned_abs());
            if ready < Time::MAX {
                prop_assert!(bucket.available(ready) >= goal);
            }
            if ready > Time::ZERO {
                prop_assert!(bucket.available(ready - Duration::from_nanos(1)) < goal);
            }
        }
    }
}
