//! `token NAME`: a bearer token for a script or a device.

use std::time::Duration;

use super::{CommandError, print_line, text, write};
use crate::database::{Database, Value, Write};
use crate::statements;
use crate::tokens::{new_token, token_hash};

pub(super) fn run(database: &Database, name: &str, ttl: Option<Duration>) -> Result<(), CommandError> {
    print_line(&add(database, name, ttl)?)
}

/// A new token for user `name` that is valid for `ttl`, or as long as the settings say.
pub(super) fn add(database: &Database, name: &str, ttl: Option<Duration>) -> Result<String, CommandError> {
    let token = new_token().map_err(|error| CommandError::new(format!("no randomness: {error}")))?;
    let ttl = ttl.map_or(Value::Null, |ttl| Value::Real(ttl.as_secs_f64()));
    let session = Write::new(&statements::ADD_SESSION, [text(token_hash(&token)), text(name), ttl]);
    write(database, name, session)?;
    Ok(token)
}
