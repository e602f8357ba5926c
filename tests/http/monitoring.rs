//! What monitors read: `GET /healthz`, `GET /version` and `GET /metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::methods::{paths, shape};
use crate::raw::Raw;
use crate::scenes::Scene;
use crate::support::{EventStream, Server, answer, eventually};

/// The text of `/metrics`.
pub async fn metrics(server: &Server) -> String {
    let response = reqwest::get(format!("{}/metrics", server.url)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    response.text().await.unwrap()
}

/// The values of the metrics, by name and labels.
fn values(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name, value.parse().unwrap())).collect()
}

/// The number of answered requests.
fn requests(text: &str, method: &str, route: &str, status: u16) -> f64 {
    let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
    values(text).get(&*format!("minimost_calls_http_request_duration_seconds_count{labels}")).copied().unwrap_or(0.0)
}

#[tokio::test]
async fn health_and_version_need_no_session() {
    let server = Server::start();
    let client = reqwest::Client::new();
    let health = answer(client.get(format!("{}/healthz", server.url))).await;
    assert_eq!(health, (200, json!({ "status": "ok" })));
    let version = answer(client.get(format!("{}/version", server.url))).await;
    assert_eq!(version, (200, json!({ "version": env!("CARGO_PKG_VERSION"), "api": 1 })));
}

/// A process that was paused is well as soon as its writer has looked again.
#[tokio::test]
async fn health_returns_after_a_pause_of_the_process() {
    let server = Server::start();
    let health = format!("{}/healthz", server.url);
    nix::sys::signal::kill(server.process(), Signal::SIGSTOP).unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    nix::sys::signal::kill(server.process(), Signal::SIGCONT).unwrap();
    let is_well = || {
        let mut raw = Raw::connect(&server);
        raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        raw.response().unwrap().status
    };
    eventually(Duration::from_secs(2), &health, 200, is_well).await;
}

#[tokio::test]
async fn metrics_count_what_the_tables_and_the_process_have() {
    let scene = Scene::active().await;
    let server = &scene.server;
    scene.carol.call("dm:alice:carol").await;
    let (_stream, _) = EventStream::open_with_snapshot(&scene.bob).await;
    let text = metrics(server).await;
    let found = values(&text);
    for (name, value) in [
        ("minimost_calls_live_calls{state=\"active\"}", 1.0),
        ("minimost_calls_live_calls{state=\"ringing\"}", 1.0),
        ("minimost_calls_ringing_invitations", 1.0),
        ("minimost_calls_people_on_calls", 3.0),
        ("minimost_calls_shares", 0.0),
        ("minimost_calls_sessions", 3.0),
        ("minimost_calls_people", 3.0),
        ("minimost_calls_event_streams", 1.0),
        ("minimost_calls_queued_writes", 0.0),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name} in {text}");
    }
    assert_eq!(requests(&text, "POST", "/calls/initiate", 200), 2.0);
    assert_eq!(requests(&text, "POST", "/calls/ID/accept", 200), 1.0);
    // Two calls, an accept, and what the start and housekeeping wrote.
    assert!(found["minimost_calls_writes_total"] >= 3.0 && found["minimost_calls_commits_total"] >= 3.0, "{text}");
    let size = server.db().metadata().unwrap().len() as f64;
    assert!(found["minimost_calls_file_bytes"] >= size / 2.0, "{size}: {text}");
    assert!(found["process_resident_memory_bytes"] > 1e6 && found["process_open_fds"] > 5.0, "{text}");
    let sum = found["minimost_calls_http_request_duration_seconds_sum{method=\"POST\",route=\"/calls/ID/accept\",status=\"200\"}"];
    assert!(sum > 0.0 && sum < 60.0, "{text}");
}

/// The names and types of the documentation are those of the server.
#[tokio::test]
async fn metrics_are_documented() {
    let scene = Scene::active().await;
    let text = metrics(&scene.server).await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let found: BTreeSet<String> = types.map(str::to_owned).collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.split("| metric | type | meaning |\n").nth(1).unwrap().lines().skip(1);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|row| row.split('|').map(str::trim).collect());
    let documented = rows.map(|cells: Vec<&str>| format!("{} {}", cells[1].trim_matches('`'), cells[2])).collect();
    assert_eq!(found, documented);
}

/// Ids and names would make a new series for each call, and tell who calls whom.
#[tokio::test]
async fn each_documented_path_has_its_own_label() {
    let scene = Scene::active().await;
    let mut expected = BTreeSet::from(["other".to_owned()]);
    scene.alice.getting(&format!("/nowhere/{}", scene.call)).send().await.unwrap();
    for path in paths().into_keys() {
        // A path is known before its ids are.
        scene.alice.request(reqwest::Method::OPTIONS, path).send().await.unwrap();
        expected.insert(shape(path));
    }
    scene.alice.request("ODD".parse().unwrap(), "/me").send().await.unwrap();
    let text = metrics(&scene.server).await;
    let labels = |name: &str| -> BTreeSet<String> {
        let parts = text.split(name).skip(1).filter_map(|rest| rest.split('"').next());
        parts.map(str::to_owned).collect()
    };
    let found = labels("route=\"").iter().map(|pattern| shape(pattern)).collect::<BTreeSet<_>>();
    assert!(found.is_superset(&expected), "missing: {:?}", expected.difference(&found));
    assert_eq!(labels("method=\""), ["GET", "OPTIONS", "POST", "other"].map(str::to_owned).into());
    assert!(!text.contains(&scene.call) && !text.contains("alice"), "{text}");
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_services() {
    let server = Server::start();
    let mut raw = Raw::connect(&server);
    raw.send("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    let refused = raw.response().unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (403, "metrics_only"));

    let server = Server::start_in(TempDir::new().unwrap(), &["--behind-proxy"]);
    let refused = answer(reqwest::Client::new().get(format!("{}/metrics", server.url))).await;
    assert_eq!((refused.0, &refused.1["code"]), (403, &json!("metrics_only")));
    // A user's session does not help.
    server.assert_refuses(server.person("alice").getting("/metrics"), 403, "metrics_only").await;

    let token = |name: &str, scope: &str| server.run(&["token", "--service", name, "--scope", scope], "");
    let read_with = async |token: &str| {
        let request = reqwest::Client::new().get(format!("{}/metrics", server.url)).bearer_auth(token.trim());
        request.send().await.unwrap().status()
    };
    let prometheus = token("prometheus", "metrics");
    assert_eq!(read_with(&prometheus).await, 200);
    assert_eq!(read_with(&token("script", "admin")).await, 403);
    server.run(&["token", "revoke", "prometheus"], "");
    assert_eq!(read_with(&prometheus).await, 403);
}

/// The linter of Prometheus reads the text and finds nothing to improve.
#[tokio::test]
async fn promtool_accepts_the_metrics() {
    let scene = Scene::active().await;
    let text = metrics(&scene.server).await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Debian's prometheus is there");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}
