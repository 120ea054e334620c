//! Peers that connect and then take their time: they are let go, and nobody is kept out meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::client::{Client, Encryption, Job, PORT, Peer, Role, Source};
use harness::raw_peer::{self, Listening, RawPeer, id};
use harness::torrentedge::Torrentedge;
use harness::{Deadline, Host, Sample, Scene};
use libtest_mimic::Trial;

use crate::trial;

/// A handshake takes 10 s at most, whatever is sent meanwhile.
const HANDSHAKE_SECONDS: u64 = 20;
/// A peer that has shaken hands may be silent for 150 s.
const SILENCE_SECONDS: u64 = 175;

/// All trials.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("slow::half_a_message_is_waited_for_within_bounds", |scene| {
            let (seed, stranger, hash) = seed(scene, Encryption::Plain)?;
            let mut peer = RawPeer::dial(&stranger, seed.address)?;
            peer.shake_hands(&hash)?;
            peer.send(&raw_peer::message(id::REQUEST, &[0; 12])[..9])?;
            peer.wait_closed(&Deadline::seconds(SILENCE_SECONDS))
        }),
        slow_start("slow::nothing_sent", Encryption::Plain, |_| Vec::new()),
        slow_start("slow::half_a_handshake", Encryption::Plain, |hash| {
            raw_peer::handshake(hash)[..34].to_vec()
        }),
        slow_start("slow::mse_key_only", Encryption::MseRc4, |_| vec![0x5a; 96]),
        slow_start("slow::half_an_mse_key", Encryption::MseRc4, |_| vec![0x5a; 40]),
        trial("slow::a_handshake_byte_by_byte", |scene| {
            let (seed, stranger, hash) = seed(scene, Encryption::Plain)?;
            let mut peer = RawPeer::dial(&stranger, seed.address)?;
            let every = Duration::from_millis(500);
            peer.drip(&raw_peer::handshake(&hash), every, &Deadline::seconds(HANDSHAKE_SECONDS))
        }),
        trial("slow::half_open_connections_do_not_keep_an_honest_peer_out", half_open),
        trial("slow::peers_that_never_answer_do_not_keep_a_download_from_the_good_one", mute),
    ]
}

/// Sends a beginning and then nothing, and expects to be let go.
fn slow_start(name: &str, encryption: Encryption, beginning: fn(&[u8; 20]) -> Vec<u8>) -> Trial {
    trial(name, move |scene| {
        let (mut seed, stranger, hash) = seed(scene, encryption)?;
        let mut peer = RawPeer::dial(&stranger, seed.address)?;
        peer.send(&beginning(&hash))?;
        peer.wait_closed(&Deadline::seconds(HANDSHAKE_SECONDS))?;
        seed.process.ensure_running()
    })
}

/// A seed of a small torrent, and a host from which to trouble it.
fn seed(scene: &Scene, encryption: Encryption) -> Result<(Peer, Host, [u8; 20])> {
    let sample = Sample::of_length("small.bin", 700_000);
    let metainfo = sample.metainfo();
    let source = Source::File(metainfo.write_to(&scene.dir("torrent")?)?);
    let job = Job { encryption, ..Job::new(scene, "seed", &source)? };
    sample.write_to(&job.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &job)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    Ok((seed, scene.host()?, metainfo.info_hash()))
}

/// 200 connections that say nothing, then one that downloads.
fn half_open(scene: &Scene) -> Result<()> {
    const MANY: usize = 200;
    let sample = Sample::single();
    let source = Source::File(sample.metainfo().write_to(&scene.dir("torrent")?)?);
    let seeding = Job::new(scene, "seed", &source)?;
    sample.write_to(&seeding.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &seeding)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    let stranger = scene.host()?;
    let open: Result<Vec<RawPeer>> =
        (0..MANY).map(|_| RawPeer::dial(&stranger, seed.address)).collect();
    let open = open?;
    let mut job = Job::new(scene, "download", &source)?;
    job.peers = vec![seed.address];
    let mut download = Torrentedge.start(Role::Download, &job)?;
    download.wait_complete(&Deadline::seconds(20))?;
    sample.verify(&job.dir)?;
    ensure!(open.len() == MANY, "only {} connections", open.len());
    seed.process.ensure_running()
}

/// Ten peers that accept and say nothing, and one that is good.
fn mute(scene: &Scene) -> Result<()> {
    let sample = Sample::single();
    let source = Source::File(sample.metainfo().write_to(&scene.dir("torrent")?)?);
    let seeding = Job::new(scene, "seed", &source)?;
    sample.write_to(&seeding.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &seeding)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    let mut job = Job::new(scene, "download", &source)?;
    let mut mutes = Vec::new();
    for _ in 0..10 {
        let behaviour = std::sync::Arc::new(|mut peer: RawPeer, counts: &raw_peer::Counts| {
            counts.handshakes.fetch_add(1, Ordering::Relaxed);
            peer.wait_closed(&Deadline::seconds(60))
        });
        let listening = Listening::start(&scene.host()?, PORT, behaviour)?;
        job.peers.push(listening.address);
        mutes.push(listening);
    }
    job.peers.push(seed.address);
    let mut download = Torrentedge.start(Role::Download, &job)?;
    download.wait_complete(&Deadline::seconds(30))?;
    sample.verify(&job.dir)
}
