//! Kinds of faults: their words, what each takes, and whom it can hit.

use crate::plan::{FaultKind, Role};

/// A kind of fault, without its victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Crash,
    PowerCut,
    Cut,
    Partition,
    Unplug,
    SlowLink,
    Reset,
    DiskFull,
    DiskFails,
    DiskSlow,
    BitFlip,
    StoreFails,
}

/// What a fault keeps busy: two faults that keep the same busy never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Busy {
    /// The life of a host: it cannot crash again before it is back.
    Life(usize),
    /// A kind on a host.
    Host(Kind, usize),
    /// The path between two hosts, the lesser first.
    Path(usize, usize),
    /// The network as a whole.
    Network,
}

impl Kind {
    /// The kind of a fault in a plan.
    pub(crate) const fn of(fault: &FaultKind) -> Self {
        match fault {
            FaultKind::Crash { .. } => Self::Crash,
            FaultKind::PowerCut { .. } => Self::PowerCut,
            FaultKind::Cut { .. } => Self::Cut,
            FaultKind::Partition { .. } => Self::Partition,
            FaultKind::Unplug { .. } => Self::Unplug,
            FaultKind::SlowLink { .. } => Self::SlowLink,
            FaultKind::Reset { .. } => Self::Reset,
            FaultKind::DiskFull { .. } => Self::DiskFull,
            FaultKind::DiskFails { .. } => Self::DiskFails,
            FaultKind::DiskSlow { .. } => Self::DiskSlow,
            FaultKind::BitFlip { .. } => Self::BitFlip,
            FaultKind::StoreFails { .. } => Self::StoreFails,
        }
    }

    /// The word for it, as in a scenario and in a plan.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerCut => "power-cut",
            Self::Cut => "cut",
            Self::Partition => "partition",
            Self::Unplug => "unplug",
            Self::SlowLink => "slow-link",
            Self::Reset => "reset",
            Self::DiskFull => "disk-full",
            Self::DiskFails => "disk-fails",
            Self::DiskSlow => "disk-slow",
            Self::BitFlip => "bit-flip",
            Self::StoreFails => "store-fails",
        }
    }

    /// The parameters that it takes, beyond `per_minute` and `hosts`.
    pub(crate) const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Crash
            | Self::PowerCut
            | Self::Unplug
            | Self::DiskFull
            | Self::DiskFails
            | Self::StoreFails => &["lasts"],
            Self::Cut => &["lasts", "one_way"],
            Self::Partition | Self::SlowLink => &["lasts", "share"],
            Self::Reset => &[],
            Self::DiskSlow => &["lasts", "delay"],
            Self::BitFlip => &["lasts", "bits"],
        }
    }

    /// Whether it goes on for a time; else it has happened at once.
    pub(crate) fn lasts(self) -> bool {
        self.takes().contains(&"lasts")
    }

    /// Whether a host of this role can have it: a tracker has no engine and no disk, a liar not even a
    /// process that could come back.
    pub(crate) const fn fits(self, role: Role) -> bool {
        match self {
            Self::Crash | Self::PowerCut => !matches!(role, Role::Liar),
            Self::Cut | Self::Partition | Self::Unplug | Self::SlowLink | Self::Reset => true,
            Self::DiskFull | Self::DiskFails | Self::DiskSlow | Self::StoreFails => {
                matches!(role, Role::Engine | Role::Corrupter)
            }
            Self::BitFlip => matches!(role, Role::Engine),
        }
    }
}

impl FaultKind {
    /// The hosts that it hits.
    pub(crate) fn victims(&self) -> Vec<usize> {
        match self {
            Self::Crash { host }
            | Self::PowerCut { host }
            | Self::Unplug { host }
            | Self::SlowLink { host, .. }
            | Self::DiskFull { host }
            | Self::DiskFails { host, .. }
            | Self::DiskSlow { host, .. }
            | Self::BitFlip { host, .. }
            | Self::StoreFails { host } => vec![*host],
            Self::Cut { from, to, .. } => vec![*from, *to],
            Self::Reset { a, b } => vec![*a, *b],
            Self::Partition { hosts } => hosts.clone(),
        }
    }

    /// What it keeps busy while it lasts.
    pub(crate) fn busy(&self) -> Busy {
        match self {
            Self::Crash { host } | Self::PowerCut { host } => Busy::Life(*host),
            Self::Cut { from: a, to: b, .. } | Self::Reset { a, b } => {
                Busy::Path(*a.min(b), *a.max(b))
            }
            Self::Partition { .. } => Busy::Network,
            Self::Unplug { host }
            | Self::SlowLink { host, .. }
            | Self::DiskFull { host }
            | Self::DiskFails { host, .. }
            | Self::DiskSlow { host, .. }
            | Self::BitFlip { host, .. }
            | Self::StoreFails { host } => Busy::Host(Kind::of(self), *host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_word_of_its_fault() {
        for fault in [
            FaultKind::Crash { host: 0 },
            FaultKind::PowerCut { host: 0 },
            FaultKind::Cut { from: 0, to: 1, both: true },
            FaultKind::Partition { hosts: vec![0] },
            FaultKind::Unplug { host: 0 },
            FaultKind::SlowLink { host: 0, share: 0.5 },
            FaultKind::Reset { a: 0, b: 1 },
            FaultKind::DiskFull { host: 0 },
            FaultKind::DiskFails { host: 0, reads: true, writes: false },
            FaultKind::DiskSlow { host: 0, delay_us: 1 },
            FaultKind::BitFlip { host: 0, bits: 1 },
            FaultKind::StoreFails { host: 0 },
        ] {
            assert_eq!(Kind::of(&fault).word(), fault.word());
        }
    }

    #[test]
    fn a_host_that_is_down_cannot_go_down_in_another_way() {
        assert_eq!(FaultKind::Crash { host: 3 }.busy(), FaultKind::PowerCut { host: 3 }.busy());
        assert_ne!(FaultKind::Crash { host: 3 }.busy(), FaultKind::Unplug { host: 3 }.busy());
        let there = FaultKind::Cut { from: 1, to: 2, both: false };
        let back = FaultKind::Cut { from: 2, to: 1, both: true };
        assert_eq!(there.busy(), back.busy());
    }
}
