//! The listener actor: accepts peers and shakes hands with them.
//!
//! Owned by the session, which restarts it at the same address. Each incoming handshake is a task of its
//! own with a limit of time; when there are too many, the oldest is given up, since an honest peer is
//! done long before it is the oldest of hundreds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use env::Task;
use env::live::Live;
use env::net::{Listener, Stream};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::SessionMsg;
use crate::node::Node;
use crate::peer::handshake;

/// After an accept that failed (no file descriptor left), the next waits for this time.
const PAUSE: Duration = Duration::from_millis(200);

/// The actor.
#[derive(Debug)]
pub(super) struct ListenerActor;

/// Its only message: run.
#[derive(Debug)]
pub(super) struct Run;

/// What it is born with.
#[derive(Debug)]
pub(super) struct ListenerArgs {
    pub(super) session: ActorRef<SessionMsg>,
    pub(super) node: Arc<Node>,
    pub(super) index: usize,
    pub(super) at: SocketAddr,
    pub(super) _live: Live,
}

/// Its state: a socket that listens.
#[derive(Debug)]
pub(super) struct Listening {
    args: ListenerArgs,
    listener: Arc<dyn Listener>,
}

impl Actor for ListenerActor {
    type Msg = Run;
    type State = Listening;
    type Arguments = ListenerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Run>,
        args: ListenerArgs,
    ) -> Result<Listening, ActorProcessingErr> {
        let at = args.at;
        let listener = args.node.env().net().listen(at).await;
        let listener =
            listener.map_err(|error| format!("cannot listen for peers at {at}: {error}"))?;
        let at = listener.local_addr();
        // Before any torrent announces it.
        args.node.set_listen_port(at.port());
        args.session.cast(SessionMsg::Listening { index: args.index, at })?;
        myself.cast(Run)?;
        Ok(Listening { args, listener })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Run>,
        _message: Run,
        state: &mut Listening,
    ) -> Result<(), ActorProcessingErr> {
        listen(&state.args, &state.listener).await;
        Ok(())
    }
}

async fn listen(args: &ListenerArgs, listener: &Arc<dyn Listener>) {
    let ListenerArgs { session, node, .. } = args;
    let limit = node.settings().limits.incoming_handshakes as usize;
    let mut hands: BTreeMap<u64, Task<()>> = BTreeMap::new();
    let (done, mut ended) = mpsc::unbounded_channel();
    let mut next = 0_u64;
    loop {
        tokio::select! {
            biased;
            Some(id) = ended.recv() => {
                hands.remove(&id);
            }
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    if hands.len() >= limit {
                        hands.pop_first();
                    }
                    let (id, done) = (next, done.clone());
                    next += 1;
                    let (node, session) = (Arc::clone(node), session.clone());
                    hands.insert(id, node.clone().env().spawn("handshake", async move {
                        shake(&node, &session, stream).await;
                        let _ = done.send(id);
                    }));
                }
                Err(error) => {
                    warn!(%error, "a peer could not be accepted");
                    node.env().sleep(PAUSE).await;
                }
            },
        }
    }
}

async fn shake(node: &Node, session: &ActorRef<SessionMsg>, stream: Stream) {
    let peer = stream.peer_addr();
    match handshake::accept(node, stream).await {
        Ok((id, shaken)) => {
            let incoming = SessionMsg::Incoming { id, shaken: Box::new(shaken) };
            // A session that has ended takes no peers.
            let _ = session.cast(incoming);
        }
        Err(error) => debug!(%peer, %error, "no hands were shaken"),
    }
}
