//! How many messages a simulated world carries in a second of processor time, without an engine.
//!
//! Hosts in a ring connect to the next ones; each asks the others for blocks, as peers do, and answers
//! them. `cargo run --release -p env --example world_load -- HOSTS CONNECTIONS BLOCKS` prints what it
//! took; the trace hash tells whether two builds simulate alike.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use env::NodeEnv;
use env::net::Stream;
use env::sim::{HostConfig, HostId, LinkConfig, World};

const BLOCK: usize = 16 * 1024;
const REQUEST: usize = 17;
const PIPELINE: usize = 8;

/// Answers each request by a block.
async fn serve(stream: Stream, messages: Arc<AtomicU64>) {
    let block = vec![7; BLOCK];
    let mut buf = BytesMut::with_capacity(BLOCK);
    while stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
        while buf.len() >= REQUEST {
            drop(buf.split_to(REQUEST));
            if stream.write_all(&block).await.is_err() {
                return;
            }
            messages.fetch_add(2, Ordering::Relaxed);
        }
        buf.reserve(BLOCK);
    }
}

/// Asks for so many blocks, a few at a time.
async fn fetch(stream: Stream, blocks: usize) {
    let (mut asked, mut got) = (0, 0);
    let mut buf = BytesMut::with_capacity(4 * BLOCK);
    while got < blocks * BLOCK {
        while asked < blocks && asked < got / BLOCK + PIPELINE {
            if stream.write_all(&[1; REQUEST]).await.is_err() {
                return;
            }
            asked += 1;
        }
        let Ok(read) = stream.read_some(&mut buf).await else { return };
        got += read;
        buf.clear();
        buf.reserve(4 * BLOCK);
    }
}

async fn node(env: NodeEnv, to: Vec<SocketAddr>, blocks: usize, messages: Arc<AtomicU64>) {
    let Ok(listener) = env.net().listen(SocketAddr::from(([0, 0, 0, 0], 6881))).await else {
        return;
    };
    let mut tasks = Vec::new();
    for to in to {
        let at = env.clone();
        tasks.push(env.spawn("fetch", async move {
            if let Ok(stream) = at.net().connect(to, None).await {
                fetch(stream, blocks).await;
            }
        }));
    }
    while let Ok(stream) = listener.accept().await {
        tasks.push(env.spawn("serve", serve(stream, Arc::clone(&messages))));
    }
}

/// Seconds that this thread has run, and the most memory of the process in MiB.
fn cost() -> (f64, u64) {
    let ran = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran = ran.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    (ran / 1e9, most.unwrap_or(0) / 1024)
}

#[expect(clippy::print_stdout, reason = "it is what it is for")]
fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse().unwrap_or(0));
    let mut number = |default| numbers.next().unwrap_or(default);
    let (hosts, connections, blocks) = (number(1000), number(4), number(64));
    let mut world = World::new(1);
    for name in 0..hosts {
        world.add_host(HostConfig { name: format!("host{name}"), link: LinkConfig::default() });
    }
    let messages = Arc::new(AtomicU64::new(0));
    for host in 0..hosts {
        let to = (1..=connections).map(|next| World::ip_of(HostId((host + next) % hosts)));
        let to = to.map(|ip| SocketAddr::new(ip, 6881)).collect();
        let messages = Arc::clone(&messages);
        world.start(HostId(host), move |env| Box::pin(node(env, to, blocks, messages)));
    }
    let (before, begun) = cost();
    world.run_for(Duration::from_secs(600));
    let (after, most) = cost();
    let (ran, messages) = (after - before, messages.load(Ordering::Relaxed));
    let hash: String =
        world.trace_hash().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    println!("{messages} messages, {} events, {ran:.2} CPU-s, hash {hash}", world.events());
    println!(
        "{:.0} messages and {:.0} events a CPU-second; {begun} MiB at the start, {most} MiB at most",
        messages as f64 / ran,
        world.events() as f64 / ran
    );
}
