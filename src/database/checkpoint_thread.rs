//! A server's thread that copies the log into the database file while the writer commits.
//!
//! A checkpoint that the writer runs stops all writes for two fsyncs and the writing of a thousand pages. This one stops
//! none, and leaves the writer a few pages to copy before it restarts the log.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::checkpoints::{REST_PAGES_MAX, checkpoint};
use super::error::is_failed_sync;
use super::fatal::{Failures, Fatal};
use super::open::{OpenProblem, ServerLock, open_connection};
use crate::last_error::LastError;

/// The handle of the thread. Dropping it ends the thread after the checkpoint under way.
pub(super) struct CheckpointThread {
    wake: Option<SyncSender<()>>,
    turn: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CheckpointThread {
    /// Starts the thread for the file at `path`, which the server has open as `lock`. It reports a failed fsync to
    /// `failures`, and checkpoints no more.
    ///
    /// # Errors
    /// When the file cannot be opened again, or the thread cannot be started.
    pub(super) fn start(path: &Path, lock: Arc<ServerLock>, failures: Failures) -> Result<Self, OpenProblem> {
        let connection = open_connection(path)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let (wake, wakes) = sync_channel(1);
        let turn = Arc::new(Mutex::new(()));
        let copier = Copier { connection, lock, turn: Arc::clone(&turn), wakes, last_error: LastError::default() };
        let thread = thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || failures.watch("checkpoints", || copier.run(&failures)))?;
        Ok(Self { wake: Some(wake), turn, thread: Some(thread) })
    }

    /// Makes the thread copy what is in the log now. A wake that it has not yet seen covers this one, too.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }

    /// Keeps the thread from a checkpoint while the guard lives. `None` if one is under way and `waits` is false.
    pub(super) fn take_turn(&self, waits: bool) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => waits.then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Drop for CheckpointThread {
    fn drop(&mut self) {
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            // It cannot fail: the thread catches its panics and reports them.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Copier {
    connection: Connection,
    lock: Arc<ServerLock>,
    turn: Arc<Mutex<()>>,
    wakes: Receiver<()>,
    last_error: LastError,
}

impl Copier {
    fn run(mut self, failures: &Failures) {
        let turn = Arc::clone(&self.turn);
        while self.wakes.recv().is_ok() {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(fatal) = self.copy() {
                failures.report(fatal);
                // Left open until the process ends, as the writer's; see `leak_after_failed_sync`.
                std::mem::forget(self.connection);
                return;
            }
        }
    }

    /// Copies what no reader holds back, and syncs it. SQLite syncs the file only if it has copied the whole log, so the
    /// writer, which copies the last pages, would wait for the sync of all of them.
    ///
    /// # Errors
    /// If an fsync fails. Other errors are logged once while they last, and the next checkpoint copies the same pages.
    fn copy(&mut self) -> Result<(), Fatal> {
        let copied = checkpoint(&self.connection, "NOOP").and_then(|(pages, copied)| {
            if pages - copied > REST_PAGES_MAX { checkpoint(&self.connection, "PASSIVE") } else { Ok((pages, pages)) }
        });
        let error = match copied {
            Ok((pages, copied)) if copied < pages => {
                self.lock.sync().map_err(|error: io::Error| Fatal::SyncFailed(error.to_string()))?;
                None
            }
            Ok(_) => None,
            Err(error) if is_failed_sync(&error) => return Err(error.into()),
            Err(error) => Some(error.to_string()),
        };
        self.last_error.note(error, "the checkpoint failed");
        Ok(())
    }
}
