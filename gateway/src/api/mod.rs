//! The routes, a module a resource.
//!
//! A filter matches a path and nothing else; from there on the resource answers, be it with a
//! [`Problem`]. So no rejection of one resource is ever taken for that of another.

pub(crate) mod content;
pub(crate) mod health;
pub(crate) mod torrents;

use std::convert::Infallible;
use std::sync::Arc;

use control::{Engine, TorrentId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use warp::filters::BoxedFilter;
use warp::http::header::CONTENT_TYPE;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::reply::Response;
use warp::{Filter, Rejection};

use crate::body::{self, BodyStream};
use crate::problem::{Kind, Problem};

/// Uploads of `.torrent` files that are read at once: with the length of a body, this bounds their memory.
const UPLOADS_MAX: usize = 8;

/// What a resource answers.
pub(crate) type Answer = Result<Response, Problem>;

/// What every resource needs.
pub(crate) struct Context {
    /// The engine, here or elsewhere.
    pub(crate) engine: Arc<dyn Engine>,
    /// Longest body of an upload, in bytes.
    pub(crate) upload_body_limit: usize,
    /// Longest body of any other request, in bytes.
    pub(crate) json_body_limit: usize,
    /// Held while an upload is read.
    pub(crate) uploads: Semaphore,
}

impl Context {
    /// A context with lengths of bodies in bytes.
    pub(crate) fn new(engine: Arc<dyn Engine>, upload: usize, json: usize) -> Self {
        let uploads = Semaphore::new(UPLOADS_MAX);
        Self { engine, upload_body_limit: upload, json_body_limit: json, uploads }
    }
}

/// A request whose path is known.
pub(crate) struct Call {
    /// Its method.
    pub(crate) method: Method,
    /// Its header.
    pub(crate) headers: HeaderMap,
    /// What stands behind `?`, still encoded; may be empty.
    pub(crate) query: String,
    /// Its body, unread.
    pub(crate) body: BodyStream,
}

impl Call {
    /// The query, typed.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_urlencoded::from_str(&self.query)
            .map_err(|error| Problem::new(Kind::Invalid, format!("the query: {error}")))
    }

    /// A JSON body, typed.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, Problem> {
        match body::media_type(&self.headers).as_deref() {
            Some("application/json" | "application/merge-patch+json") => {}
            _ => return Err(Problem::new(Kind::MediaType, "send application/json")),
        }
        body::json(&body::read(&self.headers, &mut self.body, limit).await?)
    }
}

/// All routes.
pub(crate) fn routes(context: &Arc<Context>) -> BoxedFilter<(Answer,)> {
    let nothing = warp::path::full().map(|path: warp::path::FullPath| {
        let path: String = path.as_str().chars().take(200).collect();
        Err(Problem::new(Kind::NoRoute, format!("nothing is at {path}")))
    });
    health::routes(context)
        .or(torrents::routes(context))
        .unify()
        .or(content::routes(context))
        .unify()
        .or(nothing)
        .unify()
        .boxed()
}

/// What is left of a request when its path is known.
fn call() -> impl Filter<Extract = (Call,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::header::headers_cloned())
        .and(query)
        .and(body::stream())
        .map(|method, headers, query, body| Call { method, headers, query, body })
}

fn with(
    context: &Arc<Context>,
) -> impl Filter<Extract = (Arc<Context>,), Error = Infallible> + Clone + use<> {
    let context = Arc::clone(context);
    warp::any().map(move || Arc::clone(&context))
}

/// The id in a path.
fn torrent_id(text: &str) -> Result<TorrentId, Problem> {
    text.parse().map_err(|_| Problem::new(Kind::NotFound, "a torrent has 40 hexadecimal digits"))
}

/// A JSON body with its status.
fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Problem::new(Kind::Internal, format!("the answer: {error}")))?;
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// It was done, and there is nothing to say.
fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
