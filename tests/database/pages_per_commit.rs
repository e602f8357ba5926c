//! How many pages of the file a commit writes: what a signal costs on the disk.

use minimost_calls::statements;
use rusqlite::{Connection, params};

use crate::new_file;

const CALLS: usize = 100;
const SIGNALS: usize = 300;

/// A frame of the log: a page with its header.
const FRAME_BYTES: u64 = 4096 + 24;

/// The pages that signals write, each in a separate commit, on average: those of the table and its indexes, and the
/// clock.
#[test]
fn a_signal_writes_few_pages() {
    let (_folder, path, connection) = new_file();
    let log = path.with_extension("db-wal");
    // The log only grows, so that its size counts the frames.
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection.execute_batch("BEGIN; UPDATE settings SET value = highest WHERE name = 'presence_timeout'").unwrap();
    for call in 0..CALLS {
        let names = ["a", "b", "c"].map(|letter| format!("{letter}{call:03}"));
        for name in &names {
            connection
                .execute("INSERT INTO users (username, password_hash, created_ts) VALUES (?1, '', 0)", [name])
                .unwrap();
        }
        let channel = format!("dm:{}", names.join(":"));
        connection.execute(statements::INITIATE_CALL.sql(), params![id(call), channel, names[0]]).unwrap();
        for name in &names[1..] {
            connection.execute(statements::ACCEPT_CALL.sql(), params![id(call), name]).unwrap();
        }
    }
    connection.execute_batch("COMMIT").unwrap();

    // An ICE candidate, and an offer that fills a page.
    for (size, pages_max) in [(200, 5.0), (2048, 8.0)] {
        send_signals(&connection, size);
        let before = log.metadata().unwrap().len();
        send_signals(&connection, size);
        let frames = (log.metadata().unwrap().len() - before) / FRAME_BYTES;
        let pages = frames as f64 / SIGNALS as f64;
        assert!(pages <= pages_max, "a signal of {size} bytes writes {pages:.2} pages");
    }
}

fn id(call: usize) -> String {
    format!("00000000-0000-4000-8000-{call:012}")
}

/// Signals in all calls, between all of their people, each as a write of the server.
fn send_signals(connection: &Connection, size: usize) {
    let payload = format!("{{\"candidate\":\"{}\"}}", "x".repeat(size - 16));
    let now: f64 = connection.query_row("SELECT ts FROM now", [], |row| row.get(0)).unwrap();
    for number in 0..SIGNALS {
        let call = number * 37 % CALLS;
        let (from, to) = [("a", "b"), ("b", "c"), ("c", "a")][number % 3];
        let (from, to) = (format!("{from}{call:03}"), format!("{to}{call:03}"));
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection.execute(statements::PIN_CLOCK.sql(), [now]).unwrap();
        let parameters = params![id(call), from, to, "ice_candidate", payload];
        connection.execute(statements::SEND_CALL_SIGNAL.sql(), parameters).unwrap();
        connection.execute(statements::UNPIN_CLOCK.sql(), []).unwrap();
        connection.execute_batch("COMMIT").unwrap();
    }
}
