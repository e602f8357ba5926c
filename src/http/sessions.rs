//! `POST /login`, `POST /logout`, `GET /healthz` and `GET /authority.crt`.

use cookie::{Cookie, SameSite};
use serde::Deserialize;
use serde_json::json;
use warp::http::StatusCode;
use warp::{Filter, Reply};

use super::body::JSON_MAX_BYTES;
use super::request::text;
use super::{Answer, App, Error, Request, Routes, one_of, route, status};
use crate::database::{Value, Write};
use crate::passwords;
use crate::statements;
use crate::tokens::{new_token, token_hash};

pub(super) fn routes(app: &App) -> Routes {
    one_of![
        route!(POST app, warp::path("login") => login),
        route!(POST app, warp::path("logout") => logout),
        route!(GET app, warp::path("healthz") => health),
        route!(GET app, warp::path("authority.crt") => authority),
    ]
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

fn wrong_credentials() -> Error {
    Error::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "The name or the password is wrong.")
}

/// Every attempt is noted before the password is looked at, so that many at once count as many; one that succeeds is
/// forgotten again.
async fn login(mut request: Request) -> Answer<impl Reply> {
    request.refuse_other_sites()?;
    let Credentials { username, password } = request.json(JSON_MAX_BYTES).await?;
    let address = request.client_address();

    let attempt = Write::new(&statements::NOTE_LOGIN_ATTEMPT, [text(&username), text(&address)])
        .on_refusal(&statements::LOGIN_RETRY_AFTER, [text(&username), text(&address)]);
    let noted = request.app.write(attempt).await.map_err(|error| match error.code() {
        // A name that nobody can have is as wrong as one that nobody has.
        "login_attempts_username_format" => wrong_credentials(),
        "too_many_logins_for_name" | "too_many_logins_from_address" => {
            let seconds = error.rows().one(&statements::LOGIN_RETRY_AFTER).ok().flatten();
            let seconds = seconds.map_or(1.0, |(seconds,): (f64,)| seconds).ceil();
            // The window is at most a day, and never negative when it refuses.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            error.retry_after(seconds as u64)
        }
        _ => error,
    })?;
    let (attempt,): (i64,) =
        noted.one(&statements::NOTE_LOGIN_ATTEMPT)?.ok_or_else(|| Error::internal("a login attempt has no id"))?;

    let hash: Option<String> = request
        .app
        .database
        .read(|snapshot| snapshot.row(&statements::PASSWORD_HASH, [&username], |row| row.get(0)))?;
    if !passwords::verify(password, hash.clone()).await {
        tracing::info!(%username, %address, "a login failed");
        return Err(wrong_credentials());
    }

    let token = new_token().map_err(|error| Error::internal(&error.to_string()))?;
    let token_hash = token_hash(&token);
    let session = Write::new(
        &statements::ADD_SESSION_AFTER_LOGIN,
        [text(&token_hash), text(&username), text(hash.unwrap_or_default())],
    )
    .then(&statements::FORGET_LOGIN_ATTEMPT, [Value::Integer(attempt)])
    .then(&statements::FIND_SESSION, [text(&token_hash)]);
    let written = request.app.write(session).await?;
    // Between the look at the password and now somebody may have changed it, or removed the user.
    let session = written.one::<(String, f64, f64)>(&statements::FIND_SESSION)?;
    let Some((_, expires_ts, created_ts)) = session else {
        return Err(wrong_credentials());
    };

    // A session lasts whole seconds, or nearly.
    #[allow(clippy::cast_possible_truncation)]
    let max_age = cookie::time::Duration::seconds((expires_ts - created_ts) as i64);
    let cookie = session_cookie(&request.app, &token, max_age);
    let reply = warp::reply::json(&json!({ "token": token, "username": username, "expires_ts": expires_ts }));
    Ok(warp::reply::with_header(reply, "set-cookie", cookie))
}

/// HttpOnly keeps scripts from reading it, SameSite other sites from sending it; behind TLS it never travels without.
fn session_cookie(app: &App, token: &str, max_age: cookie::time::Duration) -> String {
    Cookie::build(("session", token))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(app.behind_proxy || app.tls)
        .max_age(max_age)
        .to_string()
}

async fn logout(request: Request) -> Answer<impl Reply> {
    request.caller()?;
    let (token, _) = request.token().ok_or_else(Error::unauthorized)?;
    request.app.write(Write::new(&statements::END_SESSION, [text(token_hash(&token))])).await?;
    let cookie = session_cookie(&request.app, "", cookie::time::Duration::ZERO);
    Ok(warp::reply::with_header(status("logged_out"), "set-cookie", cookie))
}

async fn health(request: Request) -> Answer {
    request.app.database.read(|snapshot| snapshot.row(&statements::HEALTH, [], |_| Ok(())))?;
    Ok(status("ok"))
}

/// The certificate of the server's own authority, for people to trust once. It is no secret.
async fn authority(request: Request) -> Answer<impl Reply> {
    let pem = request.app.authority.as_deref().ok_or_else(Error::not_found)?.to_owned();
    let reply = warp::reply::with_header(pem, "content-type", "application/x-x509-ca-cert");
    Ok(warp::reply::with_header(reply, "content-disposition", "attachment; filename=\"minimost-calls.crt\""))
}
