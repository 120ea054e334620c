//! What every plan keeps to, whoever made it: a scenario, a person, or a shrinking.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::kind::{Busy, Kind};
use super::sense::{
    CONTENT_MAX, DISKS_MAX, FILES_MAX, HOSTS_MAX, LASTS_MAX_MS, PIECES_MAX, check_config, is_name,
};
use crate::plan::{Fault, FaultKind, HostPlan, Plan, Role, Start, TorrentPlan};

/// The latest moment of a plan: two days.
const TIME_MAX_MS: u64 = 2 * 86_400_000;
/// The most faults.
const FAULTS_MAX: usize = 100_000;
/// The fastest link, in bytes a second.
const SPEED_MAX: u64 = 100 << 30;
/// The longest latency of a link and delay of a disk, in microseconds.
const DELAY_MAX_US: u64 = 60_000_000;

/// Where in a plan something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In what stands at its beginning.
    Top,
    /// In this host.
    Host(usize),
    /// In this fault.
    Fault(usize),
}

/// A plan that cannot be run, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{what}")]
pub struct Illegal {
    pub(crate) place: Place,
    pub(crate) what: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Host(index) => write!(f, "host {index}: "),
            Self::Fault(index) => write!(f, "fault {index}: "),
        }
    }
}

type Checked = Result<(), Illegal>;

/// Refuses with `what` unless it `holds`.
fn must(place: Place, holds: bool, what: &str) -> Checked {
    if holds { Ok(()) } else { Err(Illegal { place, what: what.to_owned() }) }
}

fn is_share(share: f64) -> bool {
    (0.0..=1.0).contains(&share)
}

/// Bytes of all files of a torrent.
pub(crate) fn content_of(torrent: &TorrentPlan) -> u64 {
    torrent.files.iter().fold(0, |sum, size| sum.saturating_add(*size))
}

impl Plan {
    /// Whether it can be run: indices name hosts, times are ordered, shares are shares, no host crashes
    /// that is down, and its configuration loads.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and what was expected.
    pub fn check(&self) -> Result<(), Illegal> {
        self.check_top()?;
        let mut names = BTreeSet::new();
        for (index, host) in self.hosts.iter().enumerate() {
            let place = Place::Host(index);
            must(place, names.insert(&host.name), "expected a name that no other host has")?;
            self.check_host(place, index, host)?;
        }
        let mut busy_until_ms = BTreeMap::new();
        let mut last_ms = 0;
        for (index, fault) in self.faults.iter().enumerate() {
            let place = Place::Fault(index);
            must(place, fault.at_ms >= last_ms, "expected faults by time")?;
            last_ms = fault.at_ms;
            self.check_fault(place, fault)?;
            let (from, until) = (fault.at_ms, fault.at_ms + fault.for_ms);
            let before: Option<u64> = busy_until_ms.insert(fault.kind.busy(), until);
            let free = before.is_none_or(|before| before < from);
            must(place, free, overlap(fault.kind.busy()))?;
        }
        Ok(())
    }

    fn check_top(&self) -> Checked {
        let top = |holds, what| must(Place::Top, holds, what);
        let TorrentPlan { files, piece_length, .. } = &self.torrent;
        top((1..=FILES_MAX).contains(&files.len()), "expected 1 to 1000 files")?;
        top(
            files.iter().all(|size| (1..=CONTENT_MAX).contains(size)),
            "expected files of 1 byte to 1 TiB",
        )?;
        let total = content_of(&self.torrent);
        top(total <= CONTENT_MAX, "expected at most 1 TiB of files")?;
        let is_length =
            piece_length.is_power_of_two() && (16 << 10..=16 << 20).contains(piece_length);
        top(is_length, "expected a piece_length that is a power of two from 16384 to 16777216")?;
        let pieces = total.div_ceil(u64::from(*piece_length));
        top(pieces <= PIECES_MAX, "expected at most 131072 pieces")?;
        top((1..=HOSTS_MAX).contains(&self.hosts.len()), "expected 1 to 5000 hosts")?;
        let disks = u64::try_from(self.hosts.len()).unwrap_or(u64::MAX).saturating_mul(total);
        // A tracker has no disk, but one more or less is no matter here.
        top(
            disks <= DISKS_MAX.saturating_mul(2),
            "expected content of all hosts that fits in memory",
        )?;
        top(self.faults.len() <= FAULTS_MAX, "expected at most 100000 faults")?;
        let (end_ms, expect) = (self.faults_end_ms, &self.expect);
        top(end_ms <= TIME_MAX_MS, "expected a faults_end_ms of at most two days")?;
        let healed = self.faults.iter().map(|fault| fault.at_ms.saturating_add(fault.for_ms)).max();
        top(
            healed.unwrap_or(0) <= end_ms,
            "expected a faults_end_ms after the last fault has ended",
        )?;
        let within = (1..=TIME_MAX_MS).contains(&expect.complete_within_ms);
        top(within, "expected a complete_within_ms of 1 to two days")?;
        let ratio = expect.sent_ratio_max;
        top(
            ratio == 0.0 || (1.0..=1000.0).contains(&ratio),
            "expected a sent_ratio_max of 1 to 1000, or 0",
        )?;
        let datagrams = &self.datagrams;
        let shares = [datagrams.loss, datagrams.duplicate, datagrams.reorder];
        top(shares.into_iter().all(is_share), "expected probabilities of datagrams from 0 to 1")
    }

    fn check_host(&self, place: Place, index: usize, host: &HostPlan) -> Checked {
        let here = |holds, what| must(place, holds, what);
        here(is_name(&host.name), "expected a name of small letters, digits and hyphens")?;
        here(is_share(host.has), "expected has from 0 to 1")?;
        here(host.role != Role::Tracker || host.has == 0.0, "expected a tracker that has nothing")?;
        let magnet = host.start == Start::Magnet;
        here(!magnet || host.has == 0.0, "expected a start with a magnet link to have nothing")?;
        here(host.arrives_ms <= TIME_MAX_MS, "expected an arrives_ms of at most two days")?;
        let leaves = host.leaves_ms.is_none_or(|at| at > host.arrives_ms && at <= TIME_MAX_MS);
        here(leaves, "expected a leaves_ms after arrives_ms, at most two days")?;
        let speeds = [host.up, host.down];
        let speeds = speeds.iter().all(|speed| (1..=SPEED_MAX).contains(speed));
        here(speeds, "expected up and down from 1 byte/s to 100 GiB/s")?;
        let delays = host.latency_us <= DELAY_MAX_US && host.disk_delay_us <= DELAY_MAX_US;
        here(delays, "expected latency_us and disk_delay_us of at most 60 s")?;
        let is_peer = |other: &usize| {
            *other != index && self.hosts.get(*other).is_some_and(|host| host.role != Role::Tracker)
        };
        here(host.knows.iter().all(is_peer), "expected knows of other hosts that are no trackers")?;
        let is_tracker =
            |at: usize| self.hosts.get(at).is_some_and(|host| host.role == Role::Tracker);
        here(host.tracker.is_none_or(is_tracker), "expected a tracker whose role is tracker")?;
        if host.config.is_empty() {
            return Ok(());
        }
        let runs_engine = matches!(host.role, Role::Engine | Role::Corrupter);
        here(runs_engine, "expected a role with an engine where there is a config")?;
        check_config(&host.config).map_err(|(_, what)| Illegal { place, what })
    }

    fn check_fault(&self, place: Place, fault: &Fault) -> Checked {
        let here = |holds, what| must(place, holds, what);
        let kind = Kind::of(&fault.kind);
        here(fault.at_ms <= TIME_MAX_MS, "expected an at_ms of at most two days")?;
        let lasts = if kind.lasts() { 1..=LASTS_MAX_MS } else { 0..=0 };
        here(lasts.contains(&fault.for_ms), "expected a for_ms from 1 to 600000, of reset 0")?;
        for victim in fault.kind.victims() {
            let Some(host) = self.hosts.get(victim) else {
                return must(place, false, "expected the index of a host");
            };
            here(kind.fits(host.role), "expected a host whose role can have this fault")?;
            here(host.arrives_ms <= fault.at_ms, "expected a host that has arrived")?;
            let stays = host.leaves_ms.is_none_or(|leaves| fault.at_ms + fault.for_ms < leaves);
            here(stays, "expected a host that does not leave while the fault lasts")?;
        }
        match &fault.kind {
            FaultKind::Cut { from: a, to: b, .. } | FaultKind::Reset { a, b } => {
                here(a != b, "expected two hosts")
            }
            FaultKind::Partition { hosts } => {
                let ordered = hosts.is_sorted_by(|a, b| a < b);
                let sides = !hosts.is_empty() && hosts.len() < self.hosts.len();
                here(ordered && sides, "expected some of the hosts, by index, each once")
            }
            FaultKind::SlowLink { share, .. } => {
                here(*share > 0.0 && *share <= 1.0, "expected a share above 0 and up to 1")
            }
            FaultKind::DiskFails { reads, writes, .. } => {
                here(*reads || *writes, "expected reads or writes to fail")
            }
            FaultKind::DiskSlow { delay_us, .. } => {
                here(*delay_us <= DELAY_MAX_US, "expected a delay_us of at most 60 s")
            }
            FaultKind::BitFlip { bits, .. } => here(*bits > 0, "expected a bit or more"),
            FaultKind::Crash { .. }
            | FaultKind::PowerCut { .. }
            | FaultKind::Unplug { .. }
            | FaultKind::DiskFull { .. }
            | FaultKind::StoreFails { .. } => Ok(()),
        }
    }
}

/// Why two faults may not overlap.
const fn overlap(busy: Busy) -> &'static str {
    match busy {
        Busy::Life(_) => "expected a host that is not down already",
        Busy::Host(..) => "expected a host that does not have this fault already",
        Busy::Path(..) => "expected a path that is not cut already",
        Busy::Network => "expected a network that is not partitioned already",
    }
}
