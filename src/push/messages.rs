//! From events to what a client is told.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Row;
use serde_json::Value as Json;

use crate::database::{ReadError, Snapshot};
use crate::statements;

/// A client that was away for more events than this gets a fresh picture instead.
const RESUME_MAX: usize = 2_000;

/// One server-sent event.
#[derive(Debug)]
pub struct Message {
    /// The number of the event in the log.
    pub id: i64,
    /// `snapshot`, `incoming`, `call`, `signal` or `share`.
    pub name: &'static str,
    /// What it says, as JSON.
    pub data: String,
}

/// A row of the log.
pub(super) struct Event {
    pub(super) id: i64,
    pub(super) kind: String,
    /// The call or share.
    call_id: Option<String>,
    /// Whom it is about, or for.
    pub(super) username: Option<String>,
    detail: Option<String>,
}

impl Event {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            kind: row.get(1)?,
            call_id: row.get(2)?,
            username: row.get(3)?,
            detail: row.get(4)?,
        })
    }
}

/// Turns events into messages, at one instant: a state that many are told of is put together once.
#[derive(Default)]
pub(super) struct Teller {
    states: HashMap<String, Option<Arc<str>>>,
}

impl Teller {
    /// What the event says to those who may see it; `None` if it has been overtaken, such as a signal that is gone.
    pub(super) fn tell(&mut self, snapshot: &Snapshot, event: &Event) -> Result<Option<Message>, ReadError> {
        let subject = event.call_id.as_deref().unwrap_or_default();
        let whom = event.username.as_deref().unwrap_or_default();
        let (name, data) = match event.kind.as_str() {
            "ringing" => ("incoming", snapshot.row(&statements::INCOMING_CALL, [&subject, &whom], |row| row.get(0))?),
            "signal" => ("signal", signal(snapshot, event.detail.as_deref(), whom)?),
            "share_started" | "share_stopped" => {
                ("share", snapshot.row(&statements::SHARE, [&subject], |row| row.get(0))?)
            }
            "session_ended" => return Ok(None),
            _ => ("call", self.state(snapshot, subject)?.map(|state| state.to_string())),
        };
        Ok(data.map(|data| Message { id: event.id, name, data }))
    }

    fn state(&mut self, snapshot: &Snapshot, call_id: &str) -> Result<Option<Arc<str>>, ReadError> {
        if let Some(known) = self.states.get(call_id) {
            return Ok(known.clone());
        }
        let state = snapshot.row(&statements::CALL_STATE, [&call_id], |row| row.get::<_, Arc<str>>(0))?;
        self.states.insert(call_id.to_owned(), state.clone());
        Ok(state)
    }
}

/// The signal that an event points to, with the call or share that it belongs to.
fn signal(snapshot: &Snapshot, detail: Option<&str>, whom: &str) -> Result<Option<String>, ReadError> {
    let id = detail
        .and_then(|detail| serde_json::from_str::<Json>(detail).ok())
        .and_then(|detail| detail.get("signal_id").and_then(Json::as_i64));
    let found: Option<(String, String)> =
        snapshot.row(&statements::SIGNAL, [&id, &whom], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The ids of calls and shares need no escaping; the payload stays as its sender wrote it.
    Ok(found.map(|(call_id, signal)| format!("{{\"call_id\":\"{call_id}\",{}", &signal[1..])))
}

/// How a stream begins.
pub struct Opening {
    /// What is told first.
    pub messages: Vec<Message>,
    /// The newest event that this covers: only later ones follow.
    pub newest: i64,
}

/// How a stream of `username` begins: with what came after event `after`, or, without one, with the picture as it is now. A
/// number that the log does not reach back to, or has not come to, gets the picture too, which then says so (`lost`).
///
/// # Errors
/// That the file cannot be read.
pub fn opening(snapshot: &Snapshot, username: &str, after: Option<i64>) -> Result<Opening, ReadError> {
    let newest = snapshot.row(&statements::NEWEST_EVENT, [], |row| row.get(0))?.unwrap_or(0);
    let oldest: Option<i64> = snapshot.row(&statements::OLDEST_EVENT, [], |row| row.get(0))?.flatten();
    if let Some(after) =
        after.filter(|after| *after <= newest && after.saturating_add(1) >= oldest.unwrap_or(newest + 1))
    {
        let limit = i64::try_from(RESUME_MAX + 1).unwrap_or(i64::MAX);
        let events = snapshot.rows(&statements::EVENTS_FOR, [&username, &after, &limit], Event::from_row)?;
        if events.len() <= RESUME_MAX {
            let mut teller = Teller::default();
            let told = events.iter().map(|event| teller.tell(snapshot, event));
            let messages = told.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            return Ok(Opening { messages, newest });
        }
    }
    let picture = Message { id: newest, name: "snapshot", data: picture(snapshot, username, after.is_some())? };
    Ok(Opening { messages: vec![picture], newest })
}

/// What a client needs to draw the present: what rings, what goes on, what is shared.
fn picture(snapshot: &Snapshot, username: &str, lost: bool) -> Result<String, ReadError> {
    let incoming = snapshot.rows(&statements::INCOMING_CALLS, [&username], |row| {
        let (call_id, channel, initiator): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let started_ts: f64 = row.get(3)?;
        Ok(serde_json::json!({
            "call_id": call_id, "channel": channel, "initiator": initiator, "started_ts": started_ts,
        }))
    })?;
    let text = |row: &Row<'_>| row.get::<_, String>(0);
    let calls = snapshot.rows(&statements::LIVE_CALLS_OF, [&username], text)?;
    let shares = snapshot.rows(&statements::ACTIVE_SCREENSHARES_OF, [&username], text)?;
    Ok(format!(
        "{{\"incoming\":{},\"calls\":[{}],\"shares\":[{}],\"lost\":{lost}}}",
        Json::Array(incoming),
        calls.join(","),
        shares.join(",")
    ))
}
