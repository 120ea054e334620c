//! Peers that lie and break the protocol: what they cost is small, and the honest ones are served.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::client::{Client, Encryption, Job, PORT, Peer, Role, Source};
use harness::raw_peer::{
    self, Behaviour, Counts, HANDSHAKE_LEN, Listening, MetadataLie, RawPeer, id, message,
};
use harness::torrentedge::Torrentedge;
use harness::{Deadline, Metainfo, Sample, Scene};
use libtest_mimic::Trial;

use crate::trial;

/// A slow good peer, so that the bad ones have their chance; in bytes a second.
const SLOW: u64 = 2_000_000;
/// More memory than this a small torrent does not need, whatever peers do; in bytes.
const MEMORY_MAX: u64 = 160 << 20;
/// Of corrupt blocks so many are taken before a peer is banned: what its first pieces had in flight.
const CORRUPT_BLOCKS_MAX: u64 = 256;

/// All trials.
pub(crate) fn trials() -> Vec<Trial> {
    let lies =
        [MetadataLie::Garbage, MetadataLie::Size, MetadataLie::Silence, MetadataLie::Refusal];
    let lies = lies.map(|lie| {
        let name = format!("hostile::metadata_{lie:?}_costs_seconds").to_lowercase();
        trial(&name, move |scene| metadata(scene, &[lie]))
    });
    let mut trials = vec![
        trial("hostile::a_peer_with_corrupt_data_is_banned_and_the_download_finishes", corrupt),
        trial("hostile::all_kinds_of_metadata_lies_at_once_cost_seconds", move |scene| {
            use MetadataLie::{Garbage, Refusal, Silence, Size};
            metadata(scene, &[Garbage, Size, Silence, Refusal])
        }),
        trial("hostile::a_seed_survives_what_breaks_the_wire_protocol", wire_to_seed),
        trial("hostile::a_seed_survives_what_breaks_mse", mse_to_seed),
        trial("hostile::a_download_survives_what_breaks_the_wire_protocol", wire_to_download),
    ];
    trials.extend(lies);
    trials
}

/// An honest seed of a sample.
struct Good {
    sample: Sample,
    metainfo: Metainfo,
    seed: Peer,
    source: Source,
}

impl Good {
    fn start(scene: &Scene, encryption: Encryption, limit: Option<u64>) -> Result<Self> {
        let sample = Sample::of_length("sample.bin", 6_000_011);
        let metainfo = sample.metainfo();
        let source = Source::File(metainfo.write_to(&scene.dir("torrent")?)?);
        let job = Job { encryption, upload_limit: limit, ..Job::new(scene, "seed", &source)? };
        sample.write_to(&job.dir)?;
        let mut seed = Torrentedge.start(Role::Seed, &job)?;
        seed.wait_complete(&Deadline::seconds(20))?;
        Ok(Self { sample, metainfo, seed, source })
    }

    /// Checks that an honest peer is served and that the seed is as small as it was.
    fn is_well(&mut self, scene: &Scene, encryption: Encryption) -> Result<()> {
        let peers = vec![self.seed.address];
        let job = Job { encryption, peers, ..Job::new(scene, "honest", &self.source)? };
        let mut download = Torrentedge.start(Role::Download, &job)?;
        download.wait_complete(&Deadline::seconds(30))?;
        self.sample.verify(&job.dir)?;
        self.seed.process.ensure_running()?;
        let memory = self.seed.process.peak_memory()?;
        ensure!(memory < MEMORY_MAX, "the seed took {memory} bytes of memory");
        ensure!(!self.seed.process.stderr().contains("panicked"), "a panic");
        Ok(())
    }
}

fn corrupt(scene: &Scene) -> Result<()> {
    let good = Good::start(scene, Encryption::Plain, Some(SLOW))?;
    let pieces = good.sample.total_length().div_ceil(good.sample.piece_length);
    let behaviour = raw_peer::sends_corrupt_data(good.metainfo.info_hash(), pieces);
    let bad = Listening::start(&scene.host()?, PORT, behaviour)?;
    let peers = vec![bad.address, good.seed.address];
    let job = Job { peers, ..Job::new(scene, "download", &good.source)? };
    let mut download = Torrentedge.start(Role::Download, &job)?;
    download.wait_complete(&Deadline::seconds(60))?;
    good.sample.verify(&job.dir)?;
    let blocks = bad.counts.blocks.load(Ordering::Relaxed);
    ensure!(blocks > 0, "the bad peer was never asked");
    ensure!(blocks <= CORRUPT_BLOCKS_MAX, "{blocks} corrupt blocks were taken");
    let handshakes = bad.counts.handshakes.load(Ordering::Relaxed);
    ensure!(handshakes <= 2, "a banned peer was connected to {handshakes} times");
    Ok(())
}

/// A download by magnet link from liars and a good peer.
fn metadata(scene: &Scene, lies: &[MetadataLie]) -> Result<()> {
    let good = Good::start(scene, Encryption::Plain, None)?;
    let (hash, size) = (good.metainfo.info_hash(), good.metainfo.info.len());
    let mut liars = Vec::new();
    for lie in lies {
        let behaviour = raw_peer::lies_about_metadata(hash, size, *lie);
        liars.push(Listening::start(&scene.host()?, PORT, behaviour)?);
    }
    let mut job = Job::new(scene, "download", &Source::Magnet(good.metainfo.magnet()))?;
    job.peers = liars.iter().map(|liar| liar.address).collect();
    let mut download = Torrentedge.start(Role::Download, &job)?;
    Deadline::seconds(20).wait_for("the liars' handshakes", || {
        let met = |liar: &Listening| liar.counts.handshakes.load(Ordering::Relaxed) > 0;
        Ok(liars.iter().all(met).then_some(()))
    })?;
    // Only now the good one appears.
    let seeding = Job { label: "late".to_owned(), ..late_seed(scene, &good, &download)? };
    let _late = Torrentedge.start(Role::Seed, &seeding)?;
    download.wait_complete(&Deadline::seconds(30))?;
    good.sample.verify(&job.dir)
}

/// A second seed, which dials the download.
fn late_seed(scene: &Scene, good: &Good, download: &Peer) -> Result<Job> {
    let job = Job::new(scene, "late", &good.source)?;
    good.sample.write_to(&job.dir)?;
    Ok(Job { peers: vec![download.address], ..job })
}

/// One way to break the protocol: bytes after the handshake, or in place of it.
struct Attack {
    name: &'static str,
    shakes_hands: bool,
    bytes: Vec<u8>,
}

fn after(name: &'static str, bytes: Vec<u8>) -> Attack {
    Attack { name, shakes_hands: true, bytes }
}

fn instead(name: &'static str, bytes: Vec<u8>) -> Attack {
    Attack { name, shakes_hands: false, bytes }
}

fn request(piece: u32, begin: u32, length: u32) -> Vec<u8> {
    let body = [piece, begin, length].map(u32::to_be_bytes).concat();
    message(id::REQUEST, &body)
}

/// What a peer may send to a peer with `pieces` pieces, of engines' usual faults.
fn attacks(hash: &[u8; 20], pieces: u32) -> Vec<Attack> {
    const HAVE: u8 = 4;
    const CANCEL: u8 = 8;
    let bits = pieces.div_ceil(8) as usize;
    let extended = |id: u8, body: &str| message(id::EXTENDED, &[&[id], body.as_bytes()].concat());
    let mut spare = vec![0; bits];
    spare[bits - 1] = 0xff;
    let mut foreign = raw_peer::handshake(hash);
    foreign[28] ^= 1;
    let flags = [message(0, &[]), message(1, &[])].concat();
    vec![
        instead("zeros", vec![0; 1_000]),
        instead("http", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        instead("another torrent", foreign.to_vec()),
        instead("a wrong protocol name", [&[19][..], &[b'x'; HANDSHAKE_LEN - 1]].concat()),
        after("4 GiB", vec![0xff; 8]),
        after("a message of a megabyte", [&(1_u32 << 20).to_be_bytes()[..], &[7; 5]].concat()),
        after("unknown ids", (30..=255).flat_map(|id| message(id, b"x")).collect()),
        after("short messages", (0..=20).flat_map(|id| message(id, &[])).collect()),
        after("a short bitfield", message(id::BITFIELD, &vec![0xff; bits - 1])),
        after("a long bitfield", message(id::BITFIELD, &vec![0; bits + 1])),
        after("spare bits", message(id::BITFIELD, &spare)),
        after("a piece that is not there", message(HAVE, &pieces.to_be_bytes())),
        after("a request beyond the end", request(pieces, 0, 16_384)),
        after("a request across the end", request(pieces - 1, 0, 131_072)),
        after("a request of 4 GiB", request(0, 0, u32::MAX)),
        after("a request of nothing", request(0, 0, 0)),
        after("a request that overflows", request(0, u32::MAX, u32::MAX)),
        after("many requests", request(0, 0, 16_384).repeat(20_000)),
        after("cancels of the unknown", message(CANCEL, &[0; 12]).repeat(20_000)),
        after("a block nobody asked for", message(id::PIECE, &[0; 8 + 16_384])),
        after("a block without bytes", message(id::PIECE, &[0; 8])),
        after("keep-alives", vec![0; 400_000]),
        after("changes of mind", flags.repeat(20_000)),
        after("interest", message(id::INTERESTED, &[]).repeat(50_000)),
        after("metadata beyond the end", {
            let hello = extended(0, "d1:md11:ut_metadatai3eee");
            let pieces = [-1_i64, 1, 2, 1 << 31, i64::MAX];
            let ask = |piece| extended(1, &format!("d8:msg_typei0e5:piecei{piece}ee"));
            [hello, pieces.map(ask).concat()].concat()
        }),
        after("metadata nobody asked for", {
            let body = "d8:msg_typei1e5:piecei0e10:total_sizei16384ee".to_owned();
            extended(1, &(body + &"x".repeat(16_384))).repeat(50)
        }),
        after("extension ids that collide", {
            extended(0, "d1:md11:ut_metadatai0e6:ut_pexi0e12:lt_donthavei255eee").repeat(100)
        }),
        after(
            "a hello of a megabyte",
            extended(0, &("d1:v1000000:".to_owned() + &"x".repeat(1 << 20))),
        ),
        after("a deep hello", extended(0, &"l".repeat(60_000))),
        after("a hello that is none", extended(0, "i1e").repeat(1_000)),
        after("peers without end", {
            let peers = "x".repeat(60_000);
            extended(2, &format!("d5:added60000:{peers}e")).repeat(20)
        }),
    ]
}

/// Sends all of an attack, reading what comes so that neither side waits for the other.
fn attack(mut peer: RawPeer, hash: &[u8; 20], attack: &Attack) -> Result<()> {
    peer.set_patience(Duration::from_secs(2))?;
    if attack.shakes_hands {
        peer.shake_hands(hash)?;
    }
    // The other side may close in the middle of it.
    let _ = peer.send(&attack.bytes);
    let _ = peer.wait_closed(&Deadline::after(Duration::from_millis(300)));
    Ok(())
}

fn wire_to_seed(scene: &Scene) -> Result<()> {
    let mut good = Good::start(scene, Encryption::Plain, None)?;
    let hash = good.metainfo.info_hash();
    let pieces = good.sample.total_length().div_ceil(good.sample.piece_length) as u32;
    for one in attacks(&hash, pieces) {
        // A host of its own: one that misbehaved may be banned.
        let peer = RawPeer::dial(&scene.host()?, good.seed.address)?;
        let done = attack(peer, &hash, &one);
        ensure!(done.is_ok(), "{}: {done:?}", one.name);
        ensure!(good.seed.process.try_exit()?.is_none(), "{} ended the seed", one.name);
    }
    good.is_well(scene, Encryption::Plain)
}

fn mse_to_seed(scene: &Scene) -> Result<()> {
    let mut good = Good::start(scene, Encryption::MseRc4, None)?;
    let hash = good.metainfo.info_hash();
    let number = |last: u8| [&[0; 95][..], &[last]].concat();
    // The prime of MSE, less one: a public key whose powers are 1 and itself.
    let prime: &[u8; 96] = &PRIME_LESS_ONE;
    let keys = [number(0), number(1), number(2), prime.to_vec(), vec![0xff; 96], vec![0x5a; 96]];
    let pads: [usize; 6] = [0, 1, 511, 512, 513, 100_000];
    for key in &keys {
        for pad in pads {
            let bytes = [&key[..], &vec![0xa5; pad]].concat();
            let one = instead("an MSE key with a pad", bytes);
            attack(RawPeer::dial(&scene.host()?, good.seed.address)?, &hash, &one)?;
            ensure!(good.seed.process.try_exit()?.is_none(), "pad {pad} ended the seed");
        }
    }
    good.is_well(scene, Encryption::MseRc4)
}

/// Peers that a download connects to: each breaks the protocol in its own way, one is good.
fn wire_to_download(scene: &Scene) -> Result<()> {
    let good = Good::start(scene, Encryption::Plain, Some(SLOW))?;
    let hash = good.metainfo.info_hash();
    let pieces = good.sample.total_length().div_ceil(good.sample.piece_length) as u32;
    let mut bad = Vec::new();
    for one in attacks(&hash, pieces) {
        let behaviour: Arc<Behaviour> = Arc::new(move |peer: RawPeer, counts: &Counts| {
            counts.handshakes.fetch_add(1, Ordering::Relaxed);
            attack(peer, &hash, &one)
        });
        bad.push(Listening::start(&scene.host()?, PORT, behaviour)?);
    }
    let mut job = Job::new(scene, "download", &good.source)?;
    job.peers = bad.iter().map(|peer| peer.address).collect();
    job.peers.push(good.seed.address);
    let mut download = Torrentedge.start(Role::Download, &job)?;
    let mut memory = 0;
    Deadline::seconds(60).wait_for("the download", || {
        memory = download.process.peak_memory().unwrap_or(memory).max(memory);
        download.process.try_exit()
    })?;
    download.process.expect_exit(0, &Deadline::seconds(1))?;
    ensure!(memory < MEMORY_MAX, "the download took {memory} bytes of memory");
    let met = bad.iter().filter(|peer| peer.counts.handshakes.load(Ordering::Relaxed) > 0).count();
    ensure!(met > bad.len() / 2, "only {met} bad peers were met");
    good.sample.verify(&job.dir)
}

/// The prime of MSE less one.
const PRIME_LESS_ONE: [u8; 96] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x0f, 0xda, 0xa2, 0x21, 0x68, 0xc2, 0x34,
    0xc4, 0xc6, 0x62, 0x8b, 0x80, 0xdc, 0x1c, 0xd1, 0x29, 0x02, 0x4e, 0x08, 0x8a, 0x67, 0xcc, 0x74,
    0x02, 0x0b, 0xbe, 0xa6, 0x3b, 0x13, 0x9b, 0x22, 0x51, 0x4a, 0x08, 0x79, 0x8e, 0x34, 0x04, 0xdd,
    0xef, 0x95, 0x19, 0xb3, 0xcd, 0x3a, 0x43, 0x1b, 0x30, 0x2b, 0x0a, 0x6d, 0xf2, 0x5f, 0x14, 0x37,
    0x4f, 0xe1, 0x35, 0x6d, 0x6d, 0x51, 0xc2, 0x45, 0xe4, 0x85, 0xb5, 0x76, 0x62, 0x5e, 0x7e, 0xc6,
    0xf4, 0x4c, 0x42, 0xe9, 0xa6, 0x3a, 0x36, 0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x05, 0x62,
];
