//! Concurrent requests of several users and devices: each response is consistent with the outcome, and the rules hold.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::scenes::{Scene, participants};
use crate::support::{Server, assert_refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_clients_at_once_make_one_call() {
    let server = Server::start();
    let names: Vec<String> = (1..=12).map(|number| format!("person{number}")).collect();
    let people: Vec<_> = names.iter().map(|name| server.person(name)).collect();
    let channel = server.private_channel(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..5 {
        let attempts = people.iter().map(|person| person.post_json("/calls/initiate", json!({ "channel": channel })));
        let (made, refused): (Vec<_>, Vec<_>) =
            join_all(attempts).await.into_iter().partition(|(status, _)| *status == 200);
        assert_eq!((made.len(), refused.len()), (1, 11));
        let call = made[0].1["call_id"].clone();
        for answer in refused {
            assert_refused(&answer, 409, "channel_has_live_call");
            assert_eq!(answer.1["call_id"], call);
        }
        server.assert_integrity();
        // All hang up at once. A pending callee only declines.
        let end = format!("/calls/{}/end", call.as_str().unwrap());
        let ends = join_all(people.iter().map(|person| person.post(&end))).await;
        assert!(ends.iter().all(|(status, _)| *status == 200), "{ends:?}");
        assert_eq!(server.value::<i64>("SELECT count(*) FROM live_calls"), 0);
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_calling_each_other_is_one_call() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    for _ in 0..10 {
        let (one, other) = join(
            alice.post_json("/calls/initiate", json!({ "channel": "dm:alice:bob" })),
            bob.post_json("/calls/initiate", json!({ "channel": "dm:bob:alice" })),
        )
        .await;
        assert_eq!(BTreeSet::from([one.0, other.0]), BTreeSet::from([200, 409]));
        assert_eq!(one.1["call_id"], other.1["call_id"]);
        let end = format!("/calls/{}/end", one.1["call_id"].as_str().unwrap());
        // Both responses have the id. The second caller accepts with it.
        let second = if one.0 == 200 { &bob } else { &alice };
        assert_eq!(second.post(&end.replace("/end", "/accept")).await.0, 200);
        assert_eq!(second.post(&end).await.0, 200);
    }
    server.assert_integrity();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_answer_at_once() {
    for _ in 0..3 {
        let scene = Scene::ringing().await;
        let tablet = scene.server.person("bob");
        let path = scene.path("accept");
        let (phone, tablet) = join(scene.bob.post(&path), tablet.post(&path)).await;
        assert_eq!((phone.0, tablet.0), (200, 200));
        assert_eq!(phone.1, tablet.1);
        assert_eq!(participants(&scene.state().await), "alice accepted, bob accepted");
        scene.server.assert_integrity();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_device_answers_while_the_other_declines() {
    let scene = Scene::ringing().await;
    // The decline may win three times in a row, which would pause the next call.
    scene.server.lift_limits();
    let tablet = scene.server.person("bob");
    for _ in 0..5 {
        let call = scene.carol.call("dm:bob:carol").await;
        let path = |what: &str| format!("/calls/{call}/{what}");
        let (accept, reject) = (path("accept"), path("reject"));
        let (answered, declined) = join(scene.bob.post(&accept), tablet.post(&reject)).await;
        let state = scene.carol.read(&path("state")).await;
        if answered.0 == 200 {
            assert_refused(&declined, 409, "not_pending");
            assert_eq!(state["state"], "active");
        } else {
            assert_refused(&answered, 409, "call_finished");
            assert_eq!((declined.0, &state["state"]), (200, &json!("rejected")));
        }
        assert_eq!(scene.carol.post(&path("end")).await.0, 200);
    }
    scene.server.assert_integrity();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_hang_up_at_once() {
    for _ in 0..3 {
        let scene = Scene::active().await;
        let (end, leave) = (scene.path("end"), scene.path("leave"));
        let answers =
            join_all([scene.alice.post(&end), scene.bob.post(&end), scene.alice.post(&leave), scene.bob.post(&leave)])
                .await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        let state = scene.state().await;
        assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")));
        assert_eq!(participants(&state), "alice left, bob left");
        scene.server.assert_integrity();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_races_the_timeout() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let server = std::sync::Arc::new(server);
    let mut outcomes = BTreeSet::new();
    // By how many milliseconds bob is late. It moves towards the side that lost, so that both sides win some rounds.
    let mut bob_late = 0_i64;
    for round in 0..60 {
        if round >= 12 && outcomes.len() == 2 {
            break;
        }
        let delay = |late: i64| Duration::from_millis(late.try_into().unwrap_or(0));
        let call = alice.call("dm:alice:bob").await;
        let path = |what: &str| format!("/calls/{call}/{what}");
        let aging = {
            let server = std::sync::Arc::clone(&server);
            tokio::task::spawn_blocking(move || {
                std::thread::sleep(delay(-bob_late));
                server.age_invitations(30.0);
            })
        };
        tokio::time::sleep(delay(bob_late)).await;
        let answered = bob.post(&path("accept")).await;
        aging.await.unwrap();
        bob_late += if answered.0 == 200 { 2 } else { -2 };
        let state = alice.read(&path("state")).await;
        if answered.0 == 200 {
            assert_eq!(state["state"], "active");
        } else {
            assert_refused(&answered, 409, "call_finished");
            assert_eq!((&state["state"], &state["ended_reason"]), (&json!("rejected"), &json!("timeout")));
        }
        outcomes.insert(answered.0);
        assert_eq!(alice.post(&path("end")).await.0, 200);
        server.assert_integrity();
    }
    assert_eq!(outcomes, BTreeSet::from([200, 409]), "each side wins some rounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_actions_keep_the_rules() {
    let server = Server::start();
    let names = ["alice", "bob", "carol", "dave"];
    let people = names.map(|name| server.person(name));
    let channel = server.private_channel(&names);
    let call = people[0].call(&channel).await;
    let wave = |round: usize| {
        let (people, call, channel) = (&people, &call, &channel);
        (0..40).map(move |number: usize| async move {
            let person = &people[(number + round) % 4];
            let other = names[(number + round + 1) % 4];
            let path = |what: &str| format!("/calls/{call}/{what}");
            match (number * 7 + round) % 10 {
                0 => person.post_json("/calls/initiate", json!({ "channel": channel })).await,
                1 | 2 => person.post(&path("accept")).await,
                3 => person.post(&path("reject")).await,
                4 => person.post(&path("leave")).await,
                5 => person.post_json(&path("invite"), json!({ "username": other })).await,
                6 => {
                    let signal = json!({ "to": other, "type": "offer", "payload": number });
                    person.post_json(&path("signal"), signal).await
                }
                7 => person.post_json(&path("screenshare"), json!({ "on": number.is_multiple_of(2) })).await,
                8 => person.post_bytes(&path("media"), vec![1; 100]).await,
                _ => person.post_json("/screenshare/start", json!({ "channel": channel })).await,
            }
        })
    };
    for round in 0..4 {
        for (status, body) in join_all(wave(round)).await {
            assert!(status == 200 || (400..500).contains(&status), "{status} {body}");
        }
        server.assert_integrity();
    }
    // The channel is usable: the live call can be ended, and a new one begins.
    let live = people[0].read(&format!("/calls/active?channel={channel}")).await;
    if let Some(call) = live["call"]["call_id"].as_str() {
        for person in &people {
            assert_eq!(person.post(&format!("/calls/{call}/end")).await.0, 200);
        }
    }
    people[3].call(&channel).await;
    server.assert_integrity();
}
