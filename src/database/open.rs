//! Opening a database file: checks that the file is this program's, configures connections, and upgrades the schema.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use thiserror::Error;

use super::ReadError;
use super::error::plain_message;
use super::files::{self, Identity, OpenFiles, PathLock, Replaced, identity, with_suffix};
use super::import;
use super::schema::{self, SchemaError};
use crate::statements;

/// The number at offset 68 of the file that marks it as this program's, `MmCa` in ASCII.
/// See <https://sqlite.org/fileformat2.html#application_id>.
pub const APPLICATION_ID: i32 = 0x4d6d_4361;

/// How long a statement waits for another program's lock before SQLite reports that the file is busy. The writer
/// retries until the deadline of each write.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// How often opening retries while another program creates or upgrades the file, [`BUSY_TIMEOUT`] apart.
const RETRIES: u32 = 50;

/// How often a server retries to take its lock, [`BUSY_TIMEOUT`] apart. A command that creates the file holds the
/// lock briefly.
const LOCK_RETRIES: u32 = 5;

/// A clean stop is followed by the last checkpoint, which changes the file within this many seconds.
const LAST_CHECKPOINT_MAX: f64 = 15.0;

/// The magic number of a SQLite rollback journal (<https://sqlite.org/fileformat2.html#the_rollback_journal>).
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Why a database file cannot be opened: one line that names the file.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct OpenError {
    path: PathBuf,
    #[source]
    problem: OpenProblem,
}

/// What is wrong with a database file.
#[derive(Debug, Error)]
pub enum OpenProblem {
    /// No path was given.
    #[error("the path of the database file is empty")]
    EmptyPath,
    /// There is no file, and the command does not create one.
    #[error("there is no such file")]
    Missing,
    /// A backup goes into a new file.
    #[error("there is a file of that name already; left unchanged")]
    Exists,
    /// It has no content, and the command does not create a database.
    #[error("an empty file, not a database; left unchanged")]
    Empty,
    /// It is a directory, a device or a socket.
    #[error("{0}, not a file")]
    NotAFile(&'static str),
    /// It has another format.
    #[error("not a SQLite database; left unchanged")]
    NotADatabase,
    /// Another program made it.
    #[error("a SQLite database, but not one of minimost-calls; left unchanged")]
    Foreign,
    /// The original MiniMost made it.
    #[error(
        "a file of the original MiniMost; left unchanged. To take it over into a new file: minimost-calls --db NEW import \
         --presence FILE --auth FILE"
    )]
    Original,
    /// An import needs another file of the original MiniMost, `presence` or `auth`.
    #[error("not the file {0}.db of an original MiniMost, version 0.0.2 or newer; left unchanged")]
    NotOriginal(&'static str),
    /// An import would miss what is still in the log or the rollback journal of the original.
    #[error(
        "its {0} file is not empty, so the original MiniMost is running, or did not stop cleanly; stop it, \
         or start and stop it once more"
    )]
    HasLog(&'static str),
    /// An import could read half a change.
    #[error("another program has the file open; stop the original MiniMost first")]
    InUse,
    /// An import needs a file without users, channels, calls and shares.
    #[error("there are users, channels or calls in the file already; import into a new file")]
    NotUnused,
    /// An import would break rules.
    #[error("the rows to import break rules, so nothing was imported: {0}")]
    Violations(String),
    /// A newer version of this program, or a development version, made it.
    #[error("of another version of minimost-calls; left unchanged")]
    OtherVersion,
    /// Another server has the lock.
    #[error("another server is running on this file")]
    ServerRunning,
    /// A cluster's log writes to the file.
    #[error("the file of a cluster's member; serve it with --cluster and --node, or stop it and run: cluster leave")]
    Member,
    /// The file is no member's.
    #[error("the file of a single server, not of a cluster's member")]
    NoMember,
    /// A member of a cluster gets its file from the others.
    #[error("there are users, channels or calls in the file already; a new member starts with a new file")]
    NotNew,
    /// A server is running on the file by another name of it, a hard link. That name has another write-ahead log.
    #[error("a server is running on this file under another name, a hard link")]
    OtherName,
    /// The file has to be upgraded, and a server of the earlier version has the lock.
    #[error("a server of an earlier version is running on this file; stop it, and start this version's server")]
    UpgradeNeeded,
    /// The folder does not exist, so the file cannot be created.
    #[error("its folder does not exist")]
    NoFolder,
    /// The file, or its folder, cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// SQLite cannot use the file.
    #[error("{}", plain_message(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// Another program replaced the file while it was opened.
    #[error(transparent)]
    Replaced(#[from] Replaced),
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migration(#[source] refinery::Error),
    /// The rules of the file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl OpenProblem {
    /// The error about the file at `path`.
    pub(super) fn at(self, path: &Path) -> OpenError {
        OpenError { path: path.to_owned(), problem: self }
    }

    /// Whether another program that is using the file may be the reason, so that a retry can help.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Sqlite(_) | Self::Migration(_) | Self::UpgradeNeeded)
    }
}

impl From<SchemaError> for OpenProblem {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::OtherVersion => Self::OtherVersion,
            SchemaError::Sqlite(error) => Self::Sqlite(error),
            SchemaError::Migration(error) => Self::Migration(error),
        }
    }
}

/// At most the first `count` bytes of a file, which must be writable. Empty if the file does not exist.
fn first_bytes(path: &Path, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file.take(count).read_to_end(&mut bytes).map(|_| bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(error) => Err(error),
    }
}

/// Refuses another program's file by its first hundred bytes, without changing it. It must not run while this process
/// has the file open in SQLite: closing any descriptor of a file drops all POSIX locks that the process holds on it
/// (<https://sqlite.org/howtocorrupt.html>, section 2.2).
///
/// With a rollback journal beside it the file may hold half a change, such as the first page of a file that a power
/// loss kept from being created. Then only SQLite can tell, and [`kind`] asks it.
fn refuse_foreign_file(path: &Path) -> Result<(), OpenProblem> {
    if path.as_os_str().is_empty() {
        return Err(OpenProblem::EmptyPath);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.exists()) {
        return Err(OpenProblem::NoFolder);
    }
    // Opening a pipe would wait for its other end.
    if let Some(kind) = fs::metadata(path).ok().map(|metadata| metadata.file_type()).filter(|kind| !kind.is_file()) {
        return Err(OpenProblem::NotAFile(if kind.is_dir() { "a directory" } else { "a device, pipe or socket" }));
    }
    let header = first_bytes(path, 100)?;
    let is_database = header.len() == 100 && header.starts_with(b"SQLite format 3\0");
    if header.is_empty() || (is_database && header[68..72] == APPLICATION_ID.to_be_bytes()) {
        return Ok(());
    }
    if first_bytes(&with_suffix(path, "-journal"), 8).is_ok_and(|first| first == JOURNAL_MAGIC) {
        return Ok(());
    }
    Err(match is_database {
        true if import::is_original(path) => OpenProblem::Original,
        true => OpenProblem::Foreign,
        false => OpenProblem::NotADatabase,
    })
}

/// What kind of file SQLite has opened.
enum Kind {
    Empty,
    Ours,
    Foreign,
}

/// Asks SQLite, which rolls a journal back first: a file with a good header may turn out empty.
fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let application_id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(match (pages, application_id) {
        (0, _) => Kind::Empty,
        (_, APPLICATION_ID) => Kind::Ours,
        _ => Kind::Foreign,
    })
}

/// Opens a connection to the file at `path`, which must exist, with the settings that every connection of this program
/// has.
///
/// # Errors
/// If SQLite cannot open the file.
pub fn open_connection(path: &Path) -> rusqlite::Result<Connection> {
    // An import attaches files by their URI.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    // SQLite reads `:memory:` and `file:…` as something else than a path, unless the path is absolute.
    let path = absolute(path).map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Without this, SQLite prepares statements with a range condition (`id > ?`) again at nearly every execution.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // `synchronous` is FULL unless it is set, for which SQLite would read the schema: two megabytes of each connection.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // The undo log of a savepoint stays in memory. Beyond 64 KiB, which one call can reach, it would be a file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Makes the settings of a new file that have to precede its first table. `auto_vacuum` has to come first, and the
/// application id before WAL, so that it is in the file itself, where [`refuse_foreign_file`] reads it. Both come in
/// one transaction: a kill between them would leave a foreign file.
fn prepare_new_file(connection: &Connection) -> rusqlite::Result<()> {
    // It must be deferred: `auto_vacuum` is too late once the first page is begun.
    let transaction = connection.unchecked_transaction()?;
    transaction.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()?;
    use_wal(connection)
}

/// The file stores its journal mode, but a copy by `VACUUM INTO` or from a `.dump` loses it, and readers and the writer
/// would then wait for each other. Where WAL is on, this changes nothing.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    // The first read opens the log and its index.
    connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
    Ok(())
}

/// An open file.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) files: OpenFiles,
    /// A server's lock, or that of a command that has upgraded the file. Even when released it must outlive all
    /// connections: closing its descriptor would drop their POSIX locks.
    pub(super) lock: Option<ServerLock>,
}

/// Opens the file for a server: takes the lock first, then upgrades the file. It is created if it does not exist.
pub(super) fn open_for_server(path: &Path) -> Result<Opened, OpenError> {
    // Before SQLite writes to the file.
    let changed_ts = changed_ts(path);
    let opened = open_alone(path)?;
    if is_member(&opened.connection).map_err(|error| OpenProblem::from(error).at(path))? {
        return Err(OpenProblem::Member.at(path));
    }
    retry(RETRIES, OpenProblem::is_transient, || Ok(begin_run(&opened.connection, changed_ts)?))
        .map_err(|problem| problem.at(path))?;
    Ok(opened)
}

/// Opens the file with the lock of a server, and upgrades it. It is created if it does not exist.
pub(super) fn open_alone(path: &Path) -> Result<Opened, OpenError> {
    let open = || {
        refuse_foreign_file(path)?;
        files::create(path)?;
        let lock =
            retry(LOCK_RETRIES, |problem| matches!(problem, OpenProblem::ServerRunning), || ServerLock::take(path))?;
        let mut connection = open_connection(path)?;
        retry(RETRIES, OpenProblem::is_transient, || {
            prepare_file(&connection)?;
            // The rules of a member change through the log.
            if is_member(&connection)? {
                schema::refuse_newer_rules(&connection)?;
            } else {
                schema::upgrade(&mut connection)?;
            }
            Ok(use_wal(&connection)?)
        })?;
        let files = OpenFiles::record(path)?;
        // The lock must be on the file that SQLite has opened.
        if lock.identity()? != files.database() {
            return Err(OpenProblem::ServerRunning);
        }
        Ok(Opened { connection, files, lock: Some(lock) })
    };
    open().map_err(|problem: OpenProblem| problem.at(path))
}

/// Whether the file is a cluster's member's.
pub(super) fn is_member(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema::has_table(connection, "cluster")?
        && connection.prepare(statements::CLUSTER.sql())?.query([])?.next()?.is_some())
}

/// Whether the file has no users, channels, calls and shares.
pub(super) fn is_unused(connection: &Connection) -> rusqlite::Result<bool> {
    let is_used = "SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM private_channels) \
                   OR EXISTS (SELECT 1 FROM calls) OR EXISTS (SELECT 1 FROM screenshares)";
    connection.query_row(is_used, [], |row| row.get::<_, bool>(0)).map(|is_used| !is_used)
}

/// The time of the last change of the file at `path`, in seconds since the epoch. No program can set it back. `None` if
/// there is no file.
fn changed_ts(path: &Path) -> Option<f64> {
    fs::metadata(path).ok().map(|file| file.ctime() as f64)
}

/// Begins the run of a server. After an unclean stop, or in a file that was changed long after its clean stop, which is
/// what a restored copy looks like, ids skip those that clients may have.
fn begin_run(connection: &Connection, changed_ts: Option<f64>) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let stopped_ts: Option<f64> =
        transaction.query_row(statements::CLEAN_STOP.sql(), [], |row| row.get(0)).optional()?.flatten();
    let is_restored = match (changed_ts, stopped_ts) {
        (Some(changed), Some(stopped)) => changed > stopped + LAST_CHECKPOINT_MAX,
        _ => false,
    };
    transaction.execute(statements::BEGIN_RUN.sql(), [is_restored])?;
    transaction.commit()
}

/// Opens the file for a command, which runs beside a server. It re-creates no rules. It upgrades the tables of an older
/// file, unless a server is running. `creates` says whether it creates a file that does not exist.
pub(super) fn open_for_command(path: &Path, creates: bool) -> Result<Opened, OpenError> {
    let open = || {
        refuse_foreign_file(path)?;
        refuse_other_name(path)?;
        if creates {
            files::create(path)?;
        } else if !path.exists() {
            return Err(OpenProblem::Missing);
        }
        let mut connection = open_connection(path)?;
        if !creates && matches!(kind(&connection)?, Kind::Empty) {
            return Err(OpenProblem::Empty);
        }
        let lock = retry(RETRIES, OpenProblem::is_transient, || {
            prepare_file(&connection)?;
            let lock = if is_member(&connection)? || schema::is_migrated(&mut connection)? {
                None
            } else {
                let mut lock = ServerLock::take(path).map_err(|problem| match problem {
                    OpenProblem::ServerRunning => OpenProblem::UpgradeNeeded,
                    other => other,
                })?;
                schema::upgrade(&mut connection)?;
                lock.release()?;
                Some(lock)
            };
            use_wal(&connection)?;
            Ok(lock)
        })?;
        Ok(Opened { connection, files: OpenFiles::record(path)?, lock })
    };
    open().map_err(|problem: OpenProblem| problem.at(path))
}

/// Refuses a hard link to the file of a running server. SQLite names the log after the file, so the two names would have
/// two logs. It must not run while this process has the file open, as [`refuse_foreign_file`].
fn refuse_other_name(path: &Path) -> Result<(), OpenProblem> {
    let has_other_names = fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1);
    if has_other_names && !with_suffix(&files::real_path(path)?, "-wal").exists() {
        match File::open(path)?.try_lock_shared() {
            Err(TryLockError::WouldBlock) => return Err(OpenProblem::OtherName),
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Prepares an empty file for its first table. Refuses a file of another program.
fn prepare_file(connection: &Connection) -> Result<(), OpenProblem> {
    match kind(connection)? {
        Kind::Empty => Ok(prepare_new_file(connection)?),
        Kind::Ours => Ok(()),
        Kind::Foreign => Err(OpenProblem::Foreign),
    }
}

fn retry<T>(
    retries: u32,
    is_transient: impl Fn(&OpenProblem) -> bool,
    mut attempt: impl FnMut() -> Result<T, OpenProblem>,
) -> Result<T, OpenProblem> {
    let mut left = retries;
    loop {
        match attempt() {
            Err(problem) if left > 0 && is_transient(&problem) => {
                left -= 1;
                thread::sleep(BUSY_TIMEOUT);
            }
            outcome => return outcome,
        }
    }
}

/// The lock that the one server of a file holds while it runs: a second server would end the first one's calls at its
/// start. It is flock(2)'s, which SQLite does not use. It holds for the file, by all its names, and for its path, where
/// another file may be put while the server runs.
#[derive(Debug)]
pub(super) struct ServerLock {
    file: File,
    path: Option<PathLock>,
}

impl ServerLock {
    /// Takes the lock of the database at `path`, which must exist.
    fn take(path: &Path) -> Result<Self, OpenProblem> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenProblem::ServerRunning),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let path = PathLock::take(path)?.ok_or(OpenProblem::ServerRunning)?;
        Ok(Self { file, path: Some(path) })
    }

    /// The file that is locked.
    fn identity(&self) -> io::Result<Identity> {
        Ok(identity(&self.file.metadata()?))
    }

    /// Writes the file's pages to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Lets a server take the lock. The descriptor stays open.
    fn release(&mut self) -> io::Result<()> {
        self.path = None;
        self.file.unlock()
    }
}
