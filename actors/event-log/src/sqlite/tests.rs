//! Tests of what only a file does; the rest is in the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::{collection, option};

use super::*;
use crate::topic::Cleanup;

fn open(directory: &tempfile::TempDir) -> SqliteLog {
    SqliteLog::open(&directory.path().join("events.sqlite")).unwrap()
}

#[tokio::test]
async fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    let nth = std::cell::Cell::new(0);
    let fresh = async || {
        nth.set(nth.get() + 1);
        let path = directory.path().join(format!("{}.sqlite", nth.get()));
        Arc::new(SqliteLog::open(&path).unwrap()) as Arc<dyn EventLog>
    };
    crate::conformance::check(&fresh).await;
    crate::conformance::check_clean_up(&fresh).await;
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    let age = Some(Duration::from_secs(60));
    let spec = TopicSpec::new("t", 2)
        .with_cleanup(Cleanup::Delete { age, partition_bytes: Some(1 << 20) });
    log.declare(&spec).await.unwrap();
    let mut record = Record::new("key", 7, "payload");
    record.headers = vec![("ce_id".to_owned(), Bytes::from_static(b"\x00\xff"))];
    let position = log.append("t", vec![record.clone()]).await.unwrap()[0];
    log.commit("g", "t", &[(position.partition, 1)]).await.unwrap();
    drop(log);
    let log = open(&directory);
    assert_eq!(log.topics().await, Ok(vec![spec]));
    let page = log.read("t", position.partition, 0, PageLimit::default()).await.unwrap();
    assert_eq!((&page.records[0].record, page.next), (&record, 1));
    assert_eq!(log.committed("g", "t", position.partition).await, Ok(Some(1)));
    // Offsets go on where they were.
    assert_eq!(log.append("t", vec![record]).await.unwrap()[0].offset, 1);
}

#[tokio::test]
async fn offsets_go_on_after_everything_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    let cleanup = Cleanup::Delete { age: Some(Duration::ZERO), partition_bytes: None };
    log.declare(&TopicSpec::new("t", 1).with_cleanup(cleanup)).await.unwrap();
    let count = 2500;
    log.append("t", vec![Record::new("k", 1, "p"); count]).await.unwrap();
    assert_eq!(log.clean_up(2).await, Ok(2500), "in more than one step");
    drop(log);
    let log = open(&directory);
    assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 2500, high: 2500 }));
    assert_eq!(log.append("t", vec![Record::new("k", 1, "p")]).await.unwrap()[0].offset, 2500);
}

#[tokio::test]
async fn a_damaged_or_newer_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.sqlite");
    let newer = Schema {
        application_id: SCHEMA.application_id,
        migrations: &[include_str!("schema.sql"), "CREATE TABLE later(x)"],
    };
    drop(Database::open(&path, &newer).unwrap());
    let error = SqliteLog::open(&path).unwrap_err();
    assert_eq!(error, EventLogError::NewerSchema { found: 2, known: 1 });
    std::fs::write(&path, [7; 8192]).unwrap();
    assert!(matches!(SqliteLog::open(&path), Err(EventLogError::Corrupt(_))));
}

/// One call, on either log.
#[derive(Debug, Clone)]
enum Call {
    Append(Vec<(u8, u16, bool)>),
    Read(u32, u64, usize),
    Commit(u32, u64),
    Declare(Cleanup),
    CleanUp(u64),
}

fn any_call() -> impl Strategy<Value = Call> {
    let cleanup = prop_oneof![
        (option::of(0..50_u64), option::of(0..2000_u64)).prop_map(|(age, partition_bytes)| {
            Cleanup::Delete { age: age.map(Duration::from_millis), partition_bytes }
        }),
        (0..50_u64).prop_map(|age| Cleanup::Compact { gone_age: Duration::from_millis(age) }),
    ];
    let record = (0..5_u8, 0..100_u16, any::<bool>());
    prop_oneof![
        3 => collection::vec(record, 0..10).prop_map(Call::Append),
        3 => (0..3_u32, 0..30_u64, 0..10_usize).prop_map(|(p, from, n)| Call::Read(p, from, n)),
        1 => (0..3_u32, any::<u32>()).prop_map(|(p, next)| Call::Commit(p, next.into())),
        1 => cleanup.prop_map(Call::Declare),
        1 => (0..200_u64).prop_map(Call::CleanUp),
    ]
}

/// What a call led to, as text.
async fn run(log: &dyn EventLog, call: Call) -> String {
    match call {
        Call::Append(records) => {
            let record = |(key, ts_ms, has_payload): (u8, u16, bool)| Record {
                payload: has_payload.then(|| Bytes::from(vec![key; usize::from(ts_ms)])),
                ..Record::new(vec![key], ts_ms.into(), "")
            };
            let records = records.into_iter().map(record).collect();
            format!("{:?}", log.append("t", records).await)
        }
        Call::Read(partition, from, records) => {
            let limit = PageLimit { records, bytes: 300 };
            let marks = log.watermarks("t", partition).await;
            format!("{marks:?} {:?}", log.read("t", partition, from, limit).await)
        }
        Call::Commit(partition, next) => {
            let before = log.committed("g", "t", partition).await;
            format!("{before:?} {:?}", log.commit("g", "t", &[(partition, next)]).await)
        }
        Call::Declare(cleanup) => {
            let declared = log.declare(&TopicSpec::new("t", 2).with_cleanup(cleanup)).await;
            format!("{declared:?} {:?}", log.topics().await)
        }
        Call::CleanUp(now_ms) => format!("{:?}", log.clean_up(now_ms).await.map(drop)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn does_as_the_log_in_memory(calls in collection::vec(any_call(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (file, memory) = (open(&directory), crate::MemoryLog::new());
        runtime.block_on(async {
            file.declare(&TopicSpec::new("t", 2)).await.unwrap();
            memory.declare(&TopicSpec::new("t", 2)).await.unwrap();
            for call in calls {
                let expected = run(&memory, call.clone()).await;
                prop_assert_eq!(run(&file, call.clone()).await, expected, "{:?}", call);
                // The log in memory keeps its bytes bounded at every append, the file when it is asked.
                file.clean_up(0).await.unwrap();
                memory.clean_up(0).await.unwrap();
            }
            Ok(())
        })?;
    }
}
