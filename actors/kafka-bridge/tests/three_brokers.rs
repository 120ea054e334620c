//! One of three brokers is killed with -9 under load and started again, twice: nothing that was acknowledged
//! may be lost, and no key out of order.
//!
//! `tests/services.sh up kafka3`, then
//! `KAFKA_BROKERS=… cargo test -p kafka-bridge --features three-brokers --test three_brokers -- --nocapture`.
//! It takes a minute, so it is run on demand.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the world of this test is the real one, and a test fails by panic"
)]

#[path = "kafka/brokers.rs"]
mod brokers;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_log::{EventLog, PageLimit, Record, TopicSpec};
use kafka_bridge::KafkaLog;
use tokio::sync::watch;

const PARTITIONS: u32 = 6;
const WRITERS: u64 = 8;
/// Records of one append, all of the writer's key.
const BATCH: u64 = 10;
/// Each writer waits so long between appends, so that brokers on few cores keep up.
const PACE: Duration = Duration::from_millis(40);
/// Records that are acknowledged between two incidents.
const BETWEEN: u64 = 5_000;
/// The longest that acknowledgements may take to come again.
const WITHIN: Duration = Duration::from_secs(90);

/// What the writers have done so far.
#[derive(Default)]
struct Load {
    acked: watch::Sender<u64>,
    retried: AtomicU64,
    longest_gap: watch::Sender<Duration>,
    stop: watch::Sender<bool>,
}

fn services(arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/services.sh");
    let output = Command::new(script).args(arguments).output().expect("the script starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it writes UTF-8")
}

/// Kills a broker that the script started.
fn kill(broker: &str) {
    let status = services(&["status", "kafka3"]);
    let line = status.lines().find(|line| line.starts_with(broker)).expect("a broker");
    let pid = line.rsplit(' ').next().expect("its id");
    let killed = Command::new("kill").args(["-KILL", pid]).status().expect("kill starts");
    assert!(killed.success(), "{line}");
}

/// Appends numbered records of one key, each batch until it is acknowledged, and says how many.
async fn write(log: Arc<KafkaLog>, load: Arc<Load>, writer: u64) -> u64 {
    let mut next = 0;
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*load.stop.borrow() {
        pace.tick().await;
        let begun = Instant::now();
        let batch: Vec<Record> = (next..next + BATCH)
            .map(|n| Record::new(format!("writer {writer}"), 1, n.to_string()))
            .collect();
        while let Err(error) = log.append("t", batch.clone()).await {
            println!("writer {writer} appends again: {error}");
            load.retried.fetch_add(1, Ordering::Relaxed);
        }
        next += BATCH;
        load.acked.send_modify(|acked| *acked += BATCH);
        let gap = begun.elapsed();
        load.longest_gap.send_if_modified(|longest| {
            let is_longer = gap > *longest;
            *longest = gap.max(*longest);
            is_longer
        });
    }
    next
}

async fn acked(load: &Load, more: u64) {
    let wanted = *load.acked.borrow() + more;
    let mut acked = load.acked.subscribe();
    let waited = tokio::time::timeout(WITHIN, acked.wait_for(|&acked| acked >= wanted)).await;
    waited.expect("acknowledgements come again").expect("the sender is ours");
}

/// What stands in the topic: for each key the numbers in their order.
async fn read_all(log: &KafkaLog) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let (mut next, high) = (0, log.watermarks("t", partition).await.unwrap().high);
        while next < high {
            let page = log.read("t", partition, next, PageLimit::default()).await.unwrap();
            next = page.next;
            for stored in page.records {
                let key = String::from_utf8(stored.record.key.to_vec()).unwrap();
                let number = String::from_utf8(stored.record.payload.unwrap().to_vec()).unwrap();
                all.entry(key).or_default().push(number.parse().unwrap());
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_costs_no_record_and_no_order() {
    let mut settings = brokers::settings();
    assert_eq!(settings.brokers.len(), 3, "start them with `tests/services.sh up kafka3`");
    settings.replication = 3;
    let log = Arc::new(KafkaLog::new(settings).unwrap());
    log.declare(&TopicSpec::new("t", PARTITIONS)).await.unwrap();
    let load = Arc::new(Load::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(Arc::clone(&log), Arc::clone(&load), writer)))
        .collect();
    for broker in ["kafka3-2", "kafka3-3"] {
        acked(&load, BETWEEN).await;
        kill(broker);
        println!("{broker} was killed after {} records", *load.acked.borrow());
        acked(&load, BETWEEN).await;
        tokio::task::spawn_blocking(|| services(&["up", "kafka3"])).await.unwrap();
        println!("{broker} is up again after {} records", *load.acked.borrow());
    }
    acked(&load, BETWEEN).await;
    load.stop.send_replace(true);

    let mut written = BTreeMap::new();
    for (writer, task) in writers.into_iter().enumerate() {
        written.insert(format!("writer {writer}"), task.await.unwrap());
    }
    let found = read_all(&log).await;
    let (mut lost, mut doubled, mut disordered) = (0, 0, 0);
    for (key, &count) in &written {
        // The first time that a number comes, all before it must have come.
        let mut next = 0;
        for &number in found.get(key).map(Vec::as_slice).unwrap_or_default() {
            match number {
                number if number < next => doubled += 1,
                number if number == next => next += 1,
                _ => disordered += 1,
            }
        }
        lost += count - next.min(count);
    }
    println!(
        "{} acknowledged; {lost} lost, {disordered} out of order, {doubled} doubled; {} appends repeated; \
         the longest append took {:.1} s",
        written.values().sum::<u64>(),
        load.retried.load(Ordering::Relaxed),
        load.longest_gap.borrow().as_secs_f64(),
    );
    assert_eq!((lost, disordered), (0, 0));
    log.close().await;
}
