//! Makes a plan of a scenario and a seed.
//!
//! Each part of a plan has a generator of its own, named by what it is for: another class, another
//! fault or another pinned key does not shift what the others draw.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::amount::whole_between;
use super::schedule::schedule;
use super::sense::files_of;
use super::setting::setting;
use super::text::{ClassText, Known};
use super::{EVERYONE, Scenario};
use crate::plan::{DatagramPlan, Expect, HostPlan, Plan, Role, TorrentPlan};

/// Where the chance of a plan comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance<'a> {
    scenario: &'a str,
    seed: u64,
}

impl Chance<'_> {
    /// The generator of a part, as in `hosts` of `seed-1`.
    pub(super) fn of(&self, part: &str, of: &str) -> SmallRng {
        // FNV-1a: the same in every version of the compiler and the crates.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ self.seed;
        for byte in [self.scenario, part, of].into_iter().flat_map(|word| word.bytes().chain([0])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        SmallRng::seed_from_u64(hash)
    }
}

impl Scenario {
    /// The plan that `seed` makes of it: the same for the same seed, always.
    #[must_use]
    pub fn draw(&self, seed: u64) -> Plan {
        let chance = Chance { scenario: &self.name, seed };
        let torrent = self.text.torrent.get_ref();
        let piece_length = u32::try_from(torrent.piece_length.0.0).unwrap_or(u32::MAX);
        let (hosts, classes) = self.hosts(chance);
        let faults = self.text.faults.as_ref();
        let faults = faults.map(|faults| schedule(faults, chance, &hosts, &classes));
        let until = self.text.faults.as_ref().map_or(0, |faults| faults.until.get_ref().0.0);
        let faults = faults.unwrap_or_default();
        let healed = faults.iter().map(|fault| fault.at_ms + fault.for_ms).max();
        Plan {
            scenario: self.name.clone(),
            seed,
            faults_end_ms: healed.unwrap_or(0).max(until),
            expect: self.expect(),
            torrent: TorrentPlan {
                files: files_of(torrent),
                piece_length,
                private: torrent.private,
            },
            datagrams: self.datagrams(chance),
            hosts,
            faults,
        }
    }

    fn expect(&self) -> Expect {
        let expect = &self.text.expect;
        Expect {
            complete_within_ms: expect.complete_within.get_ref().0.0,
            not_complete: expect.not_complete.iter().map(|name| name.get_ref().clone()).collect(),
            sent_ratio_max: expect.sent_ratio_max.0.0,
        }
    }

    fn datagrams(&self, chance: Chance<'_>) -> DatagramPlan {
        let mut rng = chance.of("datagrams", "");
        let text = &self.text.datagrams;
        DatagramPlan {
            loss: text.loss.draw(&mut rng).0,
            duplicate: text.duplicate.draw(&mut rng).0,
            reorder: text.reorder.draw(&mut rng).0,
        }
    }

    /// All hosts, and the name of each one's class.
    fn hosts(&self, chance: Chance<'_>) -> (Vec<HostPlan>, Vec<&str>) {
        let texts = self.text.hosts.get_ref();
        let mut members = Vec::new();
        for class in texts {
            let name = class.class.get_ref();
            for number in 1..=class.count() {
                let own =
                    if class.count() == 1 { name.clone() } else { format!("{name}-{number}") };
                members.push(Member { class, name: own });
            }
        }
        let hosts = (0..members.len()).filter_map(|index| host(&members, index, chance)).collect();
        (hosts, members.iter().map(|member| member.class.class.get_ref().as_str()).collect())
    }
}

/// A host that is to be: its class and its name.
struct Member<'a> {
    class: &'a ClassText,
    name: String,
}

fn host(members: &[Member<'_>], index: usize, chance: Chance<'_>) -> Option<HostPlan> {
    let Member { class, name } = members.get(index)?;
    let mut rng = chance.of("host", name);
    // Every draw is made, whatever comes of it, so that one does not shift the next.
    let has = class.has().draw(&mut rng).0;
    let (up, down) = (class.up.draw(&mut rng).0, class.down.draw(&mut rng).0);
    let (latency_us, arrives_ms) = (class.latency.draw(&mut rng).0, class.arrives.draw(&mut rng).0);
    let leaves_ms = class.leaves.as_ref().map(|leaves| leaves.get_ref().draw(&mut rng).0);
    let disk_delay_us = class.disk.delay.draw(&mut rng).0;
    let disk_capacity = class.disk.capacity.map(|capacity| capacity.draw(&mut rng).0);
    let runs_engine = matches!(class.role, Role::Engine | Role::Corrupter);
    let config = if runs_engine {
        setting(class.pinned(), &mut chance.of("config", name))
    } else {
        class.pinned()
    };
    Some(HostPlan {
        name: name.clone(),
        role: class.role,
        has,
        start: *class.start.get_ref(),
        arrives_ms,
        leaves_ms,
        up,
        down,
        latency_us,
        nat: class.nat,
        knows: known_to(members, index, class, &mut chance.of("knows", name)),
        tracker: class.tracker.as_ref().and_then(|tracker| {
            one_of(&of_class(members, tracker.get_ref()), &mut chance.of("tracker", name))
        }),
        disk_delay_us,
        disk_capacity,
        config,
    })
}

/// The hosts of a class, or everyone's but trackers.
fn of_class(members: &[Member<'_>], class: &str) -> Vec<usize> {
    let is_meant = |member: &Member<'_>| {
        if class == EVERYONE {
            member.class.role != Role::Tracker
        } else {
            member.class.class.get_ref() == class
        }
    };
    let meant = members.iter().enumerate().filter(|(_, member)| is_meant(member));
    meant.map(|(index, _)| index).collect()
}

fn known_to(
    members: &[Member<'_>],
    index: usize,
    class: &ClassText,
    rng: &mut SmallRng,
) -> Vec<usize> {
    let mut all = Vec::new();
    for Known { class, count } in class.knows.iter().flat_map(|knows| &knows.get_ref().0) {
        let mut others = of_class(members, class);
        others.retain(|other| *other != index);
        all.extend(some_of(others, count.unwrap_or(usize::MAX), rng));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// `count` of `all` by chance, or all where there are no more.
pub(super) fn some_of(mut all: Vec<usize>, count: usize, rng: &mut SmallRng) -> Vec<usize> {
    if count >= all.len() {
        return all;
    }
    let mut some = Vec::new();
    while some.len() < count
        && let Some(place) = place_in(&all, rng)
    {
        some.push(all.swap_remove(place));
    }
    some.sort_unstable();
    some
}

/// One of `all` by chance.
pub(super) fn one_of(all: &[usize], rng: &mut SmallRng) -> Option<usize> {
    all.get(place_in(all, rng)?).copied()
}

fn place_in(all: &[usize], rng: &mut SmallRng) -> Option<usize> {
    let last = u64::try_from(all.len().checked_sub(1)?).ok()?;
    usize::try_from(whole_between(0, last, rng)).ok()
}
