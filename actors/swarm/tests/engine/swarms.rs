//! Swarms of several hosts: spreading, finding each other, lying, hiding, being cut off.

use std::time::Duration;

use cluster_config::Encryption;
use control::{Command, EventKind, Source, TorrentState};
use env::sim::{HostId, LinkConfig};

use crate::lab::{Lab, Sample};

const PIECE: u32 = 64 * 1024;

fn link(up_bytes_per_s: u64) -> LinkConfig {
    LinkConfig { latency: Duration::from_millis(20), up_bytes_per_s, ..LinkConfig::DEFAULT }
}

#[test]
fn eight_leeches_spread_what_one_seed_has_and_find_each_other() {
    let mut lab = Lab::new(1);
    let sample = Sample::single("sample", 3_000_000, PIECE);
    let seed = lab.host_on("seed", link(30_000), |_| {});
    let leeches: Vec<_> =
        (0..8).map(|n| lab.host_on(&format!("leech{n}"), link(60_000), |_| {})).collect();
    lab.seed(seed, &sample);
    // One knows the seed, the others know that one.
    lab.add(leeches[0], &sample, &[seed]);
    for &leech in &leeches[1..] {
        lab.add(leech, &sample, &[leeches[0]]);
    }
    lab.run(90.0);
    let of_seed = lab.detail(seed, sample.id);
    assert!(of_seed.torrent.peers >= 4, "peer exchange: {:?}", of_seed.peer_list);
    for &leech in &leeches {
        lab.until_whole(leech, &sample, 900);
    }
    lab.run(1.0);
    let sent = |lab: &mut Lab, host| lab.detail(host, sample.id).torrent.uploaded_bytes;
    let by_seed = sent(&mut lab, seed);
    let by_leeches: Vec<_> = leeches.iter().map(|&leech| sent(&mut lab, leech)).collect();
    let all = by_seed + by_leeches.iter().sum::<u64>();
    assert!(all >= 8 * sample.len(), "{all} bytes were sent");
    // At the end blocks are asked of several, and a slow link holds many that are taken back too late.
    assert!(all <= 8 * sample.len() * 6 / 5, "{all} bytes were sent");
    assert!(by_seed * 2 < all, "the seed sent {by_seed} of {all} bytes");
    let helpers = by_leeches.iter().filter(|&&sent| sent > 100_000).count();
    assert!(helpers >= 5, "{by_leeches:?}");
}

#[test]
fn a_peer_that_lies_is_banned_by_all_and_spoils_nothing() {
    let mut lab = Lab::new(2);
    let sample = Sample::single("sample", 2_000_000, PIECE);
    let (seed, liar) = (lab.host_on("seed", link(500_000), |_| {}), lab.host("liar"));
    lab.seed(seed, &sample);
    lab.seed(liar, &sample);
    // After its check, so that it does not know.
    let mut bytes = sample.files[0].1.clone();
    bytes.chunks_mut(1024).for_each(|part| part[7] ^= 1);
    lab.world.disk(liar).put("/data/downloads/sample", &bytes);
    let leeches: Vec<_> =
        (0..4).map(|n| lab.host_on(&format!("leech{n}"), link(500_000), |_| {})).collect();
    for &leech in &leeches {
        lab.add(leech, &sample, &[seed, liar]);
    }
    for &leech in &leeches {
        lab.until_whole(leech, &sample, 120);
    }
    let banned = format!("banned {}", Lab::address(liar));
    for &leech in &leeches {
        let events = lab.events(leech);
        let anomalies: Vec<_> = events
            .into_iter()
            .filter_map(|kind| match kind {
                EventKind::Anomaly { message } => Some(message),
                _ => None,
            })
            .collect();
        assert!(anomalies.contains(&banned), "host {}: {anomalies:?}", leech.0);
        let bans = anomalies.iter().filter(|message| message.starts_with("banned"));
        assert_eq!(bans.count(), 1, "an honest peer was banned: {anomalies:?}");
    }
}

#[test]
fn a_magnet_link_becomes_a_torrent() {
    let mut lab = Lab::new(3);
    let sample = Sample::new("many", &[("a", 700_000), ("b", 800_000)], 16 * 1024);
    let (seed, leech, other) = (lab.host("seed"), lab.host("leech"), lab.host("other"));
    lab.seed(seed, &sample);
    let by_link = |add: &mut control::AddTorrent, link: String| add.source = Source::Magnet(link);
    let link = sample.magnet();
    lab.add_with(leech, &sample, &[seed], |add| by_link(add, link));
    lab.until_whole(leech, &sample, 30);
    let named = format!("{}&x.pe={}", sample.magnet(), Lab::address(leech));
    lab.add_with(other, &sample, &[], |add| by_link(add, named));
    lab.until_whole(other, &sample, 30);
    let metadata = EventKind::Metadata { name: "many".to_owned(), total_bytes: 1_500_000 };
    assert!(lab.events(other).contains(&metadata));
    // What came over the link outlives the process.
    lab.kill(other, env::sim::Kill::Process);
    lab.start(other);
    lab.until_whole(other, &sample, 10);
}

#[test]
fn hosts_that_require_encryption_speak_encrypted_and_with_no_other() {
    let mut lab = Lab::new(4);
    let sample = Sample::single("sample", 1_000_000, PIECE);
    let with = |lab: &mut Lab, name: &str, encryption| {
        lab.host_with(name, |settings| settings.engine.network.encryption = encryption)
    };
    let seed = with(&mut lab, "seed", Encryption::Require);
    let plain = with(&mut lab, "plain", Encryption::Plain);
    let prefer = with(&mut lab, "prefer", Encryption::Prefer);
    let leech = with(&mut lab, "leech", Encryption::Require);
    lab.seed(seed, &sample);
    lab.add_with(leech, &sample, &[seed], |add| add.settings.down_bytes_per_s = 500_000);
    lab.add(plain, &sample, &[seed]);
    lab.run(0.5);
    let peers = lab.detail(leech, sample.id).peer_list;
    assert!(peers.len() == 1 && peers[0].encrypted, "{peers:?}");
    lab.until_whole(leech, &sample, 30);
    lab.add(prefer, &sample, &[seed]);
    lab.until_whole(prefer, &sample, 30);
    assert_eq!(lab.detail(plain, sample.id).torrent.downloaded_bytes, 0);
}

#[test]
fn two_that_dial_each_other_at_once_keep_one_connection() {
    for seed in 0..4 {
        let mut lab = Lab::new(seed);
        let sample = Sample::single("sample", 1_000_000, PIECE);
        let hosts = [lab.host("one"), lab.host("two")];
        for host in hosts {
            lab.add(host, &sample, &[]);
        }
        lab.run(1.0);
        for (host, other) in [(hosts[0], hosts[1]), (hosts[1], hosts[0])] {
            let id = sample.id;
            lab.ask(host, move |swarm| async move {
                let peers = vec![Lab::address(other)];
                control::Engine::command(&swarm, Command::AddPeers { id, peers }).await
            })
            .expect("a torrent");
        }
        lab.run(5.0);
        let counts = hosts.map(|host| lab.detail(host, sample.id).torrent.peers);
        assert_eq!(counts, [1, 1], "seed {seed}");
        // And they keep it.
        let before = hosts.map(|host| lab.live(host));
        lab.run(60.0);
        let counts = hosts.map(|host| lab.detail(host, sample.id).torrent.peers);
        assert_eq!(counts, [1, 1], "seed {seed}: {before:?}");
    }
}

#[test]
fn a_cut_holds_a_transfer_up_and_no_more() {
    for seconds in [5.0, 200.0] {
        let mut lab = Lab::new(5);
        let sample = Sample::single("sample", 2_000_000, PIECE);
        let seed = lab.host_on("seed", link(1_000_000), |_| {});
        let leech = lab.host("leech");
        lab.seed(seed, &sample);
        lab.add(leech, &sample, &[seed]);
        lab.run(1.0);
        lab.world.set_cut(seed, leech, true);
        lab.run(1.0);
        let before = lab.detail(leech, sample.id).torrent.have_bytes;
        assert!(before > 0 && before < sample.len(), "{before}");
        lab.run(seconds);
        assert_eq!(lab.detail(leech, sample.id).torrent.have_bytes, before);
        lab.world.set_cut(seed, leech, false);
        lab.until_whole(leech, &sample, 300);
    }
}

#[test]
fn a_host_that_is_restarted_by_power_still_seeds_only_what_is_right() {
    let mut lab = Lab::new(6);
    let sample = Sample::single("sample", 3_000_000, PIECE);
    let seed = lab.host_on("seed", link(1_000_000), |_| {});
    let (middle, last) = (lab.host("middle"), lab.host("last"));
    lab.seed(seed, &sample);
    lab.add(middle, &sample, &[seed]);
    lab.run(2.0);
    lab.kill(middle, env::sim::Kill::Power);
    lab.run(1.0);
    lab.start(middle);
    lab.run(1.0);
    let there = lab.detail(middle, sample.id).torrent;
    assert!(there.have_bytes > 0 && there.state == TorrentState::Downloading, "{there:?}");
    // It alone is known to the last.
    lab.add(last, &sample, &[middle]);
    connect(&mut lab, middle, &sample, seed);
    lab.until_whole(last, &sample, 120);
    let is_false = |kind: &EventKind| matches!(kind, EventKind::Anomaly { .. });
    assert!(!lab.events(last).iter().any(is_false), "{:?}", lab.events(last));
}

fn connect(lab: &mut Lab, host: HostId, sample: &Sample, to: HostId) {
    let peers = vec![Lab::address(to)];
    lab.command(host, Command::AddPeers { id: sample.id, peers }).expect("a torrent");
}
