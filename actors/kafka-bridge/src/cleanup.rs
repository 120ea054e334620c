//! A topic's clean-up as Kafka's configuration of the topic, and back.

use std::collections::BTreeMap;
use std::time::Duration;

use event_log::Cleanup;

/// Kafka deletes whole segments, so a bounded partition is cut into so many.
const SEGMENTS: u64 = 4;
/// The smallest and largest segment, in bytes: what brokers allow, and their default.
const SEGMENT_BYTES: (u64, u64) = (1 << 20, 1 << 30);
/// The shortest and longest time that a segment is appended to: nothing of it is deleted before.
const SEGMENT_AGE: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(7 * 24 * 3600));

/// The configuration of a topic that is cleaned up so.
pub(crate) fn configuration(cleanup: Cleanup) -> BTreeMap<&'static str, String> {
    let unbounded = || "-1".to_owned();
    match cleanup {
        Cleanup::Delete { age, partition_bytes } => {
            let (bytes_min, bytes_max) = SEGMENT_BYTES;
            let (age_min, age_max) = SEGMENT_AGE;
            let segment = partition_bytes.map_or(bytes_max, |bytes| bytes / SEGMENTS);
            let segment_age = age.map_or(age_max, |age| age / u32::try_from(SEGMENTS).unwrap_or(1));
            BTreeMap::from([
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", age.map_or_else(unbounded, millis)),
                (
                    "retention.bytes",
                    partition_bytes.map_or_else(unbounded, |bytes| signed(bytes.into())),
                ),
                ("segment.bytes", segment.clamp(bytes_min, bytes_max).to_string()),
                ("segment.ms", millis(segment_age.clamp(age_min, age_max))),
            ])
        }
        Cleanup::Compact { gone_age } => BTreeMap::from([
            ("cleanup.policy", "compact".to_owned()),
            ("delete.retention.ms", millis(gone_age)),
        ]),
    }
}

/// The clean-up of a topic with this configuration.
pub(crate) fn cleanup(get: impl Fn(&str) -> Option<String>) -> Cleanup {
    // -1 is no bound.
    let number = |key: &str| get(key).and_then(|value| value.parse::<u64>().ok());
    if get("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        let gone_age = Duration::from_millis(number("delete.retention.ms").unwrap_or_default());
        return Cleanup::Compact { gone_age };
    }
    Cleanup::Delete {
        age: number("retention.ms").map(Duration::from_millis),
        partition_bytes: number("retention.bytes"),
    }
}

fn millis(time: Duration) -> String {
    signed(time.as_millis())
}

/// Kafka's numbers are signed.
fn signed(number: u128) -> String {
    i64::try_from(number).unwrap_or(i64::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let hour = Duration::from_secs(3600);
        for wanted in [
            Cleanup::Delete { age: None, partition_bytes: None },
            Cleanup::Delete { age: Some(hour), partition_bytes: Some(64 << 20) },
            Cleanup::Compact { gone_age: hour },
        ] {
            let written = configuration(wanted);
            assert_eq!(cleanup(|key| written.get(key).cloned()), wanted);
        }
    }

    #[test]
    fn a_bounded_partition_has_segments_that_can_be_deleted() {
        let age = Some(Duration::from_secs(40));
        let cleanup = Cleanup::Delete { age, partition_bytes: Some(64 << 20) };
        let written = configuration(cleanup);
        assert_eq!(written["segment.bytes"], (16 << 20).to_string());
        assert_eq!(written["segment.ms"], "60000");
    }
}
