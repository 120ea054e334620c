//! The shell of the tracker: requests over HTTP in, answers out, a connection for each.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bittorrent::Time;
use bytes::{Bytes, BytesMut};
use env::NodeEnv;
use env::net::Stream;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::Rng;

use super::tracker::{Tracker, refusal};
use super::{accept, any};

/// The port on which [`tracker`] listens.
pub const TRACKER_PORT: u16 = 6969;
/// The longest request, in bytes.
const REQUEST_MAX: usize = 8 * 1024;
/// A request has come, and its answer has gone, within this time each.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Connections at once; others wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;

/// Where a connection is.
enum Step {
    /// It has asked.
    Asked { stream: Stream, request: BytesMut },
    /// It is over.
    Over,
}

type Steps = FuturesUnordered<Pin<Box<dyn Future<Output = Step> + Send>>>;

/// An HTTP tracker at port [`TRACKER_PORT`], path `/announce`.
///
/// It ends at once where the port is taken, otherwise never. Whatever is asked wrongly is answered with a
/// failure reason; whoever is slow is cut off.
pub async fn tracker(env: NodeEnv) {
    let Ok(listener) = env.net().listen(any(TRACKER_PORT)).await else { return };
    let mut rng = env.rng("tracker");
    let mut swarms = Tracker::new();
    let mut steps = Steps::new();
    loop {
        tokio::select! {
            biased;
            Some(step) = steps.next(), if !steps.is_empty() => {
                let Step::Asked { stream, request } = step else { continue };
                let from = stream.peer_addr().ip();
                let body = answer(&mut swarms, env.now(), from, &request, &mut rng);
                steps.push(Box::pin(write(env.clone(), stream, body)));
            }
            accepted = accept(&listener), if steps.len() < CONNECTIONS_MAX => {
                let Some(stream) = accepted else { return };
                steps.push(Box::pin(read(env.clone(), stream)));
            }
        }
    }
}

async fn read(env: NodeEnv, stream: Stream) -> Step {
    let mut request = BytesMut::with_capacity(REQUEST_MAX);
    let whole = env.timeout(TIME_MAX, async {
        while head(&request).is_none() && request.len() < request.capacity() {
            match stream.read_some(&mut request).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return false,
            }
        }
        true
    });
    let whole = whole.await == Some(true);
    if whole { Step::Asked { stream, request } } else { Step::Over }
}

async fn write(env: NodeEnv, stream: Stream, body: Bytes) -> Step {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let all = [head.as_bytes(), &body].concat();
    // One that has gone misses its answer.
    let _ = env.timeout(TIME_MAX, stream.write_all(&all)).await;
    Step::Over
}

/// The request line and the headers, if they are all there.
fn head(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    request.get(..end)
}

fn answer(
    swarms: &mut Tracker,
    now: Time,
    from: IpAddr,
    request: &[u8],
    rng: &mut impl Rng,
) -> Bytes {
    match query(request) {
        Ok(query) => swarms.announce(now, from, query, rng),
        Err(reason) => refusal(reason),
    }
}

/// What a request asks for: what stands behind `/announce?`.
fn query(request: &[u8]) -> Result<&str, &'static str> {
    let head = head(request).ok_or("the request is too long")?;
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "the request is not text")?;
    let mut words = line.split(' ');
    let (Some("GET"), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("not a GET of HTTP/1.1");
    };
    match target.split_once('?') {
        Some(("/announce", query)) => Ok(query),
        None if target == "/announce" => Ok(""),
        _ => Err("only /announce is served"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &str, expected: Result<&str, &str>) {
        assert_eq!(query(request.as_bytes()), expected, "{request:?}");
    }

    #[test]
    fn reads_the_query_of_an_announce_and_nothing_else() {
        check("GET /announce?a=b HTTP/1.1\r\nHost: x\r\n\r\n", Ok("a=b"));
        check("GET /announce HTTP/1.0\r\n\r\n", Ok(""));
        check("GET /announce?a?b HTTP/1.1\r\n\r\nmore", Ok("a?b"));
        check("POST /announce?a=b HTTP/1.1\r\n\r\n", Err("not a GET of HTTP/1.1"));
        check("GET /announce?a b HTTP/1.1\r\n\r\n", Err("not a GET of HTTP/1.1"));
        check("GET /scrape?a=b HTTP/1.1\r\n\r\n", Err("only /announce is served"));
        check("GET /announcement HTTP/1.1\r\n\r\n", Err("only /announce is served"));
        check("\r\n\r\n", Err("not a GET of HTTP/1.1"));
        check("GET /announce?a=b HTTP/1.1\r\n", Err("the request is too long"));
        assert_eq!(query(b"GET /\xff HTTP/1.1\r\n\r\n"), Err("the request is not text"));
    }
}
