//! Detecting commits.

use std::path::Path;

use rusqlite::Connection;

use super::ReadError;
use super::open::open_connection;

/// A connection that detects commits of other connections and programs.
pub struct Watcher {
    connection: Connection,
}

impl Watcher {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        Ok(Self { connection: open_connection(path)? })
    }

    /// A number that changes with every commit (<https://sqlite.org/pragma.html#pragma_data_version>). A call takes
    /// microseconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn version(&self) -> Result<i64, ReadError> {
        Ok(self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }
}
