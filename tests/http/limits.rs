//! Limits of a person, a pair and a call over HTTP: one below, at, and above each, and what makes room again.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::scenes::{Scene, participants};
use crate::support::{EventStream, Person, Server, assert_refused};

/// The seconds in `Retry-After` of a request that must be refused with 429 and this code.
async fn retry_after(request: RequestBuilder, code: &str) -> u64 {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let seconds = response.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    assert_refused(&(status, response.json::<Value>().await.unwrap()), 429, code);
    seconds.expect("Retry-After")
}

fn initiating(person: &Person, channel: &str) -> RequestBuilder {
    person.posting_json("/calls/initiate", json!({ "channel": channel }))
}

fn inviting(person: &Person, call: &str, name: &str) -> RequestBuilder {
    person.posting_json(&format!("/calls/{call}/invite"), json!({ "username": name }))
}

fn sharing(person: &Person, channel: &str) -> RequestBuilder {
    person.posting_json("/screenshare/start", json!({ "channel": channel }))
}

async fn done(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

/// People named p00, p01 and so on.
fn people(server: &Server, count: usize) -> Vec<Person> {
    (0..count).map(|number| server.person(&format!("p{number:02}"))).collect()
}

#[tokio::test]
async fn the_thirteenth_person_on_a_call_stays_pending() {
    let server = Server::start();
    let people = people(&server, 15);
    let names: Vec<&str> = people[..14].iter().map(|person| person.name.as_str()).collect();
    let call = people[0].call(&server.private_channel(&names)).await;
    let accept = format!("/calls/{call}/accept");
    for person in &people[1..12] {
        done(person.posting(&accept)).await;
    }
    server.assert_refuses(people[12].posting(&accept), 409, "call_full").await;
    let state = people[0].read(&format!("/calls/{call}/state")).await;
    assert!(participants(&state).ends_with("p11 accepted, p12 pending, p13 pending"), "{state}");
    assert_eq!(people[12].read("/calls/incoming").await[0]["call_id"], json!(call), "it still rings");
    // Inviting is not refused.
    done(inviting(&people[0], &call, "p14")).await;
    server.assert_refuses(people[14].posting(&accept), 409, "call_full").await;

    done(people[5].posting(&format!("/calls/{call}/leave"))).await;
    done(people[12].posting(&accept)).await;
    server.assert_refuses(people[5].posting(&accept), 409, "call_full").await;
    // Who is on the call may say so again.
    done(people[1].posting(&accept)).await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_person_starts_five_live_calls() {
    let server = Server::start();
    let people = people(&server, 7);
    let channel = |other: usize| format!("dm:p00:p{other:02}");
    let mut calls = Vec::new();
    for other in 1..=5 {
        calls.push(people[0].call(&channel(other)).await);
    }
    assert_eq!(retry_after(initiating(&people[0], &channel(6)), "too_many_calls").await, 1);
    let (status, body) = people[0].post_json("/calls/initiate", json!({ "channel": channel(3) })).await;
    assert_eq!((status, &body["code"], &body["call_id"]), (409, &json!("channel_has_live_call"), &json!(calls[2])));
    // Being called is not limited.
    people[6].call(&channel(6)).await;
    done(people[4].posting(&format!("/calls/{}/reject", calls[3]))).await;
    let sixth = people[0].call("dm:p00:p01:p02").await;
    assert_eq!(retry_after(initiating(&people[0], "dm:p00:p01:p03"), "too_many_calls").await, 1);
    // 0 is no limit.
    server.execute("UPDATE settings SET value = 0 WHERE name = 'live_calls_per_person'");
    people[0].call("dm:p00:p01:p03").await;
    assert_ne!(sixth, calls[3]);
    server.assert_integrity();
}

#[tokio::test]
async fn a_person_has_five_active_shares() {
    let server = Server::start();
    let people = people(&server, 7);
    let channel = |other: usize| format!("dm:p00:p{other:02}");
    let mut shares = Vec::new();
    for other in 1..=5 {
        shares.push(done(sharing(&people[0], &channel(other))).await["share_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(retry_after(sharing(&people[0], &channel(6)), "too_many_shares").await, 1);
    // A new share in a channel replaces the earlier one.
    done(sharing(&people[0], &channel(1))).await;
    done(sharing(&people[6], &channel(6))).await;
    done(people[0].posting(&format!("/screenshare/{}/stop", shares[4]))).await;
    done(sharing(&people[0], &channel(6))).await;
    assert_eq!(retry_after(sharing(&people[0], &channel(5)), "too_many_shares").await, 1);
    server.assert_integrity();
}

#[tokio::test]
async fn a_pair_rings_thirty_times_a_minute() {
    let Scene { server, alice, bob, carol, call } = Scene::active().await;
    let dave = server.person("dave");
    for _ in 0..30 {
        done(inviting(&alice, &call, "carol")).await;
        // Pending stays pending, which is no ring.
        done(inviting(&alice, &call, "carol")).await;
        done(carol.posting(&format!("/calls/{call}/accept"))).await;
        done(carol.posting(&format!("/calls/{call}/leave"))).await;
    }
    let code = "too_many_rings_for_person";
    for request in [
        inviting(&alice, &call, "carol"),
        initiating(&alice, "dm:carol:alice"),
        initiating(&alice, "dm:alice:carol:dave"),
    ] {
        let wait = retry_after(request, code).await;
        assert!((1..=60).contains(&wait), "{wait}");
    }
    // It is counted by callee, and by direction.
    alice.call("dm:alice:dave").await;
    done(inviting(&bob, &call, "carol")).await;
    done(carol.posting(&format!("/calls/{call}/reject"))).await;
    carol.call("dm:alice:carol").await;
    done(initiating(&dave, "dm:carol:dave")).await;
    // A minute passes.
    server.execute("UPDATE ring_counts SET rings_from_ts = rings_from_ts - 60");
    done(inviting(&alice, &call, "carol")).await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_person_makes_sixty_requests_that_ring_a_minute() {
    let server = Server::start();
    let people = people(&server, 4);
    server.execute("UPDATE settings SET value = 0 WHERE name = 'rings_per_pair'");
    for turn in 0..20 {
        let call = people[0].call("dm:p00:p01:p02").await;
        done(people[1].posting(&format!("/calls/{call}/accept"))).await;
        done(inviting(&people[0], &call, "p03")).await;
        done(people[0].posting(&format!("/calls/{call}/end"))).await;
        done(sharing(&people[0], "dm:p00:p01")).await;
        assert_eq!(server.value::<i64>("SELECT rings FROM person_counts WHERE username = 'p00'"), 3 * (turn + 1));
    }
    for request in [initiating(&people[0], "dm:p00:p03"), sharing(&people[0], "dm:p00:p03")] {
        let wait = retry_after(request, "too_many_rings").await;
        assert!((1..=60).contains(&wait), "{wait}");
    }
    let call = people[1].call("dm:p00:p01").await;
    done(people[0].posting(&format!("/calls/{call}/accept"))).await;
    retry_after(inviting(&people[0], &call, "p03"), "too_many_rings").await;
    done(inviting(&people[1], &call, "p03")).await;
    server.execute("UPDATE person_counts SET rings_from_ts = rings_from_ts - 60");
    people[0].call("dm:p00:p03").await;
}

#[tokio::test]
async fn a_third_refusal_pauses_the_next_ring() {
    let server = Server::start();
    let people = people(&server, 3);
    let decline = async || {
        let call = people[0].call("dm:p00:p01").await;
        done(people[1].posting(&format!("/calls/{call}/reject"))).await;
    };
    decline().await;
    decline().await;
    // A timed-out ring is no refusal.
    people[0].call("dm:p00:p01").await;
    server.age_invitations(31.0);
    decline().await;
    for (refusals, pause) in [(3, 5), (4, 10), (5, 20)] {
        assert_eq!(server.value::<i64>("SELECT max(refusals) FROM ring_counts"), refusals);
        let wait = retry_after(initiating(&people[0], "dm:p01:p00"), "declined_too_often").await;
        assert!((pause - 2..=pause).contains(&wait), "{wait}");
        server.execute(&format!("UPDATE ring_counts SET refused_ts = refused_ts - {pause}"));
        decline().await;
    }
    // A call to several people rings all the same.
    let call = people[0].call("dm:p00:p01:p02").await;
    assert_eq!(people[1].read("/calls/incoming").await[0]["call_id"], json!(call));
    done(people[1].posting(&format!("/calls/{call}/accept"))).await;
    done(people[0].posting(&format!("/calls/{call}/end"))).await;
    // The answer has ended the pause.
    people[0].call("dm:p00:p01").await;
}

#[tokio::test]
async fn the_oldest_session_and_its_stream_end_for_a_new_one() {
    let server = Server::start();
    let first = server.person("alice");
    let (mut stream, _) = EventStream::open_with_snapshot(&first).await;
    for _ in 1..50 {
        server.person("alice");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM sessions"), 50);
    first.read("/me").await;
    let newest = server.person("alice");
    assert_eq!(first.get("/me").await.0, 401);
    assert_eq!(newest.get("/me").await.0, 200);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM sessions"), 50);
    assert!(stream.next().await.is_none(), "the stream has ended");
}

#[tokio::test]
async fn a_name_of_a_channel_is_bounded() {
    let server = Server::start();
    let people = people(&server, 33);
    let dm = |count: usize| {
        let names: Vec<&str> = people[..count].iter().map(|person| person.name.as_str()).collect();
        format!("dm:{}", names.join(":"))
    };
    people[0].call(&dm(31)).await;
    people[0].call(&dm(32)).await;
    for (path, status, nobody) in
        [("/calls/initiate", 404, "user_not_found"), ("/screenshare/start", 403, "channel_names_nobody")]
    {
        let starting = |channel: &str| people[0].posting_json(path, json!({ "channel": channel }));
        server.assert_refuses(starting(&dm(33)), 400, "too_many_names").await;
        // 2,200 bytes and one more.
        server.assert_refuses(starting(&format!("dm:xp00{}", ":p00".repeat(549))), 400, "channel_name_too_long").await;
        server.assert_refuses(starting(&format!("dm:x{}", ":p00".repeat(549))), status, nobody).await;
        server.assert_refuses(starting("dm:p00:p01\u{0}:p02"), 400, "channel_name_malformed").await;
        server.assert_refuses(starting("dm:p00:\u{9b}p01"), 400, "channel_name_malformed").await;
    }
}

#[tokio::test]
async fn a_payload_is_nested_sixty_four_levels_deep() {
    let scene = Scene::active().await;
    let signal = |levels: usize| {
        let payload = (0..levels)
            .fold(json!("x"), |inner, level| if level % 2 == 0 { json!([inner, 1]) } else { json!({ "a": inner }) });
        let body = json!({ "to": "bob", "type": "offer", "payload": payload });
        scene.alice.posting_json(&scene.path("signal"), body)
    };
    done(signal(64)).await;
    scene.server.assert_refuses(signal(65), 400, "signal_too_deep").await;
    scene.server.assert_refuses(signal(100), 400, "signal_too_deep").await;
    let body = format!("{{\"to\":\"bob\",\"type\":\"offer\",\"payload\":{}{}}}", "[".repeat(3000), "]".repeat(3000));
    let (status, answer) = scene.alice.post_bytes(&scene.path("signal"), body).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(scene.bob.read(&scene.path("signals")).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_flood_of_signals_displaces_no_other_sender() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, carol, call } = &scene;
    done(inviting(alice, call, "carol")).await;
    done(carol.posting(&scene.path("accept"))).await;
    server.execute("UPDATE settings SET value = 3 WHERE name = 'signals_per_call_max'");
    let signal = |from: &Person, payload: i64| {
        from.posting_json(&scene.path("signal"), json!({ "to": "carol", "type": "offer", "payload": payload }))
    };
    done(signal(alice, -1)).await;
    for payload in 0..20 {
        done(signal(bob, payload)).await;
    }
    let signals = carol.read(&scene.path("signals")).await;
    let kept: Vec<(&str, i64)> = signals
        .as_array()
        .unwrap()
        .iter()
        .map(|signal| (signal["from"].as_str().unwrap(), signal["payload"].as_i64().unwrap()))
        .collect();
    assert_eq!(kept, [("alice", -1), ("bob", 17), ("bob", 18), ("bob", 19)]);
    server.assert_integrity();
}

#[tokio::test]
async fn the_oldest_media_of_a_person_makes_way_in_all_calls() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, .. } = &scene;
    server.execute("UPDATE settings SET value = 100 WHERE name = 'media_per_person_max_bytes'");
    let share = done(sharing(alice, "dm:alice:carol")).await["share_id"].as_str().unwrap().to_owned();
    let [call, share] = [scene.path("media"), format!("/screenshare/{share}/media")];
    for (number, path) in (0_u8..).zip([&call, &share, &call]) {
        done(alice.posting_bytes(path, vec![number; 30])).await;
    }
    done(bob.posting_bytes(&call, vec![9; 90])).await;
    done(alice.posting_bytes(&share, vec![3; 50])).await;
    let kept = |body: Value| body["chunks"].as_array().unwrap().len();
    assert_eq!(kept(bob.read(&format!("{call}?sender=alice")).await), 1);
    assert_eq!(kept(scene.carol.read(&share).await), 1);
    assert_eq!(kept(alice.read(&format!("{call}?sender=bob")).await), 1);
    assert_eq!(server.value::<i64>("SELECT media_bytes FROM person_counts WHERE username = 'alice'"), 80);
    server.assert_integrity();
}

#[tokio::test]
async fn a_dm_that_nobody_answered_is_in_no_list() {
    let server = Server::start();
    let people = people(&server, 4);
    let channels = async |person: &Person| -> Vec<String> {
        let me = person.read("/me").await;
        let channels = me["channels"].as_array().unwrap();
        channels.iter().map(|channel| channel["channel"].as_str().unwrap().to_owned()).collect()
    };
    let call = people[0].call("dm:p00:p01:p02").await;
    let share = done(sharing(&people[0], "dm:p00:p03")).await["share_id"].as_str().unwrap().to_owned();
    for person in &people {
        assert_eq!(channels(person).await, Vec::<String>::new(), "{}", person.name);
    }
    // They are usable all the same.
    assert_eq!(people[2].read("/calls/incoming").await[0]["call_id"], json!(call));
    assert_eq!(people[3].read("/screenshare/active?channel=dm:p00:p03").await[0]["share_id"], json!(share));
    let (_stream, snapshot) = EventStream::open_with_snapshot(&people[3]).await;
    assert_eq!(snapshot.data["shares"][0]["share_id"], json!(share));

    done(people[1].posting(&format!("/calls/{call}/accept"))).await;
    assert_eq!(channels(&people[0]).await, ["dm:p00:p01:p02"]);
    assert_eq!(channels(&people[1]).await, ["dm:p00:p01:p02"]);
    assert_eq!(channels(&people[2]).await, Vec::<String>::new());
    let signal = json!({ "to": "p00", "type": "answer", "payload": 1 });
    done(people[3].posting_json(&format!("/screenshare/{share}/signal"), signal)).await;
    assert_eq!(channels(&people[3]).await, ["dm:p00:p03"]);
    assert_eq!(channels(&people[0]).await, ["dm:p00:p01:p02", "dm:p00:p03"]);
}
