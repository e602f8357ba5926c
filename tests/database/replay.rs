//! Writes are deterministic: the same log of writes gives the same file on another machine, which is what a replicated
//! engine needs.

use std::process::Command;

use minimost_calls::database::Value;
use minimost_calls::statements::{self as s, Statement};
use rusqlite::params_from_iter;

use crate::new_file;

fn t(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// One log: each entry happens at a time of its own, and may be refused, which is as deterministic.
fn log() -> Vec<(f64, &'static Statement, Vec<Value>)> {
    let hash = |digit: &str| t(&digit.repeat(64));
    let mut log: Vec<(f64, &'static Statement, Vec<Value>)> = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        log.push((1000.0, &s::ADD_USER, vec![t(name), t("x")]));
    }
    log.extend([
        (1000.5, &s::ADD_SESSION, vec![hash("a"), t("alice"), Value::Real(100.0)]),
        (1001.0, &s::ADD_CHANNEL, vec![t("Team"), t("alice")]),
        (1001.0, &s::JOIN_NEWEST_CHANNEL, vec![t("alice")]),
        (1001.0, &s::JOIN_NEWEST_CHANNEL, vec![t("bob")]),
        (1001.0, &s::JOIN_CHANNEL, vec![Value::Integer(1), t("carol")]),
        (1002.0, &s::ADD_LOGIN_ATTEMPT, vec![t("bob"), t("127.0.0.1")]),
        (1003.0, &s::INITIATE_CALL, vec![t("c1"), t("dm:carol:bob:alice"), t("bob")]),
        (1004.0, &s::INITIATE_CALL, vec![t("c2"), t("dm:alice:bob:carol"), t("alice")]),
        (1005.0, &s::REJECT_CALL, vec![t("c1"), t("alice")]),
        (1006.25, &s::ACCEPT_CALL, vec![t("c1"), t("carol")]),
        (1007.0, &s::SEND_CALL_SIGNAL, vec![t("c1"), t("bob"), t("carol"), t("offer"), t("{\"sdp\":\"v=0\"}")]),
        (1008.0, &s::SEND_CALL_SIGNAL, vec![t("c1"), t("carol"), t("bob"), t("answer"), t("[1, 2.50]")]),
        (1009.0, &s::SHARE_SCREEN_IN_CALL, vec![t("c1"), t("carol"), Value::Integer(1)]),
        (1010.0, &s::INVITE_TO_CALL, vec![t("c1"), t("dave"), t("carol")]),
    ]);
    for second in 0..40 {
        let data = Value::Blob(vec![second; 100]);
        let init = Value::Integer((second == 0).into());
        let mime = if second == 0 { t("video/webm") } else { Value::Null };
        let upload = vec![t("c1"), t("bob"), init, mime, data];
        log.push((1011.0 + f64::from(second), &s::UPLOAD_CALL_MEDIA, upload));
    }
    log.extend([
        (1060.0, &s::START_SCREENSHARE, vec![t("s1"), t("private:1"), t("carol")]),
        (1061.0, &s::START_SCREENSHARE, vec![t("s2"), t("private:1"), t("carol")]),
        (1062.0, &s::SEND_SHARE_SIGNAL, vec![t("s2"), t("bob"), t("carol"), t("offer"), t("1")]),
        (1063.0, &s::INITIATE_CALL, vec![t("c3"), t("private:1"), t("alice")]),
        (1064.0, &s::LEAVE_CHANNEL, vec![Value::Integer(1), t("carol")]),
        (1065.0, &s::SET_PASSWORD, vec![t("alice"), t("y")]),
        (1066.0, &s::REMOVE_USER, vec![t("carol")]),
        (1100.0, &s::INITIATE_CALL, vec![t("c4"), t("dm:alice:bob"), t("alice")]),
        (1101.0, &s::END_CALL, vec![t("c4"), t("alice")]),
        (1102.0, &s::INITIATE_CALL, vec![t("c5"), t("dm:alice:dave"), t("dave")]),
        (1200.0, &s::START_SERVER, vec![]),
    ]);
    log
}

/// Applies the log to a new file and answers its dump, and how many entries were refused.
fn apply() -> (String, Vec<String>) {
    let (_folder, path, connection) = new_file();
    let mut refused = Vec::new();
    for (time, statement, parameters) in log() {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection.execute(s::PIN_CLOCK.sql(), [time]).unwrap();
        connection.execute_batch("SAVEPOINT one_write").unwrap();
        let outcome = connection.prepare(statement.sql()).and_then(|mut prepared| {
            let mut rows = prepared.query(params_from_iter(parameters))?;
            while rows.next()?.is_some() {}
            Ok(())
        });
        if let Err(error) = outcome {
            refused.push(format!("{}: {error}", statement.name()));
            connection.execute_batch("ROLLBACK TO one_write").unwrap();
        }
        connection.execute_batch("RELEASE one_write").unwrap();
        connection.execute(s::UNPIN_CLOCK.sql(), []).unwrap();
        connection.execute_batch("COMMIT").unwrap();
    }
    let violations: i64 =
        connection.query_row("SELECT count(*) FROM integrity_violations", [], |row| row.get(0)).unwrap();
    assert_eq!(violations, 0);
    let dump = Command::new("sqlite3").arg(&path).arg(".dump").output().expect("Debian's package sqlite3");
    let dump = String::from_utf8(dump.stdout).unwrap();
    // When each migration ran is the only thing that is the machine's.
    (dump.lines().filter(|line| !line.contains("refinery_schema_history")).collect::<Vec<_>>().join("\n"), refused)
}

#[test]
fn one_log_of_writes_gives_two_equal_files() {
    let (one, refused) = apply();
    let (other, _) = apply();
    assert!(one == other);
    assert_eq!(refused, ["INITIATE_CALL: channel_has_live_call"]);
    for trace in ["'c1','dm:alice:bob:carol','bob'", "'c5','dm:alice:dave'", "'restart'", "'s2','private:1'"] {
        assert!(one.contains(trace), "{trace} is not in\n{one}");
    }
}
