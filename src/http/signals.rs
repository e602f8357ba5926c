//! Offers, answers and ICE candidates, in calls and in shares.

use rusqlite::Row;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::SIGNAL_BODY_MAX_BYTES;
use super::events::long_poll;
use super::request::{Caller, text};
use super::{Answer, App, Request, refuse, status};
use crate::database::{Snapshot, Write};
use crate::push::Presence;
use crate::statements::{self, Statement};

#[derive(Deserialize)]
struct Signal {
    to: String,
    #[serde(rename = "type")]
    signal_type: String,
    /// Stored and handed on as it was written: the server has no business in it.
    payload: Box<RawValue>,
}

async fn send(request: &mut Request, id: String, statement: &'static Statement) -> Answer {
    let caller = request.caller()?;
    let Signal { to, signal_type, payload } = request.json(SIGNAL_BODY_MAX_BYTES).await?;
    let parameters = [text(id), text(caller), text(to), text(signal_type), text(payload.get())];
    request.app.write(Write::new(statement, parameters)).await?;
    Ok(status("sent"))
}

pub(super) async fn send_in_call(call_id: String, request: &mut Request) -> Answer {
    send(request, call_id, &statements::SEND_CALL_SIGNAL).await
}

pub(super) async fn send_in_share(share_id: String, request: &mut Request) -> Answer {
    send(request, share_id, &statements::SEND_SHARE_SIGNAL).await
}

/// A signal as its recipient gets it. A payload that went through a `serde_json::Value` would lose what that cannot hold:
/// numbers with many digits, lone surrogates, and everything nested deeper than 128 levels.
#[derive(Clone, Serialize)]
struct Received {
    id: i64,
    from: String,
    #[serde(rename = "type")]
    signal_type: String,
    payload: Box<RawValue>,
    ts: f64,
}

async fn read(request: &mut Request, id: String, why_not: &'static Statement) -> Answer {
    let after = request.after(0)?;
    let read = |app: &App, snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        snapshot.remembered(why_not, [&id, name, &after.to_string()], || {
            refuse(app, snapshot, why_not, [&id, name])?;
            let signals = snapshot.rows(&statements::SIGNALS_AFTER, [&id, name, &after], received)?;
            // That there are none holds until somebody sends one. Those that there are, are read once.
            let holds = if signals.is_empty() { f64::INFINITY } else { 0.0 };
            Ok((signals, holds))
        })
    };
    let arrived = |signals: &Vec<Received>| !signals.is_empty();
    let signals = long_poll(request, Presence::Unproven, read, arrived).await?;
    Ok(warp::reply::json(&signals))
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

pub(super) async fn of_call(call_id: String, request: &mut Request) -> Answer {
    read(request, call_id, &statements::WHY_NOT_TAKE_PART).await
}

pub(super) async fn of_share(share_id: String, request: &mut Request) -> Answer {
    read(request, share_id, &statements::WHY_NOT_WATCH_SHARE).await
}
