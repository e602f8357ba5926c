//! From events to messages: what clients receive.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::types::FromSqlError;
use rusqlite::{Row, ToSql};
use serde::de::IgnoredAny;

use crate::database::{ReadError, Snapshot};
use crate::statements;

/// A client that missed more events than this gets a snapshot instead.
const RESUME_MAX: i64 = 2_000;

/// A page of missed events ends with the event that fills it.
const PAGE_MAX_EVENTS: i64 = 100;
const PAGE_MAX_BYTES: usize = 256 * 1024;

/// One server-sent event.
#[derive(Debug)]
pub struct Message {
    /// The id of the event in the log. `None` for an event that is not in the log, or says nothing when it is late.
    pub id: Option<i64>,
    /// What its streams send (HTML standard, section 9.2.6).
    pub text: Bytes,
}

impl Message {
    /// An event `name` (`snapshot`, `incoming`, `call`, `signal` or `share`) with JSON as data.
    fn new(id: i64, name: &str, data: &str) -> Self {
        // JSON may have line breaks between its tokens.
        let data = data.replace(['\r', '\n'], "\ndata:");
        Self { id: Some(id), text: format!("event:{name}\ndata:{data}\nid:{id}\n\n").into() }
    }

    /// An event `name` (`directory` or `presence`) with JSON of one line as data. A stream resumes without it.
    pub(super) fn unnumbered(name: &str, data: &str) -> Self {
        Self { id: None, text: format!("event:{name}\ndata:{data}\n\n").into() }
    }
}

/// A row of the log.
pub(super) struct Event {
    pub(super) id: i64,
    pub(super) kind: String,
    /// The call or share.
    call_id: Option<String>,
    /// The user that it is about or for.
    pub(super) username: Option<String>,
    /// The signal as JSON, if it was read with the event.
    signal: Option<rusqlite::Result<String>>,
}

impl Event {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, kind: row.get(1)?, call_id: row.get(2)?, username: row.get(3)?, signal: None })
    }

    /// A row that has the signal as JSON in `column`, or NULL. A signal that is no text is an error of this event alone.
    pub(super) fn with_signal(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        Ok(Self { signal: row.get::<_, Option<String>>(column).transpose(), ..Self::from_row(row)? })
    }
}

/// The id of the newest event that the log ever had, 0 if it never had one.
///
/// # Errors
/// If the file cannot be read.
pub fn newest_event(snapshot: &Snapshot) -> Result<i64, ReadError> {
    Ok(snapshot.row(&statements::NEWEST_EVENT_ID, [], |row| row.get(0))?.unwrap_or(0))
}

/// Renders events as messages, from one snapshot. It renders the state of each call once, however many events and
/// recipients the call has.
#[derive(Default)]
pub(super) struct Renderer {
    call_states: HashMap<String, Option<Arc<str>>>,
}

impl Renderer {
    /// The message of an event. `None` if what it is about is gone, such as a deleted signal.
    ///
    /// An event that cannot be rendered is logged and skipped, so that it does not block those after it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn render(&mut self, snapshot: &Snapshot, mut event: Event) -> Result<Option<Message>, ReadError> {
        let signal = event.signal.take();
        match self.try_render(snapshot, &event, signal) {
            Err(error) if error.is_bad_value() => {
                let Event { id, kind, call_id, .. } = event;
                tracing::error!(%error, event = id, kind, call_id, "skipped an event that cannot be rendered");
                Ok(None)
            }
            result => result,
        }
    }

    fn try_render(
        &mut self,
        snapshot: &Snapshot,
        event: &Event,
        signal: Option<rusqlite::Result<String>>,
    ) -> Result<Option<Message>, ReadError> {
        let call_id = event.call_id.as_deref().unwrap_or_default();
        let username = event.username.as_deref().unwrap_or_default();
        let (name, data) = match event.kind.as_str() {
            "ringing" => {
                ("incoming", snapshot.row(&statements::INCOMING_CALL, [&call_id, &username], |row| row.get(0))?)
            }
            "removed" => {
                ("call", snapshot.row(&statements::REMOVED_FROM_CALL, [&call_id, &username], |row| row.get(0))?)
            }
            "signal" => {
                let read = || snapshot.row(&statements::SIGNAL, [&event.id], |row| row.get::<_, String>(0));
                let signal = signal.map_or_else(read, |signal| Ok(Some(signal?)))?;
                ("signal", signal.map(|signal| with_call_id(call_id, &signal)).transpose()?)
            }
            "share_started" | "share_stopped" => {
                ("share", snapshot.row(&statements::SHARE, [&call_id], |row| row.get(0))?)
            }
            // A client that has connected reads the directory.
            "session_ended" | "directory" => return Ok(None),
            _ => ("call", self.call_state(snapshot, call_id)?.map(|state| state.to_string())),
        };
        Ok(data.map(|data: String| Message::new(event.id, name, &data)))
    }

    fn call_state(&mut self, snapshot: &Snapshot, call_id: &str) -> Result<Option<Arc<str>>, ReadError> {
        if let Some(known) = self.call_states.get(call_id) {
            return Ok(known.clone());
        }
        let state = snapshot.row(&statements::CALL_STATE, [&call_id], |row| row.get::<_, Arc<str>>(0))?;
        self.call_states.insert(call_id.to_owned(), state.clone());
        Ok(state)
    }
}

/// A signal with the id of its call or share, as its event gives it.
fn with_call_id(call_id: &str, signal: &str) -> Result<String, ReadError> {
    // The ids of calls and shares need no escaping. The payload stays as its sender wrote it.
    let data = format!("{{\"call_id\":\"{call_id}\",{}", &signal[1..]);
    // An admin can have stored a payload that is not JSON.
    serde_json::from_str::<IgnoredAny>(&data).map_err(|error| FromSqlError::Other(error.into()))?;
    Ok(data)
}

/// A part of the beginning of an event stream.
pub struct Page {
    /// The messages, of some hundred kilobytes at most.
    pub messages: Vec<Message>,
    /// The newest event that they cover. Only later ones may follow.
    pub newest: i64,
    /// More events up to the present are stored; they are on the next page.
    pub has_more: bool,
}

/// The first page of an event stream of `username`: of the events after `last_event_id`, or a snapshot if there is no
/// such id.
///
/// A client that names an id which the log no longer has, does not have yet, or never had, gets a snapshot with
/// `"lost": true`.
///
/// # Errors
/// If the file cannot be read.
pub fn first_page(snapshot: &Snapshot, username: &str, last_event_id: Option<i64>) -> Result<Page, ReadError> {
    let newest = newest_event(snapshot)?;
    let oldest: Option<i64> = snapshot.row(&statements::OLDEST_EVENT_ID, [], |row| row.get(0))?.flatten();
    let is_in_gap = |id: &i64| snapshot.row(&statements::IS_IN_EVENT_GAP, [id], |row| row.get::<_, bool>(0));
    let is_lost = last_event_id.as_ref().map(is_in_gap).transpose()?.flatten().unwrap_or_default();
    let is_resumable = |id: &i64| !is_lost && *id <= newest && id.saturating_add(1) >= oldest.unwrap_or(newest + 1);
    if let Some(id) = last_event_id.filter(is_resumable) {
        let missed: Option<i64> =
            snapshot.row(&statements::COUNT_USER_EVENTS, [&username, &id, &(RESUME_MAX + 1)], |row| row.get(0))?;
        if missed <= Some(RESUME_MAX) {
            return next_page(snapshot, username, id);
        }
    }
    let data = snapshot_data(snapshot, username, last_event_id.is_some())?;
    Ok(Page { messages: vec![Message::new(newest, "snapshot", &data)], newest, has_more: false })
}

/// The page of the events of `username` after event `after`.
///
/// # Errors
/// If the file cannot be read.
pub fn next_page(snapshot: &Snapshot, username: &str, after: i64) -> Result<Page, ReadError> {
    let parameters: [&dyn ToSql; 3] = [&username, &after, &PAGE_MAX_EVENTS];
    let mut events = snapshot.rows(&statements::USER_EVENTS, parameters, Event::from_row)?.into_iter();
    let is_full = i64::try_from(events.len()) == Ok(PAGE_MAX_EVENTS);
    let mut renderer = Renderer::default();
    let (mut messages, mut bytes, mut newest) = (Vec::new(), 0, after);
    while bytes < PAGE_MAX_BYTES
        && let Some(event) = events.next()
    {
        newest = event.id;
        if let Some(message) = renderer.render(snapshot, event)? {
            bytes += message.text.len();
            messages.push(message);
        }
    }
    let has_more = is_full || events.len() > 0;
    if !has_more {
        newest = newest_event(snapshot)?;
    }
    Ok(Page { messages, newest, has_more })
}

/// What a client needs to show the current state: ringing calls, live calls and shares.
fn snapshot_data(snapshot: &Snapshot, username: &str, lost: bool) -> Result<String, ReadError> {
    let text = |row: &Row<'_>| row.get::<_, String>(0);
    let incoming = snapshot.rows(&statements::INCOMING_CALLS, [&username], text)?;
    let calls = snapshot.rows(&statements::USER_LIVE_CALLS, [&username], text)?;
    let shares = snapshot.rows(&statements::USER_ACTIVE_SHARES, [&username], text)?;
    Ok(format!(
        "{{\"incoming\":[{}],\"calls\":[{}],\"shares\":[{}],\"lost\":{lost}}}",
        incoming.join(","),
        calls.join(","),
        shares.join(",")
    ))
}
