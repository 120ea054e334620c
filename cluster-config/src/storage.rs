//! `[store]` and `[event_log]`: what is kept, and where.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::section::section;
use crate::topics::TopicsConfig;
use crate::units::ByteSize;
use crate::value::choice;

section! {
    /// Where torrents and their settings are kept.
    pub struct StoreConfig {
        keys {
            /// The store: "sqlite" in a file of this node, "memory" nowhere (all is lost at the end).
            kind: StoreKind = StoreKind::Sqlite;
            /// The file of the SQLite store; a relative path is taken from node.data_dir.
            path: PathBuf = PathBuf::from("store.sqlite");
        }
    }
}

section! {
    /// Where events are kept.
    pub struct EventLogConfig {
        keys {
            /// The event log: "sqlite" in a file of this node, "kafka" on the brokers of event_log.kafka,
            /// "memory" nowhere (all is lost at the end).
            kind: EventLogKind = EventLogKind::Sqlite;
            /// The file of the SQLite event log; a relative path is taken from node.data_dir.
            path: PathBuf = PathBuf::from("events.sqlite");
            /// How long an event is kept; 0 is for ever.
            retention_age: Duration = Duration::from_secs(7 * 24 * 3600);
            /// The most bytes of events that a partition of a topic keeps, the oldest go first; 0 is
            /// unlimited.
            retention_size: ByteSize = ByteSize::from_mib(64);
        }
        sections {
            /// Kafka.
            kafka: KafkaConfig;
            /// The topics.
            topics: TopicsConfig;
        }
    }
}

section! {
    /// The brokers of Kafka, where event_log.kind is "kafka".
    pub struct KafkaConfig {
        keys {
            /// Some brokers, as host:port; the others are learned from them.
            brokers: Vec<String> = Vec::new();
            /// What the names of topics and groups begin with on the brokers: clusters with different
            /// prefixes can share them.
            prefix: String = String::new();
            /// On how many brokers each record of a new topic is kept; 0 leaves it to the brokers.
            replication: u16 = 3, in 0..=16;
            /// Whether connections to brokers use TLS.
            tls: bool = false;
            /// A file of certificates, in PEM, that is trusted instead of the system's.
            ca_file: Option<PathBuf> = None;
            /// A user to log in as, by SCRAM-SHA-512.
            username: Option<String> = None;
            /// The user's password.
            password: Secret = Secret::default();
        }
    }
}

choice! {
    /// The kind of a store.
    pub enum StoreKind {
        /// A file of this node.
        Sqlite = "sqlite",
        /// Nothing outlives the process.
        Memory = "memory",
    }
}

choice! {
    /// The kind of an event log.
    pub enum EventLogKind {
        /// A file of this node.
        Sqlite = "sqlite",
        /// Brokers of Kafka.
        Kafka = "kafka",
        /// Nothing outlives the process.
        Memory = "memory",
    }
}
