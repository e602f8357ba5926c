//! `GET /events`.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::SOON;
use crate::support::{EventStream, Server, assert_refused};

#[tokio::test]
async fn participants_get_the_events_of_a_call_in_order() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (mut to_alice, _) = EventStream::open_with_snapshot(&alice).await;
    let (mut to_bob, snapshot) = EventStream::open_with_snapshot(&bob).await;
    assert_eq!(snapshot.data, json!({ "incoming": [], "calls": [], "shares": [], "lost": false }));

    let call = alice.call("dm:alice:bob").await;
    assert_eq!(to_alice.expect_call("ringing").await.data["call_id"], call.as_str());
    to_bob.expect_call("ringing").await;
    let incoming = to_bob.expect("incoming").await;
    assert_eq!(incoming.data, bob.get("/calls/incoming").await.1[0]);

    bob.post(&format!("/calls/{call}/accept")).await;
    let active = to_alice.expect_call("active").await;
    to_bob.expect_call("active").await;
    assert_eq!(active.data, alice.get(&format!("/calls/{call}/state")).await.1);

    let payload = json!({ "type": "offer", "sdp": "v=0\r\n" });
    let offer = json!({ "to": "bob", "type": "offer", "payload": payload });
    alice.post_json(&format!("/calls/{call}/signal"), offer).await;
    let signal = to_bob.expect("signal").await;
    let stored = &bob.get(&format!("/calls/{call}/signals")).await.1[0];
    for member in ["id", "from", "type", "payload", "ts"] {
        assert_eq!(signal.data[member], stored[member]);
    }
    assert_eq!(signal.data["call_id"], call.as_str());

    bob.post_json(&format!("/calls/{call}/screenshare"), json!({ "on": true })).await;
    // alice does not get bob's signal.
    assert_eq!(to_alice.expect_call("active").await.data["screenshare_user"], "bob");
    to_bob.expect_call("active").await;

    alice.post(&format!("/calls/{call}/end")).await;
    let mut last = 0;
    for stream in [&mut to_alice, &mut to_bob] {
        let ended = stream.expect_call("ended").await;
        assert_eq!(ended.data["ended_reason"], "hangup");
        last = ended.id;
    }
    assert!(last > signal.id && signal.id > active.id && active.id > incoming.id);
}

#[tokio::test]
async fn the_snapshot_has_ringing_and_live_calls_and_shares() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let call = alice.call(&team).await;
    carol.post(&format!("/calls/{call}/accept")).await;
    let (_, share) = alice.post_json("/screenshare/start", json!({ "channel": team })).await;

    let (_, snapshot) = EventStream::open_with_snapshot(&bob).await;
    assert_eq!(snapshot.data["incoming"], bob.get("/calls/incoming").await.1);
    assert_eq!(snapshot.data["calls"][0], bob.get(&format!("/calls/{call}/state")).await.1);
    assert_eq!(snapshot.data["shares"][0]["share_id"], share["share_id"]);
    assert_eq!(snapshot.data["shares"][0]["state"], "active");
    assert_eq!(snapshot.data["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_device_rings_and_stops_ringing() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let bobs_tablet = server.person("bob");
    let (mut phone, _) = EventStream::open_with_snapshot(&bob).await;
    let (mut tablet, _) = EventStream::open_with_snapshot(&bobs_tablet).await;
    let call = alice.call("dm:alice:bob").await;
    for device in [&mut phone, &mut tablet] {
        device.expect_call("ringing").await;
        device.expect("incoming").await;
    }
    bobs_tablet.post(&format!("/calls/{call}/reject")).await;
    for device in [&mut phone, &mut tablet] {
        // One event for bob's row, and one for the end of the call.
        let state = device.expect("call").await;
        assert_eq!(state.data["participants"][1]["state"], "rejected");
        device.expect_call("rejected").await;
    }
}

#[tokio::test]
async fn a_resumed_stream_has_the_missed_events_even_after_a_restart() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (mut stream, _) = EventStream::open_with_snapshot(&bob).await;
    let first = alice.call("dm:alice:bob").await;
    let last = stream.expect_call("ringing").await.id;
    drop(stream);

    alice.post(&format!("/calls/{first}/end")).await;
    let second = alice.call("dm:alice:bob").await;
    let mut stream = EventStream::open(&bob, Some(last)).await;
    // The first call no longer rings, so there is no `incoming`. Its events have its current state.
    assert_eq!(stream.expect_call("ended").await.data["call_id"], first.as_str());
    assert_eq!(stream.expect_call("ringing").await.data["call_id"], second.as_str());
    let last = stream.expect("incoming").await.id;

    let (folder, _) = server.stop(Signal::SIGKILL);
    while stream.next().await.is_some() {}
    let server = Server::start_in(folder, &[]);
    let bob = server.moved(&bob);
    let mut stream = EventStream::open(&bob, Some(last)).await;
    let ended = stream.expect_call("ended").await;
    assert_eq!((&ended.data["call_id"], &ended.data["ended_reason"]), (&json!(second), &json!("restart")));
    assert!(ended.id > last + 1, "after a kill, ids continue far beyond those that were handed out");
    server.assert_integrity();
}

#[tokio::test]
async fn an_unknown_event_id_gets_a_snapshot_marked_as_lost() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    for _ in 0..3 {
        let call = alice.call("dm:alice:bob").await;
        alice.post(&format!("/calls/{call}/end")).await;
    }
    server.sql().execute("DELETE FROM events WHERE id <= 4", []).unwrap();
    for after in [0, 3, 1_000_000] {
        let snapshot = EventStream::open(&bob, Some(after)).await.expect("snapshot").await;
        assert_eq!(snapshot.data["lost"], true, "{after}");
    }
    // The event before the oldest one is enough to resume.
    EventStream::open(&bob, Some(4)).await.expect("call").await;
    // A cursor that is no whole number is none.
    let snapshot = EventStream::from_request(bob.getting("/events?after=x")).await.expect("snapshot").await;
    assert_eq!(snapshot.data["lost"], false);
}

#[tokio::test]
async fn strangers_get_no_events_and_guests_those_since_their_invitation() {
    let server = Server::start();
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| server.person(name));
    let (mut to_carol, _) = EventStream::open_with_snapshot(&carol).await;
    let (mut to_dave, before) = EventStream::open_with_snapshot(&dave).await;
    let call = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    bob.post_json(&format!("/calls/{call}/invite"), json!({ "username": "carol" })).await;

    // carol's first event is her invitation.
    let incoming = to_carol.expect("incoming").await;
    assert_eq!(incoming.data["call_id"], call.as_str());
    to_carol.expect_call("active").await;
    // Resuming does not reveal earlier events.
    let mut again = EventStream::open(&carol, Some(before.id)).await;
    assert_eq!(again.expect("incoming").await.id, incoming.id);

    alice.post(&format!("/calls/{call}/end")).await;
    to_carol.expect_call("ended").await;
    // dave only gets the events of the call that he is in.
    let own = dave.call("dm:carol:dave").await;
    assert_eq!(to_dave.expect_call("ringing").await.data["call_id"], own.as_str());
}

#[tokio::test]
async fn changes_from_a_shell_reach_clients_at_once() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    let (mut to_alice, _) = EventStream::open_with_snapshot(&alice).await;
    let (mut to_bob, _) = EventStream::open_with_snapshot(&bob).await;
    server.sql().execute("UPDATE calls SET state = 'ended' WHERE call_id = ?1", [&call]).unwrap();
    for stream in [&mut to_alice, &mut to_bob] {
        assert_eq!(stream.expect_call("ended").await.data["ended_reason"], "admin");
    }
}

#[tokio::test]
async fn the_end_of_a_session_closes_only_its_streams() {
    let server = Server::start();
    let (phone, tablet, alice) = (server.person("bob"), server.person("bob"), server.person("alice"));
    let (mut to_phone, _) = EventStream::open_with_snapshot(&phone).await;
    let (mut to_tablet, _) = EventStream::open_with_snapshot(&tablet).await;
    assert_eq!(phone.post("/logout").await.0, 200);
    assert!(to_phone.next().await.is_none());
    alice.call("dm:alice:bob").await;
    to_tablet.expect_call("ringing").await;
    to_tablet.expect("incoming").await;

    // The sweep closes the streams of an expired session.
    server.sql().execute("UPDATE sessions SET expires_ts = 1 WHERE username = 'bob'", []).unwrap();
    assert!(to_tablet.next().await.is_none());
    assert_refused(&tablet.get("/events").await, 401, "unauthorized");
}

#[tokio::test]
async fn a_removed_member_gets_no_more_events() {
    let server = Server::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let call = alice.call(&team).await;
    bob.post(&format!("/calls/{call}/accept")).await;
    carol.post(&format!("/calls/{call}/accept")).await;
    let (mut to_carol, _) = EventStream::open_with_snapshot(&carol).await;
    let (mut to_alice, _) = EventStream::open_with_snapshot(&alice).await;
    server.sql().execute("DELETE FROM private_channel_members WHERE username = 'carol'", []).unwrap();
    to_alice.expect_call("active").await;
    alice.post(&format!("/calls/{call}/end")).await;
    let ended = to_alice.expect_call("ended").await;
    // carol's next event is of the call that she starts.
    let own = carol.call("dm:carol:bob").await;
    let next = to_carol.expect_call("ringing").await;
    assert_eq!(next.data["call_id"], own.as_str());
    assert!(next.id > ended.id);
}

#[tokio::test]
async fn members_get_the_events_of_shares() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (mut to_bob, _) = EventStream::open_with_snapshot(&bob).await;
    let (_, share) = alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
    let share = share["share_id"].as_str().unwrap();
    let started = to_bob.expect("share").await;
    assert_eq!((&started.data["share_id"], &started.data["state"]), (&json!(share), &json!("active")));
    let offer = json!({ "to": "bob", "type": "offer", "payload": 1 });
    alice.post_json(&format!("/screenshare/{share}/signal"), offer).await;
    assert_eq!(to_bob.expect("signal").await.data["call_id"], share);
    alice.post(&format!("/screenshare/{share}/stop")).await;
    assert_eq!(to_bob.expect("share").await.data["state"], "ended");
}

/// A reader that reads nothing delays nobody. Its stream ends when its queue is full, and it resumes from the log.
#[tokio::test]
async fn a_slow_reader_is_disconnected_and_resumes() {
    let server = Server::start();
    server.execute("UPDATE settings SET value = highest WHERE name = 'signals_per_call_max_bytes'");
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    let (mut slow, snapshot) = EventStream::open_with_snapshot(&bob).await;
    let (mut quick, _) = EventStream::open_with_snapshot(&server.person("bob")).await;

    // More than the socket buffers and the server's queue hold together.
    let payload = "x".repeat(60_000);
    let rounds = 700;
    for number in 0..rounds {
        let signal = json!({ "to": "bob", "type": "ice_candidate", "payload": [number, payload] });
        assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), signal).await.0, 200);
        let signal = tokio::time::timeout(SOON, quick.expect("signal")).await.unwrap();
        assert_eq!(signal.data["payload"][0], number);
    }
    let mut last = snapshot.id;
    let mut received = 0;
    while let Some(event) = slow.next().await {
        assert_eq!(event.data["payload"][0], received);
        (last, received) = (event.id, received + 1);
    }
    assert!(received < rounds, "the slow reader was not disconnected");
    let mut resumed = EventStream::open(&bob, Some(last)).await;
    for expected in received..rounds {
        assert_eq!(resumed.expect("signal").await.data["payload"][0], expected);
    }
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_and_exits() {
    let server = Server::start();
    let bob = server.person("bob");
    let (mut stream, _) = EventStream::open_with_snapshot(&bob).await;
    let begun = std::time::Instant::now();
    let (_folder, status) = tokio::task::spawn_blocking(move || server.stop(Signal::SIGTERM)).await.unwrap();
    assert!(status.success());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn an_idle_stream_gets_a_comment_every_fifteen_seconds() {
    let server = Server::start();
    let (mut stream, _) = EventStream::open_with_snapshot(&server.person("alice")).await;
    for _ in 0..2 {
        stream.expect_keepalive(Duration::from_secs(20)).await;
    }
}
