//! Runs every `fixtures/*.slt`: the rules in SQL, each on a file of its own, as each kind of writer opens it.
//!
//! A rule must hold whoever writes, so a fixture runs three times: with this program's settings, with recursive triggers
//! on beside them, and as a bare shell has the file, without foreign keys.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use minimost_calls::database::{Database, open_connection};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner, strict_column_validator};
use tempfile::TempDir;

/// How the file is opened.
#[derive(Clone, Copy)]
enum Variant {
    /// As the server and the commands do.
    Program,
    /// The same with recursive triggers, which an admin's `.sqliterc` may switch on.
    RecursiveTriggers,
    /// As a shell without settings does: neither foreign keys nor recursive triggers.
    BareShell,
}

impl Variant {
    const ALL: [Self; 3] = [Self::Program, Self::RecursiveTriggers, Self::BareShell];

    fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::RecursiveTriggers => "recursive_triggers",
            Self::BareShell => "bare_shell",
        }
    }

    fn open(self, path: &Path) -> rusqlite::Result<Connection> {
        match self {
            Self::Program | Self::RecursiveTriggers => {
                let connection = open_connection(path)?;
                connection.pragma_update(None, "recursive_triggers", matches!(self, Self::RecursiveTriggers))?;
                Ok(connection)
            }
            Self::BareShell => {
                let connection = Connection::open(path)?;
                // The SQLite that comes with rusqlite has foreign keys on by default; a distribution's shell does not.
                connection.pragma_update(None, "foreign_keys", false)?;
                Ok(connection)
            }
        }
    }
}

/// SQLite's own message, without what rusqlite puts around it: the code of a refusal, and nothing else.
#[derive(Debug)]
struct Message(rusqlite::Error);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            rusqlite::Error::SqliteFailure(_, Some(message)) => f.write_str(message),
            rusqlite::Error::SqlInputError { msg, .. } => f.write_str(msg),
            other => other.fmt(f),
        }
    }
}

impl std::error::Error for Message {}

impl From<rusqlite::Error> for Message {
    fn from(error: rusqlite::Error) -> Self {
        Self(error)
    }
}

/// sqllogictest's way to the database.
struct Adapter(Connection);

impl DB for Adapter {
    type Error = Message;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Self::ColumnType>, Message> {
        // A second statement in `sql` would be an error, not left out without a word.
        let mut statement = self.0.prepare(sql)?;
        let columns = statement.column_count();
        let mut answered = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            answered.push((0..columns).map(|column| Ok(text(row.get_ref(column)?))).collect::<Result<_, Message>>()?);
        }
        if columns == 0 {
            return Ok(DBOutput::StatementComplete(self.0.changes()));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows: answered })
    }
}

/// How fixtures spell a value: a REAL always with its point, so that 1030.0 is not taken for an integer.
fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) => format!("{real:?}"),
        ValueRef::Text([]) => "(empty)".to_owned(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Runs one fixture on a copy of `template`, and then asks what must always be true.
fn run_fixture(fixture: &Path, variant: Variant, template: &Path) -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let db = folder.path().join("presence.db");
    fs::copy(template, &db)?;

    let mut runner = Runner::new(|| {
        let opened = variant.open(&db).map(Adapter).map_err(Message);
        async { opened }
    });
    runner.with_column_validator(strict_column_validator_by_count);
    runner.run_file(fixture).map_err(|error| error.display(false).to_string())?;
    runner.shutdown();
    drop(runner);

    if !name_of(fixture).starts_with("integrity_") {
        let connection = Connection::open(&db)?;
        for (question, answer) in [
            ("SELECT violation FROM integrity_violations", vec![]),
            ("SELECT \"table\" FROM pragma_foreign_key_check", vec![]),
            ("PRAGMA integrity_check", vec!["ok".to_owned()]),
        ] {
            if strings(&connection, question)? != answer {
                return Err(format!("{question}: {:?}", strings(&connection, question)?).into());
            }
        }
    }
    Ok(())
}

/// Columns of SQLite have no types of their own, but a fixture must name as many as there are.
#[allow(clippy::ptr_arg)]
fn strict_column_validator_by_count(actual: &Vec<DefaultColumnType>, expected: &Vec<DefaultColumnType>) -> bool {
    let untyped = vec![DefaultColumnType::Any; expected.len()];
    strict_column_validator(actual, &untyped)
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn strings(connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}

/// What stands between `before` and `after` in the text, wherever it does.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

/// Fails unless every rule of the schema is named in a fixture, and every refusal expected in one.
fn every_rule_has_a_fixture(fixtures: &[PathBuf], template: &Path) -> Result<(), Failed> {
    let mut comments = String::new();
    let mut refusals = BTreeSet::new();
    for fixture in fixtures {
        for line in fs::read_to_string(fixture)?.lines() {
            if let Some(message) = line.strip_prefix("statement error ^") {
                let code = message.trim_end_matches('$');
                refusals.insert(code.rsplit(' ').next().unwrap_or(code).to_owned());
            } else if let Some(comment) = line.strip_prefix('#') {
                comments.push_str(comment);
            }
        }
    }
    let named: BTreeSet<&str> = comments.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();

    let connection = Connection::open(template)?;
    let mut missing = Vec::new();
    for trigger in strings(&connection, "SELECT name FROM sqlite_schema WHERE type = 'trigger'")? {
        if !named.contains(trigger.as_str()) {
            missing.push(format!("no fixture names the trigger {trigger}"));
        }
    }
    let schema = strings(&connection, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?.join("\n");
    let codes = between(&schema, "RAISE(ABORT, '", "'");
    let checks = between(&schema, "CONSTRAINT ", " CHECK");
    for code in codes.chain(checks).collect::<BTreeSet<_>>() {
        if !refusals.contains(code) {
            missing.push(format!("no fixture expects the refusal {code}"));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}

fn main() {
    let arguments = Arguments::from_args();
    let folder = TempDir::new().unwrap();
    let template = folder.path().join("template.db");
    Database::open(&template).unwrap().close();
    // The copies are of this one file, so what is still in its write-ahead log has to come into it.
    Connection::open(&template)
        .and_then(|connection| connection.pragma_update(None, "wal_checkpoint", "TRUNCATE"))
        .unwrap();

    let mut fixtures: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    fixtures.sort();

    let mut trials = Vec::new();
    for fixture in &fixtures {
        for variant in Variant::ALL {
            let (path, template) = (fixture.clone(), template.clone());
            let name = format!("{}::{}", name_of(fixture), variant.name());
            trials.push(Trial::test(name, move || run_fixture(&path, variant, &template)));
        }
    }
    let file = template.clone();
    trials.push(Trial::test("every_rule_has_a_fixture", move || every_rule_has_a_fixture(&fixtures, &file)));

    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(folder);
    conclusion.exit()
}
