//! `/screenshare`: screen shares in a channel, outside calls.

use serde_json::json;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::authentication::Caller;
use super::calls::ChannelBody;
use super::idempotency::Answer;
use super::{App, HandlerResult, Request, Routes, any_of, json_list, media, new_id, require, route, signals};
use crate::database::text;
use crate::statements;

pub(super) fn routes(app: &App) -> Routes {
    let shares = || warp::path("screenshare");
    let share = |what| shares().and(warp::path::param::<String>()).and(warp::path(what));
    any_of![
        route!(GET app, shares().and(warp::path("active")) => active()),
        route!(GET app, share("signals") => signals::read_in_share(id).await),
        route!(POST app, share("signal") => signals::send_in_share(id).await),
        route!(GET app, share("media") => media::read_in_share(id).await),
        route!(POST app, share("media") => media::upload_to_share(id).await),
        route!(POST app, shares().and(warp::path("start")) => start().await),
        route!(POST app, share("stop") => stop(id).await),
    ]
}

async fn start(request: &mut Request) -> HandlerResult<Response> {
    let caller = request.read(|_, caller| Ok(caller.clone()))?;
    let channel = ChannelBody::read(request).await?;
    let share_id = new_id();
    let action = request
        .action(&caller.name)?
        .then(&statements::START_SCREENSHARE, [text(&share_id), text(&channel), text(&caller.name)])
        .then(&statements::NOTE_PRESENCE, caller.presence_on(&share_id))
        .on_refusal(&statements::CHANNEL_RING_WAITS, [text(caller.name), text(channel)]);
    let answered = action.answer(&request.app, Answer::known(json!({ "share_id": share_id }))).await;
    answered.map_err(|error| error.retry_after_wait(&statements::CHANNEL_RING_WAITS))
}

async fn stop(share_id: String, request: &mut Request) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let action = request.action(&caller)?.then(&statements::STOP_SCREENSHARE, [text(share_id), text(caller)]);
    action.answer(&request.app, Answer::status("ok")).await
}

fn active(request: &mut Request) -> HandlerResult<impl Reply> {
    let shares: Vec<String> = request.read(|snapshot, Caller { name, .. }| {
        let channel = request.required_query("channel")?;
        require(&request.app, snapshot, &statements::CHANNEL_ACCESS, [&channel, name])?;
        Ok(snapshot.rows(&statements::CHANNEL_ACTIVE_SHARES, [&channel, name], |row| row.get(0))?)
    })?;
    Ok(json_list(&shares))
}
