//! `topics` and `events` on Kafka; `KAFKA_BROKERS` says where it is.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic, and the world of these is the real one"
)]

mod log_commands;

use std::time::{SystemTime, UNIX_EPOCH};

use log_commands::Program;

/// Settings for the brokers of the environment, with a prefix that nobody has used.
fn program(test: &str) -> Program {
    let brokers = std::env::var("KAFKA_BROKERS")
        .expect("KAFKA_BROKERS is not set: start a broker with `tests/services.sh up kafka`");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let prefix = format!("{test}-{:x}-{}.", since.as_micros(), std::process::id());
    let copies = brokers.split(',').count().to_string();
    Program::new(&[
        ("event_log.kind", "kafka"),
        ("event_log.kafka.brokers", &brokers),
        ("event_log.kafka.prefix", &prefix),
        ("event_log.kafka.replication", &copies),
    ])
}

#[test]
fn topics_are_made_compared_and_changed() {
    let program = program("topics");
    log_commands::topics(&program);
    let more = program.with("event_log.topics.peer_topic.partitions", "20");
    let applied = more.says("topics apply");
    assert!(applied.starts_with("peer-topic got more partitions\n"), "{applied}");
    let (table, _) = program.fails("topics check", 1);
    let line = table.lines().find(|line| line.starts_with("peer-topic")).unwrap();
    assert!(line.contains("12, is 20"), "{line}");
    let copies = more.with("event_log.kafka.replication", "7");
    let (_, said) = copies.fails("topics apply", 1);
    assert!(said.contains("copies are moved by Kafka's own tools"), "{said}");
}

#[test]
fn records_are_sent_and_seen() {
    let program = program("events");
    program.says("topics create");
    log_commands::events(&program);
}

#[test]
fn brokers_that_are_away_are_said_so() {
    let away = program("away").with("event_log.kafka.brokers", "127.0.0.1:9");
    let (_, said) = away.fails("topics check", 1);
    assert!(said.contains("the event log fails: Kafka:"), "{said}");
}
