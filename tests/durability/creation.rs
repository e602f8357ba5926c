//! Power loss while a file is created and migrated: SQLite and the program can open the remaining file, and it has every user
//! whose `user add` succeeded.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use minimost_calls::database::Database;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::disk::{Disk, IgnoredSyncs, Survival};
use crate::ledger::damage;
use crate::recording::{Recording, Step, SystemCall, assert_can_trace, strace, wait_for_end};
use crate::support::{PROGRAM, connect, wait};

const PEOPLE: [&str; 2] = ["alice", "bob"];

#[test]
fn power_loss_during_creation_leaves_a_usable_file() {
    power_losses(60, false);
}

#[test]
#[ignore = "takes minutes"]
fn power_loss_at_any_instant_of_creation_leaves_a_usable_file() {
    power_losses(500, true);
}

#[test]
fn foreign_file_with_a_journal_stays_unchanged() {
    let folder = TempDir::new().unwrap();
    let (path, copy) = (folder.path().join("songs.db"), folder.path().join("presence.db"));
    let songs = connect(&path);
    songs.execute_batch("CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('Help!')").unwrap();
    // More pages than the cache holds, so that SQLite writes a part of the transaction to the file.
    songs
        .execute_batch(
            "PRAGMA cache_size = 5; BEGIN; UPDATE songs SET title = 'Yesterday'; \
             INSERT INTO songs WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) \
             SELECT hex(zeroblob(1000)) FROM n",
        )
        .unwrap();
    fs::copy(&path, &copy).unwrap();
    fs::copy(folder.path().join("songs.db-journal"), folder.path().join("presence.db-journal")).unwrap();
    assert!(fs::metadata(&copy).unwrap().len() > 100_000);
    let error = Database::open(&copy).err().unwrap().to_string();
    assert!(error.contains("not one of minimost-calls"), "{error}");
    let titles: String =
        connect(&copy).query_row("SELECT group_concat(title) FROM songs", [], |row| row.get(0)).unwrap();
    assert_eq!(titles, "Help!");
}

/// Loses power at `random_losses` instants, and, with `at_every_step_of_creation`, at each step before the file is one of this
/// program's with an empty schema.
fn power_losses(random_losses: usize, at_every_step_of_creation: bool) {
    assert_can_trace();
    let mut random = Rng::with_seed(crate::seed());
    let (folder, logs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut recording = Recording::of(folder.path());
    for name in PEOPLE {
        let log = logs.path().join(name);
        add(name, strace(&log).arg(PROGRAM), folder.path(), &log);
        recording.add(&log);
    }
    let ends = recording.positions_of(|call| matches!(call, SystemCall::Exited(0)));
    assert_eq!(ends.len(), PEOPLE.len());
    let created =
        recording.positions_of(|call| matches!(call, SystemCall::Opened { name } if name.ends_with("-wal")))[0];

    let last = recording.steps.len() - 1;
    let mut crashes: Vec<(usize, Survival)> = (0..random_losses)
        .map(|number| {
            let until = if number % 2 == 0 { created } else { last };
            let survival = if number % 4 < 2 { Survival::All } else { Survival::random(&mut random) };
            (random.usize(..=until), survival)
        })
        .collect();
    let steps = if at_every_step_of_creation { created + 1 } else { 0 };
    for position in 0..steps {
        for survival in [Survival::All, Survival::None, Survival::Writes(0.5), Survival::Sectors(512, 0.5)] {
            crashes.push((position, survival));
        }
    }
    crashes.sort_by_key(|(position, _)| *position);

    let begun = Instant::now();
    let states = crashes.len();
    let mut crashes = crashes.into_iter().peekable();
    let mut disk = Disk::new(&recording, &BTreeMap::new(), IgnoredSyncs::None);
    let mut added = 0;
    for (position, step) in recording.steps.iter().enumerate() {
        disk.step(*step);
        if matches!(step, Step::Begin(call) if matches!(recording.calls[*call], SystemCall::Exited(0))) {
            added += 1;
        }
        while let Some((_, survival)) = crashes.next_if(|(crash, _)| *crash == position) {
            let files = disk.after_power_loss(survival, &mut random);
            let what = format!("after step {position} with {survival:?}");
            examine(&files, &PEOPLE[..added], &what);
        }
    }
    println!("power lost {states} times while a file was created, in {:.1?}: each file opens", begun.elapsed());
}

/// `user add`, run by a command that executes the program.
fn add(name: &str, command: &mut Command, folder: &Path, log: &Path) {
    let mut child = command
        .arg("--db")
        .arg(folder.join("presence.db"))
        .args(["user", "add", name])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "a password").unwrap();
    assert!(wait(&mut child, Duration::from_secs(60)).success());
    wait_for_end(log, child.id().try_into().unwrap());
}

/// Opens the remaining files with SQLite alone, and copies of them with the program.
fn examine(files: &BTreeMap<String, Vec<u8>>, people: &[&str], what: &str) {
    let fresh = || {
        let folder = TempDir::new().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let path = folder.path().join("presence.db");
        (folder, path)
    };
    let (_folder, path) = fresh();
    let connection = connect(&path);
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok", "{what}");
    if !people.is_empty() {
        assert_users_exist(&connection, people, what);
    }

    let (_folder, path) = fresh();
    // Twice: the first start may leave a file that the program no longer recognises.
    for _ in 0..2 {
        let opened = Database::open(&path);
        assert!(opened.is_ok(), "{what}: {:?}", opened.err());
    }
    let connection = connect(&path);
    assert_users_exist(&connection, people, what);
    let incremental: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap();
    assert_eq!(incremental, 2, "{what}");
}

fn assert_users_exist(connection: &Connection, people: &[&str], what: &str) {
    assert_eq!(damage(connection).unwrap(), Vec::<String>::new(), "{what}");
    for name in people {
        let exists: bool = connection
            .query_row("SELECT EXISTS (SELECT 1 FROM users WHERE username = ?1)", [name], |row| row.get(0))
            .unwrap();
        assert!(exists, "{what}: {name} is lost");
    }
}
