//! `[event_log.topics]`: the topics of the event log, declared here and nowhere else.
//!
//! [`TopicsConfig`] has a section a topic; [`EventLogConfig::topics`] is the list that commands, the
//! publisher and the brokers go by.

use std::time::Duration;

use crate::section::section;
use crate::storage::EventLogConfig;
use crate::units::ByteSize;

/// The most partitions of a topic.
const PARTITIONS_MAX: u32 = 1024;
/// What the name of a topic of dead letters ends with.
const DEAD_LETTERS: &str = ".dlq";
/// A day, in seconds.
const DAY: u64 = 24 * 3600;

/// A topic as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDeclaration {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// On how many machines each record is kept, where there are several; 0 leaves it to them.
    pub replication: u16,
    /// What is kept of it.
    pub retention: Retention,
}

/// What is kept of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// The newest records.
    Newest {
        /// Older ones go; `None` is no bound.
        age: Option<Duration>,
        /// The most bytes of a partition; `None` is no bound.
        partition_bytes: Option<u64>,
    },
    /// The newest record of each key.
    NewestOfKey {
        /// How long it is told that a key is gone.
        gone_age: Duration,
    },
}

/// Defines the section of a topic that keeps its newest records.
macro_rules! topic {
    ($(#[doc = $about:literal])+ $name:ident, $partitions:literal, $age:expr) => {
        section! {
            $(#[doc = $about])+
            pub struct $name {
                keys {
                    /// Its partitions. More can be given later (`torrentedge topics apply`) on Kafka, not in
                    /// a file.
                    partitions: u32 = $partitions, in 1..=PARTITIONS_MAX;
                    /// How long a record is kept, 0 is for ever; without it as event_log.retention_age says.
                    retention_age: Option<Duration> = $age;
                    /// The most bytes that a partition keeps, 0 is unlimited; without it as
                    /// event_log.retention_size says.
                    retention_size: Option<ByteSize> = None;
                }
            }
        }
    };
}

topic! {
    /// torrent-updates: what happens to torrents, by info-hash.
    TorrentUpdatesConfig, 12, None
}
topic! {
    /// peer-topic: what happens to peers, by info-hash.
    PeerTopicConfig, 12, Some(Duration::from_secs(DAY))
}
topic! {
    /// node-events: what happens to nodes, by node.
    NodeEventsConfig, 3, None
}
topic! {
    /// torrent-commands: what owners of torrents are to do, by info-hash.
    TorrentCommandsConfig, 12, None
}
topic! {
    /// chat-messages, by room.
    ChatMessagesConfig, 6, None
}
topic! {
    /// notifications, by user.
    NotificationsConfig, 6, None
}
topic! {
    /// audit-log: who asked for what, by user.
    AuditLogConfig, 3, Some(Duration::from_secs(365 * DAY))
}
topic! {
    /// The topics of dead letters, each named after its source with .dlq behind it: what could not be
    /// handled, with why.
    DeadLettersConfig, 1, Some(Duration::from_secs(30 * DAY))
}

section! {
    /// torrent-state: the latest snapshot of each torrent, by info-hash.
    pub struct TorrentStateConfig {
        keys {
            /// Its partitions. More can be given later (`torrentedge topics apply`) on Kafka, not in a file.
            partitions: u32 = 12, in 1..=PARTITIONS_MAX;
            /// How long it is told that a torrent is gone.
            gone_age: Duration = Duration::from_secs(7 * DAY);
        }
    }
}

section! {
    /// The topics of the event log.
    pub struct TopicsConfig {
        keys {}
        sections {
            /// What happens to torrents.
            torrent_updates: TorrentUpdatesConfig;
            /// The latest snapshots.
            torrent_state: TorrentStateConfig;
            /// What happens to peers.
            peer_topic: PeerTopicConfig;
            /// What happens to nodes.
            node_events: NodeEventsConfig;
            /// What is to be done.
            torrent_commands: TorrentCommandsConfig;
            /// Chat.
            chat_messages: ChatMessagesConfig;
            /// Notifications.
            notifications: NotificationsConfig;
            /// Who asked for what.
            audit_log: AuditLogConfig;
            /// What could not be handled.
            dead_letters: DeadLettersConfig;
        }
    }
}

impl EventLogConfig {
    /// All topics, those of dead letters after the topics that have one.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicDeclaration> {
        let topics = &self.topics;
        // Name, keys of the section, and whether what cannot be handled is put aside: where a record asks
        // for something to be done.
        macro_rules! newest {
            ($($name:literal, $section:ident, $has_dead_letters:literal;)+) => {
                [$((
                    $name,
                    topics.$section.partitions,
                    self.newest(topics.$section.retention_age, topics.$section.retention_size),
                    $has_dead_letters,
                )),+]
            };
        }
        let newest = newest! {
            "torrent-updates", torrent_updates, true;
            "peer-topic", peer_topic, false;
            "node-events", node_events, false;
            "torrent-commands", torrent_commands, true;
            "chat-messages", chat_messages, false;
            "notifications", notifications, true;
            "audit-log", audit_log, false;
        };
        let state = &topics.torrent_state;
        let of_key = Retention::NewestOfKey { gone_age: state.gone_age };
        let mut all = vec![self.topic("torrent-state", state.partitions, of_key)];
        let dead = &topics.dead_letters;
        let dead_retention = self.newest(dead.retention_age, dead.retention_size);
        for (name, partitions, retention, has_dead_letters) in newest {
            all.push(self.topic(name, partitions, retention));
            if has_dead_letters {
                let name = format!("{name}{DEAD_LETTERS}");
                all.push(self.topic(&name, dead.partitions, dead_retention));
            }
        }
        all
    }

    fn topic(&self, name: &str, partitions: u32, retention: Retention) -> TopicDeclaration {
        let replication = self.kafka.replication;
        TopicDeclaration { name: name.to_owned(), partitions, replication, retention }
    }

    fn newest(&self, age: Option<Duration>, size: Option<ByteSize>) -> Retention {
        let age = age.unwrap_or(self.retention_age);
        let bytes = size.unwrap_or(self.retention_size).as_bytes();
        Retention::Newest {
            age: Some(age).filter(|age| !age.is_zero()),
            partition_bytes: Some(bytes).filter(|&bytes| bytes > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(topics: &'a [TopicDeclaration], name: &str) -> &'a TopicDeclaration {
        topics.iter().find(|topic| topic.name == name).expect(name)
    }

    #[test]
    fn every_topic_is_declared_once() {
        let topics = EventLogConfig::default().topics();
        let names: std::collections::BTreeSet<_> = topics.iter().map(|topic| &topic.name).collect();
        assert_eq!((names.len(), topics.len()), (11, 11));
        assert_eq!(named(&topics, "torrent-commands.dlq").partitions, 1);
        let state = named(&topics, "torrent-state").retention;
        assert!(matches!(state, Retention::NewestOfKey { .. }));
    }

    #[test]
    fn a_topic_that_says_nothing_keeps_what_all_keep() {
        let retention_size = ByteSize::from_bytes(0);
        let mut config = EventLogConfig { retention_size, ..EventLogConfig::default() };
        config.topics.node_events.retention_age = Some(Duration::ZERO);
        let topics = config.topics();
        let (age, partition_bytes) = (Some(config.retention_age), None);
        let updates = Retention::Newest { age, partition_bytes };
        assert_eq!(named(&topics, "torrent-updates").retention, updates);
        let for_ever = Retention::Newest { age: None, partition_bytes: None };
        assert_eq!(named(&topics, "node-events").retention, for_ever);
    }
}
