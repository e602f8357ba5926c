//! Checkpoints: copying the write-ahead log into the database file.
//!
//! The writer runs them itself and ends the process when one cannot sync. SQLite's automatic checkpoint after a commit
//! is off, because it discards its error (`sqlite3WalDefaultHook` in its source).
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

use super::error::{is_failed_sync, plain_message};
use super::open::open_connection;

/// The pages in the log from which on a checkpoint runs: SQLite's own default.
const CHECKPOINT_PAGES: i64 = 1000;

/// How long a checkpoint waits for readers of an older snapshot. Requests read for microseconds, or for some time slices on
/// a loaded machine. An admin's shell may read for hours, and then the log grows until it ends.
const READER_TIMEOUT: Duration = Duration::from_millis(10);

/// How long a start tries to empty the log.
const START_TIMEOUT: Duration = Duration::from_secs(2);

/// The checkpoints of the writer's connection.
pub(super) struct Checkpoints {
    /// The pages in the log at the last checkpoint, 0 if the log was restarted since.
    pages_at_last: i64,
}

impl Checkpoints {
    /// Turns SQLite's automatic checkpoints of `connection` off.
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(Self { pages_at_last: 0 })
    }

    /// Runs a checkpoint once the log has [`CHECKPOINT_PAGES`]. One that a reader cuts short is retried each time the log
    /// has grown by a tenth: soon if the reader was a request, rarely if it is an admin's shell.
    ///
    /// # Errors
    /// If an fsync fails. Other errors are logged, and the next checkpoint copies the same pages.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.checkpoint_after(connection, self.pages_at_last / 10)
    }

    /// Retries a checkpoint that a reader cut short. The writer calls this twice a second.
    ///
    /// # Errors
    /// As [`Checkpoints::after_commit`].
    pub(super) fn housekeep(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.checkpoint_after(connection, 0)
    }

    fn checkpoint_after(&mut self, connection: &Connection, new_pages: i64) -> rusqlite::Result<()> {
        match self.try_checkpoint(connection, new_pages) {
            Err(error) if !is_failed_sync(&error) => {
                tracing::error!(%error, "the checkpoint failed");
                Ok(())
            }
            result => result,
        }
    }

    fn try_checkpoint(&mut self, connection: &Connection, new_pages: i64) -> rusqlite::Result<()> {
        let (pages, copied) = checkpoint(connection, "NOOP")?;
        if pages < self.pages_at_last {
            // The log was restarted.
            self.pages_at_last = 0;
        }
        if pages < CHECKPOINT_PAGES || pages - self.pages_at_last < new_pages || copied == pages {
            return Ok(());
        }
        self.pages_at_last = pages;
        let busy_timeout: u32 = connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
        connection.busy_timeout(READER_TIMEOUT)?;
        // RESTART waits for the readers, so that the next commit overwrites the log from its start.
        let result = checkpoint(connection, "RESTART");
        connection.busy_timeout(Duration::from_millis(busy_timeout.into()))?;
        result.map(drop)
    }
}

/// Runs a checkpoint of a mode and returns the pages in the log and those copied into the file. `NOOP` only counts.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
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
