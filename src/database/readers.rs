//! Readers: connections that see the last commit and never wait for the writer.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row};
use thread_local::ThreadLocal;

use super::ReadError;
use super::files::OpenFiles;
use super::open::open_connection;
use super::wall_clock::{WallClock, check_unchanged};
use crate::statements::{self, Statement};

/// Which present the view `now` gives to a reader.
#[derive(Clone)]
pub(super) enum ReadClock {
    /// The machine's, for a command.
    Machine,
    /// The machine's, for which the writer of a server has moved the times in the file.
    Server(Arc<WallClock>),
    /// That of the cluster.
    #[cfg(feature = "cluster")]
    Cluster(Arc<crate::cluster::ClusterClock>),
}

/// One connection per reading thread, for cache locality.
pub(crate) struct Readers {
    path: PathBuf,
    files: Arc<OpenFiles>,
    clock: ReadClock,
    idle: ThreadLocal<Cell<Option<Box<Snapshot>>>>,
}

impl Readers {
    pub(super) fn new(path: &Path, files: &Arc<OpenFiles>, clock: ReadClock) -> Self {
        Self { path: path.to_owned(), files: Arc::clone(files), clock, idle: ThreadLocal::new() }
    }

    /// Runs `query` in one read transaction. A read inside a read opens another connection.
    ///
    /// # Errors
    /// What `query` returned, that the file cannot be read, or that the wall clock was set meanwhile.
    pub(crate) fn read<T, E: From<ReadError>>(&self, query: impl FnOnce(&Snapshot) -> Result<T, E>) -> Result<T, E> {
        let ReadClock::Server(clock) = &self.clock else { return self.read_snapshot(query) };
        let before = clock.wait_until_applied()?;
        let result = self.read_snapshot(query);
        check_unchanged(before)?;
        result
    }

    /// Closes the connection of the calling thread. Its next read opens another one.
    pub(super) fn close_own(&self) {
        self.idle.get_or_default().take();
    }

    fn read_snapshot<T, E: From<ReadError>>(&self, query: impl FnOnce(&Snapshot) -> Result<T, E>) -> Result<T, E> {
        let idle = self.idle.get_or_default();
        let snapshot = match idle.take() {
            Some(snapshot) => snapshot,
            None => Box::new(self.open()?),
        };
        snapshot.begin()?;
        let result = query(&snapshot);
        // A connection whose transaction cannot be ended is dropped, which ends it.
        snapshot.end()?;
        idle.set(Some(snapshot));
        result
    }

    /// Opens a connection to the file that the writer has open. With another log it would see a mixture of two.
    fn open(&self) -> Result<Snapshot, ReadError> {
        self.files.check()?;
        Snapshot::open(&self.path, &self.clock)
    }
}

/// Lets the view `now` of `connection` give the present of the cluster: it calls `julianday('now')`. Returns where it finds
/// the seconds by which the clock was set.
#[cfg(feature = "cluster")]
fn follow_cluster(
    connection: &Connection,
    clock: &Arc<crate::cluster::ClusterClock>,
) -> rusqlite::Result<Arc<AtomicU64>> {
    let (clock, steps) = (Arc::clone(clock), Arc::<AtomicU64>::default());
    let stepped = Arc::clone(&steps);
    let flags = rusqlite::functions::FunctionFlags::SQLITE_UTF8;
    connection.create_scalar_function("julianday", 1, flags, move |_| {
        let now = clock.now(f64::from_bits(steps.load(Relaxed)));
        Ok(now / 86_400.0 + UNIX_EPOCH_JULIAN_DAY)
    })?;
    Ok(stepped)
}

/// The Julian day at which the time in seconds since the epoch begins, 1970-01-01 00:00 UTC.
#[cfg(feature = "cluster")]
const UNIX_EPOCH_JULIAN_DAY: f64 = 2_440_587.5;

/// The file at one instant.
pub struct Snapshot {
    connection: Connection,
    /// In a member's file, the seconds by which the clock was set before this snapshot, as bits.
    stepped: Option<Arc<AtomicU64>>,
}

impl Snapshot {
    fn open(path: &Path, clock: &ReadClock) -> Result<Self, ReadError> {
        let connection = open_connection(path)?;
        let stepped = match clock {
            ReadClock::Machine | ReadClock::Server(_) => None,
            #[cfg(feature = "cluster")]
            ReadClock::Cluster(clock) => Some(follow_cluster(&connection, clock)?),
        };
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection, stepped })
    }

    fn begin(&self) -> Result<(), ReadError> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        if let Some(stepped) = &self.stepped {
            let mut select = self.connection.prepare_cached(statements::CLOCK_STEPS.sql())?;
            let seconds: Option<f64> = select.query_row([], |row| row.get(0)).optional()?;
            stepped.store(seconds.unwrap_or_default().to_bits(), Relaxed);
        }
        Ok(())
    }

    fn end(&self) -> Result<(), ReadError> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// All rows of `statement`, each mapped by `map`.
    ///
    /// # Errors
    /// If SQLite or `map` fails.
    pub fn rows<T, const N: usize>(
        &self,
        statement: &'static Statement,
        parameters: [&dyn ToSql; N],
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ReadError> {
        let mut prepared = self.connection.prepare_cached(statement.sql())?;
        let rows = prepared.query_map(&parameters[..], map)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The rows of `statement`, as long as `take` returns true. It reads none beyond.
    ///
    /// # Errors
    /// If SQLite or `take` fails.
    pub fn rows_while<const N: usize>(
        &self,
        statement: &'static Statement,
        parameters: [&dyn ToSql; N],
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> Result<(), ReadError> {
        let mut prepared = self.connection.prepare_cached(statement.sql())?;
        let mut rows = prepared.query(&parameters[..])?;
        while let Some(row) = rows.next()? {
            if !take(row)? {
                break;
            }
        }
        Ok(())
    }

    /// The first row of `statement`, mapped by `map`, if there is one.
    ///
    /// # Errors
    /// If SQLite or `map` fails.
    pub fn row<T, const N: usize>(
        &self,
        statement: &'static Statement,
        parameters: [&dyn ToSql; N],
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, ReadError> {
        let mut prepared = self.connection.prepare_cached(statement.sql())?;
        let mut rows = prepared.query(&parameters[..])?;
        Ok(rows.next()?.map(map).transpose()?)
    }
}
