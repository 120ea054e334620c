//! The EventLog trait on Kafka, by librdkafka.
//!
//! [`KafkaLog`] keeps the promises of [`event_log`] on a cluster of brokers; start at its `impl`. Its parts:
//! `settings` (how brokers are spoken to, and all bounds of memory and time), `topics` (what there is, and
//! making it), `appender` (the producer), `readers` (consumers that read by offset), `groups` (committed
//! offsets), `refusal` (which error means what).
//!
//! This is the only crate that links librdkafka, and it knows nothing but the trait: no engine, no
//! configuration file, and never what an event means.

mod appender;
mod cleanup;
mod edge;
mod groups;
mod log;
mod readers;
mod refusal;
mod settings;
mod topics;

pub use log::KafkaLog;
pub use settings::{PREFIX_LEN_MAX, Settings};
