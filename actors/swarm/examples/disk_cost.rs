//! What the disk path costs: CPU-seconds a GiB of hashing and writing, of reading for peers, of rechecking.
//!
//! `cargo run --release -p swarm --example disk_cost -- DIRECTORY [KiB]`, for pieces of so many KiB or of
//! three lengths; a directory in memory (tmpfs) shows the software's cost alone. "again" writes over files whose pages are there: the fairer figure on virtual
//! machines, where a first touch of memory costs the host's time too.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bittorrent::bencode::Encoder;
use bittorrent::bitfield::Bitfield;
use bittorrent::metainfo::Info;
use bittorrent::{BLOCK_LEN, BlockRef, PieceIndex};
use bytes::{Bytes, BytesMut};
use cluster_config::DiskConfig;
use env::NodeEnv;
use env::real::{RealConfig, node_env};
use ractor::Actor;
use swarm::disk::{
    DiskPool, StorageActor, StorageArgs, StorageEvent, StorageMsg, TorrentFiles, check,
};
use tokio::sync::mpsc;

const TOTAL: usize = 1 << 30;
/// The bytes that come again and again, so that the example holds little memory.
const PATTERN: usize = 32 << 20;
const ROW: usize = 1 << 20;
/// Bytes that are on their way at once.
const WINDOW: usize = 16 << 20;
/// Blocks of one read.
const READ_BLOCKS: u32 = 16;

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let lengths: Vec<usize> = match std::env::args().nth(2) {
        Some(length) => vec![length.parse()?],
        None => vec![256, 4096, 16_384],
    };
    let dir = dir.join(format!("disk_cost-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let env = node_env(&RealConfig::default());
        for length in lengths {
            run(&env, &dir, length << 10).await?;
        }
        Ok(())
    });
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn run(env: &NodeEnv, dir: &Path, piece_length: usize) -> Result<()> {
    let data = pattern();
    let info = Arc::new(torrent(&data, piece_length)?);
    let pool = DiskPool::new(env.clone(), &DiskConfig::default());
    let files = TorrentFiles::new(pool, Arc::clone(&info), dir.to_owned(), false);
    let pieces = info.piece_count();
    for what in ["hash and write, new file", "hash and write, again"] {
        let meter = Meter::start(env);
        store(&files, &data).await?;
        meter.print(env, piece_length, what);
    }
    let (meter, mut buf) = (Meter::start(env), BytesMut::new());
    let blocks_a_piece = u32::try_from(piece_length)? / BLOCK_LEN;
    for piece in (0..pieces).map(PieceIndex) {
        for first in (0..blocks_a_piece).step_by(READ_BLOCKS as usize) {
            let block = |n| BlockRef { piece, begin: (first + n) * BLOCK_LEN, length: BLOCK_LEN };
            buf = files.read_blocks((0..READ_BLOCKS).map(block).collect(), buf).await?;
        }
    }
    meter.print(env, piece_length, "read 16 blocks a time");
    let (meter, all) = (Meter::start(env), Bitfield::full(pieces));
    ensure!(check(&files, &all, Arc::new(|_, _| {})).await? == all, "the recheck finds damage");
    meter.print(env, piece_length, "recheck");
    files.delete().await?;
    Ok(())
}

/// Sends all pieces to a storage actor, as whole pieces or rows, and waits until they are verified.
async fn store(files: &Arc<TorrentFiles>, data: &Bytes) -> Result<()> {
    let (tell, mut events) = mpsc::unbounded_channel();
    let on_event = Arc::new(move |event| drop(tell.send(event)));
    let args = StorageArgs { files: Arc::clone(files), on_event };
    let (actor, ended) = StorageActor::spawn(None, StorageActor, args).await?;
    let piece_length = files.info().piece_length() as usize;
    let (mut verified, mut on_the_way) = (0, 0);
    for piece in 0..files.info().piece_count() {
        let begin = piece as usize * piece_length % PATTERN;
        let bytes = data.slice(begin..begin + piece_length);
        let piece = PieceIndex(piece);
        for message in messages(piece, &bytes) {
            actor.cast(message)?;
        }
        on_the_way += piece_length;
        while on_the_way >= WINDOW {
            verified += take(&mut events).await?;
            on_the_way = (piece.as_usize() + 1 - verified) * piece_length;
        }
    }
    while verified < files.info().piece_count() as usize {
        verified += take(&mut events).await?;
    }
    actor.stop(None);
    ended.await.context("the storage actor")
}

fn messages(piece: PieceIndex, bytes: &Bytes) -> Vec<StorageMsg> {
    let digests_wanted = false;
    if bytes.len() <= 4 << 20 {
        return vec![StorageMsg::Store { piece, blocks: cut(bytes), digests_wanted }];
    }
    let rows = (0..bytes.len()).step_by(ROW).filter_map(|at| {
        let (begin, blocks) = (u32::try_from(at).ok()?, cut(&bytes.slice(at..at + ROW)));
        Some(StorageMsg::Row { piece, begin, blocks, digests_wanted })
    });
    rows.collect()
}

fn cut(bytes: &Bytes) -> Vec<Bytes> {
    let starts = (0..bytes.len()).step_by(BLOCK_LEN as usize);
    starts.map(|at| bytes.slice(at..at + BLOCK_LEN as usize)).collect()
}

/// Takes an event; gives how many pieces it verifies.
async fn take(events: &mut mpsc::UnboundedReceiver<StorageEvent>) -> Result<usize> {
    match events.recv().await.context("the storage actor is gone")? {
        StorageEvent::Verified { .. } => Ok(1),
        StorageEvent::RowStored { .. } => Ok(0),
        other => anyhow::bail!("{other:?}"),
    }
}

fn pattern() -> Bytes {
    let mut seed = 1_u64;
    let word = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()
    };
    (0..PATTERN / 8).flat_map(word).collect::<Vec<_>>().into()
}

fn torrent(data: &Bytes, piece_length: usize) -> Result<Info> {
    let pieces: Vec<&[u8]> = data.chunks(piece_length).collect();
    let mut hashes = vec![[0; 20]; pieces.len()];
    let messages: Vec<_> = pieces.iter().map(std::slice::from_ref).collect();
    lane_hash::sha1_many(&messages, &mut hashes);
    let mut encoder = Encoder::new();
    encoder.dict().bytes("length").int(TOTAL as u64).bytes("name").bytes("t");
    encoder.bytes("piece length").int(piece_length as u64);
    encoder.bytes("pieces").bytes(hashes.concat().repeat(TOTAL / PATTERN)).end();
    Ok(Info::parse(&encoder.finish().into())?)
}

/// Measures from its start.
struct Meter {
    since: bittorrent::Time,
    cpu: f64,
}

impl Meter {
    fn start(env: &NodeEnv) -> Self {
        Self { since: env.now(), cpu: cpu_seconds() }
    }

    #[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
    fn print(&self, env: &NodeEnv, piece_length: usize, what: &str) {
        let (wall, cpu) = (env.now().since(self.since).as_secs_f64(), cpu_seconds() - self.cpu);
        println!("{:6} KiB  {what:26}  {cpu:.2} CPU-s  {wall:.2} s", piece_length >> 10);
    }
}

/// CPU time of this process, user and system, in clock ticks of 10 ms (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}
