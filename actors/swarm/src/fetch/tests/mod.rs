//! Fetches in a simulated world: servers that answer by a script, names that resolve as a test wants.

mod answers;
mod hosts;
mod names;
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use env::NodeEnv;
use env::net::AsyncStream;
use env::sim::{HostConfig, HostId, LinkConfig, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use self::names::Names;
use super::exchange::Connected;
use super::{Body, FetchError, Fetcher, Limits};
use crate::address::AddressPolicy;

/// What a server sends after a request, and then does.
enum Reply {
    /// Closes.
    Close(Vec<u8>),
    /// Says nothing more.
    Hold(Vec<u8>),
    /// Repeats the second part without end.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends a byte a second.
    Drip(Vec<u8>),
}

/// An answer with status 200, further header lines and a body.
fn ok(headers: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len());
    Reply::Close([head.as_bytes(), body].concat())
}

fn redirect(location: &str) -> Reply {
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    Reply::Close(head.into_bytes())
}

fn body_of(text: &str) -> Body {
    Body { status: 200, bytes: text.as_bytes().to_vec().into() }
}

/// Gets a request's head and gives the reply.
type Script = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

/// The heads of requests that arrived, in turn.
type Heads = Arc<Mutex<Vec<String>>>;

/// A world with servers and clients.
struct Scene {
    world: World,
    policy: AddressPolicy,
    extra_ca: Option<Vec<u8>>,
    names: Names,
    heads: Heads,
}

impl Scene {
    /// A world without hosts. Private addresses are allowed, as those of simulated hosts are.
    fn new() -> Self {
        Self {
            world: World::new(1),
            policy: AddressPolicy { allow_private: true, allowed_networks: Vec::new() },
            extra_ca: None,
            names: Names::default(),
            heads: Arc::default(),
        }
    }

    /// A world with one server, named "tracker".
    fn with(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let mut scene = Self::new();
        scene.serve("tracker", None, script);
        scene
    }

    /// Adds a server at port 80, or with TLS at 443.
    fn serve(
        &mut self,
        name: &str,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> HostId {
        let host = self.add_host(name);
        let (script, heads): (Script, _) = (Arc::new(script), Arc::clone(&self.heads));
        self.world.start(host, move |env| Box::pin(serve(env, tls, script, heads)));
        host
    }

    fn add_host(&mut self, name: &str) -> HostId {
        self.world.add_host(HostConfig { name: name.to_owned(), link: LinkConfig::default() })
    }

    /// Fetches from a new host, and checks that no task of it is left behind.
    fn fetch(&mut self, url: &str, limits: Limits) -> Result<Body, FetchError> {
        let result = Arc::new(Mutex::new(None));
        let left = Arc::new(Mutex::new(None));
        let client = self.add_host("client");
        let (names, policy) = (self.names.clone(), self.policy.clone());
        let (extra_ca, url) = (self.extra_ca.clone(), url.to_owned());
        let (slot, env_slot) = (Arc::clone(&result), Arc::clone(&left));
        self.world.start(client, move |inner| {
            let env = names.wrap(inner);
            Box::pin(async move {
                *env_slot.lock().unwrap() = Some(env.clone());
                let fetcher = Fetcher::new(env, policy, extra_ca.as_deref()).unwrap();
                let fetched = fetcher.get(&url, limits).await;
                *slot.lock().unwrap() = Some(fetched);
            })
        });
        let ended = |_: &World| result.lock().unwrap().is_some();
        assert!(self.world.run_until(Duration::from_secs(100), ended), "the fetch never ends");
        let env = left.lock().unwrap().take().unwrap();
        assert!(env.live().is_empty(), "left behind: {:?}", env.live());
        result.lock().unwrap().take().unwrap()
    }

    /// Fetches with the limits of an announce.
    fn get(&mut self, url: &str) -> Result<Body, FetchError> {
        self.fetch(url, Limits::TRACKER)
    }

    /// The requests so far.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(env: NodeEnv, tls: Option<Arc<ServerConfig>>, script: Script, heads: Heads) {
    let port = if tls.is_some() { 443 } else { 80 };
    let listener = env.net().listen(([0, 0, 0, 0], port).into()).await.unwrap();
    let mut held = Vec::new();
    loop {
        let plain = AsyncStream::new(listener.accept().await.unwrap());
        let mut stream: Box<dyn Connected> = match &tls {
            None => Box::new(plain),
            Some(config) => match TlsAcceptor::from(Arc::clone(config)).accept(plain).await {
                Ok(stream) => Box::new(stream),
                Err(_) => continue,
            },
        };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { break };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let reply = script(&head);
        heads.lock().unwrap().push(head);
        // A client may hang up at any moment.
        if send(&env, &mut stream, reply).await.is_ok_and(|hold| hold) {
            held.push(stream);
        }
    }
}

/// Sends a reply and says whether to keep the connection.
async fn send(
    env: &NodeEnv,
    stream: &mut Box<dyn Connected>,
    reply: Reply,
) -> std::io::Result<bool> {
    match reply {
        Reply::Close(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            Ok(false)
        }
        Reply::Hold(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            Ok(true)
        }
        Reply::Endless(head, again) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&again).await?;
            }
        }
        Reply::Drip(bytes) => {
            for byte in bytes {
                stream.write_u8(byte).await?;
                env.sleep(Duration::from_secs(1)).await;
            }
            Ok(false)
        }
    }
}
