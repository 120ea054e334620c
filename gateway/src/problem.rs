//! Problem documents (RFC 9457): how every refusal looks to a client.
//!
//! A handler returns a [`Problem`]; `service` renders it, because only there the request's id is known.

use control::{EngineError, ErrorCode};
use serde::Serialize;
use warp::Reply;
use warp::http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

/// Seconds after which a client may try again when a limit is reached.
const RETRY_AFTER_S: u64 = 2;

/// What a client tells apart, by the end of the document's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request is not well-formed.
    Malformed,
    /// The request comes from a page of another site.
    CrossSite,
    /// No such route.
    NoRoute,
    /// No such torrent or file.
    NotFound,
    /// The method is not one of the resource's.
    MethodNotAllowed,
    /// The client was too slow with its body.
    Timeout,
    /// The torrent is there already.
    Duplicate,
    /// The request goes against what the torrent is doing.
    Conflict,
    /// The body is longer than its limit.
    TooLarge,
    /// The body is of a type that is not understood.
    MediaType,
    /// The range is outside the file.
    Range,
    /// The request was meant for another host.
    Misdirected,
    /// Well-formed, but against the rules.
    Invalid,
    /// Well-formed, but this version cannot do it.
    Unsupported,
    /// A mistake of ours.
    Internal,
    /// What was asked for could not be fetched.
    Unreachable,
    /// A limit is reached; later it may work.
    Busy,
    /// The node does not take requests now.
    NotReady,
    /// The node is going down.
    ShuttingDown,
    /// The disk refuses.
    Storage,
}

impl Kind {
    /// Name in the type's URN, status and title. The names are kept for ever.
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Malformed => ("malformed-request", StatusCode::BAD_REQUEST, "Malformed request"),
            Self::CrossSite => ("cross-site-request", StatusCode::FORBIDDEN, "Cross-site request"),
            Self::NoRoute => ("no-such-route", StatusCode::NOT_FOUND, "No such route"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::Timeout => ("request-timeout", StatusCode::REQUEST_TIMEOUT, "Request too slow"),
            Self::Duplicate => {
                ("torrent-duplicate", StatusCode::CONFLICT, "The torrent is there already")
            }
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Conflict"),
            Self::TooLarge => {
                ("payload-too-large", StatusCode::PAYLOAD_TOO_LARGE, "Request body too long")
            }
            Self::MediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Type of the request body not understood",
            ),
            Self::Range => (
                "range-not-satisfiable",
                StatusCode::RANGE_NOT_SATISFIABLE,
                "Range outside the file",
            ),
            Self::Misdirected => {
                ("misdirected-request", StatusCode::MISDIRECTED_REQUEST, "Unknown host name")
            }
            Self::Invalid => {
                ("invalid-input", StatusCode::UNPROCESSABLE_ENTITY, "Input against the rules")
            }
            Self::Unsupported => {
                ("unsupported", StatusCode::UNPROCESSABLE_ENTITY, "Not supported by this version")
            }
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "A mistake of TorrentEdge")
            }
            Self::Unreachable => ("unreachable", StatusCode::BAD_GATEWAY, "Could not be fetched"),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "A limit is reached"),
            Self::NotReady => ("not-ready", StatusCode::SERVICE_UNAVAILABLE, "Not ready"),
            Self::ShuttingDown => {
                ("shutting-down", StatusCode::SERVICE_UNAVAILABLE, "The node is going down")
            }
            Self::Storage => ("storage", StatusCode::INSUFFICIENT_STORAGE, "The disk refuses"),
        }
    }
}

impl From<ErrorCode> for Kind {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Conflict => Self::Conflict,
            ErrorCode::Invalid => Self::Invalid,
            ErrorCode::Unsupported => Self::Unsupported,
            ErrorCode::RangeNotSatisfiable => Self::Range,
            ErrorCode::Storage => Self::Storage,
            ErrorCode::Unreachable => Self::Unreachable,
            ErrorCode::Busy => Self::Busy,
            ErrorCode::ShuttingDown => Self::ShuttingDown,
            ErrorCode::Internal => Self::Internal,
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    more: More,
}

/// What some kinds say beside their sentence.
#[derive(Debug, Clone, Copy)]
enum More {
    Nothing,
    /// The field of the input that is wrong.
    Field(&'static str),
    /// The methods of the resource.
    Allow(&'static str),
    /// The length of the file in bytes.
    Length(u64),
}

impl Problem {
    /// A problem with its sentence: what is wrong, with the values, and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), more: More::Nothing }
    }

    /// A field of the input is against the rules.
    pub(crate) fn field(field: &'static str, detail: impl Into<String>) -> Self {
        Self { more: More::Field(field), ..Self::new(Kind::Invalid, detail) }
    }

    /// The resource has only the methods `allow`, written as in the header of that name.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let problem = Self::new(Kind::MethodNotAllowed, format!("allowed here: {allow}"));
        Self { more: More::Allow(allow), ..problem }
    }

    /// The range is outside a file of `length` bytes.
    pub(crate) fn range(length: u64) -> Self {
        let problem = Self::new(Kind::Range, format!("the file has {length} bytes"));
        Self { more: More::Length(length), ..problem }
    }

    /// The same as another kind, where a code of the engine has a narrower meaning.
    pub(crate) fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// What a client tells apart.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// For people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The document, for the request `request_id`.
    pub(crate) fn render(self, request_id: &str) -> Response {
        let (name, status, title) = self.kind.parts();
        let error = match self.more {
            More::Field(field) => Some(FieldError { field, detail: &self.detail }),
            More::Nothing | More::Allow(_) | More::Length(_) => None,
        };
        let document = Document {
            kind: format!("urn:torrentedge:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            errors: error.as_slice(),
            request_id,
        };
        let json = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(json.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.header());
        response
    }

    /// The header field that goes with the kind.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self.more {
            More::Allow(methods) => Some((ALLOW, HeaderValue::from_static(methods))),
            More::Length(length) => {
                let none = HeaderValue::try_from(format!("bytes */{length}")).ok()?;
                Some((CONTENT_RANGE, none))
            }
            More::Nothing | More::Field(_) => matches!(self.kind, Kind::Busy | Kind::NotReady)
                .then(|| (RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        Self::new(Kind::from(error.code), error.message)
    }
}

/// Carries the problem to where it is rendered.
impl Reply for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.kind.parts().1;
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError<'a>],
    request_id: &'a str,
}

/// What is wrong with one field of the input.
#[derive(Serialize)]
struct FieldError<'a> {
    field: &'static str,
    detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: ErrorCode, status: u16) {
        let problem = Problem::from(EngineError::new(code, "why"));
        assert_eq!(problem.render("1").status().as_u16(), status, "{code:?}");
    }

    #[test]
    fn codes_of_the_engine_have_their_status() {
        check(ErrorCode::NotFound, 404);
        check(ErrorCode::Conflict, 409);
        check(ErrorCode::Invalid, 422);
        check(ErrorCode::Unsupported, 422);
        check(ErrorCode::RangeNotSatisfiable, 416);
        check(ErrorCode::Storage, 507);
        check(ErrorCode::Unreachable, 502);
        check(ErrorCode::Busy, 503);
        check(ErrorCode::ShuttingDown, 503);
        check(ErrorCode::Internal, 500);
    }

    #[test]
    fn a_client_may_come_back_when_a_limit_was_reached() {
        assert!(Problem::new(Kind::Busy, "").render("1").headers().contains_key(RETRY_AFTER));
        assert!(!Problem::new(Kind::Conflict, "").render("1").headers().contains_key(RETRY_AFTER));
    }
}
