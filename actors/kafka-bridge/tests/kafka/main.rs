//! The log on real brokers; `KAFKA_BROKERS` says where they are.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "the world of these tests is the real one, and a test fails by panic"
)]

mod brokers;
mod conformance;
mod outage;
mod topics;

use kafka_bridge::KafkaLog;

/// An empty log.
fn fresh() -> KafkaLog {
    KafkaLog::new(brokers::settings()).expect("the settings are right")
}
