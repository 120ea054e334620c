//! What is said while no broker answers.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use cluster_config::Secret;
use event_log::{EventLog, EventLogError, TopicSpec};
use kafka_bridge::{KafkaLog, Settings};

#[tokio::test]
async fn a_broker_that_is_away_is_unavailable_within_the_bound() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let log = KafkaLog::new(Settings {
        brokers: vec![address.to_string()],
        username: Some("user".to_owned()),
        password: Secret::new("hunter2".to_owned()),
        ..Settings::default()
    })
    .unwrap();
    let begun = Instant::now();
    let refused = log.declare(&TopicSpec::new("t", 1)).await;
    assert!(matches!(refused, Err(EventLogError::Unavailable(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert!(!format!("{refused:?} {log:?}").contains("hunter2"));
    log.close().await;
    assert_eq!(log.topics().await, Err(EventLogError::Closed));
}
