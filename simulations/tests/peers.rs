//! The tracker and the liar of simulations beside real engines.

#![expect(
    clippy::expect_used,
    reason = "a test may panic, and clippy knows only functions that are tests"
)]

#[path = "../../actors/swarm/tests/engine/lab.rs"]
mod lab;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use control::TorrentState;
use env::NodeEnv;
use env::sim::{HostId, Kill, LinkConfig, World};
use lab::{Lab, Sample};
use simulations::peers;

const PIECE: u32 = 64 * 1024;

fn tracker_host(lab: &mut Lab) -> (HostId, String) {
    let host = lab.bare_host("tracker", LinkConfig::default());
    lab.world.start(host, |env| Box::pin(peers::tracker(env)));
    let url = format!("http://{}:{}/announce", World::ip_of(host), peers::TRACKER_PORT);
    (host, url)
}

/// Adds a torrent to a host that knows nothing but a tracker.
fn add_with_tracker(lab: &mut Lab, host: HostId, sample: &Sample, url: &str) {
    lab.add_with(host, sample, &[], |add| add.settings.trackers = vec![url.to_owned()]);
}

#[test]
fn engines_find_each_other_through_the_tracker() {
    let mut lab = Lab::new(1);
    let sample = Sample::single("sample", 1_000_000, PIECE);
    let (_, url) = tracker_host(&mut lab);
    let (seed, leech) = (lab.host("seed"), lab.host("leech"));
    lab.put(seed, &sample);
    add_with_tracker(&mut lab, seed, &sample, &url);
    lab.until_state(seed, sample.id, TorrentState::Seeding, 10);
    add_with_tracker(&mut lab, leech, &sample, &url);
    lab.until_whole(leech, &sample, 60);
    let trackers = lab.detail(leech, sample.id).trackers;
    assert!(trackers.iter().all(|tracker| tracker.message.is_none()), "{trackers:?}");
}

#[test]
fn a_tracker_that_comes_back_is_found_again() {
    let mut lab = Lab::new(2);
    let sample = Sample::single("sample", 1_000_000, PIECE);
    let (tracker, url) = tracker_host(&mut lab);
    lab.kill(tracker, Kill::Process);
    let (seed, leech) = (lab.host("seed"), lab.host("leech"));
    lab.put(seed, &sample);
    add_with_tracker(&mut lab, seed, &sample, &url);
    add_with_tracker(&mut lab, leech, &sample, &url);
    lab.run(20.0);
    assert_eq!(lab.detail(leech, sample.id).torrent.peers, 0);
    lab.world.start(tracker, |env| Box::pin(peers::tracker(env)));
    lab.until_whole(leech, &sample, 900);
}

/// What the tracker answers to these bytes; nothing if it closes without a word.
fn raw_answer(request: Vec<u8>) -> String {
    let mut lab = Lab::new(3);
    let (tracker, _) = tracker_host(&mut lab);
    let to = SocketAddr::new(World::ip_of(tracker), peers::TRACKER_PORT);
    let raw = lab.bare_host("raw", LinkConfig::default());
    let answer = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&answer);
    lab.world.start(raw, move |env: NodeEnv| {
        Box::pin(async move {
            let stream = env.net().connect(to, None).await.expect("a connection");
            stream.write_all(&request).await.expect("sent");
            let mut received = BytesMut::with_capacity(4096);
            while stream.read_some(&mut received).await.is_ok_and(|read| read > 0) {
                received.reserve(4096);
            }
            *slot.lock().expect("a lock") = Some(String::from_utf8_lossy(&received).into_owned());
        })
    });
    let told = |_: &World| answer.lock().expect("a lock").is_some();
    assert!(lab.world.run_until(Duration::from_secs(15), told), "neither answered nor closed");
    answer.lock().expect("a lock").take().expect("an answer")
}

#[test]
fn bad_requests_are_answered_with_a_reason_and_slow_ones_are_cut_off() {
    let answer = raw_answer(b"GET /announce?port=1 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("d14:failure reason28:info_hash must have 20 bytese"), "{answer}");
    let answer = raw_answer([b"GET /announce?".to_vec(), vec![b'a'; 10_000]].concat());
    assert!(answer.ends_with("d14:failure reason23:the request is too longe"), "{answer}");
    assert_eq!(raw_answer(b"GET /announce?port=1 HT".to_vec()), "");
}

#[test]
fn a_liar_claims_everything_gives_nothing_and_stays() {
    let mut lab = Lab::new(4);
    let sample = Sample::single("sample", 1_000_000, PIECE);
    let pieces = 1_000_000_u32.div_ceil(PIECE);
    let (leech, late) = (lab.host("leech"), lab.host("late"));
    let liar = lab.bare_host("liar", LinkConfig::default());
    let info_hash = bittorrent::InfoHash(sample.id.0);
    let known = vec![Lab::address(leech)];
    lab.world.start(liar, move |env| Box::pin(peers::liar(env, info_hash, pieces, known)));
    // It was there before the torrent was, and comes again.
    lab.run(5.0);
    lab.add(leech, &sample, &[]);
    let detail = lab.until(leech, sample.id, 60, |detail| detail.peer_list.len() == 1);
    assert_eq!(detail.peer_list[0].address.ip(), World::ip_of(liar));
    lab.add(late, &sample, &[liar]);
    lab.run(400.0);
    for host in [leech, late] {
        let detail = lab.detail(host, sample.id);
        let peer = detail.peer_list.iter().find(|peer| peer.address.ip() == World::ip_of(liar));
        let peer = peer.expect("the liar is connected");
        assert!((peer.progress - 1.0).abs() < 1e-9 && !peer.choked && peer.interested);
        assert_eq!((peer.downloaded_bytes, detail.torrent.have_bytes), (0, 0));
    }
}
