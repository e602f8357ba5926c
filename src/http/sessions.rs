//! `POST /login`, `POST /logout`, `/sessions`, `POST /password`, `POST /quiet` and `GET /ca.crt`.

use std::time::Duration;

use cookie::{Cookie, SameSite};
use rusqlite::ToSql;
use serde::Deserialize;
use serde_json::json;
use warp::http::StatusCode;
use warp::{Filter, Reply};

use super::addresses::network_of;
use super::authentication::{Caller, session_cookie_name};
use super::body::{JSON_MAX_BYTES, trimmed};
use super::bounds::json_items;
use super::{App, Error, HandlerResult, Request, Routes, UNAVAILABLE, any_of, route, status};
use crate::database::{Snapshot, Value, Write, text};
use crate::passwords::{PASSWORD_LENGTH, Place, is_outdated, is_unusable};
use crate::statements;
use crate::tokens::{new_token, page_token, token_hash};

pub(super) fn routes(app: &App) -> Routes {
    any_of![
        route!(POST app, warp::path("login") => login().await),
        route!(POST app, warp::path("logout") => logout().await),
        route!(GET app, warp::path("sessions") => own_sessions().await),
        route!(DELETE app, warp::path("sessions").and(warp::path::param::<String>()) => revoke_session(id).await),
        route!(POST app, warp::path("password") => change_password().await),
        route!(POST app, warp::path("quiet") => set_quiet().await),
        route!(GET app, warp::path("ca.crt").or(warp::path("authority.crt")).unify() => ca_certificate()),
    ]
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(deserialize_with = "trimmed")]
    username: String,
    password: String,
}

fn wrong_credentials() -> Error {
    Error::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "Wrong username or password.")
}

/// Records the attempt as failed before it verifies the password, so that concurrent attempts count. A success deletes
/// the failures of the name and address.
async fn login(request: &mut Request) -> HandlerResult<impl Reply> {
    request.is_of_this_site()?;
    let Credentials { username, password } = request.json(JSON_MAX_BYTES).await?;
    let address = network_of(&request.client_address());

    let place = request.enter_hashers()?;
    let user: Option<(String, String)> = request
        .app
        .database
        .read(|snapshot| snapshot.row(&statements::PASSWORD_HASH, [&username], |row| Ok((row.get(0)?, row.get(1)?))))?;
    // From here on, the name has its registered spelling.
    let (hash, username) = user.map_or((None, username), |(hash, registered)| (Some(hash), registered));
    // People type passwords as names. What is no name is neither stored nor logged. Spellings in any case count as one,
    // registered or not.
    let unknown = || format!("?{}", &token_hash(&username.to_ascii_lowercase())[..4]);
    let known = if hash.is_some() { username.clone() } else { unknown() };
    attempt(request, &known, &address).await?;
    let is_user = hash.is_some();
    let hash = hash.unwrap_or_default();
    if !place.verify(password.clone(), is_user.then(|| hash.clone())).await {
        let username = if is_user { username.as_str() } else { "unknown name" };
        if is_unusable(&hash) {
            tracing::warn!(%username, %address, "login failed: the imported hash has a method or cost that is not verified");
        } else {
            tracing::info!(%username, %address, "login failed");
        }
        return Err(wrong_credentials());
    }
    let (replacement, hash) = replace_outdated(request, &username, &address, password, hash).await;

    let reply = begin_session(request, replacement, &username, (&known, &address), &hash).await?;
    tracing::info!(%username, %address, "logged in");
    Ok(reply)
}

/// Records a login of `known`, a name that may be stored, which counts as failed until it succeeds.
///
/// # Errors
/// 429 after too many.
async fn attempt(request: &Request, known: &str, address: &str) -> Result<(), Error> {
    let attempt = Write::new(&statements::ATTEMPT_LOGIN, [text(known), text(address)])
        .on_refusal(&statements::LOGIN_RETRY_AFTER, [text(known), text(address)]);
    request.app.write(attempt).await.map(drop).map_err(|error| match error.code() {
        "too_many_logins_for_name" | "too_many_logins_from_address" => {
            let seconds = error.rows().one(&statements::LOGIN_RETRY_AFTER).ok().flatten();
            let seconds = seconds.map_or(1.0, |(seconds,): (f64,)| seconds).ceil();
            error.retry_after(Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs())
        }
        _ => error,
    })
}

/// Begins a session if the user still has the password hash `hash`, after `write` in one transaction with it: a changed hash
/// ends the sessions before. Forgets the failed logins of `known` from `address`. The response has the token and the cookie.
///
/// # Errors
/// 401 if the password or the user has changed while the password was verified.
async fn begin_session(
    request: &Request,
    write: Write,
    username: &str,
    (known, address): (&str, &str),
    hash: &str,
) -> HandlerResult<impl Reply + use<>> {
    let token = new_token().map_err(|error| Error::internal(&error.to_string()))?;
    let (token_hash, page_token_hash) = (token_hash(&token), token_hash(&page_token(&token)));
    let session = [text(&token_hash), text(username), text(hash), text(page_token_hash)];
    let write = write
        .then(&statements::ADD_SESSION_AFTER_LOGIN, session)
        .then(&statements::FORGET_FAILED_LOGINS, [text(known), text(address), text(&token_hash)])
        .then(&statements::FIND_SESSION, [text(&token_hash)]);
    let written = request.app.write(write).await?;
    let session = written.one::<(String, f64, f64)>(&statements::FIND_SESSION)?;
    let (_, expires_ts, created_ts) = session.ok_or_else(wrong_credentials)?;

    let max_age = cookie::time::Duration::saturating_seconds_f64(expires_ts - created_ts);
    let cookie = session_cookie(&request.app, &token, max_age)?;
    let reply = warp::reply::json(&json!({ "token": token, "username": username, "expires_ts": expires_ts }));
    Ok(warp::reply::with_header(reply, "set-cookie", cookie))
}

/// A write that replaces `hash` if it is of the original MiniMost, and the hash after it. If the threads are busy, a later
/// login replaces it.
async fn replace_outdated(
    request: &Request,
    username: &str,
    address: &str,
    password: String,
    hash: String,
) -> (Write, String) {
    if is_outdated(&hash)
        && let Some(place) = request.app.hashers.enter(address)
        && let Some(new) = place.replace(password, &hash).await
    {
        let parameters = [text(username), text(hash), text(&new)];
        return (Write::new(&statements::REPLACE_PASSWORD_HASH, parameters), new);
    }
    (Write::default(), hash)
}

#[derive(Deserialize)]
struct PasswordBody {
    old: String,
    new: String,
}

/// Guesses of the old password count as failed logins: a stolen session must not lead to the password. All sessions end,
/// and the response is that of a login.
async fn change_password(request: &mut Request) -> HandlerResult<impl Reply> {
    let caller = request.caller()?;
    let PasswordBody { old, new } = request.json(JSON_MAX_BYTES).await?;
    let address = network_of(&request.client_address());
    check_password_length(&new)?;
    let place = request.enter_hashers()?;
    let hash: Option<String> =
        request.app.database.read(|snapshot| snapshot.row(&statements::PASSWORD_HASH, [&caller], |row| row.get(0)))?;
    attempt(request, &caller, &address).await?;
    if !place.verify(old, hash.clone()).await {
        tracing::info!(username = %caller, %address, "wrong password for a change");
        return Err(Error::new(StatusCode::FORBIDDEN, "wrong_password", "The old password is wrong."));
    }
    let new_hash = request.hash_password(new).await?;
    let parameters = [text(&caller), text(hash.unwrap_or_default()), text(&new_hash)];
    let change = Write::new(&statements::CHANGE_OWN_PASSWORD, parameters);
    let reply = begin_session(request, change, &caller, (&caller, &address), &new_hash).await?;
    tracing::info!(username = %caller, %address, "changed the password");
    Ok(reply)
}

/// Refuses a new password of a wrong length.
fn check_password_length(password: &str) -> Result<(), Error> {
    if PASSWORD_LENGTH.contains(&password.chars().count()) {
        return Ok(());
    }
    let (least, most) = (PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end());
    Err(Error::bad_request("password_length", format!("A password has {least} to {most} characters.")))
}

impl Request {
    /// A place in the queue for the threads that hash.
    ///
    /// # Errors
    /// 503 if the queue is full.
    fn enter_hashers(&self) -> Result<Place, Error> {
        self.app.hashers.enter(&network_of(&self.client_address())).ok_or_else(|| {
            Error::new(UNAVAILABLE, "logins_busy", "Too many logins at the same time. Try again.").retry_after(1)
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// 400 if its length is wrong, 503 if too many are hashed at a time.
    pub(super) async fn hash_password(&self, password: String) -> Result<String, Error> {
        check_password_length(&password)?;
        let hash = self.enter_hashers()?.hash(password).await;
        hash.ok_or_else(|| Error::internal("a password could not be hashed"))
    }
}

/// The caller's sessions, with ids by which they can be ended.
async fn own_sessions(request: &mut Request) -> HandlerResult<impl Reply> {
    let select = |snapshot: &Snapshot, Caller { name, token_hash }: &Caller| {
        Ok(json_items(snapshot, &statements::OWN_SESSIONS, [name as &dyn ToSql, token_hash])?)
    };
    request.large_response(select).await
}

async fn revoke_session(id: String, request: &mut Request) -> HandlerResult {
    let caller = request.caller()?;
    request.app.write(Write::new(&statements::REVOKE_OWN_SESSION, [text(id), text(caller)])).await?;
    Ok(status("revoked"))
}

/// The body `{"seconds": SECONDS}`.
#[derive(Deserialize)]
struct QuietBody {
    /// 0 ends it.
    seconds: f64,
}

/// Do not disturb: no call rings for the caller for some time.
async fn set_quiet(request: &mut Request) -> HandlerResult {
    let caller = request.caller()?;
    let QuietBody { seconds } = request.json(JSON_MAX_BYTES).await?;
    let write = Write::new(&statements::SET_QUIET, [text(&caller), Value::Real(seconds)])
        .then(&statements::QUIET_UNTIL, [text(caller)]);
    let until = request.app.write(write).await?.one::<(f64,)>(&statements::QUIET_UNTIL)?.map(|(ts,)| ts);
    Ok(warp::reply::json(&json!({ "status": "set", "quiet_until": until })))
}

/// The session cookie. Scripts cannot read it (`HttpOnly`), other sites cannot send it (`SameSite`), and with TLS it is
/// never sent without (`Secure`).
fn session_cookie(app: &App, token: &str, max_age: cookie::time::Duration) -> Result<String, Error> {
    let cookie = Cookie::build((app.database.read(session_cookie_name)?, token))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(app.behind_proxy || app.tls)
        .max_age(max_age)
        .to_string();
    Ok(cookie)
}

async fn logout(request: &mut Request) -> HandlerResult<impl Reply> {
    let token_hash = request.read(|_, caller| Ok(caller.token_hash.clone()))?;
    request.app.write(Write::new(&statements::END_SESSION, [text(token_hash)])).await?;
    let cookie = session_cookie(&request.app, "", cookie::time::Duration::ZERO)?;
    Ok(warp::reply::with_header(status("logged_out"), "set-cookie", cookie))
}

/// The certificate of the server's own CA, for people to trust. It is public. `/authority.crt` is its older path.
fn ca_certificate(request: &mut Request) -> HandlerResult<impl Reply> {
    let pem = request.app.ca.as_deref().ok_or_else(Error::not_found)?.to_owned();
    let reply = warp::reply::with_header(pem, "content-type", "application/x-x509-ca-cert");
    Ok(warp::reply::with_header(reply, "content-disposition", "attachment; filename=\"minimost-calls.crt\""))
}
