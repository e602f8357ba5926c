//! The commands of an admin: their output in a pipe, on a terminal and as JSON, and what they refuse.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, Person, Server, connect};
use crate::tools::{fails, failure, program, run, shell, succeeds, texts};

/// A folder, and a database file in it with the users alice and bob, and their channel.
fn file_with_users() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    for name in ["alice", "bob"] {
        succeeds(&db, &["user", "add", name], "rabbit hole\n");
    }
    succeeds(&db, &["channel", "add", "The team", "--member", "alice", "bob"], "");
    (folder, db)
}

/// What a command prints with `--json`.
fn json_of(db: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeeds(db, &[arguments, &["--json"]].concat(), "")).unwrap()
}

/// The cells of the lines that a command prints in a pipe.
fn cells(db: &Path, arguments: &[&str]) -> Vec<Vec<String>> {
    let printed = succeeds(db, arguments, "");
    printed.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn names(list: &Value, member: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

/// What a command prints on a terminal of `script`.
fn on_a_terminal(db: &Path, arguments: &str) -> String {
    let command = format!("'{PROGRAM}' --db '{}' {arguments}", db.display());
    let output = run(Command::new("script").args(["-qec", &command, "/dev/null"]), "");
    assert!(output.status.success(), "{arguments}");
    texts(&output).0.replace('\r', "")
}

/// Fails unless each command line fails with one line that contains the text, with exit status 1 and without a change.
fn assert_mistakes(db: &Path, mistakes: &[(&[&str], &str)]) {
    let before = shell(db, &[".dump"]);
    for (arguments, expected) in mistakes {
        let output = run(program(db).args(*arguments), "");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let line = failure(&output);
        assert!(line.starts_with("error: ") && line.contains(expected), "{arguments:?}: {line}");
    }
    assert_eq!(shell(db, &[".dump"]), before);
}

#[test]
fn users_have_roles_and_display_names() {
    let (_folder, db) = file_with_users();
    succeeds(&db, &["user", "add", "carol", "--admin", "--display-name", "Carol C."], "rabbit hole\n");
    succeeds(&db, &["user", "role", "alice", "admin"], "");
    succeeds(&db, &["user", "rename-display", "bob", "Bob the builder"], "");
    let list = cells(&db, &["user", "list"]);
    let shown: Vec<String> = list.iter().map(|cells| [&cells[..3], &cells[4..]].concat().join("|")).collect();
    assert_eq!(shown, ["alice|alice|admin|0", "bob|Bob the builder|member|0", "carol|Carol C.|admin|0"]);
    // Times are in UTC, to the second.
    assert!(
        list.iter().all(|cells| cells[3].len() == "2026-01-01T00:00:00Z".len() && cells[3].ends_with('Z')),
        "{list:?}"
    );
    succeeds(&db, &["user", "role", "carol", "member"], "");
    let json = json_of(&db, &["user", "list"]);
    assert_eq!(names(&json, "role"), ["admin", "member", "member"]);
    assert_eq!(names(&json, "display_name"), ["alice", "Bob the builder", "Carol C."]);

    assert_mistakes(
        &db,
        &[
            (&["user", "role", "zoe", "admin"], "zoe: There is no such user."),
            (&["user", "rename-display", "zoe", "Zoe"], "zoe: There is no such user."),
            (&["user", "rename-display", "bob", ""], "bob: A display name has 1 to 100 characters"),
            (&["user", "sessions", "zoe"], "zoe: There is no such user."),
        ],
    );
    assert!(fails(&db, &["user", "role", "bob", "owner"], "").contains("'owner'"));
}

#[test]
fn sessions_are_listed_and_revoked() {
    let (_folder, db) = file_with_users();
    assert_eq!(succeeds(&db, &["session", "list"], ""), "");
    assert_eq!(succeeds(&db, &["session", "list", "--json"], ""), "[]\n");
    for name in ["alice", "bob", "alice"] {
        succeeds(&db, &["token", name], "");
    }
    let owners: Vec<String> = cells(&db, &["session", "list"]).into_iter().map(|cells| cells[1].clone()).collect();
    assert_eq!(owners, ["alice", "alice", "bob"]);
    let of_alice = cells(&db, &["session", "list", "--user", "alice"]);
    assert_eq!(of_alice, cells(&db, &["user", "sessions", "alice"]));
    assert!(
        of_alice.len() == 2 && of_alice.iter().all(|cells| cells.len() == 4 && cells[1] == "alice"),
        "{of_alice:?}"
    );
    let json = json_of(&db, &["session", "list", "--user", "bob"]);
    assert_eq!(json, json_of(&db, &["user", "sessions", "bob"]));
    let id = json[0]["id"].as_str().unwrap();

    assert_eq!(succeeds(&db, &["session", "revoke", id], ""), "");
    assert_eq!(succeeds(&db, &["user", "sessions", "bob"], ""), "");
    let logged = shell(&db, &["SELECT change, subject FROM command_log ORDER BY id DESC LIMIT 1"]);
    assert_eq!(logged, format!("revoked session|{id} of bob\n"));
    assert_mistakes(
        &db,
        &[
            (&["session", "revoke", id], "There is no such session."),
            (&["session", "revoke", &of_alice[0][0][..8]], "There is no such session."),
            (&["session", "list", "--user", "zoe"], "zoe: There is no such user."),
        ],
    );
}

#[test]
fn tokens_of_services_are_shown_once_listed_and_revoked() {
    let (_folder, db) = file_with_users();
    let token = succeeds(&db, &["token", "--service", "monitor", "--ttl", "1h"], "");
    assert_eq!(token.trim_end().len(), 43, "{token}");
    succeeds(&db, &["token", "--service", "script", "--scope", "metrics", "--scope", "admin"], "");
    let list = cells(&db, &["token", "list"]);
    let shown: Vec<_> = list.iter().map(|cells| format!("{}|{}|{}", cells[0], cells[1], cells[4])).collect();
    assert_eq!(shown, ["monitor|metrics|false", "script|admin, metrics|false"]);
    let json = json_of(&db, &["token", "list"]);
    assert_eq!(json[1]["scopes"], json!(["admin", "metrics"]));
    let seconds = |item: &Value| (item["expires_ts"].as_f64().unwrap() - item["created_ts"].as_f64().unwrap()).round();
    assert_eq!((seconds(&json[0]), seconds(&json[1])), (3600.0, 30.0 * 86400.0));
    assert!(!shell(&db, &[".dump"]).contains(token.trim_end()), "the file has the token itself");

    // A user may have any name.
    succeeds(&db, &["user", "add", "list"], "rabbit hole\n");
    assert_eq!(succeeds(&db, &["token", "--", "list"], "").trim_end().len(), 43);
    assert_mistakes(
        &db,
        &[
            (&["token", "--service", "monitor"], "A service token of that name exists already."),
            (&["token", "--service", "a b"], "The name of a service token has 1 to 64"),
            (&["token", "revoke", "other"], "other: There is no such service token."),
        ],
    );
    for (arguments, named) in [
        (&["token", "alice", "--service", "monitor"][..], "--service"),
        (&["token", "--service", "x", "--scope", "all"], "'all'"),
        (&["token", "alice", "--scope", "admin"], "--scope"),
        (&["token", "--scope", "admin"], "--service"),
    ] {
        assert!(fails(&db, arguments, "").contains(named), "{arguments:?}");
    }
    assert_eq!(succeeds(&db, &["token", "revoke", "monitor"], ""), "");
    assert_eq!(cells(&db, &["token", "list"]).len(), 1);
}

#[test]
fn channels_are_renamed_and_removed() {
    let (_folder, db) = file_with_users();
    assert_eq!(succeeds(&db, &["channel", "rename", "1", "All of us"], ""), "");
    assert_eq!(succeeds(&db, &["channel", "list"], ""), "private:1\tAll of us\talice, bob\n");
    let json = json_of(&db, &["channel", "list"]);
    assert_eq!((&json[0]["title"], &json[0]["members"]), (&json!("All of us"), &json!(["alice", "bob"])));
    assert_mistakes(
        &db,
        &[
            (&["channel", "rename", "7", "x"], "private:7, x: There is no such private channel."),
            (&["channel", "rename", "1", ""], "private:1 (All of us), : The title of a channel has 1 to 200"),
            (&["channel", "remove", "private:7"], "private:7: There is no such private channel."),
        ],
    );
    assert_eq!(succeeds(&db, &["channel", "remove", "private:1"], ""), "");
    assert_eq!(succeeds(&db, &["channel", "list"], ""), "");
    let logged = shell(&db, &["SELECT change, subject FROM command_log ORDER BY id DESC LIMIT 1"]);
    assert_eq!(logged, "removed channel|private:1 (All of us)\n");
}

#[tokio::test]
async fn calls_are_listed_shown_and_ended_beside_a_server() {
    let server = Server::start();
    let db = server.db();
    let [alice, bob, _carol]: [Person; 3] = ["alice", "bob", "carol"].map(|name| server.person(name));
    assert_eq!(succeeds(&db, &["call", "list"], ""), "");
    let call = alice.call(&server.private_channel(&["alice", "bob", "carol"])).await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);

    let list = cells(&db, &["call", "list"]);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0][..5], [&call, "private:1", "a channel", "active", "alice"]);
    assert_eq!(list[0][6..], ["alice, bob", "carol", ""]);
    assert_eq!(json_of(&db, &["call", "list"])[0]["on_the_call"], json!(["alice", "bob"]));

    let shown = succeeds(&db, &["call", "show", &call], "");
    for line in [
        "state\tactive",
        "channel\tprivate:1",
        "ended\t",
        "participants\talice (accepted), bob (accepted), carol (pending)",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert_eq!(json_of(&db, &["call", "show", &call]), alice.read(&format!("/calls/{call}/state")).await);

    assert_eq!(succeeds(&db, &["call", "end", &call], ""), "");
    let state = bob.read(&format!("/calls/{call}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("admin")));
    assert!(succeeds(&db, &["call", "show", &call], "").contains("reason\tadmin\n"));
    for (arguments, expected) in [
        (&["call", "end", &call][..], format!("error: {call} in private:1 (a channel): The call has ended.")),
        (&["call", "end", "none"], "error: none: There is no such call.".to_owned()),
        (&["call", "show", "none"], "error: none: There is no such call.".to_owned()),
    ] {
        assert_eq!(fails(&db, arguments, ""), expected);
    }
    server.assert_integrity();
}

#[test]
fn settings_are_listed_changed_and_reset() {
    let (_folder, db) = file_with_users();
    let list = cells(&db, &["setting", "list"]);
    let ringing = list.iter().find(|cells| cells[0] == "ringing_timeout").unwrap();
    assert_eq!(ringing[1..4], ["30", "30", "seconds"]);
    let get = |name: &str| succeeds(&db, &["setting", "get", name], "");
    let set = |name: &str, value: &str| assert_eq!(succeeds(&db, &["setting", "set", name, value], ""), "");
    for (name, value) in [("ringing_timeout", "45"), ("gone_after", "2.5"), ("session_cookie", "42")] {
        set(name, value);
        assert_eq!(get(name), format!("{value}\n"));
    }
    set("ice_servers", r#"[{"urls": "stun:stun.example.org"}]"#);
    assert_eq!(get("ice_servers"), "[{\"urls\": \"stun:stun.example.org\"}]\n");
    let json = json_of(&db, &["setting", "get", "ringing_timeout"]);
    assert_eq!((&json["value"], &json["default"], &json["unit"]), (&json!(45), &json!(30), &json!("seconds")));
    let listed = json_of(&db, &["setting", "list"]);
    assert!(listed.as_array().unwrap().contains(&json), "{listed}");

    assert_eq!(succeeds(&db, &["setting", "reset", "ringing_timeout"], ""), "");
    assert_eq!(get("ringing_timeout"), "30\n");
    assert_mistakes(
        &db,
        &[
            (&["setting", "get", "ring_timeout"], "ring_timeout: There is no such setting."),
            (&["setting", "set", "ring_timeout", "45"], "ring_timeout: There is no such setting."),
            (&["setting", "reset", "ring_timeout"], "ring_timeout: There is no such setting."),
            (&["setting", "set", "ringing_timeout", "soon"], "ringing_timeout: The value of the setting is a number."),
            (&["setting", "set", "ringing_timeout", "-1"], "ringing_timeout: The value is outside the range"),
            (&["setting", "set", "presence_interval", "31"], "presence_interval is at most half of presence_timeout."),
        ],
    );
    // A value may be a secret.
    let logged =
        shell(&db, &["SELECT group_concat(change || ' ' || subject) FROM command_log WHERE change GLOB '*setting'"]);
    assert_eq!(
        logged,
        "changed setting ringing_timeout,changed setting gone_after,changed setting session_cookie,\
         changed setting ice_servers,reset setting ringing_timeout\n"
    );
}

#[test]
fn webhooks_are_added_listed_retried_and_removed() {
    let (_folder, db) = file_with_users();
    let secret = succeeds(&db, &["webhook", "add", "chat", "https://chat.example.org/"], "");
    assert!(secret.starts_with("whsec_") && secret.ends_with('\n') && secret.len() == 51, "{secret}");
    let given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let add = ["webhook", "add", "ends", "http://127.0.0.1:1/", "--kind", "call.ended", "--kind", "call.busy"];
    let printed =
        succeeds(&db, &[&add[..], &["--allow-private", "--secret-from-stdin"]].concat(), &format!("{given}\n"));
    assert_eq!(printed, "");
    assert_eq!(shell(&db, &["SELECT secret FROM webhooks WHERE name = 'ends'"]).trim(), given);
    let list = json_of(&db, &["webhook", "list"]);
    assert_eq!(names(&list, "name"), ["chat", "ends"]);
    assert_eq!((&list[1]["kinds"], &list[1]["allow_private"]), (&json!(["call.ended", "call.busy"]), &json!(true)));
    let listed = cells(&db, &["webhook", "list"]);
    assert_eq!(listed[1][..4], ["ends", "http://127.0.0.1:1/", "call.ended, call.busy", "true"]);
    assert!(!format!("{list}{listed:?}").contains("whsec"));

    shell(&db, &["INSERT INTO initiate_call VALUES ('c', 'dm:alice:bob', 'alice')"]);
    shell(&db, &["UPDATE webhook_deliveries SET given_up_ts = 1, next_ts = NULL, last_error = 'no answer'"]);
    let failures = json_of(&db, &["webhook", "failures", "chat"]);
    assert_eq!((&failures[0]["type"], &failures[0]["subject"]), (&json!("call.started"), &json!("c")));
    assert_eq!(cells(&db, &["webhook", "failures", "chat"])[0][4], "no answer");
    succeeds(&db, &["webhook", "retry", "chat"], "");
    assert_eq!(json_of(&db, &["webhook", "failures", "chat"]), json!([]));
    assert_mistakes(
        &db,
        &[
            (&["webhook", "add", "chat", "https://example.org/"], "A webhook of that name exists already."),
            (&["webhook", "add", "new", "ftp://example.org/"], "The URL of a webhook begins with"),
            (&["webhook", "add", "new", "https://example.org/", "--kind", "ended"], "webhook_types"),
            (&["webhook", "add", "new", "https://example.org/", "--secret-from-stdin"], "The secret of a webhook"),
            (&["webhook", "failures", "none"], "There is no such webhook."),
            (&["webhook", "retry", "none"], "There is no such webhook."),
            (&["webhook", "remove", "none"], "There is no such webhook."),
        ],
    );
    succeeds(&db, &["webhook", "remove", "chat"], "");
    assert_eq!(names(&json_of(&db, &["webhook", "list"]), "name"), ["ends"]);
    let log = shell(&db, &["SELECT change || ' ' || subject FROM command_log WHERE change LIKE '%webhook%'"]);
    assert_eq!(log, "added webhook chat\nadded webhook ends\nretried webhook chat\nremoved webhook chat\n");
}

#[tokio::test]
async fn a_backup_is_a_complete_database_of_one_moment() {
    let server = Server::start();
    let alice = server.person("alice");
    let db = server.db();
    let copy = server.folder.path().join("copy.db");
    let copy_name = copy.to_str().unwrap();
    assert_eq!(succeeds(&db, &["backup", copy_name], ""), "");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(shell(&copy, &["SELECT username FROM users", "PRAGMA auto_vacuum"]), "alice\n2\n");
    assert_eq!(succeeds(&copy, &["check"], ""), "ok\n");
    assert_eq!(names(&json_of(&copy, &["user", "list"]), "username"), ["alice"]);
    // The server did not notice.
    assert_eq!(alice.get("/calls/incoming").await.0, 200);

    let before = fs::read(&copy).unwrap();
    let line = fails(&db, &["backup", copy_name], "");
    assert_eq!(line, format!("error: {copy_name}: there is a file of that name already; left unchanged"));
    assert_eq!(fs::read(&copy).unwrap(), before);
    let nowhere = server.folder.path().join("none/copy.db");
    let line = fails(&db, &["backup", nowhere.to_str().unwrap()], "");
    assert!(line.ends_with("its folder does not exist"), "{line}");
    // The source has to be a database.
    fs::write(server.folder.path().join("text.db"), "Dear diary,\n".repeat(40)).unwrap();
    let other = server.folder.path().join("other.db");
    fails(&server.folder.path().join("text.db"), &["backup", other.to_str().unwrap()], "");
    assert!(!other.exists());
}

#[test]
fn a_check_names_each_problem_and_fails() {
    let (_folder, db) = file_with_users();
    assert_eq!(succeeds(&db, &["check"], ""), "ok\n");
    assert_eq!(succeeds(&db, &["check", "--json"], ""), "[]\n");
    for (damage, check, problem) in [
        (
            "DELETE FROM person_counts WHERE username = 'bob'",
            "integrity_violations",
            "bob is not counted: the row in person_counts is missing",
        ),
        (
            "PRAGMA foreign_keys = OFF; DROP TRIGGER session_is_for_a_user; \
             INSERT INTO sessions (token_hash, username, created_ts, expires_ts) \
             VALUES (printf('%064d', 1), 'zoe', 0, 1e9)",
            "foreign_key_check",
            "sessions has a row that refers to none of users",
        ),
        ("DROP TRIGGER setting_stays", "rules", "the trigger setting_stays is missing"),
        (
            "DROP TRIGGER setting_stays; CREATE TRIGGER setting_stays BEFORE DELETE ON settings BEGIN SELECT 1; END",
            "rules",
            "the trigger setting_stays is not this program's",
        ),
    ] {
        let copy = db.with_file_name("damaged.db");
        fs::copy(&db, &copy).unwrap();
        connect(&copy).execute_batch(damage).unwrap();
        let output = run(program(&copy).arg("check"), "");
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{damage}: {out}");
        assert!(out.lines().any(|line| line == format!("{check}\t{problem}")), "{damage}: {out}");
        assert_eq!(err, format!("error: {} problems\n", out.lines().count()));
        let (out, _) = texts(&run(program(&copy).args(["check", "--json"]), ""));
        let list: Value = serde_json::from_str(&out).unwrap();
        assert!(list.as_array().unwrap().contains(&json!({ "check": check, "problem": problem })), "{list}");
    }
}

/// The order of the rules is a part of them: the newest trigger runs first.
#[test]
fn a_check_notices_another_order_of_triggers_and_leaves_those_of_an_admin() {
    let (_folder, db) = file_with_users();
    let sql = connect(&db);
    sql.execute_batch("CREATE VIEW my_calls AS SELECT * FROM live_calls").unwrap();
    assert_eq!(succeeds(&db, &["check"], ""), "ok\n");
    let definition: String =
        sql.query_row("SELECT sql FROM sqlite_schema WHERE name = 'setting_stays'", [], |row| row.get(0)).unwrap();
    sql.execute_batch(&format!("DROP TRIGGER setting_stays; {definition}")).unwrap();
    let (out, _) = texts(&run(program(&db).arg("check"), ""));
    assert_eq!(out, "rules\tthe triggers run in another order\n");
}

#[test]
fn statistics_count_people_calls_and_bytes() {
    let (_folder, db) = file_with_users();
    connect(&db).execute_batch("INSERT INTO initiate_call VALUES ('c', 'private:1', 'alice')").unwrap();
    succeeds(&db, &["user", "role", "alice", "admin"], "");
    succeeds(&db, &["token", "bob"], "");
    let json = json_of(&db, &["stats"]);
    for (member, count) in
        [("people", 2), ("admins", 1), ("channels", 1), ("live_calls", 1), ("finished_calls", 0), ("sessions", 1)]
    {
        assert_eq!(json[member], count, "{member}: {json}");
    }
    assert_eq!(json["file_bytes"], fs::metadata(&db).unwrap().len());
    let lines = cells(&db, &["stats"]);
    assert!(lines.contains(&vec!["people".to_owned(), "2".to_owned()]), "{lines:?}");
    assert_eq!(lines.len(), json.as_object().unwrap().len());
}

#[test]
fn a_terminal_gets_an_aligned_table_with_a_heading() {
    let (_folder, db) = file_with_users();
    succeeds(&db, &["user", "rename-display", "bob", "Bob the builder"], "");
    succeeds(&db, &["channel", "add", "広場", "--member", "bob"], "");
    let users = on_a_terminal(&db, "user list");
    let lines: Vec<&str> = users.lines().collect();
    assert!(lines[0].starts_with("USER   DISPLAY NAME     ROLE    SINCE"), "{users}");
    assert!(lines[1].starts_with("alice  alice            member  20"), "{users}");
    assert!(lines[2].starts_with("bob    Bob the builder  member  20"), "{users}");
    // Wide characters take two columns.
    let channels = on_a_terminal(&db, "channel list");
    assert_eq!(channels, "CHANNEL    TITLE     MEMBERS\nprivate:1  The team  alice, bob\nprivate:2  広場      bob\n");
    assert_eq!(on_a_terminal(&db, "channel list --json"), succeeds(&db, &["channel", "list", "--json"], ""));
}

#[test]
fn completions_and_manual_pages_are_printed_without_a_file() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    for shell in ["bash", "zsh", "fish"] {
        assert!(succeeds(&db, &["completions", shell], "").contains("rename-display"), "{shell}");
    }
    let bash = folder.path().join("completions.bash");
    fs::write(&bash, succeeds(&db, &["completions", "bash"], "")).unwrap();
    assert!(run(Command::new("bash").arg("-n").arg(&bash), "").status.success());
    assert!(fails(&db, &["completions", "sh"], "").contains("'sh'"));

    let page = succeeds(&db, &["man"], "");
    assert!(page.contains(".TH minimost-calls 1"), "{page}");
    let page = succeeds(&db, &["man", "user", "rename-display"], "");
    assert!(page.contains(".TH minimost-calls-user-rename-display 1") && page.contains("DISPLAY_NAME"), "{page}");
    assert_eq!(fails(&db, &["man", "dance"], ""), "error: dance: There is no such command.");
    assert!(!db.exists());
}

#[test]
fn commands_on_a_missing_file_create_none() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    for arguments in [
        &["user", "role", "alice", "admin"][..],
        &["session", "list"],
        &["call", "list"],
        &["setting", "set", "ringing_timeout", "45"],
        &["channel", "rename", "1", "x"],
        &["token", "list"],
        &["token", "--service", "monitor"],
        &["backup", "copy.db"],
        &["check"],
        &["stats"],
    ] {
        let line = fails(&db, arguments, "");
        assert!(line.ends_with("there is no such file"), "{arguments:?}: {line}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
