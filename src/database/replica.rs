//! The file of a member: a thread that applies the groups of the log, instead of a writer.
//!
//! The log is synced, and this file is not: after a power loss it may be older than it was, and the same groups are applied
//! again. Only a copy that the log leans on is synced; see [`Replica::sync`].

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::WriteError;
use super::activity::WriterActivity;
use super::apply::{GroupClock, Outcome, SweepRefusal, apply};
use super::backup::{back_up, restore};
use super::checkpoints::Checkpoints;
use super::commit_hint::CommitHint;
use super::error::{is_busy, is_failed_sync, plain_message};
use super::fatal::{Failures, Fatal};
use super::files::OpenFiles;
use super::free_pages::free_pages;
use super::group::{Applied, Group};
use super::guards::{change_schema, found};
use super::open::{OpenError, OpenProblem, open_connection};
use super::write::Write;
use super::writer::{CACHE_KIB, WRITE_DEADLINE};
use crate::last_error::LastError;
use crate::statements;

/// How often checkpoints are looked at, and free pages returned, while nothing is applied.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(500);

/// Number and address of each member.
pub(crate) type Members = Vec<(u64, String)>;

enum Command {
    Apply { groups: Vec<Option<Arc<Group>>>, applied: Applied, answer: oneshot::Sender<Vec<Vec<Outcome>>> },
    Found { name: String, ts: f64, members: Members, answer: oneshot::Sender<()> },
    Sync { answer: oneshot::Sender<Applied> },
    Install { copy: PathBuf, answer: oneshot::Sender<Applied> },
}

/// The handle of the thread.
pub(crate) struct Replica {
    path: PathBuf,
    activity: Arc<WriterActivity>,
    commit_hint: CommitHint,
    commands: Mutex<Option<Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The thread has failed, and reported why.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the file of this member cannot be written")]
pub(crate) struct ReplicaFailed;

impl Replica {
    /// Starts the thread, which owns `connection`. It reports to `failures` what keeps it from applying a group: its file
    /// would differ from those of the others.
    ///
    /// # Errors
    /// When the file cannot be used, or the thread cannot be started.
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        files: Arc<OpenFiles>,
        checkpoints: Checkpoints,
        failures: Failures,
    ) -> Result<Self, OpenProblem> {
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        refuse_what_differs(&connection)?;
        let (commands, received) = channel();
        let activity = Arc::<WriterActivity>::default();
        let commit_hint = CommitHint::default();
        let replica = ReplicaLoop {
            checkpoints,
            connection,
            files,
            commands: received,
            activity: Arc::clone(&activity),
            commit_hint: commit_hint.clone(),
            last_error: LastError::default(),
            sweep_refusal: SweepRefusal::default(),
            failures: failures.clone(),
        };
        let thread = thread::Builder::new()
            .name("replica".to_owned())
            .spawn(move || failures.watch("replica", || replica.run()))?;
        let (commands, thread) = (Mutex::new(Some(commands)), Mutex::new(Some(thread)));
        Ok(Self { path: path.to_owned(), activity, commit_hint, commands, thread })
    }

    /// Applies `groups` in one transaction, and stores `applied` in it. An entry of the log without writes is `None`.
    /// Returns the outcomes of each group.
    ///
    /// # Errors
    /// The machine failed, and the process ends.
    pub(crate) async fn apply(
        &self,
        groups: Vec<Option<Arc<Group>>>,
        applied: Applied,
    ) -> Result<Vec<Vec<Outcome>>, ReplicaFailed> {
        self.ask(|answer| Command::Apply { groups, applied, answer }).await
    }

    /// Makes the file that of the first member of the cluster `name`.
    ///
    /// # Errors
    /// As [`Replica::apply`].
    pub(crate) async fn found(&self, name: String, ts: f64, members: Members) -> Result<(), ReplicaFailed> {
        self.ask(|answer| Command::Found { name, ts, members, answer }).await
    }

    /// Syncs what is applied, so that the log need not keep it, and returns how far that is.
    ///
    /// # Errors
    /// As [`Replica::apply`].
    pub(crate) async fn sync(&self) -> Result<Applied, ReplicaFailed> {
        self.ask(|answer| Command::Sync { answer }).await
    }

    /// Replaces the content of the file by that of `copy`, another member's, and returns how far it is.
    ///
    /// # Errors
    /// As [`Replica::apply`].
    pub(crate) async fn install(&self, copy: PathBuf) -> Result<Applied, ReplicaFailed> {
        self.ask(|answer| Command::Install { copy, answer }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ReplicaFailed> {
        let (answer, answered) = oneshot::channel();
        if let Some(commands) = &*self.commands.lock().unwrap_or_else(PoisonError::into_inner) {
            // It fails only if the thread has ended; then nothing is answered either.
            let _ = commands.send(command(answer));
        }
        answered.await.map_err(|_| ReplicaFailed)
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn activity(&self) -> &WriterActivity {
        &self.activity
    }

    pub(super) fn set_commit_hint(&self, hint: SyncSender<()>) {
        self.commit_hint.set(hint);
    }

    /// Ends the thread after what it was asked for.
    pub(super) fn close(&self) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It cannot fail: the thread catches its panics and reports them.
            let _ = thread.join();
        }
    }
}

/// The functions of SQLite that return something else on each machine.
const DIFFERING_FUNCTIONS: [&str; 14] = [
    "changes",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "julianday",
    "last_insert_rowid",
    "random",
    "randomblob",
    "strftime",
    "time",
    "total_changes",
    "unixepoch",
];

/// Refuses statements that call such a function. The rules may: they give a time to those of dates, and read the view `now`
/// while the clock is pinned.
pub(super) fn refuse_what_differs(connection: &Connection) -> rusqlite::Result<()> {
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Function { function_name }
            if context.accessor.is_none()
                && DIFFERING_FUNCTIONS.iter().any(|name| name.eq_ignore_ascii_case(function_name)) =>
        {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }))
}

/// What the file of a member says of itself.
pub(super) struct Progress {
    /// The name of its cluster.
    pub(super) name: String,
    pub(super) applied: Applied,
    /// The time of the newest group.
    ts: f64,
    /// The seconds by which the clock was set in all.
    stepped: f64,
}

/// How far the file of `connection` is, which has this program's tables. `None` if it is no member's.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn progress(connection: &Connection) -> rusqlite::Result<Option<Progress>> {
    let read = |row: &rusqlite::Row<'_>| {
        let applied = Applied { log_id: row.get(1)?, membership: row.get(2)? };
        Ok(Progress { name: row.get(0)?, applied, ts: row.get(3)?, stepped: row.get(4)? })
    };
    connection.prepare_cached(statements::CLUSTER.sql())?.query_row([], read).optional()
}

struct ReplicaLoop {
    /// First, because fields are dropped in order: its thread ends before the connection is closed.
    checkpoints: Checkpoints,
    connection: Connection,
    files: Arc<OpenFiles>,
    commands: Receiver<Command>,
    activity: Arc<WriterActivity>,
    commit_hint: CommitHint,
    /// Of housekeeping.
    last_error: LastError,
    sweep_refusal: SweepRefusal,
    failures: Failures,
}

impl ReplicaLoop {
    fn run(mut self) {
        if let Err(fatal) = self.work() {
            self.checkpoints.end_thread();
            self.failures.report(fatal);
            // Left open until the process ends, as the writer of a single server leaves its own.
            std::mem::forget(self.connection);
        }
    }

    fn work(&mut self) -> Result<(), Fatal> {
        let mut housekeeping = Instant::now();
        loop {
            match self.commands.recv_timeout(housekeeping.saturating_duration_since(Instant::now())) {
                Ok(command) => self.carry_out(command)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if Instant::now() >= housekeeping {
                self.housekeep()?;
                housekeeping = Instant::now() + HOUSEKEEPING_INTERVAL;
            }
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Fatal> {
        // It fails to answer only if nobody waits any more.
        match command {
            Command::Apply { groups, applied, answer } => {
                let outcomes = self.in_transaction(|this| {
                    apply_groups(&this.connection, &groups, &applied, &mut this.sweep_refusal)
                })?;
                self.activity.wrote(groups.iter().flatten().map(|group| group.writes.len()).sum());
                let _ = answer.send(outcomes);
                self.commit_hint.send();
                self.checkpoints.after_commit(&self.connection)?;
            }
            Command::Found { name, ts, members, answer } => {
                self.in_transaction(|this| found(&this.connection, &name, ts, &members))?;
                let _ = answer.send(());
            }
            Command::Sync { answer } => {
                let applied = self.sync()?;
                let _ = answer.send(applied);
            }
            Command::Install { copy, answer } => {
                let applied = self.install(&copy)?;
                let _ = answer.send(applied);
                self.commit_hint.send();
            }
        }
        Ok(())
    }

    /// Runs `change` and commits. Waits while another program holds the write lock.
    fn in_transaction<T>(&mut self, change: impl Fn(&mut Self) -> rusqlite::Result<T>) -> Result<T, Fatal> {
        loop {
            match self.connection.execute_batch("BEGIN IMMEDIATE") {
                Ok(()) => break,
                Err(error) if is_busy(&error) => self.wait_for_lock()?,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        let result = change(self).and_then(|result| {
            self.connection.execute_batch("COMMIT")?;
            Ok(result)
        });
        // What is open is rolled back by the next start.
        let result = result.map_err(|error| self.failed(&error))?;
        self.files.check()?;
        self.activity.committed();
        Ok(result)
    }

    /// Another program holds the write lock. SQLite has waited for a moment.
    fn wait_for_lock(&self) -> Result<(), Fatal> {
        self.activity.note_alive();
        Ok(self.files.check()?)
    }

    /// Reports why this member has failed. It comes before anybody who waits for an answer misses it.
    fn failed(&self, error: &rusqlite::Error) -> Fatal {
        let fatal = Fatal::MemberFailed(plain_message(error));
        self.failures.report(fatal.clone());
        fatal
    }

    /// A commit at FULL syncs the write-ahead log, and with it all commits before.
    fn sync(&mut self) -> Result<Applied, Fatal> {
        let none = Applied { log_id: None, membership: None };
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(|error| self.failed(&error))?;
        let applied = self.in_transaction(|this| {
            let Some(Progress { applied, .. }) = progress(&this.connection)? else { return Ok(none.clone()) };
            // It writes, so that there is something to sync.
            this.connection.prepare_cached(statements::UNPIN_CLOCK.sql())?.execute([])?;
            Ok(applied)
        })?;
        self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(|error| self.failed(&error))?;
        Ok(applied)
    }

    fn install(&mut self, copy: &Path) -> Result<Applied, Fatal> {
        let copy = open_connection(copy).map_err(|error| self.failed(&error))?;
        while !restore(&copy, &mut self.connection).map_err(|error| self.failed(&error))? {
            self.wait_for_lock()?;
        }
        self.sync()
    }

    /// Checkpoints, and returns free pages to the file system. Logs an error once while it lasts.
    fn housekeep(&mut self) -> Result<(), Fatal> {
        self.files.check()?;
        let kept = self.checkpoints.housekeep(&self.connection).and_then(|()| free_pages(&self.connection).map(drop));
        let error = match kept {
            Err(error) if is_failed_sync(&error) => return Err(error.into()),
            Err(error) if !is_busy(&error) => Some(plain_message(&error)),
            _ => {
                self.activity.note_alive();
                None
            }
        };
        self.last_error.note(error, "housekeeping failed");
        Ok(())
    }
}

/// Applies `groups` inside a transaction, and stores `applied`. An entry of the log without writes is `None`. Returns the
/// outcomes of each group.
///
/// # Errors
/// The machine's. The caller rolls the transaction back.
pub(super) fn apply_groups(
    connection: &Connection,
    groups: &[Option<Arc<Group>>],
    applied: &Applied,
    sweep_refusal: &mut SweepRefusal,
) -> rusqlite::Result<Vec<Vec<Outcome>>> {
    let Progress { mut ts, stepped, .. } = progress(connection)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let stepped = stepped + groups.iter().flatten().filter_map(|group| group.step).sum::<f64>();
    let newest = groups.iter().flatten().fold(ts, |ts, group| group.time_after(ts));
    // Pinned, so that the guards of the tables let it pass.
    connection.prepare_cached(statements::PIN_CLOCK_UNSWEPT.sql())?.execute([ts])?;
    let mut note = connection.prepare_cached(statements::NOTE_APPLIED.sql())?;
    note.execute((&applied.log_id, &applied.membership, newest, stepped))?;
    drop(note);
    let mut outcomes = Vec::with_capacity(groups.len());
    for group in groups {
        let Some(group) = group else {
            outcomes.push(Vec::new());
            continue;
        };
        if group.step.is_some() || group.pause || !group.schema.is_empty() {
            // The group before has freed the clock.
            connection.prepare_cached(statements::PIN_CLOCK_UNSWEPT.sql())?.execute([ts])?;
        }
        change_schema(connection, &group.schema)?;
        if let Some(seconds) = group.step {
            // It moves a pinned clock along.
            connection.prepare_cached(statements::STEP_CLOCK.sql())?.execute([seconds])?;
        }
        if group.pause {
            connection.prepare_cached(statements::PAUSE_CLOCK.sql())?.execute([])?;
        }
        ts = group.time_after(ts);
        let applied = apply(connection, GroupClock::At(ts), group.writes.iter().map(|write| &**write))?;
        sweep_refusal.note(applied.sweep_refusal);
        outcomes.push(applied.outcomes);
    }
    if groups.iter().all(Option::is_none) {
        connection.prepare_cached(statements::UNPIN_CLOCK.sql())?.execute([])?;
    }
    Ok(outcomes)
}

/// Tries an admin's `write` on the member's file at `path`, and rolls it back. A statement that does not end must not get into
/// the log, which each member would wait for: here it hangs the command alone.
///
/// # Errors
/// The machine's.
pub(super) fn rehearse(path: &Path, write: &Write) -> Result<(), WriteError> {
    let connection = open_connection(path)?;
    connection.busy_timeout(WRITE_DEADLINE)?;
    refuse_what_differs(&connection)?;
    let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
    let Some(Progress { ts, .. }) = progress(&transaction)? else { return Err(WriteError::NoMember) };
    apply(&transaction, GroupClock::At(ts), [write])?;
    Ok(transaction.rollback()?)
}

/// Copies the file at `from` into the new file `to`. Returns how far the copy is.
///
/// # Errors
/// If one of them cannot be read or written, or `from` is no member's.
pub(crate) fn copy_of(from: &Path, to: &Path) -> Result<Applied, OpenError> {
    back_up(from, to)?;
    let applied = || Ok(progress(&open_connection(to)?)?.ok_or(OpenProblem::NoMember)?.applied);
    applied().map_err(|problem: OpenProblem| problem.at(to))
}
