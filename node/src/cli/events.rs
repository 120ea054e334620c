//! The command line of `topics` and `events`.

use std::str::FromStr;

use clap::{Args, Subcommand};

use super::ConfigFlags;

/// What to do with the topics of the event log.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make those that are missing; the others stay as they are
    Create(ConfigFlags),
    /// Compare them with the configuration; the exit code is 1 where they differ
    Check(ConfigFlags),
    /// Make those that are missing, and change retention and (on Kafka) raise partitions where they differ
    Apply(ConfigFlags),
}

/// What to do with records of the event log.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Show records as they come, until Ctrl-C
    Tail(TailFlags),
    /// Append a record
    Send(SendFlags),
}

/// Flags of `events tail`.
#[derive(Debug, Args)]
pub(crate) struct TailFlags {
    /// The topic
    #[arg(long, value_name = "TOPIC", default_value = swarm::TORRENT_UPDATES)]
    pub(crate) topic: String,
    /// Only events of this type, as in "completed" or "torrentedge.torrent.completed"
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Where to begin in each partition: "beginning", "end", or an offset
    #[arg(long, value_name = "WHERE", default_value = "end")]
    pub(crate) from: Beginning,
    /// End after so many
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
    /// Write JSON, a line for each record
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// Flags of `events send`.
#[derive(Debug, Args)]
pub(crate) struct SendFlags {
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: String,
    /// The key, which decides the partition
    #[arg(long, value_name = "KEY")]
    pub(crate) key: String,
    /// A header
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) header: Vec<(String, String)>,
    /// The record itself
    pub(crate) payload: String,
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// Where to begin to read a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// At the first record that is kept.
    First,
    /// At the next that comes.
    Next,
    /// At this offset, or the first after it that is kept.
    Offset(u64),
}

impl FromStr for Beginning {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "beginning" => Ok(Self::First),
            "end" => Ok(Self::Next),
            other => other.parse().map(Self::Offset).map_err(|_| "beginning, end or an offset"),
        }
    }
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("a name, = and a value")?;
    Ok((name.to_owned(), value.to_owned()))
}
