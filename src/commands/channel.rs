//! `channel add`, `channel list`, `channel join`, `channel leave`.

use super::{CommandError, print_line, text, write};
use crate::command_line::Channel;
use crate::database::{Database, Value, Write};
use crate::statements;

pub(super) fn run(database: &Database, command: Channel) -> Result<(), CommandError> {
    match command {
        Channel::Add { title, members } => print_line(&add(database, &title, members)?),
        Channel::List => list(database),
        Channel::Join { id, name } => {
            let about = format!("private:{id}, {name}");
            write(database, &about, Write::new(&statements::JOIN_CHANNEL, [Value::Integer(id), text(name)])).map(drop)
        }
        Channel::Leave { id, name } => {
            let about = format!("private:{id}, {name}");
            let leave = Write::new(&statements::LEAVE_CHANNEL, [Value::Integer(id), text(name)]);
            match write(database, &about, leave)?[0].is_empty() {
                true => Err(CommandError::new(format!("{about}: Not a member of such a channel."))),
                false => Ok(()),
            }
        }
    }
}

/// Adds a private channel, made by the first of its members, and answers its name.
pub(super) fn add(database: &Database, title: &str, mut members: Vec<String>) -> Result<String, CommandError> {
    let creator = members.first().cloned().unwrap_or_default();
    members.sort();
    members.dedup();
    let about = format!("{title} with {}", members.join(", "));
    let channel = Write::new(&statements::ADD_CHANNEL, [text(title), text(creator)]);
    let channel = members
        .into_iter()
        .fold(channel, |channel, member| channel.then(&statements::JOIN_NEWEST_CHANNEL, [text(member)]));
    match write(database, &about, channel)?[0].first().map(Vec::as_slice) {
        Some([Value::Integer(id)]) => Ok(format!("private:{id}")),
        _ => Err(CommandError::new(format!("{about}: the new channel has no id"))),
    }
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
