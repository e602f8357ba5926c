//! The upper limit for the database: the same statements by rusqlite, without HTTP. One thread, another file, the same
//! settings and triggers.

use std::path::Path;
use std::time::{Duration, Instant};

use minimost_calls::database::{Database, open_connection};
use minimost_calls::statements::{self, Statement};
use rusqlite::types::ToSql;
use rusqlite::{Connection, params};
use tempfile::TempDir;
use uuid::Uuid;

/// A new file with an active call of two people.
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
        // The cache of the server's writer.
        connection.pragma_update(None, "cache_size", -4 * 1024).unwrap();
        connection
            .execute_batch(
                "UPDATE settings SET value = 0 WHERE name IN ('rings_per_pair', 'rings_per_person');
                 INSERT INTO users (username, password_hash, created_ts) VALUES ('alice', '', 0), ('bob', '', 0);
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

    /// From now on commits are synced, as the server's are, or not, as those of signals and media.
    fn sync(&self, is_synced: bool) {
        self.connection.pragma_update(None, "synchronous", if is_synced { "FULL" } else { "NORMAL" }).unwrap();
    }

    /// Runs `writes` in one commit with a pinned clock, as the server does. Returns the time that it took.
    fn commit(&self, writes: impl FnOnce()) -> Duration {
        let begun = Instant::now();
        self.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        self.execute(&statements::PIN_CLOCK, &[&1e9]);
        writes();
        self.execute(&statements::UNPIN_CLOCK, &[]);
        self.connection.execute_batch("COMMIT").unwrap();
        begun.elapsed()
    }

    /// Signals a second with `batch` signals in each commit, and the median time of a commit.
    pub fn signals(&self, batch: usize, duration: Duration) -> (f64, Duration) {
        let payload = format!("{{\"candidate\":\"{}\"}}", "x".repeat(PAYLOAD_BYTES));
        self.sync(false);
        self.repeat(batch, duration, || {
            self.execute(&statements::SEND_CALL_SIGNAL, params![&"call", &"alice", &"bob", &"ice_candidate", &payload]);
        })
    }

    /// Chunks of media a second with `batch` chunks in each commit.
    pub fn media(&self, batch: usize, chunk: &[u8], duration: Duration) -> f64 {
        self.connection.execute("UPDATE settings SET value = highest WHERE name = 'media_buffer_seconds'", []).unwrap();
        self.sync(false);
        let upload =
            || self.execute(&statements::UPLOAD_CALL_MEDIA, params![&"call", &"alice", &0, &None::<&str>, &chunk]);
        self.repeat(batch, duration, upload).0
    }

    fn repeat(&self, batch: usize, duration: Duration, write: impl Fn()) -> (f64, Duration) {
        let (begun, mut commits) = (Instant::now(), Vec::new());
        while begun.elapsed() < duration {
            commits.push(self.commit(|| (0..batch).for_each(|_| write())));
        }
        let count = commits.len() * batch;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        commits.sort();
        (rate, commits[commits.len() / 2])
    }

    /// Whole calls a second. `workers` calls run in step, each step in one commit. A server cannot have larger commits:
    /// its clients wait for each response.
    pub fn whole_calls(&self, workers: usize, duration: Duration) -> f64 {
        let people: Vec<_> = (0..workers).map(|worker| [format!("one{worker}"), format!("other{worker}")]).collect();
        for name in people.iter().flatten() {
            self.execute(&statements::ADD_USER, params![name, &""]);
        }
        let payload = format!("{{\"candidate\":\"{}\"}}", "x".repeat(1800));
        let (begun, mut calls) = (Instant::now(), 0);
        while begun.elapsed() < duration {
            let ids: Vec<_> = people.iter().map(|_| Uuid::now_v7().to_string()).collect();
            let each = || ids.iter().zip(&people);
            self.commit(|| {
                each().for_each(|(id, [one, other])| {
                    self.execute(&statements::INITIATE_CALL, params![id, &format!("dm:{one}:{other}"), one]);
                });
            });
            self.commit(|| {
                each().for_each(|(id, [_, other])| self.execute(&statements::ACCEPT_CALL, params![id, other]));
            });
            self.sync(false);
            for number in 0..10 {
                self.commit(|| {
                    each().for_each(|(id, pair)| {
                        let (from, to) = (&pair[number % 2], &pair[1 - number % 2]);
                        let signal = params![id, from, to, &"ice_candidate", &payload];
                        self.execute(&statements::SEND_CALL_SIGNAL, signal);
                    });
                });
            }
            self.sync(true);
            self.commit(|| {
                each().for_each(|(id, [one, _])| self.execute(&statements::END_CALL, params![id, one]));
            });
            calls += workers;
        }
        calls as f64 / begun.elapsed().as_secs_f64()
    }
}

/// The rate at which one thread runs these queries in a read transaction, in transactions a second.
pub fn reads(path: &Path, queries: &[(&Statement, Vec<String>)], duration: Duration) -> f64 {
    let connection = open_connection(path).unwrap();
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < duration {
        connection.prepare_cached("BEGIN").unwrap().execute([]).unwrap();
        for (statement, parameters) in queries {
            let mut prepared = connection.prepare_cached(statement.sql()).unwrap();
            let mut rows = prepared.query(rusqlite::params_from_iter(parameters)).unwrap();
            while rows.next().unwrap().is_some() {}
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}
