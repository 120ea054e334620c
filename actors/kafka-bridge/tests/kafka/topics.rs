//! What Kafka can do with topics beyond what every log can.

use std::time::Duration;

use event_log::{Cleanup, EventLog, EventLogError, Record, TopicSpec};
use kafka_bridge::KafkaLog;

use crate::brokers::settings;
use crate::fresh;

#[tokio::test]
async fn a_topic_gets_another_clean_up() {
    let log = fresh();
    let hour = Duration::from_secs(3600);
    let topic = TopicSpec::new("t", 2);
    for cleanup in [
        Cleanup::Delete { age: Some(hour), partition_bytes: Some(64 << 20) },
        Cleanup::Compact { gone_age: hour },
        Cleanup::Delete { age: None, partition_bytes: None },
    ] {
        let wanted = topic.clone().with_cleanup(cleanup);
        log.declare(&wanted).await.unwrap();
        assert_eq!(log.topics().await, Ok(vec![wanted]));
    }
}

#[tokio::test]
async fn a_topic_gets_more_partitions_and_keeps_its_records() {
    let log = fresh();
    log.declare(&TopicSpec::new("t", 1)).await.unwrap();
    log.append("t", vec![Record::new("k", 1, "before")]).await.unwrap();
    let conflict = EventLogError::Conflict { topic: "t".to_owned(), partitions: 1 };
    assert_eq!(log.grow("t", 1).await, Err(conflict));
    let unknown = EventLogError::UnknownTopic("u".to_owned());
    assert_eq!(log.grow("u", 2).await, Err(unknown));
    log.grow("t", 3).await.unwrap();
    assert_eq!(log.topics().await, Ok(vec![TopicSpec::new("t", 3)]));
    assert_eq!(log.replication("t").await, Ok(Some(1)));
    // Keys are spread over all of them now.
    let records = (0..20).map(|n| Record::new(format!("key {n}"), 1, "after")).collect();
    let positions = log.append("t", records).await.unwrap();
    assert!(positions.iter().any(|position| position.partition == 2), "{positions:?}");
    assert_eq!(log.watermarks("t", 0).await.unwrap().low, 0);
}

#[tokio::test]
async fn logs_with_another_prefix_share_nothing() {
    let (one, other) = (fresh(), fresh());
    one.declare(&TopicSpec::new("t", 1)).await.unwrap();
    assert_eq!(other.topics().await, Ok(vec![]));
    let unknown = EventLogError::UnknownTopic("t".to_owned());
    assert_eq!(other.watermarks("t", 0).await, Err(unknown));
}

#[tokio::test]
async fn more_copies_than_brokers_are_refused() {
    let mut settings = settings();
    settings.replication = 100;
    let log = KafkaLog::new(settings).unwrap();
    let refused = log.declare(&TopicSpec::new("t", 1)).await;
    let Err(EventLogError::Invalid(why)) = refused else { panic!("{refused:?}") };
    assert_eq!(why, "Kafka has too few brokers to keep 100 copies of topic t");
}
