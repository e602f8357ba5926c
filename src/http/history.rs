//! `GET /calls/history`, `GET /calls/missed`, `POST /calls/missed/seen`, and `GET /me`.

use std::sync::Arc;

use rusqlite::ToSql;
use serde::Deserialize;
use serde_json::Value as Json;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::authentication::Caller;
use super::body::JSON_MAX_BYTES;
use super::bounds::json_items;
use super::idempotency::Answer;
use super::{App, Error, HandlerResult, Request, Routes, any_of, require, route};
use crate::database::{ReadError, Snapshot, Value, text};
use crate::statements;

pub(super) fn routes(app: &App) -> Routes {
    let calls = || warp::path("calls");
    any_of![
        route!(GET app, calls().and(warp::path("history")) => history().await),
        route!(GET app, calls().and(warp::path("missed")) => missed().await),
        route!(POST app, calls().and(warp::path("missed")).and(warp::path("seen")) => missed_seen().await),
        route!(GET app, warp::path("me") => me().await),
    ]
}

async fn history(request: &mut Request) -> HandlerResult<impl Reply> {
    let limit = request.limit()?;
    let [channel, person, outcome, before] =
        ["channel", "person", "outcome", "before"].map(|name| request.query(name).map(str::to_owned));
    let app = Arc::clone(&request.app);
    let respond = move |snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        if let Some(channel) = &channel {
            require(&app, snapshot, &statements::CHANNEL_ACCESS, [channel, name])?;
        }
        let call_ts = |before: &str| snapshot.row(&statements::CALL_STARTED_TS, [&before], |row| row.get(0));
        let (before_ts, before_id) = before_cursor(before.as_deref(), call_ts)?;
        let channel: Option<String> = match channel {
            Some(channel) => snapshot.row(&statements::NAMED_CHANNEL, [&channel, name], |row| row.get(0))?,
            None => None,
        };
        let parameters: [&dyn ToSql; 7] = [name, &channel, &before_ts, &before_id, &limit, &person, &outcome];
        Ok(json_items(snapshot, &statements::HISTORY, parameters)?)
    };
    request.large_response(respond).await
}

/// The time and the call of the cursor `?before=`, which is a call or a time. All calls are before none.
///
/// # Errors
/// 400 if it is neither.
pub(super) fn before_cursor(
    before: Option<&str>,
    call_ts: impl FnOnce(&str) -> Result<Option<f64>, ReadError>,
) -> Result<(f64, &str), Error> {
    let Some(before) = before else {
        return Ok((f64::INFINITY, ""));
    };
    if let Some(ts) = call_ts(before)? {
        return Ok((ts, before));
    }
    match before.parse::<f64>() {
        Ok(ts) if ts.is_finite() => Ok((ts, "")),
        _ => Err(Error::bad_request("bad_cursor", "Invalid ?before=: the call_id or the time of a call.")),
    }
}

/// The parameter `?since=`, in seconds since the epoch. 0 without it.
///
/// # Errors
/// 400 if it is not a finite number.
fn since(request: &Request) -> Result<f64, Error> {
    match request.query("since").map(str::parse::<f64>) {
        None => Ok(0.0),
        Some(Ok(since)) if since.is_finite() => Ok(since),
        Some(_) => Err(Error::bad_request("bad_time", "Invalid ?since=: seconds since the epoch.")),
    }
}

async fn missed(request: &mut Request) -> HandlerResult<impl Reply> {
    let since = since(request)?;
    let before = request.query("before").map(str::to_owned);
    let respond = move |snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        let missed_ts =
            |before: &str| Ok(snapshot.row(&statements::CALL_MISSED_TS, [&before, name], |row| row.get(0))?.flatten());
        let (before_ts, before_id) = before_cursor(before.as_deref(), missed_ts)?;
        let parameters: [&dyn ToSql; 4] = [name, &since, &before_ts, &before_id];
        Ok(json_items(snapshot, &statements::MISSED_CALLS, parameters)?)
    };
    request.large_response(respond).await
}

/// The body `{"up_to": TIME, "channel": NAME}`.
#[derive(Deserialize)]
struct SeenBody {
    /// In seconds since the epoch. Calls that were missed later stay unseen. Without it, all are marked.
    up_to: Option<f64>,
    /// Calls of other channels stay unseen. Without it, those of all channels are marked.
    channel: Option<String>,
}

async fn missed_seen(request: &mut Request) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let SeenBody { up_to, channel } = request.json(JSON_MAX_BYTES).await?;
    let up_to = up_to.map_or(Value::Null, Value::Real);
    let channel = channel.map_or(Value::Null, Value::Text);
    let action = request.action(&caller)?.then(&statements::MARK_MISSED_CALLS_SEEN, [text(&caller), up_to, channel]);
    action.answer(&request.app, Answer::status("seen")).await
}

/// The first screen: the caller, channels, people and live calls.
async fn me(request: &mut Request) -> HandlerResult<impl Reply> {
    let page_token = request.page_token()?;
    let respond = move |snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        let addresses = snapshot.rows(&statements::CLIENT_ADDRESSES, [], |row| Ok(Json::String(row.get(0)?)))?;
        // Without another address to use it at, no script gets it.
        let page_token = page_token.filter(|_| !addresses.is_empty());
        let channels = snapshot.rows(&statements::USER_CHANNELS, [name], |row| row.get::<_, String>(0))?;
        let people = snapshot.rows(&statements::OTHER_USERS, [name], |row| Ok(Json::String(row.get(0)?)))?;
        let calls = snapshot.rows(&statements::USER_LIVE_CALLS, [name], |row| row.get::<_, String>(0))?;
        let display_names: serde_json::Map<String, Json> = snapshot
            .rows(&statements::DISPLAY_NAMES, [name], |row| Ok((row.get(0)?, Json::String(row.get(1)?))))?
            .into_iter()
            .collect();
        let role: Option<String> = snapshot.row(&statements::USER_ROLE, [name], |row| row.get(0))?;
        let quiet_until: Option<f64> = snapshot.row(&statements::QUIET_UNTIL, [name], |row| row.get(0))?;
        let display_name = display_names.get(name).cloned().unwrap_or_default();
        let json = format!(
            "{{\"username\":{},\"display_name\":{display_name},\"role\":{},\"quiet_until\":{},\"display_names\":{},\
             \"channels\":[{}],\"people\":{},\"calls\":[{}],\"client_addresses\":{},\"page_token\":{}}}",
            Json::from(name.as_str()),
            Json::from(role),
            Json::from(quiet_until),
            Json::Object(display_names),
            channels.join(","),
            Json::Array(people),
            calls.join(","),
            Json::Array(addresses),
            Json::from(page_token)
        );
        Ok(json.into_bytes())
    };
    request.large_response(respond).await
}
