//! `/admin`: people, sessions, channels, calls, history, settings, service tokens and host applications, for admins and
//! their scripts.
//!
//! Every change runs the check of the caller in its transaction, and is recorded in `command_log`.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rusqlite::ToSql;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use warp::{Filter, Reply};

use super::authentication::Caller;
use super::body::{JSON_MAX_BYTES, trimmed};
use super::bounds::json_items;
use super::history::before_cursor;
use super::{App, Error, HandlerResult, Request, Routes, any_of, json_text, route, status};
use crate::database::{Snapshot, Value, Write, WriteResult, text};
use crate::issuers::check_key;
use crate::statements::{self, Statement};
use crate::subjects;
use crate::webhooks::new_secret;

pub(super) fn routes(app: &App) -> Routes {
    let admin = |what| warp::path("admin").and(warp::path(what));
    let one = |what| admin(what).and(warp::path::param::<String>());
    let part = |what, of| one(what).and(warp::path(of));
    any_of![
        route!(GET app, admin("people") => people().await),
        route!(POST app, admin("people") => add_person().await),
        route!(DELETE app, one("people") => remove_person(name).await),
        route!(POST app, part("people", "password") => set_password(name).await),
        route!(POST app, part("people", "display_name") => set_display_name(name).await),
        route!(POST app, part("people", "role") => set_role(name).await),
        route!(GET app, admin("sessions") => sessions().await),
        route!(DELETE app, one("sessions") => revoke_session(id).await),
        route!(GET app, admin("channels") => channels().await),
        route!(POST app, admin("channels") => add_channel().await),
        route!(DELETE app, one("channels") => remove_channel(channel).await),
        route!(POST app, part("channels", "title") => rename_channel(channel).await),
        route!(POST app, part("channels", "join") => join_channel(channel).await),
        route!(POST app, part("channels", "leave") => leave_channel(channel).await),
        route!(GET app, admin("calls") => calls().await),
        route!(GET app, one("calls") => call(id)),
        route!(POST app, part("calls", "end") => end_call(id).await),
        route!(GET app, admin("history") => history().await),
        route!(GET app, admin("settings") => settings().await),
        route!(POST app, one("settings") => set_setting(name).await),
        route!(POST app, part("settings", "reset") => reset_setting(name).await),
        route!(GET app, admin("tokens") => tokens().await),
        route!(DELETE app, one("tokens") => revoke_token(name).await),
        route!(GET app, admin("issuers") => issuers().await),
        route!(POST app, admin("issuers") => add_issuer().await),
        route!(DELETE app, one("issuers") => remove_issuer(name).await),
        route!(POST app, part("issuers", "key") => set_issuer_key(name).await),
        route!(GET app, admin("webhooks") => webhooks().await),
        route!(POST app, admin("webhooks") => add_webhook().await),
        route!(DELETE app, one("webhooks") => remove_webhook(name).await),
        route!(GET app, part("webhooks", "failures") => webhook_failures(name).await),
        route!(POST app, part("webhooks", "retry") => retry_webhook(name).await),
        route!(GET app, admin("violations") => violations().await),
    ]
}

/// A name or an id in a path. Clients may encode `:` and `@`.
fn decoded(segment: String) -> String {
    let decoded = percent_decode_str(&segment).decode_utf8().map(Cow::into_owned);
    decoded.unwrap_or(segment)
}

/// A change that an admin makes.
struct Change {
    action: &'static Statement,
    /// For the log, such as `added user`.
    what: &'static str,
    /// Whom, or which channel, call or setting.
    subject: String,
}

impl Change {
    fn new(action: &'static Statement, what: &'static str, subject: impl Into<String>) -> Self {
        Self { action, what, subject: subject.into() }
    }

    /// Carries the change out if `admin` may still administer, and records it. `complete` may add statements.
    async fn run<const N: usize>(
        self,
        request: &Request,
        admin: &Caller,
        parameters: [Value; N],
        complete: impl FnOnce(Write) -> Write,
    ) -> Result<WriteResult, Error> {
        let write = Write::new(&statements::CHECK_ADMIN, [text(&admin.token_hash)]).then(self.action, parameters);
        let entry = [text(self.what), text(self.subject), text(&admin.name)];
        request.app.write(complete(write).then(&statements::LOG_CHANGE, entry)).await
    }

    /// [`Change::run`] for a change of one statement. The response has the status `done`.
    async fn respond<const N: usize>(
        self,
        request: &Request,
        admin: &Caller,
        parameters: [Value; N],
        done: &str,
    ) -> HandlerResult {
        self.run(request, admin, parameters, |write| write).await?;
        Ok(status(done))
    }
}

/// A page of the list that `statement` selects, with the parameters `?after=` and `?limit=`.
async fn page(request: &Request, statement: &'static Statement) -> HandlerResult<impl Reply> {
    let admin = request.admin()?;
    let after = request.query("after").unwrap_or_default().to_owned();
    let limit = request.limit()?;
    let select = move |snapshot: &_, _: &_| Ok(json_items(snapshot, statement, [&after as &dyn ToSql, &limit])?);
    request.large_response_for(admin, select).await
}

// People and their sessions

async fn people(request: &mut Request) -> HandlerResult<impl Reply> {
    page(request, &statements::USERS).await
}

#[derive(Deserialize)]
struct NewPerson {
    #[serde(deserialize_with = "trimmed")]
    username: String,
    password: String,
    display_name: Option<String>,
    role: Option<String>,
}

async fn add_person(request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let NewPerson { username, password, display_name, role } = request.json(JSON_MAX_BYTES).await?;
    let hash = request.hash_password(password).await?;
    let complete = |mut write: Write| {
        if let Some(display_name) = display_name {
            write = write.then(&statements::SET_DISPLAY_NAME, [text(&username), text(display_name.trim())]);
        }
        match role {
            Some(role) => write.then(&statements::SET_ROLE, [text(&username), text(role.trim())]),
            None => write,
        }
    };
    let change = Change::new(&statements::ADD_USER, "added user", &username);
    change.run(request, &admin, [text(&username), text(hash)], complete).await?;
    Ok(status("added"))
}

async fn remove_person(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let name = decoded(name);
    let change = Change::new(&statements::REMOVE_USER, "removed user", &name);
    change.respond(request, &admin, [text(name)], "removed").await
}

#[derive(Deserialize)]
struct PasswordBody {
    password: String,
}

async fn set_password(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let PasswordBody { password } = request.json(JSON_MAX_BYTES).await?;
    let hash = request.hash_password(password).await?;
    let name = decoded(name);
    let change = Change::new(&statements::SET_PASSWORD, "changed password of user", &name);
    change.respond(request, &admin, [text(name), text(hash)], "changed").await
}

#[derive(Deserialize)]
struct DisplayNameBody {
    #[serde(deserialize_with = "trimmed")]
    display_name: String,
}

async fn set_display_name(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let DisplayNameBody { display_name } = request.json(JSON_MAX_BYTES).await?;
    let name = decoded(name);
    let change = Change::new(&statements::SET_DISPLAY_NAME, "changed display name of user", &name);
    change.respond(request, &admin, [text(name), text(display_name)], "changed").await
}

#[derive(Deserialize)]
struct RoleBody {
    #[serde(deserialize_with = "trimmed")]
    role: String,
}

async fn set_role(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let RoleBody { role } = request.json(JSON_MAX_BYTES).await?;
    let name = decoded(name);
    let change = Change::new(&statements::SET_ROLE, "changed role of user", format!("{name}, {role}"));
    change.respond(request, &admin, [text(name), text(role)], "changed").await
}

async fn sessions(request: &mut Request) -> HandlerResult<impl Reply> {
    let admin = request.admin()?;
    let after = request.query("after").unwrap_or_default().to_owned();
    let username = request.query("username").map(str::to_owned);
    let limit = request.limit()?;
    let app = Arc::clone(&request.app);
    let select = move |snapshot: &Snapshot, _: &_| {
        if let Some(username) = &username
            && snapshot.row(&statements::IS_USER, [username], |row| row.get(0))? != Some(true)
        {
            return Err(Error::refused(&app, "user_not_found"));
        }
        let parameters: [&dyn ToSql; 3] = [&after, &username, &limit];
        Ok(json_items(snapshot, &statements::SESSIONS, parameters)?)
    };
    request.large_response_for(admin, select).await
}

async fn revoke_session(id: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let id = decoded(id);
    let subject = subjects::session(&request.app.database, &id)?;
    let change = Change::new(&statements::REVOKE_SESSION, "revoked session", subject);
    change.respond(request, &admin, [text(id)], "revoked").await
}

// Channels

async fn channels(request: &mut Request) -> HandlerResult<impl Reply> {
    page(request, &statements::PRIVATE_CHANNELS).await
}

#[derive(Deserialize)]
struct NewChannel {
    #[serde(deserialize_with = "trimmed")]
    title: String,
    members: Vec<String>,
}

async fn add_channel(request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let NewChannel { title, members } = request.json(JSON_MAX_BYTES).await?;
    let members: Vec<&str> = members.iter().map(|name| name.trim()).collect();
    let change = Change::new(&statements::ADD_CHANNEL, "added channel", format!("{title} with {}", members.join(", ")));
    let parameters = [text(&title), text(json!(members).to_string())];
    let complete = |write: Write| write.then(&statements::NEWEST_CHANNEL, []);
    let added = change.run(request, &admin, parameters, complete).await?;
    let channel = added.one::<(String,)>(&statements::NEWEST_CHANNEL)?.map(|(channel,)| channel);
    Ok(warp::reply::json(&json!({ "status": "added", "channel": channel })))
}

async fn remove_channel(channel: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let channel = decoded(channel);
    let change = Change::new(
        &statements::REMOVE_CHANNEL,
        "removed channel",
        subjects::channel(&request.app.database, &channel)?,
    );
    change.respond(request, &admin, [text(channel)], "removed").await
}

#[derive(Deserialize)]
struct TitleBody {
    #[serde(deserialize_with = "trimmed")]
    title: String,
}

async fn rename_channel(channel: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let TitleBody { title } = request.json(JSON_MAX_BYTES).await?;
    let channel = decoded(channel);
    let subject = format!("{}, {title}", subjects::channel(&request.app.database, &channel)?);
    let change = Change::new(&statements::RENAME_CHANNEL, "renamed channel", subject);
    change.respond(request, &admin, [text(channel), text(title)], "changed").await
}

#[derive(Deserialize)]
struct MemberBody {
    #[serde(deserialize_with = "trimmed")]
    username: String,
}

async fn join_channel(channel: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let MemberBody { username } = request.json(JSON_MAX_BYTES).await?;
    let channel = decoded(channel);
    let subject = format!("{}, {username}", subjects::channel(&request.app.database, &channel)?);
    let change = Change::new(&statements::JOIN_CHANNEL, "added member", subject);
    change.respond(request, &admin, [text(channel), text(username)], "joined").await
}

async fn leave_channel(channel: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let MemberBody { username } = request.json(JSON_MAX_BYTES).await?;
    let channel = decoded(channel);
    let subject = format!("{}, {username}", subjects::channel(&request.app.database, &channel)?);
    let change = Change::new(&statements::LEAVE_CHANNEL, "removed member", subject);
    change.respond(request, &admin, [text(channel), text(username)], "left").await
}

// Calls

async fn calls(request: &mut Request) -> HandlerResult<impl Reply> {
    page(request, &statements::LIVE_CALLS).await
}

fn call(id: String, request: &mut Request) -> HandlerResult<impl Reply> {
    request.admin()?;
    let id = decoded(id);
    let state: Option<String> =
        request.app.database.read(|snapshot| snapshot.row(&statements::CALL_STATE, [&id], |row| row.get(0)))?;
    state.map(json_text).ok_or_else(|| Error::refused(&request.app, "call_not_found"))
}

async fn end_call(id: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let id = decoded(id);
    let subject = subjects::call(&request.app.database, &id)?;
    let change = Change::new(&statements::END_CALL_AS_ADMIN, "ended call", subject);
    change.respond(request, &admin, [text(id)], "ended").await
}

async fn history(request: &mut Request) -> HandlerResult<impl Reply> {
    let admin = request.admin()?;
    let limit = request.limit()?;
    let [channel, username, outcome, before] =
        ["channel", "username", "outcome", "before"].map(|name| request.query(name).map(str::to_owned));
    let select = move |snapshot: &Snapshot, _: &_| {
        let ended_ts = |before: &str| snapshot.row(&statements::CALL_ENDED_TS, [&before], |row| row.get(0));
        let (before_ts, before_id) = before_cursor(before.as_deref(), ended_ts)?;
        let parameters: [&dyn ToSql; 6] = [&channel, &username, &before_ts, &before_id, &limit, &outcome];
        Ok(json_items(snapshot, &statements::ADMIN_HISTORY, parameters)?)
    };
    request.large_response_for(admin, select).await
}

// Settings, service tokens, and a check

async fn settings(request: &mut Request) -> HandlerResult<impl Reply> {
    page(request, &statements::SETTINGS).await
}

#[derive(Deserialize)]
struct SettingBody {
    value: Json,
}

/// The value of a setting. Lists and objects are stored as their text.
///
/// # Errors
/// 400 for true, false and null.
fn setting_value(value: Json) -> Result<Value, Error> {
    match value {
        Json::String(value) => Ok(text(value)),
        Json::Number(number) => {
            Ok(number.as_i64().map_or_else(|| Value::Real(number.as_f64().unwrap_or(f64::INFINITY)), Value::Integer))
        }
        Json::Array(_) | Json::Object(_) => Ok(text(value.to_string())),
        Json::Bool(_) | Json::Null => {
            Err(Error::bad_request("bad_body", "Invalid request body: value is a number, a text or JSON."))
        }
    }
}

async fn set_setting(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let SettingBody { value } = request.json(JSON_MAX_BYTES).await?;
    let name = decoded(name);
    // The value may be a credential of a TURN server.
    let change = Change::new(&statements::SET_SETTING, "changed setting", &name);
    change.respond(request, &admin, [text(name), setting_value(value)?], "changed").await
}

async fn reset_setting(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let name = decoded(name);
    let change = Change::new(&statements::RESET_SETTING, "reset setting", &name);
    change.respond(request, &admin, [text(name)], "reset").await
}

async fn tokens(request: &mut Request) -> HandlerResult<impl Reply> {
    page(request, &statements::SERVICE_TOKENS).await
}

async fn revoke_token(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let name = decoded(name);
    let change = Change::new(&statements::REVOKE_SERVICE_TOKEN, "revoked service token", &name);
    change.respond(request, &admin, [text(name)], "revoked").await
}

// Host applications

async fn issuers(request: &mut Request) -> HandlerResult<impl Reply> {
    page(request, &statements::ISSUERS).await
}

#[derive(Deserialize)]
struct NewIssuer {
    #[serde(deserialize_with = "trimmed")]
    name: String,
    #[serde(deserialize_with = "trimmed")]
    algorithm: String,
    key: String,
    audience: Option<String>,
    clock_skew: Option<f64>,
}

/// A key may be longer than other bodies are.
const ISSUER_BODY_MAX_BYTES: usize = 128 * 1024;

/// Refuses a key with which no signature of `algorithm` can be verified.
fn check_issuer_key(algorithm: &str, key: &str) -> Result<(), Error> {
    check_key(algorithm, key)
        .map_err(|error| Error::bad_request("issuer_key_unusable", format!("Unusable key: {error}.")))
}

async fn add_issuer(request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let NewIssuer { name, algorithm, key, audience, clock_skew } = request.json(ISSUER_BODY_MAX_BYTES).await?;
    check_issuer_key(&algorithm, &key)?;
    let change = Change::new(&statements::ADD_ISSUER, "added issuer", &name);
    let audience = audience.map_or(Value::Null, Value::Text);
    let parameters = [text(name), text(algorithm), text(key), audience, clock_skew.map_or(Value::Null, Value::Real)];
    change.respond(request, &admin, parameters, "added").await
}

#[derive(Deserialize)]
struct KeyBody {
    key: String,
}

async fn set_issuer_key(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let KeyBody { key } = request.json(ISSUER_BODY_MAX_BYTES).await?;
    let name = decoded(name);
    let algorithm: Option<String> =
        request.app.database.read(|snapshot| snapshot.row(&statements::ISSUER, [&name], |row| row.get(0)))?;
    let algorithm = algorithm.ok_or_else(|| Error::refused(&request.app, "issuer_not_found"))?;
    check_issuer_key(&algorithm, &key)?;
    let change = Change::new(&statements::SET_ISSUER_KEY, "changed key of issuer", &name);
    change.respond(request, &admin, [text(name), text(key)], "changed").await
}

async fn remove_issuer(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let name = decoded(name);
    let change = Change::new(&statements::REMOVE_ISSUER, "removed issuer", &name);
    change.respond(request, &admin, [text(name)], "removed").await
}

// Webhooks

async fn webhooks(request: &mut Request) -> HandlerResult<impl Reply> {
    page(request, &statements::WEBHOOKS).await
}

#[derive(Deserialize)]
struct NewWebhook {
    #[serde(deserialize_with = "trimmed")]
    name: String,
    #[serde(deserialize_with = "trimmed")]
    url: String,
    kinds: Option<Vec<String>>,
    #[serde(default)]
    allow_private: bool,
    secret: Option<String>,
}

/// The response has the secret, which no other one has.
async fn add_webhook(request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let NewWebhook { name, url, kinds, allow_private, secret } = request.json(JSON_MAX_BYTES).await?;
    let secret = match secret {
        Some(secret) => secret.trim().to_owned(),
        None => new_secret().map_err(|error| Error::internal(&error.to_string()))?,
    };
    let kinds = kinds.map_or(Value::Null, |kinds| text(json!(kinds).to_string()));
    let parameters = [text(&name), text(url), text(&secret), kinds, Value::Integer(allow_private.into())];
    let change = Change::new(&statements::ADD_WEBHOOK, "added webhook", name);
    change.run(request, &admin, parameters, |write| write).await?;
    Ok(warp::reply::json(&json!({ "status": "added", "secret": secret })))
}

async fn remove_webhook(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let name = decoded(name);
    let change = Change::new(&statements::REMOVE_WEBHOOK, "removed webhook", &name);
    change.respond(request, &admin, [text(name)], "removed").await
}

async fn webhook_failures(name: String, request: &mut Request) -> HandlerResult<impl Reply> {
    let admin = request.admin()?;
    let name = decoded(name);
    let after = request.query("after").unwrap_or_default().to_owned();
    let limit = request.limit()?;
    let app = Arc::clone(&request.app);
    let select = move |snapshot: &Snapshot, _: &_| {
        if snapshot.row(&statements::IS_WEBHOOK, [&name], |row| row.get(0))? != Some(true) {
            return Err(Error::refused(&app, "webhook_not_found"));
        }
        let parameters: [&dyn ToSql; 3] = [&name, &after, &limit];
        Ok(json_items(snapshot, &statements::WEBHOOK_FAILURES, parameters)?)
    };
    request.large_response_for(admin, select).await
}

async fn retry_webhook(name: String, request: &mut Request) -> HandlerResult {
    let admin = request.admin()?;
    let name = decoded(name);
    let change = Change::new(&statements::RETRY_WEBHOOK, "retried webhook", &name);
    change.respond(request, &admin, [text(name)], "retried").await
}

/// What is wrong with the data. It reads whole tables.
async fn violations(request: &mut Request) -> HandlerResult<impl Reply> {
    let admin = request.admin()?;
    let select = |snapshot: &_, _: &_| Ok(json_items(snapshot, &statements::VIOLATION_ITEMS, [])?);
    request.large_response_for(admin, select).await
}
