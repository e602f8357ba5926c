//! The content of a state, as a hash.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Tables that never change in a search, whose content follows from the others, or whose limits are beyond its depth.
const LEFT_OUT: [&str; 8] =
    ["clock", "settings", "rules", "refinery_schema_history", "events", "clean_stop", "person_counts", "ring_counts"];

/// Columns that number rows or events: two sequences that lead to the same state differ in them.
const NUMBERS: [&str; 4] = ["id", "version", "visible_after", "events_after"];

/// Whose a row is: of the user who has the name now, or of an earlier one.
const IS_CURRENT: &str = "number IS (SELECT number FROM users WHERE username = stored.username)";

/// The users who were added after a call or share began.
const NEWER_USERS: &str = "(SELECT group_concat(username) FROM (SELECT username FROM users
  WHERE number > stored.newest_number ORDER BY username))";

/// A query a table, for the content of a state. Times are relative to the clock; those of what is over are only set or
/// not.
pub struct Content {
    queries: Vec<String>,
}

impl Content {
    pub fn new(sql: &Connection) -> Self {
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let tables = texts(sql, names).into_iter().filter(|table| !LEFT_OUT.contains(&table.as_str()));
        Self { queries: tables.map(|table| query(sql, &table)).collect() }
    }

    /// The hash of the state.
    pub fn hash(&self, sql: &Connection) -> u64 {
        let mut hasher = DefaultHasher::new();
        for query in &self.queries {
            query.hash(&mut hasher);
            let mut prepared = sql.prepare_cached(query).unwrap();
            let columns = prepared.column_count();
            let mut rows = prepared.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..columns {
                    match row.get_ref(column).unwrap() {
                        ValueRef::Null => 0.hash(&mut hasher),
                        ValueRef::Integer(integer) => integer.hash(&mut hasher),
                        ValueRef::Real(real) => real.to_bits().hash(&mut hasher),
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(&mut hasher),
                    }
                }
            }
        }
        hasher.finish()
    }
}

fn texts(sql: &Connection, query: &str) -> Vec<String> {
    let mut prepared = sql.prepare(query).unwrap();
    prepared.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn query(sql: &Connection, table: &str) -> String {
    let is_live = match table {
        "calls" => "is_live",
        "screenshares" => "state = 'active'",
        "call_participants" => "EXISTS (SELECT 1 FROM calls WHERE calls.call_id = stored.call_id AND is_live)",
        "call_media" | "share_media" => "is_init = 0",
        "users" | "sessions" | "private_channels" | "private_channel_members" | "call_signals" => "0",
        _ => "1",
    };
    let columns = texts(sql, &format!("SELECT name FROM pragma_table_info('{table}')"));
    let selected: Vec<String> = columns
        .iter()
        .map(|column| {
            if NUMBERS.contains(&column.as_str()) {
                format!("{column} IS NULL")
            } else if column == "number" {
                IS_CURRENT.to_owned()
            } else if column == "newest_number" {
                NEWER_USERS.to_owned()
            } else if column == "ts" || column.ends_with("_ts") {
                format!("CASE WHEN {is_live} THEN round({column} - (SELECT ts FROM now), 3) ELSE {column} IS NULL END")
            } else {
                column.clone()
            }
        })
        .collect();
    let order: Vec<String> = (1..=selected.len()).map(|number| number.to_string()).collect();
    format!("SELECT {} FROM {table} AS stored ORDER BY {}", selected.join(", "), order.join(", "))
}
