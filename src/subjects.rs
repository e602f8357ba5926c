//! What an admin's change is about, as `command_log` and messages name it: by ids, and by names.

use crate::database::{Database, ReadError};
use crate::statements;

/// A private channel by its name, with its title if it exists: `private:1 (Team)`.
///
/// # Errors
/// If the file cannot be read.
pub fn channel(database: &Database, channel: &str) -> Result<String, ReadError> {
    let title: Option<String> =
        database.read(|snapshot| snapshot.row(&statements::CHANNEL_TITLE, [&channel], |row| row.get(0)))?;
    Ok(with_title(channel, title))
}

/// A call by its id, with its channel if it exists, and that one's title if it has one: `ID in private:1 (Team)`.
///
/// # Errors
/// If the file cannot be read.
pub fn call(database: &Database, call_id: &str) -> Result<String, ReadError> {
    let channel: Option<(String, Option<String>)> = database
        .read(|snapshot| snapshot.row(&statements::CALL_CHANNEL, [&call_id], |row| Ok((row.get(0)?, row.get(1)?))))?;
    Ok(channel
        .map_or_else(|| call_id.to_owned(), |(channel, title)| format!("{call_id} in {}", with_title(&channel, title))))
}

/// A session by its id, with its user if it exists: `ID of bob`.
///
/// # Errors
/// If the file cannot be read.
pub fn session(database: &Database, id: &str) -> Result<String, ReadError> {
    let owner: Option<String> =
        database.read(|snapshot| snapshot.row(&statements::SESSION_OWNER, [&id], |row| row.get(0)))?;
    Ok(owner.map_or_else(|| id.to_owned(), |owner| format!("{id} of {owner}")))
}

fn with_title(channel: &str, title: Option<String>) -> String {
    title.map_or_else(|| channel.to_owned(), |title| format!("{channel} ({title})"))
}
