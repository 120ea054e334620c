//! Request bodies, read within a length and a time.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use warp::Filter;
use warp::http::HeaderMap;
use warp::http::header::{CONTENT_LENGTH, EXPECT};

use crate::deadline::within;
use crate::problem::{Kind, Problem};

/// How long a client may take to send a body.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a body that is too long which are read and thrown away: a client that is still writing would
/// see its connection reset rather than the answer.
const DISCARD_MAX: u64 = 64 << 20;

/// How long they are read for.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// The bytes of a body as they come.
pub(crate) type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// Takes the body of a request, unread.
pub(crate) fn stream() -> impl Filter<Extract = (BodyStream,), Error = warp::Rejection> + Clone {
    warp::body::stream().map(|stream| {
        let bytes = TryStreamExt::map_ok(stream, whole);
        Box::pin(bytes) as BodyStream
    })
}

fn whole(mut part: impl Buf) -> Bytes {
    part.copy_to_bytes(part.remaining())
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
///
/// It is longer, the client took more than [`BODY_TIMEOUT`], or the connection failed.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut BodyStream,
    limit: usize,
) -> Result<Bytes, Problem> {
    refuse_announced_length(headers, body, limit).await?;
    match within(BODY_TIMEOUT, collect(body, limit)).await {
        Some(Err(problem)) if problem.kind() == Kind::TooLarge => {
            discard(body).await;
            Err(problem)
        }
        Some(result) => result,
        None => Err(too_slow()),
    }
}

/// Refuses a body that says itself that it is longer than `limit` bytes, before any of it is read.
async fn refuse_announced_length(
    headers: &HeaderMap,
    body: &mut BodyStream,
    limit: usize,
) -> Result<(), Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if announced <= limit as u64 {
        return Ok(());
    }
    // A client that expects to be asked for the body has not sent it.
    if announced <= DISCARD_MAX && !headers.contains_key(EXPECT) {
        discard(body).await;
    }
    Err(too_large(limit))
}

async fn collect(body: &mut BodyStream, limit: usize) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|_| broken())?;
        if bytes.len().saturating_add(part.len()) > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// Reads on for nothing, within [`DISCARD_MAX`] and [`DISCARD_TIMEOUT`].
async fn discard(body: &mut BodyStream) {
    let discarding = async {
        let mut discarded = 0;
        while let Some(Ok(part)) = body.next().await {
            discarded += part.len() as u64;
            if discarded > DISCARD_MAX {
                break;
            }
        }
    };
    within(DISCARD_TIMEOUT, discarding).await;
}

/// Reads JSON.
///
/// # Errors
///
/// [`Kind::Malformed`] if it is no JSON, [`Kind::Invalid`] if it is not what is expected.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let kind = if error.is_data() { Kind::Invalid } else { Kind::Malformed };
        Problem::new(kind, format!("the JSON of the body: {error}"))
    })
}

/// The type of a body in lower case and without its parameters, if it says one.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(warp::http::header::CONTENT_TYPE)?.to_str().ok()?;
    text.split(';').next().map(|essence| essence.trim().to_ascii_lowercase())
}

/// The body is longer than `limit` bytes.
pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the limit for this body is {limit} bytes"))
}

/// The body did not come in time.
pub(crate) fn too_slow() -> Problem {
    let seconds = BODY_TIMEOUT.as_secs();
    Problem::new(Kind::Timeout, format!("the body did not come within {seconds} s"))
}

/// The body ended before its end.
fn broken() -> Problem {
    Problem::new(Kind::Malformed, "the body ended early or is badly framed")
}
