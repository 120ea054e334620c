//! The content of a file: verified bytes only, those that are missing fetched first.

mod disposition;
mod media_type;
mod range;
mod stream;

use std::ops::Range;
use std::sync::Arc;

use control::{Content, ErrorCode, FileSnapshot, TorrentId};
use warp::filters::BoxedFilter;
use warp::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::reply::Response;
use warp::{Filter, Reply};

use self::range::Wanted;
use self::stream::Exact;
use super::{Answer, Call, Context, call, torrent_id, with};
use crate::problem::{Kind, Problem};

/// `/api/v1/torrents/{hash}/files/{n}/content`.
pub(super) fn routes(context: &Arc<Context>) -> BoxedFilter<(Answer,)> {
    let path = warp::path!("api" / "v1" / "torrents" / String / "files" / String / "content");
    path.and(call()).and(with(context)).then(content).boxed()
}

/// A file of a torrent.
#[derive(Clone, Copy)]
struct FileId {
    torrent: TorrentId,
    index: u32,
}

impl FileId {
    fn parse(torrent: &str, index: &str) -> Result<Self, Problem> {
        let torrent = torrent_id(torrent)?;
        let index = index
            .parse()
            .map_err(|_| Problem::new(Kind::NotFound, "files have numbers, from 0"))?;
        Ok(Self { torrent, index })
    }

    /// Verified bytes never change, so the name is as strong a tag as any.
    fn tag(self) -> String {
        format!("\"{}-{}\"", self.torrent, self.index)
    }
}

async fn content(hash: String, index: String, call: Call, context: Arc<Context>) -> Answer {
    match call.method {
        Method::GET => get(FileId::parse(&hash, &index)?, &call.headers, &context).await,
        Method::HEAD => head(FileId::parse(&hash, &index)?, &context).await,
        _ => Err(Problem::method_not_allowed("GET, HEAD")),
    }
}

/// What a GET without a range would answer. Nothing is fetched for it.
async fn head(file: FileId, context: &Context) -> Answer {
    let known = find(file, context).await?;
    let mut response = Response::default();
    describe(&mut response, file, &known.path);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(known.length));
    Ok(response)
}

async fn get(file: FileId, headers: &HeaderMap, context: &Context) -> Answer {
    let range = match wanted(file, headers) {
        Wanted::Whole => None,
        Wanted::From(range) => Some(range),
        Wanted::Last(count) => {
            let length = find(file, context).await?.length;
            if count == 0 || length == 0 {
                return Err(Problem::range(length));
            }
            Some(length.saturating_sub(count)..length)
        }
    };
    match context.engine.content(file.torrent, file.index, range.clone()).await {
        Ok(content) => send(file, range, content),
        Err(error) if error.code == ErrorCode::RangeNotSatisfiable => {
            Err(Problem::range(find(file, context).await?.length))
        }
        Err(error) => Err(error.into()),
    }
}

/// The range that a client wants, if its `If-Range` does not speak of another content (RFC 9110 §13.1.5).
fn wanted(file: FileId, headers: &HeaderMap) -> Wanted {
    let condition = headers.get(IF_RANGE);
    if condition.is_some_and(|tag| tag.as_bytes() != file.tag().as_bytes()) {
        return Wanted::Whole;
    }
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next().and_then(|range| range.to_str().ok()), ranges.next()) {
        (Some(range), None) => range::parse(range),
        (None, _) | (Some(_), Some(_)) => Wanted::Whole,
    }
}

async fn find(file: FileId, context: &Context) -> Result<FileSnapshot, Problem> {
    let files = context.engine.torrent(file.torrent).await?.files;
    files.into_iter().find(|known| known.index == file.index).ok_or_else(|| {
        Problem::new(Kind::NotFound, format!("no file {} in {}", file.index, file.torrent))
    })
}

fn send(file: FileId, asked: Option<Range<u64>>, content: Content) -> Answer {
    let Content { range, file_length, name, bytes } = content;
    let begin = asked.as_ref().map_or(0, |asked| asked.start);
    if range.start != begin || range.start > range.end || range.end > file_length {
        let detail = format!("the engine gave {range:?} of {file_length} bytes for {asked:?}");
        return Err(Problem::new(Kind::Internal, detail));
    }
    let length = range.end - range.start;
    let mut response = warp::reply::stream(Exact::new(bytes, length)).into_response();
    describe(&mut response, file, &name);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if asked.is_some() {
        let last = range.end.saturating_sub(1);
        let place = format!("bytes {}-{last}/{file_length}", range.start);
        headers.extend(HeaderValue::try_from(place).ok().map(|place| (CONTENT_RANGE, place)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The header fields of a file, whatever part of it is sent.
fn describe(response: &mut Response, file: FileId, path: &str) {
    let media_type = media_type::of(path);
    let disposition = disposition::header(path, media_type.is_shown);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type.name));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    // Whoever made the torrent chose the bytes: they must not run as a page of ours.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    for (name, value) in [(CONTENT_DISPOSITION, disposition), (ETAG, file.tag())] {
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
}
