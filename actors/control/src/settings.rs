//! What a user can set of a torrent.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whether and how urgently a file is wanted: 0 is not wanted, 1 low, 4 normal, 7 high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FilePriority(u8);

impl FilePriority {
    /// Not wanted.
    pub const SKIP: Self = Self(0);
    /// As most files.
    pub const NORMAL: Self = Self(4);
    /// Before others.
    pub const HIGH: Self = Self(7);

    /// A priority; numbers above 7 count as 7.
    #[must_use]
    pub const fn new(level: u8) -> Self {
        Self(if level > 7 { 7 } else { level })
    }

    /// 0 to 7.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

/// When a torrent has been seeded enough; `None` is no goal of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SeedGoals {
    /// Uploaded over downloaded bytes.
    pub ratio: Option<f64>,
    /// Seconds as a seed.
    pub seconds: Option<u64>,
}

/// What a user can set of a torrent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TorrentSettings {
    /// The directory that the torrent's file or directory stands in; `None` is the node's default.
    pub download_dir: Option<PathBuf>,
    /// Pieces in order rather than rarest first.
    pub sequential: bool,
    /// By file index; files beyond the end are [`FilePriority::NORMAL`].
    pub priorities: Vec<FilePriority>,
    /// Bytes per second; 0 is unlimited.
    pub down_bytes_per_s: u64,
    /// Bytes per second; 0 is unlimited.
    pub up_bytes_per_s: u64,
    /// Connected peers at most; 0 is the node's default.
    pub connections_max: u32,
    /// `None` is the node's default.
    pub seed_goals: Option<SeedGoals>,
    /// Place in the queue, from 0.
    pub queue_position: u32,
    /// Trackers beside those of the metainfo, a tier each.
    pub trackers: Vec<String>,
    /// Take room on the disk before downloading rather than as needed; `None` is the node's default.
    pub preallocate: Option<bool>,
}

impl Default for TorrentSettings {
    fn default() -> Self {
        Self {
            download_dir: None,
            sequential: false,
            priorities: Vec::new(),
            down_bytes_per_s: 0,
            up_bytes_per_s: 0,
            connections_max: 0,
            seed_goals: None,
            queue_position: u32::MAX,
            trackers: Vec::new(),
            preallocate: None,
        }
    }
}

impl TorrentSettings {
    /// The priority of a file.
    #[must_use]
    pub fn priority(&self, file: usize) -> FilePriority {
        self.priorities.get(file).copied().unwrap_or(FilePriority::NORMAL)
    }
}
