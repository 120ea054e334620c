//! [`Swarm`]: the handle of a running engine, which implements [`Engine`].

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::{
    Command, Content, Engine, EngineError, ErrorCode, Event, EventFeed, NodeSnapshot, Reply,
    TorrentDetail, TorrentId, TorrentSnapshot,
};
use env::NodeEnv;
use futures_util::future::join_all;
use futures_util::stream;
use ractor::{Actor, ActorRef, SpawnErr};
use store::TorrentStore;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use crate::fetch::{Fetcher, TrustError};
use crate::node::{Node, Settings};
use crate::publisher::{EventKeeping, Publisher};
use crate::session::{Listed, SessionActor, SessionArgs, SessionMsg};
use crate::torrent::{TorrentMsg, files_of};

/// A torrent that is busy is shown as its record says after this time.
const VIEW_TIME: Duration = Duration::from_secs(1);
/// The engine's tree ends within this time, or is cut.
const SHUTDOWN_TIME: Duration = Duration::from_secs(20);

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate authority file cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The session could not start.
    #[error("the engine cannot start: {0}")]
    Session(String),
}

/// What an engine stands on.
#[derive(Debug)]
pub struct Foundation {
    /// Its world.
    pub env: NodeEnv,
    /// How it is to be run.
    pub settings: Settings,
    /// What outlives the process.
    pub store: Arc<dyn TorrentStore>,
    /// Where events are kept; none keeps none.
    pub log: Option<EventKeeping>,
}

/// A running engine. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct Swarm {
    session: ActorRef<SessionMsg>,
    node: Arc<Node>,
}

impl Swarm {
    /// Starts an engine with all torrents of its store.
    ///
    /// Must be called on the tokio runtime that the engine is to run on.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start(foundation: Foundation) -> Result<Self, StartError> {
        let Foundation { env, settings, store, log } = foundation;
        let network = &settings.engine.network;
        let fetcher = Fetcher::from_config(env.clone(), network).await?;
        let listen = vec![SocketAddr::new(network.listen_ip, network.listen_port)];
        let publisher = match log {
            Some(keeping) => {
                let started = Publisher::start(env.clone(), keeping).await;
                Some(started.map_err(|error| StartError::Session(why(error)))?)
            }
            None => None,
        };
        let node = Node::new(env, settings, fetcher, store, publisher);
        let args = SessionArgs { node: Arc::clone(&node), listen };
        let started = Actor::spawn(None, SessionActor, args).await;
        let (session, _) = started.map_err(|error| StartError::Session(why(error)))?;
        Ok(Self { session, node })
    }

    /// Ends all torrents in order: what was written is made durable, trackers are told, the store
    /// knows what is on disk. Ends after 20 seconds at the latest.
    pub async fn shutdown(&self) {
        let (reply, done) = oneshot::channel();
        if self.session.cast(SessionMsg::Shutdown(reply)).is_ok() {
            let ended = self.node.env().timeout(SHUTDOWN_TIME, done).await;
            if ended.is_none() {
                tracing::warn!("the engine did not end in time");
                self.session.kill();
            }
        }
        if let Some(publisher) = &self.node.publisher {
            let closed = self.node.env().timeout(SHUTDOWN_TIME, publisher.close()).await;
            if closed.is_none() {
                tracing::warn!("the event log was not closed in time");
            }
        }
        self.node.store.close().await;
    }

    /// The engine's world.
    #[must_use]
    pub fn env(&self) -> &NodeEnv {
        self.node.env()
    }

    /// The root of its tree.
    #[cfg(test)]
    pub(crate) const fn session(&self) -> &ActorRef<SessionMsg> {
        &self.session
    }

    /// What its torrents share.
    #[cfg(test)]
    pub(crate) const fn node_parts(&self) -> &Arc<Node> {
        &self.node
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> SessionMsg,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.session.cast(message(reply)).map_err(|_| going_down())?;
        answer.await.map_err(|_| going_down())
    }

    /// Asks an active torrent for all that it shows; none if it is too busy, or ends.
    async fn view(&self, actor: &ActorRef<TorrentMsg>) -> Option<TorrentDetail> {
        let (reply, answer) = oneshot::channel();
        actor.cast(TorrentMsg::View(reply)).ok()?;
        self.node.env().timeout(VIEW_TIME, answer).await?.ok()
    }

    async fn snapshot(&self, listed: Listed) -> TorrentSnapshot {
        let Some(actor) = &listed.actor else { return listed.snapshot };
        match self.view(actor).await {
            Some(detail) => detail.torrent,
            None => listed.snapshot,
        }
    }

    /// What is known of a torrent without an actor.
    async fn rest_of(&self, listed: Listed, record: store::TorrentRecord) -> TorrentDetail {
        let id = record.id;
        let mut detail = TorrentDetail {
            torrent: listed.snapshot,
            settings: record.settings,
            piece_length: 0,
            piece_count: 0,
            pieces: Vec::new(),
            files: Vec::new(),
            peer_list: Vec::new(),
            trackers: Vec::new(),
            comment: None,
            created_by: None,
        };
        let source = self.node.store.source(id).await;
        let Ok(store::TorrentSource::Metainfo(bytes)) = source else { return detail };
        let Ok(metainfo) = bittorrent::metainfo::Metainfo::parse(&bytes) else { return detail };
        let info = &metainfo.info;
        let checkpoint = self.node.store.checkpoint(id).await.ok().flatten();
        let resume =
            checkpoint.and_then(|bytes| bittorrent::resume::Resume::decode(&bytes, info).ok());
        let nothing = bittorrent::bitfield::Bitfield::new(info.piece_count());
        let have = resume.map_or(nothing, |resume| resume.verified);
        detail.piece_length = info.piece_length();
        detail.piece_count = info.piece_count();
        detail.pieces = have.to_bytes();
        detail.files = files_of(info, &have, &detail.settings);
        detail.comment.clone_from(&metainfo.comment);
        detail.created_by.clone_from(&metainfo.created_by);
        detail
    }
}

/// The reason of the innermost actor that did not start, without what is put around it on the way up.
fn why(error: SpawnErr) -> String {
    let SpawnErr::StartupFailed(reason) = error else { return error.to_string() };
    match reason.downcast::<SpawnErr>() {
        Ok(inner) => why(*inner),
        Err(reason) => reason.to_string(),
    }
}

fn going_down() -> EngineError {
    EngineError::new(ErrorCode::ShuttingDown, "the node is going down")
}

fn not_found(id: TorrentId) -> EngineError {
    EngineError::new(ErrorCode::NotFound, format!("no torrent {id}"))
}

#[async_trait]
impl Engine for Swarm {
    async fn command(&self, command: Command) -> Result<Reply, EngineError> {
        self.ask(|reply| SessionMsg::Command { command, reply }).await?
    }

    async fn torrents(&self) -> Result<Vec<TorrentSnapshot>, EngineError> {
        let listed = self.ask(SessionMsg::List).await?;
        Ok(join_all(listed.into_iter().map(|listed| self.snapshot(listed))).await)
    }

    async fn torrent(&self, id: TorrentId) -> Result<TorrentDetail, EngineError> {
        let one = self.ask(|reply| SessionMsg::One { id, reply }).await?;
        let (listed, record) = one.ok_or_else(|| not_found(id))?;
        if let Some(actor) = &listed.actor
            && let Some(detail) = self.view(actor).await
        {
            return Ok(detail);
        }
        Ok(self.rest_of(listed, record).await)
    }

    async fn node(&self) -> Result<NodeSnapshot, EngineError> {
        self.ask(SessionMsg::Node).await
    }

    async fn content(
        &self,
        id: TorrentId,
        file: u32,
        range: Option<Range<u64>>,
    ) -> Result<Content, EngineError> {
        if self.ask(|reply| SessionMsg::One { id, reply }).await?.is_none() {
            return Err(not_found(id));
        }
        let (reply, answer) = oneshot::channel();
        let message = Box::new(TorrentMsg::Content { file, range, reply });
        let route = SessionMsg::Route { id, message };
        self.session.cast(route).map_err(|_| going_down())?;
        answer.await.unwrap_or_else(|_| {
            let why = format!("torrent {id} is stopped or waits for its turn; start it first");
            Err(EngineError::new(ErrorCode::Conflict, why))
        })
    }

    fn events(&self) -> EventFeed {
        let events = self.node.listen_to_events();
        Box::pin(stream::unfold(events, |mut events| async move {
            loop {
                match events.recv().await {
                    Ok(event) => return Some::<(Event, _)>((Arc::unwrap_or_clone(event), events)),
                    // The reader sees a gap in the numbers.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        }))
    }
}
