//! Fetches over HTTP and HTTPS from hosts that strangers named: announces, scrapes, .torrent files.
//!
//! [`Fetcher::get`] takes a URL as far as a body with bounds on its length, its redirects and the time
//! of it all. A host name is resolved once; [`AddressPolicy`] judges every address that it has, and the
//! connection goes to one of these, so that a second lookup cannot lead elsewhere (DNS rebinding). Each
//! redirect is judged anew; none may lead from a public host into a local network, or from https to
//! http. All of it runs on [`NodeEnv`], in a simulation too.
//!
//! Start with [`Fetcher::get`]. [`target`] reads URLs, [`exchange`] speaks HTTP, [`tls`] says whom to
//! trust, [`error`] what can go wrong.

pub mod error;
mod exchange;
mod target;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_config::NetworkConfig;
use env::NodeEnv;
use env::disk::DiskLane;
use env::net::{AsyncStream, Stream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use self::exchange::{Answer, Connected};
use self::target::{Scheme, Target};
use crate::address::{AddressPolicy, Reach};

pub use self::error::{FetchError, TrustError};

/// Fetches that run at once; others wait, before their time begins.
const CONCURRENT_MAX: usize = 50;
/// Addresses of a host that are tried, one after another.
const ATTEMPTS_MAX: usize = 4;
/// How long one address may take to connect, so that a dead one leaves time for the next.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// How much a fetch may take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest body in bytes, as sent and as decompressed.
    pub body_max: usize,
    /// The longest time of the whole fetch, names, connections and redirects included.
    pub timeout: Duration,
    /// How many redirects are followed.
    pub redirects_max: u32,
    /// What to do with a user name and password in the URL.
    pub credentials: Credentials,
}

impl Limits {
    /// For a .torrent file.
    pub const METAINFO: Self = Self {
        body_max: 10 * 1024 * 1024,
        timeout: Duration::from_secs(15),
        redirects_max: 3,
        credentials: Credentials::Refuse,
    };
    /// For an announce or scrape.
    pub const TRACKER: Self =
        Self { body_max: 1024 * 1024, credentials: Credentials::Basic, ..Self::METAINFO };
}

/// What to do with a user name and password in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Fetch nothing.
    Refuse,
    /// Send them by basic authentication to the origin of the URL, never to another by a redirect.
    Basic,
}

/// What the last host answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The status code; also one that tells of a failure.
    pub status: u16,
    /// The body, decompressed.
    pub bytes: Bytes,
}

/// Fetches over HTTP. Clones share its limits.
#[derive(Debug, Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    env: NodeEnv,
    policy: AddressPolicy,
    tls: Arc<ClientConfig>,
    turns: Semaphore,
}

impl Fetcher {
    /// A fetcher that trusts the usual certificate authorities and those in `extra_ca` (PEM).
    ///
    /// # Errors
    ///
    /// `extra_ca` is not PEM, holds no certificate, or one that is no authority's.
    pub fn new(
        env: NodeEnv,
        policy: AddressPolicy,
        extra_ca: Option<&[u8]>,
    ) -> Result<Self, TrustError> {
        let tls = tls::client_config(&env, extra_ca)?;
        let turns = Semaphore::new(CONCURRENT_MAX);
        Ok(Self { shared: Arc::new(Shared { env, policy, tls, turns }) })
    }

    /// A fetcher as the configuration describes it; reads its `extra_ca_file`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or as [`Fetcher::new`].
    pub async fn from_config(env: NodeEnv, network: &NetworkConfig) -> Result<Self, TrustError> {
        let policy = AddressPolicy::new(network);
        let Some(path) = network.extra_ca_file.clone() else { return Self::new(env, policy, None) };
        let read = env.disk(DiskLane::Foreground, move |files| tls::read_ca_file(files, &path));
        let pem = read.await?.map_err(TrustError::Read)?;
        Self::new(env, policy, Some(&pem))
    }

    /// Fetches `url`, of which path and query reach the wire byte for byte. An answer with any status
    /// code but a redirect is a [`Body`].
    ///
    /// # Errors
    ///
    /// There is no such answer within `limits`; see [`FetchError`].
    pub async fn get(&self, url: &str, limits: Limits) -> Result<Body, FetchError> {
        let target = Target::parse(url)?;
        if target.has_credentials() && limits.credentials == Credentials::Refuse {
            return Err(FetchError::Credentials);
        }
        // It is never closed, so there always is a turn.
        let _turn = self.shared.turns.acquire().await.ok();
        let fetch = self.follow(target, &limits);
        let fetched = self.shared.env.timeout(limits.timeout, fetch).await;
        fetched.ok_or(FetchError::Timeout { limit: limits.timeout })?
    }

    async fn follow(&self, mut target: Target, limits: &Limits) -> Result<Body, FetchError> {
        let mut reach = Reach::Local;
        for _ in 0..=limits.redirects_max {
            let addresses = self.addresses(&target).await?;
            reach = self.judge(&target, &addresses, reach)?;
            let stream = self.secure(&target, self.connect(&addresses).await?).await?;
            match exchange::exchange(&self.shared.env, stream, &target, limits).await? {
                Answer::Final(body) => return Ok(body),
                Answer::Redirect(location) => {
                    let next = target.redirected(&location)?;
                    if (target.scheme, next.scheme) == (Scheme::Https, Scheme::Http) {
                        return Err(FetchError::RedirectToPlain);
                    }
                    target = next;
                }
            }
        }
        Err(FetchError::Redirects { max: limits.redirects_max })
    }

    /// The addresses of a host, at least one.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, FetchError> {
        if let Some(ip) = target.literal() {
            return Ok(vec![SocketAddr::new(ip, target.port)]);
        }
        let failed = |source| FetchError::Resolve { host: target.host.clone(), source };
        let found = self.shared.env.net().resolve(&target.host, target.port).await;
        match found.map_err(failed)? {
            none if none.is_empty() => Err(failed(io::ErrorKind::NotFound.into())),
            found => Ok(found),
        }
    }

    /// Judges all addresses of a host, also those that will not be tried: a name with one local address
    /// is up to no good. `from` is the reach of the hosts before it; gives the reach from there on.
    fn judge(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        from: Reach,
    ) -> Result<Reach, FetchError> {
        let mut reach = from;
        for address in addresses {
            let refused = |source| FetchError::Refused { host: target.host.clone(), source };
            match self.shared.policy.judge_fetch(address.ip()).map_err(refused)? {
                Reach::Public => reach = Reach::Public,
                Reach::Local if from == Reach::Public => {
                    return Err(FetchError::RedirectInward { ip: address.ip() });
                }
                Reach::Local => {}
            }
        }
        Ok(reach)
    }

    /// Connects to the first address that answers.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<Stream, FetchError> {
        let env = &self.shared.env;
        let mut last = FetchError::Url { problem: "has no usable host" };
        for &to in addresses.iter().take(ATTEMPTS_MAX) {
            let attempt = env.timeout(ATTEMPT_TIMEOUT, env.net().connect(to, None)).await;
            match attempt.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => return Ok(stream),
                Err(source) => last = FetchError::Connect { to, source },
            }
        }
        Err(last)
    }

    /// Begins TLS where the URL asks for it.
    async fn secure(
        &self,
        target: &Target,
        stream: Stream,
    ) -> Result<Box<dyn Connected>, FetchError> {
        let stream = AsyncStream::new(stream);
        match target.scheme {
            Scheme::Http => Ok(Box::new(stream)),
            Scheme::Https => {
                let problem = "has a host that no certificate can name";
                let name = ServerName::try_from(target.host.clone())
                    .map_err(|_| FetchError::Url { problem })?;
                let failed = |source| FetchError::Tls { host: target.host.clone(), source };
                let connector = TlsConnector::from(Arc::clone(&self.shared.tls));
                Ok(Box::new(connector.connect(name, stream).await.map_err(failed)?))
            }
        }
    }
}

#[cfg(test)]
mod tests;
