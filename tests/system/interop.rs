//! Transfers between two clients over a real tracker or a direct connection.

use anyhow::Result;
use harness::aria2::Aria2;
use harness::client::{Client, Encryption, Job, Role, Source};
use harness::libtorrent::Libtorrent;
use harness::tracker::Tracker;
use harness::transmission::Transmission;
use harness::webtorrent::Webtorrent;
use harness::wiretap::Wiretap;
use harness::{Deadline, Sample, Scene};
use libtest_mimic::Trial;

/// A seed must be ready in this time.
const SEED_SECONDS: u64 = 30;
/// A download must be complete in this time. Transmission alone waits 10 s before its first request.
const DOWNLOAD_SECONDS: u64 = 90;

/// How the downloading client gets its torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Torrent,
    Magnet,
}

/// What is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Single,
    Multi,
}

/// How the two find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// Both announce to a tracker by HTTP; the download dials.
    HttpTracker,
    /// Both announce to a tracker by UDP; the download dials.
    UdpTracker,
    /// The download is told the seed's address.
    DownloadDials,
    /// The seed is told the download's address.
    SeedDials,
}

/// One transfer.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The client that has the data.
    pub(crate) seed: &'static dyn Client,
    /// The client that fetches it.
    pub(crate) download: &'static dyn Client,
    /// What must be seen on the wire.
    pub(crate) encryption: Encryption,
    pub(crate) form: Form,
    pub(crate) layout: Layout,
    pub(crate) meeting: Meeting,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        let Self { seed, download, encryption, form, layout, meeting } = self;
        let (seed, download) = (seed.name(), download.name());
        format!("{seed}_to_{download}::{encryption}_{form:?}_{layout:?}_{meeting:?}").to_lowercase()
    }

    pub(crate) fn trial(self, group: &str) -> Trial {
        Trial::test(format!("{group}::{}", self.name()), move || {
            Scene::run(|scene| self.play(scene)).map_err(|error| format!("{error:#}").into())
        })
    }

    fn play(&self, scene: &Scene) -> Result<()> {
        let sample = match self.layout {
            Layout::Single => Sample::single(),
            Layout::Multi => Sample::multi(),
        };
        let mut metainfo = sample.metainfo();
        let info_hash = metainfo.info_hash();
        let tracker = Tracker::start(scene, &[metainfo.info_hash_hex()])?;
        match self.meeting {
            Meeting::HttpTracker => metainfo = metainfo.with_tracker(&tracker.http_url()),
            Meeting::UdpTracker => metainfo = metainfo.with_tracker(&tracker.udp_url()),
            Meeting::DownloadDials | Meeting::SeedDials => {}
        }
        let torrent = Source::File(metainfo.write_to(&scene.dir("torrent")?)?);
        let mut seeding = self.job(scene, "seed", torrent.clone())?;
        let form = match self.form {
            Form::Torrent => torrent,
            Form::Magnet => Source::Magnet(metainfo.magnet()),
        };
        let mut downloading = self.job(scene, "download", form)?;
        sample.write_to(&seeding.dir)?;
        let wiretap = Wiretap::start(scene)?;

        let port = harness::client::PORT;
        let ready = Deadline::seconds(SEED_SECONDS);
        let mut download;
        let mut seed;
        if self.meeting == Meeting::SeedDials {
            download = self.download.start(Role::Download, &downloading)?;
            downloading.host.wait_listening(port, &ready)?;
            seeding.peers = vec![download.address];
            seed = self.seed.start(Role::Seed, &seeding)?;
        } else {
            seed = self.seed.start(Role::Seed, &seeding)?;
            seed.wait_complete(&ready)?;
            seeding.host.wait_listening(port, &ready)?;
            if self.meeting == Meeting::DownloadDials {
                downloading.peers = vec![seed.address];
            } else {
                tracker.wait_seeds(&info_hash, 1, &ready)?;
            }
            download = self.download.start(Role::Download, &downloading)?;
        }
        download.wait_complete(&Deadline::seconds(DOWNLOAD_SECONDS))?;
        seed.process.ensure_running()?;
        sample.without_empty(!self.download.creates_empty_files()).verify(&downloading.dir)?;
        wiretap.expect(self.encryption, &[port])
    }

    fn job(&self, scene: &Scene, label: &str, source: Source) -> Result<Job> {
        Ok(Job {
            host: scene.host()?,
            logs: scene.logs(),
            label: label.to_owned(),
            source,
            dir: scene.dir(label)?,
            encryption: self.encryption,
            peers: Vec::new(),
            upload_limit: None,
        })
    }
}

/// Other people's clients with each other: whatever fails here is the harness's fault, or theirs.
pub(crate) fn clients_among_themselves() -> Vec<Trial> {
    use Encryption::{MsePlaintext, MseRc4, Plain};
    use Form::{Magnet, Torrent};
    use Layout::{Multi, Single};
    use Meeting::{DownloadDials, HttpTracker, SeedDials, UdpTracker};
    let cases: [(&dyn Client, &dyn Client, _, _, _, _); 8] = [
        (&Transmission, &Libtorrent, Plain, Torrent, Multi, HttpTracker),
        (&Transmission, &Libtorrent, MseRc4, Magnet, Single, DownloadDials),
        (&Libtorrent, &Transmission, MseRc4, Magnet, Multi, SeedDials),
        (&Libtorrent, &Aria2, Plain, Magnet, Single, HttpTracker),
        (&Libtorrent, &Aria2, MsePlaintext, Torrent, Multi, UdpTracker),
        (&Aria2, &Libtorrent, MseRc4, Torrent, Single, DownloadDials),
        (&Webtorrent, &Libtorrent, Plain, Torrent, Multi, UdpTracker),
        (&Libtorrent, &Webtorrent, Plain, Magnet, Single, DownloadDials),
    ];
    cases
        .map(|(seed, download, encryption, form, layout, meeting)| {
            Case { seed, download, encryption, form, layout, meeting }.trial("harness")
        })
        .into()
}
