//! When a lane that ended is dialled again.

use std::time::Duration;

use rand::Rng;

/// The shortest wait.
pub const REDIAL_MIN: Duration = Duration::from_millis(100);
/// The longest wait.
pub const REDIAL_MAX: Duration = Duration::from_secs(5);

/// Waits of at most 0.2, 0.4, 0.8 … 5 s, of which a half is left to chance, so that nodes that lost each other at
/// once do not go on in step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redial {
    failed: u32,
}

impl Redial {
    /// The lane stood: the next wait is the first again.
    pub fn reached(&mut self) {
        self.failed = 0;
    }

    /// Dialling failed, or the lane ended: how long to wait.
    pub fn wait(&mut self, rng: &mut impl Rng) -> Duration {
        let factor = 2_u32.saturating_pow(self.failed);
        self.failed = self.failed.saturating_add(1);
        let longest = REDIAL_MIN.saturating_mul(factor).saturating_mul(2).min(REDIAL_MAX);
        let longest_us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(rng.random_range(longest_us / 2..=longest_us))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_again() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut redial = Redial::default();
        let waits: Vec<_> = (0..40).map(|_| redial.wait(&mut rng)).collect();
        for (nth, wait) in waits.iter().enumerate() {
            let longest = REDIAL_MIN * (2 << nth.min(6));
            assert!(*wait >= REDIAL_MIN && *wait <= longest.min(REDIAL_MAX), "{nth}: {wait:?}");
        }
        assert!(waits[10..].iter().all(|wait| *wait >= REDIAL_MAX / 2));
        assert!(waits[10..].windows(2).any(|two| two[0] != two[1]), "chance plays a part");
        redial.reached();
        assert!(redial.wait(&mut rng) <= REDIAL_MIN * 2);
    }
}
