//! The log of the cluster on this machine: a SQLite file beside the database, `presence.db-raft`. Each append is synced.
//!
//! Applied entries are removed once they take more than some megabytes; see [`LogStore::purgeable`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader, Vote};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::types::{Entry, Failed, LogId, Types, decode, encode, failed};
use crate::database::{Failures, Fatal, checkpoint, create_file, plain_message};

/// Entries stay in memory up to this many bytes: they are applied, and sent to each member, right after they are stored.
const CACHE_MAX_BYTES: usize = 1024 * 1024;

/// SQLite's own cache can be small: only what a member needs that was away is read from the file.
const PAGE_CACHE_KIB: i64 = 256;

/// The most bytes of entries in one message to a member.
const MESSAGE_MAX_BYTES: usize = 1024 * 1024;

/// Once the log has more bytes, entries that are applied are removed from it, down to [`KEPT_BYTES`]: a member that was away
/// for no more than these need not copy the whole file.
const LOG_MAX_BYTES: usize = 64 * 1024 * 1024;
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// The pages in the write-ahead log from which on they are copied into the file.
const CHECKPOINT_PAGES: i64 = 1000;

/// What is wrong with the log.
#[derive(Debug, Error)]
pub(super) enum LogError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("an entry cannot be read: {0}")]
    Encoding(#[from] postcard::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The log. Cloning is cheap and shares it.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<Mutex<Log>>,
    failures: Failures,
}

struct Log {
    connection: Connection,
    /// The newest entries, each with its bytes.
    cache: BTreeMap<u64, (Entry, usize)>,
    cached_bytes: usize,
    /// The bytes of each entry that is stored.
    sizes: BTreeMap<u64, usize>,
    bytes: usize,
}

impl LogStore {
    /// Opens the log of the database at `path`, and makes one if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(super) fn open(path: &Path, failures: Failures) -> Result<Self, LogError> {
        create_file(path)?;
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // It discards its errors; see the checkpoints of the database.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
        )?;
        let sizes = {
            let mut sizes = connection.prepare("SELECT id, length(entry) FROM log")?;
            let sizes = sizes.query_map([], |row| {
                let bytes = usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), bytes))
            })?;
            sizes.collect::<rusqlite::Result<BTreeMap<u64, usize>>>()?
        };
        let bytes = sizes.values().sum();
        let log = Log { connection, cache: BTreeMap::new(), cached_bytes: 0, sizes, bytes };
        Ok(Self { log: Arc::new(Mutex::new(log)), failures })
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores `value` under `name`.
    pub(super) fn note(&self, name: &str, value: &impl Serialize) -> Result<(), LogError> {
        let log = self.lock();
        let mut note = log.connection.prepare_cached("INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)")?;
        note.execute(params![name, encode(value)?])?;
        Ok(())
    }

    /// What is stored under `name`.
    pub(super) fn noted<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LogError> {
        let log = self.lock();
        let mut noted = log.connection.prepare_cached("SELECT value FROM notes WHERE name = ?1")?;
        let bytes: Option<Vec<u8>> = noted.query_row([name], |row| row.get(0)).optional()?;
        Ok(bytes.map(|bytes| decode(&bytes)).transpose()?)
    }

    /// Reports why the log cannot be read or written. openraft stops, and says it less clearly.
    fn failed(&self, error: &LogError, verb: ErrorVerb) -> Failed {
        let why = match error {
            LogError::Sqlite(error) => plain_message(error),
            error => error.to_string(),
        };
        self.failures.report(Fatal::MemberFailed(format!("its log: {why}")));
        failed(error, ErrorSubject::Logs, verb)
    }

    /// The index up to which entries should be removed once they are applied, if the log is large.
    pub(super) fn purgeable(&self) -> Option<u64> {
        let log = self.lock();
        if log.bytes <= LOG_MAX_BYTES {
            return None;
        }
        let mut kept = 0;
        let last = log.sizes.iter().rev().find(|(_, bytes)| {
            kept += **bytes;
            kept > KEPT_BYTES
        });
        last.map(|(index, _)| *index)
    }
}

impl Log {
    fn append(&mut self, entries: Vec<Entry>) -> Result<(), LogError> {
        let encoded = entries.iter().map(|entry| Ok((entry.log_id.index, encode(entry)?)));
        let encoded = encoded.collect::<Result<Vec<_>, postcard::Error>>()?;
        let transaction = self.connection.unchecked_transaction()?;
        for (index, entry) in &encoded {
            let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO log (id, entry) VALUES (?1, ?2)")?;
            insert.execute(params![index.cast_signed(), entry])?;
        }
        transaction.commit()?;
        for (entry, (index, bytes)) in entries.into_iter().zip(encoded) {
            self.forget(index..=index);
            self.sizes.insert(index, bytes.len());
            self.bytes += bytes.len();
            self.cached_bytes += bytes.len();
            self.cache.insert(index, (entry, bytes.len()));
        }
        while self.cached_bytes > CACHE_MAX_BYTES && self.cache.len() > 1 {
            let Some((_, (_, bytes))) = self.cache.pop_first() else { break };
            self.cached_bytes -= bytes;
        }
        self.checkpoint()
    }

    /// Drops the sizes and the cached entries of a range.
    fn forget(&mut self, range: impl RangeBounds<u64> + Clone) {
        let stored: Vec<u64> = self.sizes.range(range.clone()).map(|(index, _)| *index).collect();
        for index in stored {
            self.bytes -= self.sizes.remove(&index).unwrap_or_default();
        }
        let cached: Vec<u64> = self.cache.range(range).map(|(index, _)| *index).collect();
        for index in cached {
            self.cached_bytes -= self.cache.remove(&index).map_or(0, |(_, bytes)| bytes);
        }
    }

    /// The entries from `start` up to before `end`, as far as `max_bytes` go, and at least one.
    fn read(&self, start: u64, end: u64, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        if let Some((first, _)) = self.cache.first_key_value()
            && *first <= start
        {
            let mut bytes = 0;
            let fits = |(index, (_, size)): &(&u64, &(Entry, usize))| {
                bytes += size;
                bytes <= max_bytes || **index == start
            };
            let entries = self.cache.range(start..end.max(start)).take_while(fits);
            return Ok(entries.map(|(_, (entry, _))| entry.clone()).collect());
        }
        let mut select =
            self.connection.prepare_cached("SELECT entry FROM log WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
        let mut rows = select.query([start.cast_signed(), end.min(i64::MAX.cast_unsigned()).cast_signed()])?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let entry = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            bytes += entry.len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(decode(entry)?);
        }
        Ok(entries)
    }

    fn delete(&mut self, sql: &str, index: u64) -> Result<(), LogError> {
        self.connection.prepare_cached(sql)?.execute([index.cast_signed()])?;
        self.checkpoint()
    }

    /// Copies the write-ahead log into the file once it is large. Nobody else reads the file, so nothing prevents it.
    fn checkpoint(&self) -> Result<(), LogError> {
        let (pages, _) = checkpoint(&self.connection, "NOOP")?;
        if pages >= CHECKPOINT_PAGES {
            checkpoint(&self.connection, "RESTART")?;
        }
        Ok(())
    }
}

fn first(range: &impl RangeBounds<u64>) -> u64 {
    match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index + 1,
        Bound::Unbounded => 0,
    }
}

fn end(range: &impl RangeBounds<u64>) -> u64 {
    match range.end_bound() {
        Bound::Included(index) => index + 1,
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, Failed> {
        self.lock().read(first(&range), end(&range), usize::MAX).map_err(|error| self.failed(&error, ErrorVerb::Read))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, Failed> {
        self.lock().read(start, end, MESSAGE_MAX_BYTES).map_err(|error| self.failed(&error, ErrorVerb::Read))
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, Failed> {
        let last_purged_log_id: Option<LogId> =
            self.noted("purged").map_err(|error| self.failed(&error, ErrorVerb::Read))?;
        let last = self.lock().sizes.last_key_value().map(|(index, _)| *index);
        let last_log_id = match last {
            Some(index) => {
                let entries = self
                    .lock()
                    .read(index, index + 1, usize::MAX)
                    .map_err(|error| self.failed(&error, ErrorVerb::Read))?;
                entries.last().map(|entry| entry.log_id)
            }
            None => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), Failed> {
        tokio::task::block_in_place(|| self.note("vote", vote)).map_err(|error| self.failed(&error, ErrorVerb::Write))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, Failed> {
        self.noted("vote").map_err(|error| self.failed(&error, ErrorVerb::Read))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), Failed>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().collect();
        tokio::task::block_in_place(|| self.lock().append(entries))
            .map_err(|error| self.failed(&error, ErrorVerb::Write))?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), Failed> {
        let mut log = self.lock();
        log.forget(log_id.index..);
        log.delete("DELETE FROM log WHERE id >= ?1", log_id.index)
            .map_err(|error| self.failed(&error, ErrorVerb::Write))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), Failed> {
        self.note("purged", &log_id).map_err(|error| self.failed(&error, ErrorVerb::Write))?;
        let mut log = self.lock();
        log.forget(..=log_id.index);
        log.delete("DELETE FROM log WHERE id <= ?1", log_id.index)
            .map_err(|error| self.failed(&error, ErrorVerb::Write))
    }
}
