//! The suite over the twin, and what a simulated network does to lanes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bittorrent::Time;
use cluster::lane::bulk::{self as lane_bulk, BulkTransport};
use cluster::lane::twin::{Identity, TwinBulk, TwinConfig, TwinTransport};
use cluster::lane::{IDLE_TIMEOUT, KEEP_ALIVE, LaneEnd, LaneError, LocalNode, OpenError};
use cluster::ownership::Epoch;
use env::NodeEnv;
use env::sim::{HostConfig, HostId, Kill, LinkConfig, World};

use crate::bulk::{Ends, both_ways, refusals, send};
use crate::party::*;
use crate::suite::CASES;

const PORT: u16 = 7000;

struct Pair {
    world: World,
    a: HostId,
    b: HostId,
    server: Arc<Server>,
}

fn config(shows: &Shows) -> TwinConfig {
    let authority = u64::from(shows.ours);
    let identity = Identity { authority, name: shows.certified.map(node) };
    let protocol = shows.protocol.to_vec();
    TwinConfig { identity, protocol, idle: IDLE_TIMEOUT, keep_alive: KEEP_ALIVE }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

async fn transport(env: &NodeEnv, shows: &Shows) -> Arc<TwinTransport> {
    Arc::new(TwinTransport::listen(env, config(shows), any(PORT)).await.unwrap())
}

impl Pair {
    /// `b` serves on a link; `a` does not run yet.
    fn new(seed: u64, shows: Shows, reads: bool, link: LinkConfig) -> Self {
        let mut world = World::new(seed);
        let mut host = || world.add_host(HostConfig { name: String::new(), link });
        let (a, b) = (host(), host());
        let server = Arc::<Server>::default();
        let serving = Arc::clone(&server);
        world.start(b, move |env| {
            Box::pin(async move {
                let transport = transport(&env, &shows).await;
                serving.serve(env, shows.hello(), transport, reads).await;
            })
        });
        Self { world, a, b, server }
    }

    /// Lets `a` play a script, whose end can be asked for.
    fn play(
        &mut self,
        shows: Shows,
        script: impl FnOnce(Client) -> Work<()> + Send + 'static,
    ) -> Arc<Mutex<bool>> {
        let done = Arc::<Mutex<bool>>::default();
        let (tell, server) = (Arc::clone(&done), Arc::clone(&self.server));
        let at = SocketAddr::new(World::ip_of(self.b), PORT);
        self.world.start(self.a, move |env| {
            Box::pin(async move {
                let transport = transport(&env, &shows).await;
                let local = LocalNode::new(env.clone(), shows.hello(), Default::default());
                script(Client { env, local, transport, at, server }).await;
                *tell.lock().unwrap() = true;
                std::future::pending::<()>().await;
            })
        });
        done
    }

    fn run(&mut self, done: &Mutex<bool>) -> bool {
        self.world.run_until(Duration::from_secs(120), |_| *done.lock().unwrap())
    }
}

#[test]
fn the_twin_does_what_every_transport_must() {
    for case in CASES {
        let mut pair = Pair::new(1, case.server, case.reads, LinkConfig::DEFAULT);
        let done = pair.play(case.client, case.script);
        assert!(pair.run(&done), "{}", case.name);
    }
}

/// A lane over a slow link with a short cut in it: what was answered, and the hash of the trace.
fn busy_run(seed: u64) -> (Vec<(Time, bool)>, [u8; 32]) {
    let slow = LinkConfig { up_bytes_per_s: 200_000, ..LinkConfig::DEFAULT };
    let mut pair = Pair::new(seed, Shows::node("b"), true, slow);
    let answers = Arc::<Mutex<Vec<(Time, bool)>>>::default();
    let told = Arc::clone(&answers);
    let done = pair.play(Shows::node("a"), move |client| {
        Box::pin(async move {
            let (lane, _running) = client.open().await.unwrap();
            let mut number = [0; 8];
            for _ in 0..200 {
                client.env.fill("number", &mut number);
                lane.cast(MEMORY, Epoch(0), &[1; 500]).await.unwrap();
                let answer = call(&lane, ECHO, 0, &number).await;
                told.lock().unwrap().push((client.env.now(), answer.is_ok()));
            }
            assert_eq!(call(&lane, MEMORY, 0, b"").await.unwrap().len(), 100_000);
        })
    });
    pair.world.run_for(Duration::from_millis(700));
    pair.world.set_cut(pair.a, pair.b, true);
    pair.world.run_for(Duration::from_millis(600));
    pair.world.set_cut(pair.a, pair.b, false);
    assert!(pair.run(&done));
    let answers = answers.lock().unwrap().clone();
    (answers, pair.world.trace_hash())
}

#[test]
fn a_slow_link_and_a_short_cut_delay_lanes_and_the_same_seed_is_the_same_run() {
    let (answers, hash) = busy_run(3);
    assert!(answers.len() == 200 && answers.iter().all(|(_, answered)| *answered));
    let longest = answers.windows(2).map(|two| two[1].0.since(two[0].0)).max().unwrap();
    assert!(longest > Duration::from_millis(600), "{longest:?}");
    assert_eq!(busy_run(3), (answers, hash));
    assert_ne!(busy_run(4).1, hash);
}

/// What a call that nobody answers gets, and when, after something happened to the other end at 0.5 s.
fn lost(happens: fn(&mut Pair)) -> (Duration, Pair) {
    let mut pair = Pair::new(5, Shows::node("b"), true, LinkConfig::DEFAULT);
    let ended = Arc::<Mutex<Option<Time>>>::default();
    let told = Arc::clone(&ended);
    let done = pair.play(Shows::node("a"), move |client| {
        Box::pin(async move {
            let (lane, running) = client.open().await.unwrap();
            assert_eq!(call(&lane, MUTE, 0, b"").await, Err(LaneError::Disconnected));
            *told.lock().unwrap() = Some(client.env.now());
            let end = running.await;
            assert!(matches!(end, LaneEnd::Broken(_)), "{end}");
        })
    });
    pair.world.run_for(Duration::from_millis(500));
    happens(&mut pair);
    assert!(pair.run(&done));
    let ended = ended.lock().unwrap().unwrap();
    (ended.since(Time::from_millis(500)), pair)
}

#[test]
fn calls_end_with_a_killed_process_at_once_and_with_a_silent_one_after_the_idle_timeout() {
    let (took, _) = lost(|pair| pair.world.kill(pair.b, Kill::Process));
    assert!(took < Duration::from_millis(100), "{took:?}");
    let silent: [fn(&mut Pair); 3] = [
        |pair| pair.world.kill(pair.b, Kill::Power),
        |pair| pair.world.set_cut(pair.a, pair.b, true),
        |pair| pair.world.set_one_way_cut(pair.b, pair.a, true),
    ];
    for happens in silent {
        let (took, _) = lost(happens);
        let bounds = IDLE_TIMEOUT - KEEP_ALIVE..IDLE_TIMEOUT + KEEP_ALIVE;
        assert!(bounds.contains(&took), "{took:?}");
    }
    // The other end of a cut sees it as well.
    let (_, mut pair) = lost(|pair| pair.world.set_cut(pair.a, pair.b, true));
    pair.world.run_for(Duration::from_secs(1));
    assert!(matches!(pair.server.ends()[..], [LaneEnd::Broken(_)]), "{:?}", pair.server.ends());
}

async fn bulk(env: &NodeEnv, authority: u64, name: &str, port: u16) -> TwinBulk {
    let config = TwinConfig::bulk(authority, node(name));
    TwinBulk::listen(env, config, any(port)).await.unwrap()
}

/// Plays a case with both ends of a bulk connection on one host.
fn play_bulk(case: fn(Ends) -> Work<()>) {
    let mut world = World::new(1);
    let link = LinkConfig::DEFAULT;
    let host = world.add_host(HostConfig { name: String::new(), link });
    let done = Arc::<Mutex<bool>>::default();
    let tell = Arc::clone(&done);
    world.start(host, move |env| {
        Box::pin(async move {
            let (a, b) = (bulk(&env, 1, "a", 7001).await, bulk(&env, 1, "b", 7002).await);
            let (name, at) = (node("b"), SocketAddr::new(World::ip_of(host), 7002));
            let (dialled, accepted) =
                tokio::join!(a.dial(&name, at), async { b.accept().await.unwrap().await });
            case([dialled.unwrap(), accepted.unwrap()]).await;
            let other = bulk(&env, 2, "a", 7003).await;
            let (dialled, accepted) =
                tokio::join!(other.dial(&name, at), async { b.accept().await.unwrap().await });
            let refused = OpenError::Certificate;
            assert_eq!((dialled.unwrap_err(), accepted.unwrap_err()), (refused, refused));
            *tell.lock().unwrap() = true;
            std::future::pending::<()>().await;
        })
    });
    assert!(world.run_until(Duration::from_secs(600), |_| *done.lock().unwrap()));
}

#[test]
fn the_twin_of_bulk_does_what_every_bulk_transport_must() {
    play_bulk(|ends| Box::pin(both_ways(ends)));
    play_bulk(|ends| Box::pin(refusals(ends)));
}

#[test]
fn bulk_ends_after_its_idle_timeout_behind_a_cut() {
    let mut world = World::new(1);
    let link = LinkConfig::DEFAULT;
    let mut host = || world.add_host(HostConfig { name: String::new(), link });
    let (a, b) = (host(), host());
    let ended = Arc::<Mutex<[Option<Time>; 2]>>::default();
    let at = SocketAddr::new(World::ip_of(b), 7002);
    let told = [Arc::clone(&ended), Arc::clone(&ended)];
    let [tell_a, tell_b] = told;
    world.start(b, move |env| {
        Box::pin(async move {
            let transport = bulk(&env, 1, "b", 7002).await;
            let link = transport.accept().await.unwrap().await.unwrap();
            let (_, mut receiver) = link.receive().await.unwrap();
            while receiver.receive().await.is_ok() {}
            tell_b.lock().unwrap()[1] = Some(env.now());
            std::future::pending::<()>().await;
        })
    });
    world.start(a, move |env| {
        Box::pin(async move {
            let transport = bulk(&env, 1, "a", 7001).await;
            let link = transport.dial(&node("b"), at).await.unwrap();
            assert_eq!(send(&*link, 1 << 30, 1 << 30).await, Err(LaneError::Disconnected));
            tell_a.lock().unwrap()[0] = Some(env.now());
            std::future::pending::<()>().await;
        })
    });
    world.run_for(Duration::from_millis(500));
    world.set_cut(a, b, true);
    let all = |_: &World| ended.lock().unwrap().iter().all(Option::is_some);
    assert!(world.run_until(Duration::from_secs(60), all));
    for end in ended.lock().unwrap().iter().flatten() {
        let took = end.since(Time::from_millis(500));
        let idle = lane_bulk::IDLE_TIMEOUT;
        assert!(
            (idle - lane_bulk::KEEP_ALIVE..idle + lane_bulk::KEEP_ALIVE).contains(&took),
            "{took:?}"
        );
    }
}
