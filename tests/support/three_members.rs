//! Repeats what a shell wrote as the groups of a log, on the files of three members.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use minimost_calls::database::{Group, MemberFile, Write, WriteError, WriteResult};
use minimost_calls::statements;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// What a shell wrote at one instant: its statements, each with the message of its refusal.
type Instant = Vec<(String, Option<String>)>;

/// The statements of a shell, in their order.
#[derive(Default)]
pub struct Recording {
    groups: Vec<(Group, Instant)>,
    /// The first statement that no log has: one that changes the schema, or does with the clock what only a shell does.
    pub exception: Option<String>,
}

impl Recording {
    /// Adds a statement that `shell` has run. `refusal` is the message of its error.
    pub fn add(&mut self, shell: &Connection, sql: &str, refusal: Option<String>) {
        let sql = sql.trim().trim_end_matches(';');
        let words: Vec<String> = sql.split_ascii_whitespace().take(4).map(str::to_ascii_lowercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if matches!(&*words, ["select" | "values", ..]) {
            return;
        }
        let clock = "SELECT pinned_ts, sweeps FROM clock";
        let clock: (Option<f64>, bool) = shell.query_row(clock, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let before = self.groups.last().map_or(0.0, |(group, _)| group.ts());
        let ts = match clock {
            (Some(ts), true) => ts,
            // The settings of a fixture come before it pins the clock.
            (None, true) if before == 0.0 => 0.0,
            _ => return self.except(sql),
        };
        let group = match &*words {
            ["insert", "into", "clock_step", ..] if refusal.is_none() => Group::of_step(ts, ts - before),
            ["insert", "into", "clock_pause", ..] if refusal.is_none() => Group::of_pause(ts),
            ["update", "clock", ..] if refusal.is_none() && ts >= before => Group::at(ts),
            ["insert" | "update" | "delete" | "replace" | "with", ..] if before == ts => {
                if self.groups.is_empty() {
                    self.groups.push((Group::at(ts), Instant::new()));
                }
                if let Some((_, instant)) = self.groups.last_mut() {
                    instant.push((sql.to_owned(), refusal));
                }
                return;
            }
            _ => return self.except(sql),
        };
        self.groups.push((group, Instant::new()));
    }

    fn except(&mut self, sql: &str) {
        self.exception.get_or_insert_with(|| sql.to_owned());
    }

    /// Applies the log to the files of three members, in transactions of different sizes, and compares each write's outcome and
    /// what the files contain with the `shell` and its file.
    ///
    /// # Errors
    /// What differs, or the statement that no log has.
    pub fn repeat(self, shell: &Connection) -> Result<(), String> {
        if let Some(exception) = self.exception {
            return Err(format!("no log has this: {exception}"));
        }
        if self.groups.last().is_some_and(|(group, _)| group.ts() == 0.0) {
            // The shell has not pinned its clock, so nothing was swept.
            shell.execute(statements::PIN_CLOCK.sql(), [0.0]).map_err(|error| error.to_string())?;
        }
        let instants: Vec<Instant> = self.groups.iter().map(|(_, instant)| instant.clone()).collect();
        let groups: Vec<Arc<Group>> = self
            .groups
            .into_iter()
            .map(|(group, instant)| Arc::new(group.then(instant.into_iter().map(|(sql, _)| Write::of_text(sql)))))
            .collect();
        let expected = content(shell);
        for size in [1, 3, groups.len().max(1)] {
            let folder = TempDir::new().map_err(|error| error.to_string())?;
            let path = folder.path().join("presence.db");
            fs::write(&path, new_file()).map_err(|error| error.to_string())?;
            let mut member = MemberFile::open(&path).map_err(|error| error.to_string())?;
            for (groups, instants) in groups.chunks(size).zip(instants.chunks(size)) {
                let outcomes = member.apply(groups).map_err(|error| error.to_string())?;
                for ((sql, refusal), outcome) in instants.iter().flatten().zip(outcomes.into_iter().flatten()) {
                    if !is_same_outcome(refusal.as_deref(), &outcome) {
                        return Err(format!("{sql}\nA shell: {refusal:?}. A member: {outcome:?}"));
                    }
                }
            }
            let found = content(&read_only(&path));
            let missing: Vec<_> = expected.difference(&found).collect();
            let surplus: Vec<_> = found.difference(&expected).collect();
            if !missing.is_empty() || !surplus.is_empty() {
                return Err(format!("only in the shell's file: {missing:#?}\nonly in a member's: {surplus:#?}"));
            }
        }
        Ok(())
    }
}

/// Whether a member refuses what a shell refused with the message `refusal`, by the same code.
fn is_same_outcome(refusal: Option<&str>, outcome: &Result<WriteResult, WriteError>) -> bool {
    match (refusal, outcome) {
        (None, outcome) => outcome.is_ok(),
        (Some(_), Ok(_)) => false,
        (Some(message), Err(WriteError::Refused { code, .. })) => message.ends_with(code),
        (Some(message), Err(error)) => error.to_string().ends_with(message),
    }
}

/// The bytes of a member's file without rows.
fn new_file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("presence.db");
        MemberFile::found(&path).unwrap();
        Connection::open(&path).unwrap().pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
        fs::read(&path).unwrap()
    })
}

fn read_only(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// The rows of all tables, but those of members, of the schema's versions, and where the clock is pinned.
fn content(connection: &Connection) -> BTreeSet<String> {
    let texts = |sql: &str| -> Vec<String> {
        let mut select = connection.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let tables = texts(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'cluster*' \
         AND name NOT GLOB 'refinery*' AND name NOT GLOB 'sqlite_stat*' ORDER BY name",
    );
    let rows = tables.iter().flat_map(|table| {
        let columns =
            texts(&format!("SELECT name FROM pragma_table_info('{table}') WHERE name NOT IN ('pinned_ts', 'sweeps')"));
        let quoted: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
        texts(&format!("SELECT '{table}: ' || {} FROM {table}", quoted.join(" || ', ' || ")))
    });
    rows.collect()
}
