//! Limits of speed and number, measured on the simulated clock.

use cluster_config::{Limit, Rate};
use control::{Command, TorrentSettings, TorrentState};
use env::sim::HostId;
use swarm::Settings;

use crate::lab::{Lab, Sample};

const PIECE: u32 = 64 * 1024;
const LIMIT: u64 = 300_000;

/// Measures how fast leeches take torrents together, from second 2 to 7.
fn measure(
    node: impl Fn(&mut Settings, &str) + Copy,
    torrent: impl Fn(&mut TorrentSettings, &str) + Copy,
    torrents: usize,
) -> f64 {
    let mut lab = Lab::new(1);
    let seed = lab.host_with("seed", |settings| node(settings, "seed"));
    let leech = lab.host_with("leech", |settings| node(settings, "leech"));
    let names = ["one", "two"].into_iter().take(torrents);
    let samples: Vec<_> = names.map(|name| Sample::single(name, 3_000_000, PIECE)).collect();
    for sample in &samples {
        lab.put(seed, sample);
        lab.add_with(seed, sample, &[], |add| torrent(&mut add.settings, "seed"));
        lab.until_state(seed, sample.id, TorrentState::Seeding, 10);
    }
    for sample in &samples {
        lab.add_with(leech, sample, &[seed], |add| torrent(&mut add.settings, "leech"));
    }
    let taken = |lab: &mut Lab| -> f64 {
        let of = |sample: &Sample| lab.detail(leech, sample.id).torrent.downloaded_bytes as f64;
        samples.iter().map(of).sum()
    };
    lab.run(2.0);
    let (from, before) = (lab.world.now(), taken(&mut lab));
    lab.run(5.0);
    let after = taken(&mut lab);
    (after - before) / lab.world.now().since(from).as_secs_f64()
}

fn is_close(measured: f64, limit: u64) {
    let limit = limit as f64;
    assert!((measured / limit - 1.0).abs() < 0.1, "{measured} instead of {limit} bytes a second");
}

#[test]
fn a_node_downloads_and_uploads_no_faster_than_it_may() {
    for limited in ["leech", "seed"] {
        let node = |settings: &mut Settings, who: &str| {
            if who == limited {
                let limit = Rate::from_bytes_per_s(LIMIT);
                let rates = &mut settings.engine.rates;
                *(if who == "leech" { &mut rates.down } else { &mut rates.up }) = limit;
            }
        };
        is_close(measure(node, |_, _| {}, 2), LIMIT);
    }
}

#[test]
fn a_torrent_downloads_and_uploads_no_faster_than_it_may() {
    for limited in ["leech", "seed"] {
        let torrent = |settings: &mut TorrentSettings, who: &str| {
            if who == limited {
                *(if who == "leech" {
                    &mut settings.down_bytes_per_s
                } else {
                    &mut settings.up_bytes_per_s
                }) = LIMIT;
            }
        };
        is_close(measure(|_, _| {}, torrent, 2), 2 * LIMIT);
    }
}

#[test]
fn a_limit_that_is_lifted_no_longer_holds() {
    let mut lab = Lab::new(2);
    let (seed, leech) = (lab.host("seed"), lab.host("leech"));
    let sample = Sample::single("sample", 3_000_000, PIECE);
    lab.seed(seed, &sample);
    lab.add_with(leech, &sample, &[seed], |add| add.settings.down_bytes_per_s = 50_000);
    lab.run(5.0);
    let slow = lab.detail(leech, sample.id).torrent.have_bytes;
    assert!(slow < 400_000, "{slow}");
    let settings = Box::<TorrentSettings>::default();
    lab.command(leech, Command::Set { id: sample.id, settings }).expect("a torrent");
    lab.until_whole(leech, &sample, 5);
}

fn leeches(lab: &mut Lab, seed: HostId, sample: &Sample, count: usize) -> Vec<HostId> {
    let leeches: Vec<_> = (0..count)
        .map(|n| {
            let slow = Rate::from_bytes_per_s(50_000);
            lab.host_with(&format!("leech{n}"), |settings| settings.engine.rates.down = slow)
        })
        .collect();
    for &leech in &leeches {
        lab.add(leech, sample, &[seed]);
    }
    leeches
}

#[test]
fn a_torrent_and_a_node_have_no_more_connections_than_they_may() {
    for of_node in [false, true] {
        let mut lab = Lab::new(3);
        let seed = lab.host_with("seed", |settings| {
            let network = &mut settings.engine.network;
            let limit = if of_node {
                &mut network.max_connections
            } else {
                &mut network.max_connections_per_torrent
            };
            *limit = 2;
        });
        let sample = Sample::single("sample", 1_000_000, PIECE);
        lab.seed(seed, &sample);
        leeches(&mut lab, seed, &sample, 5);
        for _ in 0..20 {
            lab.run(0.3);
            let peers = lab.detail(seed, sample.id).torrent.peers;
            assert!(peers <= 2 && lab.node(seed).peers <= 2, "{peers}");
        }
        assert_eq!(lab.detail(seed, sample.id).torrent.peers, 2);
    }
}

#[test]
fn a_torrent_takes_no_more_peers_than_its_own_setting() {
    let mut lab = Lab::new(4);
    let seed = lab.host("seed");
    let sample = Sample::single("sample", 1_000_000, PIECE);
    lab.put(seed, &sample);
    lab.add_with(seed, &sample, &[], |add| add.settings.connections_max = 3);
    leeches(&mut lab, seed, &sample, 5);
    lab.run(5.0);
    assert_eq!(lab.detail(seed, sample.id).torrent.peers, 3);
}

#[test]
fn the_queue_lets_the_next_one_run_when_one_is_done() {
    let mut lab = Lab::new(5);
    let seed = lab.host("seed");
    let leech = lab.host_with("leech", |settings| {
        settings.engine.queue.active_downloads = Limit::at_most(2);
    });
    let names = ["a", "b", "c", "d", "e"];
    let samples: Vec<_> = names.map(|name| Sample::single(name, 500_000, PIECE)).into();
    for sample in &samples {
        lab.seed(seed, sample);
    }
    for sample in &samples {
        lab.add(leech, sample, &[]);
    }
    lab.run(1.0);
    let states = |lab: &mut Lab| -> Vec<TorrentState> {
        samples.iter().map(|sample| lab.detail(leech, sample.id).torrent.state).collect()
    };
    let count = |states: &[TorrentState], state| states.iter().filter(|&&s| s == state).count();
    for done in 0..=3 {
        let now = states(&mut lab);
        let counts = [TorrentState::Downloading, TorrentState::Queued, TorrentState::Seeding];
        assert_eq!(counts.map(|state| count(&now, state)), [2, 3 - done, done], "{now:?}");
        let next = now.iter().position(|&state| state == TorrentState::Downloading);
        let sample = &samples[next.expect("one that downloads")];
        let peers = vec![Lab::address(seed)];
        lab.command(leech, Command::AddPeers { id: sample.id, peers }).expect("a torrent");
        lab.until_whole(leech, sample, 10);
        lab.run(0.5);
    }
}
