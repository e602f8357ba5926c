//! `token …`: bearer tokens of users, and of services.

use std::time::Duration;

use serde_json::json;

use super::output::{self, Columns};
use super::{CommandError, change, print_line};
use crate::command_line::{ServiceToken, TokenOptions};
use crate::database::{Database, Value, Write, text};
use crate::statements;
use crate::tokens::{new_token, token_hash};

const TOKENS: Columns = &[
    ("SERVICE", "name"),
    ("SCOPES", "scopes"),
    ("SINCE", "created_ts"),
    ("VALID UNTIL", "expires_ts"),
    ("EXPIRED", "expired"),
];

pub(super) fn run(database: &Database, options: TokenOptions) -> Result<(), CommandError> {
    let TokenOptions { command, name, service, scopes, ttl } = options;
    match (command, service) {
        (Some(ServiceToken::List(output)), _) => {
            output::list(database, &statements::SERVICE_TOKENS, [&"", &output::ALL], TOKENS, output)
        }
        (Some(ServiceToken::Revoke { name }), _) => {
            let revoke = Write::new(&statements::REVOKE_SERVICE_TOKEN, [text(&name)]);
            change(database, &name, "revoked service token", &[], revoke).map(drop)
        }
        (None, Some(service)) => print_line(&add_for_service(database, &service, scopes, ttl)?),
        (None, None) => print_line(&add(database, &name.unwrap_or_default(), ttl)?),
    }
}

/// Adds the token of a service and returns it. Without scopes, it may read metrics.
fn add_for_service(
    database: &Database,
    name: &str,
    mut scopes: Vec<String>,
    ttl: Option<Duration>,
) -> Result<String, CommandError> {
    if scopes.is_empty() {
        scopes.push("metrics".to_owned());
    }
    let token = new_token()?;
    let parameters = [text(name), text(token_hash(&token)), text(json!(scopes).to_string()), seconds(ttl)];
    let subject = format!("{name} for {}", scopes.join(" and "));
    change(database, &subject, "added service token", &[], Write::new(&statements::ADD_SERVICE_TOKEN, parameters))?;
    Ok(token)
}

/// A lifetime as a parameter. NULL is the setting `session_ttl`.
fn seconds(ttl: Option<Duration>) -> Value {
    ttl.map_or(Value::Null, |ttl| Value::Real(ttl.as_secs_f64()))
}

/// Adds a session for user `name` and returns its token. It lasts `ttl`, or the setting `session_ttl` without one.
pub(super) fn add(database: &Database, name: &str, ttl: Option<Duration>) -> Result<String, CommandError> {
    let token = new_token()?;
    let session = Write::new(&statements::ADD_SESSION, [text(token_hash(&token)), text(name), seconds(ttl)]);
    change(database, name, "added token of user", &[name], session)?;
    Ok(token)
}
