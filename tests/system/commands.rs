//! The command line from outside: exit codes, and disks that do not take what is written.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use harness::client::{Client, Job, PORT, Role, Source};
use harness::torrentedge::{self, Torrentedge};
use harness::{Deadline, Process, Sample, Scene};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::trial;

/// All trials.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("commands::exit_codes_say_what_went_wrong", exit_codes),
        trial("commands::an_interrupted_download_ends_with_130", interrupted),
        trial("commands::a_seed_that_is_asked_to_end_ends_with_0", seed_ends),
        trial("commands::a_full_disk_ends_a_download_with_a_sentence", |scene| {
            bad_disk(scene, "size=3m", "space")
        }),
        trial("commands::a_read_only_directory_ends_a_download_with_a_sentence", |scene| {
            bad_disk(scene, "ro", "read-only")
        }),
        trial("commands::a_port_that_is_taken_ends_a_seed_with_a_sentence", port_taken),
    ]
}

fn exit_codes(scene: &Scene) -> Result<()> {
    let dir = scene.dir("files")?;
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let sample = Sample::of_length("a.bin", 300_000);
    let torrent = sample.metainfo().write_to(&dir)?.to_string_lossy().into_owned();
    sample.write_to(&dir)?;
    fs::write(dir.join("broken.torrent"), b"d4:infod4:name1:aee")?;
    let (dir, empty) = (dir.to_string_lossy(), scene.dir("empty")?);
    let empty = empty.to_string_lossy();
    let (broken, missing) = (path("broken.torrent"), path("missing.torrent"));
    let cases: [(i32, &[&str]); 10] = [
        (0, &["--help"]),
        (0, &["verify", &torrent, "-d", &dir]),
        (1, &["verify", &torrent, "-d", &empty]),
        (1, &["inspect", &broken]),
        (1, &["download", &broken, "-o", &empty]),
        (2, &["download"]),
        (2, &["download", "--no-such-flag", &torrent, "-o", &empty]),
        (2, &["serve", "stray"]),
        (3, &["inspect", &missing]),
        (3, &["download", &missing, "-o", &empty]),
    ];
    for (code, arguments) in cases {
        let output = torrentedge::run(arguments, None)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(code), "{arguments:?}: {}: {said}", output.status);
        ensure!(code == 0 || !said.trim().is_empty(), "{arguments:?} says nothing");
        ensure!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
    Ok(())
}

fn interrupted(scene: &Scene) -> Result<()> {
    let torrent = Sample::single().metainfo().write_to(&scene.dir("torrent")?)?;
    let job = Job::new(scene, "download", &Source::File(torrent))?;
    let mut download = Torrentedge.start(Role::Download, &job)?;
    job.host.wait_listening(PORT, &Deadline::seconds(20))?;
    download.process.signal(Signal::SIGINT)?;
    download.process.expect_exit(130, &Deadline::seconds(15))?;
    Ok(())
}

fn seed_ends(scene: &Scene) -> Result<()> {
    let sample = Sample::single();
    let torrent = sample.metainfo().write_to(&scene.dir("torrent")?)?;
    let job = Job::new(scene, "seed", &Source::File(torrent))?;
    sample.write_to(&job.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &job)?;
    Deadline::seconds(20).wait_for("a complete seed", || {
        Ok(seed.process.stderr().contains("\"complete\"").then_some(()))
    })?;
    seed.process.signal(Signal::SIGTERM)?;
    seed.process.expect_exit(0, &Deadline::seconds(15))?;
    Ok(())
}

/// Downloads to a file system of its own that is mounted with `options`.
fn bad_disk(scene: &Scene, options: &str, word: &str) -> Result<()> {
    let sample = Sample::of_length("large.bin", 8_000_000);
    let source = Source::File(sample.metainfo().write_to(&scene.dir("torrent")?)?);
    let seeding = Job::new(scene, "seed", &source)?;
    sample.write_to(&seeding.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &seeding)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    let mut job = Job::new(scene, "download", &source)?;
    job.peers = vec![seed.address];
    let target = job.dir.to_string_lossy().into_owned();
    // The mount is seen by this program only and ends with it.
    let script = format!("mount -t tmpfs -o {options} tmpfs \"$1\" && shift && exec \"$@\"");
    let mut arguments: Vec<String> =
        ["-m", "sh", "-c", &script, "sh", &target].map(str::to_owned).into();
    arguments.push(torrentedge::program()?.to_string_lossy().into_owned());
    arguments.extend(["download".to_owned(), source.argument(), format!("-o{target}")]);
    arguments.extend(torrentedge::network_arguments(&job));
    let unshare = Path::new("/usr/bin/unshare");
    let mut download = Process::start(&job.host, &job.logs, "download", unshare, arguments)?;
    let said = download.expect_exit(1, &Deadline::seconds(30))?;
    let last = said.lines().last().unwrap_or_default().to_lowercase();
    ensure!(last.contains(word), "nothing of {word:?} in the last line: {said}");
    seed.process.ensure_running()
}

fn port_taken(scene: &Scene) -> Result<()> {
    let sample = Sample::of_length("a.bin", 300_000);
    let source = Source::File(sample.metainfo().write_to(&scene.dir("torrent")?)?);
    let job = Job::new(scene, "seed", &source)?;
    sample.write_to(&job.dir)?;
    let mut seed = Torrentedge.start(Role::Seed, &job)?;
    seed.wait_complete(&Deadline::seconds(20))?;
    let second = Job { label: "second".to_owned(), ..job };
    let mut second = Torrentedge.start(Role::Seed, &second)?;
    let said = second.process.expect_exit(1, &Deadline::seconds(15))?;
    ensure!(said.contains(&PORT.to_string()), "it does not name the port: {said}");
    seed.process.ensure_running()
}
