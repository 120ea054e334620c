//! Two hosts and one torrent: the same actors as on a real host.

use env::sim::{HostId, Kill};

use crate::lab::{Lab, Sample};

const PIECE: u32 = 64 * 1024;

/// A seed, and a leech that knows of it.
fn pair(seed: u64, len: usize) -> (Lab, HostId, HostId, Sample) {
    let mut lab = Lab::new(seed);
    let sample = Sample::single("sample", len, PIECE);
    let (seed, leech) = (lab.host("seed"), lab.host("leech"));
    lab.seed(seed, &sample);
    lab.add(leech, &sample, &[seed]);
    (lab, seed, leech, sample)
}

#[test]
fn a_torrent_goes_from_one_host_to_another() {
    let (mut lab, seed, leech, sample) = pair(1, 3_000_001);
    lab.until_whole(leech, &sample, 30);
    let detail = lab.detail(leech, sample.id);
    assert_eq!(detail.torrent.downloaded_bytes, 3_000_001, "every block once: {detail:#?}");
    lab.run(1.0);
    assert_eq!(lab.detail(seed, sample.id).torrent.uploaded_bytes, 3_000_001);
}

#[test]
fn a_killed_download_goes_on_where_it_was() {
    for how in [Kill::Process, Kill::Power] {
        let (mut lab, seed, leech, sample) = pair(2, 20_000_000);
        lab.run(1.5);
        let before = lab.detail(leech, sample.id).torrent.have_bytes;
        assert!(before > 0 && before < sample.len(), "{before} bytes");
        lab.kill(leech, how);
        lab.run(0.2);
        lab.start(leech);
        lab.run(0.3);
        let after = lab.detail(leech, sample.id).torrent.have_bytes;
        if how == Kill::Process {
            assert!(after >= before, "{how:?}: {after} of {before} bytes are left");
        } else {
            assert!(after > 0, "{how:?}: nothing of {before} bytes is left");
        }
        let peers = vec![Lab::address(seed)];
        let command = control::Command::AddPeers { id: sample.id, peers };
        lab.command(leech, command).expect("a torrent");
        lab.until_whole(leech, &sample, 60);
    }
}

#[test]
fn a_killed_seed_comes_back() {
    let (mut lab, seed, leech, sample) = pair(3, 20_000_000);
    lab.run(0.5);
    lab.kill(seed, Kill::Power);
    lab.run(5.0);
    lab.start(seed);
    lab.until_whole(leech, &sample, 400);
}
