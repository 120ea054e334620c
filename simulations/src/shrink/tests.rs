//! Tests of shrinking, with failures that are made up.

use proptest::prelude::*;

use super::*;
use crate::scenario::{find, names};

/// Shrinks, and says how often it was asked.
fn shrunk(plan: &Plan, attempts_max: usize, mut fails: impl FnMut(&Plan) -> bool) -> (Plan, usize) {
    let mut asked = 0;
    let mut told = 0;
    let smaller = shrink(
        plan,
        &mut |plan| {
            asked += 1;
            assert_eq!(plan.check(), Ok(()), "only legal plans are tried");
            fails(plan)
        },
        attempts_max,
        &mut |_| told += 1,
    );
    assert!(told <= asked);
    (smaller, asked)
}

/// Whether the power of the host of this name fails, and somebody has all.
fn power_fails_beside_a_seed(plan: &Plan, name: &str) -> bool {
    let cut = plan.faults.iter().any(|fault| match fault.kind {
        FaultKind::PowerCut { host } => plan.hosts[host].name == name,
        _ => false,
    });
    cut && plan.hosts.iter().any(|host| host.has >= 1.0)
}

/// A plan in which the power of a host fails that has nothing at first, and the name of the host.
fn plan_with_a_power_cut() -> (Plan, String) {
    let scenario = find("power-cuts").unwrap();
    for seed in 0..100 {
        let plan = scenario.draw(seed);
        let victim = plan.faults.iter().find_map(|fault| match fault.kind {
            FaultKind::PowerCut { host } => Some(host),
            _ => None,
        });
        let is_peer = |host: &usize| plan.hosts[*host].name.starts_with("peer");
        if let Some(host) = victim.filter(|host| is_peer(host) && plan.faults.len() > 3) {
            let name = plan.hosts[host].name.clone();
            return (plan, name);
        }
    }
    panic!("no seed cuts the power of a peer");
}

#[test]
fn finds_the_one_fault_and_the_hosts_that_it_needs() {
    let (plan, name) = plan_with_a_power_cut();
    let (smaller, asked) = shrunk(&plan, 10_000, |plan| power_fails_beside_a_seed(plan, &name));
    assert!(power_fails_beside_a_seed(&smaller, &name));
    assert_eq!(smaller.faults.len(), 1);
    assert_eq!(smaller.faults[0].for_ms, 1);
    assert_eq!(smaller.faults_end_ms, smaller.faults[0].at_ms + 1);
    // The seed, the host, and the tracker by which they find each other.
    assert_eq!(smaller.hosts.len(), 3, "{:?}", smaller.hosts);
    assert!(smaller.hosts.iter().all(|host| host.config.is_empty()));
    assert_eq!(content_of(&smaller.torrent), u64::from(smaller.torrent.piece_length));
    assert!(asked < 1000, "{asked}");
}

#[test]
fn a_host_that_failure_needs_keeps_who_it_knows_and_what_hits_it() {
    let (mut plan, name) = plan_with_a_power_cut();
    let (one, other) = (plan.hosts.len() - 2, plan.hosts.len() - 1);
    let names = [plan.hosts[one].name.clone(), plan.hosts[other].name.clone()];
    plan.hosts[one].knows = vec![other];
    let (smaller, _) = shrunk(&plan, 10_000, |plan| {
        let knows = plan.hosts.iter().any(|host| {
            host.name == names[0]
                && host.knows.iter().any(|known| plan.hosts[*known].name == names[1])
        });
        knows && power_fails_beside_a_seed(plan, &name)
    });
    assert_eq!(smaller.faults.len(), 1);
    assert!(smaller.hosts.len() < plan.hosts.len());
}

#[test]
fn a_setting_that_failure_needs_stays_alone() {
    let plan = find("one-seed-one-leech").unwrap().draw(3);
    let key = "engine.choker.upload_slots";
    let has = |plan: &Plan| plan.hosts.iter().filter(|host| host.config.contains_key(key)).count();
    let (smaller, _) = shrunk(&plan, 10_000, |plan| has(plan) > 0);
    assert_eq!(has(&smaller), 1);
    assert_eq!(smaller.hosts.iter().map(|host| host.config.len()).sum::<usize>(), 1);
}

#[test]
fn the_last_holder_stays_and_nobody_is_cut_off() {
    for name in ["flash-crowd", "nat", "partial-seeds", "slow-seed"] {
        let plan = find(name).unwrap().draw(5);
        let (smaller, _) = shrunk(&plan, 2000, |plan| !plan.hosts.is_empty());
        let held: f64 = smaller.hosts.iter().map(|host| host.has).sum();
        assert!(held >= 1.0, "{name}");
        assert!(is_joined(&smaller), "{name}");
    }
}

#[test]
fn without_attempts_nothing_is_asked() {
    let (plan, _) = plan_with_a_power_cut();
    assert_eq!(shrunk(&plan, 0, |_| true), (plan, 0));
}

#[test]
fn two_behind_a_nat_are_joined_only_over_a_third() {
    let mut plan = find("one-seed-one-leech").unwrap().draw(1);
    assert!(is_joined(&plan));
    plan.hosts.iter_mut().for_each(|host| host.nat = true);
    assert!(!is_joined(&plan));
    let relay = HostPlan { nat: false, knows: vec![0, 1], ..plan.hosts[0].clone() };
    plan.hosts.push(relay);
    assert!(is_joined(&plan));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_result_fails_and_is_no_larger(
        scenario in prop::sample::select(names().map(|(name, _)| name).collect::<Vec<_>>()),
        seed: u64,
        salt: u64,
        attempts in 0..200_usize,
    ) {
        if scenario == "flash-crowd-1000" {
            return Ok(());
        }
        let plan = find(scenario).unwrap().draw(seed);
        // Some property of the plan, without any order in it.
        let fails = |plan: &Plan| {
            let sum: u64 = plan.faults.iter().map(|fault| fault.at_ms).sum();
            let hosts = u64::try_from(plan.hosts.len()).unwrap();
            !(sum ^ salt).wrapping_add(hosts * 7).is_multiple_of(3)
        };
        let (smaller, asked) = shrunk(&plan, attempts, fails);
        prop_assert!(asked <= attempts);
        prop_assert!(smaller == plan || fails(&smaller));
        prop_assert_eq!(smaller.check(), Ok(()));
        prop_assert!(smaller.hosts.len() <= plan.hosts.len());
        prop_assert!(smaller.faults.len() <= plan.faults.len());
    }
}
