//! The most frequent statements, one by one: `cargo bench --bench statements`. It shows a slower trigger or an unused index.
//!
//! Each write is rolled back to a savepoint: the figures contain no fsync, and the file does not grow.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use minimost_calls::database::{Database, open_connection};
use minimost_calls::statements::{self, Statement};
use rusqlite::{Connection, ToSql, params};
use tempfile::TempDir;

const TOKEN_HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A file with a hundred active calls of three people, one of them with signals, and a hundred ended calls.
fn populated_file() -> (Connection, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("presence.db");
    Database::open(&path).unwrap().close();
    let connection = open_connection(&path).unwrap();
    connection.set_prepared_statement_cache_capacity(256);
    connection.execute_batch("BEGIN; UPDATE settings SET value = highest WHERE name = 'presence_timeout'").unwrap();
    for number in 0..200 {
        let names = ["a", "b", "c"].map(|letter| format!("{letter}{number:03}"));
        for name in &names {
            connection
                .execute("INSERT INTO users (username, password_hash, created_ts) VALUES (?1, '', 0)", [name])
                .unwrap();
        }
        let call = format!("call{number}");
        run(&connection, &statements::INITIATE_CALL, params![call, format!("dm:{}", names.join(":")), names[0]]);
        for name in &names[1..] {
            run(&connection, &statements::ACCEPT_CALL, params![call, name]);
        }
        if number >= 100 {
            run(&connection, &statements::END_CALL, params![call, names[0]]);
        }
    }
    connection
        .execute(
            "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) VALUES (?1, 'a000', 0, 9e9)",
            [TOKEN_HASH],
        )
        .unwrap();
    for _ in 0..50 {
        run(&connection, &statements::SEND_CALL_SIGNAL, params!["call0", "a000", "b000", "ice_candidate", payload()]);
    }
    connection.execute_batch("COMMIT").unwrap();
    (connection, folder)
}

fn payload() -> String {
    format!("{{\"candidate\":\"{}\"}}", "x".repeat(2048))
}

fn run(connection: &Connection, statement: &Statement, parameters: &[&dyn ToSql]) -> usize {
    let mut prepared = connection.prepare_cached(statement.sql()).unwrap();
    let mut rows = prepared.query(parameters).unwrap();
    let mut count = 0;
    while rows.next().unwrap().is_some() {
        count += 1;
    }
    count
}

fn reads(criterion: &mut Criterion) {
    let (connection, _folder) = populated_file();
    let mut group = criterion.benchmark_group("read");
    let mut measure = |statement: &'static Statement, parameters: &[&dyn ToSql]| {
        group.bench_function(statement.name(), |bencher| {
            bencher.iter(|| black_box(run(&connection, statement, parameters)));
        });
    };
    measure(&statements::FIND_SESSION, params![TOKEN_HASH]);
    measure(&statements::INCOMING_CALLS, params!["b000"]);
    measure(&statements::CALL_MEDIA_ACCESS, params!["call0", "b000"]);
    measure(&statements::SIGNALS_AFTER, params!["call0", "b000", i64::MAX]);
    measure(&statements::CALL_STATE_AND_ACCESS, params!["call0", "b000"]);
    measure(&statements::CALL_STATE, params!["call0"]);
    measure(&statements::ACTIVE_CALL, params!["dm:a000:b000:c000", "a000"]);
    measure(&statements::HISTORY, params!["a150", None::<&str>, f64::INFINITY, "", 50]);
    measure(&statements::MISSED_CALLS, params!["a150", 0.0]);
    measure(&statements::SWEEP_DUE, params![]);
}

fn writes(criterion: &mut Criterion) {
    let (connection, _folder) = populated_file();
    let chunk = vec![7_u8; 32 * 1024];
    let payload = payload();
    connection.execute_batch("BEGIN").unwrap();
    let mut group = criterion.benchmark_group("write");
    let mut measure = |name: &str, steps: &[(&'static Statement, &[&dyn ToSql])]| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                connection.prepare_cached("SAVEPOINT one_write").unwrap().execute([]).unwrap();
                for (statement, parameters) in steps {
                    black_box(run(&connection, statement, parameters));
                }
                connection.execute_batch("ROLLBACK TO one_write; RELEASE one_write").unwrap();
            });
        });
    };
    measure("nothing", &[]);
    measure(
        "PIN_CLOCK and UNPIN_CLOCK",
        &[(&statements::PIN_CLOCK, params![1e9]), (&statements::UNPIN_CLOCK, params![])],
    );
    measure(
        "SEND_CALL_SIGNAL",
        &[(&statements::SEND_CALL_SIGNAL, params!["call0", "a000", "b000", "ice_candidate", payload])],
    );
    measure("UPLOAD_CALL_MEDIA", &[(&statements::UPLOAD_CALL_MEDIA, params!["call0", "a000", 0, None::<&str>, chunk])]);
    let initiate = (&statements::INITIATE_CALL, params!["new", "dm:a150:b150:c150", "a150"] as &[&dyn ToSql]);
    let accept = (&statements::ACCEPT_CALL, params!["new", "b150"] as &[&dyn ToSql]);
    measure("INITIATE_CALL", &[initiate]);
    measure("INITIATE_CALL, ACCEPT_CALL", &[initiate, accept]);
    measure(
        "INITIATE_CALL, ACCEPT_CALL, END_CALL",
        &[initiate, accept, (&statements::END_CALL, params!["new", "a150"])],
    );
    measure("NOTE_PRESENCE", &[(&statements::NOTE_PRESENCE, params!["a000", "call0", None::<&str>])]);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = reads, writes
}
criterion_main!(benches);
