//! The same statements by rusqlite, without HTTP: one thread on a file of its own, with the same settings and triggers.

use std::path::Path;
use std::time::{Duration, Instant};

use minimost_calls::database::{Database, open_connection};
use minimost_calls::statements::{self, Statement};
use rusqlite::types::ToSql;
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// A new file with a call between two people, open to write.
pub struct Raw {
    connection: Connection,
    _folder: TempDir,
}

const PAYLOAD_BYTES: usize = 2048;

impl Raw {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("raw.db");
        Database::open(&path).unwrap().close();
        let connection = open_connection(&path).unwrap();
        connection
            .execute_batch(
                "INSERT INTO users (username, password_hash, created_ts) VALUES ('alice', '', 0), ('bob', '', 0);
                 INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('call', 'dm:alice:bob', 'alice');
                 INSERT INTO accept_call (call_id, username) VALUES ('call', 'bob');",
            )
            .unwrap();
        Self { connection, _folder: folder }
    }

    fn execute(&self, statement: &Statement, parameters: &[&dyn ToSql]) {
        let mut prepared = self.connection.prepare_cached(statement.sql()).unwrap();
        let mut rows = prepared.query(parameters).unwrap();
        while rows.next().unwrap().is_some() {}
    }

    /// Signals a second, so many to a durable commit; and how long the middle commit took.
    pub fn signals(&self, batch: usize, duration: Duration) -> (f64, Duration) {
        let payload = format!("{{\"candidate\":\"{}\"}}", "x".repeat(PAYLOAD_BYTES));
        let (begun, mut commits) = (Instant::now(), Vec::new());
        while begun.elapsed() < duration {
            let commit = Instant::now();
            self.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            self.execute(&statements::PIN_CLOCK, &[&1e9]);
            for _ in 0..batch {
                self.execute(
                    &statements::SEND_CALL_SIGNAL,
                    params![&"call", &"alice", &"bob", &"ice_candidate", &payload],
                );
            }
            self.execute(&statements::FREE_CLOCK, &[]);
            self.connection.execute_batch("COMMIT").unwrap();
            commits.push(commit.elapsed());
        }
        let count = commits.len() * batch;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        commits.sort();
        (rate, commits[commits.len() / 2])
    }
}

/// How often a second one thread asks the file at `path` these questions, in a snapshot, and reads what they answer.
pub fn reads(path: &Path, questions: &[(&Statement, Vec<String>)], duration: Duration) -> f64 {
    let connection = open_connection(path).unwrap();
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < duration {
        connection.prepare_cached("BEGIN").unwrap().execute([]).unwrap();
        for (statement, parameters) in questions {
            let mut prepared = connection.prepare_cached(statement.sql()).unwrap();
            let mut rows = prepared.query(rusqlite::params_from_iter(parameters)).unwrap();
            while rows.next().unwrap().is_some() {}
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}
