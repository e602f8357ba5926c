//! `channel add`, `channel list`, `channel join`, `channel leave`.

use super::{CommandError, print_line, write};
use crate::command_line::Channel;
use crate::database::{Database, Value, Write, text};
use crate::statements;

pub(super) fn run(database: &Database, command: Channel) -> Result<(), CommandError> {
    match command {
        Channel::Add { title, members } => print_line(&add(database, &title, members)?),
        Channel::List => list(database),
        Channel::Join { id, name } => {
            let subject = format!("private:{id}, {name}");
            write(database, &subject, Write::new(&statements::JOIN_CHANNEL, [Value::Integer(id), text(name)])).map(drop)
        }
        Channel::Leave { id, name } => {
            let subject = format!("private:{id}, {name}");
            let leave = Write::new(&statements::LEAVE_CHANNEL, [Value::Integer(id), text(name)]);
            let left: Option<(String,)> = write(database, &subject, leave)?.one(&statements::LEAVE_CHANNEL)?;
            left.map(drop).ok_or_else(|| CommandError::refused(subject, "Not a member, or no such channel."))
        }
    }
}

/// Adds a private channel, created by the first of `members`, and returns its name.
pub(super) fn add(database: &Database, title: &str, mut members: Vec<String>) -> Result<String, CommandError> {
    let creator = members.first().cloned().unwrap_or_default();
    members.sort();
    members.dedup();
    let subject = format!("{title} with {}", members.join(", "));
    let channel = Write::new(&statements::ADD_CHANNEL, [text(title), text(creator)]);
    let channel = members
        .into_iter()
        .fold(channel, |channel, member| channel.then(&statements::JOIN_NEWEST_CHANNEL, [text(member)]));
    let added: Option<(i64,)> = write(database, &subject, channel)?.one(&statements::ADD_CHANNEL)?;
    added
        .map(|(id,)| format!("private:{id}"))
        .ok_or_else(|| CommandError::refused(subject, "The new channel has no id."))
}

fn list(database: &Database) -> Result<(), CommandError> {
    let channels = database.read(|snapshot| {
        snapshot.rows(&statements::LIST_CHANNELS, [], |row| {
            let (name, title, members): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(format!("{name}\t{title}\t{}", members.unwrap_or_default()))
        })
    })?;
    channels.iter().try_for_each(|line| print_line(line))
}
