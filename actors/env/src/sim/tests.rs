//! Tests of the world: lives, power cuts, and that the same seed gives the same run.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rand::Rng;
use rand::rngs::SmallRng;

use super::*;
use crate::NodeEnv;

type Main = Pin<Box<dyn Future<Output = ()> + Send>>;

fn host(world: &mut World, name: &str) -> HostId {
    world.add_host(HostConfig { name: name.to_owned(), link: LinkConfig::default() })
}

/// An echo server and a client that sends random bytes in a few writes, twice as a world's life.
fn echo(seed: u64, kill: Option<Kill>) -> (usize, [u8; 32]) {
    let mut world = World::new(seed);
    let (server, client) = (host(&mut world, "server"), host(&mut world, "client"));
    let serve = |env: NodeEnv| -> Main {
        Box::pin(async move {
            let listener = env.net().listen("0.0.0.0:7000".parse().unwrap()).await.unwrap();
            loop {
                let stream = listener.accept().await.unwrap();
                let mut buf = BytesMut::with_capacity(4096);
                while stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(&buf.split()).await.is_err() {
                        break;
                    }
                    buf.reserve(4096);
                }
            }
        })
    };
    world.start(server, serve);
    let echoed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&echoed);
    world.start(client, move |env| {
        Box::pin(async move {
            let mut rng = env.rng("client");
            loop {
                let to = env.net().resolve("server", 7000).await.unwrap()[0];
                let Ok(stream) = env.net().connect(to, None).await else {
                    env.sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let mut buf = BytesMut::with_capacity(65536);
                let sent: Vec<u8> = (0..rng.random_range(1..4096)).map(|_| rng.random()).collect();
                if stream.write_all(&sent).await.is_err() {
                    continue;
                }
                while buf.len() < sent.len() {
                    if !stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
                        break;
                    }
                }
                count.fetch_add(buf.len(), Ordering::Relaxed);
                env.sleep(Duration::from_millis(50)).await;
            }
        })
    });
    world.run_for(Duration::from_secs(1));
    if let Some(how) = kill {
        world.kill(server, how);
        world.run_for(Duration::from_secs(1));
        let before = echoed.load(Ordering::Relaxed);
        world.start(server, serve);
        world.run_for(Duration::from_secs(2));
        if how == Kill::Process {
            assert!(echoed.load(Ordering::Relaxed) > before, "goes on after the restart");
        }
    }
    (echoed.load(Ordering::Relaxed), world.trace_hash())
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let (echoed, hash) = echo(1, None);
    assert!(echoed > 1000, "{echoed}");
    assert_eq!(echo(1, None).1, hash);
    assert_ne!(echo(2, None).1, hash);
}

#[test]
fn a_killed_host_loses_everything_and_comes_back() {
    assert_eq!(echo(3, Some(Kill::Process)), echo(3, Some(Kill::Process)));
    assert_eq!(echo(3, Some(Kill::Power)), echo(3, Some(Kill::Power)));
}

#[test]
fn a_power_cut_keeps_what_was_synced() {
    let mut world = World::new(7);
    let id = host(&mut world, "disk");
    world.start(id, |env| {
        Box::pin(async move {
            let done = env.disk(crate::disk::DiskLane::Foreground, |files| {
                let path = std::path::Path::new("/data/file");
                let file = files.open(path, crate::disk::OpenMode::ReadWrite).unwrap();
                file.write_all_at(&mut [std::io::IoSlice::new(&[1; 4096])], 0).unwrap();
                file.sync().unwrap();
                files.sync_dir(std::path::Path::new("/data")).unwrap();
                file.write_all_at(&mut [std::io::IoSlice::new(&[2; 8192])], 4096).unwrap();
            });
            done.await.unwrap();
        })
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.disk(id).get("/data/file").unwrap().len(), 12288);
    world.kill(id, Kill::Power);
    let left = world.disk(id).get("/data/file").unwrap();
    assert!(left[..4096].iter().all(|&byte| byte == 1));
}

/// A host that talks to others at random: it sends datagrams, connects, writes, reads and gives up.
fn chatter(others: Vec<SocketAddr>) -> impl FnOnce(NodeEnv) -> Main {
    move |env| {
        Box::pin(async move {
            let listener = env.net().listen("0.0.0.0:7000".parse().unwrap()).await.unwrap();
            let socket = env.net().datagrams("0.0.0.0:7001".parse().unwrap()).await.unwrap();
            let (accepting, receiving) = (env.clone(), Arc::clone(&socket));
            let _accept = env.spawn("accept", async move {
                let mut readers = Vec::new();
                while let Ok(stream) = listener.accept().await {
                    readers.push(accepting.spawn("read", async move {
                        let mut buf = BytesMut::with_capacity(30_000);
                        while stream.read_some(&mut buf).await.is_ok_and(|read| read > 0) {
                            buf.clear();
                            buf.reserve(30_000);
                        }
                    }));
                }
            });
            let _receive = env.spawn("receive", async move {
                let mut buf = [0; 2000];
                while receiving.recv(&mut buf).await.is_ok() {}
            });
            let mut rng: SmallRng = env.rng("chatter");
            loop {
                let to = others[rng.random_range(0..others.len())];
                let _ = socket.try_send(&[1; 700], SocketAddr::new(to.ip(), 7001));
                let dialled = env.timeout(Duration::from_millis(200), env.net().connect(to, None));
                if let Some(Ok(stream)) = dialled.await {
                    let bytes = vec![7; rng.random_range(1..100_000)];
                    let limit = Duration::from_millis(rng.random_range(1..100));
                    let _ = env.timeout(limit, stream.write_all(&bytes)).await;
                }
                env.sleep(Duration::from_millis(rng.random_range(0..30))).await;
            }
        })
    }
}

/// Six hosts that chatter while all that can go wrong goes wrong.
fn faults_of_all_kinds(seed: u64) -> ([u8; 32], Vec<Seen>) {
    let mut world = World::new(seed);
    let hosts: Vec<_> = (0..6).map(|n| host(&mut world, &format!("host{n}"))).collect();
    let addresses: Vec<_> =
        hosts.iter().map(|&host| SocketAddr::new(World::ip_of(host), 7000)).collect();
    hosts.iter().for_each(|&host| world.start(host, chatter(addresses.clone())));
    world.watch();
    let all = DatagramConfig {
        loss: 0.1,
        duplicate: 0.1,
        reorder: 0.2,
        reorder_delay: Duration::from_millis(30),
    };
    world.set_datagrams(all);
    let [a, b, c, d, e, f] = hosts[..] else { return ([0; 32], Vec::new()) };
    let short = Duration::from_millis(150);
    let slow =
        LinkConfig { up_bytes_per_s: 50_000, down_bytes_per_s: 20_000, ..LinkConfig::DEFAULT };
    for (host, link) in [(a, slow), (b, LinkConfig { accepts: false, ..LinkConfig::DEFAULT })] {
        world.run_for(short);
        world.set_cut(a, b, true);
        world.set_one_way_cut(c, d, true);
        world.unplug(e, true);
        world.reset(a, f);
        world.run_for(short);
        world.set_link(host, link);
        world.kill(c, Kill::Process);
        world.kill(f, Kill::Power);
        world.run_for(short);
        world.set_one_way_cut(c, d, false);
        world.start(c, chatter(addresses.clone()));
        world.start(f, chatter(addresses.clone()));
        world.unplug(e, false);
        world.run_for(short);
        world.set_cut(a, b, false);
        world.set_link(host, LinkConfig::DEFAULT);
    }
    world.run_for(short);
    (world.trace_hash(), world.take_seen())
}

#[test]
fn the_same_seed_gives_the_same_run_whatever_goes_wrong() {
    for seed in 0..4 {
        let (hash, seen) = faults_of_all_kinds(seed);
        assert!(seen.len() > 100, "{} events", seen.len());
        assert!(seen.iter().any(|it| matches!(it, Seen::Closed { reset: true, .. })));
        assert_eq!(faults_of_all_kinds(seed), (hash, seen), "seed {seed}");
    }
    assert_ne!(faults_of_all_kinds(0).0, faults_of_all_kinds(1).0);
}
