//! One HTTP/1.1 request and its answer on a stream that is connected (RFC 9110, 9112).

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use env::NodeEnv;
use flate2::read::MultiGzDecoder;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::FetchError;
use super::target::Target;
use super::{Body, Limits};

/// The longest head of an answer, in bytes.
const HEAD_MAX: usize = 32 * 1024;
const USER_AGENT: &str = concat!("TorrentEdge/", env!("CARGO_PKG_VERSION"));

/// A connected stream, with TLS or without.
pub(super) trait Connected: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connected for T {}

/// What a request led to.
pub(super) enum Answer {
    /// The end of the fetch.
    Final(Body),
    /// The value of `Location`.
    Redirect(String),
}

/// Asks for `target` on `stream`, which is closed afterwards.
pub(super) async fn exchange(
    env: &NodeEnv,
    stream: Box<dyn Connected>,
    target: &Target,
    limits: &Limits,
) -> Result<Answer, FetchError> {
    let failed = |source| FetchError::Http { host: target.host.clone(), source };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with this exchange. Its errors reach the sender or the body.
    let _driver = env.spawn("fetch", connection);
    let response = sender.send_request(request(target)?).await.map_err(failed)?;
    if let Some(location) = redirect(&response)? {
        return Ok(Answer::Redirect(location));
    }
    let status = response.status().as_u16();
    let gzip = is_gzip(response.headers())?;
    let sent = read(response.into_body(), limits.body_max, failed).await?;
    let bytes = if gzip {
        let max = limits.body_max;
        env.compute(move || inflate(&sent, max)).await??
    } else {
        sent
    };
    Ok(Answer::Final(Body { status, bytes }))
}

/// A `GET` without a body (the empty `String`).
fn request(target: &Target) -> Result<Request<String>, FetchError> {
    let mut request = Request::new(String::new());
    *request.uri_mut() = target.resource()?;
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| FetchError::Url { problem: "has no usable host" })
    };
    let headers = request.headers_mut();
    headers.insert(header::HOST, value(&target.host_header())?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(authorization) = target.authorization() {
        let mut value = value(&authorization)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// Where the answer sends us, if it does.
fn redirect(response: &Response<Incoming>) -> Result<Option<String>, FetchError> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(header::LOCATION).filter(|_| redirects);
    let Some(location) = location else { return Ok(None) };
    let problem = "of a redirect has wrong characters";
    location.to_str().map(|text| Some(text.to_owned())).map_err(|_| FetchError::Url { problem })
}

/// Whether the body is gzip, which we do not ask for but some trackers send.
fn is_gzip(headers: &HeaderMap) -> Result<bool, FetchError> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = encodings.next().map_or(&b"identity"[..], HeaderValue::as_bytes);
    if encodings.next().is_some() {
        return Err(FetchError::Encoding);
    }
    match encoding.to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Ok(false),
        b"gzip" | b"x-gzip" => Ok(true),
        _ => Err(FetchError::Encoding),
    }
}

/// Collects a body of at most `max` bytes; a longer one ends as soon as that is known.
async fn read(
    mut body: Incoming,
    max: usize,
    failed: impl Fn(hyper::Error) -> FetchError,
) -> Result<Bytes, FetchError> {
    // The announced length may be a lie, so it only refuses and never reserves memory.
    if body.size_hint().lower() > max as u64 {
        return Err(FetchError::TooLarge { max });
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        // The other kind of frame holds trailers, which nobody needs.
        let Ok(data) = frame.map_err(&failed)?.into_data() else { continue };
        if data.len() > max - bytes.len() {
            return Err(FetchError::TooLarge { max });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Decompresses to at most `max` bytes; a bomb is not unpacked further than that.
fn inflate(gzip: &[u8], max: usize) -> Result<Bytes, FetchError> {
    let mut bytes = Vec::new();
    let mut bounded = MultiGzDecoder::new(gzip).take(max as u64 + 1);
    bounded.read_to_end(&mut bytes).map_err(FetchError::Gzip)?;
    if bytes.len() > max { Err(FetchError::TooLarge { max }) } else { Ok(bytes.into()) }
}
