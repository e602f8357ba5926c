//! The two doors to the data: [`Database::write`], atomic and durable, and [`Database::read`], on a snapshot.
//!
//! No connection and no transaction reaches a caller, so that another engine can stand behind the same doors. Whether
//! something may happen is never asked here: a write is tried, and the database does it or says which rule refused.

mod checkpoints;
mod error;
mod open;
mod readers;
mod schema;
mod wal_index;
mod watcher;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::sync::oneshot;

pub use self::error::{ReadError, WriteError};
pub use self::open::{APPLICATION_ID, OpenError, OpenProblem, open_connection};
pub use self::readers::Snapshot;
pub use self::schema::{RULES, RULES_NUMBER, SchemaError, migrations, upgrade as upgrade_schema};
pub use self::watcher::Watcher;
pub use self::writer::WRITE_DEADLINE;
pub use rusqlite::types::Value;

use self::open::{Opened, ServerLock};
use self::readers::Readers;
use self::writer::{Job, Writer};
use crate::statements::{self, Statement};

/// Rows that a statement of a write answered, each a list of columns.
pub type Rows = Vec<Vec<Value>>;

/// A list of statements that happen together or not at all, in one savepoint, with the clock pinned.
#[derive(Debug, Default)]
pub struct Write {
    statements: Vec<(&'static Statement, Vec<Value>)>,
    on_refusal: Option<(&'static Statement, Vec<Value>)>,
}

impl Write {
    /// A write that does `statement` with `parameters` first.
    #[must_use]
    pub fn new<const N: usize>(statement: &'static Statement, parameters: [Value; N]) -> Self {
        Self::default().then(statement, parameters)
    }

    /// Adds a statement, which sees what those before it did.
    #[must_use]
    pub fn then<const N: usize>(mut self, statement: &'static Statement, parameters: [Value; N]) -> Self {
        self.statements.push((statement, parameters.into()));
        self
    }

    /// A question to ask if a rule refuses: at that instant, when everything of this write is undone. Its rows come with
    /// [`WriteError::Refused`].
    #[must_use]
    pub fn on_refusal<const N: usize>(mut self, statement: &'static Statement, parameters: [Value; N]) -> Self {
        self.on_refusal = Some((statement, parameters.into()));
        self
    }
}

/// What a refusal code means to a client.
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
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    refusals: Arc<HashMap<String, Refusal>>,
    /// Last, because fields are dropped in order and the lock must outlive all connections.
    _lock: Option<Arc<ServerLock>>,
}

impl Database {
    /// Opens the file at `path` for a command, which may run beside a server. The file is created if it does not exist. The
    /// tables of an older file are upgraded, unless a server is running; its rules stay as they are.
    ///
    /// # Errors
    /// The file cannot be read or written, is not one of this program's, is of a newer version, or has to be upgraded while a
    /// server is running. A refused file is left unchanged.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, open::open_for_command(path)?)
    }

    /// Opens the file at `path` for a server: takes the server's lock, which lasts as long as the database is open, applies
    /// migrations, and re-creates the rules where they differ. The file is created if it does not exist.
    ///
    /// # Errors
    /// As [`Database::open`]; and another server is running on the file.
    pub fn open_for_server(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, open::open_for_server(path)?)
    }

    fn start(path: &Path, opened: Opened) -> Result<Self, OpenError> {
        let readers = Arc::new(Readers::new(path));
        let refusals = readers
            .read(|snapshot| {
                snapshot.rows(&statements::REFUSALS, [], |row| {
                    let refusal = Refusal { status: row.get(1)?, sentence: row.get(2)? };
                    Ok((row.get::<_, String>(0)?, refusal))
                })
            })
            .map_err(|ReadError(error)| OpenProblem::Sqlite(error).at(path))?;
        let writer = Writer::start(opened.connection, Arc::clone(&readers))
            .map_err(|error| OpenProblem::Io(std::io::Error::other(error.to_string())).at(path))?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            writer: Arc::new(writer),
            readers,
            refusals: Arc::new(refusals.into_iter().collect()),
            _lock: opened.lock.map(Arc::new),
        })
    }

    /// Does `write` and answers the rows of each of its statements, after they are durably on the disk.
    ///
    /// # Errors
    /// [`WriteError::Refused`] with a code when a rule refused it, and nothing has changed; the others when it could not be
    /// done within [`WRITE_DEADLINE`], or the disk would not take it, and nothing has changed either.
    pub async fn write(&self, write: Write) -> Result<Vec<Rows>, WriteError> {
        self.send(write)?.await.unwrap_or(Err(WriteError::Closed))
    }

    /// The same for a caller without an async runtime.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn write_blocking(&self, write: Write) -> Result<Vec<Rows>, WriteError> {
        self.send(write)?.blocking_recv().unwrap_or(Err(WriteError::Closed))
    }

    /// Hands `write` over without waiting for what becomes of it: for what does not matter much, and is said again.
    pub fn write_and_forget(&self, write: Write) {
        if !write.statements.is_empty() {
            // A closed database needs nothing any more.
            let _ = self.send(write);
        }
    }

    /// A way to notice that the file has changed, by whomever, and hints of when our own writer has committed. There is one
    /// receiver of hints: a second call takes them from the first.
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub fn watch(&self) -> Result<(Watcher, Receiver<()>), ReadError> {
        let (hint, hints) = sync_channel(1);
        self.writer.set_hint(hint);
        Ok((Watcher::open(&self.path)?, hints))
    }

    fn send(&self, write: Write) -> Result<oneshot::Receiver<Result<Vec<Rows>, WriteError>>, WriteError> {
        let (job, answer) = Job::new(write.statements, write.on_refusal);
        self.writer.send(job)?;
        Ok(answer)
    }

    /// Calls `questions` with a snapshot: all it asks sees the file at one instant. It runs on the calling thread, for the few
    /// microseconds that searches in an index take, and never waits for a writer.
    ///
    /// # Errors
    /// What `questions` returned, or that the file cannot be read.
    pub fn read<T, E: From<ReadError>>(&self, questions: impl FnOnce(&Snapshot) -> Result<T, E>) -> Result<T, E> {
        self.readers.read(questions)
    }

    /// Lets go of the snapshots that are kept for the next question, so that other programs' checkpoints do not wait for them.
    /// To be called now and then when nothing happens.
    pub fn let_go(&self) {
        self.readers.let_go();
    }

    /// What `code` means, if it is one of the codes that rules refuse with.
    #[must_use]
    pub fn refusal(&self, code: &str) -> Option<&Refusal> {
        self.refusals.get(code)
    }

    /// From now on writes that somebody else's lock keeps from beginning answer [`WriteError::Closed`] at once: a server that
    /// stops has less time than they would wait, and must be able to say that they were not done.
    pub fn wait_no_longer(&self) {
        self.writer.wait_no_longer();
    }

    /// Lets the writer finish what it was given, and waits for it. Later writes answer [`WriteError::Closed`].
    pub fn close(&self) {
        self.writer.close();
    }
}
