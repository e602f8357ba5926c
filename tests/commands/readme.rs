//! README: its commands run, and it stays short.

use std::fs;
use std::process::Command;

use crate::documents::Document;
use crate::sandbox::Sandbox;
use crate::support::Server;
use crate::tools::{run, texts};

#[test]
fn its_commands_install_and_administer_a_server() {
    let readme = Document::at("README.md");
    let sandbox = Sandbox::new();
    let out = sandbox.succeeds(&readme.blocks_of("sh").join("\n"));
    sandbox.assert_cargo_commands_exist();
    assert_eq!(
        sandbox.log(),
        [
            "cargo run --release -- demo",
            "cargo build --release",
            "useradd --system --no-create-home --shell /usr/sbin/nologin minimost-calls",
            "systemctl enable --now minimost-calls",
            "journalctl -u minimost-calls",
        ]
    );
    assert!(out.contains("alice") && out.contains("private:1"), "{out}");
    for db in ["presence.db", "copy.db"] {
        let db = sandbox.path(&format!("var/lib/minimost-calls/{db}"));
        let query =
            "SELECT group_concat(username) FROM (SELECT username FROM private_channel_members ORDER BY username)";
        let members: String = crate::support::connect(&db).query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(members, "alice,bob");
    }
}

#[test]
fn its_systemd_unit_starts_the_server() {
    let readme = Document::at("README.md");
    let sandbox = Sandbox::new();
    sandbox.succeeds(&readme.blocks_of("sh").join("\n"));
    let path = sandbox.path("etc/systemd/system/minimost-calls.service");
    // `serve` leads the system's paths into the sandbox again.
    let unit = fs::read_to_string(&path).unwrap().replace(&sandbox.path("").display().to_string(), "/");
    let value = |name: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        value.unwrap_or_else(|| panic!("the unit has no {name}"))
    };
    let serve = format!("env {} {}", value("Environment"), value("ExecStart"));
    let (_server, lines) = sandbox.serve(&serve);
    assert!(lines.iter().any(|line| line.contains("fingerprint")), "{lines:?}");
    let served = sandbox.path("var/lib/minimost-calls/presence.db");
    assert!(lines.last().unwrap().contains(&served.display().to_string()), "{lines:?}");

    // Where systemd is installed, it reads the unit.
    if let Ok(version) = Command::new("systemd-analyze").arg("--version").output()
        && version.status.success()
    {
        let verified = run(Command::new("systemd-analyze").arg("verify").arg(&path), "");
        let (out, err) = texts(&verified);
        let complaints: Vec<_> = err.lines().filter(|line| line.contains("minimost-calls.service:")).collect();
        assert!(complaints.is_empty(), "{out}{err}");
    }
}

/// The options of each way to HTTPS are those that the page about it has.
#[test]
fn its_ways_to_https_are_those_of_the_page() {
    let readme = Document::at("README.md").table("| HTTPS by | options of `serve` |");
    let page = Document::at("src/docs/https.md").table("| way | options of `serve` | when |");
    assert_eq!(readme.len(), page.len());
    for (short, long) in readme.iter().zip(&page) {
        let options = crate::documents::code(&long[1]);
        assert!(short[1].contains(options), "{short:?} {long:?}");
    }
}

#[test]
fn its_session_prints_what_it_shows() {
    let sessions = Document::at("README.md").blocks_of("console");
    assert_eq!(sessions.len(), 1);
    Sandbox::new().assert_session(&sessions[0]);
}

/// Node runs the example of a client, which has to be installed for the tests of the page, too.
#[tokio::test]
async fn its_client_calls() {
    let server = Server::start();
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    let [example] = &Document::at("README.md").blocks_of("js")[..] else { panic!("README shows one client") };
    let script = format!(
        "const url = '{}', token = '{}';\n{example}\nconsole.log(state.state, ...state.participants.map((p) => p.username));",
        server.url, alice.token
    );
    let output = run(Command::new("node").args(["--input-type=module", "--eval", &script]), "");
    let (out, err) = texts(&output);
    assert_eq!(out, "ringing alice bob\n", "{err}");
}

#[test]
fn it_is_short_and_has_the_two_commands() {
    let readme = Document::at("README.md").text;
    assert!(readme.contains("cargo run --release -- demo\n"));
    assert!(readme.contains("`tests/run`"));
    assert!(readme.contains(concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"), " or newer")));
    assert!(readme.lines().count() <= 180, "README has {} lines", readme.lines().count());
}
