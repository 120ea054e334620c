//! An engine that is only memory.

use std::ops::Range;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use control::{
    Command, Content, ContentStream, Engine, EngineError, ErrorCode, EventFeed, FileSnapshot,
    NodeSnapshot, PeerSnapshot, Reply, Source, TorrentDetail, TorrentId, TorrentSettings,
    TorrentSnapshot, TorrentState, TrackerSnapshot, TrackerStatus,
};
use futures_util::{StreamExt, stream};

/// How the content of files comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In small parts.
    Whole,
    /// It fails after some bytes.
    Breaks(usize),
    /// Nothing comes any more after some bytes.
    Stalls(usize),
}

/// A torrent with the bytes of its files.
#[derive(Debug, Clone)]
pub(crate) struct FakeTorrent {
    pub(crate) snapshot: TorrentSnapshot,
    pub(crate) settings: TorrentSettings,
    pub(crate) files: Vec<(String, Bytes)>,
}

#[derive(Debug)]
pub(crate) struct FakeEngine {
    pub(crate) torrents: Mutex<Vec<FakeTorrent>>,
    /// All commands, in order.
    pub(crate) commands: Mutex<Vec<Command>>,
    /// All ranges of contents that were asked for, in order.
    pub(crate) asked: Mutex<Vec<Option<Range<u64>>>>,
    /// What every call answers, if it is set.
    pub(crate) failure: Mutex<Option<EngineError>>,
    pub(crate) delivery: Mutex<Delivery>,
    /// Panic at the next question for the list.
    pub(crate) panics: Mutex<bool>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self {
            torrents: Mutex::default(),
            commands: Mutex::default(),
            asked: Mutex::default(),
            failure: Mutex::default(),
            delivery: Mutex::new(Delivery::Whole),
            panics: Mutex::default(),
        }
    }
}

pub(crate) fn snapshot(id: TorrentId, added_ms: u64) -> TorrentSnapshot {
    TorrentSnapshot {
        id,
        v1: None,
        v2: None,
        name: format!("torrent {added_ms}"),
        state: TorrentState::Downloading,
        error: None,
        total_bytes: 200,
        wanted_bytes: 100,
        have_bytes: 50,
        checked: None,
        downloaded_bytes: 60,
        uploaded_bytes: 7,
        wasted_bytes: 10,
        down_bytes_per_s: 5,
        up_bytes_per_s: 0,
        peers: 2,
        seeds: 1,
        added_ms,
        completed_ms: None,
        private: false,
    }
}

impl FakeEngine {
    /// Puts a torrent there whose id is 20 times `byte`.
    pub(crate) fn put(&self, byte: u8, added_ms: u64, files: &[(&str, &'static [u8])]) -> String {
        let id = TorrentId([byte; 20]);
        let files =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), Bytes::from_static(bytes)));
        let (snapshot, settings) = (snapshot(id, added_ms), TorrentSettings::default());
        let torrent = FakeTorrent { snapshot, settings, files: files.collect() };
        self.torrents.lock().unwrap().push(torrent);
        id.to_string()
    }

    pub(crate) fn fail(&self, code: ErrorCode) {
        *self.failure.lock().unwrap() = Some(EngineError::new(code, "as the test wants"));
    }

    fn check(&self) -> Result<(), EngineError> {
        self.failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn find(&self, id: TorrentId) -> Result<FakeTorrent, EngineError> {
        let torrents = self.torrents.lock().unwrap();
        let found = torrents.iter().find(|torrent| torrent.snapshot.id == id).cloned();
        found.ok_or_else(|| EngineError::new(ErrorCode::NotFound, format!("no torrent {id}")))
    }

    fn add(&self, source: &Source, settings: &TorrentSettings) -> Result<Reply, EngineError> {
        let first = match source {
            Source::Metainfo(bytes) => bytes[0],
            Source::Magnet(_) => b'm',
            Source::Url(_) => b'u',
        };
        let id = TorrentId([first; 20]);
        if self.find(id).is_ok() {
            return Err(EngineError::new(ErrorCode::Conflict, format!("{id} is there already")));
        }
        let torrent = FakeTorrent {
            snapshot: snapshot(id, 1),
            settings: settings.clone(),
            files: Vec::new(),
        };
        self.torrents.lock().unwrap().push(torrent);
        Ok(Reply::Added(id))
    }
}

fn detail(torrent: FakeTorrent) -> TorrentDetail {
    let files = torrent.files.iter().zip(0..).map(|((path, bytes), index)| FileSnapshot {
        index,
        path: path.clone(),
        length: bytes.len() as u64,
        have_bytes: 0,
        priority: 4,
        pad: false,
    });
    let peer = PeerSnapshot {
        address: "192.0.2.1:6881".parse().unwrap(),
        client: "a client".to_owned(),
        progress: 0.5,
        down_bytes_per_s: 1,
        up_bytes_per_s: 2,
        downloaded_bytes: 3,
        uploaded_bytes: 4,
        incoming: false,
        encrypted: true,
        choked: false,
        choking: true,
        interested: true,
        wants: false,
    };
    let tracker = TrackerSnapshot {
        url: "http://tracker.example/announce".to_owned(),
        tier: 0,
        status: TrackerStatus::Working,
        message: None,
        seeds: Some(3),
        leeches: None,
        next_announce_s: Some(60),
    };
    TorrentDetail {
        files: files.collect(),
        torrent: torrent.snapshot,
        settings: torrent.settings,
        piece_length: 16_384,
        piece_count: 9,
        pieces: vec![0xff, 0x80],
        peer_list: vec![peer],
        trackers: vec![tracker],
        comment: Some("a comment".to_owned()),
        created_by: None,
    }
}

fn deliver(bytes: &Bytes, delivery: Delivery) -> ContentStream {
    let kept = match delivery {
        Delivery::Whole => bytes.len(),
        Delivery::Breaks(after) | Delivery::Stalls(after) => after.min(bytes.len()),
    };
    let parts: Vec<_> =
        bytes.slice(..kept).chunks(3).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
    let parts = stream::iter(parts);
    match delivery {
        Delivery::Whole => Box::pin(parts),
        Delivery::Breaks(_) => {
            // Later than the bytes, so that these are on their way.
            let error = async {
                tokio::task::yield_now().await;
                Err(EngineError::new(ErrorCode::Conflict, "the torrent was stopped"))
            };
            Box::pin(parts.chain(stream::once(error)))
        }
        Delivery::Stalls(_) => Box::pin(parts.chain(stream::pending())),
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn command(&self, command: Command) -> Result<Reply, EngineError> {
        self.check()?;
        self.commands.lock().unwrap().push(command.clone());
        match command {
            Command::Add(add) => self.add(&add.source, &add.settings),
            Command::Remove(remove) => {
                self.find(remove.id)?;
                self.torrents.lock().unwrap().retain(|torrent| torrent.snapshot.id != remove.id);
                Ok(Reply::Done)
            }
            Command::Set { id, settings } => {
                let mut torrents = self.torrents.lock().unwrap();
                let torrent = torrents.iter_mut().find(|torrent| torrent.snapshot.id == id);
                torrent.unwrap().settings = *settings;
                Ok(Reply::Done)
            }
            Command::Start(id)
            | Command::Stop(id)
            | Command::Verify(id)
            | Command::Reannounce(id) => self.find(id).map(|_| Reply::Done),
            Command::PauseVerify { .. }
            | Command::SetPriorities { .. }
            | Command::AddPeers { .. } => Ok(Reply::Done),
        }
    }

    async fn torrents(&self) -> Result<Vec<TorrentSnapshot>, EngineError> {
        self.check()?;
        assert!(!*self.panics.lock().unwrap(), "as the test wants");
        Ok(self.torrents.lock().unwrap().iter().map(|torrent| torrent.snapshot.clone()).collect())
    }

    async fn torrent(&self, id: TorrentId) -> Result<TorrentDetail, EngineError> {
        self.check()?;
        self.find(id).map(detail)
    }

    async fn node(&self) -> Result<NodeSnapshot, EngineError> {
        self.check()?;
        let (listening, torrents) = (Vec::new(), 0);
        Ok(NodeSnapshot { listening, torrents, active: 0, peers: 0, unwritten_bytes: 0 })
    }

    async fn content(
        &self,
        id: TorrentId,
        file: u32,
        range: Option<Range<u64>>,
    ) -> Result<Content, EngineError> {
        self.check()?;
        self.asked.lock().unwrap().push(range.clone());
        let torrent = self.find(id)?;
        let Some((path, bytes)) = torrent.files.get(file as usize) else {
            return Err(EngineError::new(ErrorCode::NotFound, format!("no file {file}")));
        };
        let length = bytes.len() as u64;
        if range.as_ref().is_some_and(|range| range.start >= length) {
            return Err(EngineError::new(ErrorCode::RangeNotSatisfiable, "beyond the end"));
        }
        let range = range.map_or(0..length, |range| range.start..range.end.min(length));
        let place = |offset: u64| usize::try_from(offset).unwrap();
        let part = bytes.slice(place(range.start)..place(range.end));
        let name = path.rsplit('/').next().unwrap().to_owned();
        let bytes = deliver(&part, *self.delivery.lock().unwrap());
        Ok(Content { range, file_length: length, name, bytes })
    }

    fn events(&self) -> EventFeed {
        Box::pin(stream::pending())
    }
}
