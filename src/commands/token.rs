//! `token NAME`: a bearer token for a script or a device.

use std::time::Duration;

use super::{CommandError, change, print_line};
use crate::database::{Database, Value, Write, text};
use crate::statements;
use crate::tokens::{new_token, token_hash};

pub(super) fn run(database: &Database, name: &str, ttl: Option<Duration>) -> Result<(), CommandError> {
    print_line(&add(database, name, ttl)?)
}

/// Adds a session for user `name` and returns its token. It lasts `ttl`, or the setting `session_ttl` without one.
pub(super) fn add(database: &Database, name: &str, ttl: Option<Duration>) -> Result<String, CommandError> {
    let token = new_token()?;
    let ttl = ttl.map_or(Value::Null, |ttl| Value::Real(ttl.as_secs_f64()));
    let session = Write::new(&statements::ADD_SESSION, [text(token_hash(&token)), text(name), ttl]);
    change(database, name, "added token of user", &[name], session)?;
    Ok(token)
}
