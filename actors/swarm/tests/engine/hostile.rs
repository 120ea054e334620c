//! Peers that are written by hand and do not mean well.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bittorrent::wire::{Handshake, Reserved};
use bittorrent::{InfoHash, PeerId};
use bytes::BytesMut;
use control::TorrentState;
use env::NodeEnv;
use env::net::Stream;
use env::sim::{HostId, LinkConfig};

use crate::lab::{Lab, Sample};

const PIECE: u32 = 64 * 1024;

/// What a raw peer does once it has shaken hands, for as long as it is let.
type Mischief = fn(&Sample) -> Vec<u8>;

/// What the host did to the raw peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The connection ended after this time.
    Closed(Duration),
}

fn hands(sample: &Sample) -> Vec<u8> {
    let (info_hash, peer_id) = (InfoHash(sample.id.0), PeerId(*b"-XX0000-123456789012"));
    Handshake { reserved: Reserved::OURS, info_hash, peer_id }.encode().to_vec()
}

async fn read_until_closed(stream: &Stream) {
    let mut buf = BytesMut::with_capacity(64 * 1024);
    while stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
        buf.clear();
        buf.reserve(64 * 1024);
    }
}

/// A host that connects, says `first` and then `again` over and over, and tells how it ended.
fn raw_peer(
    lab: &mut Lab,
    to: SocketAddr,
    first: Vec<u8>,
    again: Vec<u8>,
) -> Arc<Mutex<Option<Fate>>> {
    let host = lab.bare_host("raw", LinkConfig::default());
    let fate = Arc::new(Mutex::new(None));
    let told = Arc::clone(&fate);
    lab.world.start(host, move |env: NodeEnv| {
        Box::pin(async move {
            let stream = env.net().connect(to, None).await.expect("a connection");
            let begin = env.now();
            let _writer = env.spawn("writer", {
                let (stream, env) = (Arc::clone(&stream), env.clone());
                async move {
                    if stream.write_all(&first).await.is_err() {
                        return;
                    }
                    while !again.is_empty() && stream.write_all(&again).await.is_ok() {
                        env.sleep(Duration::from_millis(10)).await;
                    }
                    std::future::pending::<()>().await;
                }
            });
            read_until_closed(&stream).await;
            *told.lock().expect("a lock") = Some(Fate::Closed(env.now().since(begin)));
        })
    });
    fate
}

fn message(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).expect("a short message");
    [&length.to_be_bytes()[..], &[id], payload].concat()
}

fn after_hands(sample: &Sample, what: &[u8]) -> Vec<u8> {
    [hands(sample), what.to_vec()].concat()
}

/// A seed and an honest leech; the raw peer is sent away in time, and the leech is served meanwhile.
fn is_sent_away(seconds: u64, first: Mischief, again: Mischief) {
    let mut lab = Lab::new(1);
    let sample = Sample::single("sample", 1_500_000, PIECE);
    let (seed, leech): (HostId, HostId) = (lab.host("seed"), lab.host("leech"));
    lab.seed(seed, &sample);
    let before = lab.live(seed);
    let fate = raw_peer(&mut lab, Lab::address(seed), first(&sample), again(&sample));
    lab.run(0.2);
    lab.add(leech, &sample, &[seed]);
    lab.until_whole(leech, &sample, 30);
    lab.run(seconds as f64);
    let fate = *fate.lock().expect("a lock");
    assert!(fate.is_some(), "still connected after {seconds} s");
    assert_eq!(lab.detail(seed, sample.id).torrent.state, TorrentState::Seeding);
    assert_eq!(lab.live(seed).get("handshake"), before.get("handshake"));
    assert!(lab.detail(seed, sample.id).torrent.peers <= 1);
}

#[test]
fn who_says_nothing_or_no_handshake_is_sent_away() {
    is_sent_away(12, |_| Vec::new(), |_| Vec::new());
    is_sent_away(12, |_| b"GET / HTTP/1.1\r\n\r\n".to_vec(), |_| Vec::new());
    is_sent_away(12, |sample| hands(sample)[..30].to_vec(), |_| Vec::new());
    // A byte at a time does not lengthen its life.
    is_sent_away(12, |_| b"\x13".to_vec(), |_| b"B".to_vec());
}

#[test]
fn who_asks_for_another_torrent_is_sent_away() {
    is_sent_away(
        5,
        |sample| hands(&Sample { id: control::TorrentId([9; 20]), ..sample.clone() }),
        |_| Vec::new(),
    );
}

#[test]
fn who_breaks_the_protocol_is_sent_away() {
    // A length of 4 GiB.
    is_sent_away(5, |sample| after_hands(sample, &[0xff; 8]), |_| Vec::new());
    // A bitfield of a wrong length, and one with a bit too many.
    is_sent_away(5, |sample| after_hands(sample, &message(5, &[0xff])), |_| Vec::new());
    is_sent_away(5, |sample| after_hands(sample, &message(5, &[0xff; 3])), |_| Vec::new());
    // A piece that does not exist.
    is_sent_away(5, |sample| after_hands(sample, &message(4, &[0, 1, 0, 0])), |_| Vec::new());
    // A request of 16 MiB.
    is_sent_away(
        5,
        |sample| {
            let request = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]].concat();
            after_hands(sample, &[message(2, &[]), message(6, &request)].concat())
        },
        |_| Vec::new(),
    );
    // Nonsense in the extension protocol.
    is_sent_away(
        5,
        |sample| after_hands(sample, &message(20, b"\x00d1:md11:ut_metadatai")),
        |_| Vec::new(),
    );
}

#[test]
fn who_sends_blocks_that_nobody_asked_for_is_sent_away() {
    is_sent_away(5, hands, |_| message(7, &[0; 8 + 16 * 1024]));
}

#[test]
fn who_floods_is_sent_away() {
    // Have, interested and not interested, as fast as they can be sent.
    is_sent_away(10, hands, |_| message(4, &[0, 0, 0, 1]).repeat(2_000));
    is_sent_away(10, hands, |_| [message(2, &[]), message(3, &[])].concat().repeat(2_000));
}

#[test]
fn who_never_reads_holds_no_memory() {
    let mut lab = Lab::new(2);
    let sample = Sample::single("sample", 1_500_000, PIECE);
    let (seed, raw) = (lab.host("seed"), lab.bare_host("raw", LinkConfig::default()));
    lab.seed(seed, &sample);
    let (to, mut first) = (Lab::address(seed), hands(&sample));
    first.extend(message(2, &[]));
    for block in 0..80_u32 {
        let (piece, begin) = (block / 4, block % 4 * 16_384);
        let request = [piece, begin, 16_384].map(u32::to_be_bytes).concat();
        first.extend(message(6, &request));
    }
    lab.world.start(raw, move |env: NodeEnv| {
        Box::pin(async move {
            let stream = env.net().connect(to, None).await.expect("a connection");
            stream.write_all(&first).await.expect("sent");
            std::future::pending::<()>().await;
        })
    });
    lab.run(400.0);
    assert_eq!(lab.detail(seed, sample.id).torrent.peers, 0, "it is sent away at last");
    assert_eq!(lab.live(seed).get("peer"), None);
}

/// Found by a simulation of rate limits: what the limit made wait was taken back, and the connection
/// went round its loop for ever at the moment at which it would have been sent.
#[test]
fn who_takes_back_what_the_rate_limit_holds_back_stops_no_clock() {
    let mut lab = Lab::new(3);
    let seed = lab.host_with("seed", |settings| {
        settings.engine.rates.up = cluster_config::Rate::from_bytes_per_s(16 * 1024);
    });
    let raw = lab.bare_host("raw", LinkConfig::default());
    let sample = Sample::single("sample", 1_500_000, PIECE);
    lab.seed(seed, &sample);
    let (to, first) = (Lab::address(seed), after_hands(&sample, &message(2, &[])));
    let blocks = |id: u8| -> Vec<u8> {
        let begins = (0..4_u32).map(|block| block * 16_384);
        begins
            .flat_map(|begin| message(id, &[0, begin, 16_384].map(u32::to_be_bytes).concat()))
            .collect()
    };
    let (requests, cancels) = (blocks(6), blocks(8));
    lab.world.start(raw, move |env: NodeEnv| {
        Box::pin(async move {
            let stream = env.net().connect(to, None).await.expect("a connection");
            stream.write_all(&first).await.expect("sent");
            env.sleep(Duration::from_secs(1)).await;
            stream.write_all(&requests).await.expect("sent");
            env.sleep(Duration::from_millis(200)).await;
            stream.write_all(&cancels).await.expect("sent");
            read_until_closed(&stream).await;
        })
    });
    let before = lab.world.events();
    lab.run(20.0);
    let happened = lab.world.events() - before;
    // The host itself looks for work fifty times a second.
    assert!(happened < 2_000, "{happened} events in 20 s of nothing");
    assert!(lab.detail(seed, sample.id).torrent.uploaded_bytes > 0, "nothing was ever sent");
}
