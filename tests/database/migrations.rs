//! Migrations: the schema is the one that is written down, and what is embedded is what lies on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use minimost_calls::database::{APPLICATION_ID, Database, migrations, open_connection};

use crate::new_file;

/// The schema as one text, in the order in which it was made.
fn schema() -> String {
    let (_folder, _, connection) = new_file();
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        .unwrap();
    let texts: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    texts.iter().map(|text| format!("{text};\n\n")).collect()
}

/// `fixtures/schema.sql` is what `.schema` shows, for whoever wants to read it in one piece, and so that a migration cannot
/// change more than was meant. `UPDATE_SCHEMA=1 cargo test --test database` writes it anew.
#[test]
fn the_schema_is_the_one_in_fixtures() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema.sql");
    let head = "-- The whole schema as a new file has it, kept by a test; it is written in sql/.\n\n";
    let now = format!("{head}{}\n", schema().trim_end());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &now).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == now, "the schema differs from {}", path.display());
}

#[test]
fn the_files_on_disk_are_the_ones_embedded() {
    let on_disk: BTreeMap<String, String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    let embedded: BTreeMap<String, String> = migrations()
        .get_migrations()
        .iter()
        .map(|migration| (migration.to_string(), migration.sql().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(on_disk.keys().collect::<Vec<_>>(), embedded.keys().collect::<Vec<_>>());
    assert!(on_disk == embedded, "a file in sql/ is not what was embedded; build again");
}

#[test]
fn opening_again_changes_nothing() {
    let (_folder, path, connection) = new_file();
    let version = |connection: &rusqlite::Connection| -> (i64, i64) {
        connection
            .query_row(
                "SELECT schema_version, (SELECT count(*) FROM refinery_schema_history) FROM pragma_schema_version",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap()
    };
    let before = version(&connection);
    drop(Database::open(&path).unwrap());
    assert_eq!(version(&connection), before);
}

#[test]
fn a_file_has_the_settings_that_the_contract_names() {
    let (_folder, path, connection) = new_file();
    let pragma = |name: &str| -> String {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| match value {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal");
    assert_eq!(pragma("synchronous"), "2"); // FULL
    assert_eq!(pragma("foreign_keys"), "1");
    assert_eq!(pragma("auto_vacuum"), "2"); // INCREMENTAL
    assert_eq!(pragma("application_id"), APPLICATION_ID.to_string());
    // The application id stands in the file itself, even if everything else is still in the WAL.
    assert_eq!(fs::read(&path).unwrap()[68..72], APPLICATION_ID.to_be_bytes());
}

/// Two programs that come first at once: both find a whole schema.
#[test]
fn two_can_create_the_same_file_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("presence.db");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Database::open(&path).map(drop).map_err(|error| error.to_string()))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    let integrity: String =
        open_connection(&path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}

/// Rules must be readable by Debian 12's sqlite3, so what only newer versions know stays out.
#[test]
fn no_trigger_reads_a_clock_or_rolls_dice() {
    let schema = schema();
    for word in ["random(", "randomblob(", "CURRENT_TIME", "unixepoch('", "strftime("] {
        assert!(!schema.contains(word), "{word}");
    }
    assert_eq!(schema.matches("julianday('now')").count(), 1, "only the view `now` reads the machine's clock");
}
