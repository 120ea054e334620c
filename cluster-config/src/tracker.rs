//! `[tracker]`: announcing to trackers.

use std::time::Duration;

use crate::section::section;

section! {
    /// Announcing to trackers.
    pub struct TrackerConfig {
        keys {
            /// The shortest time between two announces of a torrent to a tracker, whatever it asks for.
            announce_min_interval: Duration = Duration::from_secs(1),
                in Duration::from_secs(1)..=Duration::from_secs(3600);
            /// How long a tracker may take to answer over HTTP.
            http_timeout: Duration = Duration::from_secs(15),
                in Duration::from_secs(1)..=Duration::from_secs(300);
            /// The most announces that wait for an answer at once; the others wait for their turn.
            max_concurrent_announces: u32 = 50, in 1..=10_000;
        }
    }
}
