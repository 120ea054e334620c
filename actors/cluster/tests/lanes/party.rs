//! The two ends of a case: what each shows of itself, a serving end with actors, and a client end for the script.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use cluster::lane::{
    Delivery, Directory, Exposed, Exposure, FRAME_LEN_MAX, Hello, Key, Lane, LaneEnd, LaneError,
    LocalNode, MINOR, OpenError, Transport,
};
use cluster::ownership::{Epoch, Incarnation};
use control::{NodeName, TorrentId};
use env::NodeEnv;

/// Longer than anything takes; only a failing test waits for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers with what it is asked.
pub(crate) const ECHO: Key = Key::Service(1);
/// Keeps calls and never answers.
pub(crate) const MUTE: Key = Key::Service(2);
/// Remembers what it is told; a call gets all of it.
pub(crate) const MEMORY: Key = Key::Service(3);
/// Answers with `Busy`.
pub(crate) const BUSY: Key = Key::Service(4);
/// Answers that `c` is the owner.
pub(crate) const MOVED: Key = Key::Service(5);
/// Drops the reply.
pub(crate) const DROPS: Key = Key::Service(6);
/// Does what it is told: see [`Actor::obey`].
pub(crate) const COMMAND: Key = Key::Service(7);
/// Comes and goes by command.
pub(crate) const WATCHED: Key = Key::Service(8);
/// Answers with so many zeros as the call's first four bytes say.
pub(crate) const ZEROS: Key = Key::Service(9);
/// Echo of a torrent, in the name of epoch 5.
pub(crate) const TORRENT: Key = Key::Torrent(TorrentId([7; 20]));

/// What one end shows of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shows {
    /// Whether the cluster's authority certified it, or another one.
    pub(crate) ours: bool,
    /// The certificate's name; none is no certificate.
    pub(crate) certified: Option<&'static str>,
    /// The greeting's name.
    pub(crate) says: &'static str,
    pub(crate) minor: u32,
    pub(crate) protocol: &'static [u8],
}

impl Shows {
    pub(crate) const fn node(name: &'static str) -> Self {
        let protocol = cluster::lane::hello::CONTROL_PROTOCOL;
        Self { ours: true, certified: Some(name), says: name, minor: MINOR, protocol }
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello { node: node(self.says), incarnation: Incarnation(1), minor: self.minor, features: 0 }
    }
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// What the serving end has seen.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) local: OnceLock<LocalNode>,
    pub(crate) opened: Mutex<Vec<Result<Lane, OpenError>>>,
    pub(crate) ends: Mutex<Vec<LaneEnd>>,
    memory: Mutex<Vec<u8>>,
    kept: Mutex<Vec<Delivery>>,
    exposed: Mutex<Vec<Exposure>>,
    watched: Mutex<Option<Exposure>>,
    hang_up: tokio::sync::Notify,
}

impl Server {
    pub(crate) fn ends(&self) -> Vec<LaneEnd> {
        self.ends.lock().unwrap().clone()
    }

    /// Calls that are kept without an answer.
    pub(crate) fn kept(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    pub(crate) fn lane(&self) -> Lane {
        let opened = self.opened.lock().unwrap();
        opened.iter().find_map(|it| it.clone().ok()).expect("a lane")
    }

    pub(crate) fn refused(&self) -> Vec<OpenError> {
        self.opened.lock().unwrap().iter().filter_map(|it| it.clone().err()).collect()
    }

    fn actor(self: &Arc<Self>, key: Key, epoch: Epoch) -> Arc<Actor> {
        Arc::new(Actor { key, epoch, server: Arc::clone(self) })
    }

    fn expose_all(self: &Arc<Self>, directory: &Directory) {
        let keys = [ECHO, MUTE, MEMORY, BUSY, MOVED, DROPS, COMMAND, ZEROS, TORRENT];
        let mut exposed = self.exposed.lock().unwrap();
        for key in keys {
            let epoch = Epoch(if key == TORRENT { 5 } else { 0 });
            exposed.push(directory.expose(key, self.actor(key, epoch)));
        }
        drop(exposed);
        self.put_watched(directory);
    }

    fn put_watched(self: &Arc<Self>, directory: &Directory) {
        let exposure = directory.expose(WATCHED, self.actor(WATCHED, Epoch(3)));
        let before = self.watched.lock().unwrap().replace(exposure);
        drop(before);
    }

    /// Accepts for ever. `reads` is whether lanes are served, or their bytes left where they are.
    pub(crate) async fn serve(
        self: Arc<Self>,
        env: NodeEnv,
        hello: Hello,
        transport: Arc<dyn Transport>,
        reads: bool,
    ) {
        let directory = Directory::default();
        self.expose_all(&directory);
        let local = LocalNode::new(env.clone(), hello.clone(), directory);
        self.local.set(local.clone()).unwrap();
        let mut serving = Vec::new();
        while let Some(incoming) = transport.accept().await {
            let (server, local, hello) = (Arc::clone(&self), local.clone(), hello.clone());
            serving.push(env.spawn("serve", async move {
                if !reads {
                    return greet_and_hold(incoming.await.unwrap(), hello, &server).await;
                }
                match local.accept(incoming).await {
                    Ok((lane, running)) => {
                        server.opened.lock().unwrap().push(Ok(lane));
                        let hang_up = server.hang_up.notified();
                        tokio::select! {
                            end = running => server.ends.lock().unwrap().push(end),
                            () = hang_up => {}
                        }
                    }
                    Err(error) => server.opened.lock().unwrap().push(Err(error)),
                }
            }));
        }
    }
}

/// Greets as a node does, then neither reads nor writes until told to hang up.
async fn greet_and_hold(mut link: cluster::lane::Link, hello: Hello, server: &Server) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut some = [0; 5];
    link.reader.read_exact(&mut some).await.unwrap();
    let greeting = cluster::lane::hello::Greeting::Hello(hello);
    let bytes = cluster::lane::hello::encode(&greeting);
    link.writer.write_all(&bytes).await.unwrap();
    server.hang_up.notified().await;
    link.connection.close(None);
}

#[derive(Debug)]
struct Actor {
    key: Key,
    epoch: Epoch,
    server: Arc<Server>,
}

impl Exposed for Actor {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn deliver(&self, delivery: Delivery) {
        let server = &self.server;
        match self.key {
            MUTE => server.kept.lock().unwrap().push(delivery),
            MEMORY => match delivery.reply {
                Some(reply) => {
                    let all = server.memory.lock().unwrap().clone();
                    reply.send(&all).unwrap();
                }
                None => server.memory.lock().unwrap().extend(&delivery.body[..]),
            },
            BUSY => delivery.refuse(LaneError::Busy),
            MOVED => delivery.refuse(LaneError::NotOwner(NodeName::new("c"))),
            DROPS => drop(delivery),
            COMMAND => self.obey(delivery),
            ZEROS => {
                let length = u32::from_be_bytes(delivery.body[..].try_into().unwrap());
                // Not made anew each time: some cases ask tens of thousands of times.
                static LONGEST: [u8; FRAME_LEN_MAX] = [0; FRAME_LEN_MAX];
                let _ = delivery.reply.unwrap().send(&LONGEST[..length as usize]);
            }
            _ => {
                if let Some(reply) = delivery.reply {
                    reply.send(&delivery.body).unwrap();
                }
            }
        }
    }
}

impl Actor {
    fn obey(&self, delivery: Delivery) {
        let server = &self.server;
        let directory = server.local.get().unwrap().directory();
        let taken = || server.watched.lock().unwrap().take();
        match &delivery.body[..] {
            b"stop" => drop(taken()),
            b"fail" => taken().unwrap().failed(),
            b"put" => server.put_watched(directory),
            b"hang up" => server.hang_up.notify_waiters(),
            other => panic!("{other:?}"),
        }
        if let Some(reply) = delivery.reply {
            reply.send(b"done").unwrap();
        }
    }
}

/// The end that the script of a case plays.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) env: NodeEnv,
    pub(crate) local: LocalNode,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) at: SocketAddr,
    pub(crate) server: Arc<Server>,
}

impl Client {
    pub(crate) async fn open(&self) -> Result<(Lane, cluster::lane::Running), OpenError> {
        self.local.dial(&*self.transport, &node("b"), self.at).await
    }

    /// Waits for what the other end does by itself.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool + Send) {
        let waiting = async {
            while !holds() {
                self.env.sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(self.env.timeout(DEADLINE, waiting).await.is_some(), "{what}");
    }

    pub(crate) fn hang_up(&self) {
        self.server.hang_up.notify_waiters();
    }
}

pub(crate) async fn call(
    lane: &Lane,
    to: Key,
    epoch: u64,
    body: &[u8],
) -> Result<Vec<u8>, LaneError> {
    lane.call(to, Epoch(epoch), body, DEADLINE).await.map(|body| body.to_vec())
}
