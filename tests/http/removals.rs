//! Users, members and channels that an admin removes during a call, with the command line or SQL.

use std::time::Duration;

use serde_json::json;

use crate::scenes::{Scene, participants};
use crate::support::Server;

#[tokio::test]
async fn a_removed_callee_ends_a_call_of_two() {
    let scene = Scene::active().await;
    assert_eq!(scene.bob.post_json(&scene.path("screenshare"), json!({ "on": true })).await.0, 200);
    scene.server.run(&["user", "remove", "bob"], "");
    let state = scene.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")));
    assert_eq!(participants(&state), "alice left, bob left");
    let request = scene.alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:bob" }));
    scene.server.assert_refuses(request, 404, "user_not_found").await;
    scene.alice.call("dm:alice:carol").await;
    scene.server.assert_integrity();
}

#[tokio::test]
async fn a_removed_initiator_does_not_end_a_group_call() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let channel = server.private_channel(&["alice", "bob", "carol"]);
    let call = alice.call(&channel).await;
    for person in [&bob, &carol] {
        assert_eq!(person.post(&format!("/calls/{call}/accept")).await.0, 200);
    }
    server.execute("DELETE FROM users WHERE username = 'alice'");
    let state = bob.read(&format!("/calls/{call}/state")).await;
    assert_eq!(state["state"], "active");
    assert_eq!(participants(&state), "alice left, bob accepted, carol accepted");
    assert_eq!(carol.post(&format!("/calls/{call}/end")).await.0, 200);
    bob.call(&channel).await;
    server.assert_integrity();
}

#[tokio::test]
async fn removing_the_only_callee_ends_the_ringing() {
    let scene = Scene::ringing().await;
    scene.server.execute("DELETE FROM users WHERE username = 'bob'");
    assert_eq!(scene.state().await["state"], "rejected");
    scene.server.assert_integrity();
}

#[tokio::test]
async fn a_removed_member_leaves_the_call_and_the_share() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let channel = server.private_channel(&["alice", "bob", "carol"]);
    let call = alice.call(&channel).await;
    let path = |what: &str| format!("/calls/{call}/{what}");
    for person in [&bob, &carol] {
        assert_eq!(person.post(&path("accept")).await.0, 200);
    }
    let (_, share) = bob.post_json("/screenshare/start", json!({ "channel": channel })).await;
    let share = format!("/screenshare/{}/media", share["share_id"].as_str().unwrap());
    server.run(&["channel", "leave", &channel, "bob"], "");
    assert_eq!(participants(&alice.read(&path("state")).await), "alice accepted, bob left, carol accepted");
    assert_eq!(alice.read(&share).await["active"], false);
    // bob cannot rejoin by himself, but a participant can invite him.
    server.assert_refuses(bob.posting(&path("accept")), 403, "not_a_member").await;
    server.assert_refuses(bob.getting(&share), 403, "not_a_member").await;
    assert_eq!(alice.post_json(&path("invite"), json!({ "username": "bob" })).await.0, 200);
    assert_eq!(bob.post(&path("accept")).await.0, 200);

    server.execute("DELETE FROM private_channel_members WHERE username <> 'alice'");
    let state = alice.read(&path("state")).await;
    assert_eq!(participants(&state), "alice accepted, bob accepted, carol left");
    assert_eq!(state["state"], "active", "bob was invited");
    server.assert_integrity();
}

#[tokio::test]
async fn a_deleted_channel_ends_its_call() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let channel = server.private_channel(&["alice", "bob"]);
    let call = alice.call(&channel).await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    server.execute("DELETE FROM private_channels");
    let state = alice.read(&format!("/calls/{call}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("admin")));
    let request = alice.posting_json("/calls/initiate", json!({ "channel": channel }));
    server.assert_refuses(request, 403, "not_a_member").await;
    server.assert_integrity();
}

#[tokio::test]
async fn an_admin_ends_a_call_in_a_shell() {
    let scene = Scene::active().await;
    scene.server.execute("UPDATE calls SET state = 'ended'");
    let state = scene.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("admin")));
    scene.alice.call("dm:alice:bob").await;
    scene.server.assert_integrity();
}

#[tokio::test]
async fn settings_take_effect_at_once() {
    let scene = Scene::active().await;
    let signal = |bytes: usize| json!({ "to": "bob", "type": "offer", "payload": "x".repeat(bytes - 2) });
    scene.server.execute("UPDATE settings SET value = 1000 WHERE name = 'signal_max_bytes'");
    assert_eq!(scene.alice.post_json(&scene.path("signal"), signal(1000)).await.0, 200);
    let request = scene.alice.posting_json(&scene.path("signal"), signal(1001));
    scene.server.assert_refuses(request, 413, "signal_too_large").await;
    scene.server.execute("UPDATE settings SET value = 1048576 WHERE name = 'signal_max_bytes'");
    assert_eq!(scene.alice.post_json(&scene.path("signal"), signal(1_048_576)).await.0, 200);

    scene.server.execute("UPDATE settings SET value = 10 WHERE name = 'media_chunk_max_bytes'");
    assert_eq!(scene.alice.post_bytes(&scene.path("media"), [1; 10]).await.0, 200);
    let request = scene.alice.posting_bytes(&scene.path("media"), [1; 11]);
    scene.server.assert_refuses(request, 413, "media_chunk_too_large").await;
    scene.server.execute("UPDATE settings SET value = 16777216 WHERE name = 'media_chunk_max_bytes'");
    assert_eq!(scene.alice.post_bytes(&scene.path("media"), vec![1; 5 << 20]).await.0, 200);

    scene.alice.call("dm:alice:carol").await;
    scene.server.age_invitations(31.0);
    assert_eq!(scene.carol.read("/calls/incoming").await, json!([]));
    scene.server.eventually("SELECT count(*) = 0 FROM calls WHERE state = 'ringing'", Duration::from_secs(3)).await;
    scene.server.execute("UPDATE settings SET value = 120 WHERE name = 'ringing_timeout'");
    let call = scene.alice.call("dm:alice:carol").await;
    scene.server.age_invitations(100.0);
    assert_eq!(scene.carol.read("/calls/incoming").await[0]["call_id"], call.as_str());
    scene.server.execute("UPDATE settings SET value = 99 WHERE name = 'ringing_timeout'");
    assert_eq!(scene.carol.read("/calls/incoming").await, json!([]));
    assert_eq!(scene.alice.read(&format!("/calls/{call}/state")).await["ended_reason"], "timeout");
}
