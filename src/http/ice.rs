//! `GET /calls/ice`: the STUN and TURN servers for browsers on different networks.

use base64_simd::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use warp::Filter;

use super::{App, Error, HandlerResult, Request, Routes, any_of, route};
use crate::statements;

pub(super) fn routes(app: &App) -> Routes {
    any_of![route!(GET app, warp::path("calls").and(warp::path("ice")) => ice())]
}

/// What the settings say, for one person.
struct Ice {
    servers: String,
    turn: Option<Turn>,
}

/// A TURN server that shares a secret with this one.
struct Turn {
    urls: String,
    secret: String,
    expires_ts: i64,
}

/// The setting `ice_servers`, and the caller's credential for the servers of `turn_urls`. The database keeps both valid
/// for an `RTCConfiguration` (WebRTC 1.0, section 4.2.1). They may hold passwords, so they need a session.
fn ice(request: &mut Request) -> HandlerResult {
    let (ice, name) = request.read(|snapshot, caller| {
        let ice = snapshot.row(&statements::ICE_SERVERS, [], |row| {
            let urls: Option<String> = row.get(1)?;
            let turn =
                urls.map(|urls| Ok::<_, rusqlite::Error>(Turn { urls, secret: row.get(2)?, expires_ts: row.get(3)? }));
            Ok(Ice { servers: row.get(0)?, turn: turn.transpose()? })
        })?;
        Ok((ice, caller.name.clone()))
    })?;
    let ice = ice.ok_or_else(|| Error::internal("there is no setting ice_servers"))?;
    let malformed = |_| Error::internal("a list of ICE servers is no JSON");
    let mut servers: Vec<Value> = serde_json::from_str(&ice.servers).map_err(malformed)?;
    let expires_ts = ice.turn.as_ref().map(|turn| turn.expires_ts);
    if let Some(turn) = ice.turn {
        let username = format!("{}:{name}", turn.expires_ts);
        let urls: Value = serde_json::from_str(&turn.urls).map_err(malformed)?;
        let credential = credential(&turn.secret, &username)?;
        servers.push(json!({ "urls": urls, "username": username, "credential": credential }));
    }
    Ok(warp::reply::json(&json!({ "ice_servers": servers, "expires_ts": expires_ts })))
}

/// The password of `username` at a TURN server with `secret`: their HMAC-SHA1 in base64, as coturn's `use-auth-secret`
/// wants it (draft-uberti-behave-turn-rest-00, section 2.2).
fn credential(secret: &str, username: &str) -> Result<String, Error> {
    let hmac = Hmac::<Sha1>::new_from_slice(secret.as_bytes());
    let mut hmac = hmac.map_err(|_| Error::internal("HMAC takes a key of any length"))?;
    hmac.update(username.as_bytes());
    Ok(STANDARD.encode_to_string(hmac.finalize().into_bytes()))
}
