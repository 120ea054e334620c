//! The actor that appends events to the log, in their order, many at once.

use std::sync::Arc;
use std::time::Duration;

use control::Event;
use env::{NodeEnv, Timer};
use event_log::{EventLog, EventLogError, Record, TopicSpec};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::queue::EventQueue;

/// A log that failed is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// Old events are removed so often.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// What the worker can be told.
#[derive(Debug)]
pub(super) enum WorkerMsg {
    /// Events wait, or what failed is to be tried again.
    Append,
    /// Remove what is kept long enough.
    CleanUp,
    /// Append what waits, then end.
    Close(oneshot::Sender<()>),
    /// Panic.
    #[cfg(test)]
    Panic,
}

/// The actor.
#[derive(Debug)]
pub(super) struct WorkerActor;

/// What it is born with.
#[derive(Debug, Clone)]
pub(super) struct WorkerArgs {
    pub(super) env: NodeEnv,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) topic: TopicSpec,
    pub(super) queue: Arc<EventQueue>,
}

/// Its state.
#[derive(Debug)]
pub(super) struct Worker {
    args: WorkerArgs,
    declared: bool,
    retry: Option<Timer>,
    clean: Option<Timer>,
}

impl Actor for WorkerActor {
    type Msg = WorkerMsg;
    type State = Worker;
    type Arguments = WorkerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<WorkerMsg>,
        args: WorkerArgs,
    ) -> Result<Worker, ActorProcessingErr> {
        // What waits since before, and what the last run of the node left too long.
        myself.cast(WorkerMsg::Append)?;
        myself.cast(WorkerMsg::CleanUp)?;
        Ok(Worker { args, declared: false, retry: None, clean: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<WorkerMsg>,
        message: WorkerMsg,
        state: &mut Worker,
    ) -> Result<(), ActorProcessingErr> {
        let env = state.args.env.clone();
        match message {
            WorkerMsg::Append => {
                if !state.append_all().await {
                    state.retry = Some(env.send_after(RETRY, &myself, WorkerMsg::Append));
                }
            }
            WorkerMsg::CleanUp => {
                state.clean_up().await;
                state.clean = Some(env.send_after(CLEAN_EVERY, &myself, WorkerMsg::CleanUp));
            }
            WorkerMsg::Close(reply) => {
                state.append_all().await;
                state.args.log.close().await;
                let _ = reply.send(());
                myself.stop(None);
            }
            #[cfg(test)]
            WorkerMsg::Panic => panic!("as the test wants it"),
        }
        Ok(())
    }
}

impl Worker {
    /// Appends until nothing waits, or the log fails.
    async fn append_all(&mut self) -> bool {
        if !self.declare().await {
            return false;
        }
        let WorkerArgs { log, topic, queue, .. } = &self.args;
        loop {
            let batch = queue.batch();
            if batch.is_empty() {
                return true;
            }
            let records = batch.iter().filter_map(record_of).collect();
            if let Err(error) = log.append(&topic.name, records).await {
                let dropped = queue.take_dropped();
                warn!(%error, held = queue.len(), dropped, "events wait for the log");
                return false;
            }
            queue.kept();
        }
    }

    async fn declare(&mut self) -> bool {
        if !self.declared {
            match self.args.log.declare(&self.args.topic).await {
                Ok(()) => self.declared = true,
                // Whoever gave it another number wants that one; events go by the number that it has.
                Err(EventLogError::Conflict { partitions, .. }) => {
                    warn!(partitions, "the topic has another number of partitions than configured");
                    self.declared = true;
                }
                Err(error) => warn!(%error, "events wait for the log"),
            }
        }
        self.declared
    }

    async fn clean_up(&mut self) {
        if !self.declare().await {
            return;
        }
        match self.args.log.clean_up(self.args.env.unix_ms()).await {
            Ok(removed) => debug!(removed, "old events were removed"),
            Err(error) => warn!(%error, "old events cannot be removed"),
        }
    }
}

/// An event as it is kept: JSON, keyed by the torrent, with the headers that CloudEvents 1.0 has for Kafka.
/// Epoch and number stand in them too, so that readers can order and drop without reading JSON.
fn record_of(event: &Event) -> Option<Record> {
    let json = serde_json::to_vec(event);
    let json = json.inspect_err(|error| warn!(%error, "an event cannot be written")).ok()?;
    let Event { id, epoch, seq, at_ms, kind } = event;
    let mut record = Record::new(id.to_string(), *at_ms, json);
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_type", format!("torrentedge.torrent.{}", kind.name())),
        ("ce_source", "torrentedge".to_owned()),
        ("ce_id", format!("{id}/{epoch}/{seq}")),
        ("ce_epoch", epoch.to_string()),
        ("ce_sequence", seq.to_string()),
        ("content-type", "application/json".to_owned()),
    ];
    record.headers = headers.map(|(name, value)| (name.to_owned(), value.into())).into();
    Some(record)
}

#[cfg(test)]
mod tests {
    use control::{EventKind, TorrentId};

    use super::*;

    #[test]
    fn a_record_has_the_headers_of_an_event() {
        let id = TorrentId([0xab; 20]);
        let event = Event { id, epoch: 3, seq: 7, at_ms: 5, kind: EventKind::Completed };
        let record = record_of(&event).unwrap();
        assert_eq!(record.key, id.to_string());
        let value = |name| {
            let header = record.headers.iter().find(|(own, _)| own == name);
            header.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!(value("ce_type").as_deref(), Some("torrentedge.torrent.completed"));
        assert_eq!(value("ce_id"), Some(format!("{id}/3/7")));
        assert_eq!((value("ce_epoch"), value("ce_sequence")), (Some("3".into()), Some("7".into())));
        assert!(serde_json::from_slice::<Event>(&record.payload.unwrap()).is_ok());
    }
}
