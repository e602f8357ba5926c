//! `channel …`.

use std::path::Path;

use serde_json::json;

use super::output::{self, Columns};
use super::{CommandError, change, open_or_create, print_line};
use crate::command_line::Channel;
use crate::database::{Database, Write, text};
use crate::statements::{self, Statement};
use crate::subjects;

const CHANNELS: Columns = &[("CHANNEL", "channel"), ("TITLE", "title"), ("MEMBERS", "members")];

pub(super) fn run(path: &Path, command: Channel) -> Result<(), CommandError> {
    let existing = || Database::open_existing(path);
    match command {
        Channel::Add { title, members } => add(path, &title, &members),
        Channel::List(output) => {
            output::list(&existing()?, &statements::PRIVATE_CHANNELS, [&"", &output::ALL], CHANNELS, output)
        }
        Channel::Rename { channel, title } => {
            let database = existing()?;
            let subject = format!("{}, {title}", subjects::channel(&database, &channel)?);
            let write = Write::new(&statements::RENAME_CHANNEL, [text(channel), text(title)]);
            change(&database, &subject, "renamed channel", &[], write).map(drop)
        }
        Channel::Remove { channel } => {
            let database = existing()?;
            let subject = subjects::channel(&database, &channel)?;
            let write = Write::new(&statements::REMOVE_CHANNEL, [text(channel)]);
            change(&database, &subject, "removed channel", &[], write).map(drop)
        }
        Channel::Join { channel, name } => {
            change_member(&existing()?, &channel, &name, "added member", &statements::JOIN_CHANNEL)
        }
        Channel::Leave { channel, name } => {
            change_member(&existing()?, &channel, &name, "removed member", &statements::LEAVE_CHANNEL)
        }
    }
}

/// Runs a statement about a channel and a user.
fn change_member(
    database: &Database,
    channel: &str,
    name: &str,
    what: &str,
    statement: &'static Statement,
) -> Result<(), CommandError> {
    let subject = format!("{}, {name}", subjects::channel(database, channel)?);
    change(database, &subject, what, &[name], Write::new(statement, [text(channel), text(name)])).map(drop)
}

/// Adds a private channel, created by the first of `members`, and prints its name.
fn add(path: &Path, title: &str, members: &[String]) -> Result<(), CommandError> {
    let subject = format!("{title} with {}", members.join(", "));
    let channel = Write::new(&statements::ADD_CHANNEL, [text(title), text(json!(members).to_string())])
        .then(&statements::NEWEST_CHANNEL, []);
    let database = open_or_create(path, &subject, &channel)?;
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let added = change(&database, &subject, "added channel", &members, channel)?;
    let added: Option<(String,)> = added.one(&statements::NEWEST_CHANNEL)?;
    let (name,) = added.ok_or_else(|| CommandError::refused(subject, "The new channel has no name."))?;
    print_line(&name)
}
