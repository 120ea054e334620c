//! A node's lease on itself: a machine.
//!
//! The node renews its row every [`Lease::RENEW_EVERY`]. What it owns it serves only before `safe_until`: the
//! moment at which the last renewal that succeeded was *sent*, and the lease's length less a margin. The
//! store's clock and the node's are never compared, only how fast they run. When the moment comes the node
//! freezes (no writes, announces or events); if no renewal succeeds within [`Lease::THAW_TIME`], it stops what it
//! owns. When its row says that this life is over it stops at once and begins another.

use std::time::Duration;

use bittorrent::Time;

/// The lease of a node.
#[derive(Debug, Clone)]
pub struct Lease {
    safe_until: Time,
    renew_at: Time,
    in_flight: Option<Time>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Safe,
    Frozen,
    Stopped,
    Over,
}

/// What the store answered to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The row was written.
    Renewed,
    /// No row of this life that is not dead: it is over.
    Refused,
    /// No answer, or none that says anything of the row.
    Failed,
}

/// What the node is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send a renewal, and tell what becomes of it by [`Lease::answered`].
    Renew,
    /// Write, announce and tell nothing; keep the peers.
    Freeze,
    /// Go on.
    Thaw,
    /// Stop everything that it owns: others may own it by now. It may go on after a renewal, with new claims.
    Stop,
    /// Stop everything, and begin a new life.
    Restart,
}

impl Lease {
    /// How long a row is good for.
    pub const LENGTH: Duration = Duration::from_secs(20);
    /// A renewal is sent so often.
    pub const RENEW_EVERY: Duration = Duration::from_secs(2);
    /// What a node keeps away from the end of its lease.
    pub const MARGIN: Duration = Duration::from_secs(2);
    /// A frozen node keeps its peers for so long.
    pub const THAW_TIME: Duration = Duration::from_secs(5);

    /// A lease whose first renewal, the start of this life, was sent at this moment and succeeded.
    #[must_use]
    pub fn begun(sent: Time) -> Self {
        Self {
            safe_until: safe_until(sent),
            renew_at: sent + Self::RENEW_EVERY,
            in_flight: None,
            state: State::Safe,
        }
    }

    /// Whether the node may act for what it owns now. To be asked before every batch of writes: the node may
    /// have slept since it was woken last.
    #[must_use]
    pub fn may_act(&self, now: Time) -> bool {
        self.state == State::Safe && now < self.safe_until
    }

    /// Until when the node may act, as far as the last renewal goes; the beginning of time once it may not.
    #[must_use]
    pub fn safe_until(&self) -> Time {
        if self.state == State::Safe { self.safe_until } else { Time::ZERO }
    }

    /// When something is due; never, once this life is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        let renew = if self.in_flight.is_some() { Time::MAX } else { self.renew_at };
        match self.state {
            State::Safe => renew.min(self.safe_until),
            State::Frozen => renew.min(self.safe_until + Self::THAW_TIME),
            State::Stopped => renew,
            State::Over => Time::MAX,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, steps: &mut Vec<Step>) {
        if self.state == State::Safe && now >= self.safe_until {
            self.state = State::Frozen;
            steps.push(Step::Freeze);
        }
        if self.state == State::Frozen && now >= self.safe_until + Self::THAW_TIME {
            self.state = State::Stopped;
            steps.push(Step::Stop);
        }
        if self.state != State::Over && self.in_flight.is_none() && now >= self.renew_at {
            self.in_flight = Some(now);
            steps.push(Step::Renew);
        }
    }

    /// Renews now rather than later; says whether a renewal is to be sent, as none is on its way.
    pub fn renew_early(&mut self, now: Time) -> bool {
        let renews = self.state != State::Over && self.in_flight.is_none();
        if renews {
            self.in_flight = Some(now);
        }
        renews
    }

    /// The renewal that was sent has come to this; an answer that nobody waits for says nothing.
    pub fn answered(&mut self, now: Time, answer: Answer, steps: &mut Vec<Step>) {
        let Some(sent) = self.in_flight.take() else { return };
        match answer {
            Answer::Renewed => {
                self.renew_at = sent + Self::RENEW_EVERY;
                self.safe_until = self.safe_until.max(safe_until(sent));
                if now >= self.safe_until {
                    // It came too late to be of use; the next one is due.
                    return;
                }
                if std::mem::replace(&mut self.state, State::Safe) == State::Frozen {
                    steps.push(Step::Thaw);
                }
            }
            Answer::Refused => {
                self.state = State::Over;
                steps.push(Step::Restart);
            }
            Answer::Failed => self.renew_at = now + Self::RENEW_EVERY,
        }
    }
}

fn safe_until(sent: Time) -> Time {
    sent + (Lease::LENGTH - Lease::MARGIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    fn due(lease: &mut Lease, now: Time) -> Vec<Step> {
        let mut steps = Vec::new();
        lease.handle_timeout(now, &mut steps);
        steps
    }

    fn answered(lease: &mut Lease, now: Time, answer: Answer) -> Vec<Step> {
        let mut steps = Vec::new();
        lease.answered(now, answer, &mut steps);
        steps
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent() {
        let mut lease = Lease::begun(at(100));
        assert_eq!(lease.poll_timeout(), at(102));
        assert_eq!(due(&mut lease, at(102)), [Step::Renew]);
        assert!(due(&mut lease, at(103)).is_empty(), "one at a time");
        assert!(answered(&mut lease, at(107), Answer::Renewed).is_empty());
        assert!(lease.may_act(at(119)) && !lease.may_act(at(120)));
        assert_eq!(lease.poll_timeout(), at(104));
    }

    #[test]
    fn who_cannot_renew_freezes_then_stops_and_goes_on_when_it_can() {
        let mut lease = Lease::begun(at(0));
        assert_eq!(due(&mut lease, at(2)), [Step::Renew]);
        assert!(answered(&mut lease, at(3), Answer::Failed).is_empty());
        assert_eq!(due(&mut lease, at(5)), [Step::Renew]);
        assert_eq!(due(&mut lease, at(18)), [Step::Freeze]);
        assert!(!lease.may_act(at(18)));
        assert_eq!(answered(&mut lease, at(19), Answer::Renewed), [Step::Thaw]);
        assert!(lease.may_act(at(22)) && !lease.may_act(at(23)));
        assert_eq!(due(&mut lease, at(23)), [Step::Freeze, Step::Renew]);
        assert_eq!(due(&mut lease, at(28)), [Step::Stop]);
        // What it owned it has let go; it lives on.
        assert!(answered(&mut lease, at(29), Answer::Renewed).is_empty());
        assert!(lease.may_act(at(30)));
    }

    #[test]
    fn a_refused_renewal_ends_this_life() {
        let mut lease = Lease::begun(at(0));
        due(&mut lease, at(2));
        assert_eq!(answered(&mut lease, at(2), Answer::Refused), [Step::Restart]);
        assert!(!lease.may_act(at(2)) && due(&mut lease, at(99)).is_empty());
        assert_eq!(lease.poll_timeout(), Time::MAX);
    }

    #[test]
    fn who_slept_does_not_act_before_it_was_woken() {
        let lease = Lease::begun(at(0));
        assert!(!lease.may_act(at(60)));
    }

    proptest! {
        /// Never acts later than the last renewal that succeeded allows, however it is woken and answered.
        #[test]
        fn acts_only_while_the_store_cannot_give_its_torrents_away(
            events in prop::collection::vec((0_u64..8_000, 0_u8..4), 1..200),
        ) {
            let mut now = Time::from_secs(1);
            let mut lease = Lease::begun(now);
            // Until when the store keeps the row, at least: from when it could have written it first.
            let mut kept_until = now + Lease::LENGTH;
            let mut sent = None;
            for (wait_ms, what) in events {
                now += Duration::from_millis(wait_ms);
                let mut steps = Vec::new();
                if what == 0 {
                    lease.handle_timeout(now, &mut steps);
                } else if let Some(at) = sent.take() {
                    let answer = if what == 1 { Answer::Failed } else { Answer::Renewed };
                    if answer == Answer::Renewed {
                        kept_until = at + Lease::LENGTH;
                    }
                    lease.answered(now, answer, &mut steps);
                }
                if steps.contains(&Step::Renew) {
                    prop_assert!(sent.is_none(), "two renewals at once");
                    sent = Some(now);
                }
                prop_assert!(!lease.may_act(now) || now + Lease::MARGIN <= kept_until);
            }
        }
    }
}
