//! When a torrent has been seeded enough, and which torrents may run now.
//!
//! [`SeedGoals`] says when a seed is done. [`schedule`] is the queue: who runs, given the order that the
//! users set and how many may run at once. Both are pure: the owner asks again when something changed.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::TorrentId;

/// When a torrent has been seeded enough: at the first goal that is reached, never if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeedGoals {
    /// Uploaded to downloaded bytes, in thousandths.
    pub ratio_per_mille: Option<u64>,
    /// Time as a seed.
    pub time: Option<Duration>,
}

/// What a torrent did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seeded {
    /// Bytes that were uploaded, of blocks only, since the torrent was added.
    pub uploaded: u64,
    /// Bytes that were downloaded, of blocks only, since the torrent was added.
    pub downloaded: u64,
    /// Bytes of the files that are wanted.
    pub length: u64,
    /// Time as a running seed.
    pub time: Duration,
}

impl SeedGoals {
    /// The goals that hold: the torrent's own, all of them, or else the default.
    #[must_use]
    pub fn of(own: Option<Self>, default: Self) -> Self {
        own.unwrap_or(default)
    }

    /// Whether one of the goals is reached.
    ///
    /// A torrent that was never downloaded here was on disk from the beginning; its length stands for
    /// what was downloaded. An empty torrent has reached every ratio.
    #[must_use]
    pub fn are_reached(&self, seeded: &Seeded) -> bool {
        let base = if seeded.downloaded == 0 { seeded.length } else { seeded.downloaded };
        let by_ratio = self.ratio_per_mille.is_some_and(|goal| {
            u128::from(seeded.uploaded) * 1000 >= u128::from(base) * u128::from(goal)
        });
        by_ratio || self.time.is_some_and(|goal| seeded.time >= goal)
    }

    /// How long until the time goal is reached, if the torrent goes on as a seed.
    #[must_use]
    pub fn time_left(&self, seeded: &Seeded) -> Option<Duration> {
        self.time.map(|goal| goal.saturating_sub(seeded.time))
    }
}

/// What a torrent would do if it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Download: its metadata or wanted pieces are missing.
    Download,
    /// Seed: all that is wanted is there, and its goals are not reached.
    Seed,
    /// Nothing that counts: it is stopped, finished, being checked, or in error.
    Nothing,
}

/// A torrent in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Which.
    pub id: TorrentId,
    /// Its place, from 0; several may have the same.
    pub position: u32,
    /// What it would do.
    pub wish: Wish,
    /// Whether it runs now.
    pub runs: bool,
}

/// How many torrents may run at once; `None` is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// That download.
    pub downloads: Option<usize>,
    /// That seed.
    pub seeds: Option<usize>,
    /// That do either.
    pub total: Option<usize>,
}

/// Says which torrents run.
///
/// Downloads come before seeds, as somebody waits for them; among them the lower position comes first,
/// at the same position one that runs, then the lower id. Each takes a place until its limit or the total
/// is reached. So the answer does not depend on the order of `torrents`, nothing gives way to another of
/// its own rank, and a schedule that was carried out stays as it is until something changes.
/// Takes O(n log n).
#[must_use]
pub fn schedule(torrents: &[Queued], limits: Limits) -> BTreeSet<TorrentId> {
    let mut queue: Vec<_> = torrents
        .iter()
        .filter(|of| of.wish != Wish::Nothing)
        // The first bytes decide almost always, and cost less to compare than all of them.
        .map(|of| (of.wish, of.position, Reverse(of.runs), first_bytes(of.id), of))
        .collect();
    queue.sort_unstable_by_key(|&(wish, position, runs, first, of)| {
        (wish, position, runs, first, of.id)
    });
    let (mut downloads, mut seeds) = (0, 0);
    let mut running = BTreeSet::new();
    for (.., torrent) in queue {
        if limits.total.is_some_and(|limit| running.len() >= limit) {
            break;
        }
        let (count, limit) = match torrent.wish {
            Wish::Download => (&mut downloads, limits.downloads),
            Wish::Seed => (&mut seeds, limits.seeds),
            Wish::Nothing => continue,
        };
        if limit.is_none_or(|limit| *count < limit) && running.insert(torrent.id) {
            *count += 1;
        }
    }
    running
}

fn first_bytes(id: TorrentId) -> u64 {
    id.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reached(goals: SeedGoals, uploaded: u64, downloaded: u64, secs: u64) -> bool {
        let time = Duration::from_secs(secs);
        goals.are_reached(&Seeded { uploaded, downloaded, length: 100, time })
    }

    #[test]
    fn the_first_goal_counts() {
        let time = Some(Duration::from_secs(60));
        let goals = SeedGoals { ratio_per_mille: Some(1_500), time };
        assert!(!reached(goals, 149, 100, 59));
        assert!(reached(goals, 150, 100, 0));
        assert!(reached(goals, 0, 100, 60));
        assert!(!reached(SeedGoals::default(), u64::MAX, 1, u64::MAX));
        let seeded = Seeded { time: Duration::from_secs(20), ..Seeded::default() };
        assert_eq!(goals.time_left(&seeded), Some(Duration::from_secs(40)));
        assert!(!reached(
            SeedGoals { ratio_per_mille: Some(u64::MAX), time: None },
            u64::MAX,
            u64::MAX,
            0
        ));
    }

    #[test]
    fn the_length_stands_for_what_was_never_downloaded() {
        let goals = SeedGoals { ratio_per_mille: Some(1_000), time: None };
        assert!(!reached(goals, 99, 0, 0));
        assert!(reached(goals, 100, 0, 0));
        assert!(reached(goals, 50, 50, 0));
    }

    #[test]
    fn own_goals_override_all_defaults() {
        let default = SeedGoals { ratio_per_mille: Some(1_000), time: Some(Duration::ZERO) };
        let own = SeedGoals { ratio_per_mille: Some(2_000), time: None };
        assert_eq!(SeedGoals::of(Some(own), default), own);
        assert_eq!(SeedGoals::of(Some(SeedGoals::default()), default), SeedGoals::default());
        assert_eq!(SeedGoals::of(None, default), default);
    }

    fn queued(id: u8, position: u32, wish: Wish, runs: bool) -> Queued {
        Queued { id: TorrentId([id; 20]), position, wish, runs }
    }

    fn check(torrents: &[Queued], limits: [usize; 3], expected: &[u8]) {
        let [downloads, seeds, total] = limits.map(|limit| (limit > 0).then_some(limit));
        let running = schedule(torrents, Limits { downloads, seeds, total });
        assert_eq!(running.iter().map(|id| id.0[0]).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn positions_and_limits_decide() {
        use Wish::{Download, Nothing, Seed};
        let torrents = [
            queued(1, 5, Download, true),
            queued(2, 0, Seed, false),
            queued(3, 1, Download, false),
            queued(4, 2, Nothing, true),
            queued(5, 3, Seed, true),
            queued(6, 4, Download, false),
        ];
        check(&torrents, [0, 0, 0], &[1, 2, 3, 5, 6]);
        check(&torrents, [2, 0, 0], &[2, 3, 5, 6]);
        check(&torrents, [1, 1, 0], &[2, 3]);
        check(&torrents, [0, 0, 4], &[1, 2, 3, 6]);
        check(&torrents, [2, 1, 3], &[2, 3, 6]);
        check(&[], [1, 1, 1], &[]);
    }

    #[test]
    fn one_that_runs_does_not_give_way_to_its_equal() {
        use Wish::Download;
        let torrents = [queued(1, 7, Download, false), queued(2, 7, Download, true)];
        check(&torrents, [1, 0, 0], &[2]);
        check(&[queued(1, 7, Download, false), queued(2, 7, Download, false)], [1, 0, 0], &[1]);
    }

    proptest! {
        #[test]
        fn a_schedule_stays_within_its_limits_and_is_stable(
            raw in prop::collection::vec((0_u8..40, 0_u32..5, 0_u8..3, any::<bool>()), 0..30),
            limits in prop::array::uniform3(prop::option::of(0_usize..6)),
        ) {
            let mut seen = BTreeSet::new();
            let mut torrents: Vec<Queued> = raw
                .into_iter()
                .filter(|(id, ..)| seen.insert(*id))
                .map(|(id, position, wish, runs)| {
                    let wishes = [Wish::Download, Wish::Seed, Wish::Nothing];
                    queued(id, position, wishes[usize::from(wish)], runs)
                })
                .collect();
            let [downloads, seeds, total] = limits;
            let limits = Limits { downloads, seeds, total };
            let running = schedule(&torrents, limits);
            let count = |wish| torrents.iter().filter(|of| of.wish == wish && running.contains(&of.id)).count();
            prop_assert!(downloads.is_none_or(|limit| count(Wish::Download) <= limit));
            prop_assert!(seeds.is_none_or(|limit| count(Wish::Seed) <= limit));
            prop_assert!(total.is_none_or(|limit| running.len() <= limit));
            prop_assert_eq!(count(Wish::Nothing), 0);
            torrents.iter_mut().for_each(|of| of.runs = running.contains(&of.id));
            torrents.reverse();
            prop_assert_eq!(schedule(&torrents, limits), running);
        }
    }
}
