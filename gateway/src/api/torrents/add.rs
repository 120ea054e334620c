//! Adding a torrent: a `.torrent` file as the body or in a form, or a magnet link or address in JSON.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use control::{AddTorrent, Command, Reply, Source, TorrentSettings};
use futures_util::stream;
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde::Deserialize;
use warp::http::header::{CONTENT_TYPE, LOCATION};
use warp::http::{HeaderValue, StatusCode};

use super::dto::Torrent;
use super::settings::SettingsPatch;
use crate::api::{Answer, Call, Context, json};
use crate::body::{self, BODY_TIMEOUT};
use crate::deadline::within;
use crate::problem::{Kind, Problem};

/// Peers that can be named with a torrent.
const PEERS_MAX: usize = 200;

/// `POST /api/v1/torrents`.
pub(super) async fn add(mut call: Call, context: &Context) -> Answer {
    let wanted = match body::media_type(&call.headers).as_deref() {
        Some("application/json") => from_json(&mut call, context).await?,
        Some("application/x-bittorrent") => from_file(&mut call, context).await?,
        Some("multipart/form-data") => from_form(&mut call, context).await?,
        _ => {
            let known = "send application/json, application/x-bittorrent or multipart/form-data";
            return Err(Problem::new(Kind::MediaType, known));
        }
    };
    let reply = context.engine.command(Command::Add(wanted)).await.map_err(|error| {
        let problem = Problem::from(error);
        if problem.kind() == Kind::Conflict { problem.with_kind(Kind::Duplicate) } else { problem }
    })?;
    let Reply::Added(id) = reply else {
        return Err(Problem::new(Kind::Internal, "the engine did not say what it added"));
    };
    let detail = context.engine.torrent(id).await?;
    let mut response = json(StatusCode::CREATED, &Torrent::from(&detail.torrent))?;
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/torrents/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    magnet: Option<String>,
    url: Option<String>,
    #[serde(default)]
    settings: SettingsPatch,
    #[serde(default)]
    stopped: bool,
    #[serde(default)]
    peers: Vec<SocketAddr>,
}

async fn from_json(call: &mut Call, context: &Context) -> Result<AddTorrent, Problem> {
    let body: AddBody = call.json(context.json_body_limit).await?;
    let source = match (body.magnet, body.url) {
        (Some(magnet), None) => {
            if !begins_with(&magnet, &["magnet:?"]) {
                return Err(Problem::field("magnet", "a magnet link begins with magnet:?"));
            }
            Source::Magnet(magnet)
        }
        (None, Some(url)) => {
            if !begins_with(&url, &["http://", "https://"]) {
                return Err(Problem::field("url", "give an http or https address"));
            }
            Source::Url(url)
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::field("magnet", "give either magnet or url"));
        }
    };
    if body.peers.len() > PEERS_MAX {
        let detail = format!("{} are more than {PEERS_MAX}", body.peers.len());
        return Err(Problem::field("peers", detail));
    }
    let settings = settings(body.settings)?;
    Ok(AddTorrent { source, settings, stopped: body.stopped, peers: body.peers })
}

fn begins_with(text: &str, beginnings: &[&str]) -> bool {
    let is_begun = |begin: &&str| {
        text.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
    };
    beginnings.iter().any(is_begun)
}

fn settings(patch: SettingsPatch) -> Result<TorrentSettings, Problem> {
    let mut settings = TorrentSettings::default();
    patch.apply(&mut settings)?;
    Ok(settings)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileQuery {
    #[serde(default)]
    stopped: bool,
}

async fn from_file(call: &mut Call, context: &Context) -> Result<AddTorrent, Problem> {
    let query: FileQuery = call.query()?;
    let metainfo = upload(call, context).await?;
    from_metainfo(metainfo, SettingsPatch::default(), query.stopped)
}

/// Reads the body when it is its turn.
async fn upload(call: &mut Call, context: &Context) -> Result<Bytes, Problem> {
    let reading = async {
        let _turn = context.uploads.acquire().await;
        body::read(&call.headers, &mut call.body, context.upload_body_limit).await
    };
    within(BODY_TIMEOUT, reading).await.ok_or_else(body::too_slow)?
}

fn from_metainfo(
    metainfo: Bytes,
    patch: SettingsPatch,
    stopped: bool,
) -> Result<AddTorrent, Problem> {
    if metainfo.is_empty() {
        return Err(Problem::field("torrent", "the .torrent file is empty"));
    }
    let (source, settings) = (Source::Metainfo(metainfo), settings(patch)?);
    Ok(AddTorrent { source, settings, stopped, peers: Vec::new() })
}

/// The fields of a form.
#[derive(Default)]
struct Form {
    torrent: Option<Bytes>,
    settings: SettingsPatch,
    stopped: bool,
}

async fn from_form(call: &mut Call, context: &Context) -> Result<AddTorrent, Problem> {
    let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default())
        .map_err(|_| Problem::new(Kind::Malformed, "the form has no boundary"))?;
    let json_limit = context.json_body_limit as u64;
    let sizes = SizeLimit::new().for_field("settings", json_limit).for_field("stopped", json_limit);
    let fields = vec!["torrent", "settings", "stopped"];
    let constraints = Constraints::new().size_limit(sizes).allowed_fields(fields);
    // As a whole: the parser begins anew with each part that comes, and its length is bounded anyway.
    let whole = upload(call, context).await?;
    let whole = stream::once(ready(Ok::<_, Infallible>(whole)));
    let mut parts = Multipart::with_constraints(whole, boundary, constraints);
    let form = read_form(&mut parts).await?;
    let torrent = form.torrent.ok_or_else(|| Problem::field("torrent", "the file is missing"))?;
    from_metainfo(torrent, form.settings, form.stopped)
}

async fn read_form(parts: &mut Multipart<'_>) -> Result<Form, Problem> {
    let mut form = Form::default();
    while let Some(mut field) = parts.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = collect(&mut field).await?;
        match name.as_str() {
            "torrent" if form.torrent.is_some() => {
                return Err(Problem::field("torrent", "there are two of it; send one"));
            }
            "torrent" => form.torrent = Some(bytes),
            "settings" => form.settings = body::json(&bytes)?,
            _ => {
                form.stopped = match bytes.as_ref() {
                    b"true" => true,
                    b"false" => false,
                    _ => return Err(Problem::field("stopped", "give true or false")),
                }
            }
        }
    }
    Ok(form)
}

async fn collect(field: &mut Field<'_>) -> Result<Bytes, multer::Error> {
    let mut bytes = BytesMut::new();
    while let Some(part) = field.chunk().await? {
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

impl From<multer::Error> for Problem {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::FieldSizeExceeded { limit, .. } => {
                body::too_large(usize::try_from(limit).unwrap_or(usize::MAX))
            }
            multer::Error::UnknownField { .. } => {
                let fields = "the fields of the form are torrent, settings and stopped";
                Self::new(Kind::Invalid, fields)
            }
            // Others may repeat what was sent.
            _ => Self::new(Kind::Malformed, "the form is badly framed or ended early"),
        }
    }
}
