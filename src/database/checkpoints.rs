//! Checkpoints: copying the write-ahead log into the database file.
//!
//! In a server a thread copies most pages beside the writer's commits (`checkpoint_thread`); the writer copies the few that
//! are left, and restarts the log. The writer of a command copies all. A failed fsync of either ends the process. SQLite's
//! automatic checkpoint after a commit is off, because it discards its error (`sqlite3WalDefaultHook` in its source).
//!
//! A failed write or a full disk does not end the process: SQLite rolls the commit back, and the next checkpoint copies
//! the same pages. A failed fsync, of a commit or of a checkpoint, ends it. An fsync cannot be retried: Linux marks the
//! pages that it could not write as clean, and the next fsync succeeds without them
//! (<https://wiki.postgresql.org/wiki/Fsync_Errors>). A new process reads the log again, which has every synced
//! commit, and writes all of it into the file.
//!
//! Unsynced commits lean on the same fsyncs. SQLite syncs the log before it copies pages into the file, and the header of a
//! restarted log before its first frame, at `synchronous=NORMAL` as at FULL (`walCheckpoint` and `walFrames`).

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::checkpoint_thread::CheckpointThread;
use super::error::{is_failed_sync, plain_message};
use super::open::open_connection;
use crate::last_error::LastError;

/// The pages in the log from which on a server's thread copies them.
const COPY_PAGES: i64 = 500;

/// The pages from which on the writer restarts the log: a server's if at most [`REST_PAGES_MAX`] are left to copy. That takes
/// some milliseconds, in which nothing else is written.
const RESTART_PAGES: i64 = 1500;

/// See [`RESTART_PAGES`].
pub(super) const REST_PAGES_MAX: i64 = 200;

/// The pages from which on writes wait for the checkpoint: the thread cannot keep up with them.
const LOG_PAGES_MAX: i64 = 3000;

/// How often the pages are counted while writes come one after another. It takes as long as a twentieth of a small write.
const COUNT_INTERVAL: Duration = Duration::from_millis(10);

/// How long a checkpoint waits for readers of an older snapshot. Requests read for microseconds, or for some time slices on
/// a loaded machine. An admin's shell may read for hours, and then the log grows until it ends.
const READER_TIMEOUT: Duration = Duration::from_millis(10);

/// How long a start tries to empty the log.
const START_TIMEOUT: Duration = Duration::from_secs(2);

/// The checkpoints of the writer's connection.
pub(super) struct Checkpoints {
    /// A server's.
    thread: Option<CheckpointThread>,
    /// The pages in the log when the thread was last woken, and at the writer's last checkpoint. 0 if the log was restarted
    /// since.
    pages_at_wake: i64,
    pages_at_restart: i64,
    counted_at: Instant,
    /// How many times as large as that of a single server the log becomes.
    log_factor: i64,
    last_error: LastError,
}

/// The log of a member is larger: its commits need no sync, and each checkpoint syncs twice.
#[cfg(feature = "cluster")]
pub(super) const MEMBER_LOG_FACTOR: i64 = 4;

impl Checkpoints {
    /// Turns SQLite's automatic checkpoints of `connection` off. `log_factor` is how many times as large as that of a single
    /// server the log becomes.
    pub(super) fn new(
        connection: &Connection,
        thread: Option<CheckpointThread>,
        log_factor: i64,
    ) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(Self {
            thread,
            pages_at_wake: 0,
            pages_at_restart: 0,
            counted_at: Instant::now(),
            log_factor,
            last_error: LastError::default(),
        })
    }

    /// Ends the thread.
    pub(super) fn end_thread(&mut self) {
        self.thread = None;
    }

    /// Runs a checkpoint, or wakes the thread for one, once the log has enough pages. A reader can cut either
    /// short: a request does briefly, an admin's shell for long. So each is repeated when the log has grown by a tenth.
    ///
    /// # Errors
    /// If an fsync fails. Other errors are logged once while they last, and the next checkpoint copies the same pages.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.counted_at.elapsed() < COUNT_INTERVAL {
            return Ok(());
        }
        self.counted_at = Instant::now();
        self.checkpoint_after(connection, 0.1)
    }

    /// Retries a checkpoint that a reader cut short. The writer calls this twice a second.
    ///
    /// # Errors
    /// As [`Checkpoints::after_commit`].
    pub(super) fn housekeep(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.checkpoint_after(connection, 0.0)
    }

    /// `growth` is the part by which the log must have grown since the last attempt.
    fn checkpoint_after(&mut self, connection: &Connection, growth: f64) -> rusqlite::Result<()> {
        let error = match self.try_checkpoint(connection, growth) {
            Err(error) if is_failed_sync(&error) => return Err(error),
            Err(error) => Some(error.to_string()),
            Ok(true) => None,
            Ok(false) => return Ok(()),
        };
        self.last_error.note(error, "the checkpoint failed");
        Ok(())
    }

    /// Returns whether the log was restarted, or only readers prevented it.
    fn try_checkpoint(&mut self, connection: &Connection, growth: f64) -> rusqlite::Result<bool> {
        let (pages, copied) = checkpoint(connection, "NOOP")?;
        if pages < self.pages_at_wake.max(self.pages_at_restart) {
            // The log was restarted.
            (self.pages_at_wake, self.pages_at_restart) = (0, 0);
        }
        if pages < COPY_PAGES * self.log_factor || copied == pages {
            return Ok(false);
        }
        let has_grown = |before: i64| (pages - before) as f64 >= growth * before as f64;
        if let Some(thread) = self.thread.as_ref().filter(|_| pages < LOG_PAGES_MAX * self.log_factor) {
            let is_for_thread = pages - copied > REST_PAGES_MAX;
            if is_for_thread && has_grown(self.pages_at_wake) {
                thread.wake();
                self.pages_at_wake = pages;
            }
            if is_for_thread {
                return Ok(false);
            }
        }
        if pages < RESTART_PAGES * self.log_factor || !has_grown(self.pages_at_restart) {
            return Ok(false);
        }
        let turn = self.thread.as_ref().map(|thread| thread.take_turn(pages >= LOG_PAGES_MAX * self.log_factor));
        if turn.as_ref().is_some_and(Option::is_none) {
            return Ok(false);
        }
        self.pages_at_restart = pages;
        restart_log(connection)?;
        Ok(true)
    }
}

/// Copies what is left in the log and waits for the readers, so that the next commit overwrites the log from its start.
fn restart_log(connection: &Connection) -> rusqlite::Result<()> {
    let busy_timeout: u32 = connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
    connection.busy_timeout(READER_TIMEOUT)?;
    let result = checkpoint(connection, "RESTART");
    connection.busy_timeout(Duration::from_millis(busy_timeout.into()))?;
    result.map(drop)
}

/// Runs a checkpoint of a mode and returns the pages in the log and those copied into the file. `NOOP` only counts.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    statement.query_row([], |row| Ok((row.get("log")?, row.get("checkpointed")?)))
}

/// Copies the whole log into the file at `path` and empties it. After a failed fsync of a commit the log may have a gap
/// on the disk; without this, writes acknowledged from now on would stand behind it and be lost in a power loss.
///
/// A reader in another program can prevent it. That is logged, and the server starts: replication tools read for as
/// long as they run.
///
/// # Errors
/// If SQLite cannot read or write, including a failed fsync.
pub(super) fn empty_log(path: &Path) -> rusqlite::Result<()> {
    let connection = open_connection(path)?;
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>("busy")) {
            Ok(true) => thread::sleep(Duration::from_millis(20)),
            Ok(false) => return Ok(()),
            Err(error) => {
                leak_after_failed_sync(connection, &error);
                return Err(error);
            }
        }
    }
    tracing::warn!("another program reads the database, so the write-ahead log could not be emptied");
    Ok(())
}

/// Copies the log into the database file that is open, and empties the log, when either has lost its path. A log that
/// stays beside another file would be read as a part of that file.
pub(super) fn save_log(connection: &Connection) {
    match checkpoint(connection, "TRUNCATE") {
        Ok((pages, copied)) if pages == copied => {}
        Ok(_) => tracing::error!("another program reads the database, so a part of the write-ahead log was not saved"),
        Err(error) => tracing::error!(error = plain_message(&error), "the write-ahead log could not be saved"),
    }
}

/// Leaves `connection` open until the process ends. While it is open, no other connection is the last one to be closed:
/// that one would run a checkpoint, sync with success, and delete the log.
pub(super) fn leak_after_failed_sync(connection: Connection, error: &rusqlite::Error) {
    if is_failed_sync(error) {
        std::mem::forget(connection);
    }
}
