//! `session list`, `session revoke`, and `user sessions`.

use serde_json::Value as Json;

use super::output::{self, Columns};
use super::{CommandError, change, refused};
use crate::command_line::{Output, Session};
use crate::database::{Database, Write, text};
use crate::{statements, subjects};

const SESSIONS: Columns =
    &[("SESSION", "id"), ("USER", "username"), ("SINCE", "created_ts"), ("VALID UNTIL", "expires_ts")];

pub(super) fn run(database: &Database, command: Session) -> Result<(), CommandError> {
    match command {
        Session::List { user, output } => list(database, user.as_deref(), output),
        Session::Revoke { id } => {
            let subject = subjects::session(database, &id)?;
            let revoke = Write::new(&statements::REVOKE_SESSION, [text(&id)]);
            change(database, &subject, "revoked session", &[], revoke).map(drop)
        }
    }
}

/// Lists the sessions of a user, or of all users.
pub(super) fn list(database: &Database, user: Option<&str>, output: Output) -> Result<(), CommandError> {
    if let Some(user) = user
        && database.read(|snapshot| snapshot.row(&statements::IS_USER, [&user], |row| row.get(0)))? != Some(true)
    {
        return Err(refused(database, user, "user_not_found"));
    }
    let mut sessions = output::select(database, &statements::SESSIONS, [&"", &user, &output::ALL])?;
    // The database orders them by their ids, which mean nothing to people.
    sessions.sort_by_cached_key(|session| {
        let session: Json = serde_json::from_str(session).unwrap_or_default();
        (session["username"].to_string(), session["created_ts"].to_string())
    });
    output::print_items(&sessions, SESSIONS, output)
}
