//! Torrents: the list, one, its settings, and what can be done to it.

mod add;
mod dto;
mod page;
mod settings;

use std::sync::Arc;

use control::{Command, RemoveTorrent, TorrentId};
use serde::Deserialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{Method, StatusCode};

use self::settings::SettingsPatch;
use super::{Answer, Call, Context, call, json, no_content, torrent_id, with};
use crate::problem::{Kind, Problem};

/// `/api/v1/torrents`, `/{hash}` and `/{hash}/actions/{action}`.
pub(super) fn routes(context: &Arc<Context>) -> BoxedFilter<(Answer,)> {
    let all = warp::path!("api" / "v1" / "torrents").and(call()).and(with(context)).then(all);
    let one = warp::path!("api" / "v1" / "torrents" / String);
    let one = one.and(call()).and(with(context)).then(one_of);
    let action = warp::path!("api" / "v1" / "torrents" / String / "actions" / String);
    let action = action.and(call()).and(with(context)).then(act);
    all.or(one).unify().or(action).unify().boxed()
}

async fn all(call: Call, context: Arc<Context>) -> Answer {
    match call.method {
        Method::GET | Method::HEAD => page::list(&call, &context).await,
        Method::POST => add::add(call, &context).await,
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST")),
    }
}

async fn one_of(hash: String, call: Call, context: Arc<Context>) -> Answer {
    match call.method {
        Method::GET | Method::HEAD => show(&hash, &context).await,
        Method::PATCH => change(&hash, call, &context).await,
        Method::DELETE => remove(&hash, &call, &context).await,
        _ => Err(Problem::method_not_allowed("GET, HEAD, PATCH, DELETE")),
    }
}

async fn show(hash: &str, context: &Context) -> Answer {
    let detail = context.engine.torrent(torrent_id(hash)?).await?;
    json(StatusCode::OK, &dto::Detail::from(&detail))
}

/// Sets what the body names and leaves the rest; two that do so at once may undo each other.
async fn change(hash: &str, mut call: Call, context: &Context) -> Answer {
    let id = torrent_id(hash)?;
    let patch: SettingsPatch = call.json(context.json_body_limit).await?;
    let mut settings = context.engine.torrent(id).await?.settings;
    patch.apply(&mut settings)?;
    context.engine.command(Command::Set { id, settings: Box::new(settings) }).await?;
    show(hash, context).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveQuery {
    #[serde(default)]
    data: bool,
}

async fn remove(hash: &str, call: &Call, context: &Context) -> Answer {
    let id = torrent_id(hash)?;
    let query: RemoveQuery = call.query()?;
    let remove = RemoveTorrent { id, with_data: query.data };
    context.engine.command(Command::Remove(remove)).await?;
    Ok(no_content())
}

async fn act(hash: String, action: String, call: Call, context: Arc<Context>) -> Answer {
    let to_command: fn(TorrentId) -> Command = match action.as_str() {
        "start" => Command::Start,
        "stop" => Command::Stop,
        "recheck" => Command::Verify,
        "pause-recheck" => |id| Command::PauseVerify { id, paused: true },
        "resume-recheck" => |id| Command::PauseVerify { id, paused: false },
        "reannounce" => Command::Reannounce,
        _ => {
            let actions = "the actions are start, stop, recheck, pause-recheck, resume-recheck \
                           and reannounce";
            return Err(Problem::new(Kind::NoRoute, actions));
        }
    };
    if call.method != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    context.engine.command(to_command(torrent_id(&hash)?)).await?;
    Ok(no_content())
}
