//! The list of torrents, a page at a time.

use std::hash::{DefaultHasher, Hasher};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use control::{TorrentId, TorrentSnapshot};
use serde::{Deserialize, Serialize};
use warp::http::header::{ETAG, IF_NONE_MATCH};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use super::dto::Torrent;
use crate::api::{Answer, Call, Context, json};
use crate::problem::Problem;

/// Torrents in a page, unless asked for otherwise.
const PAGE_LEN: usize = 100;

/// Torrents in a page at most.
const PAGE_LEN_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    torrents: Vec<Torrent<'a>>,
    /// Torrents in all pages.
    total: usize,
    /// Where the next page begins; `null` on the last.
    next_cursor: Option<String>,
}

/// The last torrent of a page, by which the next one is found also when that torrent is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    added_ms: u64,
    id: TorrentId,
}

impl Cursor {
    const fn of(torrent: &TorrentSnapshot) -> Self {
        Self { added_ms: torrent.added_ms, id: torrent.id }
    }

    /// Opaque to clients.
    fn encode(self) -> String {
        let mut bytes = self.added_ms.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.id.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (added_ms, id) = bytes.split_first_chunk()?;
        let id = TorrentId(id.try_into().ok()?);
        Some(Self { added_ms: u64::from_be_bytes(*added_ms), id })
    }
}

/// `GET /api/v1/torrents?limit=…&cursor=…`, by the time they were added, then id.
pub(super) async fn list(call: &Call, context: &Context) -> Answer {
    let query: ListQuery = call.query()?;
    let limit = query.limit.unwrap_or(PAGE_LEN);
    if !(1..=PAGE_LEN_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("{limit} is not within 1 to {PAGE_LEN_MAX}")));
    }
    let decode = |text: String| {
        Cursor::decode(&text).ok_or_else(|| Problem::field("cursor", "it is none of ours"))
    };
    let after = query.cursor.map(decode).transpose()?;

    let mut torrents = context.engine.torrents().await?;
    torrents.sort_by_key(Cursor::of);
    let begin = torrents.partition_point(|torrent| Some(Cursor::of(torrent)) <= after);
    let rest = torrents.get(begin..).unwrap_or_default();
    let shown = rest.get(..limit).unwrap_or(rest);
    let last = shown.last().filter(|_| rest.len() > limit);
    let page = Page {
        torrents: shown.iter().map(Torrent::from).collect(),
        total: torrents.len(),
        next_cursor: last.map(|torrent| Cursor::of(torrent).encode()),
    };
    unless_known(&call.headers, &page)
}

/// The page, or 304 if the client has it.
fn unless_known(headers: &HeaderMap, page: &Page<'_>) -> Answer {
    let mut hasher = DefaultHasher::new();
    hasher.write(&serde_json::to_vec(page).unwrap_or_default());
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let mut response = if is_known(headers, &tag) {
        let mut response = warp::reply::Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json(StatusCode::OK, page)?
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// Weak comparison (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == opaque)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_survive_their_encoding(added_ms: u64, id: [u8; 20]) {
            let cursor = Cursor { added_ms, id: TorrentId(id) };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn no_cursor_panics(text in ".{0,60}") {
            if let Some(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }
}
