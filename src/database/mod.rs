//! Access to the data: [`Database::write`], atomic and in one order, and [`Database::read`], on a snapshot.
//!
//! Connections and transactions stay inside this module, so that another engine could replace SQLite. No code checks
//! first whether a write is allowed: the database carries it out, or returns the code of the rule that refused it.

mod activity;
mod apply;
mod backup;
mod checkpoint_thread;
mod checkpoints;
mod commit_hint;
mod elapsed_time;
#[cfg(feature = "cluster")]
mod encoding;
mod engine;
mod error;
mod fatal;
mod files;
mod free_pages;
#[cfg(feature = "cluster")]
mod group;
#[cfg(feature = "cluster")]
mod guards;
mod import;
mod job;
#[cfg(feature = "cluster")]
mod member_file;
mod open;
mod reader_pool;
mod readers;
#[cfg(feature = "cluster")]
mod replica;
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
pub(crate) use self::files::{folder_of, with_suffix};
#[cfg(feature = "cluster")]
pub use self::group::Group;
pub use self::import::{Originals, ReportLine, import};
#[cfg(feature = "cluster")]
pub use self::member_file::MemberFile;
pub use self::open::{APPLICATION_ID, OpenError, OpenProblem, open_connection};
pub use self::readers::Snapshot;
pub use self::schema::{RULES, RULES_NUMBER, SchemaError, migrations, upgrade as upgrade_schema};
pub use self::watcher::Watcher;
pub use self::write::{FromRow, Write, WriteResult, text};
pub use self::writer::WRITE_DEADLINE;
pub use rusqlite::types::Value;

use rusqlite::Connection;

#[cfg(feature = "cluster")]
pub(crate) use self::apply::Outcome;
#[cfg(feature = "cluster")]
pub(crate) use self::checkpoints::checkpoint;
#[cfg(feature = "cluster")]
pub(crate) use self::error::plain_message;
#[cfg(feature = "cluster")]
pub(crate) use self::files::{create as create_file, create_new};
#[cfg(feature = "cluster")]
pub(crate) use self::group::Applied;
#[cfg(feature = "cluster")]
pub(crate) use self::guards::plan_upgrade;
#[cfg(feature = "cluster")]
pub(crate) use self::job::Job;
#[cfg(feature = "cluster")]
pub(crate) use self::readers::Readers;
#[cfg(feature = "cluster")]
pub(crate) use self::replica::{Replica, ReplicaFailed, copy_of};
#[cfg(feature = "cluster")]
pub(crate) use self::schema::fingerprint;
#[cfg(feature = "cluster")]
pub(crate) use self::wall_clock::{Reading, TOLERANCE};

use self::checkpoint_thread::CheckpointThread;
use self::checkpoints::Checkpoints;
#[cfg(feature = "cluster")]
use self::checkpoints::MEMBER_LOG_FACTOR;
use self::engine::Engine;
use self::files::OpenFiles;
#[cfg(not(feature = "cluster"))]
use self::job::Job;
use self::job::Pending;
use self::open::{Opened, ServerLock};
use self::reader_pool::ReaderPool;
use self::readers::ReadClock;
#[cfg(not(feature = "cluster"))]
use self::readers::Readers;
use self::wall_clock::WallClock;
use self::writer::Writer;
#[cfg(feature = "cluster")]
use crate::cluster::{ClusterClock, ClusterError, ClusterFile, Member, MemberParts};
use crate::statements;

/// Why a member of a cluster cannot start.
#[cfg(feature = "cluster")]
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Its file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot take part in the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A thread of it has failed.
    #[error(transparent)]
    Failed(#[from] Fatal),
}

/// Why clients should not come to this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unhealthy {
    /// The disk has not responded for two seconds.
    Hangs,
    /// No majority of the cluster follows a leader.
    NoLeader,
    /// This member of the cluster has not applied for two seconds what the leader has.
    Behind,
}

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
    engine: Arc<Engine>,
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
        let read_clock = clock.clone().map_or(ReadClock::Machine, ReadClock::Server);
        let readers = Arc::new(Readers::new(path, &files, read_clock));
        let failures = Failures::default();
        let lock = opened.lock.map(Arc::new);
        #[cfg(feature = "cluster")]
        if clock.is_none() && open::is_member(&opened.connection)? {
            let engine = Engine::Remote(path.to_owned(), WriterActivity::default());
            return Self::with_engine(path, files, engine, readers, failures, lock);
        }
        let checkpoint_thread = match (&clock, &lock) {
            (Some(_), Some(lock)) => Some(CheckpointThread::start(path, Arc::clone(lock), failures.clone())?),
            _ => None,
        };
        let checkpoints = Checkpoints::new(&opened.connection, checkpoint_thread, 1)?;
        let writer =
            Writer::start(opened.connection, Arc::clone(&files), checkpoints, clock.clone(), failures.clone())?;
        let writer = Arc::new(writer);
        if let Some(clock) = clock {
            clock.set_writer(Arc::downgrade(&writer));
        }
        Self::with_engine(path, files, Engine::Alone(writer), readers, failures, lock)
    }

    fn with_engine(
        path: &Path,
        files: Arc<OpenFiles>,
        engine: Engine,
        readers: Arc<Readers>,
        failures: Failures,
        lock: Option<Arc<ServerLock>>,
    ) -> Result<Self, OpenProblem> {
        let refusals = read_refusals(&readers)?;
        let pool = ReaderPool::start(&readers, &failures)?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            files,
            engine: Arc::new(engine),
            readers,
            pool: Arc::new(pool),
            refusals: Arc::new(refusals),
            failures,
            _lock: lock,
        })
    }

    /// Opens the file at `path` as that of member `node` of a cluster, and takes part in it. It waits for other members
    /// where it needs them: the first member founds the cluster once a majority is there, with what is in its file. The
    /// others get a copy of that, so they start without a file. It needs a runtime with a timer.
    ///
    /// # Errors
    /// As [`Database::open_for_server`]; and the cluster does not take the machine in.
    #[cfg(feature = "cluster")]
    pub async fn open_member(path: &Path, file: ClusterFile, node: u64) -> Result<Self, MemberError> {
        let opened = open::open_alone(path)?;
        let at = |problem: OpenProblem| MemberError::from(problem.at(path));
        let progress = replica::progress(&opened.connection).map_err(|error| at(error.into()))?;
        if progress.is_none()
            && !file.is_first(node)
            && !open::is_unused(&opened.connection).map_err(|error| at(error.into()))?
        {
            return Err(at(OpenProblem::NotNew));
        }
        let files = Arc::new(opened.files);
        let failures = Failures::default();
        let lock = opened.lock.map(Arc::new);
        let clock = Arc::<ClusterClock>::default();
        let readers = Arc::new(Readers::new(path, &files, ReadClock::Cluster(Arc::clone(&clock))));
        let thread = match &lock {
            Some(lock) => Some(CheckpointThread::start(path, Arc::clone(lock), failures.clone()).map_err(at)?),
            None => None,
        };
        let checkpoints =
            Checkpoints::new(&opened.connection, thread, MEMBER_LOG_FACTOR).map_err(|error| at(error.into()))?;
        let replica =
            Replica::start(path, opened.connection, Arc::clone(&files), checkpoints, failures.clone()).map_err(at)?;
        let replica = Arc::new(replica);
        let parts = MemberParts {
            node,
            file,
            clock,
            replica: Arc::clone(&replica),
            readers: Arc::clone(&readers),
            progress: progress.map(|progress| (progress.name, progress.applied)),
            failures: failures.clone(),
        };
        let start = async {
            let member = Member::start(parts).await?;
            member.ready().await;
            Ok::<_, MemberError>(member)
        };
        let member = tokio::select! {
            fatal = failures.first() => Err(fatal.into()),
            member = start => member,
        }?;
        Self::with_engine(path, files, Engine::Member { member, replica }, readers, failures, lock).map_err(at)
    }

    /// Makes the file of a member, at `path`, a single server's again. No member may run on it.
    ///
    /// # Errors
    /// As [`Database::open_for_server`]; and the file is no member's.
    #[cfg(feature = "cluster")]
    pub fn leave_cluster(path: &Path) -> Result<(), OpenError> {
        let leave = || {
            let opened = open::open_alone(path)?;
            let at = |problem: OpenProblem| problem.at(path);
            if !open::is_member(&opened.connection).map_err(|error| at(error.into()))? {
                return Err(at(OpenProblem::NoMember));
            }
            guards::leave(&opened.connection).map_err(|error| at(error.into()))
        };
        leave()?;
        for suffix in ["-raft", "-raft-wal", "-raft-shm", "-member"] {
            // What is left is of no use to a single server, and harmless.
            let _ = fs::remove_file(files::with_suffix(path, suffix));
        }
        Ok(())
    }

    /// Whether this process is the one that makes deliveries and other attempts beyond the file. Of a cluster the leader is.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        match &*self.engine {
            Engine::Alone(_) => true,
            #[cfg(feature = "cluster")]
            Engine::Member { member, .. } => member.is_leading(),
            #[cfg(feature = "cluster")]
            Engine::Remote(..) => false,
        }
    }

    /// Informs the other members of the cluster, if there are some, of the people who are online here. Returns those who are
    /// online there.
    #[must_use]
    pub fn exchange_online(&self, here: &[String]) -> Vec<String> {
        match &*self.engine {
            #[cfg(feature = "cluster")]
            Engine::Member { member, .. } => member.exchange_online(here.to_owned()),
            _ => {
                let _ = here;
                Vec::new()
            }
        }
    }

    /// Whether this process is a member of a cluster.
    #[must_use]
    pub fn is_member(&self) -> bool {
        !matches!(&*self.engine, Engine::Alone(_))
    }

    /// Whether clients should come to this server, and not to another member of the cluster.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self) -> Result<(), Unhealthy> {
        if self.engine.activity().hangs() {
            return Err(Unhealthy::Hangs);
        }
        #[cfg(feature = "cluster")]
        if let Engine::Member { member, .. } = &*self.engine {
            return member.health();
        }
        Ok(())
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
        self.engine.set_commit_hint(hint);
        Ok((Watcher::open(&self.path)?, hints))
    }

    /// What the writer does, for monitors.
    #[must_use]
    pub fn writer_activity(&self) -> &WriterActivity {
        self.engine.activity()
    }

    fn send(&self, write: Write) -> Result<Pending, WriteError> {
        let (job, pending) = Job::new(write, self.engine.late());
        self.engine.send(job)?;
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

    /// Frees the megabytes that reads of the calling thread have taken, for a thread that reads no more. It still can.
    pub fn finish_reading(&self) {
        self.readers.close_own();
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

    /// The status and sentence of a refusal code, if `code` is one. The rules of a member may be newer than its start.
    #[must_use]
    pub fn refusal(&self, code: &str) -> Option<Refusal> {
        let read = || read_refusals(&self.readers).ok()?.remove(code);
        self.refusals.get(code).cloned().or_else(read)
    }

    /// From now on a write that waits for another program's lock fails with [`WriteError::Closed`] at once. A stopping
    /// server must report it before its connections close.
    pub fn stop_waiting_for_locks(&self) {
        self.engine.stop_waiting_for_locks();
    }

    /// Finishes the queued writes and large reads, and returns. Later ones fail with [`WriteError::Closed`] and
    /// [`ReadError::Closed`].
    pub fn close(&self) {
        self.engine.close();
        self.pool.close();
    }
}

/// Every refusal code.
fn read_refusals(readers: &Readers) -> Result<HashMap<String, Refusal>, ReadError> {
    let refusals = readers.read(|snapshot| {
        snapshot.rows(&statements::REFUSALS, [], |row| {
            let refusal = Refusal { status: row.get(1)?, sentence: row.get(2)? };
            Ok((row.get::<_, String>(0)?, refusal))
        })
    })?;
    Ok(refusals.into_iter().collect())
}
