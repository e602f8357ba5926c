//! `/push`: browsers in which a person is notified of calls while the page is closed.

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use warp::Filter;

use super::body::{JSON_MAX_BYTES, trimmed};
use super::{App, Error, HandlerResult, Request, Routes, any_of, route, status};
use crate::database::{Write, text};
use crate::statements;
use crate::web_push::{new_key, public_key};

/// An id has so many bytes of the hash of the endpoint.
const ID_BYTES: usize = 16;

pub(super) fn routes(app: &App) -> Routes {
    let subscriptions = || warp::path("push").and(warp::path("subscriptions"));
    any_of![
        route!(GET app, warp::path("push") => server_key().await),
        route!(POST app, subscriptions() => subscribe().await),
        route!(DELETE app, subscriptions().and(warp::path::param::<String>()) => unsubscribe(id).await),
    ]
}

/// The server's public key, null while web push is off. The first request makes it.
async fn server_key(request: &mut Request) -> HandlerResult {
    let settings = request.read(|snapshot, _| {
        let row = snapshot.row(&statements::WEB_PUSH_SETTINGS, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(row.unwrap_or_default())
    });
    let (is_on, mut key): (bool, String) = settings?;
    if is_on && key.is_empty() {
        let new = new_key().map_err(|error| Error::internal(&error.to_string()))?;
        let write = Write::new(&statements::ADD_PUSH_KEY, [text(new)]).then(&statements::WEB_PUSH_SETTINGS, []);
        let written = request.app.write(write).await?.one::<(bool, String)>(&statements::WEB_PUSH_SETTINGS)?;
        key = written.unwrap_or_default().1;
    }
    let key = if is_on {
        Some(public_key(&key).ok_or_else(|| Error::internal("the setting web_push_key is no key"))?)
    } else {
        None
    };
    Ok(warp::reply::json(&json!({ "public_key": key })))
}

/// The JSON of a browser's `PushSubscription`. Its other members are ignored.
#[derive(Deserialize)]
struct SubscriptionBody {
    #[serde(deserialize_with = "trimmed")]
    endpoint: String,
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

async fn subscribe(request: &mut Request) -> HandlerResult {
    let session = request.read(|_, caller| Ok(caller.token_hash.clone()))?;
    let SubscriptionBody { endpoint, keys } = request.json(JSON_MAX_BYTES).await?;
    let id: String = Sha256::digest(&endpoint)[..ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    let parameters = [text(&id), text(session), text(endpoint), text(keys.p256dh), text(keys.auth)];
    request.app.write(Write::new(&statements::ADD_PUSH_SUBSCRIPTION, parameters)).await?;
    Ok(warp::reply::json(&json!({ "status": "added", "id": id })))
}

async fn unsubscribe(id: String, request: &mut Request) -> HandlerResult {
    let caller = request.caller()?;
    request.app.write(Write::new(&statements::REMOVE_PUSH_SUBSCRIPTION, [text(id), text(caller)])).await?;
    Ok(status("removed"))
}
