//! `webhook …`: the receivers of events, and what could not be delivered to them.

use std::io;

use serde_json::json;

use super::output::{self, Columns};
use super::{CommandError, change, print_line, read_input, refused};
use crate::command_line::{Output, Webhook};
use crate::database::{Database, Value, Write, text};
use crate::statements;
use crate::webhooks::new_secret;

const WEBHOOKS: Columns = &[
    ("WEBHOOK", "name"),
    ("URL", "url"),
    ("KINDS", "kinds"),
    ("PRIVATE", "allow_private"),
    ("SINCE", "created_ts"),
    ("WAITING", "waiting"),
    ("GIVEN UP", "given_up"),
    ("DROPPED", "dropped"),
    ("DISABLED", "disabled_ts"),
];

const FAILURES: Columns = &[
    ("MESSAGE", "message_id"),
    ("TYPE", "type"),
    ("ATTEMPTS", "attempts"),
    ("STATUS", "last_status"),
    ("ERROR", "last_error"),
    ("GIVEN UP", "given_up_ts"),
];

pub(super) fn run(database: &Database, command: Webhook) -> Result<(), CommandError> {
    match command {
        Webhook::Add { name, url, kinds, allow_private, secret_from_stdin } => {
            let secret = if secret_from_stdin { read_input(io::stdin())? } else { new_secret()? };
            let kinds = if kinds.is_empty() { Value::Null } else { text(json!(kinds).to_string()) };
            let parameters = [text(&name), text(url), text(&secret), kinds, Value::Integer(allow_private.into())];
            change(database, &name, "added webhook", &[], Write::new(&statements::ADD_WEBHOOK, parameters))?;
            if secret_from_stdin { Ok(()) } else { print_line(&secret) }
        }
        Webhook::List(output) => output::list(database, &statements::WEBHOOKS, [&"", &output::ALL], WEBHOOKS, output),
        Webhook::Remove { name } => {
            let remove = Write::new(&statements::REMOVE_WEBHOOK, [text(&name)]);
            change(database, &name, "removed webhook", &[], remove).map(drop)
        }
        Webhook::Failures { name, output } => failures(database, &name, output),
        Webhook::Retry { name } => {
            let retry = Write::new(&statements::RETRY_WEBHOOK, [text(&name)]);
            change(database, &name, "retried webhook", &[], retry).map(drop)
        }
    }
}

fn failures(database: &Database, name: &str, output: Output) -> Result<(), CommandError> {
    if database.read(|snapshot| snapshot.row(&statements::IS_WEBHOOK, [&name], |row| row.get(0)))? != Some(true) {
        return Err(refused(database, name, "webhook_not_found"));
    }
    output::list(database, &statements::WEBHOOK_FAILURES, [&name, &"", &output::ALL], FAILURES, output)
}
