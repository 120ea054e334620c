//! `topics` and `events` on the log in a file.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic"
)]

mod log_commands;

use log_commands::Program;

#[test]
fn topics_are_made_compared_and_changed() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().to_str().unwrap();
    let program = Program::new(&[("node.data_dir", data_dir)]);
    log_commands::topics(&program);
    // A file cannot raise partitions: said, and nothing else is held up by it.
    let more = program.with("event_log.topics.peer_topic.partitions", "20");
    let (_, said) = more.fails("topics apply", 1);
    assert!(said.contains("not as declared: peer-topic;"), "{said}");
}

#[test]
fn records_are_sent_and_seen() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().to_str().unwrap();
    let program = Program::new(&[("node.data_dir", data_dir)]);
    program.says("topics create");
    log_commands::events(&program);
}
