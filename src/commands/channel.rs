//! `channel add`, `channel list`, `channel join`, `channel leave`.

use std::path::Path;

use super::{CommandError, change, open_or_create, print_line};
use crate::command_line::Channel;
use crate::database::{Database, Value, Write, text};
use crate::statements;

pub(super) fn run(path: &Path, command: Channel) -> Result<(), CommandError> {
    match command {
        Channel::Add { title, members } => add(path, &title, members),
        Channel::List => list(&Database::open_existing(path)?),
        Channel::Join { id, name } => {
            let subject = format!("private:{id}, {name}");
            let join = Write::new(&statements::JOIN_CHANNEL, [Value::Integer(id), text(&name)]);
            change(&Database::open_existing(path)?, &subject, "added member", &[&name], join).map(drop)
        }
        Channel::Leave { id, name } => {
            let subject = format!("private:{id}, {name}");
            let leave = Write::new(&statements::LEAVE_CHANNEL, [Value::Integer(id), text(&name)]);
            let left = change(&Database::open_existing(path)?, &subject, "removed member", &[&name], leave)?;
            let left: Option<(String,)> = left.one(&statements::LEAVE_CHANNEL)?;
            left.map(drop).ok_or_else(|| CommandError::refused(subject, "Not a member, or no such channel."))
        }
    }
}

/// Adds a private channel, created by the first of `members`, and prints its name.
fn add(path: &Path, title: &str, mut members: Vec<String>) -> Result<(), CommandError> {
    let creator = members.first().cloned().unwrap_or_default();
    members.sort();
    members.dedup();
    let subject = format!("{title} with {}", members.join(", "));
    let channel = Write::new(&statements::ADD_CHANNEL, [text(title), text(creator)]);
    let channel =
        members.iter().fold(channel, |channel, member| channel.then(&statements::JOIN_NEWEST_CHANNEL, [text(member)]));
    let database = open_or_create(path, &subject, &channel)?;
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let added = change(&database, &subject, "added channel", &members, channel)?;
    let added: Option<(i64,)> = added.one(&statements::ADD_CHANNEL)?;
    let (id,) = added.ok_or_else(|| CommandError::refused(subject, "The new channel has no id."))?;
    print_line(&format!("private:{id}"))
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
