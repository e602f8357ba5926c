//! `import`: the files of the original MiniMost become a file of ours.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::documents::in_repository;
use crate::support::{Server, connect, wait};
use crate::tools::{fails, sqlite3, succeeds};

const VERSIONS: [&str; 2] = ["0.0.2", "0.0.4"];

/// Copies of the files of a stopped original, and a path for a new file of ours.
struct Original {
    folder: TempDir,
    version: &'static str,
}

impl Original {
    fn new(version: &'static str) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["presence.db", "auth.db"] {
            let file = in_repository("fixtures/original").join(version).join(name);
            fs::write(folder.path().join(name), fs::read(file).unwrap()).unwrap();
        }
        fs::create_dir(folder.path().join("new")).unwrap();
        Self { folder, version }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn target(&self) -> PathBuf {
        self.file("new/presence.db")
    }

    fn arguments(&self) -> [String; 5] {
        let path = |name: &str| self.file(name).to_str().unwrap().to_owned();
        ["import".to_owned(), "--presence".to_owned(), path("presence.db"), "--auth".to_owned(), path("auth.db")]
    }

    /// Changes a file of the original, with everything in the file itself.
    fn change(&self, name: &str, sql: &str) {
        let connection = Connection::open(self.file(name)).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
        assert!(!self.file(&format!("{name}-wal")).exists());
    }

    /// Runs the import, which must succeed, and returns the lines that it prints.
    fn import(&self) -> Vec<String> {
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        succeeds(&self.target(), &arguments, "").lines().map(str::to_owned).collect()
    }

    /// Runs the import into `target`, which must fail without changing any file, and returns the line that it prints.
    fn refused(&self, target: &Path) -> String {
        let files = || {
            let mut files = Vec::new();
            for folder in [self.folder.path(), &self.file("new")] {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    let content = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                    files.push((path, content));
                }
            }
            files.sort();
            files
        };
        let before = files();
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let line = fails(target, &arguments, "");
        assert!(before == files(), "a file has changed: {line}");
        line
    }

    /// The rows of a query on the new file, with columns joined by |, as the sqlite3 shell prints them.
    fn rows(&self, query: &str) -> Vec<String> {
        let connection = connect(&self.target());
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let text = |value| match value {
            Value::Null => String::new(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Blob(bytes) => format!("{bytes:?}"),
        };
        let rows = statement.query_map([], |row| {
            let cells = (0..columns).map(|column| Ok(text(row.get(column)?)));
            Ok(cells.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn assert_integrity(&self) {
        assert_eq!(self.rows("SELECT violation FROM integrity_violations"), [""; 0]);
        assert_eq!(self.rows("PRAGMA integrity_check"), ["ok"]);
        assert_eq!(self.rows("PRAGMA foreign_key_check"), [""; 0]);
    }
}

#[test]
fn every_call_keeps_its_outcome_and_duration() {
    for version in VERSIONS {
        let original = Original::new(version);
        original.import();
        let is_older = version == "0.0.2";
        // The newer server has ended this call at a start, ten seconds after the answer. Of the older one, nothing is known
        // after the answer.
        let swept = if is_older { "0" } else { "10" };
        let expected = [
            "dm:alice:bob|alice|answered|hangup|271|alice, bob|1780007560",
            "dm:alice:bob|bob|declined|rejected||bob|1780015035.5",
            "dm:alice:carol|alice|missed|timeout||alice|1780022241.5",
            "dm:alice:carol|alice|cancelled|hangup||alice|1780022874.75",
            "private:1|alice|answered|hangup|1587|alice, bob, carol|1780109282.75",
            "dm:alice:bob|bob|answered|hangup|354|bob, alice, carol|1780114472.75",
            "dm:alice:carol|carol|answered|hangup|61|carol, alice|1780118428.75",
            "private:1|bob|cancelled|hangup||bob|1780122091.75",
            "dm:alice:dave|dave|answered|hangup|40|alice|1780125700.75",
            "dm:alice:bob|alice|answered|restart|120|alice, bob|1780129703.75",
            &format!("private:1|alice|answered|restart|{swept}|alice, bob|1780216225.75"),
            "dm:bob:carol|bob|missed|timeout||bob|1780216237.75",
        ];
        let history = original.rows(
            "SELECT channel, initiator, outcome, ended_reason, duration, took_part, round(started_ts, 3) \
             FROM call_history ORDER BY started_ts",
        );
        assert_eq!(history, expected, "{version}");
        assert_eq!(
            original.rows("SELECT ended_ts - started_ts FROM calls WHERE channel = 'dm:bob:carol'"),
            ["30"],
            "it rang as long as the original lets a call ring"
        );
        original.assert_integrity();
    }
}

#[test]
fn people_channels_and_shares_are_taken_over() {
    for version in VERSIONS {
        let original = Original::new(version);
        let live = if version == "0.0.2" { 2 } else { 1 };
        assert_eq!(
            original.import(),
            [
                "users: 3",
                "private channels: 3",
                "members of private channels: 5",
                "calls: 12",
                "participants of calls: 27",
                "screen shares: 2",
                &format!("calls that were live, and have ended: {live}"),
                "left out: screen shares of public channels, which have none here: 1",
                "left out: chat, signals, media, sessions, login pauses, password resets and personal settings",
            ],
        );
        let theirs = connect(&original.file("auth.db"));
        for name in ["alice", "bob", "carol"] {
            let hash: String = theirs
                .query_row("SELECT password_hash FROM users WHERE username = ?1", [name], |row| row.get(0))
                .unwrap();
            assert_eq!(original.rows(&format!("SELECT password_hash FROM users WHERE username = '{name}'")), [hash]);
        }
        assert_eq!(
            original.rows("SELECT username, created_ts, display_name FROM users ORDER BY number"),
            ["alice|1780000000|alice", "bob|1780000060|bob", "carol|1780000120|carol"],
            "{version}: added at the first time that is known of them"
        );
        assert_eq!(
            original.rows("SELECT id, name, created_by, created_ts FROM private_channels"),
            ["1|team|alice|1780003840", "2|to be left|bob|1780003900", "3|Kaffee & Küche ☕|carol|1780003960"]
        );
        assert_eq!(
            original.rows("SELECT channel, group_concat(username) FROM private_channel_members GROUP BY channel"),
            ["private:1|alice,bob,carol", "private:3|bob,carol"]
        );
        assert_eq!(
            original.rows("SELECT channel, sharer, state, ended_ts >= started_ts FROM screenshares ORDER BY channel"),
            ["dm:alice:bob|alice|ended|1", "dm:bob:carol|carol|ended|1"]
        );
        assert_eq!(
            original.rows("SELECT channel, username FROM listed_channels WHERE channel GLOB 'dm:*'"),
            [
                "dm:alice:bob|alice",
                "dm:alice:bob|bob",
                "dm:alice:carol|alice",
                "dm:alice:carol|carol",
                "dm:alice:dave|alice"
            ]
        );
        // A guest is not a member of the channel. Who rejected after the answer has left.
        assert_eq!(
            original.rows(
                "SELECT channel, username, participant.state, joined_ts IS NOT NULL, visible_after \
                 FROM call_participants AS participant JOIN calls USING (call_id) \
                 WHERE username = 'carol' AND joined_ts IS NOT NULL AND role = 'participant' ORDER BY started_ts"
            ),
            ["private:1|carol|left|1|", "dm:alice:bob|carol|left|1|0"]
        );
        // Calls that were missed months ago are in the list, but are not news.
        assert_eq!(
            original.rows("SELECT username, count(*), sum(seen) FROM missed_calls GROUP BY username"),
            ["alice|1|1", "carol|5|5"]
        );
        assert_eq!(original.rows("SELECT count(*) FROM events"), ["0"]);
        assert_eq!(
            original.rows("SELECT change, subject FROM command_log"),
            ["imported|3 users and 12 calls of the original MiniMost"]
        );
        original.assert_integrity();
    }
}

#[test]
fn the_original_is_unchanged() {
    for version in VERSIONS {
        let original = Original::new(version);
        let read_only = fs::Permissions::from_mode(0o444);
        for name in ["presence.db", "auth.db"] {
            fs::set_permissions(original.file(name), read_only.clone()).unwrap();
        }
        original.import();
        for name in ["presence.db", "auth.db"] {
            let fixture = in_repository("fixtures/original").join(original.version).join(name);
            assert!(fs::read(original.file(name)).unwrap() == fs::read(fixture).unwrap(), "{version} {name}");
        }
        let mut names: Vec<_> =
            fs::read_dir(original.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["auth.db", "new", "presence.db"]);
        assert_eq!(fs::metadata(original.target()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn an_imported_file_serves() {
    for version in VERSIONS {
        let original = Original::new(version);
        original.import();
        let folder = TempDir::new().unwrap();
        fs::rename(original.target(), folder.path().join("presence.db")).unwrap();
        let log = original.file("log");
        let server = Server::start_logging(folder, &log);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
        let outcomes = |history: &serde_json::Value| {
            history.as_array().unwrap().iter().map(|call| call["outcome"].clone()).collect::<Vec<_>>()
        };
        let history = alice.read("/calls/history").await;
        assert_eq!(outcomes(&history).len(), 11, "all calls but that of bob and carol: {history}");
        let me = carol.read("/me").await;
        let channels: Vec<_> = me["channels"].as_array().unwrap().iter().map(|one| one["channel"].clone()).collect();
        assert_eq!(channels, ["dm:alice:carol", "private:1", "private:3"], "{me}");
        assert_eq!(bob.read("/calls/incoming").await, json!([]), "nothing rings");
        for call in history.as_array().unwrap() {
            let state = alice.read(&format!("/calls/{}/state", call["call_id"].as_str().unwrap())).await;
            assert!(state["state"] == "ended" || state["state"] == "rejected", "{state}");
        }

        // A new user with the name of a deleted one is another person.
        let dave = server.person("dave");
        assert_eq!(outcomes(&dave.read("/calls/history").await), [json!(null); 0]);
        assert_eq!(server.private_channel(&["alice", "dave"]), "private:4");
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
        server.assert_integrity();
        let (_folder, status) = server.stop(Signal::SIGTERM);
        assert!(status.success());
        let log = fs::read_to_string(log).unwrap();
        assert!(!log.contains("re-created") && !log.contains("ERROR"), "{log}");
    }
}

#[test]
fn an_unused_file_of_ours_keeps_its_settings() {
    let original = Original::new("0.0.4");
    let db = original.target();
    succeeds(&db, &["user", "add", "temporary"], "rabbit hole\n");
    succeeds(&db, &["user", "remove", "temporary"], "");
    connect(&db).execute("UPDATE settings SET value = 45 WHERE name = 'ringing_timeout'", []).unwrap();
    original.import();
    assert_eq!(original.rows("SELECT value FROM settings WHERE name = 'ringing_timeout'"), ["45"]);
    assert_eq!(original.rows("SELECT username FROM users WHERE number = 1"), [""; 0], "a number is never used twice");
    assert_eq!(original.rows("SELECT count(*) FROM call_history"), ["12"]);
    original.assert_integrity();

    // An empty file is a new one.
    let original = Original::new("0.0.4");
    fs::write(original.target(), "").unwrap();
    original.import();
    original.assert_integrity();
}

#[test]
fn an_original_that_is_not_stopped_is_refused() {
    let original = Original::new("0.0.2");
    for name in ["presence.db", "auth.db"] {
        for suffix in ["-wal", "-journal"] {
            let log = original.file(&format!("{name}{suffix}"));
            fs::write(&log, "a page").unwrap();
            let line = original.refused(&original.target());
            let expected = format!("error: {}: its {suffix} file is not empty, so", original.file(name).display());
            assert!(line.starts_with(&expected), "{line}");
            fs::remove_file(log).unwrap();
        }
        // Another process: this one would drop its locks when it reads the file to compare it.
        let mut shell = sqlite3(&original.file(name)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = shell.stdin.take().unwrap();
        writeln!(input, "SELECT count(*) > 0 FROM sqlite_schema;").unwrap();
        let mut first_line = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut first_line).unwrap();
        assert_eq!(first_line, "1\n");
        let line = original.refused(&original.target());
        let path = original.file(name);
        assert_eq!(
            line,
            format!("error: {}: another program has the file open; stop the original MiniMost first", path.display())
        );
        drop(input);
        assert!(wait(&mut shell, Duration::from_secs(20)).success());
    }
    original.import();
}

#[test]
fn other_files_than_an_original_are_refused() {
    let foreign = "PRAGMA journal_mode = DELETE; CREATE TABLE songs (title TEXT)";
    for name in ["presence.db", "auth.db"] {
        let refused = |make: &dyn Fn(&Original), expected: &str| {
            let original = Original::new("0.0.4");
            fs::remove_file(original.file(name)).unwrap();
            make(&original);
            let line = original.refused(&original.target());
            assert_eq!(line, format!("error: {}: {expected}", original.file(name).display()));
        };
        let stem = name.strip_suffix(".db").unwrap();
        let not_original =
            format!("not the file {stem}.db of an original MiniMost, version 0.0.2 or newer; left unchanged");
        refused(&|_| (), "there is no such file");
        refused(
            &|original| fs::write(original.file(name), "Dear diary,\n").unwrap(),
            "not a SQLite database; left unchanged",
        );
        refused(&|original| fs::write(original.file(name), "").unwrap(), "not a SQLite database; left unchanged");
        refused(&|original| fs::create_dir(original.file(name)).unwrap(), "a directory, not a file");
        refused(&|original| original.change(name, foreign), &not_original);
        // The other one of the two, and one of ours.
        refused(
            &|original| {
                let other = original.file(if name == "auth.db" { "presence.db" } else { "auth.db" });
                fs::copy(other, original.file(name)).map(drop).unwrap();
            },
            &not_original,
        );
        refused(
            &|original| drop(succeeds(&original.file(name), &["user", "add", "alice"], "rabbit hole\n")),
            &not_original,
        );
        // A database of the original whose pages are damaged.
        let original = Original::new("0.0.4");
        let mut bytes = fs::read(original.file(name)).unwrap();
        bytes[100..].fill(0x5a);
        fs::write(original.file(name), bytes).unwrap();
        let line = original.refused(&original.target());
        assert!(line.contains("malformed"), "{line}");
    }
}

#[test]
fn a_file_that_is_in_use_or_not_ours_is_no_target() {
    let original = Original::new("0.0.4");
    let presence = original.file("presence.db");
    let line = original.refused(&presence);
    assert!(line.contains("a file of the original MiniMost; left unchanged"), "{line}");
    let text = original.file("new/text.db");
    fs::write(&text, "Dear diary,\n").unwrap();
    assert!(original.refused(&text).contains("not a SQLite database"));
    assert!(original.refused(&original.file("none/presence.db")).contains("its folder does not exist"));

    for fill in [&["user", "add", "alice"][..], &["INSERT INTO private_channels (name, created_ts) VALUES ('Team', 0)"]]
    {
        let db = original.file("new/used.db");
        match fill {
            [sql] => {
                succeeds(&db, &["user", "add", "alice"], "rabbit hole\n");
                succeeds(&db, &["user", "remove", "alice"], "");
                connect(&db).execute_batch(sql).unwrap();
            }
            arguments => drop(succeeds(&db, arguments, "rabbit hole\n")),
        }
        let line = original.refused(&db);
        let expected = "there are users, channels or calls in the file already; import into a new file";
        assert_eq!(line, format!("error: {}: {expected}", db.display()));
        fs::remove_file(db).unwrap();
    }

    let server = Server::start();
    let arguments = original.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let line = fails(&server.db(), &arguments, "");
    assert_eq!(line, format!("error: {}: another server is running on this file", server.db().display()));
    assert_eq!(server.value::<i64>("SELECT count(*) FROM users"), 0);
}

/// The original checks little, and people can write to its files: what cannot be here is left out and counted.
#[test]
fn rows_that_are_not_possible_here_are_counted() {
    let original = Original::new("0.0.2");
    original.change(
        "auth.db",
        "INSERT INTO users (username, password_hash) VALUES ('a b', 'x'), ('Zoe', 'x'), ('newcomer', ''), ('ALICE', 'y')",
    );
    original.change(
        "presence.db",
        "INSERT INTO private_channels VALUES (7, 'two' || char(10) || 'lines', 'ZOE', 1780000500), \
           (8, printf('%.*c', 300, 'x'), 'nobody', 1780000500), (9, 'no time', 'alice', 'yesterday'); \
         INSERT INTO private_channel_members VALUES (7, 'zoe', 1780000600, NULL), (7, 'Zoe', 1780000700, NULL), \
           (7, 'ghost', 1780000600, NULL), (70, 'zoe', 1780000600, NULL); \
         INSERT INTO calls VALUES ('c1', 'dm:ghost:ZOE', 'zoe', 'ended', 1780000800, 1780000801, 1780000809, NULL), \
           ('c2', 'private:7:x', 'Zoe', 'weird', 1780000800, NULL, 1780000809, NULL), \
           ('c3', 'general', 'Zoe', 'ended', 1780000800, NULL, 1780000809, NULL), \
           ('c 4', 'private:7', 'Zoe', 'ended', 1780000800, NULL, 1780000809, NULL), \
           ('c5', 'private:007', 'Zoe', 'ended', 1780000800, NULL, 'soon', NULL), \
           ('c6', 'private:7', 'zoe', 'active', 1780000900, 1780000901, NULL, NULL); \
         INSERT INTO call_participants VALUES ('c1', 'zoe', 'initiator', 'accepted', 1780000800, NULL), \
           ('c1', 'ghost', 'participant', 'left', 1780000801, 1780000809), \
           ('c1', 'ZOE', 'participant', 'pending', NULL, NULL), \
           ('c3', 'Zoe', 'initiator', 'left', 1780000800, 1780000809), \
           ('c6', 'zoe', 'initiator', 'odd', 1780000900, NULL); \
         INSERT INTO screenshares VALUES ('c1', 'private:7', 'Zoe', 'ended', 1780000800, 1780000809)",
    );
    let report = original.import();
    let expected = [
        "users: 5",
        "private channels: 5",
        "members of private channels: 6",
        "calls: 14",
        "participants of calls: 29",
        "screen shares: 2",
        "calls that were live, and have ended: 3",
        "private channels with a new title, because theirs cannot be printed: 1",
        "left out: users whose names are not possible here: 1",
        "left out: members of private channels who are not users, or are members already: 3",
        "left out: calls of public channels, which have none here: 1",
        "left out: calls whose ids are not possible here: 1",
        "left out: participants of calls that were not taken, or who are in the call already: 2",
        "left out: screen shares of public channels, which have none here: 1",
        "left out: screen shares whose ids are not possible here, or are those of calls: 1",
        "left out: malformed rows of call_participants: 1",
        "left out: malformed rows of calls: 2",
        "left out: malformed rows of private_channels: 1",
        "left out: malformed rows of users: 1",
        "left out: chat, signals, media, sessions, login pauses, password resets and personal settings",
    ];
    assert_eq!(report, expected);
    assert_eq!(
        original
            .rows("SELECT id, name, created_by FROM private_channels WHERE id > 6")
            .iter()
            .map(|row| &row[..12])
            .collect::<Vec<_>>(),
        ["7|Channel 7|", "8|xxxxxxxxxx"]
    );
    // One person in three spellings, and one without an account, whose number no later user gets.
    assert_eq!(
        original.rows("SELECT channel, initiator, outcome, duration, took_part FROM call_history WHERE call_id = 'c1'"),
        ["dm:Zoe:ghost|Zoe|answered|8|Zoe, ghost"]
    );
    assert_eq!(
        original.rows("SELECT username, role, number IS NOT NULL FROM call_participants WHERE call_id = 'c1'"),
        ["Zoe|initiator|1", "ghost|participant|1"]
    );
    assert_eq!(
        original.rows("SELECT ended_reason, ended_ts - answered_ts FROM calls WHERE call_id = 'c6'"),
        ["restart|0"]
    );
    assert_eq!(
        original.rows("SELECT created_ts FROM users WHERE username = 'Zoe'"),
        ["1780000500"],
        "the creation of a channel is the first time"
    );
    let now = original.rows("SELECT abs(created_ts - ts) < 600 FROM users, now WHERE username = 'newcomer'");
    assert_eq!(now, ["1"], "nothing is known of this user");
    original.assert_integrity();
    succeeds(&original.target(), &["user", "add", "ghost"], "rabbit hole\n");
    assert_eq!(
        original.rows("SELECT count(*) FROM personal_history WHERE username = 'ghost'"),
        ["0"],
        "a later user of the name is another person"
    );
    original.assert_integrity();
}

#[test]
fn an_import_that_would_break_a_rule_is_refused() {
    let original = Original::new("0.0.4");
    original.change("presence.db", "UPDATE sqlite_sequence SET seq = 9007199254740991 WHERE name = 'private_channels'");
    let line = original.refused(&original.target());
    assert!(
        line.ends_with(
            "break rules, so nothing was imported: the ids of private_channels are used up, 9007199254740991"
        ),
        "{line}"
    );
    assert!(!original.target().exists());
    // In a file that exists, the transaction is rolled back.
    let db = original.target();
    succeeds(&db, &["user", "add", "temporary"], "rabbit hole\n");
    succeeds(&db, &["user", "remove", "temporary"], "");
    original.refused(&db);
    assert_eq!(original.rows("SELECT count(*) FROM users"), ["0"]);
    original.assert_integrity();
}
