//! The whole configuration: its sections, and what holds between them.

use std::path::{Path, PathBuf};

use crate::engine::EngineConfig;
use crate::error::{ConfigError, Problem};
use crate::gateway::GatewayConfig;
use crate::limits::LimitsConfig;
use crate::load::load;
use crate::log::LogConfig;
use crate::node::NodeConfig;
use crate::section::section;
use crate::source::{Origin, Origins, Sources};
use crate::storage::{EventLogConfig, EventLogKind, StoreConfig};
use crate::tracker::TrackerConfig;

section! {
    /// The configuration of TorrentEdge.
    pub struct Config {
        keys {}
        sections {
            /// This node.
            node: NodeConfig;
            /// The BitTorrent engine.
            engine: EngineConfig;
            /// Announcing to trackers.
            tracker: TrackerConfig;
            /// The HTTP interface.
            gateway: GatewayConfig;
            /// Where torrents and their settings are kept.
            store: StoreConfig;
            /// Where events are kept.
            event_log: EventLogConfig;
            /// What the program says about itself.
            log: LogConfig;
            /// Bounds of what comes from outside.
            limits: LimitsConfig;
        }
    }
}

impl Config {
    /// Merges `sources`, checks every value, and makes every path absolute where its base is.
    ///
    /// Paths that begin with `~/` are taken from `HOME`; relative ones of `engine`, `store` and
    /// `event_log` are taken from `node.data_dir`. Files are read here, nothing else is.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the sources, in the order in which they were read.
    pub fn load(sources: &Sources) -> Result<(Self, Origins), ConfigError> {
        let (mut config, mut origins) = load::<Self>(sources)?;
        if origins.of("node.data_dir") == &Origin::Default
            && let Some(directory) = sources.directory("XDG_DATA_HOME")
        {
            config.node.data_dir = directory.join("torrentedge");
            origins.0.insert("node.data_dir".to_owned(), Origin::variable("XDG_DATA_HOME"));
        }
        let mut problems = config.contradictions(&origins);
        problems.extend(config.resolve_paths(sources.home().as_deref(), &origins));
        if problems.is_empty() { Ok((config, origins)) } else { Err(ConfigError { problems }) }
    }

    /// Expands `~/` and joins relative paths to the data directory.
    fn resolve_paths(&mut self, home: Option<&Path>, origins: &Origins) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut expand = |key: &'static str, path: &mut PathBuf, base: Option<&Path>| {
            if let Ok(rest) = path.strip_prefix("~") {
                match home {
                    Some(home) => *path = home.join(rest),
                    None => problems.push(Problem::NoHome { origin: origins.of(key).clone(), key }),
                }
            } else if let Some(base) = base {
                *path = base.join(&*path);
            }
        };
        expand("node.data_dir", &mut self.node.data_dir, None);
        let base = self.node.data_dir.clone();
        expand("engine.download_dir", &mut self.engine.download_dir, Some(&base));
        expand("store.path", &mut self.store.path, Some(&base));
        expand("event_log.path", &mut self.event_log.path, Some(&base));
        if let Some(path) = &mut self.engine.network.extra_ca_file {
            expand("engine.network.extra_ca_file", path, None);
        }
        if let Some(path) = &mut self.event_log.kafka.ca_file {
            expand("event_log.kafka.ca_file", path, None);
        }
        problems
    }

    /// What is right by itself and wrong together.
    fn contradictions(&self, origins: &Origins) -> Vec<Problem> {
        let (network, memory) = (&self.engine.network, &self.engine.memory);
        let log = &self.event_log;
        let more_than = [
            (
                network.max_connections_per_torrent > network.max_connections,
                "engine.network.max_connections_per_torrent",
                "engine.network.max_connections",
            ),
            (
                network.max_half_open > network.max_connections,
                "engine.network.max_half_open",
                "engine.network.max_connections",
            ),
            (
                memory.unwritten_per_torrent > memory.unwritten,
                "engine.memory.unwritten_per_torrent",
                "engine.memory.unwritten",
            ),
            (
                self.engine.choker.optimistic_slots > self.engine.choker.upload_slots,
                "engine.choker.optimistic_slots",
                "engine.choker.upload_slots",
            ),
        ];
        let needs = [
            (
                log.kind == EventLogKind::Kafka && log.kafka.brokers.is_empty(),
                "event_log.kind",
                "event_log.kafka.brokers",
            ),
            (
                log.kafka.username.is_some() && log.kafka.password.is_empty(),
                "event_log.kafka.username",
                "event_log.kafka.password",
            ),
        ];
        let problems = more_than.into_iter().map(|found| (found, "is more than"));
        let problems = problems.chain(needs.into_iter().map(|found| (found, "needs")));
        problems
            .filter(|((is_wrong, ..), _)| *is_wrong)
            .map(|((_, key, other_key), reason)| Problem::Contradiction {
                key,
                origin: origins.of(key).clone(),
                reason,
                other_key,
                other_origin: origins.of(other_key).clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
