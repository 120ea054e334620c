//! Disks that are full, broken or read-only, and files that change beneath a torrent.

use control::{Command, Engine, EventKind, Reply, TorrentState};
use env::sim::{DiskFaults, HostId, LinkConfig};
use futures_util::StreamExt;

use crate::lab::{Lab, Sample};

const PIECE: u32 = 64 * 1024;
/// So slow that a transfer can be disturbed in its middle.
const LINK: LinkConfig = LinkConfig { up_bytes_per_s: 2_000_000, ..LinkConfig::DEFAULT };

fn pair(len: usize) -> (Lab, HostId, HostId, Sample) {
    let mut lab = Lab::new(1);
    let sample = Sample::single("sample", len, PIECE);
    let (seed, leech) = (lab.host_on("seed", LINK, |_| {}), lab.host("leech"));
    lab.seed(seed, &sample);
    lab.add(leech, &sample, &[seed]);
    lab.run(0.5);
    (lab, seed, leech, sample)
}

fn restart(lab: &mut Lab, host: HostId, sample: &Sample, peers: &[HostId]) {
    let id = sample.id;
    assert_eq!(lab.command(host, Command::Start(id)), Ok(Reply::Done));
    let peers = peers.iter().map(|&peer| Lab::address(peer)).collect();
    assert_eq!(lab.command(host, Command::AddPeers { id, peers }), Ok(Reply::Done));
}

/// The torrent stops within a second, says what to do, takes nothing more, and goes on when told to.
fn ends_in_error(faults: DiskFaults, advice: &str) {
    let (mut lab, seed, leech, sample) = pair(2_000_000);
    let disk = lab.world.disk(leech).clone();
    disk.set_faults(faults);
    lab.run(1.0);
    let failed = lab.detail(leech, sample.id).torrent;
    assert_eq!(failed.state, TorrentState::Error, "{failed:?}");
    let error = failed.error.expect("a sentence");
    assert!(error.contains(advice), "{error}");
    let sent = lab.detail(seed, sample.id).torrent.uploaded_bytes;
    lab.run(20.0);
    let after = lab.detail(leech, sample.id).torrent;
    assert_eq!(
        (after.state, after.downloaded_bytes),
        (TorrentState::Error, failed.downloaded_bytes)
    );
    assert_eq!(lab.detail(seed, sample.id).torrent.uploaded_bytes, sent, "asked for again");
    assert_eq!(lab.node(leech).unwritten_bytes, 0);
    disk.set_faults(DiskFaults::default());
    restart(&mut lab, leech, &sample, &[seed]);
    lab.until_whole(leech, &sample, 30);
    let sent = lab.detail(seed, sample.id).torrent.uploaded_bytes;
    assert!(sent < sample.len() * 3 / 2, "{sent} bytes were sent");
}

#[test]
fn a_full_disk_ends_the_torrent_in_error() {
    let full = DiskFaults { capacity: Some(300_000), ..DiskFaults::default() };
    ends_in_error(full, "free some space");
}

#[test]
fn a_disk_that_fails_writes_ends_the_torrent_in_error() {
    let broken = DiskFaults { writes_fail: true, ..DiskFaults::default() };
    ends_in_error(broken, "look at the disk");
}

#[test]
fn a_read_only_disk_ends_the_torrent_in_error() {
    let read_only = DiskFaults { read_only: true, ..DiskFaults::default() };
    ends_in_error(read_only, "mount it writable");
}

#[test]
fn what_was_lost_after_a_failed_flush_is_downloaded_again() {
    let (mut lab, seed, leech, sample) = pair(2_000_000);
    lab.world.set_cut(seed, leech, true);
    lab.run(0.2);
    let disk = lab.world.disk(leech).clone();
    let broken = DiskFaults { writes_fail: true, ..DiskFaults::default() };
    disk.set_faults(broken);
    lab.until_state(leech, sample.id, TorrentState::Error, 5);
    // What was written and never synced is lost, as a system may do.
    let mut bytes = lab.file(leech, "sample").expect("a file");
    bytes.fill(0);
    disk.set_faults(DiskFaults::default());
    disk.put("/data/downloads/sample", &bytes);
    lab.world.set_cut(seed, leech, false);
    restart(&mut lab, leech, &sample, &[seed]);
    lab.until_whole(leech, &sample, 30);
}

#[test]
fn a_start_that_comes_while_a_failed_torrent_ends_is_heard() {
    let (mut lab, seed, leech, sample) = pair(2_000_000);
    let (id, disk) = (sample.id, lab.world.disk(leech).clone());
    let peers = vec![Lab::address(seed)];
    let started = lab.ask(leech, move |swarm| async move {
        let mut events = swarm.events();
        disk.set_faults(DiskFaults { writes_fail: true, ..DiskFaults::default() });
        let failed = EventKind::State { state: TorrentState::Error };
        while events.next().await.is_some_and(|event| event.kind != failed) {}
        disk.set_faults(DiskFaults::default());
        swarm.command(Command::Start(id)).await
    });
    assert_eq!(started, Ok(Reply::Done));
    lab.until_state(leech, id, TorrentState::Downloading, 5);
    lab.command(leech, Command::AddPeers { id, peers }).expect("a torrent");
    lab.until_whole(leech, &sample, 30);
}

#[test]
fn a_seed_that_cannot_read_ends_in_error_and_serves_again_when_repaired() {
    let (mut lab, seed, leech, sample) = pair(2_000_000);
    let disk = lab.world.disk(seed).clone();
    disk.set_faults(DiskFaults { reads_fail: true, ..DiskFaults::default() });
    lab.run(1.0);
    let failed = lab.detail(seed, sample.id).torrent;
    assert_eq!(failed.state, TorrentState::Error, "{failed:?}");
    assert!(failed.error.expect("a sentence").contains("look at the disk"));
    lab.run(20.0);
    assert_eq!(lab.detail(seed, sample.id).torrent.uploaded_bytes, failed.uploaded_bytes);
    disk.set_faults(DiskFaults::default());
    restart(&mut lab, seed, &sample, &[leech]);
    lab.until_whole(leech, &sample, 60);
}

/// A seed whose files are changed while it is stopped, and a host that has them right.
fn changed_while_stopped(change: impl Fn(&mut Vec<u8>)) {
    let mut lab = Lab::new(2);
    let sample = Sample::single("sample", 1_000_000, PIECE);
    let (seed, leech, other) = (lab.host("seed"), lab.host("leech"), lab.host("other"));
    lab.seed(seed, &sample);
    lab.command(seed, Command::Stop(sample.id)).expect("a torrent");
    lab.until_state(seed, sample.id, TorrentState::Stopped, 5);
    let mut bytes = sample.files[0].1.clone();
    change(&mut bytes);
    lab.world.disk(seed).put("/data/downloads/sample", &bytes);
    restart(&mut lab, seed, &sample, &[]);
    let detail = lab.until_state(seed, sample.id, TorrentState::Downloading, 10).torrent;
    assert!(detail.have_bytes < sample.len() && detail.have_bytes > 0, "{detail:?}");
    lab.add(leech, &sample, &[seed]);
    lab.run(5.0);
    let got = lab.detail(leech, sample.id).torrent;
    assert_eq!(got.have_bytes, detail.have_bytes, "what is right is served, and no more");
    let anomalies = lab.events(leech).into_iter();
    let anomalies = anomalies.filter(|kind| matches!(kind, EventKind::Anomaly { .. }));
    assert_eq!(anomalies.count(), 0);
    lab.seed(other, &sample);
    let peers = vec![Lab::address(other)];
    lab.command(seed, Command::AddPeers { id: sample.id, peers }).expect("a torrent");
    lab.until_whole(seed, &sample, 60);
    lab.until_whole(leech, &sample, 60);
}

#[test]
fn a_file_that_was_cut_off_while_stopped_is_downloaded_again() {
    changed_while_stopped(|bytes| bytes.truncate(500_000));
}

#[test]
fn a_file_that_was_changed_while_stopped_is_downloaded_again() {
    changed_while_stopped(|bytes| bytes[400_000] ^= 1);
}

#[test]
fn a_file_that_is_cut_off_while_it_is_served_ends_the_seed_in_error() {
    let (mut lab, seed, leech, sample) = pair(2_000_000);
    lab.world.disk(seed).put("/data/downloads/sample", &sample.files[0].1[..100_000]);
    let failed = lab.until_state(seed, sample.id, TorrentState::Error, 2).torrent;
    assert!(failed.error.expect("a sentence").contains("missing or too short"));
    lab.world.disk(seed).put("/data/downloads/sample", &sample.files[0].1);
    restart(&mut lab, seed, &sample, &[]);
    lab.until_whole(leech, &sample, 120);
}

#[test]
fn a_file_that_is_changed_while_it_is_served_harms_no_leech() {
    let (mut lab, seed, leech, sample) = pair(2_000_000);
    let mut bytes = sample.files[0].1.clone();
    bytes.chunks_mut(PIECE as usize).for_each(|piece| piece[0] ^= 1);
    lab.world.disk(seed).put("/data/downloads/sample", &bytes);
    let good = lab.host("good");
    lab.seed(good, &sample);
    lab.run(5.0);
    let peers = vec![Lab::address(good)];
    lab.command(leech, Command::AddPeers { id: sample.id, peers }).expect("a torrent");
    lab.until_whole(leech, &sample, 60);
}

#[test]
fn a_torrent_whose_files_are_gone_says_so_or_begins_again() {
    let (mut lab, seed, leech, sample) = pair(1_000_000);
    lab.until_whole(leech, &sample, 30);
    lab.command(leech, Command::Stop(sample.id)).expect("a torrent");
    lab.until_state(leech, sample.id, TorrentState::Stopped, 5);
    lab.world.disk(leech).put("/data/downloads/sample", &[]);
    restart(&mut lab, leech, &sample, &[seed]);
    lab.until_whole(leech, &sample, 30);
}
