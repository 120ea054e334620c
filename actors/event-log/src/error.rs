//! Why an event log refuses.

/// Why an event log refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// The topic was not declared.
    #[error("no topic {0}")]
    UnknownTopic(String),
    /// The topic has fewer partitions.
    #[error("no partition {partition} of topic {topic}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The topic is there with another number of partitions.
    #[error("topic {topic} has {partitions} partitions")]
    Conflict {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: u32,
    },
    /// The offset is not, or no longer, in the log.
    #[error("offset {from} is outside of {low} to {high}")]
    OutOfRange {
        /// What was asked for.
        from: u64,
        /// The first that can be read.
        low: u64,
        /// The next that will be appended.
        high: u64,
    },
    /// A name or record is beyond a limit.
    #[error("cannot be logged: {0}")]
    Invalid(String),
    /// There is no room left.
    #[error("the event log is full: {0}")]
    Full(String),
    /// The disk, network or broker behind it fails; later it may work.
    #[error("the event log fails: {0}")]
    Unavailable(String),
    /// What is kept is damaged, or not ours.
    #[error("the event log is damaged: {0}")]
    Corrupt(String),
    /// The log was written by a newer version of this program.
    #[error("the event log has schema version {found}, this version knows {known}: upgrade first")]
    NewerSchema {
        /// The version of what is kept.
        found: usize,
        /// The newest version that is known here.
        known: usize,
    },
    /// The log was closed.
    #[error("the event log is closed")]
    Closed,
}

impl From<sqlite_file::Error> for EventLogError {
    fn from(error: sqlite_file::Error) -> Self {
        use sqlite_file::Error as E;
        match error {
            E::Full(reason) => Self::Full(reason),
            E::Io(reason) | E::Busy(reason) => Self::Unavailable(reason),
            E::Corrupt(reason) => Self::Corrupt(reason),
            E::Foreign { .. } | E::Statement(_) => Self::Corrupt(error.to_string()),
            E::NewerSchema { found, known } => Self::NewerSchema { found, known },
            E::Closed => Self::Closed,
        }
    }
}

impl From<sqlite_file::rusqlite::Error> for EventLogError {
    fn from(error: sqlite_file::rusqlite::Error) -> Self {
        sqlite_file::Error::from(error).into()
    }
}
