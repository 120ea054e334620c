//! A content stream as the body of an answer whose length was announced.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use control::{ContentStream, EngineError, ErrorCode};
use futures_util::Stream;
use tracing::debug;

/// Gives exactly as many bytes as were announced, or fails: then the connection is cut, and the client
/// does not take what it has for all.
pub(super) struct Exact {
    /// Never locked: it makes of a stream that may only be sent between threads one that may be shared,
    /// as warp asks of a body.
    bytes: Mutex<ContentStream>,
    remaining: u64,
}

impl Exact {
    /// The bytes of a range of `length`.
    pub(super) fn new(bytes: ContentStream, length: u64) -> Self {
        Self { bytes: Mutex::new(bytes), remaining: length }
    }

    fn check(
        &mut self,
        part: Option<Result<Bytes, EngineError>>,
    ) -> Option<Result<Bytes, EngineError>> {
        let result = match part {
            Some(Ok(bytes)) => match self.remaining.checked_sub(bytes.len() as u64) {
                Some(remaining) => {
                    self.remaining = remaining;
                    Ok(bytes)
                }
                None => {
                    Err(EngineError::new(ErrorCode::Internal, "more bytes than were announced"))
                }
            },
            Some(Err(error)) => Err(error),
            None if self.remaining == 0 => return None,
            None => Err(EngineError::new(ErrorCode::Internal, "fewer bytes than were announced")),
        };
        if let Err(error) = &result {
            debug!(code = ?error.code, %error, remaining = self.remaining, "content broke off");
        }
        Some(result)
    }
}

impl Stream for Exact {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let bytes = self.bytes.get_mut().unwrap_or_else(PoisonError::into_inner);
        let part = ready!(bytes.as_mut().poll_next(context));
        Poll::Ready(self.check(part))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;

    /// The bytes that arrive, and whether the end was a proper one.
    fn check(announced: u64, parts: &[&'static str]) -> (String, bool) {
        let parts: Vec<_> =
            parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        let exact = Exact::new(Box::pin(stream::iter(parts)), announced);
        let results = exact.take(10).collect::<Vec<_>>().now_or_never().unwrap();
        let is_whole = results.iter().all(Result::is_ok);
        let bytes: Vec<u8> = results.into_iter().filter_map(Result::ok).flatten().collect();
        (String::from_utf8(bytes).unwrap(), is_whole)
    }

    #[test]
    fn gives_what_was_announced() {
        assert_eq!(check(5, &["ab", "", "cde"]), ("abcde".to_owned(), true));
        assert_eq!(check(0, &[]), (String::new(), true));
    }

    #[test]
    fn fails_when_there_is_less_or_more() {
        assert_eq!(check(5, &["ab"]), ("ab".to_owned(), false));
        assert_eq!(check(3, &["ab", "cd"]), ("ab".to_owned(), false));
    }
}
