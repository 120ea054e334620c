//! What lanes cost: calls, casts, calls beside bulk, and bulk beside TCP with TLS, all in one run.
//!
//! `cargo run --release -p cluster --example lane_load [SECONDS [KIB]]`: each part takes about so many seconds (2);
//! KIB is what bulk takes to be in flight. Both
//! ends are in this process, each on a runtime of its own, and speak over loopback; CPU is that of both. Wall times
//! hold for an idle machine only; load is printed first.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for the command line, which fails by saying where"
)]

mod authority;
mod bulk;
mod calls;

use std::time::Duration;

use cluster::lane::quic::BulkThreads;
use cluster::lane::{Hello, MINOR};
use cluster::ownership::Incarnation;
use control::NodeName;
use env::NodeEnv;
use env::real::{RealConfig, node_env};
use tokio::runtime::Runtime;

use authority::Authority;

/// A node's runtime and world.
struct Node {
    runtime: Runtime,
    env: NodeEnv,
    bulk: BulkThreads,
}

impl Node {
    /// With as many workers as a node beside others would have on this machine.
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let env = {
            let _inside = runtime.enter();
            node_env(&RealConfig { disk_threads: 1, compute_threads: 1 })
        };
        Self { runtime, env, bulk: BulkThreads::start(1).expect("a thread") }
    }
}

fn name(name: &str) -> NodeName {
    NodeName::new(name).expect("a name")
}

fn hello(node: &str) -> Hello {
    Hello { node: name(node), incarnation: Incarnation(1), minor: MINOR, features: 0 }
}

/// Seconds of CPU that this process has used.
fn cpu_s() -> f64 {
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields = stat.rsplit(") ").next().expect("a name ends");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |nth: usize| fields.get(nth).and_then(|it| it.parse::<f64>().ok()).expect("ticks");
    (ticks(11) + ticks(12)) / TICKS_PER_S
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(2);
    let span = Duration::from_secs(seconds);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}", load.trim());
    let authority = Authority::new();
    let (a, b) = (Node::start(), Node::start());
    calls::run(&authority, &a, &b, span);
    bulk::run(&authority, &a, &b);
}
