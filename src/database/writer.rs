//! The one writer: a thread that takes writes from a queue, runs each in a savepoint, commits what has queued up as one
//! transaction (group commit), and answers each only when the commit is on the disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::oneshot;

use super::checkpoints::{Checkpoints, Unreliable};
use super::readers::Readers;
use super::{Rows, WriteError};
use crate::statements::{self, Statement};

/// A write that has not begun this long after it was handed over, because somebody else holds the file's write lock, answers
/// [`WriteError::Busy`] and is not done.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// So many writes at most share a commit: it bounds how long the first of them waits for the last.
const BATCH_MAX: usize = 256;

/// What the writer keeps of the file in memory, at the most. With less, what makes way for something new is read from the file
/// again too often; with more, commits take longer: a balanced tree makes SQLite go through all of its cache after each
/// (`pcache1TruncateUnsafe` in its source). Twice as much, and four times, were slower.
const CACHE_KIB: i64 = 4 * 1024;

/// How often the writer looks for what is due, and gives freed pages back. Rules with a time limit promise a second.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(500);

/// Free pages that are worth keeping for the next rows, 1 MiB, and how many go back to the file system at a time.
const FREE_PAGES_KEPT: i64 = 256;
const FREE_PAGES_STEP: i64 = 2048;

type Call = (&'static Statement, Vec<Value>);
type Answer = Result<Vec<Rows>, WriteError>;

/// A write on its way.
pub(super) struct Job {
    statements: Vec<Call>,
    on_refusal: Option<Call>,
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Job {
    pub(super) fn new(statements: Vec<Call>, on_refusal: Option<Call>) -> (Self, oneshot::Receiver<Answer>) {
        let (answer, receiver) = oneshot::channel();
        let deadline = Instant::now() + WRITE_DEADLINE;
        (Self { statements, on_refusal, deadline, answer }, receiver)
    }

    /// Whoever asked may have hung up; then there is nobody to answer.
    fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// Where to say that something was committed.
type Hint = Arc<Mutex<Option<SyncSender<()>>>>;

/// The handle of the writer thread.
pub(super) struct Writer {
    hint: Hint,
    /// Set when nobody may wait for a lock any longer.
    impatient: Arc<AtomicBool>,
    queue: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which owns `connection` from now on, and lets `readers` go before a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be written, or there can be no more threads.
    pub(super) fn start(connection: Connection, readers: Arc<Readers>) -> Result<Self, Box<dyn std::error::Error>> {
        let checkpoints = Checkpoints::of(&connection, readers)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let (queue, jobs) = channel();
        let hint = Hint::default();
        let committed = Arc::clone(&hint);
        let impatient = Arc::new(AtomicBool::new(false));
        let gives_up = Arc::clone(&impatient);
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let thread = Thread {
                connection,
                checkpoints,
                jobs,
                waiting: VecDeque::new(),
                committed,
                gives_up,
                unsettled: false,
                trouble: None,
            };
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.run())).is_err() {
                // A server that cannot write any more must not look alive; whoever supervises it starts it again, and
                // nothing that was answered is lost.
                tracing::error!("the writer thread failed; stopping");
                std::process::exit(70);
            }
        })?;
        Ok(Self { hint, impatient, queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn send(&self, job: Job) -> Result<(), WriteError> {
        match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.send(job).map_err(|_| WriteError::Closed),
            None => Err(WriteError::Closed),
        }
    }

    /// From now on `hint` is told when something was committed.
    pub(super) fn set_hint(&self, hint: SyncSender<()>) {
        *self.hint.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint);
    }

    /// From now on a write that somebody else's lock keeps from beginning answers [`WriteError::Closed`] instead of waiting.
    pub(super) fn wait_no_longer(&self) {
        self.impatient.store(true, Ordering::Relaxed);
    }

    /// Takes no more jobs, and returns when those that were sent are answered.
    pub(super) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in the thread has ended the process already.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

struct Thread {
    connection: Connection,
    checkpoints: Checkpoints,
    jobs: Receiver<Job>,
    /// Taken from the queue but not begun.
    waiting: VecDeque<Job>,
    committed: Hint,
    gives_up: Arc<AtomicBool>,
    /// A commit failed, and none has succeeded since; see [`Thread::settle`].
    unsettled: bool,
    /// Why housekeeping had to wait the last time.
    trouble: Option<String>,
}

impl Thread {
    /// A hint that waits already will do for this commit, too.
    fn hint(&self) {
        if let Some(hint) = &*self.committed.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = hint.try_send(());
        }
    }

    fn run(mut self) {
        let mut housekeeping = Instant::now() + HOUSEKEEPING_INTERVAL;
        loop {
            if self.waiting.is_empty() {
                match self.jobs.recv_timeout(housekeeping.saturating_duration_since(Instant::now())) {
                    Ok(job) => self.waiting.push_back(job),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            self.take_what_has_queued_up();
            if !self.waiting.is_empty() {
                self.write_batch();
            }
            if Instant::now() >= housekeeping {
                let trouble = self.keep_house().err().map(|error| error.to_string());
                // A disk that is full for a day, and may hold the log, needs one line.
                if let Some(trouble) = trouble.as_ref().filter(|_| trouble != self.trouble) {
                    tracing::warn!(trouble, "housekeeping has to wait");
                }
                self.trouble = trouble;
                housekeeping = Instant::now() + HOUSEKEEPING_INTERVAL;
            }
        }
    }

    fn take_what_has_queued_up(&mut self) {
        while self.waiting.len() < BATCH_MAX {
            match self.jobs.try_recv() {
                Ok(job) => self.waiting.push_back(job),
                Err(_) => return,
            }
        }
    }

    /// Runs what is waiting in one transaction, commits, and answers.
    fn write_batch(&mut self) {
        match self.begin() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return answer_all(self.waiting.drain(..), &error),
        }
        let mut done = Vec::with_capacity(self.waiting.len());
        while let Some(job) = self.waiting.pop_front() {
            let outcome = run_job(&self.connection, &job);
            done.push((job, outcome));
            if self.connection.is_autocommit() {
                break;
            }
        }
        let committed = if self.connection.is_autocommit() {
            // An error such as a full disk rolled the whole transaction back, and with it what went well before.
            Err(done.last().and_then(|(_, outcome)| outcome.as_ref().err().cloned()).unwrap_or(WriteError::Full))
        } else {
            execute(&self.connection, &statements::FREE_CLOCK, &[])
                .and_then(|_| self.connection.execute_batch("COMMIT"))
                .map_err(WriteError::from)
        };
        match committed {
            Ok(()) => {
                self.unsettled = false;
                // Whoever waits for an answer comes before those who only listen.
                done.into_iter().for_each(|(job, outcome)| job.answer(outcome));
                self.hint();
                stop_if_unreliable(self.checkpoints.after_commit(&self.connection));
            }
            Err(error) => {
                tracing::error!(%error, writes = done.len(), "a transaction could not be committed");
                self.roll_back();
                self.unsettled = true;
                if let Err(error) = self.settle() {
                    tracing::error!(%error, "the disk does not take anything else, either");
                }
                answer_all(done.into_iter().map(|(job, _)| job), &error);
            }
        }
    }

    /// Begins a transaction and pins the clock. While somebody else holds the write lock it goes on trying, and answers the
    /// writes whose deadline passes; false if none is left.
    fn begin(&mut self) -> Result<bool, WriteError> {
        loop {
            match self.connection.execute_batch("BEGIN IMMEDIATE").map_err(WriteError::from) {
                Ok(()) => break,
                Err(WriteError::Busy) => {
                    self.take_what_has_queued_up();
                    if self.gives_up.load(Ordering::Relaxed) {
                        answer_all(self.waiting.drain(..), &WriteError::Closed);
                        return Ok(false);
                    }
                    let now = Instant::now();
                    let (expired, rest) = self.waiting.drain(..).partition(|job: &Job| job.deadline <= now);
                    self.waiting = rest;
                    let expired: VecDeque<Job> = expired;
                    answer_all(expired.into_iter(), &WriteError::Busy);
                    if self.waiting.is_empty() {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if let Err(error) = execute(&self.connection, &statements::PIN_CLOCK, &[Value::Real(machine_time())]) {
            self.roll_back();
            return Err(error.into());
        }
        Ok(true)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    /// Makes sure that a commit which failed is not there after a crash.
    ///
    /// When the fsync of a commit fails, its pages stand in the log all the same, beyond the end that SQLite goes on from. Whoever
    /// opens the file after a crash would find them complete, and whoever was told that nothing was done would have been told
    /// wrongly. The next commit, of anything, writes over them; so there is one at once, before that is told. While the disk
    /// takes none, nothing can be said for sure about a crash, but then nobody's next try can have succeeded before it, either.
    fn settle(&mut self) -> rusqlite::Result<()> {
        if self.unsettled {
            self.sweep()?;
        }
        Ok(())
    }

    /// Pins and frees the clock, which does what is due.
    fn sweep(&mut self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let swept = execute(&self.connection, &statements::PIN_CLOCK, &[Value::Real(machine_time())])
            .and_then(|_| execute(&self.connection, &statements::FREE_CLOCK, &[]))
            .and_then(|_| self.connection.execute_batch("COMMIT"));
        if swept.is_err() {
            self.roll_back();
        }
        self.unsettled = swept.is_err();
        swept?;
        self.hint();
        Ok(())
    }

    /// Sweeps if anything is due, takes what waits in the log into the file, and gives free pages back to the file system.
    fn keep_house(&mut self) -> Result<(), WriteError> {
        self.settle()?;
        let due: bool =
            self.connection.prepare_cached(statements::ANYTHING_DUE.sql())?.query_row([], |row| row.get(0))?;
        if due {
            self.sweep()?;
        }
        stop_if_unreliable(self.checkpoints.now_and_then(&self.connection));
        let free: i64 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free > FREE_PAGES_KEPT {
            // Each step of this statement frees one page, so it has to be stepped to its end.
            let pages = (free - FREE_PAGES_KEPT).min(FREE_PAGES_STEP);
            let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }
}

/// Ends the process, and with it every connection to the file without a checkpoint, if the file cannot be relied on.
fn stop_if_unreliable(checkpoint: Result<(), Unreliable>) {
    if let Err(Unreliable(error)) = checkpoint {
        tracing::error!(
            %error,
            "the disk has lost what was written to the database file; stopping, since the next start takes it from the log, \
             which has everything that was answered"
        );
        std::process::exit(74);
    }
}

fn answer_all(jobs: impl Iterator<Item = Job>, error: &WriteError) {
    jobs.for_each(|job| job.answer(Err(error.clone())));
}

/// Runs the statements of `job` in a savepoint, which is rolled back if one of them is refused.
fn run_job(connection: &Connection, job: &Job) -> Answer {
    let run = || -> rusqlite::Result<Vec<Rows>> {
        connection.prepare_cached("SAVEPOINT one_write")?.execute([])?;
        let answers = job
            .statements
            .iter()
            .map(|(statement, parameters)| execute(connection, statement, parameters))
            .collect::<rusqlite::Result<Vec<Rows>>>()?;
        connection.prepare_cached("RELEASE one_write")?.execute([])?;
        Ok(answers)
    };
    let mut error = match run() {
        Ok(answers) => return Ok(answers),
        Err(error) => WriteError::from(error),
    };
    if !connection.is_autocommit() {
        if let Err(error) = connection.execute_batch("ROLLBACK TO one_write; RELEASE one_write") {
            // What is left of this write must not be committed along with the others.
            connection.execute_batch("ROLLBACK")?;
            return Err(error.into());
        }
        if let (WriteError::Refused { rows, .. }, Some((statement, parameters))) = (&mut error, &job.on_refusal) {
            *rows = execute(connection, statement, parameters)?;
        }
    }
    if let WriteError::Unexpected(what) = &error {
        let names: Vec<_> = job.statements.iter().map(|(statement, _)| statement.name()).collect();
        tracing::error!(?names, %what, "a write failed for a reason that no rule gives");
    }
    Err(error)
}

/// Runs one statement to its end and collects its rows.
fn execute(connection: &Connection, statement: &'static Statement, parameters: &[Value]) -> rusqlite::Result<Rows> {
    let mut prepared = connection.prepare_cached(statement.sql())?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(params_from_iter(parameters))?;
    let mut collected = Rows::new();
    while let Some(row) = rows.next()? {
        collected.push((0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?);
    }
    Ok(collected)
}

/// The machine's time in seconds since the epoch, to the millisecond, as the view `now` gives it.
#[expect(clippy::disallowed_methods, reason = "the one clock: each transaction pins it")]
fn machine_time() -> f64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Milliseconds fit an f64 exactly for the next 285,000 years.
    #[allow(clippy::cast_precision_loss)]
    let milliseconds = since_epoch.as_millis() as f64;
    milliseconds / 1000.0
}
