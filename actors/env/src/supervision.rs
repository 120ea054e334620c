//! Restarting children: how often, after how long, and when to give up.
//!
//! [`Supervisor`] is a machine: the actor that owns it tells it who was started and who ended, and it
//! says what to do ([`Verdict`]). The actor starts children again itself, after a timer of
//! [`crate::NodeEnv`]. ractor's own supervision tells of ends but has no strategies; the published
//! helper for it needs process-global names, which two nodes of one simulation would share.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bittorrent::Time;
use ractor::ActorId;
use rand::Rng;

/// When a child that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// When it failed.
    Transient,
    /// Never.
    Temporary,
}

/// How a child is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When.
    pub restart: Restart,
    /// Restarts within `window` before the supervisor gives up.
    pub restarts_max: usize,
    /// The time over which restarts are counted.
    pub window: Duration,
    /// The first delay; it doubles with each restart in the window. Zero restarts at once.
    pub delay: Duration,
    /// The longest delay.
    pub delay_max: Duration,
}

impl Policy {
    /// Never restarted.
    pub const TEMPORARY: Self = Self {
        restart: Restart::Temporary,
        restarts_max: 0,
        window: Duration::ZERO,
        delay: Duration::ZERO,
        delay_max: Duration::ZERO,
    };
    /// Restarted after 1, 2, 4 … 60 s, at most five times in ten minutes.
    pub const PERMANENT: Self = Self {
        restart: Restart::Permanent,
        restarts_max: 5,
        window: Duration::from_secs(600),
        delay: Duration::from_secs(1),
        delay_max: Duration::from_secs(60),
    };
}

/// What to do about a child that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing: it is not started again.
    Forget,
    /// Start it again after this time.
    RestartAfter(Duration),
    /// It has failed too often: the supervisor itself must fail or stop what depends on it.
    GiveUp,
}

/// The children of one actor, by the owner's own key.
#[derive(Debug)]
pub struct Supervisor<K> {
    children: BTreeMap<ActorId, (K, Policy)>,
    restarts: BTreeMap<K, VecDeque<Time>>,
}

impl<K: Ord + Clone> Default for Supervisor<K> {
    fn default() -> Self {
        Self { children: BTreeMap::new(), restarts: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Supervisor<K> {
    /// A child was started.
    pub fn started(&mut self, id: ActorId, key: K, policy: Policy) {
        self.children.insert(id, (key, policy));
    }

    /// A child ended; `None` if it is no child of ours. A quarter of the delay is chance.
    pub fn ended(
        &mut self,
        id: ActorId,
        failed: bool,
        now: Time,
        rng: &mut impl Rng,
    ) -> Option<(K, Verdict)> {
        let (key, policy) = self.children.remove(&id)?;
        let verdict = self.judge(&key, policy, failed, now, rng);
        if !matches!(verdict, Verdict::RestartAfter(_)) {
            self.restarts.remove(&key);
        }
        Some((key, verdict))
    }

    fn judge(
        &mut self,
        key: &K,
        policy: Policy,
        failed: bool,
        now: Time,
        rng: &mut impl Rng,
    ) -> Verdict {
        match policy.restart {
            Restart::Temporary => return Verdict::Forget,
            Restart::Transient if !failed => return Verdict::Forget,
            Restart::Transient | Restart::Permanent => {}
        }
        let restarts = self.restarts.entry(key.clone()).or_default();
        while restarts.front().is_some_and(|&at| now.since(at) > policy.window) {
            restarts.pop_front();
        }
        if restarts.len() >= policy.restarts_max {
            return Verdict::GiveUp;
        }
        let doubled = u32::try_from(restarts.len()).map_or(u32::MAX, |n| 1_u32 << n.min(31));
        let delay = policy.delay.saturating_mul(doubled).min(policy.delay_max);
        restarts.push_back(now);
        Verdict::RestartAfter(delay.mul_f64(1.0 - rng.random_range(0.0..0.25)))
    }

    /// A child is to end: nothing is done about it.
    pub fn forget(&mut self, id: ActorId) {
        if let Some((key, _)) = self.children.remove(&id) {
            self.restarts.remove(&key);
        }
    }

    /// The key of a living child.
    #[must_use]
    pub fn key(&self, id: ActorId) -> Option<&K> {
        self.children.get(&id).map(|(key, _)| key)
    }

    /// How many children live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.len()
    }

    /// Whether no child lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn delays(policy: Policy, ends: &[(u64, bool)]) -> Vec<Verdict> {
        let mut supervisor = Supervisor::default();
        let mut rng = SmallRng::seed_from_u64(1);
        let verdicts = ends.iter().map(|&(at, failed)| {
            supervisor.started(ActorId::Local(at), "child", policy);
            supervisor.ended(ActorId::Local(at), failed, Time::from_secs(at), &mut rng).unwrap().1
        });
        verdicts.collect()
    }

    #[test]
    fn backs_off_and_gives_up() {
        let verdicts = delays(Policy::PERMANENT, &[(0, true), (1, true), (2, true), (3, true)]);
        let mut longest = 1.0;
        for verdict in verdicts {
            let Verdict::RestartAfter(delay) = verdict else { panic!("{verdict:?}") };
            assert!(delay.as_secs_f64() <= longest && delay.as_secs_f64() > longest * 0.75);
            longest *= 2.0;
        }
        let six: Vec<_> = (0..6).map(|at| (at, true)).collect();
        assert_eq!(delays(Policy::PERMANENT, &six).last(), Some(&Verdict::GiveUp));
    }

    #[test]
    fn forgets_restarts_that_are_long_past() {
        let rare: Vec<_> = (0..20).map(|n| (n * 700, true)).collect();
        assert!(!delays(Policy::PERMANENT, &rare).contains(&Verdict::GiveUp));
    }

    #[test]
    fn transient_children_may_end_and_temporary_ones_stay_ended() {
        let transient = Policy { restart: Restart::Transient, ..Policy::PERMANENT };
        assert_eq!(delays(transient, &[(0, false)]), [Verdict::Forget]);
        assert!(matches!(delays(transient, &[(0, true)])[0], Verdict::RestartAfter(_)));
        assert_eq!(delays(Policy::TEMPORARY, &[(0, true)]), [Verdict::Forget]);
    }

    #[test]
    fn an_unknown_actor_is_not_ours() {
        let mut supervisor = Supervisor::<u8>::default();
        let mut rng = SmallRng::seed_from_u64(1);
        assert_eq!(supervisor.ended(ActorId::Local(9), true, Time::ZERO, &mut rng), None);
    }
}
