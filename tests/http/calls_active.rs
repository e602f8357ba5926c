//! Active calls and their end: `POST /calls/ID/end`, `…/leave` and `…/invite`, `GET /calls/ID/state` and
//! `/calls/active`.

use serde_json::json;

use crate::scenes::{Scene, keys, participants};
use crate::support::Server;

#[tokio::test]
async fn end_hangs_up_for_everyone_and_deletes_signals_and_media() {
    let scene = Scene::active().await;
    let signal = json!({ "to": "bob", "type": "offer", "payload": 1 });
    assert_eq!(scene.alice.post_json(&scene.path("signal"), signal).await.0, 200);
    assert_eq!(scene.bob.post_bytes(&scene.path("media"), b"chunk".as_slice()).await.0, 200);
    assert_eq!(scene.bob.post_json(&scene.path("screenshare"), json!({ "on": true })).await.0, 200);

    let ended = (200, json!({ "status": "ok" }));
    assert_eq!(scene.bob.post(&scene.path("end")).await, ended);
    let state = scene.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")));
    assert_eq!(state["screenshare_user"], json!(null));
    assert_eq!(participants(&state), "alice left, bob left");
    assert_eq!(scene.bob.read(&scene.path("signals")).await, json!([]));
    // Media is for people on the call, and nobody is.
    scene.server.assert_refuses(scene.alice.getting(&scene.path("media?sender=bob")), 403, "not_accepted").await;
    scene.server.assert_integrity();

    // Ending a finished call is 200 and changes nothing.
    let before = scene.server.rows();
    for person in [&scene.alice, &scene.bob] {
        assert_eq!(person.post(&scene.path("end")).await, ended);
    }
    assert_eq!(scene.server.rows(), before);
}

#[tokio::test]
async fn end_before_an_answer_cancels_the_call() {
    let scene = Scene::ringing().await;
    assert_eq!(scene.alice.post(&scene.path("end")).await.0, 200);
    let state = scene.state().await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")));
    assert_eq!(state["answered_ts"], json!(null));
    assert_eq!(scene.bob.read("/calls/incoming").await, json!([]));
    scene.server.assert_integrity();
}

#[tokio::test]
async fn end_by_a_pending_callee_only_declines() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let call = alice.call("dm:alice:bob:carol").await;
    let path = |what: &str| format!("/calls/{call}/{what}");
    assert_eq!(bob.post(&path("end")).await, (200, json!({ "status": "ok" })));
    let state = alice.read(&path("state")).await;
    assert_eq!(state["state"], "ringing");
    assert_eq!(participants(&state), "alice accepted, bob left, carol pending");
    // A user who left the call ends nothing.
    let before = server.rows();
    assert_eq!(bob.post(&path("end")).await.0, 200);
    assert_eq!(server.rows(), before);

    assert_eq!(carol.post(&path("end")).await.0, 200);
    let state = alice.read(&path("state")).await;
    assert_eq!(state["state"], "rejected", "no callee is left");
    server.assert_integrity();
}

#[tokio::test]
async fn end_and_leave_refuse_strangers_and_unknown_calls() {
    let scene = Scene::active().await;
    for what in ["end", "leave"] {
        let server = &scene.server;
        let unknown = format!("/calls/none/{what}");
        server.assert_refuses(scene.alice.posting(&unknown), 404, "call_not_found").await;
        server.assert_refuses(scene.carol.posting(&scene.path(what)), 403, "not_a_participant").await;
    }
    assert_eq!(scene.alice.post(&scene.path("end")).await.0, 200);
    for what in ["end", "leave"] {
        let request = scene.carol.posting(&scene.path(what));
        scene.server.assert_refuses(request, 403, "not_a_participant").await;
    }
}

#[tokio::test]
async fn leave_keeps_the_call_active_while_two_remain() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let call = alice.call("dm:alice:bob:carol").await;
    let path = |what: &str| format!("/calls/{call}/{what}");
    for person in [&bob, &carol] {
        assert_eq!(person.post(&path("accept")).await.0, 200);
    }
    for (from, to) in [(&alice, "bob"), (&bob, "alice"), (&alice, "carol")] {
        let signal = json!({ "to": to, "type": "offer", "payload": {} });
        assert_eq!(from.post_json(&path("signal"), signal).await.0, 200);
    }
    assert_eq!(bob.post(&path("leave")).await, (200, json!({ "status": "left" })));
    let state = carol.read(&path("state")).await;
    assert_eq!(state["state"], "active");
    assert_eq!(participants(&state), "alice accepted, bob left, carol accepted");
    // Leaving deletes the signals to and from the leaver, and no others.
    assert_eq!(alice.read(&path("signals")).await, json!([]));
    assert_eq!(bob.read(&path("signals")).await, json!([]));
    assert_eq!(carol.read(&path("signals")).await.as_array().unwrap().len(), 1);
    // Leaving twice changes nothing. Rejoining works.
    let before = server.rows();
    assert_eq!(bob.post(&path("leave")).await.0, 200);
    assert_eq!(server.rows(), before);
    assert_eq!(bob.post(&path("accept")).await.1["participants"], json!(["alice", "bob", "carol"]));

    assert_eq!(alice.post(&path("leave")).await.0, 200);
    assert_eq!(bob.read(&path("state")).await["state"], "active", "without its initiator");
    assert_eq!(bob.post(&path("leave")).await.0, 200);
    let state = carol.read(&path("state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")));
    assert_eq!(carol.post(&path("leave")).await.0, 200, "of a finished call");
    server.assert_integrity();
}

#[tokio::test]
async fn leave_keeps_the_call_active_while_a_callee_is_pending() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let call = alice.call("dm:alice:bob:carol").await;
    let path = |what: &str| format!("/calls/{call}/{what}");
    assert_eq!(bob.post(&path("accept")).await.0, 200);
    assert_eq!(alice.post(&path("leave")).await.0, 200);
    assert_eq!(bob.read(&path("state")).await["state"], "active", "it rings for carol");
    assert_eq!(carol.post(&path("reject")).await.0, 200);
    let state = bob.read(&path("state")).await;
    assert_eq!(state["state"], "active", "a rejection never ends an active call");
    assert_eq!(bob.post(&path("leave")).await.0, 200);
    assert_eq!(bob.read(&path("state")).await["state"], "ended");
    server.assert_integrity();
}

#[tokio::test]
async fn invite_rings_another_person_who_need_not_be_a_member() {
    let scene = Scene::active().await;
    let invite = scene.path("invite");
    let carol = json!({ "username": "carol" });
    let answer = scene.alice.post_json(&invite, carol.clone()).await;
    assert_eq!(answer, (200, json!({ "status": "ok", "busy": [] })));
    let incoming = scene.carol.read("/calls/incoming").await;
    assert_eq!(incoming[0]["call_id"], scene.call.as_str());
    assert_eq!(scene.carol.read(&scene.path("state")).await["state"], "active");

    // Inviting a pending user changes nothing, not even the time.
    let before = scene.server.rows();
    assert_eq!(scene.bob.post_json(&invite, carol.clone()).await.0, 200);
    assert_eq!(scene.server.rows(), before);

    // A user who rejected or left can be invited again.
    assert_eq!(scene.carol.post(&scene.path("reject")).await.0, 200);
    assert_eq!(scene.carol.read("/calls/incoming").await, json!([]));
    assert_eq!(scene.bob.post_json(&invite, carol.clone()).await.0, 200);
    assert_eq!(scene.carol.read("/calls/incoming").await[0]["call_id"], scene.call.as_str());
    assert_eq!(scene.carol.post(&scene.path("accept")).await.0, 200);
    assert_eq!(scene.carol.post(&scene.path("leave")).await.0, 200);
    assert_eq!(scene.alice.post_json(&invite, carol).await.0, 200);
    assert_eq!(participants(&scene.state().await), "alice accepted, bob accepted, carol pending");
    // The invitation has a separate timeout.
    scene.server.age_invitations(31.0);
    assert_eq!(scene.carol.read("/calls/incoming").await, json!([]));
    assert_eq!(scene.state().await["state"], "active");
    scene.server.assert_integrity();
}

#[tokio::test]
async fn invite_requires_an_accepted_caller() {
    let scene = Scene::ringing().await;
    let (server, invite) = (&scene.server, scene.path("invite"));
    let of = |name: &str| json!({ "username": name });
    server.assert_refuses(scene.bob.posting_json(&invite, of("carol")), 403, "not_accepted").await;
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    for (person, name, status, code) in [
        (&scene.alice, "", 400, "bad_body"),
        (&scene.alice, "alice", 400, "cannot_invite_oneself"),
        (&scene.alice, "ghost", 404, "user_not_found"),
        (&scene.alice, "no name at all", 404, "user_not_found"),
        (&scene.alice, "carol\0", 404, "user_not_found"),
        (&scene.alice, "bob", 409, "already_in_call"),
        (&scene.carol, "bob", 403, "not_a_participant"),
        (&scene.carol, "ghost", 403, "not_a_participant"),
    ] {
        server.assert_refuses(person.posting_json(&invite, of(name)), status, code).await;
    }
    for body in [json!({}), json!({ "username": null }), json!({ "username": ["carol"] }), json!({ "user": "carol" })] {
        server.assert_refuses(scene.alice.posting_json(&invite, body), 400, "bad_body").await;
    }
    let unknown = scene.alice.posting_json("/calls/none/invite", of("carol"));
    server.assert_refuses(unknown, 404, "call_not_found").await;
    assert_eq!(scene.bob.post(&scene.path("end")).await.0, 200);
    server.assert_refuses(scene.alice.posting_json(&invite, of("carol")), 409, "call_finished").await;
    server.assert_refuses(scene.carol.posting_json(&invite, of("bob")), 403, "not_a_participant").await;
}

#[tokio::test]
async fn state_has_every_member() {
    let scene = Scene::active().await;
    let state = scene.state().await;
    assert_eq!(
        keys(&state),
        [
            "answered_ts",
            "call_id",
            "channel",
            "ended_reason",
            "ended_ts",
            "initiator",
            "participants",
            "screenshare_user",
            "started_ts",
            "state",
            "version",
            "waiting"
        ]
    );
    assert_eq!(state["waiting"], json!([]));
    let (started, answered): (f64, f64) = scene
        .server
        .sql()
        .query_row("SELECT started_ts, answered_ts FROM calls", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let joined = |name: &str| -> f64 {
        scene.server.value(&format!("SELECT joined_ts FROM call_participants WHERE username = '{name}'"))
    };
    assert_eq!(
        state,
        json!({
            "call_id": scene.call, "channel": "dm:alice:bob", "initiator": "alice", "state": "active",
            "started_ts": started, "answered_ts": answered, "ended_ts": null,
            "waiting": [], "version": scene.server.value::<i64>("SELECT version FROM calls"),
            "screenshare_user": null, "ended_reason": null,
            "participants": [
                { "username": "alice", "display_name": "alice", "role": "initiator", "state": "accepted", "joined_ts": joined("alice"), "left_ts": null, "absence": null },
                { "username": "bob", "display_name": "bob", "role": "participant", "state": "accepted", "joined_ts": joined("bob"), "left_ts": null, "absence": null },
            ],
        })
    );
    #[expect(clippy::disallowed_methods, reason = "the server pins the machine's clock")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((started - now.as_secs_f64()).abs() < 30.0, "seconds since the epoch");

    assert_eq!(scene.bob.post(&scene.path("end")).await.0, 200);
    let state = scene.state().await;
    assert_eq!(state["answered_ts"], answered, "the time of the first answer is final");
    assert!(state["ended_ts"].as_f64().unwrap() >= answered);
    assert!(state["participants"][1]["left_ts"].as_f64().unwrap() >= answered);
}

#[tokio::test]
async fn state_requires_a_participant_or_member() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let channel = server.private_channel(&["alice", "bob"]);
    let call = alice.call(&channel).await;
    let path = format!("/calls/{call}/state");
    server.assert_refuses(carol.getting(&path), 403, "not_a_member").await;
    server.assert_refuses(alice.getting("/calls/none/state"), 404, "call_not_found").await;
    assert_eq!(bob.read(&path).await["call_id"], call.as_str());
    server.run(&["channel", "join", &channel, "carol"], "");
    assert_eq!(carol.read(&path).await["call_id"], call.as_str());
    // A participant who is no longer a member may still read it.
    server.run(&["channel", "leave", &channel, "bob"], "");
    assert_eq!(bob.read(&path).await["call_id"], call.as_str());
}

#[tokio::test]
async fn active_shows_the_live_call_of_a_channel() {
    let scene = Scene::ringing().await;
    let active = "/calls/active?channel=dm:bob:alice";
    let started: f64 = scene.server.value("SELECT started_ts FROM calls");
    let call = |state: &str, participants: &[&str], joined: bool| {
        json!({ "call": { "call_id": scene.call, "initiator": "alice", "state": state, "started_ts": started,
                          "participants": participants, "joined": joined } })
    };
    assert_eq!(scene.bob.read(active).await, call("ringing", &["alice"], false));
    assert_eq!(scene.alice.read(active).await, call("ringing", &["alice"], true));
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    assert_eq!(scene.bob.read(active).await, call("active", &["alice", "bob"], true));
    assert_eq!(scene.bob.post(&scene.path("end")).await.0, 200);
    assert_eq!(scene.bob.read(active).await, json!({ "call": null }));
}

#[tokio::test]
async fn active_requires_membership() {
    let scene = Scene::ringing().await;
    let foreign_channel = scene.server.private_channel(&["alice", "bob"]);
    for (query, status, code) in [
        ("", 400, "query_missing"),
        ("?channel=", 400, "query_missing"),
        ("?chanel=dm:alice:bob", 400, "query_missing"),
        ("?channel=dm:alice:bob", 403, "not_a_member"),
        ("?channel=dm:", 403, "not_a_member"),
        ("?channel=private:999", 403, "not_a_member"),
        ("?channel=%ff", 400, "bad_query"),
        ("?channel=general", 403, "channel_not_callable"),
        (&format!("?channel={foreign_channel}"), 403, "not_a_member"),
    ] {
        let request = scene.carol.getting(&format!("/calls/active{query}"));
        scene.server.assert_refuses(request, status, code).await;
    }
    assert_eq!(scene.carol.read("/calls/active?channel=dm%3Acarol%3Aalice").await, json!({ "call": null }));
}
