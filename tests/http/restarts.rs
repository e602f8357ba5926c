//! SIGKILL, SIGTERM, and a write lock that another program holds.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::json;

use crate::raw::{Raw, head};
use crate::scenes::{Scene, participants};
use crate::support::{Server, answer};

#[tokio::test]
async fn a_restart_ends_the_calls_and_shares_of_a_killed_server() {
    let scene = Scene::active().await;
    let signal = json!({ "to": "bob", "type": "offer", "payload": 1 });
    assert_eq!(scene.alice.post_json(&scene.path("signal"), signal).await.0, 200);
    assert_eq!(scene.alice.post_bytes(&scene.path("media"), b"chunk".as_slice()).await.0, 200);
    let ringing = scene.carol.call("dm:bob:carol").await;
    let start = json!({ "channel": "dm:alice:bob" });
    let (_, share) = scene.alice.post_json("/screenshare/start", start).await;
    let share = share["share_id"].as_str().unwrap().to_owned();
    let upload = format!("/screenshare/{share}/media");
    assert_eq!(scene.alice.post_bytes(&upload, b"chunk".as_slice()).await.0, 200);
    // A finished call keeps its reason.
    let over = scene.alice.call("dm:alice:carol").await;
    assert_eq!(scene.alice.post(&format!("/calls/{over}/end")).await.0, 200);

    let Scene { server, alice, call, .. } = scene;
    let (folder, status) = server.stop(Signal::SIGKILL);
    assert!(!status.success());
    let server = Server::start_in(folder, &[]);
    let get = |path: String| {
        let request = reqwest::Client::new().get(format!("{}{path}", server.url));
        answer(request.bearer_auth(&alice.token))
    };
    // Sessions survive the restart.
    let (status, state) = get(format!("/calls/{call}/state")).await;
    assert_eq!(status, 200, "{state}");
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("restart")));
    assert_eq!(participants(&state), "alice left, bob left");
    assert_eq!(get(format!("/calls/{over}/state")).await.1["ended_reason"], "hangup");
    let reasons: String = server.value(&format!("SELECT state || ended_reason FROM calls WHERE call_id = '{ringing}'"));
    assert_eq!(reasons, "endedrestart");
    assert_eq!(get(upload).await.1["active"], false);
    for table in ["call_signals", "call_media", "share_media"] {
        assert_eq!(server.value::<i64>(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    server.person("alice").call("dm:alice:bob").await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_timeout_while_no_server_ran_is_a_timeout() {
    let scene = Scene::ringing().await;
    let (folder, _) = scene.server.stop(Signal::SIGKILL);
    crate::support::connect(&folder.path().join("presence.db"))
        .execute_batch(
            "UPDATE calls SET started_ts = started_ts - 100; UPDATE call_participants SET invited_ts = invited_ts - 100",
        )
        .unwrap();
    let server = Server::start_in(folder, &[]);
    assert_eq!(server.value::<String>("SELECT state || ' ' || ended_reason FROM calls"), "rejected timeout");
    server.assert_integrity();
}

/// Starts an upload of ten bytes. The server has read the headers, and waits for the body.
fn upload_without_body(scene: &Scene) -> Raw {
    let mut raw = Raw::connect(&scene.server);
    raw.send(format!(
        "{}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        head(&scene.alice, &format!("POST {}", scene.path("media")))
    ));
    assert_eq!(raw.response().unwrap().status, 100);
    raw
}

#[tokio::test]
async fn sigterm_finishes_running_requests_and_exits_0() {
    let scene = Scene::active().await;
    let mut raw = upload_without_body(&scene);
    raw.send("12345");
    let mut idle = Raw::connect(&scene.server);
    assert_eq!(idle.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").response().unwrap().status, 200);

    let address = scene.server.url.trim_start_matches("http://").to_owned();
    kill(scene.server.process(), Signal::SIGTERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "a stopping server still accepts connections");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(idle.is_closed(), "an idle connection stays open");
    let response = raw.send("67890").response().unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let (folder, status) = scene.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    let sql = crate::support::connect(&folder.path().join("presence.db"));
    let stored: Vec<u8> = sql.query_row("SELECT data FROM call_media", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, b"1234567890");
}

#[tokio::test]
async fn a_stalled_request_does_not_prevent_the_stop() {
    let scene = Scene::active().await;
    let _raw = upload_without_body(&scene);
    let begin = Instant::now();
    let (_folder, status) = scene.server.stop(Signal::SIGINT);
    assert_eq!(status.code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_write_lock_delays_writes_but_not_reads() {
    let scene = Scene::active().await;
    let admin = scene.server.sql();
    admin.execute_batch("BEGIN IMMEDIATE").unwrap();
    let end = scene.path("end");
    let request = scene.alice.post(&end);
    let reads = async {
        for _ in 0..10 {
            assert_eq!(scene.bob.read(&scene.path("state")).await["state"], "active");
        }
    };
    let ((status, body), ()) = futures_util::future::join(request, reads).await;
    assert_eq!((status, &body["code"]), (503, &json!("database_busy")));
    admin.execute_batch("ROLLBACK").unwrap();
    assert_eq!(scene.state().await["state"], "active", "the refused write changed nothing");
    assert_eq!(scene.alice.post(&end).await.0, 200);
    scene.server.assert_integrity();
}
