//! `GET /calls/history`, `/calls/missed` and `/me`.

use serde_json::{Value, json};

use crate::support::{Person, Server, assert_refused};

fn outcomes(history: &Value) -> Vec<&str> {
    history.as_array().unwrap().iter().map(|call| call["outcome"].as_str().unwrap()).collect()
}

/// Four calls of alice to bob: answered, declined, cancelled, missed.
async fn four_calls(server: &Server, alice: &Person, bob: &Person) -> Vec<String> {
    let mut calls = Vec::new();
    for what in ["answered", "declined", "cancelled", "missed"] {
        let call = alice.call("dm:alice:bob").await;
        match what {
            "answered" => {
                bob.post(&format!("/calls/{call}/accept")).await;
                alice.post(&format!("/calls/{call}/end")).await;
            }
            "declined" => drop(bob.post(&format!("/calls/{call}/reject")).await),
            "cancelled" => drop(alice.post(&format!("/calls/{call}/end")).await),
            _ => {
                server.age_invitations(31.0);
                // Any write sweeps.
                bob.post("/calls/none/end").await;
            }
        }
        calls.push(call);
    }
    calls
}

#[tokio::test]
async fn history_has_the_callers_view_and_the_newest_first() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let calls = four_calls(&server, &alice, &bob).await;
    // Aging makes the missed call the oldest.
    let (_, mine) = alice.get("/calls/history").await;
    assert_eq!(outcomes(&mine), ["cancelled", "declined", "answered", "missed"]);
    let (_, bobs) = bob.get("/calls/history?channel=dm:bob:alice").await;
    assert_eq!(outcomes(&bobs), ["missed", "declined", "answered", "missed"]);
    assert_eq!(bobs[2]["call_id"], calls[0].as_str());
    assert_eq!(bobs[2]["reason"], "hangup");
    assert_eq!(bobs[2]["participants"].as_array().unwrap().len(), 2);
    assert!(bobs[2]["duration"].as_f64().is_some_and(|seconds| (0.0..60.0).contains(&seconds)));
    assert_eq!(bobs[1]["duration"], Value::Null);
    for member in ["channel", "initiator", "started_ts", "answered_ts", "ended_ts"] {
        assert!(bobs[2].get(member).is_some(), "{member}");
    }
}

#[tokio::test]
async fn history_comes_in_pages_without_gaps() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    four_calls(&server, &alice, &bob).await;
    // Two calls that started at the same instant.
    server
        .sql()
        .execute_batch(
            "UPDATE clock SET pinned_ts = (SELECT ts FROM now); \
             INSERT INTO users (username, password_hash, created_ts) VALUES ('carol', 'x', 0); \
             INSERT INTO initiate_call VALUES ('same1', 'dm:alice:carol', 'alice'), ('same2', 'dm:alice:bob', 'alice'); \
             INSERT INTO end_call VALUES ('same1', 'alice'), ('same2', 'alice'); \
             UPDATE clock SET pinned_ts = NULL;",
        )
        .unwrap();
    let (_, all) = alice.get("/calls/history").await;
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 6);
    let mut paged: Vec<Value> = Vec::new();
    loop {
        let before =
            paged.last().map_or(String::new(), |call| format!("&before={}", call["call_id"].as_str().unwrap()));
        let (_, page) = alice.get(&format!("/calls/history?limit=1{before}")).await;
        match page.as_array().unwrap().first() {
            Some(call) => paged.push(call.clone()),
            None => break,
        }
    }
    assert_eq!(&paged, all);
    let (_, older) = alice.get(&format!("/calls/history?before={}", all[1]["started_ts"])).await;
    assert_eq!(older.as_array().unwrap().as_slice(), &all[2..]);
    for (query, code) in [("limit=0", "bad_limit"), ("limit=x", "bad_limit"), ("before=x", "bad_cursor")] {
        assert_refused(&alice.get(&format!("/calls/history?{query}")).await, 400, code);
    }
}

#[tokio::test]
async fn history_requires_membership_or_an_invitation() {
    let server = Server::start();
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| server.person(name));
    let call = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    alice.post_json(&format!("/calls/{call}/invite"), json!({ "username": "carol" })).await;
    carol.post(&format!("/calls/{call}/accept")).await;
    alice.post(&format!("/calls/{call}/end")).await;
    assert_eq!(outcomes(&carol.get("/calls/history").await.1), ["answered"]);
    assert_eq!(dave.get("/calls/history").await, (200, json!([])));
    assert_refused(&dave.get("/calls/history?channel=dm:alice:bob").await, 403, "not_a_member");
    assert_refused(&dave.get("/calls/history?channel=lobby").await, 403, "channel_not_callable");
}

#[tokio::test]
async fn missed_calls_are_marked_as_seen() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let calls = four_calls(&server, &alice, &bob).await;
    let (_, missed) = bob.get("/calls/missed").await;
    let ids: Vec<&str> = missed.as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap()).collect();
    let mut expected = vec![calls[2].as_str(), calls[3].as_str()];
    expected.sort_by_key(|id| ids.iter().position(|known| known == id));
    assert_eq!(ids, expected);
    assert_eq!((&missed[0]["called_by"], &missed[0]["seen"]), (&json!("alice"), &json!(false)));
    assert_eq!(alice.get("/calls/missed").await.1, json!([]));

    let older = missed[1]["missed_ts"].as_f64().unwrap();
    assert_eq!(bob.get(&format!("/calls/missed?since={older}")).await.1.as_array().unwrap().len(), 1);
    assert_eq!(
        bob.post_json("/calls/missed/seen", json!({ "up_to": older })).await,
        (200, json!({ "status": "seen" }))
    );
    let (_, seen) = bob.get("/calls/missed").await;
    assert_eq!((&seen[0]["seen"], &seen[1]["seen"]), (&json!(false), &json!(true)));
    for (channel, seen) in [("dm:bob:carol", false), ("private:none", false), ("dm:bob:alice", true)] {
        bob.post_json("/calls/missed/seen", json!({ "channel": channel })).await;
        assert_eq!(bob.get("/calls/missed").await.1[0]["seen"], seen, "{channel}");
    }
    bob.post_json("/calls/missed/seen", json!({})).await;
    assert_refused(&bob.get("/calls/missed?since=x").await, 400, "bad_time");
    assert_refused(&bob.post_json("/calls/missed/seen", json!({ "up_to": "x" })).await, 400, "bad_body");
}

#[tokio::test]
async fn me_has_channels_people_and_live_calls() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.person("carol");
    let team = server.private_channel(&["alice", "bob"]);
    let call = bob.call("dm:alice:bob").await;
    assert_eq!(alice.post(&format!("/calls/{call}/accept")).await.0, 200);
    let (_, me) = alice.get("/me").await;
    assert_eq!(me["username"], "alice");
    assert_eq!(me["people"], json!(["bob", "carol"]));
    assert_eq!(
        me["channels"],
        json!([
            { "channel": "dm:alice:bob", "title": null, "external_id": null, "members": ["alice", "bob"] },
            { "channel": team, "title": "a channel", "external_id": null, "members": ["alice", "bob"] },
        ])
    );
    assert_eq!(me["calls"][0], alice.get(&format!("/calls/{call}/state")).await.1);
}

#[tokio::test]
async fn history_says_who_took_part_for_how_long_and_who_did_not() {
    let server = Server::start();
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| server.person(name));
    server.execute("INSERT INTO set_quiet (username, seconds) VALUES ('dave', 600)");
    let call = alice.call("dm:alice:bob:carol:dave").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    carol.post(&format!("/calls/{call}/reject")).await;
    let (_, link) = alice.post_json("/links", json!({ "channel": "dm:alice:bob:carol:dave", "admit": false })).await;
    let gwen = server.guest(link["token"].as_str().unwrap(), "Gwen").await;
    gwen.post(&format!("/calls/{call}/accept")).await;
    alice.post(&format!("/calls/{call}/end")).await;

    let past = &bob.read("/calls/history").await[0];
    let took_part = past["participants"].as_array().unwrap();
    let names: Vec<&str> = took_part.iter().map(|person| person["display_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "bob", "Gwen"]);
    assert!(took_part.iter().all(|person| (0.0..60.0).contains(&person["seconds"].as_f64().unwrap())), "{past}");
    let absent = json!([
        { "username": "carol", "display_name": "carol", "outcome": "declined" },
        { "username": "dave", "display_name": "dave", "outcome": "missed" },
    ]);
    assert_eq!(past["absent"], absent);
    assert_eq!(dave.read("/calls/history").await[0]["absent"], absent);

    // Nobody was on a call that nobody answered.
    alice.call("dm:alice:bob").await;
    let (_, active) = alice.get("/calls/active?channel=dm:alice:bob").await;
    alice.post(&format!("/calls/{}/end", active["call"]["call_id"].as_str().unwrap())).await;
    let past = &alice.read("/calls/history?channel=dm:alice:bob").await[0];
    assert_eq!(past["participants"][0]["seconds"], Value::Null);
    server.assert_integrity();
}

#[tokio::test]
async fn history_is_selected_by_person_and_outcome() {
    let server = Server::start();
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| server.person(name));
    four_calls(&server, &alice, &bob).await;
    let others = carol.call("dm:carol:dave").await;
    dave.post(&format!("/calls/{others}/reject")).await;
    let group = alice.call("dm:alice:bob:carol").await;
    carol.post(&format!("/calls/{group}/accept")).await;
    alice.post_json(&format!("/calls/{group}/invite"), json!({ "username": "dave" })).await;
    alice.post(&format!("/calls/{group}/end")).await;

    let select = async |person: &Person, query: &str| {
        let past = person.read(&format!("/calls/history?{query}")).await;
        outcomes(&past).join(" ")
    };
    assert_eq!(select(&alice, "person=carol").await, "answered");
    assert_eq!(select(&alice, "person=bob").await, "answered cancelled declined answered missed");
    assert_eq!(select(&alice, "person=bob&outcome=answered").await, "answered answered");
    assert_eq!(select(&alice, "person=bob&outcome=answered&channel=dm:alice:bob").await, "answered");
    assert_eq!(select(&alice, "person=bob&limit=2").await, "answered cancelled");
    // An invitation counts. The call of carol and dave is not visible to alice and bob.
    assert_eq!(select(&bob, "person=dave").await, "missed");
    assert_eq!(select(&dave, "person=dave").await, "missed declined");
    assert_eq!(select(&carol, "outcome=declined").await, "declined");
    assert_eq!(select(&bob, "outcome=cancelled").await, "");
    assert_eq!(select(&alice, "person=nobody").await, "");
    assert_eq!(select(&alice, "outcome=other").await, "");
    // Pages.
    let all = alice.read("/calls/history?person=bob").await;
    let second = all[1]["call_id"].as_str().unwrap();
    let older = alice.read(&format!("/calls/history?person=bob&before={second}")).await;
    assert_eq!(older.as_array().unwrap().as_slice(), &all.as_array().unwrap()[2..]);
    server.assert_integrity();
}
