//! Bytes of a stream arrive in order, none lost or doubled, whatever the cuts and rates.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Fault {
    Cut(usize, usize, bool),
    OneWay(usize, usize, bool),
    Unplug(usize, bool),
    Up(usize, u64),
    Down(usize, u64),
    Latency(usize, u64),
}

fn faults() -> impl Strategy<Value = Vec<(u64, Fault)>> {
    let (host, other) = (0_usize..3, 0_usize..3);
    let rate = prop_oneof![Just(20_000_u64), Just(1_000_000), Just(100_000_000), Just(u64::MAX)];
    let fault = prop_oneof![
        (host.clone(), other.clone(), any::<bool>()).prop_map(|(a, b, cut)| Fault::Cut(a, b, cut)),
        (host.clone(), other, any::<bool>()).prop_map(|(a, b, cut)| Fault::OneWay(a, b, cut)),
        (host.clone(), any::<bool>()).prop_map(|(host, out)| Fault::Unplug(host, out)),
        (host.clone(), rate.clone()).prop_map(|(host, rate)| Fault::Up(host, rate)),
        (host.clone(), rate).prop_map(|(host, rate)| Fault::Down(host, rate)),
        (host, 0_u64..200).prop_map(|(host, ms)| Fault::Latency(host, ms)),
    ];
    prop::collection::vec((0_u64..120, fault), 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn bytes_arrive_in_order_and_once(
        seed in any::<u64>(),
        faults in faults(),
        writes in prop::collection::vec((1_usize..200_000, 1_usize..90_000), 6),
    ) {
        let mut world = World::new(seed);
        let mut links = [LinkConfig::DEFAULT; 3];
        let hosts = links.map(|link| host(&mut world, link));
        // Two hosts send to the third and one of them to the other, each on two streams.
        let received = [sink(&mut world, hosts[1]), sink(&mut world, hosts[2])];
        let (of_first, of_second) = writes.split_at(4);
        let plan = |to: &[HostId], writes: &[(usize, usize)]| -> Vec<_> {
            to.iter().zip(writes).map(|(&to, &(total, write))| (to, total, write)).collect()
        };
        let first = plan(&[hosts[1], hosts[1], hosts[2], hosts[2]], of_first);
        source(&mut world, hosts[0], first);
        let sender = host(&mut world, LinkConfig::DEFAULT);
        source(&mut world, sender, plan(&[hosts[2], hosts[2]], of_second));
        for (wait, fault) in faults {
            world.run_for(MS(wait));
            match fault {
                Fault::Cut(a, b, cut) => world.set_cut(hosts[a], hosts[b], cut),
                Fault::OneWay(a, b, cut) => world.set_one_way_cut(hosts[a], hosts[b], cut),
                Fault::Unplug(host, out) => world.unplug(hosts[host], out),
                Fault::Up(host, rate) => links[host].up_bytes_per_s = rate,
                Fault::Down(host, rate) => links[host].down_bytes_per_s = rate,
                Fault::Latency(host, ms) => links[host].latency = MS(ms),
            }
            hosts.iter().zip(links).for_each(|(&host, link)| world.set_link(host, link));
        }
        for (index, &host) in hosts.iter().enumerate() {
            world.unplug(host, false);
            world.set_link(host, LinkConfig::DEFAULT);
            hosts[index..].iter().for_each(|&other| world.set_cut(host, other, false));
        }
        world.run_for(MS(60_000));
        let got: Vec<_> = received.iter().flat_map(Received::bytes).collect();
        for bytes in &got {
            prop_assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == pattern(at)));
        }
        let mut got: Vec<_> = got.iter().map(Vec::len).collect();
        let mut expected: Vec<_> = writes.iter().map(|&(total, _)| total).collect();
        got.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(got, expected);
    }
}
