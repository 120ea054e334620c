//! `[store]` and `[event_log]`: what is kept, and where.

use std::path::PathBuf;
use std::time::Duration;

use crate::section::section;
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
            /// The event log: "sqlite" in a file of this node, "memory" nowhere (all is lost at the end).
            kind: EventLogKind = EventLogKind::Sqlite;
            /// The file of the SQLite event log; a relative path is taken from node.data_dir.
            path: PathBuf = PathBuf::from("events.sqlite");
            /// How long an event is kept; 0 is for ever.
            retention_age: Duration = Duration::from_secs(7 * 24 * 3600);
            /// The most bytes of events that a partition of a topic keeps, the oldest go first; 0 is
            /// unlimited.
            retention_size: ByteSize = ByteSize::from_mib(64);
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
        /// Nothing outlives the process.
        Memory = "memory",
    }
}
