//! Calls and casts: alone, many at once, and beside bulk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::lane::quic::{ControlTuning, QuicTransport};
use cluster::lane::{
    Delivery, Directory, Exposed, Exposure, Key, Lane, LocalNode, Running, Transport,
};
use cluster::ownership::Epoch;
use env::{NodeEnv, Task};

use crate::authority::Authority;
use crate::{Node, bulk, cpu_s, hello, name};

const ECHO: Key = Key::Service(1);
const BODY: [u8; 60] = [7; 60];
const IN_FLIGHT: usize = 64;
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Echo;

impl Exposed for Echo {
    fn epoch(&self) -> Epoch {
        Epoch(0)
    }

    fn deliver(&self, delivery: Delivery) {
        if let Some(reply) = delivery.reply {
            // The lane may have ended.
            let _ = reply.send(&delivery.body);
        }
    }
}

/// The end that answers.
struct Serving {
    at: SocketAddr,
    _exposure: Exposure,
    _task: Task<()>,
}

fn serve(authority: &Authority, node: &Node) -> Serving {
    let _inside = node.runtime.enter();
    let credentials = authority.credentials("b");
    let at = SocketAddr::from(([127, 0, 0, 1], 0));
    let transport =
        QuicTransport::bind(&credentials, &ControlTuning::default(), at).expect("a socket");
    let (at, directory) = (transport.local_addr(), Directory::default());
    let exposure = directory.expose(ECHO, Arc::new(Echo));
    let local = LocalNode::new(node.env.clone(), hello("b"), directory);
    let task = node.env.spawn("serve", async move {
        let mut lanes = Vec::new();
        while let Some(incoming) = transport.accept().await {
            lanes.push(local.accept(incoming).await.expect("a lane"));
        }
    });
    Serving { at, _exposure: exposure, _task: task }
}

async fn dial(authority: &Authority, env: &NodeEnv, at: SocketAddr) -> (Lane, Running) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let transport =
        QuicTransport::bind(&authority.credentials("a"), &ControlTuning::default(), any)
            .expect("a socket");
    let local = LocalNode::new(env.clone(), hello("a"), Directory::default());
    local.dial(&transport, &name("b"), at).await.expect("a lane")
}

/// Calls one after another: how long each took.
async fn one_by_one(env: NodeEnv, lane: Lane, span: Duration) -> Vec<Duration> {
    let end = env.now() + span;
    let mut took = Vec::new();
    while env.now() < end {
        let began = env.now();
        lane.call(ECHO, Epoch(0), &BODY, LIMIT).await.expect("an answer");
        took.push(env.now().since(began));
    }
    took.sort_unstable();
    took
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn quantile(sorted: &[Duration], of_thousand: usize) -> f64 {
    sorted.get(sorted.len() * of_thousand / 1000).copied().map_or(0.0, micros)
}

fn print_calls(what: &str, took: &[Duration], cpu: f64) {
    let (p50, p99) = (quantile(took, 500), quantile(took, 990));
    let each = cpu * 1e6 / took.len() as f64;
    println!(
        "{what}: p50 {p50:.1} µs, p99 {p99:.1} µs, {each:.1} µs of CPU each ({} calls)",
        took.len()
    );
}

/// Measures, and prints.
pub(crate) fn run(authority: &Authority, a: &Node, b: &Node, span: Duration) {
    let serving = serve(authority, b);
    let (lane, _running) = a.runtime.block_on(dial(authority, &a.env, serving.at));
    let alone = |what: &str| {
        let before = cpu_s();
        let task = {
            let _inside = a.runtime.enter();
            a.env.spawn("calls", one_by_one(a.env.clone(), lane.clone(), span))
        };
        let took = a.runtime.block_on(task).expect("no panic");
        print_calls(what, &took, cpu_s() - before);
        quantile(&took, 500)
    };
    alone("warm-up, calls one by one");
    let idle = alone("calls one by one");
    many(a, &lane, span);
    casts(a, &lane, span);
    let beside = {
        let stop = Arc::new(AtomicBool::new(false));
        let moving = bulk::keep_moving(authority, a, b, Arc::clone(&stop));
        let beside = alone("calls one by one, beside bulk");
        stop.store(true, Ordering::Relaxed);
        let moved = a.runtime.block_on(moving).expect("no panic");
        println!(
            "  bulk beside: {:.0} MiB/s",
            moved as f64 / f64::from(1 << 20) / span.as_secs_f64()
        );
        beside
    };
    println!("  beside bulk the median is {:.2} of that alone", beside / idle);
    println!("  writes hold {:.0} bytes", {
        let metrics = lane.metrics();
        metrics.bytes_out as f64 / metrics.writes.max(1) as f64
    });
}

fn many(a: &Node, lane: &Lane, span: Duration) {
    let (before, began) = (cpu_s(), a.env.now());
    let _inside = a.runtime.enter();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| a.env.spawn("calls", one_by_one(a.env.clone(), lane.clone(), span)))
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(a.runtime.block_on(task).expect("no panic"));
    }
    took.sort_unstable();
    let seconds = a.env.now().since(began).as_secs_f64();
    print_calls("calls, 64 in flight", &took, cpu_s() - before);
    println!("  {:.0} calls/s", took.len() as f64 / seconds);
}

fn casts(a: &Node, lane: &Lane, span: Duration) {
    let (before, began) = (cpu_s(), a.env.now());
    let (env, lane) = (a.env.clone(), lane.clone());
    let casting = async move {
        let end = env.now() + span;
        let mut cast = 0_u64;
        while env.now() < end {
            for _ in 0..1000 {
                lane.cast(ECHO, Epoch(0), &BODY).await.expect("a lane");
            }
            cast += 1000;
        }
        // An answer comes after all of them have.
        lane.call(ECHO, Epoch(0), &BODY, LIMIT).await.expect("an answer");
        cast
    };
    let task = {
        let _inside = a.runtime.enter();
        a.env.spawn("casts", casting)
    };
    let cast = a.runtime.block_on(task).expect("no panic") as f64;
    let seconds = a.env.now().since(began).as_secs_f64();
    println!(
        "casts: {:.0} casts/s, {:.2} µs of CPU each",
        cast / seconds,
        (cpu_s() - before) * 1e6 / cast
    );
}
