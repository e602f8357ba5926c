//! Calls that do not ring: `POST /quiet`, the setting `busy_policy`, and `busy` in the answers of the caller.

use serde_json::{Value, json};

use crate::scenes::{Scene, keys, participants};
use crate::support::{EventStream, Person, Server};

/// Calls a channel: the id of the call, and who is busy.
async fn call(person: &Person, channel: &str) -> (String, Value) {
    let (status, body) = person.post_json("/calls/initiate", json!({ "channel": channel })).await;
    assert_eq!(status, 200, "{body}");
    (body["call_id"].as_str().unwrap().to_owned(), body["busy"].clone())
}

async fn set_quiet(person: &Person, seconds: f64) -> Value {
    let (status, body) = person.post_json("/quiet", json!({ "seconds": seconds })).await;
    assert_eq!((status, keys(&body), &body["status"]), (200, vec!["quiet_until", "status"], &json!("set")), "{body}");
    body["quiet_until"].clone()
}

#[tokio::test]
async fn a_person_is_quiet_for_some_time() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    assert_eq!(alice.read("/me").await["quiet_until"], json!(null));
    let until = set_quiet(&alice, 3600.0).await;
    assert!(until.as_f64().unwrap() > server.value::<f64>("SELECT ts + 3500 FROM now"), "{until}");
    assert_eq!(alice.read("/me").await["quiet_until"], until);
    assert_eq!(bob.read("/me").await["quiet_until"], json!(null), "what is nobody else's business");
    assert_eq!(set_quiet(&alice, 0.0).await, json!(null));
    assert_eq!(alice.read("/me").await["quiet_until"], json!(null));

    // A time that is over is none.
    server.execute("UPDATE users SET quiet_until = 1");
    assert_eq!(alice.read("/me").await["quiet_until"], json!(null));
    set_quiet(&alice, 31_536_000.0).await;
    for seconds in [json!(-0.001), json!(31_536_000.001), json!(1e300)] {
        let request = alice.posting_json("/quiet", json!({ "seconds": seconds }));
        server.assert_refuses(request, 400, "quiet_seconds_out_of_range").await;
    }
    for body in [json!({}), json!({ "seconds": null }), json!({ "seconds": "60" }), json!({ "seconds": [60] })] {
        server.assert_refuses(alice.posting_json("/quiet", body), 400, "bad_body").await;
    }
    let mut stranger = alice.clone();
    stranger.token = String::new();
    server.assert_refuses(stranger.posting_json("/quiet", json!({ "seconds": 1 })), 401, "unauthorized").await;
}

#[tokio::test]
async fn no_call_rings_for_a_quiet_person() {
    let server = Server::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
    set_quiet(&bob, 60.0).await;

    // Nobody waits.
    let (id, busy) = call(&alice, "dm:alice:bob").await;
    assert_eq!(busy, json!(["bob"]));
    let state = alice.read(&format!("/calls/{id}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("rejected"), &json!("busy")));
    assert_eq!(participants(&state), "alice left, bob rejected");
    assert_eq!(state["participants"][1]["absence"], json!("quiet"));
    assert_eq!(bob.read("/calls/incoming").await, json!([]));
    let missed = bob.read("/calls/missed").await;
    assert_eq!((&missed[0]["call_id"], &missed[0]["reason"]), (&json!(id), &json!("quiet")));
    let past = |history: Value| (history[0]["outcome"].clone(), history[0]["missed_reason"].clone());
    assert_eq!(past(bob.read("/calls/history").await), (json!("missed"), json!("quiet")));
    assert_eq!(past(alice.read("/calls/history").await), (json!("missed"), json!(null)));

    // It rings for the others, and the quiet one may join.
    let channel = server.private_channel(&["alice", "bob", "carol"]);
    let (id, busy) = call(&alice, &channel).await;
    assert_eq!(busy, json!(["bob"]));
    assert_eq!(carol.read("/calls/incoming").await[0]["call_id"], json!(id));
    assert_eq!(bob.read("/calls/incoming").await, json!([]));
    assert_eq!(bob.post(&format!("/calls/{id}/accept")).await.0, 200);
    assert_eq!(
        participants(&alice.read(&format!("/calls/{id}/state")).await),
        "alice accepted, bob accepted, carol pending"
    );
    server.assert_integrity();
}

#[tokio::test]
async fn people_on_a_call_are_busy_where_the_policy_says_so() {
    let scene = Scene::active().await;
    let (server, carol) = (&scene.server, &scene.carol);
    let (rings, busy) = call(carol, "dm:bob:carol").await;
    assert_eq!(busy, json!([]));
    assert_eq!(carol.post(&format!("/calls/{rings}/end")).await.0, 200);

    server.execute("INSERT INTO set_setting (name, value) VALUES ('busy_policy', 'busy')");
    let (id, busy) = call(carol, "dm:alice:bob:carol").await;
    assert_eq!(busy, json!(["alice", "bob"]));
    assert_eq!(carol.read(&format!("/calls/{id}/state")).await["ended_reason"], "busy");
    assert_eq!(scene.bob.read("/calls/missed").await[0]["reason"], "busy");
    // The call that they are on continues.
    assert_eq!(scene.state().await["state"], "active");

    assert_eq!(scene.bob.post(&scene.path("leave")).await.0, 200);
    let (id, busy) = call(carol, "dm:bob:carol").await;
    assert_eq!(busy, json!([]));
    // The two call each other at the same time: carol rings already, so the caller of another channel learns it.
    let (_, busy) = call(&scene.alice, "dm:alice:carol").await;
    assert_eq!(busy, json!(["carol"]));
    assert_eq!(scene.bob.post(&format!("/calls/{id}/accept")).await.0, 200);
    server.assert_integrity();
}

#[tokio::test]
async fn an_invitation_of_a_busy_person_names_them() {
    let scene = Scene::active().await;
    let server = &scene.server;
    let invite = |person: &Person, name: &str| person.posting_json(&scene.path("invite"), json!({ "username": name }));
    set_quiet(&scene.carol, 60.0).await;
    let answer = scene.alice.post_json(&scene.path("invite"), json!({ "username": "carol" })).await;
    assert_eq!(answer, (200, json!({ "status": "ok", "busy": ["carol"] })));
    assert_eq!(participants(&scene.state().await), "alice accepted, bob accepted, carol rejected");
    assert_eq!(scene.carol.read("/calls/incoming").await, json!([]));
    assert_eq!(scene.carol.read("/calls/missed").await[0]["called_by"], "alice");

    // The refusals are those of other invitations.
    server.assert_refuses(invite(&scene.carol, "alice"), 403, "not_accepted").await;
    server.assert_refuses(invite(&scene.alice, "nobody"), 404, "user_not_found").await;
    let unknown = scene.alice.posting_json("/calls/none/invite", json!({ "username": "carol" }));
    server.assert_refuses(unknown, 404, "call_not_found").await;

    set_quiet(&scene.carol, 0.0).await;
    let answer = scene.alice.post_json(&scene.path("invite"), json!({ "username": "carol" })).await;
    assert_eq!(answer, (200, json!({ "status": "ok", "busy": [] })));
    assert_eq!(scene.carol.read("/calls/incoming").await[0]["call_id"], json!(scene.call));

    assert_eq!(scene.alice.post(&scene.path("end")).await.0, 200);
    server.assert_refuses(invite(&scene.alice, "carol"), 409, "call_finished").await;
    server.assert_integrity();
}

/// The streams of both show it: the caller's the end, the callee's no ring.
#[tokio::test]
async fn streams_have_the_end_and_no_ring() {
    let server = Server::start();
    let [alice, bob] = ["alice", "bob"].map(|name| server.person(name));
    set_quiet(&bob, 60.0).await;
    let (mut hers, _) = EventStream::open_with_snapshot(&alice).await;
    let (mut his, _) = EventStream::open_with_snapshot(&bob).await;
    call(&alice, "dm:alice:bob").await;
    for stream in [&mut hers, &mut his] {
        // What happened in one transaction is rendered once, as it is after it.
        let event = stream.expect("call").await;
        assert!(event.data.to_string().contains("busy"), "{event:?}");
    }
}
