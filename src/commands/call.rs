//! `call list`, `call show`, `call end`.

use super::output::{self, Columns};
use super::{CommandError, change, refused};
use crate::command_line::Call;
use crate::database::{Database, ReadError, Write, text};
use crate::statements;

const CALLS: Columns = &[
    ("CALL", "call_id"),
    ("CHANNEL", "channel"),
    ("TITLE", "title"),
    ("STATE", "state"),
    ("INITIATOR", "initiator"),
    ("STARTED", "started_ts"),
    ("ON THE CALL", "on_the_call"),
    ("STILL RINGING", "still_ringing"),
    ("SHARES A SCREEN", "screenshare_user"),
];

const CALL: Columns = &[
    ("CALL", "call_id"),
    ("CHANNEL", "channel"),
    ("STATE", "state"),
    ("INITIATOR", "initiator"),
    ("STARTED", "started_ts"),
    ("ANSWERED", "answered_ts"),
    ("ENDED", "ended_ts"),
    ("REASON", "ended_reason"),
    ("SHARES A SCREEN", "screenshare_user"),
    ("PARTICIPANTS", "participants"),
];

pub(super) fn run(database: &Database, command: Call) -> Result<(), CommandError> {
    match command {
        Call::List(output) => output::list(database, &statements::LIVE_CALLS, [&"", &output::ALL], CALLS, output),
        Call::Show { id, output } => {
            let call = output::select(database, &statements::CALL_STATE, [&id])?;
            let call = call.first().ok_or_else(|| refused(database, &id, "call_not_found"))?;
            output::print_item(call, CALL, output)
        }
        Call::End { id } => {
            let subject = in_channel(database, &id)?;
            let end = Write::new(&statements::END_CALL_AS_ADMIN, [text(&id)]);
            change(database, &subject, "ended call", &[], end).map(drop)
        }
    }
}

/// The call with its channel, and its title if that has one.
fn in_channel(database: &Database, call_id: &str) -> Result<String, ReadError> {
    let channel: Option<(String, Option<String>)> = database
        .read(|snapshot| snapshot.row(&statements::CALL_CHANNEL, [&call_id], |row| Ok((row.get(0)?, row.get(1)?))))?;
    Ok(match channel {
        Some((channel, Some(title))) => format!("{call_id} in {channel} ({title})"),
        Some((channel, None)) => format!("{call_id} in {channel}"),
        None => call_id.to_owned(),
    })
}
