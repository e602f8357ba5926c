//! A call that an admin adds in a shell, without participants. Every route answers for it as for other calls.

use std::time::Duration;

use serde_json::json;

use crate::scenes::participants;
use crate::support::{EventStream, Person, Server};

/// A server, alice and bob, in whose channel a call without participants rings until somebody ends it.
fn ringing_by_hand() -> (Server, Person, Person) {
    let server = Server::start();
    server.execute("UPDATE settings SET value = 600 WHERE name = 'ringing_timeout'");
    let people = (server.person("alice"), server.person("bob"));
    server.execute(
        "INSERT INTO calls (call_id, channel, initiator, state, started_ts) \
         SELECT 'by_hand', 'dm:alice:bob', 'alice', 'ringing', ts FROM now",
    );
    (server, people.0, people.1)
}

#[tokio::test]
async fn reads_show_a_call_without_participants() {
    let (server, alice, bob) = ringing_by_hand();
    for person in [&alice, &bob] {
        let state = person.read("/calls/by_hand/state").await;
        assert_eq!((&state["state"], &state["participants"]), (&json!("ringing"), &json!([])));
        assert_eq!(person.read("/me").await["calls"], json!([state]));
        let (_, snapshot) = EventStream::open_with_snapshot(person).await;
        assert_eq!((&snapshot.data["calls"], &snapshot.data["incoming"]), (&json!([state]), &json!([])));
        let active = person.read("/calls/active?channel=dm:alice:bob").await["call"].take();
        assert_eq!((&active["call_id"], &active["participants"]), (&json!("by_hand"), &json!([])));
        assert_eq!(active["joined"], false);
        // Nobody was invited, so it rings for nobody.
        for list in ["/calls/incoming", "/calls/history", "/calls/missed"] {
            assert_eq!(person.read(list).await, json!([]), "{list}");
        }
    }
    server.assert_integrity();
}

#[tokio::test]
async fn a_call_without_participants_refuses_what_needs_a_participant() {
    let (server, alice, bob) = ringing_by_hand();
    for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
        for path in ["signals", "media?sender=alice"] {
            server.assert_refuses(person.getting(&format!("/calls/by_hand/{path}")), 403, "not_a_participant").await;
        }
        for (action, body) in [
            ("leave", json!({})),
            ("reject", json!({})),
            ("end", json!({})),
            ("invite", json!({ "username": other })),
            ("remove", json!({ "username": other })),
            ("gone", json!({ "username": other })),
            ("screenshare", json!({ "on": true })),
            ("signal", json!({ "to": other, "type": "offer", "payload": 1 })),
        ] {
            let request = person.posting_json(&format!("/calls/by_hand/{action}"), body);
            server.assert_refuses(request, 403, "not_a_participant").await;
        }
        let request = person.posting_bytes("/calls/by_hand/media", [1; 4]);
        server.assert_refuses(request, 403, "not_a_participant").await;
        let request = person.posting_json("/calls/initiate", json!({ "channel": "dm:alice:bob" }));
        let body = server.assert_refuses(request, 409, "channel_has_live_call").await;
        assert_eq!(body["call_id"], "by_hand");
    }
}

#[tokio::test]
async fn members_join_a_call_without_participants_and_end_it() {
    let (server, alice, bob) = ringing_by_hand();
    let (mut stream, _) = EventStream::open_with_snapshot(&alice).await;
    for (person, expected) in [(&bob, "bob accepted"), (&alice, "alice accepted, bob accepted")] {
        let (status, body) = person.post("/calls/by_hand/accept").await;
        let joined_ts = "SELECT joined_ts FROM call_participants WHERE username = ";
        let joined_ts: f64 = server.value(&format!("{joined_ts} '{}'", person.name));
        assert_eq!((status, body["joined_ts"].as_f64()), (200, Some(joined_ts)));
        let state = stream.expect("call").await.data;
        assert_eq!((&state["state"], participants(&state)), (&json!("active"), expected.to_owned()));
        assert_eq!(state, person.read("/calls/by_hand/state").await);
    }
    assert_eq!(bob.post("/calls/by_hand/end").await, (200, json!({ "status": "ok" })));
    let state = stream.expect("call").await.data;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")));
    for person in [&alice, &bob] {
        let history = person.read("/calls/history").await;
        assert_eq!((&history[0]["call_id"], &history[0]["outcome"]), (&json!("by_hand"), &json!("answered")));
        assert_eq!(person.read("/calls/missed").await, json!([]));
    }
    server.assert_integrity();
}

#[tokio::test]
async fn a_call_without_participants_times_out() {
    let (server, alice, bob) = ringing_by_hand();
    let (mut stream, _) = EventStream::open_with_snapshot(&alice).await;
    server.execute("UPDATE settings SET value = 1 WHERE name = 'ringing_timeout'");
    let ended = stream.expect("call").await.data;
    assert_eq!((&ended["state"], &ended["ended_reason"]), (&json!("rejected"), &json!("timeout")));
    server.eventually("SELECT state = 'rejected' FROM calls", Duration::from_secs(5)).await;
    for person in [&alice, &bob] {
        assert_eq!(person.read("/calls/by_hand/state").await, ended);
        let history = person.read("/calls/history").await;
        assert_eq!((&history[0]["outcome"], &history[0]["participants"]), (&json!("missed"), &json!([])));
        // Nobody was invited, so nobody missed it.
        assert_eq!(person.read("/calls/missed").await, json!([]));
        assert_eq!(person.read("/calls/active?channel=dm:alice:bob").await["call"], json!(null));
        assert_eq!(person.read("/me").await["calls"], json!([]));
        server.assert_refuses(person.posting("/calls/by_hand/accept"), 409, "call_finished").await;
        server.assert_refuses(person.posting("/calls/by_hand/end"), 403, "not_a_participant").await;
    }
    alice.call("dm:alice:bob").await;
    server.assert_integrity();
}
