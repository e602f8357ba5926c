//! Taking over the files of the original MiniMost. `sql/import/` says what each row becomes; this module checks that the
//! original is stopped, reads its files, and runs that SQL while the rules are dropped.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
use url::Url;

use super::files::with_suffix;
use super::open::{self, OpenError, OpenProblem};
use super::schema;

/// The temporary tables with the columns that are read.
const SOURCE: &str = include_str!("../../sql/import/source.sql");

/// What becomes of their rows, and the report about it.
const TARGET: &str = include_str!("../../sql/import/target.sql");

/// The bytes that SQLite locks, from the pending byte on (<https://sqlite.org/lockingv3.html>). A connection that has read
/// a file in WAL mode holds one of them until it closes.
const LOCKED_BYTES: (u64, u64) = (0x4000_0000, 512);

/// Tables by which a presence.db and an auth.db of the original are recognised.
const PRESENCE_TABLES: [&str; 4] = ["call_participants", "private_channel_members", "read_receipts", "typing"];
const AUTH_TABLES: [&str; 3] = ["password_reset_tokens", "user_settings", "users"];

/// The two files of the original that are read.
#[derive(Debug)]
pub struct Originals {
    /// Its `presence.db`: channels, calls and screen shares.
    pub presence: PathBuf,
    /// Its `auth.db`: users and password hashes.
    pub auth: PathBuf,
}

/// A line about what was taken over or left out, with a number where there is one.
pub type ReportLine = (String, Option<i64>);

/// Copies users, private channels, calls and screen shares from the files of a stopped original into the file at `path`,
/// which is created if it does not exist. It emits no events. Returns a report.
///
/// # Errors
/// A file of the original is missing, is another program's, or is in use. The file at `path` cannot be opened, has users,
/// channels, calls or shares, or a server is running on it. The copied rows break a rule. Then neither has changed.
pub fn import(path: &Path, originals: &Originals) -> Result<Vec<ReportLine>, OpenError> {
    let before = originals.check()?;
    if fs::metadata(path).map_or(true, |file| file.len() == 0) {
        // An import that fails must not create a file.
        let rehearse = || {
            let mut connection = Connection::open_in_memory()?;
            schema::upgrade(&mut connection)?;
            Ok(connection)
        };
        let mut connection = rehearse().map_err(|problem: OpenProblem| problem.at(path))?;
        originals.read(&connection)?;
        copy(&mut connection).map_err(|problem| problem.at(path))?;
    }
    let mut opened = open::open_alone(path)?;
    originals.read(&opened.connection)?;
    if originals.check()? != before {
        return Err(OpenProblem::InUse.at(&originals.presence));
    }
    copy(&mut opened.connection).map_err(|problem| problem.at(path))
}

/// Whether the file at `path`, which is a SQLite database, is the original's. Nothing is locked or written.
pub(super) fn is_original(path: &Path) -> bool {
    let has_all = |names: &[&str]| -> Result<bool, OpenProblem> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(immutable(path)?, flags)?;
        names.iter().try_fold(true, |all, name| Ok(all && connection.table_exists(None, *name)?))
    };
    has_all(&PRESENCE_TABLES).unwrap_or(false) || has_all(&AUTH_TABLES).unwrap_or(false)
}

/// The URI by which SQLite reads a file without its log, without locks, and without writing.
fn immutable(path: &Path) -> Result<String, OpenProblem> {
    let mut uri = Url::from_file_path(absolute(path)?).map_err(|()| OpenProblem::EmptyPath)?;
    uri.set_query(Some("immutable=1"));
    Ok(uri.into())
}

/// What changes when a program writes to a file: its inode, its size and the time of the change in nanoseconds.
type Version = (u64, u64, i64, i64);

impl Originals {
    /// The files, with the names that the original gives them.
    fn files(&self) -> [(&'static str, &Path); 2] {
        [("presence", &self.presence), ("auth", &self.auth)]
    }

    /// Refuses what is no database of a stopped server. Returns the versions of the files.
    fn check(&self) -> Result<[Version; 2], OpenError> {
        let [presence, auth] = self.files().map(|(_, path)| check_stopped(path).map_err(|problem| problem.at(path)));
        Ok([presence?, auth?])
    }

    /// Creates the tables of `source.sql` in `connection`, and fills them.
    fn read(&self, connection: &Connection) -> Result<(), OpenError> {
        connection.execute_batch(SOURCE).map_err(|error| OpenProblem::from(error).at(&self.presence))?;
        for (schema, path) in self.files() {
            read_file(connection, schema, path).map_err(|problem| problem.at(path))?;
        }
        Ok(())
    }
}

/// Refuses a file that is no database, or that another program may still write to: what stands in its log, or in a rollback
/// journal, would be missing.
fn check_stopped(path: &Path) -> Result<Version, OpenProblem> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenProblem::Missing),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a directory" } else { "a device, pipe or socket" };
        return Err(OpenProblem::NotAFile(kind));
    }
    let file = File::open(path)?;
    let mut header = Vec::new();
    (&file).take(16).read_to_end(&mut header)?;
    if header != b"SQLite format 3\0" {
        return Err(OpenProblem::NotADatabase);
    }
    let bytes = Flock {
        start: LOCKED_BYTES.0,
        length: LOCKED_BYTES.1,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    if fcntl_getlk(&file, &bytes).map_err(io::Error::from)?.is_some() {
        return Err(OpenProblem::InUse);
    }
    for suffix in ["-wal", "-journal"] {
        if fs::metadata(with_suffix(path, suffix)).is_ok_and(|log| log.len() > 0) {
            return Err(OpenProblem::HasLog(suffix));
        }
    }
    Ok((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Fills the tables whose names begin with that of the file, `schema`.
fn read_file(connection: &Connection, schema: &'static str, path: &Path) -> Result<(), OpenProblem> {
    connection.execute(&format!("ATTACH ?1 AS {schema}"), [immutable(path)?])?;
    let mut tables =
        connection.prepare("SELECT name FROM temp.sqlite_schema WHERE type = 'table' AND name GLOB ?1 || '_*'")?;
    let tables: Vec<String> = tables.query_map([schema], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for table in tables {
        read_table(connection, schema, &table)?;
    }
    Ok(connection.execute_batch(&format!("DETACH {schema}"))?)
}

/// Fills one table with the columns that the file has, and counts the rows that break a CHECK.
fn read_table(connection: &Connection, schema: &'static str, table: &str) -> Result<(), OpenProblem> {
    let source = &table[schema.len() + 1..];
    let mut columns = connection.prepare(
        "SELECT own.name, own.dflt_value IS NULL, theirs.name IS NOT NULL FROM pragma_table_info(?1, 'temp') AS own \
         LEFT JOIN pragma_table_info(?2, ?3) AS theirs ON theirs.name = own.name",
    )?;
    let columns: Vec<(String, bool, bool)> = columns
        .query_map([table, source, schema], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    if columns.iter().any(|(_, is_needed, is_there)| *is_needed && !is_there) {
        return Err(OpenProblem::NotOriginal(schema));
    }
    let there: Vec<_> = columns.into_iter().filter(|(_, _, is_there)| *is_there).map(|(name, ..)| name).collect();
    if there.is_empty() {
        return Ok(());
    }
    let there = there.join(", ");
    connection.execute_batch(&format!(
        "INSERT OR IGNORE INTO temp.{table} ({there}) SELECT {there} FROM {schema}.{source}; \
         INSERT INTO skipped (name, count) SELECT '{source}', count(*) - changes() FROM {schema}.{source}"
    ))?;
    Ok(())
}

/// Runs `target.sql` in one transaction, without the rules, and checks the result by the rules. Returns the report.
fn copy(connection: &mut Connection) -> Result<Vec<ReportLine>, OpenProblem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !open::is_unused(&transaction)? {
        return Err(OpenProblem::NotUnused);
    }
    schema::without_rules(&transaction, || transaction.execute_batch(TARGET))?;
    let violations = "SELECT group_concat(violation, '; ') FROM (SELECT violation FROM integrity_violations LIMIT 3)";
    if let Some(violations) = transaction.query_row(violations, [], |row| row.get(0))? {
        return Err(OpenProblem::Violations(violations));
    }
    let report = {
        let mut lines = transaction.prepare("SELECT line, count FROM report ORDER BY id")?;
        lines.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    transaction.commit()?;
    Ok(report)
}
