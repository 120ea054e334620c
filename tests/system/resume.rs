//! Downloads that go on where something was left: a run that was killed, files that were there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use harness::client::{Client, Job, Peer, Role, Source};
use harness::libtorrent::Libtorrent;
use harness::torrentedge::Torrentedge;
use harness::{Deadline, Host, Sample, Scene};
use libtest_mimic::Trial;

use crate::trial;

/// Bytes a second of a seed that is to be interrupted.
const SLOW: u64 = 4_000_000;
/// What may be fetched twice: blocks in flight and pieces that were not whole.
const IN_FLIGHT: u64 = 3 << 20;

/// All trials.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("resume::killed_download_from_libtorrent_loses_only_what_was_in_flight", |scene| {
            killed(scene, &Libtorrent)
        }),
        trial("resume::killed_download_from_torrentedge_loses_only_what_was_in_flight", |scene| {
            killed(scene, &Torrentedge)
        }),
        trial("resume::files_that_are_there_are_not_fetched_again", some_files_are_there),
        trial("resume::what_changed_between_runs_is_not_believed", changed_between_runs),
    ]
}

/// A seed, and a job that downloads from it.
struct Pair {
    sample: Sample,
    seed: Peer,
    seed_host: Host,
    job: Job,
}

impl Pair {
    fn start(scene: &Scene, seed: &dyn Client, sample: Sample, limit: Option<u64>) -> Result<Self> {
        let torrent = Source::File(sample.metainfo().write_to(&scene.dir("torrent")?)?);
        let mut seeding = Job::new(scene, "seed", &torrent)?;
        seeding.upload_limit = limit;
        sample.write_to(&seeding.dir)?;
        let mut seed = seed.start(Role::Seed, &seeding)?;
        seed.wait_complete(&Deadline::seconds(30))?;
        let mut job = Job::new(scene, "download", &torrent)?;
        job.peers = vec![seed.address];
        Ok(Self { sample, seed, seed_host: seeding.host, job })
    }

    /// Downloads until the seed has sent so much, then kills the program.
    fn download_and_kill(&self, bytes: u64) -> Result<()> {
        let mut download = Torrentedge.start(Role::Download, &self.job)?;
        Deadline::seconds(60).wait_for("half of the download", || {
            download.process.ensure_running()?;
            Ok((self.seed_host.sent_bytes()? > bytes).then_some(()))
        })?;
        download.process.kill()
    }

    /// Downloads to the end and compares; says how much the seed has sent for it.
    fn finish(&mut self) -> Result<u64> {
        let before = self.seed_host.sent_bytes()?;
        let mut job = self.job.clone();
        job.label = "again".to_owned();
        let mut download = Torrentedge.start(Role::Download, &job)?;
        download.wait_complete(&Deadline::seconds(60))?;
        self.seed.process.ensure_running()?;
        self.sample.verify(&self.job.dir)?;
        Ok(self.seed_host.sent_bytes()? - before)
    }
}

/// Bytes on the wire for so many of payload, with what may be in flight.
fn with_overhead(bytes: u64) -> u64 {
    bytes + bytes / 16
}

fn killed(scene: &Scene, seed: &dyn Client) -> Result<()> {
    let sample = Sample::of_length("large.bin", 24_000_000);
    let total = sample.total_length() as u64;
    let mut pair = Pair::start(scene, seed, sample, Some(SLOW))?;
    pair.download_and_kill(total / 2)?;
    let again = pair.finish()?;
    let limit = with_overhead(total - total / 2) + IN_FLIGHT;
    ensure!(again <= limit, "{again} bytes were sent the second time, at most {limit} are missing");
    Ok(())
}

/// Three files of a length: one is there, one is there with other bytes, one is missing.
fn some_files_are_there(scene: &Scene) -> Result<()> {
    const LENGTH: usize = 4_000_000;
    let files = ["right", "wrong", "missing"].map(|name| (PathBuf::from(name), LENGTH));
    let sample = Sample { files: files.to_vec(), ..Sample::multi() };
    let mut pair = Pair::start(scene, &Torrentedge, sample.clone(), None)?;
    sample.write_to(&pair.job.dir)?;
    let root = sample.root(&pair.job.dir);
    fs::write(root.join("wrong"), vec![7; LENGTH])?;
    fs::remove_file(root.join("missing"))?;
    let sent = pair.finish()?;
    // And two pieces that the right file shares with others.
    let limit = with_overhead(2 * LENGTH as u64 + 2 * sample.piece_length as u64);
    ensure!(sent <= limit, "{sent} bytes were sent, at most {limit} are missing");
    Ok(())
}

fn changed_between_runs(scene: &Scene) -> Result<()> {
    let sample = Sample::of_length("large.bin", 16_000_000);
    let mut pair = Pair::start(scene, &Torrentedge, sample.clone(), Some(SLOW))?;
    pair.download_and_kill(sample.total_length() as u64 / 2)?;
    let path = sample.root(&pair.job.dir);
    let mut bytes = fs::read(&path)?;
    bytes.iter_mut().step_by(10_000).for_each(|byte| *byte ^= 0xff);
    fs::write(&path, bytes)?;
    pair.finish()?;
    Ok(())
}
