//! Which torrents run now, from what is known of all of them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use bittorrent::goals::{Limits, Queued, SeedGoals, Seeded, Wish, schedule};
use cluster_config::{QueueConfig, SeedingConfig};
use control::{FilePriority, TorrentId, TorrentSettings};
use store::{Desired, TorrentRecord};

/// Files whose priority can be set.
const FILES_MAX: usize = 1 << 24;

/// The seed goals of a torrent: its own, or the node's.
pub(crate) fn goals(own: &TorrentSettings, node: &SeedingConfig) -> SeedGoals {
    let time = (!node.time.is_zero()).then_some(node.time);
    let ratio = node.ratio.per_mille().map(|ratio| u64::from(ratio.get()));
    let node = SeedGoals { ratio_per_mille: ratio, time };
    let own = own.seed_goals.map(|goals| SeedGoals {
        ratio_per_mille: goals.ratio.map(per_mille),
        time: goals.seconds.map(Duration::from_secs),
    });
    SeedGoals::of(own, node)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast of a float saturates, which is what is wanted of absurd ratios"
)]
fn per_mille(ratio: f64) -> u64 {
    (ratio * 1000.0).round() as u64
}

/// Settings with some priorities changed; indices beyond any torrent's are left out.
pub(crate) fn prioritized(
    mut settings: TorrentSettings,
    files: &[(u32, FilePriority)],
) -> TorrentSettings {
    for &(file, priority) in files.iter().filter(|(file, _)| (*file as usize) < FILES_MAX) {
        let index = file as usize;
        if settings.priorities.len() <= index {
            settings.priorities.resize(index + 1, FilePriority::NORMAL);
        }
        if let Some(slot) = settings.priorities.get_mut(index) {
            *slot = priority;
        }
    }
    settings
}

/// Whether all that is wanted is there, as far as the record knows.
pub(crate) const fn is_complete(record: &TorrentRecord) -> bool {
    record.total_bytes > 0
        && record.completed_ms.is_some()
        && record.have_bytes >= record.wanted_bytes
}

/// Whether a complete torrent was seeded enough.
pub(crate) fn is_finished(record: &TorrentRecord, node: &SeedingConfig) -> bool {
    let goals = goals(&record.settings, node);
    let seeded = Seeded {
        uploaded: record.uploaded_bytes,
        downloaded: record.downloaded_bytes,
        length: record.wanted_bytes,
        time: Duration::from_secs(record.seeded_s),
    };
    is_complete(record) && goals != SeedGoals::default() && goals.are_reached(&seeded)
}

/// What a torrent would do if it could.
pub(crate) fn wish(record: &TorrentRecord, node: &SeedingConfig) -> Wish {
    if record.desired == Desired::Stopped || record.error.is_some() {
        Wish::Nothing
    } else if !is_complete(record) {
        Wish::Download
    } else if is_finished(record, node) {
        Wish::Nothing
    } else {
        Wish::Seed
    }
}

/// Which torrents run.
pub(crate) fn running(torrents: &[Queued], config: &QueueConfig) -> BTreeSet<TorrentId> {
    let limit = |limit: Option<NonZeroU32>| limit.map(|limit| limit.get() as usize);
    let limits = Limits {
        downloads: limit(config.active_downloads.get()),
        seeds: limit(config.active_seeds.get()),
        total: limit(config.active_total.get()),
    };
    schedule(torrents, limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TorrentRecord {
        TorrentRecord {
            total_bytes: 10,
            wanted_bytes: 10,
            ..TorrentRecord::new(TorrentId([1; 20]), 0)
        }
    }

    #[test]
    fn what_a_torrent_wishes_follows_from_its_record() {
        let node = SeedingConfig::default();
        let mut record = record();
        assert_eq!(wish(&record, &node), Wish::Download);
        record.have_bytes = 10;
        record.completed_ms = Some(1);
        assert_eq!(wish(&record, &node), Wish::Seed);
        record.settings.seed_goals = Some(control::SeedGoals { ratio: Some(2.0), seconds: None });
        record.uploaded_bytes = 20;
        assert_eq!(wish(&record, &node), Wish::Nothing);
        record.desired = Desired::Stopped;
        assert_eq!(wish(&record, &node), Wish::Nothing);
    }

    #[test]
    fn priorities_are_set_by_index() {
        let files = [(2, FilePriority::SKIP), (u32::MAX, FilePriority::HIGH)];
        let settings = prioritized(TorrentSettings::default(), &files);
        assert_eq!(
            settings.priorities,
            [FilePriority::NORMAL, FilePriority::NORMAL, FilePriority::SKIP]
        );
    }
}
