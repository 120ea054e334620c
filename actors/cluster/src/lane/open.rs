//! How a lane begins: both ends say who they are, and in which version they speak.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use control::NodeName;
use env::NodeEnv;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::hello::{self, Greeting, HELLO_LEN_MAX, Hello, Refusal};
use super::pump::{self, Running};
use super::transport::{Incoming, Link, OpenCounts, OpenError, OpenMetrics, Transport};
use super::{Agreed, Directory, Lane};

/// A lane that has not begun after this time is given up.
pub const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// How long a refused end has to hang up by itself.
const HANG_UP_WITHIN: Duration = Duration::from_secs(1);

/// What a node brings to each of its lanes. Clones are the same node.
#[derive(Debug, Clone)]
pub struct LocalNode {
    env: NodeEnv,
    hello: Arc<Hello>,
    directory: Directory,
    counts: Arc<OpenCounts>,
}

impl LocalNode {
    /// A node with this greeting and these actors.
    #[must_use]
    pub fn new(env: NodeEnv, hello: Hello, directory: Directory) -> Self {
        Self { env, hello: Arc::new(hello), directory, counts: Arc::default() }
    }

    /// Its actors.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// How opening lanes went.
    #[must_use]
    pub fn metrics(&self) -> OpenMetrics {
        self.counts.get()
    }

    /// Opens a lane to a node. The lane lives until [`Running`] is dropped or the other end goes away.
    ///
    /// # Errors
    ///
    /// There is none, within [`OPEN_WITHIN`]; it is counted.
    pub async fn dial(
        &self,
        transport: &dyn Transport,
        node: &NodeName,
        at: SocketAddr,
    ) -> Result<(Lane, Running), OpenError> {
        let opening = Box::pin(async {
            let link = transport.dial(node, at).await?;
            self.greet(link, node).await
        });
        let result = self.env.timeout(OPEN_WITHIN, opening).await;
        self.noted(result)
    }

    /// Opens a lane that another node dialled.
    ///
    /// # Errors
    ///
    /// As [`LocalNode::dial`].
    pub async fn accept(&self, incoming: Incoming) -> Result<(Lane, Running), OpenError> {
        let opening = Box::pin(async { self.answer(incoming.await?).await });
        let result = self.env.timeout(OPEN_WITHIN, opening).await;
        self.noted(result)
    }

    fn noted<T>(&self, result: Option<Result<T, OpenError>>) -> Result<T, OpenError> {
        let result = result.unwrap_or(Err(OpenError::Timeout));
        self.counts.note(&result);
        result
    }

    async fn greet(&self, mut link: Link, node: &NodeName) -> Result<(Lane, Running), OpenError> {
        if link.certified != *node {
            link.connection.close(Some(Refusal::WrongName));
            return Err(OpenError::WrongName);
        }
        say(&mut link, &Greeting::Hello(Hello::clone(&self.hello))).await?;
        let mut come = BytesMut::new();
        let theirs = match hear(&mut link, &mut come).await? {
            Greeting::Hello(theirs) => theirs,
            Greeting::Refused(why) => {
                link.connection.close(None);
                return Err(why.into());
            }
        };
        match self.hello.agree(&theirs, &link.certified) {
            Ok(agreed) => Ok(self.begin(link, come, theirs, agreed)),
            Err(why) => {
                link.connection.close(Some(why));
                Err(why.into())
            }
        }
    }

    async fn answer(&self, mut link: Link) -> Result<(Lane, Running), OpenError> {
        let mut come = BytesMut::new();
        let heard = hear(&mut link, &mut come).await;
        let (theirs, agreed) = match heard.map_err(Judged::of).and_then(|it| self.judge(it, &link))
        {
            Ok(judged) => judged,
            Err(Judged::Refuse(why)) => {
                self.turn_away(link, why).await;
                return Err(why.into());
            }
            Err(Judged::Gone(why)) => return Err(why),
        };
        say(&mut link, &Greeting::Hello(Hello::clone(&self.hello))).await?;
        Ok(self.begin(link, come, theirs, agreed))
    }

    fn judge(&self, greeting: Greeting, link: &Link) -> Result<(Hello, Agreed), Judged> {
        let Greeting::Hello(theirs) = greeting else {
            return Err(Judged::Refuse(Refusal::Malformed));
        };
        let agreed = self.hello.agree(&theirs, &link.certified).map_err(Judged::Refuse)?;
        Ok((theirs, agreed))
    }

    /// Says why, and lets the other end hang up, so that it can read that.
    async fn turn_away(&self, mut link: Link, why: Refusal) {
        if say(&mut link, &Greeting::Refused(why)).await.is_ok() {
            let mut rest = [0; 64];
            let hang_up =
                async { while link.reader.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
            let _ = self.env.timeout(HANG_UP_WITHIN, Box::pin(hang_up)).await;
        }
        link.connection.close(Some(why));
    }

    fn begin(&self, link: Link, come: BytesMut, theirs: Hello, agreed: Agreed) -> (Lane, Running) {
        pump::start(&self.env, self.directory.clone(), link, come, theirs, agreed)
    }
}

/// Why a greeting is not taken: it can be told, or nobody is there any more.
enum Judged {
    Refuse(Refusal),
    Gone(OpenError),
}

impl Judged {
    fn of(error: OpenError) -> Self {
        match error {
            OpenError::Malformed => Self::Refuse(Refusal::Malformed),
            error => Self::Gone(error),
        }
    }
}

/// Why the connection broke, as far as is known.
fn broken(link: &Link) -> OpenError {
    link.connection.ended().unwrap_or(OpenError::Closed)
}

async fn say(link: &mut Link, greeting: &Greeting) -> Result<(), OpenError> {
    let bytes = hello::encode(greeting);
    let said = link.writer.write_all(&bytes).await;
    said.map_err(|_| broken(link))
}

async fn hear(link: &mut Link, come: &mut BytesMut) -> Result<Greeting, OpenError> {
    loop {
        if let Some(greeting) = hello::decode(come).map_err(|_| OpenError::Malformed)? {
            return Ok(greeting);
        }
        come.reserve(HELLO_LEN_MAX);
        match link.reader.read_buf(come).await {
            Ok(read) if read > 0 => {}
            // Without a certificate that it takes, the other end hangs up after the handshake.
            _ => return Err(broken(link)),
        }
    }
}
