//! README is true: its commands run as they stand there, and its tables are the program's.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use minimost_calls::database::migrations;
use reqwest::Method;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PROGRAM, Server};
use crate::tools::{Process, run, texts};

const README: &str = include_str!("../../README.md");

/// The fenced blocks of README with this info string.
fn blocks(info: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if let Some(of) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if of == info {
                found.push(block.join("\n"));
            }
        }
    }
    found
}

/// The cells of the table of README that has this head.
fn table(head: &str) -> Vec<Vec<String>> {
    let mut lines = README.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some(), "README has no table {head}");
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What stands between the first two back quotes of a cell.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("no code in {cell:?}"))
}

/// A shell of the reader's: the folder that they went to, and the program on the path.
fn bash(folder: &Path, script: &str) -> Command {
    let programs = Path::new(PROGRAM).parent().unwrap().display().to_string();
    let mut command = Command::new("bash");
    command
        .args(["-eu", "-c", script])
        .current_dir(folder)
        .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()))
        .env("HOME", folder)
        .env_remove("MINIMOST_DB");
    command
}

/// What one block printed, by line; a line that is JSON is an answer of the server.
struct Printed {
    text: String,
    answers: Vec<Value>,
}

impl Printed {
    fn of(text: &str) -> Self {
        let answers = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { text: text.to_owned(), answers }
    }

    /// The cells of the last row of a table in `sqlite3 -box`.
    fn last_row(&self) -> Vec<&str> {
        let row = self.text.lines().rfind(|line| line.starts_with("│")).unwrap();
        row.trim_matches('│').split('│').map(str::trim).collect()
    }
}

#[test]
fn the_tour_works_as_it_stands() {
    let all = blocks("sh");
    let serve = all.iter().position(|block| block.starts_with("minimost-calls serve")).expect("README starts a server");
    let folder = TempDir::new().unwrap();

    // The first shell.
    let before = run(&mut bash(folder.path(), &all[..serve].join("\n")), "");
    assert!(before.status.success(), "{}", texts(&before).1);
    let port = "127.0.0.1:6767";
    assert!(all[serve].contains(port), "{}", all[serve]);
    let script = format!("exec {}", all[serve].replace(port, "127.0.0.1:0"));
    let (_server, lines, _output) = Process::start(&mut bash(folder.path(), &script), "http://");
    let url = lines[0].rsplit(' ').next().unwrap();

    // The second shell. A line of its own tells the blocks apart.
    let script: String = all[serve + 1..]
        .iter()
        .map(|block| format!("{}\necho '=== block'\n", block.replace(&format!("http://{port}"), url)))
        .collect();
    let output = run(&mut bash(folder.path(), &script), "");
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}\n{err}");
    let printed: Vec<_> = out.split("=== block\n").map(Printed::of).collect();
    let [login, _listen, ring, signals, screen, media, end, heard, history, lookups, by_hand, refused, setting, ..] =
        &printed[..]
    else {
        panic!("the tour has {} blocks: {out}", printed.len());
    };

    assert_eq!(login.answers[0]["username"], "alice", "{}", login.text);
    let [initiated, incoming, accepted, state] = &ring.answers[..] else { panic!("{}", ring.text) };
    assert_eq!(initiated["participants"], serde_json::json!(["alice", "bob"]));
    assert_eq!(incoming[0]["call_id"], initiated["call_id"]);
    assert_eq!(incoming[0]["initiator"], "alice");
    assert_eq!(accepted["participants"], serde_json::json!(["alice", "bob"]));
    assert_eq!(state["state"], "active");
    assert_eq!(state["call_id"], initiated["call_id"]);

    let types = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap();
        list.iter().map(|signal| signal["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types(&signals.answers[2]), ["offer", "ice_candidate"]);
    assert_eq!(signals.answers[2][0]["payload"]["sdp"], "v=0 from alice");
    assert_eq!(types(&signals.answers[5]), ["answer", "ice_candidate"]);
    assert_eq!(signals.answers[5][0]["from"], "bob");

    assert_eq!(screen.answers[1]["screenshare_user"], "alice", "{}", screen.text);
    assert_eq!(screen.answers[3]["screenshare_user"], "bob", "{}", screen.text);

    let [init, chunk, received] = &media.answers[..] else { panic!("{}", media.text) };
    assert_eq!(init["seq"], -1);
    assert_eq!(received["mime_type"], "video/webm");
    assert_eq!(received["init"], "aW5pdCBzZWdtZW50");
    assert_eq!(received["chunks"], serde_json::json!([{ "seq": chunk["seq"], "data": "Zmlyc3QgY2h1bms=" }]));

    assert_eq!(end.answers[1]["state"], "ended", "{}", end.text);
    assert_eq!(end.answers[1]["ended_reason"], "hangup");
    for event in ["event:snapshot", "event:call", "event:signal"] {
        assert!(heard.text.contains(event), "{}", heard.text);
    }
    let row = history.last_row();
    assert_eq!(row[0], initiated["call_id"]);
    assert_eq!([row[1], row[2], row[4]], ["answered", "hangup", "alice, bob"], "{}", history.text);

    assert!(lookups.text.contains("still_ringing") && lookups.text.contains("seconds_left"), "{}", lookups.text);
    assert!(!lookups.text.contains("violation"), "{}", lookups.text);
    assert!(by_hand.text.contains("│ interrupted │ admin"), "{}", by_hand.text);
    assert_eq!(by_hand.answers, [serde_json::json!([])], "bob's phone still rings: {}", by_hand.text);
    assert!(err.contains("call_finished"), "the refusal was not told: {err}");
    assert!(refused.text.starts_with("refused, as it should be\n"), "{}", refused.text);
    assert_eq!(refused.last_row()[0], "409", "{}", refused.text);
    assert!(setting.text.contains("│ ringing_timeout            │ 45 "), "{}", setting.text);

    // The copies that README makes are whole.
    for copy in ["copy.db", "restored.db"] {
        let sql = Connection::open(folder.path().join(copy)).unwrap();
        let people: i64 = sql.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
        let vacuum: i64 = sql.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap();
        assert_eq!((people, vacuum), (2, 2), "{copy}");
    }
}

/// The contract's routes. What README lists beyond them must be served as well.
const ROUTES: [&str; 24] = [
    "POST /login",
    "POST /logout",
    "POST /calls/initiate",
    "GET /calls/incoming",
    "POST /calls/ID/accept",
    "POST /calls/ID/reject",
    "POST /calls/ID/end",
    "POST /calls/ID/leave",
    "POST /calls/ID/invite",
    "POST /calls/ID/signal",
    "GET /calls/ID/signals?after=0",
    "POST /calls/ID/screenshare",
    "GET /calls/ID/state",
    "GET /calls/active?channel=",
    "POST /calls/ID/media",
    "GET /calls/ID/media?sender=U&after=-1",
    "POST /screenshare/start",
    "POST /screenshare/ID/stop",
    "GET /screenshare/active?channel=",
    "POST /screenshare/ID/signal",
    "GET /screenshare/ID/signals?after=0",
    "POST /screenshare/ID/media",
    "GET /screenshare/ID/media?after=-1",
    "GET /healthz",
];

#[tokio::test]
async fn the_table_of_routes_is_what_is_served() {
    let rows = table("| route | answers | refuses |");
    let listed: Vec<_> = rows.iter().map(|row| code(&row[0])).collect();
    for route in ROUTES {
        assert!(listed.contains(&route), "README does not list {route}");
    }

    let server = Server::start();
    let alice = server.person("alice");
    for route in &listed {
        let (method, path) = route.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let response = alice.request(method, path).send().await.unwrap();
        let status = response.status().as_u16();
        if path == "/events" {
            // A stream has no end to wait for.
            assert_eq!((status, &response.headers()["content-type"]), (200, &"text/event-stream".parse().unwrap()));
            continue;
        }
        if path == "/authority.crt" {
            // It is there with --tls-self-signed alone.
            assert_eq!(status, 404);
            continue;
        }
        let answer: Value = response.json().await.unwrap();
        assert!(status != 405 && answer["code"] != "not_found" && status < 500, "{route}: {status} {answer}");
        if path == "/logout" {
            server
                .sql()
                .execute(
                    "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) SELECT ?1, 'alice', ts, ts + 3600 FROM now",
                    [minimost_calls::tokens::token_hash(&alice.token)],
                )
                .unwrap();
        }
    }

    // And nothing is served that README does not list.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let served: usize = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .map(|source| source.matches("route!(GET app").count() + source.matches("route!(POST app").count())
        .sum();
    assert_eq!(listed.len(), served, "{listed:?}");
}

#[test]
fn the_table_of_settings_is_that_of_a_new_file() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrations().run(&mut connection).unwrap();
    let mut statement = connection.prepare("SELECT name, value, unit, meaning FROM settings").unwrap();
    let in_the_file: BTreeMap<String, Vec<String>> = statement
        .query_map([], |row| {
            let value = match row.get_ref(1)? {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            };
            Ok((row.get(0)?, vec![value, row.get(2)?, row.get(3)?]))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let in_readme: BTreeMap<String, Vec<String>> = table("| name | default | unit | meaning |")
        .into_iter()
        .map(|row| (code(&row[0]).to_owned(), row[1..].to_vec()))
        .collect();
    assert_eq!(in_readme, in_the_file);
}

#[test]
fn the_table_of_commands_is_what_the_program_takes() {
    let rows = table("| command | what it does |");
    let listed: Vec<_> = rows.iter().map(|row| code(&row[0])).collect();
    let words = |command: &str| -> Vec<String> {
        let words = command.split(' ').skip(1);
        let words = words.take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
        words.map(str::to_owned).collect()
    };
    // A subcommand of help is `  NAME  what it does`, but for help itself.
    let subcommands = |of: &[String]| -> Vec<String> {
        let output = run(Command::new(PROGRAM).args(of).arg("--help"), "");
        assert!(output.status.success(), "{of:?}");
        let (help, _) = texts(&output);
        let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
        let commands = commands.lines().take_while(|line| !line.is_empty());
        let names = commands.map(|line| line.split_whitespace().next().unwrap().to_owned());
        names.filter(|name| name != "help").collect()
    };
    let mut taken = Vec::new();
    for command in subcommands(&[]) {
        let below = subcommands(std::slice::from_ref(&command));
        if below.is_empty() {
            taken.push(vec![command]);
        } else {
            taken.extend(below.into_iter().map(|name| vec![command.clone(), name]));
        }
    }
    let mut listed: Vec<_> = listed.into_iter().map(words).collect();
    listed.sort();
    taken.sort();
    assert_eq!(listed, taken);
}

#[test]
fn the_two_commands_are_there() {
    assert!(README.contains("```text\ncargo run --release -- demo\n```"));
    assert!(README.contains("```text\ntests/run\n```"));
    assert!(README.lines().count() < 450, "README is too long to be read");
}
