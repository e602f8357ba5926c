//! Readers: connections of their own, which see the last commit and never wait for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use super::ReadError;
use super::open::open_connection;
use crate::statements::Statement;

/// Connections that are not in use. There are never more than threads that read at once, which the async runtime bounds.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn read<T, E: From<ReadError>>(
        &self,
        questions: impl FnOnce(&Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        let snapshot = self.begin()?;
        let answer = questions(&snapshot);
        self.end(snapshot)?;
        answer
    }

    fn begin(&self) -> Result<Snapshot, ReadError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = open_connection(&self.path)?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Snapshot { connection })
    }

    /// A connection whose transaction cannot be closed is not used again.
    fn end(&self, snapshot: Snapshot) -> Result<(), ReadError> {
        snapshot.connection.prepare_cached("COMMIT")?.execute([])?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot.connection);
        Ok(())
    }
}

/// The file at one instant.
pub struct Snapshot {
    connection: Connection,
}

impl Snapshot {
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
}
