//! The tables of the documentation are those of the program: settings, routes and commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use minimost_calls::database::upgrade_schema;
use reqwest::Method;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::documents::{Document, code, in_repository};
use crate::support::openapi::{Operation, operations};
use crate::support::{PROGRAM, Server};
use crate::tools::{run, texts};

/// A new database, in memory.
fn new_database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    upgrade_schema(&mut connection).unwrap();
    connection
}

#[test]
fn settings() {
    const HEAD: &str = "| name | default | unit | meaning |";
    let connection = new_database();
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
    let rows = Document::at("src/docs/settings.md").table(HEAD);
    let in_the_page: BTreeMap<String, Vec<String>> =
        rows.into_iter().map(|row| (code(&row[0]).to_owned(), row[1..].to_vec())).collect();
    let mut right = String::new();
    for (name, cells) in &in_the_file {
        writeln!(right, "| `{name}` | {} |", cells.join(" | ")).unwrap();
    }
    assert!(in_the_page == in_the_file, "the table in settings.md should have these rows:\n{right}");
}

/// Each route of the description is served, and no other.
#[tokio::test]
async fn routes() {
    let of_the_api = |operation: &Operation| operation.response(304).is_none();
    let listed: Vec<Operation> = operations().into_iter().filter(of_the_api).collect();

    let server = Server::start();
    let alice = server.person("alice");
    for Operation { method, path, .. } in &listed {
        let method: Method = method.parse().unwrap();
        let response = alice.request(method.clone(), path).send().await.unwrap();
        let status = response.status().as_u16();
        if *path == "/events" {
            // The body of a stream does not end.
            assert_eq!((status, &response.headers()["content-type"]), (200, &"text/event-stream".parse().unwrap()));
            continue;
        }
        if *path == "/metrics" {
            assert_eq!(
                (status, &response.headers()["content-type"]),
                (200, &"text/plain; version=0.0.4".parse().unwrap())
            );
            continue;
        }
        if ["/ca.crt", "/authority.crt"].contains(path) {
            // Only --tls-self-signed serves it.
            assert_eq!(status, 404);
            continue;
        }
        let body: Value = response.json().await.unwrap();
        assert!(status != 405 && body["code"] != "not_found" && status < 500, "{method} {path}: {status} {body}");
        if *path == "/logout" {
            server
                .sql()
                .execute(
                    "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) SELECT ?1, 'alice', ts, ts + 3600 FROM now",
                    [minimost_calls::tokens::token_hash(&alice.token)],
                )
                .unwrap();
        }
    }

    // /ca.crt has two paths.
    let is_route =
        |line: &&str| !line.trim_start().starts_with("//") && line.contains("route!(") && line.contains(" app, ");
    let served: usize = http_sources().iter().map(|source| source.lines().filter(is_route).count()).sum();
    assert_eq!(listed.len(), served + 1);
}

/// The source files of the HTTP shell.
fn http_sources() -> Vec<String> {
    let files = fs::read_dir(in_repository("src/http")).unwrap();
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn commands() {
    let rows = Document::at("src/docs/operations.md").table("| command | what it does |");
    let listed: Vec<_> = rows.iter().map(|row| code(&row[0])).collect();
    let words = |command: &str| -> Vec<String> {
        let words = command.split(' ').skip(1);
        let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
        let words = words.take_while(|word| !word.starts_with('-') && word.chars().all(is_name));
        words.map(str::to_owned).collect()
    };
    // Help lists a subcommand as `  NAME  what it does`, and itself.
    let help_of = |of: &[String]| -> String {
        let output = run(Command::new(PROGRAM).args(of).arg("--help"), "");
        assert!(output.status.success(), "{of:?}");
        texts(&output).0
    };
    let subcommands = |of: &[String]| -> Vec<String> {
        let help = help_of(of);
        let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
        let commands = commands.lines().take_while(|line| !line.is_empty());
        let names = commands.map(|line| line.split_whitespace().next().unwrap().to_owned());
        names.filter(|name| name != "help").collect()
    };
    let mut taken = Vec::new();
    for command in subcommands(&[]) {
        let below = subcommands(std::slice::from_ref(&command));
        // `token NAME` and `token list` are both commands. Then the first line of its usage has no subcommand.
        let usage = help_of(std::slice::from_ref(&command));
        let usage = usage.lines().find(|line| line.starts_with("Usage:")).unwrap().to_owned();
        if !usage.ends_with("<COMMAND>") {
            taken.push(vec![command.clone()]);
        }
        taken.extend(below.into_iter().map(|name| vec![command.clone(), name]));
    }
    let mut listed: Vec<_> = listed.into_iter().map(words).collect();
    listed.sort();
    listed.dedup();
    taken.sort();
    assert_eq!(listed, taken);
}
