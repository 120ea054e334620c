//! How many blocks may be requested of a peer at once.
//!
//! [`Window`] follows the bandwidth-delay product of the path: the greatest delivery rate of late times
//! the least round-trip time of late. It starts as TCP does, by one more for every block delivered, until
//! the rate stops growing, and then keeps twice the product outstanding, so that
//! - the path stays full while answers and new requests cross (once the product, by Little's law),
//! - and a path that got faster is found out: with a gain of two the rate can double each round trip.
//!
//! A rate is sampled once a round, from one marked request: the bytes delivered from its sending to its
//! arrival, over the longer of the time that they took to arrive and the time over which they were
//! requested. The second keeps a burst that was read late from counting as speed. Samples that the
//! owner, not the path, kept low can raise the estimate but not lower it. (BBR takes its samples so:
//! Cardwell et al. 2016, and the IETF's delivery rate estimation draft.)
//!
//! A full window makes a queue at the peer, and the queue is part of every round trip that is measured.
//! So every [`RTT_WINDOW`] the window shrinks to a little less than the product, for as long as the
//! queue needs to drain, to see the path's own round trip.

use std::time::Duration;

use crate::{BLOCK_LEN, Time};

/// Blocks at the start and after an unchoke: 128 KiB, seven round trips from 1,000 blocks.
const START_BLOCKS: u32 = 8;
/// Blocks that a served peer is always asked for, so that a slow one never runs dry.
const MIN_BLOCKS: u32 = 4;
/// Round trips without growth after which the start is over.
const FLAT_ROUNDS: u8 = 2;
/// How long the greatest rate is remembered, at least (twice this at most).
const RATE_WINDOW: Duration = Duration::from_secs(2);
/// How long the least round-trip time is remembered, at least (twice this at most).
const RTT_WINDOW: Duration = Duration::from_secs(10);
/// The longest time for which the window is kept small to measure the round trip.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// Added to two round trips: what two event loops that work in batches of 256 KiB wait for each other.
/// At 1 GiB/s on loopback it makes 4 MiB, at 1 MB/s a quarter of a block.
const SLACK: Duration = Duration::from_millis(4);
/// A peer may serve in pulses (timers of 250 and 500 ms are in use): as much as it delivers in this
/// time may wait at it whatever the round trip,
const PULSE: Duration = Duration::from_secs(1);
/// but not more than this, in bytes.
const PULSE_BYTES_MAX: u64 = 1 << 20;
/// A request that nothing is known about is given up when nothing came for this time.
const PATIENCE_UNKNOWN: Duration = Duration::from_secs(30);
/// The least time without a block after which requests are given up (disks take 5–8 s to spin up),
const PATIENCE_MIN: Duration = Duration::from_secs(10);
/// and the most.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// The window and what it is computed from.
#[derive(Debug, Clone)]
pub(super) struct Window {
    blocks: u32,
    cap: u32,
    phase: Phase,
    /// Bytes delivered so far.
    delivered: u64,
    /// When the last block came.
    delivered_at: Time,
    /// When the request for the last block was sent.
    delivered_sent_at: Time,
    mark: Option<Mark>,
    /// Greatest rates in bytes/s: of the current and the previous [`RATE_WINDOW`].
    rate: [u64; 2],
    rate_since: Time,
    /// Least round trips: of the current and the previous [`RTT_WINDOW`].
    rtt: [Option<Duration>; 2],
    rtt_since: Time,
    /// The last round trip, with the queue at the peer in it.
    last_rtt: Option<Duration>,
    probe_until: Time,
    /// Whether the owner left a good part of the window unused.
    underused: bool,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Grows by one for each block, until `flat_rounds` samples did not beat `best` by a quarter.
    Start { best: u64, flat_rounds: u8 },
    /// Follows the estimates.
    Steady,
    /// The peer let requests wait too long: one at a time until it delivers.
    Stalled,
}

/// The state when the marked request was sent.
#[derive(Debug, Clone, Copy)]
struct Mark {
    sent_at: Time,
    delivered: u64,
    delivered_at: Time,
    delivered_sent_at: Time,
    underused: bool,
}

impl Window {
    /// A window that never exceeds `cap` blocks.
    pub(super) fn new(cap: u32, now: Time) -> Self {
        Self {
            blocks: START_BLOCKS.min(cap.max(1)),
            cap: cap.max(1),
            phase: Phase::Start { best: 0, flat_rounds: 0 },
            delivered: 0,
            delivered_at: now,
            delivered_sent_at: now,
            mark: None,
            rate: [0; 2],
            rate_since: now,
            rtt: [None; 2],
            rtt_since: now,
            last_rtt: None,
            probe_until: Time::ZERO,
            underused: false,
        }
    }

    /// The window, in blocks.
    pub(super) const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The least round-trip time of late.
    pub(super) fn min_rtt(&self) -> Option<Duration> {
        let [current, previous] = self.rtt;
        current.into_iter().chain(previous).min()
    }

    /// The greatest delivery rate of late, in bytes/s.
    pub(super) fn rate(&self) -> u64 {
        let [current, previous] = self.rate;
        current.max(previous)
    }

    /// How long no block may come before all requests are given up.
    pub(super) fn patience(&self) -> Duration {
        match self.last_rtt {
            None => PATIENCE_UNKNOWN,
            Some(rtt) => (PATIENCE_MIN + rtt * 4).min(PATIENCE_MAX),
        }
    }

    /// Changes the bound (the peer said how many requests it takes).
    pub(super) fn set_cap(&mut self, cap: u32) {
        self.cap = cap.max(1);
        self.blocks = self.blocks.min(self.cap);
    }

    /// Begins anew: the peer serves us again, maybe at another rate.
    pub(super) fn restart(&mut self, now: Time) {
        *self = Self { delivered: self.delivered, ..Self::new(self.cap, now) };
    }

    /// One request at a time until a block comes.
    pub(super) fn stall(&mut self, now: Time) {
        self.restart(now);
        self.phase = Phase::Stalled;
        self.blocks = 1;
    }

    pub(super) const fn is_stalled(&self) -> bool {
        matches!(self.phase, Phase::Stalled)
    }

    /// Requests were sent; `before` and `after` of them wait now. Says whether the newest is to be
    /// marked for a sample.
    #[must_use]
    pub(super) fn on_requested(&mut self, now: Time, before: usize, after: usize) -> bool {
        if before == 0 {
            // The pipe ran dry: time without requests is not the path's.
            self.delivered_at = now;
            self.delivered_sent_at = now;
        }
        self.underused = after < self.blocks as usize * 3 / 4;
        if self.mark.is_some() {
            return false;
        }
        self.mark = Some(Mark {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            delivered_sent_at: self.delivered_sent_at,
            underused: self.underused,
        });
        true
    }

    /// The marked request will not be answered.
    pub(super) fn on_mark_lost(&mut self) {
        self.mark = None;
    }

    /// A block of `bytes` came for a request of `sent_at`.
    pub(super) fn on_delivered(&mut self, now: Time, sent_at: Time, bytes: u32, marked: bool) {
        if self.is_stalled() {
            self.restart(now);
        }
        self.delivered += u64::from(bytes);
        self.delivered_at = now;
        self.delivered_sent_at = self.delivered_sent_at.max(sent_at);
        self.on_round_trip(now, now.since(sent_at));
        if let Phase::Start { flat_rounds: 0, .. } = self.phase
            && !self.underused
        {
            self.blocks = (self.blocks + 1).min(self.cap);
        }
        if marked && let Some(mark) = self.mark.take() {
            self.on_sample(now, mark);
        }
    }

    fn on_round_trip(&mut self, now: Time, rtt: Duration) {
        if now.since(self.rtt_since) >= RTT_WINDOW {
            self.rtt = [None, self.rtt[0]];
            self.rtt_since = now;
            let known = self.min_rtt().unwrap_or(rtt);
            self.probe_until = now + (rtt + known * 2).min(PROBE_MAX);
            self.blocks = self.blocks.min(self.target(now));
        }
        if self.rtt[0].is_none_or(|least| rtt < least) {
            self.rtt[0] = Some(rtt);
        }
        self.last_rtt = Some(rtt);
    }

    fn on_sample(&mut self, now: Time, mark: Mark) {
        let arriving = now.since(mark.delivered_at);
        let requesting = mark.sent_at.since(mark.delivered_sent_at);
        let nanos = arriving.max(requesting).as_nanos().max(1);
        let bytes = u128::from(self.delivered - mark.delivered);
        let rate = u64::try_from(bytes * 1_000_000_000 / nanos).unwrap_or(u64::MAX);
        self.on_rate(now, rate, mark.underused);
        match &mut self.phase {
            Phase::Start { best, flat_rounds } => {
                if rate >= *best + *best / 4 {
                    (*best, *flat_rounds) = (rate, 0);
                } else if !mark.underused {
                    *flat_rounds += 1;
                    if *flat_rounds >= FLAT_ROUNDS {
                        self.phase = Phase::Steady;
                    }
                }
            }
            Phase::Steady => self.follow(now),
            Phase::Stalled => {}
        }
    }

    fn on_rate(&mut self, now: Time, rate: u64, underused: bool) {
        if underused && rate <= self.rate() {
            return;
        }
        if now.since(self.rate_since) >= RATE_WINDOW {
            self.rate = [0, self.rate[0]];
            self.rate_since = now;
        }
        self.rate[0] = self.rate[0].max(rate);
    }

    /// Moves to the target, but stays where it would shrink by less than an eighth.
    fn follow(&mut self, now: Time) {
        let target = self.target(now);
        if target > self.blocks || target < self.blocks - self.blocks / 8 {
            self.blocks = target;
        }
    }

    fn target(&self, now: Time) -> u32 {
        let Some(rtt) = self.min_rtt() else { return self.blocks };
        let bytes = if now < self.probe_until {
            bytes_in(self.rate(), rtt) / 10 * 9
        } else {
            let pulse = bytes_in(self.rate(), PULSE).min(PULSE_BYTES_MAX);
            bytes_in(self.rate(), rtt * 2 + SLACK).max(pulse)
        };
        let blocks = u32::try_from(bytes.div_ceil(u64::from(BLOCK_LEN))).unwrap_or(u32::MAX);
        blocks.max(MIN_BLOCKS).min(self.cap)
    }
}

/// What flows at `rate` bytes/s in `time`.
fn bytes_in(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A peer behind a link: serves what it is asked for in order, at a rate, in pulses.
    struct Link {
        bytes_per_s: u64,
        rtt: Duration,
        /// Serves only at multiples of this; zero: at once.
        pulse: Duration,
        /// The window is refilled when this many blocks are free (or all).
        lump: usize,
        /// Requests that the owner lets wait at most.
        budget: usize,
    }

    impl Link {
        fn new(bytes_per_s: u64, rtt_us: u64) -> Self {
            let rtt = Duration::from_micros(rtt_us);
            Self { bytes_per_s, rtt, pulse: Duration::ZERO, lump: 1, budget: usize::MAX }
        }

        /// Runs it for `seconds`. Gives the part of the link used in the last half, in percent, the
        /// greatest window, and the greatest in the last half.
        fn run(&self, window: &mut Window, from: Time, seconds: u64) -> (u64, u32, u32) {
            let block =
                Duration::from_nanos(u64::from(BLOCK_LEN) * 1_000_000_000 / self.bytes_per_s);
            let mut waiting: VecDeque<(Time, Time, bool)> = VecDeque::new();
            let (end, middle) =
                (from + Duration::from_secs(seconds), from + Duration::from_millis(seconds * 500));
            let (mut now, mut link_free) = (from, from);
            let (mut bytes, mut peak, mut late_peak) = (0u64, 0, 0);
            while now < end {
                let allowed = (window.blocks() as usize).min(self.budget);
                if waiting.is_empty() || waiting.len() + self.lump <= allowed {
                    let before = waiting.len();
                    for _ in before..allowed {
                        let mut ready = now + self.rtt;
                        if !self.pulse.is_zero() {
                            let pulse = u64::try_from(self.pulse.as_nanos()).unwrap();
                            ready = Time::from_nanos(ready.as_nanos().div_ceil(pulse) * pulse);
                        }
                        link_free = link_free.max(ready) + block;
                        waiting.push_back((now, link_free, false));
                    }
                    let marked = window.on_requested(now, before, waiting.len());
                    waiting.back_mut().unwrap().2 = marked;
                }
                let (sent_at, arrives, marked) = waiting.pop_front().unwrap();
                now = arrives;
                window.on_delivered(now, sent_at, BLOCK_LEN, marked);
                peak = peak.max(window.blocks());
                if now >= middle {
                    bytes += u64::from(BLOCK_LEN);
                    late_peak = late_peak.max(window.blocks());
                }
            }
            let possible = bytes_in(self.bytes_per_s, end.since(middle));
            (bytes * 100 / possible, peak, late_peak)
        }
    }

    fn run(link: &Link, seconds: u64) -> (u64, u32, u32) {
        link.run(&mut Window::new(2_000, Time::ZERO), Time::ZERO, seconds)
    }

    #[test]
    fn a_gigabit_over_100_ms_is_filled_within_seconds() {
        let link = Link::new(125_000_000, 100_000);
        let (used, ..) = run(&link, 4);
        assert!(used >= 97, "{used} % of the link");
        let (used, _, peak) = run(&link, 120);
        assert!(used >= 97, "{used} % of the link over minutes");
        // Twice 763 blocks and the slack; the queue that it makes never counts as distance.
        assert!(peak <= 1_700, "{peak} blocks");
        let (used, ..) = run(&Link { lump: 64, ..link }, 30);
        assert!(used >= 97, "{used} % of the link when refilled in lumps");
    }

    #[test]
    fn all_kinds_of_paths_are_filled() {
        for (rate, rtt_us) in [
            (10_000, 50_000),
            (100_000, 300_000),
            (1_000_000, 20_000),
            (12_500_000, 1_000),
            (12_500_000, 600_000),
            (125_000_000, 10_000),
            (1_250_000_000, 1_000),
        ] {
            let (used, peak, _) = run(&Link::new(rate, rtt_us), 60);
            assert!(used >= 95, "{used} % of {rate} B/s at {rtt_us} us, up to {peak} blocks");
        }
    }

    #[test]
    fn loopback_takes_few_blocks() {
        let (used, peak, late) = run(&Link::new(1_250_000_000, 50), 3);
        assert!(used >= 97, "{used} %");
        assert!(peak <= 600 && late <= 400, "{peak} blocks at first, {late} later");
    }

    #[test]
    fn a_slow_peer_gets_a_second_of_requests() {
        let (used, _, late) = run(&Link::new(160_000, 30_000), 60);
        assert!(used >= 97, "{used} %");
        assert!(late <= 16, "{late} blocks");
    }

    #[test]
    fn a_peer_that_serves_in_pulses_is_kept_busy() {
        for rate in [200_000, 1_000_000, 5_000_000, 20_000_000] {
            let link = Link { pulse: Duration::from_millis(500), ..Link::new(rate, 20_000) };
            let (used, peak, _) = run(&link, 120);
            assert!(used >= 90, "{used} % of {rate} B/s, up to {peak} blocks");
        }
    }

    #[test]
    fn a_link_that_gets_faster_or_slower_is_followed() {
        let mut window = Window::new(2_000, Time::ZERO);
        let (slow, fast) = (Link::new(2_000_000, 50_000), Link::new(100_000_000, 50_000));
        slow.run(&mut window, Time::ZERO, 30);
        let before = window.blocks();
        window.mark = None;
        let (used, ..) = fast.run(&mut window, Time::from_secs(40), 10);
        assert!(used >= 95, "{used} % of the faster link");
        window.mark = None;
        slow.run(&mut window, Time::from_secs(60), 30);
        assert!(window.blocks() <= before * 2, "{} blocks, before {before}", window.blocks());
    }

    #[test]
    fn an_owner_without_credit_does_not_make_the_path_look_slow() {
        let mut window = Window::new(2_000, Time::ZERO);
        let link = Link::new(50_000_000, 50_000);
        link.run(&mut window, Time::ZERO, 10);
        let rate = window.rate();
        window.mark = None;
        Link { budget: 10, ..link }.run(&mut window, Time::from_secs(20), 30);
        assert_eq!(window.rate(), rate);
    }

    #[test]
    fn a_stalled_peer_gets_one_request_until_it_delivers() {
        let mut window = Window::new(2_000, Time::ZERO);
        Link::new(1_000_000, 10_000).run(&mut window, Time::ZERO, 5);
        window.stall(Time::from_secs(20));
        assert_eq!(window.blocks(), 1);
        window.on_delivered(Time::from_secs(30), Time::from_secs(20), BLOCK_LEN, false);
        assert!(window.blocks() >= START_BLOCKS);
    }

    #[test]
    fn patience_grows_with_the_round_trip_within_bounds() {
        let mut window = Window::new(2_000, Time::ZERO);
        assert_eq!(window.patience(), PATIENCE_UNKNOWN);
        window.on_delivered(Time::from_millis(100), Time::ZERO, BLOCK_LEN, false);
        assert_eq!(window.patience(), Duration::from_millis(10_400));
        window.on_delivered(Time::from_secs(90), Time::ZERO, BLOCK_LEN, false);
        assert_eq!(window.patience(), PATIENCE_MAX);
    }
}
