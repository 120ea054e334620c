//! Typed configuration: defaults, files, environment and flags, with units and origins.
//!
//! Start at [`Config`], whose fields are the sections of the file; each section's struct holds its
//! keys, and the doc comment of a field is the documentation of its key (the reference,
//! `examples/torrentedge.toml`, is generated from them). [`Sources`] collects what was given,
//! [`Config::load`] merges it and says of each key where its value came from.
//!
//! Precedence, the later wins: defaults, `/etc/torrentedge/config.toml`,
//! `$XDG_CONFIG_HOME/torrentedge/config.toml`, the file of `--config`, variables
//! `TORRENTEDGE__SECTION__KEY`, flags.
//!
//! A key that nobody knows is an error that names the nearest known one; a wrong value is an error
//! that names key, value, what was expected and where it was read. All of them are reported at once.
//!
//! This crate knows no other crate of the workspace and reads no global state: the environment is
//! handed in as pairs. A new section is a struct in a file of its own and a line in [`Config`].

mod config;
mod engine;
mod error;
mod gateway;
mod limits;
mod load;
mod log;
mod node;
mod reference;
mod secret;
mod section;
mod source;
mod storage;
mod suggestion;
mod topics;
mod tracker;
mod units;
mod value;

pub use config::Config;
pub use engine::{
    ChokerConfig, ChokerMode, DiskConfig, Encryption, EngineConfig, MemoryConfig, NetworkConfig,
    Preallocate, QueueConfig, RatesConfig, SeedMode, SeedingConfig,
};
pub use error::{ConfigError, Problem};
pub use gateway::GatewayConfig;
pub use limits::LimitsConfig;
pub use log::{LogConfig, LogFormat};
pub use node::{NodeConfig, NodeName};
pub use reference::{reference, show, show_origins};
pub use secret::Secret;
pub use section::{KeyInfo, Section};
pub use source::{Flag, Origin, Origins, Sources};
pub use storage::{EventLogConfig, EventLogKind, KafkaConfig, StoreConfig, StoreKind};
pub use topics::{
    AuditLogConfig, ChatMessagesConfig, DeadLettersConfig, NodeEventsConfig, NotificationsConfig,
    PeerTopicConfig, Retention, TopicDeclaration, TopicsConfig, TorrentCommandsConfig,
    TorrentStateConfig, TorrentUpdatesConfig,
};
pub use tracker::TrackerConfig;
pub use units::{ByteSize, Limit, Rate, Ratio};
pub use value::{Raw, Value};
