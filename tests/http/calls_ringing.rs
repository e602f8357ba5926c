//! A call until it is answered: `POST /calls/initiate`, `GET /calls/incoming`, `POST /calls/ID/accept` and `…/reject`.

use std::time::Duration;

use serde_json::json;

use crate::scenes::{Talk, keys, participants};
use crate::support::Server;

#[tokio::test]
async fn initiate_names_the_call_and_everybody_in_it() {
    let server = Server::start();
    let alice = server.person("alice");
    for name in ["bob", "carol"] {
        server.person(name);
    }
    let channel = server.private_channel(&["alice", "bob", "carol"]);
    let (status, body) = alice.post_json("/calls/initiate", json!({ "channel": channel })).await;
    assert_eq!((status, keys(&body)), (200, vec!["call_id", "participants"]), "{body}");
    assert_eq!(body["participants"], json!(["alice", "bob", "carol"]));

    let state = alice.read(&format!("/calls/{}/state", body["call_id"].as_str().unwrap())).await;
    assert_eq!(state["state"], "ringing");
    assert_eq!(participants(&state), "alice accepted, bob pending, carol pending");
    server.assert_integrity();
}

#[tokio::test]
async fn initiate_refuses_channels_that_cannot_be_called() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.person("carol");
    let of_others = server.private_channel(&["bob", "carol"]);
    let of_one = server.private_channel(&["alice"]);
    for (channel, status, code) in [
        ("", 400, "bad_body"),
        (&of_one, 400, "nobody_to_call"),
        ("dm:alice", 400, "nobody_to_call"),
        ("dm:alice:alice", 400, "nobody_to_call"),
        ("general", 403, "channel_not_callable"),
        ("public:1", 403, "channel_not_callable"),
        ("DM:alice:bob", 403, "channel_not_callable"),
        (&of_others, 403, "not_a_member"),
        ("private:999", 403, "not_a_member"),
        ("private:", 403, "not_a_member"),
        ("private:01", 403, "not_a_member"),
        ("private:1 OR 1", 403, "not_a_member"),
        ("dm:bob:carol", 403, "not_a_member"),
        ("dm:", 403, "not_a_member"),
        // To SQLite a text ends there.
        ("dm:alice\0:bob", 400, "nobody_to_call"),
        ("dm:alicebob", 403, "not_a_member"),
        // Whether ghost exists is not for a stranger to know.
        ("dm:bob:ghost", 403, "not_a_member"),
        ("dm:alice:ghost", 404, "user_not_found"),
        ("dm:alice:bob:ghost", 404, "user_not_found"),
        ("dm:alice:bob:", 404, "user_not_found"),
        ("dm:alice:\"]", 404, "user_not_found"),
        ("dm:alice:Bob", 404, "user_not_found"),
    ] {
        let request = alice.posting_json("/calls/initiate", json!({ "channel": channel }));
        server.assert_refuses(request, status, code).await;
    }
    let many_names = format!("dm:alice:{}", "x:".repeat(4000));
    let request = alice.posting_json("/calls/initiate", json!({ "channel": many_names }));
    server.assert_refuses(request, 404, "user_not_found").await;
    for body in [json!({}), json!({ "channel": null }), json!({ "channel": 1 }), json!({ "channel": ["dm:alice:bob"] })]
    {
        server.assert_refuses(alice.posting_json("/calls/initiate", body), 400, "bad_body").await;
    }
    assert_eq!(bob.read("/calls/incoming").await, json!([]));
}

#[tokio::test]
async fn a_channel_has_one_live_call_and_a_dm_one_name() {
    let talk = Talk::ringing().await;
    for channel in ["dm:alice:bob", "dm:bob:alice", "dm:bob:alice:bob"] {
        for person in [&talk.alice, &talk.bob] {
            let request = person.posting_json("/calls/initiate", json!({ "channel": channel }));
            let body = talk.server.assert_refuses(request, 409, "channel_has_live_call").await;
            assert_eq!(body["call_id"], talk.call.as_str());
        }
    }
    // Another pair, a group with the same people and a private channel are other channels.
    talk.alice.call("dm:carol:alice").await;
    talk.alice.call("dm:carol:alice:bob").await;
    talk.alice.call(&talk.server.private_channel(&["alice", "bob"])).await;
    // Strangers are not told whether there is a call.
    let request = talk.carol.posting_json("/calls/initiate", json!({ "channel": "dm:alice:bob" }));
    let body = talk.server.assert_refuses(request, 403, "not_a_member").await;
    assert_eq!(keys(&body), ["code", "error"]);
    // A finished call makes way.
    assert_eq!(talk.alice.post(&talk.path("end")).await.0, 200);
    assert_ne!(talk.bob.call("dm:bob:alice").await, talk.call);
    talk.server.assert_integrity();
}

#[tokio::test]
async fn incoming_shows_what_rings_for_me() {
    let talk = Talk::ringing().await;
    let started: f64 = talk.server.value("SELECT started_ts FROM calls");
    assert_eq!(
        talk.bob.read("/calls/incoming").await,
        json!([{ "call_id": talk.call, "channel": "dm:alice:bob", "initiator": "alice", "started_ts": started }])
    );
    assert_eq!(talk.alice.read("/calls/incoming").await, json!([]));
    assert_eq!(talk.carol.read("/calls/incoming").await, json!([]));

    let second = talk.carol.call("dm:bob:carol").await;
    let incoming = talk.bob.read("/calls/incoming").await;
    let ids: Vec<_> = incoming.as_array().unwrap().iter().map(|call| &call["call_id"]).collect();
    assert_eq!(ids, [&json!(talk.call), &json!(second)], "the oldest first");
}

#[tokio::test]
async fn incoming_shows_an_active_group_call_that_still_rings_for_me() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let call = alice.call("dm:alice:bob:carol").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    assert_eq!(carol.read("/calls/incoming").await[0]["call_id"], call.as_str());
    server.age_invitations(31.0);
    assert_eq!(carol.read("/calls/incoming").await, json!([]));
    server
        .eventually("SELECT state = 'rejected' FROM call_participants WHERE username = 'carol'", Duration::from_secs(3))
        .await;
    // Nobody ended the call of the other two, and whoever is late may still come.
    assert_eq!(alice.read(&format!("/calls/{call}/state")).await["state"], "active");
    let (status, body) = carol.post(&format!("/calls/{call}/accept")).await;
    assert_eq!((status, &body["participants"]), (200, &json!(["alice", "bob", "carol"])));
    server.assert_integrity();
}

#[tokio::test]
async fn accept_answers_and_a_second_device_finds_it_done() {
    let talk = Talk::ringing().await;
    let accepted = json!({ "status": "accepted", "participants": ["alice", "bob"], "last_signal_id": 0 });
    assert_eq!(talk.bob.post(&talk.path("accept")).await, (200, accepted.clone()));
    let before = talk.server.rows();
    let second_device = talk.server.person("bob");
    let before_second = talk.server.rows();
    assert_ne!(before, before_second, "a session is a row");
    assert_eq!(second_device.post(&talk.path("accept")).await, (200, accepted));
    assert_eq!(talk.server.rows(), before_second);

    let state = talk.state().await;
    assert_eq!(state["state"], "active");
    assert_eq!(participants(&state), "alice accepted, bob accepted");
    assert!(state["answered_ts"].as_f64().unwrap() >= state["started_ts"].as_f64().unwrap());
    talk.server.assert_integrity();
}

#[tokio::test]
async fn accept_tells_where_the_signals_stand() {
    let talk = Talk::ringing().await;
    let offer = json!({ "to": "bob", "type": "offer", "payload": {} });
    assert_eq!(talk.alice.post_json(&talk.path("signal"), offer).await.0, 200);
    let id: i64 = talk.server.value("SELECT max(id) FROM call_signals");
    let (_, body) = talk.bob.post(&talk.path("accept")).await;
    assert_eq!(body["last_signal_id"], id);
    let (_, body) = talk.alice.post(&talk.path("accept")).await;
    assert_eq!(body["last_signal_id"], 0, "alice has no signals");
}

#[tokio::test]
async fn accept_lets_a_member_join_who_was_not_asked() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let channel = server.private_channel(&["alice", "bob"]);
    let call = alice.call(&channel).await;
    let accept = format!("/calls/{call}/accept");
    server.assert_refuses(carol.posting(&accept), 403, "not_a_member").await;
    server.run(&["channel", "join", &channel, "carol"], "");
    let (status, body) = carol.post(&accept).await;
    assert_eq!((status, &body["participants"]), (200, &json!(["alice", "carol"])));
    let state = bob.read(&format!("/calls/{call}/state")).await;
    assert_eq!(state["state"], "active");
    assert_eq!(participants(&state), "alice accepted, bob pending, carol accepted");
    server.assert_integrity();
}

#[tokio::test]
async fn accept_refuses_strangers_and_what_is_over() {
    let talk = Talk::ringing().await;
    let server = &talk.server;
    let accept = talk.path("accept");
    server.assert_refuses(talk.bob.posting("/calls/none/accept"), 404, "call_not_found").await;
    server.assert_refuses(talk.carol.posting(&accept), 403, "not_a_member").await;
    assert_eq!(talk.alice.post(&talk.path("end")).await.0, 200);
    for person in [&talk.alice, &talk.bob] {
        server.assert_refuses(person.posting(&accept), 409, "call_finished").await;
    }
    // Strangers learn nothing from it being over.
    server.assert_refuses(talk.carol.posting(&accept), 403, "not_a_member").await;
}

#[tokio::test]
async fn a_timed_out_call_cannot_be_answered_and_blocks_nothing() {
    let talk = Talk::ringing().await;
    talk.server.age_invitations(30.5);
    // At once for readers, whether it was swept or not.
    assert_eq!(talk.bob.read("/calls/incoming").await, json!([]));
    let state = talk.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("rejected"), &json!("timeout")));
    assert_eq!(talk.alice.read("/calls/active?channel=dm:alice:bob").await, json!({ "call": null }));
    let refused = talk.bob.post(&talk.path("accept")).await;
    crate::support::assert_refused(&refused, 409, "call_finished");
    let next = talk.bob.call("dm:bob:alice").await;
    assert_ne!(next, talk.call);
    // It ended when its time was over, not when that was noticed.
    let state = talk.state().await;
    let rang = state["ended_ts"].as_f64().unwrap() - state["started_ts"].as_f64().unwrap();
    assert!((rang - 30.0).abs() < 0.1, "{state}");
    talk.server.assert_integrity();
}

#[tokio::test]
async fn a_timeout_is_stored_with_nobody_asking() {
    let talk = Talk::ringing().await;
    talk.server.age_invitations(30.0);
    talk.server
        .eventually(
            "SELECT state = 'rejected' AND ended_reason = 'timeout' FROM calls",
            // A second is promised; the rest is for a busy machine.
            Duration::from_secs(3),
        )
        .await;
    assert_eq!(participants(&talk.state().await), "alice left, bob rejected");
    talk.server.assert_integrity();
}

#[tokio::test]
async fn reject_declines() {
    let talk = Talk::ringing().await;
    assert_eq!(talk.bob.post(&talk.path("reject")).await, (200, json!({ "status": "rejected" })));
    let state = talk.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("rejected"), &json!("rejected")));
    assert_eq!(participants(&state), "alice left, bob rejected");
    assert_eq!(talk.bob.read("/calls/incoming").await, json!([]));
    talk.server.assert_integrity();
}

#[tokio::test]
async fn a_group_call_is_rejected_by_the_last_and_never_once_it_is_active() {
    let server = Server::start();
    let people = ["alice", "bob", "carol", "dave"].map(|name| server.person(name));
    let [alice, bob, carol, dave] = &people;
    let call = alice.call("dm:alice:bob:carol:dave").await;
    let path = |what: &str| format!("/calls/{call}/{what}");
    assert_eq!(bob.post(&path("reject")).await.0, 200);
    assert_eq!(alice.read(&path("state")).await["state"], "ringing");
    assert_eq!(carol.post(&path("accept")).await.0, 200);
    assert_eq!(dave.post(&path("reject")).await.0, 200);
    let state = alice.read(&path("state")).await;
    assert_eq!(state["state"], "active", "alice and carol talk");
    assert_eq!(participants(&state), "alice accepted, bob rejected, carol accepted, dave rejected");
    // Whoever declined may come after all.
    let (status, body) = bob.post(&path("accept")).await;
    assert_eq!((status, &body["participants"]), (200, &json!(["alice", "bob", "carol"])));
    server.assert_integrity();
}

#[tokio::test]
async fn reject_is_for_those_who_are_asked() {
    let talk = Talk::ringing().await;
    let server = &talk.server;
    let reject = talk.path("reject");
    server.assert_refuses(talk.bob.posting("/calls/none/reject"), 404, "call_not_found").await;
    server.assert_refuses(talk.carol.posting(&reject), 403, "not_a_participant").await;
    server.assert_refuses(talk.alice.posting(&reject), 409, "not_pending").await;
    assert_eq!(talk.bob.post(&talk.path("accept")).await.0, 200);
    // The other device declines what this one answered.
    server.assert_refuses(server.person("bob").posting(&reject), 409, "not_pending").await;
    assert_eq!(talk.bob.post(&talk.path("end")).await.0, 200);
    server.assert_refuses(talk.bob.posting(&reject), 409, "not_pending").await;
    server.assert_refuses(talk.carol.posting(&reject), 403, "not_a_participant").await;
}
