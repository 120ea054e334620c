//! `topics` and `events` on Kafka; `KAFKA_BROKERS` says where it is.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic, and the world of these is the real one"
)]

mod log_commands;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log_commands::Program;
use serde_json::Value;

/// Everything that is waited for comes within this time.
const WITHIN: Duration = Duration::from_secs(60);

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

/// A process that is killed when the test ends, however it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `find` finds in the lines of a program's log. They are read to the end, so that it never stalls.
fn in_log(log: ChildStderr, find: impl Fn(&str) -> Option<String> + Send + 'static) -> String {
    let (told, found) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if let Some(value) = find(&line) {
                let _ = told.send(value);
            }
        }
    });
    found.recv_timeout(WITHIN).expect("the line is logged")
}

#[test]
fn a_node_tells_kafka_what_happens_to_its_torrents() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("content"), vec![7; 100_000]).unwrap();
    let program = program("serve")
        .with("node.data_dir", &path("data"))
        .with("gateway.listen", "127.0.0.1:0")
        .with("engine.network.listen_port", "0")
        .with("log.format", "json");
    program.says(&format!("create {} -o {}", path("content"), path("a.torrent")));
    program.says("topics create");

    let mut node = Running(program.command("serve").spawn().expect("it starts"));
    let address = in_log(node.0.stderr.take().unwrap(), |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["fields"]["http"].as_str().or(line["http"].as_str()).map(str::to_owned)
    });
    let torrent = fs::read(path("a.torrent")).unwrap();
    let mut gateway = TcpStream::connect(&address).unwrap();
    write!(
        gateway,
        "POST /api/v1/torrents HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/x-bittorrent\r\nContent-Length: {}\r\n\r\n",
        torrent.len()
    )
    .unwrap();
    gateway.write_all(&torrent).unwrap();
    let mut answer = String::new();
    gateway.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");

    let tail = "events tail --type added --from beginning --count 1 --json";
    let mut tail = Running(program.command(tail).spawn().expect("it starts"));
    let mut out = BufReader::new(tail.0.stdout.take().unwrap());
    let (told, line) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = out.read_line(&mut line);
        let _ = told.send(line);
    });
    let line = line.recv_timeout(WITHIN).expect("the event is in Kafka");
    let event: Value = serde_json::from_str(&line).unwrap();
    let id = event["key"].as_str().unwrap();
    assert!(answer.contains(id), "{answer} is not about {id}");
    assert_eq!(event["type"], "torrentedge.torrent.added");
    assert_eq!(event["payload"]["kind"]["added"]["name"], "content");
    assert_eq!(
        (&event["headers"]["ce_epoch"], &event["headers"]["ce_sequence"]),
        (&"1".into(), &"1".into())
    );
}
