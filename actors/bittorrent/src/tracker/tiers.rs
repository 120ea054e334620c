//! The order in which the trackers of a torrent are tried (BEP 12).
//!
//! Tiers are tried one after another. Within a tier the order is drawn by lot once, so that a swarm
//! spreads over its trackers, and a tracker that worked moves to the front, so that it is found at
//! once the next time.

use std::collections::BTreeSet;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::url::TrackerUrl;

/// Trackers of a torrent that are kept.
pub const TRACKERS_MAX: usize = 500;

/// Which tracker of an [`Announcer`](super::Announcer); never given twice by the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerKey(pub u32);

/// Trackers by tier, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tiers {
    tiers: Vec<Vec<TrackerKey>>,
}

impl Tiers {
    /// Shuffles each tier.
    #[must_use]
    pub fn new(mut tiers: Vec<Vec<TrackerKey>>, rng: &mut SmallRng) -> Self {
        for tier in &mut tiers {
            tier.shuffle(rng);
        }
        Self { tiers }
    }

    /// All trackers with their tier, in the order in which they are tried.
    pub fn walk(&self) -> impl Iterator<Item = (u32, TrackerKey)> {
        let numbered = (0_u32..).zip(&self.tiers);
        numbered.flat_map(|(number, tier)| tier.iter().map(move |&key| (number, key)))
    }

    /// A tracker worked: it is the first of its tier from now on.
    pub fn promote(&mut self, key: TrackerKey) {
        for tier in &mut self.tiers {
            let at = tier.iter().position(|&other| other == key);
            if let Some(until) = at.and_then(|at| tier.get_mut(..=at)) {
                until.rotate_right(1);
            }
        }
    }
}

/// Reads the addresses of a metainfo file or a magnet link: each once, at most [`TRACKERS_MAX`],
/// without those that are no address of a tracker (to say why, parse them one by one); a tier that is
/// left empty is left out.
#[must_use]
pub fn read_tiers<S: AsRef<str>>(tiers: &[Vec<S>]) -> Vec<Vec<TrackerUrl>> {
    let mut known = BTreeSet::new();
    let mut read = Vec::new();
    for tier in tiers {
        let mut urls = Vec::new();
        for url in tier.iter().filter_map(|url| url.as_ref().parse::<TrackerUrl>().ok()) {
            if known.len() < TRACKERS_MAX && known.insert(url.clone()) {
                urls.push(url);
            }
        }
        if !urls.is_empty() {
            read.push(urls);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn tiers(sizes: &[u32], seed: u64) -> Tiers {
        let mut keys = (0..).map(TrackerKey);
        let tiers = sizes.iter().map(|&size| keys.by_ref().take(size as usize).collect()).collect();
        Tiers::new(tiers, &mut SmallRng::seed_from_u64(seed))
    }

    fn order(tiers: &Tiers) -> Vec<u32> {
        tiers.walk().map(|(_, key)| key.0).collect()
    }

    #[test]
    fn each_tier_is_shuffled_by_the_seed() {
        let (one, two) = (tiers(&[8, 8], 1), tiers(&[8, 8], 2));
        assert_ne!(order(&one), order(&two));
        assert_eq!(order(&one), order(&tiers(&[8, 8], 1)));
        let firsts: BTreeSet<u32> = order(&one)[..8].iter().copied().collect();
        assert_eq!(firsts, (0..8).collect());
    }

    #[test]
    fn who_worked_moves_to_the_front_of_its_tier_only() {
        let mut tiers = tiers(&[2, 4], 3);
        let before = order(&tiers);
        tiers.promote(TrackerKey(before[4]));
        let after = order(&tiers);
        let expected = [0, 1, 4, 2, 3, 5].map(|at| before[at]);
        assert_eq!(after, expected);
        tiers.promote(TrackerKey(99));
        assert_eq!(order(&tiers), expected);
    }

    #[test]
    fn addresses_are_read_once_and_bounded() {
        let read = read_tiers(&[
            vec!["http://a/announce", "HTTP://A:80/announce", "dht://x"],
            vec!["http://a/announce", ""],
            vec!["udp://b:1"],
        ]);
        let shown: Vec<_> = read.iter().map(|tier| tier[0].to_string()).collect();
        assert_eq!(shown, ["http://a/announce", "udp://b:1/"]);
        let many: Vec<_> = (0..1000).map(|n| vec![format!("http://t{n}/")]).collect();
        assert_eq!(read_tiers(&many).len(), TRACKERS_MAX);
    }
}
