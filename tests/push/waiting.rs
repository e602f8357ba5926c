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

/// Each wait ends with 401 at once, whichever way its session ends.
#[tokio::test]
async fn the_end_of_a_session_ends_the_wait_with_401() {
    let server = Server::start();
    let alice = server.person("alice");
    for end in ["logout", "deleted", "expired", "password", "removed"] {
        let bob = server.person("bob");
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
        let share = alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await.1;
        let share = share["share_id"].as_str().unwrap();
        let version = bob.read(&format!("/calls/{call}/state")).await["version"].as_i64().unwrap();
        let paths = [
            "/calls/incoming?wait=30".to_owned(),
            format!("/calls/{call}/signals?wait=30&after=999999"),
            format!("/screenshare/{share}/signals?wait=30&after=999999"),
            format!("/calls/{call}/state?wait=30&seen={version}"),
        ];
        let asked = Instant::now();
        let waits = futures_util::future::join_all(paths.iter().map(|path| bob.get(path)));
        let (answers, ()) = tokio::join!(waits, async {
            // Most waits have begun then. The others get the same response.
            tokio::time::sleep(Duration::from_millis(200)).await;
            match end {
                "logout" => assert_eq!(bob.post("/logout").await.0, 200),
                "deleted" => server.execute("DELETE FROM sessions WHERE username = 'bob'"),
                "expired" => {
                    server.execute("UPDATE sessions SET expires_ts = expires_ts - 3599.8 WHERE username = 'bob'");
                }
                "password" => drop(server.run(&["user", "passwd", "bob"], "another password")),
                _ => server.execute("DELETE FROM users WHERE username = 'bob'"),
            }
        });
        assert!(asked.elapsed() < Duration::from_secs(10), "{end}: {:?}", asked.elapsed());
        for (path, answer) in paths.iter().zip(&answers) {
            assert_eq!((answer.0, &answer.1["code"]), (401, &json!("unauthorized")), "{end}: {path}");
        }
        alice.post(&format!("/calls/{call}/end")).await;
    }
}

/// The sessions of the same person are apart.
#[tokio::test]
async fn the_end_of_another_session_does_not_end_the_wait() {
    let server = Server::start();
    let (bob, other) = (server.person("bob"), server.person("bob"));
    let asked = Instant::now();
    let (waited, ended) = tokio::join!(bob.get("/calls/incoming?wait=1.5"), other.post("/logout"));
    assert_eq!((waited, ended.0), ((200, json!([])), 200));
    assert!(asked.elapsed() >= Duration::from_millis(1500));
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
