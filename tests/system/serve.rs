//! `torrentedge serve` through its HTTP interface: torrents, their content, and starting again.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::client::{Client, Job, Peer, Role, Source};
use harness::node::Node;
use harness::torrentedge::Torrentedge;
use harness::{Deadline, Metainfo, Sample, Scene};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::trial;

/// Bytes a second of a seed from which content is read while it comes.
const SLOW: u64 = 1_500_000;

/// All trials.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("serve::downloads_an_upload_and_a_magnet_link_and_removes_them", add_and_remove),
        trial("serve::content_is_verified_also_while_it_is_downloaded", content),
        trial("serve::torrents_are_there_after_it_was_asked_to_end", |scene| {
            restarts(scene, |node| {
                node.process.signal(Signal::SIGTERM)?;
                node.process.expect_exit(0, &Deadline::seconds(25)).map(|_| ())
            })
        }),
        trial("serve::torrents_are_there_after_it_was_killed", |scene| {
            restarts(scene, |node| node.process.kill())
        }),
        trial("serve::a_second_one_at_the_same_address_fails_with_a_sentence", rival),
        trial("serve::says_that_it_is_alive_and_ready", health),
    ]
}

/// A seed of `sample` that dials nobody.
fn seed(
    scene: &Scene,
    label: &str,
    sample: &Sample,
    limit: Option<u64>,
) -> Result<(Peer, Metainfo)> {
    let metainfo = sample.metainfo();
    let source = Source::File(metainfo.write_to(&scene.dir("torrents")?)?);
    let job = Job { upload_limit: limit, ..Job::new(scene, label, &source)? };
    sample.write_to(&job.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &job)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    Ok((seed, metainfo))
}

/// A seed of `sample` that dials the node.
fn seed_for(scene: &Scene, node: &Node, metainfo: &Metainfo, sample: &Sample) -> Result<Peer> {
    let source = Source::File(metainfo.write_to(&scene.dir("torrents")?)?);
    let job = Job::new(scene, "dialling", &source)?;
    sample.write_to(&job.dir)?;
    let peers = vec![node.host.at(harness::client::PORT)];
    Torrentedge.start(Role::Seed, &Job { peers, ..job })
}

fn hash_of(told: &serde_json::Value) -> Result<String> {
    Ok(told["hash"].as_str().context("no hash")?.to_owned())
}

fn add_and_remove(scene: &Scene) -> Result<()> {
    let (single, multi) = (Sample::single(), Sample::multi());
    let (seed, metainfo) = seed(scene, "seed", &single, None)?;
    let node = Node::start(scene)?;
    let by_link = hash_of(&node.add_magnet(&metainfo.magnet(), &[seed.address])?)?;
    let by_file = hash_of(&node.upload(&multi.metainfo())?)?;
    let _dialling = seed_for(scene, &node, &multi.metainfo(), &multi)?;
    ensure!(by_link == metainfo.info_hash_hex(), "the hash is {by_link}");
    ensure!(node.list()?.len() == 2, "the list: {:?}", node.list()?);
    let deadline = Deadline::seconds(60);
    node.wait_seeding(&by_link, &deadline)?;
    node.wait_seeding(&by_file, &deadline)?;
    single.verify(&node.downloads)?;
    multi.verify(&node.downloads)?;
    let twice =
        node.post_json("/api/v1/torrents", &serde_json::json!({"magnet": metainfo.magnet()}));
    ensure!(twice?.status == 409, "the same torrent can be added twice");

    node.remove(&by_link, false)?;
    single.verify(&node.downloads)?;
    node.remove(&by_file, true)?;
    let gone = |path: &Path| (!path.exists()).then_some(());
    let root = multi.root(&node.downloads);
    Deadline::seconds(10).wait_for("removed files", || Ok(gone(&root)))?;
    single.verify(&node.downloads)?;
    ensure!(node.list()?.is_empty(), "the list: {:?}", node.list()?);
    ensure!(node.torrent(&by_file).is_err(), "a removed torrent is shown");
    Ok(())
}

fn content(scene: &Scene) -> Result<()> {
    let sample = Sample::of_length("film.bin", 6_000_011);
    let bytes = sample.content();
    let (seed, metainfo) = seed(scene, "seed", &sample, Some(SLOW))?;
    let node = Node::start(scene)?;
    let hash = hash_of(&node.add_magnet(&metainfo.magnet(), &[seed.address])?)?;
    Deadline::seconds(20).wait_for("the files", || {
        Ok(node.torrent(&hash)?["files"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
            .then_some(()))
    })?;
    // Near the end first: it is fetched for the reader, long before the whole is there.
    let last = bytes.len() - 1;
    for (from, to) in [(5_800_000, 5_900_000), (0, 0), (65_500, 70_000), (last - 10, last)] {
        let answer = node.content(&hash, 0, Some(&format!("bytes={from}-{to}")))?;
        ensure!(answer.status == 206, "status {}", answer.status);
        ensure!(answer.body == bytes[from..=to], "bytes {from}-{to} differ");
        let range = format!("bytes {from}-{to}/{}", bytes.len());
        ensure!(answer.header("content-range") == Some(&range), "{:?}", answer.headers);
    }
    let have = node.torrent(&hash)?["haveBytes"].as_u64().context("haveBytes")?;
    ensure!(have < bytes.len() as u64, "it was complete before the content was read");
    let beyond = node.content(&hash, 0, Some(&format!("bytes={}-", bytes.len())))?;
    ensure!(beyond.status == 416, "beyond the end: status {}", beyond.status);
    let whole = node.content(&hash, 0, None)?;
    ensure!(whole.status == 200 && whole.body == bytes, "the whole differs");
    let none = node.content(&hash, 1, None)?;
    ensure!(none.status == 404, "a file that is not there: status {}", none.status);
    Ok(())
}

fn restarts(scene: &Scene, end: fn(&mut Node) -> Result<()>) -> Result<()> {
    let sample = Sample::single();
    let (seed, metainfo) = seed(scene, "seed", &sample, None)?;
    let mut node = Node::start(scene)?;
    let complete = hash_of(&node.add_magnet(&metainfo.magnet(), &[seed.address])?)?;
    let mut known = vec![complete.clone()];
    for number in 0..10 {
        let other = Sample::of_length(&format!("other-{number}"), 100_000 + number);
        known.push(hash_of(&node.upload(&other.metainfo())?)?);
    }
    let nowhere = Sample::of_length("nowhere", 5).metainfo();
    known.push(hash_of(&node.add_magnet(&nowhere.magnet(), &[])?)?);
    node.wait_seeding(&complete, &Deadline::seconds(30))?;
    end(&mut node)?;
    node.start_again()?;
    let mut found: Vec<String> = node.list()?.iter().map(hash_of).collect::<Result<_>>()?;
    found.sort();
    known.sort();
    ensure!(found == known, "{found:?} were {known:?}");
    node.wait_seeding(&complete, &Deadline::seconds(20))?;
    sample.verify(&node.downloads)
}

fn rival(scene: &Scene) -> Result<()> {
    let mut node = Node::start(scene)?;
    let mut rival = node.start_rival(scene)?;
    let said = rival.expect_exit(1, &Deadline::seconds(20))?;
    let last = said.lines().last().unwrap_or_default();
    ensure!(last.contains("in use"), "the last line is no explanation: {said}");
    node.process.ensure_running()
}

fn health(scene: &Scene) -> Result<()> {
    let node = Node::start(scene)?;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/version", 200), ("/none", 404)] {
        let answer = node.get(path)?;
        ensure!(answer.status == status, "{path}: status {}", answer.status);
        answer.json()?;
    }
    Ok(())
}
