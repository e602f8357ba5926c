//! What monitors read: `GET /healthz` and `GET /version`.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::raw::Raw;
use crate::support::{Server, answer, eventually};

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
