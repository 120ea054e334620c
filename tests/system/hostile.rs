//! Peers that lie and break the protocol: what they cost is small, and the honest ones are served.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Result, ensure};
use harness::client::{Client, Encryption, Job, PORT, Peer, Role, Source};
use harness::raw_peer::{self, Behaviour, Counts, Listening, MetadataLie, RawPeer};
use harness::torrentedge::Torrentedge;
use harness::{Deadline, Metainfo, Sample, Scene};
use libtest_mimic::Trial;

use crate::attacks::{PRIME_LESS_ONE, attack, attacks, instead};
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

    /// How many pieces it has.
    fn pieces(&self) -> Result<u32> {
        Ok(u32::try_from(self.sample.total_length().div_ceil(self.sample.piece_length))?)
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
    let pieces = good.pieces()? as usize;
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

fn wire_to_seed(scene: &Scene) -> Result<()> {
    let mut good = Good::start(scene, Encryption::Plain, None)?;
    let hash = good.metainfo.info_hash();
    let pieces = good.pieces()?;
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
    let pieces = good.pieces()?;
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
