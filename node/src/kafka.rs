//! The event log on Kafka, where the program was built with it.

use std::sync::Arc;

use cluster_config::KafkaConfig;
use event_log::EventLog;

use crate::failure::Failure;

/// Opens the log. No broker has to be there yet.
///
/// # Errors
///
/// The settings cannot work.
#[cfg(feature = "kafka")]
pub(crate) fn open(config: &KafkaConfig) -> Result<Arc<dyn EventLog>, Failure> {
    let settings = kafka_bridge::Settings {
        brokers: config.brokers.clone(),
        prefix: config.prefix.clone(),
        replication: config.replication,
        tls: config.tls,
        ca_file: config.ca_file.clone(),
        username: config.username.clone(),
        password: config.password.clone(),
    };
    let log = kafka_bridge::KafkaLog::new(settings).map_err(Failure::failed)?;
    Ok(Arc::new(log))
}

/// Refuses.
///
/// # Errors
///
/// Always.
#[cfg(not(feature = "kafka"))]
pub(crate) fn open(_: &KafkaConfig) -> Result<Arc<dyn EventLog>, Failure> {
    Err(Failure::failed(
        "this program was built without Kafka: build it with the feature kafka, or set \
         event_log.kind to sqlite",
    ))
}
