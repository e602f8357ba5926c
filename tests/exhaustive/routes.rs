//! The routes, by the statements of their handlers, and the statuses with which each may refuse.

use minimost_calls::statements::{self, Statement};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::actions::{PEOPLE, STRANGER, run, text_value};

/// A route of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Initiate,
    Accept,
    Reject,
    End,
    Leave,
    Invite,
    Remove,
    ReportGone,
    Signal,
    ClaimScreen,
    ReleaseScreen,
    UploadMedia,
    StartShare,
    StopShare,
    ShareSignal,
    UploadShareMedia,
    NotePresence,
    CloseStream,
}

impl Route {
    pub const WRITES: [Self; 18] = [
        Self::Initiate,
        Self::Accept,
        Self::Reject,
        Self::End,
        Self::Leave,
        Self::Invite,
        Self::Remove,
        Self::ReportGone,
        Self::Signal,
        Self::ClaimScreen,
        Self::ReleaseScreen,
        Self::UploadMedia,
        Self::StartShare,
        Self::StopShare,
        Self::ShareSignal,
        Self::UploadShareMedia,
        Self::NotePresence,
        Self::CloseStream,
    ];

    /// Whether a request names another person.
    pub fn has_target(self) -> bool {
        matches!(self, Self::Invite | Self::Remove | Self::ReportGone | Self::Signal | Self::ShareSignal)
    }

    /// The statuses of its refusals.
    pub fn statuses(self) -> &'static [i64] {
        match self {
            Self::Initiate | Self::Invite => &[400, 403, 404, 409, 429],
            Self::Accept | Self::Reject => &[403, 404, 409],
            Self::End | Self::Leave | Self::StopShare => &[403, 404],
            Self::Signal | Self::ShareSignal | Self::UploadMedia | Self::UploadShareMedia => &[400, 403, 404, 409, 413],
            Self::ClaimScreen | Self::ReleaseScreen | Self::Remove | Self::ReportGone => &[400, 403, 404, 409],
            Self::StartShare => &[400, 403, 429],
            Self::NotePresence | Self::CloseStream => &[],
        }
    }

    /// Carries out a request of `actor`. Calls and shares are the newest of the channel.
    ///
    /// # Errors
    /// The code of the refusal.
    pub fn run(self, sql: &Connection, channel: &str, actor: &str, target: &str) -> Result<(), String> {
        let call = text_value(&newest(sql, "calls", channel, 1));
        let share = text_value(&newest(sql, "screenshares", channel, 1));
        let (actor, target) = (text_value(actor), text_value(target));
        let (offer, payload) = (text_value("offer"), text_value("{}"));
        let chunk = [Value::Integer(0), Value::Null, Value::Blob(vec![1; 8])];
        let (statement, parameters): (&Statement, Vec<Value>) = match self {
            Self::Initiate => {
                let id = text_value(&newest(sql, "calls", channel, 0));
                (&statements::INITIATE_CALL, vec![id, text_value(channel), actor])
            }
            Self::Accept => (&statements::ACCEPT_CALL, vec![call, actor]),
            Self::Reject => (&statements::REJECT_CALL, vec![call, actor]),
            Self::End => (&statements::END_CALL, vec![call, actor]),
            Self::Leave => (&statements::LEAVE_CALL, vec![call, actor]),
            Self::Invite => (&statements::INVITE_TO_CALL, vec![call, target, actor]),
            Self::Remove => (&statements::REMOVE_FROM_CALL, vec![call, target, actor]),
            Self::ReportGone => (&statements::REPORT_GONE, vec![call, target, actor]),
            Self::Signal => (&statements::SEND_CALL_SIGNAL, vec![call, actor, target, offer, payload]),
            Self::ClaimScreen => (&statements::SHARE_SCREEN_IN_CALL, vec![call, actor, Value::Integer(1)]),
            Self::ReleaseScreen => (&statements::SHARE_SCREEN_IN_CALL, vec![call, actor, Value::Integer(0)]),
            Self::UploadMedia => (&statements::UPLOAD_CALL_MEDIA, [vec![call, actor], chunk.to_vec()].concat()),
            Self::StartShare => {
                let id = text_value(&newest(sql, "screenshares", channel, 0));
                (&statements::START_SCREENSHARE, vec![id, text_value(channel), actor])
            }
            Self::StopShare => (&statements::STOP_SCREENSHARE, vec![share, actor]),
            Self::ShareSignal => (&statements::SEND_SHARE_SIGNAL, vec![share, actor, target, offer, payload]),
            Self::UploadShareMedia => (&statements::UPLOAD_SHARE_MEDIA, [vec![share, actor], chunk.to_vec()].concat()),
            Self::NotePresence => (&statements::NOTE_PRESENCE, vec![actor, call]),
            Self::CloseStream => (&statements::NOTE_CLOSED_STREAM, vec![actor, call]),
        };
        run(sql, statement, &parameters).map(drop)
    }
}

/// The id of the newest call or share of the channel, or, with `back` 0, the next id. Ids count all rows of the table.
pub fn newest(sql: &Connection, table: &str, channel: &str, back: i64) -> String {
    let prefix = if table == "calls" { "call" } else { "share" };
    let id = if back == 0 {
        format!("SELECT '{prefix}' || (SELECT count(*) FROM {table}), ?1")
    } else {
        let id = if table == "calls" { "call_id" } else { "share_id" };
        format!("SELECT coalesce((SELECT {id} FROM {table} WHERE channel = ?1 ORDER BY {id} DESC LIMIT 1), 'unknown')")
    };
    sql.prepare_cached(&id).unwrap().query_row([channel], |row| row.get(0)).unwrap()
}

/// A read, by the statement that selects 'granted' or the code of the refusal, and the statuses of its refusals.
type Read = (&'static str, &'static Statement, &'static [i64]);

const CALL_READS: [Read; 3] = [
    ("GET /calls/ID/state", &statements::CALL_STATE_AND_ACCESS, &[403, 404]),
    ("GET /calls/ID/signals", &statements::POLL_CALL_SIGNALS, &[403, 404]),
    ("GET /calls/ID/media", &statements::CALL_MEDIA_ACCESS, &[403, 404]),
];

/// Checks the reads of all people.
///
/// # Errors
/// The read, and its status.
pub fn check_reads(sql: &Connection, channel: &str, status: impl Fn(&str) -> Option<i64>) -> Result<(), String> {
    let call = newest(sql, "calls", channel, 1);
    let share = newest(sql, "screenshares", channel, 1);
    for person in PEOPLE.iter().chain([&STRANGER]) {
        for (route, statement, statuses) in CALL_READS {
            let access = access(sql, statement, &[text_value(&call), text_value(person)]);
            check(route, person, &access, statuses, &status)?;
        }
        let access_to_share = access(sql, &statements::SHARE_ACCESS, &[text_value(&share), text_value(person)]);
        check("GET /screenshare/ID/signals", person, &access_to_share, &[403, 404], &status)?;
        let access_to_channel = access(sql, &statements::CHANNEL_ACCESS, &[text_value(channel), text_value(person)]);
        check("GET /calls/active", person, &access_to_channel, &[400, 403], &status)?;
    }
    Ok(())
}

/// Checks that the answer before an upload is collected is the one after it. `outcome` carries out a request and undoes
/// it.
///
/// # Errors
/// The upload, and both answers.
pub fn check_uploads(
    sql: &Connection,
    channel: &str,
    outcome: impl Fn(Route, &str) -> Result<(), String>,
) -> Result<(), String> {
    let call = newest(sql, "calls", channel, 1);
    let share = newest(sql, "screenshares", channel, 1);
    // A removed user has no session.
    for person in PEOPLE.iter().chain([&STRANGER]).filter(|person| exists(sql, person)) {
        for (route, id, statement) in [
            (Route::UploadMedia, &call, &statements::CALL_UPLOAD_ACCESS),
            (Route::UploadShareMedia, &share, &statements::SHARE_UPLOAD_ACCESS),
        ] {
            let before = access(sql, statement, &[text_value(id), text_value(person)]);
            let after = outcome(route, person).err().unwrap_or_else(|| "granted".to_owned());
            if before != after {
                return Err(format!("{route:?} of {person}: {before} before its body is collected, {after} after it"));
            }
        }
    }
    Ok(())
}

fn exists(sql: &Connection, person: &str) -> bool {
    let mut prepared = sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM users WHERE username = ?1)").unwrap();
    prepared.query_row([person], |row| row.get(0)).unwrap()
}

/// The text of the column that says `granted` or a code. Without a row, there is no such call.
fn access(sql: &Connection, statement: &Statement, parameters: &[Value]) -> String {
    let mut prepared = sql.prepare_cached(statement.sql()).unwrap();
    for number in 1..=prepared.parameter_count() {
        prepared.raw_bind_parameter(number, parameters.get(number - 1).unwrap_or(&Value::Null)).unwrap();
    }
    let mut rows = prepared.raw_query();
    let Some(row) = rows.next().unwrap() else { return "call_not_found".to_owned() };
    let column = if statement.name() == statements::CALL_STATE_AND_ACCESS.name() { 2 } else { 0 };
    row.get(column).unwrap()
}

fn check(
    route: &str,
    person: &str,
    access: &str,
    statuses: &[i64],
    status: impl Fn(&str) -> Option<i64>,
) -> Result<(), String> {
    if access == "granted" || status(access).is_some_and(|status| statuses.contains(&status)) {
        return Ok(());
    }
    Err(format!("{route} of {person}: {access} ({:?}) is not one of {statuses:?}", status(access)))
}
