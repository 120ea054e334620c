//! A panic in any actor is survived as the tree says, and nothing is left behind.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use control::{Command, EventKind, Reply, TorrentId, TorrentState};
use env::sim::{DiskFaults, HostId, LinkConfig};
use event_log::EventLogError;

use super::lab::{EVENT_AGE, Lab, Sample};
use crate::member::Victim as Inner;
use crate::session::SessionMsg;
use crate::torrent::{TorrentMsg, Victim};

const PIECE: u32 = 64 * 1024;
/// So slow that a transfer can be disturbed in its middle.
const LINK: LinkConfig = LinkConfig { up_bytes_per_s: 2_000_000, ..LinkConfig::DEFAULT };

type Counts = BTreeMap<&'static str, usize>;

/// A seed and a leech with two torrents, one of which is to be disturbed.
struct Pair {
    lab: Lab,
    seed: HostId,
    leech: HostId,
    victim: Sample,
    other: Sample,
    baselines: [Counts; 2],
}

impl Pair {
    fn new() -> Self {
        let mut lab = Lab::new(1);
        let seed = lab.host_on("seed", LINK, |_| {});
        let leech = lab.host("leech");
        lab.run(0.1);
        let baselines = [lab.live(seed), lab.live(leech)];
        let victim = Sample::single("victim", 2_000_000, PIECE);
        let other = Sample::single("other", 2_000_000, PIECE);
        lab.seed(seed, &victim);
        lab.seed(seed, &other);
        for sample in [&victim, &other] {
            lab.add_with(leech, sample, &[seed], |add| {
                add.settings.trackers = vec!["udp://nowhere:80/announce".to_owned()];
            });
        }
        lab.run(0.5);
        Self { lab, seed, leech, victim, other, baselines }
    }

    /// Both torrents complete, and after their removal nothing is left.
    fn ends_well(&mut self) {
        let Self { lab, seed, leech, victim, other, baselines } = self;
        lab.until_whole(*leech, other, 60);
        lab.until_whole(*leech, victim, 120);
        for host in [*leech, *seed] {
            assert_eq!(lab.node(host).unwritten_bytes, 0, "credit is left on host {}", host.0);
            lab.remove(host, victim.id, true);
            lab.remove(host, other.id, true);
        }
        lab.run(2.0);
        assert_eq!([lab.live(*seed), lab.live(*leech)], *baselines, "something is left");
        let node = lab.node(*leech);
        assert_eq!((node.torrents, node.active, node.peers), (0, 0, 0));
    }

    fn panic(&mut self, whom: Victim) {
        let id = self.victim.id;
        panic_at(&mut self.lab, self.leech, id, whom);
    }
}

fn panic_at(lab: &mut Lab, host: HostId, id: TorrentId, whom: Victim) {
    lab.ask(host, move |swarm| async move {
        let message = Box::new(TorrentMsg::Panic(whom));
        swarm.session().cast(SessionMsg::Route { id, message }).unwrap();
    });
}

fn errors(lab: &Lab, host: HostId) -> Vec<EventKind> {
    let is_error = |kind: &EventKind| matches!(kind, EventKind::Error { .. });
    lab.events(host).into_iter().filter(is_error).collect()
}

#[test]
fn a_download_goes_on_whoever_of_its_tree_panics() {
    let victims = [
        Victim::Torrent,
        Victim::Tracker,
        Victim::Member(Inner::Member),
        Victim::Member(Inner::Storage),
        Victim::Member(Inner::Peer),
        Victim::Member(Inner::Piece),
    ];
    for whom in victims {
        let mut pair = Pair::new();
        let have = |pair: &mut Pair| pair.lab.detail(pair.leech, pair.victim.id).torrent.have_bytes;
        let before = have(&mut pair);
        assert!(before > 0 && before < pair.victim.len(), "{before} bytes");
        pair.panic(whom);
        pair.lab.run(0.01);
        pair.ends_well();
        assert_eq!(errors(&pair.lab, pair.leech), [], "{whom:?}");
    }
}

#[test]
fn nothing_panicked_and_nothing_is_left() {
    Pair::new().ends_well();
}

#[test]
fn a_seed_goes_on_whoever_of_its_tree_panics() {
    for whom in [Victim::Torrent, Victim::Member(Inner::Member), Victim::Member(Inner::Peer)] {
        let mut pair = Pair::new();
        let id = pair.victim.id;
        panic_at(&mut pair.lab, pair.seed, id, whom);
        pair.ends_well();
        assert_eq!(errors(&pair.lab, pair.seed), [], "{whom:?}");
    }
}

#[test]
fn a_listener_that_panics_listens_again_at_the_same_place() {
    let mut lab = Lab::new(2);
    let (seed, leech) = (lab.host("seed"), lab.host("leech"));
    let sample = Sample::single("sample", 500_000, PIECE);
    lab.seed(seed, &sample);
    let before = lab.live(seed);
    lab.ask(seed, |swarm| async move {
        swarm.node_parts().listener_panics.store(true, Ordering::Release);
    });
    lab.add(leech, &sample, &[seed]);
    lab.run(0.2);
    assert!(!lab.live(seed).contains_key("listener"), "it did not panic");
    lab.until_whole(leech, &sample, 30);
    assert_eq!(lab.node(seed).listening, [Lab::address(seed)]);
    lab.remove(leech, sample.id, false);
    lab.run(30.0);
    assert_eq!(lab.live(seed).get("listener"), before.get("listener"));
}

#[test]
fn disk_jobs_that_panic_are_done_again() {
    for host in [0, 1] {
        let mut pair = Pair::new();
        let host = [pair.leech, pair.seed][host];
        let disk = pair.lab.world.disk(host).clone();
        disk.set_faults(DiskFaults { jobs_panic: true, ..DiskFaults::default() });
        pair.lab.run(0.2);
        disk.set_faults(DiskFaults::default());
        pair.ends_well();
        assert_eq!(errors(&pair.lab, host), []);
    }
}

#[test]
fn disk_jobs_that_go_on_to_panic_end_the_torrent_in_error() {
    let mut pair = Pair::new();
    let disk = pair.lab.world.disk(pair.leech).clone();
    disk.set_faults(DiskFaults { jobs_panic: true, ..DiskFaults::default() });
    for id in [pair.victim.id, pair.other.id] {
        pair.lab.until_state(pair.leech, id, TorrentState::Error, 60);
    }
    let of_seed = pair.lab.detail(pair.seed, pair.victim.id).torrent;
    assert!(of_seed.uploaded_bytes < 2 * pair.victim.len(), "{of_seed:?}");
    disk.set_faults(DiskFaults::default());
    for id in [pair.victim.id, pair.other.id] {
        pair.lab.command(pair.leech, Command::Start(id)).unwrap();
        let peers = vec![Lab::address(pair.seed)];
        pair.lab.command(pair.leech, Command::AddPeers { id, peers }).unwrap();
    }
    pair.ends_well();
}

#[test]
fn a_hash_worker_that_panics_works_on() {
    let mut pair = Pair::new();
    pair.lab.ask(pair.leech, |swarm| async move { swarm.node_parts().disk.panic_hasher() });
    pair.lab.run(0.2);
    pair.ends_well();
    assert_eq!(errors(&pair.lab, pair.leech), []);
}

#[test]
fn a_recheck_begins_again_when_its_storage_panics() {
    let mut lab = Lab::new(3);
    let host = lab.host("seed");
    let sample = Sample::single("sample", 20_000_000, PIECE);
    lab.put(host, &sample);
    let delay = std::time::Duration::from_millis(100);
    lab.world.disk(host).set_faults(DiskFaults { delay, ..DiskFaults::default() });
    lab.add(host, &sample, &[]);
    lab.until(host, sample.id, 10, |detail| detail.torrent.checked.is_some_and(|part| part > 0.0));
    panic_at(&mut lab, host, sample.id, Victim::Member(Inner::Storage));
    lab.until_whole(host, &sample, 60);
    assert_eq!(errors(&lab, host), []);
}

#[test]
fn storage_that_fails_too_often_ends_the_torrent_in_error() {
    let mut pair = Pair::new();
    let (leech, id) = (pair.leech, pair.victim.id);
    for _ in 0..4 {
        pair.panic(Victim::Member(Inner::Storage));
        pair.lab.run(1.5);
    }
    let detail = pair.lab.until_state(leech, id, TorrentState::Error, 1);
    let error = detail.torrent.error.unwrap();
    assert!(error.contains("storing the torrent failed too often"), "{error}");
    let other = pair.other.clone();
    pair.lab.until_whole(leech, &other, 60);
    assert_eq!(pair.lab.command(leech, Command::Start(id)), Ok(Reply::Done));
    let peers = vec![Lab::address(pair.seed)];
    pair.lab.command(leech, Command::AddPeers { id, peers }).unwrap();
    pair.ends_well();
}

#[test]
fn a_torrent_that_fails_too_often_ends_in_error_and_touches_no_other() {
    for whom in [Victim::Torrent, Victim::Member(Inner::Member)] {
        let mut pair = Pair::new();
        let (leech, id) = (pair.leech, pair.victim.id);
        // Faster than it could complete in the meantime.
        pair.lab.world.set_cut(pair.seed, leech, true);
        for n in 0..6 {
            pair.panic(whom);
            pair.lab.run(f64::from(1 << n) + 1.0);
        }
        let detail = pair.lab.until_state(leech, id, TorrentState::Error, 1);
        assert!(detail.torrent.error.unwrap().contains("too often"), "{whom:?}");
        assert_eq!(errors(&pair.lab, leech).len(), 1);
        let other = pair.lab.detail(leech, pair.other.id).torrent;
        assert!(other.error.is_none() && other.state == TorrentState::Downloading, "{other:?}");
        let seed = pair.seed;
        pair.lab.world.set_cut(seed, leech, false);
        assert_eq!(pair.lab.command(leech, Command::Start(id)), Ok(Reply::Done));
        let peers = vec![Lab::address(seed)];
        pair.lab.command(leech, Command::AddPeers { id, peers }).unwrap();
        pair.ends_well();
    }
}

#[test]
fn events_outlive_a_publisher_that_panics_and_a_log_that_fails() {
    let mut lab = Lab::new(3);
    let (seed, leech) = (lab.host_on("seed", LINK, |_| {}), lab.host("leech"));
    let sample = Sample::single("sample", 1_000_000, PIECE);
    lab.seed(seed, &sample);
    lab.log(leech).fail(Some(EventLogError::Unavailable("as the test wants it".to_owned())));
    lab.add(leech, &sample, &[seed]);
    lab.run(0.2);
    lab.ask(leech, |swarm| async move { swarm.node_parts().publisher.as_ref().unwrap().panic() });
    lab.run(0.2);
    lab.log(leech).fail(None);
    lab.until_whole(leech, &sample, 30);
    lab.run(5.0);
    let kept = lab.kept(leech);
    assert!(kept.len() > 3, "{kept:?}");
    // None is missing and none came twice: nothing was appended when the actor fell.
    let all: Vec<_> = (kept[0]..).take(kept.len()).collect();
    assert_eq!((kept.len(), kept), (lab.events(leech).len(), all));
}

#[test]
fn events_that_were_kept_long_enough_are_removed() {
    let mut lab = Lab::new(4);
    let host = lab.host("host");
    let sample = Sample::single("sample", 100_000, PIECE);
    lab.seed(host, &sample);
    lab.run(1.0);
    let first = lab.kept(host);
    assert!(!first.is_empty());
    lab.run(EVENT_AGE.as_secs_f64() - 30.0);
    assert_eq!(lab.kept(host)[..first.len()], first);
    lab.run(2.0 * 3600.0);
    assert!(!lab.kept(host).contains(&first[0]), "{:?}", lab.kept(host));
}
