//! The commands: their output, and the one line on standard error for a mistake.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use minimost_calls::tokens::token_hash;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use crate::documents::in_repository;
use crate::support::{PROGRAM, Server, connect, wait};
use crate::tools::{Process, fails, failure, program, run, shell, succeeds, texts};

/// A folder, and a database file in it with the users alice and bob.
fn file_with_users() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    assert_eq!(succeeds(&db, &["user", "add", "alice"], "rabbit hole\n"), "");
    assert_eq!(succeeds(&db, &["user", "add", "bob"], "the builder"), "");
    (folder, db)
}

/// The one value that a query of the file returns.
fn value<T: rusqlite::types::FromSql>(db: &Path, query: &str) -> T {
    connect(db).query_row(query, [], |row| row.get(0)).unwrap()
}

/// One character more than a password may have.
const LONG_PASSWORD: &str = {
    const BYTES: [u8; 1025] = [b'x'; 1025];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// A dump of the file, to compare it with a later one.
fn dump(db: &Path) -> String {
    shell(db, &[".dump"])
}

/// The HTTP status of a login.
async fn login(server: &Server, name: &str, password: &str) -> u16 {
    let request = reqwest::Client::new().post(format!("{}/login", server.url));
    let request = request.json(&json!({ "username": name, "password": password }));
    request.send().await.unwrap().status().as_u16()
}

#[test]
fn users_are_added_listed_and_removed() {
    let (_folder, db) = file_with_users();
    let list = succeeds(&db, &["user", "list"], "");
    let names: Vec<_> = list.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, ["alice", "bob"]);

    assert_eq!(succeeds(&db, &["user", "remove", "bob"], ""), "");
    assert!(!succeeds(&db, &["user", "list"], "").contains("bob"));

    let hash: String = value(&db, "SELECT password_hash FROM users");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
}

#[test]
fn mistakes_about_users_are_one_line_and_change_nothing() {
    let (_folder, db) = file_with_users();
    let before = dump(&db);
    let mistakes: [(&[&str], &str, &str); 24] = [
        (&["user", "add", "alice"], "a secret\n", "alice: A user of that name exists already."),
        (&["user", "add", "a b"], "a secret\n", "a b: A user name has 1 to 64"),
        (&["user", "add", "zoë"], "a secret\n", "zoë: A user name has 1 to 64"),
        (&["user", "add", "two\nlines"], "a secret\n", "two lines: A user name has 1 to 64"),
        (&["user", "add", ""], "a secret\n", "A user name has 1 to 64"),
        (&["user", "add", "a:b"], "a secret\n", "a:b: A user name has 1 to 64"),
        (&["user", "add", "carol"], "", "the password is empty"),
        (&["user", "add", "carol"], "\na secret\n", "the password is empty"),
        (&["user", "passwd", "carol"], "a secret\n", "carol: There is no such user."),
        (&["user", "passwd", "alice"], "\n", "the password is empty"),
        (&["user", "remove", "carol"], "", "carol: There is no such user."),
        (&["token", "carol"], "", "carol: There is no such user."),
        (&["token", "alice", "--ttl", "soon"], "", "invalid value 'soon' for '--ttl <TTL>'"),
        (&["token", "alice", "--ttl", "-5s"], "", "'-5"),
        (&["token", "alice", "--ttl", "0s"], "", "a token is valid for 1s to 3650d"),
        (&["token", "alice", "--ttl", "999ms"], "", "a token is valid for 1s to 3650d"),
        (&["token", "alice", "--ttl", "3651d"], "", "a token is valid for 1s to 3650d"),
        (&["token", "alice", "--ttl", "18446744073709551615s"], "", "a token is valid for 1s to 3650d"),
        (&["token", "alice", "--ttl", "99999999999999999999999y"], "", "invalid value"),
        (&["token", "alice", "--ttl", "18446744073709551615y"], "", "invalid value"),
        (&["user", "add", "carol"], "seven77\n", "a password has 8 to 1024 characters"),
        (&["user", "passwd", "alice"], "seven77\n", "a password has 8 to 1024 characters"),
        (&["user", "add", "carol"], LONG_PASSWORD, "a password has 8 to 1024 characters"),
        (&["user", "passwd", "alice"], LONG_PASSWORD, "a password has 8 to 1024 characters"),
    ];
    for (arguments, input, expected) in mistakes {
        let line = fails(&db, arguments, input);
        assert!(line.starts_with("error: ") && line.contains(expected), "{arguments:?}: {line}");
    }
    let long = "x".repeat(65);
    assert!(fails(&db, &["user", "add", &long], "a secret\n").contains(&long));
    assert_eq!(dump(&db), before);
}

#[test]
fn wrong_arguments_are_one_line() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    let mistakes: [(&[&str], &str); 12] = [
        (&["dance"], "'dance'"),
        (&["serv"], "'serv'"),
        (&["serve", "--port", "80"], "'--port'"),
        (&["serve", "--listen"], "--listen"),
        (&["user", "ad", "alice"], "'ad'"),
        (&["user", "add"], "<NAME>"),
        (&["user", "add", "alice", "bob"], "'bob'"),
        (&["token"], "<NAME>"),
        (&["channel", "add", "Team"], "--member"),
        (&["channel", "join", "private:x", "alice"], "'private:x'"),
        (&["channel", "leave", "1"], "<NAME>"),
        (&["demo"], "leave out --db"),
    ];
    for (arguments, named) in mistakes {
        let line = fails(&db, arguments, "");
        assert!(line.starts_with("error: ") && line.contains(named), "{arguments:?}: {line}");
    }
    for address in ["nonsense", "127.0.0.1:99999", "192.0.2.1:80", "127.0.0.1"] {
        let line = fails(&db, &["serve", "--listen", address], "");
        assert!(line.contains(&format!("cannot listen on {address}: ")), "{line}");
    }
    let line = failure(&run(Command::new(PROGRAM).args(["demo", "--listen", "nowhere"]), ""));
    assert!(line.contains("nowhere"), "{line}");
    for (address, advice) in [
        (":6767", "write 127.0.0.1:6767 for this machine alone, or 0.0.0.0:6767 for its network"),
        ("6767", "write 127.0.0.1:6767"),
        ("127.0.0.1", "the port is missing; write 127.0.0.1:6767"),
        ("localhost", "the port is missing; write localhost:6767"),
        ("::1", "in brackets, as in [::1]:6767"),
    ] {
        let line = fails(&db, &["serve", "--listen", address], "");
        assert!(line.contains(&format!("cannot listen on {address}: ")) && line.contains(advice), "{line}");
    }
    assert!(!db.exists(), "a wrong argument has created the file");
}

/// The longest and the shortest password, in any writing: `user add`, `user passwd` and the login agree.
#[tokio::test]
async fn a_password_of_any_allowed_length_logs_in() {
    let server = Server::start();
    let long = "\u{1f600}".repeat(1024);
    for (index, password) in ["8 chars!", long.as_str()].into_iter().enumerate() {
        let command = if index == 0 { "add" } else { "passwd" };
        succeeds(&server.db(), &["user", command, "alice"], &format!("{password}\n"));
        assert_eq!(login(&server, "alice", password).await, 200, "{} bytes", password.len());
    }
    // JSON may write each character as two escapes of six bytes.
    let escaped = format!(r#"{{"username": "alice", "password": "{}"}}"#, r"\ud83d\ude00".repeat(1024));
    let request = reqwest::Client::new().post(format!("{}/login", server.url)).body(escaped);
    assert_eq!(request.header("content-type", "application/json").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_is_valid_for_its_ttl() {
    let server = Server::start();
    succeeds(&server.db(), &["user", "add", "alice"], "rabbit hole\n");
    let token = |arguments: &[&str]| {
        let printed = succeeds(&server.db(), &[&["token", "alice"], arguments].concat(), "");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        let token = printed.trim_end().to_owned();
        assert!(token.len() >= 32 && !token.contains(' '), "{token}");
        let seconds: f64 = server
            .sql()
            .query_row(
                "SELECT expires_ts - created_ts FROM sessions WHERE token_hash = ?1",
                [token_hash(&token)],
                |row| row.get(0),
            )
            .unwrap();
        (token, seconds)
    };
    let status = |token: String| {
        let request = reqwest::Client::new().get(format!("{}/calls/incoming", server.url));
        async move { request.bearer_auth(token).send().await.unwrap().status().as_u16() }
    };
    let (by_default, seconds) = token(&[]);
    assert_eq!(seconds.round(), 30.0 * 86400.0);
    assert_eq!(status(by_default).await, 200);
    let (half_an_hour, seconds) = token(&["--ttl", "30m"]);
    assert_eq!(seconds.round(), 1800.0);
    assert_eq!(status(half_an_hour.clone()).await, 200);
    server
        .sql()
        .execute("UPDATE sessions SET expires_ts = created_ts WHERE token_hash = ?1", [token_hash(&half_an_hour)])
        .unwrap();
    assert_eq!(status(half_an_hour).await, 401);
}

#[tokio::test]
async fn a_password_is_the_first_input_line_and_a_new_one_ends_sessions() {
    let server = Server::start();
    let alice = server.person("alice");
    succeeds(&server.db(), &["user", "passwd", "alice"], "first line\r\nsecond line\n");
    assert_eq!(alice.get("/calls/incoming").await.0, 401, "the session outlived the password");
    assert_eq!(login(&server, "alice", "first line").await, 200);
    succeeds(&server.db(), &["user", "passwd", "alice"], " spaces count \n");
    assert_eq!(login(&server, "alice", "first line").await, 401);
    assert_eq!(login(&server, "alice", "spaces count").await, 401);
    assert_eq!(login(&server, "alice", " spaces count ").await, 200);
}

#[test]
fn channels_are_added_joined_and_left() {
    let (_folder, db) = file_with_users();
    succeeds(&db, &["user", "add", "carol"], "a secret\n");
    let add = |arguments: &[&str]| succeeds(&db, &[&["channel", "add"], arguments].concat(), "");
    assert_eq!(add(&["The team", "--member", "bob", "--member", "alice"]), "private:1\n");
    assert_eq!(add(&["Others", "--member", "bob", "carol", "bob"]), "private:2\n");
    assert_eq!(
        succeeds(&db, &["channel", "list"], ""),
        "private:1\tThe team\talice, bob\nprivate:2\tOthers\tbob, carol\n"
    );
    assert_eq!(succeeds(&db, &["channel", "join", "1", "carol"], ""), "");
    assert_eq!(succeeds(&db, &["channel", "join", "private:2", "alice"], ""), "");
    assert_eq!(succeeds(&db, &["channel", "leave", "private:1", "alice"], ""), "");
    assert_eq!(succeeds(&db, &["channel", "leave", "2", "bob"], ""), "");
    let list = "private:1\tThe team\tbob, carol\nprivate:2\tOthers\talice, carol\n";
    assert_eq!(succeeds(&db, &["channel", "list"], ""), list);

    let before = dump(&db);
    let mistakes: [(&[&str], &str); 11] = [
        (
            &["channel", "join", "1", "carol"],
            "private:1 (The team), carol: That person is already a member of the channel.",
        ),
        (&["channel", "join", "7", "carol"], "private:7, carol: There is no such private channel."),
        (&["channel", "join", "1", "dave"], "error: dave: There is no such user."),
        (
            &["channel", "leave", "1", "alice"],
            "private:1 (The team), alice: That person is not a member of the channel.",
        ),
        (&["channel", "leave", "7", "alice"], "private:7, alice: There is no such private channel."),
        (&["channel", "add", "Ghosts", "--member", "alice", "dave"], "error: dave: There is no such user."),
        (&["channel", "add", "", "--member", "alice"], "The title of a channel has 1 to 200 characters."),
        (&["channel", "add", " \u{a0}", "--member", "alice"], "The title of a channel has no control characters"),
        (&["channel", "add", "a\tb", "--member", "alice"], "The title of a channel has no control characters"),
        (&["channel", "add", "a\u{1b}[31m", "--member", "alice"], "The title of a channel has no control characters"),
        (&["channel", "join", "9223372036854775808", "alice"], "a channel is a number"),
    ];
    for (arguments, expected) in mistakes {
        let line = fails(&db, arguments, "");
        assert!(line.starts_with("error: ") && line.contains(expected), "{arguments:?}: {line}");
    }
    assert_eq!(dump(&db), before);
}

#[tokio::test]
async fn removing_a_user_on_a_call_leaves_no_live_call() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let carol = server.person("carol");
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    bob.post_json(&format!("/calls/{call}/screenshare"), json!({ "on": true })).await;
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let ringing = carol.call(&team).await;

    succeeds(&server.db(), &["user", "remove", "bob"], "");
    assert_eq!(bob.get("/calls/incoming").await.0, 401);
    let (_, state) = alice.get(&format!("/calls/{call}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")), "{state}");
    let (_, state) = alice.get(&format!("/calls/{ringing}/state")).await;
    assert_eq!(state["state"], "ringing", "alice can still answer: {state}");
    succeeds(&server.db(), &["channel", "leave", &team, "alice"], "");
    let (_, state) = carol.get(&format!("/calls/{ringing}/state")).await;
    assert!(["ended", "rejected"].contains(&state["state"].as_str().unwrap()), "{state}");
    server.assert_integrity();
}

#[tokio::test]
async fn every_command_works_while_a_server_runs() {
    let server = Server::start();
    let db = server.db();
    succeeds(&db, &["user", "add", "alice"], "rabbit hole\n");
    succeeds(&db, &["user", "add", "bob"], "the builder\n");
    let token = succeeds(&db, &["token", "bob"], "");
    assert_eq!(succeeds(&db, &["channel", "add", "Team", "--member", "alice", "bob"], ""), "private:1\n");
    assert!(succeeds(&db, &["user", "list"], "").contains("alice"));
    assert_eq!(login(&server, "alice", "rabbit hole").await, 200);
    let alice = server.person("alice");
    let call = alice.call("private:1").await;
    let incoming = reqwest::Client::new().get(format!("{}/calls/incoming", server.url));
    let incoming: serde_json::Value = incoming.bearer_auth(token.trim()).send().await.unwrap().json().await.unwrap();
    assert_eq!(incoming[0]["call_id"], call.as_str());
    // Only a server's start ends calls, not a command.
    assert_eq!(server.value::<String>("SELECT state FROM calls"), "ringing");
}

/// Files that the program did not make, each with a part of the message about it.
fn foreign_files(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let path = |name: &str| folder.join(name);
    fs::create_dir(path("folder.db")).unwrap();
    fs::write(path("text.db"), "Dear diary,\n".repeat(40)).unwrap();
    fs::write(path("short.db"), "x").unwrap();
    std::os::unix::fs::symlink(path("loop.db"), path("loop.db")).unwrap();
    let foreign = Connection::open(path("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('Help!')").unwrap();
    drop(foreign);
    for name in ["presence", "auth"] {
        let original = in_repository(&format!("fixtures/original/0.0.4/{name}.db"));
        fs::copy(original, path(&format!("original-{name}.db"))).unwrap();
    }
    // A valid header, then noise.
    let mut damaged = fs::read(path("ours.db")).unwrap();
    for byte in &mut damaged[100..] {
        *byte = 0x5a;
    }
    fs::write(path("damaged.db"), damaged).unwrap();
    vec![
        (path("folder.db"), "directory"),
        (path("text.db"), "not a SQLite database"),
        (path("short.db"), "not a SQLite database"),
        (path("loop.db"), "symbolic links"),
        (path("foreign.db"), "not one of minimost-calls"),
        (path("original-presence.db"), "minimost-calls --db NEW import --presence FILE --auth FILE"),
        (path("original-auth.db"), "minimost-calls --db NEW import --presence FILE --auth FILE"),
        (path("damaged.db"), "malformed"),
        (path("none/presence.db"), "its folder does not exist"),
        (path("text.db/presence.db"), "Not a directory"),
    ]
}

#[test]
fn foreign_files_are_named_and_unchanged() {
    let folder = TempDir::new().unwrap();
    succeeds(&folder.path().join("ours.db"), &["user", "add", "alice"], "rabbit hole\n");
    for (db, expected) in foreign_files(folder.path()) {
        let before = fs::read(&db).ok();
        let commands: [&[&str]; 3] =
            [&["user", "list"], &["user", "add", "alice"], &["serve", "--listen", "127.0.0.1:0"]];
        // Each command retries a damaged file for some seconds, because it could be one that is being created.
        let commands = if expected == "malformed" { &commands[..1] } else { &commands[..] };
        for arguments in commands {
            let line = fails(&db, arguments, "a secret\n");
            assert!(
                line.starts_with(&format!("error: {}: ", db.display())) && line.contains(expected),
                "{arguments:?}: {line}"
            );
        }
        assert_eq!(fs::read(&db).ok(), before, "{} has changed", db.display());
        for extension in ["-wal", "-shm", "-journal"] {
            let beside = PathBuf::from(format!("{}{extension}", db.display()));
            assert!(!beside.exists() || expected == "malformed", "{} was left", beside.display());
        }
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let (_folder, db) = file_with_users();
    fs::set_permissions(&db, fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read it, so nothing is refused.
    let may_read = fs::File::open(&db).is_ok();
    let output = run(program(&db).args(["user", "list"]), "");
    if may_read {
        assert!(texts(&output).0.contains("alice"));
    } else {
        let line = failure(&output);
        assert!(line.contains(&db.display().to_string()) && line.contains("ermission denied"), "{line}");
    }
}

#[test]
fn a_command_leaves_one_file() {
    let (folder, _db) = file_with_users();
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["presence.db"], "the write-ahead log was not emptied");
}

#[test]
fn a_file_of_another_version_is_refused_and_unchanged() {
    let (folder, db) = file_with_users();
    let tampered = |name: &str, sql: &str| {
        let copy = folder.path().join(name);
        fs::copy(&db, &copy).unwrap();
        let connection = connect(&copy);
        connection.execute_batch(sql).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        copy
    };
    let changed = tampered("changed.db", "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2");
    let newer = tampered(
        "newer.db",
        "INSERT INTO refinery_schema_history SELECT 9999, 'of_the_future', applied_on, '1' \
         FROM refinery_schema_history WHERE version = 1",
    );
    for copy in [changed, newer] {
        let before = fs::read(&copy).unwrap();
        for arguments in [&["user", "list"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let line = fails(&copy, arguments, "");
            let expected = format!("error: {}: of another version of minimost-calls", copy.display());
            assert!(line.starts_with(&expected), "{line}");
        }
        assert_eq!(fs::read(&copy).unwrap(), before);
    }
}

#[test]
fn a_copy_in_another_journal_mode_returns_to_wal() {
    let (folder, db) = file_with_users();
    let copy = folder.path().join("copy.db");
    connect(&db).execute("VACUUM INTO ?1", [copy.to_str()]).unwrap();
    let mode = || value::<String>(&copy, "PRAGMA journal_mode");
    assert_eq!(mode(), "delete", "VACUUM INTO keeps WAL now: this test needs another way to lose it");
    assert!(succeeds(&copy, &["user", "list"], "").contains("alice"));
    assert_eq!(mode(), "wal");
}

#[tokio::test]
async fn a_port_in_use_and_a_second_server_change_nothing() {
    let server = Server::start();
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    let address = server.url.trim_start_matches("http://");

    let line = fails(&server.db(), &["serve", "--listen", address], "");
    assert!(line.contains(&format!("cannot listen on {address}: ")), "{line}");
    let line = fails(&server.db(), &["serve", "--listen", "127.0.0.1:0"], "");
    assert!(line.ends_with("presence.db: another server is running on this file"), "{line}");
    let line = failure(&run(Command::new(PROGRAM).args(["demo", "--listen", address]), ""));
    assert!(line.contains(&format!("cannot listen on {address}: ")), "{line}");

    assert_eq!(server.value::<String>("SELECT state FROM calls"), "ringing");
    let (status, state) = alice.get(&format!("/calls/{call}/state")).await;
    assert_eq!((status, &state["state"]), (200, &json!("ringing")));

    // A start on a port in use does not end the calls of the previous run.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (folder, _) = server.stop(Signal::SIGKILL);
    let db = folder.path().join("presence.db");
    fails(&db, &["serve", "--listen", &taken.local_addr().unwrap().to_string()], "");
    assert_eq!(value::<String>(&db, "SELECT state FROM calls"), "ringing");
}

#[test]
fn a_server_ends_with_0_at_either_signal_and_leaves_one_file() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (folder, status) = Server::start().stop(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["presence.db"], "{signal}");
    }
}

#[test]
fn the_demo_prints_steps_that_work_and_leaves_no_files() {
    let folder = TempDir::new().unwrap();
    let mut demo = Command::new(PROGRAM);
    demo.args(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", folder.path());
    let (mut process, lines, _output) = Process::start(demo.stderr(Stdio::null()), "sqlite3");
    let text = lines.join("\n");
    for name in ["alice", "bob", "carol"] {
        let line = lines.iter().find(|line| line.trim_start().starts_with(name)).expect(name);
        assert!(line.contains("password ") && line.contains("token "), "{line}");
    }

    // The printed next steps run unchanged.
    let steps: Vec<_> = lines.iter().skip_while(|line| !line.contains("URL=")).map(String::as_str).collect();
    let script = steps.join("\necho\n");
    let output = run(Command::new("bash").args(["-eu", "-c", &script]), "");
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{text}\n{out}\n{err}");
    assert!(out.contains("\"participants\":[\"alice\",\"bob\"]"), "{out}");
    assert!(out.contains("\"state\":\"active\""), "{out}");
    assert!(out.contains("{\"status\":\"ok\"}"), "{out}");
    // The new call, and the demo's calls of the last hour.
    for outcome in ["answered", "declined", "missed"] {
        assert!(out.contains(&format!("│ {outcome}")), "{out}");
    }
    assert_eq!(out.matches("│ answered").count(), 2, "{out}");

    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    kill(Pid::from_raw(process.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(wait(&mut process.0, Duration::from_secs(20)).code(), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the demo left its folder");
}

#[test]
fn the_file_comes_from_the_option_the_variable_or_the_folder() {
    let folder = TempDir::new().unwrap();
    let add = |name: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["user", "add", name]).current_dir(folder.path()).env_remove("MINIMOST_DB");
        command
    };
    let done = |command: &mut Command| assert!(run(command, "a secret\n").status.success());
    done(&mut add("alice"));
    done(add("bob").env("MINIMOST_DB", "variable.db"));
    done(add("carol").env("MINIMOST_DB", "variable.db").args(["--db", "option.db"]));
    for (file, name) in [("presence.db", "alice"), ("variable.db", "bob"), ("option.db", "carol")] {
        let names: String = value(&folder.path().join(file), "SELECT group_concat(username) FROM users");
        assert_eq!(names, name, "{file}");
    }
}

#[test]
fn help_and_version_are_printed() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    let help = succeeds(&db, &["--help"], "");
    for command in ["serve", "user", "token", "channel", "demo", "MINIMOST_DB", "/docs/"] {
        assert!(help.contains(command), "{help}");
    }
    assert!(succeeds(&db, &["channel", "join", "--help"], "").contains("private:<id>"));
    let version = format!("minimost-calls {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(succeeds(&db, &["--version"], ""), version);
    assert!(!db.exists());
}

#[test]
fn closed_output_is_no_panic() {
    let (_folder, db) = file_with_users();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for arguments in [&["user", "list"][..], &["token", "alice"], &["--help"], &["serve", "--listen", "127.0.0.1:0"]] {
        let output = program(&db).args(arguments).stdin(Stdio::null()).stdout(closed()).output().unwrap();
        let (_, err) = texts(&output);
        assert!(output.status.code().is_some_and(|code| code < 100), "{arguments:?}: {:?} {err}", output.status);
        assert!(!err.contains("panicked"), "{err}");
    }
    // Closed standard error is no panic, too.
    let status =
        program(&db).args(["user", "remove", "nobody"]).stdin(Stdio::null()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
