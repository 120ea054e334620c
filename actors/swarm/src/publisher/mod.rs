//! The publisher: keeps events in the event log, and the log within its bounds.
//!
//! It is started beside the session, which it outlives by the time of a last append. Events wait in a
//! bounded [`EventQueue`] that outlives the actor that appends them, so one that fails is started again
//! and loses nothing; the log may then hold a batch twice, as its readers expect.

mod queue;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use control::Event;
use env::supervision::{Policy, Restart, Supervisor, Verdict};
use env::{NodeEnv, Timer};
use event_log::{Cleanup, EventLog, TopicSpec};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use rand::rngs::SmallRng;
use tokio::sync::oneshot;
use tracing::error;

use self::queue::EventQueue;
use self::worker::{WorkerActor, WorkerArgs, WorkerMsg};

/// The topic of what happens to torrents.
pub const TORRENT_UPDATES: &str = "torrent-updates";
/// The worker is started again after 1, 2, 4 … 60 s, however often: events can go nowhere else.
const POLICY: Policy = Policy {
    restart: Restart::Permanent,
    restarts_max: usize::MAX,
    window: Duration::from_secs(600),
    delay: Duration::from_secs(1),
    delay_max: Duration::from_secs(60),
};

/// Where events are kept, and for how long.
#[derive(Debug, Clone)]
pub struct EventKeeping {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// How many partitions the topic has where it has to be made.
    pub partitions: u32,
    /// Older events are removed; `None` is no bound.
    pub age: Option<Duration>,
    /// The most bytes of a partition; `None` is no bound.
    pub partition_bytes: Option<u64>,
}

/// The publisher as others see it. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    queue: Arc<EventQueue>,
    actor: ActorRef<PublisherMsg>,
}

impl Publisher {
    /// Starts it.
    pub(crate) async fn start(env: NodeEnv, keeping: EventKeeping) -> Result<Self, SpawnErr> {
        let EventKeeping { log, partitions, age, partition_bytes } = keeping;
        let cleanup = Cleanup::Delete { age, partition_bytes };
        let topic = TopicSpec::new(TORRENT_UPDATES, partitions).with_cleanup(cleanup);
        let queue = Arc::<EventQueue>::default();
        let args = WorkerArgs { env, log, topic, queue: Arc::clone(&queue) };
        let (actor, _) = Actor::spawn(None, PublisherActor, args).await?;
        Ok(Self { queue, actor })
    }

    /// Has an event kept.
    pub(crate) fn publish(&self, event: Event) {
        if self.queue.push(event) {
            // A publisher that was closed keeps nothing more.
            let _ = self.actor.cast(PublisherMsg::Append);
        }
    }

    /// Appends what waits, closes the log and ends; `None` if it has ended already.
    pub(crate) async fn close(&self) -> Option<()> {
        let (reply, done) = oneshot::channel();
        self.actor.cast(PublisherMsg::Close(reply)).ok()?;
        done.await.ok()
    }

    /// Makes the worker panic.
    #[cfg(test)]
    pub(crate) fn panic(&self) {
        let _ = self.actor.cast(PublisherMsg::Panic);
    }
}

/// What the actor can be told.
#[derive(Debug)]
enum PublisherMsg {
    /// Events wait.
    Append,
    /// Start the worker again.
    Restart,
    /// Append what waits, then end.
    Close(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

/// Supervises the worker.
struct PublisherActor;

struct State {
    myself: ActorRef<PublisherMsg>,
    args: WorkerArgs,
    worker: Option<ActorRef<WorkerMsg>>,
    supervisor: Supervisor<()>,
    rng: SmallRng,
    restart: Option<Timer>,
    closing: bool,
}

impl Actor for PublisherActor {
    type Msg = PublisherMsg;
    type State = State;
    type Arguments = WorkerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<PublisherMsg>,
        args: WorkerArgs,
    ) -> Result<State, ActorProcessingErr> {
        let (rng, supervisor) = (args.env.rng("publisher"), Supervisor::default());
        let (worker, restart, closing) = (None, None, false);
        let mut state = State { myself, args, worker, supervisor, rng, restart, closing };
        state.start().await?;
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<PublisherMsg>,
        message: PublisherMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // One that is started looks by itself for what waits.
            PublisherMsg::Append => state.tell(WorkerMsg::Append),
            PublisherMsg::Restart => state.start().await?,
            PublisherMsg::Close(reply) => {
                state.start().await?;
                state.closing = true;
                state.tell(WorkerMsg::Close(reply));
            }
            #[cfg(test)]
            PublisherMsg::Panic => state.tell(WorkerMsg::Panic),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<PublisherMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(..) if state.closing => myself.stop(None),
            SupervisionEvent::ActorTerminated(cell, ..) => state.on_ended(&cell, "it ended"),
            SupervisionEvent::ActorFailed(cell, failure) => {
                state.on_ended(&cell, &failure.to_string());
                if state.closing {
                    myself.stop(None);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl State {
    fn tell(&self, message: WorkerMsg) {
        if let Some(worker) = &self.worker {
            // One that has just ended is started again.
            let _ = worker.cast(message);
        }
    }

    async fn start(&mut self) -> Result<(), SpawnErr> {
        if self.worker.is_none() {
            let args = self.args.clone();
            let (worker, _) =
                Actor::spawn_linked(None, WorkerActor, args, self.myself.get_cell()).await?;
            self.supervisor.started(worker.get_id(), (), POLICY);
            self.worker = Some(worker);
        }
        Ok(())
    }

    fn on_ended(&mut self, cell: &ActorCell, failure: &str) {
        let now = self.args.env.now();
        let ended = self.supervisor.ended(cell.get_id(), true, now, &mut self.rng);
        let Some(((), verdict)) = ended else { return };
        error!(failure, "the publisher failed");
        self.worker = None;
        if let Verdict::RestartAfter(delay) = verdict {
            let again = PublisherMsg::Restart;
            self.restart = Some(self.args.env.send_after(delay, &self.myself, again));
        }
    }
}
