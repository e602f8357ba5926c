//! The schema: the program embeds the files of `sql/`, the snapshots are current, and an upgraded file equals a new one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use minimost_calls::database::{APPLICATION_ID, Database, RULES, RULES_NUMBER, migrations, open_connection};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::new_file;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The objects of a file, in the order of their creation.
fn schema(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        .unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Compares a generated text with its snapshot in `fixtures/`. `UPDATE_SCHEMA=1` rewrites the snapshot.
pub fn assert_snapshot(path: &str, now: &str) {
    let path = project(path);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, now).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == now,
        "{} is not current; run UPDATE_SCHEMA=1",
        path.display()
    );
}

#[test]
fn the_snapshot_of_the_schema_is_current() {
    let (_folder, _, connection) = new_file();
    let objects: String = schema(&connection).iter().map(|sql| format!("\n{sql};\n")).collect();
    assert_snapshot(
        "fixtures/schema.sql",
        &format!("-- The schema of a new file, as .schema shows it. A test keeps it current; edit sql/.\n{objects}"),
    );
}

#[test]
fn embedded_sql_equals_the_files() {
    let files = |folder: &str| -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(project(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let mut rules: Vec<_> = RULES.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect();
    rules.sort();
    assert!(rules == files("sql/rules"), "RULES and sql/rules/ differ; build again");
    let mut embedded: Vec<_> = migrations()
        .get_migrations()
        .iter()
        .map(|migration| (migration.to_string(), migration.sql().unwrap_or_default().to_owned()))
        .collect();
    embedded.sort();
    assert!(embedded == files("sql/migrations"), "the migrations and sql/migrations/ differ; build again");
}

/// A migration that made a trigger or view would have a second, hidden definition of it.
#[test]
fn migrations_have_tables_and_rules_have_triggers_and_views() {
    for migration in migrations().get_migrations() {
        let sql = migration.sql().unwrap();
        assert!(!sql.contains("CREATE TRIGGER") && !sql.contains("CREATE VIEW"), "{migration}");
    }
    for (name, sql) in RULES {
        assert!(!sql.contains("CREATE TABLE") && !sql.contains("CREATE INDEX"), "{name}");
    }
}

#[test]
fn opening_again_changes_nothing() {
    let (_folder, path, connection) = new_file();
    let version = |connection: &Connection| -> (i64, i64) {
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
    drop(Database::open_for_server(&path).unwrap());
    assert_eq!(version(&connection), before);
}

/// A start re-creates rules that are missing, changed, out of order or obsolete. The result is the schema of a new file.
#[test]
fn an_upgraded_file_equals_a_new_one() {
    let (_new_folder, _, new) = new_file();
    let expected = schema(&new);
    let tampering = [
        "DROP TRIGGER answer_makes_call_active",
        "DROP VIEW incoming_calls",
        "DROP VIEW do_depart",
        "DROP TRIGGER setting_stays; CREATE TRIGGER setting_stays BEFORE DELETE ON settings BEGIN SELECT 1; END",
        "CREATE TRIGGER obsolete AFTER INSERT ON calls BEGIN SELECT RAISE(ABORT, 'obsolete'); END;
         DROP TRIGGER rule_list_is_complete;
         INSERT INTO rules (name, type, number, definition) VALUES ('obsolete', 'trigger', 0, '')",
        "CREATE VIEW obsolete AS SELECT 1; DROP TRIGGER rule_list_is_complete;
         INSERT INTO rules (name, type, number, definition) VALUES ('obsolete', 'view', 0, '')",
        "DROP TRIGGER listed_rule_stays; DELETE FROM rules",
        "DROP TRIGGER listed_rule_is_fixed; UPDATE rules SET definition = '' WHERE name = 'now'",
    ];
    for statements in tampering {
        let (_folder, path, connection) = new_file();
        connection.execute_batch(statements).unwrap();
        drop(Database::open_for_server(&path).unwrap());
        assert!(schema(&connection) == expected, "{statements}");
        let named: i64 = connection.query_row("SELECT count(*) FROM rules", [], |row| row.get(0)).unwrap();
        let rules = "SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view')";
        assert_eq!(named, connection.query_row(rules, [], |row| row.get::<_, i64>(0)).unwrap(), "{statements}");
    }
}

/// The order of triggers is a part of the schema: the same texts in another order are re-created.
#[test]
fn a_changed_order_is_noticed() {
    let (_folder, path, connection) = new_file();
    let before = schema(&connection);
    let sql: String = connection
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'call_identity_is_fixed'", [], |row| row.get(0))
        .unwrap();
    connection.execute_batch(&format!("DROP TRIGGER call_identity_is_fixed; {sql}")).unwrap();
    assert!(schema(&connection) != before);
    drop(Database::open_for_server(&path).unwrap());
    assert!(schema(&connection) == before);
}

/// An admin's triggers on tables and an admin's views survive. Triggers on views of the program go with the views.
#[test]
fn an_admins_triggers_and_views_stay() {
    let (_folder, path, connection) = new_file();
    connection
        .execute_batch(
            "CREATE VIEW my_calls AS SELECT * FROM live_calls;
             CREATE TABLE my_log (call_id TEXT);
             CREATE TRIGGER my_trigger AFTER INSERT ON calls BEGIN INSERT INTO my_log VALUES (NEW.call_id); END;
             CREATE TRIGGER my_view_trigger INSTEAD OF INSERT ON live_calls BEGIN SELECT 1; END;
             DROP TRIGGER setting_stays;",
        )
        .unwrap();
    drop(Database::open_for_server(&path).unwrap());
    let names: BTreeSet<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE name GLOB 'my_*' OR name = 'setting_stays'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(names, ["my_calls", "my_log", "my_trigger", "setting_stays"].map(str::to_owned).into());
    connection
        .execute_batch(
            "INSERT INTO users (username, password_hash, created_ts) VALUES ('alice', '', 0), ('bob', '', 0);
             INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('c', 'dm:alice:bob', 'alice');",
        )
        .unwrap();
    let logged: String = connection.query_row("SELECT call_id FROM my_log", [], |row| row.get(0)).unwrap();
    assert_eq!(logged, "c");
    assert_eq!(connection.query_row("SELECT count(*) FROM my_calls", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

/// A command runs beside a server, which may be older or newer: it leaves rules alone.
#[test]
fn a_command_does_not_re_create_rules() {
    let (_folder, path, connection) = new_file();
    connection.execute_batch("DROP TRIGGER answer_makes_call_active").unwrap();
    let before = schema(&connection);
    drop(Database::open(&path).unwrap());
    assert!(schema(&connection) == before);
}

#[test]
fn a_file_with_newer_rules_is_refused_and_left_unchanged() {
    let (_folder, path, connection) = new_file();
    connection.execute_batch("DROP TRIGGER answer_makes_call_active; DROP TRIGGER listed_rule_is_fixed").unwrap();
    connection.execute("UPDATE rules SET number = ?1 WHERE name = 'now'", [RULES_NUMBER + 1]).unwrap();
    let before = schema(&connection);
    for opened in [Database::open(&path), Database::open_for_server(&path)] {
        let error = opened.err().unwrap().to_string();
        assert!(error.contains("of another version of minimost-calls"), "{error}");
    }
    assert!(schema(&connection) == before);
}

/// A command that would have to upgrade the file fails while a server is running.
#[test]
fn a_command_does_not_upgrade_the_file_of_a_running_server() {
    let (_folder, path, connection) = new_file();
    let server = Database::open_for_server(&path).unwrap();
    // As in a file of an earlier version, which has one migration less.
    connection
        .execute_batch(
            "DELETE FROM refinery_schema_history WHERE version = (SELECT max(version) FROM refinery_schema_history)",
        )
        .unwrap();
    let error = Database::open(&path).err().unwrap().to_string();
    assert!(error.contains("a server of an earlier version is running"), "{error}");
    server.close();
}

#[test]
fn a_second_server_is_refused() {
    let (_folder, path, _connection) = new_file();
    let first = Database::open_for_server(&path).unwrap();
    let error = Database::open_for_server(&path).err().unwrap().to_string();
    assert!(error.contains("another server is running"), "{error}");
    first.close();
    drop(first);
    drop(Database::open_for_server(&path).unwrap());
}

#[test]
fn a_file_has_the_settings_of_its_kind() {
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
    // The application id is in the file itself, even if everything else is still in the WAL.
    assert_eq!(fs::read(&path).unwrap()[68..72], APPLICATION_ID.to_be_bytes());
}

/// Commands and a server that create the same file at once all find a whole schema.
#[test]
fn several_programs_can_create_the_same_file_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("presence.db");
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let path = path.clone();
            let open = if number == 0 { Database::open_for_server } else { Database::open };
            std::thread::spawn(move || open(&path).map(drop).map_err(|error| error.to_string()))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    let integrity: String =
        open_connection(&path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}

/// Writes must be deterministic, and readable by Debian 12's sqlite3.
#[test]
fn only_the_view_now_reads_a_clock() {
    let (_folder, _, connection) = new_file();
    let schema = schema(&connection).join("\n");
    for word in ["random(", "randomblob(", "CURRENT_TIME", "unixepoch('now", "strftime("] {
        assert!(!schema.contains(word), "{word}");
    }
    assert_eq!(schema.matches("julianday('now')").count(), 1);
}

/// SQLite stores a comment inside CREATE, so `.schema` shows an admin the reason of each rule.
#[test]
fn every_trigger_and_view_has_its_reason_inside() {
    let (_folder, _, connection) = new_file();
    let mut statement =
        connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view')").unwrap();
    let rules = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    let without: Vec<String> = rules
        .map(Result::unwrap)
        .filter(|(_, sql)| !sql.lines().nth(1).unwrap_or_default().starts_with("--"))
        .map(|(name, _)| name)
        .collect();
    assert!(without.is_empty(), "the second line of CREATE has the reason; without one: {without:#?}");
}
