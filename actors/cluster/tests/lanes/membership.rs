//! Membership over lanes of the twin: nodes that know one other come to know all, and what each one says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::lane::twin::{TwinConfig, TwinTransport};
use cluster::lane::{Directory, Hello, Lanes, LocalNode, MINOR};
use cluster::membership::gossip::{Gossip, Member, Seed, Start};
use cluster::membership::{Figures, Place, Stay};
use cluster::ownership::Incarnation;
use control::Holder;
use env::sim::{HostConfig, HostId, Kill, LinkConfig, World};

use crate::party::node;

const PORT: u16 = 7000;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

struct Cluster {
    world: World,
    hosts: Vec<HostId>,
    gossips: Vec<Arc<Mutex<Option<Gossip>>>>,
}

impl Cluster {
    /// All nodes; each knows the third as its seed.
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let link = LinkConfig::DEFAULT;
        let hosts =
            NAMES.map(|name| world.add_host(HostConfig { name: name.to_owned(), link })).to_vec();
        let gossips = NAMES.map(|_| Arc::default()).to_vec();
        let mut cluster = Self { world, hosts, gossips };
        for nth in 0..NAMES.len() {
            cluster.start(nth, 1);
        }
        cluster
    }

    fn start(&mut self, nth: usize, life: u64) {
        let address = |nth: usize| SocketAddr::new(World::ip_of(self.hosts[nth]), PORT);
        let (at, seed) = (address(nth), Seed { node: node(NAMES[2]), control: address(2) });
        let out = Arc::clone(&self.gossips[nth]);
        self.world.start(self.hosts[nth], move |env| {
            Box::pin(async move {
                let holder = Holder { node: node(NAMES[nth]), incarnation: Incarnation(life) };
                let config = TwinConfig::control(1, holder.node.clone());
                let any = SocketAddr::from(([0, 0, 0, 0], PORT));
                let transport = Arc::new(TwinTransport::listen(&env, config, any).await.unwrap());
                let (node, incarnation) = (holder.node.clone(), holder.incarnation);
                let hello = Hello { node, incarnation, minor: MINOR, features: 0 };
                let directory = Directory::default();
                let local = LocalNode::new(env.clone(), hello, directory.clone());
                let lanes = Lanes::new(env.clone(), local);
                let _serving = lanes.serve(transport.clone());
                let place = Place { control: at, bulk: at, stay: Stay::Stays };
                let start = Start { holder, place, seeds: vec![seed] };
                let gossip = Gossip::start(&env, &directory, lanes, transport, start);
                *out.lock().unwrap() = Some(gossip);
                std::future::pending::<()>().await;
            })
        });
    }

    fn kill(&mut self, nth: usize) {
        self.world.kill(self.hosts[nth], Kill::Power);
        *self.gossips[nth].lock().unwrap() = None;
    }

    fn view(&self, nth: usize) -> Vec<Member> {
        self.gossips[nth].lock().unwrap().as_ref().unwrap().view().borrow().clone()
    }

    fn of(&self, nth: usize, other: usize) -> Member {
        let name = node(NAMES[other]);
        self.view(nth).into_iter().find(|it| it.record.holder.node == name).unwrap()
    }

    /// Whether each of these has a lane to each other one.
    fn is_whole(&self, of: &[usize]) -> bool {
        of.iter()
            .all(|nth| self.view(*nth).iter().filter(|it| it.is_reachable).count() == of.len() - 1)
    }

    fn say(&mut self, nth: usize, stay: Stay, load_permille: u16) {
        let gossip = self.gossips[nth].lock().unwrap();
        let figures = Figures { load_permille, disk_free_bytes: 7 };
        gossip.as_ref().unwrap().say(|own| (own.stay, own.figures) = (stay, figures));
        drop(gossip);
        self.world.poke(self.hosts[nth]);
    }
}

/// A cluster comes together, one says something of itself, one dies and comes back.
fn run(seed: u64) -> [u8; 32] {
    let mut cluster = Cluster::new(seed);
    let all = [0, 1, 2, 3, 4];
    cluster.world.run_for(Duration::from_secs(10));
    assert!(cluster.is_whole(&all), "a seed leads to all");

    cluster.say(4, Stay::Drains, 300);
    cluster.world.run_for(Duration::from_secs(3));
    for nth in 0..4 {
        let record = cluster.of(nth, 4).record;
        assert_eq!((record.place.stay, record.figures.load_permille), (Stay::Drains, 300));
    }

    // The seed itself loses its power: the others have lanes of their own.
    cluster.kill(2);
    cluster.world.run_for(Duration::from_secs(3));
    assert!(cluster.is_whole(&[0, 1, 3, 4]));
    assert!(!cluster.of(0, 2).is_reachable);
    cluster.start(2, 2);
    cluster.world.run_for(Duration::from_secs(15));
    assert!(cluster.is_whole(&all));
    assert_eq!(cluster.of(0, 2).record.holder.incarnation, Incarnation(2));

    // Who has left in order is not dialled any more.
    cluster.say(1, Stay::Left, 0);
    cluster.world.run_for(Duration::from_secs(3));
    cluster.kill(1);
    cluster.world.run_for(Duration::from_secs(30));
    assert_eq!(cluster.of(0, 1).record.place.stay, Stay::Left);
    assert!(cluster.is_whole(&[0, 2, 3, 4]));
    cluster.world.trace_hash()
}

#[test]
fn nodes_come_to_know_each_other_and_the_same_seed_is_the_same_run() {
    let hash = run(1);
    assert_eq!(run(1), hash);
    for seed in 2..12 {
        assert_ne!(run(seed), hash);
    }
}
