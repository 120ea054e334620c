//! The publisher actor: keeps events in the event log.
//!
//! Started beside the session, which it outlives by the time of a last append. Events arrive in the order
//! in which they happened and are appended in that order, many at once; while the log fails they are held
//! here within a bound, and the oldest progress goes first when it is passed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use control::{Event, EventKind};
use env::NodeEnv;
use event_log::{EventLog, Record, TopicSpec};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// The topic of what happens to torrents.
pub const TORRENT_UPDATES: &str = "torrent-updates";
/// Its partitions.
const PARTITIONS: u32 = 12;
/// Events that are appended at once.
const BATCH_MAX: usize = 512;
/// Events that are held while the log fails.
const HELD_MAX: usize = 65_536;
/// A log that failed is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// Old events are removed so often.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// What the publisher can be told.
#[derive(Debug)]
pub(crate) enum PublisherMsg {
    /// Run until told to close.
    Run,
    /// Append what is held, then end. Told by the channel of events too, when the node is gone.
    Close(oneshot::Sender<()>),
}

/// The actor.
#[derive(Debug)]
pub(crate) struct PublisherActor;

/// What it is born with.
#[derive(Debug)]
pub(crate) struct PublisherArgs {
    pub(crate) env: NodeEnv,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) queue: mpsc::UnboundedReceiver<Event>,
}

/// Its state.
#[derive(Debug)]
pub(crate) struct PublisherState {
    args: PublisherArgs,
    held: VecDeque<Event>,
    declared: bool,
}

impl Actor for PublisherActor {
    type Msg = PublisherMsg;
    type State = PublisherState;
    type Arguments = PublisherArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<PublisherMsg>,
        args: PublisherArgs,
    ) -> Result<PublisherState, ActorProcessingErr> {
        myself.cast(PublisherMsg::Run)?;
        Ok(PublisherState { args, held: VecDeque::new(), declared: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<PublisherMsg>,
        message: PublisherMsg,
        state: &mut PublisherState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PublisherMsg::Run => {
                state.take_some().await;
                myself.cast(PublisherMsg::Run)?;
            }
            PublisherMsg::Close(reply) => {
                state.drain();
                state.append().await;
                state.args.log.close().await;
                let _ = reply.send(());
                myself.stop(None);
            }
        }
        Ok(())
    }
}

impl PublisherState {
    /// Waits for events for a while and appends what came, so that other messages get their turn.
    async fn take_some(&mut self) {
        let wait = if self.held.is_empty() { CLEAN_EVERY } else { RETRY };
        // Short waits, so that a message to close is heard soon.
        let wait = wait.min(RETRY);
        let first = self.args.env.timeout(wait, self.args.queue.recv()).await;
        self.held.extend(first.flatten());
        self.drain();
        self.append().await;
    }

    fn drain(&mut self) {
        while let Ok(event) = self.args.queue.try_recv() {
            self.held.push_back(event);
        }
        while self.held.len() > HELD_MAX {
            let progress = |event: &Event| matches!(event.kind, EventKind::Progress { .. });
            let oldest = self.held.iter().position(progress).unwrap_or(0);
            self.held.remove(oldest);
        }
    }

    async fn append(&mut self) {
        if !self.declared {
            let topic = TopicSpec::new(TORRENT_UPDATES, PARTITIONS);
            match self.args.log.declare(&topic).await {
                Ok(()) => self.declared = true,
                Err(error) => return warn!(%error, "events wait for the log"),
            }
        }
        while !self.held.is_empty() {
            let batch: Vec<_> = self.held.iter().take(BATCH_MAX).filter_map(record_of).collect();
            let count = BATCH_MAX.min(self.held.len());
            if let Err(error) = self.args.log.append(TORRENT_UPDATES, batch).await {
                return warn!(%error, held = self.held.len(), "events wait for the log");
            }
            self.held.drain(..count);
        }
    }
}

/// An event as it is kept: JSON, keyed by the torrent.
fn record_of(event: &Event) -> Option<Record> {
    let json = serde_json::to_vec(event);
    let json = json.inspect_err(|error| warn!(%error, "an event cannot be written")).ok()?;
    Some(Record::new(event.id.to_string(), event.at_ms, json))
}
