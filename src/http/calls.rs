//! `/calls`: the life of a call, its participants, its screen share and its state.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value as Json;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::authentication::Caller;
use super::body::{JSON_MAX_BYTES, refuse_empty, trimmed};
use super::events::long_poll;
use super::idempotency::Answer;
use super::request::parse_cursor;
use super::{
    App, Error, HandlerResult, Request, Routes, any_of, json_list, json_text, media, new_id, require, require_granted,
    route, signals,
};
use crate::database::{Snapshot, Value, Write, text};
use crate::statements::{self, Statement};

pub(super) fn routes(app: &App) -> Routes {
    let calls = || warp::path("calls");
    let call = |what| calls().and(warp::path::param::<String>()).and(warp::path(what));
    any_of![
        route!(GET app, calls().and(warp::path("incoming")) => incoming().await),
        route!(GET app, call("signals") => signals::read_in_call(id).await),
        route!(GET app, call("state") => state(id).await),
        route!(POST app, call("signal") => signals::send_in_call(id).await),
        route!(GET app, call("media") => media::read_in_call(id).await),
        route!(POST app, call("media") => media::upload_to_call(id).await),
        route!(GET app, calls().and(warp::path("active")) => active()),
        route!(POST app, calls().and(warp::path("initiate")) => initiate().await),
        route!(POST app, call("accept") => accept(id).await),
        route!(POST app, call("reject") => reject(id).await),
        route!(POST app, call("end") => end(id).await),
        route!(POST app, call("leave") => leave(id).await),
        route!(POST app, call("invite") => invite(id).await),
        route!(POST app, call("screenshare") => share_screen(id).await),
        route!(POST app, call("remove") => remove(id).await),
        route!(POST app, call("gone") => gone(id).await),
        route!(POST app, call("dismiss") => dismiss(id).await),
    ]
}

/// The body `{"channel": CHANNEL}`.
#[derive(Deserialize)]
pub(super) struct ChannelBody {
    #[serde(deserialize_with = "trimmed")]
    channel: String,
}

impl ChannelBody {
    /// The channel in the body of a request.
    ///
    /// # Errors
    /// 400 if it is missing or empty.
    pub(super) async fn read(request: &mut Request) -> Result<String, Error> {
        let Self { channel } = request.json(JSON_MAX_BYTES).await?;
        refuse_empty("channel", channel)
    }
}

/// The body `{"username": USERNAME}`.
#[derive(Deserialize)]
struct UsernameBody {
    #[serde(deserialize_with = "trimmed")]
    username: String,
}

impl UsernameBody {
    /// The username in the body of a request.
    ///
    /// # Errors
    /// 400 if it is missing or empty.
    async fn read(request: &mut Request) -> Result<String, Error> {
        let Self { username } = request.json(JSON_MAX_BYTES).await?;
        refuse_empty("username", username)
    }
}

async fn initiate(request: &mut Request) -> HandlerResult<Response> {
    let caller = request.read(|_, caller| Ok(caller.clone()))?;
    let channel = ChannelBody::read(request).await?;
    let call_id = new_id();
    let action = request
        .action(&caller.name)?
        .then(&statements::INITIATE_CALL, [text(&call_id), text(&channel), text(&caller.name)])
        .then(&statements::NOTE_PRESENCE, caller.presence_on(&call_id))
        .on_refusal(&statements::LIVE_CALL_ID, [text(&channel), text(&caller.name)])
        .on_refusal(&statements::CHANNEL_RING_WAITS, [text(&caller.name), text(channel)]);
    let answer = Answer::row("initiate", call_id, caller.name);
    action.answer(&request.app, answer).await.map_err(|error| match error.code() {
        "channel_has_live_call" => {
            let live = error.rows().one(&statements::LIVE_CALL_ID).ok().flatten();
            error.detail("call_id", live.map(|(call_id,): (String,)| Json::from(call_id)).unwrap_or_default())
        }
        _ => error.retry_after_wait(&statements::CHANNEL_RING_WAITS),
    })
}

async fn incoming(request: &mut Request) -> HandlerResult<impl Reply> {
    let is_ringing = |calls: &Vec<String>| !calls.is_empty();
    let calls = long_poll(request, None, incoming_now, is_ringing).await?;
    Ok(json_list(&calls))
}

fn incoming_now(_: &App, snapshot: &Snapshot, caller: &Caller) -> Result<Vec<String>, Error> {
    Ok(snapshot.rows(&statements::INCOMING_CALLS, [&caller.name], |row| row.get(0))?)
}

async fn accept(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    let caller = request.read(|_, caller| Ok(caller.clone()))?;
    let action = request
        .action(&caller.name)?
        .then(&statements::SETTLE_PUSH, [text(&call_id), text(&caller.token_hash)])
        .then(&statements::ACCEPT_CALL, [text(&call_id), text(&caller.name)])
        .then(&statements::NOTE_PRESENCE, caller.presence_on(&call_id));
    action.answer(&request.app, Answer::row("accept", call_id, caller.name)).await
}

/// Runs `statement` with the call and the caller as its parameters. The answer has `status`.
async fn act(
    request: &mut Request,
    call_id: String,
    statement: &'static Statement,
    status: &str,
) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let action = request.action(&caller)?.then(statement, [text(call_id), text(caller)]);
    action.answer(&request.app, Answer::status(status)).await
}

/// As [`act`], with the user in the body as the second parameter.
async fn act_on_user(
    request: &mut Request,
    call_id: String,
    statement: &'static Statement,
    status: &str,
) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let username = UsernameBody::read(request).await?;
    let action = request.action(&caller)?.then(statement, [text(call_id), text(username), text(caller)]);
    action.answer(&request.app, Answer::status(status)).await
}

async fn reject(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    let caller = request.read(|_, caller| Ok(caller.clone()))?;
    let action = request
        .action(&caller.name)?
        .then(&statements::SETTLE_PUSH, [text(&call_id), text(caller.token_hash)])
        .then(&statements::REJECT_CALL, [text(call_id), text(caller.name)]);
    action.answer(&request.app, Answer::status("ok")).await
}

async fn end(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    act(request, call_id, &statements::END_CALL, "ok").await
}

async fn leave(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    act(request, call_id, &statements::LEAVE_CALL, "left").await
}

async fn remove(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    act_on_user(request, call_id, &statements::REMOVE_FROM_CALL, "removed").await
}

async fn dismiss(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    act_on_user(request, call_id, &statements::DISMISS_GUEST, "dismissed").await
}

async fn gone(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let username = UsernameBody::read(request).await?;
    let action =
        request.action(&caller)?.then(&statements::REPORT_GONE, [text(&call_id), text(&username), text(caller)]);
    action.answer(&request.app, Answer::row("gone", call_id, username).or_status("ignored")).await
}

async fn invite(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let username = UsernameBody::read(request).await?;
    let action = request
        .action(&caller)?
        .then(&statements::INVITE_TO_CALL, [text(&call_id), text(&username), text(&caller)])
        .on_refusal(&statements::RING_WAITS, [text(caller), text(&username)]);
    let answered = action.answer(&request.app, Answer::row("invite", call_id, username)).await;
    answered.map_err(|error| error.retry_after_wait(&statements::RING_WAITS))
}

/// The body `{"on": BOOLEAN}`.
#[derive(Deserialize)]
struct ScreenshareBody {
    on: bool,
}

async fn share_screen(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let ScreenshareBody { on } = request.json(JSON_MAX_BYTES).await?;
    let parameters = [text(call_id), text(&caller), Value::Integer(on.into())];
    let action = request.action(&caller)?.then(&statements::SHARE_SCREEN_IN_CALL, parameters);
    action.answer(&request.app, Answer::status("ok")).await
}

/// Reading the state proves presence, which is stored at intervals.
async fn state(call_id: String, request: &mut Request) -> HandlerResult<impl Reply> {
    let seen = request.query("seen").and_then(parse_cursor);
    let read = |app: &App, snapshot: &Snapshot, caller: &Caller| state_now(app, snapshot, &call_id, caller);
    let is_news = |(version, _): &(i64, Bytes)| seen != Some(*version);
    let (_, state) = long_poll(request, Some(&call_id), read, is_news).await?;
    Ok(json_text(state))
}

fn state_now(app: &App, snapshot: &Snapshot, call_id: &str, caller: &Caller) -> Result<(i64, Bytes), Error> {
    let row = snapshot.row(&statements::CALL_STATE_AND_ACCESS, [&call_id, &caller.name.as_str()], |row| {
        let state = Bytes::copy_from_slice(row.get_ref(0)?.as_bytes()?);
        Ok((state, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?))
    })?;
    let (state, version, access, is_presence_due) = row.ok_or_else(|| Error::refused(app, "call_not_found"))?;
    require_granted(app, &access)?;
    if is_presence_due {
        app.database.write_and_forget(Write::new(&statements::NOTE_PRESENCE, caller.presence_on(call_id)));
    }
    Ok((version, state))
}

fn active(request: &mut Request) -> HandlerResult<impl Reply> {
    let call: Option<String> = request.read(|snapshot, Caller { name, .. }| {
        let channel = request.required_query("channel")?;
        require(&request.app, snapshot, &statements::CHANNEL_ACCESS, [&channel, name])?;
        let row = snapshot
            .row(&statements::ACTIVE_CALL, [&channel, name], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        row.map(|(call, access)| require_granted(&request.app, &access).map(|()| call)).transpose()
    })?;
    Ok(json_text(format!("{{\"call\":{}}}", call.as_deref().unwrap_or("null"))))
}
