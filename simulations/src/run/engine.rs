//! A host's process: the engine, started on what the host has, commanded from outside.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use cluster_config::{Config, Flag, Sources};
use control::{AddTorrent, Command, Engine, Event};
use env::NodeEnv;
use event_log::{EventLog, MemoryLog};
use futures_util::StreamExt;
use store::MemoryStore;
use swarm::{EventKeeping, Foundation, Settings, Swarm};
use tokio::sync::mpsc;

use crate::plan::HostPlan;

/// Something that a host is to do.
pub(super) type Job = Box<dyn FnOnce(Swarm) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What all simulated engines are set to, unless the plan says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("node.data_dir", "/data"),
    ("engine.network.allow_private_peers", "true"),
    ("engine.network.encryption", "plain"),
];

/// An engine has begun all that it runs after this time.
const SETTLE: Duration = Duration::from_millis(1);

/// What a host tells from inside.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What happened to its torrent since this was taken last.
    pub(super) events: Vec<Event>,
    /// What lived before it had a torrent.
    pub(super) baseline: Option<BTreeMap<&'static str, usize>>,
    /// Its world, for counting what lives.
    pub(super) env: Option<NodeEnv>,
    /// It could not start.
    pub(super) broken: Option<String>,
}

/// A cell that the harness and a host share; locked between steps of one thread only.
#[derive(Debug, Default)]
pub(super) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        // Whole after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a host outlives its processes, its disk aside.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) config: Config,
    pub(super) store: Arc<MemoryStore>,
    log: Arc<MemoryLog>,
    pub(super) told: Shared<Told>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
}

/// The configuration of a host.
///
/// # Errors
///
/// The plan sets what cannot be set.
pub(super) fn config_of(host: &HostPlan) -> Result<Config> {
    let defaults = DEFAULTS.iter().map(|&(key, value)| Flag::new("a simulation", key, value));
    let own = host.config.iter().map(|(key, value)| Flag::new("the plan", key, value));
    let sources = Sources::default().with_flags(defaults).with_flags(own);
    let (config, _) = Config::load(&sources).with_context(|| format!("host {}", host.name))?;
    Ok(config)
}

impl Machine {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            store: Arc::new(MemoryStore::new()),
            log: Arc::new(MemoryLog::new()),
            told: Shared::default(),
            jobs: None,
        }
    }

    /// What its process is to do: run the engine, add the torrent if it is new, then what is sent.
    pub(super) fn process(
        &mut self,
        add: Option<AddTorrent>,
    ) -> impl FnOnce(NodeEnv) -> Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
        self.store.reopen();
        self.log.reopen();
        let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
        self.jobs = Some(sender);
        let settings = Settings {
            engine: self.config.engine.clone(),
            tracker: self.config.tracker.clone(),
            limits: self.config.limits.clone(),
            data_dir: self.config.node.data_dir.clone(),
        };
        let store = Arc::clone(&self.store);
        let log = Arc::clone(&self.log) as Arc<dyn EventLog>;
        let (told, retention) = (self.told.clone(), self.config.event_log.retention_age);
        let partitions = self.config.event_log.topics.torrent_updates.partitions;
        move |env| {
            Box::pin(async move {
                told.lock().env = Some(env.clone());
                let age = Some(retention);
                let keeping = EventKeeping { log, partitions, age, partition_bytes: None };
                let foundation =
                    Foundation { env: env.clone(), settings, store, log: Some(keeping) };
                let swarm = match Swarm::start(foundation).await {
                    Ok(swarm) => swarm,
                    Err(error) => {
                        told.lock().broken = Some(error.to_string());
                        return;
                    }
                };
                let mut feed = swarm.events();
                let listener = told.clone();
                let _listens = env.spawn("observer", async move {
                    while let Some(event) = feed.next().await {
                        listener.lock().events.push(event);
                    }
                });
                if let Some(add) = add {
                    // What the engine has started begins to run first.
                    env.sleep(SETTLE).await;
                    told.lock().baseline.get_or_insert_with(|| env.live());
                    if let Err(error) = swarm.command(Command::Add(add)).await {
                        told.lock().broken = Some(error.to_string());
                    }
                }
                while let Some(job) = jobs.recv().await {
                    job(swarm.clone()).await;
                }
            })
        }
    }

    /// Has the host do something as soon as it runs next; nothing if it does not run.
    pub(super) fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // One that has died does nothing.
            let _ = jobs.send(job);
        }
    }

    /// Asks the host's engine something; the answer stands in the cell later.
    pub(super) fn ask<T, F>(
        &self,
        ask: impl FnOnce(Swarm) -> F + Send + 'static,
    ) -> Shared<Option<T>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let answer = Shared(Arc::new(Mutex::new(None)));
        let slot = answer.clone();
        self.send(Box::new(move |swarm| {
            Box::pin(async move {
                let value = ask(swarm).await;
                *slot.lock() = Some(value);
            })
        }));
        answer
    }

    /// Its process has ended.
    pub(super) fn ended(&mut self) {
        self.jobs = None;
        self.told.lock().env = None;
    }
}
