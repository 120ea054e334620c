//! How brokers are spoken to, and what that may take of memory and time.

use std::path::PathBuf;
use std::time::Duration;

use cluster_config::Secret;
use event_log::EventLogError;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use tracing::{debug, warn};

/// The longest prefix of names, in bytes: with it a name may have 249, which is Kafka's bound.
pub const PREFIX_LEN_MAX: usize = 64;
/// Records that wait for the brokers, in bytes, of all appends together. Who would exceed it waits.
pub(crate) const WAITING_BYTES_MAX: u32 = 32 << 20;
/// What the producer itself may hold, in KiB: more than what waits, which is what bounds it.
const PRODUCER_KIB_MAX: u32 = 64 << 10;
/// What a record costs in the client beside its own bytes, and counts as such.
pub(crate) const RECORD_OVERHEAD: u32 = 256;
/// Records that the producer may hold: more than wait, by their overhead.
const PRODUCER_RECORDS_MAX: u32 = WAITING_BYTES_MAX / RECORD_OVERHEAD + 1;
/// The largest request of the producer, in bytes; brokers take a batch of 1,048,588.
const REQUEST_BYTES_MAX: u32 = 1 << 20;
/// Records wait so long for others to share a request, in milliseconds.
const LINGER_MS: u32 = 5;
/// A record that no broker has taken after this time, in milliseconds, has failed.
const DELIVERY_MS_MAX: u32 = 30_000;
/// Consumers at work at once, each for one partition.
pub(crate) const READERS_MAX: usize = 16;
/// What a consumer holds of records that were not asked for yet, in KiB.
const READER_KIB_MAX: u32 = 2 << 10;
/// What a consumer asks for at once, in bytes; a larger record passes all the same.
const FETCH_BYTES_MAX: u32 = 2 << 20;
/// Groups whose offsets can be committed without connecting anew.
pub(crate) const GROUPS_MAX: usize = 16;
/// A question to the brokers is answered within this time, or has failed.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two attempts within that time.
pub(crate) const ATTEMPT_EVERY: Duration = Duration::from_millis(100);
/// How long a reader waits for records before it looks anew.
pub(crate) const READABLE_WITHIN: Duration = Duration::from_secs(1);
/// The number of partitions of a topic is believed so long, since others may raise it.
pub(crate) const COUNT_FRESH: Duration = Duration::from_secs(30);
/// What was appended is waited for so long when the log is closed.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// How brokers are spoken to.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Some brokers of the cluster, as `host:port`; the rest is learned from them.
    pub brokers: Vec<String>,
    /// What the names of all topics and groups begin with on the brokers: several clusters can share them.
    /// At most [`PREFIX_LEN_MAX`] bytes.
    pub prefix: String,
    /// On how many brokers each record of a new topic is kept; 0 leaves it to the brokers.
    pub replication: u16,
    /// Whether connections use TLS.
    pub tls: bool,
    /// A file of certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A user to log in as, by SCRAM-SHA-512.
    pub username: Option<String>,
    /// The user's password. Neither shown nor logged.
    pub password: Secret,
}

impl Settings {
    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    ///
    /// [`EventLogError::Invalid`], with what is wrong.
    pub(crate) fn check(&self) -> Result<(), EventLogError> {
        if self.brokers.is_empty() {
            return Err(EventLogError::Invalid("no Kafka broker is named".to_owned()));
        }
        if self.prefix.len() > PREFIX_LEN_MAX {
            return Err(EventLogError::Invalid(format!(
                "a prefix of {} bytes, more than {PREFIX_LEN_MAX}",
                self.prefix.len()
            )));
        }
        if self.prefix.is_empty() { Ok(()) } else { event_log::check_name("prefix", &self.prefix) }
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", "torrentedge")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000");
        config.set(
            "security.protocol",
            match (self.tls, &self.username) {
                (false, None) => "plaintext",
                (true, None) => "ssl",
                (false, Some(_)) => "sasl_plaintext",
                (true, Some(_)) => "sasl_ssl",
            },
        );
        if let Some(file) = &self.ca_file {
            config.set("ssl.ca.location", file.to_string_lossy());
        }
        if let Some(username) = &self.username {
            config
                .set("sasl.mechanism", "SCRAM-SHA-512")
                .set("sasl.username", username)
                .set("sasl.password", self.password.expose());
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// For the one producer: nothing acknowledged is lost, and retries neither double nor reorder.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "zstd")
            .set("linger.ms", LINGER_MS.to_string())
            .set("message.max.bytes", REQUEST_BYTES_MAX.to_string())
            .set("message.timeout.ms", DELIVERY_MS_MAX.to_string())
            .set("queue.buffering.max.messages", PRODUCER_RECORDS_MAX.to_string())
            .set("queue.buffering.max.kbytes", PRODUCER_KIB_MAX.to_string());
        config
    }

    /// For what makes and changes topics.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.common()
    }

    /// For a consumer. It never joins its group: readers choose offsets themselves, and groups only commit.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        config
            .set("group.id", format!("{}{group}", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", READER_KIB_MAX.to_string())
            .set("fetch.max.bytes", FETCH_BYTES_MAX.to_string())
            .set("fetch.message.max.bytes", REQUEST_BYTES_MAX.to_string());
        config
    }
}

/// Takes what librdkafka says into our log lines. It tries again by itself, and a call that fails gets an
/// error of its own, so nothing here is worth more than a warning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                warn!(facility, line, "Kafka's client");
            }
            RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info
            | RDKafkaLogLevel::Debug => debug!(facility, line, "Kafka's client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka's client");
    }
}

impl ConsumerContext for Quiet {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let settings = Settings {
            brokers: vec!["b:1".to_owned()],
            username: Some("u".to_owned()),
            password: Secret::new("hunter2".to_owned()),
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn refuses_what_cannot_work() {
        let with = |brokers: &[&str], prefix: &str| Settings {
            brokers: brokers.iter().map(|broker| (*broker).to_owned()).collect(),
            prefix: prefix.to_owned(),
            ..Settings::default()
        };
        assert_eq!(with(&["b:1"], "").check(), Ok(()));
        assert_eq!(with(&["b:1"], "a-").check(), Ok(()));
        for wrong in [with(&[], ""), with(&["b:1"], "a b"), with(&["b:1"], &"x".repeat(65))] {
            assert!(matches!(wrong.check(), Err(EventLogError::Invalid(_))), "{wrong:?}");
        }
    }
}
