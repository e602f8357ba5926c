//! Reads and writes of `Database`. A write is atomic, returns when its commit is on the disk, and fails at its deadline. A
//! read sees one snapshot.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use minimost_calls::database::{Database, ReadError, Snapshot, Value, WRITE_DEADLINE, Write, WriteError};
use minimost_calls::statements;
use rusqlite::ToSql;

use crate::new_file;

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn add(name: &str) -> Write {
    Write::new(&statements::ADD_USER, [text(name), text("x")])
}

/// The names of all users.
fn users(snapshot: &Snapshot) -> Result<Vec<String>, ReadError> {
    snapshot.rows(&statements::USERS, [&"" as &dyn ToSql, &-1], |row| {
        let user: serde_json::Value = serde_json::from_str(&row.get::<_, String>(0)?).unwrap();
        Ok(user["username"].as_str().unwrap().to_owned())
    })
}

fn names(database: &Database) -> Vec<String> {
    database.read(users).unwrap()
}

#[test]
fn refused_write_changes_nothing_and_returns_the_code() {
    let (_folder, path, _) = new_file();
    let database = Database::open(&path).unwrap();
    database.write_blocking(add("alice")).unwrap();
    let write = add("bob")
        .then(&statements::ADD_USER, [text("alice"), text("y")])
        .on_refusal(&statements::PASSWORD_HASH, [text("alice")]);
    match database.write_blocking(write) {
        Err(WriteError::Refused { code, rows }) => {
            assert_eq!(code, "user_exists");
            assert_eq!(
                rows.all::<(String, String)>(&statements::PASSWORD_HASH).unwrap(),
                [("x".to_owned(), "alice".to_owned())]
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(names(&database), ["alice"]);
    match database.write_blocking(add("no good")) {
        Err(WriteError::Refused { code, .. }) => assert_eq!(code, "users_username_format"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn writes_in_one_commit_succeed_and_fail_independently() {
    let (_folder, path, _) = new_file();
    let database = Database::open(&path).unwrap();
    let threads: Vec<_> = (0..40)
        .map(|number| {
            let database = database.clone();
            // Every name twice.
            std::thread::spawn(move || database.write_blocking(add(&format!("user{}", number / 2))).is_ok())
        })
        .collect();
    let succeeded = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|is_ok| *is_ok).count();
    assert_eq!(succeeded, 20);
    assert_eq!(names(&database).len(), 20);
}

#[test]
fn clock_is_pinned_inside_a_servers_write_and_free_outside() {
    let (_folder, path, connection) = new_file();
    let database = Database::open_for_server(&path).unwrap();
    let result = database.write_blocking(add("alice").then(&statements::HEALTH, [])).unwrap();
    let created: f64 = connection.query_row("SELECT created_ts FROM users", [], |row| row.get(0)).unwrap();
    assert_eq!(result.all::<(f64,)>(&statements::HEALTH).unwrap(), [(created,)]);
    let pinned: Option<f64> = connection.query_row("SELECT pinned_ts FROM clock", [], |row| row.get(0)).unwrap();
    assert_eq!(pinned, None);
}

/// A command writes beside a server, or without one. The server applies the time limits.
#[test]
fn a_command_leaves_the_clock_free_and_sweeps_nothing() {
    let (_folder, path, connection) = new_file();
    connection
        .execute_batch(
            "INSERT INTO users (username, password_hash, created_ts) VALUES ('alice', '', 0);
             INSERT INTO sessions (token_hash, username, created_ts, expires_ts)
             VALUES (printf('%064d', 0), 'alice', 0, 1);
             CREATE TRIGGER pinned BEFORE UPDATE OF pinned_ts ON clock BEGIN SELECT RAISE(ABORT, 'pinned'); END;",
        )
        .unwrap();
    let command = Database::open(&path).unwrap();
    command.write_blocking(add("bob")).unwrap();
    // Longer than the interval of the writer's housekeeping.
    std::thread::sleep(Duration::from_millis(1200));
    command.write_blocking(add("carol")).unwrap();
    command.close();
    let sessions: i64 = connection.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(sessions, 1);
    let added: i64 =
        connection.query_row("SELECT count(*) FROM users WHERE created_ts > 1.7e9", [], |row| row.get(0)).unwrap();
    assert_eq!(added, 2);
}

/// A refusal inside the sweep is a defect, and not the answer to a write that has nothing to do with it.
#[test]
fn refused_sweep_is_nobody_elses_refusal() {
    let (_folder, path, admin) = new_file();
    let database = Database::open_for_server(&path).unwrap();
    database.write_blocking(add("alice")).unwrap();
    admin
        .execute_batch(
            "CREATE TRIGGER defect BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'call_finished'); END;
             INSERT INTO sessions (token_hash, username, created_ts, expires_ts)
             VALUES (printf('%064d', 0), 'alice', 0, 1)",
        )
        .unwrap();
    database.write_blocking(add("bob")).unwrap();
    assert!(matches!(database.write_blocking(add("alice")), Err(WriteError::Unswept)));
    assert_eq!(names(&database), ["alice", "bob"]);
    let clock: (Option<f64>, i64) =
        admin.query_row("SELECT pinned_ts, sweeps FROM clock", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(clock, (None, 1));

    admin.execute_batch("DROP TRIGGER defect").unwrap();
    assert!(matches!(database.write_blocking(add("alice")), Err(WriteError::Refused { .. })));
    let sessions: i64 = admin.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(sessions, 0, "the sweep is caught up on");
}

/// A clock that a shell leaves pinned stops no time limit.
#[test]
fn pinned_clock_is_freed() {
    let (_folder, path, admin) = new_file();
    let _database = Database::open_for_server(&path).unwrap();
    admin.execute_batch("UPDATE clock SET pinned_ts = 1000, sweeps = 0").unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let clock = || -> (Option<f64>, i64) {
        admin.query_row("SELECT pinned_ts, sweeps FROM clock", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    while clock() != (None, 1) {
        assert!(Instant::now() < deadline, "{:?}", clock());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// While another program holds the write lock, writes wait and reads do not. A write that fails at its deadline is never
/// executed.
#[test]
fn held_lock_delays_writes_until_their_deadline_and_reads_not_at_all() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let writer = {
        let database = database.clone();
        std::thread::spawn(move || database.write_blocking(add("late")))
    };
    while begun.elapsed() < Duration::from_millis(300) {
        let asked = Instant::now();
        assert_eq!(names(&database).len(), 0);
        assert!(asked.elapsed() < Duration::from_millis(250));
    }
    let result = writer.join().unwrap();
    assert!(matches!(result, Err(WriteError::Busy)), "{result:?}");
    let waited = begun.elapsed();
    assert!(waited >= WRITE_DEADLINE && waited < WRITE_DEADLINE + Duration::from_secs(2), "{waited:?}");
    other.execute_batch("COMMIT").unwrap();
    database.write_blocking(add("next")).unwrap();
    assert_eq!(names(&database), ["next"]);
}

#[test]
fn closed_database_finishes_queued_writes_and_refuses_new_ones() {
    let (_folder, path, _) = new_file();
    let database = Database::open(&path).unwrap();
    let threads: Vec<_> = (0..20)
        .map(|number| {
            let database = database.clone();
            std::thread::spawn(move || database.write_blocking(add(&format!("user{number}"))))
        })
        .collect();
    database.close();
    let succeeded = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .inspect(|result| assert!(matches!(result, Ok(_) | Err(WriteError::Closed)), "{result:?}"))
        .flatten()
        .count();
    assert_eq!(names(&database).len(), succeeded);
    assert!(matches!(database.write_blocking(add("more")), Err(WriteError::Closed)));
}

#[test]
fn read_sees_every_earlier_commit_of_any_program() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    assert_eq!(names(&database), [""; 0]);
    for number in 0..500 {
        let name = format!("user{number:03}");
        match number % 3 {
            0 => drop(database.write_blocking(add(&name)).unwrap()),
            1 => drop(other.execute(statements::ADD_USER.sql(), [&name, "x"]).unwrap()),
            _ => {
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
                other.execute(statements::ADD_USER.sql(), [&name, "x"]).unwrap();
                assert_eq!(names(&database).len(), number, "a read sees no uncommitted rows");
                other.execute_batch("COMMIT").unwrap();
            }
        }
        assert_eq!(names(&database).last(), Some(&name));
        assert_eq!(names(&database).len(), number + 1);
        if number % 50 == 0 {
            other.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        }
    }
    other.execute("DELETE FROM users WHERE username <> 'user007'", []).unwrap();
    assert_eq!(names(&database), ["user007"]);
}

#[test]
fn queries_of_a_read_see_one_snapshot() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    let count = |snapshot: &Snapshot| users(snapshot).unwrap().len();
    let counts = database.read(|snapshot| {
        let before = count(snapshot);
        other.execute(statements::ADD_USER.sql(), ["alice", "x"]).unwrap();
        // A nested read has another snapshot.
        Ok::<_, ReadError>((before, count(snapshot), names(&database).len()))
    });
    assert_eq!(counts.unwrap(), (0, 0, 1));
    assert_eq!(names(&database), ["alice"]);
}

/// An idle reader does not delay another program's checkpoint.
#[test]
fn idle_reader_holds_no_snapshot() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    database.write_blocking(add("alice")).unwrap();
    assert_eq!(names(&database), ["alice"]);
    let failed = database.read(|_| Err::<(), _>(ReadError::Closed));
    assert!(matches!(failed, Err(ReadError::Closed)));
    other.busy_timeout(Duration::ZERO).unwrap();
    let is_busy: bool = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert!(!is_busy);
    assert_eq!(names(&database), ["alice"]);
}

#[test]
fn start_empties_the_log() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    database.write_blocking(add("alice")).unwrap();
    let log_bytes = || std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    assert!(log_bytes() > 0);
    database.empty_log().unwrap();
    assert_eq!(log_bytes(), 0);

    database.write_blocking(add("bob")).unwrap();
    other.execute_batch("BEGIN; SELECT * FROM users").unwrap();
    database.empty_log().unwrap();
    assert!(log_bytes() > 0, "a reader of another program keeps the log from being emptied, and the start continues");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(names(&database), ["alice", "bob"]);
}

/// A large read runs on a thread of a bounded pool.
#[test]
fn large_reads_run_on_a_bounded_pool() {
    let (_folder, path, _) = new_file();
    let database = Database::open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let async_thread = std::thread::current().id();
    runtime.block_on(async {
        let reads: Vec<_> = (0..20)
            .map(|_| {
                let (database, running, peak) = (database.clone(), Arc::clone(&running), Arc::clone(&peak));
                tokio::spawn(async move {
                    let read = database.read_on_pool("", move |snapshot| {
                        assert_ne!(std::thread::current().id(), async_thread);
                        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(20));
                        running.fetch_sub(1, Ordering::SeqCst);
                        users(snapshot)
                    });
                    assert_eq!(read.await.unwrap(), [""; 0]);
                })
            })
            .collect();
        for read in reads {
            read.await.unwrap();
        }
    });
    let peak = peak.load(Ordering::SeqCst);
    assert!((2..=4).contains(&peak), "{peak} at a time");
}

/// Readers that read all the time do not keep the log from being restarted.
#[test]
fn log_stays_small_under_reads_and_writes() {
    let (_folder, path, _other) = new_file();
    let database = Database::open(&path).unwrap();
    let stop = AtomicBool::new(false);
    let mut largest = 0;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    names(&database);
                }
            });
        }
        let big = "x".repeat(100_000);
        for _ in 0..1000 {
            let write = Write::new(&statements::ADD_USER, [text("alice"), text(&big)])
                .then(&statements::REMOVE_USER, [text("alice")])
                .then(&statements::ADD_USER, [text("alice"), text(&big)])
                .then(&statements::SET_PASSWORD, [text("alice"), text("short")])
                .then(&statements::REMOVE_USER, [text("alice")]);
            database.write_blocking(write).unwrap();
            largest = largest.max(std::fs::metadata(path.with_extension("db-wal")).unwrap().len());
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("largest log: {} KiB", largest / 1024);
    assert!(largest < 16 * 1024 * 1024, "{largest}");
}

/// A power loss may take the newest of these alone. A restart drops them anyway. An idempotency key is synced if its action is.
#[test]
fn only_signals_media_presence_and_idempotency_keys_are_unsynced() {
    let is_unsynced =
        |statement: &&&statements::Statement| !statement.needs_sync() && !statement.sql().starts_with("SELECT");
    let unsynced: Vec<&str> = statements::ALL.iter().filter(is_unsynced).map(|statement| statement.name()).collect();
    assert_eq!(
        unsynced,
        [
            "CHECK_IDEMPOTENCY_KEY",
            "KEEP_ANSWER",
            "NOTE_PRESENCE",
            "NOTE_CLOSED_STREAM",
            "SEND_CALL_SIGNAL",
            "SEND_SHARE_SIGNAL",
            "UPLOAD_CALL_MEDIA",
            "UPLOAD_SHARE_MEDIA"
        ]
    );
}

#[test]
fn every_statement_is_used() {
    let mut sources = String::new();
    let mut folders = vec![std::path::PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let words: HashSet<&str> = sources.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let unused: Vec<&str> =
        statements::ALL.iter().map(|statement| statement.name()).filter(|name| !words.contains(name)).collect();
    assert_eq!(unused, [""; 0]);
}
