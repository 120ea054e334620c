//! Tests of the simulated network, through the world as hosts see it.

mod faults;
mod links;
mod order;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bittorrent::Time;
use bytes::BytesMut;

use super::LinkConfig;
use crate::NodeEnv;
use crate::net::Stream;
use crate::sim::{HostConfig, HostId, World};

const PORT: u16 = 7000;
const MS: fn(u64) -> Duration = Duration::from_millis;

type Main = Pin<Box<dyn Future<Output = ()> + Send>>;
type Log<T> = Arc<Mutex<Vec<T>>>;

/// What came on a stream: when, and what.
type Parts = Vec<(Time, Vec<u8>)>;

/// What came at a host, by the dialler's address.
#[derive(Debug, Clone, Default)]
struct Received {
    streams: Arc<Mutex<BTreeMap<SocketAddr, Parts>>>,
}

impl Received {
    /// All bytes of each stream, by the dialler's address.
    fn bytes(&self) -> Vec<Vec<u8>> {
        let streams = self.streams.lock().unwrap();
        streams
            .values()
            .map(|parts| parts.iter().flat_map(|(_, part)| part.clone()).collect())
            .collect()
    }

    /// How many bytes came from a host by a moment.
    fn by(&self, from: HostId, end: Time) -> usize {
        let streams = self.streams.lock().unwrap();
        let of = streams.iter().filter(|(addr, _)| addr.ip() == World::ip_of(from));
        let parts = of.flat_map(|(_, parts)| parts);
        parts.filter(|(at, _)| *at <= end).map(|(_, part)| part.len()).sum()
    }

    /// All that came: when, and how many bytes; in order.
    fn parts(&self) -> Vec<(Time, usize)> {
        let streams = self.streams.lock().unwrap();
        let mut parts: Vec<_> =
            streams.values().flatten().map(|(at, part)| (*at, part.len())).collect();
        parts.sort_unstable();
        parts
    }
}

fn link(up_bytes_per_s: u64, down_bytes_per_s: u64) -> LinkConfig {
    LinkConfig { up_bytes_per_s, down_bytes_per_s, ..LinkConfig::DEFAULT }
}

fn host(world: &mut World, link: LinkConfig) -> HostId {
    world.add_host(HostConfig { name: String::new(), link })
}

fn address(host: HostId) -> SocketAddr {
    SocketAddr::new(World::ip_of(host), PORT)
}

/// Byte `at` of what every source sends.
fn pattern(at: usize) -> u8 {
    let [low, middle, high, ..] = at.to_le_bytes();
    low ^ middle ^ high
}

fn run<F: Future<Output = ()> + Send + 'static>(
    world: &mut World,
    host: HostId,
    main: impl FnOnce(NodeEnv) -> F,
) {
    world.start(host, |env| -> Main { Box::pin(main(env)) });
}

async fn listen(env: &NodeEnv) -> Arc<dyn crate::net::Listener> {
    env.net().listen(SocketAddr::from(([0, 0, 0, 0], PORT))).await.unwrap()
}

async fn dial(env: &NodeEnv, to: HostId) -> Stream {
    env.net().connect(address(to), None).await.unwrap()
}

/// A host that accepts and reads all that comes.
fn sink(world: &mut World, host: HostId) -> Received {
    let received = Received::default();
    let log = received.clone();
    run(world, host, |env| async move {
        let listener = listen(&env).await;
        let mut readers = Vec::new();
        while let Ok(stream) = listener.accept().await {
            let (log, at) = (log.clone(), env.clone());
            readers.push(env.spawn("reader", async move {
                let mut buf = BytesMut::with_capacity(300_000);
                while stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
                    let part = (at.now(), buf.split().to_vec());
                    let mut streams = log.streams.lock().unwrap();
                    streams.entry(stream.peer_addr()).or_default().push(part);
                    buf.reserve(300_000);
                }
            }));
        }
    });
    received
}

/// Sends so much of the pattern in writes of this length.
async fn send(stream: &Stream, total: usize, write: usize) {
    let mut sent = 0;
    while sent < total {
        let end = total.min(sent + write);
        let bytes: Vec<u8> = (sent..end).map(pattern).collect();
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        sent = end;
    }
}

/// A host that sends to each of these: how much, in writes of which length; and keeps its streams open.
fn source(world: &mut World, host: HostId, to: Vec<(HostId, usize, usize)>) {
    run(world, host, |env| async move {
        let mut writers = Vec::new();
        for (to, total, write) in to {
            let at = env.clone();
            writers.push(env.spawn("writer", async move {
                let stream = dial(&at, to).await;
                send(&stream, total, write).await;
                std::future::pending::<()>().await;
            }));
        }
        std::future::pending::<()>().await;
    });
}
