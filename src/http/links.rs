//! `/links` and `POST /guest`: links by which people without an account come to a call.

use rusqlite::ToSql;
use serde::Deserialize;
use serde_json::json;
use warp::{Filter, Reply};

use super::authentication::Caller;
use super::body::{JSON_MAX_BYTES, refuse_empty, trimmed};
use super::bounds::json_items;
use super::{App, Error, HandlerResult, Request, Routes, any_of, require, route, status};
use crate::database::{Snapshot, Value, Write, text};
use crate::statements;
use crate::tokens::{new_token, token_hash};

pub(super) fn routes(app: &App) -> Routes {
    any_of![
        route!(GET app, warp::path("links") => links().await),
        route!(POST app, warp::path("links") => add_link().await),
        route!(DELETE app, warp::path("links").and(warp::path::param::<String>()) => revoke_link(id).await),
        route!(POST app, warp::path("guest") => open_link().await),
    ]
}

/// The body of `POST /links`. Members that are missing have the defaults of the action `add_link`.
#[derive(Deserialize)]
struct LinkBody {
    #[serde(deserialize_with = "trimmed")]
    channel: String,
    seconds: Option<f64>,
    uses: Option<i64>,
    admit: Option<bool>,
}

/// The response is the only one with the token of the link.
async fn add_link(request: &mut Request) -> HandlerResult {
    let caller = request.caller()?;
    let LinkBody { channel, seconds, uses, admit } = request.json(JSON_MAX_BYTES).await?;
    let channel = refuse_empty("channel", channel)?;
    let token = new_token().map_err(|error| Error::internal(&error.to_string()))?;
    let token_hash = token_hash(&token);
    let parameters = [
        text(&token_hash),
        text(channel),
        text(caller),
        seconds.map_or(Value::Null, Value::Real),
        uses.map_or(Value::Null, Value::Integer),
        admit.map_or(Value::Null, |admit| Value::Integer(admit.into())),
    ];
    let write = Write::new(&statements::ADD_LINK, parameters).then(&statements::LINK, [text(token_hash)]);
    let written = request.app.write(write).await?;
    let (id, channel, expires_ts): (String, String, f64) =
        written.one(&statements::LINK)?.ok_or_else(|| Error::internal("a new link is not stored"))?;
    Ok(warp::reply::json(&json!({ "id": id, "token": token, "channel": channel, "expires_ts": expires_ts })))
}

/// The valid links of a channel.
async fn links(request: &mut Request) -> HandlerResult<impl Reply> {
    let channel = request.required_query("channel").map(str::to_owned);
    let app = request.app.clone();
    let select = move |snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        let channel = channel?;
        require(&app, snapshot, &statements::CHANNEL_ACCESS, [&channel, name])?;
        Ok(json_items(snapshot, &statements::LINKS, [&channel as &dyn ToSql, name])?)
    };
    request.large_response(select).await
}

async fn revoke_link(id: String, request: &mut Request) -> HandlerResult {
    let caller = request.caller()?;
    request.app.write(Write::new(&statements::REVOKE_LINK, [text(id), text(caller)])).await?;
    Ok(status("revoked"))
}

#[derive(Deserialize)]
struct GuestBody {
    #[serde(deserialize_with = "trimmed")]
    link: String,
    #[serde(deserialize_with = "trimmed")]
    name: String,
}

/// Anybody who has the token of a link. The response has the token of the guest's session. There is no cookie: a browser
/// in which somebody is logged in stays theirs.
async fn open_link(request: &mut Request) -> HandlerResult {
    let GuestBody { link, name } = request.json(JSON_MAX_BYTES).await?;
    let token = new_token().map_err(|error| Error::internal(&error.to_string()))?;
    let token_hash_of_guest = token_hash(&token);
    let username = format!("guest-{}", &token_hash_of_guest[..12]);
    let parameters = [text(token_hash(&link)), text(&username), text(name), text(&token_hash_of_guest)];
    let write = Write::new(&statements::OPEN_LINK, parameters).then(&statements::GUEST, [text(&username)]);
    let written = request.app.write(write).await?;
    let (call_id, waits, expires_ts): (String, bool, f64) =
        written.one(&statements::GUEST)?.ok_or_else(|| Error::internal("a new guest is not stored"))?;
    tracing::info!(%username, call = %call_id, "a guest came by a link");
    Ok(warp::reply::json(&json!({
        "token": token, "username": username, "call_id": call_id, "waits": waits, "expires_ts": expires_ts,
    })))
}
