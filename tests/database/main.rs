//! The schema, and the two doors to it.

mod doors;
mod migrations;
mod query_plans;
mod refusals;
mod replay;

use std::path::PathBuf;

use minimost_calls::database::{Database, open_connection};
use rusqlite::Connection;
use tempfile::TempDir;

/// A file of its own with the schema in it, and a connection with this program's settings.
fn new_file() -> (TempDir, PathBuf, Connection) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("presence.db");
    drop(Database::open(&path).unwrap());
    let connection = open_connection(&path).unwrap();
    (folder, path, connection)
}
