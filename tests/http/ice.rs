//! `GET /calls/ice`. The tests of the browsers make calls through a TURN server.

use std::io::Write;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Server;

#[tokio::test]
async fn the_ice_servers_are_those_of_the_setting() {
    let server = Server::start();
    let alice = server.person("alice");
    assert_eq!(
        alice.read("/calls/ice").await,
        json!({ "ice_servers": [], "expires_ts": null }),
        "the default for a LAN"
    );

    let servers = json!([
        { "urls": "stun:stun.example.org:3478" },
        { "urls": ["turn:turn.example.org"], "username": "us", "credential": "a \"secret\"" },
    ]);
    server.sql().execute("UPDATE settings SET value = ?1 WHERE name = 'ice_servers'", [servers.to_string()]).unwrap();
    assert_eq!(alice.read("/calls/ice").await, json!({ "ice_servers": servers, "expires_ts": null }));

    let slip =
        server.sql().execute("UPDATE settings SET value = '[{\"url\": \"stun:x\"}]' WHERE name = 'ice_servers'", []);
    assert!(slip.unwrap_err().to_string().contains("ice_server_malformed"));

    // TURN passwords need a session.
    server.assert_refuses(Client::new().get(format!("{}/calls/ice", server.url)), 401, "unauthorized").await;
}

/// The HMAC-SHA1 of `text` in base64, by openssl.
fn hmac_by_openssl(secret: &str, text: &str) -> String {
    let mut process = Command::new("sh")
        .args(["-c", "openssl dgst -sha1 -mac HMAC -macopt key:\"$0\" -binary | base64", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn each_person_gets_a_credential_that_the_turn_server_computes_too() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let stun = json!({ "urls": "stun:stun.example.org" });
    let urls = json!(["turn:turn.example.org:3478", "turns:turn.example.org:5349?transport=tcp"]);
    for (name, value) in [
        ("ice_servers", json!([stun]).to_string()),
        ("turn_urls", urls.to_string()),
        ("turn_ttl", "600".to_owned()),
        ("turn_secret", "north of the wall".to_owned()),
    ] {
        server.sql().execute("INSERT INTO set_setting (name, value) VALUES (?1, ?2)", [name, &value]).unwrap();
    }
    for person in [&alice, &bob] {
        let before: f64 = server.value("SELECT ts FROM now");
        let ice = person.read("/calls/ice").await;
        let expires_ts = ice["expires_ts"].as_i64().unwrap();
        assert!((599.0..605.0).contains(&(expires_ts as f64 - before)), "{expires_ts} at {before}");
        let username = format!("{expires_ts}:{}", person.name);
        let credential = hmac_by_openssl("north of the wall", &username);
        let turn = json!({ "urls": urls, "username": username, "credential": credential });
        assert_eq!(ice["ice_servers"], json!([stun, turn]));
    }
    // Either setting alone gives nobody a credential.
    for (name, value) in [("turn_secret", "north of the wall"), ("turn_urls", "[\"turn:turn.example.org\"]")] {
        server.execute(&format!("INSERT INTO reset_setting (name) VALUES ('{name}')"));
        assert_eq!(alice.read("/calls/ice").await, json!({ "ice_servers": [stun], "expires_ts": null }));
        server.execute(&format!("INSERT INTO set_setting (name, value) VALUES ('{name}', '{value}')"));
    }
}

#[tokio::test]
async fn the_secret_is_in_no_answer_and_no_log() {
    const SECRET: &str = "north of the wall";
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let server = Server::start_logging(folder, &log);
    let alice = server.person("alice");
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    let set = |value: &str| alice.posting_json("/admin/settings/turn_secret", json!({ "value": value }));
    assert_eq!(set(SECRET).send().await.unwrap().status(), 200);
    server.run(&["setting", "set", "turn_secret", "-"], SECRET);
    server.run(&["setting", "set", "turn_urls", r#"["turn:turn.example.org"]"#], "");
    assert_eq!(server.value::<String>("SELECT value FROM settings WHERE name = 'turn_secret'"), SECRET);

    let settings = alice.read("/admin/settings?limit=200").await;
    let find = |list: &Value| list.as_array().unwrap().iter().find(|one| one["name"] == "turn_secret").cloned();
    assert_eq!(find(&settings).unwrap()["value"], "(hidden)");
    let mut answers = settings.to_string();
    answers += &alice.read("/calls/ice").await.to_string();
    for arguments in [&["setting", "list"][..], &["setting", "list", "--json"], &["setting", "get", "turn_secret"]] {
        answers += &server.run(arguments, "");
    }
    // A refusal does not repeat what it refuses.
    let response =
        alice.request(Method::POST, "/admin/settings/turn_secret").json(&json!({ "value": SECRET.repeat(50) }));
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), 400);
    answers += &response.text().await.unwrap();
    answers += &server.value::<String>("SELECT group_concat(change || subject) FROM command_log");
    let (_folder, _) = server.stop(Signal::SIGTERM);
    answers += &std::fs::read_to_string(&log).unwrap();
    assert!(answers.contains("turn_secret"), "nothing is logged");
    assert!(!answers.contains(SECRET), "{answers}");
}
