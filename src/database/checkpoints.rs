//! When what is in the write-ahead log goes into the file itself, and what that means on a disk that fails.
//!
//! SQLite would do it by itself after a commit, but it throws away what goes wrong then (`sqlite3WalDefaultHook` in its
//! source), and one thing must not be thrown away. After fsync(2) has failed, Linux takes the pages that it could not write
//! for written: the next fsync succeeds, and they are on no disk (<https://wiki.postgresql.org/wiki/Fsync_Errors>). So whether
//! to go on after a failure depends on whether everything since the last fsync that succeeded is written once more:
//!
//! - A commit whose fsync failed is refused and undone, and the next one writes its own bytes from the same place of the log
//!   on. Nothing that was answered stood there. Going on is safe.
//! - A checkpoint of all of the log writes all pages since the last one that was complete, and then syncs the file. If that
//!   fails, SQLite notes nothing, and the next one writes the same pages again. Going on is safe.
//! - A checkpoint that a reader of an older snapshot cuts short writes a part of the pages, notes that they are in the file, and
//!   leaves the fsync to the one that completes it. If that fails, the pages of the first are not written again; the next fsync
//!   would succeed, the log would begin anew, and with it goes the only copy. Going on is not safe.
//!
//! In the last case the server has to end without closing the file, which would be a checkpoint again. Whoever opens the file
//! next finds no note of how far the last checkpoints came, and all of the log, synced at every commit, goes into the file once
//! more. See <https://sqlite.org/walformat.html>, on `nBackfill` and recovery.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::readers::Readers;

/// So many pages in the log are worth a checkpoint; it is SQLite's own default.
const PAGES_WORTH_IT: i64 = 1000;

/// What is in the file, as far as its log tells, cannot be relied on; see above.
#[derive(Debug)]
pub(super) struct Unreliable(pub(super) rusqlite::Error);

/// How far the log has got, and the file behind it, in pages since the log began anew.
#[derive(Clone, Copy)]
struct Progress {
    logged: i64,
    in_file: i64,
}

impl Progress {
    /// Does a checkpoint of a mode, and says how far it came. `NOOP` only looks.
    fn after(connection: &Connection, checkpoint: &str) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(checkpoint)?
            .query_row([], |row| Ok(Self { logged: row.get("log")?, in_file: row.get("checkpointed")? }))
    }

    fn now(connection: &Connection) -> rusqlite::Result<Self> {
        Self::after(connection, "PRAGMA wal_checkpoint(NOOP)")
    }
}

/// The checkpoints of the one connection that does them.
pub(super) struct Checkpoints {
    /// Who has to let go first.
    readers: Arc<Readers>,
    /// How long the log was at the last try.
    tried: i64,
    /// How much of the log is in the file and synced, as far as is known.
    synced: Option<i64>,
}

impl Checkpoints {
    /// From now on `connection` does no checkpoints by itself.
    pub(super) fn of(connection: &Connection, readers: Arc<Readers>) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(Self { readers, tried: 0, synced: None })
    }

    /// After a commit: a checkpoint for every so many pages. One that a reader cut short is not worth another try at once.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> Result<(), Unreliable> {
        self.if_worth_it(connection, PAGES_WORTH_IT)
    }

    /// Now and then: what readers or the disk had kept from going into the file.
    pub(super) fn now_and_then(&mut self, connection: &Connection) -> Result<(), Unreliable> {
        self.if_worth_it(connection, 0)
    }

    fn if_worth_it(&mut self, connection: &Connection, more_than_last_time: i64) -> Result<(), Unreliable> {
        let before = match Progress::now(connection) {
            Ok(before) => before,
            Err(error) => {
                tracing::warn!(%error, "how long the log is cannot be seen");
                return Ok(());
            }
        };
        if before.logged < self.tried {
            // It has begun anew, which it only does when everything is in the file.
            (self.tried, self.synced) = (0, None);
        }
        let enough = before.logged >= PAGES_WORTH_IT && before.logged - self.tried >= more_than_last_time;
        if !enough || before.in_file == before.logged {
            return Ok(());
        }
        self.tried = before.logged;
        self.readers.let_go();
        match self.checkpoint(connection) {
            Ok(()) => Ok(()),
            Err(error) if is_failed_sync(&error) && before.in_file != 0 && self.synced != Some(before.in_file) => {
                Err(Unreliable(error))
            }
            Err(error) => {
                tracing::error!(%error, "the log cannot be taken into the file for now");
                Ok(())
            }
        }
    }

    fn checkpoint(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let done = Progress::after(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        // Whoever reads now still looks into the log. When all of it is in the file, those who begin later do not, and once nobody
        // does, the next commit begins the log anew.
        self.readers.let_go();
        // The file is synced only if the whole log is in it. What another program adds meanwhile makes it a part.
        let now = Progress::now(connection)?;
        self.synced = (done.in_file == now.logged).then_some(done.in_file);
        Ok(())
    }
}

fn is_failed_sync(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(failure, _)
        if failure.code == ErrorCode::SystemIoFailure && failure.extended_code == rusqlite::ffi::SQLITE_IOERR_FSYNC)
}
