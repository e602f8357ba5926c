//! Presence: participants who are not seen leave, and a call that nobody is seen on ends.

use nix::sys::signal::Signal;
use rusqlite::params;
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

/// Whether these users' departures have begun, by name.
fn departing(server: &Server) -> String {
    server.value(
        "SELECT coalesce(group_concat(username), '') FROM \
         (SELECT username FROM call_participants WHERE state = 'accepted' AND leaves_ts IS NOT NULL ORDER BY 1)",
    )
}

fn set(server: &Server, setting: &str, value: f64) {
    server.sql().execute("UPDATE settings SET value = ?2 WHERE name = ?1", params![setting, value]).unwrap();
}

async fn eventually_departing(server: &Server, names: &str) {
    eventually(SOON, "who departs", names.to_owned(), || departing(server)).await;
}

async fn eventually_states(server: &Server, expected: &str) {
    eventually(SOON, "the state of the participants", expected.to_owned(), || states(server)).await;
}

#[tokio::test]
async fn reading_the_state_and_a_stream_that_names_the_call_prove_presence() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let seen = |name: &str| -> f64 {
        server.value(&format!("SELECT round(ts - last_seen_ts) FROM call_participants, now WHERE username = '{name}'"))
    };
    let _named = EventStream::naming(&people[1], &format!("call={call}")).await;
    // Neither a stream without a name, nor one of another call, nor reading signals proves presence.
    let _lobby = EventStream::open(&people[2], None).await;
    let _other = EventStream::naming(&people[2], &format!("call={call}x&share={call}x")).await;
    unseen(&server, 30, "'alice', 'bob', 'carol'");
    people[0].get(&format!("/calls/{call}/state")).await;
    people[2].get(&format!("/calls/{call}/signals")).await;
    eventually(SOON, "the presence of alice and bob", true, || seen("alice") < 10.0 && seen("bob") < 10.0).await;
    assert!(seen("carol") >= 30.0);
    unseen(&server, 31, "'carol'");
    eventually_states(&server, "accepted,accepted,left").await;
}

#[tokio::test]
async fn the_last_stream_that_names_the_call_begins_a_departure() {
    let server = Server::start();
    set(&server, "gone_after", 2.0);
    let (people, call) = three_on_a_call(&server).await;
    let named = format!("call={call}");
    let _lobby = EventStream::open(&people[1], None).await;
    let first = EventStream::naming(&people[1], &named).await;
    let second = EventStream::naming(&people[1], &named).await;
    drop(first);
    // The writes of the hub come in order: carol's shows that bob's closed stream has been handled.
    let other = EventStream::naming(&people[2], &named).await;
    drop(other);
    eventually_departing(&server, "carol").await;
    assert_eq!(people[2].get(&format!("/calls/{call}/state")).await.0, 200);
    eventually_departing(&server, "").await;

    drop(second);
    eventually_departing(&server, "bob").await;
    let (last_seen, leaves): (f64, f64) = server
        .sql()
        .query_row("SELECT last_seen_ts, leaves_ts FROM call_participants WHERE username = 'bob'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!((leaves - last_seen - 2.0).abs() < 0.001, "{last_seen} {leaves}");
    let gone = format!("/calls/{call}/gone");
    let bob = json!({ "username": "bob" });
    assert_eq!(people[0].post_json(&gone, bob.clone()).await.1, json!({ "status": "ignored" }));
    eventually_states(&server, "accepted,left,accepted").await;
    assert!(server.value::<f64>("SELECT left_ts FROM call_participants WHERE username = 'bob'") >= leaves);
    assert_eq!(people[0].post_json(&gone, bob).await.1, json!({ "status": "removed" }));
    server.assert_integrity();
}

#[tokio::test]
async fn a_reload_returns_in_time() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let named = format!("call={call}");
    let first = EventStream::naming(&people[1], &named).await;
    drop(first);
    eventually_departing(&server, "bob").await;
    let _second = EventStream::naming(&people[1], &named).await;
    eventually_departing(&server, "").await;
    assert_eq!(states(&server), "accepted,accepted,accepted");
}

#[tokio::test]
async fn a_stream_counts_from_the_accept() {
    let server = Server::start();
    let [alice, bob] = ["alice", "bob"].map(|name| server.person(name));
    let call = alice.call("dm:alice:bob").await;
    let stream = EventStream::naming(&bob, &format!("call={call}")).await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    unseen(&server, 30, "'alice', 'bob'");
    eventually(SOON, "bob's presence", 1_i64, || {
        server.value("SELECT ts - last_seen_ts < 10 FROM call_participants, now WHERE username = 'bob'")
    })
    .await;
    drop(stream);
    eventually_departing(&server, "bob").await;
}

#[tokio::test]
async fn a_waiting_poll_of_the_state_proves_presence() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let version: i64 = server.value("SELECT version FROM calls");
    let stream = EventStream::naming(&people[1], &format!("call={call}")).await;
    let path = format!("/calls/{call}/state?wait=60&seen={version}");
    let poll = {
        let (bob, path) = (people[1].clone(), path.clone());
        tokio::spawn(async move { bob.get(&path).await })
    };
    unseen(&server, 30, "'alice', 'bob', 'carol'");
    let seen = || -> f64 {
        server.value("SELECT round(ts - last_seen_ts) FROM call_participants, now WHERE username = 'bob'")
    };
    eventually(SOON, "the presence of bob", true, || seen() < 10.0).await;
    drop(stream);
    let other = EventStream::naming(&people[2], &format!("call={call}")).await;
    drop(other);
    eventually_departing(&server, "carol").await;
    // An answered poll is no lost connection.
    people[2].post(&format!("/calls/{call}/leave")).await;
    assert_eq!(poll.await.unwrap().0, 200);
    let lost = {
        let bob = people[1].clone();
        let version: i64 = server.value("SELECT version FROM calls");
        tokio::spawn(async move { bob.get(&format!("/calls/{call}/state?wait=60&seen={version}")).await })
    };
    unseen(&server, 30, "'bob'");
    eventually(SOON, "the presence of bob", true, || seen() < 10.0).await;
    assert_eq!(departing(&server), "");
    lost.abort();
    eventually_departing(&server, "bob").await;
}

#[tokio::test]
async fn a_share_lives_by_its_sharer() {
    let server = Server::start();
    set(&server, "gone_after", 1.0);
    let [alice, bob] = ["alice", "bob"].map(|name| server.person(name));
    let start = async || {
        let (status, body) = alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
        assert_eq!(status, 200, "{body}");
        body["share_id"].as_str().unwrap().to_owned()
    };
    let unseen = || {
        server.execute("UPDATE screenshares SET last_seen_ts = last_seen_ts - 30 WHERE state = 'active'");
    };
    let is_seen =
        || -> bool { server.value("SELECT ts - last_seen_ts < 10 FROM screenshares, now WHERE state = 'active'") };
    let share = start().await;
    let _viewer = EventStream::naming(&bob, &format!("share={share}")).await;
    unseen();
    bob.read(&format!("/screenshare/{share}/signals")).await;
    // The write of this upload comes after that of the read, if there is one.
    assert_eq!(alice.post_bytes(&format!("/screenshare/{share}/media"), b"x".as_slice()).await.0, 200);
    assert!(is_seen(), "an upload");
    unseen();
    alice.read(&format!("/screenshare/{share}/signals")).await;
    eventually(SOON, "reading the signals", true, is_seen).await;
    let stream = EventStream::naming(&alice, &format!("share={share}")).await;
    unseen();
    eventually(SOON, "an open stream", true, is_seen).await;
    let state = || server.value::<String>("SELECT state FROM screenshares ORDER BY started_ts DESC LIMIT 1");
    drop(stream);
    eventually(SOON, "the share", "ended".to_owned(), state).await;
    let lasted: f64 = server.value("SELECT ended_ts - last_seen_ts FROM screenshares");
    assert!(lasted >= 1.0, "{lasted}");

    start().await;
    server.execute("UPDATE screenshares SET last_seen_ts = last_seen_ts - 61 WHERE state = 'active'");
    eventually(SOON, "a share that nobody sees to", "ended".to_owned(), state).await;
    server.assert_integrity();
}

#[tokio::test]
async fn the_end_of_a_session_takes_its_person_off_the_call() {
    let server = Server::start();
    let people: Vec<_> =
        ["alice", "bob", "carol", "dave", "erin"].into_iter().map(|name| server.person(name)).collect();
    let call = people[0].call("dm:alice:bob:carol:dave:erin").await;
    for callee in &people[1..] {
        assert_eq!(callee.post(&format!("/calls/{call}/accept")).await.0, 200);
    }
    let _streams = [
        EventStream::naming(&people[1], &format!("call={call}")).await,
        EventStream::naming(&people[2], &format!("call={call}")).await,
    ];
    // Another session of bob's ends.
    let other = server.person("bob");
    assert_eq!(other.post("/logout").await.0, 200);
    assert_eq!(states(&server), "accepted,accepted,accepted,accepted,accepted");
    assert_eq!(people[1].post("/logout").await.0, 200);
    assert_eq!(states(&server), "accepted,left,accepted,accepted,accepted");
    server.run(&["user", "passwd", "carol"], "a new password");
    eventually_states(&server, "accepted,left,left,accepted,accepted").await;
    server.execute("UPDATE sessions SET expires_ts = created_ts WHERE username = 'dave'");
    eventually_states(&server, "accepted,left,left,left,accepted").await;
    server.run(&["user", "remove", "erin"], "");
    eventually(SOON, "the reason", Some("hangup".to_owned()), || server.value("SELECT ended_reason FROM calls")).await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_second_device_that_answers_is_the_newest_proof() {
    let server = Server::start();
    let (people, call) = three_on_a_call(&server).await;
    let other = server.person("bob");
    assert_eq!(other.post(&format!("/calls/{call}/accept")).await.0, 200);
    assert_eq!(people[1].post("/logout").await.0, 200);
    assert_eq!(states(&server), "accepted,accepted,accepted");
    assert_eq!(other.post("/logout").await.0, 200);
    assert_eq!(states(&server), "accepted,left,accepted");
}

#[tokio::test]
async fn a_restart_with_a_grace_waits_for_those_who_come_back() {
    let server = Server::start();
    set(&server, "restart_grace", 4.0);
    let (people, call) = three_on_a_call(&server).await;
    let [dave, erin] = ["dave", "erin"].map(|name| server.person(name));
    let ring = dave.call("dm:dave:erin").await;
    let gone = {
        let id = dave.call("dm:alice:dave").await;
        assert_eq!(people[0].post(&format!("/calls/{id}/accept")).await.0, 200);
        id
    };
    let share = people[0].post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await.1;
    let share = share["share_id"].as_str().unwrap().to_owned();
    let offer = json!({ "to": "bob", "type": "offer", "payload": {} });
    assert_eq!(people[0].post_json(&format!("/calls/{call}/signal"), offer).await.0, 200);

    // No server runs for longer than presence_timeout.
    let (folder, _) = server.stop(Signal::SIGKILL);
    let file = rusqlite::Connection::open(folder.path().join("presence.db")).unwrap();
    file.execute_batch("UPDATE call_participants SET last_seen_ts = last_seen_ts - 300 WHERE state = 'accepted'")
        .unwrap();
    drop(file);
    let server = Server::start_in(folder, &[]);
    let [alice, bob] = [&people[0], &people[1]].map(|person| server.moved(person));
    let state = alice.read(&format!("/calls/{call}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("active"), &json!(null)));
    let _bob_is_back = EventStream::naming(&bob, &format!("call={call}")).await;
    assert_eq!(bob.read(&format!("/calls/{call}/signals")).await, json!([]), "signals of before are gone");
    assert_eq!(server.moved(&erin).read("/calls/incoming").await[0]["call_id"], json!(ring), "it still rings");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM screenshares WHERE state = 'active'"), 1);

    let reason = || server.value::<Option<String>>(&format!("SELECT ended_reason FROM calls WHERE call_id = '{gone}'"));
    eventually(SOON, "the call that nobody came back to", Some("restart".to_owned()), reason).await;
    let of_call = || -> String {
        server.value(&format!(
            "SELECT group_concat(state) FROM \
             (SELECT state FROM call_participants WHERE call_id = '{call}' ORDER BY username)"
        ))
    };
    eventually(SOON, "the participants", "accepted,accepted,left".to_owned(), of_call).await;
    let ended = || server.value::<String>(&format!("SELECT state FROM screenshares WHERE share_id = '{share}'"));
    eventually(SOON, "the share", "ended".to_owned(), ended).await;
    assert_eq!(server.value::<String>(&format!("SELECT state FROM calls WHERE call_id = '{call}'")), "active");
    server.assert_integrity();
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
    // A repeated report finds it done.
    assert_eq!(people[0].post_json(&gone, carol.clone()).await, (200, json!({ "status": "removed" })));
    for nobody in [json!({ "username": "alice" }), json!({ "username": "nobody" })] {
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
