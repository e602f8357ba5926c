//! The schema, migrations, and reads and writes of a file.

mod columns;
mod elapsed_time;
mod pages_per_commit;
mod query_plans;
mod reads_and_writes;
mod replay;
mod schema;
mod trigger_map;

use std::path::PathBuf;

use minimost_calls::database::{Database, open_connection};
use rusqlite::Connection;
use tempfile::TempDir;

/// A new database file, and a connection to it with this program's settings.
fn new_file() -> (TempDir, PathBuf, Connection) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("presence.db");
    drop(Database::open(&path).unwrap());
    let connection = open_connection(&path).unwrap();
    (folder, path, connection)
}
