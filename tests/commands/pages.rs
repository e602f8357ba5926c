//! The pages of `src/docs/`, except the tour, and CONTRIBUTING: their commands run.

use std::collections::BTreeSet;
use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::documents::{Document, code, in_repository, names_in};
use crate::sandbox::Sandbox;
use crate::support::{Server, connect};

/// The documents whose commands a test runs.
const TESTED: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "src/docs/api.md",
    "src/docs/fixtures.md",
    "src/docs/https.md",
    "src/docs/integration.md",
    "src/docs/moving.md",
    "src/docs/notifications.md",
    "src/docs/operations.md",
    "src/docs/performance.md",
    "src/docs/settings.md",
    "src/docs/tour.md",
    "src/docs/webhooks.md",
];

#[test]
fn every_page_with_commands_has_a_test() {
    let documents = Document::all().into_iter();
    let with_commands =
        documents.filter(|page| !page.blocks_of("sh").is_empty() || !page.blocks_of("console").is_empty());
    let with_commands: BTreeSet<String> = with_commands.map(|page| page.path).collect();
    assert_eq!(with_commands, TESTED.iter().copied().map(str::to_owned).collect());
}

/// A sandbox with alice and bob, their channel, and an old call in `presence.db`.
fn with_data() -> (Sandbox, Connection) {
    let sandbox = Sandbox::new();
    sandbox.succeeds(
        "for name in alice bob; do echo a secret | minimost-calls user add $name; minimost-calls token $name; done
         minimost-calls channel add Team --member alice bob",
    );
    let sql = connect(&sandbox.path("checkout/presence.db"));
    sql.execute_batch(
        "UPDATE clock SET pinned_ts = unixepoch() - 2 * 365 * 86400; \
         INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('old', 'dm:alice:bob', 'alice'); \
         INSERT INTO end_call (call_id, username) VALUES ('old', 'alice'); \
         UPDATE clock SET pinned_ts = NULL; \
         INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('live', 'private:1', 'alice');",
    )
    .unwrap();
    (sandbox, sql)
}

#[test]
fn operations() {
    let (sandbox, sql) = with_data();
    let mut blocks = Document::at("src/docs/operations.md").blocks_of("sh");
    let uninstall = blocks.pop().unwrap();
    sandbox.succeeds(&blocks.join("\n"));

    let value = |query: &str| -> String { sql.query_row(query, [], |row| row.get(0)).unwrap() };
    assert_eq!(value("SELECT state || ' ' || ended_reason FROM calls WHERE call_id = 'live'"), "ended admin");
    assert_eq!(value("SELECT group_concat(username) FROM sessions"), "bob");
    assert_eq!(value("SELECT name FROM private_channels"), "The team");
    assert_eq!(value("SELECT group_concat(call_id) FROM calls"), "live", "the old call was not pruned");
    for copy in ["copy.db", "restored.db"] {
        let copy = connect(&sandbox.path(&format!("checkout/{copy}")));
        let people: i64 = copy.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
        let vacuum: i64 = copy.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap();
        assert_eq!((people, vacuum), (2, 2), "{copy:?}");
    }

    for path in ["etc/systemd/system/minimost-calls.service", "usr/local/bin/minimost-calls"] {
        fs::write(sandbox.path(path), "").unwrap();
    }
    fs::create_dir(sandbox.path("var/lib/minimost-calls")).unwrap();
    sandbox.succeeds(&uninstall);
    for folder in ["etc/systemd/system", "usr/local/bin", "var/lib"] {
        assert_eq!(fs::read_dir(sandbox.path(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn settings() {
    let (sandbox, sql) = with_data();
    let out = sandbox.succeeds(&Document::at("src/docs/settings.md").blocks_of("sh").join("\n"));
    assert!(out.contains("│ ringing_timeout"), "{out}");
    let value = |name: &str| -> String {
        let query = "SELECT CAST(value AS TEXT) FROM settings WHERE name = ?1";
        sql.query_row(query, [name], |row| row.get(0)).unwrap()
    };
    assert_eq!(value("ringing_timeout"), "45");
    let servers: Value = serde_json::from_str(&value("ice_servers")).unwrap();
    assert_eq!(servers[1]["credential"], "secret", "{servers}");
}

#[test]
fn webhooks() {
    let (sandbox, sql) = with_data();
    let out = sandbox.succeeds(&Document::at("src/docs/webhooks.md").blocks_of("sh").join("\n"));
    assert_eq!(out.matches("whsec_").count(), 3, "{out}");
    let names: String = sql.query_row("SELECT group_concat(name) FROM webhooks", [], |row| row.get(0)).unwrap();
    assert_eq!(names, "billing,chat,local");
    // The table of types is that of the program.
    let types = Document::at("src/docs/webhooks.md").table("| type | when |");
    let types: BTreeSet<String> = types.iter().map(|row| code(&row[0]).to_owned()).collect();
    let mut statement = sql.prepare("SELECT type FROM webhook_types").unwrap();
    let known: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(types, known);
}

#[test]
fn notifications() {
    let (sandbox, sql) = with_data();
    sandbox.succeeds(&Document::at("src/docs/notifications.md").blocks_of("sh").join("\n"));
    let query = "SELECT group_concat(name) FROM settings WHERE value <> default_value";
    let set: String = sql.query_row(query, [], |row| row.get(0)).unwrap();
    assert_eq!(set, "web_push,web_push_contact");
}

#[test]
fn https() {
    let sandbox = Sandbox::new();
    let blocks = Document::at("src/docs/https.md").blocks_of("sh");
    let [self_signed, own, proxy] = &blocks[..] else { panic!("{} ways", blocks.len()) };

    // operations.md shows each line, with a placeholder for what differs.
    let (server, lines) = sandbox.serve(self_signed);
    let shown = Document::at("src/docs/operations.md").table("| line | printed |");
    assert_eq!(shown.len(), lines.len(), "{lines:?}");
    for (row, line) in shown.iter().zip(&lines) {
        let first_words = ["ADDRESS", "FILE", "…"]
            .iter()
            .fold(code(&row[0]), |shown, placeholder| shown.split(placeholder).next().unwrap());
        assert!(line.starts_with(first_words), "{line:?} begins with {first_words:?} in the page");
    }
    assert!(lines[1].ends_with("/ca.crt") && lines[3].contains("https://"), "{lines:?}");
    drop(server);
    let files = ["checkout/presence.db-authority.pem", "checkout/presence.db-tls.pem"];
    assert!(files.iter().all(|file| sandbox.path(file).exists()));

    // The file has the certificate and the key.
    for name in ["calls.pem", "calls.key"] {
        fs::copy(sandbox.path(files[1]), sandbox.path(&format!("checkout/{name}"))).unwrap();
    }
    let (server, lines) = sandbox.serve(own);
    assert!(lines.last().unwrap().contains("https://"), "{lines:?}");
    drop(server);

    let (_server, lines) = sandbox.serve(proxy);
    assert!(lines.last().unwrap().contains("http://"), "{lines:?}");
}

#[test]
fn moving() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("checkout/minimost");
    fs::create_dir(&folder).unwrap();
    for name in ["presence.db", "auth.db"] {
        fs::copy(in_repository(&format!("fixtures/original/0.0.2/{name}")), folder.join(name)).unwrap();
    }
    let out = sandbox.succeeds(&Document::at("src/docs/moving.md").blocks_of("sh").join("\n"));
    assert!(out.starts_with("users: 3\n"), "{out}");
    let sql = connect(&sandbox.path("checkout/calls.db"));
    let calls: i64 = sql.query_row("SELECT count(*) FROM call_history", [], |row| row.get(0)).unwrap();
    assert_eq!(calls, 12);
}

#[tokio::test]
async fn api() {
    let server = Server::start();
    let alice = server.person("alice");
    server.person("bob");
    let shell = format!(
        "URL={}\nalice() {{ curl -s -H 'Authorization: Bearer {}' \"$@\"; echo; }}\n{}",
        server.url,
        alice.token,
        Document::at("src/docs/api.md").blocks_of("sh").join("\n")
    );
    let out = Sandbox::new().succeeds(&shell);
    let responses: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(responses[0]["quiet_until"].is_f64() && responses[1]["quiet_until"].is_null(), "{out}");
    assert!(responses[2]["call_id"].is_string() && responses[2] == responses[3], "{out}");
    assert_eq!((&responses[4], &responses[5]["code"]), (&json!([]), &json!("bad_wait")), "{out}");
}

#[test]
fn integration() {
    let server = Server::start();
    let page = Document::at("src/docs/integration.md");
    let sandbox = Sandbox::new();
    let [program] = &page.blocks_of("python")[..] else { panic!("more programs") };
    fs::write(sandbox.path("checkout/sign.py"), program).unwrap();
    // Debian's PyJWT is for its own Python.
    let shell = page.blocks_of("sh").join("\n").replace("python3 ", "/usr/bin/python3 ");
    let out = sandbox.succeeds(&format!("export MINIMOST_DB={} URL={}\n{shell}", server.db().display(), server.url));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("chat\tHS256\t"), "{out}");
    let me: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!((&me["username"], &me["display_name"]), (&json!("auth0-5f7c"), &json!("Zoe Zander")), "{out}");
    assert_eq!(lines[2], "{\"call\":null}", "{out}");
    assert_eq!(server.value::<String>("SELECT value FROM settings WHERE name = 'trusted_header'"), "Remote-User");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM issuers"), 2);
    assert!(out.contains("[{'username': 'guest-"), "{out}");
    let guest = "SELECT display_name || ' ' || state FROM current_participants WHERE username GLOB 'guest-*'";
    assert_eq!(server.value::<String>(guest), "Gwen accepted");
}

#[test]
fn fixtures_performance_and_contributing() {
    let sandbox = Sandbox::new();
    for page in ["src/docs/fixtures.md", "src/docs/performance.md", "CONTRIBUTING.md"] {
        sandbox.succeeds(&Document::at(page).blocks_of("sh").join("\n"));
    }
    sandbox.assert_cargo_commands_exist();
    assert!(!sandbox.log().is_empty());
}

#[test]
fn fixtures_lists_every_part() {
    let rows = Document::at("src/docs/fixtures.md").table("| part | set-up |");
    let listed: BTreeSet<String> = rows.iter().map(|row| code(&row[0]).to_owned()).collect();
    assert_eq!(listed, names_in("fixtures", "part").into_iter().collect());
}
