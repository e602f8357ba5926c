//! `POST /calls/ID/signal` and `GET /calls/ID/signals`. Signals of shares are in `screenshares`.

use serde_json::{Value, json};

use crate::scenes::{Scene, keys};
use crate::support::answer;

fn offer(to: &str) -> Value {
    json!({ "to": to, "type": "offer", "payload": { "type": "offer", "sdp": "v=0\r\n" } })
}

#[tokio::test]
async fn signals_reach_their_recipient_in_order_and_nobody_else() {
    let scene = Scene::ringing().await;
    let (signal, signals) = (scene.path("signal"), scene.path("signals"));
    // The caller may signal while the call rings.
    assert_eq!(scene.alice.post_json(&signal, offer("bob")).await, (200, json!({ "status": "ok" })));
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    for candidate in 1..=3 {
        let body = json!({ "to": "bob", "type": "ice_candidate", "payload": { "candidate": candidate } });
        assert_eq!(scene.alice.post_json(&signal, body).await.0, 200);
    }
    let answer = json!({ "to": "alice", "type": "answer", "payload": { "type": "answer" } });
    assert_eq!(scene.bob.post_json(&signal, answer).await.0, 200);

    let for_bob = scene.bob.read(&signals).await;
    let for_bob = for_bob.as_array().unwrap();
    let payloads: Vec<_> = for_bob.iter().map(|signal| &signal["payload"]["candidate"]).collect();
    assert_eq!(payloads, [&Value::Null, &json!(1), &json!(2), &json!(3)]);
    assert_eq!(keys(&for_bob[0]), ["from", "id", "payload", "ts", "type"]);
    assert_eq!(for_bob[0]["from"], "alice");
    assert_eq!(for_bob[0]["type"], "offer");
    assert_eq!(for_bob[1]["type"], "ice_candidate");
    assert!(for_bob[0]["ts"].as_f64().unwrap() > 1.6e9);
    let ids: Vec<i64> = for_bob.iter().map(|signal| signal["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted() && ids[0] > 0, "{ids:?}");

    // Reading after a cursor is repeatable.
    for _ in 0..2 {
        let rest = scene.bob.read(&format!("{signals}?after={}", ids[1])).await;
        assert_eq!(rest.as_array().unwrap().as_slice(), &for_bob[2..]);
    }
    assert_eq!(scene.bob.read(&format!("{signals}?after={}", ids[3])).await, json!([]));
    assert_eq!(scene.bob.read(&format!("{signals}?after=-5")).await.as_array().unwrap().len(), 4);

    let for_alice = scene.alice.read(&signals).await;
    assert_eq!(for_alice.as_array().unwrap().len(), 1);
    assert_eq!(for_alice[0]["from"], "bob");
}

#[tokio::test]
async fn a_payload_is_delivered_as_it_was_written() {
    let scene = Scene::active().await;
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    let payloads = [
        "0",
        "false",
        "\"\"",
        "{}",
        "[]",
        "-1.5e3",
        "12345678901234567890123",
        "0.30000000000000004",
        "1e400",
        r#""null""#,
        r#"{"b":1,"a":[true,null,"\u0000 \ud83d\ude00 ü"]}"#,
        r#"{"lone":"\ud800"}"#,
        &deep,
    ];
    for payload in payloads {
        let body = format!(r#"{{"to":"bob","type":"offer","payload":{payload}}}"#);
        let (status, answer) = answer(scene.alice.posting_bytes(&scene.path("signal"), body)).await;
        assert_eq!(status, 200, "{payload}: {answer}");
    }
    let response = scene.bob.getting(&scene.path("signals")).send().await.unwrap();
    let text = response.text().await.unwrap();
    for payload in payloads {
        assert!(text.contains(&format!(r#""payload":{payload}"#)), "{payload} is not in {text}");
    }
}

#[tokio::test]
async fn signals_are_between_participants() {
    let scene = Scene::ringing().await;
    let (server, signal) = (&scene.server, scene.path("signal"));
    server.assert_refuses(scene.bob.posting_json(&signal, offer("alice")), 403, "not_accepted").await;
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    for (person, to, status, code) in [
        (&scene.alice, "carol", 403, "recipient_not_in_call"),
        (&scene.alice, "ghost", 403, "recipient_not_in_call"),
        (&scene.alice, "", 400, "bad_body"),
        (&scene.alice, "bob\0", 403, "recipient_not_in_call"),
        (&scene.alice, "alice", 400, "call_signals_between_two"),
        (&scene.carol, "bob", 403, "not_a_participant"),
        (&scene.carol, "carol", 403, "not_a_participant"),
    ] {
        server.assert_refuses(person.posting_json(&signal, offer(to)), status, code).await;
    }
    let unknown = scene.alice.posting_json("/calls/none/signal", offer("bob"));
    server.assert_refuses(unknown, 404, "call_not_found").await;
    // A share's id is not found as a call.
    let (_, share) = scene.alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
    let of_share = format!("/calls/{}/signal", share["share_id"].as_str().unwrap());
    server.assert_refuses(scene.alice.posting_json(&of_share, offer("bob")), 404, "call_not_found").await;

    assert_eq!(scene.bob.post(&scene.path("end")).await.0, 200);
    server.assert_refuses(scene.alice.posting_json(&signal, offer("bob")), 409, "call_finished").await;
    server.assert_refuses(scene.carol.posting_json(&signal, offer("bob")), 403, "not_a_participant").await;
}

#[tokio::test]
async fn a_participant_who_left_gets_no_signals() {
    let scene = Scene::active().await;
    assert_eq!(scene.alice.post_json(&scene.path("invite"), json!({ "username": "carol" })).await.0, 200);
    assert_eq!(scene.carol.post(&scene.path("accept")).await.0, 200);
    assert_eq!(scene.carol.post(&scene.path("leave")).await.0, 200);
    let request = scene.alice.posting_json(&scene.path("signal"), offer("carol"));
    scene.server.assert_refuses(request, 403, "recipient_not_in_call").await;
    let request = scene.carol.posting_json(&scene.path("signal"), offer("alice"));
    scene.server.assert_refuses(request, 403, "not_accepted").await;
    assert_eq!(scene.carol.read(&scene.path("signals")).await, json!([]));
}

#[tokio::test]
async fn a_signal_needs_a_recipient_a_type_and_a_payload() {
    let scene = Scene::active().await;
    for (body, code) in [
        (json!({}), "bad_body"),
        (json!({ "type": "offer", "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": "offer" }), "bad_body"),
        (json!({ "to": 1, "type": "offer", "payload": {} }), "bad_body"),
        (json!({ "to": " ", "type": "offer", "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": 1, "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": null, "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": "bye", "payload": {} }), "call_signals_type_known"),
        (json!({ "to": "bob", "type": "Offer", "payload": {} }), "call_signals_type_known"),
        (json!({ "to": "bob", "type": "", "payload": {} }), "call_signals_type_known"),
        (json!({ "to": "bob", "type": "offer", "payload": null }), "call_signals_payload_is_json"),
    ] {
        let request = scene.alice.posting_json(&scene.path("signal"), body);
        scene.server.assert_refuses(request, 400, code).await;
    }
    let too_deep = format!(r#"{{"to":"bob","type":"offer","payload":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let request = scene.alice.posting_bytes(&scene.path("signal"), too_deep);
    scene.server.assert_refuses(request, 400, "call_signals_payload_is_json").await;
}

#[tokio::test]
async fn a_payload_has_64_kib_at_most() {
    let scene = Scene::active().await;
    let of = |bytes: usize| json!({ "to": "bob", "type": "offer", "payload": "x".repeat(bytes - 2) });
    let signal = scene.path("signal");
    assert_eq!(scene.alice.post_json(&signal, of(65536)).await.0, 200);
    scene.server.assert_refuses(scene.alice.posting_json(&signal, of(65537)), 413, "signal_too_large").await;
    // The limit counts bytes, not characters.
    let wide = json!({ "to": "bob", "type": "offer", "payload": "ü".repeat(32768) });
    scene.server.assert_refuses(scene.alice.posting_json(&signal, wide), 413, "signal_too_large").await;
    scene.server.assert_refuses(scene.alice.posting_json(&signal, of(1_200_000)), 413, "body_too_large").await;
}

#[tokio::test]
async fn the_oldest_signals_are_dropped() {
    let scene = Scene::active().await;
    scene.server.execute("UPDATE settings SET value = 3 WHERE name = 'signals_per_call_max'");
    for number in 1..=5 {
        let body = json!({ "to": "bob", "type": "ice_candidate", "payload": number });
        assert_eq!(scene.alice.post_json(&scene.path("signal"), body).await.0, 200);
    }
    let signals = scene.bob.read(&scene.path("signals")).await;
    let payloads: Vec<_> = signals.as_array().unwrap().iter().map(|signal| &signal["payload"]).collect();
    assert_eq!(payloads, [&json!(3), &json!(4), &json!(5)]);
}

#[tokio::test]
async fn reading_signals_requires_a_participant() {
    let scene = Scene::active().await;
    let signals = scene.path("signals");
    let server = &scene.server;
    server.assert_refuses(scene.carol.getting(&signals), 403, "not_a_participant").await;
    server.assert_refuses(scene.alice.getting("/calls/none/signals"), 404, "call_not_found").await;
}

#[tokio::test]
async fn a_cursor_that_is_no_whole_number_counts_as_the_default() {
    let scene = Scene::active().await;
    let offer = json!({ "to": "bob", "type": "offer", "payload": 1 });
    assert_eq!(scene.alice.post_json(&scene.path("signal"), offer).await.0, 200);
    let signals = scene.path("signals");
    let all = scene.bob.read(&signals).await;
    assert_eq!(all.as_array().unwrap().len(), 1);
    for after in ["", "x", "1.5", "1e9", "0x1", "9%00", "+", "\u{661}", "%200", "-1", "-99999999999999999999"] {
        assert_eq!(scene.bob.read(&format!("{signals}?after={after}")).await, all, "{after:?}");
    }
    // A whole number beyond all ids is after all of them.
    for after in ["9223372036854775807", "9223372036854775808", "99999999999999999999", "%209999%20"] {
        assert_eq!(scene.bob.read(&format!("{signals}?after={after}")).await, json!([]), "{after:?}");
    }
}
