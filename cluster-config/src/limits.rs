//! `[limits]`: bounds of what comes from outside.

use crate::section::section;
use crate::units::ByteSize;

section! {
    /// Bounds of what comes from outside. What is beyond them is refused, never cut.
    pub struct LimitsConfig {
        keys {
            /// The largest .torrent file or info dictionary that is taken.
            metainfo_size: ByteSize = ByteSize::from_bytes(10_000_000),
                in ByteSize::from_kib(64)..=ByteSize::from_bytes(10_000_000);
            /// The longest answer of a tracker.
            tracker_response_size: ByteSize = ByteSize::from_mib(1),
                in ByteSize::from_kib(16)..=ByteSize::from_mib(16);
            /// The most peers that have connected to us and not yet finished their handshake.
            incoming_handshakes: u32 = 256, in 1..=100_000;
            /// The most blocks that one peer may have requested and not yet been sent.
            requests_per_peer: u32 = 2_000, in 64..=10_000;
        }
    }
}
