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

/// What a rollback journal of SQLite begins with (<https://sqlite.org/fileformat2.html#the_rollback_journal>).
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// What is said of a database that somebody else's program made.
const FOREIGN: &str = "a SQLite database, but not one of minimost-calls (files of the original MiniMost cannot be taken over); \
                       left unchanged";

/// The first bytes of a file, at most `count`; none if there is no file.
fn first_bytes(path: &Path, count: u64) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(count).read_to_end(&mut bytes).map_err(|error| OpenError::unusable(path, error))?;
            Ok(bytes)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(bytes),
        Err(error) => Err(OpenError::unusable(path, error)),
    }
}

/// Refuses a file of somebody else's by its first hundred bytes, which changes nothing. It must not run while this process has
/// the file open in SQLite: closing any descriptor of a file drops all POSIX locks that the process holds on it
/// (<https://sqlite.org/howtocorrupt.html>, section 2.2).
///
/// With a rollback journal beside it the file may hold half of a change that SQLite has yet to take back, such as the first
/// page of a file that a power loss kept from being created. Then only SQLite can tell, and [`kind`] asks it.
fn refuse_foreign_file(path: &Path) -> Result<(), OpenError> {
    let header = first_bytes(path, 100)?;
    let is_database = header.len() == 100 && header.starts_with(b"SQLite format 3\0");
    if header.is_empty() || (is_database && header[68..72] == APPLICATION_ID.to_be_bytes()) {
        return Ok(());
    }
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if first_bytes(Path::new(&journal), 8).is_ok_and(|first| first == JOURNAL_MAGIC) {
        return Ok(());
    }
    Err(OpenError::new(path, if is_database { FOREIGN } else { "not a SQLite database; left unchanged" }))
}

/// What kind of file SQLite has opened.
enum Kind {
    /// An empty one.
    New,
    /// One of this program's.
    Ours,
    /// One of another program's.
    Foreign,
}

/// Asks SQLite, which takes back what a journal says first: a file with a good header may turn out empty.
fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let application_id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(match (pages, application_id) {
        (0, _) => Kind::New,
        (_, APPLICATION_ID) => Kind::Ours,
        _ => Kind::Foreign,
    })
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
    // What a savepoint may have to put back is kept in memory; beyond 64 KiB, which one call can come to, it would be a file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// What is set once in the life of a file, before its first table: `auto_vacuum` has to come first, and the application id
/// before WAL so that it stands in the file itself from the start, where [`refuse_foreign_file`] looks. Both come in one
/// transaction: whoever is killed between them would leave a file that is nobody's.
fn prepare_new_file(connection: &Connection) -> rusqlite::Result<()> {
    // It must be a deferred one, because `auto_vacuum` is too late once the first page is begun.
    let transaction = connection.unchecked_transaction()?;
    transaction.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()?;
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
    refuse_foreign_file(path)?;
    let mut connection = open_connection(path).map_err(|error| OpenError::unusable(path, plain(&error)))?;

    // Two programs may create the same file at once: who comes second finds it locked, or a migration done. So try again, for
    // as long as a migration can take.
    let mut tries = 0;
    loop {
        let attempt = match kind(&connection) {
            Ok(Kind::New) => prepare_new_file(&connection),
            Ok(Kind::Ours) => Ok(()),
            Ok(Kind::Foreign) => return Err(OpenError::new(path, FOREIGN)),
            Err(error) => Err(error),
        }
        .map_err(|error| plain(&error))
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
