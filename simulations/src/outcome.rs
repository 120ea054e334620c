//! What came of a run: the verdict, the figures, and what a report shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::Fault;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Whether all was well.
    pub verdict: Verdict,
    /// SHA-256 over the trace, in hex.
    pub hash: String,
    /// What it took.
    pub cost: Cost,
    /// How it went for each host, in the order of the plan.
    pub hosts: Vec<HostOutcome>,
    /// How often the rare paths were taken. All names are there, those never reached with 0.
    pub sometimes: BTreeMap<String, u64>,
    /// How it went over time.
    pub series: Series,
    /// What went wrong, as the plan had it.
    pub faults: Vec<Fault>,
}

/// Whether all was well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Verdict {
    /// It was.
    Passed,
    /// An invariant did not hold, or an expectation was missed.
    Failed {
        /// Which: `I1` and so on, or `expect`.
        invariant: String,
        /// When, in simulated milliseconds.
        at_ms: u64,
        /// On which host, where it is one.
        host: Option<String>,
        /// What was seen.
        message: String,
    },
    /// It was stopped at a limit of time or memory, or by a person.
    Stopped {
        /// Why.
        message: String,
    },
}

/// What a run took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Simulated seconds.
    pub simulated_s: f64,
    /// CPU-seconds of the process.
    pub cpu_s: f64,
    /// Peak resident memory of the process, in MiB.
    pub rss_mib: f64,
    /// Events of the world.
    pub events: u64,
    /// Messages of the peer wire that were delivered.
    pub wire_messages: u64,
    /// Payload bytes that were delivered.
    pub payload_bytes: u64,
}

/// How it went for a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostOutcome {
    /// Its name.
    pub name: String,
    /// The part of the name before its number.
    pub class: String,
    /// When it came, in simulated milliseconds.
    pub arrived_ms: u64,
    /// When it had all, if it did.
    pub completed_ms: Option<u64>,
    /// Payload bytes that it sent.
    pub sent_bytes: u64,
    /// Payload bytes that reached it.
    pub received_bytes: u64,
    /// How often it was started.
    pub lives: u32,
}

/// How it went over time: a value for each moment of `at_ms` in all of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    /// Simulated milliseconds.
    pub at_ms: Vec<u64>,
    /// Hosts that are there and want the torrent.
    pub present: Vec<u32>,
    /// How many of them have all.
    pub complete: Vec<u32>,
    /// Payload bytes a second that arrived, of all hosts, since the moment before.
    pub throughput: Vec<f64>,
    /// The share of all running engines' uplinks that was used since the moment before, 0 to 1.
    pub upload_use: Vec<f64>,
    /// Copies of the rarest piece.
    pub rarest: Vec<u32>,
    /// Copies of a piece, the mean over all pieces.
    pub mean_copies: Vec<f64>,
    /// Copies of each tenth of the pieces, rarest first: the least, the 10 % … the most.
    pub rarity: Vec<[u32; 11]>,
}
