//! The doors: a write is done whole or not at all, is answered after it is on the disk, and waits no longer than its deadline.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use minimost_calls::database::{Database, ReadError, Snapshot, Value, WRITE_DEADLINE, Write, WriteError};
use minimost_calls::statements;

use crate::new_file;

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn add(name: &str) -> Write {
    Write::new(&statements::ADD_USER, [text(name), text("x")])
}

fn names(database: &Database) -> Vec<String> {
    database.read(|snapshot| snapshot.rows(&statements::LIST_USERS, [], |row| row.get(0))).unwrap()
}

#[test]
fn a_refused_write_leaves_nothing_and_says_which_rule() {
    let (_folder, path, _) = new_file();
    let database = Database::open(&path).unwrap();
    database.write_blocking(add("alice")).unwrap();
    let write = add("bob")
        .then(&statements::ADD_USER, [text("alice"), text("y")])
        .on_refusal(&statements::PASSWORD_HASH, [text("alice")]);
    match database.write_blocking(write) {
        Err(WriteError::Refused { code, rows }) => {
            assert_eq!((code.as_str(), rows), ("user_exists", vec![vec![text("x")]]));
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
fn writes_that_share_a_commit_succeed_and_fail_each_for_itself() {
    let (_folder, path, _) = new_file();
    let database = Database::open(&path).unwrap();
    let threads: Vec<_> = (0..40)
        .map(|number| {
            let database = database.clone();
            // Every name twice.
            std::thread::spawn(move || database.write_blocking(add(&format!("user{}", number / 2))).is_ok())
        })
        .collect();
    let done = threads.into_iter().filter(|_| true).map(|thread| thread.join().unwrap()).filter(|done| *done).count();
    assert_eq!(done, 20);
    assert_eq!(names(&database).len(), 20);
}

#[test]
fn the_clock_is_pinned_inside_a_write_and_free_outside() {
    let (_folder, path, connection) = new_file();
    let database = Database::open(&path).unwrap();
    let answers = database.write_blocking(add("alice").then(&statements::HEALTH, [])).unwrap();
    let created: f64 = connection.query_row("SELECT created_ts FROM users", [], |row| row.get(0)).unwrap();
    assert_eq!(answers[1], vec![vec![Value::Real(created)]]);
    let pinned: Option<f64> = connection.query_row("SELECT pinned_ts FROM clock", [], |row| row.get(0)).unwrap();
    assert_eq!(pinned, None);
}

/// Another program holds the write lock: a write waits for it, readers do not; at its deadline a write is answered and not
/// done later.
#[test]
fn a_held_lock_delays_writes_until_their_deadline_and_readers_not_at_all() {
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
    let answer = writer.join().unwrap();
    assert!(matches!(answer, Err(WriteError::Busy)), "{answer:?}");
    let waited = begun.elapsed();
    assert!(waited >= WRITE_DEADLINE && waited < WRITE_DEADLINE + Duration::from_secs(2), "{waited:?}");
    other.execute_batch("COMMIT").unwrap();
    database.write_blocking(add("next")).unwrap();
    assert_eq!(names(&database), ["next"]);
}

#[test]
fn a_closed_database_finishes_what_it_was_given_and_takes_no_more() {
    let (_folder, path, _) = new_file();
    let database = Database::open(&path).unwrap();
    let threads: Vec<_> = (0..20)
        .map(|number| {
            let database = database.clone();
            std::thread::spawn(move || database.write_blocking(add(&format!("user{number}"))))
        })
        .collect();
    database.close();
    let done = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .inspect(|answer| assert!(matches!(answer, Ok(_) | Err(WriteError::Closed)), "{answer:?}"))
        .filter(Result::is_ok)
        .count();
    assert_eq!(names(&database).len(), done);
    assert!(matches!(database.write_blocking(add("more")), Err(WriteError::Closed)));
}

/// A reader keeps its snapshot while nobody commits, so it has to notice each commit, also those of other programs.
#[test]
fn a_read_sees_every_commit_before_it_whoever_made_it() {
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
                assert_eq!(names(&database).len(), number, "what is not committed is not seen");
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
fn all_questions_of_a_read_see_one_instant_and_the_next_read_a_later_one() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    let count = |snapshot: &Snapshot| snapshot.rows(&statements::LIST_USERS, [], |_| Ok(())).unwrap().len();
    let counts = database.read(|snapshot| {
        let before = count(snapshot);
        other.execute(statements::ADD_USER.sql(), ["alice", "x"]).unwrap();
        // A question inside a question is another read.
        Ok::<_, ReadError>((before, count(snapshot), names(&database).len()))
    });
    assert_eq!(counts.unwrap(), (0, 0, 1));
    assert_eq!(names(&database), ["alice"]);
}

/// Another program that wants the whole log in the file has to wait for a snapshot only until it is let go.
#[test]
fn a_kept_snapshot_is_let_go() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    database.write_blocking(add("alice")).unwrap();
    assert_eq!(names(&database), ["alice"]);
    let is_busy = || other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    assert!(is_busy(), "the snapshot is not kept, and this test tests nothing");
    database.let_go();
    assert!(!is_busy());
    assert_eq!(names(&database), ["alice"]);
}

/// Readers that are never idle do not keep the log from beginning anew.
#[test]
fn the_log_stays_small_under_reads_and_writes() {
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
    println!("the log was {} KiB at the most", largest / 1024);
    assert!(largest < 16 * 1024 * 1024, "{largest}");
}

/// What is remembered is asked again after every commit, and when its time is over.
#[test]
fn a_remembered_answer_holds_until_somebody_commits_or_its_time_is_over() {
    let (_folder, path, other) = new_file();
    let database = Database::open(&path).unwrap();
    let asked = Cell::new(0);
    let ask = |name: &str, holds: f64| -> Option<String> {
        let answer = database.read(|snapshot| {
            snapshot.remembered(&statements::PASSWORD_HASH, [name], || {
                asked.set(asked.get() + 1);
                Ok((snapshot.row(&statements::PASSWORD_HASH, [&name], |row| row.get(0))?, holds))
            })
        });
        Result::<_, ReadError>::unwrap(answer)
    };
    let hash = |holds| ask("alice", holds);
    assert_eq!(hash(1e300), None);
    database.write_blocking(add("alice")).unwrap();
    for _ in 0..3 {
        assert_eq!(hash(1e300).as_deref(), Some("x"));
        // Other programs' checkpoints change nothing, nor does letting go for them.
        database.let_go();
        other.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    }
    assert_eq!(asked.get(), 2);
    other.execute_batch("UPDATE users SET password_hash = 'y'").unwrap();
    assert_eq!(hash(0.0).as_deref(), Some("y"));
    assert_eq!(hash(-1.0).as_deref(), Some("y"));
    assert_eq!(hash(f64::NAN).as_deref(), Some("y"));
    assert_eq!(asked.get(), 5, "what does not hold is not remembered");
    assert_eq!(hash(1e300).as_deref(), Some("y"));
    assert_eq!(ask("bob", 1.0), None, "another question is not this one");
    assert_eq!(hash(f64::INFINITY).as_deref(), Some("y"));
    assert_eq!(asked.get(), 7);
    let failed =
        database.read(|snapshot| snapshot.remembered(&statements::LIST_USERS, [], || Err::<((), f64), _>(refused())));
    assert!(failed.is_err());
    let next =
        database.read(|snapshot| snapshot.remembered(&statements::LIST_USERS, [], || Ok::<_, ReadError>(((), 1.0))));
    assert!(next.is_ok(), "an error is not remembered");
}

fn refused() -> ReadError {
    ReadError::from(rusqlite::Error::QueryReturnedNoRows)
}

/// How long what somebody sees of a call is remembered: never past the time at which it changes without a commit.
#[test]
fn a_look_at_a_call_holds_for_as_long_as_time_alone_does_not_change_it() {
    let (_folder, path, connection) = new_file();
    let database = Database::open(&path).unwrap();
    for name in ["alice", "bob", "carol"] {
        database.write_blocking(add(name)).unwrap();
    }
    let at = |seconds: f64| connection.execute("UPDATE clock SET pinned_ts = ?1", [seconds]).unwrap();
    let holds = |name: &str| -> f64 {
        let look =
            database.read(|snapshot| snapshot.row(&statements::CALL_STATE_FOR, [&"one", &name], |row| row.get(4)));
        Result::<_, ReadError>::unwrap(look).unwrap()
    };
    at(1000.0);
    connection
        .execute_batch(
            "UPDATE settings SET value = 5 WHERE name = 'presence_interval';
             INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('one', 'dm:alice:bob:carol', 'alice');",
        )
        .unwrap();
    assert_eq!(holds("alice"), 0.0, "it rings");
    at(1001.0);
    connection.execute_batch("INSERT INTO accept_call (call_id, username) VALUES ('one', 'bob')").unwrap();
    assert_eq!(["alice", "bob"].map(holds), [0.0, 0.0], "carol is still asked");
    connection.execute_batch("INSERT INTO accept_call (call_id, username) VALUES ('one', 'carol')").unwrap();
    at(1003.0);
    assert_eq!(["alice", "bob"].map(holds), [2.0, 3.0], "then it is time to note that they are there");
    at(1005.5);
    assert!(holds("alice") < 0.0);
    assert_eq!(holds("nobody"), 5.0);
    connection.execute_batch("INSERT INTO end_call (call_id, username) VALUES ('one', 'bob')").unwrap();
    assert_eq!(holds("alice"), 5.0);
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
    let unused: Vec<&str> = statements::ALL.iter().map(|one| one.name()).filter(|name| !words.contains(name)).collect();
    assert_eq!(unused, [""; 0]);
}
