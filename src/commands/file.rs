//! `check` and `stats`, about the database file.

use serde_json::{Map, Value as Json, json};

use super::output::{self, Columns};
use super::{CommandError, print_line};
use crate::command_line::Output;
use crate::database::Database;
use crate::statements::{self, Statement};

const PROBLEMS: Columns = &[("CHECK", "check"), ("PROBLEM", "problem")];

const STATISTICS: Columns = &[
    ("PEOPLE", "people"),
    ("ADMINS", "admins"),
    ("CHANNELS", "channels"),
    ("LIVE CALLS", "live_calls"),
    ("FINISHED CALLS", "finished_calls"),
    ("ACTIVE SHARES", "active_shares"),
    ("SESSIONS", "sessions"),
    ("SERVICE TOKENS", "service_tokens"),
    ("FILE BYTES", "file_bytes"),
    ("LOG BYTES", "log_bytes"),
];

/// The checks that a statement makes. Each selects what is wrong, or `ok`.
const CHECKS: [(&str, &Statement); 3] = [
    ("integrity_check", &statements::INTEGRITY_CHECK),
    ("foreign_key_check", &statements::FOREIGN_KEY_CHECK),
    ("integrity_violations", &statements::VIOLATIONS),
];

/// Checks the file, and prints each problem. Fails if there is one.
pub(super) fn check(database: &Database, output: Output) -> Result<(), CommandError> {
    let mut problems = Vec::new();
    let mut note = |check: &str, found: Vec<String>| {
        let wrong = found.into_iter().filter(|problem| problem != "ok");
        problems.extend(wrong.map(|problem| json!({ "check": check, "problem": problem }).to_string()));
    };
    for (check, statement) in CHECKS {
        note(check, output::select(database, statement, [])?);
    }
    note("rules", database.differing_rules()?);
    if problems.is_empty() && !output.json {
        return print_line("ok");
    }
    output::print_items(&problems, PROBLEMS, output)?;
    if problems.is_empty() { Ok(()) } else { Err(CommandError::Problems(problems.len())) }
}

/// Prints the counts of people, channels, calls and sessions, and the sizes of the files.
pub(super) fn stats(database: &Database, output: Output) -> Result<(), CommandError> {
    let counts = output::select(database, &statements::STATISTICS, [])?;
    // The database makes an object.
    let mut counts: Map<String, Json> =
        counts.first().and_then(|counts| serde_json::from_str(counts).ok()).unwrap_or_default();
    let (file, log) = database.sizes()?;
    counts.insert("file_bytes".to_owned(), file.into());
    counts.insert("log_bytes".to_owned(), log.into());
    output::print_item(&Json::Object(counts).to_string(), STATISTICS, output)
}
