//! Writes are deterministic: the same log of writes gives the same file on every machine. A replicated engine needs that.

use std::process::Command;

use minimost_calls::database::{Value, Write, WriteError, apply_group};
use minimost_calls::statements::{self as s, Statement};

use crate::new_file;

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// The log: the time, statement and parameters of each write. Refusals by triggers, by CHECKs and by wrong SQL are in it.
fn log() -> Vec<(f64, &'static Statement, Vec<Value>)> {
    let hash = |digit: &str| text(&digit.repeat(64));
    let answered = |action: &str| {
        vec![text("carol"), text("key"), hash("a"), Value::Null, text(action), text("c1"), text("carol")]
    };
    let mut log: Vec<(f64, &'static Statement, Vec<Value>)> = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        log.push((1000.0, &s::ADD_USER, vec![text(name), text("x")]));
    }
    log.extend([
        (1000.5, &s::ADD_SESSION, vec![hash("a"), text("alice"), Value::Real(100.0)]),
        (1001.0, &s::ADD_CHANNEL, vec![text("Team"), text(r#"["alice", "bob"]"#)]),
        (1001.0, &s::JOIN_CHANNEL, vec![text("private:1"), text("carol")]),
        (1001.5, &s::ADD_SERVICE_TOKEN, vec![text("monitor"), hash("b"), text(r#"["metrics"]"#), Value::Null]),
        (1001.5, &s::SET_SETTING, vec![text("gone_after"), text("11.5")]),
        (1002.0, &s::ATTEMPT_LOGIN, vec![text("bob"), text("127.0.0.1")]),
        (1003.0, &s::INITIATE_CALL, vec![text("c1"), text("dm:carol:bob:alice"), text("bob")]),
        (1004.0, &s::INITIATE_CALL, vec![text("c2"), text("dm:alice:bob:carol"), text("alice")]),
        (1005.0, &s::REJECT_CALL, vec![text("c1"), text("alice")]),
        (1006.25, &s::ACCEPT_CALL, vec![text("c1"), text("carol")]),
        (1006.25, &s::KEEP_ANSWER, answered("accept")),
        (1006.5, &s::KEEP_ANSWER, answered("initiate")),
        (1006.5, &s::CHECK_IDEMPOTENCY_KEY, vec![text("carol"), text("key"), hash("b")]),
        (
            1007.0,
            &s::SEND_CALL_SIGNAL,
            vec![text("c1"), text("bob"), text("carol"), text("offer"), text("{\"sdp\":\"v=0\"}")],
        ),
        (1008.0, &s::SEND_CALL_SIGNAL, vec![text("c1"), text("carol"), text("bob"), text("answer"), text("[1, 2.50]")]),
        (1009.0, &s::SHARE_SCREEN_IN_CALL, vec![text("c1"), text("carol"), Value::Integer(1)]),
        (1009.0, &s::SEND_CALL_SIGNAL, vec![text("c1"), text("carol"), text("bob"), text("answer"), text("no JSON")]),
        (1009.5, &s::ADD_USER, vec![text("two words"), text("x")]),
        (1009.5, &s::ADD_USER, vec![text("erin")]),
        (1010.0, &s::INVITE_TO_CALL, vec![text("c1"), text("dave"), text("carol")]),
    ]);
    for second in 0..40 {
        let data = Value::Blob(vec![second; 100]);
        let init = Value::Integer((second == 0).into());
        let mime = if second == 0 { text("video/webm") } else { Value::Null };
        let upload = vec![text("c1"), text("bob"), init, mime, data];
        log.push((1011.0 + f64::from(second), &s::UPLOAD_CALL_MEDIA, upload));
    }
    log.extend([
        (1060.0, &s::START_SCREENSHARE, vec![text("s1"), text("private:1"), text("carol")]),
        (1061.0, &s::START_SCREENSHARE, vec![text("s2"), text("private:1"), text("carol")]),
        (1062.0, &s::SEND_SHARE_SIGNAL, vec![text("s2"), text("bob"), text("carol"), text("offer"), text("1")]),
        (1063.0, &s::INITIATE_CALL, vec![text("c3"), text("private:1"), text("alice")]),
        (1064.0, &s::LEAVE_CHANNEL, vec![text("private:1"), text("carol")]),
        (1065.0, &s::SET_PASSWORD, vec![text("alice"), text("y")]),
        (1066.0, &s::REMOVE_USER, vec![text("carol")]),
        (1100.0, &s::INITIATE_CALL, vec![text("c4"), text("dm:alice:bob"), text("alice")]),
        (1101.0, &s::END_CALL, vec![text("c4"), text("alice")]),
        (1102.0, &s::INITIATE_CALL, vec![text("c5"), text("dm:alice:dave"), text("dave")]),
        (1200.0, &s::START_SERVER, vec![]),
    ]);
    log
}

/// Applies the log to a new file, as many writes at a time as `sizes` says, over and over. A group happens at the time of
/// its first write. Returns the dump of the file and the refused writes.
fn apply_log(sizes: &[usize]) -> (String, Vec<String>) {
    let (_folder, path, connection) = new_file();
    let mut refused = Vec::new();
    let mut log = log();
    for size in sizes.iter().cycle() {
        let group: Vec<_> = log.drain(..(*size).min(log.len())).collect();
        let Some((time, ..)) = group.first() else { break };
        let writes = group.iter().map(|(_, statement, parameters)| {
            Write::default().then_with(statement, parameters.clone()).on_refusal(&s::IS_USER, [text("alice")])
        });
        let outcomes = apply_group(&connection, *time, &writes.collect::<Vec<_>>()).unwrap();
        for ((_, statement, _), outcome) in group.iter().zip(outcomes) {
            if let Err(WriteError::Refused { code, rows }) = outcome {
                assert_eq!(rows.one::<(bool,)>(&s::IS_USER).unwrap(), Some((true,)));
                refused.push(format!("{}: {code}", statement.name()));
            } else if let Err(error) = outcome {
                refused.push(format!("{}: {error}", statement.name()));
            }
        }
    }
    let violations: i64 =
        connection.query_row("SELECT count(*) FROM integrity_violations", [], |row| row.get(0)).unwrap();
    assert_eq!(violations, 0);
    let dump = Command::new("sqlite3").arg(&path).arg(".dump").output().expect("Debian's package sqlite3");
    let dump = String::from_utf8(dump.stdout).unwrap();
    // The only time from the machine's clock is that of each migration.
    (dump.lines().filter(|line| !line.contains("refinery_schema_history")).collect::<Vec<_>>().join("\n"), refused)
}

#[test]
fn one_log_of_writes_gives_three_equal_files() {
    for sizes in [&[1][..], &[1, 7, 2, 30]] {
        let (dump, refused) = apply_log(sizes);
        for _ in 1..3 {
            assert!((dump.clone(), refused.clone()) == apply_log(sizes), "in groups of {sizes:?}");
        }
        let expected = [
            "INITIATE_CALL: channel_has_live_call",
            "KEEP_ANSWER: idempotency_key_is_final",
            "CHECK_IDEMPOTENCY_KEY: idempotency_key_reused",
            "SEND_CALL_SIGNAL: call_signals_payload_is_json",
            "ADD_USER: users_username_format",
            "ADD_USER: Wrong number of parameters passed to query. Got 1, needed 2",
        ];
        assert_eq!(refused, expected);
        for row in ["'c1','dm:alice:bob:carol','bob'", "'c5','dm:alice:dave'", "'restart'", "'s2','private:1'"] {
            assert!(dump.contains(row), "{row} is not in\n{dump}");
        }
    }
}

#[test]
fn a_group_fails_as_one_where_the_machine_fails() {
    let (_folder, _path, connection) = new_file();
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "max_page_count", pages).unwrap();
    let add = |name: &str| Write::new(&s::ADD_USER, [text(name), text("x")]);
    let fill = Write::new(&s::ADD_USER, [text("bob"), text(&"x".repeat(100_000))]);
    let outcome = apply_group(&connection, 1000.0, &[add("alice"), fill, add("carol")]);
    assert!(matches!(outcome, Err(WriteError::Full)), "{outcome:?}");
    let users: i64 = connection.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
    assert_eq!(users, 0, "the first write of the group is not stored either");
}
