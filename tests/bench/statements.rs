//! The statements that matter, one by one: `cargo bench --bench statements`. A trigger that became slower or an index that is
//! not used any more is seen here before anybody feels it.
//!
//! Writes run in a savepoint that is rolled back, so that no fsync is measured and the file stays as it is.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use minimost_calls::database::{Database, open_connection};
use minimost_calls::statements::{self, Statement};
use rusqlite::{Connection, ToSql, params};
use tempfile::TempDir;

const TOKEN_HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A file on which a hundred calls of three people go on, one of which has signals and media, and a hundred have ended.
fn file() -> (Connection, TempDir) {
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
    let (connection, _folder) = file();
    let mut group = criterion.benchmark_group("read");
    let mut of = |statement: &'static Statement, parameters: &[&dyn ToSql]| {
        group.bench_function(statement.name(), |bencher| {
            bencher.iter(|| black_box(run(&connection, statement, parameters)));
        });
    };
    of(&statements::FIND_SESSION, params![TOKEN_HASH]);
    of(&statements::INCOMING_CALLS, params!["b000"]);
    of(&statements::WHY_NOT_TAKE_PART, params!["call0", "b000"]);
    of(&statements::SIGNALS_AFTER, params!["call0", "b000", i64::MAX]);
    of(&statements::CALL_STATE_FOR, params!["call0", "b000"]);
    of(&statements::CALL_STATE, params!["call0"]);
    of(&statements::ACTIVE_CALL, params!["dm:a000:b000:c000", "a000"]);
    of(&statements::HISTORY, params!["a150", None::<&str>, f64::INFINITY, "", 50]);
    of(&statements::MISSED_CALLS, params!["a150", 0.0]);
    of(&statements::ANYTHING_DUE, params![]);
}

fn writes(criterion: &mut Criterion) {
    let (connection, _folder) = file();
    let chunk = vec![7_u8; 32 * 1024];
    let payload = payload();
    connection.execute_batch("BEGIN").unwrap();
    let mut group = criterion.benchmark_group("write");
    let mut of = |name: &str, steps: &[(&'static Statement, &[&dyn ToSql])]| {
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
    of("nothing", &[]);
    of("PIN_CLOCK and FREE_CLOCK", &[(&statements::PIN_CLOCK, params![1e9]), (&statements::FREE_CLOCK, params![])]);
    of(
        "SEND_CALL_SIGNAL",
        &[(&statements::SEND_CALL_SIGNAL, params!["call0", "a000", "b000", "ice_candidate", payload])],
    );
    of("UPLOAD_CALL_MEDIA", &[(&statements::UPLOAD_CALL_MEDIA, params!["call0", "a000", 0, None::<&str>, chunk])]);
    let initiate = (&statements::INITIATE_CALL, params!["new", "dm:a150:b150:c150", "a150"] as &[&dyn ToSql]);
    let accept = (&statements::ACCEPT_CALL, params!["new", "b150"] as &[&dyn ToSql]);
    of("INITIATE_CALL", &[initiate]);
    of("INITIATE_CALL, ACCEPT_CALL", &[initiate, accept]);
    of("INITIATE_CALL, ACCEPT_CALL, END_CALL", &[initiate, accept, (&statements::END_CALL, params!["new", "a150"])]);
    of("SEEN", &[(&statements::SEEN, params!["a000", "call0"])]);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = reads, writes
}
criterion_main!(benches);
