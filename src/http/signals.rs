//! Offers, answers and ICE candidates, in calls and in shares.

use std::sync::Arc;

use rusqlite::Row;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::SIGNAL_BODY_MAX_BYTES;
use super::events::look_until;
use super::request::{Caller, text};
use super::{Answer, App, Error, Request, refuse, status};
use crate::database::{Snapshot, Write};
use crate::push::Purpose;
use crate::statements::{self, Statement};

#[derive(Deserialize)]
struct Signal {
    to: String,
    #[serde(rename = "type")]
    signal_type: String,
    /// Stored and handed on as it was written: the server has no business in it.
    payload: Box<RawValue>,
}

async fn send(mut request: Request, id: String, statement: &'static Statement) -> Answer {
    let caller = request.caller()?;
    let Signal { to, signal_type, payload } = request.json(SIGNAL_BODY_MAX_BYTES).await?;
    let parameters = [text(id), text(caller), text(to), text(signal_type), text(payload.get())];
    request.app.write(Write::new(statement, parameters)).await?;
    Ok(status("sent"))
}

pub(super) async fn send_in_call(call_id: String, request: Request) -> Answer {
    send(request, call_id, &statements::SEND_CALL_SIGNAL).await
}

pub(super) async fn send_in_share(share_id: String, request: Request) -> Answer {
    send(request, share_id, &statements::SEND_SHARE_SIGNAL).await
}

/// A signal as its recipient gets it. A payload that went through a `serde_json::Value` would lose what that cannot hold:
/// numbers with many digits, lone surrogates, and everything nested deeper than 128 levels.
#[derive(Serialize)]
struct Received {
    id: i64,
    from: String,
    #[serde(rename = "type")]
    signal_type: String,
    payload: Box<RawValue>,
    ts: f64,
}

async fn read(request: Request, id: String, why_not: &'static Statement) -> Answer {
    let after = request.after(0)?;
    let app = Arc::clone(&request.app);
    let look = |app: &App, snapshot: &Snapshot, caller: &Caller| {
        refuse(app, snapshot, why_not, [&id, &caller.name])?;
        let has_signals =
            snapshot.row(&statements::HAS_SIGNALS_AFTER, [&id, &caller.name, &after], |row| row.get(0))?;
        Ok((has_signals == Some(true)).then(|| caller.name.clone()))
    };
    let Some(name) = look_until(request, Purpose::Other, look, Option::is_some).await? else {
        return Ok(warp::reply::json(&[(); 0]));
    };
    // A poll that finds nothing is answered above. A list can be large.
    let database = app.database.clone();
    let read = database.read_on_pool(move |snapshot| {
        refuse(&app, snapshot, why_not, [&id, &name])?;
        let signals = snapshot.rows(&statements::SIGNALS_AFTER, [&id, &name, &after], received)?;
        Ok::<_, Error>(warp::reply::json(&signals))
    });
    read.await
}

fn received(row: &Row<'_>) -> rusqlite::Result<Received> {
    Ok(Received {
        id: row.get(0)?,
        from: row.get(1)?,
        signal_type: row.get(2)?,
        // What is stored is JSON: a CHECK says so.
        payload: RawValue::from_string(row.get(3)?).unwrap_or_default(),
        ts: row.get(4)?,
    })
}

pub(super) async fn of_call(call_id: String, request: Request) -> Answer {
    read(request, call_id, &statements::WHY_NOT_TAKE_PART).await
}

pub(super) async fn of_share(share_id: String, request: Request) -> Answer {
    read(request, share_id, &statements::WHY_NOT_WATCH_SHARE).await
}
