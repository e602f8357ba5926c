//! WebRTC signals of calls and shares: offers, answers and ICE candidates (RFC 8829, RFC 8838).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use warp::reply::Response;

use super::authentication::Caller;
use super::body::{SIGNAL_BODY_MAX_BYTES, refuse_empty, trimmed};
use super::bounds::json_items;
use super::events::long_poll;
use super::idempotency::Answer;
use super::{App, HandlerResult, Request, json_list, require, require_granted};
use crate::database::{Snapshot, Write, text};
use crate::statements::{self, Statement};

/// The body of a signal.
#[derive(Deserialize)]
struct SignalBody {
    #[serde(deserialize_with = "trimmed")]
    to: String,
    #[serde(rename = "type")]
    signal_type: String,
    /// The server stores and delivers it exactly as it was written.
    payload: Box<RawValue>,
}

async fn send(request: &mut Request, id: String, statement: &'static Statement) -> HandlerResult<Response> {
    let caller = request.caller()?;
    let SignalBody { to, signal_type, payload } = request.json(SIGNAL_BODY_MAX_BYTES).await?;
    let to = refuse_empty("to", to)?;
    let parameters = [text(id), text(&caller), text(to), text(signal_type), text(payload.get())];
    request.action(&caller)?.then(statement, parameters).answer(&request.app, Answer::status("ok")).await
}

pub(super) async fn send_in_call(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    send(request, call_id, &statements::SEND_CALL_SIGNAL).await
}

pub(super) async fn send_in_share(share_id: String, request: &mut Request) -> HandlerResult<Response> {
    send(request, share_id, &statements::SEND_SHARE_SIGNAL).await
}

/// Answers a poll for the signals after `?after=`. `poll` selects the caller's access, whether there is a signal, and
/// whether the caller's presence is due to be recorded. With `proves_presence`, a waiting poll proves it, too.
async fn read(
    request: &mut Request,
    id: String,
    poll: &'static Statement,
    proves_presence: bool,
) -> HandlerResult<Response> {
    let after = request.after(0);
    let present_on = proves_presence.then_some(id.as_str());
    let has_signals = |app: &App, snapshot: &Snapshot, caller: &Caller| {
        let row = snapshot.row(poll, [&id, &caller.name, &after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let (access, has_signals, is_presence_due): (String, bool, bool) = row.unwrap_or_default();
        require_granted(app, &access)?;
        if is_presence_due {
            app.database.write_and_forget(Write::new(&statements::NOTE_PRESENCE, caller.presence_on(&id)));
        }
        Ok(has_signals.then_some(()))
    };
    if long_poll(request, present_on, has_signals, Option::is_some).await?.is_none() {
        return Ok(json_list(&[]));
    }
    // A list can be large. Most polls find nothing and return above.
    let app = Arc::clone(&request.app);
    let respond = move |snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        require(&app, snapshot, poll, [&id, name, &after])?;
        Ok(json_items(snapshot, &statements::SIGNALS_AFTER, [&id, name, &after])?)
    };
    request.large_response(respond).await
}

pub(super) async fn read_in_call(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    read(request, call_id, &statements::POLL_CALL_SIGNALS, false).await
}

pub(super) async fn read_in_share(share_id: String, request: &mut Request) -> HandlerResult<Response> {
    read(request, share_id, &statements::POLL_SHARE_SIGNALS, true).await
}
