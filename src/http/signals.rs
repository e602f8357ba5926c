//! WebRTC signals of calls and shares: offers, answers and ICE candidates (RFC 8829, RFC 8838).

use rusqlite::Row;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::SIGNAL_BODY_MAX_BYTES;
use super::events::long_poll;
use super::request::{Caller, text};
use super::{App, HandlerResult, Request, require, status};
use crate::database::{Snapshot, Write};
use crate::push::Presence;
use crate::statements::{self, Statement};

/// The body of a signal.
#[derive(Deserialize)]
struct SignalBody {
    to: String,
    #[serde(rename = "type")]
    signal_type: String,
    /// The server stores and delivers it exactly as it was written.
    payload: Box<RawValue>,
}

async fn send(request: &mut Request, id: String, statement: &'static Statement) -> HandlerResult {
    let caller = request.caller()?;
    let SignalBody { to, signal_type, payload } = request.json(SIGNAL_BODY_MAX_BYTES).await?;
    let parameters = [text(id), text(caller), text(to), text(signal_type), text(payload.get())];
    request.app.write(Write::new(statement, parameters)).await?;
    Ok(status("sent"))
}

pub(super) async fn send_in_call(call_id: String, request: &mut Request) -> HandlerResult {
    send(request, call_id, &statements::SEND_CALL_SIGNAL).await
}

pub(super) async fn send_in_share(share_id: String, request: &mut Request) -> HandlerResult {
    send(request, share_id, &statements::SEND_SHARE_SIGNAL).await
}

/// A signal as its recipient gets it.
#[derive(Clone, Serialize)]
struct ReceivedSignal {
    id: i64,
    from: String,
    #[serde(rename = "type")]
    signal_type: String,
    /// Raw, because `serde_json::Value` cannot hold numbers with many digits, lone surrogates, and more than 128
    /// levels.
    payload: Box<RawValue>,
    ts: f64,
}

async fn read(request: &mut Request, id: String, why_not: &'static Statement) -> HandlerResult {
    let after = request.after(0)?;
    let read = |app: &App, snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        snapshot.remembered(why_not, [&id, name, &after.to_string()], || {
            require(app, snapshot, why_not, [&id, name])?;
            let signals = snapshot.rows(&statements::SIGNALS_AFTER, [&id, name, &after], received)?;
            // An empty list holds until the next commit. Signals are read once.
            let holds = if signals.is_empty() { f64::INFINITY } else { 0.0 };
            Ok((signals, holds))
        })
    };
    let arrived = |signals: &Vec<ReceivedSignal>| !signals.is_empty();
    let signals = long_poll(request, Presence::Unproven, read, arrived).await?;
    Ok(warp::reply::json(&signals))
}

fn received(row: &Row<'_>) -> rusqlite::Result<ReceivedSignal> {
    Ok(ReceivedSignal {
        id: row.get(0)?,
        from: row.get(1)?,
        signal_type: row.get(2)?,
        // A CHECK keeps the payload JSON.
        payload: RawValue::from_string(row.get(3)?).unwrap_or_default(),
        ts: row.get(4)?,
    })
}

pub(super) async fn read_in_call(call_id: String, request: &mut Request) -> HandlerResult {
    read(request, call_id, &statements::WHY_NOT_TAKE_PART).await
}

pub(super) async fn read_in_share(share_id: String, request: &mut Request) -> HandlerResult {
    read(request, share_id, &statements::WHY_NOT_WATCH_SHARE).await
}
