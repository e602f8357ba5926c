//! What the server logs: one line for a login, for a command's change, and for a failure that many requests meet.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{PROGRAM, Server, answer, eventually, wait};
use crate::tools::{Process, fails, succeeds};

/// The lines of a log that contain a text.
fn lines(log: &Path, text: &str) -> usize {
    fs::read_to_string(log).unwrap().lines().filter(|line| line.contains(text)).count()
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
