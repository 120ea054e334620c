//! One request, from its header to its answer: what holds for all routes alike.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tracing::{debug, error};
use warp::filters::BoxedFilter;
use warp::http::header::{
    CACHE_CONTROL, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use warp::http::{HeaderMap, HeaderValue, Request};
use warp::reply::Response;

use crate::api::{self, Answer, Context};
use crate::guard::Guard;
use crate::problem::{Kind, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Letters of a request id that a client or proxy chose.
const REQUEST_ID_LEN_MAX: usize = 64;

/// Answers requests. A cheap handle.
#[derive(Clone)]
pub(crate) struct Service {
    routes: BoxedFilter<(Answer,)>,
    guard: Arc<Guard>,
    ids: Arc<RequestIds>,
}

impl Service {
    /// A service whose request ids begin with `started_ms`, so that they differ from those before.
    pub(crate) fn new(context: Context, guard: Guard, started_ms: u64) -> Self {
        Self {
            routes: api::routes(&Arc::new(context)),
            guard: Arc::new(guard),
            ids: Arc::new(RequestIds { started_ms, count: AtomicU64::new(0) }),
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let id = self.ids.of(request.headers());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let routed = AssertUnwindSafe(self.route(request)).catch_unwind().await;
        let mut response = routed.unwrap_or_else(|panic| {
            error!(request_id = id, panic = panic_text(panic.as_ref()), "a handler panicked");
            warp::Reply::into_response(Problem::new(Kind::Internal, "the log says more"))
        });
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            if problem.kind() == Kind::Internal {
                error!(request_id = id, detail = problem.detail(), "a request failed");
            }
            response = problem.render(&id);
        }
        debug!(request_id = id, %method, path, status = response.status().as_u16(), "answered");
        complete(response.headers_mut(), &id);
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Response {
        if let Err(problem) = self.guard.check(&request) {
            return warp::Reply::into_response(problem);
        }
        let routes = TowerToHyperService::new(warp::service(self.routes.clone()));
        match routes.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Sets what every answer has.
fn complete(headers: &mut HeaderMap, id: &str) {
    headers.extend(HeaderValue::try_from(id).ok().map(|id| (REQUEST_ID, id)));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Names requests.
struct RequestIds {
    started_ms: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// The id that a proxy gave, or a new one.
    fn of(&self, headers: &HeaderMap) -> String {
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        given.filter(|id| is_request_id(id)).map_or_else(
            || format!("{:x}-{:x}", self.started_ms, self.count.fetch_add(1, Ordering::Relaxed)),
            str::to_owned,
        )
    }
}

/// Whether an id may go to the log and back as it is.
fn is_request_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=REQUEST_ID_LEN_MAX).contains(&id.len()) && id.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_over_only_plain_request_ids() {
        assert!(is_request_id("0190f2c4-7b1a-7c3e.a_b"));
        for id in ["", "a b", "a\"b", "é", &"x".repeat(65)] {
            assert!(!is_request_id(id), "{id}");
        }
    }
}
