//! What the server logs: one line for a login, for a command's change, for the begin and the end of a call, and for a failure
//! that many requests meet; at level debug one for each request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, Server, answer, eventually, wait};
use crate::tools::{Process, fails, succeeds};

/// The lines of a log that contain a text.
fn lines(log: &Path, text: &str) -> usize {
    fs::read_to_string(log).unwrap().lines().filter(|line| line.contains(text)).count()
}

/// A server that logs at a level, with more arguments for `serve`.
fn server_at_level(level: &str, log: &Path, arguments: &[&str]) -> Server {
    let mut shell = Command::new("sh");
    shell.args(["-c", "log=$1; shift; exec \"$@\" 2> \"$log\"", "sh"]).arg(log).arg(PROGRAM).env("RUST_LOG", level);
    Server::start_as(shell, "127.0.0.1:0", TempDir::new().unwrap(), arguments)
}

/// A shell, a sweep and a request end calls.
#[tokio::test]
async fn a_call_is_one_line_at_its_begin_and_one_at_its_end() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(TempDir::new().unwrap(), &log);
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let mut calls = Vec::new();
    for (number, reason) in ["hangup", "timeout", "admin"].into_iter().enumerate() {
        let call = alice.call("dm:alice:bob").await;
        let begun = format!("a call began call=\"{call}\" channel=\"dm:alice:bob\" initiator=\"alice\"");
        eventually(Duration::from_secs(5), &begun, 1, || lines(&log, &begun)).await;
        if reason == "hangup" {
            assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
            assert_eq!(bob.post(&format!("/calls/{call}/end")).await.0, 200);
        } else if reason == "timeout" {
            server.age_invitations(60.0);
        } else {
            server.execute("UPDATE calls SET state = 'ended' WHERE is_live");
        }
        let reason = format!("reason=\"{reason}\"");
        eventually(Duration::from_secs(5), &reason, 1, || lines(&log, &reason)).await;
        assert_eq!(lines(&log, "a call ended"), number + 1);
        calls.push(call);
    }
    // Only an answered call has a duration.
    assert_eq!(lines(&log, "seconds="), 1);
    for call in calls {
        assert_eq!(lines(&log, &call), 2, "{call}");
    }
}

#[tokio::test]
async fn a_request_is_one_line_at_level_debug_without_secrets() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = server_at_level("debug", &log, &[]);
    succeeds(&server.db(), &["user", "add", "carol"], "rabbit hole\n");
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let login = reqwest::Client::new().post(format!("{}/login", server.url));
    let (status, session) = answer(login.json(&json!({ "username": "carol", "password": "rabbit hole" }))).await;
    assert_eq!(status, 200);
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    let signal = json!({ "to": "bob", "type": "offer", "payload": "a payload" });
    assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), signal).await.0, 200);
    assert_eq!(bob.get(&format!("/calls/{call}/signals?after=0&token=in-the-query")).await.0, 200);
    assert_eq!(bob.get("/nowhere/secret-path").await.0, 404);
    let unauthorized = reqwest::get(format!("{}/me", server.url)).await.unwrap();
    assert_eq!(unauthorized.status(), 401);

    for (request, count) in [
        ("method=POST route=\"/login\" status=200 ms=", 1),
        ("method=POST route=\"/calls/initiate\" status=200 ms=", 1),
        ("method=POST route=\"/calls/ID/accept\" status=200 ms=", 1),
        ("method=POST route=\"/calls/ID/signal\" status=200 ms=", 1),
        ("method=GET route=\"/calls/ID/signals\" status=200 ms=", 1),
        ("method=GET route=\"other\" status=404 ms=", 1),
        ("method=GET route=\"/me\" status=401 ms=", 1),
        ("caller=\"bob\"", 2),
        ("caller=\"alice\"", 2),
    ] {
        eventually(Duration::from_secs(5), request, count, || lines(&log, request)).await;
    }
    assert_eq!(lines(&log, " request method="), 7);
    let token = session["token"].as_str().unwrap();
    for secret in [token, &alice.token, &bob.token, "hole", "a payload", "in-the-query", "secret-path"] {
        assert_eq!(lines(&log, secret), 0, "{secret}");
    }
}

#[tokio::test]
async fn requests_are_not_in_the_log_by_default() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(TempDir::new().unwrap(), &log);
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    alice.call("dm:alice:bob").await;
    eventually(Duration::from_secs(5), "the call", 1, || lines(&log, "a call began")).await;
    assert_eq!(lines(&log, "route="), 0);
}

#[tokio::test]
async fn with_log_format_json_each_line_is_an_object() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = server_at_level("minimost_calls=debug", &log, &["--log-format", "json"]);
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    eventually(Duration::from_secs(5), "the call", 1, || lines(&log, "a call began")).await;
    eventually(Duration::from_secs(5), "the request", 1, || lines(&log, "/calls/initiate")).await;
    let text = fs::read_to_string(&log).unwrap();
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with = |message: &str| objects.iter().find(|object| object["message"] == message).unwrap();
    let begun = with("a call began");
    assert_eq!((&begun["level"], &begun["call"]), (&json!("INFO"), &json!(call)));
    assert!(begun["timestamp"].is_string(), "{begun}");
    let request = with("request");
    assert_eq!((&request["status"], &request["caller"]), (&json!(200), &json!("alice")));
    assert!(request["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{request}");
    drop(server);

    // Warnings at the start are objects, too.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("presence.db");
    succeeds(&file, &["user", "add", "carol"], "rabbit hole\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "log=$1; shift; exec \"$@\" 2> \"$log\"", "sh"]).arg(&log).arg(PROGRAM);
    drop(Server::start_as(shell, "127.0.0.1:0", folder, &["--log-format", "json"]));
    let text = fs::read_to_string(&log).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["level"], "WARN");
    assert!(first["message"].as_str().unwrap().contains("is open to other users"), "{first}");
}

#[tokio::test]
async fn a_commands_change_is_one_line() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(TempDir::new().unwrap(), &log);
    let db = server.db();
    for name in ["alice", "bob"] {
        succeeds(&db, &["user", "add", name], "rabbit hole\n");
    }
    succeeds(&db, &["user", "passwd", "alice"], "another hole\n");
    let token = succeeds(&db, &["token", "alice"], "");
    succeeds(&db, &["channel", "add", "The team", "--member", "alice"], "");
    succeeds(&db, &["channel", "join", "1", "bob"], "");
    succeeds(&db, &["channel", "leave", "1", "alice"], "");
    // What changes nothing leaves no line.
    succeeds(&db, &["user", "list"], "");
    fails(&db, &["user", "passwd", "carol"], "rabbit hole\n");
    fails(&db, &["user", "remove", "carol"], "");
    fails(&db, &["channel", "leave", "1", "alice"], "");
    fails(&db, &["channel", "join", "1", "bob"], "");
    succeeds(&db, &["user", "remove", "bob"], "");

    let last = "a command removed user \"bob\"";
    eventually(Duration::from_secs(5), last, 1, || lines(&log, last)).await;
    for change in [
        "added user \"alice\"",
        "added user \"bob\"",
        "changed password of user \"alice\"",
        "added token of user \"alice\"",
        "added channel \"The team with alice\"",
        "added member \"private:1 (The team), bob\"",
        "removed member \"private:1 (The team), alice\"",
    ] {
        assert_eq!(lines(&log, change), 1, "{change}");
    }
    assert_eq!(lines(&log, "a command "), 8);
    for secret in ["hole", token.trim()] {
        assert_eq!(lines(&log, secret), 0, "{secret}");
    }
    let stored: String = server.value("SELECT group_concat(change || ' ' || subject, ';') FROM command_log");
    assert!(stored.starts_with("added user alice;added user bob;changed password of user alice;"), "{stored}");
}

#[tokio::test]
async fn a_change_of_an_admin_is_one_line_with_the_name() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(TempDir::new().unwrap(), &log);
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    succeeds(&server.db(), &["user", "role", "alice", "admin"], "");
    let body = json!({ "role": "admin" });
    assert_eq!(bob.post_json("/admin/people/bob/role", body.clone()).await.0, 403);
    assert_eq!(alice.post_json("/admin/people/bob/role", body).await.0, 200);
    let line = "alice changed role of user \"bob, admin\"";
    eventually(Duration::from_secs(5), line, 1, || lines(&log, line)).await;
    assert_eq!(lines(&log, "changed role of user"), 1);
    assert_eq!(lines(&log, "a command made an admin of user \"alice\""), 1);
}

#[tokio::test]
async fn requests_that_find_the_file_locked_leave_one_line() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(TempDir::new().unwrap(), &log);
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    let mut admin = server.sql();
    let lock = admin.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let requests = (0..3).map(|_| answer(alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:bob" }))));
    for (status, body) in futures_util::future::join_all(requests).await {
        assert_eq!((status, body["code"].as_str()), (503, Some("database_busy")), "{body}");
    }
    drop(lock);
    assert_eq!(lines(&log, "database_busy"), 1);
    assert_eq!(lines(&log, "status=503"), 1);
}

#[tokio::test]
async fn sighup_is_logged_and_ends_no_server() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(TempDir::new().unwrap(), &log);
    kill(server.process(), Signal::SIGHUP).unwrap();
    eventually(Duration::from_secs(5), "the line", 1, || lines(&log, "SIGHUP is ignored")).await;
    assert_eq!(answer(reqwest::Client::new().get(format!("{}/healthz", server.url))).await.0, 200);
    assert_eq!(server.stop(Signal::SIGTERM).1.code(), Some(0));
}

/// The demo belongs to its terminal, and leaves nothing behind when that is closed.
#[test]
fn sighup_ends_the_demo() {
    let folder = TempDir::new().unwrap();
    let mut demo = Command::new(PROGRAM);
    demo.args(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", folder.path());
    let (mut demo, _, _output) = Process::start(demo.stderr(Stdio::null()), "sqlite3");
    kill(Pid::from_raw(demo.0.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
    assert_eq!(wait(&mut demo.0, Duration::from_secs(20)).code(), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
