//! What every log has to do: one suite, run for each implementation.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "this is test code that other crates' tests call: a panic is how it fails"
)]

mod cleaning;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

pub use cleaning::check_clean_up;

use crate::record::RECORD_LEN_MAX;
use crate::{
    Cleanup, EventLog, EventLogError, Page, PageLimit, Position, Record, TopicSpec, Watermarks,
    partition,
};

/// What a log can keep. The suite asks for all of it, so a log that cannot says here what, and no other
/// log is tested less for it.
#[derive(Debug, Clone, Copy)]
pub struct Keeps {
    /// The earliest time of a record that is given back as it was, in milliseconds. Kafka's client takes
    /// 0 for "now", so its log begins at 1; all others at 0.
    pub earliest_ms: u64,
}

impl Keeps {
    /// Everything.
    pub const ALL: Self = Self { earliest_ms: 0 };
}

/// Checks all that is promised but cleaning up, on logs that `fresh` makes, each empty.
pub async fn check(fresh: impl AsyncFn() -> Arc<dyn EventLog>) {
    check_what_it_keeps(Keeps::ALL, fresh).await;
}

/// As [`check`], for a log that cannot keep everything.
pub async fn check_what_it_keeps(keeps: Keeps, fresh: impl AsyncFn() -> Arc<dyn EventLog>) {
    declares_topics(&*fresh().await).await;
    gives_back_what_was_appended(&*fresh().await, keeps).await;
    keeps_order_per_key(&*fresh().await).await;
    keeps_order_per_key_among_many_writers(fresh().await).await;
    replays_from_any_offset(&*fresh().await).await;
    bounds_a_page(&*fresh().await).await;
    commits_per_group(&*fresh().await).await;
    delivers_again_what_was_not_committed(&*fresh().await).await;
    refuses_what_is_not_there(&*fresh().await).await;
    refuses_what_is_too_large(&*fresh().await, keeps).await;
    wakes_readers(fresh().await).await;
    refuses_when_closed(fresh().await).await;
}

const ALL: PageLimit = PageLimit { records: 100_000, bytes: usize::MAX };

async fn read(log: &dyn EventLog, partition: u32, from: u64) -> Page {
    log.read("t", partition, from, ALL).await.unwrap()
}

/// The payloads of a page.
fn payloads(page: &Page) -> Vec<&[u8]> {
    page.records.iter().map(|stored| stored.record.payload.as_deref().unwrap()).collect()
}

/// Records of one key with the payloads `0`, `1`, ….
fn numbered(count: u64) -> Vec<Record> {
    (0..count).map(|n| Record::new("k", 1000 + n, n.to_string())).collect()
}

async fn declares_topics(log: &dyn EventLog) {
    assert_eq!(log.topics().await, Ok(vec![]));
    let first = TopicSpec::new("b-topic", 3);
    let compacted = Cleanup::Compact { gone_age: std::time::Duration::from_secs(60) };
    let second = TopicSpec::new("a.topic", 1).with_cleanup(compacted);
    log.declare(&first).await.unwrap();
    log.declare(&second).await.unwrap();
    log.declare(&first).await.unwrap();
    assert_eq!(log.topics().await, Ok(vec![second, first]));
    let conflict = EventLogError::Conflict { topic: "b-topic".to_owned(), partitions: 3 };
    assert_eq!(log.declare(&TopicSpec::new("b-topic", 4)).await, Err(conflict));
    let result = log.declare(&TopicSpec::new("no topic", 1)).await;
    assert!(matches!(result, Err(EventLogError::Invalid(_))));
    assert_eq!(log.watermarks("b-topic", 2).await, Ok(Watermarks::default()));
}

async fn gives_back_what_was_appended(log: &dyn EventLog, keeps: Keeps) {
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    let full = Record {
        key: Bytes::from_static(b"\x00key"),
        ts_ms: 1_700_000_000_000,
        headers: vec![
            ("ce_id".to_owned(), Bytes::from_static(b"\xff\x00")),
            ("ce_id".to_owned(), Bytes::new()),
        ],
        payload: Some(Bytes::from_static(b"{\"a\":1}")),
    };
    let gone = Record { payload: None, headers: vec![], ..full.clone() };
    let empty = Record::new("", keeps.earliest_ms, "");
    let records = vec![full, gone, empty];
    let positions = log.append("t", records.clone()).await.unwrap();
    let expected: Vec<Position> = (0..3).map(|offset| Position { partition: 0, offset }).collect();
    assert_eq!(positions, expected);
    let page = read(log, 0, 0).await;
    assert_eq!(page.next, 3);
    for (n, (stored, record)) in page.records.iter().zip(&records).enumerate() {
        assert_eq!((stored.offset, &stored.record), (n as u64, record));
    }
    assert_eq!(log.append("t", vec![]).await, Ok(vec![]));
}

async fn keeps_order_per_key(log: &dyn EventLog) {
    log.declare(&TopicSpec::new("t", 4)).await.unwrap();
    let keys = ["a", "b", "c", "d", "e", "f", "g"];
    for round in 0..10 {
        let records = keys
            .iter()
            .flat_map(|key| (0..3).map(move |n| (*key, round * 3 + n)))
            .map(|(key, n)| Record::new(key, 0, n.to_string()));
        log.append("t", records.collect()).await.unwrap();
    }
    let mut seen: BTreeMap<Bytes, u64> = BTreeMap::new();
    for number in 0..4 {
        for (n, stored) in read(log, number, 0).await.records.into_iter().enumerate() {
            let Record { key, payload, .. } = stored.record;
            assert_eq!(stored.offset, n as u64, "offsets have no gaps");
            assert_eq!(partition(&key, 4), number, "as other clients choose partitions");
            let next = seen.entry(key).or_default();
            assert_eq!(payload, Some(next.to_string().into()));
            *next += 1;
        }
    }
    assert_eq!(seen.values().copied().collect::<Vec<_>>(), [30; 7]);
}

/// Several writers append at once, each its own key; each waits for its append before the next.
async fn keeps_order_per_key_among_many_writers(log: Arc<dyn EventLog>) {
    log.declare(&TopicSpec::new("t", 2)).await.unwrap();
    let write = async |key: &'static str| {
        for n in 0..20 {
            log.append("t", vec![Record::new(key, 0, n.to_string())]).await.unwrap();
        }
    };
    tokio::join!(write("a"), write("b"), write("c"), write("d"));
    let mut seen: BTreeMap<Bytes, u64> = BTreeMap::new();
    for number in 0..2 {
        for stored in read(&*log, number, 0).await.records {
            let next = seen.entry(stored.record.key).or_default();
            assert_eq!(stored.record.payload, Some(next.to_string().into()));
            *next += 1;
        }
    }
    assert_eq!(seen.values().copied().collect::<Vec<_>>(), [20; 4]);
}

async fn replays_from_any_offset(log: &dyn EventLog) {
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    log.append("t", numbered(10)).await.unwrap();
    for from in 0..=10 {
        let page = read(log, 0, from).await;
        let expected: Vec<String> = (from..10).map(|n| n.to_string()).collect();
        assert_eq!(payloads(&page), expected.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert_eq!(page.next, 10);
    }
    let beyond = EventLogError::OutOfRange { from: 11, low: 0, high: 10 };
    assert_eq!(log.read("t", 0, 11, ALL).await, Err(beyond));
    assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 0, high: 10 }));
}

async fn bounds_a_page(log: &dyn EventLog) {
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    log.append("t", vec![Record::new("k", 0, vec![b'x'; 1000]); 10]).await.unwrap();
    let count = async |records, bytes| {
        let page = log.read("t", 0, 2, PageLimit { records, bytes }).await.unwrap();
        assert_eq!(page.next, 2 + page.records.len() as u64);
        page.records.len()
    };
    assert_eq!(count(3, usize::MAX).await, 3);
    assert_eq!(count(100, usize::MAX).await, 8);
    assert_eq!(count(100, 2500).await, 2);
    assert_eq!(count(100, 0).await, 1, "a record that is larger than the page still passes");
    assert_eq!(count(0, usize::MAX).await, 1);
}

async fn commits_per_group(log: &dyn EventLog) {
    log.declare(&TopicSpec::new("t", 2)).await.unwrap();
    log.declare(&TopicSpec::new("u", 1)).await.unwrap();
    assert_eq!(log.committed("g", "t", 0).await, Ok(None));
    log.commit("g", "t", &[(0, 5), (1, 7)]).await.unwrap();
    log.commit("h", "t", &[(0, 1)]).await.unwrap();
    assert_eq!(log.committed("g", "t", 0).await, Ok(Some(5)));
    assert_eq!(log.committed("g", "t", 1).await, Ok(Some(7)));
    assert_eq!(log.committed("h", "t", 0).await, Ok(Some(1)));
    assert_eq!(log.committed("h", "t", 1).await, Ok(None));
    assert_eq!(log.committed("g", "u", 0).await, Ok(None));
    log.commit("g", "t", &[(0, 2)]).await.unwrap();
    assert_eq!(log.committed("g", "t", 0).await, Ok(Some(2)), "a group may go back");
    log.commit("g", "t", &[]).await.unwrap();
    let result = log.commit("no group", "t", &[(0, 1)]).await;
    assert!(matches!(result, Err(EventLogError::Invalid(_))));
}

/// A reader that ends after its effect and before its commit sees the record again: at least once.
async fn delivers_again_what_was_not_committed(log: &dyn EventLog) {
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    log.append("t", numbered(6)).await.unwrap();
    let four = PageLimit { records: 4, ..ALL };
    let page = log.read("t", 0, 0, four).await.unwrap();
    // It handled four and commits two of them.
    log.commit("g", "t", &[(0, page.records[1].offset + 1)]).await.unwrap();
    let next = log.committed("g", "t", 0).await.unwrap().unwrap();
    assert_eq!(payloads(&read(log, 0, next).await), [b"2", b"3", b"4", b"5"]);
}

async fn refuses_what_is_not_there(log: &dyn EventLog) {
    let unknown = || EventLogError::UnknownTopic("t".to_owned());
    assert_eq!(log.append("t", numbered(1)).await, Err(unknown()));
    assert_eq!(log.read("t", 0, 0, ALL).await, Err(unknown()));
    assert_eq!(log.commit("g", "t", &[(0, 1)]).await, Err(unknown()));
    assert_eq!(log.committed("g", "t", 0).await, Err(unknown()));
    assert_eq!(log.watermarks("t", 0).await, Err(unknown()));
    assert_eq!(log.readable("t", 0, 0).await, Err(unknown()));
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    let unknown = || EventLogError::UnknownPartition { topic: "t".to_owned(), partition: 1 };
    assert_eq!(log.read("t", 1, 0, ALL).await, Err(unknown()));
    assert_eq!(log.commit("g", "t", &[(0, 1), (1, 1)]).await, Err(unknown()));
    assert_eq!(log.committed("g", "t", 0).await, Ok(None), "nothing of it was kept");
    assert_eq!(log.watermarks("t", 1).await, Err(unknown()));
    assert_eq!(log.readable("t", 1, 0).await, Err(unknown()));
}

async fn refuses_what_is_too_large(log: &dyn EventLog, keeps: Keeps) {
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    let mut largest = Record::new("", keeps.earliest_ms, vec![b'x'; RECORD_LEN_MAX]);
    let excess = largest.len() - RECORD_LEN_MAX;
    let too_large = largest.clone();
    largest.payload = Some(vec![b'x'; RECORD_LEN_MAX - excess].into());
    log.append("t", vec![largest.clone()]).await.unwrap();
    assert_eq!(read(log, 0, 0).await.records[0].record, largest);
    let headers =
        Record { headers: vec![("h".to_owned(), Bytes::new()); 65], ..Record::new("k", 0, "p") };
    for record in [too_large, headers, Record::new("k", u64::MAX, "p")] {
        let result = log.append("t", vec![Record::new("k", 0, "p"), record]).await;
        assert!(matches!(result, Err(EventLogError::Invalid(_))), "{result:?}");
    }
    assert_eq!(log.watermarks("t", 0).await.unwrap().high, 1);
}

async fn wakes_readers(log: Arc<dyn EventLog>) {
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    log.append("t", numbered(1)).await.unwrap();
    log.readable("t", 0, 0).await.unwrap();
    // Each reads by offset whatever wakes it, and so sees every record.
    let follow = async || {
        let mut seen = 0;
        while seen < 20 {
            log.readable("t", 0, seen).await.unwrap();
            let page = read(&*log, 0, seen).await;
            assert_eq!(page.records.first().map_or(seen, |first| first.offset), seen);
            seen = page.next;
        }
    };
    let write = async {
        for n in 1..20 {
            log.append("t", vec![Record::new("k", 0, n.to_string())]).await.unwrap();
        }
    };
    tokio::join!(follow(), follow(), write);
}

async fn refuses_when_closed(log: Arc<dyn EventLog>) {
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    let (waiting, ()) = tokio::join!(biased; log.readable("t", 0, 0), log.close());
    assert_eq!(waiting, Err(EventLogError::Closed));
    assert_eq!(log.append("t", numbered(1)).await, Err(EventLogError::Closed));
    assert_eq!(log.read("t", 0, 0, ALL).await, Err(EventLogError::Closed));
    assert_eq!(log.readable("t", 0, 0).await, Err(EventLogError::Closed));
    log.close().await;
}
