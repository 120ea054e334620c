//! Lanes that are kept: dialled again, replaced by those of a later life, and looked up by name.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bittorrent::Time;
use cluster::lane::twin::{TwinConfig, TwinTransport};
use cluster::lane::{Hello, Lanes, LocalNode, MINOR, OpenError, REDIAL_MAX};
use cluster::ownership::Incarnation;
use env::NodeEnv;
use env::sim::{HostConfig, HostId, Kill, LinkConfig, World};

use crate::party::node;

const PORT: u16 = 7000;

/// When a node had a lane to `b`, and of which of its lives: told at each change.
type Log = Arc<Mutex<Vec<(Time, Option<u64>)>>>;

fn host(world: &mut World) -> HostId {
    world.add_host(HostConfig { name: String::new(), link: LinkConfig::DEFAULT })
}

async fn transport(env: &NodeEnv, name: &str, port: u16) -> Arc<TwinTransport> {
    let at = SocketAddr::from(([0, 0, 0, 0], port));
    let config = TwinConfig::control(1, node(name));
    Arc::new(TwinTransport::listen(env, config, at).await.unwrap())
}

fn local(env: &NodeEnv, name: &str, life: u64) -> LocalNode {
    let (node, incarnation) = (node(name), Incarnation(life));
    let hello = Hello { node, incarnation, minor: MINOR, features: 0 };
    LocalNode::new(env.clone(), hello, Default::default())
}

/// `b` serves lanes.
fn serve(world: &mut World, host: HostId, life: u64) {
    world.start(host, move |env| {
        Box::pin(async move {
            let transport = transport(&env, "b", PORT).await;
            let lanes = Lanes::new(env.clone(), local(&env, "b", life));
            let _serving = lanes.serve(transport);
            std::future::pending::<()>().await;
        })
    });
}

/// `a` keeps a lane to `b`.
fn keep(world: &mut World, host: HostId, b: HostId) -> (Log, Arc<Mutex<Option<LocalNode>>>) {
    let (log, out) = (Log::default(), Arc::<Mutex<Option<LocalNode>>>::default());
    let (told, local_out) = (Arc::clone(&log), Arc::clone(&out));
    let at = SocketAddr::new(World::ip_of(b), PORT);
    world.start(host, move |env| {
        Box::pin(async move {
            let transport = transport(&env, "a", PORT).await;
            let local = local(&env, "a", 1);
            *local_out.lock().unwrap() = Some(local.clone());
            let lanes = Lanes::new(env.clone(), local);
            let mut changes = lanes.changes();
            let _kept = lanes.keep(transport, node("b"), at);
            loop {
                changes.changed().await;
                let life = lanes.to(&node("b")).map(|lane| lane.hello().incarnation.0);
                assert_eq!(lanes.all().len(), usize::from(life.is_some()));
                told.lock().unwrap().push((env.now(), life));
            }
        })
    });
    (log, out)
}

fn seconds(log: &Log) -> Vec<(f64, Option<u64>)> {
    log.lock().unwrap().iter().map(|(at, life)| (at.since_start().as_secs_f64(), *life)).collect()
}

#[test]
fn a_lane_that_ended_is_dialled_again_and_leads_to_the_next_life() {
    let mut world = World::new(7);
    let (a, b) = (host(&mut world), host(&mut world));
    serve(&mut world, b, 1);
    let (log, _) = keep(&mut world, a, b);
    world.run_for(Duration::from_secs(1));
    world.kill(b, Kill::Process);
    world.run_for(Duration::from_secs(1));
    serve(&mut world, b, 2);
    world.run_for(Duration::from_secs(10));
    let log = seconds(&log);
    assert_eq!(log.iter().map(|it| it.1).collect::<Vec<_>>(), [Some(1), None, Some(2)], "{log:?}");
    assert!(log[0].0 < 0.5 && log[1].0 < 1.1 && log[2].0 < 4.0, "{log:?}");
}

#[test]
fn a_node_that_is_away_is_dialled_at_most_so_often() {
    let mut world = World::new(8);
    let (a, b) = (host(&mut world), host(&mut world));
    let (log, local) = keep(&mut world, a, b);
    // It runs, and listens nowhere: each attempt is refused at once.
    world.start(b, |_| Box::pin(std::future::pending()));
    world.run_for(Duration::from_secs(60));
    assert!(seconds(&log).is_empty());
    let metrics = local.lock().unwrap().as_ref().unwrap().metrics();
    let least = 60 / REDIAL_MAX.as_secs();
    assert!((least..least * 3).contains(&metrics.unreachable), "{metrics:?}");
}

#[test]
fn a_later_life_ends_the_lane_of_the_one_before_and_an_earlier_one_is_sent_away() {
    let mut world = World::new(9);
    let (a, b, again) = (host(&mut world), host(&mut world), host(&mut world));
    let lives = Arc::<Mutex<Vec<Option<u64>>>>::default();
    let told = Arc::clone(&lives);
    world.start(b, move |env| {
        Box::pin(async move {
            let transport = transport(&env, "b", PORT).await;
            let lanes = Lanes::new(env.clone(), local(&env, "b", 1));
            let mut changes = lanes.changes();
            let _serving = lanes.serve(transport);
            loop {
                changes.changed().await;
                let life = lanes.to(&node("a")).map(|lane| lane.hello().incarnation.0);
                told.lock().unwrap().push(life);
            }
        })
    });
    let at = SocketAddr::new(World::ip_of(b), PORT);
    // The same name from two hosts, as after a move; what became of each one's lane.
    let ends = Arc::<Mutex<Vec<(u64, bool)>>>::default();
    let dial = |world: &mut World, host: HostId, life: u64| {
        let ends = Arc::clone(&ends);
        world.start(host, move |env| {
            Box::pin(async move {
                let transport = transport(&env, "a", PORT).await;
                let opened = local(&env, "a", life).dial(&*transport, &node("b"), at).await;
                assert!(!matches!(opened, Err(OpenError::WrongName)));
                let (_lane, running) = opened.unwrap();
                let ended = env.timeout(Duration::from_secs(5), running).await;
                ends.lock().unwrap().push((life, ended.is_some()));
                std::future::pending::<()>().await;
            })
        });
        world.run_for(Duration::from_secs(1));
    };
    dial(&mut world, a, 2);
    dial(&mut world, again, 3);
    assert_eq!(lives.lock().unwrap()[..], [Some(2), Some(3)], "no moment without a lane");
    world.kill(a, Kill::Process);
    dial(&mut world, a, 1);
    world.run_for(Duration::from_secs(6));
    assert_eq!(lives.lock().unwrap()[..2], [Some(2), Some(3)]);
    let ends = ends.lock().unwrap().clone();
    assert!(ends.contains(&(2, true)) && ends.contains(&(1, true)), "{ends:?}");
    assert!(ends.contains(&(3, false)), "{ends:?}");
}

#[test]
fn two_nodes_that_dial_each_other_settle_on_one_lane() {
    let mut world = World::new(10);
    let hosts = [host(&mut world), host(&mut world)];
    let lanes = [0, 1].map(|_| Arc::<Mutex<Option<Lanes>>>::default());
    for (nth, (name, other)) in [("a", "b"), ("b", "a")].into_iter().enumerate() {
        let at = SocketAddr::new(World::ip_of(hosts[1 - nth]), PORT);
        let out = Arc::clone(&lanes[nth]);
        world.start(hosts[nth], move |env| {
            Box::pin(async move {
                let transport = transport(&env, name, PORT).await;
                let lanes = Lanes::new(env.clone(), local(&env, name, 1));
                *out.lock().unwrap() = Some(lanes.clone());
                let _serving = lanes.serve(transport.clone());
                let _kept = lanes.keep(transport, node(other), at);
                std::future::pending::<()>().await;
            })
        });
    }
    world.run_for(Duration::from_secs(60));
    let state = || lanes.each_ref().map(|it| it.lock().unwrap().clone().unwrap());
    let changes = || state().map(|lanes| lanes.change_count());
    let before = changes();
    assert!(state().iter().all(|lanes| lanes.all().len() == 1));
    world.run_for(Duration::from_secs(60));
    assert_eq!(changes(), before, "nothing goes on");
    assert!(before.iter().all(|changes| *changes < 20), "{before:?}");
}
