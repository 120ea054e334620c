//! Faults that are on: what the network and the disks are set to follows from all of them together, so
//! that any may overlap.

use std::collections::BTreeSet;
use std::time::Duration;

use env::sim::{DiskFaults, HostId, LinkConfig, World};

use crate::plan::{FaultKind, HostPlan, Plan};

/// What goes wrong now.
#[derive(Debug, Default)]
pub(super) struct Active {
    on: Vec<(usize, FaultKind)>,
    /// Directions that are cut.
    cut: BTreeSet<(usize, usize)>,
    unplugged: BTreeSet<usize>,
}

/// A host's link when nothing is wrong.
pub(super) fn link_of(host: &HostPlan) -> LinkConfig {
    LinkConfig {
        latency: Duration::from_micros(host.latency_us),
        up_bytes_per_s: host.up,
        down_bytes_per_s: host.down,
        accepts: !host.nat,
    }
}

impl Active {
    /// Fault `number` of the plan begins.
    pub(super) fn begin(
        &mut self,
        number: usize,
        kind: &FaultKind,
        plan: &Plan,
        world: &mut World,
    ) {
        self.on.push((number, kind.clone()));
        self.apply(kind, plan, world);
    }

    /// Fault `number` of the plan is mended.
    pub(super) fn end(&mut self, number: usize, kind: &FaultKind, plan: &Plan, world: &mut World) {
        self.on.retain(|(other, _)| *other != number);
        self.apply(kind, plan, world);
    }

    fn apply(&mut self, kind: &FaultKind, plan: &Plan, world: &mut World) {
        match *kind {
            FaultKind::Cut { .. } | FaultKind::Partition { .. } => self.cut(plan, world),
            FaultKind::Unplug { .. } => self.unplug(world),
            FaultKind::SlowLink { host, .. } => self.slow(host, plan, world),
            FaultKind::DiskFull { host }
            | FaultKind::DiskFails { host, .. }
            | FaultKind::DiskSlow { host, .. } => self.disk(host, plan, world),
            FaultKind::Crash { .. }
            | FaultKind::PowerCut { .. }
            | FaultKind::Reset { .. }
            | FaultKind::BitFlip { .. }
            | FaultKind::StoreFails { .. } => {}
        }
    }

    fn cut(&mut self, plan: &Plan, world: &mut World) {
        let mut wanted = BTreeSet::new();
        for (_, kind) in &self.on {
            match kind {
                FaultKind::Cut { from, to, both } => {
                    wanted.insert((*from, *to));
                    if *both {
                        wanted.insert((*to, *from));
                    }
                }
                FaultKind::Partition { hosts } => {
                    let others = (0..plan.hosts.len()).filter(|host| !hosts.contains(host));
                    for other in others {
                        for &host in hosts {
                            wanted.extend([(host, other), (other, host)]);
                        }
                    }
                }
                _ => {}
            }
        }
        for &(from, to) in wanted.difference(&self.cut) {
            world.set_one_way_cut(HostId(from), HostId(to), true);
        }
        for &(from, to) in self.cut.difference(&wanted) {
            world.set_one_way_cut(HostId(from), HostId(to), false);
        }
        self.cut = wanted;
    }

    fn unplug(&mut self, world: &mut World) {
        let of = |kind: &FaultKind| match kind {
            FaultKind::Unplug { host } => Some(*host),
            _ => None,
        };
        let wanted: BTreeSet<_> = self.on.iter().filter_map(|(_, kind)| of(kind)).collect();
        for &host in wanted.symmetric_difference(&self.unplugged) {
            world.unplug(HostId(host), wanted.contains(&host));
        }
        self.unplugged = wanted;
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "rates of links are far from the ends of the types"
    )]
    fn slow(&self, host: usize, plan: &Plan, world: &mut World) {
        let Some(of) = plan.hosts.get(host) else { return };
        let mut share = 1.0_f64;
        for (_, kind) in &self.on {
            match kind {
                FaultKind::SlowLink { host: other, share: of } if *other == host => {
                    share = share.min(*of);
                }
                _ => {}
            }
        }
        let mut link = link_of(of);
        link.up_bytes_per_s = ((link.up_bytes_per_s as f64 * share) as u64).max(1);
        link.down_bytes_per_s = ((link.down_bytes_per_s as f64 * share) as u64).max(1);
        link.latency = link.latency.mul_f64(1.0 / share);
        world.set_link(HostId(host), link);
    }

    fn disk(&self, host: usize, plan: &Plan, world: &World) {
        world.disk(HostId(host)).set_faults(self.disk_faults(host, plan, world));
    }

    /// What a host's disk is set to.
    pub(super) fn disk_faults(&self, host: usize, plan: &Plan, world: &World) -> DiskFaults {
        let of = plan.hosts.get(host);
        let mut faults = DiskFaults {
            delay: Duration::from_micros(of.map_or(0, |of| of.disk_delay_us)),
            capacity: of.and_then(|of| of.disk_capacity),
            ..DiskFaults::default()
        };
        for (_, kind) in &self.on {
            match *kind {
                FaultKind::DiskFull { host: other } if other == host => {
                    faults.capacity = Some(world.disk(HostId(host)).used());
                }
                FaultKind::DiskFails { host: other, reads, writes } if other == host => {
                    faults.reads_fail |= reads;
                    faults.writes_fail |= writes;
                }
                FaultKind::DiskSlow { host: other, delay_us } if other == host => {
                    faults.delay += Duration::from_micros(delay_us);
                }
                _ => {}
            }
        }
        faults
    }
}
