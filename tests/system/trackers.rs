//! Announces: intervals, events, tiers, trackers that come and go, and private torrents.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::announces::Announces;
use harness::client::{Client, Job, Peer, Role, Source};
use harness::raw_peer::{self, RawPeer, id};
use harness::torrentedge::Torrentedge;
use harness::tracker::Tracker;
use harness::{Deadline, Metainfo, Sample, Scene};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::trial;

/// Where trackers of the tests' own listen.
const PORT: u16 = 7_000;

/// All trials.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("trackers::an_interval_of_seconds_is_kept", interval),
        trial("trackers::a_download_tells_started_completed_stopped", events),
        trial("trackers::an_http_tracker_learns_that_a_seed_stops", |scene| {
            stops(scene, Tracker::http_url)
        }),
        trial("trackers::a_udp_tracker_learns_that_a_seed_stops", |scene| {
            stops(scene, Tracker::udp_url)
        }),
        trial("trackers::a_tracker_that_comes_up_later_is_found", later),
        trial("trackers::a_dead_first_tier_leads_to_the_second", tiers),
        trial("trackers::a_private_torrent_offers_no_pex", private),
    ]
}

/// A seed of a small sample with these trackers.
fn seed(scene: &Scene, metainfo: &Metainfo, sample: &Sample) -> Result<Peer> {
    let source = Source::File(metainfo.write_to(&scene.dir("torrent")?)?);
    let job = Job::new(scene, "seed", &source)?;
    sample.write_to(&job.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &job)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    Ok(seed)
}

fn small() -> Sample {
    Sample::of_length("small.bin", 700_000)
}

fn interval(scene: &Scene) -> Result<()> {
    const INTERVAL: u64 = 2;
    let tracker = Announces::start(&scene.host()?, PORT, INTERVAL, &[])?;
    let sample = small();
    let _seed = seed(scene, &sample.metainfo().with_tracker(&tracker.url), &sample)?;
    let seen = tracker.wait_count(4, &Deadline::seconds(30))?;
    ensure!(seen[0].event == "started", "the first event is {:?}", seen[0].event);
    for pair in seen.windows(2) {
        let between = pair[1].at - pair[0].at;
        let (least, most) = (Duration::from_millis(1_900), Duration::from_secs(2 * INTERVAL + 4));
        ensure!(between >= least && between <= most, "{between:?} between announces");
        ensure!(pair[1].event.is_empty(), "a regular announce has event {:?}", pair[1].event);
    }
    ensure!(seen.iter().all(|announce| announce.left == 0), "a seed lacks bytes: {seen:?}");
    Ok(())
}

fn events(scene: &Scene) -> Result<()> {
    let sample = small();
    let source = Source::File(sample.metainfo().write_to(&scene.dir("plain")?)?);
    let job = Job::new(scene, "seed", &source)?;
    sample.write_to(&job.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &job)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    // The only way to find the seed.
    let tracker = Announces::start(&scene.host()?, PORT, 600, &[seed.address])?;
    let metainfo = sample.metainfo().with_tracker(&tracker.url);
    let source = Source::File(metainfo.write_to(&scene.dir("torrent")?)?);
    let job = Job::new(scene, "download", &source)?;
    let mut download = Torrentedge.start(Role::Download, &job)?;
    download.wait_complete(&Deadline::seconds(30))?;
    sample.verify(&job.dir)?;
    let seen = tracker.seen();
    ensure!(tracker.events() == ["started", "completed", "stopped"], "events: {seen:?}");
    let left: Vec<u64> = seen.iter().map(|announce| announce.left).collect();
    ensure!(left == [sample.total_length() as u64, 0, 0], "left: {left:?}");
    Ok(())
}

fn stops(scene: &Scene, url: fn(&Tracker) -> String) -> Result<()> {
    let sample = small();
    let hash = sample.metainfo().info_hash();
    let tracker = Tracker::start(scene, &[sample.metainfo().info_hash_hex()])?;
    let mut seed = seed(scene, &sample.metainfo().with_tracker(&url(&tracker)), &sample)?;
    tracker.wait_seeds(&hash, 1, &Deadline::seconds(20))?;
    seed.process.signal(Signal::SIGTERM)?;
    seed.process.expect_exit(0, &Deadline::seconds(15))?;
    tracker.wait_no_peers(&hash, &Deadline::seconds(5))
}

fn later(scene: &Scene) -> Result<()> {
    let sample = small();
    let host = scene.host()?;
    let url = format!("http://{}/announce", host.at(PORT));
    let seed = seed(scene, &sample.metainfo().with_tracker(&url), &sample)?;
    // It has been refused once when it serves.
    let mut peer = RawPeer::dial(&scene.host()?, seed.address)?;
    peer.shake_hands(&sample.metainfo().info_hash())?;
    let tracker = Announces::start(&host, PORT, 600, &[])?;
    let seen = tracker.wait_count(1, &Deadline::seconds(40))?;
    ensure!(seen[0].event == "started", "the first event is {:?}", seen[0].event);
    Ok(())
}

fn tiers(scene: &Scene) -> Result<()> {
    let sample = small();
    let (dead, alive) = (scene.host()?, scene.host()?);
    let tracker = Announces::start(&alive, PORT, 600, &[])?;
    let dead = format!("http://{}/announce", dead.at(PORT));
    let metainfo = sample.metainfo().with_tracker(&dead).with_tracker(&tracker.url);
    let _seed = seed(scene, &metainfo, &sample)?;
    tracker.wait_count(1, &Deadline::seconds(20))?;
    Ok(())
}

/// What the seed of a torrent says in its extension handshake.
fn hello(scene: &Scene, metainfo: &Metainfo, seed: &Peer) -> Result<String> {
    let mut peer = RawPeer::dial(&scene.host()?, seed.address)?;
    peer.shake_hands(&metainfo.info_hash())?;
    let ours = [&[0][..], b"d1:md6:ut_pexi1eee"].concat();
    peer.send(&raw_peer::message(id::EXTENDED, &ours))?;
    loop {
        let (kind, payload) = peer.receive()?;
        if kind == id::EXTENDED && payload.first() == Some(&0) {
            return Ok(String::from_utf8_lossy(&payload).into_owned());
        }
    }
}

fn private(scene: &Scene) -> Result<()> {
    let sample = small();
    let public = sample.metainfo();
    let said = hello(scene, &public, &seed(scene, &public, &sample)?)?;
    ensure!(said.contains("ut_pex"), "a public torrent offers no PEX: {said}");
    let private = sample.metainfo().private();
    let tracker = Announces::start(&scene.host()?, PORT, 600, &[])?;
    let private = private.with_tracker(&tracker.url);
    let seed = seed(scene, &private, &sample)?;
    tracker.wait_count(1, &Deadline::seconds(20)).context("a private torrent is announced")?;
    let said = hello(scene, &private, &seed)?;
    ensure!(!said.contains("ut_pex"), "a private torrent offers PEX: {said}");
    Ok(())
}
