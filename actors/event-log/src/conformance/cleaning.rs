//! What a log has to do that cleans up when it is asked to.

use std::sync::Arc;
use std::time::Duration;

use super::{ALL, numbered, payloads, read};
use crate::{Cleanup, EventLog, EventLogError, Record, TopicSpec, Watermarks};

/// Checks retention and compaction, on logs that `fresh` makes, each empty. For logs that do this in
/// [`EventLog::clean_up`].
pub async fn check_clean_up(fresh: impl AsyncFn() -> Arc<dyn EventLog>) {
    keeps_all_without_bounds(&*fresh().await).await;
    removes_by_age(&*fresh().await).await;
    removes_by_size(&*fresh().await).await;
    compacts_to_the_newest_of_each_key(&*fresh().await).await;
}

async fn declare(log: &dyn EventLog, cleanup: Cleanup) {
    log.declare(&TopicSpec::new("t", 1).with_cleanup(cleanup)).await.unwrap();
}

async fn keeps_all_without_bounds(log: &dyn EventLog) {
    declare(log, Cleanup::Delete { age: None, partition_bytes: None }).await;
    log.append("t", numbered(5)).await.unwrap();
    assert_eq!(log.clean_up(u64::MAX).await, Ok(0));
    assert_eq!(read(log, 0, 0).await.records.len(), 5);
}

async fn removes_by_age(log: &dyn EventLog) {
    let age = Some(Duration::from_millis(100));
    declare(log, Cleanup::Delete { age, partition_bytes: None }).await;
    // Times 1000 to 1009; one that is late stays in its place until those before it are gone.
    log.append("t", numbered(10)).await.unwrap();
    log.append("t", vec![Record::new("k", 1, "late")]).await.unwrap();
    assert_eq!(log.clean_up(50).await, Ok(0));
    assert_eq!(log.clean_up(1100).await, Ok(0));
    assert_eq!(log.clean_up(1104).await, Ok(4));
    assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 4, high: 11 }));
    let gone = EventLogError::OutOfRange { from: 3, low: 4, high: 11 };
    assert_eq!(log.read("t", 0, 3, ALL).await, Err(gone));
    assert_eq!(payloads(&read(log, 0, 4).await)[0], b"4");
    assert_eq!(log.clean_up(2000).await, Ok(7));
    assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 11, high: 11 }));
    assert_eq!(read(log, 0, 11).await.next, 11);
    assert_eq!(log.append("t", numbered(1)).await.unwrap()[0].offset, 11);
}

async fn removes_by_size(log: &dyn EventLog) {
    let record = Record::new("k", 0, vec![b'x'; 1000]);
    let bytes = 4 * record.len() as u64;
    declare(log, Cleanup::Delete { age: None, partition_bytes: Some(bytes) }).await;
    // Some logs keep the bound at every append, others when they clean up.
    log.append("t", vec![record.clone(); 10]).await.unwrap();
    log.clean_up(0).await.unwrap();
    assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 6, high: 10 }));
    log.append("t", vec![record; 2]).await.unwrap();
    log.clean_up(0).await.unwrap();
    assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 8, high: 12 }));
    assert_eq!(log.clean_up(0).await, Ok(0));
}

async fn compacts_to_the_newest_of_each_key(log: &dyn EventLog) {
    declare(log, Cleanup::Compact { gone_age: Duration::from_millis(100) }).await;
    let gone = |key: &'static str, ts_ms| Record { payload: None, ..Record::new(key, ts_ms, "") };
    let records = vec![
        Record::new("a", 1000, "a1"),
        Record::new("b", 1001, "b1"),
        Record::new("a", 1002, "a2"),
        gone("b", 1003),
        Record::new("c", 1004, "c1"),
        gone("c", 1005),
        Record::new("c", 1006, "c2"),
    ];
    log.append("t", records).await.unwrap();
    assert_eq!(log.clean_up(1050).await, Ok(4));
    let page = read(log, 0, 0).await;
    let kept: Vec<_> = page.records.iter().map(|s| (s.offset, &*s.record.key)).collect();
    assert_eq!(kept, [(2, &b"a"[..]), (3, b"b"), (6, b"c")], "offsets stay, with gaps");
    assert_eq!(page.next, 7);
    assert_eq!(log.clean_up(1104).await, Ok(1), "that b is gone was told for long enough");
    assert_eq!(payloads(&read(log, 0, 0).await), [b"a2", b"c2"]);
    assert_eq!(log.watermarks("t", 0).await, Ok(Watermarks { low: 0, high: 7 }));
    log.append("t", vec![gone("a", 1200), gone("c", 1200)]).await.unwrap();
    log.clean_up(2000).await.unwrap();
    let page = read(log, 0, 0).await;
    assert_eq!((page.records.len(), page.next), (0, 9), "a reader gets over an empty stretch");
}
