//! A run as data: the hosts, what each has and is set to, and every fault with its moment.
//!
//! A scenario and a seed give one plan; a plan and nothing else decides a run. So a plan that fails can
//! be written down, replayed and made smaller. Times are milliseconds since the beginning of the run,
//! rates are bytes a second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The scenario that it was drawn from.
    pub scenario: String,
    /// The seed that it was drawn by, and from which all chance in the run follows.
    pub seed: u64,
    /// The least time that the run takes, also when all is complete before.
    pub faults_end_ms: u64,
    /// What is to come of it.
    pub expect: Expect,
    /// What is shared.
    pub torrent: TorrentPlan,
    /// What the network does to datagrams.
    #[serde(default)]
    pub datagrams: DatagramPlan,
    /// The hosts; faults and `knows` name them by their index here.
    #[serde(rename = "host")]
    pub hosts: Vec<HostPlan>,
    /// What goes wrong, by time.
    #[serde(rename = "fault", default)]
    pub faults: Vec<Fault>,
}

/// What is to come of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Every host that wants the torrent has it so long after the last fault and the last arrival.
    pub complete_within_ms: u64,
    /// Hosts that need not complete, by name (a prefix, as hosts of a class are numbered).
    #[serde(default)]
    pub not_complete: Vec<String>,
    /// The most bytes that honest hosts may have sent, as a multiple of what had to be sent; 0 is any.
    #[serde(default)]
    pub sent_ratio_max: f64,
}

/// The torrent that a run is about. Its bytes follow from the run's seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TorrentPlan {
    /// Bytes of each file, in their order.
    pub files: Vec<u64>,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Whether peers come from trackers alone (BEP 27).
    pub private: bool,
}

/// What happens to datagrams on their way, each with this probability.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatagramPlan {
    /// It is lost.
    pub loss: f64,
    /// It comes twice.
    pub duplicate: f64,
    /// It comes late, after ones that were sent later.
    pub reorder: f64,
}

/// What a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the engine.
    Engine,
    /// Runs the engine; every piece that it has is damaged after its check, so it sends corrupt ones.
    Corrupter,
    /// No engine: claims all pieces, unchokes, and never answers a request.
    Liar,
    /// An HTTP tracker at `http://HOST:6969/announce`.
    Tracker,
}

/// How a host comes to the torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// With the metainfo.
    Metainfo,
    /// With a magnet link.
    Magnet,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    /// Its name: the class's, and a number where the class has several.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Which part of the pieces it has at the beginning, 0 to 1; which ones follows from the seed.
    pub has: f64,
    /// How it comes to the torrent.
    pub start: Start,
    /// When it starts.
    pub arrives_ms: u64,
    /// When it ends in order and does not come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_ms: Option<u64>,
    /// Bytes a second that leave it.
    pub up: u64,
    /// Bytes a second that reach it.
    pub down: u64,
    /// Time to the middle of the network, in microseconds: a path takes both ends' together.
    pub latency_us: u64,
    /// Nobody can connect to it.
    #[serde(default)]
    pub nat: bool,
    /// Hosts whose addresses it is given.
    #[serde(default)]
    pub knows: Vec<usize>,
    /// The host whose tracker it announces to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<usize>,
    /// What a disk job takes beyond the usual, in microseconds.
    #[serde(default)]
    pub disk_delay_us: u64,
    /// Bytes that fit on its disk; nothing is without bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_capacity: Option<u64>,
    /// Of its configuration, beyond the defaults of a simulation: key and value.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at_ms: u64,
    /// How long: then it is mended.
    pub for_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// What can go wrong. Hosts are named by their index in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultKind {
    /// The process ends at once and is started again.
    Crash {
        /// Whose.
        host: usize,
    },
    /// The power fails: unsynced writes may be lost or torn, peers hear nothing.
    PowerCut {
        /// Whose.
        host: usize,
    },
    /// The path between two hosts is cut, or one of its directions alone.
    Cut {
        /// From this host.
        from: usize,
        /// To this one.
        to: usize,
        /// Both ways.
        both: bool,
    },
    /// The network falls in two: these hosts reach each other, and the rest each other.
    Partition {
        /// One side.
        hosts: Vec<usize>,
    },
    /// A cable is pulled: a host reaches nobody and nobody is told.
    Unplug {
        /// Whose.
        host: usize,
    },
    /// A link has this share of its rates, and `1 / share` of its latency.
    SlowLink {
        /// Whose.
        host: usize,
        /// More than 0, at most 1.
        share: f64,
    },
    /// All streams between two hosts are reset.
    Reset {
        /// One.
        a: usize,
        /// The other.
        b: usize,
    },
    /// No more room on the disk than is used.
    DiskFull {
        /// Whose.
        host: usize,
    },
    /// Reads or writes fail with EIO.
    DiskFails {
        /// Whose.
        host: usize,
        /// Reads.
        reads: bool,
        /// Writes and syncs.
        writes: bool,
    },
    /// Every disk job takes longer.
    DiskSlow {
        /// Whose.
        host: usize,
        /// By this, in microseconds.
        delay_us: u64,
    },
    /// Single bits of the torrent's files flip on the disk, unnoticed.
    BitFlip {
        /// Whose.
        host: usize,
        /// How many.
        bits: u32,
    },
    /// The store fails.
    StoreFails {
        /// Whose.
        host: usize,
    },
}

impl FaultKind {
    /// The word for it, as in a plan.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::PowerCut { .. } => "power-cut",
            Self::Cut { .. } => "cut",
            Self::Partition { .. } => "partition",
            Self::Unplug { .. } => "unplug",
            Self::SlowLink { .. } => "slow-link",
            Self::Reset { .. } => "reset",
            Self::DiskFull { .. } => "disk-full",
            Self::DiskFails { .. } => "disk-fails",
            Self::DiskSlow { .. } => "disk-slow",
            Self::BitFlip { .. } => "bit-flip",
            Self::StoreFails { .. } => "store-fails",
        }
    }
}
