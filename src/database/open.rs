//! Opening the file: whether it is ours, the settings of a connection, and migrations.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Duration;

use refinery::Runner;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::OpenError;

mod embedded {
    refinery::embed_migrations!("sql");
}

/// The number at offset 68 of the file by which it is known to be ours, "MmCa" in ASCII.
/// See <https://sqlite.org/fileformat2.html#application_id>.
pub const APPLICATION_ID: i32 = 0x4d6d_4361;

/// How long a statement waits for somebody else's lock before it answers that the file is busy. The writer tries again until
/// its deadline, so for it this is only the time between two looks at its queue.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// The migrations in `sql/` as they were when this program was built, each in one transaction with the note that it ran.
#[must_use]
pub fn migrations() -> Runner {
    embedded::migrations::runner().set_grouped(true)
}

/// What kind of file stands at a path.
enum Kind {
    /// None, or an empty one.
    New,
    /// One of this program's.
    Ours,
}

/// Reads the first hundred bytes of the file, which changes nothing. It must not run while this process has the file open in
/// SQLite: closing any descriptor of a file drops all POSIX locks that the process holds on it
/// (<https://sqlite.org/howtocorrupt.html>, section 2.2).
fn kind_of_file(path: &Path) -> Result<Kind, OpenError> {
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(100).read_to_end(&mut header).map_err(|error| OpenError::unusable(path, error))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kind::New),
        Err(error) => return Err(OpenError::unusable(path, error)),
    }
    if header.is_empty() {
        return Ok(Kind::New);
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(OpenError::new(path, "not a SQLite database; left unchanged"));
    }
    if header[68..72] == APPLICATION_ID.to_be_bytes() {
        Ok(Kind::Ours)
    } else {
        Err(OpenError::new(
            path,
            "a SQLite database, but not one of minimost-calls (files of the original MiniMost cannot be taken over); \
             left unchanged",
        ))
    }
}

/// Opens a connection to the file at `path` with the settings that every connection of this program has.
///
/// # Errors
/// What SQLite says.
pub fn open_connection(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Without this, statements with a range condition (`id > ?`) are prepared anew at nearly every execution.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// What is set once in the life of a file, before its first table: `auto_vacuum` has to come first, and the application id
/// before WAL so that it stands in the file itself from the start, where [`kind_of_file`] looks.
fn prepare_new_file(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    use_wal(connection)
}

/// WAL is noted in the file, but a copy made by `VACUUM INTO` or out of a `.dump` has lost it, and readers and the writer would
/// then wait for each other. Where it is on, this changes nothing.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    Ok(())
}

/// Opens the file, creating it if it is not there, and migrates it.
pub(super) fn open_and_migrate(path: &Path) -> Result<Connection, OpenError> {
    let kind = kind_of_file(path)?;
    let mut connection = open_connection(path).map_err(|error| OpenError::unusable(path, plain(&error)))?;

    // Two programs may create the same file at once: who comes second finds it locked, or a migration done. So try again, for
    // as long as a migration can take.
    let mut tries = 0;
    loop {
        let attempt = match kind {
            Kind::New => prepare_new_file(&connection).map_err(|error| plain(&error)),
            Kind::Ours => Ok(()),
        }
        .and_then(|()| migrate(&mut connection))
        .and_then(|()| use_wal(&connection).map_err(|error| plain(&error)));
        match attempt {
            Ok(()) => return Ok(connection),
            Err(message) if tries == 50 || message.starts_with("of another version") => {
                return Err(OpenError::new(path, &message));
            }
            Err(_) => {
                tries += 1;
                thread::sleep(BUSY_TIMEOUT);
            }
        }
    }
}

fn migrate(connection: &mut Connection) -> Result<(), String> {
    use refinery::error::Kind::{DivergentVersion, MissingVersion};
    match migrations().run(connection) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            DivergentVersion(..) | MissingVersion(..) => {
                "of another version of minimost-calls; left unchanged".to_owned()
            }
            _ => std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        }),
    }
}

/// SQLite's message without the path that rusqlite adds to it: our lines begin with it already.
fn plain(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.to_string(),
        other => other.to_string(),
    }
}

/// Held by the one server of a file for as long as it runs: a second one would end the first one's calls when it starts.
/// The lock is flock(2)'s, which SQLite does not use, so nobody else notices it.
#[derive(Debug)]
pub struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// Takes the lock of the database at `path`, which must exist. Keep it until every connection is closed.
    ///
    /// # Errors
    /// When another server holds it.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|error| OpenError::unusable(path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::new(path, "another server is running on this file")),
            Err(TryLockError::Error(error)) => Err(OpenError::unusable(path, error)),
        }
    }
}
