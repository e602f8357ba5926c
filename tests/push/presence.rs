//! Presence: participants who are not seen leave, and a call that nobody is seen on ends.

use serde_json::json;

use crate::SOON;
use crate::support::{EventStream, Person, Server, assert_refused, eventually};

/// An active call of alice, bob and carol.
async fn three_on_a_call(server: &Server) -> (Vec<Person>, String) {
    let people: Vec<_> = ["alice", "bob", "carol"].into_iter().map(|name| server.person(name)).collect();
    let call = people[0].call("dm:alice:bob:carol").await;
    for callee in &people[1..] {
        callee.post(&format!("/calls/{call}/accept")).await;
    }
    (people, call)
}

/// Ages the presence of these users.
fn unseen(server: &Server, seconds: u32, names: &str) {
    let update =
        format!("UPDATE call_participants SET last_seen_ts = last_seen_ts - {seconds} WHERE username IN ({names})");
    server.sql().execute(&update, []).unwrap();
}

fn states(server: &Server) -> String {
    server.value("SELECT group_concat(state) FROM (SELECT state FROM call_participants ORDER BY username)")
}

#[tokio::test]
async fn unseen_participants_leave() {
    let server = Server::start();
    let (_people, _) = three_on_a_call(&server).await;
    unseen(&server, 61, "'carol'");
    eventually(SOON, "the state of the participants", "accepted,accepted,left".to_owned(), || states(&server)).await;
    assert_eq!(server.value::<String>("SELECT state FROM calls"), "active");
    unseen(&server, 61, "'bob'");
    eventually(SOON, "the state of the call", "ended hangup".to_owned(), || {
        server.value("SELECT state || ' ' || coalesce(ended_reason, '') FROM calls")
    })
    .await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_call_that_nobody_is_seen_on_is_abandoned() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    unseen(&server, 61, "'alice', 'bob', 'carol'");
    eventually(SOON, "the reason", Some("abandoned".to_owned()), || {
        server.value("SELECT max(ended_reason) FROM calls")
    })
    .await;
    let (_, state) = people[0].get(&format!("/calls/{call}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("abandoned")));
}

#[tokio::test]
async fn reading_the_state_and_an_open_stream_prove_presence() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let seen = |name: &str| -> f64 {
        server.value(&format!("SELECT round(ts - last_seen_ts) FROM call_participants, now WHERE username = '{name}'"))
    };
    let (_stream, _) = EventStream::open_with_snapshot(&people[1]).await;
    unseen(&server, 30, "'alice', 'bob', 'carol'");
    people[0].get(&format!("/calls/{call}/state")).await;
    // Reading signals does not prove presence.
    people[2].get(&format!("/calls/{call}/signals")).await;
    eventually(SOON, "the presence of alice and bob", true, || seen("alice") < 10.0 && seen("bob") < 10.0).await;
    assert!(seen("carol") >= 30.0);
}

#[tokio::test]
async fn polling_the_state_writes_rarely() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let seen = || -> f64 { server.value("SELECT last_seen_ts FROM call_participants WHERE username = 'alice'") };
    let before = seen();
    for _ in 0..50 {
        people[0].get(&format!("/calls/{call}/state")).await;
    }
    // This write is queued after those of the polls.
    people[1].post_json(&format!("/calls/{call}/screenshare"), json!({ "on": true })).await;
    assert!(seen() - before <= 5.5, "{} {before}", seen());
    let changes: i64 = server.value("SELECT count(DISTINCT last_seen_ts) FROM call_participants");
    assert!(changes <= 3);
}

#[tokio::test]
async fn a_gone_report_counts_only_if_the_server_has_not_seen_the_user() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let gone = format!("/calls/{call}/gone");
    let carol = json!({ "username": "carol" });
    assert_eq!(people[0].post_json(&gone, carol.clone()).await, (200, json!({ "status": "ignored" })));
    unseen(&server, 13, "'carol'");
    assert_eq!(people[0].post_json(&gone, carol.clone()).await, (200, json!({ "status": "removed" })));
    assert_eq!(states(&server), "accepted,accepted,left");
    for nobody in [carol.clone(), json!({ "username": "alice" }), json!({ "username": "nobody" })] {
        assert_eq!(people[0].post_json(&gone, nobody).await, (200, json!({ "status": "ignored" })));
    }
    assert_refused(&people[2].post_json(&gone, json!({ "username": "bob" })).await, 403, "not_accepted");
    assert_refused(&server.person("dave").post_json(&gone, carol.clone()).await, 403, "not_a_participant");
    assert_refused(&people[0].post_json("/calls/none/gone", carol.clone()).await, 404, "call_not_found");
    assert_refused(&people[0].post_json(&gone, json!({})).await, 400, "bad_body");
    people[0].post(&format!("/calls/{call}/end")).await;
    assert_refused(&people[0].post_json(&gone, carol).await, 409, "call_finished");
}

#[tokio::test]
async fn only_the_initiator_removes_a_participant() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let remove = format!("/calls/{call}/remove");
    let carol = json!({ "username": "carol" });
    assert_refused(&people[1].post_json(&remove, carol.clone()).await, 403, "not_the_initiator");
    assert_refused(&server.person("dave").post_json(&remove, carol.clone()).await, 403, "not_a_participant");
    assert_refused(&people[0].post_json("/calls/none/remove", carol.clone()).await, 404, "call_not_found");
    assert_refused(&people[0].post_json(&remove, json!({ "username": 1 })).await, 400, "bad_body");
    assert_eq!(people[0].post_json(&remove, carol.clone()).await, (200, json!({ "status": "removed" })));
    assert_refused(&people[0].post_json(&remove, carol.clone()).await, 409, "not_in_call");
    people[0].post_json(&remove, json!({ "username": "bob" })).await;
    assert_eq!(server.value::<String>("SELECT state FROM calls"), "ended");
    assert_refused(&people[0].post_json(&remove, carol).await, 409, "call_finished");
}

#[tokio::test]
async fn a_call_ends_at_its_maximum_duration() {
    let server = Server::start();
    let (_people, _) = three_on_a_call(&server).await;
    // The time of the first answer is final, so the test lowers the limit.
    server.sql().execute("UPDATE settings SET value = 0.001 WHERE name = 'call_max_seconds'", []).unwrap();
    eventually(SOON, "the reason", Some("max_duration".to_owned()), || {
        server.value("SELECT max(ended_reason) FROM calls")
    })
    .await;
}
