//! Output: an aligned table with a header on a terminal, lines of cells between tabs in a pipe, or JSON.

use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::ToSql;
use serde_json::{Map, Value as Json};
use tabwriter::TabWriter;

use super::{CommandError, print_line};
use crate::command_line::Output;
use crate::database::Database;
use crate::statements::Statement;

/// The last second of the year 9999, the latest time that the database stores.
const LAST_TS: f64 = 253_402_300_799.0;

/// The most items that a statement selects: SQLite takes -1 for no limit.
pub(super) const ALL: i64 = -1;

/// The members of JSON objects that a list or a thing shows, each with its heading.
pub(super) type Columns = &'static [(&'static str, &'static str)];

/// Prints the items that `statement` selects as JSON in its first column.
pub(super) fn list<const N: usize>(
    database: &Database,
    statement: &'static Statement,
    parameters: [&dyn ToSql; N],
    columns: Columns,
    output: Output,
) -> Result<(), CommandError> {
    print_items(&select(database, statement, parameters)?, columns, output)
}

/// The items that `statement` selects as JSON in its first column.
pub(super) fn select<const N: usize>(
    database: &Database,
    statement: &'static Statement,
    parameters: [&dyn ToSql; N],
) -> Result<Vec<String>, CommandError> {
    Ok(database.read(|snapshot| snapshot.rows(statement, parameters, |row| row.get::<_, String>(0)))?)
}

/// Prints items, each a JSON object.
pub(super) fn print_items(items: &[String], columns: Columns, output: Output) -> Result<(), CommandError> {
    if output.json {
        return print_line(&format!("[{}]", items.join(",\n ")));
    }
    let rows = items.iter().map(|item| {
        let item = object(item);
        columns.iter().map(|(_, member)| cell(member, item.get(*member))).collect()
    });
    print_rows(Some(columns), &rows.collect::<Vec<_>>())
}

/// Prints one item, a JSON object, with a line for each of its members that `columns` name.
pub(super) fn print_item(item: &str, columns: Columns, output: Output) -> Result<(), CommandError> {
    if output.json {
        return print_line(item);
    }
    let item = object(item);
    let rows = columns.iter().map(|(heading, member)| vec![heading.to_lowercase(), cell(member, item.get(*member))]);
    print_rows(None, &rows.collect::<Vec<_>>())
}

/// Prints rows of cells, on a terminal aligned, and below the headings of `columns`.
fn print_rows(columns: Option<Columns>, rows: &[Vec<String>]) -> Result<(), CommandError> {
    let lines: String = rows.iter().map(|cells| cells.join("\t") + "\n").collect();
    if !io::stdout().is_terminal() {
        return Ok(io::stdout().write_all(lines.as_bytes())?);
    }
    let mut table = TabWriter::new(io::stdout());
    if let Some(columns) = columns {
        let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
        writeln!(table, "{}", headings.join("\t"))?;
    }
    table.write_all(lines.as_bytes())?;
    Ok(table.flush()?)
}

/// The database makes objects only.
fn object(item: &str) -> Map<String, Json> {
    serde_json::from_str(item).unwrap_or_default()
}

/// A member as people read it. One whose name ends with `_ts` is a time.
fn cell(member: &str, value: Option<&Json>) -> String {
    let text = match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(Json::Array(items)) => items.iter().map(|item| cell("", Some(item))).collect::<Vec<_>>().join(", "),
        Some(Json::Object(members)) if members.contains_key("username") => {
            format!("{} ({})", cell("", members.get("username")), cell("", members.get("state")))
        }
        Some(Json::Number(number)) if member.ends_with("_ts") => time(number.as_f64().unwrap_or_default()),
        Some(value) => value.to_string(),
    };
    // A cell is on one line, between tabs.
    text.replace(char::is_control, " ")
}

/// A time in UTC, to the second, such as `2026-01-31T12:00:00Z`. One before 1970 is the number.
fn time(ts: f64) -> String {
    if !(0.0..=LAST_TS).contains(&ts) {
        return ts.to_string();
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs_f64(ts)).to_string()
}
