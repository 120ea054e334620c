//! Topics: how many partitions they have, and what is kept of them.

use std::time::Duration;

use crate::error::EventLogError;

/// The most partitions of a topic.
pub const PARTITIONS_MAX: u32 = 1024;

/// The most topics of a log.
pub const TOPICS_MAX: usize = 256;

/// The longest name of a topic or group, in bytes: Kafka's.
const NAME_LEN_MAX: usize = 249;

/// A topic as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// How many partitions it has, 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// What is kept of it.
    pub cleanup: Cleanup,
}

/// What is kept of a topic when it is cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// The newest records. What goes is always the beginning of a partition.
    Delete {
        /// Records older than this go; `None` is no bound.
        age: Option<Duration>,
        /// The most bytes of a partition; `None` is no bound.
        partition_bytes: Option<u64>,
    },
    /// The newest record of each key.
    Compact {
        /// How long it is told that a key is gone (a record without payload).
        gone_age: Duration,
    },
}

impl TopicSpec {
    /// A topic of which all is kept.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        let cleanup = Cleanup::Delete { age: None, partition_bytes: None };
        Self { name: name.into(), partitions, cleanup }
    }

    /// The same topic with another clean-up.
    #[must_use]
    pub fn with_cleanup(mut self, cleanup: Cleanup) -> Self {
        self.cleanup = cleanup;
        self
    }

    /// Checks name and number of partitions.
    ///
    /// # Errors
    ///
    /// [`EventLogError::Invalid`], with what is wrong.
    pub fn check(&self) -> Result<(), EventLogError> {
        check_name("topic", &self.name)?;
        if (1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Ok(());
        }
        Err(EventLogError::Invalid(format!(
            "topic {} with {} partitions, not 1 to {PARTITIONS_MAX}",
            self.name, self.partitions
        )))
    }
}

/// Checks the name of a topic or group; `what` says which, for the error.
///
/// # Errors
///
/// [`EventLogError::Invalid`], with what is allowed.
pub fn check_name(what: &str, name: &str) -> Result<(), EventLogError> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let is_name = (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_allowed);
    // A directory of Kafka's is named after the topic.
    if is_name && name != "." && name != ".." {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(EventLogError::Invalid(format!(
        "the {what} name {shown:?}: 1 to {NAME_LEN_MAX} letters, digits, '.', '_' and '-'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafka() {
        for name in ["torrent-updates", "a", "A.b_c-9", &"x".repeat(249)] {
            assert_eq!(TopicSpec::new(name, 1).check(), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(TopicSpec::new(name, 1).check().is_err(), "{name}");
        }
    }

    #[test]
    fn a_topic_has_a_bounded_number_of_partitions() {
        assert_eq!(TopicSpec::new("t", PARTITIONS_MAX).check(), Ok(()));
        assert!(TopicSpec::new("t", 0).check().is_err());
        assert!(TopicSpec::new("t", PARTITIONS_MAX + 1).check().is_err());
    }
}
