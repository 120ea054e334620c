//! A torrent's files on a simulated and on a real disk.

mod check;
mod faults;
mod files;
mod store;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bittorrent::bencode::Encoder;
use bittorrent::bitfield::Bitfield;
use bittorrent::metainfo::Info;
use bittorrent::{BLOCK_LEN, PieceIndex};
use bytes::Bytes;
use cluster_config::DiskConfig;
use env::NodeEnv;
use env::sim::{HostConfig, HostId, LinkConfig, World};
use lane_hash::sha1_many;
use ractor::{Actor, ActorRef};
use tokio::sync::{mpsc, oneshot};

use super::*;

/// A torrent and its bytes, pads included.
#[derive(Debug, Clone)]
struct Torrent {
    info: Arc<Info>,
    data: Bytes,
}

/// A file of a made-up torrent.
#[derive(Debug, Clone)]
struct Spec {
    path: String,
    length: usize,
    attr: &'static str,
    zeros: bool,
}

fn file(path: &str, length: usize) -> Spec {
    Spec { path: path.to_owned(), length, attr: "", zeros: false }
}

fn pad(length: usize) -> Spec {
    Spec { attr: "p", zeros: true, ..file(".pad/0", length) }
}

fn zeros(path: &str, length: usize) -> Spec {
    Spec { zeros: true, ..file(path, length) }
}

fn link(path: &str) -> Spec {
    Spec { attr: "l", ..file(path, 0) }
}

/// A torrent called `t`; links lead to its file `a`.
fn torrent(files: &[Spec], piece_length: usize) -> Torrent {
    let mut data = Vec::new();
    let mut seed = 1_u32;
    for file in files {
        for _ in 0..file.length {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            data.push(if file.zeros { 0 } else { (seed >> 24) as u8 | 1 });
        }
    }
    let pieces: Vec<&[u8]> = data.chunks(piece_length).collect();
    let mut hashes = vec![[0; 20]; pieces.len()];
    sha1_many(&pieces.iter().map(std::slice::from_ref).collect::<Vec<_>>(), &mut hashes);
    let mut encoder = Encoder::new();
    encoder.dict().bytes("files").list();
    for file in files {
        encoder.dict();
        if !file.attr.is_empty() {
            encoder.bytes("attr").bytes(file.attr);
        }
        encoder.bytes("length").int(file.length as u64).bytes("path").list();
        file.path.split('/').for_each(|part| _ = encoder.bytes(part));
        encoder.end();
        if file.attr == "l" {
            encoder.bytes("symlink path").list().bytes("a").end();
        }
        encoder.end();
    }
    encoder.end().bytes("name").bytes("t").bytes("piece length").int(piece_length as u64);
    encoder.bytes("pieces").bytes(hashes.concat()).end();
    let info = Info::parse(&encoder.finish().into()).unwrap();
    Torrent { info: Arc::new(info), data: data.into() }
}

impl Torrent {
    fn piece(&self, piece: u32) -> Bytes {
        let begin = piece as usize * self.info.piece_length() as usize;
        self.data.slice(begin..begin + self.info.piece_len(PieceIndex(piece)) as usize)
    }

    /// The blocks of a range of a piece.
    fn blocks(&self, piece: u32, begin: usize, length: usize) -> Vec<Bytes> {
        blocks(&self.piece(piece).slice(begin..begin + length))
    }

    fn pieces(&self) -> std::ops::Range<u32> {
        0..self.info.piece_count()
    }

    /// What should stand in each file that is on disk.
    fn contents(&self, dir: &Path) -> Vec<(PathBuf, Bytes)> {
        let files = self.info.files().iter().filter(|file| Layout::is_on_disk(file));
        files
            .map(|file| {
                let begin = usize::try_from(file.offset()).unwrap();
                let end = begin + usize::try_from(file.length()).unwrap();
                (dir.join(file.path().join("/")), self.data.slice(begin..end))
            })
            .collect()
    }
}

fn blocks(bytes: &Bytes) -> Vec<Bytes> {
    let starts = (0..bytes.len()).step_by(BLOCK_LEN as usize);
    starts.map(|at| bytes.slice(at..bytes.len().min(at + BLOCK_LEN as usize))).collect()
}

/// A storage actor and what it told.
struct Storage {
    actor: ActorRef<StorageMsg>,
    events: mpsc::UnboundedReceiver<StorageEvent>,
    files: Arc<TorrentFiles>,
}

impl Storage {
    async fn start(env: &NodeEnv, torrent: &Torrent, dir: &Path) -> Self {
        Self::start_in(&DiskPool::new(env.clone(), &DiskConfig::default()), torrent, dir).await
    }

    async fn start_in(pool: &DiskPool, torrent: &Torrent, dir: &Path) -> Self {
        let info = Arc::clone(&torrent.info);
        let files = TorrentFiles::new(pool.clone(), info, dir.to_owned(), false);
        let (tell, events) = mpsc::unbounded_channel();
        let on_event: OnEvent = Arc::new(move |event| _ = tell.send(event));
        let args = StorageArgs { files: Arc::clone(&files), on_event };
        let (actor, _) = StorageActor::spawn(None, StorageActor, args).await.unwrap();
        Self { actor, events, files }
    }

    fn tell(&self, message: StorageMsg) {
        self.actor.cast(message).unwrap();
    }

    fn store(&self, piece: u32, bytes: &Bytes) {
        let (piece, blocks) = (PieceIndex(piece), blocks(bytes));
        self.tell(StorageMsg::Store { piece, blocks, digests_wanted: false });
    }

    fn row(&self, piece: u32, begin: u32, blocks: Vec<Bytes>) {
        let piece = PieceIndex(piece);
        self.tell(StorageMsg::Row { piece, begin, blocks, digests_wanted: true });
    }

    async fn event(&mut self) -> StorageEvent {
        self.events.recv().await.unwrap()
    }

    /// The next event that is not about rows or progress.
    async fn verdict(&mut self) -> StorageEvent {
        loop {
            match self.event().await {
                StorageEvent::RowStored { .. } | StorageEvent::CheckProgress { .. } => {}
                event => return event,
            }
        }
    }

    /// Stores all pieces in this order and waits until they are verified.
    async fn store_all(&mut self, torrent: &Torrent, order: &[u32]) {
        order.iter().for_each(|&piece| self.store(piece, &torrent.piece(piece)));
        for _ in order {
            let event = self.verdict().await;
            assert!(matches!(event, StorageEvent::Verified { digests: None, .. }), "{event:?}");
        }
    }

    async fn flush(&self) -> Result<Flushed, StorageError> {
        self.begin_flush().await.unwrap()
    }

    fn begin_flush(&self) -> oneshot::Receiver<Result<Flushed, StorageError>> {
        let (reply, answer) = oneshot::channel();
        self.tell(StorageMsg::Flush(reply));
        answer
    }

    async fn check(&mut self, pieces: Bitfield) -> StorageEvent {
        self.tell(StorageMsg::Check { pieces });
        self.verdict().await
    }
}

fn bits(len: u32, set: &[u32]) -> Bitfield {
    let mut bits = Bitfield::new(len);
    set.iter().for_each(|&piece| _ = bits.insert(PieceIndex(piece)));
    bits
}

fn numbers(bits: &Bitfield) -> Vec<u32> {
    bits.iter().map(|piece| piece.0).collect()
}

fn world(seed: u64) -> (World, HostId) {
    let mut world = World::new(seed);
    let host = world.add_host(HostConfig { name: "host".to_owned(), link: LinkConfig::default() });
    (world, host)
}

/// Runs `work` on a host until it is done; the host runs on.
fn live<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    world: &mut World,
    host: HostId,
    work: impl FnOnce(NodeEnv) -> F,
) -> T {
    let done = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&done);
    world.start(host, |env| {
        let work = work(env);
        Box::pin(async move {
            let output = work.await;
            *slot.lock().unwrap() = Some(output);
        })
    });
    let ended = world.run_until(Duration::from_secs(600), |_| done.lock().unwrap().is_some());
    assert!(ended, "the work hangs");
    done.lock().unwrap().take().unwrap()
}

/// Runs `work` on a simulated host with an empty disk.
fn sim<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    work: impl FnOnce(NodeEnv) -> F,
) -> T {
    let (mut world, host) = world(1);
    live(&mut world, host, work)
}

/// Runs `work` on the real disk, in a directory of its own.
fn real<T, F: Future<Output = T>>(work: impl FnOnce(NodeEnv, PathBuf) -> F) -> T {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let env = env::real::node_env(&env::real::RealConfig { disk_threads: 3, compute_threads: 2 });
    runtime.block_on(work(env, dir.path().to_owned()))
}
