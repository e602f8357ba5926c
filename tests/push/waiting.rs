//! Long polls: `?wait=`.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Server, assert_refused};

#[tokio::test]
async fn incoming_waits_for_a_ring() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (incoming, call) = tokio::join!(bob.get("/calls/incoming?wait=30"), alice.call("dm:alice:bob"));
    assert_eq!(incoming.1[0]["call_id"], call.as_str());
    // A ringing call is returned at once.
    let asked = Instant::now();
    assert_eq!(bob.get("/calls/incoming?wait=30").await.1[0]["call_id"], call.as_str());
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn signals_wait_for_the_next() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    let path = format!("/calls/{call}/signals?wait=30&after=0");
    let send = async {
        let offer = json!({ "to": "bob", "type": "offer", "payload": "here" });
        alice.post_json(&format!("/calls/{call}/signal"), offer).await
    };
    let ((_, signals), _) = tokio::join!(bob.get(&path), send);
    assert_eq!(signals[0]["payload"], "here");
}

#[tokio::test]
async fn state_waits_for_a_newer_version() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    let (_, ringing) = alice.get(&format!("/calls/{call}/state")).await;
    let version = ringing["version"].as_i64().unwrap();
    let wait = format!("/calls/{call}/state?wait=30&seen={version}");
    let accept = format!("/calls/{call}/accept");
    let ((_, active), _) = tokio::join!(alice.get(&wait), bob.post(&accept));
    assert_eq!(active["state"], "active");
    assert!(active["version"].as_i64().unwrap() > version);
    // An old version and none at all get the state at once.
    for query in [format!("wait=30&seen={version}"), "wait=30".to_owned()] {
        let asked = Instant::now();
        assert_eq!(alice.get(&format!("/calls/{call}/state?{query}")).await.1, active);
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn an_expired_wait_returns_the_last_result() {
    let server = Server::start();
    let bob = server.person("bob");
    let asked = Instant::now();
    assert_eq!(bob.get("/calls/incoming?wait=0.2").await, (200, json!([])));
    assert!(asked.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn the_end_of_a_session_ends_the_wait() {
    let server = Server::start();
    let (bob, other) = (server.person("bob"), server.person("bob"));
    let asked = Instant::now();
    let ((status, body), ()) = tokio::join!(bob.get("/calls/incoming?wait=30"), async {
        server.sql().execute("DELETE FROM sessions", []).unwrap();
    });
    assert!(asked.elapsed() < Duration::from_secs(10));
    // The session may end before the poll or during it.
    assert!((status == 200 && body == json!([])) || status == 401, "{status} {body}");
    assert_refused(&other.get("/calls/incoming").await, 401, "unauthorized");
}

#[tokio::test]
async fn a_wait_is_seconds_from_0_to_60() {
    let server = Server::start();
    let bob = server.person("bob");
    for wait in ["x", "-1", "61", "NaN", ""] {
        assert_refused(&bob.get(&format!("/calls/incoming?wait={wait}")).await, 400, "bad_wait");
    }
    // A version that is no whole number is none.
    let (alice, call) = (server.person("alice"), bob.call("dm:alice:bob").await);
    let asked = Instant::now();
    assert_eq!(alice.read(&format!("/calls/{call}/state?seen=x&wait=30")).await["state"], "ringing");
    assert!(asked.elapsed() < Duration::from_secs(5));
}

/// The poll reads once more when its session ends. A removed user must not get the state then.
#[tokio::test]
async fn a_user_who_is_removed_during_a_wait_gets_no_state() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.execute(
        "INSERT INTO private_channels (id, name, created_by, created_ts) SELECT 1, 'Team', 'alice', ts FROM now;
         INSERT INTO private_channel_members (channel_id, username, joined_ts)
         SELECT 1, username, ts FROM users CROSS JOIN now;",
    );
    let call = alice.call("private:1").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    let carol = server.person("carol");
    server.execute(
        "INSERT INTO private_channel_members (channel_id, username, joined_ts) SELECT 1, 'carol', ts FROM now",
    );
    let version = carol.get(&format!("/calls/{call}/state")).await.1["version"].as_i64().unwrap();
    let wait = format!("/calls/{call}/state?wait=30&seen={version}");
    let ((status, body), ()) = tokio::join!(carol.get(&wait), async {
        server.execute("DELETE FROM users WHERE username = 'carol'");
    });
    // The user may be removed before the poll or during it.
    assert!(status == 401 || (status == 403 && body["code"] == "not_a_member"), "{status} {body}");
}
