//! Calls until they are answered: `POST /calls/initiate`, `GET /calls/incoming`, `POST /calls/ID/accept` and
//! `…/reject`.

use std::time::Duration;

use minimost_calls::tokens::token_hash;
use serde_json::json;

use crate::scenes::{Scene, keys, participants};
use crate::support::{Server, rows_of};

#[tokio::test]
async fn initiate_returns_the_call_and_its_participants() {
    let server = Server::start();
    let alice = server.person("alice");
    for name in ["bob", "carol"] {
        server.person(name);
    }
    let channel = server.private_channel(&["alice", "bob", "carol"]);
    let (status, body) = alice.post_json("/calls/initiate", json!({ "channel": channel })).await;
    assert_eq!((status, keys(&body)), (200, vec!["busy", "call_id", "joined_ts", "participants"]), "{body}");
    assert_eq!(body["participants"], json!(["alice", "bob", "carol"]));
    assert_eq!(body["busy"], json!([]));

    let state = alice.read(&format!("/calls/{}/state", body["call_id"].as_str().unwrap())).await;
    assert_eq!(state["state"], "ringing");
    assert_eq!(participants(&state), "alice accepted, bob pending, carol pending");
    assert_eq!(body["joined_ts"], state["participants"][0]["joined_ts"]);
    server.assert_integrity();
}

/// The rows of a call are beside those of the call before, in the file.
#[tokio::test]
async fn ids_of_calls_and_shares_are_uuids_in_the_order_of_time() {
    let server = Server::start();
    let alice = server.person("alice");
    let mut ids = Vec::new();
    for name in ["bob", "carol", "dave"] {
        server.person(name);
        let channel = json!({ "channel": format!("dm:alice:{name}") });
        ids.push(alice.call(channel["channel"].as_str().unwrap()).await);
        let (_, share) = alice.post_json("/screenshare/start", channel).await;
        ids.push(share["share_id"].as_str().unwrap().to_owned());
    }
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(ids.iter().all(|id| id.len() == 36 && &id[14..15] == "7"), "{ids:?}");
}

#[tokio::test]
async fn initiate_refuses_channels_that_cannot_be_called() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.person("carol");
    let foreign_channel = server.private_channel(&["bob", "carol"]);
    let lonely_channel = server.private_channel(&["alice"]);
    for (channel, status, code) in [
        ("", 400, "bad_body"),
        (&lonely_channel, 400, "nobody_to_call"),
        ("dm:alice", 400, "nobody_to_call"),
        ("dm:alice:alice", 400, "nobody_to_call"),
        ("general", 403, "channel_not_callable"),
        ("public:1", 403, "channel_not_callable"),
        ("DM:alice:bob", 403, "channel_not_callable"),
        (&foreign_channel, 403, "not_a_member"),
        ("private:999", 403, "not_a_member"),
        ("private:", 403, "not_a_member"),
        ("private:01", 403, "not_a_member"),
        ("private:1 OR 1", 403, "not_a_member"),
        ("dm:bob:carol", 403, "not_a_member"),
        ("dm:", 403, "not_a_member"),
        ("dm:alice\0:bob", 400, "channel_name_malformed"),
        ("dm:alicebob", 403, "not_a_member"),
        // A stranger does not learn whether a user exists.
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
    server.assert_refuses(request, 400, "channel_name_too_long").await;
    for body in [json!({}), json!({ "channel": null }), json!({ "channel": 1 }), json!({ "channel": ["dm:alice:bob"] })]
    {
        server.assert_refuses(alice.posting_json("/calls/initiate", body), 400, "bad_body").await;
    }
    assert_eq!(bob.read("/calls/incoming").await, json!([]));
}

#[tokio::test]
async fn a_channel_has_one_live_call_and_a_dm_one_name() {
    let scene = Scene::ringing().await;
    for channel in ["dm:alice:bob", "dm:bob:alice", "dm:bob:alice:bob"] {
        for person in [&scene.alice, &scene.bob] {
            let request = person.posting_json("/calls/initiate", json!({ "channel": channel }));
            let body = scene.server.assert_refuses(request, 409, "channel_has_live_call").await;
            assert_eq!(body["call_id"], scene.call.as_str());
        }
    }
    // Other channels, one of them with the same members.
    scene.alice.call("dm:carol:alice").await;
    scene.alice.call("dm:carol:alice:bob").await;
    scene.alice.call(&scene.server.private_channel(&["alice", "bob"])).await;
    // A stranger does not learn whether there is a call.
    let request = scene.carol.posting_json("/calls/initiate", json!({ "channel": "dm:alice:bob" }));
    let body = scene.server.assert_refuses(request, 403, "not_a_member").await;
    assert_eq!(keys(&body), ["code", "error"]);
    // A finished call does not block the channel.
    assert_eq!(scene.alice.post(&scene.path("end")).await.0, 200);
    assert_ne!(scene.bob.call("dm:bob:alice").await, scene.call);
    scene.server.assert_integrity();
}

#[tokio::test]
async fn incoming_lists_the_calls_that_ring_for_the_caller() {
    let scene = Scene::ringing().await;
    let started: f64 = scene.server.value("SELECT started_ts FROM calls");
    assert_eq!(
        scene.bob.read("/calls/incoming").await,
        json!([{ "call_id": scene.call, "channel": "dm:alice:bob", "initiator": "alice",
                 "initiator_display_name": "alice", "started_ts": started }])
    );
    assert_eq!(scene.alice.read("/calls/incoming").await, json!([]));
    assert_eq!(scene.carol.read("/calls/incoming").await, json!([]));

    let second = scene.carol.call("dm:bob:carol").await;
    let incoming = scene.bob.read("/calls/incoming").await;
    let ids: Vec<_> = incoming.as_array().unwrap().iter().map(|call| &call["call_id"]).collect();
    assert_eq!(ids, [&json!(scene.call), &json!(second)], "the oldest first");
}

#[tokio::test]
async fn incoming_lists_an_active_group_call_that_still_rings() {
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
    // The call of the other two stays active, and a late callee can still join.
    assert_eq!(alice.read(&format!("/calls/{call}/state")).await["state"], "active");
    let (status, body) = carol.post(&format!("/calls/{call}/accept")).await;
    assert_eq!((status, &body["participants"]), (200, &json!(["alice", "bob", "carol"])));
    server.assert_integrity();
}

#[tokio::test]
async fn accept_from_a_second_device_changes_nothing_but_presence() {
    let scene = Scene::ringing().await;
    let accepted = scene.bob.post(&scene.path("accept")).await;
    let joined_ts: f64 = scene.server.value("SELECT joined_ts FROM call_participants WHERE username = 'bob'");
    let names = ["alice", "bob"];
    let body = json!({ "status": "ok", "participants": names, "last_signal_id": 0, "joined_ts": joined_ts });
    assert_eq!(accepted, (200, body));
    let second_device = scene.server.person("bob");
    let rows = || {
        let presence = "last_seen_ts = NULL, leaves_ts = 0, seen_by = NULL";
        let mut sql = scene.server.sql();
        let undone = sql.transaction().unwrap();
        undone.execute(&format!("UPDATE call_participants SET {presence}"), []).unwrap();
        rows_of(&undone)
    };
    let before = rows();
    assert_eq!(second_device.post(&scene.path("accept")).await, accepted, "the same visit");
    assert_eq!(rows(), before);
    let seen_by: String = scene.server.value("SELECT seen_by FROM call_participants WHERE username = 'bob'");
    assert_eq!(seen_by, token_hash(&second_device.token));

    let state = scene.state().await;
    assert_eq!(state["state"], "active");
    assert_eq!(participants(&state), "alice accepted, bob accepted");
    assert!(state["answered_ts"].as_f64().unwrap() >= state["started_ts"].as_f64().unwrap());
    scene.server.assert_integrity();
}

#[tokio::test]
async fn accept_returns_the_last_signal_id() {
    let scene = Scene::ringing().await;
    let offer = json!({ "to": "bob", "type": "offer", "payload": {} });
    assert_eq!(scene.alice.post_json(&scene.path("signal"), offer).await.0, 200);
    let id: i64 = scene.server.value("SELECT max(id) FROM call_signals");
    let (_, body) = scene.bob.post(&scene.path("accept")).await;
    assert_eq!(body["last_signal_id"], id);
    let (_, body) = scene.alice.post(&scene.path("accept")).await;
    assert_eq!(body["last_signal_id"], 0, "alice has no signals");
}

#[tokio::test]
async fn accept_lets_an_uninvited_member_join() {
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
async fn accept_refuses_strangers_and_finished_calls() {
    let scene = Scene::ringing().await;
    let server = &scene.server;
    let accept = scene.path("accept");
    server.assert_refuses(scene.bob.posting("/calls/none/accept"), 404, "call_not_found").await;
    server.assert_refuses(scene.carol.posting(&accept), 403, "not_a_member").await;
    assert_eq!(scene.alice.post(&scene.path("end")).await.0, 200);
    for person in [&scene.alice, &scene.bob] {
        server.assert_refuses(person.posting(&accept), 409, "call_finished").await;
    }
    // A stranger does not learn that the call is over.
    server.assert_refuses(scene.carol.posting(&accept), 403, "not_a_member").await;
}

#[tokio::test]
async fn a_timed_out_call_cannot_be_answered_and_blocks_nothing() {
    let scene = Scene::ringing().await;
    scene.server.age_invitations(30.5);
    // Readers see the timeout before the sweep.
    assert_eq!(scene.bob.read("/calls/incoming").await, json!([]));
    let state = scene.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("rejected"), &json!("timeout")));
    assert_eq!(scene.alice.read("/calls/active?channel=dm:alice:bob").await, json!({ "call": null }));
    let refused = scene.bob.post(&scene.path("accept")).await;
    crate::support::assert_refused(&refused, 409, "call_finished");
    let next = scene.bob.call("dm:bob:alice").await;
    assert_ne!(next, scene.call);
    // It ended at its timeout, not at the sweep.
    let state = scene.state().await;
    let rang = state["ended_ts"].as_f64().unwrap() - state["started_ts"].as_f64().unwrap();
    assert!((rang - 30.0).abs() < 0.1, "{state}");
    scene.server.assert_integrity();
}

#[tokio::test]
async fn a_timeout_is_stored_without_a_request() {
    let scene = Scene::ringing().await;
    scene.server.age_invitations(30.0);
    scene
        .server
        .eventually(
            "SELECT state = 'rejected' AND ended_reason = 'timeout' FROM calls",
            // A sweep runs each second. The rest is for a busy machine.
            Duration::from_secs(3),
        )
        .await;
    assert_eq!(participants(&scene.state().await), "alice left, bob rejected");
    scene.server.assert_integrity();
}

#[tokio::test]
async fn reject_ends_a_call_with_one_callee() {
    let scene = Scene::ringing().await;
    assert_eq!(scene.bob.post(&scene.path("reject")).await, (200, json!({ "status": "ok" })));
    let state = scene.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("rejected"), &json!("rejected")));
    assert_eq!(participants(&state), "alice left, bob rejected");
    assert_eq!(scene.bob.read("/calls/incoming").await, json!([]));
    scene.server.assert_integrity();
}

#[tokio::test]
async fn rejections_never_end_an_active_group_call() {
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
    // A callee who rejected can still join.
    let (status, body) = bob.post(&path("accept")).await;
    assert_eq!((status, &body["participants"]), (200, &json!(["alice", "bob", "carol"])));
    server.assert_integrity();
}

#[tokio::test]
async fn reject_requires_a_pending_invitation() {
    let scene = Scene::ringing().await;
    let server = &scene.server;
    let reject = scene.path("reject");
    server.assert_refuses(scene.bob.posting("/calls/none/reject"), 404, "call_not_found").await;
    server.assert_refuses(scene.carol.posting(&reject), 403, "not_a_participant").await;
    server.assert_refuses(scene.alice.posting(&reject), 409, "not_pending").await;
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    // A second device cannot reject what the first accepted.
    server.assert_refuses(server.person("bob").posting(&reject), 409, "not_pending").await;
    assert_eq!(scene.bob.post(&scene.path("end")).await.0, 200);
    server.assert_refuses(scene.bob.posting(&reject), 409, "not_pending").await;
    server.assert_refuses(scene.carol.posting(&reject), 403, "not_a_participant").await;
}
