//! Access to the data: [`Database::write`], atomic and in one order, and [`Database::read`], on a snapshot.
//!
//! Connections and transactions stay inside this module, so that another engine could replace SQLite. No code checks
//! first whether a write is allowed: the database carries it out, or returns the code of the rule that refused it.

mod activity;
mod apply;
mod backup;
mod checkpoint_thread;
mod checkpoints;
mod elapsed_time;
mod error;
mod fatal;
mod files;
mod import;
mod job;
mod open;
mod reader_pool;
mod readers;
mod schema;
mod wall_clock;
mod watcher;
mod write;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::{fs, io};

pub use self::activity::WriterActivity;
pub use self::apply::apply_group;
pub use self::error::{ReadError, WriteError};
pub use self::fatal::{Failures, Fatal};
pub use self::files::Replaced;
pub use self::import::{Originals, ReportLine, import};
pub use self::open::{APPLICATION_ID, OpenError, OpenProblem, open_connection};
pub use self::readers::Snapshot;
pub use self::schema::{RULES, RULES_NUMBER, SchemaError, migrations, upgrade as upgrade_schema};
pub use self::watcher::Watcher;
pub use self::write::{FromRow, Write, WriteResult, text};
pub use self::writer::WRITE_DEADLINE;
pub use rusqlite::types::Value;

use rusqlite::Connection;

use self::checkpoint_thread::CheckpointThread;
use self::checkpoints::Checkpoints;
use self::files::OpenFiles;
use self::job::{Job, Pending};
use self::open::{Opened, ServerLock};
use self::reader_pool::ReaderPool;
use self::readers::Readers;
use self::wall_clock::WallClock;
use self::writer::Writer;
use crate::statements;

/// The meaning of a refusal code.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status, 400 to 499.
    pub status: u16,
    /// A sentence for people.
    pub sentence: String,
}

/// A database file with its one writer and its readers. Cloning is cheap and shares them.
#[derive(Clone)]
pub struct Database {
    path: Arc<PathBuf>,
    files: Arc<OpenFiles>,
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    pool: Arc<ReaderPool>,
    refusals: Arc<HashMap<String, Refusal>>,
    failures: Failures,
    /// Last, because fields are dropped in order and the lock must outlive all connections.
    _lock: Option<Arc<ServerLock>>,
}

impl Database {
    /// Opens the file at `path` for a command, which may run beside a server. The file is created if it does not exist,
    /// so that only its owner can read it. The tables of an older file are upgraded, unless a server is running. Its
    /// rules do not change.
    ///
    /// # Errors
    /// The file cannot be read or written, is not one of this program's, is of a newer version, or has to be upgraded
    /// while a server is running. A refused file is left unchanged.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, open::open_for_command(path, true)?, None).map_err(|problem| problem.at(path))
    }

    /// [`Database::open`] for a command that creates no file.
    ///
    /// # Errors
    /// As [`Database::open`]; and there is no file, or an empty one.
    pub fn open_existing(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, open::open_for_command(path, false)?, None).map_err(|problem| problem.at(path))
    }

    /// Opens the file at `path` for a server: takes the server's lock, which lasts as long as the database is open,
    /// applies migrations, and re-creates the rules where they differ. The file is created if it does not exist.
    ///
    /// # Errors
    /// As [`Database::open`]; and another server is running on the file.
    pub fn open_for_server(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, open::open_for_server(path)?, Some(WallClock::new())).map_err(|problem| problem.at(path))
    }

    /// Tries `write` on a new database in memory: a command that would be refused must not create a file.
    ///
    /// # Errors
    /// The sentence of the rule that refuses the write, or what else went wrong.
    pub fn rehearse(write: &Write) -> Result<(), String> {
        let refusal = || -> Result<Option<String>, SchemaError> {
            let mut connection = Connection::open_in_memory()?;
            schema::upgrade(&mut connection)?;
            connection.execute_batch("BEGIN")?;
            let code = match write.result(apply::run_write(&connection, write)?) {
                Ok(_) => return Ok(None),
                Err(WriteError::Refused { code, .. }) => code,
                Err(error) => return Ok(Some(error.to_string())),
            };
            let mut refusals = connection.prepare(statements::REFUSALS.sql())?;
            let sentences = refusals.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(2)?)))?;
            let sentences = sentences.collect::<rusqlite::Result<HashMap<_, _>>>()?;
            Ok(Some(sentences.get(&code).cloned().unwrap_or(code)))
        };
        refusal().map_err(|error| error.to_string())?.map_or(Ok(()), Err)
    }

    fn start(path: &Path, opened: Opened, clock: Option<WallClock>) -> Result<Self, OpenProblem> {
        let files = Arc::new(opened.files);
        let clock = clock.map(Arc::new);
        let readers = Arc::new(Readers::new(path, &files, clock.clone()));
        let refusals = readers.read(|snapshot| {
            snapshot.rows(&statements::REFUSALS, [], |row| {
                let refusal = Refusal { status: row.get(1)?, sentence: row.get(2)? };
                Ok((row.get::<_, String>(0)?, refusal))
            })
        })?;
        let failures = Failures::default();
        let lock = opened.lock.map(Arc::new);
        let checkpoint_thread = match (&clock, &lock) {
            (Some(_), Some(lock)) => Some(CheckpointThread::start(path, Arc::clone(lock), failures.clone())?),
            _ => None,
        };
        let checkpoints = Checkpoints::new(&opened.connection, checkpoint_thread)?;
        let writer =
            Writer::start(opened.connection, Arc::clone(&files), checkpoints, clock.clone(), failures.clone())?;
        let writer = Arc::new(writer);
        if let Some(clock) = clock {
            clock.set_writer(Arc::downgrade(&writer));
        }
        let pool = ReaderPool::start(&readers, &failures)?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            files,
            writer,
            readers,
            pool: Arc::new(pool),
            refusals: Arc::new(refusals.into_iter().collect()),
            failures,
            _lock: lock,
        })
    }

    /// Copies the database, as it is at one moment, into the new file `to`.
    ///
    /// # Errors
    /// There is a file `to`, or it cannot be written. Then there is no copy.
    pub fn back_up(&self, to: &Path) -> Result<(), OpenError> {
        backup::back_up(&self.path, to)
    }

    /// Compares the triggers and views of the file with those of this program, and says what differs.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn differing_rules(&self) -> Result<Vec<String>, SchemaError> {
        schema::differences(&open_connection(&self.path)?)
    }

    /// The sizes of the file and of its write-ahead log, in bytes. A log that does not exist has 0.
    ///
    /// # Errors
    /// If there is no file any more.
    pub fn sizes(&self) -> io::Result<(u64, u64)> {
        let log = fs::metadata(files::with_suffix(&self.path, "-wal")).map_or(0, |log| log.len());
        Ok((fs::metadata(&*self.path)?.len(), log))
    }

    /// Copies the write-ahead log into the file. A server does so before it serves; see the module `checkpoints`.
    ///
    /// # Errors
    /// [`WriteError::SyncFailed`] and [`WriteError::Broken`] when the disk fails.
    pub fn empty_log(&self) -> Result<(), WriteError> {
        Ok(checkpoints::empty_log(&self.path)?)
    }

    /// The files of the database that users other than their owner may read or write, with their permissions.
    #[must_use]
    pub fn open_to_others(&self) -> Vec<(PathBuf, u32)> {
        self.files.open_to_others()
    }

    /// Carries out `write` and returns the rows of its statements after the commit is on the disk. If all its statements
    /// are unsynced (see `statements.sql`), it returns after the commit: a power loss may undo the newest of these, and no
    /// write that was on the disk before.
    ///
    /// If the disk fails to sync the commit, or a file of the database was replaced, the outcome is unknown, and no
    /// response may be sent. Then this never returns, and [`Database::failures`] reports that the process must end.
    ///
    /// # Errors
    /// [`WriteError::Refused`] when a rule refused the write; [`WriteError::Busy`] when it did not begin within
    /// [`WRITE_DEADLINE`]; the others when the disk failed. Nothing has changed then. It needs a runtime with a timer.
    pub async fn write(&self, write: Write) -> Result<WriteResult, WriteError> {
        match self.send(write)?.wait().await {
            Err(WriteError::SyncFailed(_) | WriteError::Replaced(_)) => std::future::pending().await,
            result => result,
        }
    }

    /// [`Database::write`] for a caller without an async runtime.
    ///
    /// # Errors
    /// As [`Database::write`]; and [`WriteError::SyncFailed`] and [`WriteError::Replaced`], after which the write may be
    /// done or not.
    pub fn write_blocking(&self, write: Write) -> Result<WriteResult, WriteError> {
        self.send(write)?.wait_blocking()
    }

    /// Queues `write` and ignores its result.
    pub fn write_and_forget(&self, write: Write) {
        if !write.statements.is_empty() {
            // It fails only if the database is closed.
            let _ = self.send(write);
        }
    }

    /// Detects commits of any program, and sends a hint after each commit of our own writer. There is one receiver of
    /// hints: a second call replaces the first.
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub fn watch(&self) -> Result<(Watcher, Receiver<()>), ReadError> {
        let (hint, hints) = sync_channel(1);
        self.writer.set_commit_hint(hint);
        Ok((Watcher::open(&self.path)?, hints))
    }

    /// What the writer does, for monitors.
    #[must_use]
    pub fn writer_activity(&self) -> &WriterActivity {
        self.writer.activity()
    }

    fn send(&self, write: Write) -> Result<Pending, WriteError> {
        let (job, pending) = Job::new(write);
        self.writer.send(job)?;
        Ok(pending)
    }

    /// Runs `query` in one read transaction on the calling thread: for index searches, which take microseconds. It
    /// never waits for a writer.
    ///
    /// # Errors
    /// What `query` returned, or that the file cannot be read.
    pub fn read<T, E: From<ReadError>>(&self, query: impl FnOnce(&Snapshot) -> Result<T, E>) -> Result<T, E> {
        self.readers.read(query)
    }

    /// Runs `query` as [`Database::read`] does, but on one of two threads for large reads. People take turns, so that the
    /// many reads of one do not delay those of others.
    ///
    /// # Errors
    /// As [`Database::read`], and [`ReadError::Closed`] when the database is closed.
    pub async fn read_on_pool<T, E>(
        &self,
        person: &str,
        query: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<ReadError> + Send + 'static,
    {
        self.pool.read(person, query).await
    }

    /// The fatal failures of background threads. A server ends when there is one.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// The status and sentence of a refusal code, if `code` is one.
    #[must_use]
    pub fn refusal(&self, code: &str) -> Option<&Refusal> {
        self.refusals.get(code)
    }

    /// From now on a write that waits for another program's lock fails with [`WriteError::Closed`] at once. A stopping
    /// server must report it before its connections close.
    pub fn stop_waiting_for_locks(&self) {
        self.writer.stop_waiting_for_locks();
    }

    /// Finishes the queued writes and large reads, and returns. Later ones fail with [`WriteError::Closed`] and
    /// [`ReadError::Closed`].
    pub fn close(&self) {
        self.writer.close();
        self.pool.close();
    }
}
