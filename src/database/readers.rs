//! Readers: connections of their own, which see the last commit and never wait for the writer.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};
use thread_local::ThreadLocal;

use super::ReadError;
use super::open::open_connection;
use super::wal_index::{Header, WalIndex};
use crate::statements::Statement;

/// How long letting go waits for a question that is being answered. They take microseconds; those for a stream of media, some
/// milliseconds.
const PATIENCE: Duration = Duration::from_millis(5);

/// A connection for each thread that reads, so that what it has in a processor's cache stays there.
///
/// Each keeps its snapshot for as long as nobody commits: beginning one takes locks that all connections share, and a server
/// that is polled reads far more often than it writes. [`Readers::let_go`] keeps that from standing in anybody's way.
pub(super) struct Readers {
    path: PathBuf,
    places: ThreadLocal<Place>,
    /// How often the snapshots were let go of. Those that begin later are other ones.
    era: AtomicU64,
}

/// Where a thread keeps its snapshot.
#[derive(Default)]
struct Place {
    kept: Mutex<Kept>,
    put_back: Condvar,
}

#[derive(Default)]
enum Kept {
    #[default]
    Nothing,
    Idle(Box<Snapshot>),
    /// Somebody asks, since this era.
    InUse(u64),
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), places: ThreadLocal::new(), era: AtomicU64::new(0) }
    }

    pub(super) fn read<T, E: From<ReadError>>(
        &self,
        questions: impl FnOnce(&Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        let place = self.places.get_or_default();
        let era = self.era.load(Ordering::Acquire);
        let kept = {
            let mut kept = place.kept();
            match *kept {
                // A question inside a question gets a connection of its own.
                Kept::InUse(_) => None,
                _ => Some(std::mem::replace(&mut *kept, Kept::InUse(era))),
            }
        };
        let Some(kept) = kept else {
            let mut snapshot = Snapshot::open(&self.path)?;
            snapshot.renew(era)?;
            return questions(&snapshot);
        };
        let mut in_use = InUse { readers: self, place, era, leaves: Kept::Nothing };
        let mut snapshot = match kept {
            Kept::Idle(snapshot) => snapshot,
            _ => Box::new(Snapshot::open(&self.path)?),
        };
        snapshot.renew(era)?;
        let answer = questions(&snapshot);
        if answer.is_err() || !snapshot.is_current(self.era.load(Ordering::Acquire)) {
            snapshot.end()?;
        }
        in_use.leaves = Kept::Idle(snapshot);
        answer
    }

    /// Lets go of the snapshots that are kept for the next question, and waits a little for those in use. A checkpoint would be
    /// cut short by one that is older than the last commit, and the log does not begin anew while one looks into it.
    pub(super) fn let_go(&self) {
        let era = self.era.fetch_add(1, Ordering::AcqRel) + 1;
        for place in &self.places {
            let is_old = |kept: &mut Kept| matches!(kept, Kept::InUse(since) if *since < era);
            let (mut kept, _) = place
                .put_back
                .wait_timeout_while(place.kept(), PATIENCE, is_old)
                .unwrap_or_else(PoisonError::into_inner);
            if let Kept::Idle(snapshot) = &mut *kept
                && snapshot.end().is_err()
            {
                *kept = Kept::Nothing;
            }
        }
    }
}

impl Place {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts back what is left of a snapshot that was in use: nothing, if anything was wrong with it.
struct InUse<'a> {
    readers: &'a Readers,
    place: &'a Place,
    era: u64,
    leaves: Kept,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let mut kept = self.place.kept();
        *kept = std::mem::take(&mut self.leaves);
        // Nobody waits for a snapshot of this era, and telling nobody is a system call, too.
        if self.era != self.readers.era.load(Ordering::Acquire) {
            self.place.put_back.notify_all();
        }
    }
}

/// The file at one instant.
pub struct Snapshot {
    /// Before the connection, which it must not outlive.
    wal_index: Option<WalIndex>,
    connection: Connection,
    /// What told it from later ones when it began; `None` if no transaction is open.
    began: Option<(Header, u64)>,
    /// Answers that hold until somebody commits, by the name of the statement and its parameters with a NUL after each.
    remembered: RefCell<HashMap<(&'static str, String), Remembered>>,
    /// What the wal-index said when they were given.
    remembered_since: Header,
}

/// An answer, and until when it holds if nobody commits.
struct Remembered {
    answer: Box<dyn Any + Send>,
    until: Instant,
}

/// So many answers are remembered at the most.
const REMEMBERED_MAX: usize = 1024;

impl Snapshot {
    fn open(path: &Path) -> Result<Self, ReadError> {
        let connection = open_connection(path)?;
        connection.pragma_update(None, "query_only", true)?;
        // The connection has read the file now, and so mapped the wal-index.
        connection.pragma_query_value(None, "schema_version", |_| Ok(()))?;
        Ok(Self {
            wal_index: WalIndex::of(&connection),
            connection,
            began: None,
            remembered: RefCell::default(),
            remembered_since: Header::default(),
        })
    }

    /// What tells a snapshot that begins now from others. Without a wal-index to look at, nothing does.
    fn mark(&self, era: u64) -> Option<(Header, u64)> {
        self.wal_index.as_ref().map(|wal_index| (wal_index.header(), era))
    }

    /// Whether it is still what one that begins now would be.
    fn is_current(&self, era: u64) -> bool {
        self.began.is_some() && self.began == self.mark(era)
    }

    /// Makes it one of now.
    fn renew(&mut self, era: u64) -> Result<(), ReadError> {
        if !self.is_current(era) {
            self.end()?;
            // It is looked at before the transaction begins: a commit in between is then noticed once too often, not too late.
            let began = self.mark(era);
            self.connection.prepare_cached("BEGIN")?.execute([])?;
            let began = began.unwrap_or_default();
            if self.remembered_since != began.0 || self.wal_index.is_none() {
                self.remembered_since = began.0;
                self.remembered.get_mut().clear();
            }
            self.began = Some(began);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ReadError> {
        if self.began.take().is_some() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    /// All rows of `statement`, each turned into a `T` by `map`.
    ///
    /// # Errors
    /// What SQLite says, or `map`.
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

    /// The first row of `statement`, if there is one.
    ///
    /// # Errors
    /// What SQLite says, or `map`.
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

    /// What `ask` answers about `statement` with these parameters, and the seconds for which that holds if nobody commits. For so
    /// long this thread does not ask again, so the same statement has to be asked about for the same `T` each time.
    ///
    /// # Errors
    /// What `ask` says, which is not remembered.
    pub fn remembered<T: Clone + Send + 'static, E, const N: usize>(
        &self,
        statement: &'static Statement,
        parameters: [&str; N],
        ask: impl FnOnce() -> Result<(T, f64), E>,
    ) -> Result<T, E> {
        let parameters = parameters.iter().flat_map(|parameter| [*parameter, "\0"]).collect::<String>();
        let question = (statement.name(), parameters);
        if let Some(Remembered { answer, until }) = self.remembered.borrow().get(&question)
            && Instant::now() < *until
            && let Some(answer) = answer.downcast_ref::<T>()
        {
            return Ok(answer.clone());
        }
        let (answer, holds) = ask()?;
        if holds > 0.0 {
            let mut remembered = self.remembered.borrow_mut();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            let until = Instant::now() + Duration::from_secs_f64(holds.min(3600.0));
            remembered.insert(question, Remembered { answer: Box::new(answer.clone()), until });
        }
        Ok(answer)
    }
}
