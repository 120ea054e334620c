//! Announces as our own client writes them, and as nobody should.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bittorrent::tracker::http::{announce_target, parse_announce};
use bittorrent::tracker::{AnnounceRequest, AnnounceResponse, Error, Event, Identity, Totals};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

/// A tracker at a moment.
struct Bench {
    tracker: Tracker,
    now: Time,
    rng: SmallRng,
}

fn bench() -> Bench {
    Bench { tracker: Tracker::new(), now: Time::ZERO, rng: SmallRng::seed_from_u64(1) }
}

/// The announce of the `n`th peer.
fn request(n: u16, left: u64, event: Event) -> AnnounceRequest {
    AnnounceRequest {
        identity: Identity {
            info_hash: InfoHash([0xab; 20]),
            peer_id: PeerId(*b"-TE0100-abc.~_+/ \x00\xff9"),
            port: 6881 + n,
            key: 0,
            ip: None,
            ipv6: None,
        },
        totals: Totals { uploaded: 0, downloaded: 0, left },
        event,
        numwant: 200,
        tracker_id: None,
    }
}

fn query(request: &AnnounceRequest) -> String {
    let target = announce_target(&"http://t/announce".parse().unwrap(), request);
    target.split_once('?').unwrap().1.to_owned()
}

impl Bench {
    fn raw(&mut self, query: &str) -> Bytes {
        self.tracker.announce(self.now, [10, 0, 0, 1].into(), query, &mut self.rng)
    }

    fn ask(&mut self, query: &str) -> Result<AnnounceResponse, Error> {
        parse_announce(&self.raw(query), 1 << 20)
    }

    fn announce(&mut self, n: u16, left: u64, event: Event) -> AnnounceResponse {
        self.ask(&query(&request(n, left, event))).unwrap()
    }

    fn refusal(&mut self, query: &str) -> String {
        match self.ask(query) {
            Err(Error::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn ports(response: &AnnounceResponse) -> BTreeSet<u16> {
    response.peers.iter().map(SocketAddr::port).collect()
}

#[test]
fn peers_hear_of_each_other_and_not_of_themselves() {
    let mut bench = bench();
    let first = bench.announce(0, 5, Event::Started);
    assert!(first.peers.is_empty());
    assert_eq!((first.seeds, first.leeches), (Some(0), Some(1)));
    let second = bench.announce(1, 0, Event::Started);
    assert_eq!(second.peers, [SocketAddr::from(([10, 0, 0, 1], 6881))]);
    assert_eq!((second.seeds, second.leeches), (Some(1), Some(1)));
    assert_eq!((second.interval, second.min_interval), (INTERVAL, Some(INTERVAL_MIN)));
    let again = bench.announce(0, 0, Event::Completed);
    assert_eq!((ports(&again), again.seeds), (BTreeSet::from([6882]), Some(2)));
}

#[test]
fn a_list_is_given_to_whoever_does_not_ask_for_compact_peers() {
    let mut bench = bench();
    bench.announce(0, 5, Event::Started);
    let request = query(&request(1, 5, Event::None)).replace("compact=1", "compact=0");
    let shown = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let body = bench.raw(&request);
    assert!(shown(&body).contains("5:peersld2:ip8:10.0.0.14:porti6881eeee"), "{body:?}");
    let body = bench.raw(&request.replace("no_peer_id=1", "no_peer_id=0"));
    assert!(shown(&body).contains("2:ip8:10.0.0.17:peer id20:-TE0100-abc"), "{body:?}");
    let parsed = parse_announce(&body, 1 << 20).unwrap();
    assert_eq!(parsed.peers, [SocketAddr::from(([10, 0, 0, 1], 6881))]);
}

#[test]
fn whoever_stops_or_falls_silent_is_forgotten() {
    let mut bench = bench();
    for n in 0..3 {
        bench.announce(n, 5, Event::Started);
    }
    let farewell = bench.announce(0, 5, Event::Stopped);
    assert!(farewell.peers.is_empty());
    assert_eq!(farewell.leeches, Some(2));
    bench.now = Time::from_secs(60);
    assert_eq!(ports(&bench.announce(1, 5, Event::None)), BTreeSet::from([6883]));
    bench.now = Time::from_secs(61);
    assert!(bench.announce(1, 5, Event::None).peers.is_empty());
    bench.now = Time::from_secs(200);
    bench.announce(1, 5, Event::Stopped);
    assert!(bench.tracker.swarms.is_empty());
}

#[test]
fn fifty_peers_at_most_are_drawn_by_lot() {
    let mut bench = bench();
    for n in 0..200 {
        bench.announce(n, 5, Event::Started);
    }
    let (one, other) = (bench.announce(0, 5, Event::None), bench.announce(0, 5, Event::None));
    assert_eq!((one.peers.len(), other.peers.len()), (50, 50));
    assert_ne!(ports(&one), ports(&other));
    assert!(!ports(&one).contains(&6881));
    let mut request = request(0, 5, Event::None);
    request.numwant = 3;
    assert_eq!(bench.ask(&query(&request)).unwrap().peers.len(), 3);
    let none = query(&request).replace("numwant=3", "numwant=0");
    assert!(bench.ask(&none).unwrap().peers.is_empty());
}

#[test]
fn what_is_wrong_is_refused_with_a_reason() {
    let right = query(&request(0, 5, Event::Started));
    for (from, to, reason) in [
        ("&port=6881", "", "port must be 1 to 65535"),
        ("port=6881", "port=0", "port must be 1 to 65535"),
        ("port=6881", "port=65536", "port must be 1 to 65535"),
        ("port=6881", "port=%2B1", "a number is wrong"),
        ("port=6881", "port=-1", "a number is wrong"),
        ("left=5", "left=x", "a number is wrong"),
        ("&left=5", "", "left is missing"),
        ("numwant=200", "numwant=-1", "a number is wrong"),
        ("event=started", "event=paused", "no such event"),
        ("info_hash=%AB", "info_hash=", "info_hash must have 20 bytes"),
        ("info_hash=%AB", "info_hash=%A", "wrong percent-encoding"),
        ("info_hash=%AB", "info_hash=%AG", "wrong percent-encoding"),
        ("peer_id=-", "peer_id=", "peer_id must have 20 bytes"),
    ] {
        assert!(right.contains(from), "{right} has no {from}");
        let wrong = right.replacen(from, to, 1);
        assert_eq!(bench().refusal(&wrong), reason, "{wrong}");
    }
    assert_eq!(bench().refusal(""), "info_hash must have 20 bytes");
    let mut six = bench();
    let ip: IpAddr = "2001:db8::1".parse().unwrap();
    let body = six.tracker.announce(six.now, ip, &right, &mut six.rng);
    assert_eq!(&body[..], b"d14:failure reason20:only IPv4 is trackede");
}

#[test]
fn torrents_and_peers_are_bounded() {
    let mut bench = bench();
    let with_hash = |n: u8| {
        let mut request = request(0, 5, Event::Started);
        request.identity.info_hash = InfoHash([n; 20]);
        query(&request)
    };
    for n in 0..64 {
        bench.ask(&with_hash(n)).unwrap();
    }
    assert_eq!(bench.refusal(&with_hash(64)), "too many torrents");
    bench.now = Time::from_secs(61);
    bench.announce(0, 5, Event::Started);
    let swarm = bench.tracker.swarms.get_mut(&InfoHash([0xab; 20])).unwrap();
    let entry = *swarm.values().next().unwrap();
    let ports = 6881..6881 + 5_000;
    swarm.extend(ports.map(|port| (SocketAddrV4::new([10, 0, 0, 1].into(), port), entry)));
    let one_more = query(&request(5_000, 5, Event::Started));
    assert_eq!(bench.refusal(&one_more), "too many peers");
    assert_eq!(bench.announce(4_999, 5, Event::None).leeches, Some(5_000));
}
