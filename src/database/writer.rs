//! The one writer: a thread that takes writes from a queue, runs each in a savepoint, commits a batch as one
//! transaction (group commit), and reports each result after the commit is on the disk.
//!
//! A batch of unsynced statements alone (see `statements.sql`) is committed at `synchronous=NORMAL` and reported without
//! waiting for the disk. Then a power loss takes the newest commits, never an older one alone: a frame of SQLite's log is
//! valid only if all before it are, and a checkpoint syncs the log before it copies pages. The fsync of any later commit
//! covers the unsynced ones, and housekeeping commits with one if nothing else does. So a power loss takes the commits of
//! half a second, with far fewer rows than the ids that an unclean start skips.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::WriteError;
use super::activity::WriterActivity;
use super::apply::{GroupClock, Outcome, SweepRefusal, apply, pin_clock};
use super::checkpoints::{Checkpoints, save_log};
use super::commit_hint::CommitHint;
use super::elapsed_time::{Began, ElapsedTime};
use super::error::{is_failed_sync, plain_message};
use super::fatal::{Failures, Fatal};
use super::files::OpenFiles;
use super::free_pages::free_pages;
use super::job::Job;
use super::open::OpenProblem;
use super::wall_clock::WallClock;
use crate::last_error::LastError;
use crate::statements;

/// A write that has not begun after this time fails with [`WriteError::Busy`] and is not done: another program holds
/// the file's write lock, or the disk is slow.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// The most writes in one commit. It bounds how long the first of them waits for the last.
const BATCH_MAX: usize = 256;

/// The writer's page cache. Smaller ones read deleted rows' pages from the file again. Larger ones make commits slower:
/// with `auto_vacuum`, SQLite scans its whole cache after each (`pcache1TruncateUnsafe` in its source).
pub(super) const CACHE_KIB: i64 = 4 * 1024;

/// How often the writer sweeps and frees pages. Rules with a time limit promise a second.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(500);

/// How soon the next step follows while there are more.
const FREE_PAGES_INTERVAL: Duration = Duration::from_millis(100);

/// The levels of `synchronous`: a commit is synced, or only a checkpoint is (<https://sqlite.org/pragma.html#pragma_synchronous>).
const FULL: &str = "FULL";
const NORMAL: &str = "NORMAL";

/// A result whose only error is a failed fsync, or a replaced file. The process must end.
type SyncResult<T> = Result<T, Fatal>;

/// The handle of the writer thread.
pub(super) struct Writer {
    activity: Arc<WriterActivity>,
    commit_hint: CommitHint,
    shutting_down: Arc<AtomicBool>,
    queue: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which owns `connection`. It reports to `failures` when it can no longer write. With the wall
    /// `clock` of a server it pins the clock in each transaction and applies time limits; a command's leaves both alone.
    ///
    /// # Errors
    /// When the file cannot be written, or the thread cannot be started.
    pub(super) fn start(
        connection: Connection,
        files: Arc<OpenFiles>,
        checkpoints: Checkpoints,
        clock: Option<Arc<WallClock>>,
        failures: Failures,
    ) -> Result<Self, OpenProblem> {
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let (queue, jobs) = channel();
        let activity = Arc::<WriterActivity>::default();
        let commit_hint = CommitHint::default();
        let shutting_down = Arc::new(AtomicBool::new(false));
        let writer = WriterLoop {
            checkpoints,
            connection,
            files,
            jobs,
            waiting: VecDeque::new(),
            activity: Arc::clone(&activity),
            commit_hint: commit_hint.clone(),
            shutting_down: Arc::clone(&shutting_down),
            synchronous: FULL,
            has_unsynced: false,
            has_failed_commit: false,
            last_error: LastError::default(),
            sweep_refusal: SweepRefusal::default(),
            elapsed_time: ElapsedTime::new(clock),
        };
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || failures.watch("writer", || writer.run(&failures)))?;
        let (queue, thread) = (Mutex::new(Some(queue)), Mutex::new(Some(thread)));
        Ok(Self { activity, commit_hint, shutting_down, queue, thread })
    }

    pub(super) fn send(&self, job: Job) -> Result<(), WriteError> {
        match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => {
                self.activity.enqueued();
                queue.send(job).map_err(|_| WriteError::Closed)
            }
            None => Err(WriteError::Closed),
        }
    }

    pub(super) fn activity(&self) -> &WriterActivity {
        &self.activity
    }

    /// Sends a hint to `hint` after each commit from now on.
    pub(super) fn set_commit_hint(&self, hint: SyncSender<()>) {
        self.commit_hint.set(hint);
    }

    /// From now on a write fails with [`WriteError::Closed`] instead of waiting for another program's lock.
    pub(super) fn stop_waiting_for_locks(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
    }

    /// Closes the queue and returns when the jobs in it are finished.
    pub(super) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It cannot fail: the thread catches its panics and reports them.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The transaction of a batch.
enum Begun {
    /// Its commit is synced.
    Synced,
    /// Its commit is not synced. The clock is pinned, and nothing is due that must be synced.
    Unsynced(Began),
}

struct WriterLoop {
    /// First, because fields are dropped in order: its thread ends before the connection is closed.
    checkpoints: Checkpoints,
    connection: Connection,
    files: Arc<OpenFiles>,
    jobs: Receiver<Job>,
    /// Jobs taken from the queue that have not begun.
    waiting: VecDeque<Job>,
    activity: Arc<WriterActivity>,
    commit_hint: CommitHint,
    shutting_down: Arc<AtomicBool>,
    /// The connection's level of `synchronous`. It cannot change inside a transaction.
    synchronous: &'static str,
    /// Commits since the last synced one are not synced.
    has_unsynced: bool,
    /// A commit failed, and none has succeeded since; see [`WriterLoop::overwrite_failed_commit`].
    has_failed_commit: bool,
    /// Of housekeeping.
    last_error: LastError,
    sweep_refusal: SweepRefusal,
    elapsed_time: ElapsedTime,
}

impl WriterLoop {
    /// Runs until the queue is closed, an fsync fails, or a file is replaced.
    fn run(mut self, failures: &Failures) {
        if let Err(fatal) = self.work() {
            self.checkpoints.end_thread();
            if matches!(fatal, Fatal::Replaced(_)) && self.files.share_no_log() {
                save_log(&self.connection);
            }
            failures.report(fatal);
            // Left open until the process ends: closing it would run another checkpoint, and delete the log.
            std::mem::forget(self.connection);
        }
    }

    /// Writes batches, and housekeeps between them, until the queue is closed.
    ///
    /// # Errors
    /// If an fsync fails, or a file is replaced.
    fn work(&mut self) -> SyncResult<()> {
        let mut housekeeping = Instant::now() + HOUSEKEEPING_INTERVAL;
        loop {
            if self.waiting.is_empty() {
                match self.jobs.recv_timeout(housekeeping.saturating_duration_since(Instant::now())) {
                    Ok(job) => self.waiting.push_back(job),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
            self.receive_jobs();
            if !self.waiting.is_empty() {
                self.write_batch()?;
            }
            if Instant::now() >= housekeeping {
                let pause = self.housekeep()?;
                housekeeping = Instant::now() + pause;
            }
        }
    }

    fn receive_jobs(&mut self) {
        while self.waiting.len() < BATCH_MAX {
            match self.jobs.try_recv() {
                Ok(job) => self.waiting.push_back(job),
                Err(_) => return,
            }
        }
    }

    /// Runs the waiting jobs in one transaction, commits, and reports the results.
    ///
    /// # Errors
    /// If an fsync fails.
    fn write_batch(&mut self) -> SyncResult<()> {
        let Some(begun) = self.begin_batch()? else { return Ok(()) };
        // Those that need no sync would wait for it anyway behind one that does.
        let is_taken = |job: &Job| matches!(begun, Begun::Synced) || !job.write.needs_sync();
        let count = self.waiting.iter().take_while(|job| is_taken(job)).count();
        let claimed: Vec<Job> = self.waiting.drain(..count).filter(Job::claim).collect();
        self.activity.dequeued(count);
        if claimed.is_empty() {
            self.roll_back();
            return Ok(());
        }
        let outcomes = match self.run_batch(begun, &claimed) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::error!(%error, writes = claimed.len(), "a transaction could not be committed");
                let overwritten = if let WriteError::SyncFailed(error) = &error {
                    Err(Fatal::SyncFailed(plain_message(error)))
                } else {
                    self.roll_back();
                    self.has_failed_commit = true;
                    self.overwrite_failed_commit()
                };
                fail_all(claimed.into_iter(), &error);
                return overwritten;
            }
        };
        // What was written to a file that is no longer at its path is not acknowledged.
        if let Err(replaced) = self.files.check() {
            fail_all(claimed.into_iter(), &replaced.clone().into());
            return Err(replaced.into());
        }
        self.activity.wrote(claimed.len());
        for (job, outcome) in claimed.into_iter().zip(outcomes) {
            job.finish_with(outcome);
        }
        self.commit_hint.send();
        Ok(self.checkpoints.after_commit(&self.connection)?)
    }

    /// Applies `jobs` and commits. Returns an outcome for each.
    ///
    /// # Errors
    /// If the transaction is rolled back or cannot be committed.
    fn run_batch(&mut self, begun: Begun, jobs: &[Job]) -> Result<Vec<Outcome>, WriteError> {
        let (began, clock) = match begun {
            Begun::Unsynced(began) => (began, GroupClock::Pinned),
            Begun::Synced => {
                let began = self.elapsed_time.begin(&self.connection)?;
                let clock = if self.elapsed_time.is_server() { GroupClock::At(began.ts()) } else { GroupClock::Free };
                (began, clock)
            }
        };
        let applied = apply(&self.connection, clock, jobs.iter().map(|job| &*job.write))?;
        if matches!(clock, GroupClock::At(_)) {
            self.sweep_refusal.note(applied.sweep_refusal);
        }
        self.commit(&began)?;
        Ok(applied.outcomes)
    }

    /// Begins the transaction of a batch. Retries while another program holds the write lock, and fails the writes whose
    /// deadline passes. Returns `None` if no write is left, or a transaction cannot begin.
    ///
    /// # Errors
    /// If an fsync fails.
    fn begin_batch(&mut self) -> SyncResult<Option<Begun>> {
        let mut must_sync = !self.elapsed_time.is_server() || self.has_failed_commit;
        loop {
            let needs_sync = must_sync || self.waiting.front().is_some_and(|job| job.write.needs_sync());
            let begun = if needs_sync {
                self.begin_immediate(FULL).map(|()| Some(Begun::Synced))
            } else {
                self.begin_immediate(NORMAL).and_then(|()| self.stay_unsynced())
            };
            let error = match begun {
                Ok(Some(begun)) => return Ok(Some(begun)),
                Err(error) if is_failed_sync(&error) => return Err(error.into()),
                Err(error) if needs_sync || self.connection.is_autocommit() => WriteError::from(error),
                // The same error comes again in the synced transaction, and is reported there.
                Ok(None) | Err(_) => {
                    self.roll_back();
                    must_sync = true;
                    continue;
                }
            };
            if !matches!(error, WriteError::Busy) {
                self.fail_waiting(|_| true, &error);
                self.elapsed_time.blocked();
                return Ok(None);
            }
            self.activity.note_alive();
            self.files.check()?;
            self.receive_jobs();
            if self.shutting_down.load(Ordering::Relaxed) {
                self.fail_waiting(|_| true, &WriteError::Closed);
            }
            let now = Instant::now();
            self.fail_waiting(|job| job.is_expired(now), &WriteError::Busy);
            if self.waiting.is_empty() {
                self.elapsed_time.blocked();
                return Ok(None);
            }
        }
    }

    /// Begins a transaction at a level of `synchronous`.
    fn begin_immediate(&mut self, synchronous: &'static str) -> rusqlite::Result<()> {
        if self.synchronous != synchronous {
            self.connection.pragma_update(None, "synchronous", synchronous)?;
            self.synchronous = synchronous;
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")
    }

    /// Pins the clock in a transaction that has begun without a sync. Returns `None` if it must be synced after all: the
    /// wall clock was set, the server paused, a sweep changes calls, or the setting `sync_all` is on.
    fn stay_unsynced(&mut self) -> rusqlite::Result<Option<Begun>> {
        let began = self.elapsed_time.begin(&self.connection)?;
        if began.has_written() {
            return Ok(None);
        }
        self.connection.prepare_cached(statements::PIN_CLOCK_UNSWEPT.sql())?.execute([began.ts()])?;
        let (must_sync, is_sweep_due) = self
            .connection
            .prepare_cached(statements::SYNC_DUE.sql())?
            .query_row([], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?)))?;
        let is_unsynced = !must_sync && (!is_sweep_due || self.pin_clock(&began)?);
        Ok(is_unsynced.then_some(Begun::Unsynced(began)))
    }

    /// Commits.
    fn commit(&mut self, began: &Began) -> rusqlite::Result<()> {
        self.connection.execute_batch("COMMIT")?;
        self.has_unsynced = self.synchronous != FULL;
        self.has_failed_commit = false;
        self.elapsed_time.committed(began);
        self.activity.committed();
        Ok(())
    }

    /// Removes the waiting jobs for which `fails` holds, and fails those that have not already expired.
    fn fail_waiting(&mut self, fails: impl Fn(&Job) -> bool, error: &WriteError) {
        let (failing, rest): (VecDeque<Job>, _) = self.waiting.drain(..).partition(|job| fails(job));
        self.waiting = rest;
        self.activity.dequeued(failing.len());
        fail_all(failing.into_iter().filter(Job::claim), error);
    }

    /// Pins the clock of a server, which runs the sweeps that are due. Returns whether no rule refused them.
    fn pin_clock(&mut self, began: &Began) -> rusqlite::Result<bool> {
        if !self.elapsed_time.is_server() {
            return Ok(true);
        }
        let refusal = pin_clock(&self.connection, began.ts())?;
        let is_swept = refusal.is_none();
        self.sweep_refusal.note(refusal);
        Ok(is_swept)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    /// Commits something else after a failed commit. The pages of the failed one can stand in the log complete, as when
    /// only the log's index did not fit on a full disk. A crash would then bring back writes that were reported as
    /// failed; the next commit overwrites them. Housekeeping retries while the disk accepts no commit.
    ///
    /// # Errors
    /// If an fsync fails.
    fn overwrite_failed_commit(&mut self) -> SyncResult<()> {
        match self.sweep() {
            Err(error) if !is_failed_sync(&error) => {
                tracing::error!(%error, "the next transaction could not be committed either");
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// Sweeps if something is due, checkpoints, and returns free pages to the file system. Logs an error once while it
    /// lasts. Returns the time until the next housekeeping.
    ///
    /// # Errors
    /// If an fsync fails.
    fn housekeep(&mut self) -> SyncResult<Duration> {
        self.files.check()?;
        let kept = self.sweep_and_vacuum();
        if kept.as_ref().map_or_else(|error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy), |_| true) {
            self.activity.note_alive();
        }
        let (pause, error) = match kept {
            Ok(true) => (FREE_PAGES_INTERVAL, None),
            Ok(false) => (HOUSEKEEPING_INTERVAL, None),
            Err(error) if is_failed_sync(&error) => return Err(error.into()),
            Err(error) => (HOUSEKEEPING_INTERVAL, Some(error.to_string())),
        };
        self.last_error.note(error, "housekeeping failed");
        Ok(pause)
    }

    /// Returns whether there are more free pages to return.
    fn sweep_and_vacuum(&mut self) -> rusqlite::Result<bool> {
        if self.has_failed_commit || self.has_unsynced || self.is_sweep_due()? {
            self.sweep()?;
        }
        self.checkpoints.housekeep(&self.connection)?;
        free_pages(&self.connection)
    }

    /// Whether a time limit is over, or the times in the file have to move.
    fn is_sweep_due(&mut self) -> rusqlite::Result<bool> {
        if !self.elapsed_time.is_server() {
            return Ok(false);
        }
        Ok(self.elapsed_time.is_due()
            || self.connection.prepare_cached(statements::SWEEP_DUE.sql())?.query_row([], |row| row.get(0))?)
    }

    /// Pins and frees the clock; a trigger then runs the sweeps that are due.
    fn sweep(&mut self) -> rusqlite::Result<()> {
        self.begin_immediate(FULL).inspect_err(|_| self.elapsed_time.blocked())?;
        let swept = self.sweep_in_transaction();
        if swept.is_err() {
            self.roll_back();
        }
        swept?;
        self.commit_hint.send();
        Ok(())
    }

    fn sweep_in_transaction(&mut self) -> rusqlite::Result<()> {
        let began = self.elapsed_time.begin(&self.connection)?;
        let is_swept = self.pin_clock(&began)?;
        // It writes in any case, so that the commit overwrites a failed one, and is synced.
        self.connection.prepare_cached(statements::UNPIN_CLOCK.sql())?.execute([])?;
        if is_swept || began.has_written() || self.has_failed_commit || self.has_unsynced {
            self.commit(&began)
        } else {
            // A refused sweep has changed nothing, so a commit would only wake the readers.
            self.connection.execute_batch("ROLLBACK")
        }
    }
}

fn fail_all(jobs: impl Iterator<Item = Job>, error: &WriteError) {
    for job in jobs {
        job.finish(Err(error.clone()));
    }
}
