//! Draws what goes wrong: which kinds at all, how often, when, for how long, and whom it hits.
//!
//! Swarm testing: a seed leaves most kinds out, since the more kinds there are, the more they hide each
//! other's effects. Each kind has generators of its own; only what is busy already (a host that is
//! down, a path that is cut) makes one kind give way to another.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::amount::{Count, Micros, Millis, Range, Share, unit, whole_between};
use super::draw::{Chance, one_of, some_of};
use super::kind::{Busy, Kind};
use super::text::{FaultText, FaultsText};
use crate::plan::{Fault, FaultKind, HostPlan};

/// How likely a kind is to be used at all.
const USED: f64 = 0.6;

/// The most faults of a kind in a plan.
const OF_A_KIND_MAX: usize = 5000;

/// A fault that has a moment but no victim yet.
struct Due<'a> {
    at_ms: u64,
    for_ms: u64,
    kind: Kind,
    text: &'a FaultText,
    rng: SmallRng,
}

/// The faults of a plan with these hosts, whose classes are `classes`, by time.
pub(super) fn schedule(
    faults: &FaultsText,
    chance: Chance<'_>,
    hosts: &[HostPlan],
    classes: &[&str],
) -> Vec<Fault> {
    let until_ms = faults.until.get_ref().0.0;
    let used = used(faults, &mut chance.of("faults", ""));
    let mut due = Vec::new();
    for (kind, text) in faults.kinds().filter(|(kind, _)| used.contains(kind)) {
        due.extend(moments(kind, text.get_ref(), until_ms, &mut chance.of("fault", kind.word())));
    }
    due.sort_by_key(|due| (due.at_ms, due.kind));
    let mut scene = Scene { hosts, classes, busy_until_ms: BTreeMap::new() };
    due.into_iter().filter_map(|due| scene.hit(due)).collect()
}

/// The kinds that are used at all: at least one, if there are any.
fn used(faults: &FaultsText, rng: &mut SmallRng) -> BTreeSet<Kind> {
    let kinds: Vec<Kind> = faults.kinds().map(|(kind, _)| kind).collect();
    let mut used: BTreeSet<Kind> = kinds.iter().copied().filter(|_| unit(rng) < USED).collect();
    if used.is_empty() {
        let indices: Vec<usize> = (0..kinds.len()).collect();
        used.extend(one_of(&indices, rng).and_then(|index| kinds.get(index)));
    }
    used
}

/// When a kind happens until `until_ms`: a Poisson process whose rate is drawn first.
fn moments<'a>(kind: Kind, text: &'a FaultText, until_ms: u64, rng: &mut SmallRng) -> Vec<Due<'a>> {
    let per_ms = text.per_minute.draw(rng).0 / 60_000.0;
    let lasts = text.lasts.unwrap_or(Range { low: Millis(1000), high: Millis(5000) });
    let mut due = Vec::new();
    let mut at_ms = 0_u64;
    while due.len() < OF_A_KIND_MAX {
        let for_ms = lasts.draw(rng).0;
        let own = SmallRng::seed_from_u64(rng.next_u64());
        at_ms = at_ms.saturating_add(wait_ms(per_ms, until_ms, rng));
        if at_ms > until_ms {
            break;
        }
        let for_ms = if kind.lasts() { for_ms } else { 0 };
        due.push(Due { at_ms, for_ms, kind, text, rng: own });
    }
    due
}

/// The time to the next event of a Poisson process, or one beyond the end.
fn wait_ms(per_ms: f64, until_ms: u64, rng: &mut SmallRng) -> u64 {
    let ms = -(1.0 - unit(rng)).ln() / per_ms;
    // Also where the rate is 0 and the time infinite or no number.
    if !ms.is_finite() || ms >= until_ms as f64 {
        return until_ms.saturating_add(1);
    }
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to the end of the faults")]
    let whole = ms.ceil() as u64;
    whole
}

/// Whom faults can hit.
struct Scene<'a> {
    hosts: &'a [HostPlan],
    classes: &'a [&'a str],
    busy_until_ms: BTreeMap<Busy, u64>,
}

impl Scene<'_> {
    /// Gives a fault its victims, if it finds any that it can hit at its moment.
    fn hit(&mut self, mut due: Due<'_>) -> Option<Fault> {
        let there = self.there(&due);
        let own: Vec<usize> = there
            .iter()
            .copied()
            .filter(|host| self.classes.get(*host).is_some_and(|class| due.text.hits(class)))
            .collect();
        let kind = match due.kind {
            Kind::Partition => FaultKind::Partition { hosts: some_side(&own, &mut due)? },
            Kind::Cut | Kind::Reset => self.on_a_path(&own, &there, &mut due)?,
            Kind::Crash
            | Kind::PowerCut
            | Kind::Unplug
            | Kind::SlowLink
            | Kind::DiskFull
            | Kind::DiskFails
            | Kind::DiskSlow
            | Kind::BitFlip
            | Kind::StoreFails => self.on_a_host(own, &mut due)?,
        };
        let busy = kind.busy();
        if !self.is_free(&busy, due.at_ms) {
            return None;
        }
        self.busy_until_ms.insert(busy, due.at_ms + due.for_ms);
        Some(Fault { at_ms: due.at_ms, for_ms: due.for_ms, kind })
    }

    fn is_free(&self, busy: &Busy, at_ms: u64) -> bool {
        self.busy_until_ms.get(busy).is_none_or(|until_ms| *until_ms < at_ms)
    }

    /// The hosts that have arrived, do not leave while the fault lasts, and can have it.
    fn there(&self, due: &Due<'_>) -> Vec<usize> {
        let is_there = |host: &HostPlan| {
            let stays = host.leaves_ms.is_none_or(|leaves| due.at_ms + due.for_ms < leaves);
            due.kind.fits(host.role) && host.arrives_ms <= due.at_ms && stays
        };
        let there = self.hosts.iter().enumerate().filter(|(_, host)| is_there(host));
        there.map(|(index, _)| index).collect()
    }

    fn on_a_host(&self, mut own: Vec<usize>, due: &mut Due<'_>) -> Option<FaultKind> {
        // Every draw is made, so that a host that is busy shifts nothing.
        let pick = due.rng.next_u64();
        let how = Severity::draw(due.text, &mut due.rng);
        let made = |host| made_on(due.kind, host, &how);
        own.retain(|host| made(*host).is_some_and(|fault| self.is_free(&fault.busy(), due.at_ms)));
        made(one_of(&own, &mut SmallRng::seed_from_u64(pick))?)
    }

    fn on_a_path(&self, own: &[usize], there: &[usize], due: &mut Due<'_>) -> Option<FaultKind> {
        let one = one_of(own, &mut due.rng)?;
        let others: Vec<usize> = there.iter().copied().filter(|other| *other != one).collect();
        let other = one_of(&others, &mut due.rng)?;
        let one_way = due.text.one_way.map_or(0.5, |share| share.0.0);
        let both = unit(&mut due.rng) >= one_way;
        Some(if due.kind == Kind::Reset {
            FaultKind::Reset { a: one, b: other }
        } else {
            FaultKind::Cut { from: one, to: other, both }
        })
    }
}

/// How bad a fault of a host is, as far as its kind has it.
struct Severity {
    share: f64,
    delay_us: u64,
    bits: u32,
    reads: bool,
    writes: bool,
}

impl Severity {
    fn draw(text: &FaultText, rng: &mut SmallRng) -> Self {
        let share = text.share.unwrap_or(Range { low: Share(0.05), high: Share(0.5) });
        let delay = text.delay.unwrap_or(Range { low: Micros(20_000), high: Micros(500_000) });
        let bits = text.bits.unwrap_or(Range { low: Count(1), high: Count(4) });
        // Reads, writes, or both.
        let fails = whole_between(0, 2, rng);
        Self {
            share: share.draw(rng).0,
            delay_us: delay.draw(rng).0,
            bits: u32::try_from(bits.draw(rng).0).unwrap_or(u32::MAX),
            reads: fails != 1,
            writes: fails != 0,
        }
    }
}

/// A fault of a kind that hits one host.
fn made_on(kind: Kind, host: usize, how: &Severity) -> Option<FaultKind> {
    let Severity { share, delay_us, bits, reads, writes } = *how;
    match kind {
        Kind::Crash => Some(FaultKind::Crash { host }),
        Kind::PowerCut => Some(FaultKind::PowerCut { host }),
        Kind::Unplug => Some(FaultKind::Unplug { host }),
        Kind::SlowLink => Some(FaultKind::SlowLink { host, share }),
        Kind::DiskFull => Some(FaultKind::DiskFull { host }),
        Kind::DiskFails => Some(FaultKind::DiskFails { host, reads, writes }),
        Kind::DiskSlow => Some(FaultKind::DiskSlow { host, delay_us }),
        Kind::BitFlip => Some(FaultKind::BitFlip { host, bits }),
        Kind::StoreFails => Some(FaultKind::StoreFails { host }),
        Kind::Cut | Kind::Partition | Kind::Reset => None,
    }
}

/// One side of a partition: neither empty nor all.
fn some_side(own: &[usize], due: &mut Due<'_>) -> Option<Vec<usize>> {
    let most = own.len().checked_sub(1).filter(|most| *most > 0)?;
    let share = due.text.share.unwrap_or(Range { low: Share(0.2), high: Share(0.5) });
    let share = share.draw(&mut due.rng).0;
    #[expect(clippy::cast_possible_truncation, reason = "a share of a few thousand hosts")]
    let count = (share * own.len() as f64).round() as usize;
    Some(some_of(own.to_vec(), count.clamp(1, most), &mut due.rng))
}
