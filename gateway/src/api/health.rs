//! Whether the process lives, whether it can do its work, and which it is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{Method, StatusCode};

use super::{Answer, Call, Context, call, with};
use crate::deadline::within;
use crate::problem::{Kind, Problem};

/// How long the engine may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// `/healthz` (also `/api/health`), `/readyz`, `/version`.
pub(super) fn routes(context: &Arc<Context>) -> BoxedFilter<(Answer,)> {
    let alive = warp::path!("healthz").or(warp::path!("api" / "health")).unify();
    let alive =
        alive.and(call()).map(|call| reading(&call).and_then(|()| ok(&json!({"status": "ok"}))));
    let ready = warp::path!("readyz").and(call()).and(with(context)).then(ready);
    let version = warp::path!("version").and(call()).map(|call| {
        let version = json!({"version": env!("CARGO_PKG_VERSION"), "api": "v1"});
        reading(&call).and_then(|()| ok(&version))
    });
    alive.or(ready).unify().or(version).unify().boxed()
}

async fn ready(call: Call, context: Arc<Context>) -> Answer {
    reading(&call)?;
    match within(READY_TIMEOUT, context.engine.node()).await {
        Some(Ok(_)) => ok(&json!({"status": "ready", "checks": {"engine": "ok"}})),
        Some(Err(error)) => Err(Problem::new(Kind::NotReady, format!("engine: {error}"))),
        None => Err(Problem::new(Kind::NotReady, "engine: no answer in time")),
    }
}

fn reading(call: &Call) -> Result<(), Problem> {
    match call.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Problem::method_not_allowed("GET, HEAD")),
    }
}

fn ok(value: &serde_json::Value) -> Answer {
    super::json(StatusCode::OK, value)
}
