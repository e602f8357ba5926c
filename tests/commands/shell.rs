//! Debian's `sqlite3` on the file of a running server: an admin can read everything and change what the rules allow. The rest is
//! refused.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Person, Server, assert_refused, connect, eventually};
use crate::tools::{run, shell, shell_refused, sqlite3, succeeds, texts};

/// The longest that a read may take while another program holds the write lock.
const READ_MAX: Duration = Duration::from_millis(500);

/// An active call of alice and bob, with a signal and some media.
async fn active_call(server: &Server) -> (Person, Person, String) {
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    let offer = json!({ "to": "bob", "type": "offer", "payload": { "sdp": "v=0" } });
    assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), offer).await.0, 200);
    let init = format!("/calls/{call}/media?init=1&mime=video/webm");
    assert_eq!(alice.post_bytes(&init, b"init".to_vec()).await.0, 200);
    assert_eq!(alice.post_bytes(&format!("/calls/{call}/media"), b"chunk".to_vec()).await.0, 200);
    (alice, bob, call)
}

/// An admin's open shell that holds the write lock.
struct Admin(Child);

impl Admin {
    /// Returns when the shell holds the lock.
    fn holding_the_lock(db: &Path) -> Self {
        let mut child = sqlite3(db).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"BEGIN IMMEDIATE;\n.print held\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }

    /// Runs a last statement, and ends the shell.
    fn finish(mut self, statement: &str) {
        writeln!(self.0.stdin.take().unwrap(), "{statement}").unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn the_shell_is_debian_12s() {
    let output = run(std::process::Command::new("sqlite3").arg("--version"), "");
    assert!(output.status.success(), "the tests need Debian's package sqlite3; tests/run installs it");
    // A newer shell is fine. An older one cannot read the file.
    let version = texts(&output).0;
    let mut numbers = version.split(['.', ' ']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(version >= (3, 40), "{version:?}");
}

#[tokio::test]
async fn every_table_and_view_can_be_read() {
    let server = Server::start();
    let (_alice, _bob, call) = active_call(&server).await;
    let names = shell(&server.db(), &["SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name"]);
    let names: Vec<_> = names.lines().collect();
    for name in [
        "users",
        "sessions",
        "private_channels",
        "private_channel_members",
        "calls",
        "call_participants",
        "call_signals",
        "call_media",
        "screenshares",
        "share_media",
        "settings",
        "live_calls",
        "incoming_calls",
        "call_history",
        "missed_calls",
        "integrity_violations",
    ] {
        assert!(names.contains(&name), "there is no {name}: {names:?}");
    }
    for name in names {
        let count = shell(&server.db(), &[&format!("SELECT count(*) FROM (SELECT * FROM {name})")]);
        assert!(count.trim().parse::<u32>().is_ok(), "{name}: {count}");
    }
    let live = shell(&server.db(), &["SELECT call_id, state, on_the_call FROM live_calls"]);
    assert_eq!(live, format!("{call}|active|alice, bob\n"));
    assert_eq!(shell(&server.db(), &["PRAGMA integrity_check", "SELECT * FROM integrity_violations"]), "ok\n");
}

#[test]
fn the_schema_explains_itself() {
    let server = Server::start();
    let schema = shell(&server.db(), &[".schema"]);
    for comment in [
        "-- ringing, active, ended or rejected",
        "-- pending (it rings), accepted (on the call), rejected, left",
        "-- Argon2id, as a PHC string",
        "-- the cursor of GET .../signals?after=",
    ] {
        assert!(schema.contains(comment), "{comment}");
    }
    // Every column of every table of ours has its comment, on its line or the next.
    let ours = "SELECT name, sql FROM sqlite_schema \
                WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'refinery_*'";
    let sql = server.sql();
    let mut statement = sql.prepare(ours).unwrap();
    let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for (table, created) in tables.collect::<Result<Vec<(String, String)>, _>>().unwrap() {
        let lines: Vec<_> = created.lines().collect();
        let columns = shell(&server.db(), &[&format!("SELECT name FROM pragma_table_xinfo('{table}')")]);
        // These two are obvious in a table of memberships.
        for column in columns.lines().filter(|column| !["channel_id", "username"].contains(column)) {
            let start = format!("{column} ");
            let at = lines.iter().position(|line| line.trim_start().starts_with(&start)).unwrap();
            let commented = lines[at..].iter().take(2).any(|line| line.contains("-- "));
            assert!(commented, "{table}.{column} has no comment: {created}");
        }
    }
}

#[tokio::test]
async fn statements_that_break_a_rule_are_refused() {
    let server = Server::start();
    let (alice, bob, call) = active_call(&server).await;
    server.person("mallory");
    let finished = alice.call(&server.private_channel(&["alice", "bob"])).await;
    assert_eq!(alice.post(&format!("/calls/{finished}/end")).await.0, 200);
    let before = shell(&server.db(), &[".dump"]);
    for (statement, code) in [
        (format!("UPDATE calls SET state = 'ringing' WHERE call_id = '{call}'"), "call_move_illegal"),
        (format!("UPDATE calls SET state = 'rejected' WHERE call_id = '{call}'"), "call_move_illegal"),
        (format!("UPDATE calls SET state = 'paused' WHERE call_id = '{call}'"), "CHECK constraint failed: calls_state_known"),
        (format!("UPDATE calls SET channel = 'private:1' WHERE call_id = '{call}'"), "call_identity_is_fixed"),
        (format!("UPDATE calls SET answered_ts = 1.0 WHERE call_id = '{call}'"), "answered_ts_is_final"),
        (format!("UPDATE calls SET screenshare_user = 'mallory' WHERE call_id = '{call}'"), "sharer_not_accepted"),
        (format!("DELETE FROM calls WHERE call_id = '{call}'"), "call_is_live"),
        (format!("UPDATE calls SET state = 'active' WHERE call_id = '{finished}'"), "call_finished"),
        (format!("UPDATE calls SET ended_reason = 'timeout' WHERE call_id = '{finished}'"), "call_finished"),
        (format!("UPDATE call_participants SET state = 'accepted' WHERE call_id = '{finished}'"), "call_finished"),
        (format!("DELETE FROM call_participants WHERE call_id = '{finished}'"), "call_finished"),
        (format!("INSERT OR REPLACE INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('{finished}', 'dm:alice:bob', 'alice', 'ringing', 0)"), "call_exists"),
        ("INSERT INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('x', 'dm:alice:bob', 'bob', 'ringing', 0)".into(), "channel_has_live_call"),
        ("INSERT INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('x', 'dm:bob:alice', 'bob', 'ringing', 0)".into(), "channel_name_not_canonical"),
        ("INSERT INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('x', 'town-square', 'bob', 'ringing', 0)".into(), "channel_not_callable"),
        ("INSERT INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('x', 'dm:bob:mallory', 'alice', 'ringing', 0)".into(), "not_a_member"),
        ("INSERT INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('x', 'dm:alice', 'alice', 'ringing', 0)".into(), "nobody_to_call"),
        ("INSERT INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('x', 'dm:alice:mallory', 'alice', 'active', 0)".into(), "call_move_illegal"),
        ("INSERT INTO calls (call_id, channel, initiator, state, started_ts) VALUES ('a/b', 'dm:alice:mallory', 'alice', 'ringing', 0)".into(), "CHECK constraint failed: calls_call_id_format"),
        (format!("INSERT INTO call_participants (call_id, username, role, state) VALUES ('{call}', 'mallory', 'participant', 'accepted')"), "not_a_member"),
        (format!("UPDATE call_participants SET role = 'owner' WHERE call_id = '{call}'"), "participant_identity_is_fixed"),
        (format!("UPDATE call_participants SET state = 'rejected' WHERE call_id = '{call}' AND username = 'bob'"), "participant_move_illegal"),
        (format!("INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts) VALUES ('{call}', 'mallory', 'bob', 'offer', '{{}}', 0)"), "not_a_participant"),
        (format!("INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts) VALUES ('{call}', 'alice', 'mallory', 'offer', '{{}}', 0)"), "recipient_not_in_call"),
        (format!("INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts) VALUES ('{call}', 'alice', 'bob', 'greeting', '{{}}', 0)"), "CHECK constraint failed: call_signals_type_known"),
        (format!("INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts) VALUES ('{call}', 'alice', 'bob', 'offer', 'v=0', 0)"), "CHECK constraint failed: call_signals_payload_is_json"),
        (format!("INSERT INTO call_media (call_id, sender, is_init, mime_type, data, ts) VALUES ('{finished}', 'alice', 0, NULL, x'00', 0)"), "call_finished"),
        ("INSERT INTO users (username, password_hash, created_ts) VALUES ('eve:', '', 0)".into(), "CHECK constraint failed: users_username_format"),
        ("INSERT OR REPLACE INTO users (username, password_hash, created_ts) VALUES ('alice', '', 0)".into(), "user_exists"),
        ("UPDATE users SET username = 'eve' WHERE username = 'mallory'".into(), "user_name_is_fixed"),
        ("INSERT INTO screenshares (share_id, channel, sharer, state, started_ts) VALUES ('s', 'dm:alice:bob', 'alice', 'ended', 0)".into(), "share_move_illegal"),
        ("UPDATE settings SET value = 'soon' WHERE name = 'ringing_timeout'".into(), "CHECK constraint failed: setting_is_a_number"),
        ("UPDATE settings SET value = -1 WHERE name = 'ringing_timeout'".into(), "CHECK constraint failed: setting_is_in_range"),
        ("DELETE FROM settings".into(), "setting_is_needed"),
    ] {
        let message = shell_refused(&server.db(), &statement);
        assert_eq!(message, format!("Error: stepping, {code} (19)"), "{statement}");
        let code = code.rsplit(' ').next().unwrap();
        let explained = shell(&server.db(), &[&format!("SELECT count(*) FROM refusals WHERE code = '{code}'")]);
        assert_eq!(explained, "1\n", "refusals does not explain {code}");
    }
    assert_eq!(shell(&server.db(), &[".dump"]), before, "a refused statement changed the file");
    assert_eq!(bob.get(&format!("/calls/{call}/state")).await.1["state"], "active");
}

#[tokio::test]
async fn inserts_with_the_columns_of_the_contract_work() {
    let server = Server::start();
    for statement in [
        "INSERT INTO users (username, password_hash, created_ts) VALUES ('alice', '-', 1.5), ('bob', '-', 2)",
        "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) \
         VALUES (printf('%064d', 7), 'alice', unixepoch(), unixepoch() + 60)",
        "INSERT INTO private_channels (id, name, created_by, created_ts) VALUES (5, 'Team', 'alice', 3)",
        "INSERT INTO private_channel_members (channel_id, username, joined_ts) VALUES (5, 'alice', 3), (5, 'bob', 3)",
        "INSERT INTO calls (call_id, channel, initiator, state, started_ts, answered_ts, ended_ts, screenshare_user, ended_reason) \
         VALUES ('c', 'private:5', 'alice', 'ringing', unixepoch(), NULL, NULL, NULL, NULL)",
        "INSERT INTO call_participants (call_id, username, role, state, joined_ts, left_ts, invited_ts) \
         VALUES ('c', 'alice', 'initiator', 'accepted', unixepoch(), NULL, NULL), \
                ('c', 'bob', 'participant', 'pending', NULL, NULL, unixepoch())",
        "UPDATE call_participants SET state = 'accepted' WHERE call_id = 'c' AND username = 'bob'",
        "INSERT INTO call_signals (id, call_id, from_user, to_user, signal_type, payload, ts) \
         VALUES (9, 'c', 'alice', 'bob', 'ice_candidate', '{\"a\": 1}', unixepoch())",
        "INSERT INTO call_media (id, call_id, sender, is_init, mime_type, data, ts) \
         VALUES (4, 'c', 'alice', 1, 'video/webm', x'1a45', unixepoch())",
        "INSERT INTO screenshares (share_id, channel, sharer, state, started_ts, ended_ts) \
         VALUES ('s', 'dm:alice:bob', 'bob', 'active', unixepoch(), NULL)",
        "INSERT INTO share_media (id, share_id, is_init, mime_type, data, ts) \
         VALUES (3, 's', 0, NULL, x'1a45', unixepoch())",
    ] {
        assert_eq!(shell(&server.db(), &[statement]), "", "{statement}");
    }
    // The server serves what the shell inserted.
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (_, state) = alice.get("/calls/c/state").await;
    assert_eq!((&state["state"], &state["channel"]), (&json!("active"), &json!("private:5")), "{state}");
    let (_, signals) = bob.get("/calls/c/signals").await;
    assert_eq!((&signals[0]["id"], &signals[0]["payload"]), (&json!(9), &json!({ "a": 1 })), "{signals}");
    assert_eq!(bob.get("/calls/c/media?sender=alice").await.1["init"], "GkU=");
    let (_, shares) = alice.get("/screenshare/active?channel=dm:alice:bob").await;
    assert_eq!((&shares[0]["share_id"], &shares[0]["channel"]), (&json!("s"), &json!("dm:alice:bob")), "{shares}");
    server.assert_integrity();
}

#[tokio::test]
async fn an_admin_ends_a_call_for_both_clients() {
    let server = Server::start();
    let (alice, bob, call) = active_call(&server).await;
    assert_eq!(shell(&server.db(), &[&format!("UPDATE calls SET state = 'ended' WHERE call_id = '{call}'")]), "");
    for person in [&alice, &bob] {
        let (_, state) = person.get(&format!("/calls/{call}/state")).await;
        assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("admin")), "{state}");
        let sharing = person.post_json(&format!("/calls/{call}/screenshare"), json!({ "on": true })).await;
        assert_refused(&sharing, 409, "call_finished");
        assert_eq!(person.get("/calls/active?channel=dm:alice:bob").await.1, json!({ "call": null }));
    }
    let left = shell(
        &server.db(),
        &["SELECT (SELECT count(*) FROM call_signals), (SELECT count(*) FROM call_media), \
           (SELECT count(*) FROM call_participants WHERE state = 'left')"],
    );
    assert_eq!(left, "0|0|2\n");
    bob.call("dm:alice:bob").await;
    server.assert_integrity();
}

#[tokio::test]
async fn an_admin_with_the_write_lock_delays_writes_and_fails_none() {
    const HELD: Duration = Duration::from_secs(2);
    let server = Server::start();
    let (alice, bob, call) = active_call(&server).await;
    let admin = Admin::holding_the_lock(&server.db());
    let began = Instant::now();

    let writes: Vec<_> = (0..10)
        .map(|number| {
            let (alice, call) = (alice.clone(), call.clone());
            tokio::spawn(async move {
                let signal = json!({ "to": "bob", "type": "ice_candidate", "payload": number });
                let answer = alice.post_json(&format!("/calls/{call}/signal"), signal).await;
                (answer, Instant::now())
            })
        })
        .collect();
    // The lock is held in real time, which the server's retries are about.
    while began.elapsed() < HELD {
        let start = Instant::now();
        let (status, state) = bob.get(&format!("/calls/{call}/state")).await;
        assert_eq!((status, &state["state"]), (200, &json!("active")));
        assert!(start.elapsed() < READ_MAX, "a read took {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let released = Instant::now();
    admin.finish("COMMIT;");
    for write in writes {
        let ((status, body), answered) = write.await.unwrap();
        assert_eq!(status, 200, "{body}");
        assert!(answered >= released, "a write succeeded under another program's lock");
    }
    let (_, signals) = bob.get(&format!("/calls/{call}/signals")).await;
    assert_eq!(signals.as_array().unwrap().len(), 11, "{signals}");
}

#[tokio::test]
async fn a_lock_held_too_long_is_503_and_the_write_is_dropped() {
    let server = Server::start();
    let (alice, bob, call) = active_call(&server).await;
    let admin = Admin::holding_the_lock(&server.db());
    let before = shell(&server.db(), &[".dump"]);
    let began = Instant::now();
    let writes = ["end", "leave", "screenshare"].map(|action| {
        let request = bob.request(reqwest::Method::POST, &format!("/calls/{call}/{action}"));
        tokio::spawn(request.body("{\"on\": true}").timeout(Duration::from_secs(20)).send())
    });
    for write in writes {
        let response = write.await.unwrap().unwrap();
        let waits = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert!(waits.is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0)));
        let answer = (response.status().as_u16(), response.json().await.unwrap());
        assert_refused(&answer, 503, "database_busy");
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(8), "the answers took {took:?}");

    admin.finish("ROLLBACK;");
    // This write follows anything that is still in the queue.
    let signal = json!({ "to": "alice", "type": "answer", "payload": 1 });
    assert_eq!(bob.post_json(&format!("/calls/{call}/signal"), signal).await.0, 200);
    shell(&server.db(), &["DELETE FROM call_signals WHERE from_user = 'bob'"]);
    let (_, state) = alice.get(&format!("/calls/{call}/state")).await;
    assert_eq!((&state["state"], &state["screenshare_user"]), (&json!("active"), &json!(null)), "{state}");
    let unchanging = |dump: &str| -> Vec<String> {
        let lines = dump.lines().filter(|line| {
            // The clock counts the signal; a read of the state updates when the participant was last seen.
            !["clock", "call_participants"].iter().any(|table| line.starts_with(&format!("INSERT INTO {table} ")))
        });
        lines.map(str::to_owned).collect()
    };
    assert_eq!(unchanging(&shell(&server.db(), &[".dump"])), unchanging(&before));
}

#[tokio::test]
async fn a_backup_made_while_the_server_writes_is_whole() {
    let server = Server::start();
    let (alice, _bob, call) = active_call(&server).await;
    let copy = server.folder.path().join("copy.db");
    let backup = format!(".backup '{}'", copy.display());
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn({
        let (alice, call) = (alice.clone(), call.clone());
        async move {
            let mut sent = 0;
            while stopped.try_recv().is_err() {
                let signal = json!({ "to": "bob", "type": "ice_candidate", "payload": sent });
                assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), signal).await.0, 200);
                sent += 1;
            }
            sent
        }
    });
    // The second signal shows that the server is writing.
    server.eventually("SELECT count(*) > 1 FROM call_signals", Duration::from_secs(10)).await;
    let db = server.db();
    tokio::task::spawn_blocking(move || shell(&db, &[&backup])).await.unwrap();
    stop.send(()).unwrap();
    assert!(writing.await.unwrap() > 0);

    assert_eq!(shell(&copy, &["PRAGMA integrity_check", "SELECT * FROM integrity_violations"]), "ok\n");
    let folder = TempDir::new().unwrap();
    fs::rename(&copy, folder.path().join("presence.db")).unwrap();
    let restored = Server::start_in(folder, &[]);
    // The copy contains a live call, which a restart ends.
    assert_eq!(restored.value::<String>("SELECT state || ' ' || ended_reason FROM calls"), "ended restart");
    let again = restored.person("alice");
    again.call("dm:alice:bob").await;
    restored.assert_integrity();
}

#[tokio::test]
async fn a_restored_dump_keeps_rows_and_rules() {
    let server = Server::start();
    let (alice, _bob, call) = active_call(&server).await;
    server.private_channel(&["alice", "bob"]);
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    alice.call("dm:alice:bob").await;
    let dump = shell(&server.db(), &[".dump"]);

    // A dump lacks the application_id.
    let bare = server.folder.path().join("bare.db");
    assert!(run(&mut sqlite3(&bare), &dump).status.success());
    assert_eq!(shell(&bare, &["PRAGMA application_id"]), "0\n", "operations.md need not set application_id any more");

    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    let restore = format!("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = 1299006305;\n{dump}");
    let output = run(&mut sqlite3(&db), &restore);
    assert!(output.status.success(), "{}", texts(&output).1);
    assert_eq!(1_299_006_305, minimost_calls::database::APPLICATION_ID);
    assert_eq!(shell(&db, &[".dump"]), dump);
    assert_eq!(shell(&db, &["PRAGMA auto_vacuum"]), "2\n");
    assert!(succeeds(&db, &["user", "list"], "").contains("alice"));
    let message = shell_refused(&db, &format!("UPDATE calls SET state = 'active' WHERE call_id = '{call}'"));
    assert!(message.contains("call_finished"), "{message}");
    let restored = Server::start_in(folder, &[]);
    assert_eq!(restored.value::<String>("PRAGMA journal_mode"), "wal");
    restored.person("alice").call("dm:alice:bob").await;
    restored.assert_integrity();
}

#[tokio::test]
async fn the_file_shrinks_after_a_call_with_media() {
    const CHUNKS: usize = 12;
    let server = Server::start();
    let (alice, _bob, call) = active_call(&server).await;
    for _ in 0..CHUNKS {
        let upload = alice.post_bytes(&format!("/calls/{call}/media"), vec![7; 1024 * 1024]).await;
        assert_eq!(upload.0, 200, "{}", upload.1);
    }
    let sql = connect(&server.db());
    let pages = |pragma: &str| -> i64 { sql.pragma_query_value(None, pragma, |row| row.get(0)).unwrap() };
    let filled = pages("page_count") * pages("page_size");
    assert!(filled > 1024 * 1024 * i64::try_from(CHUNKS).unwrap(), "{filled}");
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    // The server keeps one mebibyte of free pages for the next call.
    let is_small = || pages("freelist_count") <= 256 && pages("page_count") * pages("page_size") < 3 * 1024 * 1024;
    eventually(Duration::from_secs(20), "the file shrinks", true, is_small).await;
    drop(sql);
    let (folder, status) = server.stop(Signal::SIGTERM);
    assert!(status.success());
    let bytes = fs::metadata(folder.path().join("presence.db")).unwrap().len();
    assert!(bytes < 3 * 1024 * 1024, "the file has {bytes} bytes");
}
