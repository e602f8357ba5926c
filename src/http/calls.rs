//! `/calls`: ringing, answering, hanging up, inviting, who shares a screen, and the state of it all.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use warp::{Filter, Reply};

use super::body::JSON_MAX_BYTES;
use super::events::look_until;
use super::request::{Caller, text};
use super::{Answer, App, Error, Request, Routes, json_text, media, one_of, refuse, route, signals, status};
use crate::database::{Snapshot, Value, Write, WriteResult};
use crate::push::Purpose;
use crate::statements::{self, Statement};

pub(super) fn routes(app: &App) -> Routes {
    let calls = || warp::path("calls");
    let of_call = |what| calls().and(warp::path::param::<String>()).and(warp::path(what));
    one_of![
        route!(GET app, calls().and(warp::path("incoming")) => incoming),
        route!(GET app, of_call("signals") => signals::of_call),
        route!(GET app, of_call("state") => state),
        route!(POST app, of_call("signal") => signals::send_in_call),
        route!(GET app, of_call("media") => media::of_call),
        route!(POST app, of_call("media") => media::upload_to_call),
        route!(GET app, calls().and(warp::path("active")) => active),
        route!(POST app, calls().and(warp::path("initiate")) => initiate),
        route!(POST app, of_call("accept") => accept),
        route!(POST app, of_call("reject") => reject),
        route!(POST app, of_call("end") => end),
        route!(POST app, of_call("leave") => leave),
        route!(POST app, of_call("invite") => invite),
        route!(POST app, of_call("screenshare") => share_screen),
        route!(POST app, of_call("remove") => remove),
        route!(POST app, of_call("gone") => gone),
    ]
}

/// A body that names a channel.
#[derive(Deserialize)]
pub(super) struct InChannel {
    channel: String,
}

impl InChannel {
    /// The channel that the body of a request names.
    ///
    /// # Errors
    /// 400 if it names none, as with an empty `?channel=`.
    pub(super) async fn of(request: &mut Request) -> Result<String, Error> {
        let Self { channel } = request.json(JSON_MAX_BYTES).await?;
        if channel.is_empty() {
            return Err(Error::bad_request("bad_body", "The body is not what this takes: channel is empty."));
        }
        Ok(channel)
    }
}

async fn initiate(mut request: Request) -> Answer {
    let caller = request.caller()?;
    let channel = InChannel::of(&mut request).await?;
    let call_id = Uuid::new_v4().to_string();
    let write = Write::new(&statements::INITIATE_CALL, [text(&call_id), text(&channel), text(caller)])
        .then(&statements::ALL_PARTICIPANTS, [text(&call_id)])
        .on_refusal(&statements::LIVE_CALL_ID, [text(channel)]);
    let written = request.app.write(write).await.map_err(|error| match error.code() {
        "channel_has_live_call" => {
            let live = error.rows().one(&statements::LIVE_CALL_ID).ok().flatten();
            error.detail("call_id", live.map(|(call_id,): (String,)| Json::from(call_id)).unwrap_or_default())
        }
        _ => error,
    })?;
    let participants = names(&written, &statements::ALL_PARTICIPANTS)?;
    Ok(warp::reply::json(&json!({ "call_id": call_id, "participants": participants })))
}

/// The names that `statement` returned.
fn names(written: &WriteResult, statement: &'static Statement) -> Result<Vec<String>, Error> {
    Ok(written.all(statement)?.into_iter().map(|(name,)| name).collect())
}

async fn incoming(request: Request) -> Answer {
    let rings = |calls: &Vec<Json>| !calls.is_empty();
    let calls = look_until(request, Purpose::Other, incoming_now, rings).await?;
    Ok(warp::reply::json(&calls))
}

fn incoming_now(_: &App, snapshot: &Snapshot, caller: &Caller) -> Result<Vec<Json>, Error> {
    let calls = snapshot.rows(&statements::INCOMING_CALLS, [&caller.name], |row| {
        Ok(json!({
            "call_id": row.get::<_, String>(0)?,
            "channel": row.get::<_, String>(1)?,
            "initiator": row.get::<_, String>(2)?,
            "started_ts": row.get::<_, f64>(3)?,
        }))
    })?;
    Ok(calls)
}

async fn accept(call_id: String, request: Request) -> Answer {
    let caller = request.caller()?;
    let write = Write::new(&statements::ACCEPT_CALL, [text(&call_id), text(&caller)])
        .then(&statements::ACCEPTED_PARTICIPANTS, [text(&call_id)])
        .then(&statements::LAST_SIGNAL_ID, [text(call_id), text(caller)]);
    let written = request.app.write(write).await?;
    let last_signal_id = written.one::<(i64,)>(&statements::LAST_SIGNAL_ID)?.map_or(0, |(id,)| id);
    Ok(warp::reply::json(&json!({
        "status": "accepted",
        "participants": names(&written, &statements::ACCEPTED_PARTICIPANTS)?,
        "last_signal_id": last_signal_id,
    })))
}

/// An action that takes the call and the caller, and has no more to say than that it is done.
async fn act(request: Request, call_id: String, action: &'static Statement, done: &str) -> Answer {
    let caller = request.caller()?;
    request.app.write(Write::new(action, [text(call_id), text(caller)])).await?;
    Ok(status(done))
}

async fn reject(call_id: String, request: Request) -> Answer {
    act(request, call_id, &statements::REJECT_CALL, "rejected").await
}

async fn end(call_id: String, request: Request) -> Answer {
    act(request, call_id, &statements::END_CALL, "ended").await
}

async fn leave(call_id: String, request: Request) -> Answer {
    act(request, call_id, &statements::LEAVE_CALL, "left").await
}

#[derive(Deserialize)]
struct Somebody {
    username: String,
}

/// The name in a body that is about somebody else.
async fn somebody(request: &mut Request) -> Result<String, Error> {
    let Somebody { username } = request.json(JSON_MAX_BYTES).await?;
    if username.is_empty() {
        return Err(Error::bad_request("bad_body", "The body is not what this takes: username is empty."));
    }
    Ok(username)
}

async fn remove(call_id: String, mut request: Request) -> Answer {
    let caller = request.caller()?;
    let username = somebody(&mut request).await?;
    request.app.write(Write::new(&statements::REMOVE_FROM_CALL, [text(call_id), text(username), text(caller)])).await?;
    Ok(status("removed"))
}

async fn gone(call_id: String, mut request: Request) -> Answer {
    let caller = request.caller()?;
    let username = somebody(&mut request).await?;
    // Whether somebody is there before and after the report is what the report has come to.
    let report = Write::new(&statements::IS_ACCEPTED, [text(&call_id), text(&username)])
        .then(&statements::REPORT_GONE, [text(&call_id), text(&username), text(caller)])
        .then(&statements::IS_ACCEPTED, [text(call_id), text(username)]);
    let before_and_after = request.app.write(report).await?.all::<(bool,)>(&statements::IS_ACCEPTED)?;
    let removed = before_and_after == [(true,), (false,)];
    Ok(status(if removed { "removed" } else { "ignored" }))
}

async fn invite(call_id: String, mut request: Request) -> Answer {
    let caller = request.caller()?;
    let username = somebody(&mut request).await?;
    request.app.write(Write::new(&statements::INVITE_TO_CALL, [text(call_id), text(username), text(caller)])).await?;
    Ok(status("invited"))
}

#[derive(Deserialize)]
struct Screen {
    on: bool,
}

async fn share_screen(call_id: String, mut request: Request) -> Answer {
    let caller = request.caller()?;
    let Screen { on } = request.json(JSON_MAX_BYTES).await?;
    let parameters = [text(call_id), text(caller), Value::Integer(on.into())];
    request.app.write(Write::new(&statements::SHARE_SCREEN_IN_CALL, parameters)).await?;
    Ok(status(if on { "sharing" } else { "stopped" }))
}

/// A look at the state proves that whoever looks is there; it is written down now and then.
async fn state(call_id: String, request: Request) -> Answer<impl Reply> {
    let seen = match request.query("seen").map(str::parse::<i64>) {
        None => None,
        Some(Ok(seen)) => Some(seen),
        Some(Err(_)) => {
            return Err(Error::bad_request("bad_cursor", "?seen= is a whole number, the version you have."));
        }
    };
    let look = |app: &App, snapshot: &Snapshot, caller: &Caller| state_now(app, snapshot, &call_id, &caller.name);
    let is_news = |(version, _): &(i64, Bytes)| seen != Some(*version);
    let (_, state) = look_until(request, Purpose::State, look, is_news).await?;
    Ok(json_text(state))
}

fn state_now(app: &App, snapshot: &Snapshot, call_id: &str, caller: &str) -> Result<(i64, Bytes), Error> {
    let row = snapshot.row(&statements::CALL_STATE_FOR, [&call_id, &caller], |row| {
        let state = Bytes::copy_from_slice(row.get_ref(0)?.as_bytes()?);
        Ok((state, row.get(1)?, row.get::<_, Option<String>>(2)?, row.get(3)?))
    })?;
    let (state, version, refusal, is_presence_due) = row.ok_or_else(|| Error::refused(app, "call_not_found"))?;
    if let Some(code) = refusal {
        return Err(Error::refused(app, &code));
    }
    if is_presence_due {
        app.database.write_and_forget(Write::new(&statements::SEEN, [text(caller), text(call_id)]));
    }
    Ok((version, state))
}

async fn active(request: Request) -> Answer<impl Reply> {
    let call: Option<String> = request.read(|snapshot, Caller { name, .. }| {
        let channel = request.required_query("channel")?;
        refuse(&request.app, snapshot, &statements::WHY_NOT_READ_CHANNEL, [&channel, name])?;
        Ok(snapshot.row(&statements::ACTIVE_CALL, [&channel, name], |row| row.get(0))?)
    })?;
    Ok(json_text(format!("{{\"call\":{}}}", call.as_deref().unwrap_or("null"))))
}
