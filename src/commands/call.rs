//! `call list`, `call show`, `call end`.

use super::output::{self, Columns};
use super::{CommandError, change, refused};
use crate::command_line::Call;
use crate::database::{Database, Write, text};
use crate::{statements, subjects};

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
            let subject = subjects::call(database, &id)?;
            let end = Write::new(&statements::END_CALL_AS_ADMIN, [text(&id)]);
            change(database, &subject, "ended call", &[], end).map(drop)
        }
    }
}
